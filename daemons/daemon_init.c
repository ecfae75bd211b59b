/* PID 1: reap, forward, pass the exit on. */
/* Not for supervision: the daemon itself is not started again. */
#include "daemon_init.h"

#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int
exit_code_of(int status)
{
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* Reap all that ended; true when the daemon is among them. */
static bool
reap(pid_t daemon, int *ret_code)
{
    bool ended = false;
    int status = 0;
    pid_t pid = 0;

    while ((void)(pid = waitpid(-1, &status, WNOHANG)), pid > 0) {
        if (pid == daemon) {
            *ret_code = exit_code_of(status);
            ended = true;
        }
    }
    return ended;
}

/* All signals are blocked, and taken one by one: no handler, no race. A blocked
 * signal reaches PID 1 even where its default would be ignored. */
static _Noreturn void
be_init(pid_t daemon, const sigset_t *all)
{
    int code = 0;

    for (;;) {
        siginfo_t info = {0};
        int sig = sigwaitinfo(all, &info);

        if (sig < 0) {
            continue; /* EINTR: stopped and continued */
        }
        if (sig == SIGCHLD) {
            if (reap(daemon, &code)) {
                _exit(code);
            }
        } else if (info.si_code != SI_KERNEL) {
            /* What a terminal sends, it sends to the child as well. */
            (void)kill(daemon, sig);
        }
    }
}

void
init_duty(void)
{
    sigset_t all;
    sigset_t before;
    pid_t pid = 0;

    if (getpid() != 1) {
        return;
    }
    (void)sigfillset(&all);
    (void)sigprocmask(SIG_SETMASK, &all, &before);
    /* A plain fork, and no execve: nothing has been made yet that the two could
     * quarrel over. */
    pid = fork();
    if (pid > 0) {
        be_init(pid, &all);
    }
    (void)sigprocmask(SIG_SETMASK, &before, NULL);
    if (pid < 0) {
        /* Better an init without children of others than none. */
        (void)fprintf(stderr, "forking as PID 1: %s\n", strerror(errno));
    }
}

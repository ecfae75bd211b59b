/* The child's side of core/spawn.c: from fork to execve. */
/* Not for anything that is not async-signal-safe (signal-safety(7)). */
#include "core/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

static _Noreturn void
give_up(const struct amy__spawn_steps *steps, enum amy__spawn_step step)
{
    struct amy__spawn_failure failure = {(int32_t)step, errno};

    /* Short enough to be atomic; with nobody to read it, nobody to tell. */
    if (write(steps->error_fd, &failure, sizeof(failure)) < 0) {
        _exit(126);
    }
    _exit(127);
}

static void
reset_signals(void)
{
    struct sigaction plain = {.sa_handler = SIG_DFL};

    for (int sig = 1; sig < NSIG; sig++) {
        /* KILL, STOP and the C library's own two refuse, and need none. */
        (void)sigaction(sig, &plain, NULL);
    }
}

static void
unblock_signals(void)
{
    sigset_t none;

    (void)sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static void
close_from(const struct amy__spawn_steps *steps, int first)
{
    if (syscall(SYS_close_range, (unsigned)first, ~0U, 0U) == 0) {
        return;
    }
    for (int fd = first; fd < steps->fd_limit; fd++) {
        (void)close(fd);
    }
}

/* Every source, and the directory, is parked above all targets first, so that
 * mappings may swap numbers; then each goes to its place, without
 * close-on-exec. */
static bool
place_fds(struct amy__spawn_steps *steps)
{
    int floor = steps->above + 1;
    int error_fd = fcntl(steps->error_fd, F_DUPFD_CLOEXEC, floor);

    if (error_fd < 0) {
        return false;
    }
    steps->error_fd = error_fd;
    if (steps->cwd_fd >= 0) {
        steps->cwd_fd = fcntl(steps->cwd_fd, F_DUPFD_CLOEXEC, floor);
        if (steps->cwd_fd < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < steps->fd_count; i++) {
        steps->parked[i] = fcntl(steps->fds[i].from, F_DUPFD_CLOEXEC, floor);
        if (steps->parked[i] < 0) {
            return false;
        }
    }
    for (size_t i = 0; i < steps->fd_count; i++) {
        if (dup2(steps->parked[i], steps->fds[i].to) < 0) {
            return false;
        }
    }
    if (dup3(error_fd, steps->above, O_CLOEXEC) < 0) {
        return false;
    }
    steps->error_fd = steps->above;
    for (size_t i = 0; i < steps->gap_count; i++) {
        (void)close(steps->gaps[i]);
    }
    return true;
}

static void
set_umask_and_nice(const struct amy__spawn_steps *steps)
{
    if (steps->plan->umask_plus_one > 0) {
        (void)umask((mode_t)(steps->plan->umask_plus_one - 1));
    }
    if (steps->plan->nice_by != 0 &&
        setpriority(PRIO_PROCESS, 0, steps->nice) != 0) {
        give_up(steps, AMY__STEP_UMASK_NICE);
    }
}

static void
set_oom_score(const struct amy__spawn_steps *steps)
{
    size_t n = strlen(steps->oom_score_adj);
    int fd = -1;

    if (n == 0) {
        return;
    }
    fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, steps->oom_score_adj, n) != (ssize_t)n) {
        give_up(steps, AMY__STEP_OOM);
    }
    (void)close(fd);
}

static void
set_limits(const struct amy__spawn_steps *steps)
{
    struct rlimit none = {0, 0};

    if (steps->plan->max_files > 0 &&
        setrlimit(RLIMIT_NOFILE, &steps->files) != 0) {
        give_up(steps, AMY__STEP_LIMITS);
    }
    if (steps->plan->no_core && setrlimit(RLIMIT_CORE, &none) != 0) {
        give_up(steps, AMY__STEP_LIMITS);
    }
}

/* System calls and not the C library's functions: those would tell every
 * thread, and here is but one. */
static void
change_ids(const struct amy__spawn_steps *steps)
{
    const struct amy__spawn_plan *plan = steps->plan;

    if (!plan->set_ids) {
        return;
    }
    if (syscall(SYS_setgroups, plan->group_count, plan->groups) != 0) {
        give_up(steps, AMY__STEP_GROUPS);
    }
    if (syscall(SYS_setresgid, plan->gid, plan->gid, plan->gid) != 0) {
        give_up(steps, AMY__STEP_GID);
    }
    if (syscall(SYS_setresuid, plan->uid, plan->uid, plan->uid) != 0) {
        give_up(steps, AMY__STEP_UID);
    }
}

static void
drop_bounding(const struct amy__spawn_steps *steps)
{
    if (!steps->drop_bounding) {
        return;
    }
    for (unsigned long cap = 0; prctl(PR_CAPBSET_READ, cap, 0UL, 0UL, 0UL) >= 0;
         cap++) {
        if (prctl(PR_CAPBSET_DROP, cap, 0UL, 0UL, 0UL) != 0) {
            give_up(steps, AMY__STEP_BOUNDING);
        }
    }
}

static void
drop_capabilities(const struct amy__spawn_steps *steps)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct none[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (!steps->plan->drop_capabilities) {
        return;
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL) != 0 ||
        syscall(SYS_capset, &header, none) != 0) {
        give_up(steps, AMY__STEP_CAPABILITIES);
    }
}

/* The kernel forgets the wish when ids change, so it comes after that; a parent
 * that died before it is noticed by its number. */
static void
die_with_parent(const struct amy__spawn_steps *steps)
{
    int sig = steps->plan->parent_death_signal;

    if (sig == 0) {
        return;
    }
    if (prctl(PR_SET_PDEATHSIG, (unsigned long)sig, 0UL, 0UL, 0UL) != 0) {
        give_up(steps, AMY__STEP_DEATH_SIGNAL);
    }
    if (getppid() != steps->parent) {
        _exit(126);
    }
}

/* Decimal digits; snprintf(3) may not be used here. */
static void
write_pid(char *at, pid_t pid)
{
    char digits[16] = "";
    size_t n = 0;

    do {
        digits[n++] = (char)('0' + pid % 10);
        pid /= 10;
    } while (pid > 0);
    while (n > 0) {
        *at++ = digits[--n];
    }
    *at = '\0';
}

_Noreturn void
amy__spawn_child(struct amy__spawn_steps *steps)
{
    const struct amy__spawn_plan *plan = steps->plan;

    reset_signals();
    if (plan->new_session && setsid() < 0) {
        give_up(steps, AMY__STEP_SESSION);
    }
    if (!place_fds(steps)) {
        give_up(steps, AMY__STEP_FDS);
    }
    set_umask_and_nice(steps);
    set_oom_score(steps);
    set_limits(steps);
    drop_bounding(steps);
    change_ids(steps);
    drop_capabilities(steps);
    if (plan->no_new_privs && prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL)) {
        give_up(steps, AMY__STEP_NO_NEW_PRIVS);
    }
    die_with_parent(steps);
    /* As the new user: a directory that it may not enter is an error. */
    if (steps->cwd_fd >= 0 && fchdir(steps->cwd_fd) != 0) {
        give_up(steps, AMY__STEP_DIRECTORY);
    }
    close_from(steps, steps->above + 1);
    if (steps->listen_pid != NULL) {
        write_pid(steps->listen_pid, getpid());
    }
    unblock_signals();
    (void)execve(steps->argv[0], steps->argv, steps->envp);
    give_up(steps, AMY__STEP_EXECVE);
}

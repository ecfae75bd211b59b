/* A daemon that prints which of its callbacks runs. */
/* Not a test: test_daemon.c starts it and reads what it says. */
#include "daemon.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *
or_none(const char *text)
{
    return text == NULL ? "none" : text;
}

static int
on_check(struct daemon *daemon, void *user)
{
    (void)user;
    (void)printf("check %s\n", or_none(daemon_paths(daemon)->config));
    return DAEMON_FAILED;
}

/* A grandchild that nobody waits for, and that becomes PID 1's. */
static void
leave_an_orphan(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        (void)fork();
        _exit(0);
    }
    (void)waitpid(pid, NULL, 0);
}

static int
on_start(struct daemon *daemon, void *user)
{
    const struct daemon_paths *paths = daemon_paths(daemon);

    (void)user;
    if (getenv("SAMPLE_JSON") != NULL) {
        daemon_log_json(daemon);
    }
    if (getenv("SAMPLE_FAILS") != NULL) {
        daemon_say(daemon, AMY_LOG_ERROR, "cannot start: %s", "no\nreason");
        return -1;
    }
    if (getenv("SAMPLE_BRIEF") != NULL) {
        daemon_finish(daemon, 9);
    }
    if (getenv("SAMPLE_ORPHAN") != NULL) {
        leave_an_orphan();
    }
    (void)printf("start %s %s %s pid=%d notify=%s\n", or_none(paths->webapps),
                 or_none(paths->run), or_none(paths->state),
                 getpid() == 1 ? 1 : 2, or_none(getenv("NOTIFY_SOCKET")));
    daemon_ready(daemon, "all\n%s", "well");
    return 0;
}

/* More than any pipe or socket takes. */
static void
flood(const struct daemon *daemon)
{
    for (int i = 0; i < SAMPLE_FLOOD_LINES; i++) {
        daemon_say(daemon, AMY_LOG_WARN, "flood %-990d", i);
    }
}

static void
on_reload(struct daemon *daemon, void *user)
{
    (void)user;
    if (getenv("SAMPLE_FLOODS") != NULL) {
        flood(daemon);
        daemon_ready(daemon, "flooded");
        return;
    }
    (void)printf("reload\n"); /* ends with USR1 */
}

static void
on_reopen(struct daemon *daemon, void *user)
{
    (void)user;
    (void)printf("reopen\n");
    daemon_ready(daemon, "reloaded");
}

static void
on_stop(struct daemon *daemon, bool now, void *user)
{
    (void)user;
    if (getenv("SAMPLE_FLOODS") != NULL) {
        daemon_say(daemon, AMY_LOG_WARN, "the flood is over");
    }
    (void)printf("stop %s\n", now ? "now" : "soon");
    if (now || getenv("SAMPLE_PATIENT") == NULL) {
        daemon_finish(daemon, 7);
    }
}

static void
on_clear(struct daemon *daemon, void *user)
{
    (void)daemon;
    (void)user;
    (void)printf("clear\n");
}

int
main(int argc, char **argv)
{
    const struct daemon_spec spec = {
        .name = "sample",
        .purpose = "says what it is told",
        .check = on_check,
        .start = on_start,
        .reload = on_reload,
        .stop = on_stop,
        .reopen = on_reopen,
        .clear = on_clear,
    };

    (void)setvbuf(stdout, NULL, _IOLBF, 0);
    return daemon_main(&spec, argc, argv);
}

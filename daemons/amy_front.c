/* amy-front: TLS, gates, static files and the proxy; arguments and wiring. */
/* Not for anything about the web: that is amy/front.h. */
#include <amy/error.h>
#include <amy/front.h>

#include "daemon.h"

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- the master ---- */

struct wiring {
    struct daemon *daemon;
    struct amy_front *front;
};

static void
on_ready(struct amy_front *front, int rc, const struct amy_error *err,
         void *user)
{
    struct wiring *wiring = user;

    (void)front;
    if (rc < 0) {
        daemon_ready(wiring->daemon, "reload refused: %s", err->msg);
    } else {
        daemon_ready(wiring->daemon, "serving");
    }
}

static struct amy_front_options
options_of(struct wiring *wiring)
{
    struct amy_front_options opts = AMY_FRONT_OPTIONS_INIT;
    const struct daemon_paths *paths = daemon_paths(wiring->daemon);

    opts.base = daemon_base(wiring->daemon);
    opts.config = paths->config;
    opts.webapps = paths->webapps;
    opts.run = paths->run;
    opts.state = paths->state;
    opts.log = daemon_log(wiring->daemon);
    opts.handover_fd_plus_one = daemon_handover(wiring->daemon);
    opts.on_ready = on_ready;
    opts.user = wiring;
    return opts;
}

static int
check(struct daemon *daemon, void *user)
{
    struct wiring wiring = {.daemon = daemon};
    struct amy_front_options opts = options_of(&wiring);
    struct amy_error err = AMY_ERROR_INIT;
    int errors = amy_front_check(&opts, daemon_print_problem, NULL, &err);

    (void)user;
    return daemon_checked(errors, &err);
}

static int
check_state(struct daemon *daemon, void *user, struct amy_error *err)
{
    struct wiring wiring = {.daemon = daemon};
    struct amy_front_options opts = options_of(&wiring);

    (void)user;
    return amy_front_check_state(&opts, err);
}

static int
upgrade(const struct amy_upgrade_options *opts, void *user,
        struct amy_error *err)
{
    const struct wiring *wiring = user;

    return amy_front_upgrade(wiring->front, opts, err);
}

static int
start(struct daemon *daemon, void *user)
{
    struct wiring *wiring = user;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_front_options opts;
    int rc = 0;

    wiring->daemon = daemon;
    opts = options_of(wiring);
    opts.program = daemon_program(daemon); /* a front process is it again */
    rc = amy_front_create(&opts, &wiring->front, &err);
    if (rc == 0 && amy_front_logs_to_stdout(wiring->front)) {
        daemon_log_json(daemon);
    }
    if (rc == 0) {
        rc = amy_front_start(wiring->front, &err);
    }
    if (rc < 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "cannot start: %s", err.msg);
    }
    return rc;
}

static void
reload(struct daemon *daemon, void *user)
{
    struct wiring *wiring = user;
    struct amy_error err = AMY_ERROR_INIT;

    if (amy_front_reload(wiring->front, &err) < 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "reload refused: %s", err.msg);
        daemon_ready(daemon, "reload refused: %s", err.msg);
    }
}

static void
on_stopped(struct amy_front *front, void *user)
{
    (void)front;
    daemon_finish(user, DAEMON_OK);
}

static void
stop(struct daemon *daemon, bool now, void *user)
{
    struct wiring *wiring = user;

    /* Refused only while a stop is under way, which `now` then hurries. */
    (void)!amy_front_stop(wiring->front, now, on_stopped, daemon, NULL);
}

static void
reopen(struct daemon *daemon, void *user)
{
    struct wiring *wiring = user;
    struct amy_error err = AMY_ERROR_INIT;

    if (amy_front_reopen(wiring->front, &err) < 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "logs stay as they are: %s", err.msg);
    }
}

static void
clear(struct daemon *daemon, void *user)
{
    struct wiring *wiring = user;

    (void)daemon;
    amy_front_free(wiring->front);
}

/* ---- a front process ---- */

struct child {
    struct daemon *daemon;
    struct amy_front_process *process;
};

static void
on_child_done(struct amy_front_process *process, int rc, void *user)
{
    struct child *child = user;

    (void)process;
    daemon_finish(child->daemon, rc == 0 ? DAEMON_OK : DAEMON_FAILED);
}

/* What the filter of system calls ends us for is told by its number, and by
 * whoever waits for us as SIGSYS. In plain calls: nothing is known any more of
 * the state we are in. */
static void
on_forbidden_call(int sig, siginfo_t *info, void *context)
{
    static const char before[] = "amy-front-process: killed for system call ";
    char line[sizeof(before) + 12] = "";
    char digits[12] = "";
    unsigned number = (unsigned)info->si_syscall;
    size_t n = sizeof(before) - 1;
    size_t digit = 0;

    (void)context;
    memcpy(line, before, n);
    do {
        digits[digit++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (digit > 0) {
        line[n++] = digits[--digit];
    }
    line[n++] = '\n';
    if (info->si_code > 0) { /* not by kill(2) */
        (void)!write(STDERR_FILENO, line, n);
    }
    (void)raise(sig); /* whose action is the default again */
}

/* A host without it serves all the same. */
static void
confine(struct daemon *daemon)
{
    struct sigaction action = {.sa_sigaction = on_forbidden_call,
                               .sa_flags =
                                   SA_SIGINFO | SA_NODEFER | (int)SA_RESETHAND};
    struct amy_error err = AMY_ERROR_INIT;

    (void)sigaction(SIGSYS, &action, NULL);
    if (amy_front_process_confine(&err) < 0) {
        daemon_say(daemon, AMY_LOG_WARN,
                   "all system calls stay allowed error=\"%s\"", err.msg);
    }
}

static int
start_child(struct daemon *daemon, void *user)
{
    struct amy_front_process_options opts = AMY_FRONT_PROCESS_OPTIONS_INIT;
    struct child *child = user;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    child->daemon = daemon;
    opts.base = daemon_base(daemon);
    opts.log = daemon_log(daemon);
    opts.on_done = on_child_done;
    opts.user = child;
    rc = amy_front_process_create(&opts, &child->process, &err);
    if (rc < 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "front process: %s", err.msg);
        return rc;
    }
    confine(daemon);
    return 0;
}

static void
stop_child(struct daemon *daemon, bool now, void *user)
{
    struct child *child = user;

    (void)daemon;
    amy_front_process_drain(child->process, now);
}

static void
clear_child(struct daemon *daemon, void *user)
{
    struct child *child = user;

    (void)daemon;
    amy_front_process_free(child->process);
}

static int
be_front_process(char **argv)
{
    struct child child = {.daemon = NULL};
    const char *log = getenv("AMY_LOG"); /* the master's, see amy/front.h */
    const struct daemon_spec spec = {
        .name = "amy-front-process",
        .purpose = "serves what amy-front hands to it",
        .is_child = true,
        .json_log = log != NULL && strcmp(log, "json") == 0,
        .user = &child,
        .start = start_child,
        .stop = stop_child,
        .clear = clear_child,
    };

    return daemon_main(&spec, 1, argv);
}

int
main(int argc, char **argv)
{
    struct wiring wiring = {.daemon = NULL};
    const struct daemon_spec spec = {
        .name = "amy-front",
        .purpose = "serves all sites: TLS, gates, static files, proxy",
        .user = &wiring,
        .check = check,
        .start = start,
        .reload = reload,
        .stop = stop,
        .reopen = reopen,
        .upgrade = upgrade,
        .check_state = check_state,
        .clear = clear,
    };

    if (argc == 2 && strcmp(argv[1], "--front-process") == 0) {
        return be_front_process(argv);
    }
    return daemon_main(&spec, argc, argv);
}

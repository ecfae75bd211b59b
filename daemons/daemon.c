/* What every daemon does around its library object. */
/* Not for sites, HTTP, SQL or worker counts: those are the library's. */
#include "daemon.h"

#include <amy/version.h>

#include "daemon_init.h"
#include "daemon_log.h"
#include "daemon_notify.h"
#include "daemon_program.h"

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const int signals_taken[] = {SIGTERM, SIGINT,  SIGQUIT,
                                    SIGHUP,  SIGUSR1, SIGUSR2};
#define SIGNAL_COUNT (sizeof(signals_taken) / sizeof(signals_taken[0]))

struct daemon {
    const struct daemon_spec *spec;
    struct daemon_paths paths;
    bool only_check;
    bool only_check_state;
    uint32_t handover; /* descriptor + 1 */
    char **argv;
    char *program; /* where we were started from; NULL: unknown */
    bool jumping;  /* execve(2) is next */
    struct log_sink sink;
    struct amy_log log; /* into it */
    struct event_base *base;
    struct event *signals[SIGNAL_COUNT];
    struct event *reload_again;
    struct notify *notify;
    bool reloading;
    bool reload_wanted; /* a SIGHUP came while reloading */
    bool stopping;
    bool stopping_now;
    bool finished;
    int exit_code;
};

struct event_base *
daemon_base(struct daemon *daemon)
{
    return daemon->base;
}

const struct daemon_paths *
daemon_paths(const struct daemon *daemon)
{
    return &daemon->paths;
}

const struct amy_log *
daemon_log(const struct daemon *daemon)
{
    return &daemon->log;
}

void
daemon_log_json(struct daemon *daemon)
{
    log_to_stdout(&daemon->sink);
}

static void format_line(char *line, size_t size, const char *fmt, va_list args)
    __attribute__((format(printf, 3, 0)));

/* A newline would begin another line of the log, or another assignment to the
 * service manager. */
static void
format_line(char *line, size_t size, const char *fmt, va_list args)
{
    (void)vsnprintf(line, size, fmt, args);
    for (char *p = line; *p != '\0'; p++) {
        if (*p == '\n' || *p == '\r') {
            *p = ' ';
        }
    }
}

void
daemon_say(const struct daemon *daemon, enum amy_log_level level,
           const char *fmt, ...)
{
    char line[1025] = "";
    va_list args;

    va_start(args, fmt);
    format_line(line, sizeof(line), fmt, args);
    va_end(args);
    daemon->log.fn(level, line, daemon->log.user);
}

void
daemon_ready(struct daemon *daemon, const char *fmt, ...)
{
    char status[256] = "";
    va_list args;

    va_start(args, fmt);
    format_line(status, sizeof(status), fmt, args);
    va_end(args);
    daemon->reloading = false;
    if (daemon->stopping) {
        return;
    }
    notify_ready(daemon->notify, status);
    if (daemon->reload_wanted) {
        daemon->reload_wanted = false;
        event_active(daemon->reload_again, 0, 0);
    }
}

void
daemon_status(struct daemon *daemon, const char *fmt, ...)
{
    char status[256] = "";
    va_list args;

    va_start(args, fmt);
    format_line(status, sizeof(status), fmt, args);
    va_end(args);
    notify_status(daemon->notify, status);
}

void
daemon_print_problem(const struct amy_problem *problem, void *user)
{
    (void)user;
    (void)printf("%s", problem->file);
    if (problem->line > 0) {
        (void)printf(":%" PRIu32 ":%" PRIu32, problem->line, problem->column);
    }
    (void)printf(": %s%s%s%s",
                 problem->severity == AMY_SEVERITY_WARNING ? "warning: " : "",
                 problem->key != NULL ? problem->key : "",
                 problem->key != NULL ? ": " : "", problem->message);
    if (problem->allowed != NULL) {
        (void)printf(" (allowed: %s)", problem->allowed);
    }
    (void)printf("\n");
}

int
daemon_checked(int errors, const struct amy_error *err)
{
    if (errors < 0) {
        (void)printf("%s\n", err->msg);
    }
    return errors == 0 ? DAEMON_OK : DAEMON_FAILED;
}

void
daemon_finish(struct daemon *daemon, int code)
{
    daemon->exit_code = code;
    daemon->finished = true;
    (void)event_base_loopbreak(daemon->base);
}

static void
begin_reload(struct daemon *daemon)
{
    if (daemon->spec->reload == NULL || daemon->stopping) {
        return;
    }
    if (daemon->reloading) {
        daemon->reload_wanted = true;
        return;
    }
    daemon->reloading = true;
    notify_reloading(daemon->notify);
    daemon->spec->reload(daemon, daemon->spec->user);
}

static void
on_reload_again(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    begin_reload(user);
}

static void
begin_stop(struct daemon *daemon, bool now)
{
    if (now ? daemon->stopping_now : daemon->stopping) {
        return;
    }
    if (!daemon->stopping) {
        notify_stopping(daemon->notify);
    }
    daemon->stopping = true;
    daemon->stopping_now = daemon->stopping_now || now;
    daemon->spec->stop(daemon, now, daemon->spec->user);
}

/* ---- becoming the next program ---- */

const char *
daemon_program(const struct daemon *daemon)
{
    return daemon->program;
}

uint32_t
daemon_handover(const struct daemon *daemon)
{
    return daemon->handover;
}

/* Signals that come between the programs wait for the next one's handlers. */
static void
hold_signals(int how)
{
    sigset_t set;

    (void)sigemptyset(&set);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        (void)sigaddset(&set, signals_taken[i]);
    }
    (void)sigprocmask(how, &set, NULL);
}

static void
on_hold(bool on, void *user)
{
    (void)user;
    hold_signals(on ? SIG_BLOCK : SIG_UNBLOCK);
}

static void
before_jump(void *user)
{
    struct daemon *daemon = user;

    daemon->jumping = true;
    notify_reloading(daemon->notify);
    notify_leave(daemon->notify);
}

static void
on_upgrade_refused(const struct amy_error *err, void *user)
{
    struct daemon *daemon = user;

    if (daemon->jumping) {
        daemon->jumping = false;
        notify_stay(daemon->notify);
        daemon_ready(daemon, "upgrade refused: %s", err->msg);
    } else {
        daemon_status(daemon, "upgrade refused: %s", err->msg);
    }
}

static void
begin_upgrade(struct daemon *daemon)
{
    struct amy_upgrade_options opts = AMY_UPGRADE_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;

    if (daemon->spec->upgrade == NULL || daemon->stopping) {
        return;
    }
    opts.program = daemon->program;
    opts.argv = (const char *const *)daemon->argv;
    opts.hold = on_hold;
    opts.before = before_jump;
    opts.refused = on_upgrade_refused;
    opts.user = daemon;
    if (daemon->spec->upgrade(&opts, daemon->spec->user, &err) < 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "upgrade refused: %s", err.msg);
    }
}

static void
on_signal(evutil_socket_t sig, short what, void *user)
{
    struct daemon *daemon = user;

    (void)what;
    switch (sig) {
    case SIGHUP:
        begin_reload(daemon);
        break;
    case SIGUSR1:
        if (daemon->spec->reopen != NULL) {
            daemon->spec->reopen(daemon, daemon->spec->user);
        }
        break;
    case SIGUSR2:
        begin_upgrade(daemon);
        break;
    case SIGQUIT:
        begin_stop(daemon, true);
        break;
    case SIGINT: /* a person's second Ctrl-C means it */
        begin_stop(daemon, daemon->stopping);
        break;
    default:
        begin_stop(daemon, false);
        break;
    }
}

static int
open_loop(struct daemon *daemon)
{
    daemon->base = event_base_new();
    if (daemon->base == NULL) {
        return -1;
    }
    daemon->reload_again =
        event_new(daemon->base, -1, 0, on_reload_again, daemon);
    if (daemon->reload_again == NULL) {
        return -1;
    }
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        daemon->signals[i] =
            evsignal_new(daemon->base, signals_taken[i], on_signal, daemon);
        if (daemon->signals[i] == NULL ||
            evsignal_add(daemon->signals[i], NULL) != 0) {
            return -1;
        }
    }
    if (!daemon->spec->is_child) {
        daemon->notify = notify_create(daemon->base);
    }
    return 0;
}

static void
close_loop(struct daemon *daemon)
{
    notify_free(daemon->notify);
    for (size_t i = 0; i < SIGNAL_COUNT; i++) {
        if (daemon->signals[i] != NULL) {
            event_free(daemon->signals[i]);
        }
    }
    if (daemon->reload_again != NULL) {
        event_free(daemon->reload_again);
    }
    if (daemon->base != NULL) {
        event_base_free(daemon->base);
    }
}

static void
print_help(const struct daemon_spec *spec)
{
    (void)printf(
        "usage: %s [OPTION...]\n"
        "%s\n\n"
        "  --config FILE   settings that are not of one site"
        " [/etc/amy/amy.yaml]\n"
        "  --webapps DIR   where the sites' directories are [/webapps]\n"
        "  --run DIR       sockets [$RUNTIME_DIRECTORY, /run/amy]\n"
        "  --state DIR     state [$STATE_DIRECTORY, /var/lib/amy]\n"
        "  --check         say everything that is wrong, and exit: 0 or 1\n"
        "  --check-state FD  of an upgrade: could this go on from there?\n"
        "  --help          show this\n"
        "  --version       show the version\n\n"
        "signals: HUP reloads, TERM and INT stop when all is finished, QUIT\n"
        "stops at once, USR1 opens log files anew, USR2 goes on as the program\n"
        "that is installed now\n",
        spec->name, spec->purpose);
}

enum option_id {
    OPTION_CONFIG = 1,
    OPTION_WEBAPPS,
    OPTION_RUN,
    OPTION_STATE,
    OPTION_CHECK,
    OPTION_CHECK_STATE,
    OPTION_HELP,
    OPTION_VERSION,
};

static int
usage(const struct daemon_spec *spec)
{
    (void)fprintf(stderr, "try '%s --help'\n", spec->name);
    return DAEMON_USAGE;
}

/* An exit code, or -1 to go on. */
static int
read_arguments(struct daemon *daemon, int argc, char **argv)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, OPTION_CONFIG},
        {"webapps", required_argument, NULL, OPTION_WEBAPPS},
        {"run", required_argument, NULL, OPTION_RUN},
        {"state", required_argument, NULL, OPTION_STATE},
        {"check", no_argument, NULL, OPTION_CHECK},
        {"check-state", required_argument, NULL, OPTION_CHECK_STATE},
        {"help", no_argument, NULL, OPTION_HELP},
        {"version", no_argument, NULL, OPTION_VERSION},
        {NULL, 0, NULL, 0},
    };

    for (;;) {
        switch (getopt_long(argc, argv, "", options, NULL)) {
        case OPTION_CONFIG:
            daemon->paths.config = optarg;
            break;
        case OPTION_WEBAPPS:
            daemon->paths.webapps = optarg;
            break;
        case OPTION_RUN:
            daemon->paths.run = optarg;
            break;
        case OPTION_STATE:
            daemon->paths.state = optarg;
            break;
        case OPTION_CHECK:
            daemon->only_check = true;
            break;
        case OPTION_CHECK_STATE:
            daemon->only_check_state = true;
            daemon->handover = program_number(optarg);
            break;
        case OPTION_HELP:
            print_help(daemon->spec);
            return DAEMON_OK;
        case OPTION_VERSION:
            (void)printf("%s %s\n", daemon->spec->name, amy_version());
            return DAEMON_OK;
        case -1:
            if (optind < argc) {
                (void)fprintf(stderr, "%s: what is '%s'?\n", daemon->spec->name,
                              argv[optind]);
                return usage(daemon->spec);
            }
            return -1;
        default: /* getopt_long(3) has said what is wrong */
            return usage(daemon->spec);
        }
    }
}

/* Descriptors 0, 1 and 2 exist, so that no socket of ours becomes one. */
static void
fill_stdio(void)
{
    int fd = 0;

    do {
        fd = open("/dev/null", O_RDWR); /* NOLINT: stdio is for children too */
    } while (fd >= 0 && fd <= STDERR_FILENO);
    if (fd >= 0) {
        (void)close(fd);
    }
}

static int
check_state(struct daemon *daemon)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = daemon->spec->check_state == NULL
                 ? 0
                 : daemon->spec->check_state(daemon, daemon->spec->user, &err);

    if (rc < 0) {
        (void)printf("%s\n", err.msg);
    }
    return rc < 0 ? DAEMON_FAILED : DAEMON_OK;
}

static int
run(struct daemon *daemon)
{
    const struct daemon_spec *spec = daemon->spec;

    if (open_loop(daemon) != 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "%s: making an event base failed",
                   spec->name);
        return DAEMON_FAILED;
    }
    hold_signals(SIG_UNBLOCK); /* the program before us held them back */
    if (daemon->only_check_state) {
        return check_state(daemon);
    }
    if (daemon->only_check) {
        return spec->check == NULL ? DAEMON_OK
                                   : spec->check(daemon, spec->user);
    }
    if (spec->start(daemon, spec->user) < 0) {
        daemon->exit_code = DAEMON_FAILED;
    } else if (!daemon->finished && /* a loop forgets a break before it */
               event_base_dispatch(daemon->base) != 0 && !daemon->finished) {
        daemon_say(daemon, AMY_LOG_ERROR, "%s: the event loop failed",
                   spec->name);
        daemon->exit_code = DAEMON_FAILED;
    }
    if (spec->clear != NULL) {
        spec->clear(daemon, spec->user);
    }
    return daemon->exit_code;
}

int
daemon_main(const struct daemon_spec *spec, int argc, char **argv)
{
    struct daemon daemon = {.spec = spec};
    struct sigaction ignore = {.sa_handler = SIG_IGN};
    int code = -1;

    fill_stdio();
    if (!spec->is_child) {
        code = read_arguments(&daemon, argc, argv);
        if (code >= 0) {
            return code;
        }
        init_duty();
        daemon.argv = argv;
        daemon.program = program_find(argv[0]);
        if (!daemon.only_check_state) {
            daemon.handover = program_handover();
        }
    }
    (void)sigaction(SIGPIPE, &ignore, NULL);
    /* A check is asked for by a person, and has nobody to hold up. */
    daemon.log = log_begin(&daemon.sink, spec->name, daemon.only_check);
    if (spec->json_log) {
        daemon_log_json(&daemon);
    }
    code = run(&daemon);
    close_loop(&daemon);
    free(daemon.program);
    return code;
}

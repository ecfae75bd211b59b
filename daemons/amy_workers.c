/* amy-workers: runs the workers of every site; arguments and wiring only. */
/* Not for anything about workers: that is amy/workers.h. */
#include <amy/error.h>
#include <amy/redis.h>
#include <amy/workers.h>

#include "daemon.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#define REPORT_FD 1
#define REPORT_MS 2000 /* for each of its questions */

struct wiring {
    struct daemon *daemon;
    struct amy_workers *workers;
};

static struct amy_workers_options
options_of(struct daemon *daemon)
{
    struct amy_workers_options opts = AMY_WORKERS_OPTIONS_INIT;
    const struct daemon_paths *paths = daemon_paths(daemon);

    opts.base = daemon_base(daemon);
    opts.config = paths->config;
    opts.webapps = paths->webapps;
    opts.run = paths->run;
    opts.state = paths->state;
    opts.log = daemon_log(daemon);
    opts.handover_fd_plus_one = daemon_handover(daemon);
    return opts;
}

static void
say_ready(const struct wiring *wiring)
{
    uint32_t sites = 0;

    amy_workers_count(wiring->workers, &sites, NULL);
    daemon_ready(wiring->daemon, "%" PRIu32 " sites", sites);
}

static int
check(struct daemon *daemon, void *user)
{
    struct amy_workers_options opts = options_of(daemon);
    struct amy_error err = AMY_ERROR_INIT;
    int errors = amy_workers_check(&opts, daemon_print_problem, NULL, &err);

    (void)user;
    return daemon_checked(errors, &err);
}

static int
check_state(struct daemon *daemon, void *user, struct amy_error *err)
{
    struct amy_workers_options opts = options_of(daemon);

    (void)user;
    return amy_workers_check_state(&opts, err);
}

static int
upgrade(const struct amy_upgrade_options *opts, void *user,
        struct amy_error *err)
{
    const struct wiring *wiring = user;

    return amy_workers_upgrade(wiring->workers, opts, err);
}

static int
start(struct daemon *daemon, void *user)
{
    struct amy_workers_options opts = options_of(daemon);
    struct wiring *wiring = user;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    wiring->daemon = daemon;
    rc = amy_workers_create(&opts, &wiring->workers, &err);
    if (rc == 0 && amy_workers_logs_to_stdout(wiring->workers)) {
        daemon_log_json(daemon);
    }
    if (rc == 0) {
        rc = amy_workers_start(wiring->workers, &err);
    }
    if (rc < 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "cannot start: %s", err.msg);
        return rc;
    }
    say_ready(wiring);
    return 0;
}

static void
on_reloaded(struct amy_workers *workers, void *user)
{
    (void)workers;
    say_ready(user);
}

static void
reload(struct daemon *daemon, void *user)
{
    struct wiring *wiring = user;
    struct amy_error err = AMY_ERROR_INIT;

    if (amy_workers_reload(wiring->workers, on_reloaded, wiring, &err) < 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "reload refused: %s", err.msg);
        say_ready(wiring);
    }
}

static void
on_stopped(struct amy_workers *workers, void *user)
{
    (void)workers;
    daemon_finish(user, DAEMON_OK);
}

static void
stop(struct daemon *daemon, bool now, void *user)
{
    struct wiring *wiring = user;

    /* Refused only while a stop is under way, which `now` then hurries. */
    (void)!amy_workers_stop(wiring->workers, now ? 1 : 0, on_stopped, daemon,
                            NULL);
}

static void
reopen(struct daemon *daemon, void *user)
{
    struct wiring *wiring = user;

    (void)daemon;
    amy_workers_reopen(wiring->workers);
}

static void
clear(struct daemon *daemon, void *user)
{
    struct wiring *wiring = user;

    (void)daemon;
    amy_workers_free(wiring->workers);
}

/* What the supervisor asks as a site's user: once, and for one line. */
static int
report_redis(void)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;

    (void)signal(SIGPIPE, SIG_IGN);
    opts.url = getenv("AMY_REDIS_URL");
    opts.name = "amy-workers";
    opts.timeout_ms = REPORT_MS;
    return amy_redis_report(&opts, REPORT_FD, NULL) < 0 ? DAEMON_FAILED
                                                        : DAEMON_OK;
}

int
main(int argc, char **argv)
{
    struct wiring wiring = {.daemon = NULL};
    struct daemon_spec spec = {
        .name = "amy-workers",
        .purpose = "runs the workers of every site",
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

    if (argc == 2 && strcmp(argv[1], "--redis") == 0) {
        return report_redis();
    }
    return daemon_main(&spec, argc, argv);
}

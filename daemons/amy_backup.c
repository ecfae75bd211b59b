/* amy-backup: makes and proves the backups of every site; arguments and wiring
 * only. */
/* Not for anything about backups: that is amy/scheduler.h, and amy/backup.h in
 * the processes that it starts. */
#include <amy/backup.h>
#include <amy/error.h>
#include <amy/scheduler.h>

#include "daemon.h"

#include <inttypes.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>

/* As amy/scheduler.h says. */
#define SPEC_FD 0
#define EVENT_FD 1
#define DIRECTORY_FD 3

struct wiring {
    struct daemon *daemon;
    struct amy_scheduler *scheduler;
};

static struct amy_scheduler_options
options_of(struct daemon *daemon)
{
    struct amy_scheduler_options opts = AMY_SCHEDULER_OPTIONS_INIT;
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
    uint32_t scheduled = 0;

    amy_scheduler_count(wiring->scheduler, &sites, &scheduled);
    daemon_ready(wiring->daemon, "%" PRIu32 " sites, %" PRIu32 " scheduled",
                 sites, scheduled);
}

static int
check(struct daemon *daemon, void *user)
{
    struct amy_scheduler_options opts = options_of(daemon);
    struct amy_error err = AMY_ERROR_INIT;
    int errors = amy_scheduler_check(&opts, daemon_print_problem, NULL, &err);

    (void)user;
    return daemon_checked(errors, &err);
}

static int
check_state(struct daemon *daemon, void *user, struct amy_error *err)
{
    struct amy_scheduler_options opts = options_of(daemon);

    (void)user;
    return amy_scheduler_check_state(&opts, err);
}

static int
upgrade(const struct amy_upgrade_options *opts, void *user,
        struct amy_error *err)
{
    const struct wiring *wiring = user;

    return amy_scheduler_upgrade(wiring->scheduler, opts, err);
}

static int
start(struct daemon *daemon, void *user)
{
    struct amy_scheduler_options opts = options_of(daemon);
    struct wiring *wiring = user;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    wiring->daemon = daemon;
    rc = amy_scheduler_create(&opts, &wiring->scheduler, &err);
    if (rc == 0 && amy_scheduler_logs_to_stdout(wiring->scheduler)) {
        daemon_log_json(daemon);
    }
    if (rc == 0) {
        rc = amy_scheduler_start(wiring->scheduler, &err);
    }
    if (rc < 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "cannot start: %s", err.msg);
        return rc;
    }
    say_ready(wiring);
    return 0;
}

static void
reload(struct daemon *daemon, void *user)
{
    struct wiring *wiring = user;
    struct amy_error err = AMY_ERROR_INIT;

    if (amy_scheduler_reload(wiring->scheduler, &err) < 0) {
        daemon_say(daemon, AMY_LOG_ERROR, "reload refused: %s", err.msg);
    }
    say_ready(wiring);
}

static void
on_stopped(struct amy_scheduler *scheduler, void *user)
{
    (void)scheduler;
    daemon_finish(user, DAEMON_OK);
}

static void
stop(struct daemon *daemon, bool now, void *user)
{
    struct wiring *wiring = user;

    (void)now; /* there is nothing to wait for but the jobs' last breath */
    (void)!amy_scheduler_stop(wiring->scheduler, on_stopped, daemon, NULL);
}

static void
clear(struct daemon *daemon, void *user)
{
    struct wiring *wiring = user;

    (void)daemon;
    amy_scheduler_free(wiring->scheduler);
}

/* One job, in a process that the scheduler started. */
static int
do_job(void)
{
    struct amy_backup_job_options opts = AMY_BACKUP_JOB_OPTIONS_INIT;

    (void)signal(SIGPIPE, SIG_IGN);
    opts.spec_fd = SPEC_FD;
    opts.event_fd = EVENT_FD;
    opts.directory_fd = DIRECTORY_FD;
    return amy_backup_job(&opts, NULL) < 0 ? DAEMON_FAILED : DAEMON_OK;
}

int
main(int argc, char **argv)
{
    struct wiring wiring = {.daemon = NULL};
    struct daemon_spec spec = {
        .name = "amy-backup",
        .purpose = "makes and proves the backups of every site",
        .user = &wiring,
        .check = check,
        .start = start,
        .reload = reload,
        .stop = stop,
        .upgrade = upgrade,
        .check_state = check_state,
        .clear = clear,
    };

    if (argc == 2 && strcmp(argv[1], "--job") == 0) {
        return do_job();
    }
    return daemon_main(&spec, argc, argv);
}

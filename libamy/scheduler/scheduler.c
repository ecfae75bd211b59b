/* The scheduler: opens what it needs, reads the sites, looks at the clock,
 * stops. */
/* Not for one site: that is site.c. */
#include <amy/scheduler.h>

#include "core/alloc.h"
#include "core/caps.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/host_calls.h"
#include "core/log.h"
#include "core/maker.h"
#include "core/options.h"
#include "core/user.h"
#include "logrotate/logrotate.h"
#include "scheduler/internal.h"
#include "site/check.h"
#include "site/told.h"

#include <linux/capability.h>
#include <unistd.h>

#define TICK_MS 1000

/* To become a site's user, and to give DB_backups to it; SETPCAP only to empty
 * the bounding set of a job (docs/decisions/0070). */
static const int kept_caps[] = {CAP_SETUID, CAP_SETGID,          CAP_KILL,
                                CAP_CHOWN,  CAP_DAC_READ_SEARCH, CAP_SETPCAP};

/* --- what is over --- */

static bool
runs_something(const struct amy__scheduler_site *site)
{
    for (const struct amy__run *run = site->runs; run != NULL;
         run = run->next) {
        if (!run->over) {
            return true;
        }
    }
    return false;
}

bool
amy__scheduler_is_idle(const struct amy_scheduler *scheduler)
{
    for (const struct amy__scheduler_site *site = scheduler->sites;
         site != NULL; site = site->next) {
        if (runs_something(site)) {
            return false;
        }
    }
    return true;
}

static void
on_sweep(void *user)
{
    struct amy_scheduler *scheduler = user;
    struct amy__scheduler_site **link = &scheduler->sites;

    while (*link != NULL) {
        struct amy__scheduler_site *site = *link;

        if (!site->seen && !runs_something(site)) {
            *link = site->next;
            amy__scheduler_site_free(site);
        } else {
            link = &site->next;
        }
    }
    if (scheduler->stopping && scheduler->on_stopped != NULL &&
        amy__scheduler_is_idle(scheduler)) {
        amy_scheduler_done_fn fn = scheduler->on_stopped;

        scheduler->on_stopped = NULL;
        fn(scheduler, scheduler->stopped_user);
    }
}

static void
on_tick(void *user)
{
    struct amy_scheduler *scheduler = user;

    for (struct amy__scheduler_site *site = scheduler->sites; site != NULL;
         site = site->next) {
        amy__scheduler_site_tick(site);
    }
    if (!scheduler->stopping) {
        /* Cannot fail for an armed timer's own memory. */
        (void)amy__timer_arm(scheduler->tick, TICK_MS, NULL);
    }
}

/* --- create and free --- */

void
amy_scheduler_free(struct amy_scheduler *scheduler)
{
    if (scheduler == NULL) {
        return;
    }
    AMY_CHECK(scheduler, AMY__SCHEDULER_MAGIC);
    if (!amy__is_maker(scheduler->maker)) {
        return;
    }
    scheduler->stopping = true;
    amy__upgrade_free(scheduler->upgrade);
    while (scheduler->sites != NULL) {
        struct amy__scheduler_site *next = scheduler->sites->next;

        amy__scheduler_site_free(scheduler->sites);
        scheduler->sites = next;
    }
    amy__metrics_free(scheduler->metrics);
    amy__control_free(scheduler->control);
    amy__timer_free(scheduler->tick);
    amy__defer_free(scheduler->sweep);
    amy__close(&scheduler->webapps_fd);
    amy__logrotate_peers_free(scheduler->log_peers);
    amy__close(&scheduler->run_fd);
    amy__close(&scheduler->state_fd);
    amy__settings_free(scheduler->settings);
    amy__free(scheduler->program);
    scheduler->magic = 0;
    amy__free(scheduler);
}
AMY_DEFINE_CLEANUP(struct amy_scheduler *, amy_scheduler_free)

static int
open_control(struct amy_scheduler *scheduler, struct amy_error *err)
{
    int inherited =
        amy__sockets_control(scheduler->handover, scheduler->settings->run);
    struct amy__control_options opts = {
        .base = scheduler->base,
        .run_path = scheduler->settings->run,
        .name = "backup",
        .borrow_clock = scheduler->borrow_clock,
        .log = &scheduler->log,
        .inherited = &inherited,
    };
    int rc = amy__control_create(&opts, &scheduler->control, err);

    amy__close(&inherited);
    rc = rc < 0 ? rc : amy__scheduler_methods_add(scheduler, err);
    return rc < 0 ? rc : amy__scheduler_metrics_create(scheduler, err);
}

struct amy__settings_args
amy__scheduler_args(const struct amy_scheduler_options *o)
{
    return (struct amy__settings_args){.config = o->config,
                                       .webapps = o->webapps,
                                       .run = o->run,
                                       .state = o->state};
}

static int
set_up(struct amy_scheduler *scheduler, const struct amy_scheduler_options *o,
       struct amy_error *err)
{
    struct amy__settings_args args = amy__scheduler_args(o);
    struct amy__told told = {.log = &scheduler->log};
    int rc = amy__settings_load(&args, amy__told_problem, &told,
                                &scheduler->settings, err);

    if (rc == 0) {
        rc = amy__settings_open(scheduler->settings, &scheduler->run_fd,
                                &scheduler->state_fd, &scheduler->webapps_fd,
                                err);
    }
    if (rc == 0) {
        rc = amy__logrotate_peers_create(scheduler->base, &scheduler->log_peers,
                                         err);
    }
    if (rc == 0 && !scheduler->as_person) {
        /* The command of an alarm may be setuid, as sendmail(8) is. */
        amy__host_calls_refuse(true, &scheduler->log);
        rc = amy__caps_keep(kept_caps, sizeof(kept_caps) / sizeof(kept_caps[0]),
                            err);
        rc = rc > 0 ? 0 : rc; /* a container's bounding set stays as it is */
    }
    if (rc == 0) {
        rc = amy__defer_create(scheduler->base, on_sweep, scheduler,
                               &scheduler->sweep, err);
    }
    if (rc == 0) {
        rc = amy__timer_create(scheduler->base, on_tick, scheduler,
                               &scheduler->tick, err);
    }
    if (rc == 0) {
        amy__scheduler_own(scheduler);
        rc = amy__scheduler_take_over(scheduler, o->handover_fd_plus_one, err);
    }
    rc = rc == 0 ? open_control(scheduler, err) : rc;
    /* All else is on disk. */
    amy__handover_free(scheduler->handover);
    scheduler->handover = NULL;
    return rc;
}

int
amy__scheduler_read_options(const struct amy_scheduler_options *opts,
                            struct amy_scheduler_options *ret,
                            struct amy_error *err)
{
    int rc = amy__options_read(ret, sizeof(*ret), opts, sizeof(size_t), err);

    if (rc == 0 && ret->base == NULL) {
        return amy__err(err, AMY_EINVAL, "base is required");
    }
    return rc;
}

int
amy_scheduler_create(const struct amy_scheduler_options *opts,
                     struct amy_scheduler **ret_scheduler,
                     struct amy_error *err)
{
    AMY_CLEANUP(amy_scheduler_free_p) struct amy_scheduler *scheduler = NULL;
    struct amy_scheduler_options o;
    int rc = amy__scheduler_read_options(opts, &o, err);

    if (rc < 0) {
        return rc;
    }
    scheduler = amy__calloc(1, sizeof(*scheduler));
    if (scheduler == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a scheduler");
    }
    scheduler->magic = AMY__SCHEDULER_MAGIC;
    scheduler->maker = getpid();
    scheduler->base = o.base;
    scheduler->borrow_clock = o.borrow_clock;
    scheduler->log = amy__log_copy(o.log);
    scheduler->as_person = geteuid() != 0;
    scheduler->run_fd = -1;
    scheduler->state_fd = -1;
    scheduler->webapps_fd = -1;
    scheduler->started_wall_ms = amy__wall_ms(o.borrow_clock);
    scheduler->started_mono_ms = amy__mono_ms(o.borrow_clock);
    scheduler->program =
        amy__strdup(o.program == NULL ? "/proc/self/exe" : o.program);
    rc = scheduler->program == NULL
             ? amy__err(err, AMY_ENOMEM, "allocating a scheduler")
             : set_up(scheduler, &o, err);
    if (rc < 0) {
        return rc;
    }
    *ret_scheduler = AMY_TAKE(scheduler);
    return 0;
}

/* --- check --- */

/* The schema knows names of zones; whether there is such a file, only a try. */
static int
check_zone(const struct amy__site *site, struct amy_error *err)
{
    struct amy__zone *zone = NULL;
    int rc = amy__zone_load(site->backup_zone, &zone, err);

    amy__zone_free(zone);
    return rc;
}

int
amy_scheduler_check(const struct amy_scheduler_options *opts,
                    amy_problem_fn on_problem, void *user,
                    struct amy_error *err)
{
    static const struct amy__check_asks asks = {.of_site = check_zone};
    struct amy_scheduler_options o;
    struct amy__settings_args args;
    int rc = amy__options_read(&o, sizeof(o), opts, sizeof(size_t), err);

    if (rc < 0) {
        return rc;
    }
    args = amy__scheduler_args(&o);
    return amy__check_all(&args, &asks, on_problem, user, err);
}

/* --- start, reload, stop --- */

int
amy_scheduler_start(struct amy_scheduler *scheduler, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(scheduler, AMY__SCHEDULER_MAGIC);
    rc = amy__check_maker(scheduler->maker, err);
    if (rc < 0) {
        return rc;
    }
    if (scheduler->as_person) {
        char name[64];

        amy__log(&scheduler->log, AMY_LOG_NOTICE,
                 "not root: everything runs as user=%s",
                 amy__user_name(geteuid(), name, sizeof(name)));
    }
    rc = amy__scheduler_scan(scheduler, err);
    return rc < 0 ? rc : amy__timer_arm(scheduler->tick, TICK_MS, err);
}

int
amy_scheduler_reload(struct amy_scheduler *scheduler, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(scheduler, AMY__SCHEDULER_MAGIC);
    if (scheduler->stopping) {
        return amy__err(err, AMY_ESTATE, "stopping");
    }
    rc = amy__check_maker(scheduler->maker, err);
    return rc < 0 ? rc : amy__scheduler_scan(scheduler, err);
}

int
amy_scheduler_stop(struct amy_scheduler *scheduler,
                   amy_scheduler_done_fn on_done, void *user,
                   struct amy_error *err)
{
    bool again = false;
    int rc = 0;

    AMY_CHECK(scheduler, AMY__SCHEDULER_MAGIC);
    rc = amy__check_maker(scheduler->maker, err);
    if (rc < 0) {
        return rc;
    }
    amy__upgrade_free(scheduler->upgrade);
    scheduler->upgrade = NULL;
    again = scheduler->stopping;
    scheduler->stopping = true;
    if (!again) {
        scheduler->on_stopped = on_done;
        scheduler->stopped_user = user;
    }
    amy__timer_cancel(scheduler->tick);
    for (struct amy__scheduler_site *site = scheduler->sites; site != NULL;
         site = site->next) {
        for (struct amy__run *run = site->runs; run != NULL; run = run->next) {
            amy__run_stop(run);
        }
    }
    amy__defer_ask(scheduler->sweep);
    return again ? amy__err(err, AMY_EAGAIN, "stopping already") : 0;
}

bool
amy_scheduler_logs_to_stdout(const struct amy_scheduler *scheduler)
{
    AMY_CHECK(scheduler, AMY__SCHEDULER_MAGIC);
    return scheduler->settings->logs_stdout;
}

void
amy_scheduler_count(const struct amy_scheduler *scheduler, uint32_t *ret_sites,
                    uint32_t *ret_scheduled)
{
    uint32_t sites = 0;
    uint32_t scheduled = 0;

    AMY_CHECK(scheduler, AMY__SCHEDULER_MAGIC);
    for (const struct amy__scheduler_site *site = scheduler->sites;
         site != NULL; site = site->next) {
        sites++;
        scheduled += site->has_schedule;
    }
    if (ret_sites != NULL) {
        *ret_sites = sites;
    }
    if (ret_scheduled != NULL) {
        *ret_scheduled = scheduled;
    }
}

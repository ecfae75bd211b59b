/* The worker supervisor: opens what it needs, reads the sites, stops them. */
/* Not for one site's life: that is site.c. */
#include <amy/workers.h>

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
#include "site/check.h"
#include "site/told.h"
#include "workers/internal.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <unistd.h>

/* What a root supervisor keeps; DESIGN: the table of privileges. SETPCAP only
 * takes more away from its workers (docs/decisions/0070). */
static const int kept_caps[] = {CAP_SETUID, CAP_SETGID,          CAP_KILL,
                                CAP_CHOWN,  CAP_DAC_READ_SEARCH, CAP_SETPCAP};

/* ---- sweep: what is over ---- */

void
amy__workers_ask_sweep(struct amy_workers *workers)
{
    amy__defer_ask(workers->sweep);
}

static void
sweep_pools(struct amy__workers_site *site)
{
    struct amy__workers_pool **link = &site->pools;

    while (*link != NULL) {
        struct amy__workers_pool *pool = *link;

        if (pool->gone) {
            *link = pool->next;
            amy__workers_pool_free(pool);
        } else {
            link = &pool->next;
        }
    }
}

static void
sweep_sites(struct amy_workers *workers)
{
    struct amy__workers_site **link = &workers->sites;

    while (*link != NULL) {
        struct amy__workers_site *site = *link;

        sweep_pools(site);
        amy__workers_site_step(site);
        if (site->reload.again && !amy__workers_reload_must_wait(site)) {
            (void)amy__workers_site_renew(workers, site->domain);
        }
        if (site->leaving && site->pools == NULL) {
            *link = site->next;
            amy__workers_site_free(site);
        } else {
            link = &site->next;
        }
    }
}

static bool
reload_is_over(const struct amy_workers *workers)
{
    for (const struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        if (site->job != NULL || site->reload.again ||
            amy__workers_reload_is_open(site)) {
            return false;
        }
    }
    return true;
}

static bool
all_gone(const struct amy_workers *workers)
{
    for (const struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        if (site->pools != NULL) {
            return false;
        }
    }
    return true;
}

static void
on_sweep(void *user)
{
    struct amy_workers *workers = user;

    sweep_sites(workers);
    workers->reloading = workers->reloading && !reload_is_over(workers);
    if (!workers->reloading && workers->askers != NULL) {
        amy__workers_ask_sweep(workers); /* for the next one, or the stop */
        amy__workers_tell_one(workers);
        return; /* it may have freed us */
    }
    if (workers->stopping && workers->on_stopped != NULL && all_gone(workers)) {
        amy_workers_done_fn fn = workers->on_stopped;

        workers->on_stopped = NULL;
        fn(workers, workers->stopped_user);
    }
}

/* ---- create and free ---- */

void
amy_workers_free(struct amy_workers *workers)
{
    if (workers == NULL) {
        return;
    }
    AMY_CHECK(workers, AMY__WORKERS_MAGIC);
    if (!amy__is_maker(workers->maker)) {
        return;
    }
    amy__upgrade_free(workers->upgrade);
    amy__handover_free(workers->handover);
    /* Whoever waits is told while there is a control socket to tell by. */
    amy__workers_tell_all(workers);
    while (workers->sites != NULL) {
        struct amy__workers_site *next = workers->sites->next;

        amy__workers_site_free(workers->sites);
        workers->sites = next;
    }
    amy__control_free(workers->control);
    amy__metrics_free(workers->metrics);
    amy__defer_free(workers->sweep);
    amy__close(&workers->webapps_fd);
    amy__logrotate_peers_free(workers->log_peers);
    amy__close(&workers->run_fd);
    amy__close(&workers->state_fd);
    amy__settings_free(workers->settings);
    workers->magic = 0;
    amy__free(workers->program);
    amy__free(workers);
}
AMY_DEFINE_CLEANUP(struct amy_workers *, amy_workers_free)

/* Who may connect to the workers: the front's group. As a person, the person.
 */
static int
find_front_group(struct amy_workers *workers, struct amy_error *err)
{
    struct amy__user front;
    int rc = 0;

    if (workers->as_person) {
        return 0;
    }
    rc = amy__settings_front_user(workers->settings, NULL, NULL, &front, err);
    if (rc < 0) {
        return rc;
    }
    workers->front_gid = front.gid;
    amy__user_clear(&front);
    return 0;
}

static int
open_control(struct amy_workers *workers, struct amy_error *err)
{
    int inherited =
        amy__sockets_control(workers->handover, workers->settings->run);
    struct amy__control_options opts = {
        .base = workers->base,
        .run_path = workers->settings->run,
        .name = "workers",
        .borrow_clock = workers->borrow_clock,
        .log = &workers->log,
        .inherited = &inherited,
    };
    int rc = amy__control_create(&opts, &workers->control, err);

    amy__close(&inherited);

    if (rc == 0) {
        rc = amy__workers_methods_add(workers, err);
    }
    return rc < 0 ? rc : amy__workers_metrics_create(workers, err);
}

int
amy__workers_read_options(const struct amy_workers_options *opts,
                          struct amy_workers_options *ret,
                          struct amy_error *err)
{
    size_t oldest = offsetof(struct amy_workers_options, base) +
                    sizeof(struct event_base *);
    int rc = amy__options_read(ret, sizeof(*ret), opts, oldest, err);

    if (rc == 0 && ret->base == NULL) {
        return amy__err(err, AMY_EINVAL, "base is required");
    }
    return rc;
}

struct amy__settings_args
amy__workers_args(const struct amy_workers_options *o)
{
    return (struct amy__settings_args){.config = o->config,
                                       .webapps = o->webapps,
                                       .run = o->run,
                                       .state = o->state};
}

static int
set_up(struct amy_workers *workers, const struct amy_workers_options *o,
       struct amy_error *err)
{
    struct amy__settings_args args = amy__workers_args(o);
    struct amy__told report = {.log = &workers->log};
    int rc = amy__settings_load(&args, amy__told_problem, &report,
                                &workers->settings, err);

    if (rc == 0) {
        rc = find_front_group(workers, err);
    }
    if (rc == 0) {
        rc = amy__settings_open(workers->settings, &workers->run_fd,
                                &workers->state_fd, &workers->webapps_fd, err);
    }
    if (rc == 0) {
        rc = amy__logrotate_peers_create(workers->base, &workers->log_peers,
                                         err);
    }
    if (rc == 0 && !workers->as_person) {
        amy__host_calls_refuse(false, &workers->log);
        rc = amy__caps_keep(kept_caps, sizeof(kept_caps) / sizeof(kept_caps[0]),
                            err);
        rc = rc > 0 ? 0 : rc; /* a container's bounding set stays as it is */
    }
    if (rc == 0) {
        rc = amy__defer_create(workers->base, on_sweep, workers,
                               &workers->sweep, err);
    }
    if (rc == 0) {
        amy__workers_own(workers);
        rc = amy__workers_take_over(workers, o->handover_fd_plus_one, err);
    }
    return rc == 0 ? open_control(workers, err) : rc;
}

int
amy_workers_create(const struct amy_workers_options *opts,
                   struct amy_workers **ret_workers, struct amy_error *err)
{
    AMY_CLEANUP(amy_workers_free_p) struct amy_workers *workers = NULL;
    struct amy_workers_options o;
    int rc = amy__workers_read_options(opts, &o, err);

    if (rc < 0) {
        return rc;
    }
    workers = amy__calloc(1, sizeof(*workers));
    if (workers == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a supervisor");
    }
    workers->magic = AMY__WORKERS_MAGIC;
    workers->maker = getpid();
    workers->base = o.base;
    workers->borrow_clock = o.borrow_clock;
    workers->log = amy__log_copy(o.log);
    workers->program =
        amy__strdup(o.program == NULL ? "/proc/self/exe" : o.program);
    if (workers->program == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a supervisor");
    }
    workers->run_fd = -1;
    workers->state_fd = -1;
    workers->webapps_fd = -1;
    workers->as_person = geteuid() != 0;
    workers->started_wall_ms = amy__wall_ms(o.borrow_clock);
    rc = set_up(workers, &o, err);
    if (rc < 0) {
        return rc;
    }
    *ret_workers = AMY_TAKE(workers);
    return 0;
}

/* ---- check ---- */

/* Nobody to let the front in to the workers: a problem among others. */
static void
check_front_user(const struct amy__settings *settings,
                 amy_problem_fn on_problem, void *user)
{
    if (geteuid() == 0) {
        (void)amy__settings_front_user(settings, on_problem, user, NULL, NULL);
    }
}

int
amy_workers_check(const struct amy_workers_options *opts,
                  amy_problem_fn on_problem, void *user, struct amy_error *err)
{
    static const struct amy__check_asks asks = {.of_settings =
                                                    check_front_user};
    struct amy_workers_options o;
    struct amy__settings_args args;
    int rc = amy__options_read(&o, sizeof(o), opts, sizeof(size_t), err);

    if (rc < 0) {
        return rc;
    }
    args = amy__workers_args(&o);
    return amy__check_all(&args, &asks, on_problem, user, err);
}

/* ---- start, reload, stop ---- */

int
amy_workers_start(struct amy_workers *workers, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(workers, AMY__WORKERS_MAGIC);
    rc = amy__check_maker(workers->maker, err);
    if (rc < 0) {
        return rc;
    }
    if (workers->as_person) {
        char name[64];

        amy__log(&workers->log, AMY_LOG_NOTICE,
                 "not root: everything runs as user=%s",
                 amy__user_name(geteuid(), name, sizeof(name)));
    }
    return workers->handover != NULL ? amy__workers_restore(workers, err)
                                     : amy__workers_scan(workers, err);
}

int
amy__workers_reload_all(struct amy_workers *workers,
                        const struct amy__workers_asker *asker,
                        struct amy_error *err)
{
    bool again = workers->reloading;
    int rc = 0;

    if (workers->stopping) {
        return amy__err(err, AMY_ESTATE, "stopping");
    }
    workers->reloading = true;
    rc = amy__workers_scan(workers, err);
    if (rc == 0 && (asker->call != NULL || asker->fn != NULL)) {
        rc = amy__workers_ask(&workers->askers, asker, err);
    }
    if (rc < 0) {
        workers->reloading = again;
    }
    return rc;
}

int
amy_workers_reload(struct amy_workers *workers, amy_workers_done_fn on_done,
                   void *user, struct amy_error *err)
{
    struct amy__workers_asker asker = {.fn = on_done, .user = user};
    int rc = 0;

    AMY_CHECK(workers, AMY__WORKERS_MAGIC);
    rc = amy__check_maker(workers->maker, err);
    return rc < 0 ? rc : amy__workers_reload_all(workers, &asker, err);
}

int
amy_workers_stop(struct amy_workers *workers, int now,
                 amy_workers_done_fn on_done, void *user, struct amy_error *err)
{
    bool again = false;
    int rc = 0;

    AMY_CHECK(workers, AMY__WORKERS_MAGIC);
    rc = amy__check_maker(workers->maker, err);
    if (rc < 0) {
        return rc;
    }
    amy__upgrade_free(workers->upgrade);
    workers->upgrade = NULL;
    again = workers->stopping;
    workers->stopping = true;
    workers->stop_now = workers->stop_now || now != 0;
    if (!again) {
        workers->on_stopped = on_done;
        workers->stopped_user = user;
    }
    for (struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        amy__workers_site_stop(site);
    }
    amy__workers_ask_sweep(workers);
    return again ? amy__err(err, AMY_EAGAIN, "stopping already") : 0;
}

void
amy_workers_reopen(struct amy_workers *workers)
{
    AMY_CHECK(workers, AMY__WORKERS_MAGIC);
    for (struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        if (site->rotator != NULL) {
            amy_logrotate_poll(site->rotator);
        }
    }
}

bool
amy_workers_logs_to_stdout(const struct amy_workers *workers)
{
    AMY_CHECK(workers, AMY__WORKERS_MAGIC);
    return workers->settings->logs_stdout;
}

void
amy_workers_count(const struct amy_workers *workers, uint32_t *ret_sites,
                  uint32_t *ret_ready)
{
    uint32_t sites = 0;
    uint32_t ready = 0;

    AMY_CHECK(workers, AMY__WORKERS_MAGIC);
    for (const struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        sites++;
        for (const struct amy__workers_pool *pool = site->pools; pool != NULL;
             pool = pool->next) {
            ready += amy__workers_pool_ready(pool);
        }
    }
    if (ret_sites != NULL) {
        *ret_sites = sites;
    }
    if (ret_ready != NULL) {
        *ret_ready = ready;
    }
}

/* A site as the supervisor runs it: its environment, its pools in their order,
 * one generation taking over from another. */
/* Not for how a pool runs: that is pool.c and the pool room. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/log.h"
#include "logrotate/logrotate.h"
#include "site/logs.h"
#include "site/told.h"
#include "workers/internal.h"
#include "workers/output.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>

#define RETRY_FIRST_MS 1000
#define RETRY_MAX_MS 30000

struct amy__workers_site *
amy__workers_site_find(const struct amy_workers *workers, const char *domain)
{
    struct amy__workers_site *site = workers->sites;

    while (site != NULL && strcmp(site->domain, domain) != 0) {
        site = site->next;
    }
    return site;
}

void
amy__workers_site_free(struct amy__workers_site *site)
{
    if (site == NULL) {
        return;
    }
    amy__workers_reload_clear(site);
    amy__env_cancel(site->job);
    amy__timer_free(site->retry);
    while (site->pools != NULL) {
        struct amy__workers_pool *next = site->pools->next;

        amy__workers_pool_free(site->pools);
        site->pools = next;
    }
    amy__workers_redis_free(site->redis);
    amy__workers_foreign_end(site);
    amy_logrotate_free(site->rotator);
    site->rotator = NULL; /* what is still written may ask for room */
    amy__workers_output_free(site->output);
    amy__json_free(site->problems);
    amy__site_unref(site->site);
    amy__free(site->domain);
    amy__free(site);
}
AMY_DEFINE_CLEANUP(struct amy__workers_site *, amy__workers_site_free)

/* ---- the end of all ---- */

static bool
named_in(char *const *names, const char *name)
{
    for (size_t i = 0; names != NULL && names[i] != NULL; i++) {
        if (strcmp(names[i], name) == 0) {
            return true;
        }
    }
    return false;
}

/* Is something meant to run here, and not about to end? */
static bool
runs(const struct amy__workers_site *site)
{
    for (const struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (pool->role != AMY__POOL_OLD && !pool->stopping && !pool->gone) {
            return true;
        }
    }
    return false;
}

/* A pool that others come after stops when they are gone. */
static bool
may_stop(const struct amy__workers_site *site,
         const struct amy__workers_pool *pool)
{
    for (const struct amy__workers_pool *other = site->pools; other != NULL;
         other = other->next) {
        if (other != pool && !other->gone &&
            other->generation == pool->generation &&
            named_in(other->spec->after, pool->spec->name)) {
            return false;
        }
    }
    return true;
}

void
amy__workers_site_step(struct amy__workers_site *site)
{
    if (!site->leaving && !site->borrow_workers->stopping) {
        amy__workers_reload_step(site);
        return;
    }
    for (struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (!pool->gone &&
            (may_stop(site, pool) || site->borrow_workers->stop_now)) {
            amy__workers_pool_stop(pool);
        }
    }
}

void
amy__workers_site_stop(struct amy__workers_site *site)
{
    amy__env_cancel(site->job);
    site->job = NULL;
    site->resuming = false;
    amy__timer_cancel(site->retry);
    amy__workers_reload_cancel(site);
    /* Should it come back meanwhile, it begins anew: what is left of it was
     * to go, and some of it has gone. */
    for (struct amy__workers_pool *pool = site->pools;
         site->leaving && pool != NULL; pool = pool->next) {
        pool->role = AMY__POOL_OLD;
    }
    amy__workers_site_step(site);
}

/* ---- a new generation ---- */

/* What the shell said goes where it would have gone had it been a worker: to
 * the site's own log, and to who may reload. */
static void
refuse_generation(struct amy__workers_site *site, const struct amy_error *err)
{
    const char *said = amy__said_words(err->msg);

    (void)amy__span_copy(amy__own_words(err->msg), site->env_error,
                         sizeof(site->env_error));
    amy__log(&site->borrow_workers->log, AMY_LOG_ERROR,
             "a new generation is refused site=%s reason=\"%s\"", site->domain,
             site->env_error);
    amy__workers_reload_refuse(site, site->env_error);
    if (said[0] != '\0' && site->output != NULL) {
        amy__workers_output_line(site->output, "environment", 0, 0, said,
                                 strlen(said));
    }
    if (said[0] != '\0') {
        site->reload.lines = amy__json_array();
        (void)amy__json_add(site->reload.lines, amy__json_text(said));
    }
}

static int
begin_generation(struct amy__workers_site *site, struct amy__env *env)
{
    struct amy_workers *workers = site->borrow_workers;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__workers_generation_next(workers, site->domain,
                                          &site->generation, &err);

    if (rc == 0) {
        rc = amy__workers_reload_begin(site, env, &err);
    }
    if (rc < 0) {
        refuse_generation(site, &err);
        return rc;
    }
    if (!site->refused) {
        site->env_error[0] = '\0';
    }
    site->retry_ms = 0;
    return 0;
}

/* What runs goes on; a site that has nothing running is tried again, for a
 * missing .venv is often one that is being built. */
static void
try_again_later(struct amy__workers_site *site)
{
    if (runs(site)) {
        return;
    }
    site->retry_ms = site->retry_ms == 0 ? RETRY_FIRST_MS : site->retry_ms * 2;
    if (site->retry_ms > RETRY_MAX_MS) {
        site->retry_ms = RETRY_MAX_MS;
    }
    /* Fails for want of memory only; a reload tries again then. */
    (void)amy__timer_arm(site->retry, site->retry_ms, NULL);
}

static void
on_environment(int rc, struct amy__env *env, const struct amy_error *err,
               void *user)
{
    struct amy__workers_site *site = user;
    bool resuming = site->resuming;

    site->job = NULL;
    /* Then what `repo` leads to has its try, as in any reload. */
    site->reload.again = site->reload.again || resuming;
    if (rc < 0) {
        refuse_generation(site, err);
    } else {
        amy__workers_redis_begin(site, env);
        rc = begin_generation(site, env);
    }
    site->resuming = site->resuming && rc == 0;
    if (rc < 0 && !resuming) {
        try_again_later(site);
        amy__workers_tell_site(site);
    }
    amy__workers_ask_sweep(site->borrow_workers);
}

/* We have just started, and the link that `repo` is leads to a release that
 * never took over: perhaps we died in the middle of its reload, perhaps it is
 * why. What served last comes first. */
static bool
resume(struct amy__workers_site *site, struct amy__env_options *opts)
{
    struct amy_workers *workers = site->borrow_workers;
    struct amy__env_release release;
    bool begun = site->begun;

    site->begun = true;
    if (begun || site->reload.askers != NULL ||
        !amy__workers_served_read(site, &release)) {
        return false;
    }
    opts->release = &release;
    site->resuming =
        amy__env_start(opts, on_environment, site, &site->job, NULL) == 0;
    opts->release = NULL;
    if (site->resuming) {
        amy__log(&workers->log, AMY_LOG_WARN,
                 "repo leads to a release that never took over, the one that "
                 "served last begins site=%s release=%s",
                 site->domain, release.repo_path);
    }
    return site->resuming;
}

static void
begin_environment(struct amy__workers_site *site)
{
    struct amy_workers *workers = site->borrow_workers;
    struct amy__env_options opts = {
        .base = workers->base,
        .site = site->site,
        .webapps_path = workers->settings->webapps,
        .as_person = workers->as_person,
    };
    struct amy_error err = AMY_ERROR_INIT;

    amy__env_cancel(site->job);
    site->job = NULL;
    amy__timer_cancel(site->retry);
    if (resume(site, &opts)) {
        return;
    }
    if (amy__env_start(&opts, on_environment, site, &site->job, &err) < 0) {
        site->job = NULL;
        refuse_generation(site, &err);
        try_again_later(site);
        amy__workers_tell_site(site);
    }
}

/* Without workers there is nothing that an environment could be wrong for. */
static void
drop_workers(struct amy__workers_site *site)
{
    amy__env_cancel(site->job);
    site->job = NULL;
    site->begun = true;
    amy__timer_cancel(site->retry);
    amy__workers_redis_free(site->redis);
    site->redis = NULL;
    if (site->pools == NULL || begin_generation(site, NULL) < 0) {
        amy__workers_tell_site(site);
    }
}

static void
on_retry(void *user)
{
    struct amy__workers_site *site = user;

    if (site->site != NULL && !site->leaving &&
        !site->borrow_workers->stopping) {
        begin_environment(site);
    }
}

/* ---- reading the directory ---- */

int
amy__workers_site_create(struct amy_workers *workers, const char *domain,
                         struct amy__workers_site **ret_site,
                         struct amy_error *err)
{
    AMY_CLEANUP(amy__workers_site_free_p)
    struct amy__workers_site *site = amy__calloc(1, sizeof(*site));
    int rc = 0;

    if (site == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating site '%s'", domain);
    }
    site->borrow_workers = workers;
    site->domain = amy__strdup(domain);
    if (site->domain == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating site '%s'", domain);
    }
    rc = amy__timer_create(workers->base, on_retry, site, &site->retry, err);
    if (rc == 0) {
        rc = amy__workers_reload_init(site, err);
    }
    if (rc < 0) {
        return rc;
    }
    site->next = workers->sites;
    workers->sites = site;
    *ret_site = AMY_TAKE(site);
    return 0;
}

static void
on_log_file(struct amy_logrotate *rotator,
            const struct amy_logrotate_file *file, void *user)
{
    struct amy__workers_site *site = user;
    int fd = -1;

    if (file->fd < 0) {
        amy__workers_foreign_rotated(site, file->name);
        return;
    }
    fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        amy__logrotate_give_again(rotator, file->name);
        return; /* the file before goes on until then */
    }
    amy__workers_output_set_file(site->output, fd);
    amy_logrotate_release(rotator, file->name, file->serial);
}

static int
begin_rotation(struct amy__workers_site *site, struct amy_error *err)
{
    static const char *const own[] = {"gunicorn_supervisor.log", NULL};
    const struct amy_workers *workers = site->borrow_workers;
    const struct amy__site_logs_spec logs = {
        .base = workers->base,
        .borrow_peers = workers->log_peers,
        .webapps_fd = workers->webapps_fd,
        .borrow_clock = workers->borrow_clock,
        .log = &workers->log,
        .own = own,
        .kind = AMY_LOGROTATE_GIVEN,
        .files = true,
        .on_file = on_log_file,
        .user = site,
    };

    return amy__site_logs_create(site->site, &logs, &site->rotator, err);
}

static void
on_full(void *user)
{
    struct amy__workers_site *site = user;

    if (site->rotator != NULL) {
        amy_logrotate_disk_full(site->rotator);
    }
}

int
amy__workers_site_open_output(struct amy__workers_site *site,
                              struct amy_error *err)
{
    const struct amy_workers *workers = site->borrow_workers;
    struct amy__workers_output_options opts = {
        .base = workers->base,
        .domain = site->domain,
        .borrow_clock = workers->borrow_clock,
        .log = &workers->log,
        .on_full = on_full,
        .user = site,
    };
    int rc = 0;

    if (site->rotator != NULL) {
        return amy__site_logs_renew(site->site, true, site->rotator, err);
    }
    if (site->output == NULL) {
        rc = amy__workers_output_create(&opts, &site->output, err);
    }
    if (rc == 0) {
        rc = workers->settings->logs_stdout
                 ? amy__workers_output_to_stdout(site->output, err)
                 : begin_rotation(site, err);
    }
    return rc;
}

static int
accept_yaml(struct amy__workers_site *site, struct amy_error *err)
{
    struct amy_workers *workers = site->borrow_workers;
    struct amy__told report = {.log = &workers->log,
                               .domain = site->domain,
                               .list = amy__json_array()};
    struct amy__site_source source = {
        .webapps_fd = workers->webapps_fd,
        .webapps_path = workers->settings->webapps,
        .state_fd = workers->state_fd,
        .daemon = "workers",
        .rules = amy__told_rules(workers->settings, workers->as_person),
        .on_problem = amy__told_problem,
        .problem_user = &report,
    };
    struct amy__site *accepted = NULL;
    int rc = amy__site_accept(&source, site->domain, NULL, &accepted, err);

    amy__json_free(site->problems);
    site->problems = report.list;
    if (rc >= 0) {
        amy__site_unref(site->site);
        site->site = accepted;
    }
    return rc;
}

void
amy__workers_site_begin(struct amy__workers_site *site)
{
    if (site->site->worker_count > 0) {
        begin_environment(site);
    } else {
        drop_workers(site);
    }
}

int
amy__workers_site_renew(struct amy_workers *workers, const char *domain)
{
    struct amy__workers_site *site = amy__workers_site_find(workers, domain);
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (site != NULL && amy__workers_reload_must_wait(site)) {
        site->seen = true;
        site->reload.again = true;
        return 0;
    }
    if (site != NULL) {
        site->reload.again = false;
        amy__workers_ask_now(site);
    }
    if (site == NULL) {
        rc = amy__workers_site_create(workers, domain, &site, &err);
    }
    if (rc < 0) {
        amy__log(&workers->log, AMY_LOG_ERROR,
                 "a site cannot be read site=%s reason=\"%s\"", domain,
                 err.msg);
        return rc;
    }
    site->seen = true;
    site->leaving = false;
    rc = accept_yaml(site, &err);
    site->refused = rc != 0;
    if (rc >= 0) {
        rc = amy__workers_site_open_output(site, &err);
    }
    if (rc < 0) {
        refuse_generation(site, &err);
        amy__workers_tell_site(site);
        if (rc == AMY_ENOTFOUND) {
            site->leaving = true;
            amy__workers_site_stop(site);
        }
        amy__workers_ask_sweep(workers);
        return rc;
    }
    site->env_error[0] = '\0';
    amy__workers_reload_forget(site);
    if (site->refused) {
        refuse_generation(site, &err);
        if (runs(site)) {
            /* What runs goes on as it is. */
            amy__workers_tell_site(site);
            return 0;
        }
    }
    amy__workers_site_begin(site);
    return 0;
}

/* A bad site must not keep the others from being read; what is wrong with it
 * has been told. */
static int
on_site_name(const char *domain, void *user)
{
    (void)amy__workers_site_renew(user, domain);
    return 0;
}

int
amy__workers_scan(struct amy_workers *workers, struct amy_error *err)
{
    int rc = 0;

    for (struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        site->seen = false;
    }
    rc = amy__site_each(workers->webapps_fd, on_site_name, workers, err);
    if (rc < 0) {
        return rc;
    }
    for (struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        if (!site->seen) {
            amy__log(&workers->log, AMY_LOG_NOTICE,
                     "site is gone, its workers stop site=%s", site->domain);
            site->leaving = true;
            amy__workers_site_stop(site);
        }
    }
    amy__workers_ask_sweep(workers);
    return 0;
}

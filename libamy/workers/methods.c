/* The supervisor's methods on its control socket. */
/* Not for who is asking: control tells, and refuses. */
#include <amy/version.h>

#include "core/clock.h"
#include "core/error.h"
#include "site/logs.h"
#include "workers/internal.h"
#include "workers/output.h"

#include <string.h>
#include <unistd.h>

#define LOOK_EVERY_MS 1000

const char *
amy__workers_state_name(uint32_t state)
{
    switch ((enum amy_worker_state)state) {
    case AMY_WORKER_STOPPED:
        return "stopped";
    case AMY_WORKER_BOOT:
        return "boot";
    case AMY_WORKER_READY:
        return "ready";
    case AMY_WORKER_DRAIN:
        return "drain";
    case AMY_WORKER_KILLED:
        return "killed";
    case AMY_WORKER_BACKOFF:
        return "backoff";
    case AMY_WORKER_FAILED:
        return "failed";
    case AMY_WORKER_WAITING:
        return "waiting";
    }
    return "unknown";
}

/* Failed sets below show as an answer that says so: see amy__json_set. */
static struct amy__json *
worker_json(const struct amy_worker_view *view)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "position", amy__json_int(view->position));
    (void)amy__json_set(json, "pid", amy__json_int(view->pid));
    (void)amy__json_set(json, "state",
                        amy__json_text(amy__workers_state_name(view->state)));
    (void)amy__json_set(json, "age_ms", amy__json_int(view->age_ms));
    (void)amy__json_set(json, "since_ms", amy__json_int(view->since_ms));
    (void)amy__json_set(json, "restarts",
                        amy__json_int((int64_t)view->restarts));
    (void)amy__json_set(json, "rss_bytes",
                        amy__json_int((int64_t)view->rss_bytes));
    (void)amy__json_set(json, "reason", amy__json_text(view->reason));
    return json;
}

static const char *
role_name(enum amy__workers_role role)
{
    switch (role) {
    case AMY__POOL_NEXT:
        return "next";
    case AMY__POOL_CURRENT:
        return "current";
    case AMY__POOL_OLD:
        return "old";
    }
    return "unknown";
}

static struct amy__json *
pool_json(const struct amy__workers_pool *pool)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *workers = amy__json_array();

    for (uint32_t i = 0; i < amy_pool_count(pool->pool); i++) {
        struct amy_worker_view view = {.struct_size = sizeof(view)};

        if (amy_pool_worker(pool->pool, i, &view) == 0) {
            (void)amy__json_add(workers, worker_json(&view));
        }
    }
    (void)amy__json_set(json, "name", amy__json_text(pool->spec->name));
    (void)amy__json_set(json, "generation",
                        amy__json_int((int64_t)pool->generation));
    (void)amy__json_set(json, "role", amy__json_text(role_name(pool->role)));
    (void)amy__json_set(
        json, "draining",
        amy__json_bool(pool->role == AMY__POOL_OLD || pool->stopping));
    (void)amy__json_set(json, "workers", workers);
    return json;
}

/* One look will do: its pools share the directory. And one in a second, however
 * often we are asked: it reads the disk. */
static bool
changed_in_place(struct amy__workers_site *site, int64_t now_ms)
{
    const struct amy__workers_pool *pool = site->pools;

    while (pool != NULL && pool->role != AMY__POOL_CURRENT) {
        pool = pool->next;
    }
    if (pool == NULL) {
        return false;
    }
    if (now_ms >= site->look_ms || site->looked_at != pool->generation) {
        site->changed = amy__workers_pool_changed(pool);
        site->looked_at = pool->generation;
        site->look_ms = now_ms + LOOK_EVERY_MS;
    }
    return site->changed;
}

static struct amy__json *
site_json(struct amy__workers_site *site)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *pools = amy__json_array();
    uint64_t lost =
        site->output == NULL ? 0 : amy__workers_output_lost(site->output);

    for (const struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        (void)amy__json_add(pools, pool_json(pool));
    }
    (void)amy__json_set(json, "site", amy__json_text(site->domain));
    if (site->site != NULL) {
        (void)amy__json_set(json, "stage",
                            amy__json_text(amy__site_stage(site->site)));
        (void)amy__json_set(json, "user", amy__json_text(site->site->user));
    }
    if (site->env_error[0] != '\0') {
        (void)amy__json_set(json, "error", amy__json_text(site->env_error));
    }
    (void)amy__json_set(json, "reload", amy__workers_reload_json(site));
    (void)amy__json_set(
        json, "changed_in_place",
        amy__json_bool(changed_in_place(
            site, amy__mono_ms(site->borrow_workers->borrow_clock))));
    (void)amy__json_set(json, "output_lost", amy__json_int((int64_t)lost));
    (void)amy__json_set(json, "logs", amy__site_logs_json(site->rotator));
    (void)amy__json_set(json, "pools", pools);
    if (site->redis != NULL) {
        (void)amy__json_set(json, "redis", amy__workers_redis_json(site));
    }
    (void)amy__json_set(json, "problems",
                        site->problems == NULL
                            ? amy__json_array()
                            : amy__json_copy(site->problems));
    return json;
}

static void
on_status(struct amy__control_call *call, void *user)
{
    struct amy_workers *workers = user;
    struct amy__json *json = amy__json_object();
    struct amy__json *sites = amy__json_array();
    int64_t age_ms =
        amy__wall_ms(workers->borrow_clock) - workers->started_wall_ms;

    for (struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        (void)amy__json_add(sites, site_json(site));
    }
    (void)amy__json_set(json, "daemon", amy__json_text("workers"));
    (void)amy__json_set(json, "version", amy__json_text(amy_version()));
    (void)amy__json_set(json, "pid", amy__json_int(getpid()));
    (void)amy__json_set(json, "since_ms", amy__json_int(age_ms));
    (void)amy__json_set(json, "as_person", amy__json_bool(workers->as_person));
    (void)amy__json_set(json, "upgrade",
                        amy__upgrade_json(&workers->past, workers->upgrade));
    (void)amy__json_set(json, "sites", sites);
    amy__control_reply(call, 200, json);
}

/* The site named in the path, if it is there and the caller may; else the call
 * has been answered. */
static struct amy__workers_site *
allowed_site(struct amy__control_call *call, const struct amy_workers *workers)
{
    const char *domain = amy__control_param(call, "site");
    struct amy__workers_site *site = amy__workers_site_find(workers, domain);

    if (site == NULL || site->site == NULL) {
        amy__control_refuse(call, 404, "there is no site '%s'", domain);
        return NULL;
    }
    return amy__control_require(call, site->site->uid) ? site : NULL;
}

static void
done(struct amy__control_call *call)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "done", amy__json_bool(true));
    amy__control_reply(call, 200, json);
}

static void
on_restart(struct amy__control_call *call, void *user)
{
    struct amy_workers *workers = user;
    struct amy__workers_site *site = allowed_site(call, workers);
    const char *name = amy__control_param(call, "pool");
    struct amy_error err = AMY_ERROR_INIT;
    uint32_t restarted = 0;

    if (site == NULL) {
        return;
    }
    if (amy__workers_reload_is_open(site)) {
        amy__control_refuse(call, 409, "a reload of '%s' is under way",
                            site->domain);
        return;
    }
    for (struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (strcmp(pool->spec->name, name) == 0 &&
            pool->role != AMY__POOL_OLD &&
            amy_pool_restart(pool->pool, AMY_POOL_EVERY, &err) == 0) {
            restarted++;
        }
    }
    if (restarted == 0) {
        amy__control_refuse(call, 404, "site '%s' runs no pool '%s'",
                            site->domain, name);
        return;
    }
    done(call);
}

/* ---- reload: answered when it is over ---- */

static void
on_reload(struct amy__control_call *call, void *user)
{
    struct amy__workers_asker asker = {.call = call};
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__control_require(call, AMY__CONTROL_ADMINS) &&
        amy__workers_reload_all(user, &asker, &err) < 0) {
        amy__control_refuse(call, 500, "%s", err.msg);
    }
}

/* A site that we do not know yet may have been made a minute ago. */
static struct amy__workers_site *
site_to_reload(struct amy__control_call *call, struct amy_workers *workers)
{
    const char *domain = amy__control_param(call, "site");
    struct amy__workers_site *site = amy__workers_site_find(workers, domain);

    if ((site != NULL && site->site != NULL) || !amy__control_is_admin(call) ||
        amy__domain_check(amy__span_of(domain), NULL) < 0) {
        return allowed_site(call, workers);
    }
    if (amy__workers_site_renew(workers, domain) == AMY_ENOTFOUND) {
        amy__control_refuse(call, 404, "there is no site '%s'", domain);
        return NULL;
    }
    return amy__workers_site_find(workers, domain);
}

static void
on_reload_site(struct amy__control_call *call, void *user)
{
    /* Who goes back to a release knows that it has served; a bake would only
     * keep visitors with the one that is gone back from. */
    struct amy__workers_asker asker = {
        .call = call,
        .proven = amy__json_get_bool(amy__control_body(call), "proven", false)};
    struct amy_workers *workers = user;
    struct amy__workers_site *site = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    bool later = false;
    bool known = amy__workers_site_find(
                     workers, amy__control_param(call, "site")) != NULL;

    if (workers->stopping) {
        amy__control_refuse(call, 503, "amy-workers is stopping");
        return;
    }
    site = site_to_reload(call, workers);
    if (site == NULL) {
        return;
    }
    if (asker.proven) {
        amy__workers_reload_give_up(site);
    }
    later = amy__workers_reload_must_wait(site);
    if (amy__workers_ask(later ? &site->reload.later : &site->reload.askers,
                         &asker, &err) < 0) {
        amy__control_refuse(call, 500, "%s", err.msg);
        return;
    }
    if (known) {
        /* Whatever it leads to, those who asked are told. */
        (void)amy__workers_site_renew(workers, site->domain);
    } else if (site->job == NULL) {
        amy__workers_tell_site(site); /* refused already */
    }
}

int
amy__workers_methods_add(struct amy_workers *workers, struct amy_error *err)
{
    static const struct {
        const char *method;
        const char *path;
        amy__control_fn fn;
    } methods[] = {
        {"GET", "/v1/status", on_status},
        {"POST", "/v1/reload", on_reload},
        {"POST", "/v1/sites/{site}/reload", on_reload_site},
        {"POST", "/v1/sites/{site}/pools/{pool}/restart", on_restart},
    };

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        int rc = amy__control_add(workers->control, methods[i].method,
                                  methods[i].path, methods[i].fn, workers, err);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

/* One site for the program after this one: what was frozen for each of its
 * generations, its pools, its reload. */
/* Not for a pool's positions: pool/saved.c; nor for when: upgrade.c. */
#include "pool/saved.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/log.h"
#include "workers/internal.h"
#include "workers/output.h"

#include <stdio.h>
#include <string.h>

#define ENV_MAX ((size_t)4 * 1024 * 1024)
#define FROZEN_MAX 64U /* different ones of a site */

/* What pools of one generation share, once. */
struct frozen {
    const void *list[FROZEN_MAX];
    size_t count;
};

static size_t
place_of(struct frozen *frozen, const void *one)
{
    size_t i = 0;

    while (i < frozen->count && frozen->list[i] != one) {
        i++;
    }
    if (i == frozen->count && i < FROZEN_MAX) {
        frozen->list[frozen->count++] = one;
    }
    return i;
}

/* ---- leaving ---- */

static struct amy__json *
env_json(const struct amy__env *env, struct amy__handover *handover)
{
    struct amy__json *json = amy__json_object();
    struct amy__buf vars = {0};
    int rc = 0;

    amy__buf_init(&vars, ENV_MAX);
    for (char **var = env->vars; rc == 0 && *var != NULL; var++) {
        rc = amy__buf_append(&vars, *var, strlen(*var) + 1);
    }
    (void)amy__json_set(json, "repo", amy__json_text(env->repo_path));
    (void)amy__json_set(json, "venv", amy__json_text(env->venv_path));
    (void)amy__json_set(
        json, "vars_fd",
        rc < 0 ? NULL /* the seal fails for it */
               : amy__handover_bytes(handover, vars.data, vars.len));
    amy__buf_clear(&vars);
    return json;
}

static struct amy__json *
text_json(const struct amy__site *site)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "yaml", amy__json_text(site->text));
    (void)amy__json_set(json, "uid", amy__json_int((int64_t)site->uid));
    (void)amy__json_set(json, "gid", amy__json_int((int64_t)site->gid));
    return json;
}

static struct amy__json *
sockets_json(const struct amy__workers_pool *pool)
{
    struct amy__json *list = amy__json_array();

    for (uint32_t i = 0; pool->sockets != NULL && i < pool->spec->count; i++) {
        const struct amy__workers_socket *socket = &pool->sockets[i];
        struct amy__json *one = amy__json_object();

        (void)amy__json_set(one, "incarnation",
                            amy__json_int((int64_t)socket->incarnation));
        (void)amy__json_set(one, "hidden", amy__json_text(socket->hidden));
        (void)amy__json_set(one, "published",
                            amy__json_text(socket->published));
        (void)amy__json_add(list, one);
    }
    return list;
}

static struct amy__json *
places_json(const struct amy__workers_pool *pool)
{
    struct amy__json *list = amy__json_array();

    for (uint32_t i = 0; i < pool->spec->count; i++) {
        struct amy__json *one = amy__json_object();

        (void)amy__json_set(one, "wanted",
                            amy__json_bool(pool->places[i].wanted));
        (void)amy__json_set(one, "ready",
                            amy__json_bool(pool->places[i].ready));
        (void)amy__json_add(list, one);
    }
    return list;
}

static struct amy__json *
pool_json(const struct amy__workers_pool *pool, struct amy__handover *handover)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "name", amy__json_text(pool->spec->name));
    (void)amy__json_set(json, "generation",
                        amy__json_int((int64_t)pool->generation));
    (void)amy__json_set(json, "role", amy__json_int(pool->role));
    (void)amy__json_set(json, "strict", amy__json_bool(pool->strict));
    (void)amy__json_set(json, "stopping", amy__json_bool(pool->stopping));
    (void)amy__json_set(json, "proven", amy__json_bool(pool->proven));
    (void)amy__json_set(json, "identity", amy__json_text(pool->identity));
    (void)amy__json_set(json, "sockets", sockets_json(pool));
    (void)amy__json_set(json, "places", places_json(pool));
    (void)amy__json_set(json, "pool", amy__pool_save(pool->pool, handover));
    return json;
}

static struct amy__json *
reload_json(const struct amy__workers_site *site)
{
    const struct amy__workers_reload *reload = &site->reload;
    const struct amy__roll *roll = &reload->roll;
    struct amy__json *json = amy__json_object();
    struct amy__json *drained = amy__json_array();

    for (size_t i = 0; i < roll->pool_count; i++) {
        for (size_t k = 0; k < roll->pools[i].seat_count; k++) {
            (void)amy__json_add(drained,
                                amy__json_int(roll->pools[i].seats[k].drained));
        }
    }
    (void)amy__json_set(json, "generation",
                        amy__json_int((int64_t)reload->generation));
    (void)amy__json_set(json, "noted", amy__json_int((int64_t)reload->noted));
    (void)amy__json_set(json, "ended_ms", amy__json_int(reload->ended_ms));
    (void)amy__json_set(json, "refused", amy__json_bool(reload->refused));
    (void)amy__json_set(json, "reason", amy__json_text(reload->reason));
    (void)amy__json_set(json, "again", amy__json_bool(reload->again));
    (void)amy__json_set(json, "phase", amy__json_int(roll->phase));
    (void)amy__json_set(json, "since_ms", amy__json_int(roll->since_ms));
    (void)amy__json_set(json, "bake_ms", amy__json_int(roll->bake_ms));
    (void)amy__json_set(json, "back", amy__json_bool(roll->back));
    (void)amy__json_set(json, "told", amy__json_bool(roll->told));
    (void)amy__json_set(json, "drained", drained);
    return json;
}

static void
save_frozen(struct amy__json *json, const struct frozen *texts,
            const struct frozen *envs, struct amy__handover *handover)
{
    struct amy__json *text_list = amy__json_array();
    struct amy__json *env_list = amy__json_array();

    for (size_t i = 0; i < texts->count; i++) {
        (void)amy__json_add(text_list, text_json(texts->list[i]));
    }
    for (size_t i = 0; i < envs->count; i++) {
        (void)amy__json_add(env_list, env_json(envs->list[i], handover));
    }
    (void)amy__json_set(json, "texts", text_list);
    (void)amy__json_set(json, "envs", env_list);
}

static void
save_pools(struct amy__json *json, const struct amy__workers_site *site,
           struct amy__handover *handover)
{
    struct amy__json *pools = amy__json_array();
    struct frozen texts = {.count = 0};
    struct frozen envs = {.count = 0};

    if (site->site != NULL) {
        (void)place_of(&texts, site->site); /* the first one */
    }
    for (const struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        struct amy__json *one = NULL;

        if (pool->gone) {
            continue; /* nothing of it is left */
        }
        one = pool_json(pool, handover);
        (void)amy__json_set(
            one, "text", amy__json_int((int64_t)place_of(&texts, pool->site)));
        (void)amy__json_set(one, "env",
                            amy__json_int((int64_t)place_of(&envs, pool->env)));
        (void)amy__json_add(pools, one);
    }
    save_frozen(json, &texts, &envs, handover);
    (void)amy__json_set(json, "pools", pools);
}

struct amy__json *
amy__workers_site_save(struct amy__workers_site *site,
                       struct amy__handover *handover)
{
    struct amy__json *json = amy__json_object();

    if (site->output != NULL) {
        amy__workers_output_flush(site->output);
    }
    (void)amy__json_set(json, "site", amy__json_text(site->domain));
    (void)amy__json_set(json, "generation",
                        amy__json_int((int64_t)site->generation));
    (void)amy__json_set(json, "resuming", amy__json_bool(site->resuming));
    (void)amy__json_set(json, "refused", amy__json_bool(site->refused));
    (void)amy__json_set(json, "leaving", amy__json_bool(site->leaving));
    (void)amy__json_set(json, "env_error", amy__json_text(site->env_error));
    (void)amy__json_set(json, "retry_ms", amy__json_int(site->retry_ms));
    (void)amy__json_set(json, "problems",
                        site->problems == NULL
                            ? amy__json_array()
                            : amy__json_copy(site->problems));
    (void)amy__json_set(json, "shared",
                        amy__workers_shared_save(site, handover));
    (void)amy__json_set(json, "reload", reload_json(site));
    (void)amy__json_set(json, "hooks", amy__workers_foreign_save(site));
    save_pools(json, site, handover);
    return json;
}

/* ---- going on ---- */

/* One site while it is read. */
struct reading {
    struct amy__workers_site *site;
    struct amy__handover *handover;
    const struct amy__json *json;
    struct amy__site *texts[FROZEN_MAX];
    struct amy__env *envs[FROZEN_MAX];
    struct amy_error *err;
};

static void
reading_clear(struct reading *reading)
{
    for (size_t i = 0; i < FROZEN_MAX; i++) {
        amy__site_unref(reading->texts[i]);
        amy__env_unref(reading->envs[i]);
    }
}

static int
read_text(const struct amy__json *json, const char *domain,
          struct amy__site **ret_site, struct amy_error *err)
{
    int rc = amy__site_parse(amy__span_of(amy__json_get_text(json, "yaml", "")),
                             "site.yaml", domain, NULL, NULL, ret_site, err);

    if (rc == 0) {
        (*ret_site)->uid = (uid_t)amy__json_get_int(json, "uid", -1);
        (*ret_site)->gid = (gid_t)amy__json_get_int(json, "gid", -1);
    }
    return rc;
}

static int
read_env(const struct reading *reading, const struct amy__json *json,
         struct amy__env **ret_env)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf vars = {0};
    int rc = 0;

    amy__buf_init(&vars, ENV_MAX);
    rc = amy__handover_take_bytes(reading->handover, json, "vars_fd", ENV_MAX,
                                  &vars, reading->err);
    return rc < 0 ? rc
                  : amy__env_from_records(amy__buf_span(&vars),
                                          amy__json_get_text(json, "repo", ""),
                                          amy__json_get_text(json, "venv", ""),
                                          ret_env, reading->err);
}

static int
read_frozen(struct reading *reading)
{
    const struct amy__json *texts = amy__json_get(reading->json, "texts");
    const struct amy__json *envs = amy__json_get(reading->json, "envs");
    int rc = 0;

    if (amy__json_count(texts) > FROZEN_MAX ||
        amy__json_count(envs) > FROZEN_MAX) {
        return amy__err(reading->err, AMY_ELIMIT, "too many generations");
    }
    for (size_t i = 0; rc == 0 && i < amy__json_count(texts); i++) {
        rc = read_text(amy__json_at(texts, i), reading->site->domain,
                       &reading->texts[i], reading->err);
    }
    for (size_t i = 0; rc == 0 && i < amy__json_count(envs); i++) {
        rc = read_env(reading, amy__json_at(envs, i), &reading->envs[i]);
    }
    return rc;
}

static void
read_places(struct amy__workers_pool *pool, const struct amy__json *json)
{
    const struct amy__json *sockets = amy__json_get(json, "sockets");
    const struct amy__json *places = amy__json_get(json, "places");

    for (uint32_t i = 0; i < pool->spec->count; i++) {
        const struct amy__json *place = amy__json_at(places, i);
        const struct amy__json *one = amy__json_at(sockets, i);
        struct amy__workers_socket *socket =
            pool->sockets == NULL ? NULL : &pool->sockets[i];

        pool->places[i].wanted = amy__json_get_bool(place, "wanted", false);
        pool->places[i].ready = amy__json_get_bool(place, "ready", false);
        if (socket != NULL) {
            socket->incarnation =
                (uint64_t)amy__json_get_int(one, "incarnation", 0);
            (void)snprintf(socket->hidden, sizeof(socket->hidden), "%s",
                           amy__json_get_text(one, "hidden", ""));
            (void)snprintf(socket->published, sizeof(socket->published), "%s",
                           amy__json_get_text(one, "published", ""));
        }
    }
}

static int
restore_pool(struct reading *reading, const struct amy__json *json)
{
    struct amy__workers_site *site = reading->site;
    uint64_t text = (uint64_t)amy__json_get_int(json, "text", -1);
    uint64_t env = (uint64_t)amy__json_get_int(json, "env", -1);
    const char *name = amy__json_get_text(json, "name", "");
    struct amy__workers_birth birth = {
        .generation = (uint64_t)amy__json_get_int(json, "generation", 0)};
    struct amy__workers_pool *pool = NULL;
    int64_t role = amy__json_get_int(json, "role", AMY__POOL_CURRENT);
    int rc = 0;

    birth.site = text < FROZEN_MAX ? reading->texts[text] : NULL;
    birth.env = env < FROZEN_MAX ? reading->envs[env] : NULL;
    birth.spec = birth.site == NULL
                     ? NULL
                     : amy__site_worker(birth.site, amy__span_of(name));
    if (birth.spec == NULL || birth.env == NULL || role < AMY__POOL_NEXT ||
        role > AMY__POOL_OLD) {
        return amy__err(reading->err, AMY_EPARSE, "state: pool '%s'", name);
    }
    rc = amy__workers_pool_create(site, &birth, &pool, reading->err);
    if (rc < 0) {
        return rc;
    }
    pool->next = site->pools;
    site->pools = pool;
    pool->role = (enum amy__workers_role)role;
    pool->stopping = amy__json_get_bool(json, "stopping", false);
    pool->proven = amy__json_get_bool(json, "proven", false);
    (void)snprintf(pool->identity, sizeof(pool->identity), "%s",
                   amy__json_get_text(json, "identity", ""));
    read_places(pool, json);
    return amy__pool_restore(pool->pool, reading->handover,
                             amy__json_get(json, "pool"),
                             amy__workers_pool_stopped, pool, reading->err);
}

static void
restore_drained(struct amy__roll *roll, const struct amy__json *list)
{
    size_t at = 0;

    for (size_t i = 0; i < roll->pool_count; i++) {
        for (size_t k = 0; k < roll->pools[i].seat_count; k++) {
            roll->pools[i].seats[k].drained =
                amy__json_as_int(amy__json_at(list, at++), 0) != 0;
        }
    }
}

static int
restore_reload(struct reading *reading)
{
    struct amy__workers_site *site = reading->site;
    struct amy__workers_reload *reload = &site->reload;
    const struct amy__json *json = amy__json_get(reading->json, "reload");
    int64_t phase = amy__json_get_int(json, "phase", AMY__ROLL_IDLE);
    int rc = 0;

    reload->generation = (uint64_t)amy__json_get_int(json, "generation", 0);
    reload->noted = (uint64_t)amy__json_get_int(json, "noted", 0);
    reload->ended_ms = amy__json_get_int(json, "ended_ms", 0);
    reload->refused = amy__json_get_bool(json, "refused", false);
    reload->again = amy__json_get_bool(json, "again", false);
    (void)snprintf(reload->reason, sizeof(reload->reason), "%s",
                   amy__json_get_text(json, "reason", ""));
    reload->roll.back = amy__json_get_bool(json, "back", false);
    if (phase == AMY__ROLL_IDLE) {
        return 0;
    }
    if (phase < AMY__ROLL_IDLE || phase > AMY__ROLL_BACK) {
        return amy__err(reading->err, AMY_EPARSE, "state: a reload");
    }
    rc = amy__workers_reload_pair(site, reading->err);
    if (rc == 0) {
        reload->roll.phase = (enum amy__roll_phase)phase;
        reload->roll.since_ms = amy__json_get_int(json, "since_ms", 0);
        reload->roll.bake_ms = amy__json_get_int(json, "bake_ms", 0);
        reload->roll.told = amy__json_get_bool(json, "told", false);
        restore_drained(&reload->roll, amy__json_get(json, "drained"));
    }
    return rc;
}

static int
restore_parts(struct reading *reading)
{
    struct amy__workers_site *site = reading->site;
    const struct amy__json *pools = amy__json_get(reading->json, "pools");
    int rc = read_frozen(reading);

    if (rc == 0 && reading->texts[0] != NULL) {
        site->site = amy__site_ref(reading->texts[0]);
        rc = amy__workers_site_open_output(site, reading->err);
    }
    if (rc == 0) {
        rc = amy__workers_shared_restore(site, reading->handover,
                                         amy__json_get(reading->json, "shared"),
                                         reading->err);
    }
    /* The oldest first: then each is put in front of the others. */
    for (size_t i = amy__json_count(pools); rc == 0 && i > 0; i--) {
        rc = restore_pool(reading, amy__json_at(pools, i - 1));
    }
    if (rc == 0) {
        rc = restore_reload(reading);
    }
    /* What pairing thinks of it is for those that begin. */
    for (struct amy__workers_pool *pool = site->pools; rc == 0 && pool != NULL;
         pool = pool->next) {
        size_t at = 0;

        for (const struct amy__workers_pool *p = site->pools; p != pool;
             p = p->next) {
            at++;
        }
        pool->strict =
            amy__json_get_bool(amy__json_at(pools, at), "strict", false);
    }
    return rc;
}

static void
restore_words(struct amy__workers_site *site, const struct amy__json *json)
{
    site->generation = (uint64_t)amy__json_get_int(json, "generation", 0);
    site->begun = true;
    site->resuming = amy__json_get_bool(json, "resuming", false);
    site->refused = amy__json_get_bool(json, "refused", false);
    site->leaving = amy__json_get_bool(json, "leaving", false);
    site->retry_ms = amy__json_get_int(json, "retry_ms", 0);
    site->problems = amy__json_copy(amy__json_get(json, "problems"));
    (void)snprintf(site->env_error, sizeof(site->env_error), "%s",
                   amy__json_get_text(json, "env_error", ""));
}

int
amy__workers_site_restore(struct amy_workers *workers,
                          const struct amy__json *json, struct amy_error *err)
{
    AMY_CLEANUP(reading_clear)
    struct reading reading = {
        .handover = workers->handover, .json = json, .err = err};
    const char *domain = amy__json_get_text(json, "site", "");
    int rc = amy__workers_site_create(workers, domain, &reading.site, err);

    if (rc < 0) {
        return rc;
    }
    restore_words(reading.site, json);
    rc = restore_parts(&reading);
    if (rc < 0) {
        /* It is the first of the list. */
        workers->sites = reading.site->next;
        amy__workers_site_free(reading.site);
        return rc;
    }
    amy__workers_foreign_restore(reading.site, amy__json_get(json, "hooks"));
    if (reading.site->pools != NULL) {
        amy__workers_redis_begin(reading.site, reading.site->pools->env);
    } else if (reading.site->site != NULL && !reading.site->leaving) {
        amy__workers_site_begin(reading.site);
    }
    return 0;
}

int
amy__workers_site_check(const struct amy__json *json, struct amy_error *err)
{
    const char *domain = amy__json_get_text(json, "site", "");
    const struct amy__json *texts = amy__json_get(json, "texts");

    for (size_t i = 0; i < amy__json_count(texts); i++) {
        struct amy__site *site = NULL;
        int rc = read_text(amy__json_at(texts, i), domain, &site, err);

        if (rc < 0) {
            amy__err_prefix(err, "site '%s': ", domain);
            return rc;
        }
        amy__site_unref(site);
    }
    return 0;
}

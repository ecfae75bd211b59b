/* What Prometheus is told of workers. */
/* Not for people: methods.c. */
#include <amy/redis.h>

#include "core/files.h"
#include "workers/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define STATES ((uint32_t)AMY_WORKER_WAITING + 1)

/* All generations of one pool together: during a reload there are two. */
struct sums {
    int64_t by_state[STATES];
    int64_t memory_bytes;
};

static void
add_pool(struct sums *sums, const struct amy__workers_pool *pool)
{
    for (uint32_t i = 0; i < amy_pool_count(pool->pool); i++) {
        struct amy_worker_view view = {.struct_size = sizeof(view)};

        if (amy_pool_worker(pool->pool, i, &view) == 0) {
            sums->by_state[view.state < STATES ? view.state : 0]++;
            sums->memory_bytes += (int64_t)view.rss_bytes;
        }
    }
}

/* The first of its name, so that each name is told once. */
static bool
is_first(const struct amy__workers_site *site,
         const struct amy__workers_pool *pool)
{
    const struct amy__workers_pool *at = site->pools;

    while (strcmp(at->spec->name, pool->spec->name) != 0) {
        at = at->next;
    }
    return at == pool;
}

static struct sums
sum_up(const struct amy__workers_site *site, const char *name)
{
    struct sums sums = {.memory_bytes = 0};

    for (const struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (strcmp(pool->spec->name, name) == 0) {
            add_pool(&sums, pool);
        }
    }
    return sums;
}

static void
tell_states(struct amy__metrics_text *text, const char *site, const char *name,
            const struct sums *sums)
{
    static const struct amy__metric workers = {"amy_workers", AMY__METRIC_GAUGE,
                                               "Workers, by what they do."};

    for (uint32_t i = 0; i < STATES; i++) {
        const struct amy__label labels[] = {
            {"site", site},
            {"pool", name},
            {"state", amy__workers_state_name(i)},
            {NULL, NULL}};

        /* None ready is worth an alarm, so it is told. */
        if (sums->by_state[i] > 0 || i == AMY_WORKER_READY) {
            amy__metrics_value(text, &workers, labels, sums->by_state[i]);
        }
    }
}

/* Pools of site.yaml that have no worker: an environment that was refused as
 * the daemon began leaves the site with none. */
static void
tell_missing(struct amy__metrics_text *text,
             const struct amy__workers_site *site)
{
    static const struct sums none;

    for (size_t i = 0; site->site != NULL && i < site->site->worker_count;
         i++) {
        const char *name = site->site->workers[i].name;
        const struct amy__workers_pool *pool = site->pools;

        while (pool != NULL && strcmp(pool->spec->name, name) != 0) {
            pool = pool->next;
        }
        if (pool == NULL) {
            tell_states(text, site->domain, name, &none);
        }
    }
}

static void
tell_pools(struct amy__metrics_text *text, void *user)
{
    static const struct amy__metric memory = {
        "amy_workers_memory_bytes", AMY__METRIC_GAUGE, "Memory of a pool."};
    const struct amy_workers *workers = user;

    for (int turn = 0; turn < 2; turn++) {
        for (const struct amy__workers_site *site = workers->sites;
             site != NULL; site = site->next) {
            if (turn == 0) {
                tell_missing(text, site);
            }
            for (const struct amy__workers_pool *pool = site->pools;
                 pool != NULL; pool = pool->next) {
                const struct amy__label labels[] = {{"site", site->domain},
                                                    {"pool", pool->spec->name},
                                                    {NULL, NULL}};
                struct sums sums = sum_up(site, pool->spec->name);

                if (is_first(site, pool) && turn == 0) {
                    tell_states(text, site->domain, pool->spec->name, &sums);
                } else if (is_first(site, pool)) {
                    amy__metrics_value(text, &memory, labels,
                                       sums.memory_bytes);
                }
            }
        }
    }
}

/* Each generation counts anew, and so has a line of its own. */
static void
tell_restarts(struct amy__metrics_text *text, void *user)
{
    static const struct amy__metric restarts = {"amy_worker_restarts_total",
                                                AMY__METRIC_COUNTER,
                                                "Workers started anew."};
    const struct amy_workers *workers = user;

    for (const struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        for (const struct amy__workers_pool *pool = site->pools; pool != NULL;
             pool = pool->next) {
            char generation[24] = "";
            const struct amy__label labels[] = {{"site", site->domain},
                                                {"pool", pool->spec->name},
                                                {"generation", generation},
                                                {NULL, NULL}};
            int64_t sum = 0;

            (void)snprintf(generation, sizeof(generation), "%" PRIu64,
                           pool->generation);
            for (uint32_t i = 0; i < amy_pool_count(pool->pool); i++) {
                struct amy_worker_view view = {.struct_size = sizeof(view)};

                if (amy_pool_worker(pool->pool, i, &view) == 0) {
                    sum += (int64_t)view.restarts;
                }
            }
            amy__metrics_value(text, &restarts, labels, sum);
        }
    }
}

/* ---- Redis ---- */

static void
tell_redis_up(struct amy__metrics_text *text, void *user)
{
    static const struct amy__metric up = {
        "amy_redis_up", AMY__METRIC_GAUGE,
        "Whether the site's Redis answered when it was asked last."};
    const struct amy_workers *workers = user;

    for (const struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        const struct amy__label labels[] = {{"site", site->domain},
                                            {NULL, NULL}};

        if (site->redis != NULL) {
            amy__metrics_value(text, &up, labels,
                               amy__workers_redis_is_up(site) ? 1 : 0);
        }
    }
}

/* Figures and yes or no, by their key in a report. */
static const struct redis_figure {
    struct amy__metric metric;
    const char *part;
    const char *key;
    bool is_bool;
} redis_figures[] = {
    {{"amy_redis_memory_bytes", AMY__METRIC_GAUGE, "Memory of Redis."},
     "server",
     "memory_bytes",
     false},
    {{"amy_redis_memory_max_bytes", AMY__METRIC_GAUGE,
      "What it may have; 0: there is no limit."},
     "server",
     "memory_max_bytes",
     false},
    {{"amy_redis_last_save_ok", AMY__METRIC_GAUGE,
      "Whether its last save to the disk went well."},
     "server",
     "last_save_ok",
     true},
    {{"amy_rq_workers", AMY__METRIC_GAUGE,
      "Workers of rq that live, by their own heartbeats."},
     "workers",
     "alive",
     false},
};

static void
tell_redis_figure(struct amy__metrics_text *text,
                  const struct amy__workers_site *site,
                  const struct redis_figure *figure)
{
    const struct amy__json *part =
        amy__json_get(amy__workers_redis_told(site), figure->part);
    const struct amy__label labels[] = {{"site", site->domain}, {NULL, NULL}};
    int64_t value = 0;

    if (!amy__workers_redis_is_up(site) ||
        amy__json_get(part, figure->key) == NULL) {
        return;
    }
    value = figure->is_bool ? amy__json_get_bool(part, figure->key, false)
                            : amy__json_get_int(part, figure->key, 0);
    amy__metrics_value(text, &figure->metric, labels, value);
}

static void
tell_redis_figures(struct amy__metrics_text *text, void *user)
{
    const struct amy_workers *workers = user;

    for (size_t i = 0; i < sizeof(redis_figures) / sizeof(redis_figures[0]);
         i++) {
        for (const struct amy__workers_site *site = workers->sites;
             site != NULL; site = site->next) {
            tell_redis_figure(text, site, &redis_figures[i]);
        }
    }
}

/* A queue's jobs by state, or how long the oldest one waits. */
static void
tell_queue(struct amy__metrics_text *text, const char *site,
           const struct amy__json *queue, bool ages)
{
    static const struct amy__metric jobs = {"amy_rq_jobs", AMY__METRIC_GAUGE,
                                            "Jobs of rq, by state."};
    static const struct amy__metric oldest = {
        "amy_rq_oldest_seconds", AMY__METRIC_GAUGE,
        "How long the job waits that is next."};
    static const char *const states[][2] = {
        {"length", "waiting"}, {"started", "started"}, {"failed", "failed"}};
    const char *name = amy__json_get_text(queue, "name", "");

    for (size_t i = 0; !ages && i < sizeof(states) / sizeof(states[0]); i++) {
        const struct amy__label labels[] = {{"site", site},
                                            {"queue", name},
                                            {"state", states[i][1]},
                                            {NULL, NULL}};

        amy__metrics_value(text, &jobs, labels,
                           amy__json_get_int(queue, states[i][0], 0));
    }
    if (ages) {
        const struct amy__label labels[] = {
            {"site", site}, {"queue", name}, {NULL, NULL}};

        amy__metrics_seconds(text, &oldest, labels,
                             amy__json_get_int(queue, "oldest_ms", 0));
    }
}

static void
tell_queues_of(struct amy__metrics_text *text,
               const struct amy__workers_site *site, bool ages)
{
    const struct amy__json *queues =
        amy__json_get(amy__workers_redis_told(site), "queues");

    if (!amy__workers_redis_is_up(site)) {
        return;
    }
    for (size_t i = 0;
         i < amy__json_count(queues) && i < AMY_REDIS_REPORT_QUEUES; i++) {
        tell_queue(text, site->domain, amy__json_at(queues, i), ages);
    }
}

static void
tell_queues(struct amy__metrics_text *text, void *user)
{
    const struct amy_workers *workers = user;

    for (int turn = 0; turn < 2; turn++) {
        for (const struct amy__workers_site *site = workers->sites;
             site != NULL; site = site->next) {
            tell_queues_of(text, site, turn == 1);
        }
    }
}

static int
add_redis(struct amy_workers *workers, struct amy_error *err)
{
    int rc = amy__metrics_add(workers->metrics, tell_redis_up, workers, err);

    rc = rc < 0 ? rc
                : amy__metrics_add(workers->metrics, tell_redis_figures,
                                   workers, err);
    return rc < 0
               ? rc
               : amy__metrics_add(workers->metrics, tell_queues, workers, err);
}

int
amy__workers_metrics_create(struct amy_workers *workers, struct amy_error *err)
{
    int inherited[AMY__METRICS_FDS] = {-1};
    const struct amy__metrics_options opts = {
        .base = workers->base,
        .run_path = workers->settings->run,
        .name = "workers",
        .borrow_addresses = workers->settings->workers_metrics,
        .address_count = workers->settings->workers_metrics_count,
        .borrow_clock = workers->borrow_clock,
        .log = &workers->log,
        .inherited = inherited,
        .inherited_count = amy__sockets_metrics(
            workers->handover, workers->settings->run, inherited),
    };
    int rc = amy__metrics_create(&opts, &workers->metrics, err);

    for (size_t i = 0; i < opts.inherited_count; i++) {
        amy__close(&inherited[i]);
    }

    if (rc == 0) {
        rc = amy__metrics_add(workers->metrics, tell_pools, workers, err);
    }
    rc = rc < 0
             ? rc
             : amy__metrics_add(workers->metrics, tell_restarts, workers, err);
    return rc < 0 ? rc : add_redis(workers, err);
}

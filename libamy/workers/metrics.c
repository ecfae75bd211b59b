/* What Prometheus is told of workers. */
/* Not for people: methods.c. */
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

int
amy__workers_metrics_create(struct amy_workers *workers, struct amy_error *err)
{
    const struct amy__metrics_options opts = {
        .base = workers->base,
        .run_path = workers->settings->run,
        .name = "workers",
        .borrow_addresses = workers->settings->workers_metrics,
        .address_count = workers->settings->workers_metrics_count,
        .borrow_clock = workers->borrow_clock,
        .log = &workers->log,
    };
    int rc = amy__metrics_create(&opts, &workers->metrics, err);

    if (rc == 0) {
        rc = amy__metrics_add(workers->metrics, tell_pools, workers, err);
    }
    return rc < 0 ? rc
                  : amy__metrics_add(workers->metrics, tell_restarts, workers,
                                     err);
}

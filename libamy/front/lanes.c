/* Pools as a front process has them: who waits, until when, and the clients
 * toward their workers. */
/* Not for what runs on a slot: that is dispatch.c. */
#include "core/alloc.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "front/dispatch_internal.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define QUEUE_AGE_MS 30000
/* How soon a worker that took no connection is asked again. */
#define FORGIVE_MS 50
/* Twice as long after each refusal of a foreign server, up to this: one that is
 * back must be found before those who wait for it give up. */
#define FORGIVE_MAX_MS 1000

static void
ring(uint16_t process, void *user)
{
    struct amy__pool_lane *pool = user;
    struct amy__dispatch *dispatch = pool->dispatch;
    uint64_t one = 1;

    /* A full counter has rung already; a dead process' requests are buried by
     * the master. */
    if (process < dispatch->event_count) {
        (void)!write(dispatch->events[process], &one, sizeof(one));
    }
}

/* Only a worker that is new, or that answers, ends the outage: one that may be
 * asked again after its avoidance has shown nothing yet. */
void
amy__pool_lane_up(struct amy__pool_lane *pool)
{
    pool->down_since_ms = 0;
}

void
amy__pool_lane_down(struct amy__pool_lane *pool)
{
    if (pool->down_since_ms == 0 && amy__lane_ready(&pool->lane) == 0) {
        pool->down_since_ms = amy__dispatch_now_ms(pool->dispatch);
        pool->watched = false; /* deadlines have come nearer */
    }
}

static int64_t
deadline_ms(const struct amy__pool_lane *pool, const struct amy__job *job)
{
    int64_t since_ms = job->entered_us / 1000;
    int64_t late_ms = since_ms + pool->age_ms;
    int64_t down_ms =
        pool->down_since_ms > since_ms ? pool->down_since_ms : since_ms;

    if (pool->down_since_ms == 0) {
        return late_ms;
    }
    down_ms += pool->dispatch->upstream_wait_ms;
    return down_ms < late_ms ? down_ms : late_ms;
}

/* Who was bounced stands at its head: the oldest, whose deadline comes first,
 * may be anywhere. NULL: nobody waits. */
static struct amy__job *
oldest(const struct amy__pool_lane *pool)
{
    struct amy__job *found = NULL;

    for (struct amy__ticket *t = pool->lane.first; t != NULL; t = t->next) {
        struct amy__job *job = amy__job_of(t);

        if (found == NULL || job->entered_us < found->entered_us) {
            found = job;
        }
    }
    return found;
}

static struct amy__job *
first_late(const struct amy__pool_lane *pool, int64_t now_ms)
{
    for (struct amy__ticket *t = pool->lane.first; t != NULL; t = t->next) {
        if (now_ms >= deadline_ms(pool, amy__job_of(t))) {
            return amy__job_of(t);
        }
    }
    return NULL;
}

/* A newcomer's deadline is the latest, and who leaves makes none sooner: a
 * timer that is armed fires too early at worst. So a queue is searched once for
 * each time it fires, and not for each request. */
void
amy__pool_lane_watch(struct amy__pool_lane *pool)
{
    if (pool->lane.first == NULL) {
        amy__timer_cancel(pool->deadline);
        pool->watched = false;
        return;
    }
    if (pool->watched) {
        return;
    }
    pool->watched = amy__timer_arm(pool->deadline,
                                   deadline_ms(pool, oldest(pool)) -
                                       amy__mono_ms(pool->dispatch->clock),
                                   NULL) == 0;
}

void
amy__pool_lane_serve(struct amy__pool_lane *pool)
{
    struct amy__ticket *ticket = NULL;
    struct amy__seat seat = {0};
    bool waited = pool->lane.first != NULL;

    while (amy__lane_next(&pool->lane, &ticket, &seat)) {
        amy__run_begin(pool, amy__job_of(ticket), &seat);
    }
    if (waited) {
        amy__pool_lane_watch(pool);
    }
}

static void
on_deadline(void *user)
{
    struct amy__pool_lane *pool = user;
    int64_t now_ms = amy__dispatch_now_ms(pool->dispatch);
    struct amy__job *job = NULL;

    pool->watched = false;
    /* What failing sets off may change the queue: from its head each time. */
    while ((void)(job = first_late(pool, now_ms)), job != NULL) {
        amy__lane_forget(&pool->lane, &job->ticket);
        job->borrow_events->on_fail(
            job, pool->down_since_ms != 0 ? AMY__JOB_DOWN : AMY__JOB_LATE,
            pool->down_since_ms != 0 ? "no worker takes requests"
                                     : "waited too long for a worker");
    }
    amy__pool_lane_watch(pool);
}

static void
arm_forgive(struct amy__pool_lane *pool, int64_t at_ms, int64_t now_ms)
{
    if (pool->forgive_ms == 0 || at_ms < pool->forgive_ms) {
        pool->forgive_ms = at_ms;
        (void)amy__timer_arm(pool->forgive, at_ms - now_ms, NULL);
    }
}

/* Those whose time is over are asked again. */
static void
on_forgive(void *user)
{
    struct amy__pool_lane *pool = user;
    int64_t now_ms = amy__dispatch_now_ms(pool->dispatch);

    pool->forgive_ms = 0;
    for (size_t i = 0; i < pool->lane.worker_count; i++) {
        struct amy__lane_worker *worker = pool->lane.workers[i];

        if (worker->avoid && worker->avoid_until_ms <= now_ms) {
            worker->avoid = false;
        } else if (worker->avoid) {
            arm_forgive(pool, worker->avoid_until_ms, now_ms);
        }
    }
    amy__pool_lane_serve(pool);
}

void
amy__pool_lane_blame(struct amy__pool_lane *pool,
                     struct amy__lane_worker *worker, bool refused)
{
    int64_t now_ms = amy__dispatch_now_ms(pool->dispatch);
    int64_t pause_ms = FORGIVE_MS;

    /* A worker of ours that is gone is announced so; of a foreign server only
     * its refusals tell. */
    if (pool->lane.in_turn && refused) {
        for (uint32_t i = 0; i < worker->refusals && pause_ms < FORGIVE_MAX_MS;
             i++) {
            pause_ms *= 2;
        }
        worker->refusals++;
    }
    worker->avoid = true;
    worker->avoid_until_ms =
        now_ms + (pause_ms < FORGIVE_MAX_MS ? pause_ms : FORGIVE_MAX_MS);
    arm_forgive(pool, worker->avoid_until_ms, now_ms);
}

/* ---- pools and workers ---- */

static void
drop_upstream(struct amy__lane_worker *worker, void *user)
{
    struct amy__upstream *upstream = worker->user;

    (void)user;
    upstream->dispatch->ops->client_free(upstream->client);
    amy__close(&upstream->dir_fd);
    amy__free(upstream);
}

void
amy__pool_lane_free(struct amy__pool_lane *pool)
{
    if (pool == NULL) {
        return;
    }
    while (pool->lane.first != NULL) {
        amy__lane_forget(&pool->lane, pool->lane.first);
    }
    amy__lane_clear(&pool->lane);
    amy__timer_free(pool->deadline);
    amy__timer_free(pool->forgive);
    amy__free(pool->name);
    amy__free(pool);
}

int
amy__pool_lane_create(struct amy__dispatch *dispatch, const char *name,
                      struct amy__pool_lane **ret_pool, struct amy_error *err)
{
    struct amy__pool_lane *pool = amy__calloc(1, sizeof(*pool));
    int rc = 0;

    if (pool == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a pool");
    }
    pool->dispatch = dispatch;
    pool->age_ms = QUEUE_AGE_MS;
    pool->lane = (struct amy__lane){
        .borrow_slots = dispatch->slots,
        .pool = AMY__POOL_UNKNOWN,
        .process = dispatch->process,
        .ring = ring,
        .drop = drop_upstream,
        .user = pool,
    };
    pool->name = amy__strdup(name);
    rc = pool->name == NULL ? amy__err(err, AMY_ENOMEM, "allocating a pool")
                            : amy__timer_create(dispatch->base, on_deadline,
                                                pool, &pool->deadline, err);
    if (rc == 0) {
        rc = amy__timer_create(dispatch->base, on_forgive, pool, &pool->forgive,
                               err);
    }
    if (rc < 0) {
        amy__pool_lane_free(pool);
        return rc;
    }
    LIST_INSERT_HEAD(&dispatch->pools, pool, link);
    *ret_pool = pool;
    return 0;
}

struct amy__pool_lane *
amy__pool_lane_ref(struct amy__pool_lane *pool)
{
    pool->refs++;
    return pool;
}

void
amy__pool_lane_unref(struct amy__pool_lane *pool)
{
    if (pool != NULL) {
        AMY_ASSERT(pool->refs > 0);
        pool->refs--;
    }
}

/* A worker that is gone goes with the last request that it has; who waits came
 * by a route. */
bool
amy__pool_lane_forget(struct amy__pool_lane *pool)
{
    if (pool->refs > 0 || pool->lane.worker_count > 0) {
        return false;
    }
    LIST_REMOVE(pool, link);
    amy__pool_lane_free(pool);
    return true;
}

const char *
amy__pool_lane_name(const struct amy__pool_lane *pool)
{
    return pool->name;
}

void
amy__pool_lane_set_limits(struct amy__pool_lane *pool, uint32_t length,
                          int64_t age_ms)
{
    pool->lane.limit = length;
    pool->age_ms = age_ms > 0 ? age_ms : QUEUE_AGE_MS;
}

void
amy__pool_lane_figures(const struct amy__pool_lane *pool,
                       struct amy__pool_lane_figures *ret)
{
    *ret = (struct amy__pool_lane_figures){
        .waiting = pool->lane.waiting,
        .workers = (uint32_t)pool->lane.worker_count,
        .tunnels = pool->tunnels,
    };
    if (pool->lane.first != NULL) {
        ret->oldest_ms = amy__mono_ms(pool->dispatch->clock) -
                         oldest(pool)->entered_us / 1000;
    }
}

static void
free_upstream(struct amy__upstream *upstream)
{
    amy__close(&upstream->dir_fd);
    amy__free(upstream);
}

/* What the access log calls it: the end of it, where all is too long. */
static void
write_label(struct amy__upstream *upstream)
{
    struct amy__span name = amy__span_of(upstream->name);
    size_t room = sizeof(upstream->label) - 1;

    if (name.n > room) {
        name.p += name.n - room + 2;
        name.n = room - 2;
        memcpy(upstream->label, "..", 2);
        memcpy(upstream->label + 2, name.p, name.n);
        return;
    }
    memcpy(upstream->label, name.p, name.n);
}

static int
open_upstream(struct amy__dispatch *dispatch,
              const struct amy__worker_spec *spec,
              struct amy__upstream **ret_upstream, struct amy_error *err)
{
    struct amy__client_options opts = {
        .base = dispatch->base,
        .idle_max = spec->slots,
        .borrow_clock = dispatch->clock,
    };
    struct amy__upstream *upstream = amy__calloc(1, sizeof(*upstream));
    int rc = 0;

    if (upstream == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a worker");
    }
    upstream->dispatch = dispatch;
    upstream->dir_fd =
        spec->address != NULL ? -1 : fcntl(spec->dir_fd, F_DUPFD_CLOEXEC, 0);
    if ((upstream->dir_fd < 0 && spec->address == NULL) ||
        !amy__span_copy(amy__span_of(spec->name), upstream->name,
                        sizeof(upstream->name))) {
        free_upstream(upstream);
        return amy__err(err, AMY_EINVAL, "a worker's socket '%s'", spec->name);
    }
    write_label(upstream);
    if (spec->address != NULL) {
        opts.address = *spec->address;
    } else {
        opts.borrow_dir_fd = upstream->dir_fd;
        opts.unix_name = upstream->name;
    }
    rc = dispatch->ops->client_create(&opts, &upstream->client, err);
    if (rc < 0) {
        free_upstream(upstream);
        return rc;
    }
    *ret_upstream = upstream;
    return 0;
}

bool
amy__pool_lane_server(const struct amy__pool_lane *pool, size_t i,
                      struct amy__pool_lane_server *ret)
{
    const struct amy__upstream *upstream = NULL;

    if (!pool->lane.in_turn || i >= pool->lane.worker_count) {
        return false;
    }
    upstream = pool->lane.workers[i]->user;
    *ret = (struct amy__pool_lane_server){
        .name = upstream->name, .refusals = pool->lane.workers[i]->refusals};
    return true;
}

int
amy__pool_lane_add(struct amy__pool_lane *pool,
                   const struct amy__worker_spec *spec, struct amy_error *err)
{
    struct amy__upstream *upstream = NULL;
    int rc = 0;

    if (spec->pool_index >= AMY__POOLS_MAX) {
        return amy__err(err, AMY_EINVAL, "pool %u", spec->pool_index);
    }
    rc = open_upstream(pool->dispatch, spec, &upstream, err);
    if (rc < 0) {
        return rc;
    }
    if (spec->address != NULL && !pool->lane.in_turn) {
        pool->lane.in_turn = true;
        pool->lane.look_from =
            pool->dispatch->process; /* not all the same first */
    }
    amy__lane_set_pool(&pool->lane, spec->pool_index);
    rc = amy__lane_add(&pool->lane, spec->slot, spec->slots, spec->incarnation,
                       upstream);
    if (rc < 0) {
        pool->dispatch->ops->client_free(upstream->client);
        free_upstream(upstream);
        return amy__err(err, rc, "adding worker '%s'", spec->name);
    }
    amy__pool_lane_up(pool);
    amy__pool_lane_serve(pool);
    return 0;
}

void
amy__pool_lane_remove(struct amy__pool_lane *pool, uint64_t incarnation)
{
    if (amy__lane_remove(&pool->lane, incarnation)) {
        amy__pool_lane_down(pool);
        amy__pool_lane_watch(pool);
    }
}

/* Requests to workers: queue, slot, call, slot back. Not for heads and bodies:
 * those are proxy.c's. */
#include "front/dispatch.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "serve/slab.h"

#include <fcntl.h>
#include <sys/queue.h>
#include <unistd.h>

#define UPSTREAM_WAIT_MS 5000
#define QUEUE_AGE_MS 30000
#define TIMEOUT_MS 60000U
/* How soon a worker that took no connection is asked again. */
#define FORGIVE_MS 50
/* How often waiting for answers is looked at. */
#define TICK_MS 250
/* Timeouts are ours: the client must not give a slot's connection up. */
#define CLIENT_TIMEOUT_MS (7U * 24 * 3600 * 1000)

struct amy__run {
    TAILQ_ENTRY(amy__run) link;
    struct amy__pool_lane *pool;
    struct amy__seat seat;
    struct amy__job *job; /* NULL: nobody waits for the answer any more */
    struct amy__call *call;
    int64_t started_ms;
    int64_t progress_ms;
    bool answered;
    bool paused; /* the silence is ours */
};

TAILQ_HEAD(amy__runs, amy__run);

/* A worker's client; the lane worker's user. */
struct upstream {
    struct amy__dispatch *dispatch;
    struct amy__client *client;
    int dir_fd;
    char name[64];
};

struct amy__pool_lane {
    LIST_ENTRY(amy__pool_lane) link;
    struct amy__dispatch *dispatch;
    struct amy__lane lane;
    struct amy__timer *deadline; /* of the first that waits */
    struct amy__timer *forgive;
    int64_t age_ms;
    int64_t down_since_ms; /* no worker can be asked since then; 0: one can */
    char *name;
};

struct amy__dispatch {
    struct event_base *base;
    struct amy__slots *slots;
    uint16_t process;
    int *events;
    size_t event_count;
    int64_t upstream_wait_ms;
    const struct amy_clock *clock;
    const struct amy__call_ops *ops;
    struct amy__timer *tick;
    bool ticking;
    int64_t now_ms;
    struct amy__slab run_slab;
    struct amy__runs runs;
    uint32_t running;
    LIST_HEAD(, amy__pool_lane) pools;
};

static const struct amy__call_ops client_ops = {
    .client_create = amy__client_create,
    .client_free = amy__client_free,
    .start = amy__call_start,
    .pause = amy__call_pause,
    .resume = amy__call_resume,
    .detach = amy__call_detach,
    .hang_up = amy__call_hang_up,
    .cancel = amy__call_cancel,
    .sent = amy__call_sent,
};

static void serve_waiting(struct amy__pool_lane *pool);

static struct amy__job *
job_of(struct amy__ticket *ticket)
{
    return (struct amy__job *)(void *)((char *)ticket -
                                       offsetof(struct amy__job, ticket));
}

static int64_t
read_now_ms(struct amy__dispatch *dispatch)
{
    dispatch->now_ms = amy__mono_ms(dispatch->clock);
    return dispatch->now_ms;
}

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

/* ---- are there workers? ---- */

/* Only a worker that is new, or that answers, ends the outage: one that may be
 * asked again after its avoidance has shown nothing yet. */
static void
note_up(struct amy__pool_lane *pool)
{
    pool->down_since_ms = 0;
}

/* One that was announced gone ends its work and takes no other. */
static void
show_up(struct amy__run *run)
{
    if (!run->seat.worker->gone) {
        note_up(run->pool);
    }
}

static void
note_down(struct amy__pool_lane *pool)
{
    if (pool->down_since_ms == 0 && amy__lane_ready(&pool->lane) == 0) {
        pool->down_since_ms = read_now_ms(pool->dispatch);
    }
}

/* ---- how it ends ---- */

/* The worker is done, or we with it: the slot is free. */
static void
end_run(struct amy__run *run)
{
    struct amy__pool_lane *pool = run->pool;
    struct amy__dispatch *dispatch = pool->dispatch;
    bool look = amy__lane_leave(&pool->lane, &run->seat);

    TAILQ_REMOVE(&dispatch->runs, run, link);
    dispatch->running--;
    amy__slab_give(&dispatch->run_slab, run);
    if (look) {
        serve_waiting(pool);
    }
}

/* Part job and run: the job is over, the run may go on. */
static struct amy__job *
part(struct amy__run *run)
{
    struct amy__job *job = run->job;

    run->job = NULL;
    if (job != NULL) {
        job->run = NULL;
    }
    return job;
}

/* Nobody listens any more. A worker that has the whole request works on, and
 * its slot with it, but it does not have to finish an answer that it began:
 * some have no end. One that was still being sent a body gets no more. */
static void
abandon_run(struct amy__run *run)
{
    const struct amy__call_ops *ops = run->pool->dispatch->ops;

    (void)part(run);
    if (!ops->sent(run->call)) {
        ops->cancel(run->call);
        end_run(run);
    } else if (run->answered) {
        ops->hang_up(run->call);
    } else {
        ops->detach(run->call);
    }
}

static void
on_call_answer(struct amy__call *call, const struct amy__answer_head *head,
               void *user)
{
    struct amy__run *run = user;

    show_up(run);
    run->answered = true;
    run->progress_ms = run->pool->dispatch->now_ms;
    if (run->job != NULL) {
        run->job->borrow_events->on_answer(run->job, head);
    } else if (head->body != AMY__BODY_LENGTH) {
        run->pool->dispatch->ops->hang_up(call); /* it may have no end */
    }
}

static void
on_call_data(struct amy__call *call, struct amy__span data, void *user)
{
    struct amy__run *run = user;

    (void)call;
    run->progress_ms = run->pool->dispatch->now_ms;
    if (run->job != NULL) {
        run->job->borrow_events->on_data(run->job, data);
    }
}

static void
on_call_end(struct amy__call *call, void *user)
{
    struct amy__run *run = user;
    struct amy__job *job = part(run);

    (void)call;
    end_run(run);
    if (job != NULL) {
        job->borrow_events->on_end(job);
    }
}

/* Nothing was sent: it may go to another worker, or to this one later. */
static void
bounce(struct amy__run *run)
{
    struct amy__pool_lane *pool = run->pool;
    struct amy__dispatch *dispatch = pool->dispatch;
    struct amy__seat seat = run->seat;
    struct amy__job *job = part(run);

    TAILQ_REMOVE(&dispatch->runs, run, link);
    dispatch->running--;
    amy__slab_give(&dispatch->run_slab, run);
    if (job == NULL) {
        seat.worker->avoid = true;
        (void)amy__lane_leave(&pool->lane, &seat);
    } else {
        amy__lane_bounce(&pool->lane, &seat, &job->ticket, job->entered_us);
    }
    note_down(pool);
    (void)amy__timer_arm(pool->forgive, FORGIVE_MS, NULL);
    serve_waiting(pool);
}

static enum amy__job_failure
failure_of(enum amy__call_failure failure)
{
    switch (failure) {
    case AMY__CALL_TIMEOUT:
        return AMY__JOB_TIMEOUT;
    case AMY__CALL_CUT:
        return AMY__JOB_CUT;
    case AMY__CALL_CONNECT:
    case AMY__CALL_BUSY:
    case AMY__CALL_CLOSED:
    case AMY__CALL_BAD:
    default:
        return AMY__JOB_BAD;
    }
}

static void
on_call_fail(struct amy__call *call, enum amy__call_failure failure,
             const char *reason, void *user)
{
    struct amy__run *run = user;
    struct amy__job *job = NULL;

    (void)call;
    if (failure == AMY__CALL_CONNECT || failure == AMY__CALL_BUSY) {
        bounce(run);
        return;
    }
    job = part(run);
    end_run(run);
    if (job != NULL) {
        job->borrow_events->on_fail(job, failure_of(failure), reason);
    }
}

static const struct amy__call_handler call_handler = {
    .on_answer = on_call_answer,
    .on_data = on_call_data,
    .on_end = on_call_end,
    .on_fail = on_call_fail,
};

static bool
is_late(const struct amy__run *run, int64_t now_ms)
{
    return run->job != NULL && !run->paused &&
           now_ms - run->progress_ms >= run->job->timeout_ms;
}

/* The answer is ours to give; what the job's memory holds goes with it. */
static void
time_out(struct amy__run *run)
{
    struct amy__job *job = run->job;
    bool answered = run->answered;

    abandon_run(run);
    job->borrow_events->on_fail(job, answered ? AMY__JOB_CUT : AMY__JOB_TIMEOUT,
                                "the worker did not answer in time");
}

static void
on_tick(void *user)
{
    struct amy__dispatch *dispatch = user;
    int64_t now_ms = read_now_ms(dispatch);
    struct amy__run *run = TAILQ_FIRST(&dispatch->runs);

    while (run != NULL) {
        if (now_ms - run->started_ms >= TICK_MS) {
            show_up(run); /* it took the connection */
        }
        if (is_late(run, now_ms)) {
            time_out(run);
            /* That may have ended others: from the start. */
            run = TAILQ_FIRST(&dispatch->runs);
        } else {
            run = TAILQ_NEXT(run, link);
        }
    }
    dispatch->ticking = dispatch->running > 0;
    if (dispatch->ticking) {
        (void)amy__timer_arm(dispatch->tick, TICK_MS, NULL);
    }
}

/* ---- how it begins ---- */

static void
begin_run(struct amy__pool_lane *pool, struct amy__job *job,
          const struct amy__seat *seat)
{
    struct amy__dispatch *dispatch = pool->dispatch;
    struct upstream *upstream = seat->worker->user;
    struct amy__run *run = amy__slab_take(&dispatch->run_slab);
    struct amy__body body = {.fd = -1};
    const struct amy__request_head *head = NULL;
    int rc = AMY_ENOMEM;

    if (run != NULL) {
        *run = (struct amy__run){.pool = pool, .seat = *seat, .job = job};
        TAILQ_INSERT_TAIL(&dispatch->runs, run, link);
        dispatch->running++;
        run->started_ms = read_now_ms(dispatch);
        run->progress_ms = run->started_ms;
        job->run = run;
        job->seated_us = amy__mono_us(dispatch->clock);
        (void)amy__span_copy(amy__span_of(upstream->name), job->worker,
                             sizeof(job->worker));
        head = job->borrow_events->head(job, &body);
        rc = dispatch->ops->start(upstream->client, head, &body,
                                  CLIENT_TIMEOUT_MS, &call_handler, run,
                                  &run->call, NULL);
    }
    if (rc < 0) {
        if (run != NULL) {
            (void)part(run);
            end_run(run);
        } else {
            (void)amy__lane_leave(&pool->lane, seat);
        }
        job->borrow_events->on_fail(job, AMY__JOB_BAD, "no memory for a call");
        return;
    }
    if (!dispatch->ticking) {
        dispatch->ticking = true;
        (void)amy__timer_arm(dispatch->tick, TICK_MS, NULL);
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

/* The first in the queue is the oldest: its deadline comes first. */
static void
arm_deadline(struct amy__pool_lane *pool)
{
    if (pool->lane.first == NULL) {
        amy__timer_cancel(pool->deadline);
        return;
    }
    (void)amy__timer_arm(pool->deadline,
                         deadline_ms(pool, job_of(pool->lane.first)) -
                             amy__mono_ms(pool->dispatch->clock),
                         NULL);
}

static void
serve_waiting(struct amy__pool_lane *pool)
{
    struct amy__ticket *ticket = NULL;
    struct amy__seat seat = {0};
    bool waited = pool->lane.first != NULL;

    while (amy__lane_next(&pool->lane, &ticket, &seat)) {
        begin_run(pool, job_of(ticket), &seat);
    }
    if (waited) {
        arm_deadline(pool);
    }
}

static void
on_deadline(void *user)
{
    struct amy__pool_lane *pool = user;
    int64_t now_ms = read_now_ms(pool->dispatch);

    while (pool->lane.first != NULL) {
        struct amy__job *job = job_of(pool->lane.first);

        if (now_ms < deadline_ms(pool, job)) {
            break;
        }
        amy__lane_forget(&pool->lane, &job->ticket);
        job->borrow_events->on_fail(
            job, pool->down_since_ms != 0 ? AMY__JOB_DOWN : AMY__JOB_LATE,
            pool->down_since_ms != 0 ? "no worker takes requests"
                                     : "waited too long for a worker");
    }
    arm_deadline(pool);
}

static void
on_forgive(void *user)
{
    struct amy__pool_lane *pool = user;

    amy__lane_forgive(&pool->lane);
    serve_waiting(pool);
}

int
amy__job_start(struct amy__job *job, struct amy__pool_lane *pool,
               uint32_t timeout_ms, const struct amy__job_events *events)
{
    struct amy__seat seat = {0};
    int rc = 0;

    job->borrow_events = events;
    job->pool = pool;
    job->run = NULL;
    job->timeout_ms = timeout_ms == 0 ? TIMEOUT_MS : timeout_ms;
    job->entered_us = amy__mono_us(pool->dispatch->clock);
    rc = amy__lane_enter(&pool->lane, &job->ticket, job->entered_us, &seat);
    if (rc == 1) {
        begin_run(pool, job, &seat);
        return 0;
    }
    if (rc == 0) {
        note_down(pool);
        arm_deadline(pool);
    }
    return rc;
}

void
amy__job_pause(struct amy__job *job)
{
    if (job->run != NULL) {
        job->pool->dispatch->ops->pause(job->run->call);
        job->run->paused = true;
    }
}

void
amy__job_resume(struct amy__job *job)
{
    if (job->run != NULL) {
        job->run->paused = false;
        job->run->progress_ms = read_now_ms(job->pool->dispatch);
        job->pool->dispatch->ops->resume(job->run->call);
    }
}

void
amy__job_leave(struct amy__job *job)
{
    if (job->run != NULL) {
        abandon_run(job->run);
    } else if (job->ticket.since_us > 0) {
        amy__lane_forget(&job->pool->lane, &job->ticket);
        arm_deadline(job->pool);
    }
}

/* ---- pools and workers ---- */

static void
drop_upstream(struct amy__lane_worker *worker, void *user)
{
    struct upstream *upstream = worker->user;

    (void)user;
    upstream->dispatch->ops->client_free(upstream->client);
    amy__close(&upstream->dir_fd);
    amy__free(upstream);
}

static void
free_pool(struct amy__pool_lane *pool)
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
        free_pool(pool);
        return rc;
    }
    LIST_INSERT_HEAD(&dispatch->pools, pool, link);
    *ret_pool = pool;
    return 0;
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
    };
    if (pool->lane.first != NULL) {
        ret->oldest_ms = amy__mono_ms(pool->dispatch->clock) -
                         job_of(pool->lane.first)->entered_us / 1000;
    }
}

static void
free_upstream(struct upstream *upstream)
{
    amy__close(&upstream->dir_fd);
    amy__free(upstream);
}

static int
open_upstream(struct amy__dispatch *dispatch,
              const struct amy__worker_spec *spec,
              struct upstream **ret_upstream, struct amy_error *err)
{
    struct amy__client_options opts = {
        .base = dispatch->base,
        .idle_max = spec->slots,
        .borrow_clock = dispatch->clock,
    };
    struct upstream *upstream = amy__calloc(1, sizeof(*upstream));
    int rc = 0;

    if (upstream == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a worker");
    }
    upstream->dispatch = dispatch;
    upstream->dir_fd = fcntl(spec->dir_fd, F_DUPFD_CLOEXEC, 0);
    if (upstream->dir_fd < 0 ||
        !amy__span_copy(amy__span_of(spec->name), upstream->name,
                        sizeof(upstream->name))) {
        free_upstream(upstream);
        return amy__err(err, AMY_EINVAL, "a worker's socket '%s'", spec->name);
    }
    opts.borrow_dir_fd = upstream->dir_fd;
    opts.unix_name = upstream->name;
    rc = dispatch->ops->client_create(&opts, &upstream->client, err);
    if (rc < 0) {
        free_upstream(upstream);
        return rc;
    }
    *ret_upstream = upstream;
    return 0;
}

int
amy__pool_lane_add(struct amy__pool_lane *pool,
                   const struct amy__worker_spec *spec, struct amy_error *err)
{
    struct upstream *upstream = NULL;
    int rc = 0;

    if (spec->pool_index >= AMY__POOLS_MAX) {
        return amy__err(err, AMY_EINVAL, "pool %u", spec->pool_index);
    }
    rc = open_upstream(pool->dispatch, spec, &upstream, err);
    if (rc < 0) {
        return rc;
    }
    amy__lane_set_pool(&pool->lane, spec->pool_index);
    rc = amy__lane_add(&pool->lane, spec->slot, spec->slots, spec->incarnation,
                       upstream);
    if (rc < 0) {
        pool->dispatch->ops->client_free(upstream->client);
        free_upstream(upstream);
        return amy__err(err, rc, "adding worker '%s'", spec->name);
    }
    note_up(pool);
    serve_waiting(pool);
    return 0;
}

void
amy__pool_lane_remove(struct amy__pool_lane *pool, uint64_t incarnation)
{
    if (amy__lane_remove(&pool->lane, incarnation)) {
        note_down(pool);
        arm_deadline(pool);
    }
}

/* ---- the whole ---- */

int
amy__dispatch_create(const struct amy__dispatch_options *opts,
                     struct amy__dispatch **ret_dispatch, struct amy_error *err)
{
    struct amy__dispatch *dispatch = amy__calloc(1, sizeof(*dispatch));
    int rc = 0;

    if (dispatch == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating the dispatcher");
    }
    dispatch->base = opts->base;
    dispatch->slots = opts->borrow_slots;
    dispatch->process = opts->process;
    dispatch->clock = opts->borrow_clock;
    dispatch->ops = opts->borrow_ops == NULL ? &client_ops : opts->borrow_ops;
    dispatch->upstream_wait_ms =
        opts->upstream_wait_ms > 0 ? opts->upstream_wait_ms : UPSTREAM_WAIT_MS;
    TAILQ_INIT(&dispatch->runs);
    LIST_INIT(&dispatch->pools);
    amy__slab_init(&dispatch->run_slab, sizeof(struct amy__run));
    dispatch->events =
        amy__calloc(opts->event_count + 1, sizeof(*dispatch->events));
    rc = dispatch->events == NULL
             ? amy__err(err, AMY_ENOMEM, "allocating the dispatcher")
             : amy__timer_create(opts->base, on_tick, dispatch, &dispatch->tick,
                                 err);
    if (rc < 0) {
        amy__dispatch_free(dispatch);
        return rc;
    }
    for (size_t i = 0; i < opts->event_count; i++) {
        dispatch->events[i] = opts->events[i];
    }
    dispatch->event_count = opts->event_count;
    *ret_dispatch = dispatch;
    return 0;
}

void
amy__dispatch_free(struct amy__dispatch *dispatch)
{
    if (dispatch == NULL) {
        return;
    }
    while (!TAILQ_EMPTY(&dispatch->runs)) {
        struct amy__run *run = TAILQ_FIRST(&dispatch->runs);

        (void)part(run);
        dispatch->ops->cancel(run->call);
        TAILQ_REMOVE(&dispatch->runs, run, link);
        (void)amy__lane_leave(&run->pool->lane, &run->seat);
        amy__slab_give(&dispatch->run_slab, run);
    }
    while (!LIST_EMPTY(&dispatch->pools)) {
        struct amy__pool_lane *pool = LIST_FIRST(&dispatch->pools);

        LIST_REMOVE(pool, link);
        free_pool(pool);
    }
    amy__timer_free(dispatch->tick);
    amy__slab_clear(&dispatch->run_slab);
    amy__free(dispatch->events);
    amy__free(dispatch);
}

void
amy__dispatch_rung(struct amy__dispatch *dispatch)
{
    struct amy__pool_lane *pool = NULL;

    /* The bell does not say which pool: a look at each costs little. */
    LIST_FOREACH(pool, &dispatch->pools, link)
    {
        serve_waiting(pool);
    }
}

uint32_t
amy__dispatch_running(const struct amy__dispatch *dispatch)
{
    return dispatch->running;
}

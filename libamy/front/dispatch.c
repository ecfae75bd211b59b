/* Requests on workers' slots: call, answer, slot back. Not for heads and
 * bodies, those are proxy.c's, nor for who waits (lanes.c). */
#include "core/alloc.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/loop.h"
#include "front/dispatch_internal.h"

#include <string.h>

#define UPSTREAM_WAIT_MS 5000
#define TIMEOUT_MS 60000U
/* How often waiting for answers is looked at. */
#define TICK_MS 250
/* Timeouts are ours: the client must not give a slot's connection up. */
#define CLIENT_TIMEOUT_MS (7U * 24 * 3600 * 1000)

static const struct amy__call_ops client_ops = {
    .client_create = amy__client_create,
    .client_free = amy__client_free,
    .start = amy__call_start,
    .send = amy__call_send,
    .finish = amy__call_finish,
    .pause = amy__call_pause,
    .resume = amy__call_resume,
    .detach = amy__call_detach,
    .hang_up = amy__call_hang_up,
    .cancel = amy__call_cancel,
    .connected = amy__call_connected,
    .sent = amy__call_sent,
};

int64_t
amy__dispatch_now_ms(struct amy__dispatch *dispatch)
{
    dispatch->now_ms = amy__mono_ms(dispatch->clock);
    return dispatch->now_ms;
}

/* ---- are there workers? ---- */

/* One that was announced gone ends its work and takes no other. True: it had
 * refused, and takes those again that wait. */
static bool
show_up(struct amy__run *run)
{
    struct amy__lane_worker *worker = run->seat.worker;
    bool back = worker->refusals > 0;

    worker->refusals = 0;
    if (!worker->gone) {
        amy__pool_lane_up(run->pool);
    }
    return back;
}

/* ---- how it ends ---- */

/* The worker is done, or we with it: the slot is free. */
static void
end_run(struct amy__run *run)
{
    struct amy__pool_lane *pool = run->pool;
    struct amy__dispatch *dispatch = pool->dispatch;
    bool look = amy__lane_leave(&pool->lane, &run->seat);

    if (!run->tunnel) {
        amy__costs_learn(&pool->costs, run->cost_key,
                         (amy__dispatch_now_ms(dispatch) - run->started_ms) *
                             1000);
    }
    TAILQ_REMOVE(&dispatch->runs, run, link);
    dispatch->running--;
    pool->tunnels -= run->tunnel ? 1U : 0U;
    amy__slab_give(&dispatch->run_slab, run);
    if (look) {
        amy__pool_lane_serve(pool);
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
    if (run->tunnel) {
        ops->hang_up(run->call); /* a worker that sees it closes, too */
    } else if (!ops->sent(run->call)) {
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

    if (show_up(run)) {
        amy__pool_lane_serve(run->pool);
    }
    run->answered = true;
    run->progress_ms = run->pool->dispatch->now_ms;
    if (head->status == 101) {
        run->tunnel = true;
        run->pool->tunnels++;
    }
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
on_call_half(struct amy__call *call, void *user)
{
    struct amy__run *run = user;

    (void)call;
    if (run->job != NULL) {
        run->job->borrow_events->on_half(run->job);
    }
}

static void
on_call_room(struct amy__call *call, void *user)
{
    struct amy__run *run = user;

    (void)call;
    run->progress_ms = run->pool->dispatch->now_ms;
    if (run->job != NULL) {
        run->job->borrow_events->on_room(run->job);
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

/* Nothing was sent: it may go to another worker, or to this one later; but not
 * for a client that left meanwhile. */
static void
bounce(struct amy__run *run, bool refused)
{
    struct amy__pool_lane *pool = run->pool;
    struct amy__dispatch *dispatch = pool->dispatch;
    struct amy__seat seat = run->seat;
    struct amy__job *job = part(run);
    bool gone = job != NULL && job->gone;

    TAILQ_REMOVE(&dispatch->runs, run, link);
    dispatch->running--;
    amy__slab_give(&dispatch->run_slab, run);
    amy__pool_lane_blame(pool, seat.worker, refused);
    if (job == NULL || gone) {
        (void)amy__lane_leave(&pool->lane, &seat);
    } else {
        amy__lane_bounce(&pool->lane, &seat, &job->ticket, job->entered_us);
    }
    amy__pool_lane_down(pool);
    amy__pool_lane_serve(pool);
    if (gone) {
        job->borrow_events->on_fail(job, AMY__JOB_GONE, "nobody waits for it");
    }
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
        bounce(run, failure == AMY__CALL_CONNECT);
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
    .on_half = on_call_half,
    .on_room = on_call_room,
    .on_end = on_call_end,
    .on_fail = on_call_fail,
};

static bool
is_late(const struct amy__run *run, int64_t now_ms)
{
    const struct amy__job *job = run->job;

    return job != NULL && !run->paused &&
           now_ms - run->progress_ms >=
               (run->tunnel ? job->tunnel_ms : job->timeout_ms);
}

/* The answer is ours to give; what the job's memory holds goes with it. */
static void
time_out(struct amy__run *run)
{
    struct amy__job *job = run->job;
    enum amy__job_failure failure = run->tunnel     ? AMY__JOB_IDLE
                                    : run->answered ? AMY__JOB_CUT
                                                    : AMY__JOB_TIMEOUT;

    abandon_run(run);
    job->borrow_events->on_fail(job, failure,
                                "the worker did not answer in time");
}

static void
on_tick(void *user)
{
    struct amy__dispatch *dispatch = user;
    int64_t now_ms = amy__dispatch_now_ms(dispatch);
    struct amy__run *run = TAILQ_FIRST(&dispatch->runs);
    bool back = false;

    while (run != NULL) {
        if (now_ms - run->started_ms >= TICK_MS &&
            dispatch->ops->connected(run->call)) {
            back = show_up(run) || back;
        }
        if (is_late(run, now_ms)) {
            time_out(run);
            /* That may have ended others: from the start. */
            run = TAILQ_FIRST(&dispatch->runs);
        } else {
            run = TAILQ_NEXT(run, link);
        }
    }
    if (back) {
        amy__dispatch_rung(dispatch);
    }
    dispatch->ticking = dispatch->running > 0;
    if (dispatch->ticking) {
        (void)amy__timer_arm(dispatch->tick, TICK_MS, NULL);
    }
}

void
amy__dispatch_end_tunnels(struct amy__dispatch *dispatch)
{
    struct amy__run *run = TAILQ_FIRST(&dispatch->runs);

    while (run != NULL) {
        if (run->tunnel && run->job != NULL) {
            time_out(run);
            run = TAILQ_FIRST(&dispatch->runs); /* as in on_tick() */
        } else {
            run = TAILQ_NEXT(run, link);
        }
    }
}

/* ---- how it begins ---- */

void
amy__run_begin(struct amy__pool_lane *pool, struct amy__job *job,
               const struct amy__seat *seat)
{
    struct amy__dispatch *dispatch = pool->dispatch;
    struct amy__upstream *upstream = seat->worker->user;
    struct amy__run *run = amy__slab_take(&dispatch->run_slab);
    struct amy__body body = {.fd = -1};
    const struct amy__request_head *head = NULL;
    int rc = AMY_ENOMEM;

    if (run != NULL) {
        *run = (struct amy__run){
            .pool = pool, .seat = *seat, .job = job, .cost_key = job->cost_key};
        TAILQ_INSERT_TAIL(&dispatch->runs, run, link);
        dispatch->running++;
        run->started_ms = amy__dispatch_now_ms(dispatch);
        run->progress_ms = run->started_ms;
        job->run = run;
        job->seated_us = amy__mono_us(dispatch->clock);
        memcpy(job->worker, upstream->label, sizeof(job->worker));
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

int
amy__job_start(struct amy__job *job, struct amy__pool_lane *pool,
               uint32_t timeout_ms, const struct amy__job_events *events)
{
    struct amy__seat seat = {0};
    int rc = 0;

    job->borrow_events = events;
    job->pool = pool;
    job->run = NULL;
    job->gone = false;
    job->timeout_ms = timeout_ms == 0 ? TIMEOUT_MS : timeout_ms;
    job->entered_us = amy__mono_us(pool->dispatch->clock);
    job->ticket.cost_us = amy__costs_expect(&pool->costs, job->cost_key);
    rc = amy__lane_enter(&pool->lane, &job->ticket, job->entered_us, &seat);
    if (rc == 1) {
        amy__run_begin(pool, job, &seat);
        return 0;
    }
    if (rc == 0) {
        amy__pool_lane_down(pool);
        amy__pool_lane_watch(pool);
    }
    return rc;
}

int
amy__job_send(struct amy__job *job, struct amy__span data)
{
    if (job->run == NULL) {
        return 0;
    }
    job->run->progress_ms = job->pool->dispatch->now_ms;
    return job->pool->dispatch->ops->send(job->run->call, data);
}

void
amy__job_finish(struct amy__job *job)
{
    if (job->run != NULL) {
        job->pool->dispatch->ops->finish(job->run->call);
    }
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
        job->run->progress_ms = amy__dispatch_now_ms(job->pool->dispatch);
        job->pool->dispatch->ops->resume(job->run->call);
    }
}

void
amy__job_gone(struct amy__job *job)
{
    job->gone = true;
}

void
amy__job_leave(struct amy__job *job)
{
    if (job->run != NULL) {
        abandon_run(job->run);
    } else if (job->ticket.since_us > 0) {
        amy__lane_forget(&job->pool->lane, &job->ticket);
        amy__pool_lane_watch(job->pool);
    }
}

void
amy__job_dismiss(struct amy__job *job, bool brief)
{
    struct amy__run *run = job->run;
    const struct amy__call_ops *ops = job->pool->dispatch->ops;

    if (brief && ops->sent(run->call)) {
        (void)part(run);
        ops->detach(run->call);
    } else {
        abandon_run(run);
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
        amy__pool_lane_free(pool);
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
        amy__pool_lane_serve(pool);
    }
}

uint32_t
amy__dispatch_running(const struct amy__dispatch *dispatch)
{
    return dispatch->running;
}

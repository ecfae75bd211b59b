/* The pool: its public calls, its runs, its one timer. */
/* Not for one position's life: pool/worker.c and pool/step.c. */
#include "core/alloc.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/maker.h"
#include "pool/internal.h"

#include <string.h>

/* How often descendants are looked at; on whole seconds, so that many pools
 * wake the processor once. */
#define LOOK_EVERY_MS 1000
#define LAST_WAIT_MS 1000

int64_t
amy__pool_now(const struct amy_pool *pool)
{
    return amy__mono_ms(pool->opts.borrow_clock);
}

static void
destroy(struct amy_pool *pool)
{
    int64_t until_ms = amy__pool_now(pool) + LAST_WAIT_MS;
    uint32_t count = pool->workers == NULL ? 0 : pool->opts.count;

    for (uint32_t i = 0; i < count; i++) {
        amy__worker_kill(&pool->workers[i]);
    }
    for (uint32_t i = 0; i < count; i++) {
        amy__worker_clear(&pool->workers[i], until_ms);
    }
    amy__timer_free(pool->timer);
    amy__defer_free(pool->defer);
    amy__gifts_clear(&pool->gifts);
    amy__close(&pool->lock_dir_fd);
    amy__close(&pool->output_fd);
    amy__user_clear(&pool->user);
    amy__free(pool->name);
    amy__free(pool->directory);
    amy__free(pool->lock_name);
    amy__list_free(pool->argv);
    amy__list_free(pool->envp);
    amy__free(pool->workers);
    pool->magic = 0;
    amy__free(pool);
}

void
amy__pool_enter(struct amy_pool *pool)
{
    pool->busy++;
}

void
amy__pool_leave(struct amy_pool *pool)
{
    pool->busy--;
    if (pool->busy == 0 && pool->gone) {
        destroy(pool);
    }
}

void
amy_pool_free(struct amy_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    AMY_CHECK(pool, AMY__POOL_MAGIC);
    if (!amy__is_maker(pool->maker)) {
        return; /* its workers are another's children */
    }
    if (pool->busy > 0) {
        pool->gone = true;
        return;
    }
    destroy(pool);
}

/* Restart one by one: on to the next when the one before works again. */
static bool
roll_on(struct amy_pool *pool)
{
    struct amy__worker *worker = NULL;

    if (pool->roll >= pool->opts.count) {
        return false;
    }
    worker = &pool->workers[pool->roll];
    if (!worker->facts.wanted) {
        pool->roll_sent = false;
        pool->roll++;
        return true;
    }
    if (!pool->roll_sent) {
        pool->roll_sent = true;
        amy__worker_feed(worker, AMY__CAUSE_RESTART, 0);
        return true;
    }
    if (worker->facts.state == AMY_WORKER_READY) {
        pool->roll_sent = false;
        pool->roll++;
        return true;
    }
    if (worker->facts.state == AMY_WORKER_BACKOFF ||
        worker->facts.state == AMY_WORKER_FAILED) {
        amy__log(&pool->log, AMY_LOG_WARN,
                 "pool %s: the others are not restarted, position=%u did not "
                 "come back: %s",
                 pool->opts.name, worker->position, worker->reason);
        pool->roll = pool->opts.count;
    }
    return false;
}

/* One round over all positions; false when there was nothing to do. */
static bool
advance_all(struct amy_pool *pool)
{
    bool more = false;

    for (uint32_t i = 0; i < pool->opts.count && !pool->gone; i++) {
        while (!pool->gone && amy__worker_advance(&pool->workers[i])) {
            more = true;
        }
    }
    return more;
}

static bool
all_stopped(const struct amy_pool *pool)
{
    for (uint32_t i = 0; i < pool->opts.count; i++) {
        if (pool->workers[i].facts.state != AMY_WORKER_STOPPED) {
            return false;
        }
    }
    return true;
}

static void
finish_stop(struct amy_pool *pool)
{
    amy_pool_done_fn on_done = pool->on_done;

    pool->stopping = false;
    pool->on_done = NULL;
    if (on_done != NULL) {
        on_done(pool, pool->done_user);
    }
}

static void
look_at_descendants(struct amy_pool *pool, int64_t now_ms)
{
    if (now_ms < pool->next_look_ms) {
        return;
    }
    for (uint32_t i = 0; i < pool->opts.count; i++) {
        struct amy__worker *worker = &pool->workers[i];

        if (amy__worker_lives(worker)) {
            worker->rss_bytes =
                amy__strays_look(&worker->strays, worker->child.pid);
        }
    }
    pool->next_look_ms = (now_ms / LOOK_EVERY_MS + 1) * LOOK_EVERY_MS;
}

static void
set_timer(struct amy_pool *pool)
{
    int64_t now_ms = amy__pool_now(pool);
    int64_t due_ms = INT64_MAX;
    bool lives = false;

    for (uint32_t i = 0; i < pool->opts.count; i++) {
        int64_t worker_ms = amy__worker_due_ms(&pool->workers[i]);

        due_ms = worker_ms < due_ms ? worker_ms : due_ms;
        lives = lives || amy__worker_lives(&pool->workers[i]);
    }
    if (lives) {
        look_at_descendants(pool, now_ms);
        due_ms = pool->next_look_ms < due_ms ? pool->next_look_ms : due_ms;
    }
    if (due_ms == INT64_MAX) {
        amy__timer_cancel(pool->timer);
        return;
    }
    if (amy__timer_arm(pool->timer, due_ms - now_ms, NULL) < 0) {
        /* Out of memory: the next end of a worker looks again. */
        amy__log(&pool->log, AMY_LOG_ERROR, "pool %s: no timer could be set",
                 pool->opts.name);
    }
}

void
amy__pool_run(struct amy_pool *pool)
{
    bool more = amy__is_maker(pool->maker);

    while (more && !pool->gone) {
        more = advance_all(pool);
        more = (!pool->gone && roll_on(pool)) || more;
        if (!more && !pool->gone && pool->stopping && all_stopped(pool)) {
            finish_stop(pool);
            more = true;
        }
    }
    if (!pool->gone && amy__is_maker(pool->maker)) {
        set_timer(pool);
    }
}

void
amy__pool_turn(void *user)
{
    struct amy_pool *pool = user;

    amy__pool_enter(pool);
    amy__pool_run(pool);
    amy__pool_leave(pool);
}

/* From a public call. Inside a run it goes on by itself. */
static void
ask_for_run(struct amy_pool *pool)
{
    amy__defer_ask(pool->defer);
}

static void
feed_all(struct amy_pool *pool, enum amy__cause cause, uint32_t patience_ms)
{
    for (uint32_t i = 0; i < pool->opts.count; i++) {
        amy__worker_feed(&pool->workers[i], cause, patience_ms);
    }
    ask_for_run(pool);
}

static int
check_stop(const struct amy_pool *pool, struct amy_error *err)
{
    if (pool->stopping) {
        return amy__err(err, AMY_EAGAIN, "pool %s: a stop is under way",
                        pool->opts.name);
    }
    return amy__check_maker(pool->maker, err);
}

int
amy_pool_start(struct amy_pool *pool, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(pool, AMY__POOL_MAGIC);
    rc = check_stop(pool, err);
    if (rc < 0) {
        return rc;
    }
    pool->started = true;
    feed_all(pool, AMY__CAUSE_WANT, 0);
    return 0;
}

static int
check_position(const struct amy_pool *pool, uint32_t position,
               struct amy_error *err)
{
    if (position >= pool->opts.count) {
        return amy__err(err, AMY_EINVAL, "pool %s has no position %u",
                        pool->opts.name, position);
    }
    return amy__check_maker(pool->maker, err);
}

int
amy_pool_start_position(struct amy_pool *pool, uint32_t position,
                        struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(pool, AMY__POOL_MAGIC);
    rc = check_position(pool, position, err);
    rc = rc < 0 ? rc : check_stop(pool, err);
    if (rc < 0) {
        return rc;
    }
    pool->started = true;
    amy__worker_feed(&pool->workers[position], AMY__CAUSE_WANT, 0);
    ask_for_run(pool);
    return 0;
}

int
amy_pool_stop_position(struct amy_pool *pool, uint32_t position,
                       uint32_t patience_ms, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(pool, AMY__POOL_MAGIC);
    rc = check_position(pool, position, err);
    if (rc < 0) {
        return rc;
    }
    amy__worker_feed(&pool->workers[position], AMY__CAUSE_STOP, patience_ms);
    ask_for_run(pool);
    return 0;
}

int
amy_pool_stop(struct amy_pool *pool, uint32_t patience_ms,
              amy_pool_done_fn on_done, void *user, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(pool, AMY__POOL_MAGIC);
    rc = check_stop(pool, err);
    if (rc < 0) {
        return rc;
    }
    pool->started = false;
    pool->stopping = true;
    pool->roll = pool->opts.count;
    pool->on_done = on_done;
    pool->done_user = user;
    feed_all(pool, AMY__CAUSE_STOP, patience_ms);
    return 0;
}

void
amy_pool_kill(struct amy_pool *pool)
{
    AMY_CHECK(pool, AMY__POOL_MAGIC);
    if (!amy__is_maker(pool->maker)) {
        return;
    }
    pool->started = false;
    pool->roll = pool->opts.count;
    feed_all(pool, AMY__CAUSE_STOP_NOW, 0);
}

void
amy_pool_set_ready(struct amy_pool *pool, uint32_t position,
                   uint64_t incarnation)
{
    AMY_CHECK(pool, AMY__POOL_MAGIC);
    if (amy__is_maker(pool->maker) && position < pool->opts.count &&
        pool->workers[position].incarnation == incarnation) {
        amy__worker_feed(&pool->workers[position], AMY__CAUSE_READY, 0);
        pool->next_look_ms = 0; /* what it weighs now is what it weighs */
        ask_for_run(pool);
    }
}

int
amy_pool_restart(struct amy_pool *pool, uint32_t position,
                 struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(pool, AMY__POOL_MAGIC);
    rc = position == AMY_POOL_EVERY ? amy__check_maker(pool->maker, err)
                                    : check_position(pool, position, err);
    if (rc < 0) {
        return rc;
    }
    if (!pool->started) {
        return amy__err(err, AMY_ESTATE, "pool %s is not started",
                        pool->opts.name);
    }
    if (position == AMY_POOL_EVERY) {
        pool->roll = 0;
        pool->roll_sent = false;
    } else {
        amy__worker_feed(&pool->workers[position], AMY__CAUSE_RESTART, 0);
    }
    ask_for_run(pool);
    return 0;
}

uint32_t
amy_pool_count(const struct amy_pool *pool)
{
    AMY_CHECK(pool, AMY__POOL_MAGIC);
    return pool->opts.count;
}

int
amy_pool_worker(const struct amy_pool *pool, uint32_t position,
                struct amy_worker_view *ret_view)
{
    const struct amy__worker *worker = NULL;
    struct amy_worker_view view = {0};
    size_t size = ret_view->struct_size;
    int64_t now_ms = 0;
    bool lives = false;

    AMY_CHECK(pool, AMY__POOL_MAGIC);
    if (position >= pool->opts.count) {
        return AMY_EINVAL;
    }
    now_ms = amy__pool_now(pool);
    worker = &pool->workers[position];
    lives = amy__worker_lives(worker);
    view = (struct amy_worker_view){
        .struct_size = size,
        .position = position,
        .state = worker->facts.state,
        .generation = pool->opts.generation,
        .incarnation = worker->incarnation,
        .pid = lives ? worker->child.pid : -1,
        .since_ms = now_ms - worker->facts.since_ms,
        .age_ms = lives ? now_ms - worker->facts.started_ms : 0,
        .restarts = worker->facts.lives > 0 ? worker->facts.lives - 1 : 0,
        .rss_bytes = lives ? worker->rss_bytes : 0,
        .reason = worker->reason,
    };
    memcpy(ret_view, &view, size < sizeof(view) ? size : sizeof(view));
    return 0;
}

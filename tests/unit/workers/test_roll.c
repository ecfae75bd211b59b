/* How one generation takes over from another, as a table of scenes: facts go in
 * by hand, what is wanted comes out. */
#include "amy_test.h"

#include "workers/roll.h"

#include <string.h>

#define SEATS 4
#define POOLS 70 /* more than `after` has bits */
#define BAKE_MS 5000

struct scene {
    struct amy__roll roll;
    struct amy__roll_pool pools[POOLS];
    struct amy__roll_seat seats[POOLS][SEATS];
    struct amy__roll_output out;
    int64_t now_ms;
    bool unsure;
    enum amy__roll_outcome told; /* the last outcome that was */
    uint32_t outcomes;
    uint32_t fewest[POOLS]; /* ready workers that were wanted, at worst */
    bool twice;             /* two in a seat of a stop-first pool */
};

/* ---- a world that obeys ---- */

static struct scene *
scene_new(void)
{
    static struct scene s;

    s = (struct scene){.now_ms = 1000};
    s.roll.pools = s.pools;
    s.roll.bake_ms = BAKE_MS;
    for (size_t i = 0; i < POOLS; i++) {
        s.fewest[i] = UINT32_MAX;
    }
    return &s;
}

/* A pool whose old workers, if any, are ready. */
static struct amy__roll_pool *
add(struct scene *s, uint32_t old_count, uint32_t new_count)
{
    size_t at = s->roll.pool_count++;
    struct amy__roll_pool *pool = &s->pools[at];

    *pool = (struct amy__roll_pool){
        .old_count = old_count,
        .new_count = new_count,
        .fresh = old_count == 0,
        .seat_count = old_count > new_count ? old_count : new_count,
        .seats = s->seats[at],
    };
    for (uint32_t i = 0; i < old_count; i++) {
        pool->seats[i].want_old = true;
        pool->seats[i].old_state = AMY_WORKER_READY;
    }
    return pool;
}

static struct amy__roll_pool *
add_web(struct scene *s, uint32_t old_count, uint32_t new_count)
{
    struct amy__roll_pool *pool = add(s, old_count, new_count);

    pool->serves = true;
    return pool;
}

static void
watch(struct scene *s)
{
    for (size_t i = 0; i < s->roll.pool_count; i++) {
        const struct amy__roll_pool *pool = &s->pools[i];
        uint32_t ready = 0;

        for (size_t j = 0; j < pool->seat_count; j++) {
            const struct amy__roll_seat *seat = &pool->seats[j];

            ready += seat->want_old && seat->old_state == AMY_WORKER_READY;
            ready += seat->want_new && seat->new_state == AMY_WORKER_READY;
            s->twice = s->twice || (pool->stop_first && seat->want_new &&
                                    seat->old_state != AMY_WORKER_STOPPED);
        }
        s->fewest[i] = ready < s->fewest[i] ? ready : s->fewest[i];
    }
}

static void
step_with(struct scene *s, struct amy__roll_input in)
{
    in.now_ms = s->now_ms;
    in.unsure = s->unsure;
    s->out = amy__roll_step(&s->roll, &in);
    if (s->out.outcome != AMY__ROLL_OPEN) {
        s->told = s->out.outcome;
        s->outcomes++;
    }
    watch(s);
}

static void
step(struct scene *s)
{
    step_with(s, (struct amy__roll_input){.failed = false});
}

static void
begin(struct scene *s)
{
    amy__roll_begin(&s->roll, s->now_ms);
    step(s);
}

static void
fail_seat(struct scene *s, size_t pool, uint32_t seat)
{
    s->pools[pool].seats[seat].new_state = AMY_WORKER_STOPPED;
    step_with(s, (struct amy__roll_input){
                     .failed = true, .failed_pool = pool, .failed_seat = seat});
}

static bool
obey_one(uint32_t *state, bool wanted)
{
    uint32_t before = *state;

    if (wanted) {
        *state = AMY_WORKER_READY;
    } else if (*state == AMY_WORKER_READY || *state == AMY_WORKER_BOOT) {
        *state = AMY_WORKER_DRAIN;
    } else {
        *state = AMY_WORKER_STOPPED;
    }
    return *state != before;
}

/* One worker does what it is wanted to; false when all have. */
static bool
obey(struct scene *s)
{
    for (size_t i = 0; i < s->roll.pool_count; i++) {
        struct amy__roll_pool *pool = &s->pools[i];

        for (size_t j = 0; j < pool->seat_count; j++) {
            struct amy__roll_seat *seat = &pool->seats[j];

            if (obey_one(&seat->new_state, seat->want_new) ||
                obey_one(&seat->old_state, seat->want_old)) {
                return true;
            }
        }
    }
    return false;
}

/* Until nothing moves, in this phase at the latest. */
static void
settle_in(struct scene *s, enum amy__roll_phase phase)
{
    for (int i = 0; i < 1000 && s->roll.phase != phase && obey(s); i++) {
        step(s);
    }
    assert_int_equal(s->roll.phase, phase);
}

static void
wait_ms(struct scene *s, int64_t ms)
{
    s->now_ms += ms;
    step(s);
}

static uint32_t
wanted_new(const struct amy__roll_pool *pool)
{
    uint32_t n = 0;

    for (size_t i = 0; i < pool->seat_count; i++) {
        n += pool->seats[i].want_new;
    }
    return n;
}

static uint32_t
wanted_old(const struct amy__roll_pool *pool)
{
    uint32_t n = 0;

    for (size_t i = 0; i < pool->seat_count; i++) {
        n += pool->seats[i].want_old;
    }
    return n;
}

static void
assert_untouched(const struct amy__roll_pool *pool)
{
    assert_int_equal(wanted_old(pool), pool->old_count);
    assert_int_equal(wanted_new(pool), 0);
}

/* ---- the good way ---- */

static void
test_one_canary_bakes_and_then_one_follows_the_other(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *web = add_web(s, 3, 3);

    (void)state;
    begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_CANARY);
    assert_true(web->seats[0].want_new);
    assert_int_equal(wanted_new(web), 1);
    web->seats[0].new_state = AMY_WORKER_BOOT;
    wait_ms(s, 3600000); /* the pool's boot timeout ends this, not we */
    assert_int_equal(s->roll.phase, AMY__ROLL_CANARY);
    settle_in(s, AMY__ROLL_BAKE);
    assert_int_equal(s->out.due_ms, s->now_ms + BAKE_MS);
    wait_ms(s, BAKE_MS - 1);
    assert_int_equal(s->roll.phase, AMY__ROLL_BAKE);
    assert_int_equal(wanted_old(web), 3);
    wait_ms(s, 1);
    assert_int_equal(s->roll.phase, AMY__ROLL_SEATS);
    /* The canary's seat is free, and one more worker starts. */
    assert_false(web->seats[0].want_old);
    assert_int_equal(wanted_old(web), 2);
    assert_int_equal(wanted_new(web), 2);
    web->seats[1].new_state = AMY_WORKER_BOOT;
    step(s);
    assert_int_equal(wanted_old(web), 2);
    web->seats[1].new_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(wanted_old(web), 1);
    assert_int_equal(wanted_new(web), 3);
    settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(wanted_old(web), 0);
    assert_int_equal(wanted_new(web), 3);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(s->outcomes, 1);
    assert_int_equal(s->fewest[0], 3);
}

static void
test_a_bake_waits_for_the_answer_to_its_last_question(void **state)
{
    struct scene *s = scene_new();

    (void)state;
    (void)add_web(s, 1, 1);
    begin(s);
    settle_in(s, AMY__ROLL_BAKE);
    s->unsure = true;
    wait_ms(s, BAKE_MS * 3);
    assert_int_equal(s->roll.phase, AMY__ROLL_BAKE);
    s->unsure = false;
    step(s);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_counts_may_differ(void **state)
{
    static const uint32_t counts[][2] = {{1, 4}, {4, 1}, {2, 3}, {3, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct scene *s = scene_new();
        uint32_t from = counts[i][0];
        uint32_t to = counts[i][1];
        struct amy__roll_pool *web = add_web(s, from, to);

        begin(s);
        settle_in(s, AMY__ROLL_BAKE);
        wait_ms(s, BAKE_MS);
        settle_in(s, AMY__ROLL_IDLE);
        assert_int_equal(wanted_new(web), to);
        assert_int_equal(wanted_old(web), 0);
        assert_int_equal(s->fewest[0], from < to ? from : to);
    }
}

/* One that died a moment ago is no reason to drain another too early. */
static void
test_an_old_worker_that_is_away_is_made_up_for(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *web = add_web(s, 3, 3);

    (void)state;
    web->seats[2].old_state = AMY_WORKER_BACKOFF;
    s->fewest[0] = 2;
    begin(s);
    web->seats[0].new_state = AMY_WORKER_READY;
    step(s);
    wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_SEATS);
    assert_int_equal(wanted_old(web), 3); /* three are ready, and three stay */
    web->seats[1].new_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(wanted_old(web), 2);
    web->seats[2].new_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(wanted_old(web), 0);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_pools_without_sockets_follow_those_that_serve(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *rq = add(s, 2, 2);
    struct amy__roll_pool *web = add_web(s, 2, 2);

    (void)state;
    begin(s);
    settle_in(s, AMY__ROLL_BAKE);
    assert_untouched(rq);
    wait_ms(s, BAKE_MS);
    assert_untouched(rq);
    web->seats[1].new_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(wanted_old(web), 0);
    assert_int_equal(wanted_new(rq), 1);
    settle_in(s, AMY__ROLL_SETTLE);
    assert_int_equal(s->outcomes, 0);
    wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->fewest[0], 2);
    assert_int_equal(s->fewest[1], 2);
}

static void
test_nothing_that_serves_means_no_bake(void **state)
{
    struct scene *s = scene_new();

    (void)state;
    (void)add(s, 1, 1);
    begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_SEATS);
    settle_in(s, AMY__ROLL_SETTLE);
    assert_int_equal(s->outcomes, 0);
    wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_stop_first_comes_last_and_never_has_two(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *web = add_web(s, 1, 1);
    struct amy__roll_pool *scheduler = add(s, 1, 1);

    (void)state;
    scheduler->stop_first = true;
    begin(s);
    settle_in(s, AMY__ROLL_BAKE);
    assert_untouched(scheduler);
    wait_ms(s, BAKE_MS);
    /* The web is new; the old scheduler has been told, and is not gone. */
    assert_int_equal(wanted_new(web), 1);
    assert_int_equal(s->roll.phase, AMY__ROLL_STOP_FIRST);
    assert_int_equal(wanted_old(scheduler), 0);
    assert_int_equal(wanted_new(scheduler), 0);
    scheduler->seats[0].old_state = AMY_WORKER_DRAIN;
    step(s);
    assert_int_equal(wanted_new(scheduler), 0);
    scheduler->seats[0].old_state = AMY_WORKER_STOPPED;
    step(s);
    assert_int_equal(wanted_new(scheduler), 1);
    settle_in(s, AMY__ROLL_SETTLE);
    assert_int_equal(s->outcomes, 0);
    wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_false(s->twice);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static struct scene *
settling(bool stop_first)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *rq = NULL;

    (void)add_web(s, 1, 1);
    rq = add(s, 2, 2);
    rq->stop_first = stop_first;
    begin(s);
    settle_in(s, AMY__ROLL_BAKE);
    wait_ms(s, BAKE_MS);
    settle_in(s, AMY__ROLL_SETTLE);
    return s;
}

/* It cannot be asked how it is: it must live. */
static void
test_what_has_no_socket_must_live_through_a_bake(void **state)
{
    (void)state;
    for (int stop_first = 0; stop_first < 2; stop_first++) {
        struct scene *s = settling(stop_first != 0);

        assert_int_equal(s->out.due_ms, s->now_ms + BAKE_MS);
        wait_ms(s, BAKE_MS - 1);
        assert_int_equal(s->outcomes, 0);
        fail_seat(s, 1, 1);
        assert_int_equal(s->roll.phase, AMY__ROLL_BACK);
        settle_in(s, AMY__ROLL_IDLE);
        assert_int_equal(s->told, AMY__ROLL_FAILED);
        assert_untouched(&s->pools[0]);
        assert_untouched(&s->pools[1]);
        assert_false(s->twice);
    }
}

/* One that has done its share of jobs, and begins again. */
static void
test_what_is_away_when_it_has_settled_is_waited_for(void **state)
{
    struct scene *s = settling(true);

    (void)state;
    s->pools[1].seats[0].new_state = AMY_WORKER_BOOT;
    wait_ms(s, BAKE_MS * 2);
    assert_int_equal(s->outcomes, 0);
    s->pools[1].seats[0].new_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

/* Then a long job is no shorter way than the bake. */
static void
test_a_long_bake_is_longer_than_the_wait_for_jobs(void **state)
{
    struct scene *s = scene_new();

    (void)state;
    s->roll.bake_ms = AMY__ROLL_DRAIN_MS * 3;
    add(s, 1, 1)->stop_first = true;
    begin(s);
    s->pools[0].seats[0].old_state = AMY_WORKER_DRAIN;
    step(s);
    wait_ms(s, AMY__ROLL_DRAIN_MS * 3 - 1);
    assert_int_equal(s->outcomes, 0);
    wait_ms(s, 1);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_a_long_job_does_not_hold_up_a_deployment(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *rq = add(s, 1, 1);

    (void)state;
    rq->stop_first = true;
    begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_STOP_FIRST);
    rq->seats[0].old_state = AMY_WORKER_DRAIN;
    step(s);
    assert_int_equal(s->out.due_ms, s->roll.since_ms + AMY__ROLL_DRAIN_MS);
    wait_ms(s, AMY__ROLL_DRAIN_MS - 1);
    assert_int_equal(s->outcomes, 0);
    wait_ms(s, 1);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(s->roll.phase, AMY__ROLL_STOP_FIRST);
    /* Said is said: what happens now does not take anything back. */
    rq->seats[0].old_state = AMY_WORKER_STOPPED;
    step(s);
    assert_true(rq->seats[0].want_new);
    fail_seat(s, 0, 0);
    assert_int_equal(s->roll.phase, AMY__ROLL_STOP_FIRST);
    assert_true(rq->seats[0].want_new);
    rq->seats[0].new_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->outcomes, 1);
}

/* What boots is not a job that ends some day. */
static void
test_a_booting_scheduler_is_waited_for(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *scheduler = add(s, 1, 1);

    (void)state;
    scheduler->stop_first = true;
    begin(s);
    scheduler->seats[0].old_state = AMY_WORKER_STOPPED;
    step(s);
    scheduler->seats[0].new_state = AMY_WORKER_BOOT;
    wait_ms(s, AMY__ROLL_DRAIN_MS * 2);
    assert_int_equal(s->outcomes, 0);
    fail_seat(s, 0, 0);
    assert_int_equal(s->roll.phase, AMY__ROLL_BACK);
    assert_true(scheduler->seats[0].want_old);
    settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
}

static void
test_a_pool_that_is_no_more_ends_last(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *web = add_web(s, 1, 1);
    struct amy__roll_pool *gone = add(s, 2, 0);

    (void)state;
    begin(s);
    settle_in(s, AMY__ROLL_BAKE);
    assert_int_equal(wanted_old(gone), 2);
    fail_seat(s, 0, 0);
    settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(wanted_old(gone), 2);
    assert_int_equal(wanted_old(web), 1);
    begin(s);
    settle_in(s, AMY__ROLL_BAKE);
    wait_ms(s, BAKE_MS);
    assert_int_equal(wanted_old(gone), 0);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

/* As many as a site may have, and all those that it no longer has. */
static void
test_more_pools_than_bits_are_no_trouble(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *cache = add(s, 0, 1);
    struct amy__roll_pool *web = add_web(s, 1, 1);

    (void)state;
    web->after = 1U << 0;
    while (s->roll.pool_count < POOLS) {
        (void)add(s, 1, 0);
    }
    begin(s);
    assert_int_equal(wanted_new(cache), 1);
    settle_in(s, AMY__ROLL_BAKE);
    wait_ms(s, BAKE_MS);
    settle_in(s, AMY__ROLL_SETTLE);
    wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(wanted_old(&s->pools[POOLS - 1]), 0);
}

static void
test_a_pool_of_another_name_starts_before_the_old_one_ends(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *app = add_web(s, 0, 2);
    struct amy__roll_pool *web = add_web(s, 2, 0);

    (void)state;
    begin(s);
    assert_int_equal(wanted_new(app), 2);
    assert_int_equal(wanted_old(web), 2);
    app->seats[0].new_state = AMY_WORKER_READY;
    fail_seat(s, 0, 1);
    settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    assert_int_equal(s->fewest[1], 2);
    begin(s);
    settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(wanted_old(web), 0);
}

static void
test_a_pool_that_is_new_starts_whole_when_the_canary_is_good(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *rq = add(s, 0, 3);

    (void)state;
    (void)add_web(s, 1, 1);
    begin(s);
    settle_in(s, AMY__ROLL_BAKE);
    assert_int_equal(wanted_new(rq), 0);
    wait_ms(s, BAKE_MS);
    assert_int_equal(wanted_new(rq), 3);
    assert_int_equal(s->roll.phase, AMY__ROLL_SEATS);
    rq->seats[0].new_state = AMY_WORKER_READY;
    fail_seat(s, 0, 1);
    assert_int_equal(wanted_new(rq), 0);
    settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
}

/* The new web needs a pool that only its own release has. */
static void
test_what_a_canary_comes_after_starts_before_it(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *cache = add(s, 0, 1);
    struct amy__roll_pool *web = add_web(s, 1, 1);

    (void)state;
    web->after = 1U << 0;
    begin(s);
    assert_int_equal(wanted_new(cache), 1);
    assert_int_equal(wanted_new(web), 0);
    cache->seats[0].new_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(wanted_new(web), 1);
}

/* ---- the first generation ---- */

static void
test_a_first_generation_starts_whole_in_its_order(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *web = add_web(s, 0, 2);
    struct amy__roll_pool *scheduler = add(s, 0, 1);

    (void)state;
    scheduler->stop_first = true;
    scheduler->after = 1U << 0;
    begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_START);
    assert_int_equal(wanted_new(web), 2);
    assert_int_equal(wanted_new(scheduler), 0);
    web->seats[1].new_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(wanted_new(scheduler), 1);
    settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_a_first_generation_that_fails_is_told_and_goes_on_trying(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *web = add_web(s, 1, 1);

    (void)state;
    /* The one before it never worked either. */
    web->fresh = true;
    web->seats[0].old_state = AMY_WORKER_FAILED;
    begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_START);
    assert_int_equal(wanted_old(web), 0);
    fail_seat(s, 0, 0);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    assert_int_equal(s->roll.phase, AMY__ROLL_START);
    assert_true(web->seats[0].want_new);
    settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->outcomes, 1);
}

/* ---- the way back ---- */

static void
test_a_canary_that_fails_ends_alone(void **state)
{
    static const enum amy__roll_phase phases[] = {AMY__ROLL_CANARY,
                                                  AMY__ROLL_BAKE};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct scene *s = scene_new();
        struct amy__roll_pool *web = add_web(s, 3, 3);
        struct amy__roll_pool *rq = add(s, 1, 1);

        begin(s);
        if (phases[i] == AMY__ROLL_BAKE) {
            settle_in(s, AMY__ROLL_BAKE);
        }
        fail_seat(s, 0, 0);
        assert_untouched(web);
        assert_untouched(rq);
        assert_int_equal(s->told, AMY__ROLL_FAILED);
        assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
        assert_true(s->roll.back);
        assert_int_equal(s->fewest[0], 3);
    }
}

static void
test_the_way_back_keeps_as_many_ready(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *web = add_web(s, 3, 3);

    (void)state;
    begin(s);
    settle_in(s, AMY__ROLL_BAKE);
    wait_ms(s, BAKE_MS);
    web->seats[0].old_state = AMY_WORKER_STOPPED;
    web->seats[1].new_state = AMY_WORKER_READY;
    step(s);
    web->seats[1].old_state = AMY_WORKER_DRAIN;
    step(s);
    assert_int_equal(wanted_old(web), 1);
    fail_seat(s, 0, 2);
    assert_int_equal(s->roll.phase, AMY__ROLL_BACK);
    assert_int_equal(s->outcomes, 0);
    assert_int_equal(wanted_old(web), 3);
    assert_false(web->seats[2].want_new);
    /* The new ones stay until the old ones work again. */
    assert_int_equal(wanted_new(web), 2);
    web->seats[1].old_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(wanted_new(web), 1);
    web->seats[0].old_state = AMY_WORKER_READY;
    step(s);
    assert_untouched(web);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    assert_int_equal(s->fewest[0], 3);
}

static void
test_an_old_generation_that_does_not_come_back_is_not_waited_for(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *web = add_web(s, 2, 2);

    (void)state;
    begin(s);
    settle_in(s, AMY__ROLL_BAKE);
    wait_ms(s, BAKE_MS);
    web->seats[0].old_state = AMY_WORKER_STOPPED;
    fail_seat(s, 0, 1);
    web->seats[0].old_state = AMY_WORKER_BACKOFF;
    wait_ms(s, AMY__ROLL_BACK_MS - 1);
    assert_int_equal(s->outcomes, 0);
    wait_ms(s, 1);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    /* And still the new one serves in its place. */
    assert_int_equal(s->roll.phase, AMY__ROLL_BACK);
    assert_true(web->seats[0].want_new);
    web->seats[0].old_state = AMY_WORKER_READY;
    step(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->outcomes, 1);
}

/* rq had been dying for a while. */
static void
test_what_was_away_before_is_not_waited_for(void **state)
{
    struct scene *s = scene_new();

    (void)state;
    (void)add_web(s, 1, 1);
    add(s, 1, 1)->seats[0].old_state = AMY_WORKER_FAILED;
    begin(s);
    fail_seat(s, 0, 0);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
}

static void
test_back_in_a_stop_first_pool_the_new_one_goes_first(void **state)
{
    struct scene *s = scene_new();
    struct amy__roll_pool *rq = add(s, 2, 2);

    (void)state;
    rq->stop_first = true;
    begin(s);
    settle_in(s, AMY__ROLL_STOP_FIRST);
    rq->seats[0].old_state = AMY_WORKER_STOPPED;
    rq->seats[1].old_state = AMY_WORKER_STOPPED;
    step(s);
    rq->seats[0].new_state = AMY_WORKER_READY;
    fail_seat(s, 0, 1);
    assert_int_equal(wanted_new(rq), 0);
    assert_true(rq->seats[1].want_old);
    assert_false(rq->seats[0].want_old);
    rq->seats[0].new_state = AMY_WORKER_DRAIN;
    step(s);
    assert_false(rq->seats[0].want_old);
    rq->seats[0].new_state = AMY_WORKER_STOPPED;
    step(s);
    assert_true(rq->seats[0].want_old);
}

/* ---- every step ---- */

/* Whatever fails, whenever: enough workers stay ready, a seat never has two,
 * and it ends as it began. */
static void
test_a_failure_at_any_step_leads_back(void **state)
{
    int failures = 0;

    (void)state;
    for (int when = 0; when < 60; when++) {
        for (size_t pool = 0; pool < 3; pool++) {
            struct scene *s = scene_new();
            struct amy__roll_pool *web = add_web(s, 3, 2);
            struct amy__roll_pool *rq = add(s, 2, 3);
            struct amy__roll_pool *scheduler = add(s, 1, 1);

            scheduler->stop_first = true;
            scheduler->after = 3U;
            begin(s);
            for (int i = 0; i < when && s->roll.phase != AMY__ROLL_IDLE; i++) {
                if (!obey(s)) {
                    s->now_ms += BAKE_MS;
                }
                step(s);
            }
            if (s->roll.phase == AMY__ROLL_IDLE ||
                !s->pools[pool].seats[0].want_new) {
                continue;
            }
            failures++;
            assert_true(s->fewest[0] >= 2 && s->fewest[1] >= 2);
            fail_seat(s, pool, 0);
            settle_in(s, AMY__ROLL_IDLE);
            assert_int_equal(s->told, AMY__ROLL_FAILED);
            assert_int_equal(s->outcomes, 1);
            assert_untouched(web);
            assert_untouched(rq);
            assert_untouched(scheduler);
            /* But for the one that failed. */
            assert_true(s->fewest[0] >= 1 && s->fewest[1] >= 1);
            assert_false(s->twice);
        }
    }
    assert_true(failures > 20);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_canary_bakes_and_then_one_follows_the_other),
        cmocka_unit_test(test_a_bake_waits_for_the_answer_to_its_last_question),
        cmocka_unit_test(test_counts_may_differ),
        cmocka_unit_test(test_an_old_worker_that_is_away_is_made_up_for),
        cmocka_unit_test(test_pools_without_sockets_follow_those_that_serve),
        cmocka_unit_test(test_nothing_that_serves_means_no_bake),
        cmocka_unit_test(test_stop_first_comes_last_and_never_has_two),
        cmocka_unit_test(test_what_has_no_socket_must_live_through_a_bake),
        cmocka_unit_test(test_what_is_away_when_it_has_settled_is_waited_for),
        cmocka_unit_test(test_a_long_bake_is_longer_than_the_wait_for_jobs),
        cmocka_unit_test(test_a_long_job_does_not_hold_up_a_deployment),
        cmocka_unit_test(test_a_booting_scheduler_is_waited_for),
        cmocka_unit_test(test_a_pool_that_is_no_more_ends_last),
        cmocka_unit_test(test_more_pools_than_bits_are_no_trouble),
        cmocka_unit_test(
            test_a_pool_of_another_name_starts_before_the_old_one_ends),
        cmocka_unit_test(
            test_a_pool_that_is_new_starts_whole_when_the_canary_is_good),
        cmocka_unit_test(test_what_a_canary_comes_after_starts_before_it),
        cmocka_unit_test(test_a_first_generation_starts_whole_in_its_order),
        cmocka_unit_test(
            test_a_first_generation_that_fails_is_told_and_goes_on_trying),
        cmocka_unit_test(test_a_canary_that_fails_ends_alone),
        cmocka_unit_test(test_the_way_back_keeps_as_many_ready),
        cmocka_unit_test(
            test_an_old_generation_that_does_not_come_back_is_not_waited_for),
        cmocka_unit_test(test_what_was_away_before_is_not_waited_for),
        cmocka_unit_test(test_back_in_a_stop_first_pool_the_new_one_goes_first),
        cmocka_unit_test(test_a_failure_at_any_step_leads_back),
    };

    return cmocka_run_group_tests_name("workers/roll", tests, NULL, NULL);
}

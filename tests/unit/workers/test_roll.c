/* How one generation takes over from another, as a table of scenes. */
#include "amy_test.h"

#include "rolling.h"

/* ---- the good way ---- */

static void
test_one_canary_bakes_and_then_one_follows_the_other(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 3, 3);

    (void)state;
    rolling_begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_CANARY);
    assert_true(web->seats[0].want_new);
    assert_int_equal(wanted_new(web), 1);
    web->seats[0].new_state = AMY_WORKER_BOOT;
    rolling_wait_ms(s, 3600000); /* the pool's boot timeout ends this, not we */
    assert_int_equal(s->roll.phase, AMY__ROLL_CANARY);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    assert_int_equal(s->out.due_ms, s->now_ms + BAKE_MS);
    rolling_wait_ms(s, BAKE_MS - 1);
    assert_int_equal(s->roll.phase, AMY__ROLL_BAKE);
    assert_int_equal(wanted_old(web), 3);
    rolling_wait_ms(s, 1);
    assert_int_equal(s->roll.phase, AMY__ROLL_SEATS);
    /* The canary's seat is free, and one more worker starts. */
    assert_false(web->seats[0].want_old);
    assert_int_equal(wanted_old(web), 2);
    assert_int_equal(wanted_new(web), 2);
    web->seats[1].new_state = AMY_WORKER_BOOT;
    rolling_step(s);
    assert_int_equal(wanted_old(web), 2);
    web->seats[1].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(wanted_old(web), 1);
    assert_int_equal(wanted_new(web), 3);
    rolling_settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(wanted_old(web), 0);
    assert_int_equal(wanted_new(web), 3);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(s->outcomes, 1);
    assert_int_equal(s->fewest[0], 3);
}

/* Who goes back has served before: no canary, no bake, all at once, and still
 * never fewer than there were. */
static void
test_what_has_served_before_starts_all_at_once(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 3, 3);
    struct amy__roll_pool *beat = rolling_add(s, 1, 1);

    (void)state;
    beat->stop_first = true;
    s->roll.proven = true;
    s->roll.bake_ms = 0;
    rolling_begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_SEATS);
    assert_int_equal(wanted_new(web), 3);
    assert_int_equal(wanted_old(web), 3);
    assert_int_equal(wanted_old(beat), 0); /* and never two of it */
    assert_int_equal(wanted_new(beat), 0);
    web->seats[1].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(wanted_old(web), 2);
    assert_false(web->seats[1].want_old);
    rolling_settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(wanted_old(web), 0);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(s->fewest[0], 3);
}

static void
test_a_bake_waits_for_the_answer_to_its_last_question(void **state)
{
    struct rolling *s = rolling_new();

    (void)state;
    (void)rolling_add_web(s, 1, 1);
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    s->unsure = true;
    rolling_wait_ms(s, BAKE_MS * 3);
    assert_int_equal(s->roll.phase, AMY__ROLL_BAKE);
    s->unsure = false;
    rolling_step(s);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_counts_may_differ(void **state)
{
    static const uint32_t counts[][2] = {{1, 4}, {4, 1}, {2, 3}, {3, 2}};

    (void)state;
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        struct rolling *s = rolling_new();
        uint32_t from = counts[i][0];
        uint32_t to = counts[i][1];
        struct amy__roll_pool *web = rolling_add_web(s, from, to);

        rolling_begin(s);
        rolling_settle_in(s, AMY__ROLL_BAKE);
        rolling_wait_ms(s, BAKE_MS);
        rolling_settle_in(s, AMY__ROLL_IDLE);
        assert_int_equal(wanted_new(web), to);
        assert_int_equal(wanted_old(web), 0);
        assert_int_equal(s->fewest[0], from < to ? from : to);
    }
}

/* One that died a moment ago is no reason to drain another too early. */
static void
test_an_old_worker_that_is_away_is_made_up_for(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 3, 3);

    (void)state;
    web->seats[2].old_state = AMY_WORKER_BACKOFF;
    s->fewest[0] = 2;
    rolling_begin(s);
    web->seats[0].new_state = AMY_WORKER_READY;
    rolling_step(s);
    rolling_wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_SEATS);
    assert_int_equal(wanted_old(web), 3); /* three are ready, and three stay */
    web->seats[1].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(wanted_old(web), 2);
    web->seats[2].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(wanted_old(web), 0);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_pools_without_sockets_follow_those_that_serve(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *rq = rolling_add(s, 2, 2);
    struct amy__roll_pool *web = rolling_add_web(s, 2, 2);

    (void)state;
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    assert_untouched(rq);
    rolling_wait_ms(s, BAKE_MS);
    assert_untouched(rq);
    web->seats[1].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(wanted_old(web), 0);
    assert_int_equal(wanted_new(rq), 1);
    rolling_settle_in(s, AMY__ROLL_SETTLE);
    assert_int_equal(s->outcomes, 0);
    rolling_wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->fewest[0], 2);
    assert_int_equal(s->fewest[1], 2);
}

static void
test_nothing_that_serves_means_no_bake(void **state)
{
    struct rolling *s = rolling_new();

    (void)state;
    (void)rolling_add(s, 1, 1);
    rolling_begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_SEATS);
    rolling_settle_in(s, AMY__ROLL_SETTLE);
    assert_int_equal(s->outcomes, 0);
    rolling_wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_stop_first_comes_last_and_never_has_two(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 1, 1);
    struct amy__roll_pool *scheduler = rolling_add(s, 1, 1);

    (void)state;
    scheduler->stop_first = true;
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    assert_untouched(scheduler);
    rolling_wait_ms(s, BAKE_MS);
    /* The web is new; the old scheduler has been told, and is not gone. */
    assert_int_equal(wanted_new(web), 1);
    assert_int_equal(s->roll.phase, AMY__ROLL_STOP_FIRST);
    assert_int_equal(wanted_old(scheduler), 0);
    assert_int_equal(wanted_new(scheduler), 0);
    scheduler->seats[0].old_state = AMY_WORKER_DRAIN;
    rolling_step(s);
    assert_int_equal(wanted_new(scheduler), 0);
    scheduler->seats[0].old_state = AMY_WORKER_STOPPED;
    rolling_step(s);
    assert_int_equal(wanted_new(scheduler), 1);
    rolling_settle_in(s, AMY__ROLL_SETTLE);
    assert_int_equal(s->outcomes, 0);
    rolling_wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_false(s->twice);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static struct rolling *
settling(bool stop_first)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *rq = NULL;

    (void)rolling_add_web(s, 1, 1);
    rq = rolling_add(s, 2, 2);
    rq->stop_first = stop_first;
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    rolling_wait_ms(s, BAKE_MS);
    rolling_settle_in(s, AMY__ROLL_SETTLE);
    return s;
}

/* It cannot be asked how it is: it must live. */
static void
test_what_has_no_socket_must_live_through_a_bake(void **state)
{
    (void)state;
    for (int stop_first = 0; stop_first < 2; stop_first++) {
        struct rolling *s = settling(stop_first != 0);

        assert_int_equal(s->out.due_ms, s->now_ms + BAKE_MS);
        rolling_wait_ms(s, BAKE_MS - 1);
        assert_int_equal(s->outcomes, 0);
        rolling_fail_seat(s, 1, 1);
        assert_int_equal(s->roll.phase, AMY__ROLL_BACK);
        rolling_settle_in(s, AMY__ROLL_IDLE);
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
    struct rolling *s = settling(true);

    (void)state;
    s->pools[1].seats[0].new_state = AMY_WORKER_BOOT;
    rolling_wait_ms(s, BAKE_MS * 2);
    assert_int_equal(s->outcomes, 0);
    s->pools[1].seats[0].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

/* Then a long job is no shorter way than the bake. */
static void
test_a_long_bake_is_longer_than_the_wait_for_jobs(void **state)
{
    struct rolling *s = rolling_new();

    (void)state;
    s->roll.bake_ms = AMY__ROLL_DRAIN_MS * 3;
    rolling_add(s, 1, 1)->stop_first = true;
    rolling_begin(s);
    s->pools[0].seats[0].old_state = AMY_WORKER_DRAIN;
    rolling_step(s);
    rolling_wait_ms(s, AMY__ROLL_DRAIN_MS * 3 - 1);
    assert_int_equal(s->outcomes, 0);
    rolling_wait_ms(s, 1);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_a_long_job_does_not_hold_up_a_deployment(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *rq = rolling_add(s, 1, 1);

    (void)state;
    rq->stop_first = true;
    rolling_begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_STOP_FIRST);
    rq->seats[0].old_state = AMY_WORKER_DRAIN;
    rolling_step(s);
    assert_int_equal(s->out.due_ms, s->roll.since_ms + AMY__ROLL_DRAIN_MS);
    rolling_wait_ms(s, AMY__ROLL_DRAIN_MS - 1);
    assert_int_equal(s->outcomes, 0);
    rolling_wait_ms(s, 1);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(s->roll.phase, AMY__ROLL_STOP_FIRST);
    /* Said is said: what happens now does not take anything back. */
    rq->seats[0].old_state = AMY_WORKER_STOPPED;
    rolling_step(s);
    assert_true(rq->seats[0].want_new);
    rolling_fail_seat(s, 0, 0);
    assert_int_equal(s->roll.phase, AMY__ROLL_STOP_FIRST);
    assert_true(rq->seats[0].want_new);
    rq->seats[0].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->outcomes, 1);
}

static void
test_who_goes_back_waits_for_no_job_at_all(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 1, 1);
    struct amy__roll_pool *rq = rolling_add(s, 1, 1);

    (void)state;
    rq->stop_first = true;
    s->roll.proven = true;
    s->roll.bake_ms = 0;
    rolling_begin(s);
    rq->seats[0].old_state = AMY_WORKER_DRAIN;
    rolling_step(s);
    assert_int_equal(s->outcomes, 0); /* but for what visitors see */
    web->seats[0].new_state = AMY_WORKER_READY;
    rolling_step(s);
    web->seats[0].old_state = AMY_WORKER_STOPPED;
    rolling_step(s);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(s->roll.phase, AMY__ROLL_STOP_FIRST);
    rq->seats[0].old_state = AMY_WORKER_STOPPED;
    rolling_step(s);
    assert_true(rq->seats[0].want_new);
    rq->seats[0].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->outcomes, 1);
}

/* What boots is not a job that ends some day. */
static void
test_a_booting_scheduler_is_waited_for(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *scheduler = rolling_add(s, 1, 1);

    (void)state;
    scheduler->stop_first = true;
    rolling_begin(s);
    scheduler->seats[0].old_state = AMY_WORKER_STOPPED;
    rolling_step(s);
    scheduler->seats[0].new_state = AMY_WORKER_BOOT;
    rolling_wait_ms(s, AMY__ROLL_DRAIN_MS * 2);
    assert_int_equal(s->outcomes, 0);
    rolling_fail_seat(s, 0, 0);
    assert_int_equal(s->roll.phase, AMY__ROLL_BACK);
    assert_true(scheduler->seats[0].want_old);
    rolling_settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
}

static void
test_a_pool_that_is_no_more_ends_last(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 1, 1);
    struct amy__roll_pool *gone = rolling_add(s, 2, 0);

    (void)state;
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    assert_int_equal(wanted_old(gone), 2);
    rolling_fail_seat(s, 0, 0);
    rolling_settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(wanted_old(gone), 2);
    assert_int_equal(wanted_old(web), 1);
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    rolling_wait_ms(s, BAKE_MS);
    assert_int_equal(wanted_old(gone), 0);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

/* As many as a site may have, and all those that it no longer has. */
static void
test_more_pools_than_bits_are_no_trouble(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *cache = rolling_add(s, 0, 1);
    struct amy__roll_pool *web = rolling_add_web(s, 1, 1);

    (void)state;
    web->after = 1U << 0;
    while (s->roll.pool_count < POOLS) {
        (void)rolling_add(s, 1, 0);
    }
    rolling_begin(s);
    assert_int_equal(wanted_new(cache), 1);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    rolling_wait_ms(s, BAKE_MS);
    rolling_settle_in(s, AMY__ROLL_SETTLE);
    rolling_wait_ms(s, BAKE_MS);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(wanted_old(&s->pools[POOLS - 1]), 0);
}

static void
test_a_pool_of_another_name_starts_before_the_old_one_ends(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *app = rolling_add_web(s, 0, 2);
    struct amy__roll_pool *web = rolling_add_web(s, 2, 0);

    (void)state;
    rolling_begin(s);
    assert_int_equal(wanted_new(app), 2);
    assert_int_equal(wanted_old(web), 2);
    app->seats[0].new_state = AMY_WORKER_READY;
    rolling_fail_seat(s, 0, 1);
    rolling_settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    assert_int_equal(s->fewest[1], 2);
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_DONE);
    assert_int_equal(wanted_old(web), 0);
}

static void
test_a_pool_that_is_new_starts_whole_when_the_canary_is_good(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *rq = rolling_add(s, 0, 3);

    (void)state;
    (void)rolling_add_web(s, 1, 1);
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    assert_int_equal(wanted_new(rq), 0);
    rolling_wait_ms(s, BAKE_MS);
    assert_int_equal(wanted_new(rq), 3);
    assert_int_equal(s->roll.phase, AMY__ROLL_SEATS);
    rq->seats[0].new_state = AMY_WORKER_READY;
    rolling_fail_seat(s, 0, 1);
    assert_int_equal(wanted_new(rq), 0);
    rolling_settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
}

/* The new web needs a pool that only its own release has. */
static void
test_what_a_canary_comes_after_starts_before_it(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *cache = rolling_add(s, 0, 1);
    struct amy__roll_pool *web = rolling_add_web(s, 1, 1);

    (void)state;
    web->after = 1U << 0;
    rolling_begin(s);
    assert_int_equal(wanted_new(cache), 1);
    assert_int_equal(wanted_new(web), 0);
    cache->seats[0].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(wanted_new(web), 1);
}

/* ---- the first generation ---- */

static void
test_a_first_generation_starts_whole_in_its_order(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 0, 2);
    struct amy__roll_pool *scheduler = rolling_add(s, 0, 1);

    (void)state;
    scheduler->stop_first = true;
    scheduler->after = 1U << 0;
    rolling_begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_START);
    assert_int_equal(wanted_new(web), 2);
    assert_int_equal(wanted_new(scheduler), 0);
    web->seats[1].new_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(wanted_new(scheduler), 1);
    rolling_settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->told, AMY__ROLL_DONE);
}

static void
test_a_first_generation_that_fails_is_told_and_goes_on_trying(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 1, 1);

    (void)state;
    /* The one before it never worked either. */
    web->fresh = true;
    web->seats[0].old_state = AMY_WORKER_FAILED;
    rolling_begin(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_START);
    assert_int_equal(wanted_old(web), 0);
    rolling_fail_seat(s, 0, 0);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    assert_int_equal(s->roll.phase, AMY__ROLL_START);
    assert_true(web->seats[0].want_new);
    rolling_settle_in(s, AMY__ROLL_IDLE);
    assert_int_equal(s->outcomes, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_canary_bakes_and_then_one_follows_the_other),
        cmocka_unit_test(test_what_has_served_before_starts_all_at_once),
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
        cmocka_unit_test(test_who_goes_back_waits_for_no_job_at_all),
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
    };

    return cmocka_run_group_tests_name("workers/roll", tests, NULL, NULL);
}

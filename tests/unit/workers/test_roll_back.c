/* How a generation that is no good is taken back, at whatever step. */
#include "amy_test.h"

#include "rolling.h"

/* ---- the way back ---- */

static void
test_a_canary_that_fails_ends_alone(void **state)
{
    static const enum amy__roll_phase phases[] = {AMY__ROLL_CANARY,
                                                  AMY__ROLL_BAKE};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct rolling *s = rolling_new();
        struct amy__roll_pool *web = rolling_add_web(s, 3, 3);
        struct amy__roll_pool *rq = rolling_add(s, 1, 1);

        rolling_begin(s);
        if (phases[i] == AMY__ROLL_BAKE) {
            rolling_settle_in(s, AMY__ROLL_BAKE);
        }
        rolling_fail_seat(s, 0, 0);
        assert_untouched(web);
        assert_untouched(rq);
        assert_int_equal(s->told, AMY__ROLL_FAILED);
        assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
        assert_true(s->roll.back);
        assert_int_equal(s->fewest[0], 3);
    }
}

static void
test_what_is_given_up_goes_back_and_blames_no_seat(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 3, 3);

    (void)state;
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    rolling_give_up(s);
    assert_untouched(web);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    assert_true(s->roll.back);
    rolling_give_up(s); /* nothing is under way */
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->outcomes, 1);
}

static void
test_the_way_back_keeps_as_many_ready(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 3, 3);

    (void)state;
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    rolling_wait_ms(s, BAKE_MS);
    web->seats[0].old_state = AMY_WORKER_STOPPED;
    web->seats[1].new_state = AMY_WORKER_READY;
    rolling_step(s);
    web->seats[1].old_state = AMY_WORKER_DRAIN;
    rolling_step(s);
    assert_int_equal(wanted_old(web), 1);
    rolling_fail_seat(s, 0, 2);
    assert_int_equal(s->roll.phase, AMY__ROLL_BACK);
    assert_int_equal(s->outcomes, 0);
    assert_int_equal(wanted_old(web), 3);
    assert_false(web->seats[2].want_new);
    /* The new ones stay until the old ones work again. */
    assert_int_equal(wanted_new(web), 2);
    web->seats[1].old_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(wanted_new(web), 1);
    web->seats[0].old_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_untouched(web);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    assert_int_equal(s->fewest[0], 3);
}

static void
test_an_old_generation_that_does_not_come_back_is_not_waited_for(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *web = rolling_add_web(s, 2, 2);

    (void)state;
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_BAKE);
    rolling_wait_ms(s, BAKE_MS);
    web->seats[0].old_state = AMY_WORKER_STOPPED;
    rolling_fail_seat(s, 0, 1);
    web->seats[0].old_state = AMY_WORKER_BACKOFF;
    rolling_wait_ms(s, AMY__ROLL_BACK_MS - 1);
    assert_int_equal(s->outcomes, 0);
    rolling_wait_ms(s, 1);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    /* And still the new one serves in its place. */
    assert_int_equal(s->roll.phase, AMY__ROLL_BACK);
    assert_true(web->seats[0].want_new);
    web->seats[0].old_state = AMY_WORKER_READY;
    rolling_step(s);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
    assert_int_equal(s->outcomes, 1);
}

/* rq had been dying for a while. */
static void
test_what_was_away_before_is_not_waited_for(void **state)
{
    struct rolling *s = rolling_new();

    (void)state;
    (void)rolling_add_web(s, 1, 1);
    rolling_add(s, 1, 1)->seats[0].old_state = AMY_WORKER_FAILED;
    rolling_begin(s);
    rolling_fail_seat(s, 0, 0);
    assert_int_equal(s->told, AMY__ROLL_FAILED);
    assert_int_equal(s->roll.phase, AMY__ROLL_IDLE);
}

static void
test_back_in_a_stop_first_pool_the_new_one_goes_first(void **state)
{
    struct rolling *s = rolling_new();
    struct amy__roll_pool *rq = rolling_add(s, 2, 2);

    (void)state;
    rq->stop_first = true;
    rolling_begin(s);
    rolling_settle_in(s, AMY__ROLL_STOP_FIRST);
    rq->seats[0].old_state = AMY_WORKER_STOPPED;
    rq->seats[1].old_state = AMY_WORKER_STOPPED;
    rolling_step(s);
    rq->seats[0].new_state = AMY_WORKER_READY;
    rolling_fail_seat(s, 0, 1);
    assert_int_equal(wanted_new(rq), 0);
    assert_true(rq->seats[1].want_old);
    assert_false(rq->seats[0].want_old);
    rq->seats[0].new_state = AMY_WORKER_DRAIN;
    rolling_step(s);
    assert_false(rq->seats[0].want_old);
    rq->seats[0].new_state = AMY_WORKER_STOPPED;
    rolling_step(s);
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
            struct rolling *s = rolling_new();
            struct amy__roll_pool *web = rolling_add_web(s, 3, 2);
            struct amy__roll_pool *rq = rolling_add(s, 2, 3);
            struct amy__roll_pool *scheduler = rolling_add(s, 1, 1);

            scheduler->stop_first = true;
            scheduler->after = 3U;
            rolling_begin(s);
            for (int i = 0; i < when && s->roll.phase != AMY__ROLL_IDLE; i++) {
                if (!rolling_obey(s)) {
                    s->now_ms += BAKE_MS;
                }
                rolling_step(s);
            }
            if (s->roll.phase == AMY__ROLL_IDLE ||
                !s->pools[pool].seats[0].want_new) {
                continue;
            }
            failures++;
            assert_true(s->fewest[0] >= 2 && s->fewest[1] >= 2);
            rolling_fail_seat(s, pool, 0);
            rolling_settle_in(s, AMY__ROLL_IDLE);
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
        cmocka_unit_test(test_a_canary_that_fails_ends_alone),
        cmocka_unit_test(test_what_is_given_up_goes_back_and_blames_no_seat),
        cmocka_unit_test(test_the_way_back_keeps_as_many_ready),
        cmocka_unit_test(
            test_an_old_generation_that_does_not_come_back_is_not_waited_for),
        cmocka_unit_test(test_what_was_away_before_is_not_waited_for),
        cmocka_unit_test(test_back_in_a_stop_first_pool_the_new_one_goes_first),
        cmocka_unit_test(test_a_failure_at_any_step_leads_back),
    };

    return cmocka_run_group_tests_name("workers/roll_back", tests, NULL, NULL);
}

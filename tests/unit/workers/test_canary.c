/* The first worker of a new generation, and how it fails. */
#include "amy_test.h"

#include "serving.h"

static bool
has_canary(const struct scene *s)
{
    const struct amy__workers_pool *web = scene_pool(s, 2, "web");

    return web != NULL && amy__workers_pool_state(web, 0) == AMY_WORKER_BOOT;
}

static void
test_canary_is_refused_for_what_it_does(void **state)
{
    static const struct {
        const char *mode;
        const char *reason;
    } bad[] = {
        {"2.0 500\n",
         "web 0 of generation 2: the health check /up was answered "
         "with status 500"},
        {"2.0 302\n", "with status 302"},
        {"2.0 cut\n", "gave no answer within 3000 ms"},
        {"2.0 exit\n", "exited with code 3 before it was ready"},
        {"2.0 crash\n", "exited with code 9 before it was ready"},
    };

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct scene *s = *state;

        serve_first(s, "bake: 0s, timeout: 1s", bad[i].mode);
        ask_reload(s);
        scene_run_until(s, only_first_watched);
        assert_reason(s, bad[i].reason);
        assert_int_equal(fewest, 2);
        assert_false(published(s, "2.0"));
        assert_int_equal(restarts_of(s, 1, 0) + restarts_of(s, 1, 1), 0);
        assert_true(amy__json_count(scene_reload(s)->lines) > 0);
        assert_int_equal(scene_tear_down(state), 0);
        assert_int_equal(serving_set_up(state), 0);
    }
}

static void
test_canary_that_turns_bad_in_the_bake_ends(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 1m", "");
    ask_reload(s);
    scene_run_until(s, bakes);
    assert_true(published(s, "2.0"));
    put_mode(s, "2.0 503\n");
    scene_run_until(s, only_first_watched);
    assert_reason(s, "with status 503");
    assert_int_equal(fewest, 2);
    assert_false(published(s, "2.0"));
}

static void
test_canary_that_falls_silent_does_not_pass(void **state)
{
    struct scene *s = *state;

    /* The bake is long over when its last question is given up. */
    serve_first(s, "bake: 1500ms", "");
    ask_reload(s);
    scene_run_until(s, bakes);
    put_mode(s, "2.0 silent\n");
    scene_run_until(s, only_first_watched);
    assert_reason(s, "got no answer");
    assert_int_equal(fewest, 2);
}

static void
test_canary_that_is_killed_in_the_bake_ends(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 1m", "");
    ask_reload(s);
    scene_run_until(s, bakes);
    kill_worker(s, 2, 0);
    scene_run_until(s, only_first);
    assert_reason(s, "web 0 of generation 2: killed by SIGKILL");
}

static bool
both_died_and_are_back(const struct scene *s)
{
    return restarts_of(s, 1, 0) == 1 && restarts_of(s, 1, 1) == 1 &&
           first_serves(s);
}

static void
test_old_workers_that_die_during_a_canary_are_replaced(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 0s", "2.0 hang\n");
    ask_reload(s);
    scene_run_until(s, has_canary);
    kill_worker(s, 1, 0);
    kill_worker(s, 1, 1);
    scene_run_until(s, both_died_and_are_back);
    assert_int_equal(scene_reload(s)->roll.phase, AMY__ROLL_CANARY);
    scene_run_until(s, only_first);
    assert_reason(s, "gave no answer within 3000 ms");
}

#define SCENE_TEST(test)                                                       \
    cmocka_unit_test_setup_teardown(test, serving_set_up, scene_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_canary_is_refused_for_what_it_does),
        SCENE_TEST(test_canary_that_turns_bad_in_the_bake_ends),
        SCENE_TEST(test_canary_that_falls_silent_does_not_pass),
        SCENE_TEST(test_canary_that_is_killed_in_the_bake_ends),
        SCENE_TEST(test_old_workers_that_die_during_a_canary_are_replaced),
    };

    return cmocka_run_group_tests_name("workers/canary", tests, NULL, NULL);
}

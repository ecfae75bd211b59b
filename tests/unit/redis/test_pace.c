/* When a client tries again, without a clock. */
#include "amy_test.h"

#include "redis/pace.h"

#define MOST UINT32_MAX

/* One attempt that fails at once; returns how long to wait. */
static int64_t
fail_once(struct amy__redis_pace *pace, int64_t *now_ms, uint32_t random)
{
    int64_t wait_ms = 0;

    amy__redis_pace_begin(pace, *now_ms);
    amy__redis_pace_down(pace, *now_ms, random);
    wait_ms = amy__redis_pace_wait(pace, *now_ms);
    *now_ms += wait_ms;
    assert_int_equal(amy__redis_pace_wait(pace, *now_ms), 0);
    return wait_ms;
}

static void
test_down_pauses_double_up_to_the_cap(void **state)
{
    struct amy__redis_pace pace;
    int64_t now_ms = 1000;

    (void)state;
    amy__redis_pace_init(&pace, 3);
    assert_int_equal(amy__redis_pace_wait(&pace, now_ms), 0);
    /* 50 is raised: two beginnings are 100 ms apart. */
    assert_int_equal(fail_once(&pace, &now_ms, MOST), 100);
    assert_int_equal(fail_once(&pace, &now_ms, MOST), 100);
    assert_int_equal(fail_once(&pace, &now_ms, MOST), 200);
    assert_int_equal(fail_once(&pace, &now_ms, MOST), 400);
    assert_int_equal(fail_once(&pace, &now_ms, MOST), 800);
    assert_int_equal(fail_once(&pace, &now_ms, MOST), 1600);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(fail_once(&pace, &now_ms, MOST), 2000);
    }
    assert_in_range(fail_once(&pace, &now_ms, MOST / 4), 499, 500);
    assert_int_equal(fail_once(&pace, &now_ms, 0), 100);
}

/* Calls that were late while it connected count as attempts that failed. */
static void
test_late_is_broken_until_it_is_up(void **state)
{
    struct amy__redis_pace pace;

    (void)state;
    amy__redis_pace_init(&pace, 3);
    amy__redis_pace_begin(&pace, 1000);
    for (int i = 0; i < 3; i++) {
        assert_false(amy__redis_pace_is_broken(&pace));
        amy__redis_pace_late(&pace);
    }
    assert_true(amy__redis_pace_is_broken(&pace));
    amy__redis_pace_up(&pace, 1000);
    assert_false(amy__redis_pace_is_broken(&pace));
}

static void
test_down_is_broken_after_failures_in_a_row(void **state)
{
    struct amy__redis_pace pace;
    int64_t now_ms = 1000;

    (void)state;
    amy__redis_pace_init(&pace, 3);
    (void)fail_once(&pace, &now_ms, MOST);
    (void)fail_once(&pace, &now_ms, MOST);
    assert_false(amy__redis_pace_is_broken(&pace));
    (void)fail_once(&pace, &now_ms, MOST);
    assert_true(amy__redis_pace_is_broken(&pace));
    amy__redis_pace_begin(&pace, now_ms);
    assert_true(amy__redis_pace_is_broken(&pace));
    amy__redis_pace_up(&pace, now_ms);
    assert_false(amy__redis_pace_is_broken(&pace));
}

/* One that accepts and leaves must not be knocked at ten times a second. */
static void
test_down_soon_after_up_goes_on_doubling(void **state)
{
    struct amy__redis_pace pace;
    int64_t now_ms = 1000;

    (void)state;
    amy__redis_pace_init(&pace, 3);
    for (int i = 0; i < 6; i++) {
        amy__redis_pace_begin(&pace, now_ms);
        amy__redis_pace_up(&pace, now_ms);
        now_ms += 1000;
        amy__redis_pace_down(&pace, now_ms, MOST);
        now_ms += amy__redis_pace_wait(&pace, now_ms);
        assert_false(amy__redis_pace_is_broken(&pace));
    }
    assert_int_equal(fail_once(&pace, &now_ms, MOST), 2000);
    amy__redis_pace_begin(&pace, now_ms);
    amy__redis_pace_up(&pace, now_ms);
    now_ms += 30000;
    amy__redis_pace_down(&pace, now_ms, MOST);
    assert_int_equal(amy__redis_pace_wait(&pace, now_ms), 50);
}

static void
test_refuse_waits_long(void **state)
{
    struct amy__redis_pace pace;
    int64_t now_ms = 1000;

    (void)state;
    amy__redis_pace_init(&pace, 3);
    amy__redis_pace_begin(&pace, now_ms);
    amy__redis_pace_down(&pace, now_ms, 0);
    amy__redis_pace_refuse(&pace, now_ms);
    assert_true(amy__redis_pace_is_broken(&pace));
    assert_int_equal(amy__redis_pace_wait(&pace, now_ms), 60000);
    amy__redis_pace_up(&pace, now_ms + 60000);
    assert_false(amy__redis_pace_is_broken(&pace));
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_down_pauses_double_up_to_the_cap),
        cmocka_unit_test(test_late_is_broken_until_it_is_up),
        cmocka_unit_test(test_down_is_broken_after_failures_in_a_row),
        cmocka_unit_test(test_down_soon_after_up_goes_on_doubling),
        cmocka_unit_test(test_refuse_waits_long),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

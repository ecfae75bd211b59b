#include "amy_test.h"

#include "core/clock.h"

static int64_t
seven(void *user)
{
    return *(int64_t *)user;
}

static void
test_given_clock_is_read_and_null_is_the_systems(void **state)
{
    int64_t value = 7;
    struct amy_clock clock = {sizeof(clock), seven, seven, &value};
    int64_t before = amy__mono_ms(NULL);

    (void)state;
    assert_true(amy__mono_ms(&clock) == 7);
    assert_true(amy__wall_ms(&clock) == 7);
    assert_true(amy__mono_ms(amy_clock_system()) >= before);
    /* 2024-01-01: a machine that runs this test lives later. */
    assert_true(amy__wall_ms(NULL) > 1704067200000);
    assert_true(amy__wall_ms(amy_clock_system()) > 1704067200000);
}

static void
formats(int64_t wall_ms, const char *want)
{
    char buf[25] = "";

    assert_string_equal(amy__format_time(wall_ms, buf), want);
}

static void
test_format_time_is_rfc_3339(void **state)
{
    (void)state;
    formats(0, "1970-01-01T00:00:00.000Z");
    formats(1795466527123, "2026-11-23T20:42:07.123Z");
    formats(-1, "1969-12-31T23:59:59.999Z");
    formats(951782399999, "2000-02-28T23:59:59.999Z");
    formats(951782400000, "2000-02-29T00:00:00.000Z");
    formats(INT64_C(-55007090212877), "0226-11-23T20:43:07.123Z");
    formats(INT64_C(-62135596800000), "0001-01-01T00:00:00.000Z");
    formats(253402300799999, "9999-12-31T23:59:59.999Z");
    formats(253402300800000, "0000-01-01T00:00:00.000Z");
    formats(INT64_MAX, "0000-01-01T00:00:00.000Z");
    formats(INT64_MIN, "0000-01-01T00:00:00.000Z");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_given_clock_is_read_and_null_is_the_systems),
        cmocka_unit_test(test_format_time_is_rfc_3339),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

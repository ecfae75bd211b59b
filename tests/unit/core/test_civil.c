#include "amy_test.h"

#include "core/civil.h"

#include <string.h>

static void
test_days_and_dates_agree_over_eight_centuries(void **state)
{
    int64_t day = amy__civil_day(1600, 1, 1);

    (void)state;
    assert_int_equal(amy__civil_day(1970, 1, 1), 0);
    assert_int_equal(amy__civil_day(2000, 3, 1), 11017);
    assert_int_equal(amy__civil_weekday(0), 4);
    assert_int_equal(amy__civil_weekday(-1), 3);
    for (int64_t year = 1600; year < 2400; year++) {
        for (unsigned month = 1; month <= 12; month++) {
            unsigned days = amy__civil_month_days(year, month);

            for (unsigned d = 1; d <= days; d++, day++) {
                struct amy__civil date = amy__civil_date(day);

                assert_int_equal(amy__civil_day(year, month, d), day);
                assert_true(date.year == year && date.month == month &&
                            date.day == d);
            }
        }
    }
    assert_int_equal(amy__civil_month_days(1900, 2), 28);
    assert_int_equal(amy__civil_month_days(2000, 2), 29);
}

static void
test_times_are_read_as_they_are_written(void **state)
{
    static const char *const faulty[] = {
        "",
        "2026-11-23T20:42:07Z",
        "2026-11-23T20:42:07.123",
        "2026-11-23 20:42:07.123Z",
        "2026-02-29T20:42:07.123Z",
        "2026-13-01T20:42:07.123Z",
        "2026-11-00T20:42:07.123Z",
        "2026-11-23T24:42:07.123Z",
        "2026-11-23T20:60:07.123Z",
        "2026-11-23T20:42:60.123Z",
        "+026-11-23T20:42:07.123Z",
        "2026-11-23T20:42:07.123Z ",
    };
    int64_t ms = 0;

    (void)state;
    assert_true(amy__civil_parse(AMY_SPAN("2026-11-23T20:42:07.123Z"), &ms));
    assert_int_equal(ms, INT64_C(1795466527123));
    assert_true(amy__civil_parse(AMY_SPAN("1969-12-31T23:59:59.999Z"), &ms));
    assert_int_equal(ms, -1);
    for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
        assert_false(amy__civil_parse(amy__span_of(faulty[i]), &ms));
    }
}

static void
test_names_carry_time_and_sequence(void **state)
{
    static const char *const foreign[] = {
        "",
        "manual.dump",
        "20261123T160000",
        "20261123T160000Z-1",
        "20261123T160000Z-02",
        "20261123T160000Z-100",
        "20261123T160000Z-",
        "20261123T160000Z.partial",
        "20261123t160000z",
        "20261323T160000Z",
        "20260229T160000Z",
    };
    char name[AMY__STAMP_SIZE];
    int64_t ms = 0;
    unsigned sequence = 0;

    (void)state;
    amy__stamp_write(INT64_C(1795466527123), 1, name);
    assert_string_equal(name, "20261123T204207Z");
    amy__stamp_write(INT64_C(1795466527123), 12, name);
    assert_string_equal(name, "20261123T204207Z-12");
    assert_true(amy__stamp_parse(amy__span_of(name), &ms, &sequence));
    assert_int_equal(ms, INT64_C(1795466527000));
    assert_int_equal(sequence, 12);
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        assert_false(
            amy__stamp_parse(amy__span_of(foreign[i]), &ms, &sequence));
    }
}

static void
test_names_are_compared_as_times_and_numbers(void **state)
{
    static const char *const rising[] = {
        "20261123T204206Z-99", "20261123T204207Z",    "20261123T204207Z-2",
        "20261123T204207Z-9",  "20261123T204207Z-10", "20261124T000000Z"};
    size_t n = sizeof(rising) / sizeof(rising[0]);

    (void)state;
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < n; k++) {
            assert_int_equal(amy__stamp_compare(rising[i], rising[k]),
                             (i > k) - (i < k));
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_days_and_dates_agree_over_eight_centuries),
        cmocka_unit_test(test_times_are_read_as_they_are_written),
        cmocka_unit_test(test_names_carry_time_and_sequence),
        cmocka_unit_test(test_names_are_compared_as_times_and_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

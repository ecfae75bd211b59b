#include "amy_test.h"

#include "backup/cron.h"
#include "core/civil.h"

#include <string.h>

static void
check_minutes(const char *text, unsigned expected)
{
    struct amy__cron cron;
    struct amy_error err = AMY_ERROR_INIT;
    unsigned n = 0;

    if (amy__cron_parse(amy__span_of(text), &cron, &err) < 0) {
        fail_msg("'%s' %s", text, err.msg);
    }
    for (unsigned m = 0; m < AMY__DAY_MINUTES; m++) {
        n += amy__cron_has_minute(&cron, m);
    }
    assert_int_equal(n, expected);
}

static void
test_fields_of_every_form(void **state)
{
    struct amy__cron cron;

    (void)state;
    check_minutes("* * * * *", 1440);
    check_minutes("30 2 * * *", 1);
    check_minutes("*/15 * * * *", 96);
    check_minutes("0-59/15 0-23 * * *", 96);
    check_minutes("0,30 2,14 * * *", 4);
    check_minutes("  5   4\t*  * mon-fri ", 1);
    assert_int_equal(amy__cron_parse(AMY_SPAN("30 2 * * *"), &cron, NULL), 0);
    assert_true(amy__cron_has_minute(&cron, 150));
    assert_false(cron.every_hour);
    assert_int_equal(amy__cron_parse(AMY_SPAN("0 */2 * * *"), &cron, NULL), 0);
    assert_true(cron.every_hour);
}

static unsigned
days_of_2026(const char *text)
{
    struct amy__cron cron;
    unsigned n = 0;

    assert_int_equal(amy__cron_parse(amy__span_of(text), &cron, NULL), 0);
    for (int64_t day = amy__civil_day(2026, 1, 1);
         day < amy__civil_day(2027, 1, 1); day++) {
        n += amy__cron_has_day(&cron, day);
    }
    return n;
}

/* 2026 begins on a Thursday. */
static void
test_days_as_crontab_5_has_them(void **state)
{
    (void)state;
    assert_int_equal(days_of_2026("0 0 * * *"), 365);
    assert_int_equal(days_of_2026("0 0 1 * *"), 12);
    assert_int_equal(days_of_2026("0 0 31 * *"), 7);
    assert_int_equal(days_of_2026("0 0 * * sun"), 52);
    assert_int_equal(days_of_2026("0 0 * * 7"), 52);
    assert_int_equal(days_of_2026("0 0 * * 0,7"), 52);
    assert_int_equal(days_of_2026("0 0 * * MON-FRI"), 261);
    assert_int_equal(days_of_2026("0 0 1 feb *"), 1);
    assert_int_equal(days_of_2026("0 0 29 2 *"), 0); /* in another year */
    /* Either, when both are given: 12 firsts, 52 Fridays, one of which is the
     * first of May. */
    assert_int_equal(days_of_2026("0 0 1 * fri"), 63);
    assert_int_equal(days_of_2026("0 0 */2 * thu"), 27); /* '*': both */
}

static void
test_faulty_ones_say_which_field(void **state)
{
    static const struct {
        const char *text;
        const char *says;
    } faulty[] = {
        {"", "five"},
        {"* * * *", "five"},
        {"* * * * * *", "more than five"},
        {"60 * * * *", "minute"},
        {"-1 * * * *", "minute"},
        {"5/2 * * * *", "minute"},
        {"*/0 * * * *", "minute"},
        {"1- * * * *", "minute"},
        {"1,,2 * * * *", "minute"},
        {"5-1 * * * *", "minute"},
        {"* 24 * * *", "hour"},
        {"* * 0 * *", "day of month"},
        {"* * 32 * *", "day of month"},
        {"* * * 13 *", "month"},
        {"* * * janx *", "month"},
        {"* * * * 8", "day of week"},
        {"* * * * mon-", "day of week"},
        {"0 0 30 2 *", "never"},
        {"0 0 31 2,4,6,9,11 *", "never"},
        {"@daily", "minute"},
        {"* * * * *\n", "day of week"},
        {"0000000001 * * * *", "minute"},
    };
    struct amy__cron cron;

    (void)state;
    for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
        struct amy_error err = AMY_ERROR_INIT;

        if (amy__cron_parse(amy__span_of(faulty[i].text), &cron, &err) !=
            AMY_EPARSE) {
            fail_msg("'%s' was taken", faulty[i].text);
        }
        if (strstr(err.msg, faulty[i].says) == NULL) {
            fail_msg("'%s' %s", faulty[i].text, err.msg);
        }
    }
}

static void
test_times_of_day_add_up(void **state)
{
    static const char *const faulty[] = {"",      "2:30",  "02:60",
                                         "24:00", "02.30", "0230",
                                         "02:3x", "-2:30", "02:30 "};
    struct amy__cron cron = {.any_day = false};

    (void)state;
    assert_int_equal(amy__cron_add_time(AMY_SPAN("02:30"), &cron, NULL), 0);
    assert_int_equal(amy__cron_add_time(AMY_SPAN("14:45"), &cron, NULL), 0);
    assert_true(amy__cron_has_minute(&cron, 150));
    assert_true(amy__cron_has_minute(&cron, 885));
    assert_false(amy__cron_has_minute(&cron, 165));
    assert_true(amy__cron_has_day(&cron, 0));
    for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
        assert_int_equal(
            amy__cron_add_time(amy__span_of(faulty[i]), &cron, NULL),
            AMY_EPARSE);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields_of_every_form),
        cmocka_unit_test(test_days_as_crontab_5_has_them),
        cmocka_unit_test(test_faulty_ones_say_which_field),
        cmocka_unit_test(test_times_of_day_add_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

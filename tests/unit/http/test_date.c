#include "amy_test.h"

#include "http/date.h"

#define NOW INT64_C(1795468800000) /* 2026-11-23 */

static void
test_format_known_instants(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {
        {INT64_C(784111777000), "Sun, 06 Nov 1994 08:49:37 GMT"},
        {INT64_C(784111777999), "Sun, 06 Nov 1994 08:49:37 GMT"},
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
        {INT64_C(951782400000), "Tue, 29 Feb 2000 00:00:00 GMT"},
        {INT64_C(4107542400000), "Mon, 01 Mar 2100 00:00:00 GMT"},
        {INT64_C(253402300799000), "Fri, 31 Dec 9999 23:59:59 GMT"},
        {INT64_MAX, "Fri, 31 Dec 9999 23:59:59 GMT"},
        {INT64_MIN, "Mon, 01 Jan 0001 00:00:00 GMT"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char text[AMY__DATE_SIZE];

        amy__date_format(cases[i].ms, text);
        assert_string_equal(text, cases[i].text);
    }
}

static void
test_parse_three_formats(void **state)
{
    static const struct {
        const char *text;
        int64_t ms;
    } cases[] = {
        {"Sun, 06 Nov 1994 08:49:37 GMT", INT64_C(784111777000)},
        {"Sunday, 06-Nov-94 08:49:37 GMT", INT64_C(784111777000)},
        {"Sun Nov  6 08:49:37 1994", INT64_C(784111777000)},
        {"Tue Feb 29 00:00:00 2000", INT64_C(951782400000)},
        {"Wednesday, 01-Jan-70 00:00:00 GMT", INT64_C(3155760000000)},
        {"Tuesday, 01-Jan-77 00:00:00 GMT", INT64_C(220924800000)},
        /* a leap second is the next second */
        {"Sat, 31 Dec 2016 23:59:60 GMT", INT64_C(1483228800000)},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = -1;

        assert_true(amy__date_parse(amy__span_of(cases[i].text), NOW, &ms));
        assert_int_equal(ms, cases[i].ms);
    }
}

static void
test_parse_anything_else_refused(void **state)
{
    static const char *const cases[] = {
        "",
        "0",
        "Sun, 06 Nov 1994 08:49:37",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "Sun, 6 Nov 1994 08:49:37 GMT",
        "sun, 06 Nov 1994 08:49:37 GMT",
        "Sun, 06 nov 1994 08:49:37 GMT",
        "Sun, 31 Nov 1994 08:49:37 GMT",
        "Sun, 00 Nov 1994 08:49:37 GMT",
        "Sun, 29 Feb 1900 08:49:37 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:00:00 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, +6 Nov 1994 08:49:37 GMT",
        "Sun, 06-Nov-94 08:49:37 GMT",
        "Sun Nov 6 08:49:37 1994",
        "Sun Nov  6 08:49:37 1994 GMT",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = 7;

        assert_false(amy__date_parse(amy__span_of(cases[i]), NOW, &ms));
        assert_int_equal(ms, 7);
    }
}

static void
test_parse_gives_back_what_format_wrote(void **state)
{
    (void)state;
    /* every 13 days and some over four centuries: all leap rules */
    for (int64_t s = -INT64_C(2208988800); s < INT64_C(10413792000);
         s += 13 * 86400 + 12347) {
        char text[AMY__DATE_SIZE];
        int64_t ms = 0;

        amy__date_format(s * 1000, text);
        assert_true(amy__date_parse(amy__span_of(text), NOW, &ms));
        assert_int_equal(ms, s * 1000);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_format_known_instants),
        cmocka_unit_test(test_parse_three_formats),
        cmocka_unit_test(test_parse_anything_else_refused),
        cmocka_unit_test(test_parse_gives_back_what_format_wrote),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

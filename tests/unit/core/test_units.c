#include "amy_test.h"

#include "core/str.h"

#include <string.h>

static void
size_is(const char *text, uint64_t want)
{
    uint64_t got = 0;

    if (!amy__parse_size(amy__span_of(text), &got) || got != want) {
        fail_msg("%s gave %llu", text, (unsigned long long)got);
    }
}

static void
test_parse_size_knows_both_families(void **state)
{
    (void)state;
    size_is("0", 0);
    size_is("512", 512);
    size_is("512B", 512);
    size_is("64KiB", 65536);
    size_is("10MiB", 10485760);
    size_is("2GiB", 2147483648);
    size_is("1TiB", 1099511627776);
    size_is("1kB", 1000);
    size_is("3MB", 3000000);
    size_is("1GB", 1000000000);
    size_is("1TB", 1000000000000);
    size_is("18446744073709551615", UINT64_MAX);
}

static void
test_parse_size_refuses_all_else(void **state)
{
    static const char *const bad[] = {
        "",       "MiB",  "10M",         "10mib",
        "10 MiB", "-1",   "1.5MB",       "10KB",
        "1MiBx",  "0x10", "20000000TiB", "18446744073709551616",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint64_t got = 7;

        if (amy__parse_size(amy__span_of(bad[i]), &got) || got != 7) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
}

static void
duration_is(const char *text, int64_t want)
{
    int64_t got = -1;

    if (!amy__parse_duration(amy__span_of(text), &got) || got != want) {
        fail_msg("%s gave %lld", text, (long long)got);
    }
}

static void
test_parse_duration_adds_falling_units(void **state)
{
    (void)state;
    duration_is("0s", 0);
    duration_is("250ms", 250);
    duration_is("30s", 30000);
    duration_is("2m", 120000);
    duration_is("1h30m", 5400000);
    duration_is("7d", 604800000);
    duration_is("1d2h3m4s5ms", 93784005);
    duration_is("1s500ms", 1500);
    duration_is("90m", 5400000);
}

static void
test_parse_duration_refuses_all_else(void **state)
{
    static const char *const bad[] = {
        "",
        "30",
        "s",
        "30m1h",
        "1m1m",
        "1 s",
        "-1s",
        "1.5s",
        "1S",
        "1min",
        "1h30",
        "1s1",
        "1w",
        "ms1",
        "1msx",
        "9223372036854775807s",
        "106751991167301d",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int64_t got = 7;

        if (amy__parse_duration(amy__span_of(bad[i]), &got) || got != 7) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
}

static void
test_format_is_read_back_as_written(void **state)
{
    static const int64_t durations[] = {
        0, 1, 999, 1000, 61000, 90000, 5400000, 86400000, 93784005, INT64_MAX};
    static const uint64_t sizes[] = {0,    1,       1023,    1024,
                                     1500, 1048576, 3 << 20, UINT64_MAX};
    char text[64] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(durations) / sizeof(durations[0]); i++) {
        (void)amy__format_duration(durations[i], text, sizeof(text));
        duration_is(text, durations[i]);
    }
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        (void)amy__format_size(sizes[i], text, sizeof(text));
        size_is(text, sizes[i]);
    }
}

static void
test_format_texts(void **state)
{
    char text[8] = "";

    (void)state;
    assert_int_equal(amy__format_duration(5400000, text, sizeof(text)), 5);
    assert_string_equal(text, "1h30m");
    (void)amy__format_duration(-5, text, sizeof(text));
    assert_string_equal(text, "0s");
    assert_int_equal(amy__format_duration(93784005, text, sizeof(text)), 11);
    assert_string_equal(text, "1d2h3m4");
    (void)amy__format_size(10485760, text, sizeof(text));
    assert_string_equal(text, "10MiB");
    (void)amy__format_size(1500, text, sizeof(text));
    assert_string_equal(text, "1500B");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_size_knows_both_families),
        cmocka_unit_test(test_parse_size_refuses_all_else),
        cmocka_unit_test(test_parse_duration_adds_falling_units),
        cmocka_unit_test(test_parse_duration_refuses_all_else),
        cmocka_unit_test(test_format_is_read_back_as_written),
        cmocka_unit_test(test_format_texts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Times as people give them to amyctl logs: --since and --until. */
#include "amy_test.h"

#include "ctl_when.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define NOW_MS INT64_C(1795726799123) /* 2026-11-26T20:59:59.123Z */
#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
/* 2026-11-26T00:00 of the clocks of the test, an hour ahead of UTC. */
#define MIDNIGHT_MS (INT64_C(1795651200000) - HOUR_MS)

static void
reads(const char *text, int64_t want_ms)
{
    int64_t got_ms = -1;

    if (!when_read(text, NOW_MS, &got_ms) || got_ms != want_ms) {
        fail_msg("'%s' is %lld and not %lld", text, (long long)got_ms,
                 (long long)want_ms);
    }
}

static void
refuses(const char *text)
{
    int64_t ms = 0;

    if (when_read(text, NOW_MS, &ms)) {
        fail_msg("'%s' is %lld", text, (long long)ms);
    }
}

static void
test_how_long_ago(void **state)
{
    (void)state;
    reads("30s", NOW_MS - 30000);
    reads("30m", NOW_MS - HOUR_MS / 2);
    reads("2h", NOW_MS - 2 * HOUR_MS);
    reads("1d12h", NOW_MS - DAY_MS - 12 * HOUR_MS);
    reads("2w", NOW_MS - 14 * DAY_MS);
    refuses("0h");
    refuses("2");
    refuses("2x");
    refuses("h");
    refuses("-2h");
    refuses("2h ");
    refuses("5000w5000w");
    refuses("100000d");
    refuses("99999999999999999999h");
}

static void
test_times_without_an_offset_are_local(void **state)
{
    (void)state;
    reads("2026-11-26", MIDNIGHT_MS);
    reads("2026-11-26 20:15", MIDNIGHT_MS + 20 * HOUR_MS + HOUR_MS / 4);
    reads("2026-11-26T20:15:30", MIDNIGHT_MS + 20 * HOUR_MS + 930000);
    reads("20:15", MIDNIGHT_MS + 20 * HOUR_MS + HOUR_MS / 4);
    reads("20:15:30", MIDNIGHT_MS + 20 * HOUR_MS + 930000);
    /* In summer they are two hours ahead. */
    reads("2026-07-01", INT64_C(1782864000000) - 2 * HOUR_MS);
}

static void
test_times_with_an_offset(void **state)
{
    (void)state;
    reads("2026-11-26T20:59:59Z", NOW_MS - 123);
    reads("2026-11-26T20:59:59.123Z", NOW_MS - 123);
    reads("2026-11-26T21:59:59+01:00", NOW_MS - 123);
    reads("2026-11-26 18:59:59-0200", NOW_MS - 123);
    reads("2026-11-26T20:59Z", NOW_MS - 59123);
}

static void
test_what_is_no_time_is_refused(void **state)
{
    (void)state;
    refuses("");
    refuses("tomorrow");
    refuses("2026-13-01");
    refuses("2026-11-26T20:15 or so");
    refuses("2026-11-26T20:15:00X");
    refuses("25:00");
    refuses("1969-12-31T00:00:00Z");
}

static int
set_up(void **state)
{
    (void)state;
    /* By rule, so that no zone files are needed. */
    return setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3", 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_how_long_ago),
        cmocka_unit_test(test_times_without_an_offset_are_local),
        cmocka_unit_test(test_times_with_an_offset),
        cmocka_unit_test(test_what_is_no_time_is_refused),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}

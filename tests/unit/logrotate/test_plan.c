#include "amy_test.h"

#include "logrotate/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define S INT64_C(1000)
#define HOUR (3600 * S)
#define NOW_MS INT64_C(1795726799000) /* Thursday, 2026-11-26T20:59:59Z */
#define MAX_FILES 200

static const struct amy__logplan_limits no_limits = {
    .size_bytes = UINT64_MAX,
    .every = AMY__LOGPLAN_NEVER,
    .keep = UINT32_MAX,
    .max_age_ms = INT64_MAX,
    .total_bytes = UINT64_MAX,
};

/* ---- when ---- */

static void
test_size_is_met_to_the_byte(void **state)
{
    struct amy__logplan_limits limits = no_limits;

    (void)state;
    limits.size_bytes = 1000;
    assert_null(amy__logplan_due(&limits, 999, NOW_MS, NOW_MS));
    assert_string_equal(amy__logplan_due(&limits, 1000, NOW_MS, NOW_MS),
                        "size");
    assert_string_equal(amy__logplan_due(&limits, 1001, NOW_MS, NOW_MS),
                        "size");
    assert_null(amy__logplan_due(&no_limits, INT64_MAX, 0, NOW_MS));
}

/* due at `edge`, not a second before, and not for what began at it. */
static void
assert_edge(enum amy__logplan_every every, int64_t edge)
{
    struct amy__logplan_limits limits = no_limits;

    limits.every = every;
    assert_null(amy__logplan_due(&limits, 1, edge - 2 * S, edge - S));
    assert_null(amy__logplan_due(&limits, 1, edge - S, edge - 1));
    assert_string_equal(amy__logplan_due(&limits, 1, edge - S, edge), "time");
    assert_string_equal(amy__logplan_due(&limits, 1, edge - 1, edge + S),
                        "time");
    assert_null(amy__logplan_due(&limits, 1, edge, edge + S));
    assert_null(amy__logplan_due(&limits, 0, edge - S, edge + S));
}

static void
test_periods_begin_with_the_clock(void **state)
{
    int64_t midnight = INT64_C(1795737600000); /* 27 November, a Friday */

    (void)state;
    assert_edge(AMY__LOGPLAN_DAILY, midnight);
    assert_edge(AMY__LOGPLAN_HOURLY, midnight);
    assert_edge(AMY__LOGPLAN_HOURLY, midnight + 7 * HOUR);
    assert_edge(AMY__LOGPLAN_WEEKLY, midnight + 72 * HOUR); /* Monday */
    assert_edge(AMY__LOGPLAN_DAILY, -24 * HOUR);
}

static void
test_a_clock_that_went_back_makes_nothing_due(void **state)
{
    struct amy__logplan_limits limits = no_limits;

    (void)state;
    for (int every = AMY__LOGPLAN_DAILY; every < AMY__LOGPLAN_NEVER; every++) {
        limits.every = (enum amy__logplan_every)every;
        assert_null(amy__logplan_due(&limits, 1, NOW_MS, NOW_MS - 1));
        assert_null(amy__logplan_due(&limits, 1, NOW_MS, 0));
    }
}

static int64_t
local_ms(int64_t utc_ms)
{
    time_t s = (time_t)(utc_ms / S);
    struct tm tm = {0};

    assert_non_null(localtime_r(&s, &tm));
    return utc_ms + tm.tm_gmtoff * S;
}

/* Two years in steps of 100 s, with both changes of the clock: as many files
 * as days, and each begins when the clocks show another date. */
static void
test_a_day_has_one_file_whatever_its_hours(void **state)
{
    struct amy__logplan_limits limits = no_limits;
    int64_t begun = INT64_C(1767222000000); /* 2026-01-01T00:00+01:00 */
    int64_t end = begun + 730 * 24 * HOUR;
    unsigned files = 0;

    (void)state;
    limits.every = AMY__LOGPLAN_DAILY;
    assert_int_equal(setenv("TZ", "Europe/Zurich", 1), 0);
    tzset();
    for (int64_t now = begun; now <= end; now += 100 * S) {
        if (amy__logplan_due(&limits, 1, local_ms(begun), local_ms(now)) !=
            NULL) {
            assert_int_equal(local_ms(now) % (24 * HOUR), 0);
            begun = now;
            files++;
        }
    }
    assert_int_equal(files, 730);
    assert_int_equal(unsetenv("TZ"), 0);
    tzset();
}

/* ---- which go ---- */

static struct amy__logplan_file files[MAX_FILES];
static size_t count;
static char texts[MAX_FILES][AMY__LOGNAME_SIZE];

/* One of log 0 "access.log" or of log 1 "error.log", so many seconds old. */
static struct amy__logplan_file *
add(const char *text, uint64_t bytes, int64_t age_s)
{
    struct amy__logplan_file *file = &files[count];
    struct amy__span bases[2] = {AMY_SPAN("access.log"), AMY_SPAN("error.log")};

    *file = (struct amy__logplan_file){.bytes = bytes,
                                       .wall_ms = NOW_MS - age_s * S};
    (void)snprintf(texts[count], sizeof(texts[0]), "%s", text);
    file->text = texts[count];
    for (uint32_t i = 0; i < 2; i++) {
        if (amy__logname_parse(amy__span_of(text), bases[i], &file->name)) {
            file->log = i;
            count++;
            return file;
        }
    }
    fail_msg("'%s' is no name", text);
    return NULL;
}

/* A rotated file so many seconds old, with the name that this gives. */
static struct amy__logplan_file *
add_old(uint32_t log, enum amy__logname_packing packing, uint64_t bytes,
        int64_t age_s)
{
    struct amy__logname name = {.kind = AMY__LOGNAME_ROTATED,
                                .packing = packing,
                                .sequence = 1,
                                .wall_ms = NOW_MS - age_s * S};
    char text[AMY__LOGNAME_SIZE] = "";

    (void)amy__logname_write(
        log == 0 ? AMY_SPAN("access.log") : AMY_SPAN("error.log"), &name, text);
    return add(text, bytes, age_s);
}

static enum amy__logplan_verdict
verdict(const char *text)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(files[i].text, text) == 0) {
            return files[i].verdict;
        }
    }
    fail_msg("no file '%s'", text);
    return AMY__LOGPLAN_STAYS;
}

static size_t
count_verdict(enum amy__logplan_verdict wanted)
{
    size_t n = 0;

    for (size_t i = 0; i < count; i++) {
        n += files[i].verdict == wanted ? 1 : 0;
    }
    return n;
}

static int
begin(void **state)
{
    (void)state;
    count = 0;
    return 0;
}

static void
test_age_is_met_to_the_second(void **state)
{
    struct amy__logplan_limits limits = no_limits;

    (void)state;
    limits.max_age_ms = 100 * S;
    add("access.log", 1, 500);
    add("access.log.1", 1, 101);
    add("access.log-20261101", 1, 100);
    add("error.log.2.gz", 1, 99);
    add("error.log.3.gz", 1, -1000); /* from a clock that went forward */
    amy__logplan_sweep(&limits, files, count, NOW_MS);
    assert_int_equal(verdict("access.log.1"), AMY__LOGPLAN_TOO_OLD);
    assert_int_equal(count_verdict(AMY__LOGPLAN_STAYS), 4);
}

static void
test_the_newest_of_each_log_are_kept(void **state)
{
    struct amy__logplan_limits limits = no_limits;

    (void)state;
    limits.keep = 3;
    add("access.log", 1, 0);
    for (int i = 0; i < 5; i++) {
        add_old(0, AMY__LOGNAME_GZIP, 1, 10 * (i + 1));
    }
    for (int i = 0; i < 3; i++) {
        add_old(1, AMY__LOGNAME_PLAIN, 1, 1000 * (i + 1));
    }
    amy__logplan_sweep(&limits, files, count, NOW_MS);
    assert_int_equal(count_verdict(AMY__LOGPLAN_TOO_MANY), 2);
    assert_int_equal(files[0].verdict, AMY__LOGPLAN_STAYS); /* error.log's */
    assert_int_equal(files[3].verdict, AMY__LOGPLAN_TOO_MANY);
    assert_int_equal(files[4].verdict, AMY__LOGPLAN_TOO_MANY);
    assert_int_equal(files[5].verdict, AMY__LOGPLAN_STAYS);
}

/* Plain and packed of one rotation are one file, and a half of one is none. */
static void
test_a_crash_while_packing_does_not_count_twice(void **state)
{
    struct amy__logplan_limits limits = no_limits;

    (void)state;
    limits.keep = 2;
    add_old(0, AMY__LOGNAME_GZIP, 1, 30);
    add_old(0, AMY__LOGNAME_PLAIN, 1, 20);
    add_old(0, AMY__LOGNAME_GZIP, 1, 20);
    add_old(0, AMY__LOGNAME_ZSTD, 1, 20)->name.partial = true;
    amy__logplan_sweep(&limits, files, count, NOW_MS);
    assert_int_equal(count_verdict(AMY__LOGPLAN_STAYS), count);
    limits.keep = 1;
    amy__logplan_sweep(&limits, files, count, NOW_MS);
    assert_int_equal(count_verdict(AMY__LOGPLAN_TOO_MANY), 1);
    assert_int_equal(files[0].verdict, AMY__LOGPLAN_TOO_MANY);
}

static void
test_the_total_is_met_to_the_byte(void **state)
{
    struct amy__logplan_limits limits = no_limits;

    (void)state;
    limits.total_bytes = 1000;
    add("access.log", 400, 0);
    add_old(0, AMY__LOGNAME_GZIP, 300, 50);
    add_old(1, AMY__LOGNAME_GZIP, 300, 60);
    amy__logplan_sweep(&limits, files, count, NOW_MS);
    assert_int_equal(count_verdict(AMY__LOGPLAN_STAYS), 3);
    limits.total_bytes = 999;
    amy__logplan_sweep(&limits, files, count, NOW_MS);
    assert_int_equal(files[0].verdict, AMY__LOGPLAN_TOO_MUCH);
    assert_int_equal(files[0].log, 1);
    assert_int_equal(count_verdict(AMY__LOGPLAN_STAYS), 2);
}

static void
test_packed_ones_go_before_plain_ones_and_the_current_stays(void **state)
{
    struct amy__logplan_limits limits = no_limits;

    (void)state;
    add("access.log", 5000, 100);
    add_old(0, AMY__LOGNAME_PLAIN, 100, 90);
    add_old(0, AMY__LOGNAME_PLAIN, 100, 80)->busy = true;
    add_old(0, AMY__LOGNAME_ZSTD, 100, 70);
    add("error.log.7.gz", 100, 60)->others = true;
    limits.total_bytes = 5200;
    amy__logplan_sweep(&limits, files, count, NOW_MS);
    assert_int_equal(files[1].verdict, AMY__LOGPLAN_STAYS);
    assert_int_equal(files[3].verdict, AMY__LOGPLAN_TOO_MUCH);
    assert_int_equal(verdict("error.log.7.gz"), AMY__LOGPLAN_TOO_MUCH);
    limits.total_bytes = 1;
    amy__logplan_sweep(&limits, files, count, NOW_MS);
    assert_int_equal(files[1].verdict, AMY__LOGPLAN_TOO_MUCH);
    assert_int_equal(files[2].verdict, AMY__LOGPLAN_STAYS); /* busy */
    assert_int_equal(verdict("access.log"), AMY__LOGPLAN_STAYS);
}

static void
test_what_others_rotate_is_not_aged_or_counted_by_us(void **state)
{
    struct amy__logplan_limits limits = no_limits;

    (void)state;
    limits.keep = 1;
    limits.max_age_ms = S;
    add("error.log.1", 1, 100)->others = true;
    add("error.log.2", 1, 200)->others = true;
    amy__logplan_sweep(&limits, files, count, NOW_MS);
    assert_int_equal(count_verdict(AMY__LOGPLAN_STAYS), 2);
}

static void
test_a_full_disk_takes_the_oldest_packed_a_few_at_a_time(void **state)
{
    (void)state;
    add("access.log", 100, 0);
    add_old(0, AMY__LOGNAME_PLAIN, 100, 10000);
    for (int i = 0; i < 20; i++) {
        add_old(0, AMY__LOGNAME_GZIP, 10, 100 + i);
    }
    add_old(1, AMY__LOGNAME_GZIP, 10, 20000); /* its newest */
    amy__logplan_sweep(&no_limits, files, count, NOW_MS);
    assert_int_equal(amy__logplan_free(files, count, 25), 3);
    assert_int_equal(count_verdict(AMY__LOGPLAN_DISK_FULL), 3);
    assert_int_equal(files[0].verdict, AMY__LOGPLAN_STAYS);
    assert_int_equal(files[1].verdict, AMY__LOGPLAN_STAYS); /* plain */
    assert_int_equal(files[2].verdict, AMY__LOGPLAN_DISK_FULL);
    assert_int_equal(amy__logplan_free(files, count, UINT64_MAX),
                     AMY__LOGPLAN_FREE_MAX);
    assert_int_equal(amy__logplan_free(files, count, UINT64_MAX), 8);
    assert_int_equal(amy__logplan_free(files, count, UINT64_MAX), 0);
    assert_int_equal(count_verdict(AMY__LOGPLAN_STAYS), 4);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_size_is_met_to_the_byte),
        cmocka_unit_test(test_periods_begin_with_the_clock),
        cmocka_unit_test(test_a_clock_that_went_back_makes_nothing_due),
        cmocka_unit_test(test_a_day_has_one_file_whatever_its_hours),
        cmocka_unit_test_setup(test_age_is_met_to_the_second, begin),
        cmocka_unit_test_setup(test_the_newest_of_each_log_are_kept, begin),
        cmocka_unit_test_setup(test_a_crash_while_packing_does_not_count_twice,
                               begin),
        cmocka_unit_test_setup(test_the_total_is_met_to_the_byte, begin),
        cmocka_unit_test_setup(
            test_packed_ones_go_before_plain_ones_and_the_current_stays, begin),
        cmocka_unit_test_setup(
            test_what_others_rotate_is_not_aged_or_counted_by_us, begin),
        cmocka_unit_test_setup(
            test_a_full_disk_takes_the_oldest_packed_a_few_at_a_time, begin),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

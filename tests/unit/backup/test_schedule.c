/* Ten years of schedules against a walk through all their quarters of an hour
 * by libc's clocks. */
#include "amy_test.h"

#include "backup/schedule.h"
#include "core/civil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define QUARTER_S 900
#define QUARTER_MS INT64_C(900000)
#define MINUTE_MS INT64_C(60000)
#define HOUR_MS INT64_C(3600000)
#define DAY_MS (24 * HOUR_MS)
#define SLOTS_MAX 400000

static int64_t model[SLOTS_MAX];
static size_t model_count;

/* splitmix64: the same numbers in every run. */
static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static bool
wanted(const struct amy__cron *cron, int64_t local_s)
{
    int64_t day = amy__floor_div(local_s, AMY__DAY_S);

    return amy__cron_has_day(cron, day) &&
           amy__cron_has_minute(cron,
                                (unsigned)((local_s - day * AMY__DAY_S) / 60));
}

/* What a person would do who looks at the clock every quarter of an hour. */
static void
walk(const struct amy__cron *cron, const char *zone, int64_t from_year,
     int64_t until_year)
{
    int64_t s = amy__civil_day(from_year, 1, 1) * AMY__DAY_S;
    int64_t until_s = amy__civil_day(until_year, 1, 1) * AMY__DAY_S;
    int64_t latest_s = INT64_MIN; /* what the clock has shown */

    assert_int_equal(setenv("TZ", zone, 1), 0);
    tzset();
    model_count = 0;
    for (; s < until_s; s += QUARTER_S) {
        time_t t = (time_t)s;
        struct tm tm = {0};
        int64_t local_s = 0;
        bool hit = false;

        assert_non_null(localtime_r(&t, &tm));
        local_s = s + tm.tm_gmtoff;
        if (cron->every_hour) {
            hit = wanted(cron, local_s);
        } else if (local_s > latest_s) { /* not for the second time */
            int64_t l = latest_s == INT64_MIN ? local_s : latest_s + QUARTER_S;

            for (; l <= local_s && !hit; l += QUARTER_S) {
                hit = wanted(cron, l); /* also what was left out just now */
            }
        }
        latest_s = local_s > latest_s ? local_s : latest_s;
        if (hit) {
            assert_true(model_count < SLOTS_MAX);
            model[model_count++] = s * 1000;
        }
    }
}

struct scene {
    const char *name;
    const char *cron; /* or times of day, "at 02:30 14:45" */
    const char *zone;
    int64_t from_year;
};

static const struct scene scenes[] = {
    {"left out and shown twice", "at 02:30", "Europe/Zurich", 2026},
    {"several times a day", "at 00:00 02:15 03:00 23:45", "America/New_York",
     2026},
    {"half an hour of summer", "at 01:45 02:00 02:15", "Australia/Lord_Howe",
     2026},
    {"a day that never was", "at 12:00", "Pacific/Apia", 2010},
    {"summer stops for Ramadan", "30 2 * * *", "Africa/Casablanca", 2026},
    {"every half hour", "*/30 * * * *", "Europe/Zurich", 2026},
    {"weekdays", "15 1 * * mon-fri", "America/Sao_Paulo", 2012},
    {"firsts and Sundays", "30 0 1 * sun", "America/Scoresbysund", 2020},
    {"midnight is left out", "0 0 * * *", "Asia/Beirut", 2026},
    {"leap days", "0 12 29 2 *", "UTC", 2024},
};
/* Enough for two leap days, and for a change of most rules. */
#define YEARS 5
#define SCENE_COUNT (sizeof(scenes) / sizeof(scenes[0]))

static struct amy__zone *
set_scene(const struct scene *scene, struct amy__schedule *schedule)
{
    struct amy__span rest = amy__span_of(scene->cron);
    struct amy__span word = {NULL, 0};
    struct amy__zone *zone = NULL;

    *schedule = (struct amy__schedule){.every_ms = 0};
    if (amy__span_starts(rest, AMY_SPAN("at "))) {
        (void)amy__span_split(&rest, ' ', &word);
        while (amy__span_split(&rest, ' ', &word)) {
            assert_int_equal(amy__cron_add_time(word, &schedule->cron, NULL),
                             0);
        }
    } else {
        assert_int_equal(amy__cron_parse(rest, &schedule->cron, NULL), 0);
    }
    assert_int_equal(amy__zone_load(scene->zone, &zone, NULL), 0);
    schedule->zone = zone;
    walk(&schedule->cron, scene->zone, scene->from_year,
         scene->from_year + YEARS);
    return zone;
}

static void
check_slots(const struct scene *scene, const struct amy__schedule *schedule)
{
    int64_t at_ms = model[0] - 1;

    for (size_t n = 0; n < model_count; n++) {
        int64_t before_ms = 0;

        assert_true(amy__schedule_after(schedule, at_ms, &at_ms));
        if (at_ms != model[n]) {
            fail_msg("%s: slot %zu is %lld, by the walk %lld", scene->name, n,
                     (long long)at_ms, (long long)model[n]);
        }
        assert_true(amy__schedule_before(schedule, at_ms, &before_ms));
        assert_int_equal(before_ms, at_ms);
        assert_true(amy__schedule_before(schedule, at_ms - 1, &before_ms));
        assert_true(n == 0 || before_ms == model[n - 1]);
    }
}

/* How long the daemon looks away: long between slots, short over them. */
static int64_t
stride(int64_t until_ms, uint64_t *random)
{
    if (until_ms > 30 * HOUR_MS) {
        return 20 * HOUR_MS;
    }
    if (until_ms > 3 * HOUR_MS) {
        return 2 * HOUR_MS;
    }
    if (until_ms > 2 * MINUTE_MS) {
        return until_ms - MINUTE_MS;
    }
    return 20000 + (int64_t)(next_random(random) % 40000);
}

/* A daemon that looks every now and then makes each slot once, at its time. */
static void
check_runs(struct amy__schedule *schedule, uint64_t random)
{
    struct amy__schedule_state s;
    int64_t now_ms = model[0] - 1;
    size_t made = 0;

    schedule->jitter_ms = MINUTE_MS;
    schedule->seed = random;
    amy__schedule_begin(schedule, model[0] - 1, now_ms, now_ms, &s);
    while (now_ms < model[model_count - 1] + 2 * MINUTE_MS) {
        int64_t slot_ms = 0;

        if (amy__schedule_due(schedule, &s, now_ms, now_ms, &slot_ms)) {
            assert_int_equal(slot_ms, model[made]);
            assert_in_range(now_ms - slot_ms, 0, 2 * MINUTE_MS);
            made++;
            now_ms += 1000;
            amy__schedule_end(schedule, &s, now_ms);
        } else {
            now_ms += stride(
                made < model_count ? model[made] - now_ms : MINUTE_MS, &random);
        }
    }
    assert_int_equal(made, model_count);
}

static void
test_five_years_of_slots_and_runs_are_those_of_the_walk(void **state)
{
    (void)state;
    for (size_t i = 0; i < SCENE_COUNT; i++) {
        struct amy__schedule schedule;
        struct amy__zone *zone = set_scene(&scenes[i], &schedule);

        /* Twice an hour is much of the same: a year of it does. */
        model_count = model_count > 17500 ? 17500 : model_count;
        check_slots(&scenes[i], &schedule);
        check_runs(&schedule, i);
        amy__zone_free(zone);
    }
}

static void
daily(struct amy__schedule *schedule)
{
    *schedule = (struct amy__schedule){.every_ms = 0};
    assert_int_equal(
        amy__cron_add_time(AMY_SPAN("02:30"), &schedule->cron, NULL), 0);
}

static void
test_what_was_missed_is_caught_up_with_once(void **state)
{
    struct amy__schedule schedule;
    struct amy__schedule_state s;
    int64_t slot_ms = 0;
    int64_t now_ms = 100 * DAY_MS + 12 * HOUR_MS;

    (void)state;
    daily(&schedule);
    amy__schedule_begin(&schedule, 90 * DAY_MS, now_ms, 0, &s);
    assert_true(amy__schedule_due(&schedule, &s, now_ms, 0, &slot_ms));
    assert_int_equal(slot_ms, 100 * DAY_MS + 150 * MINUTE_MS);
    assert_false(amy__schedule_due(&schedule, &s, now_ms + 1, 1, &slot_ms));
    /* Never made: one at once, too. */
    amy__schedule_begin(&schedule, AMY__SCHEDULE_NEVER, now_ms, 0, &s);
    assert_true(amy__schedule_due(&schedule, &s, now_ms, 0, &slot_ms));
    assert_false(amy__schedule_due(&schedule, &s, now_ms, 0, &slot_ms));
}

static void
test_catching_up_waits_for_its_jitter(void **state)
{
    struct amy__schedule schedule = {
        .every_ms = HOUR_MS, .seed = 12345, .jitter_ms = MINUTE_MS};
    struct amy__schedule_state s;
    int64_t slot_ms = 0;
    int64_t now_ms = 100 * DAY_MS + 1800000;
    int64_t waited_ms = 0;

    (void)state;
    amy__schedule_begin(&schedule, 0, now_ms, 77, &s);
    while (!amy__schedule_due(&schedule, &s, now_ms + waited_ms, 77 + waited_ms,
                              &slot_ms)) {
        waited_ms += 100;
        assert_true(waited_ms <= MINUTE_MS + 100);
    }
    assert_true(waited_ms > 0); /* with this seed */
}

static void
test_a_long_run_swallows_the_slots_it_covers(void **state)
{
    struct amy__schedule schedule = {.every_ms = 30 * MINUTE_MS};
    struct amy__schedule_state s;
    int64_t slot_ms = 0;
    int64_t now_ms = 100 * DAY_MS;

    (void)state;
    amy__schedule_begin(&schedule, now_ms - 1, now_ms, 0, &s);
    assert_true(amy__schedule_due(&schedule, &s, now_ms, 0, &slot_ms));
    amy__schedule_end(&schedule, &s, now_ms + 70 * MINUTE_MS);
    assert_false(amy__schedule_due(&schedule, &s, now_ms + 70 * MINUTE_MS,
                                   70 * MINUTE_MS, &slot_ms));
    assert_false(amy__schedule_due(&schedule, &s, now_ms + 89 * MINUTE_MS,
                                   89 * MINUTE_MS, &slot_ms));
    assert_true(amy__schedule_due(&schedule, &s, now_ms + 90 * MINUTE_MS,
                                  90 * MINUTE_MS, &slot_ms));
}

static void
test_a_clock_set_back_an_hour_makes_no_slot_twice(void **state)
{
    struct amy__schedule schedule;
    struct amy__schedule_state s;
    int64_t slot_ms = 0;
    int64_t at_ms = 100 * DAY_MS + 150 * MINUTE_MS;
    int64_t mono_ms = 0;

    (void)state;
    daily(&schedule);
    amy__schedule_begin(&schedule, at_ms - DAY_MS, at_ms, 0, &s);
    assert_true(amy__schedule_due(&schedule, &s, at_ms, mono_ms, &slot_ms));
    for (int64_t wall_ms = at_ms - HOUR_MS; wall_ms < at_ms + DAY_MS;
         wall_ms += MINUTE_MS, mono_ms += MINUTE_MS) {
        assert_false(
            amy__schedule_due(&schedule, &s, wall_ms, mono_ms, &slot_ms));
    }
    assert_true(
        amy__schedule_due(&schedule, &s, at_ms + DAY_MS, mono_ms, &slot_ms));
}

/* Booted with a clock of 1970, or set back by a year: backups go on by the
 * clock as it is now, and none is more than twice its distance away. */
static void
test_a_clock_set_back_a_year_does_not_stop_backups(void **state)
{
    struct amy__schedule schedule;
    struct amy__schedule_state s;
    int64_t slot_ms = 0;
    int64_t wall_ms = 3 * HOUR_MS;
    int64_t last_ms = 0;
    unsigned made = 0;

    (void)state;
    daily(&schedule);
    amy__schedule_begin(&schedule, 20000 * DAY_MS, wall_ms, 0, &s);
    for (int64_t mono_ms = 0; mono_ms < 30 * DAY_MS; mono_ms += MINUTE_MS) {
        if (amy__schedule_due(&schedule, &s, wall_ms + mono_ms, mono_ms,
                              &slot_ms)) {
            made++;
            assert_true(mono_ms - last_ms <= 2 * DAY_MS);
            last_ms = mono_ms;
        }
    }
    assert_in_range(made, 28, 30);
    /* The right time comes: one to catch up, then as ever. */
    assert_true(amy__schedule_due(&schedule, &s, 20700 * DAY_MS, 30 * DAY_MS,
                                  &slot_ms));
    assert_false(amy__schedule_due(&schedule, &s, 20700 * DAY_MS + 1000,
                                   30 * DAY_MS + 1000, &slot_ms));
}

/* Clocks set forth and back at random for ten years: slots of an interval are
 * never nearer to each other than half of it by the clock that nobody sets, nor
 * further than two of it and what a jump may hide. */
static void
test_ten_years_of_jumps(void **state)
{
    struct amy__schedule schedule = {.every_ms = 6 * HOUR_MS};
    struct amy__schedule_state s;
    uint64_t random = 7;
    int64_t skew_ms = 20000 * DAY_MS;
    int64_t last_ms = 0;
    int64_t last_jump_ms = 0;
    unsigned made = 0;

    (void)state;
    amy__schedule_begin(&schedule, skew_ms - 1, skew_ms, 0, &s);
    for (int64_t mono_ms = 0; mono_ms < 3652 * DAY_MS;
         mono_ms += 5 * MINUTE_MS) {
        int64_t slot_ms = 0;

        if (next_random(&random) % 500 == 0) {
            static const int64_t jumps[] = {-HOUR_MS, HOUR_MS, -365 * DAY_MS,
                                            365 * DAY_MS};

            skew_ms += jumps[next_random(&random) % 4];
            last_jump_ms = mono_ms;
        }
        if (amy__schedule_due(&schedule, &s, mono_ms + skew_ms, mono_ms,
                              &slot_ms)) {
            if (last_ms - last_jump_ms > 6 * HOUR_MS) {
                assert_true(mono_ms - last_ms == 6 * HOUR_MS);
            }
            assert_true(mono_ms - last_ms <= 12 * HOUR_MS);
            last_ms = mono_ms;
            made++;
        }
    }
    assert_in_range(made, 13000, 16500);
}

static void
test_slots_before_1970_and_of_odd_intervals(void **state)
{
    struct amy__schedule schedule = {.every_ms = 7 * MINUTE_MS,
                                     .seed = UINT64_MAX};
    int64_t slot_ms = 0;
    int64_t next_ms = 0;

    (void)state;
    for (int64_t at_ms = -DAY_MS; at_ms < DAY_MS; at_ms += 61001) {
        assert_true(amy__schedule_before(&schedule, at_ms, &slot_ms));
        assert_true(amy__schedule_after(&schedule, at_ms, &next_ms));
        assert_true(slot_ms <= at_ms && at_ms < next_ms);
        assert_int_equal(next_ms - slot_ms, 7 * MINUTE_MS);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_five_years_of_slots_and_runs_are_those_of_the_walk),
        cmocka_unit_test(test_what_was_missed_is_caught_up_with_once),
        cmocka_unit_test(test_catching_up_waits_for_its_jitter),
        cmocka_unit_test(test_a_long_run_swallows_the_slots_it_covers),
        cmocka_unit_test(test_a_clock_set_back_an_hour_makes_no_slot_twice),
        cmocka_unit_test(test_a_clock_set_back_a_year_does_not_stop_backups),
        cmocka_unit_test(test_ten_years_of_jumps),
        cmocka_unit_test(test_slots_before_1970_and_of_odd_intervals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

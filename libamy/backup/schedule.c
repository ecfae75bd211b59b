/* Slots of a schedule, and which of them is due. */
/* Not for waiting: scheduler/ looks again every now and then. */
#include "backup/schedule.h"

#include "core/civil.h"

#include <string.h>

#define SEARCH_DAYS (INT64_C(40) * 366)
/* A change of clocks moves an instant by up to a day and more to either side
 * of the day it belongs to. */
#define SLACK_DAYS INT64_C(2)

static uint64_t
mix(uint64_t seed, int64_t slot_ms)
{
    return amy__hash(
        (struct amy__span){(const char *)&slot_ms, sizeof(slot_ms)}, seed);
}

/* --- slots --- */

/* Asks for the best instant in (low_ms, high_ms]: the last or the first. */
struct search {
    const struct amy__schedule *schedule;
    int64_t low_ms;
    int64_t high_ms;
    bool last;
    bool found;
    int64_t best_ms;
    /* Between these days no clock is turned: the ordinary case, and the fast
     * one. */
    int64_t steady_from_day;
    int64_t steady_until_day;
    int64_t offset_s;
};

static void
consider(struct search *s, int64_t utc_s)
{
    int64_t at_ms = utc_s * 1000;

    if (at_ms <= s->low_ms || at_ms > s->high_ms) {
        return;
    }
    if (!s->found || (s->last ? at_ms > s->best_ms : at_ms < s->best_ms)) {
        s->best_ms = at_ms;
        s->found = true;
    }
}

static bool
is_steady(const struct search *s, int64_t day)
{
    return day >= s->steady_from_day && day < s->steady_until_day;
}

static void
consider_minute(struct search *s, int64_t day, unsigned minute)
{
    int64_t local_s = day * AMY__DAY_S + (int64_t)minute * 60;
    int64_t utc_s[2] = {0, 0};
    unsigned n = 0;

    if (is_steady(s, day)) {
        consider(s, local_s - s->offset_s);
        return;
    }
    n = amy__zone_instants(s->schedule->zone, local_s, utc_s);
    if (s->schedule->cron.every_hour) {
        for (unsigned i = 0; i < n; i++) {
            consider(s, utc_s[i]);
        }
        return;
    }
    consider(s,
             utc_s[0]); /* the first time, or the change that leaves it out */
}

static void
consider_day(struct search *s, int64_t day)
{
    if (!amy__cron_has_day(&s->schedule->cron, day)) {
        return;
    }
    for (unsigned m = 0; m < AMY__DAY_MINUTES; m++) {
        if (s->schedule->cron.minutes[m / 8] == 0) {
            m |= 7; /* most are: none of these eight */
        } else if (amy__cron_has_minute(&s->schedule->cron, m)) {
            consider_minute(s, day, m);
        }
    }
}

static void
find_steady_days(struct search *s, int64_t day)
{
    int64_t from = day - 2 * SLACK_DAYS;
    int64_t until = day + 2 * SLACK_DAYS;

    /* A day of the clocks may lie more than a day beside that of UTC. */
    if (amy__zone_is_steady(s->schedule->zone, (from - SLACK_DAYS) * AMY__DAY_S,
                            (until + SLACK_DAYS) * AMY__DAY_S)) {
        s->steady_from_day = from;
        s->steady_until_day = until;
        s->offset_s = amy__zone_offset(s->schedule->zone, day * AMY__DAY_S);
    }
}

/* Day by day away from where the search begins. What is found may be beaten by
 * the days around it, and by no others. */
static bool
search_days(struct search *s, int64_t from_ms, int64_t *ret_slot_ms)
{
    int64_t from = amy__floor_div(from_ms, AMY__DAY_MS);
    int64_t step = s->last ? -1 : 1;
    int64_t left = SEARCH_DAYS;
    int64_t day = from - step * SLACK_DAYS;

    find_steady_days(s, from);
    for (; left > 0; left--, day += step) {
        bool had = s->found;

        consider_day(s, day);
        if (s->found && is_steady(s, day)) {
            break;
        }
        if (s->found && !had && left > 2 * SLACK_DAYS) {
            left = 2 * SLACK_DAYS;
        }
    }
    *ret_slot_ms = s->best_ms;
    return s->found;
}

/* Intervals are counted from 1970, moved by the seed. */
static int64_t
phase_ms(const struct amy__schedule *schedule)
{
    return (int64_t)(schedule->seed % (uint64_t)schedule->every_ms);
}

bool
amy__schedule_before(const struct amy__schedule *schedule, int64_t wall_ms,
                     int64_t *ret_slot_ms)
{
    struct search s = {.schedule = schedule,
                       .low_ms = INT64_MIN,
                       .high_ms = wall_ms,
                       .last = true};

    if (schedule->every_ms > 0) {
        int64_t n =
            amy__floor_div(wall_ms - phase_ms(schedule), schedule->every_ms);

        *ret_slot_ms = n * schedule->every_ms + phase_ms(schedule);
        return true;
    }
    return search_days(&s, wall_ms, ret_slot_ms);
}

bool
amy__schedule_after(const struct amy__schedule *schedule, int64_t wall_ms,
                    int64_t *ret_slot_ms)
{
    struct search s = {
        .schedule = schedule, .low_ms = wall_ms, .high_ms = INT64_MAX};
    int64_t before_ms = 0;

    if (schedule->every_ms > 0) {
        (void)amy__schedule_before(schedule, wall_ms, &before_ms);
        *ret_slot_ms = before_ms + schedule->every_ms;
        return true;
    }
    return search_days(&s, wall_ms, ret_slot_ms);
}

/* --- what is due --- */

static int64_t
jitter_of(const struct amy__schedule *schedule, int64_t slot_ms)
{
    if (schedule->jitter_ms <= 0) {
        return 0;
    }
    return (int64_t)(mix(schedule->seed, slot_ms) %
                     ((uint64_t)schedule->jitter_ms + 1));
}

void
amy__schedule_begin(const struct amy__schedule *schedule, int64_t last_slot_ms,
                    int64_t wall_ms, int64_t mono_ms,
                    struct amy__schedule_state *ret)
{
    *ret = (struct amy__schedule_state){
        .last_slot_ms = last_slot_ms,
        .last_mono_ms = mono_ms,
        .seen_wall_ms = wall_ms,
        .hold_mono_ms = mono_ms + jitter_of(schedule, mono_ms),
    };
}

/* Has as much time really passed as lies between the last slot and the next?
 * By the clock that nobody sets. */
static bool
has_passed(const struct amy__schedule *schedule,
           const struct amy__schedule_state *state, int64_t mono_ms)
{
    int64_t next_ms = 0;

    return amy__schedule_after(schedule, state->last_slot_ms, &next_ms) &&
           mono_ms - state->last_mono_ms >= next_ms - state->last_slot_ms;
}

bool
amy__schedule_due(const struct amy__schedule *schedule,
                  struct amy__schedule_state *state, int64_t wall_ms,
                  int64_t mono_ms, int64_t *ret_slot_ms)
{
    int64_t slot_ms = 0;
    bool due = false;

    if (wall_ms < state->seen_wall_ms) {
        state->seen_wall_ms = wall_ms; /* the clock was set back */
    }
    if (mono_ms < state->hold_mono_ms ||
        !amy__schedule_before(schedule, wall_ms, &slot_ms)) {
        return false;
    }
    if (wall_ms < slot_ms + jitter_of(schedule, slot_ms)) {
        return false; /* seen_wall_ms stays before it */
    }
    due =
        slot_ms > state->last_slot_ms ||
        (slot_ms > state->seen_wall_ms && has_passed(schedule, state, mono_ms));
    state->seen_wall_ms = wall_ms;
    if (!due) {
        return false;
    }
    state->last_slot_ms = slot_ms;
    state->last_mono_ms = mono_ms;
    *ret_slot_ms = slot_ms;
    return true;
}

void
amy__schedule_end(const struct amy__schedule *schedule,
                  struct amy__schedule_state *state, int64_t wall_ms)
{
    int64_t slot_ms = 0;

    if (amy__schedule_before(schedule, wall_ms, &slot_ms) &&
        slot_ms > state->last_slot_ms) {
        state->last_slot_ms = slot_ms;
    }
    if (wall_ms > state->seen_wall_ms) {
        state->seen_wall_ms = wall_ms;
    }
}

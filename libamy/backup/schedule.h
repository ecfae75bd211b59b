/* When a backup is due. Pure: the clocks are given, nothing waits here.
 *
 * A slot is an instant at which one should be made: every so often, or at
 * minutes of the clocks of a zone. A time of day that the clocks leave out
 * comes at the change; one that they show twice comes once, the first time.
 * (A cron expression with '*' for the hour follows real hours instead: it
 * means "twice an hour", not "at 02:30".) Slots that nobody was there for, or
 * that passed while a backup was made, are caught up with by one. */
#ifndef AMY_BACKUP_SCHEDULE_H
#define AMY_BACKUP_SCHEDULE_H

#include "backup/cron.h"
#include "backup/zone.h"

#include <stdbool.h>
#include <stdint.h>

#define AMY__SCHEDULE_NEVER INT64_MIN

struct amy__schedule {
    int64_t every_ms;             /* > 0: cron and zone do not count */
    struct amy__cron cron;        /* what is meant otherwise */
    const struct amy__zone *zone; /* borrowed; NULL: UTC */
    uint64_t seed;     /* of the domain: no two sites begin together */
    int64_t jitter_ms; /* a slot begins up to this later, by its seed */
};

/* The last slot at or before an instant and the first after it. False: none
 * within the 40 years that a leap day on a given weekday may take. */
bool amy__schedule_before(const struct amy__schedule *schedule, int64_t wall_ms,
                          int64_t *ret_slot_ms);
bool amy__schedule_after(const struct amy__schedule *schedule, int64_t wall_ms,
                         int64_t *ret_slot_ms);

/* What has been, as far as it matters for what is due. */
struct amy__schedule_state {
    int64_t last_slot_ms; /* wall; AMY__SCHEDULE_NEVER */
    int64_t last_mono_ms; /* when that one was begun */
    int64_t seen_wall_ms; /* at the last look */
    int64_t hold_mono_ms; /* not before: the jitter of catching up */
};

/* At start: last_slot_ms is that of the newest set, or AMY__SCHEDULE_NEVER. */
void amy__schedule_begin(const struct amy__schedule *schedule,
                         int64_t last_slot_ms, int64_t wall_ms, int64_t mono_ms,
                         struct amy__schedule_state *ret);
/* Is one due now? Then it counts as begun, and ret_slot_ms is its slot. Not
 * asked while one is made. A wall clock that was set back does not bring a
 * slot again unless the time between two slots has really passed. */
bool amy__schedule_due(const struct amy__schedule *schedule,
                       struct amy__schedule_state *state, int64_t wall_ms,
                       int64_t mono_ms, int64_t *ret_slot_ms);
/* One has ended: what passed meanwhile is not made up for. */
void amy__schedule_end(const struct amy__schedule *schedule,
                       struct amy__schedule_state *state, int64_t wall_ms);

#endif

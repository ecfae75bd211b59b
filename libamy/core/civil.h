/* The civil calendar (proleptic Gregorian, UTC) and the two spellings of time
 * that backups use. Pure. */
#ifndef AMY_CORE_CIVIL_H
#define AMY_CORE_CIVIL_H

#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__DAY_S INT64_C(86400)
#define AMY__DAY_MS (AMY__DAY_S * 1000)

struct amy__civil {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day;   /* 1..31 */
};

/* Days since 1970-01-01 and back. */
int64_t amy__civil_day(int64_t year, unsigned month, unsigned day);
struct amy__civil amy__civil_date(int64_t day);
/* 0 is Sunday. */
unsigned amy__civil_weekday(int64_t day);
unsigned amy__civil_month_days(int64_t year, unsigned month);
/* Division that rounds down, as days before 1970 need. */
int64_t amy__floor_div(int64_t a, int64_t b);

/* What amy__format_time writes: "2026-11-23T20:42:07.123Z", nothing else. */
bool amy__civil_parse(struct amy__span text, int64_t *ret_wall_ms);

/* A name for what was made at a time: "20261123T160000Z", and
 * "20261123T160000Z-2" when that second has one already. */
#define AMY__STAMP_SIZE 24
#define AMY__STAMP_SEQUENCE_MAX 99
void amy__stamp_write(int64_t wall_ms, unsigned sequence,
                      char buf[AMY__STAMP_SIZE]);
bool amy__stamp_parse(struct amy__span name, int64_t *ret_wall_ms,
                      unsigned *ret_sequence);
/* > 0 when a is newer than b, 0 when they are the same. */
int amy__stamp_compare(const char *a, const char *b);

#endif

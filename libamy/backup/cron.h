/* Five-field cron expressions and times of day: which minutes of which days
 * are meant. Pure; knows no zone. */
#ifndef AMY_BACKUP_CRON_H
#define AMY_BACKUP_CRON_H

#include <amy/error.h>

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

#define AMY__DAY_MINUTES 1440

/* A set of minutes of a set of days. */
struct amy__cron {
    uint8_t minutes[AMY__DAY_MINUTES / 8]; /* of the day, one bit each */
    uint32_t days;                         /* bits 1..31 */
    uint32_t months;                       /* bits 1..12 */
    uint32_t weekdays;                     /* bits 0..6, 0 is Sunday */
    bool any_day;                          /* '*': the weekdays alone decide */
    bool any_weekday; /* '*': the days alone decide; without either '*' one of
                         both is enough, as in crontab(5) */
    bool every_hour;  /* '*': follows real hours where clocks are turned */
};

/* "30 2 * * mon-fri": numbers, names, lists, ranges, steps. AMY_EPARSE says
 * what is wrong, also of days that never come (30 February). */
int amy__cron_parse(struct amy__span text, struct amy__cron *ret,
                    struct amy_error *err);
/* Add a time of day, "02:30", of every day; ret is zeroed before the first. */
int amy__cron_add_time(struct amy__span text, struct amy__cron *ret,
                       struct amy_error *err);
bool amy__cron_has_day(const struct amy__cron *cron, int64_t civil_day);
bool amy__cron_has_minute(const struct amy__cron *cron, unsigned minute);

#endif

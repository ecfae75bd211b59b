/* The rule at the end of a zone file ("CET-1CEST,M3.5.0,M10.5.0/3"): what holds
 * after the last change that the file lists. POSIX.1, TZ; RFC 8536, 3.3. Pure.
 */
#ifndef AMY_BACKUP_ZONE_RULE_H
#define AMY_BACKUP_ZONE_RULE_H

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

/* One change of a year. */
struct amy__zone_date {
    enum {
        AMY__ZONE_MONTH = 0, /* Mm.w.d */
        AMY__ZONE_JULIAN,    /* Jn: 1..365, the leap day never counts */
        AMY__ZONE_DAY,       /* n: 0..365 */
    } kind;
    unsigned month;
    unsigned week; /* 1..5; 5 is the last */
    unsigned day;  /* of the week or the year */
    int64_t at_s;  /* after midnight by the clocks before the change */
};

struct amy__zone_rule {
    int64_t standard_s; /* ahead of UTC */
    bool has_summer;
    int64_t summer_s;
    struct amy__zone_date begin; /* of summer time */
    struct amy__zone_date end;
};

bool amy__zone_rule_parse(struct amy__span text, struct amy__zone_rule *ret);
int64_t amy__zone_rule_offset(const struct amy__zone_rule *rule, int64_t utc_s);
/* The first change after an instant; false: there is none. */
bool amy__zone_rule_next(const struct amy__zone_rule *rule, int64_t after_s,
                         int64_t *ret_at_s);

#endif

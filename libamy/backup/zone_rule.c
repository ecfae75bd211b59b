/* Parses and follows the rule of a zone file's last line. */
/* Not for the file itself: that is zone.c. */
#include "backup/zone_rule.h"

#include "core/civil.h"

#include <string.h>

/* Where reading stands; every step says whether it went on. */
struct cursor {
    const char *p;
    const char *end;
};

static bool
take(struct cursor *c, char expected)
{
    if (c->p == c->end || *c->p != expected) {
        return false;
    }
    c->p++;
    return true;
}

static bool
take_number(struct cursor *c, unsigned max, unsigned *ret)
{
    unsigned value = 0;
    const char *begin = c->p;

    while (c->p < c->end && c->p - begin < 3 && *c->p >= '0' && *c->p <= '9') {
        value = value * 10 + (unsigned)(*c->p - '0');
        c->p++;
    }
    *ret = value;
    return c->p > begin && value <= max;
}

/* "CET", or "<+0330>": three characters at least. */
static bool
take_name(struct cursor *c)
{
    static const char letters[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ";
    static const char quoted[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+-";
    bool in_quotes = take(c, '<');
    const char *begin = c->p;
    const char *allowed = in_quotes ? quoted : letters;

    while (c->p < c->end && *c->p != '\0' && strchr(allowed, *c->p) != NULL) {
        c->p++;
    }
    return c->p - begin >= 3 && (!in_quotes || take(c, '>'));
}

/* [+-]hh[:mm[:ss]] */
static bool
take_time(struct cursor *c, unsigned max_hours, int64_t *ret_s)
{
    bool negative = c->p < c->end && *c->p == '-';
    unsigned part = 0;
    int64_t seconds = 0;

    if (negative || (c->p < c->end && *c->p == '+')) {
        c->p++;
    }
    if (!take_number(c, max_hours, &part)) {
        return false;
    }
    seconds = (int64_t)part * 3600;
    if (take(c, ':')) {
        if (!take_number(c, 59, &part)) {
            return false;
        }
        seconds += (int64_t)part * 60;
        if (take(c, ':')) {
            if (!take_number(c, 59, &part)) {
                return false;
            }
            seconds += part;
        }
    }
    *ret_s = negative ? -seconds : seconds;
    return true;
}

static bool
take_month(struct cursor *c, struct amy__zone_date *ret)
{
    return take_number(c, 12, &ret->month) && ret->month >= 1 && take(c, '.') &&
           take_number(c, 5, &ret->week) && ret->week >= 1 && take(c, '.') &&
           take_number(c, 6, &ret->day);
}

/* ",M3.5.0/2" */
static bool
take_date(struct cursor *c, struct amy__zone_date *ret)
{
    bool good = false;

    *ret = (struct amy__zone_date){.kind = AMY__ZONE_DAY, .at_s = 7200};
    if (!take(c, ',')) {
        return false;
    }
    if (take(c, 'M')) {
        ret->kind = AMY__ZONE_MONTH;
        good = take_month(c, ret);
    } else if (take(c, 'J')) {
        ret->kind = AMY__ZONE_JULIAN;
        good = take_number(c, 365, &ret->day) && ret->day >= 1;
    } else {
        good = take_number(c, 365, &ret->day);
    }
    return good && (!take(c, '/') || take_time(c, 167, &ret->at_s));
}

bool
amy__zone_rule_parse(struct amy__span text, struct amy__zone_rule *ret)
{
    struct cursor c = {text.p, text.p + text.n};
    struct amy__zone_rule rule = {0};

    if (!take_name(&c) || !take_time(&c, 24, &rule.standard_s)) {
        return false;
    }
    rule.standard_s = -rule.standard_s; /* POSIX counts westwards */
    if (c.p < c.end) {
        rule.has_summer = true;
        rule.summer_s = rule.standard_s + 3600;
        if (!take_name(&c)) {
            return false;
        }
        if (c.p < c.end && *c.p != ',') {
            if (!take_time(&c, 24, &rule.summer_s)) {
                return false;
            }
            rule.summer_s = -rule.summer_s;
        }
        if (!take_date(&c, &rule.begin) || !take_date(&c, &rule.end)) {
            return false;
        }
    }
    if (c.p != c.end) {
        return false;
    }
    *ret = rule;
    return true;
}

/* Local seconds of a change in a year, by the clocks before it. */
static int64_t
date_local(const struct amy__zone_date *date, int64_t year)
{
    int64_t day = amy__civil_day(year, 1, 1);
    bool leap = amy__civil_month_days(year, 2) == 29;

    switch (date->kind) {
    case AMY__ZONE_JULIAN:
        day += (int64_t)date->day - 1 + (leap && date->day >= 60);
        break;
    case AMY__ZONE_DAY:
        day += date->day;
        break;
    case AMY__ZONE_MONTH: {
        int64_t first = amy__civil_day(year, date->month, 1);
        unsigned ahead = (date->day + 7 - amy__civil_weekday(first)) % 7;
        unsigned of_month = ahead + (date->week - 1) * 7;

        if (of_month >= amy__civil_month_days(year, date->month)) {
            of_month -= 7;
        }
        day = first + of_month;
        break;
    }
    }
    return day * AMY__DAY_S + date->at_s;
}

static int64_t
begin_utc(const struct amy__zone_rule *rule, int64_t year)
{
    return date_local(&rule->begin, year) - rule->standard_s;
}

static int64_t
end_utc(const struct amy__zone_rule *rule, int64_t year)
{
    return date_local(&rule->end, year) - rule->summer_s;
}

static int64_t
year_of(const struct amy__zone_rule *rule, int64_t utc_s)
{
    return amy__civil_date(amy__floor_div(utc_s + rule->standard_s, AMY__DAY_S))
        .year;
}

int64_t
amy__zone_rule_offset(const struct amy__zone_rule *rule, int64_t utc_s)
{
    int64_t begin = 0;
    int64_t end = 0;
    bool summer = false;

    if (!rule->has_summer) {
        return rule->standard_s;
    }
    begin = begin_utc(rule, year_of(rule, utc_s));
    end = end_utc(rule, year_of(rule, utc_s));
    summer = begin <= end ? utc_s >= begin && utc_s < end
                          : utc_s >= begin || utc_s < end;
    return summer ? rule->summer_s : rule->standard_s;
}

bool
amy__zone_rule_next(const struct amy__zone_rule *rule, int64_t after_s,
                    int64_t *ret_at_s)
{
    int64_t year = 0;
    int64_t best = INT64_MAX;

    if (!rule->has_summer) {
        return false;
    }
    year = year_of(rule, after_s);
    for (int64_t y = year - 1; y <= year + 1; y++) {
        int64_t changes[2] = {begin_utc(rule, y), end_utc(rule, y)};

        for (size_t i = 0; i < 2; i++) {
            if (changes[i] > after_s && changes[i] < best) {
                best = changes[i];
            }
        }
    }
    *ret_at_s = best;
    return best != INT64_MAX;
}

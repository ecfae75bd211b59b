/* Reads "2h" and "2026-11-26 20:15". */
/* Not for printing them: ctl_text.c. */
#include "ctl_when.h"

#include <ctype.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LONGEST_MS INT64_C(3155760000000) /* a hundred years */

/* "1d12h": sums of whole units. */
static bool
read_ago(const char *text, int64_t *ret_ms)
{
    static const struct {
        char unit;
        int64_t ms;
    } units[] = {{'s', 1000},
                 {'m', 60000},
                 {'h', 3600000},
                 {'d', 86400000},
                 {'w', 604800000}};
    int64_t sum_ms = 0;

    while (*text != '\0') {
        char *end = NULL;
        int64_t count = 0;
        size_t i = 0;

        if (!isdigit((unsigned char)*text)) {
            return false;
        }
        count = strtoll(text, &end, 10);
        while (i < 5 && units[i].unit != *end) {
            i++;
        }
        if (i == 5 || count > LONGEST_MS / units[i].ms) {
            return false;
        }
        sum_ms += count * units[i].ms;
        text = end + 1;
    }
    *ret_ms = sum_ms;
    return sum_ms > 0 && sum_ms <= LONGEST_MS;
}

/* "Z", "+01:00", "+0100"; *ret_local: there is none. */
static bool
read_offset(const char *text, bool *ret_local, long *ret_seconds)
{
    struct tm tm = {0};
    const char *end = NULL;

    *ret_local = *text == '\0';
    *ret_seconds = 0;
    if (*text == '\0') {
        return true;
    }
    end = strptime(text, "%z", &tm);
    *ret_seconds = tm.tm_gmtoff;
    return end != NULL && *end == '\0';
}

/* Today's date, for a time alone. */
static bool
set_today(struct tm *tm, int64_t now_ms)
{
    time_t now = (time_t)(now_ms / 1000);
    struct tm today = {0};

    if (localtime_r(&now, &today) == NULL) {
        return false;
    }
    tm->tm_year = today.tm_year;
    tm->tm_mon = today.tm_mon;
    tm->tm_mday = today.tm_mday;
    return true;
}

static bool
to_wall_ms(struct tm *tm, const char *rest, int64_t *ret_wall_ms)
{
    bool local = true;
    long offset_s = 0;
    time_t seconds = 0;

    /* A fraction of a second is more than logs are asked for. */
    if (*rest == '.') {
        rest += 1 + strspn(rest + 1, "0123456789");
    }
    if (!read_offset(rest, &local, &offset_s)) {
        return false;
    }
    tm->tm_isdst = -1;
    seconds = local ? mktime(tm) : timegm(tm) - offset_s;
    *ret_wall_ms = (int64_t)seconds * 1000;
    return seconds > 0;
}

bool
when_read(const char *text, int64_t now_ms, int64_t *ret_wall_ms)
{
    static const struct {
        const char *format;
        bool today;
    } forms[] = {
        {"%Y-%m-%dT%H:%M:%S", false},
        {"%Y-%m-%d %H:%M:%S", false},
        {"%Y-%m-%dT%H:%M", false},
        {"%Y-%m-%d %H:%M", false},
        {"%Y-%m-%d", false},
        {"%H:%M:%S", true},
        {"%H:%M", true},
    };
    int64_t ago_ms = 0;

    if (read_ago(text, &ago_ms)) {
        *ret_wall_ms = now_ms - ago_ms;
        return *ret_wall_ms > 0;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        struct tm tm = {0};
        const char *rest = strptime(text, forms[i].format, &tm);

        if (rest != NULL && (!forms[i].today || set_today(&tm, now_ms)) &&
            to_wall_ms(&tm, rest, ret_wall_ms)) {
            return true;
        }
    }
    return false;
}

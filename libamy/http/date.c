/* The three date formats of HTTP, written and read by hand: strptime(3) depends
 * on the locale. Not for durations or logs. */
#include "http/date.h"

#include <string.h>

#define DAY_S 86400

static const char day_names[7][4] = {"Sun", "Mon", "Tue", "Wed",
                                     "Thu", "Fri", "Sat"};
static const char month_names[12][4] = {"Jan", "Feb", "Mar", "Apr",
                                        "May", "Jun", "Jul", "Aug",
                                        "Sep", "Oct", "Nov", "Dec"};

struct date {
    int64_t year;
    unsigned month; /* 1..12 */
    unsigned day;
    unsigned hour;
    unsigned minute;
    unsigned second;
};

/* Days since 1970-01-01. Years are counted from March, so that the leap day is
 * the last one, in eras of 400 years (146097 days). */
static int64_t
days_of(const struct date *d)
{
    int64_t year = d->month <= 2 ? d->year - 1 : d->year;
    int64_t era = year / 400; /* years are never negative here */
    int64_t of_era = year - era * 400;
    int64_t month = (d->month + 9) % 12;
    int64_t of_year = (153 * month + 2) / 5 + d->day - 1;

    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year -
           719468;
}

static struct date
date_of(int64_t wall_s)
{
    int64_t days = wall_s / DAY_S + 719468; /* since 0000-03-01 */
    int64_t left = wall_s % DAY_S;
    struct date d = {0};
    int64_t of_era = 0;
    int64_t year = 0;
    int64_t of_year = 0;
    int64_t month = 0;

    if (left < 0) {
        left += DAY_S;
        days--;
    }
    of_era = days % 146097;
    year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    of_year = of_era - (365 * year + year / 4 - year / 100);
    month = (5 * of_year + 2) / 153;
    d.day = (unsigned)(of_year - (153 * month + 2) / 5 + 1);
    d.month = (unsigned)(month < 10 ? month + 3 : month - 9);
    d.year = days / 146097 * 400 + year + (d.month <= 2 ? 1 : 0);
    d.hour = (unsigned)(left / 3600);
    d.minute = (unsigned)(left / 60 % 60);
    d.second = (unsigned)(left % 60);
    return d;
}

static void
put_digits(char *at, unsigned digits, uint64_t value)
{
    while (digits > 0) {
        at[--digits] = (char)('0' + value % 10);
        value /= 10;
    }
}

void
amy__date_format(int64_t wall_ms, char buf[AMY__DATE_SIZE])
{
    const struct date first = {1, 1, 1, 0, 0, 0};
    const struct date last = {9999, 12, 31, 23, 59, 59};
    int64_t min_s = days_of(&first) * DAY_S;
    int64_t max_s = days_of(&last) * DAY_S + DAY_S - 1;
    int64_t wall_s = wall_ms / 1000 - (wall_ms % 1000 < 0 ? 1 : 0);
    struct date d = {0};
    int64_t days = 0;

    wall_s = wall_s < min_s ? min_s : wall_s > max_s ? max_s : wall_s;
    d = date_of(wall_s);
    days = days_of(&d);
    memcpy(buf, "Thu, 00 Jan 0000 00:00:00 GMT", AMY__DATE_SIZE);
    memcpy(buf, day_names[((days + 4) % 7 + 7) % 7], 3);
    put_digits(buf + 5, 2, d.day);
    memcpy(buf + 8, month_names[d.month - 1], 3);
    put_digits(buf + 12, 4, (uint64_t)d.year);
    put_digits(buf + 17, 2, d.hour);
    put_digits(buf + 20, 2, d.minute);
    put_digits(buf + 23, 2, d.second);
}

/* ---- reading: cuts pieces off the front; false once something is wrong ----
 */

static bool
take_text(struct amy__span *s, const char *text)
{
    size_t n = strlen(text);

    if (s->n < n || memcmp(s->p, text, n) != 0) {
        return false;
    }
    *s = (struct amy__span){s->p + n, s->n - n};
    return true;
}

static bool
take_number(struct amy__span *s, size_t digits, unsigned *ret)
{
    uint64_t value = 0;

    if (s->n < digits ||
        !amy__parse_u64((struct amy__span){s->p, digits}, 9999, &value)) {
        return false;
    }
    *ret = (unsigned)value;
    *s = (struct amy__span){s->p + digits, s->n - digits};
    return true;
}

/* Only whether it is a name of a day: the date itself says which. */
static bool
take_day_name(struct amy__span *s, bool whole)
{
    static const char *const tails[7] = {"day",   "day", "sday", "nesday",
                                         "rsday", "day", "urday"};

    for (size_t i = 0; i < 7; i++) {
        if (take_text(s, day_names[i])) {
            return !whole || take_text(s, tails[i]);
        }
    }
    return false;
}

static bool
take_month(struct amy__span *s, struct date *d)
{
    for (unsigned i = 0; i < 12; i++) {
        if (take_text(s, month_names[i])) {
            d->month = i + 1;
            return true;
        }
    }
    return false;
}

static bool
take_time(struct amy__span *s, struct date *d)
{
    return take_number(s, 2, &d->hour) && take_text(s, ":") &&
           take_number(s, 2, &d->minute) && take_text(s, ":") &&
           take_number(s, 2, &d->second);
}

/* Sun, 06 Nov 1994 08:49:37 GMT */
static bool
parse_fixdate(struct amy__span s, struct date *d)
{
    unsigned year = 0;
    bool fits = take_day_name(&s, false) && take_text(&s, ", ") &&
                take_number(&s, 2, &d->day) && take_text(&s, " ") &&
                take_month(&s, d) && take_text(&s, " ") &&
                take_number(&s, 4, &year) && take_text(&s, " ") &&
                take_time(&s, d) && take_text(&s, " GMT");

    d->year = year;
    return fits && s.n == 0;
}

/* Sunday, 06-Nov-94 08:49:37 GMT */
static bool
parse_rfc850(struct amy__span s, int64_t now_s, struct date *d)
{
    unsigned year = 0;
    int64_t now_year = date_of(now_s).year;
    bool fits = take_day_name(&s, true) && take_text(&s, ", ") &&
                take_number(&s, 2, &d->day) && take_text(&s, "-") &&
                take_month(&s, d) && take_text(&s, "-") &&
                take_number(&s, 2, &year) && take_text(&s, " ") &&
                take_time(&s, d) && take_text(&s, " GMT");

    /* More than fifty years ahead is the century before (5.6.7). */
    d->year = now_year - now_year % 100 + year;
    if (d->year > now_year + 50) {
        d->year -= 100;
    } else if (d->year <= now_year - 50) {
        d->year += 100;
    }
    return fits && s.n == 0;
}

/* Sun Nov  6 08:49:37 1994 */
static bool
parse_asctime(struct amy__span s, struct date *d)
{
    unsigned year = 0;
    bool fits = take_day_name(&s, false) && take_text(&s, " ") &&
                take_month(&s, d) && take_text(&s, " ") &&
                (take_text(&s, " ") ? take_number(&s, 1, &d->day)
                                    : take_number(&s, 2, &d->day)) &&
                take_text(&s, " ") && take_time(&s, d) && take_text(&s, " ") &&
                take_number(&s, 4, &year);

    d->year = year;
    return fits && s.n == 0;
}

static bool
exists(const struct date *d)
{
    static const unsigned lengths[12] = {31, 28, 31, 30, 31, 30,
                                         31, 31, 30, 31, 30, 31};
    bool leap = d->year % 4 == 0 && (d->year % 100 != 0 || d->year % 400 == 0);
    unsigned days = lengths[d->month - 1];

    if (d->month == 2 && leap) {
        days++;
    }
    /* 60 is a leap second: allowed by the grammar, and counted as the next. */
    return d->year >= 1 && d->day >= 1 && d->day <= days && d->hour < 24 &&
           d->minute < 60 && d->second <= 60;
}

bool
amy__date_parse(struct amy__span text, int64_t wall_now_ms,
                int64_t *ret_wall_ms)
{
    struct date d = {0};
    int64_t of_day = 0;

    if ((!parse_fixdate(text, &d) &&
         !parse_rfc850(text, wall_now_ms / 1000, &d) &&
         !parse_asctime(text, &d)) ||
        !exists(&d)) {
        return false;
    }
    of_day = (int64_t)d.hour * 3600 + (int64_t)d.minute * 60 + d.second;
    *ret_wall_ms = (days_of(&d) * DAY_S + of_day) * 1000;
    return true;
}

/* Days, dates and stamps. */
/* Not for time zones. */
#include "core/civil.h"

#include "core/clock.h"

#include <stdio.h>

#define DAYS_IN_ERA 146097 /* 400 years */

int64_t
amy__floor_div(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* The year begins in March, so that the leap day is its last: no table. */
int64_t
amy__civil_day(int64_t year, unsigned month, unsigned day)
{
    int64_t y = month <= 2 ? year - 1 : year;
    int64_t era = amy__floor_div(y, 400);
    int64_t year_of_era = y - era * 400;
    int64_t from_march = (int64_t)(month + 9) % 12;
    int64_t day_of_year = (153 * from_march + 2) / 5 + (int64_t)day - 1;
    int64_t day_of_era =
        year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;

    return era * DAYS_IN_ERA + day_of_era - 719468;
}

struct amy__civil
amy__civil_date(int64_t day)
{
    int64_t from_0 = day + 719468;
    int64_t era = amy__floor_div(from_0, DAYS_IN_ERA);
    int64_t day_of_era = from_0 - era * DAYS_IN_ERA;
    int64_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 -
                           day_of_era / 146096) /
                          365;
    int64_t day_of_year =
        day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    int64_t from_march = (5 * day_of_year + 2) / 153;
    struct amy__civil date = {0, 0, 0};

    date.day = (unsigned)(day_of_year - (153 * from_march + 2) / 5 + 1);
    date.month = (unsigned)(from_march < 10 ? from_march + 3 : from_march - 9);
    date.year = year_of_era + era * 400 + (date.month <= 2);
    return date;
}

unsigned
amy__civil_weekday(int64_t day)
{
    return (unsigned)(day + 4 - 7 * amy__floor_div(day + 4, 7));
}

unsigned
amy__civil_month_days(int64_t year, unsigned month)
{
    int64_t next = month == 12 ? amy__civil_day(year + 1, 1, 1)
                               : amy__civil_day(year, month + 1, 1);

    return (unsigned)(next - amy__civil_day(year, month, 1));
}

/* n digits at p as a number within low..high. */
static bool
digits(const char *p, size_t n, unsigned low, unsigned high, unsigned *ret)
{
    uint64_t value = 0;

    if (!amy__parse_u64((struct amy__span){p, n}, high, &value) ||
        value < low) {
        return false;
    }
    *ret = (unsigned)value;
    return true;
}

struct moment {
    unsigned year;
    unsigned month;
    unsigned day;
    unsigned hour;
    unsigned minute;
    unsigned second;
};

static bool
moment_ms(const struct moment *m, int64_t *ret_wall_ms)
{
    if (m->day > amy__civil_month_days(m->year, m->month)) {
        return false;
    }
    *ret_wall_ms =
        (amy__civil_day(m->year, m->month, m->day) * AMY__DAY_S +
         (int64_t)m->hour * 3600 + (int64_t)m->minute * 60 + m->second) *
        1000;
    return true;
}

bool
amy__civil_parse(struct amy__span text, int64_t *ret_wall_ms)
{
    static const char shape[] = "dddd-dd-ddTdd:dd:dd.dddZ";
    struct moment m = {0};
    unsigned ms = 0;
    int64_t seconds_ms = 0;

    if (text.n != sizeof(shape) - 1) {
        return false;
    }
    for (size_t i = 0; i < text.n; i++) {
        if (shape[i] != 'd' && shape[i] != text.p[i]) {
            return false;
        }
    }
    if (!digits(text.p, 4, 0, 9999, &m.year) ||
        !digits(text.p + 5, 2, 1, 12, &m.month) ||
        !digits(text.p + 8, 2, 1, 31, &m.day) ||
        !digits(text.p + 11, 2, 0, 23, &m.hour) ||
        !digits(text.p + 14, 2, 0, 59, &m.minute) ||
        !digits(text.p + 17, 2, 0, 59, &m.second) ||
        !digits(text.p + 20, 3, 0, 999, &ms) || !moment_ms(&m, &seconds_ms)) {
        return false;
    }
    *ret_wall_ms = seconds_ms + ms;
    return true;
}

void
amy__stamp_write(int64_t wall_ms, unsigned sequence, char buf[AMY__STAMP_SIZE])
{
    char t[25];

    (void)amy__format_time(wall_ms, t);
    (void)snprintf(buf, AMY__STAMP_SIZE, "%.4s%.2s%.2sT%.2s%.2s%.2sZ", t, t + 5,
                   t + 8, t + 11, t + 14, t + 17);
    if (sequence > 1) {
        (void)snprintf(buf + 16, AMY__STAMP_SIZE - 16, "-%u", sequence % 1000);
    }
}

/* "-2" to "-99", as amy__stamp_write writes it. */
static bool
parse_sequence(struct amy__span tail, unsigned *ret_sequence)
{
    if (tail.n == 0) {
        *ret_sequence = 1;
        return true;
    }
    return tail.n >= 2 && tail.p[0] == '-' && tail.p[1] != '0' &&
           digits(tail.p + 1, tail.n - 1, 2, AMY__STAMP_SEQUENCE_MAX,
                  ret_sequence);
}

bool
amy__stamp_parse(struct amy__span name, int64_t *ret_wall_ms,
                 unsigned *ret_sequence)
{
    struct moment m = {0};
    unsigned sequence = 1;

    if (name.n < 16 || name.p[8] != 'T' || name.p[15] != 'Z' ||
        !digits(name.p, 4, 1970, 9999, &m.year) ||
        !digits(name.p + 4, 2, 1, 12, &m.month) ||
        !digits(name.p + 6, 2, 1, 31, &m.day) ||
        !digits(name.p + 9, 2, 0, 23, &m.hour) ||
        !digits(name.p + 11, 2, 0, 59, &m.minute) ||
        !digits(name.p + 13, 2, 0, 59, &m.second) ||
        !parse_sequence((struct amy__span){name.p + 16, name.n - 16},
                        &sequence) ||
        !moment_ms(&m, ret_wall_ms)) {
        return false;
    }
    *ret_sequence = sequence;
    return true;
}

int
amy__stamp_compare(const char *a, const char *b)
{
    int64_t a_ms = 0;
    int64_t b_ms = 0;
    unsigned a_sequence = 0;
    unsigned b_sequence = 0;

    (void)amy__stamp_parse(amy__span_of(a), &a_ms, &a_sequence);
    (void)amy__stamp_parse(amy__span_of(b), &b_ms, &b_sequence);
    if (a_ms != b_ms) {
        return a_ms > b_ms ? 1 : -1;
    }
    return (a_sequence > b_sequence) - (a_sequence < b_sequence);
}

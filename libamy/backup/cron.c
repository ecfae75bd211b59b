/* Parses cron expressions. */
/* Not for when a minute comes: that is schedule.c. */
#include "backup/cron.h"

#include "core/civil.h"
#include "core/error.h"

#include <string.h>

#define TEXT_MAX 256

struct field {
    const char *name;
    unsigned low;
    unsigned high;
    const char *const *words; /* of low, low + 1, ... */
};

static const char *const month_words[] = {"jan", "feb", "mar", "apr", "may",
                                          "jun", "jul", "aug", "sep", "oct",
                                          "nov", "dec", NULL};
static const char *const day_words[] = {"sun", "mon", "tue", "wed",
                                        "thu", "fri", "sat", NULL};

static const struct field fields[] = {
    {"minute", 0, 59, NULL},          {"hour", 0, 23, NULL},
    {"day of month", 1, 31, NULL},    {"month", 1, 12, month_words},
    {"day of week", 0, 7, day_words}, /* 7 is Sunday again */
};
#define FIELD_COUNT (sizeof(fields) / sizeof(fields[0]))

static bool
parse_value(const struct field *field, struct amy__span text, unsigned *ret)
{
    uint64_t value = 0;

    for (unsigned i = 0; field->words != NULL && field->words[i] != NULL; i++) {
        if (amy__span_eq_nocase(text, amy__span_of(field->words[i]))) {
            *ret = field->low + i;
            return true;
        }
    }
    if (text.n > 2 || !amy__parse_u64(text, field->high, &value) ||
        value < field->low) {
        return false;
    }
    *ret = (unsigned)value;
    return true;
}

/* "5", "1-5", "*", each with "/2" behind it where there is more than one. */
static bool
parse_item(const struct field *field, struct amy__span text, uint64_t *bits)
{
    struct amy__span rest = text;
    struct amy__span range = {NULL, 0};
    struct amy__span first = {NULL, 0};
    unsigned low = field->low;
    unsigned high = field->high;
    uint64_t step = 1;
    bool single = false;

    if (!amy__span_split(&rest, '/', &range) ||
        (rest.p != NULL && (!amy__parse_u64(rest, 59, &step) || step == 0))) {
        return false;
    }
    if (!amy__span_eq(range, AMY_SPAN("*"))) {
        struct amy__span last = range;

        if (!amy__span_split(&last, '-', &first) ||
            !parse_value(field, first, &low)) {
            return false;
        }
        single = last.p == NULL;
        high = low;
        if (!single && (!parse_value(field, last, &high) || high < low)) {
            return false;
        }
    }
    if (single && rest.p != NULL) {
        return false; /* "5/2" means different things to different crons */
    }
    for (uint64_t v = low; v <= high; v += step) {
        *bits |= UINT64_C(1) << v;
    }
    return true;
}

static bool
parse_field(const struct field *field, struct amy__span text, uint64_t *bits)
{
    struct amy__span item = {NULL, 0};

    *bits = 0;
    if (text.n == 0) {
        return false;
    }
    while (amy__span_split(&text, ',', &item)) {
        if (!parse_item(field, item, bits)) {
            return false;
        }
    }
    return true;
}

/* The next word between blanks; false when there is none. */
static bool
next_word(struct amy__span *rest, struct amy__span *ret)
{
    size_t n = 0;

    *rest = amy__span_trim(*rest);
    while (n < rest->n && rest->p[n] != ' ' && rest->p[n] != '\t') {
        n++;
    }
    *ret = (struct amy__span){rest->p, n};
    rest->p += n;
    rest->n -= n;
    return n > 0;
}

static bool
is_any(struct amy__span text)
{
    return text.n > 0 && text.p[0] == '*';
}

static void
set_minute(struct amy__cron *cron, unsigned minute)
{
    cron->minutes[minute / 8] |= (uint8_t)(1U << (minute % 8));
}

static void
set_minutes(struct amy__cron *cron, uint64_t hours, uint64_t minutes)
{
    for (unsigned m = 0; m < AMY__DAY_MINUTES; m++) {
        if ((hours >> (m / 60) & 1) != 0 && (minutes >> (m % 60) & 1) != 0) {
            set_minute(cron, m);
        }
    }
}

/* Some day of some month; February has 29 in the best of years. */
static bool
ever_comes(const struct amy__cron *cron)
{
    if (!cron->any_weekday || cron->any_day) {
        return true;
    }
    for (unsigned month = 1; month <= 12; month++) {
        unsigned days = amy__civil_month_days(2000, month);

        if ((cron->months >> month & 1) != 0 &&
            (cron->days & ((UINT64_C(2) << days) - 1)) != 0) {
            return true;
        }
    }
    return false;
}

int
amy__cron_parse(struct amy__span text, struct amy__cron *ret,
                struct amy_error *err)
{
    struct amy__span words[FIELD_COUNT] = {{NULL, 0}};
    struct amy__span rest = text;
    struct amy__span more = {NULL, 0};
    uint64_t bits[FIELD_COUNT] = {0};
    struct amy__cron cron = {.any_day = false};

    for (size_t i = 0; i < FIELD_COUNT; i++) {
        if (text.n > TEXT_MAX || !next_word(&rest, &words[i])) {
            return amy__err(err, AMY_EPARSE, "has not five fields");
        }
        if (!parse_field(&fields[i], words[i], &bits[i])) {
            return amy__err(err, AMY_EPARSE, "has a faulty %s", fields[i].name);
        }
    }
    if (next_word(&rest, &more)) {
        return amy__err(err, AMY_EPARSE, "has more than five fields");
    }
    set_minutes(&cron, bits[1], bits[0]);
    cron.days = (uint32_t)bits[2];
    cron.months = (uint32_t)bits[3];
    cron.weekdays = (uint32_t)((bits[4] | bits[4] >> 7) & 0x7F);
    cron.every_hour = is_any(words[1]);
    cron.any_day = is_any(words[2]);
    cron.any_weekday = is_any(words[4]);
    if (!ever_comes(&cron)) {
        return amy__err(err, AMY_EPARSE, "names a day that never comes");
    }
    *ret = cron;
    return 0;
}

int
amy__cron_add_time(struct amy__span text, struct amy__cron *ret,
                   struct amy_error *err)
{
    uint64_t hour = 0;
    uint64_t minute = 0;

    if (text.n != 5 || text.p[2] != ':' ||
        !amy__parse_u64((struct amy__span){text.p, 2}, 23, &hour) ||
        !amy__parse_u64((struct amy__span){text.p + 3, 2}, 59, &minute)) {
        return amy__err(err, AMY_EPARSE, "is no time of day");
    }
    set_minute(ret, (unsigned)(hour * 60 + minute));
    ret->days = UINT32_MAX;
    ret->months = UINT32_MAX;
    ret->weekdays = UINT32_MAX;
    ret->any_day = true;
    ret->any_weekday = true;
    return 0;
}

bool
amy__cron_has_day(const struct amy__cron *cron, int64_t civil_day)
{
    struct amy__civil date = amy__civil_date(civil_day);
    bool day = (cron->days >> date.day & 1) != 0;
    bool weekday = (cron->weekdays >> amy__civil_weekday(civil_day) & 1) != 0;

    if ((cron->months >> date.month & 1) == 0) {
        return false;
    }
    return cron->any_day || cron->any_weekday ? day && weekday : day || weekday;
}

bool
amy__cron_has_minute(const struct amy__cron *cron, unsigned minute)
{
    return (cron->minutes[minute / 8] >> (minute % 8) & 1) != 0;
}

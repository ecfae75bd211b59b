/* Sizes ("10MiB") and durations ("1h30m") as people write them. */
/* Not for dates: those are core/clock.c and the HTTP codecs. */
#include "core/str.h"

#include <inttypes.h>
#include <stdio.h>

struct size_unit {
    struct amy__span name;
    uint64_t bytes;
};

static const struct size_unit size_units[] = {
    {{"B", 1}, 1},
    {{"kB", 2}, 1000},
    {{"MB", 2}, 1000000},
    {{"GB", 2}, 1000000000},
    {{"TB", 2}, 1000000000000},
    {{"KiB", 3}, 1ULL << 10},
    {{"MiB", 3}, 1ULL << 20},
    {{"GiB", 3}, 1ULL << 30},
    {{"TiB", 3}, 1ULL << 40},
};
#define SIZE_UNIT_COUNT (sizeof(size_units) / sizeof(size_units[0]))
#define FIRST_BINARY_UNIT 5

struct duration_unit {
    struct amy__span name;
    int64_t ms;
};

/* Falling, as they stand in a sum. */
static const struct duration_unit duration_units[] = {
    {{"d", 1}, 86400000}, {{"h", 1}, 3600000}, {{"m", 1}, 60000},
    {{"s", 1}, 1000},     {{"ms", 2}, 1},
};
#define DURATION_UNIT_COUNT (sizeof(duration_units) / sizeof(duration_units[0]))

/* Cut the characters from s that are digits (want) or are none. */
static struct amy__span
cut_run(struct amy__span *s, bool want)
{
    struct amy__span run = {s->p, 0};

    while (run.n < s->n && (s->p[run.n] >= '0' && s->p[run.n] <= '9') == want) {
        run.n++;
    }
    s->p += run.n;
    s->n -= run.n;
    return run;
}

bool
amy__parse_size(struct amy__span s, uint64_t *ret_bytes)
{
    struct amy__span digits = cut_run(&s, true);
    uint64_t value = 0;

    if (!amy__parse_u64(digits, UINT64_MAX, &value)) {
        return false;
    }
    if (s.n == 0) {
        *ret_bytes = value;
        return true;
    }
    for (size_t i = 0; i < SIZE_UNIT_COUNT; i++) {
        if (amy__span_eq(s, size_units[i].name)) {
            return !__builtin_mul_overflow(value, size_units[i].bytes,
                                           &value) &&
                   (*ret_bytes = value, true);
        }
    }
    return false;
}

bool
amy__parse_duration(struct amy__span s, int64_t *ret_ms)
{
    int64_t total = 0;
    size_t next_unit = 0;

    if (s.n == 0) {
        return false;
    }
    while (s.n > 0) {
        struct amy__span digits = cut_run(&s, true);
        struct amy__span name = cut_run(&s, false);
        uint64_t value = 0;
        int64_t part = 0;
        size_t unit = next_unit;

        while (unit < DURATION_UNIT_COUNT &&
               !amy__span_eq(name, duration_units[unit].name)) {
            unit++;
        }
        if (unit == DURATION_UNIT_COUNT ||
            !amy__parse_u64(digits, INT64_MAX, &value) ||
            __builtin_mul_overflow((int64_t)value, duration_units[unit].ms,
                                   &part) ||
            __builtin_add_overflow(total, part, &total)) {
            return false;
        }
        next_unit = unit + 1;
    }
    *ret_ms = total;
    return true;
}

int
amy__format_duration(int64_t ms, char *buf, size_t size)
{
    /* Days of INT64_MAX have 12 digits, the other parts at most 3. */
    char text[48] = "";
    size_t used = 0;
    int64_t rest = ms < 0 ? 0 : ms;

    for (size_t i = 0; i < DURATION_UNIT_COUNT; i++) {
        int64_t count = rest / duration_units[i].ms;

        rest -= count * duration_units[i].ms;
        if (count > 0) {
            used += (size_t)snprintf(text + used, sizeof(text) - used,
                                     "%" PRId64 "%s", count,
                                     duration_units[i].name.p);
        }
    }
    return snprintf(buf, size, "%s", used == 0 ? "0s" : text);
}

int
amy__format_size(uint64_t bytes, char *buf, size_t size)
{
    const struct size_unit *best = &size_units[0];

    for (size_t i = FIRST_BINARY_UNIT; i < SIZE_UNIT_COUNT; i++) {
        if (bytes != 0 && bytes % size_units[i].bytes == 0) {
            best = &size_units[i];
        }
    }
    return snprintf(buf, size, "%" PRIu64 "%s", bytes / best->bytes,
                    best->name.p);
}

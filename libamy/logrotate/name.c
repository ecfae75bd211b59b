/* Names of a log's files, written and read. */
/* Not for looking at the files: that is logrotate/scan.c. */
#include "logrotate/name.h"

#include <stdio.h>
#include <string.h>

static const struct {
    struct amy__span suffix;
    enum amy__logname_packing packing;
} packings[] = {
    {{".gz", 3}, AMY__LOGNAME_GZIP},
    {{".zst", 4}, AMY__LOGNAME_ZSTD},
};
#define PACKINGS (sizeof(packings) / sizeof(packings[0]))

static bool
cut_end(struct amy__span *s, struct amy__span end)
{
    if (!amy__span_ends(*s, end)) {
        return false;
    }
    s->n -= end.n;
    return true;
}

static enum amy__logname_packing
cut_packing(struct amy__span *s)
{
    for (size_t i = 0; i < PACKINGS; i++) {
        if (cut_end(s, packings[i].suffix)) {
            return packings[i].packing;
        }
    }
    return AMY__LOGNAME_PLAIN;
}

/* n digits, whatever they are. */
static bool
is_digits(struct amy__span s, size_t min, size_t max)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
    }
    return s.n >= min && s.n <= max;
}

/* What logrotate appends: ".1" by default, "-20261126" with dateext,
 * "-2026112621" with dateext and hourly, or seconds since 1970. */
static bool
is_logrotates(struct amy__span tail)
{
    struct amy__span digits = {tail.p + 1, tail.n - 1};

    if (tail.n < 2) {
        return false;
    }
    if (tail.p[0] == '.') {
        return is_digits(digits, 1, 6) && digits.p[0] != '0';
    }
    return tail.p[0] == '-' && is_digits(digits, 8, 10);
}

bool
amy__logname_parse(struct amy__span name, struct amy__span base,
                   struct amy__logname *ret_name)
{
    struct amy__logname made = {.kind = AMY__LOGNAME_CURRENT};
    struct amy__span tail = name;

    if (!amy__span_starts(name, base)) {
        return false;
    }
    tail.p += base.n;
    tail.n -= base.n;
    if (tail.n == 0) {
        *ret_name = made;
        return true;
    }
    made.partial = cut_end(&tail, AMY_SPAN(".partial"));
    made.packing = cut_packing(&tail);
    if (made.partial && made.packing == AMY__LOGNAME_PLAIN) {
        return false;
    }
    if (tail.n > 1 && tail.p[0] == '-' &&
        amy__stamp_parse((struct amy__span){tail.p + 1, tail.n - 1},
                         &made.wall_ms, &made.sequence)) {
        made.kind = AMY__LOGNAME_ROTATED;
    } else if (!made.partial && is_logrotates(tail)) {
        made.kind = AMY__LOGNAME_ADOPTED;
    } else {
        return false;
    }
    *ret_name = made;
    return true;
}

/* Would some shorter base call this one of its files? */
static bool
looks_rotated(struct amy__span name)
{
    for (size_t i = 1; i < name.n; i++) {
        struct amy__logname ignored = {0};
        struct amy__span shorter = {name.p, i};

        if ((name.p[i] == '.' || name.p[i] == '-') &&
            amy__logname_parse(name, shorter, &ignored)) {
            return true;
        }
    }
    return cut_end(&name, AMY_SPAN(".partial")) ||
           cut_packing(&name) != AMY__LOGNAME_PLAIN;
}

bool
amy__logname_is_base(struct amy__span name)
{
    if (name.n == 0 || name.n > AMY__LOGNAME_BASE_MAX || name.p[0] == '.') {
        return false;
    }
    for (size_t i = 0; i < name.n; i++) {
        if (name.p[i] <= ' ' || name.p[i] > '~' || name.p[i] == '/') {
            return false;
        }
    }
    return !looks_rotated(name);
}

char *
amy__logname_write(struct amy__span base, const struct amy__logname *name,
                   char buf[AMY__LOGNAME_SIZE])
{
    char stamp[AMY__STAMP_SIZE] = "";
    const char *packed = "";

    (void)snprintf(buf, AMY__LOGNAME_SIZE, AMY_SPAN_FMT, AMY_SPAN_ARG(base));
    if (name->kind == AMY__LOGNAME_CURRENT) {
        return buf;
    }
    for (size_t i = 0; i < PACKINGS; i++) {
        if (packings[i].packing == name->packing) {
            packed = packings[i].suffix.p;
        }
    }
    amy__stamp_write(name->wall_ms, name->sequence, stamp);
    (void)snprintf(buf, AMY__LOGNAME_SIZE, AMY_SPAN_FMT "-%s%s%s",
                   AMY_SPAN_ARG(base), stamp, packed,
                   name->partial ? ".partial" : "");
    return buf;
}

int
amy__logname_compare(const struct amy__logname *a, const struct amy__logname *b)
{
    if (a->wall_ms != b->wall_ms) {
        return a->wall_ms < b->wall_ms ? -1 : 1;
    }
    return (a->sequence > b->sequence) - (a->sequence < b->sequence);
}

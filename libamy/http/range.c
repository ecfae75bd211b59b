/* Reading Range, and the framing of its answer. Not for If-Range: that is a
 * condition (condition.h), and not for sending. */
#include "http/range.h"

#include <stdio.h>
#include <string.h>

enum spec {
    SPEC_GOOD,
    SPEC_BEYOND, /* begins behind the end */
    SPEC_EMPTY,  /* the last bytes of nothing */
    SPEC_MALFORMED,
};

/* 1*DIGIT of any length: what no file can have counts as the most there is. */
static bool
read_number(struct amy__span s, uint64_t *ret)
{
    uint64_t number = 0;

    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] < '0' || s.p[i] > '9') {
            return false;
        }
        if (__builtin_mul_overflow(number, 10U, &number) ||
            __builtin_add_overflow(number, (unsigned)(s.p[i] - '0'), &number)) {
            number = UINT64_MAX;
        }
    }
    *ret = number;
    return s.n > 0;
}

/* "-5": the last five. */
static enum spec
read_suffix(struct amy__span digits, uint64_t size, struct amy__range *ret)
{
    uint64_t n = 0;

    if (!read_number(digits, &n)) {
        return SPEC_MALFORMED;
    }
    if (n == 0) {
        return SPEC_BEYOND;
    }
    n = n < size ? n : size;
    *ret = (struct amy__range){size - n, n};
    return n == 0 ? SPEC_EMPTY : SPEC_GOOD;
}

/* "0-4", "5-", "-5" (14.1.2). */
static enum spec
read_spec(struct amy__span spec, uint64_t size, struct amy__range *ret)
{
    const char *dash = memchr(spec.p, '-', spec.n);
    struct amy__span before = {spec.p, 0};
    struct amy__span behind = {NULL, 0};
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;

    if (dash == NULL) {
        return SPEC_MALFORMED;
    }
    before.n = (size_t)(dash - spec.p);
    behind = (struct amy__span){dash + 1, spec.n - before.n - 1};
    if (before.n == 0) {
        return read_suffix(behind, size, ret);
    }
    if (!read_number(before, &first) ||
        (behind.n > 0 && !read_number(behind, &last)) || last < first) {
        return SPEC_MALFORMED;
    }
    if (first >= size) {
        return SPEC_BEYOND;
    }
    last = last < size ? last : size - 1;
    *ret = (struct amy__range){first, last - first + 1};
    return SPEC_GOOD;
}

static bool
overlaps(const struct amy__ranges *ranges, const struct amy__range *one)
{
    for (size_t i = 0; i < ranges->count; i++) {
        const struct amy__range *other = &ranges->at[i];

        if (one->first < other->first + other->n &&
            other->first < one->first + one->n) {
            return true;
        }
    }
    return false;
}

/* All of a set: what it comes to. */
static enum amy__range_wish
read_set(struct amy__span set, uint64_t size, struct amy__ranges *ret)
{
    struct amy__span spec = {NULL, 0};
    struct amy__range range = {0, 0};
    size_t specs = 0;

    ret->count = 0;
    while (amy__span_split(&set, ',', &spec)) {
        spec = amy__span_trim(spec);
        if (spec.n == 0) {
            continue; /* 5.6.1.2: empty elements of a list do not count */
        }
        if (++specs > AMY__RANGES_MAX) {
            return AMY__RANGE_WHOLE;
        }
        switch (read_spec(spec, size, &range)) {
        case SPEC_GOOD:
            if (overlaps(ret, &range)) {
                return AMY__RANGE_WHOLE;
            }
            ret->at[ret->count++] = range;
            break;
        case SPEC_BEYOND:
            break;
        case SPEC_EMPTY: /* satisfied by nothing, which no 206 can say */
        case SPEC_MALFORMED:
        default:
            return AMY__RANGE_WHOLE;
        }
    }
    if (specs == 0) {
        return AMY__RANGE_WHOLE;
    }
    return ret->count == 0 ? AMY__RANGE_NONE : AMY__RANGE_PARTS;
}

enum amy__range_wish
amy__range_read(const struct amy__request_head *head, uint64_t size,
                struct amy__ranges *ret)
{
    const struct amy__field *found = NULL;
    struct amy__span unit = AMY_SPAN("bytes=");
    struct amy__span value = {NULL, 0};

    if (head->method != AMY__METHOD_GET) {
        return AMY__RANGE_WHOLE;
    }
    for (size_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id != AMY__FIELD_RANGE) {
            continue;
        }
        if (found != NULL) {
            return AMY__RANGE_WHOLE; /* one set is all that it can hold */
        }
        found = &head->fields[i];
    }
    if (found == NULL || found->value.n < unit.n) {
        return AMY__RANGE_WHOLE;
    }
    value = found->value;
    if (!amy__span_eq_nocase((struct amy__span){value.p, unit.n}, unit)) {
        return AMY__RANGE_WHOLE;
    }
    return read_set((struct amy__span){value.p + unit.n, value.n - unit.n},
                    size, ret);
}

/* ---- the answer ---- */

static size_t
length(int n)
{
    return n > 0 ? (size_t)n : 0;
}

size_t
amy__range_text(const struct amy__range *range, uint64_t size,
                char text[AMY__RANGE_TEXT])
{
    if (range == NULL) {
        return length(snprintf(text, AMY__RANGE_TEXT, "bytes */%llu",
                               (unsigned long long)size));
    }
    return length(snprintf(text, AMY__RANGE_TEXT, "bytes %llu-%llu/%llu",
                           (unsigned long long)range->first,
                           (unsigned long long)(range->first + range->n - 1),
                           (unsigned long long)size));
}

size_t
amy__range_part_head(const char *boundary, struct amy__span type,
                     const struct amy__range *range, uint64_t size, char *buf,
                     size_t buf_n)
{
    char text[AMY__RANGE_TEXT];

    (void)amy__range_text(range, size, text);
    return length(snprintf(buf, buf_n,
                           "\r\n--%s\r\nContent-Type: %.*s\r\n"
                           "Content-Range: %s\r\n\r\n",
                           boundary, AMY_SPAN_ARG(type), text));
}

size_t
amy__range_parts_end(const char *boundary, char *buf, size_t buf_n)
{
    return length(snprintf(buf, buf_n, "\r\n--%s--\r\n", boundary));
}

/* RESP2 item by item: lengths, nesting, ends of lines. */
/* Not for what is said: hiredis builds that (codec.c). */
#include "redis/gauge.h"

#include "core/error.h"

#include <inttypes.h>
#include <string.h>

#define LINE_MAX_BYTES ((size_t)64 * 1024) /* a status or an error */
#define NUMBER_MAX_BYTES 24U
/* An item costs more memory than its three bytes on the wire. */
#define BYTES_PER_ITEM 16U
#define ITEMS_MIN 1024U

void
amy__redis_gauge_init(struct amy__redis_gauge *gauge, size_t max)
{
    *gauge = (struct amy__redis_gauge){.max = max};
}

void
amy__redis_gauge_expect(struct amy__redis_gauge *gauge, size_t count)
{
    gauge->to_come = count;
}

static int
refuse_long(const struct amy__redis_gauge *gauge, struct amy_error *err)
{
    return amy__err(err, AMY_ELIMIT, "a reply of more than %zu bytes",
                    gauge->max);
}

/* The line that begins at gauge->at, its type without, its end without. 1: it
 * is whole. */
static int
read_line(const struct amy__redis_gauge *gauge, struct amy__span data,
          size_t max, struct amy__span *ret, struct amy_error *err)
{
    const char *begin = data.p + gauge->at;
    size_t n = data.n - gauge->at;
    const char *end = memchr(begin, '\n', n < max ? n : max);

    if (end == NULL) {
        return n < max
                   ? 0
                   : amy__err(err, AMY_EPROTO, "a reply's line is too long");
    }
    if (end - begin < 2 || end[-1] != '\r') {
        return amy__err(err, AMY_EPROTO, "a reply's line has no right end");
    }
    *ret = (struct amy__span){begin + 1, (size_t)(end - begin) - 2};
    return 1;
}

/* A length has -1 for none, and nothing else below zero. */
static int
read_number(struct amy__span text, bool is_length, int64_t *ret,
            struct amy_error *err)
{
    bool minus = text.n > 0 && text.p[0] == '-';
    struct amy__span digits = {text.p + minus, text.n - minus};
    uint64_t value = 0;
    uint64_t max = minus ? (uint64_t)INT64_MAX + 1 : (uint64_t)INT64_MAX;

    if (!amy__parse_u64(digits, max, &value) ||
        (minus && is_length && value != 1)) {
        return amy__err(err, AMY_EPROTO, "a reply's number is none");
    }
    *ret = minus ? -(int64_t)(value - 1) - 1 : (int64_t)value;
    return 0;
}

/* A string of n bytes behind a head of `head`. */
static int
pass_bulk(struct amy__redis_gauge *gauge, struct amy__span data, size_t head,
          int64_t n, struct amy_error *err)
{
    size_t end = gauge->at + head;

    if (n < 0) {
        gauge->at = end;
        return 1;
    }
    if ((uint64_t)n > gauge->max ||
        gauge->before + end + (size_t)n + 2 > gauge->max) {
        return refuse_long(gauge, err);
    }
    end += (size_t)n + 2;
    if (data.n < end) {
        return 0;
    }
    if (memcmp(data.p + end - 2, "\r\n", 2) != 0) {
        return amy__err(err, AMY_EPROTO, "a reply's string has no right end");
    }
    gauge->at = end;
    return 1;
}

static int
open_array(struct amy__redis_gauge *gauge, size_t head, int64_t n,
           struct amy_error *err)
{
    uint64_t most = gauge->max / BYTES_PER_ITEM;

    gauge->at += head;
    if (n <= 0) {
        return 1;
    }
    most = most < ITEMS_MIN ? ITEMS_MIN : most;
    if ((uint64_t)n > most - gauge->items) {
        return amy__err(err, AMY_ELIMIT,
                        "a reply of more than %" PRIu64 " items", most);
    }
    if (gauge->depth == AMY_REDIS_DEPTH_MAX) {
        return amy__err(err, AMY_ELIMIT, "a reply of more than %u arrays deep",
                        AMY_REDIS_DEPTH_MAX);
    }
    gauge->items += (uint64_t)n;
    gauge->left[gauge->depth++] = (uint64_t)n;
    return 2; /* no item has ended */
}

/* 2: an array begins; 1: an item has ended; 0: it goes on. */
static int
pass_item(struct amy__redis_gauge *gauge, struct amy__span data,
          struct amy_error *err)
{
    char type = data.p[gauge->at];
    bool is_text = type == '+' || type == '-';
    struct amy__span line = {NULL, 0};
    int64_t number = 0;
    int rc = 0;

    if (!is_text && type != ':' && type != '$' && type != '*') {
        return amy__err(err, AMY_EPROTO, "this is no reply of Redis");
    }
    rc = read_line(gauge, data, is_text ? LINE_MAX_BYTES : NUMBER_MAX_BYTES,
                   &line, err);
    if (rc <= 0) {
        return rc;
    }
    if (!is_text) {
        rc = read_number(line, type != ':', &number, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (type == '$') {
        return pass_bulk(gauge, data, line.n + 3, number, err);
    }
    if (type == '*') {
        return open_array(gauge, line.n + 3, number, err);
    }
    gauge->at += line.n + 3;
    return 1;
}

/* An item has ended: and with it arrays. true: the reply has, too. */
static bool
close_arrays(struct amy__redis_gauge *gauge)
{
    while (gauge->depth > 0) {
        if (--gauge->left[gauge->depth - 1] > 0) {
            return false;
        }
        gauge->depth--;
    }
    return true;
}

/* The reply has ended. What it took counts for the rest of its batch. */
static void
begin_next(struct amy__redis_gauge *gauge)
{
    struct amy__redis_gauge next = {.max = gauge->max};

    if (gauge->to_come > 1) {
        next.to_come = gauge->to_come - 1;
        next.before = gauge->before + gauge->at;
        next.items = gauge->items;
    }
    *gauge = next;
}

int
amy__redis_gauge_next(struct amy__redis_gauge *gauge, struct amy__span data,
                      size_t *ret_n, struct amy_error *err)
{
    while (gauge->at < data.n) {
        int rc = pass_item(gauge, data, err);

        if (rc <= 0) {
            return rc;
        }
        if (gauge->before + gauge->at > gauge->max) {
            return refuse_long(gauge, err);
        }
        if (rc == 1 && close_arrays(gauge)) {
            *ret_n = gauge->at;
            begin_next(gauge);
            return 1;
        }
    }
    return 0;
}

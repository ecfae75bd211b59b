/* Writes one log line as JSON, into room that is given. */
/* Not a tree: nothing is allocated, and what does not fit is cut. */
#include "core/check.h"
#include "core/clock.h"
#include "logrotate/line.h"

#include <stdio.h>
#include <string.h>

/* What ends every line: there is always room for it. */
#define CUT_END ",\"cut\":true}\n"
#define LEAST 512U
#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

struct out {
    char *at;
    const char *end; /* before the room of CUT_END */
    bool cut;
};

static void
put(struct out *out, const char *text, size_t n)
{
    if ((size_t)(out->end - out->at) < n) {
        out->cut = true;
        return;
    }
    memcpy(out->at, text, n);
    out->at += n;
}

static bool
are_continuations(const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if ((p[i] & 0xc0U) != 0x80U) {
            return false;
        }
    }
    return true;
}

/* How long the UTF-8 sequence at p is (RFC 3629); 0: it is none. */
static size_t
utf8_length(const unsigned char *p, size_t n)
{
    static const struct {
        unsigned char low;
        unsigned char high;
        unsigned char second_low;
        unsigned char second_high;
        unsigned char length;
    } kinds[] = {
        {0xc2, 0xdf, 0x80, 0xbf, 2}, {0xe0, 0xe0, 0xa0, 0xbf, 3},
        {0xe1, 0xec, 0x80, 0xbf, 3}, {0xed, 0xed, 0x80, 0x9f, 3},
        {0xee, 0xef, 0x80, 0xbf, 3}, {0xf0, 0xf0, 0x90, 0xbf, 4},
        {0xf1, 0xf3, 0x80, 0xbf, 4}, {0xf4, 0xf4, 0x80, 0x8f, 4},
    };

    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        if (p[0] < kinds[i].low || p[0] > kinds[i].high) {
            continue;
        }
        if (n < kinds[i].length || p[1] < kinds[i].second_low ||
            p[1] > kinds[i].second_high) {
            return 0;
        }
        return are_continuations(p + 2, kinds[i].length - 2U) ? kinds[i].length
                                                              : 0;
    }
    return 0;
}

/* U+0080 to U+009F: a terminal may obey them. */
static bool
is_c1_control(const unsigned char *p, size_t n)
{
    return n > 1 && p[0] == 0xc2 && p[1] >= 0x80 && p[1] <= 0x9f;
}

/* One character as JSON has it, into at most 6 bytes; how many of the text it
 * took. */
static size_t
escape_one(const unsigned char *p, size_t n, char buf[8], size_t *ret_n)
{
    size_t length = 1;

    if (*p == '"' || *p == '\\') {
        buf[0] = '\\';
        buf[1] = (char)*p;
        *ret_n = 2;
    } else if (*p == '\n' || *p == '\t') {
        buf[0] = '\\';
        buf[1] = *p == '\n' ? 'n' : 't';
        *ret_n = 2;
    } else if (*p == '\0') { /* JSON allows it, and many who read it do not */
        memcpy(buf, REPLACEMENT, sizeof(REPLACEMENT) - 1);
        *ret_n = sizeof(REPLACEMENT) - 1;
    } else if (*p < 0x20 || *p == 0x7f) {
        *ret_n = (size_t)snprintf(buf, 8, "\\u%04x", *p);
    } else if (*p < 0x80) {
        buf[0] = (char)*p;
        *ret_n = 1;
    } else if (is_c1_control(p, n)) {
        *ret_n = (size_t)snprintf(buf, 8, "\\u%04x", p[1]);
        length = 2;
    } else {
        length = utf8_length(p, n);
        memcpy(buf, length == 0 ? REPLACEMENT : (const char *)p,
               length == 0 ? 3 : length);
        *ret_n = length == 0 ? 3 : length;
        length = length == 0 ? 1 : length;
    }
    return length;
}

static void
put_key(struct out *out, const char *key)
{
    put(out, ",\"", 2);
    put(out, key, strlen(key));
    put(out, "\":", 2);
}

/* Nothing where there is no text, or no room for any of it. */
static void
put_text(struct out *out, const char *key, struct amy__span text)
{
    size_t at = 0;

    if (text.n == 0 ||
        (size_t)(out->end - out->at) < strlen(key) + sizeof(",\"\":\"\"")) {
        out->cut = out->cut || text.n > 0;
        return;
    }
    put_key(out, key);
    *out->at++ = '"';
    while (at < text.n) {
        char one[8];
        size_t n = 0;
        size_t took = escape_one((const unsigned char *)text.p + at,
                                 text.n - at, one, &n);

        if ((size_t)(out->end - out->at) < n + 1) {
            out->cut = true;
            break;
        }
        memcpy(out->at, one, n);
        out->at += n;
        at += took;
    }
    *out->at++ = '"';
}

/* There in any case, though it may be empty. */
static void
put_message(struct out *out, struct amy__span text)
{
    static const char empty[] = ",\"message\":\"\"";

    if (text.n == 0) {
        put(out, empty, sizeof(empty) - 1);
    }
    put_text(out, "message", text);
}

/* Digits as a number; 18 of them fit everybody's. */
static void
put_number(struct out *out, const char *key, struct amy__span digits)
{
    uint64_t value = 0;
    char text[64];
    int n = 0;

    if (digits.n == 0 || digits.n > 18 ||
        !amy__parse_u64(digits, UINT64_MAX, &value)) {
        return;
    }
    n = snprintf(text, sizeof(text), ",\"%s\":%llu", key,
                 (unsigned long long)value);
    put(out, text, (size_t)n);
}

/* "1.235"; JSON allows no other zeros before it. */
static void
put_seconds(struct out *out, const char *key, struct amy__span s)
{
    struct amy__span whole = {0};
    struct amy__span part = s;
    uint64_t seconds = 0;
    uint64_t ignored = 0;
    char text[64];
    int n = 0;

    if (!amy__span_split(&part, '.', &whole) || whole.n > 12 || part.n == 0 ||
        part.n > 9 || !amy__parse_u64(whole, UINT64_MAX, &seconds) ||
        !amy__parse_u64(part, UINT64_MAX, &ignored)) {
        return;
    }
    n = snprintf(text, sizeof(text), ",\"%s\":%llu.%.*s", key,
                 (unsigned long long)seconds, (int)part.n, part.p);
    put(out, text, (size_t)n);
}

/* Short things first: they are there whatever is cut. */
static void
put_access(struct out *out, const struct amy__log_access *access)
{
    put_text(out, "client", access->client);
    put_text(out, "user", access->user);
    put_number(out, "status", access->status);
    put_number(out, "bytes", access->bytes);
    put_seconds(out, "duration", access->duration);
    put_seconds(out, "queued", access->queued);
    put_text(out, "request_id", access->request_id);
    put_text(out, "worker", access->worker);
    put_text(out, "stage", access->stage);
    put_text(out, "method", access->method);
    put_text(out, "target", access->target);
    put_text(out, "referer", access->referer);
    put_text(out, "agent", access->agent);
    put_message(out, access->request);
}

static void
put_worker(struct out *out, const struct amy__log_worker *worker)
{
    put_text(out, "pool", worker->pool);
    put_number(out, "position", worker->position);
    put_number(out, "pid", worker->pid);
    put_message(out, worker->text);
}

static void
put_head(struct out *out, int64_t wall_ms, const char *component)
{
    static const char no_time[] = "{\"time\":null";
    char time[25];
    char head[48];
    int n = 0;

    if (wall_ms == AMY_LOG_NO_TIME) {
        put(out, no_time, sizeof(no_time) - 1);
    } else {
        n = snprintf(head, sizeof(head), "{\"time\":\"%s\"",
                     amy__format_time(wall_ms, time));
        put(out, head, (size_t)n);
    }
    put_text(out, "component", amy__span_of(component));
}

static size_t
finish(struct out *out, const char *begin)
{
    if (out->cut) {
        memcpy(out->at, CUT_END, sizeof(CUT_END) - 1);
        return (size_t)(out->at - begin) + sizeof(CUT_END) - 1;
    }
    memcpy(out->at, "}\n", 2);
    return (size_t)(out->at - begin) + 2;
}

/* Ours begin with a time of 24 bytes, which needs not be there twice. */
static struct amy__span
without_time(struct amy__span line)
{
    int64_t ignored_ms = 0;

    if (line.n > 25 && line.p[23] == 'Z' && line.p[24] == ' ' &&
        amy__log_line_time((struct amy__span){line.p, 24}, &ignored_ms)) {
        return (struct amy__span){line.p + 25, line.n - 25};
    }
    return line;
}

size_t
amy_log_line_json(const struct amy_log_line *line, char *buf, size_t size)
{
    struct out out = {buf, buf + size - (sizeof(CUT_END) - 1), line->cut != 0};
    struct amy__span text = {line->text, line->text_bytes};
    struct amy__log_access access;
    struct amy__log_worker worker;

    AMY_ASSERT(size >= LEAST);
    put_head(&out, line->wall_ms, amy_log_component_name(line->component));
    put_text(&out, "site", amy__span_of(line->site));
    if (line->component == AMY_LOG_COMPONENT_ACCESS &&
        amy__log_line_access(text, &access)) {
        put_access(&out, &access);
    } else if (line->component == AMY_LOG_COMPONENT_WORKERS &&
               amy__log_line_worker(text, &worker)) {
        put_worker(&out, &worker);
    } else {
        put_message(&out, without_time(text));
    }
    return finish(&out, buf);
}

size_t
amy_log_message_json(enum amy_log_level level, const char *program,
                     int64_t wall_ms, const char *text, char *buf, size_t size)
{
    struct out out = {buf, buf + size - (sizeof(CUT_END) - 1), false};

    AMY_ASSERT(size >= LEAST);
    put_head(&out, wall_ms, program);
    put_text(&out, "level", amy__span_of(amy_log_level_name(level)));
    put_message(&out, amy__span_of(text));
    return finish(&out, buf);
}

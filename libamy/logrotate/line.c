/* Reads the times and the fields of log lines. */
/* Not for writing them as JSON: json_line.c. */
#include "logrotate/line.h"

#include "core/civil.h"

#include <string.h>

static const struct {
    const char *name;
    const char *file;
} components[] = {
    {"access", "access.log"},
    {"error", "error.log"},
    {"workers", "gunicorn_supervisor.log"},
    {"backup", "backup.log"},
    {"deploy", "deploy.log"},
};

const char *
amy_log_component_name(uint32_t component)
{
    return component < AMY_LOG_COMPONENT_COUNT ? components[component].name
                                               : NULL;
}

const char *
amy__log_component_file(uint32_t component)
{
    return component < AMY_LOG_COMPONENT_COUNT ? components[component].file
                                               : NULL;
}

/* ---- a cursor ---- */

static bool
take(struct amy__span *s, char c)
{
    if (s->n == 0 || s->p[0] != c) {
        return false;
    }
    s->p++;
    s->n--;
    return true;
}

/* Exactly n digits, within low..high. */
static bool
take_number(struct amy__span *s, size_t n, unsigned low, unsigned high,
            unsigned *ret)
{
    uint64_t value = 0;

    if (s->n < n ||
        !amy__parse_u64((struct amy__span){s->p, n}, high, &value) ||
        value < low) {
        return false;
    }
    s->p += n;
    s->n -= n;
    *ret = (unsigned)value;
    return true;
}

static size_t
count_digits(struct amy__span s)
{
    size_t n = 0;

    while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9') {
        n++;
    }
    return n;
}

/* ---- times ---- */

struct moment {
    unsigned year;
    unsigned month;
    unsigned day;
    unsigned hour;
    unsigned minute;
    unsigned second;
    unsigned ms;
    int offset_minutes;
};

static bool
moment_ms(const struct moment *m, int64_t *ret_wall_ms)
{
    if (m->day > amy__civil_month_days(m->year, m->month)) {
        return false;
    }
    *ret_wall_ms = (amy__civil_day(m->year, m->month, m->day) * AMY__DAY_S +
                    (int64_t)m->hour * 3600 +
                    ((int64_t)m->minute - m->offset_minutes) * 60 + m->second) *
                       1000 +
                   m->ms;
    return true;
}

static bool
take_time_of_day(struct amy__span *s, struct moment *m)
{
    return take_number(s, 2, 0, 23, &m->hour) && take(s, ':') &&
           take_number(s, 2, 0, 59, &m->minute) && take(s, ':') &&
           take_number(s, 2, 0, 60, &m->second);
}

/* ".123", ",123456": what is there beyond milliseconds is passed over. */
static void
take_fraction(struct amy__span *s, struct moment *m)
{
    unsigned weight = 100;
    struct amy__span at = *s;
    size_t n = 0;

    if (!take(&at, '.') && !take(&at, ',')) {
        return;
    }
    n = count_digits(at);
    for (size_t i = 0; i < n; i++) {
        m->ms += (unsigned)(at.p[i] - '0') * weight;
        weight /= 10;
    }
    if (n > 0) {
        s->p = at.p + n;
        s->n = at.n - n;
    }
}

/* "Z", "+01:00", " +0100"; none counts as UTC. */
static void
take_offset(struct amy__span *s, struct moment *m)
{
    struct amy__span at = *s;
    unsigned hours = 0;
    unsigned minutes = 0;
    bool west = false;

    if (take(&at, 'Z')) {
        *s = at;
        return;
    }
    (void)take(&at, ' ');
    west = at.n > 0 && at.p[0] == '-';
    if ((!take(&at, '+') && !take(&at, '-')) ||
        !take_number(&at, 2, 0, 23, &hours)) {
        return;
    }
    (void)take(&at, ':');
    if (take_number(&at, 2, 0, 59, &minutes)) {
        m->offset_minutes = (int)(hours * 60 + minutes) * (west ? -1 : 1);
        *s = at;
    }
}

/* "2026-11-23T21:30:30.123Z", "2026-11-23 21:30:30,123". */
static bool
take_iso(struct amy__span *s, int64_t *ret_wall_ms)
{
    struct moment m = {0};

    if (!take_number(s, 4, 1, 9999, &m.year) || !take(s, '-') ||
        !take_number(s, 2, 1, 12, &m.month) || !take(s, '-') ||
        !take_number(s, 2, 1, 31, &m.day) || (!take(s, 'T') && !take(s, ' ')) ||
        !take_time_of_day(s, &m)) {
        return false;
    }
    take_fraction(s, &m);
    take_offset(s, &m);
    return moment_ms(&m, ret_wall_ms);
}

static bool
take_month(struct amy__span *s, unsigned *ret)
{
    static const char names[] = "JanFebMarAprMayJunJulAugSepOctNovDec";

    for (unsigned i = 0; s->n >= 3 && i < 12; i++) {
        if (memcmp(s->p, names + (size_t)i * 3, 3) == 0) {
            s->p += 3;
            s->n -= 3;
            *ret = i + 1;
            return true;
        }
    }
    return false;
}

/* "23/Nov/2026:21:30:30 +0000". */
static bool
take_common(struct amy__span *s, int64_t *ret_wall_ms)
{
    struct moment m = {0};

    if (!take_number(s, 2, 1, 31, &m.day) || !take(s, '/') ||
        !take_month(s, &m.month) || !take(s, '/') ||
        !take_number(s, 4, 1, 9999, &m.year) || !take(s, ':') ||
        !take_time_of_day(s, &m)) {
        return false;
    }
    take_offset(s, &m);
    return moment_ms(&m, ret_wall_ms);
}

bool
amy__log_line_time(struct amy__span line, int64_t *ret_wall_ms)
{
    struct amy__span at = line;
    const char *bracket = NULL;

    (void)take(&at, '[');
    if (take_iso(&at, ret_wall_ms)) {
        return true;
    }
    /* Client, identity and user come before it, and none has a bracket, but
     * for an IPv6 address with a port. */
    bracket = memmem(line.p, line.n, " [", 2);
    if (bracket == NULL) {
        return false;
    }
    at.p = bracket + 2;
    at.n = line.n - (size_t)(at.p - line.p);
    return take_common(&at, ret_wall_ms);
}

/* ---- access lines ---- */

/* Up to `end`, which is passed over; false: it is not there. */
static bool
take_until(struct amy__span *s, char end, struct amy__span *piece)
{
    const char *at = s->n == 0 ? NULL : memchr(s->p, end, s->n);

    if (at == NULL) {
        return false;
    }
    *piece = (struct amy__span){s->p, (size_t)(at - s->p)};
    s->n -= piece->n + 1;
    s->p = at + 1;
    return true;
}

/* A text in quotes and the space behind it. Ours and Apache's never have a
 * quote within; nginx writes \x22. */
static bool
take_quoted(struct amy__span *s, struct amy__span *piece)
{
    if (!take(s, '"') || !take_until(s, '"', piece)) {
        return false;
    }
    (void)take(s, ' ');
    return true;
}

static struct amy__span
unless_dash(struct amy__span s)
{
    return amy__span_eq(s, AMY_SPAN("-")) ? (struct amy__span){s.p, 0} : s;
}

/* "rt=0.012 qt=- id=abc w=web/1.0 stage=test", in any order. */
static void
read_ours(struct amy__span rest, struct amy__log_access *ret)
{
    struct amy__span word = {0};

    while (amy__span_split(&rest, ' ', &word)) {
        struct amy__span key = {0};

        if (!take_until(&word, '=', &key)) {
            continue;
        }
        word = unless_dash(word);
        if (amy__span_eq(key, AMY_SPAN("rt"))) {
            ret->duration = word;
        } else if (amy__span_eq(key, AMY_SPAN("qt"))) {
            ret->queued = word;
        } else if (amy__span_eq(key, AMY_SPAN("id"))) {
            ret->request_id = word;
        } else if (amy__span_eq(key, AMY_SPAN("w"))) {
            ret->worker = word;
        } else if (amy__span_eq(key, AMY_SPAN("stage"))) {
            ret->stage = word;
        }
    }
}

static bool
take_status(struct amy__span *s, struct amy__log_access *ret)
{
    if (!take_until(s, ' ', &ret->status) || ret->status.n != 3 ||
        count_digits(ret->status) != 3) {
        return false;
    }
    /* The last one of a line in the common format. */
    if (!take_until(s, ' ', &ret->bytes)) {
        ret->bytes = *s;
        *s = (struct amy__span){s->p + s->n, 0};
    }
    ret->bytes = unless_dash(ret->bytes);
    return count_digits(ret->bytes) == ret->bytes.n;
}

/* "- anna [": some write a name with blanks as it is. */
static bool
take_user(struct amy__span *s, struct amy__span *ret)
{
    const char *end = s->n == 0 ? NULL : memmem(s->p, s->n, " [", 2);
    struct amy__span ignored = {0};

    if (end == NULL) {
        return false;
    }
    *ret = (struct amy__span){s->p, (size_t)(end - s->p)};
    s->n -= ret->n + 2;
    s->p = end + 2;
    if (!take_until(ret, ' ', &ignored)) {
        return false;
    }
    *ret = unless_dash(*ret);
    return true;
}

bool
amy__log_line_access(struct amy__span line, struct amy__log_access *ret)
{
    struct amy__log_access made = {.client = {line.p, 0}};
    struct amy__span ignored = {0};
    struct amy__span rest = line;
    struct amy__span words = {0};

    if (!take_until(&rest, ' ', &made.client) ||
        !take_user(&rest, &made.user) || !take_until(&rest, ']', &ignored) ||
        !take(&rest, ' ') || !take_quoted(&rest, &made.request) ||
        !take_status(&rest, &made)) {
        return false;
    }
    words = made.request;
    if (take_until(&words, ' ', &made.method) &&
        !take_until(&words, ' ', &made.target)) {
        made.target = words;
    }
    made.method = unless_dash(made.method);
    made.target = unless_dash(made.target);
    if (take_quoted(&rest, &made.referer) && take_quoted(&rest, &made.agent)) {
        read_ours(rest, &made);
    }
    made.referer = unless_dash(made.referer);
    made.agent = unless_dash(made.agent);
    *ret = made;
    return true;
}

/* ---- workers' lines ---- */

bool
amy__log_line_worker(struct amy__span line, struct amy__log_worker *ret)
{
    struct amy__log_worker made = {.pool = {line.p, 0}};
    struct amy__span rest = line;
    int64_t ignored_ms = 0;

    if (!take_iso(&rest, &ignored_ms) || !take(&rest, ' ') ||
        !take(&rest, '[') || !take_until(&rest, ':', &made.pool) ||
        !take_until(&rest, ' ', &made.position) ||
        !take_until(&rest, ']', &made.pid) ||
        count_digits(made.position) != made.position.n ||
        count_digits(made.pid) != made.pid.n || made.pool.n > 64) {
        return false;
    }
    (void)take(&rest, ' ');
    made.text = rest;
    *ret = made;
    return true;
}

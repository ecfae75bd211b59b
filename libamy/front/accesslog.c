/* Lines of access.log and error.log. */
/* Not for writing them: logrotate/writer.c. */
#include "front/accesslog.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "logrotate/writer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* Escaped pieces are cut there, so that a line fits the buffer. */
#define TARGET_MAX 16384U
#define PIECE_MAX 4096U
#define USER_MAX 512U
#define LINE_MAX_BYTES (TARGET_MAX + 2 * PIECE_MAX + USER_MAX + 512U)
#define ERRORS_PER_S 10U
/* Written as they come, unless another process holds them up. */
#define ERRORS_BYTES 16384U

struct output {
    struct amy_log_writer *writer;
    bool full; /* lines found no room since this was asked last */
};

struct amy__access_log {
    struct output out;
    int64_t stamp_s; /* the second that stamp says */
    char stamp[32];
};

static void
on_full(struct amy_log_writer *writer, void *user)
{
    struct output *out = user;

    (void)writer;
    out->full = true;
}

static bool
was_full(struct output *out)
{
    bool was = out->full;

    out->full = false;
    return was;
}

static int
create_writer(const char *site, const char *file, uint32_t buffer_bytes,
              const struct amy_log *log, struct output *out,
              struct amy_error *err)
{
    struct amy_log_writer_options opts = AMY_LOG_WRITER_OPTIONS_INIT;
    char name[320];

    (void)snprintf(name, sizeof(name), "site=%s file=logs/%s", site, file);
    opts.name = name;
    opts.buffer_bytes = buffer_bytes;
    opts.log = log;
    opts.on_full = on_full;
    opts.user = out;
    return amy_log_writer_create(&opts, &out->writer, err);
}

int
amy__access_log_create(const char *name, const struct amy_log *log,
                       struct amy__access_log **ret_log, struct amy_error *err)
{
    struct amy__access_log *made = amy__calloc(1, sizeof(*made));
    int rc = 0;

    if (made == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating an access log");
    }
    made->stamp_s = -1;
    rc = create_writer(name, "access.log", AMY_LOG_WRITER_BUFFER_MAX, log,
                       &made->out, err);
    if (rc < 0) {
        amy__free(made);
        return rc;
    }
    *ret_log = made;
    return 0;
}

void
amy__access_log_free(struct amy__access_log *log)
{
    if (log != NULL) {
        amy_log_writer_free(log->out.writer);
        amy__free(log);
    }
}

bool
amy__access_log_was_full(struct amy__access_log *log)
{
    return was_full(&log->out);
}

uint64_t
amy__access_log_lost(const struct amy__access_log *log)
{
    return amy_log_writer_lost(log->out.writer);
}

void
amy__access_log_set_fd(struct amy__access_log *log, int fd)
{
    amy_log_writer_set_fd(log->out.writer, fd);
}

int
amy__access_log_set_lock(struct amy__access_log *log,
                         struct amy_log_lock *borrow_lock,
                         struct amy_error *err)
{
    return amy_log_writer_set_lock(log->out.writer, borrow_lock, err);
}

int
amy__access_log_set_json(struct amy__access_log *log, const char *site,
                         struct amy_error *err)
{
    return amy_log_writer_set_json(log->out.writer, AMY_LOG_COMPONENT_ACCESS,
                                   site, err);
}

void
amy__access_log_flush(struct amy__access_log *log)
{
    (void)amy_log_writer_flush(log->out.writer); /* or the next time */
}

/* "23/Nov/2026:21:30:30 +0000", made once a second. */
static const char *
stamp(struct amy__access_log *log, int64_t wall_ms)
{
    if (wall_ms / 1000 != log->stamp_s) {
        struct tm tm = {0};
        time_t now = (time_t)(wall_ms / 1000);

        log->stamp_s = wall_ms / 1000;
        if (localtime_r(&now, &tm) == NULL ||
            strftime(log->stamp, sizeof(log->stamp), "%d/%b/%Y:%H:%M:%S %z",
                     &tm) == 0) {
            log->stamp[0] = '\0';
        }
    }
    return log->stamp;
}

/* The hot path writes its line without printf: each put has room by
 * LINE_MAX_BYTES. */
static char *
put_text(char *at, struct amy__span text)
{
    memcpy(at, text.p, text.n);
    return at + text.n;
}

static char *
put_escaped(char *at, struct amy__span s, size_t max)
{
    if (s.n == 0) {
        *at = '-';
        return at + 1;
    }
    return at + amy__escape(s, at, max);
}

static char *
put_number(char *at, uint64_t value, size_t digits)
{
    char text[20];
    size_t n = 0;

    while (value > 0 || n < digits) {
        text[sizeof(text) - ++n] = (char)('0' + value % 10);
        value /= 10;
    }
    memcpy(at, text + sizeof(text) - n, n);
    return at + n;
}

/* Seconds with three decimals, as nginx. */
static char *
put_seconds(char *at, int64_t us)
{
    uint64_t ms = us > 0 ? ((uint64_t)us + 500) / 1000 : 0;

    at = put_number(at, ms / 1000, 1);
    *at++ = '.';
    return put_number(at, ms % 1000, 3);
}

static char *
put_request(char *at, const struct amy__access_line *line)
{
    at = put_text(at, AMY_SPAN("] \""));
    at = put_escaped(at, line->method, 64);
    *at++ = ' ';
    at = put_escaped(at, line->target, TARGET_MAX);
    at = put_text(at, AMY_SPAN(" HTTP/"));
    *at++ = (char)('0' + line->version_major % 10);
    *at++ = '.';
    *at++ = (char)('0' + line->version_minor % 10);
    return put_text(at, AMY_SPAN("\" "));
}

void
amy__access_log_add(struct amy__access_log *log,
                    const struct amy__access_line *line)
{
    char *begin = NULL;
    char *at = NULL;

    if (!amy__log_writer_is_open(log->out.writer)) {
        return;
    }
    begin = amy__log_writer_room(log->out.writer, LINE_MAX_BYTES);
    if (begin == NULL) {
        return;
    }
    at = put_escaped(begin, amy__span_of(line->client), 64);
    at = put_text(at, AMY_SPAN(" - "));
    at = put_escaped(at, amy__span_of(line->user), USER_MAX);
    at = put_text(at, AMY_SPAN(" ["));
    at = put_text(at, amy__span_of(stamp(log, line->wall_ms)));
    at = put_request(at, line);
    at = put_number(at, line->status, 3);
    *at++ = ' ';
    at = put_number(at, line->sent, 1);
    at = put_text(at, AMY_SPAN(" \""));
    at = put_escaped(at, line->referer, PIECE_MAX);
    at = put_text(at, AMY_SPAN("\" \""));
    at = put_escaped(at, line->agent, PIECE_MAX);
    at = put_text(at, AMY_SPAN("\" rt="));
    at = put_seconds(at, line->total_us);
    at = put_text(at, AMY_SPAN(" qt="));
    at = line->queued_us < 0 ? put_text(at, AMY_SPAN("-"))
                             : put_seconds(at, line->queued_us);
    at = put_text(at, AMY_SPAN(" id="));
    at = put_escaped(at, amy__span_of(line->request_id), 80);
    at = put_text(at, AMY_SPAN(" w="));
    at = put_escaped(at, amy__span_of(line->worker), 80);
    if (line->stage_test) {
        at = put_text(at, AMY_SPAN(" stage=test"));
    }
    *at++ = '\n';
    amy__log_writer_add(log->out.writer, (size_t)(at - begin));
}

/* ---- error.log ---- */

struct amy__error_log {
    struct output out;
    struct amy__log_limit limit;
};

int
amy__error_log_create(const char *name, const struct amy_log *log,
                      struct amy__error_log **ret_log, struct amy_error *err)
{
    struct amy__error_log *made = amy__calloc(1, sizeof(*made));
    int rc = 0;

    if (made == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating an error log");
    }
    rc = create_writer(name, "error.log", ERRORS_BYTES, log, &made->out, err);
    if (rc < 0) {
        amy__free(made);
        return rc;
    }
    *ret_log = made;
    return 0;
}

void
amy__error_log_free(struct amy__error_log *log)
{
    if (log != NULL) {
        amy_log_writer_free(log->out.writer);
        amy__free(log);
    }
}

void
amy__error_log_set_fd(struct amy__error_log *log, int fd)
{
    amy_log_writer_set_fd(log->out.writer, fd);
}

int
amy__error_log_set_lock(struct amy__error_log *log,
                        struct amy_log_lock *borrow_lock, struct amy_error *err)
{
    return amy_log_writer_set_lock(log->out.writer, borrow_lock, err);
}

bool
amy__error_log_was_full(struct amy__error_log *log)
{
    return was_full(&log->out);
}

void
amy__error_log_flush(struct amy__error_log *log)
{
    (void)amy_log_writer_flush(log->out.writer); /* or the next time */
}

int
amy__error_log_set_json(struct amy__error_log *log, const char *site,
                        struct amy_error *err)
{
    return amy_log_writer_set_json(log->out.writer, AMY_LOG_COMPONENT_ERROR,
                                   site, err);
}

void
amy__error_log_add(struct amy__error_log *log, int64_t wall_ms, const char *fmt,
                   ...)
{
    char line[2048];
    uint32_t swallowed = 0;
    size_t used = 0;
    va_list args;

    if (!amy__log_writer_is_open(log->out.writer) ||
        !amy__log_allow(&log->limit, ERRORS_PER_S, 1000, wall_ms, &swallowed)) {
        return;
    }
    (void)amy__format_time(wall_ms, line);
    used = strlen(line);
    line[used++] = ' ';
    va_start(args, fmt);
    (void)vsnprintf(line + used, sizeof(line) - used - 40, fmt, args);
    va_end(args);
    used += strlen(line + used);
    if (swallowed > 0) {
        int n = snprintf(line + used, 32, " left_out=%u", swallowed);

        used += n > 0 ? (size_t)n : 0;
    }
    line[used++] = '\n';
    amy_log_writer_write(log->out.writer, line, used);
    (void)amy_log_writer_flush(log->out.writer); /* or the next time */
}

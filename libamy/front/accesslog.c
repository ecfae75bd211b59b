/* Lines of access.log and error.log. Not for rotation: descriptors are handed
 * in. */
#include "front/accesslog.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER_BYTES 65536U
/* Escaped pieces are cut there, so that a line fits the buffer. */
#define TARGET_MAX 16384U
#define PIECE_MAX 4096U
#define LINE_MAX_BYTES (TARGET_MAX + 2 * PIECE_MAX + 512U)
#define ERRORS_PER_S 10U

struct amy__access_log {
    int fd;
    size_t used;
    uint64_t lines;   /* in the buffer */
    uint64_t lost;    /* in all */
    uint64_t pending; /* lost and not yet told */
    bool torn;        /* the file ends within a line of ours */
    int64_t stamp_s;  /* the second that stamp says */
    char stamp[32];
    struct amy_log log;
    char *name;
    char buffer[BUFFER_BYTES];
};

int
amy__access_log_create(const char *name, const struct amy_log *log,
                       struct amy__access_log **ret_log, struct amy_error *err)
{
    struct amy__access_log *made = amy__calloc(1, sizeof(*made));

    if (made == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating an access log");
    }
    made->fd = -1;
    made->stamp_s = -1;
    made->log = amy__log_copy(log);
    made->name = amy__strdup(name);
    if (made->name == NULL) {
        amy__free(made);
        return amy__err(err, AMY_ENOMEM, "allocating an access log");
    }
    *ret_log = made;
    return 0;
}

void
amy__access_log_free(struct amy__access_log *log)
{
    if (log == NULL) {
        return;
    }
    amy__access_log_flush(log);
    amy__close(&log->fd);
    amy__free(log->name);
    amy__free(log);
}

uint64_t
amy__access_log_lost(const struct amy__access_log *log)
{
    return log->lost;
}

void
amy__access_log_set_fd(struct amy__access_log *log, int fd)
{
    amy__access_log_flush(log);
    amy__close(&log->fd);
    log->fd = fd;
    log->torn = false;
}

/* Write as much as goes; bytes written. */
static size_t
write_some(int fd, const char *p, size_t n)
{
    size_t done = 0;

    while (done < n) {
        ssize_t got = write(fd, p + done, n - done);

        if (got < 0 && errno == EINTR) {
            continue;
        }
        if (got <= 0) {
            break;
        }
        done += (size_t)got;
    }
    return done;
}

static uint64_t
count_lines(const char *p, size_t n)
{
    uint64_t lines = 0;

    for (size_t i = 0; i < n; i++) {
        lines += p[i] == '\n' ? 1 : 0;
    }
    return lines;
}

/* What could not be written is gone: a log never holds up an answer. */
static void
lose(struct amy__access_log *log, size_t from, int why)
{
    uint64_t lost = count_lines(log->buffer + from, log->used - from);

    if (log->pending == 0) {
        amy__log(&log->log, AMY_LOG_WARN,
                 "access log: lines are lost site=%s error=\"%s\"", log->name,
                 strerror(why));
    }
    log->pending += lost;
    log->lost += lost;
    log->torn = from > 0 && log->buffer[from - 1] != '\n';
}

static void
tell_recovery(struct amy__access_log *log)
{
    if (log->pending > 0) {
        amy__log(&log->log, AMY_LOG_NOTICE,
                 "access log: written again site=%s lost=%llu", log->name,
                 (unsigned long long)log->pending);
        log->pending = 0;
    }
}

void
amy__access_log_flush(struct amy__access_log *log)
{
    size_t done = 0;

    if (log->used == 0 || log->fd < 0) {
        log->used = 0;
        return;
    }
    if (log->torn && write_some(log->fd, "\n", 1) == 1) {
        log->torn = false;
    }
    errno = 0;
    done = log->torn ? 0 : write_some(log->fd, log->buffer, log->used);
    if (done < log->used) {
        lose(log, done, errno);
    } else {
        tell_recovery(log);
    }
    log->used = 0;
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
put_text(char *at, const char *text)
{
    size_t n = strlen(text);

    memcpy(at, text, n);
    return at + n;
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
    at = put_text(at, "] \"");
    at = put_escaped(at, line->method, 64);
    *at++ = ' ';
    at = put_escaped(at, line->target, TARGET_MAX);
    at = put_text(at, " HTTP/");
    *at++ = (char)('0' + line->version_major % 10);
    *at++ = '.';
    *at++ = (char)('0' + line->version_minor % 10);
    return put_text(at, "\" ");
}

void
amy__access_log_add(struct amy__access_log *log,
                    const struct amy__access_line *line)
{
    char *at = NULL;

    if (log->fd < 0) {
        return;
    }
    if (sizeof(log->buffer) - log->used < LINE_MAX_BYTES) {
        amy__access_log_flush(log);
    }
    at = put_escaped(log->buffer + log->used, amy__span_of(line->client), 64);
    at = put_text(at, " - - [");
    at = put_text(at, stamp(log, line->wall_ms));
    at = put_request(at, line);
    at = put_number(at, line->status, 3);
    *at++ = ' ';
    at = put_number(at, line->sent, 1);
    at = put_text(at, " \"");
    at = put_escaped(at, line->referer, PIECE_MAX);
    at = put_text(at, "\" \"");
    at = put_escaped(at, line->agent, PIECE_MAX);
    at = put_text(at, "\" rt=");
    at = put_seconds(at, line->total_us);
    at = put_text(at, " qt=");
    at = line->queued_us < 0 ? put_text(at, "-")
                             : put_seconds(at, line->queued_us);
    at = put_text(at, " id=");
    at = put_escaped(at, amy__span_of(line->request_id), 80);
    at = put_text(at, " w=");
    at = put_escaped(at, amy__span_of(line->worker), 80);
    *at++ = '\n';
    log->used = (size_t)(at - log->buffer);
}

/* ---- error.log ---- */

struct amy__error_log {
    int fd;
    struct amy__log_limit limit;
};

int
amy__error_log_create(struct amy__error_log **ret_log, struct amy_error *err)
{
    struct amy__error_log *made = amy__calloc(1, sizeof(*made));

    if (made == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating an error log");
    }
    made->fd = -1;
    *ret_log = made;
    return 0;
}

void
amy__error_log_free(struct amy__error_log *log)
{
    if (log != NULL) {
        amy__close(&log->fd);
        amy__free(log);
    }
}

void
amy__error_log_set_fd(struct amy__error_log *log, int fd)
{
    amy__close(&log->fd);
    log->fd = fd;
}

void
amy__error_log_add(struct amy__error_log *log, int64_t wall_ms, const char *fmt,
                   ...)
{
    char line[2048];
    uint32_t swallowed = 0;
    size_t used = 0;
    va_list args;

    if (log->fd < 0 ||
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
    (void)write_some(log->fd, line, used); /* nobody to tell but the log */
}

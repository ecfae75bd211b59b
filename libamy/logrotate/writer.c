/* Whole lines to a file that several processes append to. */
/* Not for opening or renaming it: descriptors are handed in. */
#include "logrotate/writer.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/options.h"
#include "logrotate/line.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define WRITER_MAGIC 0x6c6f6777U
#define MARK_MAX 256U
/* A full buffer of lines shall fit a pipe at once, as JSON, too. */
#define PIPE_ROOM (1 << 20)

struct amy_log_writer {
    uint32_t magic;
    int fd;
    bool torn;        /* the file ends within a line */
    uint64_t lost;    /* in all */
    uint64_t pending; /* lost and not yet told */
    struct amy_log log;
    char *name;
    amy_log_writer_mark_fn mark;
    amy_log_writer_full_fn on_full;
    void *user;
    char *site; /* NULL: lines go out as they are */
    uint32_t component;
    size_t used;
    size_t size;
    char buffer[];
};

int
amy_log_writer_create(const struct amy_log_writer_options *opts,
                      struct amy_log_writer **ret_writer, struct amy_error *err)
{
    struct amy_log_writer_options own;
    struct amy_log_writer *made = NULL;
    int rc =
        amy__options_read(&own, sizeof(own), opts,
                          offsetof(struct amy_log_writer_options, log), err);

    if (rc < 0) {
        return rc;
    }
    if (own.name == NULL || own.buffer_bytes > AMY_LOG_WRITER_BUFFER_MAX) {
        return amy__err(err, AMY_EINVAL,
                        "a log's writer has a name and a buffer of at most %u "
                        "bytes",
                        AMY_LOG_WRITER_BUFFER_MAX);
    }
    made = amy__calloc(1, sizeof(*made) + own.buffer_bytes);
    if (made == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a log's writer");
    }
    made->name = amy__strdup(own.name);
    if (made->name == NULL) {
        amy__free(made);
        return amy__err(err, AMY_ENOMEM, "allocating a log's writer");
    }
    made->magic = WRITER_MAGIC;
    made->fd = -1;
    made->log = amy__log_copy(own.log);
    made->mark = own.mark;
    made->on_full = own.on_full;
    made->user = own.user;
    made->size = own.buffer_bytes;
    *ret_writer = made;
    return 0;
}

void
amy_log_writer_free(struct amy_log_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    amy_log_writer_flush(writer);
    amy__close(&writer->fd);
    writer->magic = 0;
    amy__free(writer->name);
    amy__free(writer->site);
    amy__free(writer);
}

int
amy_log_writer_set_json(struct amy_log_writer *writer, uint32_t component,
                        const char *site, struct amy_error *err)
{
    char *copy = amy__strdup(site);

    AMY_CHECK(writer, WRITER_MAGIC);
    if (copy == NULL) {
        return amy__err(err, AMY_ENOMEM, "setting a log's writer up");
    }
    amy_log_writer_flush(writer);
    amy__free(writer->site);
    writer->site = copy;
    writer->component = component;
    return 0;
}

int
amy_log_open_stdout(struct amy_error *err)
{
    int fd = open("/proc/self/fd/1",
                  O_WRONLY | O_APPEND | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0) {
        (void)fcntl(fd, F_SETPIPE_SZ, PIPE_ROOM); /* as it is, if not */
        return fd;
    }
    /* A socket cannot be opened again: the journal's, which is ours alone. */
    fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (fd < 0 || fcntl(fd, F_SETFL, O_NONBLOCK) != 0) {
        int failure = errno;

        amy__close(&fd);
        return amy__err_sys(err, failure, "opening standard output");
    }
    return fd;
}

uint64_t
amy_log_writer_lost(const struct amy_log_writer *writer)
{
    AMY_CHECK(writer, WRITER_MAGIC);
    return writer->lost;
}

bool
amy__log_writer_is_open(const struct amy_log_writer *writer)
{
    return writer->fd >= 0;
}

/* What this writer left there, when it is the same file opened anew; or what a
 * process left that was killed within a large write. */
static bool
ends_within_a_line(const struct amy_log_writer *writer, int fd)
{
    struct stat before = {0};
    struct stat now = {0};
    char last = '\n';

    if (fd < 0 || fstat(fd, &now) != 0) {
        return false;
    }
    if (writer->torn && fstat(writer->fd, &before) == 0 &&
        before.st_dev == now.st_dev && before.st_ino == now.st_ino) {
        return true;
    }
    return now.st_size > 0 && pread(fd, &last, 1, now.st_size - 1) == 1 &&
           last != '\n';
}

void
amy_log_writer_set_fd(struct amy_log_writer *writer, int fd)
{
    AMY_CHECK(writer, WRITER_MAGIC);
    amy_log_writer_flush(writer);
    writer->torn = ends_within_a_line(writer, fd);
    amy__close(&writer->fd);
    writer->fd = fd;
}

/* Write as much as goes; bytes written, and errno where not all were. */
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
    const char *end = p + n;
    uint64_t lines = 0;

    while (p < end) {
        const char *newline = memchr(p, '\n', (size_t)(end - p));

        if (newline == NULL) {
            break;
        }
        lines++;
        p = newline + 1;
    }
    return lines;
}

void
amy__log_writer_lose(struct amy_log_writer *writer, uint64_t lines,
                     const char *why)
{
    if (writer->pending == 0 && why != NULL) {
        amy__log(&writer->log, AMY_LOG_WARN,
                 "a log takes no lines, they are lost %s error=\"%s\"",
                 writer->name, why);
    }
    writer->pending += lines;
    writer->lost += lines;
}

/* What could not be written is gone: a log never holds up an answer. */
static void
lose_rest(struct amy_log_writer *writer, const char *text, size_t done,
          size_t n)
{
    int failure = errno;
    bool begins = writer->pending == 0;

    amy__log_writer_lose(writer, count_lines(text + done, n - done),
                         strerror(failure));
    if (done > 0 && text[done - 1] != '\n') {
        /* At once, before another process appends to half a line. */
        writer->torn = write_some(writer->fd, "\n", 1) != 1;
    }
    if (begins && writer->on_full != NULL &&
        (failure == ENOSPC || failure == EDQUOT)) {
        writer->on_full(writer, writer->user);
    }
}

/* A line without its newline as JSON; buf has PIPE_BUF bytes. */
static size_t
to_json(const struct amy_log_writer *writer, struct amy__span text, char *buf)
{
    struct amy_log_line line = {.struct_size = sizeof(line),
                                .component = writer->component,
                                .wall_ms = AMY_LOG_NO_TIME,
                                .text = text.p,
                                .text_bytes = text.n,
                                .site = writer->site};

    (void)amy__log_line_time(text, &line.wall_ms);
    return amy_log_line_json(&line, buf, PIPE_BUF);
}

/* Before anything else: end a torn line, and say in the file what is missing
 * there. */
static bool
mend(struct amy_log_writer *writer)
{
    char mark[PIPE_BUF];
    size_t n = 0;

    if (writer->torn && write_some(writer->fd, "\n", 1) != 1) {
        return false;
    }
    writer->torn = false;
    if (writer->pending > 0 && writer->mark != NULL) {
        char text[MARK_MAX];
        size_t done = 0;

        n = writer->mark(writer->pending, text, sizeof(text), writer->user);
        AMY_ASSERT(n <= sizeof(text));
        if (writer->site != NULL && n > 0) {
            n = to_json(writer, (struct amy__span){text, n - 1}, mark);
        } else {
            memcpy(mark, text, n);
        }
        done = write_some(writer->fd, mark, n);
        writer->torn = done > 0 && done < n;
        return done == n;
    }
    return true;
}

static void
write_as_is(struct amy_log_writer *writer, const char *text, size_t n)
{
    size_t done = 0;

    if (writer->fd < 0) {
        amy__log_writer_lose(writer, count_lines(text, n), NULL);
        return;
    }
    errno = 0;
    done = mend(writer) ? write_some(writer->fd, text, n) : 0;
    if (done < n) {
        lose_rest(writer, text, done, n);
    } else if (writer->pending > 0) {
        amy__log(&writer->log, AMY_LOG_NOTICE,
                 "a log is written again %s lost=%llu", writer->name,
                 (unsigned long long)writer->pending);
        writer->pending = 0;
    }
}

/* As many lines a write as PIPE_BUF has room for. */
static void
write_as_json(struct amy_log_writer *writer, const char *text, size_t n)
{
    struct amy__span rest = {text, n};
    struct amy__span line = {0};
    char piece[PIPE_BUF];
    size_t used = 0;

    rest.n -= n > 0 ? 1 : 0; /* the last newline begins no line */
    while (amy__span_split(&rest, '\n', &line)) {
        char one[PIPE_BUF];
        size_t size = to_json(writer, line, one);

        if (size > sizeof(piece) - used) {
            write_as_is(writer, piece, used);
            used = 0;
        }
        memcpy(piece + used, one, size);
        used += size;
    }
    write_as_is(writer, piece, used);
}

static void
write_lines(struct amy_log_writer *writer, const char *text, size_t n)
{
    if (writer->site == NULL) {
        write_as_is(writer, text, n);
    } else {
        write_as_json(writer, text, n);
    }
}

void
amy_log_writer_flush(struct amy_log_writer *writer)
{
    AMY_CHECK(writer, WRITER_MAGIC);
    if (writer->used > 0) {
        write_lines(writer, writer->buffer, writer->used);
        writer->used = 0;
    }
}

char *
amy__log_writer_room(struct amy_log_writer *writer, size_t n)
{
    AMY_ASSERT(n <= writer->size);
    if (writer->size - writer->used < n) {
        amy_log_writer_flush(writer);
    }
    return writer->buffer + writer->used;
}

void
amy__log_writer_add(struct amy_log_writer *writer, size_t n)
{
    AMY_ASSERT(n <= writer->size - writer->used);
    writer->used += n;
}

void
amy_log_writer_write(struct amy_log_writer *writer, const char *text, size_t n)
{
    AMY_CHECK(writer, WRITER_MAGIC);
    if (n > writer->size) {
        amy_log_writer_flush(writer);
        write_lines(writer, text, n);
        return;
    }
    memcpy(amy__log_writer_room(writer, n), text, n);
    amy__log_writer_add(writer, n);
}

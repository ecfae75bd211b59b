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
#include "logrotate/lock.h"

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
/* A write takes microseconds. Who needs longer is stopped, or waits for its
 * disk; lines are kept then, as long as there is room. */
#define PATIENCE_MS 100

struct amy_log_writer {
    uint32_t magic;
    int fd;
    struct amy_log_lock *borrow_lock; /* NULL: nobody else writes there */
    bool held_up;                     /* by whoever had the lock last time */
    bool torn;                        /* we left half a line, without a lock */
    uint64_t lost;                    /* in all */
    uint64_t pending;                 /* lost and not yet told */
    uint64_t marked;                  /* of these, the file has it */
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

/* ---- whose turn it is ---- */

/* A stream that many logs share takes whole lines, or none of them. */
static struct amy_log_lock *
lock_of(const struct amy_log_writer *writer)
{
    return writer->site == NULL ? writer->borrow_lock : NULL;
}

/* Who has been waited for in vain is not waited for again. */
static bool
take_turn(struct amy_log_writer *writer)
{
    int rc = 1;

    if (lock_of(writer) != NULL) {
        rc = amy__log_lock_take(writer->borrow_lock,
                                writer->held_up ? 0 : PATIENCE_MS);
    }
    if (rc < 0) {
        amy__log(&writer->log, AMY_LOG_ERROR,
                 "a log's lock is broken, it is written without one %s",
                 writer->name);
        writer->borrow_lock = NULL;
    }
    writer->held_up = rc == 0;
    return rc != 0;
}

static void
end_turn(struct amy_log_writer *writer)
{
    if (lock_of(writer) != NULL) {
        amy__log_lock_give(writer->borrow_lock);
    }
}

/* ---- one turn ---- */

/* For want of room: ended now, or by the next one who finds some. */
static void
end_own_line(const struct amy_log_writer *writer, struct stat *st)
{
    static const struct amy__span newline = {"\n", 1};
    struct amy__log_cuts *cuts = amy__log_lock_cuts(writer->borrow_lock);
    int failure = errno;

    amy__log_cuts_begin(cuts, st, newline, true);
    if (write_some(writer->fd, newline.p, newline.n) == newline.n) {
        amy__log_cuts_end(cuts, st);
    }
    errno = failure;
}

/* Whole lines, under a lock: who has it after our death finds what we were at.
 * Bytes written. */
static size_t
append_shared(const struct amy_log_writer *writer, struct amy__span text,
              bool within_line)
{
    struct amy__log_cuts *cuts = amy__log_lock_cuts(writer->borrow_lock);
    struct stat st = {0};
    size_t done = 0;

    if (fstat(writer->fd, &st) != 0) {
        return 0;
    }
    amy__log_cuts_begin(cuts, &st, text, within_line);
    done = write_some(writer->fd, text.p, text.n);
    if (done == 0 ? !within_line : text.p[done - 1] == '\n') {
        amy__log_cuts_end(cuts, &st);
    } else if (done > 0) {
        st.st_size += (off_t)done;
        end_own_line(writer, &st);
    }
    return done;
}

/* Bytes written, and errno where not all were. */
static size_t
append(struct amy_log_writer *writer, const char *text, size_t n)
{
    size_t done = 0;
    int failure = 0;

    if (lock_of(writer) != NULL) {
        return append_shared(writer, (struct amy__span){text, n}, false);
    }
    done = write_some(writer->fd, text, n);
    failure = errno;
    if (done > 0 && done < n && text[done - 1] != '\n') {
        /* At once, before another process appends to half a line. */
        writer->torn = write_some(writer->fd, "\n", 1) != 1;
    }
    errno = failure;
    return done;
}

/* A line that somebody did not end. */
static bool
end_cut_line(struct amy_log_writer *writer)
{
    char rest[AMY__LOG_REST_BYTES];
    struct stat st = {0};
    size_t n = 0;

    if (lock_of(writer) == NULL) {
        writer->torn = writer->torn && write_some(writer->fd, "\n", 1) != 1;
        return !writer->torn;
    }
    if (fstat(writer->fd, &st) != 0) {
        return false;
    }
    n = amy__log_cuts_missing(amy__log_lock_cuts(writer->borrow_lock), &st,
                              rest);
    return n == 0 ||
           append_shared(writer, (struct amy__span){rest, n}, true) == n;
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

static bool
append_mark(struct amy_log_writer *writer, struct amy__span text)
{
    char line[PIPE_BUF];

    if (writer->site != NULL && text.n > 0) {
        text.n = to_json(writer, (struct amy__span){text.p, text.n - 1}, line);
        text.p = line;
    }
    return append(writer, text.p, text.n) == text.n;
}

/* Say in the file what is missing there; each line once, also where there was
 * room for this and for nothing more. */
static bool
mark_loss(struct amy_log_writer *writer)
{
    uint64_t lost = writer->pending - writer->marked;
    char text[MARK_MAX];
    size_t n = 0;

    if (lost == 0 || writer->mark == NULL) {
        return true;
    }
    n = writer->mark(lost, text, sizeof(text), writer->user);
    AMY_ASSERT(n <= sizeof(text));
    if (!append_mark(writer, (struct amy__span){text, n})) {
        return false;
    }
    writer->marked = writer->pending;
    return true;
}

/* What could not be written is gone: a log never holds up an answer. */
static void
lose_rest(struct amy_log_writer *writer, uint64_t lines, int failure)
{
    amy__log_writer_lose(writer, lines, strerror(failure));
    if (writer->on_full != NULL && (failure == ENOSPC || failure == EDQUOT)) {
        writer->on_full(writer, writer->user);
    }
}

/* false: it is somebody else's turn. */
static bool
write_as_is(struct amy_log_writer *writer, const char *text, size_t n)
{
    size_t done = 0;
    int failure = 0;

    if (writer->fd < 0) {
        amy__log_writer_lose(writer, count_lines(text, n), NULL);
        return true;
    }
    if (!take_turn(writer)) {
        return false;
    }
    errno = 0;
    if (end_cut_line(writer) && mark_loss(writer)) {
        done = append(writer, text, n);
    }
    failure = errno;
    end_turn(writer);
    if (done < n) {
        lose_rest(writer, count_lines(text + done, n - done), failure);
    } else if (writer->pending > 0) {
        amy__log(&writer->log, AMY_LOG_NOTICE,
                 "a log is written again %s lost=%llu", writer->name,
                 (unsigned long long)writer->pending);
        writer->pending = 0;
        writer->marked = 0;
    }
    return true;
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
            (void)write_as_is(writer, piece, used); /* it has no lock */
            used = 0;
        }
        memcpy(piece + used, one, size);
        used += size;
    }
    (void)write_as_is(writer, piece, used);
}

static bool
write_lines(struct amy_log_writer *writer, const char *text, size_t n)
{
    if (writer->site == NULL) {
        return write_as_is(writer, text, n);
    }
    write_as_json(writer, text, n);
    return true;
}

/* ---- what is collected ---- */

static void
lose_held_up(struct amy_log_writer *writer, uint64_t lines)
{
    amy__log_writer_lose(writer, lines,
                         "another process that writes it does not go on");
}

int
amy_log_writer_flush(struct amy_log_writer *writer)
{
    AMY_CHECK(writer, WRITER_MAGIC);
    if (writer->used > 0 &&
        !write_lines(writer, writer->buffer, writer->used)) {
        return AMY_EAGAIN;
    }
    writer->used = 0;
    return 0;
}

char *
amy__log_writer_room(struct amy_log_writer *writer, size_t n)
{
    AMY_ASSERT(n <= writer->size);
    if (writer->size - writer->used < n) {
        (void)amy_log_writer_flush(writer);
    }
    if (writer->size - writer->used < n) {
        lose_held_up(writer, 1);
        return NULL;
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
    if (writer->size - writer->used < n) {
        (void)amy_log_writer_flush(writer);
    }
    if (writer->size - writer->used >= n) {
        memcpy(writer->buffer + writer->used, text, n);
        writer->used += n;
    } else if (writer->used > 0 || !write_lines(writer, text, n)) {
        lose_held_up(writer, count_lines(text, n));
    }
}

/* ---- where to ---- */

/* What this writer left there, when it is the same file opened anew; or what a
 * process left that was killed within a large write. */
static bool
ends_within_a_line(const struct amy_log_writer *writer, int fd)
{
    struct stat before = {0};
    struct stat now = {0};

    if (fd < 0 || fstat(fd, &now) != 0) {
        return false;
    }
    if (writer->torn && fstat(writer->fd, &before) == 0 &&
        before.st_dev == now.st_dev && before.st_ino == now.st_ino) {
        return true;
    }
    return amy__ends_within_a_line(fd);
}

void
amy_log_writer_set_fd(struct amy_log_writer *writer, int fd)
{
    AMY_CHECK(writer, WRITER_MAGIC);
    (void)amy_log_writer_flush(writer);
    if (lock_of(writer) == NULL) { /* else the lock tells of all who write */
        writer->torn = ends_within_a_line(writer, fd);
    }
    amy__close(&writer->fd);
    writer->fd = fd;
}

int
amy_log_writer_set_lock(struct amy_log_writer *writer,
                        struct amy_log_lock *borrow_lock, struct amy_error *err)
{
    AMY_CHECK(writer, WRITER_MAGIC);
    if (borrow_lock != NULL && !amy__log_lock_is_made(borrow_lock)) {
        return amy__err(err, AMY_EINVAL, "a log's lock that was never made");
    }
    if (borrow_lock != writer->borrow_lock) {
        (void)amy_log_writer_flush(writer);
        writer->borrow_lock = borrow_lock;
        writer->held_up = false;
        writer->torn = false;
    }
    return 0;
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
    (void)amy_log_writer_flush(writer);
    amy__free(writer->site);
    writer->site = copy;
    writer->component = component;
    return 0;
}

/* A last try; what nobody let us write is told of. */
void
amy_log_writer_free(struct amy_log_writer *writer)
{
    if (writer == NULL) {
        return;
    }
    if (amy_log_writer_flush(writer) < 0) {
        lose_held_up(writer, count_lines(writer->buffer, writer->used));
    }
    amy__close(&writer->fd);
    writer->magic = 0;
    amy__free(writer->name);
    amy__free(writer->site);
    amy__free(writer);
}

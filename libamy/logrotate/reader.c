/* Logs of a site read as one stream: what comes next of all components. */
/* Not for one component's files: stream.c. */
#include <amy/logrotate.h>

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/maker.h"
#include "core/options.h"
#include "logrotate/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#define READER_MAGIC 0x6c6f6772U
#define ALL ((1U << AMY_LOG_COMPONENT_COUNT) - 1)
#define CHANGES                                                                \
    (IN_MODIFY | IN_CREATE | IN_MOVED_TO | IN_MOVED_FROM | IN_DELETE |         \
     IN_DELETE_SELF | IN_MOVE_SELF)

struct amy_log_reader {
    uint32_t magic;
    pid_t maker;
    struct amy_log_reader_options opts;
    struct amy__log_place place;
    int site_fd;
    int notify_fd;
    struct amy__stream streams[AMY_LOG_COMPONENT_COUNT];
    size_t count;
    struct amy__stream *taken; /* whose head was given out */
    struct amy__stream *last;  /* whose line came last, however long ago */
    bool wanted[AMY_LOG_COMPONENT_COUNT]; /* the last line of it was */
    uint64_t skip; /* so many come before those that are wanted */
    uint64_t left; /* so many are given out; UINT64_MAX: all */
};

static void
watch(struct amy_log_reader *reader)
{
    char path[64];

    amy__close(&reader->notify_fd);
    reader->notify_fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d",
                   reader->place.dir_fd);
    if (reader->notify_fd >= 0 &&
        inotify_add_watch(reader->notify_fd, path, CHANGES) < 0) {
        amy__close(&reader->notify_fd); /* who follows looks by the clock */
    }
}

/* logs/ in the site's directory, where only its owner can put names: what is
 * in it is opened as that owner. */
static int
open_place(struct amy_log_reader *reader, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct stat st = {0};

    fd = openat(reader->site_fd, "logs",
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        return amy__err_sys(err, errno, "opening logs/");
    }
    amy__close(&reader->place.dir_fd);
    reader->place.dir_fd = amy__take_fd(&fd);
    reader->place.uid = geteuid() == 0 ? st.st_uid : geteuid();
    reader->place.gid = geteuid() == 0 ? st.st_gid : getegid();
    if (reader->opts.follow != 0) {
        watch(reader);
    }
    return 0;
}

static int
open_streams(struct amy_log_reader *reader, struct amy_error *err)
{
    uint32_t components =
        reader->opts.components == 0 ? ALL : reader->opts.components;

    for (uint32_t i = 0; i < AMY_LOG_COMPONENT_COUNT; i++) {
        int rc = 0;

        if ((components & 1U << i) == 0) {
            continue;
        }
        rc = amy__stream_open(&reader->streams[reader->count], &reader->place,
                              i, err);
        reader->count++;
        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

void
amy_log_reader_free(struct amy_log_reader *reader)
{
    if (reader == NULL) {
        return;
    }
    for (size_t i = 0; i < reader->count; i++) {
        amy__stream_close(&reader->streams[i]);
    }
    amy__close(&reader->notify_fd);
    amy__close(&reader->place.dir_fd);
    amy__close(&reader->site_fd);
    reader->magic = 0;
    amy__free(reader);
}
AMY_DEFINE_CLEANUP(struct amy_log_reader *, amy_log_reader_free)

/* ---- merging ---- */

/* The stream whose head is the oldest; what continues a line stays with it. */
static struct amy__stream *
oldest(struct amy_log_reader *reader)
{
    struct amy__stream *best = NULL;

    if (reader->last != NULL && reader->last->has_head &&
        reader->last->head.continues != 0) {
        return reader->last;
    }
    for (size_t i = 0; i < reader->count; i++) {
        struct amy__stream *stream = &reader->streams[i];

        if (stream->has_head &&
            (best == NULL || stream->head.wall_ms < best->head.wall_ms)) {
            best = stream;
        }
    }
    return best;
}

/* Fill the heads that are missing. */
static void
pull_all(struct amy_log_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++) {
        struct amy__stream *stream = &reader->streams[i];

        if (stream == reader->taken || !stream->has_head) {
            (void)amy__stream_pull(stream);
        }
    }
}

static bool
is_wanted(struct amy_log_reader *reader, const struct amy_log_line *line)
{
    const struct amy_log_reader_options *opts = &reader->opts;
    bool in_time =
        (opts->since_wall_ms == 0 || line->wall_ms >= opts->since_wall_ms) &&
        (opts->until_wall_ms == 0 || line->wall_ms < opts->until_wall_ms);
    bool *wanted = &reader->wanted[line->component];

    if (!in_time) {
        *wanted = false;
    } else if (opts->match == NULL) {
        *wanted = true;
    } else {
        *wanted =
            (line->continues != 0 && *wanted) || opts->match(line, opts->user);
    }
    return *wanted;
}

/* Is everything that comes now after the end? */
static bool
is_past(const struct amy_log_reader *reader, const struct amy_log_line *line)
{
    int64_t until_ms = reader->opts.until_wall_ms;

    return until_ms != 0 && line->wall_ms != AMY_LOG_NO_TIME &&
           line->wall_ms - AMY__STREAM_SLACK_MS > until_ms;
}

/* The stream whose head is the next line that is wanted; NULL: there is none,
 * or none yet. */
static struct amy__stream *
next_wanted(struct amy_log_reader *reader)
{
    for (;;) {
        struct amy__stream *stream = NULL;

        pull_all(reader);
        stream = oldest(reader);
        reader->taken = stream;
        if (stream == NULL || is_past(reader, &stream->head)) {
            reader->taken = NULL;
            return NULL;
        }
        reader->last = stream;
        if (is_wanted(reader, &stream->head)) {
            return stream;
        }
    }
}

/* ---- the last n ---- */

/* Reading twice takes the place of keeping n lines, however long they are. */
static void
find_last(struct amy_log_reader *reader)
{
    uint64_t lines = 0;

    for (size_t i = 0; i < reader->count && reader->opts.match == NULL &&
                       reader->opts.until_wall_ms == 0;
         i++) {
        amy__stream_from_last(&reader->streams[i], reader->opts.last);
    }
    while (next_wanted(reader) != NULL) {
        lines++;
    }
    for (size_t i = 0; i < reader->count; i++) {
        amy__stream_rewind(&reader->streams[i]);
    }
    reader->taken = NULL;
    reader->last = NULL;
    memset(reader->wanted, 0, sizeof(reader->wanted));
    reader->skip = lines > reader->opts.last ? lines - reader->opts.last : 0;
    if (reader->opts.follow == 0) {
        reader->left = lines - reader->skip;
    }
}

int
amy_log_reader_open(const struct amy_log_reader_options *opts,
                    struct amy_log_reader **ret_reader, struct amy_error *err)
{
    AMY_CLEANUP(amy_log_reader_free_p)
    struct amy_log_reader *reader = amy__calloc(1, sizeof(*reader));
    int rc = 0;

    if (reader == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a reader");
    }
    reader->magic = READER_MAGIC;
    reader->maker = getpid();
    reader->site_fd = -1;
    reader->notify_fd = -1;
    reader->place.dir_fd = -1;
    reader->left = UINT64_MAX;
    rc = amy__options_read(
        &reader->opts, sizeof(reader->opts), opts,
        offsetof(struct amy_log_reader_options, borrow_clock), err);
    if (rc < 0) {
        return rc;
    }
    if (reader->opts.directory == NULL) {
        return amy__err(err, AMY_EINVAL, "a reader needs a site's directory");
    }
    reader->place.log = amy__log_copy(reader->opts.log);
    reader->place.follow = reader->opts.follow != 0;
    reader->place.borrow_clock = reader->opts.borrow_clock;
    reader->place.since_ms = reader->opts.since_wall_ms == 0
                                 ? INT64_MIN
                                 : reader->opts.since_wall_ms;
    reader->site_fd = amy__open_dir(reader->opts.directory, err);
    rc = reader->site_fd < 0 ? reader->site_fd : open_place(reader, err);
    if (rc == 0) {
        rc = open_streams(reader, err);
    }
    if (rc == 0 && reader->opts.last > 0) {
        find_last(reader);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_reader = AMY_TAKE(reader);
    return 0;
}

int
amy_log_reader_fd(const struct amy_log_reader *reader)
{
    AMY_CHECK(reader, READER_MAGIC);
    return reader->notify_fd;
}

/* ---- following ---- */

static void
empty_notices(struct amy_log_reader *reader)
{
    char events[4096];
    ssize_t n = 1;

    while (reader->notify_fd >= 0 && n > 0) {
        n = read(reader->notify_fd, events, sizeof(events));
    }
}

/* logs/ may have been moved away, and another be there. */
static void
find_place(struct amy_log_reader *reader)
{
    struct stat now = {0};
    struct stat ours = {0};

    if (fstatat(reader->site_fd, "logs", &now, AT_SYMLINK_NOFOLLOW) == 0 &&
        fstat(reader->place.dir_fd, &ours) == 0 && S_ISDIR(now.st_mode) &&
        (now.st_ino != ours.st_ino || now.st_dev != ours.st_dev)) {
        (void)open_place(reader, NULL); /* what we have is better than none */
    }
}

/* Nothing is left in the files that are open: are there others? */
static bool
turn(struct amy_log_reader *reader)
{
    bool turned = false;

    find_place(reader);
    for (size_t i = 0; i < reader->count; i++) {
        turned = amy__stream_turn(&reader->streams[i]) || turned;
    }
    return turned;
}

/* While following: the next one of what was written or turned to meanwhile. */
static struct amy__stream *
next_after_change(struct amy_log_reader *reader)
{
    struct amy__stream *stream = NULL;

    do {
        /* Before the last look, so that no change falls in between. */
        empty_notices(reader);
        stream = next_wanted(reader);
    } while (stream == NULL && turn(reader));
    return stream;
}

/* As much of it as the caller knows. */
static void
give(const struct amy_log_line *head, struct amy_log_line *ret_line)
{
    size_t size = ret_line->struct_size;

    size = size < sizeof(*head) ? size : sizeof(*head);
    memcpy(ret_line, head, size);
    ret_line->struct_size = size;
}

int
amy_log_reader_next(struct amy_log_reader *reader,
                    struct amy_log_line *ret_line)
{
    AMY_CHECK(reader, READER_MAGIC);
    if (!amy__is_maker(reader->maker)) {
        return AMY_ESTATE; /* our place in the files is the parent's, too */
    }
    while (reader->left > 0) {
        struct amy__stream *stream = next_wanted(reader);

        if (stream == NULL && reader->opts.follow != 0) {
            stream = next_after_change(reader);
        }
        if (stream == NULL) {
            return 0;
        }
        if (reader->skip > 0) {
            reader->skip--;
            continue;
        }
        reader->left -= reader->left == UINT64_MAX ? 0 : 1;
        give(&stream->head, ret_line);
        return 1;
    }
    return 0;
}

/* A set's data on its way into pg_restore. */
/* Not for what comes out again: verify.c counts it. */
#include "backup/job.h"
#include "backup/zstream.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#define LOOK_MS 500
#define END_MS 600000
#define BYTES_PER_MS 1000
#define PIECE ((size_t)128 * 1024)

AMY_DEFINE_CLEANUP(struct amy__zreader *, amy__zreader_free)

static int
open_own(const struct amy__job *job, const struct amy__manifest *manifest,
         const char *file, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int set_fd = openat(job->sets_fd, manifest->name,
                        O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    int fd = -1;

    if (set_fd >= 0) {
        fd = openat(set_fd, file,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    }
    if (fd < 0 && errno == ENOENT) {
        return amy__err(err, AMY_EPARSE, "%s is missing", file);
    }
    return fd < 0 ? amy__err_sys(err, errno, "opening '%s'", file) : fd;
}

/* Read from its beginning once more: who lent it has opened it for us, and may
 * not be asked again. */
static int
rewind_lent(const struct amy__loan *loan, const char *file,
            struct amy_error *err)
{
    for (size_t i = 0; i < loan->count; i++) {
        int fd = -1;

        if (strcmp(loan->manifest.files[i].name, file) != 0) {
            continue;
        }
        fd = fcntl(loan->fds[i], F_DUPFD_CLOEXEC, 0);
        if (fd < 0 || lseek(fd, 0, SEEK_SET) < 0) {
            amy__close(&fd);
            return amy__err_sys(err, errno, "reading '%s'", file);
        }
        return fd;
    }
    return amy__err(err, AMY_EPARSE, "%s is missing", file);
}

static int
open_file(const struct amy__job *job, const struct amy__manifest *manifest,
          const char *file, struct amy_error *err)
{
    if (job->loan != NULL) {
        return rewind_lent(job->loan, file, err);
    }
    return open_own(job, manifest, file, err);
}

int
amy__feed_compare(const struct amy__manifest_file *file, uint64_t bytes,
                  const char *sha256, struct amy_error *err)
{
    if (bytes != file->bytes) {
        return amy__err(err, AMY_EPARSE, "%s has %llu bytes, not %llu",
                        file->name, (unsigned long long)bytes,
                        (unsigned long long)file->bytes);
    }
    if (strcmp(sha256, file->sha256) != 0) {
        return amy__err(err, AMY_EPARSE,
                        "%s is not what was written: its hash differs",
                        file->name);
    }
    return 0;
}

static int
check_file(struct amy__job *job, const struct amy__manifest *manifest,
           const struct amy__manifest_file *file, struct amy_error *err)
{
    AMY_CLEANUP(amy__zreader_free_p) struct amy__zreader *reader = NULL;
    AMY_CLEANUP(amy__close_p)
    int fd = open_file(job, manifest, file->name, err);
    char sha256[65] = "";
    uint64_t bytes = 0;
    int rc = fd < 0 ? fd : amy__zreader_create(fd, &reader, err);

    if (rc == 0) {
        rc = amy__zreader_finish(reader, &bytes, sha256, err);
    }
    return rc < 0 ? rc : amy__feed_compare(file, bytes, sha256, err);
}

int
amy__feed_check(struct amy__job *job, const struct amy__manifest *manifest,
                struct amy_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < manifest->file_count && rc == 0; i++) {
        rc = check_file(job, manifest, &manifest->files[i], err);
    }
    return rc;
}

/* --- between the file and the program --- */

struct way {
    const struct amy__feed *feed;
    struct amy__zreader *reader;
    struct amy__span piece; /* not written yet */
    uint64_t raw_bytes;     /* read so far */
    int64_t moved_ms;       /* when something went in, or came out */
};

/* Have a piece, as long as the program wants one. */
static int
refill(struct way *way, struct amy_error *err)
{
    struct amy__tool *tool = way->feed->tool;
    int rc = 0;

    if (way->piece.n > 0 || tool->in_fd < 0) {
        return 0;
    }
    rc = amy__zreader_read(way->reader, &way->piece, err);
    if (rc == 0 && way->piece.n == 0) {
        amy__close(&tool->in_fd); /* that was all */
    }
    way->raw_bytes += way->piece.n;
    return rc;
}

static int
push(struct way *way, struct amy_error *err)
{
    struct amy__tool *tool = way->feed->tool;
    ssize_t n = write(tool->in_fd, way->piece.p, way->piece.n);

    if (n >= 0) {
        way->piece.p += n;
        way->piece.n -= (size_t)n;
        way->moved_ms = amy__mono_ms(way->feed->job->borrow_clock);
        return 0;
    }
    if (errno == EAGAIN || errno == EINTR) {
        return 0;
    }
    if (errno == EPIPE) { /* it has enough, or has failed: its end will tell */
        amy__close(&tool->in_fd);
        way->piece.n = 0;
        return 0;
    }
    return amy__err_sys(err, errno, "writing to %s", tool->name);
}

static int
pull(struct way *way, struct amy_error *err)
{
    struct amy__tool *tool = way->feed->tool;
    static char bytes[PIECE]; /* one process, one thread, one job */
    ssize_t n = read(tool->out_fd, bytes, sizeof(bytes));

    if (n > 0) {
        way->moved_ms = amy__mono_ms(way->feed->job->borrow_clock);
        return way->feed->out((struct amy__span){bytes, (size_t)n},
                              way->feed->user, err);
    }
    if (n == 0) {
        amy__close(&tool->out_fd);
        return 0;
    }
    return errno == EAGAIN || errno == EINTR
               ? 0
               : amy__err_sys(err, errno, "reading from %s", tool->name);
}

static int
move(struct way *way, struct amy_error *err)
{
    struct amy__tool *tool = way->feed->tool;
    bool with_out = tool->out_fd >= 0;
    int rc = 0;

    way->moved_ms = amy__mono_ms(way->feed->job->borrow_clock);
    while (rc == 0 && (with_out ? tool->out_fd >= 0 : tool->in_fd >= 0)) {
        int so = 0;

        rc = refill(way, err);
        if (rc < 0) {
            break;
        }
        so = amy__tool_wait(tool, way->piece.n > 0, LOOK_MS, err);
        rc = so < 0 ? so : 0;
        if (rc == 0 && ((unsigned)so & AMY__TOOL_IN) != 0) {
            rc = push(way, err);
        }
        if (rc == 0 && ((unsigned)so & AMY__TOOL_OUT) != 0) {
            rc = pull(way, err);
        }
        if (rc == 0 && !with_out && tool->ended) {
            amy__close(&tool->in_fd);
        }
        if (rc == 0) {
            rc = amy__job_heard(way->feed->job, tool->name, way->moved_ms, err);
        }
        amy__job_progress(way->feed->job, way->feed->stage, way->raw_bytes,
                          amy__manifest_raw_bytes(way->feed->manifest));
    }
    return rc;
}

int
amy__feed_server_number(const struct amy__manifest *manifest)
{
    int by_program = amy__program_major(manifest->dump) * 10000;
    int by_server = (int)manifest->server_number;

    return by_program / 10000 > by_server / 10000 ? by_program : by_server;
}

int
amy__feed_patience_ms(uint64_t raw_bytes)
{
    uint64_t more = raw_bytes / BYTES_PER_MS;

    return more > INT_MAX - END_MS ? INT_MAX : END_MS + (int)more;
}

int
amy__feed(const struct amy__feed *feed, struct amy_error *err)
{
    AMY_CLEANUP(amy__zreader_free_p) struct amy__zreader *reader = NULL;
    AMY_CLEANUP(amy__close_p) int fd = -1;
    const struct amy__manifest_file *file =
        amy__manifest_file(feed->manifest, AMY__SET_DATA);
    struct way way = {.feed = feed};
    char sha256[65] = "";
    uint64_t bytes = 0;
    int rc = 0;

    if (file == NULL) {
        return amy__err(err, AMY_EPARSE, "the manifest names no data");
    }
    fd = open_file(feed->job, feed->manifest, AMY__SET_DATA, err);
    rc = fd < 0 ? fd : amy__zreader_create(fd, &reader, err);
    if (rc < 0) {
        return rc;
    }
    way.reader = reader;
    rc = move(&way, err);
    if (rc == 0) {
        rc = amy__tool_finish(feed->tool,
                              amy__feed_patience_ms(file->raw_bytes), err);
    }
    if (rc == 0) {
        rc = amy__zreader_finish(reader, &bytes, sha256, err);
    }
    return rc < 0 ? rc : amy__feed_compare(file, bytes, sha256, err);
}

/* Writes logs/gunicorn_supervisor.log of one site. */
/* Not for rotation: whoever rotates renames the file and says reopen. */
#include "workers/output.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define LOG_NAME "gunicorn_supervisor.log"
#define RETRY_MS 1000
#define PREFIX_MAX 160

struct amy__workers_output {
    const struct amy_clock *borrow_clock;
    struct amy_log log;
    int webapps_fd;
    char *domain;
    uid_t uid;
    gid_t gid;
    int fd;              /* -1: to be opened with the next line */
    int64_t retry_ms;    /* it is opened, or opened anew, not before this */
    uint64_t lost;       /* in all */
    uint64_t lost_since; /* since the last line that was written */
};

void
amy__workers_output_free(struct amy__workers_output *output)
{
    if (output == NULL) {
        return;
    }
    amy__close(&output->fd);
    amy__close(&output->webapps_fd);
    amy__free(output->domain);
    amy__free(output);
}
AMY_DEFINE_CLEANUP(struct amy__workers_output *, amy__workers_output_free)

int
amy__workers_output_create(const struct amy__workers_output_options *opts,
                           struct amy__workers_output **ret_output,
                           struct amy_error *err)
{
    AMY_CLEANUP(amy__workers_output_free_p)
    struct amy__workers_output *output = amy__calloc(1, sizeof(*output));

    if (output == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a worker log");
    }
    output->fd = -1;
    output->borrow_clock = opts->borrow_clock;
    output->log = amy__log_copy(opts->log);
    output->uid = opts->uid;
    output->gid = opts->gid;
    output->webapps_fd = fcntl(opts->webapps_fd, F_DUPFD_CLOEXEC, 0);
    if (output->webapps_fd < 0) {
        return amy__err_sys(err, errno, "duplicating the webapps directory");
    }
    output->domain = amy__strdup(opts->domain);
    if (output->domain == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a worker log");
    }
    *ret_output = AMY_TAKE(output);
    return 0;
}

/* logs/ is the site's user's, so nothing in it is opened but as that user. */
static int
open_as_user(const struct amy__workers_output *output, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int site_fd = -1;
    struct amy__as_user saved;
    int rc = 0;
    int fd = -1;

    site_fd = amy__open_beneath(output->webapps_fd, output->domain,
                                O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    if (site_fd < 0) {
        return site_fd;
    }
    if (mkdirat(site_fd, "logs", 0755) == 0 &&
        fchownat(site_fd, "logs", output->uid, output->gid,
                 AT_SYMLINK_NOFOLLOW) != 0) {
        return amy__err_sys(err, errno, "giving logs/ to the site's user");
    }
    rc = amy__as_user_begin(output->uid, output->gid, &saved, err);
    if (rc < 0) {
        return rc;
    }
    fd = amy__open_beneath(
        site_fd, "logs/" LOG_NAME,
        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0640, err);
    amy__as_user_end(&saved);
    return fd;
}

static bool
regular(int fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static bool
opened(struct amy__workers_output *output, int64_t now_ms)
{
    struct amy_error err = AMY_ERROR_INIT;
    int fd = -1;

    if (now_ms < output->retry_ms) {
        return output->fd >= 0;
    }
    output->retry_ms = now_ms + RETRY_MS;
    fd = open_as_user(output, &err);
    if (fd >= 0 && !regular(fd)) {
        amy__close(&fd);
        (void)amy__err(&err, AMY_EINVAL, "not a regular file");
    }
    if (fd >= 0) {
        /* Another file than before where that was removed, or logs/ was. */
        amy__close(&output->fd);
        output->fd = fd;
        return true;
    }
    if (output->fd < 0) {
        if (output->lost_since == 0) {
            amy__log(&output->log, AMY_LOG_WARN,
                     "workers' output is dropped, its log cannot be opened "
                     "site=%s file=logs/" LOG_NAME " reason=\"%s\"",
                     output->domain, err.msg);
        }
        return false;
    }
    return true; /* the one that we have is better than none */
}

static void
lose(struct amy__workers_output *output, const char *reason)
{
    if (output->lost_since == 0 && reason != NULL) {
        amy__log(&output->log, AMY_LOG_WARN,
                 "workers' output is dropped until the disk takes it again "
                 "site=%s file=logs/" LOG_NAME " reason=\"%s\"",
                 output->domain, reason);
    }
    output->lost++;
    output->lost_since++;
}

static bool
write_line(struct amy__workers_output *output, const char *prefix,
           const char *line, size_t n)
{
    struct iovec parts[3] = {
        {.iov_base = (void *)(uintptr_t)prefix, .iov_len = strlen(prefix)},
        {.iov_base = (void *)(uintptr_t)line, .iov_len = n},
        {.iov_base = (void *)(uintptr_t) "\n", .iov_len = 1},
    };
    size_t want = parts[0].iov_len + n + 1;
    ssize_t wrote = writev(output->fd, parts, 3);

    if (wrote >= 0 && (size_t)wrote < want) {
        /* The disk filled up in the middle: end the torn line, so that the next
         * one begins where a line begins. */
        (void)!write(output->fd, "\n", 1);
        errno = ENOSPC;
        return false;
    }
    return wrote >= 0;
}

void
amy__workers_output_line(struct amy__workers_output *output, const char *pool,
                         uint32_t position, int64_t pid, const char *line,
                         size_t n)
{
    int64_t wall_ms = amy__wall_ms(output->borrow_clock);
    char prefix[PREFIX_MAX];
    char when[25];

    if (!opened(output, amy__mono_ms(output->borrow_clock))) {
        lose(output, NULL);
        return;
    }
    (void)amy__format_time(wall_ms, when);
    if (output->lost_since > 0) {
        char lost[64];

        (void)snprintf(prefix, sizeof(prefix), "%s [amy-workers] ", when);
        (void)snprintf(lost, sizeof(lost), "%" PRIu64 " lines were lost here",
                       output->lost_since);
        if (!write_line(output, prefix, lost, strlen(lost))) {
            lose(output, NULL);
            return;
        }
        amy__log(&output->log, AMY_LOG_NOTICE,
                 "workers' output is written again site=%s lost=%" PRIu64,
                 output->domain, output->lost_since);
        output->lost_since = 0;
    }
    (void)snprintf(prefix, sizeof(prefix),
                   "%s [%.63s:%" PRIu32 " %" PRId64 "] ", when, pool, position,
                   pid);
    if (!write_line(output, prefix, line, n)) {
        lose(output, strerror(errno));
    }
}

void
amy__workers_output_reopen(struct amy__workers_output *output)
{
    amy__close(&output->fd);
    output->retry_ms = 0;
}

void
amy__workers_output_set_owner(struct amy__workers_output *output, uid_t uid,
                              gid_t gid)
{
    if (output->uid == uid && output->gid == gid) {
        return;
    }
    output->uid = uid;
    output->gid = gid;
    amy__workers_output_reopen(output);
}

uint64_t
amy__workers_output_lost(const struct amy__workers_output *output)
{
    return output->lost;
}

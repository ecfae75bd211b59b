/* The directory of the logs: opened, made where it is missing, found again when
 * it was moved. */
/* Not for the files in it. */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/watch.h"
#include "logrotate/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void
amy__logrotate_note(struct amy_logrotate *rotator, char *problem,
                    const char *what, const char *why)
{
    if (strcmp(problem, why) == 0) {
        return;
    }
    if (why[0] == '\0') {
        amy__log(&rotator->log, AMY_LOG_NOTICE,
                 "logs: well again directory=%s file=%s", rotator->directory,
                 what);
    } else {
        amy__log(&rotator->log, AMY_LOG_WARN, "logs: %s directory=%s file=%s",
                 why, rotator->directory, what);
    }
    (void)snprintf(problem, AMY__LOGROTATE_PROBLEM, "%s", why);
}

bool
amy__logrotate_may_make(const struct amy_logrotate *rotator,
                        int64_t *missing_ms)
{
    int64_t now_ms = amy__mono_ms(rotator->opts.borrow_clock);

    if (rotator->hurry) {
        return true;
    }
    if (*missing_ms == 0) {
        *missing_ms = now_ms;
    }
    return now_ms - *missing_ms >= AMY__LOGROTATE_MISSING_MS;
}

/* The directory above it, and its name in there. */
static int
open_parent(const struct amy_logrotate *rotator, const char **ret_name,
            struct amy_error *err)
{
    char parent[PATH_MAX] = ".";
    const char *slash = strrchr(rotator->directory, '/');
    int fd = -1;

    *ret_name = slash == NULL ? rotator->directory : slash + 1;
    if (slash != NULL) {
        struct amy__span before = {rotator->directory,
                                   (size_t)(slash - rotator->directory)};

        if (!amy__span_copy(before.n == 0 ? AMY_SPAN("/") : before, parent,
                            sizeof(parent))) {
            return amy__err_sys(err, ENAMETOOLONG, "the directory of the logs");
        }
    }
    fd = openat(rotator->base_fd, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd < 0 ? amy__err_sys(err, errno, "opening '%s'", parent) : fd;
}

/* As the logs' user where that user may; else it is ours to make and to give.
 * (Where the user may not write, no other directory can be put in its place
 * between the two calls.) */
static int
make(const struct amy_logrotate *rotator, int parent_fd, const char *name,
     struct amy_error *err)
{
    struct amy__as_user saved;
    bool made = false;
    int rc = amy__as_user_begin(rotator->uid, rotator->gid, &saved, err);

    if (rc < 0) {
        return rc;
    }
    made = mkdirat(parent_fd, name, 0755) == 0;
    amy__as_user_end(&saved);
    if (made || errno == EEXIST) {
        return 0;
    }
    if (mkdirat(parent_fd, name, 0755) != 0) {
        return errno == EEXIST ? 0
                               : amy__err_sys(err, errno, "making '%s'", name);
    }
    if (fchownat(parent_fd, name, rotator->uid, rotator->gid,
                 AT_SYMLINK_NOFOLLOW) != 0) {
        return amy__err_sys(err, errno, "giving '%s' to its user", name);
    }
    return 0;
}

static int
open_as_user(const struct amy_logrotate *rotator, int parent_fd,
             const char *name, struct amy_error *err)
{
    struct amy__as_user saved;
    int fd = -1;
    int rc = amy__as_user_begin(rotator->uid, rotator->gid, &saved, err);

    if (rc < 0) {
        return rc;
    }
    fd = openat(parent_fd, name,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    rc = errno;
    amy__as_user_end(&saved);
    if (fd >= 0) {
        return fd;
    }
    if (rc == ELOOP || rc == ENOTDIR) {
        return amy__err(err, AMY_EINVAL,
                        "'%s' is not a directory, or a symbolic link", name);
    }
    return amy__err_sys(err, rc, "opening directory '%s'", name);
}

static int
open_directory(struct amy_logrotate *rotator, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int parent_fd = -1;
    const char *name = NULL;
    struct stat st = {0};
    int rc = 0;

    parent_fd = open_parent(rotator, &name, err);
    if (parent_fd < 0) {
        return parent_fd;
    }
    if (fstatat(parent_fd, name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        if (rotator->dir_fd >= 0 &&
            !amy__logrotate_may_make(rotator, &rotator->missing_ms)) {
            return amy__err(err, AMY_EAGAIN, "the directory is gone");
        }
        rc = make(rotator, parent_fd, name, err);
    }
    return rc < 0 ? rc : open_as_user(rotator, parent_fd, name, err);
}

static bool
is_there(const struct amy_logrotate *rotator)
{
    struct stat st = {0};

    return rotator->dir_fd >= 0 &&
           fstatat(rotator->base_fd, rotator->directory, &st,
                   AT_SYMLINK_NOFOLLOW) == 0 &&
           st.st_dev == rotator->dir.st_dev && st.st_ino == rotator->dir.st_ino;
}

static uint64_t
tag_of(const struct amy_logrotate *rotator)
{
    return (uint64_t)(uintptr_t)rotator;
}

void
amy__logrotate_leave(struct amy_logrotate *rotator)
{
    if (rotator->dir_fd >= 0 && rotator->watch != NULL) {
        amy__watch_remove(rotator->watch, tag_of(rotator));
    }
    amy__close(&rotator->dir_fd);
}

int
amy__logrotate_enter(struct amy_logrotate *rotator)
{
    struct amy_error err = AMY_ERROR_INIT;
    int fd = -1;

    if (is_there(rotator)) {
        return 0;
    }
    fd = open_directory(rotator, &err);
    if (fd == AMY_EAGAIN) {
        return fd;
    }
    if (fd < 0) {
        /* What we have is better than none: it was moved, or is going. */
        amy__logrotate_note(rotator, rotator->problem, "-", err.msg);
        return fd;
    }
    amy__logrotate_leave(rotator);
    rotator->dir_fd = fd;
    rotator->missing_ms = 0;
    if (fstat(fd, &rotator->dir) != 0) {
        rotator->dir = (struct stat){.st_ino = 0};
    }
    if (rotator->watch != NULL) { /* without: the slow look does the work */
        (void)amy__watch_add(rotator->watch, fd, tag_of(rotator), NULL);
    }
    amy__logrotate_note(rotator, rotator->problem, "-", "");
    return 1;
}

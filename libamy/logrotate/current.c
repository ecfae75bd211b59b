/* The file of a log that is written: opened, looked at, renamed. */
/* Not for what becomes of it then: logrotate/old.c. */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "logrotate/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int64_t
wall_ms(const struct amy__rotated *log)
{
    return amy__wall_ms(log->rotator->opts.borrow_clock);
}

/* What the clocks of this machine show. */
static int64_t
local_ms(int64_t utc_ms)
{
    time_t s = (time_t)amy__floor_div(utc_ms, 1000);
    struct tm tm = {0};

    return localtime_r(&s, &tm) == NULL ? utc_ms
                                        : utc_ms + tm.tm_gmtoff * INT64_C(1000);
}

/* ---- since when it is written ---- */

static int64_t
birth_ms(const struct amy__rotated *log, const struct stat *st)
{
    struct statx stx = {0};

    if (statx(log->rotator->dir_fd, log->base, AT_SYMLINK_NOFOLLOW, STATX_BTIME,
              &stx) != 0 ||
        (stx.stx_mask & STATX_BTIME) == 0) {
        return (int64_t)st->st_mtim.tv_sec * 1000; /* no later than this */
    }
    return stx.stx_btime.tv_sec * 1000;
}

/* Names carry the time: since the one before it was rotated, by us or by
 * logrotate, unless it was made later than that. What lies in the future is
 * from a clock that was wrong, then or now, and tells nothing. */
static int64_t
begun_ms(const struct amy__rotated *log, const struct stat *st, int64_t now_ms)
{
    const struct amy__logscan *scan = &log->rotator->scan;
    uint32_t index = amy__logrotate_index(log);
    int64_t begun = birth_ms(log, st);

    begun = begun > now_ms ? 0 : begun;
    for (size_t i = 0; i < scan->count; i++) {
        const struct amy__logplan_file *file = &scan->files[i];

        if (file->log == index && file->name.kind != AMY__LOGNAME_CURRENT &&
            file->wall_ms <= now_ms && file->wall_ms > begun) {
            begun = file->wall_ms;
        }
    }
    return begun;
}

static void
see(struct amy__rotated *log, const struct stat *st)
{
    int64_t now_ms = wall_ms(log);

    log->seen = true;
    log->bytes = (uint64_t)st->st_size;
    if (log->dev != st->st_dev || log->inode != st->st_ino) {
        log->begun_ms = log->inode == 0 ? -1 : now_ms;
        log->dev = st->st_dev;
        log->inode = st->st_ino;
    }
    if (log->bytes == 0 || log->begun_ms > now_ms) {
        log->begun_ms = now_ms;
    }
    if (log->begun_ms < 0 && !log->rotator->stale) {
        log->begun_ms = begun_ms(log, st, now_ms);
    }
}

/* ---- opening ---- */

static int
open_as_user(const struct amy__rotated *log, struct amy_error *err)
{
    const struct amy_logrotate *rotator = log->rotator;
    struct amy__as_user saved;
    int fd = -1;
    int failure = 0;
    int rc = amy__as_user_begin(rotator->uid, rotator->gid, &saved, err);

    if (rc < 0) {
        return rc;
    }
    fd = openat(rotator->dir_fd, log->base,
                O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK |
                    O_NOCTTY | O_CLOEXEC,
                0640);
    failure = errno;
    amy__as_user_end(&saved);
    if (fd >= 0) {
        return fd;
    }
    if (failure == ELOOP || failure == ENXIO || failure == EISDIR) {
        return amy__err(err, AMY_EDENIED,
                        "not written: it is not a regular file");
    }
    return amy__err_sys(err, failure, "not written: opening it");
}

/* Whose user may write to the directory can put anything there; a second name
 * could be a file that is not meant to have our lines. */
static int
judge(const struct amy__rotated *log, const struct stat *st,
      struct amy_error *err)
{
    if (!S_ISREG(st->st_mode)) {
        return amy__err(err, AMY_EDENIED,
                        "not written: it is not a regular file");
    }
    if (st->st_nlink > 1) {
        return amy__err(err, AMY_EDENIED,
                        "not written: the file has a second name");
    }
    if (st->st_uid != log->rotator->uid && st->st_uid != 0) {
        return amy__err(err, AMY_EDENIED,
                        "not written: the file belongs to user %u",
                        (unsigned)st->st_uid);
    }
    return 0;
}

/* Nobody of ours writes it yet. */
static bool
is_another(const struct amy__rotated *log, const struct stat *st)
{
    struct stat now = {0};

    return log->fd < 0 || fstat(log->fd, &now) != 0 ||
           now.st_ino != st->st_ino || now.st_dev != st->st_dev;
}

/* All who wrote it may have been killed, and their lock is gone with them: the
 * next one begins where lines begin. */
static void
end_torn_line(const struct amy__rotated *log, int fd)
{
    struct amy__as_user saved;
    int reader = -1;

    if (amy__as_user_begin(log->rotator->uid, log->rotator->gid, &saved, NULL) <
        0) {
        return;
    }
    reader = openat(log->rotator->dir_fd, log->base,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    amy__as_user_end(&saved);
    if (amy__ends_within_a_line(reader)) {
        (void)!write(fd, "\n", 1);
    }
    amy__close(&reader);
}

void
amy__rotated_give(struct amy__rotated *log)
{
    struct amy_logrotate *rotator = log->rotator;
    struct amy_logrotate_file file = {.struct_size = sizeof(file),
                                      .name = log->base,
                                      .fd = log->fd,
                                      .serial = ++log->serial};

    log->give_again = false;
    if (rotator->gone) {
        return; /* nobody is there to take it */
    }
    rotator->opts.on_file(rotator, &file, rotator->opts.user);
}

static void
take_file(struct amy__rotated *log)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct amy_error err = AMY_ERROR_INIT;
    struct stat st = {0};
    int rc = 0;

    fd = open_as_user(log, &err);
    if (fd < 0) {
        rc = fd;
    } else if (fstat(fd, &st) != 0) {
        rc = amy__err_sys(&err, errno, "not written");
    } else {
        rc = judge(log, &st, &err);
    }
    amy__logrotate_note(log->rotator, log->problem, log->base,
                        rc < 0 ? err.msg : "");
    if (rc < 0) {
        return; /* the file that they have is better than none */
    }
    if (is_another(log, &st)) {
        end_torn_line(log, fd);
    }
    amy__close(&log->fd);
    log->fd = amy__take_fd(&fd);
    see(log, &st);
    amy__rotated_give(log);
}

/* What we gave out, or another: its name leads to *st, or nowhere (NULL). */
static void
look_at_given(struct amy__rotated *log, const struct stat *st)
{
    if (log->fd >= 0 && st == NULL &&
        !amy__logrotate_may_make(log->rotator, &log->missing_ms)) {
        return;
    }
    log->missing_ms = 0;
    if (log->fd < 0 || st == NULL || st->st_dev != log->dev ||
        st->st_ino != log->inode) {
        take_file(log);
        return;
    }
    see(log, st);
    if (log->give_again) {
        amy__rotated_give(log);
    }
}

void
amy__rotated_look(struct amy__rotated *log)
{
    struct stat st = {0};
    bool is_there = false;

    log->seen = false;
    if (log->rotator->dir_fd < 0) {
        return;
    }
    is_there =
        fstatat(log->rotator->dir_fd, log->base, &st, AT_SYMLINK_NOFOLLOW) == 0;
    if (log->kind == AMY_LOGROTATE_GIVEN) {
        look_at_given(log, is_there ? &st : NULL);
    } else if (is_there && S_ISREG(st.st_mode)) {
        see(log, &st);
    } else {
        log->bytes = 0;
        log->inode = 0;
    }
}

/* ---- rotating ---- */

static bool
is_taken(const struct amy__rotated *log, struct amy__logname name)
{
    static const enum amy__logname_packing packings[] = {
        AMY__LOGNAME_PLAIN, AMY__LOGNAME_GZIP, AMY__LOGNAME_ZSTD};
    struct stat st = {0};
    char text[AMY__LOGNAME_SIZE] = "";

    for (size_t i = 0; i < sizeof(packings) / sizeof(packings[0]); i++) {
        name.packing = packings[i];
        (void)amy__logname_write(amy__span_of(log->base), &name, text);
        if (fstatat(log->rotator->dir_fd, text, &st, AT_SYMLINK_NOFOLLOW) ==
            0) {
            return true;
        }
    }
    return false;
}

/* rename(2) that never replaces; 0 or an errno. */
static int
rename_new(const struct amy__rotated *log, const char *to)
{
    int dir_fd = log->rotator->dir_fd;

    if (renameat2(dir_fd, log->base, dir_fd, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL) { /* EINVAL: a file system that cannot */
        return errno;
    }
    return renameat(dir_fd, log->base, dir_fd, to) == 0 ? 0 : errno;
}

/* The first name of this second that nobody has, in any packing. */
static int
rename_as_user(const struct amy__rotated *log, struct amy__logname *ret_name,
               struct amy_error *err)
{
    struct amy__logname name = {.kind = AMY__LOGNAME_ROTATED};
    char text[AMY__LOGNAME_SIZE] = "";
    struct amy__as_user saved;
    int failure = EEXIST;
    int rc =
        amy__as_user_begin(log->rotator->uid, log->rotator->gid, &saved, err);

    if (rc < 0) {
        return rc;
    }
    name.wall_ms = amy__floor_div(wall_ms(log), 1000) * 1000;
    while (failure == EEXIST && name.sequence < AMY__STAMP_SEQUENCE_MAX) {
        name.sequence++;
        if (!is_taken(log, name)) {
            (void)amy__logname_write(amy__span_of(log->base), &name, text);
            failure = rename_new(log, text);
        }
    }
    amy__as_user_end(&saved);
    if (failure != 0) {
        return amy__err_sys(err, failure, "not rotated: renaming it");
    }
    *ret_name = name;
    return 0;
}

int
amy__rotated_rotate(struct amy__rotated *log, const char *why,
                    struct amy_error *err)
{
    struct amy_logrotate *rotator = log->rotator;
    struct amy__logname name = {.kind = AMY__LOGNAME_ROTATED};
    uint64_t serial = log->serial;
    uint64_t bytes = log->bytes;
    int rc = rename_as_user(log, &name, err);

    if (rc < 0) {
        return rc;
    }
    log->bytes = 0; /* counted among the old ones from now on */
    rotator->rotations++;
    rotator->stale = true;
    amy__logrotate_wait(rotator, amy__logrotate_index(log), &name, serial);
    amy__log(&rotator->log, AMY_LOG_INFO,
             "logs: rotated directory=%s file=%s bytes=%llu why=%s",
             rotator->directory, log->base, (unsigned long long)bytes, why);
    log->missing_ms = INT64_MIN / 2; /* we know who took it away */
    amy__rotated_look(log);
    if (log->kind == AMY_LOGROTATE_NAMED && rotator->opts.on_file != NULL) {
        amy__rotated_give(log);
    }
    return 0;
}

void
amy__rotated_check(struct amy__rotated *log)
{
    struct amy_error err = AMY_ERROR_INIT;
    const char *why = NULL;
    int64_t now_ms = 0;
    int64_t begun = 0;

    if (log->kind == AMY_LOGROTATE_OTHERS || !log->seen) {
        return;
    }
    now_ms = wall_ms(log); /* not known since when: size alone counts */
    begun = log->begun_ms < 0 ? now_ms : log->begun_ms;
    why = amy__logplan_due(&log->rotator->limits, log->bytes, local_ms(begun),
                           local_ms(now_ms));
    if (why == NULL) {
        return;
    }
    if (amy__rotated_rotate(log, why, &err) < 0) {
        amy__logrotate_note(log->rotator, log->problem, log->base, err.msg);
    } else if (log->kind == AMY_LOGROTATE_NAMED) {
        amy__logrotate_note(log->rotator, log->problem, log->base, "");
    }
}

/* The files that were rotated: found, thinned out, packed. */
/* Not for deciding which: logrotate/plan.c does. */
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
#include <unistd.h>

/* As many go in one look; the rest in the next. */
#define REMOVE_MAX 256
/* As often is judged anew when what was judged is still written to. */
#define ROUNDS_MAX 4
#define TOLD_EVERY_MS 60000
/* A file that somebody still writes to: told after this, then tried rarely. */
#define PATIENCE_MS 300000
#define RETRY_SOON_MS 1000
#define RETRY_LATE_MS 600000
/* Who opens a log by its name may have missed that it was renamed: told again
 * after this, then as rarely. */
#define TELL_SOON_MS 10000
#define RETRY_FAILED_MS 60000

static int64_t
mono_ms(const struct amy_logrotate *rotator)
{
    return amy__mono_ms(rotator->opts.borrow_clock);
}

uint32_t
amy__logrotate_index(const struct amy__rotated *log)
{
    uint32_t i = 0;

    while (log->rotator->logs[i] != log) {
        i++;
    }
    return i;
}

/* ---- finding ---- */

static bool
is_same_file(const struct amy__waiting *waiting, uint32_t log,
             const struct amy__logname *name)
{
    return waiting->log == log &&
           amy__logname_compare(&waiting->name, name) == 0;
}

static bool
is_packing(const struct amy_logrotate *rotator, uint32_t log,
           const struct amy__logname *name)
{
    return amy__logpack_is_busy(rotator->pack) &&
           is_same_file(&rotator->packing, log, name);
}

static bool
waits(const struct amy_logrotate *rotator, uint32_t log,
      const struct amy__logname *name)
{
    for (size_t i = 0; i < rotator->waiting_count; i++) {
        if (is_same_file(&rotator->waiting[i], log, name)) {
            return true;
        }
    }
    return is_packing(rotator, log, name);
}

void
amy__logrotate_wait(struct amy_logrotate *rotator, uint32_t log,
                    const struct amy__logname *name, uint64_t serial)
{
    if (rotator->opts.packing == AMY_LOGROTATE_PLAIN) {
        return;
    }
    if (rotator->waiting_count == AMY__LOGROTATE_WAITING_MAX) {
        rotator->find_plain = true;
        return;
    }
    rotator->waiting[rotator->waiting_count++] =
        (struct amy__waiting){.log = log,
                              .name = *name,
                              .serial = serial,
                              .since_ms = mono_ms(rotator)};
}

/* What an earlier life left: it is packed now, and halves of packed ones are
 * made anew. */
static void
find_leftovers(struct amy_logrotate *rotator)
{
    rotator->find_plain = false;
    for (size_t i = 0; i < rotator->scan.count; i++) {
        const struct amy__logplan_file *file = &rotator->scan.files[i];

        if (!file->others && file->name.kind == AMY__LOGNAME_ROTATED &&
            file->name.packing == AMY__LOGNAME_PLAIN &&
            !waits(rotator, file->log, &file->name)) {
            amy__logrotate_wait(rotator, file->log, &file->name, 0);
        }
    }
}

/* ---- removing ---- */

/* A half whose whole is gone: nobody will ever finish it. */
static bool
is_orphan(const struct amy_logrotate *rotator,
          const struct amy__logplan_file *file)
{
    return file->name.partial && !file->others &&
           !waits(rotator, file->log, &file->name);
}

static const char *
reason(const struct amy_logrotate *rotator,
       const struct amy__logplan_file *file)
{
    static const char *const words[] = {
        [AMY__LOGPLAN_TOO_OLD] = "age",
        [AMY__LOGPLAN_TOO_MANY] = "count",
        [AMY__LOGPLAN_TOO_MUCH] = "total",
        [AMY__LOGPLAN_DISK_FULL] = "disk-full",
    };

    if (file->verdict != AMY__LOGPLAN_STAYS) {
        return words[file->verdict];
    }
    return is_orphan(rotator, file) ? "half" : NULL;
}

static void
forget_waiting(struct amy_logrotate *rotator,
               const struct amy__logplan_file *file)
{
    for (size_t i = 0; i < rotator->waiting_count; i++) {
        if (file->name.packing == AMY__LOGNAME_PLAIN &&
            file->name.kind == AMY__LOGNAME_ROTATED &&
            is_same_file(&rotator->waiting[i], file->log, &file->name)) {
            rotator->waiting[i] = rotator->waiting[--rotator->waiting_count];
            return;
        }
    }
}

/* Unlink those that are judged, and keep the list true to it. As the user. */
static size_t
remove_judged(struct amy_logrotate *rotator, uint64_t *ret_bytes,
              struct amy_error *err)
{
    size_t removed = 0;

    *ret_bytes = 0;
    for (size_t i = 0; i < rotator->scan.count && removed < REMOVE_MAX; i++) {
        struct amy__logplan_file *file = &rotator->scan.files[i];
        const char *why = reason(rotator, file);

        if (why == NULL) {
            continue;
        }
        if (unlinkat(rotator->dir_fd, file->text, 0) != 0 && errno != ENOENT) {
            (void)amy__err_sys(err, errno, "'%s' cannot be removed",
                               file->text);
            rotator->kept = true; /* until the next scan */
            continue;
        }
        rotator->stale = true;
        amy__log(&rotator->log, AMY_LOG_INFO,
                 "logs: removed directory=%s file=%s bytes=%llu why=%s",
                 rotator->directory, file->text,
                 (unsigned long long)file->bytes, why);
        forget_waiting(rotator, file);
        *ret_bytes += file->bytes;
        removed++;
    }
    rotator->removed += removed;
    return removed;
}

static size_t
remove_as_user(struct amy_logrotate *rotator, uint64_t *ret_bytes,
               struct amy_error *err)
{
    struct amy__as_user saved;
    size_t removed = 0;

    if (amy__as_user_begin(rotator->uid, rotator->gid, &saved, err) == 0) {
        removed = remove_judged(rotator, ret_bytes, err);
        amy__as_user_end(&saved);
    }
    return removed;
}

static bool
any_judged(const struct amy_logrotate *rotator)
{
    for (size_t i = 0; i < rotator->scan.count; i++) {
        if (reason(rotator, &rotator->scan.files[i]) != NULL) {
            return true;
        }
    }
    return false;
}

/* ---- what is still written to ---- */

static bool
is_released(const struct amy_logrotate *rotator,
            const struct amy__waiting *waiting)
{
    const struct amy__rotated *log = rotator->logs[waiting->log];

    return log->kind != AMY_LOGROTATE_GIVEN || waiting->serial == 0 ||
           log->released > waiting->serial;
}

static bool
is_ours_plain(const struct amy__logplan_file *file)
{
    return !file->others && file->name.kind == AMY__LOGNAME_ROTATED &&
           file->name.packing == AMY__LOGNAME_PLAIN;
}

/* As far as we know without asking. */
static bool
is_known_written(const struct amy_logrotate *rotator,
                 const struct amy__logplan_file *file)
{
    for (size_t i = 0; is_ours_plain(file) && i < rotator->waiting_count; i++) {
        const struct amy__waiting *waiting = &rotator->waiting[i];

        if (is_same_file(waiting, file->log, &file->name)) {
            return waiting->written || !is_released(rotator, waiting);
        }
    }
    return false;
}

/* Where the system does not tell, limits come first. */
static bool
is_written_now(const struct amy_logrotate *rotator,
               const struct amy__logplan_file *file)
{
    AMY_CLEANUP(amy__close_p)
    int fd = openat(rotator->dir_fd, file->text,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    return fd >= 0 && amy__logpack_is_written(fd, NULL) > 0;
}

/* What was judged is asked once more: nothing that a program still writes goes.
 * @return some of them stay */
static bool
spare_written(struct amy_logrotate *rotator)
{
    struct amy__as_user saved;
    size_t asked = 0;
    bool found = false;

    if (amy__as_user_begin(rotator->uid, rotator->gid, &saved, NULL) < 0) {
        return false; /* nothing can be removed either */
    }
    for (size_t i = 0; i < rotator->scan.count; i++) {
        struct amy__logplan_file *file = &rotator->scan.files[i];

        if (!is_ours_plain(file) || file->verdict == AMY__LOGPLAN_STAYS) {
            continue;
        }
        file->written = asked++ < REMOVE_MAX && is_written_now(rotator, file);
        if (file->written || asked > REMOVE_MAX) {
            file->verdict = AMY__LOGPLAN_STAYS;
        }
        found = found || file->written;
    }
    amy__as_user_end(&saved);
    return found;
}

static void
judge(struct amy_logrotate *rotator)
{
    int64_t now_ms = amy__wall_ms(rotator->opts.borrow_clock);
    unsigned rounds = 0;

    do {
        amy__logplan_sweep(&rotator->limits, rotator->scan.files,
                           rotator->scan.count, now_ms);
    } while (any_judged(rotator) && spare_written(rotator) &&
             ++rounds < ROUNDS_MAX);
}

/* Why the limits do not hold; "": they do. */
static void
tell_problem(struct amy_logrotate *rotator, struct amy_error *err)
{
    for (size_t i = 0; i < rotator->scan.count && err->msg[0] == '\0'; i++) {
        if (rotator->scan.files[i].held) {
            (void)amy__err(err, AMY_EBUSY,
                           "the limits do not hold: '%s' is still written to",
                           rotator->scan.files[i].text);
        }
    }
    if (err->msg[0] == '\0' && rotator->scan.cut) {
        (void)amy__err(err, AMY_ELIMIT,
                       "the limits may not hold: more than %u entries",
                       AMY__LOGSCAN_ENTRIES_MAX);
    }
    amy__logrotate_note(rotator, rotator->old_problem, "-", err->msg);
}

/* ---- looking through them ---- */

static void
mark_busy(struct amy_logrotate *rotator)
{
    rotator->old_bytes = 0;
    rotator->old_files = 0;
    for (size_t i = 0; i < rotator->scan.count; i++) {
        struct amy__logplan_file *file = &rotator->scan.files[i];

        if (file->name.kind == AMY__LOGNAME_CURRENT) {
            continue;
        }
        rotator->old_bytes += file->bytes;
        rotator->old_files++;
        file->busy = file->name.kind == AMY__LOGNAME_ROTATED &&
                     is_packing(rotator, file->log, &file->name);
        file->written = is_known_written(rotator, file);
    }
}

static void
scan(struct amy_logrotate *rotator)
{
    struct amy__logscan_log logs[AMY__LOGPLAN_LOGS_MAX];
    struct amy_error err = AMY_ERROR_INIT;
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < rotator->log_count; i++) {
        logs[i] = (struct amy__logscan_log){
            amy__span_of(rotator->logs[i]->base),
            rotator->logs[i]->kind == AMY_LOGROTATE_OTHERS};
    }
    if (amy__logscan_read(&rotator->scan, rotator->dir_fd, logs,
                          rotator->log_count, &err) < 0) {
        amy__logrotate_note(rotator, rotator->old_problem, "-", err.msg);
        return;
    }
    rotator->stale = false;
    rotator->kept = false;
    mark_busy(rotator);
    judge(rotator);
    if (rotator->find_plain) {
        find_leftovers(rotator);
    }
    if (any_judged(rotator)) {
        (void)remove_as_user(rotator, &bytes, &err);
    }
    tell_problem(rotator, &err);
}

void
amy__logrotate_scan(struct amy_logrotate *rotator)
{
    int64_t begun_ms = mono_ms(rotator);

    scan(rotator);
    rotator->scanned_ms = mono_ms(rotator);
    rotator->scan_took_ms = rotator->scanned_ms - begun_ms;
}

void
amy__logrotate_free_disk(struct amy_logrotate *rotator, uint64_t bytes)
{
    struct amy_error err = AMY_ERROR_INIT;
    int64_t now_ms = mono_ms(rotator);
    uint64_t freed = 0;
    size_t removed = 0;

    amy__logrotate_scan(rotator);
    if (amy__logplan_free(rotator->scan.files, rotator->scan.count, bytes) >
        0) {
        removed = remove_as_user(rotator, &freed, &err);
        tell_problem(rotator, &err);
    }
    if (rotator->full_told_ms == 0 ||
        now_ms - rotator->full_told_ms >= TOLD_EVERY_MS) {
        amy__log(&rotator->log, AMY_LOG_WARN,
                 "logs: the disk is full, the oldest packed ones go "
                 "directory=%s removed=%zu bytes=%llu",
                 rotator->directory, removed, (unsigned long long)freed);
        rotator->full_told_ms = now_ms;
    }
}

/* ---- packing ---- */

static enum amy__logname_packing
packing_of(const struct amy_logrotate *rotator)
{
    return rotator->opts.packing == AMY_LOGROTATE_ZSTD ? AMY__LOGNAME_ZSTD
                                                       : AMY__LOGNAME_GZIP;
}

/* A program that was starting, or whose command failed, goes on with the old
 * file for good unless somebody tells it. */
static void
tell_again(struct amy_logrotate *rotator, const struct amy__waiting *waiting)
{
    struct amy__rotated *log = rotator->logs[waiting->log];
    int64_t now_ms = mono_ms(rotator);

    if (log->kind == AMY_LOGROTATE_NAMED && rotator->opts.on_file != NULL &&
        now_ms - waiting->since_ms >= TELL_SOON_MS && now_ms >= log->tell_ms) {
        log->tell_ms = now_ms + RETRY_LATE_MS;
        amy__rotated_give(log);
    }
}

/* Since it was first found open: who keeps it open and writes nothing has had
 * no line for it since, as a WatchedFileHandler on a quiet site. */
static bool
has_grown(const struct amy_logrotate *rotator, struct amy__waiting *waiting,
          const char *name)
{
    struct stat st = {0};
    uint64_t bytes = 0;

    if (fstatat(rotator->dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        bytes = (uint64_t)st.st_size;
    }
    if (!waiting->written) {
        waiting->bytes = bytes;
    }
    return bytes > waiting->bytes;
}

/* Each once. */
static void
tell_why(const struct amy_logrotate *rotator, struct amy__waiting *waiting,
         const char *name, const char *why)
{
    if (why == NULL && !waiting->told) {
        amy__log(&rotator->log, AMY_LOG_INFO,
                 "logs: packed when the program that has it open lets go of it "
                 "directory=%s file=%s",
                 rotator->directory, name);
        waiting->told = true;
    } else if (why != NULL && !waiting->warned) {
        amy__log(&rotator->log, AMY_LOG_WARN,
                 "logs: stays plain for now: %s directory=%s file=%s", why,
                 rotator->directory, name);
        waiting->warned = true;
    }
}

/* Later, and less often when it has waited long. */
static void
put_off(struct amy_logrotate *rotator, struct amy__waiting *waiting, int rc,
        const char *why)
{
    int64_t now_ms = mono_ms(rotator);
    bool is_late = rc != AMY_EBUSY || now_ms - waiting->since_ms >= PATIENCE_MS;
    char name[AMY__LOGNAME_SIZE] = "";

    (void)amy__logname_write(amy__span_of(rotator->logs[waiting->log]->base),
                             &waiting->name, name);
    if (rc == AMY_EBUSY && !has_grown(rotator, waiting, name)) {
        why = NULL;
    }
    if (is_late) {
        tell_why(rotator, waiting, name, why);
    }
    waiting->written = rc == AMY_EBUSY;
    waiting->again_ms = now_ms + (is_late ? RETRY_LATE_MS : RETRY_SOON_MS);
    if (rc == AMY_EIO) {
        waiting->again_ms = now_ms + RETRY_FAILED_MS;
    }
    if (rc == AMY_EBUSY) {
        tell_again(rotator, waiting);
    }
}

/* 0: it is being packed; else why not, and it waits or is forgotten. */
static int
try_one(struct amy_logrotate *rotator, size_t at)
{
    struct amy__waiting *waiting = &rotator->waiting[at];
    const struct amy__logpack_order order = {
        .dir_fd = rotator->dir_fd,
        .base = rotator->logs[waiting->log]->base,
        .borrow_lock = rotator->logs[waiting->log]->borrow_lock,
        .name = waiting->name,
        .packing = packing_of(rotator),
        .uid = rotator->uid,
        .gid = rotator->gid,
    };
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__logpack_start(rotator->pack, &order, &err);

    if (rc < 0 && rc != AMY_ENOTFOUND) {
        put_off(rotator, waiting, rc, err.msg);
        return rc;
    }
    rotator->packing = *waiting;
    rotator->waiting[at] = rotator->waiting[--rotator->waiting_count];
    return rc;
}

/* Oldest first. */
static size_t
choose(const struct amy_logrotate *rotator, int64_t now_ms)
{
    size_t best = rotator->waiting_count;

    for (size_t i = 0; i < rotator->waiting_count; i++) {
        const struct amy__waiting *waiting = &rotator->waiting[i];

        if (waiting->again_ms <= now_ms && is_released(rotator, waiting) &&
            (best == rotator->waiting_count ||
             amy__logname_compare(&waiting->name,
                                  &rotator->waiting[best].name) < 0)) {
            best = i;
        }
    }
    return best;
}

void
amy__logrotate_pack_next(struct amy_logrotate *rotator)
{
    int64_t now_ms = mono_ms(rotator);

    while (!amy__logpack_is_busy(rotator->pack)) {
        size_t best = rotator->dir_fd < 0 ? rotator->waiting_count
                                          : choose(rotator, now_ms);

        if (best == rotator->waiting_count) {
            amy__turn_leave(&rotator->place);
            return;
        }
        if (!amy__turn_take(&rotator->place, now_ms)) {
            return;
        }
        (void)try_one(rotator, best); /* which says why not */
    }
}

void
amy__logrotate_packed(int rc, const struct amy_error *why, void *user)
{
    struct amy_logrotate *rotator = user;

    amy__logrotate_hold(rotator);
    rotator->stale = true;
    if (rc == 0) {
        rotator->packed++;
    } else if (rotator->waiting_count < AMY__LOGROTATE_WAITING_MAX) {
        rotator->waiting[rotator->waiting_count] = rotator->packing;
        put_off(rotator, &rotator->waiting[rotator->waiting_count++], rc,
                why->msg);
    } else {
        rotator->find_plain = true;
    }
    amy__logrotate_pack_next(rotator);
    amy__logrotate_drop(rotator);
}

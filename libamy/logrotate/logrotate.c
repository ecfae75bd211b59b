/* The rotator of one directory: its life, and when it looks. */
/* Not for what it does then: current.c, old.c and directory.c. */
#include "logrotate/logrotate.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/loop.h"
#include "core/maker.h"
#include "core/options.h"
#include "core/watch.h"
#include "logrotate/internal.h"
#include "logrotate/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#define LOGROTATE_MAGIC 0x6c6f6772U
#define SCAN_MS 60000 /* what no event told of */
#define RESERVE_BYTES ((uint64_t)16 * 1024 * 1024)
#define MIB (UINT64_C(1024) * 1024)
#define DAY_MS (INT64_C(86400) * 1000)

AMY_DEFINE_CLEANUP(struct amy_logrotate *, amy_logrotate_free)

/* ---- the end ---- */

static void
destroy(struct amy_logrotate *rotator)
{
    amy__logpack_free(rotator->pack);
    if (rotator->place.turn != NULL) {
        amy__turn_leave(&rotator->place);
    }
    amy__logrotate_leave(rotator);
    if (rotator->watch_is_ours) {
        amy__watch_free(rotator->watch);
    }
    for (uint32_t i = 0; i < rotator->log_count; i++) {
        amy__close(&rotator->logs[i]->fd);
        amy__free(rotator->logs[i]);
    }
    amy__logscan_clear(&rotator->scan);
    amy__timer_free(rotator->timer);
    amy__defer_free(rotator->defer);
    if (rotator->base_fd >= 0) {
        amy__close(&rotator->base_fd);
    }
    amy__free(rotator->directory);
    rotator->magic = 0;
    amy__free(rotator);
}

void
amy__logrotate_hold(struct amy_logrotate *rotator)
{
    rotator->busy++;
}

void
amy__logrotate_drop(struct amy_logrotate *rotator)
{
    rotator->busy--;
    if (rotator->busy == 0 && rotator->gone) {
        destroy(rotator);
    }
}

void
amy_logrotate_free(struct amy_logrotate *rotator)
{
    if (rotator == NULL) {
        return;
    }
    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    if (!amy__is_maker(rotator->maker)) {
        return;
    }
    if (rotator->busy > 0) {
        rotator->gone = true;
        return;
    }
    destroy(rotator);
}

/* ---- looking ---- */

static uint64_t
total_bytes(const struct amy_logrotate *rotator)
{
    uint64_t bytes = rotator->old_bytes;

    for (uint32_t i = 0; i < rotator->log_count; i++) {
        bytes += rotator->logs[i]->bytes;
    }
    return bytes;
}

/* A little is left for the files that are written: a hundredth, 16 MiB at
 * most. What is missing of it. */
static uint64_t
missing_bytes(const struct amy_logrotate *rotator)
{
    struct statvfs fs = {0};
    uint64_t reserve = 0;
    uint64_t free_bytes = 0;

    if (fstatvfs(rotator->dir_fd, &fs) != 0) {
        return 0;
    }
    reserve = (uint64_t)fs.f_blocks * fs.f_frsize / 100;
    reserve = reserve > RESERVE_BYTES ? RESERVE_BYTES : reserve;
    free_bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (rotator->disk_full && free_bytes >= reserve) {
        return reserve; /* of a quota, which statvfs does not show */
    }
    return free_bytes < reserve ? reserve - free_bytes : 0;
}

/* Whoever may write to the directory can make events without end, and files
 * without number: a tenth of the time at most goes into looking through it. */
static bool
may_scan(const struct amy_logrotate *rotator)
{
    int64_t age_ms =
        amy__mono_ms(rotator->opts.borrow_clock) - rotator->scanned_ms;
    int64_t pause_ms = rotator->opts.look_ms / 2;

    if (pause_ms < rotator->scan_took_ms * 10) {
        pause_ms = rotator->scan_took_ms * 10;
    }
    if (pause_ms > SCAN_MS) {
        pause_ms = SCAN_MS;
    }
    return rotator->hurry || rotator->scanned_ms == 0 || age_ms >= pause_ms;
}

static void
look_at_old(struct amy_logrotate *rotator)
{
    int64_t age_ms =
        amy__mono_ms(rotator->opts.borrow_clock) - rotator->scanned_ms;
    uint64_t missing = 0;

    if (!may_scan(rotator)) {
        return; /* the timer comes back to it */
    }
    missing = missing_bytes(rotator);
    if (missing > 0) {
        amy__logrotate_free_disk(rotator, missing);
        rotator->disk_full = false;
    } else if (rotator->stale || age_ms >= SCAN_MS ||
               (!rotator->kept &&
                total_bytes(rotator) > rotator->limits.total_bytes)) {
        amy__logrotate_scan(rotator);
    }
}

static void
look(struct amy_logrotate *rotator)
{
    int rc = 0;

    if (rotator->looking || !amy__is_maker(rotator->maker)) {
        return; /* from inside on_file; or in a child */
    }
    rotator->looking = true;
    rc = amy__logrotate_enter(rotator);
    if (rc > 0) {
        rotator->waiting_count = 0; /* those are elsewhere */
        rotator->find_plain = true;
        rotator->stale = true;
    }
    if (rc >= 0) { /* else what there is goes on as it is */
        look_at_old(rotator);
        for (uint32_t i = 0; i < rotator->log_count && !rotator->gone; i++) {
            amy__rotated_look(rotator->logs[i]);
            amy__rotated_check(rotator->logs[i]);
        }
        if (rotator->stale && may_scan(rotator)) {
            amy__logrotate_scan(rotator);
        }
        amy__logrotate_pack_next(rotator);
    } else {
        amy__turn_leave(&rotator->place);
    }
    rotator->looking = false;
}

static bool
is_missing(const struct amy_logrotate *rotator)
{
    bool missing = rotator->missing_ms != 0;

    for (uint32_t i = 0; i < rotator->log_count; i++) {
        missing = missing || rotator->logs[i]->missing_ms != 0;
    }
    return missing;
}

static void
arm(struct amy_logrotate *rotator)
{
    int64_t ms = rotator->opts.look_ms;

    if (is_missing(rotator) && ms > AMY__LOGROTATE_MISSING_MS) {
        ms = AMY__LOGROTATE_MISSING_MS;
    }
    if (amy__timer_arm(rotator->timer, ms, NULL) < 0) {
        amy__log(&rotator->log, AMY_LOG_ERROR,
                 "logs: out of memory, nothing is rotated directory=%s",
                 rotator->directory);
    }
}

static void
on_timer(void *user)
{
    amy__logrotate_hold(user);
    look(user);
    arm(user);
    amy__logrotate_drop(user);
}

static void
on_defer(void *user)
{
    amy__logrotate_hold(user);
    look(user);
    if (is_missing(user)) {
        arm(user);
    }
    amy__logrotate_drop(user);
}

/* A log was moved, or the directory itself: at once. An old file came or went:
 * with the next look. */
static void
on_watch(uint64_t tag, const char *name, void *user)
{
    struct amy_logrotate *rotator = (struct amy_logrotate *)(uintptr_t)tag;

    (void)user;
    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    for (uint32_t i = 0; name != NULL && i < rotator->log_count; i++) {
        if (strcmp(name, rotator->logs[i]->base) == 0) {
            amy__defer_ask(rotator->defer);
            return;
        }
    }
    if (name == NULL) {
        amy__defer_ask(rotator->defer);
    }
    rotator->stale = true;
}

/* ---- options ---- */

static int
check_options(const struct amy_logrotate_options *opts, struct amy_error *err)
{
    if (opts->base == NULL || opts->directory == NULL ||
        opts->directory[0] == '\0') {
        return amy__err(err, AMY_EINVAL, "logs: no event base or directory");
    }
    if (opts->every > AMY_LOGROTATE_NEVER ||
        opts->packing > AMY_LOGROTATE_PLAIN || opts->reserved != 0 ||
        opts->max_age_ms < 0) {
        return amy__err(err, AMY_EINVAL, "logs: an option out of its range");
    }
    return 0;
}

static void
take_limits(struct amy_logrotate *rotator)
{
    const struct amy_logrotate_options *opts = &rotator->opts;

    rotator->limits = (struct amy__logplan_limits){
        .size_bytes = opts->size_bytes == 0 ? 50 * MIB : opts->size_bytes,
        .every = (enum amy__logplan_every)opts->every,
        .keep = opts->keep == 0 ? 1000 : opts->keep,
        .max_age_ms = opts->max_age_ms == 0 ? 30 * DAY_MS : opts->max_age_ms,
        .total_bytes = opts->total_bytes == 0 ? 2048 * MIB : opts->total_bytes,
    };
    rotator->opts.look_ms = opts->look_ms == 0 ? 1000 : opts->look_ms;
    rotator->uid = opts->uid == 0 ? geteuid() : (uid_t)opts->uid;
    rotator->gid = opts->uid == 0 ? getegid() : (gid_t)opts->gid;
    rotator->stale = true;
    rotator->find_plain = true;
}

/* Ours are these, whatever is given later. */
static int
keep_options(struct amy_logrotate *rotator, struct amy_error *err)
{
    struct amy_logrotate_options *opts = &rotator->opts;

    rotator->directory = amy__strdup(opts->directory);
    if (rotator->directory == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a rotator");
    }
    rotator->log = amy__log_copy(opts->log);
    if (opts->dir_fd_plus_one > 0) {
        rotator->base_fd = fcntl(opts->dir_fd_plus_one - 1, F_DUPFD_CLOEXEC, 0);
        if (rotator->base_fd < 0) {
            return amy__err_sys(err, errno, "logs: their directory");
        }
    }
    opts->directory = rotator->directory;
    opts->log = NULL;
    take_limits(rotator);
    return 0;
}

int
amy_logrotate_set(struct amy_logrotate *rotator,
                  const struct amy_logrotate_options *opts,
                  struct amy_error *err)
{
    struct amy_logrotate_options next = AMY_LOGROTATE_OPTIONS_INIT;
    uid_t uid = 0;
    int rc = 0;

    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    rc = amy__check_maker(rotator->maker, err);
    if (rc < 0) {
        return rc;
    }
    rc = amy__options_read(&next, sizeof(next), opts,
                           offsetof(struct amy_logrotate_options, uid), err);
    next.base = rotator->opts.base;
    next.directory = rotator->directory;
    next.borrow_clock = rotator->opts.borrow_clock;
    next.on_file = rotator->opts.on_file;
    next.user = rotator->opts.user;
    next.log = NULL;
    rc = rc == 0 ? check_options(&next, err) : rc;
    if (rc < 0) {
        return rc;
    }
    uid = rotator->uid;
    rotator->opts = next;
    take_limits(rotator);
    if (rotator->uid != uid) {
        for (uint32_t i = 0; i < rotator->log_count; i++) {
            rotator->logs[i]->inode = 0; /* opened anew as the other one */
        }
    }
    amy__defer_ask(rotator->defer);
    return 0;
}

/* ---- life ---- */

struct amy__logrotate_peers {
    struct amy__watch *watch; /* or NULL */
    struct amy__turn turn;
};

int
amy__logrotate_peers_create(struct event_base *base,
                            struct amy__logrotate_peers **ret_peers,
                            struct amy_error *err)
{
    struct amy__logrotate_peers *peers = amy__calloc(1, sizeof(*peers));
    int rc = peers == NULL
                 ? amy__err(err, AMY_ENOMEM, "allocating what rotators share")
                 : amy__watch_create(base, on_watch, NULL, &peers->watch, err);

    if (rc == AMY_ENOMEM) {
        amy__free(peers);
        return rc;
    }
    *ret_peers = peers;
    return 0;
}

void
amy__logrotate_peers_free(struct amy__logrotate_peers *peers)
{
    if (peers != NULL) {
        amy__watch_free(peers->watch);
        amy__free(peers);
    }
}

static void
on_turn(void *user)
{
    struct amy_logrotate *rotator = user;

    amy__defer_ask(rotator->defer);
}

static int
begin(struct amy_logrotate *rotator, struct amy__logrotate_peers *borrow_peers,
      struct amy_error *err)
{
    struct event_base *base = rotator->opts.base;
    int rc = amy__timer_create(base, on_timer, rotator, &rotator->timer, err);

    if (rc == 0) {
        rc = amy__defer_create(base, on_defer, rotator, &rotator->defer, err);
    }
    if (rc == 0) {
        rc = amy__logpack_create(base, amy__logrotate_packed, rotator,
                                 &rotator->pack, err);
    }
    rotator->watch = borrow_peers == NULL ? NULL : borrow_peers->watch;
    rotator->place = (struct amy__turn_place){
        .turn = borrow_peers == NULL ? &rotator->own_turn : &borrow_peers->turn,
        .on_turn = on_turn,
        .user = rotator};
    if (rc == 0 && rotator->watch == NULL) {
        rc = amy__watch_create(base, on_watch, NULL, &rotator->watch, err);
        rotator->watch_is_ours = rc == 0;
        if (rc < 0 && rc != AMY_ENOMEM) {
            amy__log(&rotator->log, AMY_LOG_WARN,
                     "logs: no inotify, moved files are met by the slow look "
                     "directory=%s",
                     rotator->directory);
            rc = 0;
        }
    }
    return rc == 0 ? amy__timer_arm(rotator->timer, 0, err) : rc;
}

int
amy__logrotate_create(const struct amy_logrotate_options *opts,
                      struct amy__logrotate_peers *borrow_peers,
                      struct amy_logrotate **ret_rotator, struct amy_error *err)
{
    AMY_CLEANUP(amy_logrotate_free_p)
    struct amy_logrotate *rotator = amy__calloc(1, sizeof(*rotator));
    int rc = 0;

    if (rotator == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a rotator");
    }
    rotator->magic = LOGROTATE_MAGIC;
    rotator->maker = getpid();
    rotator->dir_fd = -1;
    rotator->base_fd = AT_FDCWD;
    rc = amy__options_read(&rotator->opts, sizeof(rotator->opts), opts,
                           offsetof(struct amy_logrotate_options, uid), err);
    rc = rc == 0 ? check_options(&rotator->opts, err) : rc;
    rc = rc == 0 ? keep_options(rotator, err) : rc;
    rc = rc == 0 ? begin(rotator, borrow_peers, err) : rc;
    if (rc < 0) {
        return rc;
    }
    *ret_rotator = AMY_TAKE(rotator);
    return 0;
}

int
amy_logrotate_create(const struct amy_logrotate_options *opts,
                     struct amy_logrotate **ret_rotator, struct amy_error *err)
{
    return amy__logrotate_create(opts, NULL, ret_rotator, err);
}

/* ---- logs ---- */

static struct amy__rotated *
find(const struct amy_logrotate *rotator, const char *name)
{
    for (uint32_t i = 0; i < rotator->log_count; i++) {
        if (strcmp(rotator->logs[i]->base, name) == 0) {
            return rotator->logs[i];
        }
    }
    return NULL;
}

static int
check_log(const struct amy_logrotate *rotator, const char *name, uint32_t kind,
          struct amy_error *err)
{
    if (!amy__logname_is_base(amy__span_of(name))) {
        return amy__err(err, AMY_EINVAL, "'%s' is no name for a log", name);
    }
    if (kind > AMY_LOGROTATE_OTHERS ||
        (kind == AMY_LOGROTATE_GIVEN && rotator->opts.on_file == NULL)) {
        return amy__err(err, AMY_EINVAL, "'%s': no such kind of log", name);
    }
    if (find(rotator, name) != NULL) {
        return amy__err(err, AMY_EEXIST, "'%s' is rotated already", name);
    }
    if (rotator->log_count == AMY__LOGPLAN_LOGS_MAX) {
        return amy__err(err, AMY_ELIMIT, "more than %d logs",
                        AMY__LOGPLAN_LOGS_MAX);
    }
    return 0;
}

int
amy_logrotate_add(struct amy_logrotate *rotator, const char *name,
                  uint32_t kind, struct amy_error *err)
{
    struct amy__rotated *log = NULL;
    int rc = 0;

    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    rc = amy__check_maker(rotator->maker, err);
    rc = rc < 0 ? rc : check_log(rotator, name, kind, err);
    if (rc < 0) {
        return rc;
    }
    log = amy__calloc(1, sizeof(*log));
    if (log == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a log");
    }
    log->rotator = rotator;
    log->kind = kind;
    log->fd = -1;
    log->begun_ms = -1;
    memcpy(log->base, name, strlen(name));
    rotator->logs[rotator->log_count++] = log;
    rotator->stale = true;
    rotator->find_plain = true;
    amy__logrotate_hold(rotator);
    if (amy__logrotate_enter(rotator) >= 0) {
        amy__rotated_look(log);
    }
    amy__defer_ask(rotator->defer);
    amy__logrotate_drop(rotator);
    return 0;
}

void
amy_logrotate_release(struct amy_logrotate *rotator, const char *name,
                      uint64_t serial)
{
    struct amy__rotated *log = NULL;

    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    log = find(rotator, name);
    if (amy__is_maker(rotator->maker) && log != NULL && serial <= log->serial &&
        serial > log->released) {
        log->released = serial;
        amy__defer_ask(rotator->defer);
    }
}

int
amy_logrotate_set_lock(struct amy_logrotate *rotator, const char *name,
                       struct amy_log_lock *borrow_lock, struct amy_error *err)
{
    struct amy__rotated *log = NULL;

    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    log = find(rotator, name);
    if (log == NULL) {
        return amy__err(err, AMY_ENOTFOUND, "no log '%s'", name);
    }
    if (borrow_lock != NULL && !amy__log_lock_is_made(borrow_lock)) {
        return amy__err(err, AMY_EINVAL, "a log's lock that was never made");
    }
    log->borrow_lock = borrow_lock;
    return 0;
}

void
amy__logrotate_give_again(struct amy_logrotate *rotator, const char *name)
{
    struct amy__rotated *log = NULL;

    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    log = find(rotator, name);
    if (log != NULL) {
        log->give_again = true;
    }
}

void
amy_logrotate_poll(struct amy_logrotate *rotator)
{
    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    amy__logrotate_hold(rotator);
    rotator->hurry = true;
    look(rotator);
    rotator->hurry = false;
    amy__logrotate_drop(rotator);
}

void
amy_logrotate_disk_full(struct amy_logrotate *rotator)
{
    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    rotator->disk_full = true; /* the next look makes room */
}

static int
rotate_now(struct amy_logrotate *rotator, struct amy__rotated *log,
           struct amy_error *err)
{
    if (amy__logrotate_enter(rotator) < 0) {
        return amy__err(err, AMY_EIO, "%s", rotator->problem);
    }
    amy__rotated_look(log);
    if (!log->seen) {
        return amy__err(err, AMY_ENOTFOUND, "'%s' is not there", log->base);
    }
    if (log->bytes == 0) {
        return 0;
    }
    amy__defer_ask(rotator->defer);
    return amy__rotated_rotate(log, "asked", err);
}

int
amy_logrotate_now(struct amy_logrotate *rotator, const char *name,
                  struct amy_error *err)
{
    struct amy__rotated *log = NULL;
    int rc = 0;

    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    rc = amy__check_maker(rotator->maker, err);
    if (rc < 0) {
        return rc;
    }
    log = find(rotator, name);
    if (log == NULL || log->kind == AMY_LOGROTATE_OTHERS) {
        return amy__err(err, AMY_ENOTFOUND, "no log '%s'", name);
    }
    amy__logrotate_hold(rotator);
    rc = rotate_now(rotator, log, err);
    amy__logrotate_drop(rotator);
    return rc;
}

/* ---- what there is to know ---- */

static const char *
any_problem(const struct amy_logrotate *rotator)
{
    if (rotator->problem[0] != '\0') {
        return rotator->problem;
    }
    for (uint32_t i = 0; i < rotator->log_count; i++) {
        if (rotator->logs[i]->problem[0] != '\0') {
            return rotator->logs[i]->problem;
        }
    }
    return rotator->old_problem;
}

void
amy_logrotate_read(const struct amy_logrotate *rotator,
                   struct amy_logrotate_view *ret_view)
{
    struct amy_logrotate_view view = {.struct_size = ret_view->struct_size};

    AMY_CHECK(rotator, LOGROTATE_MAGIC);
    view.bytes = total_bytes(rotator);
    view.old_files = rotator->old_files;
    view.rotations = rotator->rotations;
    view.packed = rotator->packed;
    view.removed = rotator->removed;
    view.waiting = rotator->waiting_count;
    view.problem = any_problem(rotator);
    memcpy(ret_view, &view,
           view.struct_size < sizeof(view) ? view.struct_size : sizeof(view));
}

/* Packs rotated files by the system's own programs. */
/* Not for choosing the file: that is logrotate/logrotate.c. */
#include "logrotate/pack.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "core/spawn.h"
#include "logrotate/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define NICE 19

enum step {
    STEP_NONE = 0,
    STEP_PACK,      /* the source into the partial file */
    STEP_SYNC,      /* the partial file to the disk; then it gets its name */
    STEP_SYNC_NAME, /* the name to the disk; then the source goes */
};

struct amy__logpack {
    struct event_base *base;
    amy__logpack_fn fn;
    void *user;
    enum step step;
    int dir_fd;
    int source_fd;
    int partial_fd;
    struct stat source; /* as it was when we began */
    char plain[AMY__LOGNAME_SIZE];
    char partial[AMY__LOGNAME_SIZE];
    char packed[AMY__LOGNAME_SIZE];
    enum amy__logname_packing packing;
    uid_t uid;
    gid_t gid;
    struct amy__child child;
    struct amy__io *io; /* the child's end */
};

/* ---- who writes to it ---- */

int
amy__logpack_is_written(int fd, struct amy_error *err)
{
    struct stat st = {0};
    int failure = 0;

    /* A read lease is not given while anybody could write (fcntl(2)). Whoever
     * begins to before we gave it back makes the kernel send a signal; SIGIO
     * would end us, SIGURG is ignored unless somebody wants it. */
    if (fcntl(fd, F_SETSIG, SIGURG) != 0) {
        return amy__err_sys(err, errno, "preparing a lease");
    }
    if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
        (void)fcntl(fd, F_SETLEASE, F_UNLCK);
        return 0;
    }
    failure = errno;
    if (failure == EAGAIN) {
        return 1;
    }
    if (failure == EACCES && fstat(fd, &st) == 0) {
        return amy__err(err, AMY_EDENIED,
                        "only user %u can tell whether it is still written to",
                        (unsigned)st.st_uid);
    }
    (void)amy__err_sys(err, failure,
                       "the file system does not tell whether it is still "
                       "written to");
    if (err != NULL) {
        err->code = AMY_EUNSUPPORTED;
    }
    return AMY_EUNSUPPORTED;
}

/* ---- children ---- */

static int
spawn(struct amy__logpack *pack, const char *const *argv, size_t fd_count,
      struct amy_error *err)
{
    static const char *const no_environment[] = {NULL};
    struct amy__spawn_fd fds[] = {{pack->source_fd, 0}, {pack->partial_fd, 1}};
    struct amy__spawn_plan plan = {
        .argv = argv,
        .envp = no_environment,
        .cwd_fd = pack->dir_fd,
        .fds = fds,
        .fd_count = fd_count,
        .set_ids = geteuid() != pack->uid,
        .uid = pack->uid,
        .gid = pack->gid,
        .drop_capabilities = true,
        .no_new_privs = true,
        .parent_death_signal = SIGKILL,
        .nice_by = NICE,
        .no_core = true,
    };

    return amy__spawn(&plan, &pack->child, err);
}

static const struct {
    const char *argv[4];
    const char *package;
} programs[] = {
    [AMY__LOGNAME_GZIP] = {{"/usr/bin/gzip", "-c", NULL}, "gzip"},
    [AMY__LOGNAME_ZSTD] = {{"/usr/bin/zstd", "-qc", NULL}, "zstd"},
};

static void on_child(int fd, unsigned what, void *user);

static int
start_step(struct amy__logpack *pack, enum step step, struct amy_error *err)
{
    static const char *const sync_file[] = {"/usr/bin/sync", "/dev/stdout",
                                            NULL};
    static const char *const sync_name[] = {"/usr/bin/sync", ".", NULL};
    const char *const *argv = programs[pack->packing].argv;
    int rc = 0;

    if (step != STEP_PACK) {
        argv = step == STEP_SYNC ? sync_file : sync_name;
    }
    rc = spawn(pack, argv, step == STEP_SYNC_NAME ? 0 : 2, err);
    if (rc == AMY_ENOTFOUND && step == STEP_PACK) {
        return amy__err(err, AMY_EUNSUPPORTED, "%s is missing (package %s)",
                        argv[0], programs[pack->packing].package);
    }
    if (rc == 0) {
        rc = amy__io_create(pack->base, pack->child.pidfd, AMY__IO_READ,
                            on_child, pack, &pack->io, err);
        if (rc < 0) {
            amy__child_end(&pack->child, false);
        }
    }
    pack->step = rc == 0 ? step : STEP_NONE;
    return rc;
}

static void
forget_child(struct amy__logpack *pack)
{
    amy__io_free(pack->io);
    pack->io = NULL;
    amy__close(&pack->child.pidfd);
}

/* ---- between them ---- */

static void
discard_partial(struct amy__logpack *pack)
{
    struct amy__as_user saved;

    if (pack->partial_fd >= 0 &&
        amy__as_user_begin(pack->uid, pack->gid, &saved, NULL) == 0) {
        (void)unlinkat(pack->dir_fd, pack->partial, 0);
        amy__as_user_end(&saved);
    }
}

static void
clear(struct amy__logpack *pack)
{
    forget_child(pack);
    amy__close(&pack->dir_fd);
    amy__close(&pack->source_fd);
    amy__close(&pack->partial_fd);
    pack->step = STEP_NONE;
}

/* Its age stays: that of its last line. */
static int
keep_time(struct amy__logpack *pack, struct amy_error *err)
{
    const struct timespec times[2] = {pack->source.st_mtim,
                                      pack->source.st_mtim};

    if (futimens(pack->partial_fd, times) != 0) {
        return amy__err_sys(err, errno, "setting the time of '%s'",
                            pack->partial);
    }
    return 0;
}

/* A packed one may be there from a start that died before this line; it is
 * replaced by what the whole source gave. */
static int
give_name(struct amy__logpack *pack, struct amy_error *err)
{
    if (renameat(pack->dir_fd, pack->partial, pack->dir_fd, pack->packed) !=
        0) {
        return amy__err_sys(err, errno, "renaming '%s'", pack->partial);
    }
    amy__close(&pack->partial_fd);
    return 0;
}

static int
remove_source(struct amy__logpack *pack, struct amy_error *err)
{
    struct stat now = {0};

    if (fstatat(pack->dir_fd, pack->plain, &now, AT_SYMLINK_NOFOLLOW) != 0 ||
        now.st_ino != pack->source.st_ino ||
        now.st_dev != pack->source.st_dev) {
        return 0; /* somebody was faster */
    }
    if (now.st_size != pack->source.st_size) {
        return amy__err(err, AMY_EBUSY, "'%s' was written to meanwhile",
                        pack->plain);
    }
    if (unlinkat(pack->dir_fd, pack->plain, 0) != 0) {
        return amy__err_sys(err, errno, "removing '%s'", pack->plain);
    }
    return 0;
}

static int
finish_step(struct amy__logpack *pack, struct amy_error *err)
{
    struct amy__as_user saved;
    int rc = amy__as_user_begin(pack->uid, pack->gid, &saved, err);

    if (rc < 0) {
        return rc;
    }
    if (pack->step == STEP_PACK) {
        rc = keep_time(pack, err);
    } else if (pack->step == STEP_SYNC) {
        rc = give_name(pack, err);
    } else {
        rc = remove_source(pack, err);
    }
    amy__as_user_end(&saved);
    return rc;
}

static int
judge(struct amy__logpack *pack, struct amy_error *err)
{
    struct amy__child_exit end = {0};
    int rc = amy__child_reap(&pack->child, &end, err);

    if (rc < 0) {
        return rc;
    }
    if (end.code != 0) {
        return amy__err(err, AMY_EIO,
                        "packing '%s' failed (status %d, "
                        "signal %d)",
                        pack->plain, end.code, end.signal);
    }
    return 0;
}

static void
on_child(int fd, unsigned what, void *user)
{
    struct amy__logpack *pack = user;
    struct amy_error err = AMY_ERROR_INIT;
    enum step done = pack->step;
    int rc = judge(pack, &err);

    (void)fd;
    (void)what;
    forget_child(pack);
    rc = rc == 0 ? finish_step(pack, &err) : rc;
    if (rc == 0 && done != STEP_SYNC_NAME) {
        rc = start_step(pack, done + 1, &err);
        if (rc == 0) {
            return;
        }
    }
    if (rc < 0) {
        discard_partial(pack);
    }
    clear(pack);
    pack->fn(rc, &err, pack->user);
}

/* ---- beginning ---- */

static int
open_source(struct amy__logpack *pack, struct amy_error *err)
{
    int rc = 0;

    pack->source_fd =
        openat(pack->dir_fd, pack->plain,
               O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (pack->source_fd < 0 || fstat(pack->source_fd, &pack->source) != 0) {
        return amy__err_sys(err, errno, "opening '%s'", pack->plain);
    }
    if (!S_ISREG(pack->source.st_mode)) {
        return amy__err(err, AMY_EDENIED, "'%s' is not a regular file",
                        pack->plain);
    }
    rc = amy__logpack_is_written(pack->source_fd, err);
    if (rc > 0) {
        return amy__err(err, AMY_EBUSY, "'%s' is still written to",
                        pack->plain);
    }
    return rc;
}

/* Half a line, by somebody who was killed when all others had left the file. */
static int
end_cut_line(struct amy__logpack *pack, struct amy_log_lock *lock,
             struct amy_error *err)
{
    char rest[AMY__LOG_REST_BYTES];
    size_t n = 0;
    int fd = -1;
    int rc = 0;

    if (lock != NULL && amy__ends_within_a_line(pack->source_fd)) {
        n = amy__log_cuts_missing(amy__log_lock_cuts(lock), &pack->source,
                                  rest);
    }
    if (n == 0) {
        return 0;
    }
    fd = openat(pack->dir_fd, pack->plain,
                O_WRONLY | O_APPEND | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    rc = fd < 0 ? amy__err_sys(err, errno, "opening '%s'", pack->plain)
                : amy__write_all(fd, rest, n, err);
    amy__close(&fd);
    pack->source.st_size += (off_t)n;
    return rc;
}

static int
open_partial(struct amy__logpack *pack, struct amy_error *err)
{
    int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;

    if (unlinkat(pack->dir_fd, pack->partial, 0) != 0 && errno != ENOENT) {
        return amy__err_sys(err, errno, "removing '%s'", pack->partial);
    }
    pack->partial_fd = openat(pack->dir_fd, pack->partial, flags, 0600);
    if (pack->partial_fd < 0 ||
        fchmod(pack->partial_fd, pack->source.st_mode & 0777) != 0) {
        return amy__err_sys(err, errno, "creating '%s'", pack->partial);
    }
    return 0;
}

static int
open_files(struct amy__logpack *pack, struct amy_log_lock *lock,
           struct amy_error *err)
{
    struct amy__as_user saved;
    int rc = amy__as_user_begin(pack->uid, pack->gid, &saved, err);

    if (rc < 0) {
        return rc;
    }
    rc = open_source(pack, err);
    rc = rc == 0 ? end_cut_line(pack, lock, err) : rc;
    rc = rc == 0 ? open_partial(pack, err) : rc;
    amy__as_user_end(&saved);
    return rc;
}

static void
write_names(struct amy__logpack *pack, const struct amy__logpack_order *order)
{
    struct amy__span base = amy__span_of(order->base);
    struct amy__logname name = order->name;

    (void)amy__logname_write(base, &name, pack->plain);
    name.packing = order->packing;
    (void)amy__logname_write(base, &name, pack->packed);
    name.partial = true;
    (void)amy__logname_write(base, &name, pack->partial);
}

int
amy__logpack_start(struct amy__logpack *pack,
                   const struct amy__logpack_order *order,
                   struct amy_error *err)
{
    int rc = 0;

    AMY_ASSERT(order->packing != AMY__LOGNAME_PLAIN);
    if (pack->step != STEP_NONE) {
        return amy__err(err, AMY_ESTATE, "'%s' is being packed", pack->plain);
    }
    write_names(pack, order);
    pack->packing = order->packing;
    pack->uid = order->uid;
    pack->gid = order->gid;
    pack->dir_fd = fcntl(order->dir_fd, F_DUPFD_CLOEXEC, 0);
    if (pack->dir_fd < 0) {
        return amy__err_sys(err, errno, "packing '%s'", pack->plain);
    }
    rc = open_files(pack, order->borrow_lock, err);
    rc = rc == 0 ? start_step(pack, STEP_PACK, err) : rc;
    if (rc < 0) {
        discard_partial(pack);
        clear(pack);
    }
    return rc;
}

bool
amy__logpack_is_busy(const struct amy__logpack *pack)
{
    return pack->step != STEP_NONE;
}

int
amy__logpack_create(struct event_base *base, amy__logpack_fn fn, void *user,
                    struct amy__logpack **ret_pack, struct amy_error *err)
{
    struct amy__logpack *pack = amy__calloc(1, sizeof(*pack));

    if (pack == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a packer");
    }
    *pack = (struct amy__logpack){.base = base,
                                  .fn = fn,
                                  .user = user,
                                  .dir_fd = -1,
                                  .source_fd = -1,
                                  .partial_fd = -1,
                                  .child = {.pidfd = -1}};
    *ret_pack = pack;
    return 0;
}

void
amy__logpack_free(struct amy__logpack *pack)
{
    if (pack == NULL) {
        return;
    }
    if (pack->step != STEP_NONE) {
        /* It has nothing to finish: the source is still there. */
        amy__child_end(&pack->child, false);
    }
    clear(pack);
    amy__free(pack);
}

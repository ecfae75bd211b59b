/* Copies in a second directory: another disk's, or a mounted NAS's. */
/* Not for knowing which sets belong there: copy.c. */
#include "backup/store.h"
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* Made by whoever mounts the disk: without it the directory may be the empty
 * one below a mount that failed, which nothing must fill. */
#define MARKER ".amy-copies"
#define PIECE ((size_t)256 * 1024)

struct dir_store {
    struct amy__store store;
    int fd;
    int marker_fd; /* holds the lock */
    char *piece;   /* PIECE bytes */
};

AMY_DEFINE_CLEANUP(struct amy__sha256 *, amy__sha256_free)

static struct dir_store *
self_of(struct amy__store *store)
{
    return (struct dir_store *)store;
}

/* --- files --- */

/* What is read next comes from the disk, as far as the kernel does that. */
static void
forget_pages(int fd)
{
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
}

static int
finish_hash(const struct amy__manifest_file *file, struct amy__sha256 *hash,
            uint64_t bytes, struct amy_error *err)
{
    char sha256[65] = "";
    int rc = amy__sha256_finish(hash, sha256, err);

    return rc < 0 ? rc : amy__feed_compare(file, bytes, sha256, err);
}

/* All of it, hashed on its way. */
static int
copy_bytes(struct dir_store *self, const struct amy__manifest_file *file,
           int from, int to, struct amy_error *err)
{
    AMY_CLEANUP(amy__sha256_free_p) struct amy__sha256 *hash = NULL;
    uint64_t bytes = 0;
    ssize_t n = 1;
    int rc = amy__sha256_create(&hash, err);

    while (rc == 0 && n > 0) {
        n = read(from, self->piece, PIECE);
        if (n < 0) {
            return amy__err_sys(err, errno, "reading '%s'", file->name);
        }
        rc = amy__sha256_update(hash, self->piece, (size_t)n, err);
        rc = rc < 0 ? rc : amy__write_all(to, self->piece, (size_t)n, err);
        bytes += (uint64_t)n;
        amy__job_progress(self->store.job, "copy", bytes, file->bytes);
    }
    return rc < 0 ? rc : finish_hash(file, hash, bytes, err);
}

static int
put_file(struct dir_store *self, const struct amy__manifest_file *file,
         int from_fd, int to_fd, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int from = openat(from_fd, file->name,
                      O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    AMY_CLEANUP(amy__close_p) int to = -1;
    int rc = 0;

    if (from < 0) {
        return amy__err_sys(err, errno, "opening '%s'", file->name);
    }
    to = openat(to_fd, file->name,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (to < 0) {
        return amy__err_sys(err, errno, "making '%s'", file->name);
    }
    rc = copy_bytes(self, file, from, to, err);
    if (rc == 0 && fsync(to) != 0) {
        rc = amy__err_sys(err, errno, "fsync of '%s'", file->name);
    }
    if (rc == 0) {
        forget_pages(to);
    }
    return rc;
}

/* --- what a place can do --- */

static int
sweep(struct amy__store *store, const char *sending, struct amy_error *err)
{
    (void)sending; /* under the lock nobody is at work on any */
    return amy__sets_sweep(self_of(store)->fd, err);
}

static uint64_t
bytes_of(const struct dir_store *self, const char *name)
{
    static const char *const files[] = {AMY__SET_DATA, AMY__SET_ROLES};
    uint64_t bytes = 0;

    for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++) {
        char path[AMY__STAMP_SIZE + 32];
        struct stat st;

        (void)snprintf(path, sizeof(path), "%s/%s", name, files[i]);
        if (fstatat(self->fd, path, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            bytes += (uint64_t)st.st_size;
        }
    }
    return bytes;
}

static int
list(struct amy__store *store, amy__store_name_fn fn, void *user,
     struct amy_error *err)
{
    AMY_CLEANUP(amy__sets_clear_p) struct amy__sets sets = {.items = NULL};
    int rc = amy__sets_read(self_of(store)->fd, &sets, err);

    for (size_t i = 0; i < sets.count && rc == 0; i++) {
        const char *name = sets.items[i].manifest.name;

        rc = fn(name, bytes_of(self_of(store), name), user, err);
    }
    return rc;
}

static int
open_set(const struct dir_store *self, const char *name, struct amy_error *err)
{
    int fd =
        openat(self->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? amy__err_sys(err, errno, "opening '%s'", name) : fd;
}

static int
manifest(struct amy__store *store, const char *name, struct amy__buf *out,
         struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = open_set(self_of(store), name, err);

    return fd < 0 ? fd
                  : amy__read_file_at(fd, AMY__MANIFEST_NAME, AMY__MANIFEST_MAX,
                                      out, NULL, err);
}

static int
put(struct amy__store *store, const struct amy__manifest *m, int set_fd,
    struct amy_error *err)
{
    struct dir_store *self = self_of(store);
    AMY_CLEANUP(amy__close_p)
    int fd = amy__set_begin_named(self->fd, m->name, err);
    int rc = fd < 0 ? fd : 0;

    for (size_t i = 0; i < m->file_count && rc == 0; i++) {
        rc = put_file(self, &m->files[i], set_fd, fd, err);
    }
    rc = rc < 0 ? rc : amy__set_commit(self->fd, fd, m, err);
    if (rc < 0 && fd >= 0) {
        amy__set_abandon(self->fd, m->name);
    }
    return rc;
}

static int
save(struct amy__store *store, const struct amy__manifest *m,
     struct amy_error *err)
{
    return amy__set_save(self_of(store)->fd, m, err);
}

static int
read_file(struct amy__store *store, const char *name,
          const struct amy__manifest_file *file, amy__store_sink_fn fn,
          void *user, struct amy_error *err)
{
    struct dir_store *self = self_of(store);
    AMY_CLEANUP(amy__close_p) int set_fd = open_set(self, name, err);
    AMY_CLEANUP(amy__close_p) int fd = -1;
    ssize_t n = 1;
    int rc = set_fd < 0 ? set_fd : 0;

    if (rc == 0) {
        fd = openat(set_fd, file->name,
                    O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
        rc = fd < 0 ? amy__err_sys(err, errno, "opening '%s'", file->name) : 0;
    }
    if (rc == 0) { /* it may have been read, or copied, only now */
        forget_pages(fd);
    }
    while (rc == 0 && n > 0) {
        n = read(fd, self->piece, PIECE);
        if (n < 0) {
            return amy__err_sys(err, errno, "reading '%s'", file->name);
        }
        rc = n == 0 ? 0
                    : fn((struct amy__span){self->piece, (size_t)n}, user, err);
    }
    return rc;
}

static int
remove_set(struct amy__store *store, const char *name, struct amy_error *err)
{
    return amy__set_remove(self_of(store)->fd, name, err);
}

static void
close_store(struct amy__store *store)
{
    struct dir_store *self = self_of(store);

    amy__close(&self->fd);
    amy__close(&self->marker_fd);
    amy__free(self->piece);
    amy__free(self);
}

/* --- opening --- */

/* flock(2) asks NFS for a descriptor that may be written: the marker's. */
static int
open_marker(struct dir_store *self, bool change, struct amy_error *err)
{
    const char *path = self->store.job->spec.copy.directory;

    self->marker_fd = openat(self->fd, MARKER,
                             (change ? O_RDWR : O_RDONLY) | O_NOFOLLOW |
                                 O_NONBLOCK | O_CLOEXEC);
    if (self->marker_fd < 0 && errno == ENOENT) {
        return amy__err(err, AMY_ENOTFOUND,
                        "%s has no file '" MARKER "': is its disk mounted? (to "
                        "begin with: touch %s/" MARKER ", as the site's user)",
                        path, path);
    }
    if (self->marker_fd < 0) {
        return amy__err_sys(err, errno, "opening %s/" MARKER, path);
    }
    if (change && flock(self->marker_fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? amy__err(err, AMY_EBUSY,
                              "another host, or job, works in %s", path)
                   : amy__err_sys(err, errno, "locking %s/" MARKER, path);
    }
    return 0;
}

int
amy__store_dir_open(struct amy__job *job, bool change,
                    struct amy__store **ret_store, struct amy_error *err)
{
    static const struct amy__store_ops ops = {
        .sweep = sweep,
        .list = list,
        .manifest = manifest,
        .put = put,
        .save = save,
        .read = read_file,
        .remove = remove_set,
        .close = close_store,
    };
    AMY_CLEANUP(amy__store_close_p) struct amy__store *store = NULL;
    struct dir_store *self = amy__calloc(1, sizeof(*self));
    int rc = 0;

    if (self == NULL) {
        return amy__err(err, AMY_ENOMEM, "opening a copy");
    }
    store = &self->store;
    *store = (struct amy__store){.ops = &ops, .job = job};
    self->marker_fd = -1;
    self->fd = amy__open_dir(job->spec.copy.directory, err);
    self->piece = amy__calloc(1, PIECE);
    if (self->piece == NULL) {
        return amy__err(err, AMY_ENOMEM, "opening a copy");
    }
    rc = self->fd < 0 ? self->fd : open_marker(self, change, err);
    if (rc < 0) {
        return rc;
    }
    *ret_store = AMY_TAKE(store);
    return 0;
}

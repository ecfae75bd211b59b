/* Files, always relative to a directory descriptor. Nothing here follows a
 * path upwards; what may be followed is said per call. Every descriptor is
 * close-on-exec. */
#ifndef AMY_CORE_FILES_H
#define AMY_CORE_FILES_H

#include <amy/error.h>

#include "core/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct stat;

/* openat2(2) with RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS and O_CLOEXEC added:
 * symbolic links are followed while they stay beneath dir_fd, unless flags has
 * O_NOFOLLOW. Returns the descriptor or AMY_E* (ENOTFOUND, EDENIED, EINVAL when
 * the path leaves dir_fd). */
int amy__open_beneath(int dir_fd, const char *path, int flags, mode_t mode,
                      struct amy_error *err);

/* Open a directory by any path (daemon arguments; trusted). */
int amy__open_dir(const char *path, struct amy_error *err);

/* Make a directory and its missing parents (0755), then set mode on the last
 * when it was made. Existing is success when it is a directory. */
int amy__make_dirs(const char *path, mode_t mode, struct amy_error *err);

/* Read a regular file whole: O_NONBLOCK | O_NOFOLLOW on the last component.
 * AMY_ELIMIT past max, AMY_EINVAL when it is not a regular file (the message
 * says what it is: directory, symbolic link, fifo ...). Appends to out; NULL
 * ret_stat is allowed. */
int amy__read_file_at(int dir_fd, const char *name, size_t max,
                      struct amy__buf *out, struct stat *ret_stat,
                      struct amy_error *err);

/* Write whole, fsync, rename over name, fsync the directory: readers see the
 * old or the new bytes. A name with a slash is AMY_EINVAL. */
int amy__write_file_at(int dir_fd, const char *name, const void *data, size_t n,
                       mode_t mode, struct amy_error *err);

/* Between both looks nobody wrote to the file, replaced it, or changed its mode
 * or its name. */
bool amy__stat_is_same(const struct stat *a, const struct stat *b);

/* An anonymous file with these bytes, sealed against every change. Returns the
 * descriptor. */
int amy__sealed_memfd(const char *name, const void *data, size_t n,
                      struct amy_error *err);
/* Map a memfd read-only (MAP_SHARED; NULL and 0 when it is empty); refuses one
 * that is not sealed against shrinking, so that a peer cannot cause SIGBUS.
 * munmap by the caller. */
int amy__map_sealed(int fd, size_t max, const void **ret_data, size_t *ret_n,
                    struct amy_error *err);

/* Write all or fail; for pipes and files, not for non-blocking sockets. */
int amy__write_all(int fd, const void *data, size_t n, struct amy_error *err);

/* Is the last byte of this file, open for reading, no newline? */
bool amy__ends_within_a_line(int fd);

/* close(2) and set to -1; -1 is a no-op. Keeps errno. */
void amy__close(int *fd);
static inline void
amy__close_p(int *fd)
{
    amy__close(fd);
}

/* Hand a guarded descriptor to the caller and disarm its cleanup. */
static inline int
amy__take_fd(int *fd)
{
    int taken = *fd;

    *fd = -1;
    return taken;
}

/* Touch files as another user: setfsuid, setfsgid and no supplementary groups
 * for this thread until _end. When uid is our own (root's or a person's)
 * nothing changes; when it is not and we are not root, AMY_EDENIED. Never
 * nested; never around callbacks. */
#define AMY__AS_USER_GROUPS 64 /* more of our own: AMY_EINVAL */
struct amy__as_user {
    uid_t fsuid;
    gid_t fsgid;
    bool changed;
    size_t group_count;
    gid_t groups[AMY__AS_USER_GROUPS];
};
int amy__as_user_begin(uid_t uid, gid_t gid, struct amy__as_user *ret_saved,
                       struct amy_error *err);
void amy__as_user_end(const struct amy__as_user *saved);

#endif

/* Packing one rotated file at a time, in children: a program of the system
 * reads the file and writes the packed one beside it. The source goes last,
 * after both the packed bytes and their name are on the disk, so that a crash
 * at any point leaves it, and the next start packs it again. */
#ifndef AMY_LOGROTATE_PACK_H
#define AMY_LOGROTATE_PACK_H

#include <amy/error.h>
#include <amy/logrotate.h>

#include "logrotate/name.h"

#include <stdbool.h>
#include <sys/types.h>

struct event_base;
struct amy__logpack;

/* rc: 0, or why the plain file stays. On the loop; may start the next one or
 * free the packer. */
typedef void (*amy__logpack_fn)(int rc, const struct amy_error *why,
                                void *user);

struct amy__logpack_order {
    int dir_fd;                       /* duplicated */
    const char *base;                 /* "access.log" */
    struct amy_log_lock *borrow_lock; /* of those who wrote it; or NULL */
    struct amy__logname name;         /* ROTATED and plain */
    enum amy__logname_packing packing;
    uid_t uid; /* whose rights are used for all of it */
    gid_t gid;
};

int amy__logpack_create(struct event_base *base, amy__logpack_fn fn, void *user,
                        struct amy__logpack **ret_pack, struct amy_error *err);
/* Stops what is under way; the source stays. NULL is a no-op. */
void amy__logpack_free(struct amy__logpack *pack);
/* @return 0 (fn follows), AMY_EBUSY (somebody has it open for writing),
 *         AMY_ENOTFOUND (no such file), AMY_EUNSUPPORTED (nobody can tell on
 *         this file system who has it open; or the program is not installed,
 *         err names the package), AMY_EDENIED, AMY_EIO. One at a time:
 *         AMY_ESTATE. */
int amy__logpack_start(struct amy__logpack *pack,
                       const struct amy__logpack_order *order,
                       struct amy_error *err);
bool amy__logpack_is_busy(const struct amy__logpack *pack);

/* Has anybody an open descriptor on this regular file through which it could be
 * written to? fd: ours, for reading only. 1, 0, or AMY_EUNSUPPORTED,
 * AMY_EDENIED when the system does not tell. */
int amy__logpack_is_written(int fd, struct amy_error *err);

#endif

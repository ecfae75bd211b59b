/* A position's lock: a file whose flock(2) the worker and its descendants hold
 * through a descriptor they inherit. It outlives us: the next supervisor sees
 * that an old worker still drains. The file also names that worker, and who
 * started it. */
#ifndef AMY_POOL_LOCK_H
#define AMY_POOL_LOCK_H

#include <amy/error.h>

#include "pool/tree.h"

#include <stddef.h>

/* Name of the file, as snprintf. */
int amy__lock_name(const char *pool, uint32_t position, char *buf, size_t size);

struct amy__holder {
    /* pid 0: it has ended, and only something that it started goes on. */
    struct amy__process worker;
    /* Nobody supervises it: who started it is gone. */
    bool orphaned;
};

/* 1 taken: *ret_fd is for the worker, and to be closed here once it runs.
 * 0 held, by *ret_holder. Or AMY_EDENIED, AMY_EIO. */
int amy__lock_take(int dir_fd, const char *name, int *ret_fd,
                   struct amy__holder *ret_holder, struct amy_error *err);

/* Write down that this child of ours holds it. */
int amy__lock_note(int dir_fd, const char *name, pid_t leader,
                   struct amy_error *err);

/* SIGKILL to an orphaned worker and all it started. */
void amy__holder_kill(const struct amy__holder *holder);

#endif

/* A request body that is collected before anybody works on it: in memory, then
 * in an unlinked file. */
#ifndef AMY_SERVE_SPOOL_H
#define AMY_SERVE_SPOOL_H

#include <amy/error.h>

#include "core/str.h"
#include "serve/slab.h"

#include <stdint.h>

struct amy__spool {
    struct amy__block memory;
    uint64_t n;
    int fd; /* -1: all of it is in memory */
};

/* Where bodies go, and how much of one stays in memory. */
struct amy__spool_place {
    struct amy__blocks *blocks;
    uint32_t memory_bytes;
    int dir_fd; /* -1: no files; more than memory_bytes is AMY_ELIMIT */
};

void amy__spool_init(struct amy__spool *spool);
void amy__spool_clear(struct amy__spool *spool, struct amy__blocks *blocks);
/* A hint: how much is to come, when known. */
int amy__spool_expect(struct amy__spool *spool,
                      const struct amy__spool_place *place, uint64_t n);
/* 0, AMY_ELIMIT (no file allowed), AMY_ENOMEM, AMY_EIO (disk full: sys_errno
 * ENOSPC or EDQUOT). Where it fails, the n bytes from before can be read, but
 * none can be added any more. */
int amy__spool_write(struct amy__spool *spool,
                     const struct amy__spool_place *place,
                     struct amy__span data, struct amy_error *err);

#endif

/* Which workers live: what the names in the pools' directories say, with the
 * slots that each is given. Pure: the master reads the directories
 * (front/registry.h). */
#ifndef AMY_FRONT_ROSTER_H
#define AMY_FRONT_ROSTER_H

#include "front/slots.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* "{generation}.{position}", or the address of a server that is no worker. */
#define AMY__ROSTER_NAME 128

struct amy__roster_worker {
    struct amy__roster_worker *next;
    char name[AMY__ROSTER_NAME];
    uint64_t generation;
    uint32_t position;
    uint32_t slot; /* first word */
    uint32_t slots;
    uint64_t incarnation; /* unique in the roster's life */
    uint64_t inode;       /* which socket has the name now */
    int64_t born_ns;
    bool seen;
};

struct amy__roster_pool {
    uint32_t index; /* of the waiting words */
    uint32_t slots; /* that a new worker gets */
    struct amy__roster_worker *workers;
};

/* Of all pools together. */
struct amy__roster {
    uint64_t incarnation; /* the last one given */
    uint8_t slot_taken[AMY__SLOTS_MAX];
    uint8_t pool_taken[AMY__POOLS_MAX];
};

typedef void (*amy__roster_fn)(const struct amy__roster_pool *pool,
                               const struct amy__roster_worker *worker,
                               bool is_new, void *user);

/* AMY_ELIMIT: AMY__POOLS_MAX are there. */
int amy__roster_open(struct amy__roster *roster, uint32_t slots,
                     struct amy__roster_pool *ret_pool);
/* Of a program before this one: the pool with the index and the workers with
 * the slots and incarnations that they had. AMY_EINVAL: out of range, or taken;
 * AMY_ENOMEM. seen is false. */
int amy__roster_reopen(struct amy__roster *roster, uint32_t index,
                       uint32_t slots, struct amy__roster_pool *ret_pool);
int amy__roster_return(struct amy__roster *roster,
                       struct amy__roster_pool *pool,
                       const struct amy__roster_worker *like);
/* All its workers go, then its index. */
void amy__roster_close(struct amy__roster *roster,
                       struct amy__roster_pool *pool, amy__roster_fn fn,
                       void *user);

/* One look at a pool's directory: begin, see each entry, end. fn hears of those
 * that went (first) and came. A name whose socket is another than before is
 * another incarnation. Names that are no "{generation}.{position}" are passed
 * over. see: AMY_ELIMIT (no slots left), AMY_ENOMEM; the worker is then looked
 * for again next time. */
void amy__roster_begin(struct amy__roster_pool *pool);
int amy__roster_see(struct amy__roster *roster, struct amy__roster_pool *pool,
                    const char *name, uint64_t inode, int64_t born_ns,
                    amy__roster_fn fn, void *user);
/* See a server that site.yaml lists: known again by its address. */
int amy__roster_list(struct amy__roster *roster, struct amy__roster_pool *pool,
                     const char *address, amy__roster_fn fn, void *user);
void amy__roster_end(struct amy__roster *roster, struct amy__roster_pool *pool,
                     amy__roster_fn fn, void *user);

#endif

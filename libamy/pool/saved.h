/* A pool that outlives its program (core/handover.h): its workers are not
 * touched, and its facts go on. */
#ifndef AMY_POOL_SAVED_H
#define AMY_POOL_SAVED_H

#include <amy/error.h>
#include <amy/pool.h>

#include "core/handover.h"
#include "core/json.h"

#include <stdint.h>

/* Everything that its options do not say; NULL: out of memory. */
struct amy__json *amy__pool_save(const struct amy_pool *pool,
                                 struct amy__handover *handover);
/* How many positions a saved pool has; 0: it is none. */
uint32_t amy__pool_saved_count(const struct amy__json *saved);
/* Into a pool that was just made, with the same count and the same options:
 * it is as started as the old one was. A stop that was under way goes on, and
 * then calls on_done. AMY_EPARSE: not what save makes; the pool is then only
 * good to be freed, which kills what it had already. */
int amy__pool_restore(struct amy_pool *pool, struct amy__handover *handover,
                      const struct amy__json *saved, amy_pool_done_fn on_done,
                      void *done_user, struct amy_error *err);

/* The channel of a position's worker, the pool's; -1: none. */
int amy__pool_channel(const struct amy_pool *pool, uint32_t position);

#endif

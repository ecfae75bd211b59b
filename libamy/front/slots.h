/* Slot words: which front process runs a request on which slot of which worker.
 * One memfd of the master, mapped writable by every front process. Pure: the
 * simulation drives it with as many "processes" as it likes in one.
 *
 * Layout (all 64-bit words, seq_cst):
 *   word[slot]              0 free, else incarnation << 16 | process + 1
 *   waiting[pool][process]  the first request that waits there: when it came
 *                           (us, monotonic), later where it is likely to take
 *                           long (lane.c); 0: none waits
 *   mask[pool]              a bit per process: look at its waiting word
 * A request is queued by writing its waiting word first and looking at the
 * slots after; a slot is freed by clearing its word first and looking at the
 * waiting words after. So one of the two always sees the other, and no request
 * waits while a slot is free. Who was rung may find more free slots than it has
 * requests: it looks at the waiting words then and passes the ring on. */
#ifndef AMY_FRONT_SLOTS_H
#define AMY_FRONT_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The simulation builds its own, much smaller copy. */
#ifndef AMY__SLOTS_MAX
#define AMY__SLOTS_MAX 65536U
#define AMY__POOLS_MAX 1024U
#define AMY__PROCESSES_MAX 64U
#endif

struct amy__slots; /* the mapped memory */

size_t amy__slots_bytes(void);
/* memory: zeroed, amy__slots_bytes() large, page aligned. */
struct amy__slots *amy__slots_over(void *memory);

/* Take one slot; false when it is taken, by whomever. */
bool amy__slot_claim(struct amy__slots *slots, uint32_t slot, uint16_t process,
                     uint64_t incarnation);
/* Give it back; what is no longer ours (buried, reset) is left alone. Returns
 * the process whose oldest request should be woken, maybe the caller's own, or
 * -1. */
int amy__slot_release(struct amy__slots *slots, uint32_t slot, uint16_t process,
                      uint64_t incarnation, uint32_t pool);
/* Publish the urgency of this process' first waiting request of a pool; 0:
 * none. Look for a free slot after this, never before. */
void amy__slots_wait(struct amy__slots *slots, uint32_t pool, uint16_t process,
                     int64_t oldest_us);
/* The process with the most urgent request waiting for this pool, or -1. */
int amy__slots_oldest(const struct amy__slots *slots, uint32_t pool);
/* The master, when a process died: clear its words and waiting words. Returns
 * the number cleared; every other process must be rung then. */
size_t amy__slots_bury(struct amy__slots *slots, uint16_t process);
/* Master: a worker is gone or new; its words become free. */
void amy__slots_reset(struct amy__slots *slots, uint32_t first, uint32_t count);
/* Owner of a slot (process + 1, 0: free), for status. */
uint16_t amy__slot_owner(const struct amy__slots *slots, uint32_t slot);

#endif

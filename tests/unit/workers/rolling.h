/* Two generations in a world that obeys: facts go in by hand, what is wanted
 * comes out. */
#ifndef ROLLING_H
#define ROLLING_H

#include "workers/roll.h"

#define SEATS 4
#define POOLS 70 /* more than `after` has bits */
#define BAKE_MS 5000

struct rolling {
    struct amy__roll roll;
    struct amy__roll_pool pools[POOLS];
    struct amy__roll_seat seats[POOLS][SEATS];
    struct amy__roll_output out;
    int64_t now_ms;
    bool unsure;
    enum amy__roll_outcome told; /* the last outcome that was */
    uint32_t outcomes;
    uint32_t fewest[POOLS]; /* ready workers that were wanted, at worst */
    bool twice;             /* two in a seat of a stop-first pool */
};

/* With no pool yet; one at a time. */
struct rolling *rolling_new(void);
struct amy__roll_pool *rolling_add(struct rolling *s, uint32_t old_count,
                                   uint32_t new_count);
struct amy__roll_pool *rolling_add_web(struct rolling *s, uint32_t old_count,
                                       uint32_t new_count);

void rolling_begin(struct rolling *s);
/* Nothing new, but for what was written into the seats. */
void rolling_step(struct rolling *s);
void rolling_wait_ms(struct rolling *s, int64_t ms);
void rolling_fail_seat(struct rolling *s, size_t pool, uint32_t seat);
void rolling_give_up(struct rolling *s);
/* One worker does what it is wanted to; false when all have. */
bool rolling_obey(struct rolling *s);
/* Until nothing moves, in this phase at the latest. */
void rolling_settle_in(struct rolling *s, enum amy__roll_phase phase);

uint32_t wanted_new(const struct amy__roll_pool *pool);
uint32_t wanted_old(const struct amy__roll_pool *pool);
void assert_untouched(const struct amy__roll_pool *pool);

#endif

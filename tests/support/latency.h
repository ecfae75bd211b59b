/* A histogram of times, one per class of request: from a microsecond to a day
 * within one per cent, in fixed memory. Not an average: those hide the tail. */
#ifndef AMY_TEST_LATENCY_H
#define AMY_TEST_LATENCY_H

#include <stdint.h>

#define LATENCY_FINE 128 /* steps from one power of two to the next */
#define LATENCY_POWERS 38

struct latency {
    uint64_t count;
    uint64_t max_us;
    uint32_t counts[LATENCY_POWERS * LATENCY_FINE];
};

void latency_add(struct latency *latency, uint64_t us);
/* The time that `part` (0.99) of all stayed below or at; 0 of none. */
uint64_t latency_at(const struct latency *latency, double part);

#endif

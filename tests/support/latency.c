/* Times in steps that grow with them. */
/* Not for clocks: who measures is load.c. */
#include "latency.h"

#include <stddef.h>

/* Below LATENCY_FINE a step is a microsecond; above, LATENCY_FINE steps to a
 * power of two. */
static size_t
step_of(uint64_t us)
{
    unsigned power = 0;

    while (us >> power >= (uint64_t)2 * LATENCY_FINE) {
        power++;
    }
    if (us < LATENCY_FINE) {
        return (size_t)us;
    }
    return (size_t)power * LATENCY_FINE + (size_t)(us >> power);
}

static uint64_t
end_of(size_t step)
{
    size_t power = step / LATENCY_FINE;

    if (step < (size_t)2 * LATENCY_FINE) {
        return step;
    }
    power--;
    return ((step - power * LATENCY_FINE + 1) << power) - 1;
}

void
latency_add(struct latency *latency, uint64_t us)
{
    size_t step = step_of(us);
    size_t last = (size_t)LATENCY_POWERS * LATENCY_FINE - 1;

    latency->counts[step < last ? step : last]++;
    latency->count++;
    latency->max_us = us > latency->max_us ? us : latency->max_us;
}

uint64_t
latency_at(const struct latency *latency, double part)
{
    double wanted = part * (double)latency->count;
    uint64_t seen = 0;

    for (size_t i = 0; i < sizeof(latency->counts) / sizeof(uint32_t); i++) {
        seen += latency->counts[i];
        if (latency->counts[i] > 0 && (double)seen >= wanted) {
            uint64_t end = end_of(i);

            return end < latency->max_us ? end : latency->max_us;
        }
    }
    return latency->max_us;
}

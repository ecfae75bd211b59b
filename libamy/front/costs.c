/* A small table of moving averages. */
/* Not for what follows from a cost: that is lane.c. */
#include "front/costs.h"

#include <stdbool.h>

static bool
has_digit(struct amy__span s)
{
    for (size_t i = 0; i < s.n; i++) {
        if (s.p[i] >= '0' && s.p[i] <= '9') {
            return true;
        }
    }
    return false;
}

uint32_t
amy__costs_key(struct amy__span method, struct amy__span path)
{
    uint64_t hash = amy__hash(method, 14695981039346656037U);
    struct amy__span segment = {0};
    uint32_t key = 0;

    while (amy__span_split(&path, '/', &segment)) {
        hash = amy__hash(has_digit(segment) ? AMY_SPAN("/0") : AMY_SPAN("/"),
                         hash);
        hash = has_digit(segment) ? hash : amy__hash(segment, hash);
    }
    key = (uint32_t)(hash ^ hash >> 32);
    return key == 0 ? 1 : key;
}

uint32_t
amy__costs_expect(const struct amy__costs *costs, uint32_t key)
{
    const struct amy__cost *set = costs->known[key % AMY__COSTS_SETS];

    for (size_t i = 0; i < AMY__COSTS_WAYS && key != 0; i++) {
        if (set[i].key == key) {
            return set[i].us;
        }
    }
    return 0;
}

/* The first of a set is the one that was learned of last. */
void
amy__costs_learn(struct amy__costs *costs, uint32_t key, int64_t took_us)
{
    struct amy__cost *set = costs->known[key % AMY__COSTS_SETS];
    struct amy__cost learned = {.key = key};
    int64_t before = amy__costs_expect(costs, key);
    size_t at = 0;

    if (key == 0) {
        return;
    }
    took_us = took_us < 1 ? 1 : took_us > UINT32_MAX ? UINT32_MAX : took_us;
    learned.us =
        (uint32_t)(before == 0 ? took_us : before + (took_us - before) / 4);
    while (at + 1 < AMY__COSTS_WAYS && set[at].key != key) {
        at++;
    }
    for (; at > 0; at--) {
        set[at] = set[at - 1];
    }
    set[0] = learned;
}

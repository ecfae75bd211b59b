/* How long a worker is likely to have with a request, learned from those before
 * it: by method and path, a segment with a digit standing for any such
 * ("/orders/7/" is "/orders/8/"). Fixed memory: what has not been asked for
 * lately is forgotten. Pure. */
#ifndef AMY_FRONT_COSTS_H
#define AMY_FRONT_COSTS_H

#include "core/str.h"

#include <stdint.h>

#define AMY__COSTS_SETS 128U
#define AMY__COSTS_WAYS 2U

struct amy__cost {
    uint32_t key;
    uint32_t us;
};

struct amy__costs {
    struct amy__cost known[AMY__COSTS_SETS][AMY__COSTS_WAYS];
};

/* Never 0. path: without the query. */
uint32_t amy__costs_key(struct amy__span method, struct amy__span path);
/* Microseconds; 0: not known. */
uint32_t amy__costs_expect(const struct amy__costs *costs, uint32_t key);
/* One more took that long; key 0 is nobody's. */
void amy__costs_learn(struct amy__costs *costs, uint32_t key, int64_t took_us);

#endif

/* Where does a reply end, and is it within its bounds? Looked at before
 * anything is built of it, so that what is too long, too deep or malformed is
 * never stored, whichever hiredis there is. Pure. */
#ifndef AMY_REDIS_GAUGE_H
#define AMY_REDIS_GAUGE_H

#include <amy/error.h>
#include <amy/redis.h>

#include "core/str.h"

#include <stddef.h>
#include <stdint.h>

struct amy__redis_gauge {
    size_t max;     /* bytes of one reply, or of all of a batch */
    size_t at;      /* looked at so far, of the reply that is coming in */
    size_t before;  /* of the batch's replies before it */
    size_t to_come; /* replies of the batch, this one among them; 0: no batch */
    uint64_t items;
    unsigned depth;
    uint64_t left[AMY_REDIS_DEPTH_MAX]; /* items to come, of each open array */
};

void amy__redis_gauge_init(struct amy__redis_gauge *gauge, size_t max);
/* The next `count` replies are one batch's, and bounded together. */
void amy__redis_gauge_expect(struct amy__redis_gauge *gauge, size_t count);
/* data begins where the reply does, and has at least the bytes of the last
 * call. 1: it ends after *ret_n bytes, and the next one may begin; 0: it goes
 * on; AMY_EPROTO, AMY_ELIMIT: for good. */
int amy__redis_gauge_next(struct amy__redis_gauge *gauge, struct amy__span data,
                          size_t *ret_n, struct amy_error *err);

#endif

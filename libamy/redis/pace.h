/* When to connect, and when not even to try: backoff and circuit. Pure. */
#ifndef AMY_REDIS_PACE_H
#define AMY_REDIS_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define AMY__REDIS_PACE_CAP_MS 2000
#define AMY__REDIS_PACE_BASE_MS 50
#define AMY__REDIS_PACE_MIN_MS 100       /* between two beginnings */
#define AMY__REDIS_PACE_HEALTHY_MS 30000 /* forgets what was before */
#define AMY__REDIS_PACE_REFUSED_MS 60000 /* after a wrong password */

struct amy__redis_pace {
    uint32_t failures_max;
    uint32_t failures; /* in a row, without one that succeeded */
    uint32_t late;     /* calls that waited for an attempt in vain since */
    uint32_t tries;    /* the exponent: also of connections that ended soon */
    int64_t began_ms;  /* the last attempt; 0: never */
    int64_t up_ms;     /* since when it is connected; 0: it is not */
    int64_t retry_ms;  /* the next one not before that */
    bool refused;
};

void amy__redis_pace_init(struct amy__redis_pace *pace, uint32_t failures_max);
void amy__redis_pace_begin(struct amy__redis_pace *pace, int64_t now_ms);
void amy__redis_pace_up(struct amy__redis_pace *pace, int64_t now_ms);
/* The attempt has failed, or the connection ended; random: any 32 bits. */
void amy__redis_pace_down(struct amy__redis_pace *pace, int64_t now_ms,
                          uint32_t random);
/* Somebody waited for an attempt in vain, which goes on. */
void amy__redis_pace_late(struct amy__redis_pace *pace);
/* It is no use before somebody has changed something. */
void amy__redis_pace_refuse(struct amy__redis_pace *pace, int64_t now_ms);
/* Is it open, as a fuse that has blown? */
bool amy__redis_pace_is_broken(const struct amy__redis_pace *pace);
/* How long until an attempt may begin; 0: now. */
int64_t amy__redis_pace_wait(const struct amy__redis_pace *pace,
                             int64_t now_ms);

#endif

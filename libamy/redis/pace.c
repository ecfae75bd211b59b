/* min(cap, base * 2^n) * random, and counting failures. */
/* Not for timers: redis.c has them. */
#include "redis/pace.h"

void
amy__redis_pace_init(struct amy__redis_pace *pace, uint32_t failures_max)
{
    *pace = (struct amy__redis_pace){.failures_max = failures_max};
}

void
amy__redis_pace_begin(struct amy__redis_pace *pace, int64_t now_ms)
{
    pace->began_ms = now_ms;
}

void
amy__redis_pace_up(struct amy__redis_pace *pace, int64_t now_ms)
{
    pace->up_ms = now_ms;
    pace->failures = 0;
    pace->late = 0;
    pace->refused = false;
}

/* Full jitter: many clients of one server come back one by one. */
static int64_t
pause_of(uint32_t tries, uint32_t random)
{
    int64_t most = AMY__REDIS_PACE_BASE_MS;

    for (uint32_t i = 0; i < tries && most < AMY__REDIS_PACE_CAP_MS; i++) {
        most *= 2;
    }
    if (most > AMY__REDIS_PACE_CAP_MS) {
        most = AMY__REDIS_PACE_CAP_MS;
    }
    return most * (int64_t)random / UINT32_MAX;
}

void
amy__redis_pace_down(struct amy__redis_pace *pace, int64_t now_ms,
                     uint32_t random)
{
    int64_t soonest = pace->began_ms + AMY__REDIS_PACE_MIN_MS;

    if (pace->up_ms == 0) {
        pace->failures++;
    } else if (now_ms - pace->up_ms >= AMY__REDIS_PACE_HEALTHY_MS) {
        pace->tries = 0;
    }
    pace->up_ms = 0;
    pace->retry_ms = now_ms + pause_of(pace->tries, random);
    if (pace->retry_ms < soonest) {
        pace->retry_ms = soonest;
    }
    pace->tries++;
}

void
amy__redis_pace_late(struct amy__redis_pace *pace)
{
    pace->late += pace->late < pace->failures_max;
}

void
amy__redis_pace_refuse(struct amy__redis_pace *pace, int64_t now_ms)
{
    pace->refused = true;
    pace->retry_ms = now_ms + AMY__REDIS_PACE_REFUSED_MS;
}

bool
amy__redis_pace_is_broken(const struct amy__redis_pace *pace)
{
    return pace->refused || pace->failures >= pace->failures_max ||
           pace->late >= pace->failures_max;
}

int64_t
amy__redis_pace_wait(const struct amy__redis_pace *pace, int64_t now_ms)
{
    return now_ms >= pace->retry_ms ? 0 : pace->retry_ms - now_ms;
}

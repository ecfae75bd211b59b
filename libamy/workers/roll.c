/* The order in which one generation takes over from another, and back. */
/* Not for doing any of it: workers/reload.c carries out what is wanted here. */
#include "workers/roll.h"

static bool
old_ready(const struct amy__roll_seat *seat)
{
    return seat->old_state == AMY_WORKER_READY;
}

static bool
new_ready(const struct amy__roll_seat *seat)
{
    return seat->new_state == AMY_WORKER_READY;
}

static void
drain(struct amy__roll_seat *seat)
{
    seat->drained = seat->drained || seat->want_old;
    seat->want_old = false;
}

static void
enter(struct amy__roll *roll, enum amy__roll_phase phase, int64_t now_ms)
{
    roll->phase = phase;
    roll->since_ms = now_ms;
}

/* ---- what a pool is and has ---- */

static bool
has_canary(const struct amy__roll_pool *pool)
{
    return pool->serves && !pool->fresh && !pool->stop_first &&
           pool->new_count > 0;
}

/* Seat by seat, the new one first. */
static bool
is_rolling(const struct amy__roll_pool *pool)
{
    return !pool->fresh && !pool->stop_first && pool->new_count > 0;
}

static bool
any_new_ready(const struct amy__roll_pool *pool)
{
    for (size_t i = 0; i < pool->new_count; i++) {
        if (new_ready(&pool->seats[i])) {
            return true;
        }
    }
    return false;
}

static bool
all_new_ready(const struct amy__roll_pool *pool)
{
    for (size_t i = 0; i < pool->new_count; i++) {
        if (!new_ready(&pool->seats[i])) {
            return false;
        }
    }
    return true;
}

static bool
everything_ready(const struct amy__roll *roll)
{
    for (size_t i = 0; i < roll->pool_count; i++) {
        if (!all_new_ready(&roll->pools[i])) {
            return false;
        }
    }
    return true;
}

/* A worker that serves counts, whatever its generation. */
static uint32_t
count_ready(const struct amy__roll_pool *pool)
{
    uint32_t ready = 0;

    for (size_t i = 0; i < pool->seat_count; i++) {
        const struct amy__roll_seat *seat = &pool->seats[i];

        ready += seat->want_old && old_ready(seat) ? 1U : 0U;
        ready += seat->want_new && new_ready(seat) ? 1U : 0U;
    }
    return ready;
}

/* ---- order: `after` ---- */

/* Pools that are no more come last, and may lie beyond the last bit. */
static bool
has_bit(uint64_t bits, size_t index)
{
    return index < 64 && (bits >> index & 1U) != 0;
}

typedef bool (*open_fn)(const struct amy__roll_pool *needed);

/* Of what works already the old worker will do. */
static bool
waits_for_first(const struct amy__roll_pool *needed)
{
    return needed->fresh && needed->new_count > 0 && !any_new_ready(needed);
}

static bool
waits_for_seats(const struct amy__roll_pool *needed)
{
    return is_rolling(needed) ? !all_new_ready(needed)
                              : waits_for_first(needed);
}

static bool
waits_for_new(const struct amy__roll_pool *needed)
{
    return needed->new_count > 0 && !any_new_ready(needed);
}

static bool
is_held(const struct amy__roll *roll, const struct amy__roll_pool *pool,
        open_fn waits)
{
    for (size_t i = 0; i < roll->pool_count; i++) {
        if (has_bit(pool->after, i) && waits(&roll->pools[i])) {
            return true;
        }
    }
    return false;
}

/* Do canaries come after this pool, by whatever steps? */
static bool
is_needed_by_canary(const struct amy__roll *roll, size_t index)
{
    uint64_t needed = 0;
    uint64_t before = 0;

    do {
        before = needed;
        for (size_t i = 0; i < roll->pool_count; i++) {
            const struct amy__roll_pool *pool = &roll->pools[i];

            if (has_canary(pool) || has_bit(needed, i)) {
                needed |= pool->after;
            }
        }
    } while (needed != before);
    return has_bit(needed, index);
}

/* ---- what shall run ---- */

/* All at once: what there was never worked. Where two must not be, as soon as
 * the old one is gone. */
static void
start_fresh(struct amy__roll_pool *pool)
{
    for (size_t i = 0; i < pool->seat_count; i++) {
        struct amy__roll_seat *seat = &pool->seats[i];
        bool gone = seat->old_state == AMY_WORKER_STOPPED;

        drain(seat);
        if (i < pool->new_count && (gone || !pool->stop_first)) {
            seat->want_new = true;
        }
    }
}

static void
start_all_fresh(struct amy__roll *roll)
{
    for (size_t i = 0; i < roll->pool_count; i++) {
        if (roll->pools[i].fresh &&
            !is_held(roll, &roll->pools[i], waits_for_first)) {
            start_fresh(&roll->pools[i]);
        }
    }
}

/* The one canary of every pool that serves. True while they are not all ready;
 * whether there are any is told, too. */
static bool
send_canaries(struct amy__roll *roll, bool *ret_any)
{
    bool waiting = false;

    for (size_t i = 0; i < roll->pool_count; i++) {
        struct amy__roll_pool *pool = &roll->pools[i];
        bool held = is_held(roll, pool, waits_for_first);

        if (has_canary(pool)) {
            pool->seats[0].want_new = pool->seats[0].want_new || !held;
            waiting = waiting || !new_ready(&pool->seats[0]);
            *ret_any = true;
        } else if (pool->fresh && !held && is_needed_by_canary(roll, i)) {
            start_fresh(pool);
        }
    }
    return waiting;
}

/* One more seat of this pool, or all that are left. */
static void
start_next(struct amy__roll_pool *pool, bool all)
{
    for (size_t i = 0; i < pool->new_count; i++) {
        if (!new_ready(&pool->seats[i])) {
            pool->seats[i].want_new = true;
            if (!all) {
                return;
            }
        }
    }
}

/* Those that serve first. True while there is one that is not ready yet. */
static bool
start_one_more(struct amy__roll *roll)
{
    bool waiting = false;

    for (size_t pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < roll->pool_count; i++) {
            struct amy__roll_pool *pool = &roll->pools[i];

            if (pool->serves != (pass == 0) || !is_rolling(pool) ||
                all_new_ready(pool)) {
                continue;
            }
            waiting = true;
            if (!is_held(roll, pool, waits_for_seats)) {
                start_next(pool, roll->proven);
                if (!roll->proven) {
                    return true;
                }
            }
        }
    }
    return waiting;
}

/* The old workers whose new ones are ready go, as long as enough are left. */
static void
drain_replaced(struct amy__roll_pool *pool)
{
    uint32_t enough =
        pool->old_count < pool->new_count ? pool->old_count : pool->new_count;
    bool all = all_new_ready(pool);

    for (size_t i = 0; i < pool->old_count; i++) {
        struct amy__roll_seat *seat = &pool->seats[i];
        bool replaced = i < pool->new_count ? new_ready(seat) : all;

        if (seat->want_old && replaced &&
            (!old_ready(seat) || count_ready(pool) > enough)) {
            drain(seat);
        }
    }
}

/* Is every pool that is not `stop-first` the new one's? */
static bool
roll_seats(struct amy__roll *roll)
{
    bool busy = false;

    start_all_fresh(roll);
    busy = start_one_more(roll);
    for (size_t i = 0; i < roll->pool_count; i++) {
        struct amy__roll_pool *pool = &roll->pools[i];

        if (is_rolling(pool)) {
            drain_replaced(pool);
        } else if (pool->fresh && !pool->stop_first) {
            busy = busy || !all_new_ready(pool);
        }
    }
    return !busy;
}

static void
stop_first(struct amy__roll *roll)
{
    start_all_fresh(roll);
    for (size_t i = 0; i < roll->pool_count; i++) {
        struct amy__roll_pool *pool = &roll->pools[i];

        if ((pool->stop_first || pool->new_count == 0) &&
            !is_held(roll, pool, waits_for_new)) {
            start_fresh(pool);
        }
    }
}

/* Was there no canary among visitors that would have shown it to be no good? */
static bool
has_to_settle(const struct amy__roll *roll)
{
    for (size_t i = 0; i < roll->pool_count; i++) {
        const struct amy__roll_pool *pool = &roll->pools[i];

        if (pool->new_count > 0 && (!pool->serves || pool->stop_first)) {
            return true;
        }
    }
    return false;
}

/* Is all that is missing a job that an old worker has not finished? */
static bool
only_drains(const struct amy__roll *roll)
{
    for (size_t i = 0; i < roll->pool_count; i++) {
        const struct amy__roll_pool *pool = &roll->pools[i];

        for (size_t j = 0; j < pool->new_count; j++) {
            const struct amy__roll_seat *seat = &pool->seats[j];

            if (seat->want_new && !new_ready(seat) &&
                seat->new_state != AMY_WORKER_WAITING) {
                return false;
            }
        }
    }
    return true;
}

/* ---- the way back ---- */

static void
go_back_in(struct amy__roll_pool *pool)
{
    for (size_t i = 0; i < pool->seat_count; i++) {
        struct amy__roll_seat *seat = &pool->seats[i];
        bool held = pool->stop_first && seat->new_state != AMY_WORKER_STOPPED;

        if (!is_rolling(pool) || i >= pool->old_count || old_ready(seat)) {
            seat->want_new = false;
        }
        if (i < pool->old_count && !held) {
            seat->want_old = true;
        }
    }
}

/* Is the old generation what it was? What was away before is not waited for. */
static bool
go_back(struct amy__roll *roll)
{
    bool back = true;

    for (size_t i = 0; i < roll->pool_count; i++) {
        struct amy__roll_pool *pool = &roll->pools[i];

        go_back_in(pool);
        for (size_t j = 0; j < pool->seat_count; j++) {
            const struct amy__roll_seat *seat = &pool->seats[j];
            bool whole = !seat->drained || pool->fresh || old_ready(seat);

            back = back && !seat->want_new && whole;
        }
    }
    return back;
}

/* ---- phases ---- */

static enum amy__roll_outcome
tell(struct amy__roll *roll, enum amy__roll_outcome outcome)
{
    if (roll->told) {
        return AMY__ROLL_OPEN;
    }
    roll->told = true;
    return outcome;
}

static enum amy__roll_outcome
finish(struct amy__roll *roll, enum amy__roll_outcome outcome, int64_t now_ms)
{
    enter(roll, AMY__ROLL_IDLE, now_ms);
    return tell(roll, outcome);
}

static bool
is_late(const struct amy__roll *roll, int64_t after_ms, int64_t now_ms)
{
    return now_ms - roll->since_ms >= after_ms;
}

/* For what finishes its last job; whoever does not wait for one has settled.
 * What has served before is known to come up behind it. */
static int64_t
drain_ms(const struct amy__roll *roll)
{
    if (roll->proven) {
        return 0;
    }
    return roll->bake_ms > AMY__ROLL_DRAIN_MS ? roll->bake_ms
                                              : AMY__ROLL_DRAIN_MS;
}

static enum amy__roll_outcome
end_old(struct amy__roll *roll, int64_t now_ms)
{
    bool open = roll->phase == AMY__ROLL_STOP_FIRST && !roll->told;

    stop_first(roll);
    if (!everything_ready(roll)) {
        return is_late(roll, drain_ms(roll), now_ms) && only_drains(roll)
                   ? tell(roll, AMY__ROLL_DONE)
                   : AMY__ROLL_OPEN;
    }
    if (open && has_to_settle(roll)) {
        enter(roll, AMY__ROLL_SETTLE, now_ms);
        return AMY__ROLL_OPEN;
    }
    return finish(roll, AMY__ROLL_DONE, now_ms);
}

/* One phase; true when it led to another one. */
static bool
advance(struct amy__roll *roll, const struct amy__roll_input *in,
        enum amy__roll_outcome *ret_outcome)
{
    enum amy__roll_phase before = roll->phase;
    int64_t now_ms = in->now_ms;
    bool any = false;

    switch (roll->phase) {
    case AMY__ROLL_IDLE:
        break;
    case AMY__ROLL_CANARY:
        if (!send_canaries(roll, &any)) {
            enter(roll, any ? AMY__ROLL_BAKE : AMY__ROLL_SEATS, now_ms);
        }
        break;
    case AMY__ROLL_BAKE:
        if (is_late(roll, roll->bake_ms, now_ms) && !in->unsure) {
            enter(roll, AMY__ROLL_SEATS, now_ms);
        }
        break;
    case AMY__ROLL_SEATS:
        if (roll->proven) {
            stop_first(roll); /* nobody has to prove anything first */
        }
        if (roll_seats(roll)) {
            enter(roll, AMY__ROLL_STOP_FIRST, now_ms);
        }
        break;
    case AMY__ROLL_START:
    case AMY__ROLL_STOP_FIRST:
        *ret_outcome = end_old(roll, now_ms);
        break;
    case AMY__ROLL_SETTLE:
        if (is_late(roll, roll->bake_ms, now_ms) && everything_ready(roll)) {
            *ret_outcome = finish(roll, AMY__ROLL_DONE, now_ms);
        }
        break;
    case AMY__ROLL_BACK:
        if (go_back(roll)) {
            *ret_outcome = finish(roll, AMY__ROLL_FAILED, now_ms);
        } else if (is_late(roll, AMY__ROLL_BACK_MS, now_ms)) {
            *ret_outcome = tell(roll, AMY__ROLL_FAILED);
        }
        break;
    }
    return roll->phase != before;
}

/* What is no good ends at once, unless there is nothing else. */
static enum amy__roll_outcome
fail(struct amy__roll *roll, const struct amy__roll_input *in)
{
    if (roll->phase == AMY__ROLL_START) {
        return tell(roll, AMY__ROLL_FAILED);
    }
    if (roll->told || roll->phase == AMY__ROLL_IDLE ||
        roll->phase == AMY__ROLL_BACK) {
        return AMY__ROLL_OPEN;
    }
    enter(roll, AMY__ROLL_BACK, in->now_ms);
    roll->back = true;
    if (in->failed) {
        roll->pools[in->failed_pool].seats[in->failed_seat].want_new = false;
    }
    return AMY__ROLL_OPEN;
}

static int64_t
due_ms(const struct amy__roll *roll, int64_t now_ms)
{
    int64_t due = -1;

    if (roll->phase == AMY__ROLL_BAKE || roll->phase == AMY__ROLL_SETTLE) {
        due = roll->since_ms + roll->bake_ms;
    } else if (roll->told) {
        return -1;
    } else if (roll->phase == AMY__ROLL_BACK) {
        due = roll->since_ms + AMY__ROLL_BACK_MS;
    } else if (roll->phase == AMY__ROLL_START ||
               roll->phase == AMY__ROLL_STOP_FIRST) {
        due = roll->since_ms + drain_ms(roll);
    }
    return due > now_ms ? due : -1;
}

void
amy__roll_begin(struct amy__roll *roll, int64_t now_ms)
{
    bool first = true;

    for (size_t i = 0; i < roll->pool_count; i++) {
        first = first && roll->pools[i].fresh;
    }
    roll->back = false;
    roll->told = false;
    enter(roll,
          first          ? AMY__ROLL_START
          : roll->proven ? AMY__ROLL_SEATS
                         : AMY__ROLL_CANARY,
          now_ms);
}

struct amy__roll_output
amy__roll_step(struct amy__roll *roll, const struct amy__roll_input *in)
{
    struct amy__roll_output out = {.outcome = AMY__ROLL_OPEN};
    enum amy__roll_outcome outcome = AMY__ROLL_OPEN;
    bool more = true;

    if (in->failed || in->given_up) {
        out.outcome = fail(roll, in);
    }
    while (more) {
        more = advance(roll, in, &outcome);
        out.outcome = outcome != AMY__ROLL_OPEN ? outcome : out.outcome;
    }
    out.due_ms = due_ms(roll, in->now_ms);
    return out;
}

const char *
amy__roll_phase_name(enum amy__roll_phase phase)
{
    switch (phase) {
    case AMY__ROLL_IDLE:
        return "idle";
    case AMY__ROLL_START:
        return "start";
    case AMY__ROLL_CANARY:
        return "canary";
    case AMY__ROLL_BAKE:
        return "bake";
    case AMY__ROLL_SEATS:
        return "roll";
    case AMY__ROLL_STOP_FIRST:
        return "stop-first";
    case AMY__ROLL_SETTLE:
        return "settle";
    case AMY__ROLL_BACK:
        return "back";
    }
    return "unknown";
}

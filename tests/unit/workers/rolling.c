#include "rolling.h"

#include "amy_test.h"

struct rolling *
rolling_new(void)
{
    static struct rolling s;

    s = (struct rolling){.now_ms = 1000};
    s.roll.pools = s.pools;
    s.roll.bake_ms = BAKE_MS;
    for (size_t i = 0; i < POOLS; i++) {
        s.fewest[i] = UINT32_MAX;
    }
    return &s;
}

/* A pool whose old workers, if any, are ready. */
struct amy__roll_pool *
rolling_add(struct rolling *s, uint32_t old_count, uint32_t new_count)
{
    size_t at = s->roll.pool_count++;
    struct amy__roll_pool *pool = &s->pools[at];

    *pool = (struct amy__roll_pool){
        .old_count = old_count,
        .new_count = new_count,
        .fresh = old_count == 0,
        .seat_count = old_count > new_count ? old_count : new_count,
        .seats = s->seats[at],
    };
    for (uint32_t i = 0; i < old_count; i++) {
        pool->seats[i].want_old = true;
        pool->seats[i].old_state = AMY_WORKER_READY;
    }
    return pool;
}

struct amy__roll_pool *
rolling_add_web(struct rolling *s, uint32_t old_count, uint32_t new_count)
{
    struct amy__roll_pool *pool = rolling_add(s, old_count, new_count);

    pool->serves = true;
    return pool;
}

static void
watch(struct rolling *s)
{
    for (size_t i = 0; i < s->roll.pool_count; i++) {
        const struct amy__roll_pool *pool = &s->pools[i];
        uint32_t ready = 0;

        for (size_t j = 0; j < pool->seat_count; j++) {
            const struct amy__roll_seat *seat = &pool->seats[j];

            ready += seat->want_old && seat->old_state == AMY_WORKER_READY;
            ready += seat->want_new && seat->new_state == AMY_WORKER_READY;
            s->twice = s->twice || (pool->stop_first && seat->want_new &&
                                    seat->old_state != AMY_WORKER_STOPPED);
        }
        s->fewest[i] = ready < s->fewest[i] ? ready : s->fewest[i];
    }
}

static void
step_with(struct rolling *s, struct amy__roll_input in)
{
    in.now_ms = s->now_ms;
    in.unsure = s->unsure;
    s->out = amy__roll_step(&s->roll, &in);
    if (s->out.outcome != AMY__ROLL_OPEN) {
        s->told = s->out.outcome;
        s->outcomes++;
    }
    watch(s);
}

void
rolling_step(struct rolling *s)
{
    step_with(s, (struct amy__roll_input){.failed = false});
}

void
rolling_begin(struct rolling *s)
{
    amy__roll_begin(&s->roll, s->now_ms);
    rolling_step(s);
}

void
rolling_fail_seat(struct rolling *s, size_t pool, uint32_t seat)
{
    s->pools[pool].seats[seat].new_state = AMY_WORKER_STOPPED;
    step_with(s, (struct amy__roll_input){
                     .failed = true, .failed_pool = pool, .failed_seat = seat});
}

void
rolling_give_up(struct rolling *s)
{
    step_with(s, (struct amy__roll_input){.given_up = true});
}

static bool
obey_one(uint32_t *state, bool wanted)
{
    uint32_t before = *state;

    if (wanted) {
        *state = AMY_WORKER_READY;
    } else if (*state == AMY_WORKER_READY || *state == AMY_WORKER_BOOT) {
        *state = AMY_WORKER_DRAIN;
    } else {
        *state = AMY_WORKER_STOPPED;
    }
    return *state != before;
}

bool
rolling_obey(struct rolling *s)
{
    for (size_t i = 0; i < s->roll.pool_count; i++) {
        struct amy__roll_pool *pool = &s->pools[i];

        for (size_t j = 0; j < pool->seat_count; j++) {
            struct amy__roll_seat *seat = &pool->seats[j];

            if (obey_one(&seat->new_state, seat->want_new) ||
                obey_one(&seat->old_state, seat->want_old)) {
                return true;
            }
        }
    }
    return false;
}

void
rolling_settle_in(struct rolling *s, enum amy__roll_phase phase)
{
    for (int i = 0; i < 1000 && s->roll.phase != phase && rolling_obey(s);
         i++) {
        rolling_step(s);
    }
    assert_int_equal(s->roll.phase, phase);
}

void
rolling_wait_ms(struct rolling *s, int64_t ms)
{
    s->now_ms += ms;
    rolling_step(s);
}

uint32_t
wanted_new(const struct amy__roll_pool *pool)
{
    uint32_t n = 0;

    for (size_t i = 0; i < pool->seat_count; i++) {
        n += pool->seats[i].want_new;
    }
    return n;
}

uint32_t
wanted_old(const struct amy__roll_pool *pool)
{
    uint32_t n = 0;

    for (size_t i = 0; i < pool->seat_count; i++) {
        n += pool->seats[i].want_old;
    }
    return n;
}

void
assert_untouched(const struct amy__roll_pool *pool)
{
    assert_int_equal(wanted_old(pool), pool->old_count);
    assert_int_equal(wanted_new(pool), 0);
}

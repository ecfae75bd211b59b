/* The state of one bundle exchange between the master and its processes. */
/* Not for sending: front/master_bundle.c. */
#include "front/round.h"

#include "core/check.h"

static uint64_t
bit(uint32_t process)
{
    return UINT64_C(1) << (process % 64);
}

void
amy__round_begin(struct amy__round *round, uint64_t bundle, uint64_t members,
                 int64_t now_ms)
{
    AMY_ASSERT(round->phase == AMY__ROUND_IDLE && members != 0);
    *round = (struct amy__round){
        .phase = AMY__ROUND_PREPARING,
        .bundle = bundle,
        .members = members,
        .waiting = members,
        .deadline_ms = now_ms + AMY__ROUND_MS,
    };
}

static enum amy__round_step
end(struct amy__round *round, enum amy__round_step step)
{
    round->phase = AMY__ROUND_IDLE;
    round->waiting = 0;
    return step;
}

/* After a set became smaller: is this half over? */
static enum amy__round_step
go_on(struct amy__round *round, int64_t now_ms)
{
    if (round->waiting != 0) {
        return AMY__ROUND_WAIT;
    }
    if (round->phase == AMY__ROUND_COMMITTING) {
        return end(round, AMY__ROUND_DONE);
    }
    if (round->members == 0) {
        return end(round, AMY__ROUND_ABANDON);
    }
    round->phase = AMY__ROUND_COMMITTING;
    round->waiting = round->members;
    round->deadline_ms = now_ms + AMY__ROUND_MS;
    return AMY__ROUND_COMMIT;
}

enum amy__round_step
amy__round_ack(struct amy__round *round, uint32_t process, uint64_t bundle,
               bool committed, int64_t now_ms)
{
    if (round->phase == AMY__ROUND_IDLE || round->bundle != bundle ||
        committed != (round->phase == AMY__ROUND_COMMITTING) ||
        (round->waiting & bit(process)) == 0) {
        return AMY__ROUND_WAIT;
    }
    round->waiting &= ~bit(process);
    return go_on(round, now_ms);
}

enum amy__round_step
amy__round_refuse(struct amy__round *round, uint32_t process, uint64_t bundle)
{
    if (round->phase != AMY__ROUND_PREPARING || round->bundle != bundle ||
        (round->members & bit(process)) == 0) {
        return AMY__ROUND_WAIT;
    }
    return end(round, AMY__ROUND_ABANDON);
}

enum amy__round_step
amy__round_lose(struct amy__round *round, uint32_t process, int64_t now_ms)
{
    if (round->phase == AMY__ROUND_IDLE ||
        (round->members & bit(process)) == 0) {
        return AMY__ROUND_WAIT;
    }
    round->members &= ~bit(process);
    round->waiting &= ~bit(process);
    return go_on(round, now_ms);
}

enum amy__round_step
amy__round_tick(struct amy__round *round, int64_t now_ms)
{
    if (round->phase == AMY__ROUND_IDLE || now_ms < round->deadline_ms) {
        return AMY__ROUND_WAIT;
    }
    if (round->phase == AMY__ROUND_PREPARING) {
        return end(round, AMY__ROUND_ABANDON);
    }
    round->late = round->waiting;
    round->members &= ~round->waiting;
    return end(round, AMY__ROUND_DONE);
}

/* The life of one position, as a table of states and causes. */
/* Not for doing any of it: pool/worker.c carries out what is returned here. */
#include "pool/step.h"

#define BACKOFF_FIRST_MS 100U
#define BACKOFF_DOUBLINGS 20U
/* A held lock is most often freed within milliseconds, by processes that were
 * killed a moment ago. */
#define BLOCKED_FIRST_MS 5
#define BLOCKED_DOUBLINGS 6U /* up to 320 ms */
#define KILL_AGAIN_MS 1000

/* One cell's view. */
struct step {
    struct amy__pool_facts *facts;
    const struct amy__pool_policy *policy;
    const struct amy__pool_input *in;
    struct amy__pool_output out;
};

static void
enter(struct step *s, enum amy_worker_state state, int64_t after_ms)
{
    s->facts->state = state;
    s->facts->since_ms = s->in->now_ms;
    s->facts->due_ms = after_ms < 0 ? -1 : s->in->now_ms + after_ms;
}

static void
tell(struct step *s, enum amy_pool_event_type type)
{
    s->out.tell |= 1U << type;
}

static void
begin(struct step *s)
{
    s->out.todo |= AMY__DO_START;
    if (s->facts->state == AMY_WORKER_WAITING) {
        s->facts->due_ms = -1; /* waits on, since when it did */
    } else {
        enter(s, AMY_WORKER_WAITING, -1);
    }
}

static uint32_t
backoff(const struct step *s, uint32_t doublings)
{
    uint32_t most = s->policy->backoff_max_ms;
    uint32_t ms = BACKOFF_FIRST_MS;

    for (uint32_t i = 0; i < doublings && i < BACKOFF_DOUBLINGS; i++) {
        ms *= 2;
    }
    ms = ms > most ? most : ms;
    /* Down to three quarters, so that the positions of a pool do not start in
     * step for ever. */
    return ms - s->in->random % (ms / 4 + 1);
}

/* `free` failures are tried again without a pause. */
static void
fail(struct step *s, uint32_t free)
{
    struct amy__pool_facts *facts = s->facts;

    if (facts->failures < UINT32_MAX) {
        facts->failures++;
    }
    if (facts->failures >= s->policy->start_retries) {
        enter(s, AMY_WORKER_FAILED, s->policy->retry_ms);
        tell(s, AMY_POOL_FAILED);
    } else if (facts->failures <= free) {
        begin(s);
    } else {
        enter(s, AMY_WORKER_BACKOFF, backoff(s, facts->failures - free - 1));
        tell(s, AMY_POOL_BACKOFF);
    }
}

static void
ignore(struct step *s)
{
    (void)s;
}

static void
want(struct step *s)
{
    s->facts->wanted = 1;
    s->facts->failures = 0;
    begin(s);
}

static void
want_again(struct step *s)
{
    s->facts->wanted = 1; /* once the old process has ended */
}

static void
unwant(struct step *s)
{
    s->facts->wanted = 0;
}

static void
give_up(struct step *s)
{
    s->facts->wanted = 0;
    enter(s, AMY_WORKER_STOPPED, -1);
}

static int64_t
patience_of(const struct step *s)
{
    return s->in->patience_ms != 0 ? s->in->patience_ms
                                   : s->policy->stop_patience_ms;
}

/* Who was told where the worker listens may have connected a moment ago: it
 * gets time to take them before it is asked to finish. */
static void
drain(struct step *s)
{
    if (s->policy->withdraw_ms > 0) {
        enter(s, AMY_WORKER_DRAIN, s->policy->withdraw_ms);
        s->facts->patience_ms = (uint32_t)patience_of(s);
    } else {
        enter(s, AMY_WORKER_DRAIN, patience_of(s));
        s->out.todo |= AMY__DO_SIGNAL;
    }
    tell(s, AMY_POOL_DRAINING);
}

static void
stop(struct step *s)
{
    s->facts->wanted = 0;
    drain(s);
}

static void
hurry(struct step *s)
{
    int64_t due_ms = s->in->now_ms + patience_of(s);

    /* It has been told, or will be; a second signal would mean something else
     * to many programs (rq drops its job). */
    s->facts->wanted = 0;
    if (s->facts->patience_ms > 0) {
        if (patience_of(s) < s->facts->patience_ms) {
            s->facts->patience_ms = (uint32_t)patience_of(s);
        }
    } else if (due_ms < s->facts->due_ms) {
        s->facts->due_ms = due_ms;
    }
}

static void
kill_group(struct step *s)
{
    s->facts->patience_ms = 0;
    enter(s, AMY_WORKER_KILLED, KILL_AGAIN_MS);
    s->out.todo |= AMY__DO_KILL;
}

/* The pause of drain() is over, or patience is. */
static void
drain_due(struct step *s)
{
    if (s->facts->patience_ms == 0) {
        kill_group(s);
        return;
    }
    s->facts->due_ms = s->in->now_ms + s->facts->patience_ms;
    s->facts->patience_ms = 0;
    s->out.todo |= AMY__DO_SIGNAL;
}

static void
stop_now(struct step *s)
{
    s->facts->wanted = 0;
    kill_group(s);
}

static void
anew(struct step *s)
{
    s->facts->failures = 0;
    begin(s);
}

static void
started(struct step *s)
{
    s->facts->lives++;
    s->facts->blocked = 0;
    s->facts->started_ms = s->in->now_ms;
    enter(s, AMY_WORKER_BOOT,
          s->policy->probed ? s->policy->boot_timeout_ms
                            : s->policy->settle_ms);
    tell(s, AMY_POOL_STARTED);
}

/* Stopped while it was being started, by one of the callbacks of the start. */
static void
unwelcome(struct step *s)
{
    started(s);
    kill_group(s);
}

static void
blocked(struct step *s)
{
    uint32_t n = s->facts->blocked;

    n = n < BLOCKED_DOUBLINGS ? n : BLOCKED_DOUBLINGS;
    s->facts->blocked++;
    s->facts->due_ms = s->in->now_ms + ((int64_t)BLOCKED_FIRST_MS << n);
}

static void
unstarted(struct step *s)
{
    s->facts->blocked = 0;
    fail(s, 0);
}

static void
ready(struct step *s)
{
    int64_t proven_ms = s->facts->started_ms + s->policy->min_uptime_ms;

    enter(s, AMY_WORKER_READY,
          proven_ms > s->in->now_ms ? proven_ms - s->in->now_ms : 0);
    tell(s, AMY_POOL_READY);
}

static void
boot_due(struct step *s)
{
    if (!s->policy->probed) {
        ready(s);
        return;
    }
    s->facts->blamed = 1;
    kill_group(s);
}

static void
proven(struct step *s)
{
    s->facts->failures = 0;
    s->facts->due_ms = -1;
}

static void
died(struct step *s)
{
    int64_t uptime_ms = s->in->now_ms - s->facts->started_ms;

    tell(s, AMY_POOL_EXITED);
    if (s->facts->state == AMY_WORKER_BOOT ||
        uptime_ms < s->policy->min_uptime_ms) {
        fail(s, 1);
        return;
    }
    s->facts->failures = 0;
    begin(s);
}

/* As it was told to. */
static void
ended(struct step *s)
{
    uint32_t blamed = s->facts->blamed;

    tell(s, AMY_POOL_EXITED);
    s->facts->blamed = 0;
    s->facts->patience_ms = 0;
    if (!s->facts->wanted) {
        enter(s, AMY_WORKER_STOPPED, -1);
    } else if (blamed) {
        fail(s, 1);
    } else {
        begin(s);
    }
}

/* clang-format off */
static void (*const table[AMY__WORKER_STATES][AMY__CAUSES])(struct step *) = {
/*                        WANT        STOP     STOP_NOW  RESTART  STARTED    BLOCKED  UNSTARTED  READY   EXITED  TICK */
[AMY_WORKER_STOPPED] = {  want,       ignore,  ignore,   ignore,  unwelcome, ignore,  ignore,    ignore, ignore, ignore },
[AMY_WORKER_WAITING] = {  ignore,     give_up, give_up,  anew,    started,   blocked, unstarted, ignore, ignore, begin },
[AMY_WORKER_BOOT] = {     ignore,     stop,    stop_now, drain,   ignore,    ignore,  ignore,    ready,  died,   boot_due },
[AMY_WORKER_READY] = {    ignore,     stop,    stop_now, drain,   ignore,    ignore,  ignore,    ignore, died,   proven },
[AMY_WORKER_DRAIN] = {    want_again, hurry,   stop_now, ignore,  ignore,    ignore,  ignore,    ignore, ended,  drain_due },
[AMY_WORKER_KILLED] = {   want_again, unwant,  unwant,   ignore,  ignore,    ignore,  ignore,    ignore, ended,  kill_group },
[AMY_WORKER_BACKOFF] = {  ignore,     give_up, give_up,  anew,    ignore,    ignore,  ignore,    ignore, ignore, begin },
[AMY_WORKER_FAILED] = {   ignore,     give_up, give_up,  anew,    ignore,    ignore,  ignore,    ignore, ignore, begin },
};
/* clang-format on */

struct amy__pool_output
amy__pool_step(struct amy__pool_facts *facts,
               const struct amy__pool_policy *policy,
               const struct amy__pool_input *input)
{
    struct step s = {.facts = facts, .policy = policy, .in = input};

    table[facts->state][input->cause](&s);
    return s.out;
}

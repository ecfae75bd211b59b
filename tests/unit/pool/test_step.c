/* Every pair of state and cause, then whole lives on a clock of its own. */
/* Not for processes: test_pool.c has real ones. */
#include "amy_test.h"

#include "pool/step.h"

#include <stdio.h>
#include <string.h>

#define NOW 1000000

static const struct amy__pool_policy PROBED = {
    .probed = 1,
    .boot_timeout_ms = 60000,
    .settle_ms = 1000,
    .stop_patience_ms = 30000,
    .min_uptime_ms = 10000,
    .backoff_max_ms = 30000,
    .start_retries = 8,
    .retry_ms = 60000,
};

/* One position and its time. */
struct life {
    struct amy__pool_facts facts;
    struct amy__pool_policy policy;
    struct amy__pool_output out;
    int64_t now_ms;
    uint32_t random;
};

static void
cause(struct life *life, enum amy__cause cause)
{
    struct amy__pool_input in = {
        .cause = cause, .random = life->random, .now_ms = life->now_ms};

    life->out = amy__pool_step(&life->facts, &life->policy, &in);
}

/* Go to when TICK is due. */
static void
tick(struct life *life)
{
    assert_true(life->facts.due_ms >= life->now_ms);
    life->now_ms = life->facts.due_ms;
    cause(life, AMY__CAUSE_TICK);
}

static struct life
new_life(void)
{
    return (struct life){
        .facts = {.due_ms = -1}, .policy = PROBED, .now_ms = NOW};
}

/* A wanted position that has come to this state in the ordinary way. */
static struct life
life_in(enum amy_worker_state state)
{
    struct life life = new_life();

    if (state == AMY_WORKER_STOPPED) {
        return life;
    }
    cause(&life, AMY__CAUSE_WANT);
    if (state == AMY_WORKER_WAITING) {
        return life;
    }
    if (state == AMY_WORKER_BACKOFF) {
        cause(&life, AMY__CAUSE_UNSTARTED);
        return life;
    }
    if (state == AMY_WORKER_FAILED) {
        life.facts.failures = 7;
        cause(&life, AMY__CAUSE_UNSTARTED);
        return life;
    }
    cause(&life, AMY__CAUSE_STARTED);
    if (state == AMY_WORKER_BOOT) {
        return life;
    }
    if (state == AMY_WORKER_KILLED) {
        life.now_ms = life.facts.due_ms;
        cause(&life, AMY__CAUSE_TICK);
        return life;
    }
    cause(&life, AMY__CAUSE_READY);
    if (state == AMY_WORKER_DRAIN) {
        cause(&life, AMY__CAUSE_RESTART);
    }
    return life;
}

#define START AMY__DO_START
#define SIGNAL AMY__DO_SIGNAL
#define KILL AMY__DO_KILL
#define TELL(what) (1U << AMY_POOL_##what)

/* What a cause makes of a state: the whole table, once more and in the words of
 * its effects. due is from now; -1 none, -2 as before. */
struct cell {
    enum amy_worker_state from;
    enum amy__cause cause;
    enum amy_worker_state to;
    uint32_t wanted;
    uint32_t todo;
    uint32_t tell;
    int64_t due_ms;
};

#define S(x) AMY_WORKER_##x
#define C(x) AMY__CAUSE_##x
/* clang-format off */
static const struct cell CELLS[] = {
    {S(STOPPED), C(WANT),      S(WAITING), 1, START, 0, -1},
    {S(STOPPED), C(STOP),      S(STOPPED), 0, 0, 0, -2},
    {S(STOPPED), C(STOP_NOW),  S(STOPPED), 0, 0, 0, -2},
    {S(STOPPED), C(RESTART),   S(STOPPED), 0, 0, 0, -2},
    {S(STOPPED), C(STARTED),   S(KILLED),  0, KILL, TELL(STARTED), 1000},
    {S(STOPPED), C(BLOCKED),   S(STOPPED), 0, 0, 0, -2},
    {S(STOPPED), C(UNSTARTED), S(STOPPED), 0, 0, 0, -2},
    {S(STOPPED), C(READY),     S(STOPPED), 0, 0, 0, -2},
    {S(STOPPED), C(EXITED),    S(STOPPED), 0, 0, 0, -2},
    {S(STOPPED), C(TICK),      S(STOPPED), 0, 0, 0, -2},

    {S(WAITING), C(WANT),      S(WAITING), 1, 0, 0, -2},
    {S(WAITING), C(STOP),      S(STOPPED), 0, 0, 0, -1},
    {S(WAITING), C(STOP_NOW),  S(STOPPED), 0, 0, 0, -1},
    {S(WAITING), C(RESTART),   S(WAITING), 1, START, 0, -1},
    {S(WAITING), C(STARTED),   S(BOOT),    1, 0, TELL(STARTED), 60000},
    {S(WAITING), C(BLOCKED),   S(WAITING), 1, 0, 0, 5},
    {S(WAITING), C(UNSTARTED), S(BACKOFF), 1, 0, TELL(BACKOFF), 100},
    {S(WAITING), C(READY),     S(WAITING), 1, 0, 0, -2},
    {S(WAITING), C(EXITED),    S(WAITING), 1, 0, 0, -2},
    {S(WAITING), C(TICK),      S(WAITING), 1, START, 0, -1},

    {S(BOOT),    C(WANT),      S(BOOT),    1, 0, 0, -2},
    {S(BOOT),    C(STOP),      S(DRAIN),   0, SIGNAL, TELL(DRAINING), 30000},
    {S(BOOT),    C(STOP_NOW),  S(KILLED),  0, KILL, 0, 1000},
    {S(BOOT),    C(RESTART),   S(DRAIN),   1, SIGNAL, TELL(DRAINING), 30000},
    {S(BOOT),    C(STARTED),   S(BOOT),    1, 0, 0, -2},
    {S(BOOT),    C(BLOCKED),   S(BOOT),    1, 0, 0, -2},
    {S(BOOT),    C(UNSTARTED), S(BOOT),    1, 0, 0, -2},
    {S(BOOT),    C(READY),     S(READY),   1, 0, TELL(READY), 10000},
    {S(BOOT),    C(EXITED),    S(WAITING), 1, START, TELL(EXITED), -1},
    {S(BOOT),    C(TICK),      S(KILLED),  1, KILL, 0, 1000},

    {S(READY),   C(WANT),      S(READY),   1, 0, 0, -2},
    {S(READY),   C(STOP),      S(DRAIN),   0, SIGNAL, TELL(DRAINING), 30000},
    {S(READY),   C(STOP_NOW),  S(KILLED),  0, KILL, 0, 1000},
    {S(READY),   C(RESTART),   S(DRAIN),   1, SIGNAL, TELL(DRAINING), 30000},
    {S(READY),   C(STARTED),   S(READY),   1, 0, 0, -2},
    {S(READY),   C(BLOCKED),   S(READY),   1, 0, 0, -2},
    {S(READY),   C(UNSTARTED), S(READY),   1, 0, 0, -2},
    {S(READY),   C(READY),     S(READY),   1, 0, 0, -2},
    {S(READY),   C(EXITED),    S(WAITING), 1, START, TELL(EXITED), -1},
    {S(READY),   C(TICK),      S(READY),   1, 0, 0, -1},

    {S(DRAIN),   C(WANT),      S(DRAIN),   1, 0, 0, -2},
    {S(DRAIN),   C(STOP),      S(DRAIN),   0, 0, 0, -2},
    {S(DRAIN),   C(STOP_NOW),  S(KILLED),  0, KILL, 0, 1000},
    {S(DRAIN),   C(RESTART),   S(DRAIN),   1, 0, 0, -2},
    {S(DRAIN),   C(STARTED),   S(DRAIN),   1, 0, 0, -2},
    {S(DRAIN),   C(BLOCKED),   S(DRAIN),   1, 0, 0, -2},
    {S(DRAIN),   C(UNSTARTED), S(DRAIN),   1, 0, 0, -2},
    {S(DRAIN),   C(READY),     S(DRAIN),   1, 0, 0, -2},
    {S(DRAIN),   C(EXITED),    S(WAITING), 1, START, TELL(EXITED), -1},
    {S(DRAIN),   C(TICK),      S(KILLED),  1, KILL, 0, 1000},

    /* Blamed here: it gave no answer while it booted. */
    {S(KILLED),  C(WANT),      S(KILLED),  1, 0, 0, -2},
    {S(KILLED),  C(STOP),      S(KILLED),  0, 0, 0, -2},
    {S(KILLED),  C(STOP_NOW),  S(KILLED),  0, 0, 0, -2},
    {S(KILLED),  C(RESTART),   S(KILLED),  1, 0, 0, -2},
    {S(KILLED),  C(STARTED),   S(KILLED),  1, 0, 0, -2},
    {S(KILLED),  C(BLOCKED),   S(KILLED),  1, 0, 0, -2},
    {S(KILLED),  C(UNSTARTED), S(KILLED),  1, 0, 0, -2},
    {S(KILLED),  C(READY),     S(KILLED),  1, 0, 0, -2},
    {S(KILLED),  C(EXITED),    S(WAITING), 1, START, TELL(EXITED), -1},
    {S(KILLED),  C(TICK),      S(KILLED),  1, KILL, 0, 1000},

    {S(BACKOFF), C(WANT),      S(BACKOFF), 1, 0, 0, -2},
    {S(BACKOFF), C(STOP),      S(STOPPED), 0, 0, 0, -1},
    {S(BACKOFF), C(STOP_NOW),  S(STOPPED), 0, 0, 0, -1},
    {S(BACKOFF), C(RESTART),   S(WAITING), 1, START, 0, -1},
    {S(BACKOFF), C(STARTED),   S(BACKOFF), 1, 0, 0, -2},
    {S(BACKOFF), C(BLOCKED),   S(BACKOFF), 1, 0, 0, -2},
    {S(BACKOFF), C(UNSTARTED), S(BACKOFF), 1, 0, 0, -2},
    {S(BACKOFF), C(READY),     S(BACKOFF), 1, 0, 0, -2},
    {S(BACKOFF), C(EXITED),    S(BACKOFF), 1, 0, 0, -2},
    {S(BACKOFF), C(TICK),      S(WAITING), 1, START, 0, -1},

    {S(FAILED),  C(WANT),      S(FAILED),  1, 0, 0, -2},
    {S(FAILED),  C(STOP),      S(STOPPED), 0, 0, 0, -1},
    {S(FAILED),  C(STOP_NOW),  S(STOPPED), 0, 0, 0, -1},
    {S(FAILED),  C(RESTART),   S(WAITING), 1, START, 0, -1},
    {S(FAILED),  C(STARTED),   S(FAILED),  1, 0, 0, -2},
    {S(FAILED),  C(BLOCKED),   S(FAILED),  1, 0, 0, -2},
    {S(FAILED),  C(UNSTARTED), S(FAILED),  1, 0, 0, -2},
    {S(FAILED),  C(READY),     S(FAILED),  1, 0, 0, -2},
    {S(FAILED),  C(EXITED),    S(FAILED),  1, 0, 0, -2},
    {S(FAILED),  C(TICK),      S(WAITING), 1, START, 0, -1},
};
/* clang-format on */

static void
check_cell(const struct cell *cell)
{
    struct life life = life_in(cell->from);
    int64_t due_ms = life.facts.due_ms;

    assert_int_equal(life.facts.state, cell->from);
    cause(&life, cell->cause);
    if (cell->due_ms != -2) {
        due_ms = cell->due_ms == -1 ? -1 : life.now_ms + cell->due_ms;
    }
    if (life.facts.state != cell->to || life.facts.wanted != cell->wanted ||
        life.out.todo != cell->todo || life.out.tell != cell->tell ||
        life.facts.due_ms != due_ms) {
        fail_msg("state %d, cause %d: to %u wanted %u todo %x tell %x due %lld",
                 (int)cell->from, (int)cell->cause, life.facts.state,
                 life.facts.wanted, life.out.todo, life.out.tell,
                 (long long)(life.facts.due_ms - life.now_ms));
    }
}

static void
test_step_every_state_and_cause_does_what_the_table_says(void **state)
{
    bool covered[AMY__WORKER_STATES][AMY__CAUSES] = {{false}};

    (void)state;
    for (size_t i = 0; i < sizeof(CELLS) / sizeof(CELLS[0]); i++) {
        check_cell(&CELLS[i]);
        covered[CELLS[i].from][CELLS[i].cause] = true;
    }
    for (int from = 0; from < AMY__WORKER_STATES; from++) {
        for (int c = 0; c < AMY__CAUSES; c++) {
            assert_true(covered[from][c]);
        }
    }
}

static void
test_step_a_process_that_lived_long_is_replaced_at_once(void **state)
{
    struct life life = life_in(AMY_WORKER_READY);

    (void)state;
    for (int i = 0; i < 100; i++) {
        life.now_ms += 10000;
        cause(&life, AMY__CAUSE_EXITED);
        assert_int_equal(life.facts.state, AMY_WORKER_WAITING);
        assert_int_equal(life.out.todo, AMY__DO_START);
        assert_int_equal(life.facts.failures, 0);
        cause(&life, AMY__CAUSE_STARTED);
        cause(&life, AMY__CAUSE_READY);
    }
    assert_int_equal(life.facts.lives, 101);
}

static void
test_step_deaths_in_a_row_back_off_doubling_then_fail(void **state)
{
    static const int64_t delays[] = {100, 200, 400, 800, 1600, 3200};
    struct life life = life_in(AMY_WORKER_BOOT);

    (void)state;
    cause(&life, AMY__CAUSE_EXITED); /* the first one is free */
    assert_int_equal(life.facts.state, AMY_WORKER_WAITING);
    cause(&life, AMY__CAUSE_STARTED);
    for (size_t i = 0; i < 6; i++) {
        cause(&life, AMY__CAUSE_READY);
        life.now_ms += 9999; /* ready, but not for long enough */
        cause(&life, AMY__CAUSE_EXITED);
        assert_int_equal(life.facts.state, AMY_WORKER_BACKOFF);
        assert_int_equal(life.facts.due_ms - life.now_ms, delays[i]);
        tick(&life);
        assert_int_equal(life.out.todo, AMY__DO_START);
        cause(&life, AMY__CAUSE_STARTED);
    }
    cause(&life, AMY__CAUSE_EXITED);
    assert_int_equal(life.facts.state, AMY_WORKER_FAILED);
    assert_int_equal(life.out.tell, TELL(EXITED) | TELL(FAILED));
    /* Tried every minute; one more failure is enough to fail again. */
    for (int i = 0; i < 3; i++) {
        assert_int_equal(life.facts.due_ms - life.now_ms, 60000);
        tick(&life);
        cause(&life, AMY__CAUSE_STARTED);
        cause(&life, AMY__CAUSE_EXITED);
        assert_int_equal(life.facts.state, AMY_WORKER_FAILED);
    }
    /* It comes to life, and all is forgotten. */
    tick(&life);
    cause(&life, AMY__CAUSE_STARTED);
    cause(&life, AMY__CAUSE_READY);
    tick(&life);
    assert_int_equal(life.facts.failures, 0);
    assert_int_equal(life.facts.due_ms, -1);
}

static void
test_step_backoff_has_a_limit_and_a_jitter_below_it(void **state)
{
    struct life life = new_life();
    int64_t most = 0;

    (void)state;
    life.policy.start_retries = UINT32_MAX;
    cause(&life, AMY__CAUSE_WANT);
    for (uint32_t i = 0; i < 200; i++) {
        int64_t delay_ms = 0;

        life.random = i * 2654435761U;
        cause(&life, AMY__CAUSE_UNSTARTED);
        assert_int_equal(life.facts.state, AMY_WORKER_BACKOFF);
        delay_ms = life.facts.due_ms - life.now_ms;
        most = delay_ms > most ? delay_ms : most;
        assert_in_range(delay_ms, 75, 30000);
        assert_true(i < 10 || delay_ms >= 22500);
        tick(&life);
    }
    assert_true(most > 25000);
}

static void
test_step_without_probe_it_is_ready_when_it_has_settled(void **state)
{
    struct life life = new_life();

    (void)state;
    life.policy.probed = 0;
    cause(&life, AMY__CAUSE_WANT);
    cause(&life, AMY__CAUSE_STARTED);
    assert_int_equal(life.facts.due_ms - life.now_ms, 1000);
    tick(&life);
    assert_int_equal(life.facts.state, AMY_WORKER_READY);
    assert_int_equal(life.out.tell, TELL(READY));
    /* min_uptime counts from its start. */
    assert_int_equal(life.facts.due_ms - life.now_ms, 9000);
}

static void
test_step_no_answer_in_time_is_a_failure_however_long_it_took(void **state)
{
    struct life life = life_in(AMY_WORKER_BOOT);

    (void)state;
    tick(&life);
    assert_int_equal(life.out.todo, AMY__DO_KILL);
    cause(&life, AMY__CAUSE_EXITED);
    assert_int_equal(life.facts.failures, 1);
    assert_int_equal(life.facts.blamed, 0);
    cause(&life, AMY__CAUSE_STARTED);
    tick(&life);
    cause(&life, AMY__CAUSE_EXITED);
    assert_int_equal(life.facts.failures, 2);
    assert_int_equal(life.facts.state, AMY_WORKER_BACKOFF);
}

static void
test_step_a_restart_is_no_failure(void **state)
{
    struct life life = life_in(AMY_WORKER_DRAIN);

    (void)state;
    cause(&life, AMY__CAUSE_EXITED);
    assert_int_equal(life.facts.state, AMY_WORKER_WAITING);
    assert_int_equal(life.facts.failures, 0);
}

static void
test_step_a_stop_during_a_drain_may_only_shorten_it(void **state)
{
    struct life life = life_in(AMY_WORKER_DRAIN);
    struct amy__pool_input in = {
        .cause = AMY__CAUSE_STOP, .patience_ms = 40000, .now_ms = life.now_ms};
    int64_t due_ms = life.facts.due_ms;

    (void)state;
    (void)amy__pool_step(&life.facts, &life.policy, &in);
    assert_int_equal(life.facts.due_ms, due_ms);
    in.patience_ms = 7;
    (void)amy__pool_step(&life.facts, &life.policy, &in);
    assert_int_equal(life.facts.due_ms, life.now_ms + 7);
    tick(&life);
    assert_int_equal(life.out.todo, AMY__DO_KILL);
    cause(&life, AMY__CAUSE_EXITED);
    assert_int_equal(life.facts.state, AMY_WORKER_STOPPED);
}

static void
test_step_the_signal_comes_when_what_was_on_its_way_is_in(void **state)
{
    struct life life = life_in(AMY_WORKER_READY);
    struct amy__pool_input in = {.cause = AMY__CAUSE_STOP};

    (void)state;
    life.policy.withdraw_ms = 200;
    cause(&life, AMY__CAUSE_STOP);
    assert_int_equal(life.facts.state, AMY_WORKER_DRAIN);
    assert_int_equal(life.out.todo, 0);
    assert_int_equal(life.out.tell, 1U << AMY_POOL_DRAINING);
    assert_int_equal(life.facts.due_ms, life.now_ms + 200);
    in.now_ms = life.now_ms;
    in.patience_ms = 40000; /* longer: no */
    (void)amy__pool_step(&life.facts, &life.policy, &in);
    in.patience_ms = 9000;
    (void)amy__pool_step(&life.facts, &life.policy, &in);
    assert_int_equal(life.facts.due_ms, life.now_ms + 200);
    tick(&life);
    assert_int_equal(life.facts.state, AMY_WORKER_DRAIN);
    assert_int_equal(life.out.todo, AMY__DO_SIGNAL);
    assert_int_equal(life.facts.due_ms, life.now_ms + 9000);
    tick(&life);
    assert_int_equal(life.out.todo, AMY__DO_KILL);
    cause(&life, AMY__CAUSE_EXITED);
    assert_int_equal(life.facts.state, AMY_WORKER_STOPPED);
}

static void
test_step_killed_or_dead_before_the_signal_it_gets_none(void **state)
{
    struct life life = life_in(AMY_WORKER_READY);

    (void)state;
    life.policy.withdraw_ms = 200;
    cause(&life, AMY__CAUSE_RESTART);
    cause(&life, AMY__CAUSE_EXITED);
    assert_int_equal(life.out.todo, AMY__DO_START);
    assert_int_equal(life.facts.patience_ms, 0);
    cause(&life, AMY__CAUSE_STARTED);
    cause(&life, AMY__CAUSE_STOP);
    cause(&life, AMY__CAUSE_STOP_NOW);
    assert_int_equal(life.out.todo, AMY__DO_KILL);
    assert_int_equal(life.facts.patience_ms, 0);
}

static void
test_step_wanted_again_during_a_stop_starts_when_the_old_one_ended(void **state)
{
    struct life life = life_in(AMY_WORKER_READY);

    (void)state;
    cause(&life, AMY__CAUSE_STOP);
    cause(&life, AMY__CAUSE_WANT);
    assert_int_equal(life.facts.state, AMY_WORKER_DRAIN);
    assert_int_equal(life.out.todo, 0);
    cause(&life, AMY__CAUSE_EXITED);
    assert_int_equal(life.out.todo, AMY__DO_START);
}

static void
test_step_a_held_lock_is_asked_for_ever_more_slowly(void **state)
{
    static const int64_t waits[] = {5, 10, 20, 40, 80, 160, 320, 320, 320};
    struct life life = life_in(AMY_WORKER_WAITING);

    (void)state;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        cause(&life, AMY__CAUSE_BLOCKED);
        assert_int_equal(life.facts.due_ms - life.now_ms, waits[i]);
        assert_int_equal(life.facts.since_ms, NOW); /* it waits since then */
        tick(&life);
        assert_int_equal(life.out.todo, AMY__DO_START);
    }
    cause(&life, AMY__CAUSE_STARTED);
    assert_int_equal(life.facts.blocked, 0);
    assert_int_equal(life.facts.failures, 0);
}

static void
test_step_a_kill_that_does_not_help_is_repeated(void **state)
{
    struct life life = life_in(AMY_WORKER_READY);

    (void)state;
    cause(&life, AMY__CAUSE_STOP_NOW);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(life.out.todo, AMY__DO_KILL);
        tick(&life);
    }
}

/* Any order of causes keeps what must always hold. */
static void
test_step_random_orders_keep_the_invariants(void **state)
{
    struct life life = new_life();
    uint32_t random = 12345;
    bool lives = false;

    (void)state;
    for (int i = 0; i < 200000; i++) {
        enum amy__cause next = AMY__CAUSE_WANT;

        random = random * 1664525U + 1013904223U;
        next = (enum amy__cause)((random >> 16) % AMY__CAUSES);
        if ((life.out.todo & AMY__DO_START) != 0) {
            /* Answered at once, by one of three. */
            next = (enum amy__cause)(AMY__CAUSE_STARTED + (random >> 20) % 3);
        } else if (next >= AMY__CAUSE_STARTED && next <= AMY__CAUSE_UNSTARTED) {
            continue;
        } else if (next == AMY__CAUSE_EXITED && !lives) {
            continue;
        } else if (next == AMY__CAUSE_TICK) {
            if (life.facts.due_ms < 0) {
                continue;
            }
            life.now_ms = life.facts.due_ms;
        }
        life.random = random;
        cause(&life, next);
        lives =
            next == AMY__CAUSE_STARTED || (lives && next != AMY__CAUSE_EXITED);
        /* Never a second process beside a living one. */
        assert_true(!lives || (life.out.todo & AMY__DO_START) == 0);
        /* A process lives in these states and no other. */
        assert_int_equal(lives, life.facts.state == AMY_WORKER_BOOT ||
                                    life.facts.state == AMY_WORKER_READY ||
                                    life.facts.state == AMY_WORKER_DRAIN ||
                                    life.facts.state == AMY_WORKER_KILLED);
        /* Nothing waits for ever but what is at rest. */
        assert_true(life.facts.due_ms >= 0 || life.out.todo != 0 ||
                    life.facts.state == AMY_WORKER_STOPPED ||
                    life.facts.state == AMY_WORKER_READY ||
                    life.facts.state == AMY_WORKER_WAITING);
        assert_true(life.facts.wanted ||
                    life.facts.state == AMY_WORKER_STOPPED || lives);
    }
}

static void
test_facts_are_read_as_they_were_written(void **state)
{
    static const struct amy__pool_facts facts = {
        .state = AMY_WORKER_BACKOFF,
        .wanted = 1,
        .failures = UINT32_MAX,
        .blamed = 1,
        .blocked = 7,
        .lives = UINT64_MAX,
        .since_ms = INT64_MAX,
        .started_ms = 0,
        .due_ms = -1,
    };
    struct amy__pool_facts back = {0};
    char line[256] = "";
    int n = amy__pool_facts_write(&facts, line, sizeof(line));

    (void)state;
    assert_in_range(n, 1, sizeof(line) - 1);
    assert_int_equal(amy__pool_facts_write(&facts, NULL, 0), n);
    assert_int_equal(amy__pool_facts_read(amy__span_of(line), &back, NULL), 0);
    assert_memory_equal(&back, &facts, sizeof(facts));
    /* A newer program may have said more. */
    (void)strcat(line, " more");
    assert_int_equal(amy__pool_facts_read(amy__span_of(line), &back, NULL), 0);
}

static void
test_facts_that_are_broken_are_refused(void **state)
{
    static const char *const broken[] = {
        "",
        "amy-worker-1",
        "amy-worker-2 1 1 0 0 0 1 5 5 -1",
        "amy-worker-1 8 1 0 0 0 1 5 5 -1",
        "amy-worker-1 1 2 0 0 0 1 5 5 -1",
        "amy-worker-1 1 1 4294967296 0 0 1 5 5 -1",
        "amy-worker-1 1 1 0 0 0 1 5 5 -2",
        "amy-worker-1 1 1 0 0 0 1 5 5",
        "amy-worker-1 1 1 0 0 0 1 5  5 -1",
        "amy-worker-1 1 1 0 0 0 1 9223372036854775808 5 -1",
    };
    struct amy__pool_facts facts = {.lives = 77};

    (void)state;
    for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        struct amy_error err = AMY_ERROR_INIT;

        assert_int_equal(
            amy__pool_facts_read(amy__span_of(broken[i]), &facts, &err),
            AMY_EPARSE);
        assert_int_equal(err.code, AMY_EPARSE);
        assert_int_equal(facts.lives, 77); /* untouched */
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_step_every_state_and_cause_does_what_the_table_says),
        cmocka_unit_test(
            test_step_a_process_that_lived_long_is_replaced_at_once),
        cmocka_unit_test(test_step_deaths_in_a_row_back_off_doubling_then_fail),
        cmocka_unit_test(test_step_backoff_has_a_limit_and_a_jitter_below_it),
        cmocka_unit_test(
            test_step_without_probe_it_is_ready_when_it_has_settled),
        cmocka_unit_test(
            test_step_no_answer_in_time_is_a_failure_however_long_it_took),
        cmocka_unit_test(test_step_a_restart_is_no_failure),
        cmocka_unit_test(test_step_a_stop_during_a_drain_may_only_shorten_it),
        cmocka_unit_test(
            test_step_the_signal_comes_when_what_was_on_its_way_is_in),
        cmocka_unit_test(
            test_step_killed_or_dead_before_the_signal_it_gets_none),
        cmocka_unit_test(
            test_step_wanted_again_during_a_stop_starts_when_the_old_one_ended),
        cmocka_unit_test(test_step_a_held_lock_is_asked_for_ever_more_slowly),
        cmocka_unit_test(test_step_a_kill_that_does_not_help_is_repeated),
        cmocka_unit_test(test_step_random_orders_keep_the_invariants),
        cmocka_unit_test(test_facts_are_read_as_they_were_written),
        cmocka_unit_test(test_facts_that_are_broken_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

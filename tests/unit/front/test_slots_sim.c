/* Simulation of slot words, rings and deaths: virtual front processes and their
 * master run as coroutines that may be stopped before any atomic step, in an
 * order drawn from a seed. Deeper: AMY_SIM_SCHEDULES=1000000. */
#include "amy_test.h"

#include "core/alloc.h"
#include "front/lane.h"
#include "front/words.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#define PROCESSES AMY__PROCESSES_MAX
#define SLOTS AMY__SLOTS_MAX
#define WORKERS 2U
#define TICKETS 6U
#define MAILS 64U
#define STACK_BYTES (size_t)(128 * 1024)
#define BUSY_STEPS 250

enum phase {
    BUSY = 0, /* requests come, workers and processes die */
    SETTLE,   /* nothing new: what was begun is finished */
    FINISH,   /* running requests end too */
};

struct mail {
    bool add;
    uint32_t worker;
    uint64_t incarnation;
};

struct request {
    struct amy__ticket ticket;
    struct amy__seat seat; /* worker != NULL: running */
    int64_t since;
    bool used;
};

struct process {
    ucontext_t context;
    void *stack;
    uint16_t index;
    bool alive;
    bool idle;
    unsigned rung;
    struct mail mails[MAILS];
    size_t mail_count;
    struct amy__lane lane;
    struct request requests[TICKETS];
};

static struct {
    ucontext_t scheduler;
    struct process processes[PROCESSES];
    struct process master; /* only its coroutine is used */
    int to_bury;           /* a dead process the master has not seen, or -1 */
    uint64_t incarnations[WORKERS]; /* current one of each worker */
    uint64_t last_incarnation;
    /* Who runs on a slot, as the requests see it. */
    struct {
        bool taken;
        uint64_t incarnation;
    } owner[SLOTS];
    struct amy__slots *slots;
    enum phase phase;
    uint64_t seed;
    int64_t clock;
    struct process *now;
    unsigned claims; /* over all schedules, so that we know it ran */
    unsigned deaths;
    unsigned waits;
    unsigned bounces;
} sim;

static uint32_t
draw(uint32_t below)
{
    sim.seed = sim.seed * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(sim.seed >> 33) % below;
}

void
sim_step(void)
{
    if (sim.now != NULL) {
        (void)swapcontext(&sim.now->context, &sim.scheduler);
    }
}

static void
ring(uint16_t process, void *user)
{
    (void)user;
    assert_ptr_not_equal(&sim.processes[process], sim.now);
    sim.processes[process].rung++;
}

/* ---- a front process ---- */

static bool
is_current(uint64_t incarnation)
{
    bool current = false;

    for (size_t i = 0; i < WORKERS; i++) {
        current = current || sim.incarnations[i] == incarnation;
    }
    return current;
}

static void
begin(struct request *request, const struct amy__seat *seat)
{
    uint64_t incarnation = seat->worker->incarnation;

    /* One owner for each slot of a worker. (One that is gone takes nothing,
     * whoever still thinks that it has a slot there.) */
    assert_false(is_current(incarnation) && sim.owner[seat->slot].taken &&
                 sim.owner[seat->slot].incarnation == incarnation);
    if (sim.owner[seat->slot].taken &&
        is_current(sim.owner[seat->slot].incarnation)) {
        /* The word of a new worker is held by one who has old news. */
        request->seat = *seat;
        return;
    }
    sim.owner[seat->slot].taken = true;
    sim.owner[seat->slot].incarnation = seat->worker->incarnation;
    request->seat = *seat;
    sim.claims++;
}

static struct request *
request_of(struct amy__ticket *ticket)
{
    return (struct request *)(void *)((char *)ticket -
                                      offsetof(struct request, ticket));
}

static void
run_waiting(struct process *p)
{
    struct amy__ticket *ticket = NULL;
    struct amy__seat seat = {0};

    while (amy__lane_next(&p->lane, &ticket, &seat)) {
        struct request *request = request_of(ticket);

        for (size_t i = 0; i < TICKETS; i++) {
            /* First come, first served within a process. */
            assert_false(p->requests[i].used &&
                         p->requests[i].seat.worker == NULL &&
                         p->requests[i].since < request->since);
        }
        begin(request, &seat);
    }
}

static void
arrive(struct process *p)
{
    for (size_t i = 0; i < TICKETS; i++) {
        struct request *request = &p->requests[i];
        struct amy__seat seat = {0};
        int rc = 0;

        if (request->used) {
            continue;
        }
        *request = (struct request){.used = true, .since = ++sim.clock};
        rc = amy__lane_enter(&p->lane, &request->ticket, request->since, &seat);
        if (rc == 1) {
            begin(request, &seat);
        } else {
            assert_int_equal(rc, 0);
            sim.waits++;
        }
        return;
    }
}

static void
end_running(struct process *p, struct request *request)
{
    struct amy__seat seat = request->seat;
    bool stale = !is_current(seat.worker->incarnation);
    bool look = false;

    if (sim.owner[seat.slot].incarnation == seat.worker->incarnation) {
        sim.owner[seat.slot].taken = false;
    }
    request->seat = (struct amy__seat){0};
    if (stale && draw(2) == 0) {
        sim.bounces++;
        amy__lane_bounce(&p->lane, &seat, &request->ticket, request->since);
        run_waiting(p);
        return;
    }
    request->used = false;
    look = amy__lane_leave(&p->lane, &seat);
    if (look) {
        run_waiting(p);
    }
}

static void
end_some(struct process *p, bool running)
{
    size_t first = draw(TICKETS);

    for (size_t i = 0; i < TICKETS; i++) {
        struct request *request = &p->requests[(first + i) % TICKETS];

        if (!request->used || (request->seat.worker != NULL) != running) {
            continue;
        }
        if (running) {
            end_running(p, request);
        } else {
            request->used = false;
            amy__lane_forget(&p->lane, &request->ticket);
        }
        return;
    }
}

static bool
read_mail(struct process *p)
{
    struct mail mail = {0};

    if (p->mail_count == 0) {
        return false;
    }
    mail = p->mails[0];
    p->mail_count--;
    memmove(p->mails, p->mails + 1, p->mail_count * sizeof(p->mails[0]));
    if (mail.add) {
        uint32_t each = SLOTS / WORKERS;

        assert_int_equal(amy__lane_add(&p->lane, mail.worker * each, each,
                                       mail.incarnation, NULL),
                         0);
    } else {
        (void)amy__lane_remove(&p->lane, mail.incarnation);
    }
    run_waiting(p);
    return true;
}

static void
process_main(void)
{
    struct process *p = sim.now;

    for (;;) {
        p->idle = false;
        if (p->rung > 0) {
            p->rung = 0;
            run_waiting(p);
        } else if (!read_mail(p)) {
            uint32_t what = draw(8);

            if (sim.phase == BUSY && what < 4) {
                arrive(p);
            } else if (sim.phase == BUSY && what == 4) {
                end_some(p, false);
            } else if (sim.phase != SETTLE) {
                end_some(p, true);
            }
        }
        p->idle = true;
        sim_step();
    }
}

/* ---- the master ---- */

static void
begin_coroutine(struct process *p, void (*entry)(void))
{
    free(p->stack);
    p->stack = malloc(STACK_BYTES);
    assert_non_null(p->stack);
    assert_int_equal(getcontext(&p->context), 0);
    p->context.uc_stack.ss_sp = p->stack;
    p->context.uc_stack.ss_size = STACK_BYTES;
    p->context.uc_link = NULL;
    makecontext(&p->context, entry, 0);
}

static void
post(struct process *p, bool add, uint32_t worker)
{
    assert_true(p->mail_count < MAILS);
    p->mails[p->mail_count++] = (struct mail){
        .add = add,
        .worker = worker,
        .incarnation = sim.incarnations[worker],
    };
}

static void
start_process(uint16_t index)
{
    struct process *p = &sim.processes[index];

    p->index = index;
    p->lane = (struct amy__lane){
        .borrow_slots = sim.slots,
        .process = index,
        .ring = ring,
    };
    memset(p->requests, 0, sizeof(p->requests));
    p->mail_count = 0;
    p->rung = 0;
    p->alive = true;
    p->idle = false;
    for (uint32_t i = 0; i < WORKERS; i++) {
        post(p, true, i);
    }
    begin_coroutine(p, process_main);
}

/* What the kernel does: memory gone, words left as they were. */
static void
kill_process(struct process *p)
{
    p->alive = false;
    p->lane.first = NULL;
    for (size_t i = 0; i < TICKETS; i++) {
        struct request *request = &p->requests[i];

        if (request->used && request->seat.worker != NULL &&
            sim.owner[request->seat.slot].incarnation ==
                request->seat.worker->incarnation) {
            sim.owner[request->seat.slot].taken = false;
        }
    }
    for (size_t i = 0; i < p->lane.worker_count; i++) {
        p->lane.workers[i]->in_use = 0;
    }
    amy__lane_clear(&p->lane);
    sim.to_bury = p->index;
    sim.deaths++;
}

static void
replace_worker(uint32_t worker)
{
    uint32_t each = SLOTS / WORKERS;

    for (size_t i = 0; i < PROCESSES; i++) {
        post(&sim.processes[i], false, worker);
    }
    sim.incarnations[worker] = 0; /* nobody's from here on */
    amy__slots_reset(sim.slots, worker * each, each);
    sim.incarnations[worker] = ++sim.last_incarnation;
    for (size_t i = 0; i < PROCESSES; i++) {
        post(&sim.processes[i], true, worker);
    }
}

static void
master_main(void)
{
    for (;;) {
        sim.master.idle = false;
        if (sim.to_bury >= 0) {
            uint16_t dead = (uint16_t)sim.to_bury;

            (void)amy__slots_bury(sim.slots, dead);
            start_process(dead);
            for (size_t i = 0; i < PROCESSES; i++) {
                sim.processes[i].rung += i == dead ? 0 : 1;
            }
            sim.to_bury = -1;
        } else if (sim.phase == BUSY && draw(64) == 0) {
            replace_worker(draw(WORKERS));
        }
        sim.master.idle = true;
        sim_step();
    }
}

/* ---- the schedule ---- */

static void
resume(struct process *p)
{
    sim.now = p;
    assert_int_equal(swapcontext(&sim.scheduler, &p->context), 0);
    sim.now = NULL;
}

static void
turn(void)
{
    uint32_t who = draw(PROCESSES + 1);
    struct process *p = who == PROCESSES ? &sim.master : &sim.processes[who];

    if (who < PROCESSES && !p->alive) {
        return;
    }
    if (who < PROCESSES && sim.phase == BUSY && sim.to_bury < 0 &&
        draw(120) == 0) {
        kill_process(p);
        return;
    }
    resume(p);
}

static bool
is_settled(void)
{
    bool settled = sim.to_bury < 0 && sim.master.idle;

    for (size_t i = 0; i < PROCESSES; i++) {
        const struct process *p = &sim.processes[i];

        settled = settled && p->alive && p->idle && p->rung == 0 &&
                  p->mail_count == 0;
    }
    return settled;
}

static void
settle(void)
{
    for (int i = 0; i < 100000; i++) {
        if (is_settled()) {
            return;
        }
        turn();
    }
    fail_msg("never settled");
}

static void
count(size_t *ret_running, size_t *ret_waiting, size_t *ret_taken)
{
    *ret_running = 0;
    *ret_waiting = 0;
    *ret_taken = 0;
    for (size_t i = 0; i < PROCESSES; i++) {
        for (size_t k = 0; k < TICKETS; k++) {
            const struct request *r = &sim.processes[i].requests[k];

            *ret_running += r->used && r->seat.worker != NULL ? 1 : 0;
            *ret_waiting += r->used && r->seat.worker == NULL ? 1 : 0;
        }
    }
    for (uint32_t slot = 0; slot < SLOTS; slot++) {
        *ret_taken += amy__slot_owner(sim.slots, slot) != 0 ? 1 : 0;
    }
}

static void
check_settled(void)
{
    size_t running = 0;
    size_t waiting = 0;
    size_t taken = 0;

    count(&running, &waiting, &taken);
    /* No slot without a request on it (those of replaced workers have none). */
    assert_true(taken <= running);
    /* No idle slot while a request waits. */
    assert_true(waiting == 0 || taken == SLOTS);
}

static void
check_finished(void)
{
    size_t running = 0;
    size_t waiting = 0;
    size_t taken = 0;

    count(&running, &waiting, &taken);
    assert_int_equal(running, 0);
    assert_int_equal(waiting, 0);
    assert_int_equal(taken, 0);
    assert_int_equal(amy__slots_oldest(sim.slots, 0), -1);
}

static bool
is_finished(void)
{
    size_t running = 0;
    size_t waiting = 0;
    size_t taken = 0;

    count(&running, &waiting, &taken);
    return running + waiting == 0 && is_settled();
}

static void
run_schedule(uint64_t seed)
{
    void *memory = calloc(1, amy__slots_bytes());

    assert_non_null(memory);
    sim.slots = amy__slots_over(memory);
    sim.seed = seed * 0x9e3779b97f4a7c15U + 1;
    sim.phase = BUSY;
    sim.clock = 0;
    sim.to_bury = -1;
    memset(sim.owner, 0, sizeof(sim.owner));
    for (uint32_t i = 0; i < WORKERS; i++) {
        sim.incarnations[i] = ++sim.last_incarnation;
    }
    for (uint16_t i = 0; i < PROCESSES; i++) {
        start_process(i);
    }
    begin_coroutine(&sim.master, master_main);
    for (int i = 0; i < BUSY_STEPS; i++) {
        turn();
    }
    sim.phase = SETTLE;
    settle();
    check_settled();
    sim.phase = FINISH;
    for (int i = 0; i < 100000 && !is_finished(); i++) {
        turn();
    }
    check_finished();
    for (size_t i = 0; i < PROCESSES; i++) {
        amy__lane_clear(&sim.processes[i].lane);
    }
    free(memory);
}

static void
test_schedules_leak_no_slot_and_leave_none_idle(void **state)
{
    const char *text = getenv("AMY_SIM_SCHEDULES");
    unsigned long schedules = text == NULL ? 10000 : strtoul(text, NULL, 10);

    (void)state;
    for (unsigned long i = 0; i < schedules; i++) {
        run_schedule(i);
    }
    for (size_t i = 0; i < PROCESSES; i++) {
        free(sim.processes[i].stack);
    }
    free(sim.master.stack);
    /* It was a real load: all that can happen did. */
    assert_true(sim.claims > schedules && sim.waits > schedules);
    assert_true(sim.deaths > schedules / 2 && sim.bounces > schedules / 50);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_schedules_leak_no_slot_and_leave_none_idle),
    };

    return cmocka_run_group_tests_name("front/slots_sim", tests, NULL, NULL);
}

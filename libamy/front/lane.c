/* Choosing a slot and keeping the queue of one pool in one front process. Not
 * for what is then done on the slot: that is dispatch.c. */
#include "front/lane.h"

#include <amy/error.h>

#include "core/alloc.h"
#include "core/check.h"

#include <string.h>

#define QUEUE_DEFAULT 1000U
#define CHEAP_US 16000U
/* Nothing is free: what costs least has to stand in line too. */
#define COST_MIN_US 1000U
/* Between processes age decides, and how much longer than its cost a request
 * may be asked to wait for others. */
#define HANDICAP 4
#define HANDICAP_MAX_US 5000000

static void
drop_worker(struct amy__lane *lane, struct amy__lane_worker *worker)
{
    if (lane->drop != NULL) {
        lane->drop(worker, lane->user);
    }
    amy__free(worker->recent);
    amy__free(worker);
}

void
amy__lane_clear(struct amy__lane *lane)
{
    AMY_ASSERT(lane->first == NULL);
    for (size_t i = 0; i < lane->worker_count; i++) {
        AMY_ASSERT(lane->workers[i]->in_use == 0);
        drop_worker(lane, lane->workers[i]);
    }
    amy__free(lane->workers);
    lane->workers = NULL;
    lane->worker_count = 0;
    lane->worker_cap = 0;
}

static int
make_room(struct amy__lane *lane)
{
    size_t cap = lane->worker_cap == 0 ? 8 : lane->worker_cap * 2;
    struct amy__lane_worker **grown = NULL;

    if (lane->worker_count < lane->worker_cap) {
        return 0;
    }
    grown = amy__realloc(lane->workers, cap * sizeof(*grown));
    if (grown == NULL) {
        return AMY_ENOMEM;
    }
    lane->workers = grown;
    lane->worker_cap = cap;
    return 0;
}

int
amy__lane_add(struct amy__lane *lane, uint32_t slot, uint32_t slots,
              uint64_t incarnation, void *user)
{
    struct amy__lane_worker *worker = NULL;

    if (slots == 0 || slots > AMY__SLOTS_MAX || slot > AMY__SLOTS_MAX - slots) {
        return AMY_EINVAL;
    }
    worker = amy__calloc(1, sizeof(*worker));
    if (worker == NULL || make_room(lane) < 0) {
        amy__free(worker);
        return AMY_ENOMEM;
    }
    worker->recent = amy__calloc(slots, sizeof(*worker->recent));
    if (worker->recent == NULL) {
        amy__free(worker);
        return AMY_ENOMEM;
    }
    worker->slot = slot;
    worker->slots = slots;
    worker->incarnation = incarnation;
    worker->user = user;
    lane->workers[lane->worker_count++] = worker;
    return 0;
}

/* A worker that is gone goes with its last seat. */
static void
settle_worker(struct amy__lane *lane, struct amy__lane_worker *worker)
{
    if (!worker->gone || worker->in_use > 0) {
        return;
    }
    for (size_t i = 0; i < lane->worker_count; i++) {
        if (lane->workers[i] == worker) {
            lane->workers[i] = lane->workers[--lane->worker_count];
            drop_worker(lane, worker);
            return;
        }
    }
}

bool
amy__lane_remove(struct amy__lane *lane, uint64_t incarnation)
{
    for (size_t i = 0; i < lane->worker_count; i++) {
        if (lane->workers[i]->incarnation == incarnation) {
            lane->workers[i]->gone = true;
            settle_worker(lane, lane->workers[i]);
            return true;
        }
    }
    return false;
}

static bool
is_there(const struct amy__lane_worker *worker)
{
    return !worker->gone && !worker->avoid;
}

/* Who refused is tried with one request at a time: while others are busy it has
 * the fewest, and would draw all that come. */
static bool
takes(const struct amy__lane_worker *worker)
{
    return is_there(worker) && (worker->refusals == 0 || worker->in_use == 0);
}

size_t
amy__lane_ready(const struct amy__lane *lane)
{
    size_t ready = 0;

    for (size_t i = 0; i < lane->worker_count; i++) {
        ready += is_there(lane->workers[i]) ? 1 : 0;
    }
    return ready;
}

static bool
claim(struct amy__lane *lane, struct amy__lane_worker *worker, uint32_t slot,
      struct amy__seat *ret_seat)
{
    if (!amy__slot_claim(lane->borrow_slots, slot, lane->process,
                         worker->incarnation)) {
        return false;
    }
    worker->in_use++;
    worker->last_seat = ++lane->seats;
    *ret_seat = (struct amy__seat){worker, slot};
    return true;
}

/* Slots this process had last are likely free, and warm in the worker. */
static bool
claim_recent(struct amy__lane *lane, struct amy__lane_worker *worker,
             struct amy__seat *ret_seat)
{
    while (worker->recent_n > 0) {
        uint16_t offset = worker->recent[--worker->recent_n];

        if (claim(lane, worker, worker->slot + offset, ret_seat)) {
            return true;
        }
    }
    return false;
}

/* In turn, the lowest slots are claimed: behind so many free ones in a row
 * there is next to nothing, and most of a thousand words need not be read. */
#define QUIET 64U

static uint32_t
count_busy(const struct amy__lane *lane, const struct amy__lane_worker *worker)
{
    uint32_t busy = 0;
    uint32_t quiet = 0;

    for (uint32_t i = 0; i < worker->slots && quiet < QUIET; i++) {
        bool taken = amy__slot_owner(lane->borrow_slots, worker->slot + i) != 0;

        busy += taken ? 1 : 0;
        quiet = taken || !lane->in_turn ? 0 : quiet + 1;
    }
    return busy;
}

static bool
claim_any(struct amy__lane *lane, struct amy__lane_worker *worker,
          struct amy__seat *ret_seat)
{
    for (uint32_t i = 0; i < worker->slots; i++) {
        if (claim(lane, worker, worker->slot + i, ret_seat)) {
            return true;
        }
    }
    return false;
}

/* The worker with the fewest requests among those with a free slot. */
static struct amy__lane_worker *
least_loaded(const struct amy__lane *lane)
{
    struct amy__lane_worker *best = NULL;
    uint32_t best_busy = UINT32_MAX;

    for (size_t i = 0; i < lane->worker_count; i++) {
        struct amy__lane_worker *worker =
            lane->workers[(lane->look_from + i) % lane->worker_count];
        uint32_t busy = takes(worker) ? count_busy(lane, worker) : UINT32_MAX;

        if (busy < best_busy && busy < worker->slots) {
            best = worker;
            best_busy = busy;
        }
    }
    return best;
}

/* Where nobody waits, idle workers take turns: the first worker of a new
 * release has to meet visitors also where they are few. Else the one whose
 * slots were given back last, which are likely free. */
static bool
is_better(const struct amy__lane_worker *worker,
          const struct amy__lane_worker *best, bool quiet)
{
    if (best == NULL || worker->in_use != best->in_use) {
        return best == NULL || worker->in_use < best->in_use;
    }
    return quiet ? worker->last_seat < best->last_seat
                 : worker->recent_n > best->recent_n;
}

/* What this process has on each worker stands for its load at first: no shared
 * word is read. Only where that fails are all words looked at. */
static struct amy__lane_worker *
least_used(const struct amy__lane *lane, bool quiet)
{
    struct amy__lane_worker *best = NULL;

    for (size_t i = 0; i < lane->worker_count; i++) {
        struct amy__lane_worker *worker = lane->workers[i];

        if (takes(worker) && worker->in_use < worker->slots &&
            is_better(worker, best, quiet)) {
            best = worker;
        }
    }
    return best;
}

/* Who comes next begins to look behind this one. */
static void
pass_turn(struct amy__lane *lane, const struct amy__lane_worker *worker)
{
    for (size_t i = 0; lane->in_turn && i < lane->worker_count; i++) {
        if (lane->workers[i] == worker) {
            lane->look_from = i + 1;
            return;
        }
    }
}

static bool
take_seat(struct amy__lane *lane, struct amy__seat *ret_seat)
{
    bool quiet = lane->first == NULL;
    struct amy__lane_worker *worker =
        lane->in_turn ? NULL : least_used(lane, quiet);

    if (worker != NULL && (claim_recent(lane, worker, ret_seat) ||
                           (quiet && claim_any(lane, worker, ret_seat)))) {
        return true;
    }
    for (;;) {
        worker = least_loaded(lane);
        if (worker == NULL) {
            return false;
        }
        if (claim_any(lane, worker, ret_seat)) {
            pass_turn(lane, worker);
            return true;
        }
    }
}

static unsigned
group_of(uint32_t cost_us)
{
    unsigned group = 0;

    for (uint64_t limit = CHEAP_US; cost_us >= limit; limit *= 4) {
        if (++group == AMY__LANE_GROUPS - 1) {
            break;
        }
    }
    return group;
}

/* Who goes next, and where its group stands (start-time fair queueing): of the
 * oldest of each group the one whose group has been served least; before all
 * of them, who was served and had to come back. */
static struct amy__ticket *
choose(const struct amy__lane *lane, int64_t *ret_start)
{
    struct amy__ticket *found = NULL;
    uint32_t seen = 0;

    *ret_start = lane->turn;
    for (struct amy__ticket *t = lane->first; t != NULL && !t->bounced;
         t = t->next) {
        unsigned group = group_of(t->cost_us);
        int64_t owed = lane->owed[group];
        int64_t start = owed > lane->turn ? owed : lane->turn;

        if ((seen >> group & 1U) == 0 &&
            (found == NULL || start < *ret_start)) {
            found = t;
            *ret_start = start;
        }
        seen |= 1U << group;
        if (seen == lane->groups) {
            break;
        }
    }
    return found != NULL ? found : lane->first;
}

/* What the processes compare is the age of each one's next request, which
 * counts less where it is likely to take long. */
static int64_t
urgency_us(const struct amy__ticket *ticket)
{
    int64_t handicap = (int64_t)ticket->cost_us * HANDICAP;

    return ticket->since_us +
           (handicap < HANDICAP_MAX_US ? handicap : HANDICAP_MAX_US);
}

static void
publish(struct amy__lane *lane)
{
    int64_t start = 0;
    const struct amy__ticket *next = choose(lane, &start);

    if (lane->pool != AMY__POOL_UNKNOWN) {
        amy__slots_wait(lane->borrow_slots, lane->pool, lane->process,
                        next == NULL ? 0 : urgency_us(next));
    }
}

void
amy__lane_set_pool(struct amy__lane *lane, uint32_t pool)
{
    if (lane->pool != pool && lane->pool != AMY__POOL_UNKNOWN) {
        amy__slots_wait(lane->borrow_slots, lane->pool, lane->process, 0);
    }
    lane->pool = pool;
    publish(lane);
}

/* Behind all others; the bounced before them, in the order of their age. */
static void
enqueue(struct amy__lane *lane, struct amy__ticket *ticket)
{
    struct amy__ticket *after = lane->last;
    unsigned group = group_of(ticket->cost_us);

    while (ticket->bounced && after != NULL &&
           !(after->bounced && after->since_us <= ticket->since_us)) {
        after = after->prev;
    }
    ticket->prev = after;
    ticket->next = after == NULL ? lane->first : after->next;
    *(after == NULL ? &lane->first : &after->next) = ticket;
    *(ticket->next == NULL ? &lane->last : &ticket->next->prev) = ticket;
    lane->waiting++;
    lane->waiting_in[group]++;
    lane->groups |= 1U << group;
    publish(lane);
}

void
amy__lane_forget(struct amy__lane *lane, struct amy__ticket *ticket)
{
    unsigned group = group_of(ticket->cost_us);

    *(ticket->prev == NULL ? &lane->first : &ticket->prev->next) = ticket->next;
    *(ticket->next == NULL ? &lane->last : &ticket->next->prev) = ticket->prev;
    *ticket = (struct amy__ticket){0};
    lane->waiting--;
    if (--lane->waiting_in[group] == 0) {
        lane->groups &= ~(1U << group);
    }
    if (lane->first == NULL) {
        /* Nobody waits: nobody has been kept waiting. */
        lane->turn = 0;
        memset(lane->owed, 0, sizeof(lane->owed));
    }
    publish(lane);
}

/* It has a seat: its group has had what it costs. Charged only now, so that who
 * leaves unserved leaves no debt behind. */
static void
serve(struct amy__lane *lane, struct amy__ticket *ticket, int64_t start)
{
    uint32_t cost_us =
        ticket->cost_us > COST_MIN_US ? ticket->cost_us : COST_MIN_US;

    if (!ticket->bounced) {
        lane->turn = start;
        lane->owed[group_of(ticket->cost_us)] = start + cost_us;
    }
    amy__lane_forget(lane, ticket);
}

static bool
has_free_slot(const struct amy__lane *lane)
{
    return least_loaded(lane) != NULL;
}

bool
amy__lane_next(struct amy__lane *lane, struct amy__ticket **ret_ticket,
               struct amy__seat *ret_seat)
{
    int other = -1;
    int64_t start = 0;

    if (lane->first != NULL) {
        if (!take_seat(lane, ret_seat)) {
            return false;
        }
        *ret_ticket = choose(lane, &start);
        serve(lane, *ret_ticket, start);
        return true;
    }
    if (lane->pool == AMY__POOL_UNKNOWN) {
        return false;
    }
    /* We may have been rung more often than we had requests. */
    other = amy__slots_oldest(lane->borrow_slots, lane->pool);
    if (other >= 0 && other != lane->process && has_free_slot(lane)) {
        lane->ring((uint16_t)other, lane->user);
    }
    return false;
}

int
amy__lane_enter(struct amy__lane *lane, struct amy__ticket *ticket,
                int64_t now_us, struct amy__seat *ret_seat)
{
    uint32_t limit = lane->limit == 0 ? QUEUE_DEFAULT : lane->limit;
    struct amy__ticket *next = NULL;

    if (lane->first == NULL && take_seat(lane, ret_seat)) {
        return 1;
    }
    if (lane->waiting >= limit) {
        return AMY_ELIMIT;
    }
    ticket->since_us = now_us;
    ticket->bounced = false;
    enqueue(lane, ticket);
    /* A slot that was freed before the waiting word was there rang nobody. */
    if (lane->first == ticket && amy__lane_next(lane, &next, ret_seat)) {
        AMY_ASSERT(next == ticket);
        return 1;
    }
    return 0;
}

/* True: our own requests are the oldest. */
static bool
free_seat(struct amy__lane *lane, const struct amy__seat *seat)
{
    struct amy__lane_worker *worker = seat->worker;
    int oldest =
        amy__slot_release(lane->borrow_slots, seat->slot, lane->process,
                          worker->incarnation, lane->pool);

    AMY_ASSERT(worker->in_use > 0);
    worker->in_use--;
    if (worker->recent_n < worker->slots) {
        worker->recent[worker->recent_n++] =
            (uint16_t)(seat->slot - worker->slot);
    }
    settle_worker(lane, worker);
    if (oldest >= 0 && oldest != lane->process) {
        lane->ring((uint16_t)oldest, lane->user);
        return false;
    }
    return oldest >= 0;
}

bool
amy__lane_leave(struct amy__lane *lane, const struct amy__seat *seat)
{
    return free_seat(lane, seat);
}

void
amy__lane_bounce(struct amy__lane *lane, const struct amy__seat *seat,
                 struct amy__ticket *ticket, int64_t since_us)
{
    seat->worker->avoid = true;
    *ticket = (struct amy__ticket){.since_us = since_us, .bounced = true};
    enqueue(lane, ticket);
    (void)free_seat(lane, seat);
}

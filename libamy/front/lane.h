/* One pool as one front process sees it: its workers, and the requests that
 * wait here for a slot. Decides who runs where and whom to wake. Pure but for
 * the ring callback: no sockets, no timers, no clock. */
#ifndef AMY_FRONT_LANE_H
#define AMY_FRONT_LANE_H

#include "front/slots.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A worker that was announced. Kept until it was announced gone and the last
 * seat on it was given back. */
struct amy__lane_worker {
    uint32_t slot;  /* its first word */
    uint32_t slots; /* how many it has */
    uint64_t incarnation;
    uint32_t in_use;   /* seats of this process */
    uint32_t recent_n; /* slots this process gave back, the last one on top */
    uint16_t *recent;
    uint64_t last_seat;     /* number of the last one on it; 0: none yet */
    bool gone;              /* takes nothing any more */
    bool avoid;             /* did not take a connection just now */
    uint32_t refusals;      /* of connections, since it last took one; the
                             * caller's. While there are any: one at a time */
    int64_t avoid_until_ms; /* the caller's */
    void *user;             /* the caller's: the client toward it */
};

/* A slot that was claimed. */
struct amy__seat {
    struct amy__lane_worker *worker;
    uint32_t slot;
};

/* A request that waits; lives in the caller's memory. */
struct amy__ticket {
    struct amy__ticket *prev;
    struct amy__ticket *next;
    int64_t since_us; /* above 0 while it waits */
    uint32_t cost_us; /* what it is likely to take; 0: unknown. Set to enter */
    bool bounced;     /* goes before all others */
};

/* Requests are grouped by what they are likely to cost: below 16 ms, and four
 * times as much for each further group. */
#define AMY__LANE_GROUPS 6U

/* A pool that no worker was announced of yet has no words. */
#define AMY__POOL_UNKNOWN UINT32_MAX

struct amy__lane {
    struct amy__slots *borrow_slots;
    uint64_t seats; /* claimed so far */
    uint32_t pool;
    uint16_t process;
    struct amy__lane_worker **workers;
    size_t worker_count;
    size_t worker_cap;
    struct amy__ticket *first; /* the oldest, or who was bounced */
    struct amy__ticket *last;
    int64_t turn;                   /* where who was served last began */
    int64_t owed[AMY__LANE_GROUPS]; /* where a group's last served ended */
    uint32_t waiting_in[AMY__LANE_GROUPS];
    uint32_t groups; /* a bit for each that has requests waiting */
    uint32_t waiting;
    uint32_t limit; /* most tickets [0: 1000] */
    /* Servers with many slots each: always the one with the fewest requests of
     * all processes, and in turn where they are equal. Else the slots that this
     * process had last, which are warm. */
    bool in_turn;
    size_t look_from; /* in turn: which worker comes next */
    /* Wake that process (never this one). */
    void (*ring)(uint16_t process, void *user);
    /* A worker's last touch: free its user. */
    void (*drop)(struct amy__lane_worker *worker, void *user);
    void *user;
};

void amy__lane_set_pool(struct amy__lane *lane, uint32_t pool);
/* Frees the workers; no ticket or seat may be left. */
void amy__lane_clear(struct amy__lane *lane);

/* AMY_ENOMEM. Look for requests that can run now (amy__lane_next) after it. */
int amy__lane_add(struct amy__lane *lane, uint32_t slot, uint32_t slots,
                  uint64_t incarnation, void *user);
/* False: nobody known by that incarnation. */
bool amy__lane_remove(struct amy__lane *lane, uint64_t incarnation);
/* Workers that may be asked now: announced, not avoided. */
size_t amy__lane_ready(const struct amy__lane *lane);

/* A request comes. 1: it has a seat; 0: it waits; AMY_ELIMIT: too many do.
 * Groups of requests that wait share the workers' time evenly (start-time fair
 * queueing), in the order in which they came within a group: a few that take
 * seconds do not keep back the many that take milliseconds, and cannot be
 * kept back by them either (docs/decisions/0072). */
int amy__lane_enter(struct amy__lane *lane, struct amy__ticket *ticket,
                    int64_t now_us, struct amy__seat *ret_seat);
/* After a ring, a new worker, or when a call here says so: the first waiting
 * request with a seat for it. Call until it is false: only then is the ring
 * passed on where slots are left. */
bool amy__lane_next(struct amy__lane *lane, struct amy__ticket **ret_ticket,
                    struct amy__seat *ret_seat);
/* It does not wait any more (timeout, client gone). */
void amy__lane_forget(struct amy__lane *lane, struct amy__ticket *ticket);
/* A seat back. True: requests of this process are the oldest, ask
 * amy__lane_next. */
bool amy__lane_leave(struct amy__lane *lane, const struct amy__seat *seat);
/* The seat's worker took no connection: avoid it, and put the request back
 * at the head of the queue. Ask amy__lane_next then. */
void amy__lane_bounce(struct amy__lane *lane, const struct amy__seat *seat,
                      struct amy__ticket *ticket, int64_t since_us);

#endif

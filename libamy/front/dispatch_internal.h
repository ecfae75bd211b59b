/* What dispatch.c (requests on slots) and lanes.c (pools with their queues and
 * workers) share. Nothing else includes it. */
#ifndef AMY_FRONT_DISPATCH_INTERNAL_H
#define AMY_FRONT_DISPATCH_INTERNAL_H

#include "front/costs.h"
#include "front/dispatch.h"
#include "serve/slab.h"

#include <sys/queue.h>

struct amy__timer;

struct amy__run {
    TAILQ_ENTRY(amy__run) link;
    struct amy__pool_lane *pool;
    struct amy__seat seat;
    struct amy__job *job; /* NULL: nobody waits for the answer any more */
    struct amy__call *call;
    int64_t started_ms;
    int64_t progress_ms;
    uint32_t cost_key;
    bool answered;
    bool paused; /* the silence is ours */
    bool tunnel; /* 101 came */
};

TAILQ_HEAD(amy__runs, amy__run);

/* A worker's client; the lane worker's user. */
struct amy__upstream {
    struct amy__dispatch *dispatch;
    struct amy__client *client;
    int dir_fd;
    char name[128];
    char label[AMY__WORKER_LABEL];
};

struct amy__pool_lane {
    LIST_ENTRY(amy__pool_lane) link;
    struct amy__dispatch *dispatch;
    struct amy__lane lane;
    struct amy__timer *deadline; /* the soonest of those that wait */
    bool watched; /* it is armed, and not too late for any of them */
    struct amy__timer *forgive;
    int64_t forgive_ms; /* when it runs; 0: it does not */
    int64_t age_ms;
    uint32_t tunnels;
    int64_t down_since_ms; /* no worker can be asked since then; 0: one can */
    unsigned refs;         /* routes that lead to it */
    char *name;
    struct amy__costs costs;
};

struct amy__dispatch {
    struct event_base *base;
    struct amy__slots *slots;
    uint16_t process;
    int *events;
    size_t event_count;
    int64_t upstream_wait_ms;
    const struct amy_clock *clock;
    const struct amy__call_ops *ops;
    struct amy__timer *tick;
    bool ticking;
    int64_t now_ms;
    struct amy__slab run_slab;
    struct amy__runs runs;
    uint32_t running;
    LIST_HEAD(, amy__pool_lane) pools;
};

static inline struct amy__job *
amy__job_of(struct amy__ticket *ticket)
{
    return (struct amy__job *)(void *)((char *)ticket -
                                       offsetof(struct amy__job, ticket));
}

/* dispatch.c */
/* Reads the clock; what it says is kept for those who need it less exactly. */
int64_t amy__dispatch_now_ms(struct amy__dispatch *dispatch);
void amy__run_begin(struct amy__pool_lane *pool, struct amy__job *job,
                    const struct amy__seat *seat);

/* lanes.c */
/* Those that wait get the slots that are free. */
void amy__pool_lane_serve(struct amy__pool_lane *pool);
/* After one came or went: keep an eye on the deadlines of those that wait. */
void amy__pool_lane_watch(struct amy__pool_lane *pool);
/* Only a worker that is new, or that answers, ends the outage: one that may be
 * asked again after its avoidance has shown nothing yet. */
void amy__pool_lane_up(struct amy__pool_lane *pool);
void amy__pool_lane_down(struct amy__pool_lane *pool);
/* A worker took no connection (refused: nobody listens; else its backlog is
 * full): it is asked again a little later. Before its seat is given back. */
void amy__pool_lane_blame(struct amy__pool_lane *pool,
                          struct amy__lane_worker *worker, bool refused);
void amy__pool_lane_free(struct amy__pool_lane *pool);

#endif

/* When the workers of a new generation start and those of the old one end: a
 * pure function over the facts of one site. No I/O, no clock, no memory: it is
 * told what every worker does and says which shall run.
 *
 * A seat is one position of one pool in both generations. Whatever happens, a
 * pool has as many ready workers as it had: the new one of a seat is ready
 * before the old one drains, and on the way back the old one is ready again
 * before the new one does. Pools with `replace: stop-first` come last and never
 * have two in a seat. What has no socket cannot be asked anything: all of it
 * must live through a bake of its own before the outcome is told. */
#ifndef AMY_WORKERS_ROLL_H
#define AMY_WORKERS_ROLL_H

#include <amy/pool.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How long a deployment waits for what only finishes its last job; not less
 * than a bake. Who goes back does not. */
#define AMY__ROLL_DRAIN_MS 10000
/* How long it waits for the old generation to be complete again. */
#define AMY__ROLL_BACK_MS 30000

enum amy__roll_phase {
    AMY__ROLL_IDLE = 0,
    AMY__ROLL_START,  /* nothing ever worked: all at once, and no way back */
    AMY__ROLL_CANARY, /* one new worker of each pool that serves */
    AMY__ROLL_BAKE,   /* those answer visitors, too */
    AMY__ROLL_SEATS,  /* the others follow, one by one */
    AMY__ROLL_STOP_FIRST, /* the pools that never have two in a seat */
    AMY__ROLL_SETTLE,     /* whom no canary spoke for must live on, too */
    AMY__ROLL_BACK,       /* it failed: the old generation is completed again */
};

enum amy__roll_outcome {
    AMY__ROLL_OPEN = 0,
    AMY__ROLL_DONE,
    AMY__ROLL_FAILED,
};

struct amy__roll_seat {
    uint32_t old_state; /* enum amy_worker_state; STOPPED also when none */
    uint32_t new_state;
    bool want_old; /* shall a worker run there? In and out. */
    bool want_new;
    bool drained; /* the old one was told to go; kept from step to step */
};

struct amy__roll_pool {
    uint64_t after;  /* 1 << index: needs a ready worker of those */
    bool serves;     /* has sockets: gets a canary */
    bool stop_first; /* the new specification says so */
    bool fresh;      /* no worker of the old one ever was ready, or none is */
    uint32_t old_count;
    uint32_t new_count; /* 0: the new site.yaml does not have it */
    size_t seat_count;  /* the greater of both */
    struct amy__roll_seat *seats;
};

struct amy__roll {
    enum amy__roll_phase phase;
    int64_t since_ms; /* when it began */
    int64_t bake_ms;
    bool proven; /* it has served before: no canary, all seats at once */
    bool back;   /* it failed, and the old generation goes on */
    bool told;   /* the outcome is: there is no way back from here */
    size_t pool_count;
    struct amy__roll_pool *pools;
};

struct amy__roll_input {
    int64_t now_ms;
    bool unsure;   /* a health check of the bake has not been answered yet */
    bool given_up; /* somebody wants one that has served, instead */
    bool failed;   /* a new worker is no good: */
    size_t failed_pool;
    uint32_t failed_seat;
};

struct amy__roll_output {
    enum amy__roll_outcome outcome; /* told once; OPEN: not now */
    int64_t due_ms;                 /* step again then; -1: when facts change */
};

void amy__roll_begin(struct amy__roll *roll, int64_t now_ms);
struct amy__roll_output amy__roll_step(struct amy__roll *roll,
                                       const struct amy__roll_input *in);
/* "idle", "start", "canary" ... */
const char *amy__roll_phase_name(enum amy__roll_phase phase);

#endif

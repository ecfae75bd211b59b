/* Queue, slots and calls on a fake clock, with clients that do what they are
 * told. */
#ifndef DISPATCHING_H
#define DISPATCHING_H

#include "front/dispatch.h"

#define CALLS 8U

/* One call as the fake client knows it; the library only passes its address. */
struct fake_call {
    const struct amy__call_handler *handler;
    void *user;
    bool live;
    bool detached;
    bool hung_up;
    bool finished;
    bool paused;
    bool connecting;
    bool sent;
};

struct fake_client {
    struct fake_call calls[CALLS];
    unsigned started;
    unsigned cancelled;
    unsigned clients;
    bool refuse; /* start fails */
};
extern struct fake_client fake;

struct amy__call *handle_of(struct fake_call *call);
/* What the worker of the n-th call does. */
void end_call(unsigned n);
void fail_call(unsigned n, enum amy__call_failure failure);

/* A job that notes what it hears. */
struct noted {
    struct amy__job job; /* first */
    unsigned heads;
    unsigned answers;
    unsigned ends;
    unsigned fails;
    enum amy__job_failure failure;
};

extern const struct amy__job_events noted_events;

struct fixture {
    void *memory;
    struct amy__slots *slots;
    struct amy__dispatch *dispatch;
    struct amy__pool_lane *pool;
    int bells[2];
    struct noted a;
    struct noted b;
    struct noted c;
};

/* Of cmocka: one pool without a worker. */
int dispatching_set_up(void **state);
int dispatching_tear_down(void **state);
/* With one slot. */
void add_worker(struct fixture *f, uint32_t slot, uint64_t incarnation);
void start(struct fixture *f, struct noted *noted);
uint32_t waiting(struct fixture *f);

#endif

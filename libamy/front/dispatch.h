/* Requests to workers: waits for a slot, speaks to its worker, gives the slot
 * back when the worker is done, whatever became of the client. */
#ifndef AMY_FRONT_DISPATCH_H
#define AMY_FRONT_DISPATCH_H

#include <amy/clock.h>
#include <amy/error.h>

#include "front/lane.h"
#include "net/address.h"
#include "serve/client.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct amy__dispatch;
struct amy__pool_lane; /* one pool: its lane, clients and timers */
struct amy__run;       /* one request on one slot */
struct amy__job;

enum amy__job_failure {
    AMY__JOB_DOWN = 1, /* no worker took it within the wait: 503, down.html */
    AMY__JOB_FULL,     /* the queue is: 503 */
    AMY__JOB_LATE,     /* waited too long for a slot: 503 */
    AMY__JOB_TIMEOUT,  /* 504 */
    AMY__JOB_BAD,      /* no answer, or no HTTP: 502 */
    AMY__JOB_CUT,      /* the answer's body ended early */
    AMY__JOB_IDLE,     /* a tunnel in which nobody said anything */
    AMY__JOB_GONE,     /* its client was, before a worker had it */
};

struct amy__job_events {
    /* It has a slot: what is to be sent? The head is read at once; the body's
     * bytes live until the job is over or amy__job_leave() was called. */
    const struct amy__request_head *(*head)(struct amy__job *job,
                                            struct amy__body *ret_body);
    void (*on_answer)(struct amy__job *job,
                      const struct amy__answer_head *head);
    void (*on_data)(struct amy__job *job, struct amy__span data);
    /* After the answer 101: as serve/client.h. */
    void (*on_half)(struct amy__job *job);
    void (*on_room)(struct amy__job *job);
    /* One of these, last. */
    void (*on_end)(struct amy__job *job);
    void (*on_fail)(struct amy__job *job, enum amy__job_failure failure,
                    const char *reason);
};

/* The end of what is longer: the path of a socket. */
#define AMY__WORKER_LABEL 48

/* Lives in the caller's memory until it is over. */
struct amy__job {
    struct amy__ticket ticket;
    const struct amy__job_events *borrow_events;
    struct amy__pool_lane *pool;
    struct amy__run *run; /* on a slot; NULL: waits, or is over */
    int64_t entered_us;
    int64_t seated_us; /* 0: it never had a slot */
    uint32_t timeout_ms;
    uint32_t cost_key;  /* front/costs.h; set before the start, 0: none */
    uint32_t tunnel_ms; /* set before it starts: of silence after 101 */
    bool gone;          /* amy__job_gone() */
    char worker[AMY__WORKER_LABEL]; /* "web/1.0": who had it last */
};

/* What a unit test replaces; NULL in options: serve/client.h. */
struct amy__call_ops {
    int (*client_create)(const struct amy__client_options *opts,
                         struct amy__client **ret_client,
                         struct amy_error *err);
    void (*client_free)(struct amy__client *client);
    int (*start)(struct amy__client *client,
                 const struct amy__request_head *head,
                 const struct amy__body *body, uint32_t timeout_ms,
                 const struct amy__call_handler *borrow_handler, void *user,
                 struct amy__call **ret_call, struct amy_error *err);
    int (*send)(struct amy__call *call, struct amy__span data);
    void (*finish)(struct amy__call *call);
    void (*pause)(struct amy__call *call);
    void (*resume)(struct amy__call *call);
    void (*detach)(struct amy__call *call);
    void (*hang_up)(struct amy__call *call);
    void (*cancel)(struct amy__call *call);
    bool (*connected)(const struct amy__call *call);
    bool (*sent)(const struct amy__call *call);
};

struct amy__dispatch_options {
    struct event_base *base;
    struct amy__slots *borrow_slots;
    uint16_t process; /* our own number */
    const int
        *events; /* everybody's eventfd, by number; copied, borrowed fds */
    size_t event_count;
    int64_t upstream_wait_ms; /* [5 s] for a worker to appear */
    const struct amy_clock *borrow_clock;
    const struct amy__call_ops *borrow_ops;
};

int amy__dispatch_create(const struct amy__dispatch_options *opts,
                         struct amy__dispatch **ret_dispatch,
                         struct amy_error *err);
/* Every job is over, or is dropped without a word. */
void amy__dispatch_free(struct amy__dispatch *dispatch);
/* Our own eventfd counted. */
void amy__dispatch_rung(struct amy__dispatch *dispatch);
/* All tunnels end now, as those do in which nobody says anything. */
void amy__dispatch_end_tunnels(struct amy__dispatch *dispatch);
/* Requests still on a slot, also those whose client is gone. */
uint32_t amy__dispatch_running(const struct amy__dispatch *dispatch);

/* A pool that nobody has announced a worker of yet may be asked for: its
 * requests wait. */
int amy__pool_lane_create(struct amy__dispatch *dispatch, const char *name,
                          struct amy__pool_lane **ret_pool,
                          struct amy_error *err);
/* Whoever keeps a pool (a route) counts in it. */
struct amy__pool_lane *amy__pool_lane_ref(struct amy__pool_lane *pool);
void amy__pool_lane_unref(struct amy__pool_lane *pool); /* NULL: no-op */
/* Free one that nobody keeps, that has no worker and no request; false: it has,
 * and stays. */
bool amy__pool_lane_forget(struct amy__pool_lane *pool);
const char *amy__pool_lane_name(const struct amy__pool_lane *pool);
/* Most requests that wait, and for how long at most. */
void amy__pool_lane_set_limits(struct amy__pool_lane *pool, uint32_t length,
                               int64_t age_ms);
struct amy__pool_lane_figures {
    uint32_t waiting;
    int64_t oldest_ms; /* how long the first has waited */
    uint32_t workers;
    uint32_t tunnels; /* seats of this process that are WebSockets */
};
void amy__pool_lane_figures(const struct amy__pool_lane *pool,
                            struct amy__pool_lane_figures *ret);

struct amy__worker_spec {
    uint32_t pool_index;
    uint32_t slot;
    uint32_t slots;
    uint64_t incarnation;
    int dir_fd; /* duplicated */
    const char *name;
    /* A server of somebody else's instead, by its address (a name of its own is
     * not beneath dir_fd); copied. Its pool takes all in turn. */
    const struct amy__address *address;
};
/* The i-th of a pool's servers; false past the end, and where it has workers.
 */
struct amy__pool_lane_server {
    const char *name;
    uint32_t refusals; /* connections in a row that it did not take */
};
bool amy__pool_lane_server(const struct amy__pool_lane *pool, size_t i,
                           struct amy__pool_lane_server *ret);
int amy__pool_lane_add(struct amy__pool_lane *pool,
                       const struct amy__worker_spec *spec,
                       struct amy_error *err);
void amy__pool_lane_remove(struct amy__pool_lane *pool, uint64_t incarnation);

/* Enter a pool. What follows comes from the loop, never from inside; but a full
 * queue is told at once: AMY_ELIMIT (no callback then). */
int amy__job_start(struct amy__job *job, struct amy__pool_lane *pool,
                   uint32_t timeout_ms, const struct amy__job_events *events);
/* After 101: as amy__call_send() and amy__call_finish(). */
int amy__job_send(struct amy__job *job, struct amy__span data);
void amy__job_finish(struct amy__job *job);
void amy__job_pause(struct amy__job *job);
void amy__job_resume(struct amy__job *job);
/* The client of one that has a slot left, or will only listen from now on. The
 * worker that has it answers; but where none took the connection it does not
 * wait for another, as those in the queue do not: AMY__JOB_GONE. */
void amy__job_gone(struct amy__job *job);
/* Nobody wants the answer any more: no callback comes. The slot stays taken
 * until the worker is done. */
void amy__job_leave(struct amy__job *job);
/* From on_answer: its head was all that was wanted. A brief body is read and
 * dropped, so that the connection stays; any other may have no end, and the
 * worker is hung up on. */
void amy__job_dismiss(struct amy__job *job, bool brief);

#endif

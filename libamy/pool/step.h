/* When a worker is started, asked to finish, killed and tried again: a pure
 * function over one position's facts. No I/O, no clock, no memory; facts are
 * plain numbers, which can be written down and read again by a later program
 * that takes the workers over. */
#ifndef AMY_POOL_STEP_H
#define AMY_POOL_STEP_H

#include <amy/error.h>
#include <amy/pool.h>

#include "core/str.h"

#include <stddef.h>
#include <stdint.h>

#define AMY__WORKER_STATES 8

/* What happened to a position. */
enum amy__cause {
    AMY__CAUSE_WANT = 0,  /* it should run */
    AMY__CAUSE_STOP,      /* it should not, but may finish what it has */
    AMY__CAUSE_STOP_NOW,  /* it should not */
    AMY__CAUSE_RESTART,   /* somebody asks for a new process */
    AMY__CAUSE_STARTED,   /* DO_START led to a process */
    AMY__CAUSE_BLOCKED,   /* DO_START found the position's lock held */
    AMY__CAUSE_UNSTARTED, /* DO_START failed */
    AMY__CAUSE_READY,
    AMY__CAUSE_EXITED, /* the process has been reaped */
    AMY__CAUSE_TICK,   /* due_ms has come */
};
#define AMY__CAUSES 10

/* What is to be done, as a set. START is answered at once by one of STARTED,
 * BLOCKED, UNSTARTED. */
#define AMY__DO_START 1U
#define AMY__DO_SIGNAL 2U /* stop_signal to the worker itself */
#define AMY__DO_KILL 4U   /* SIGKILL to its group and what left the group */

struct amy__pool_policy {
    uint32_t probed; /* ready when told so, not by settle_ms */
    uint32_t boot_timeout_ms;
    uint32_t settle_ms;
    uint32_t stop_patience_ms;
    uint32_t withdraw_ms; /* between telling of a drain and the signal */
    uint32_t min_uptime_ms;
    uint32_t backoff_max_ms;
    uint32_t start_retries;
    uint32_t retry_ms; /* of one that FAILED */
};

/* All zero but due_ms = -1 at birth: STOPPED. Times are monotonic. */
struct amy__pool_facts {
    uint32_t state;       /* enum amy_worker_state */
    uint32_t wanted;      /* a process should run here */
    uint32_t failures;    /* in a row */
    uint32_t blamed;      /* killed for what counts as failure */
    uint32_t blocked;     /* times in a row that the lock was held */
    uint32_t patience_ms; /* of a drain whose signal is due; 0: it was sent */
    uint64_t lives;       /* processes started so far */
    int64_t since_ms;     /* when state began */
    int64_t started_ms;   /* when the process was started */
    int64_t due_ms;       /* when TICK is due; -1: never */
};

struct amy__pool_input {
    enum amy__cause cause;
    uint32_t patience_ms; /* of STOP; 0: the policy's */
    uint32_t random;      /* for jitter */
    int64_t now_ms;
};

struct amy__pool_output {
    uint32_t todo; /* AMY__DO_* */
    uint32_t tell; /* 1 << enum amy_pool_event_type, in order of their bits */
};

struct amy__pool_output amy__pool_step(struct amy__pool_facts *facts,
                                       const struct amy__pool_policy *policy,
                                       const struct amy__pool_input *input);

/* One line of text, as snprintf; and back: 0 or AMY_EPARSE. A line of a newer
 * version may have more words at its end. */
int amy__pool_facts_write(const struct amy__pool_facts *facts, char *buf,
                          size_t size);
int amy__pool_facts_read(struct amy__span line,
                         struct amy__pool_facts *ret_facts,
                         struct amy_error *err);

#endif

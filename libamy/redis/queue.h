/* Calls in the order of their answers: first what was sent, then what waits;
 * and those that have ended and have to be told so. Pure: no I/O, no
 * callbacks. */
#ifndef AMY_REDIS_QUEUE_H
#define AMY_REDIS_QUEUE_H

#include <amy/redis.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct amy__redis_call {
    struct amy__redis_call *next;
    struct amy__redis_call *prev;
    struct amy__redis_call *next_ended;
    uint64_t id;
    int64_t deadline_ms;
    int64_t sent_ms;
    uint64_t begin; /* of a sent one: its first byte's place among all that the
                       connection is sent */
    amy_redis_fn fn;
    void *user;
    uint32_t timeout_ms;
    uint32_t replies; /* that it is answered with */
    int code;         /* once it has ended */
    uint32_t fate;
    bool batch;
    bool atomic;
    bool sent;     /* handed to the connection, maybe not yet to the kernel */
    bool expected; /* the codec knows how many replies it has */
    bool canceled;
    bool no_multi; /* ended by the server's refusal of that */
    bool queued;
    bool ended; /* an answer, should one come, is for nobody */
    bool told;
    size_t n;
    char bytes[];
};

struct amy__redis_queue {
    struct amy__redis_call *head;
    struct amy__redis_call *tail;
    struct amy__redis_call *waiting; /* the first that was not sent */
    struct amy__redis_call *ended;
    struct amy__redis_call *last_ended;
    size_t calls; /* queued */
    size_t bytes; /* of them */
    uint64_t last_id;
};

/* Behind all others, with an id. */
void amy__redis_queue_add(struct amy__redis_queue *queue,
                          struct amy__redis_call *call);
/* The first waiting call is sent; its bytes begin there. */
void amy__redis_queue_send(struct amy__redis_queue *queue, uint64_t begin,
                           int64_t now_ms);
/* Take the first call out: it is answered, or will not be. Pass it to
 * amy__redis_call_drop() afterwards. */
struct amy__redis_call *amy__redis_queue_take(struct amy__redis_queue *queue);
/* Free it, unless it is queued or has to be told of its end. */
void amy__redis_call_drop(struct amy__redis_call *call);

/* It ends without an answer. What was sent stays queued, for the answer may
 * come. A no-op when it has ended already. */
void amy__redis_queue_end(struct amy__redis_queue *queue,
                          struct amy__redis_call *call, int code);
void amy__redis_queue_end_waiting(struct amy__redis_queue *queue, int code);
void amy__redis_queue_end_all(struct amy__redis_queue *queue, int code);
void amy__redis_queue_end_canceled(struct amy__redis_queue *queue);
/* End what is late; tells when the next one will be (INT64_MAX: none).
 * *ret_silent: one was sent after the last byte had come in. */
int64_t amy__redis_queue_expire(struct amy__redis_queue *queue, int64_t now_ms,
                                int64_t heard_ms, bool *ret_silent);
/* The connection is lost, of which so many bytes were written. Calls of which
 * not one byte was wait again; the others end. */
void amy__redis_queue_lose(struct amy__redis_queue *queue, uint64_t written,
                           int code);
/* The next one to be told; told then, and dropped. NULL: none. */
struct amy__redis_call *
amy__redis_queue_next_ended(struct amy__redis_queue *queue);

/* Does anybody want an answer from this connection? */
bool amy__redis_queue_is_awaited(const struct amy__redis_queue *queue);

#endif

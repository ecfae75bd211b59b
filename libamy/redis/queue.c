/* Two lists of calls. */
/* Not for telling them anything: tell.c. */
#include "redis/queue.h"

#include "core/alloc.h"
#include "core/check.h"

void
amy__redis_queue_add(struct amy__redis_queue *queue,
                     struct amy__redis_call *call)
{
    call->id = ++queue->last_id;
    call->queued = true;
    call->prev = queue->tail;
    if (queue->tail == NULL) {
        queue->head = call;
    } else {
        queue->tail->next = call;
    }
    queue->tail = call;
    if (queue->waiting == NULL) {
        queue->waiting = call;
    }
    queue->calls++;
    queue->bytes += call->n;
}

static void
unlink_call(struct amy__redis_queue *queue, struct amy__redis_call *call)
{
    AMY_ASSERT(call->queued);
    if (queue->waiting == call) {
        queue->waiting = call->next;
    }
    if (call->prev == NULL) {
        queue->head = call->next;
    } else {
        call->prev->next = call->next;
    }
    if (call->next == NULL) {
        queue->tail = call->prev;
    } else {
        call->next->prev = call->prev;
    }
    call->next = NULL;
    call->prev = NULL;
    call->queued = false;
    queue->calls--;
    queue->bytes -= call->n;
}

void
amy__redis_queue_send(struct amy__redis_queue *queue, uint64_t begin,
                      int64_t now_ms)
{
    struct amy__redis_call *call = queue->waiting;

    call->sent = true;
    call->begin = begin;
    call->sent_ms = now_ms;
    queue->waiting = call->next;
}

struct amy__redis_call *
amy__redis_queue_take(struct amy__redis_queue *queue)
{
    struct amy__redis_call *call = queue->head;

    unlink_call(queue, call);
    return call;
}

void
amy__redis_call_drop(struct amy__redis_call *call)
{
    if (!call->queued && (!call->ended || call->told)) {
        amy__free(call);
    }
}

/* --- ends --- */

void
amy__redis_queue_end(struct amy__redis_queue *queue,
                     struct amy__redis_call *call, int code)
{
    if (call->ended) {
        return;
    }
    call->ended = true;
    call->code = code;
    call->fate = call->sent ? AMY_REDIS_UNKNOWN : AMY_REDIS_NOT_RUN;
    if (queue->last_ended == NULL) {
        queue->ended = call;
    } else {
        queue->last_ended->next_ended = call;
    }
    queue->last_ended = call;
    if (!call->sent) {
        unlink_call(queue, call);
    }
}

void
amy__redis_queue_end_waiting(struct amy__redis_queue *queue, int code)
{
    while (queue->waiting != NULL) {
        amy__redis_queue_end(queue, queue->waiting, code);
    }
}

void
amy__redis_queue_end_all(struct amy__redis_queue *queue, int code)
{
    for (struct amy__redis_call *call = queue->head; call != NULL && call->sent;
         call = call->next) {
        amy__redis_queue_end(queue, call, code);
    }
    amy__redis_queue_end_waiting(queue, code);
}

void
amy__redis_queue_end_canceled(struct amy__redis_queue *queue)
{
    struct amy__redis_call *call = queue->head;

    while (call != NULL) {
        struct amy__redis_call *next = call->next;

        if (call->canceled) {
            amy__redis_queue_end(queue, call, AMY_ECANCELED);
        }
        call = next;
    }
}

int64_t
amy__redis_queue_expire(struct amy__redis_queue *queue, int64_t now_ms,
                        int64_t heard_ms, bool *ret_silent)
{
    struct amy__redis_call *call = queue->head;
    int64_t soonest = INT64_MAX;

    while (call != NULL) {
        struct amy__redis_call *next = call->next;

        if (call->ended) {
            call = next;
            continue;
        }
        if (call->deadline_ms <= now_ms) {
            *ret_silent |= call->sent && heard_ms <= call->sent_ms;
            amy__redis_queue_end(queue, call, AMY_ETIMEOUT);
        } else if (call->deadline_ms < soonest) {
            soonest = call->deadline_ms;
        }
        call = next;
    }
    return soonest;
}

void
amy__redis_queue_lose(struct amy__redis_queue *queue, uint64_t written,
                      int code)
{
    while (queue->head != NULL && queue->head->sent &&
           queue->head->begin < written) {
        amy__redis_queue_end(queue, queue->head, code);
        amy__redis_call_drop(amy__redis_queue_take(queue));
    }
    for (struct amy__redis_call *call = queue->head, *next = NULL;
         call != NULL && call->sent; call = next) {
        next = call->next;
        call->sent = false;
        call->expected = false; /* by the connection that is lost */
        if (call->ended) {      /* nobody waits for it */
            unlink_call(queue, call);
            amy__redis_call_drop(call);
        }
    }
    queue->waiting = queue->head;
}

struct amy__redis_call *
amy__redis_queue_next_ended(struct amy__redis_queue *queue)
{
    struct amy__redis_call *call = queue->ended;

    if (call != NULL) {
        queue->ended = call->next_ended;
        if (queue->ended == NULL) {
            queue->last_ended = NULL;
        }
    }
    return call;
}

bool
amy__redis_queue_is_awaited(const struct amy__redis_queue *queue)
{
    const struct amy__redis_call *call = queue->head;

    while (call != NULL && call->sent && call->ended) {
        call = call->next;
    }
    return call != NULL && call->sent;
}

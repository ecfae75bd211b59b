/* One exchange toward an upstream server, from start to its last callback. */
/* Not for sockets: those are link.c. */
#include "core/check.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/loop.h"
#include "serve/client_internal.h"
#include "serve/head.h"

#include <string.h>

#define TIMEOUT_MS 60000

/* ---- what the codec tells ---- */

static void
on_answer(amy__stream_id id, const struct amy__answer_head *head, void *user)
{
    struct amy__link *link = user;
    struct amy__call *call = link->call;

    (void)id;
    if (call == NULL || (head->status < 200 && head->status != 101)) {
        return;
    }
    call->tunnel = head->status == 101;
    link->keep = head->keep_alive;
    call->answered = true;
    if (!call->detached) {
        call->handler->on_answer(call, head, call->user);
    }
}

static void
on_body(amy__stream_id id, struct amy__span data, void *user)
{
    struct amy__link *link = user;
    struct amy__call *call = link->call;

    (void)id;
    if (call != NULL && !call->detached) {
        call->handler->on_data(call, data, call->user);
    }
}

static void
on_end(amy__stream_id id, void *user)
{
    struct amy__link *link = user;
    struct amy__call *call = link->call;

    (void)id;
    link->ended = true;
    if (call != NULL && call->tunnel) {
        call->in_over = true;
        amy__link_read(link, false);
        amy__link_look(link);
        if (!call->detached) {
            call->handler->on_half(call, call->user);
        }
    }
}

static void
on_request(amy__stream_id id, const struct amy__request_head *head, void *user)
{
    (void)id;
    (void)head;
    (void)user;
}

static void
on_reset(amy__stream_id id, uint32_t code, void *user)
{
    (void)id;
    (void)code;
    (void)user;
}

const struct amy__codec_events amy__client_events = {
    .on_request = on_request,
    .on_answer = on_answer,
    .on_body = on_body,
    .on_end = on_end,
    .on_reset = on_reset,
};

/* ---- its course ---- */

void
amy__call_over(struct amy__call *call)
{
    struct amy__client *client = call->client;

    AMY_ASSERT(call->on == NULL);
    TAILQ_REMOVE(&client->calls, call, link);
    amy__blocks_give(&client->blocks, &call->rest);
    amy__blocks_give(&client->blocks, &call->big);
    amy__slab_give(&client->call_slab, call);
}

static void
drop_link(struct amy__call *call)
{
    struct amy__link *link = call->on;

    if (link != NULL) {
        call->on = NULL;
        link->call = NULL;
        amy__link_close(link);
    }
}

void
amy__call_fail(struct amy__call *call, enum amy__call_failure failure,
               const char *reason)
{
    drop_link(call);
    call->failure = failure;
    call->reason = reason;
    amy__defer_ask(call->client->turn);
}

static void
tell_end(struct amy__call *call)
{
    amy__link_done(call->on);
    call->on = NULL;
    call->handler->on_end(call, call->user);
}

/* The end of those that ended by a call of ours, or failed. */
void
amy__calls_tell_ends(struct amy__client *client)
{
    struct amy__call *call = NULL;
    unsigned ended = 0;

    /* Those a handler starts from here, and that fail too, are for the next
     * turn: or else one that always tries again would hold the loop. */
    TAILQ_FOREACH(call, &client->calls, link)
    {
        ended += call->failure == 0 && !call->whole ? 0 : 1;
    }
    for (call = TAILQ_FIRST(&client->calls); call != NULL && ended > 0;) {
        if (call->failure == 0 && !call->whole) {
            call = TAILQ_NEXT(call, link);
            continue;
        }
        ended--;
        if (call->failure == 0) {
            tell_end(call);
        } else {
            call->handler->on_fail(call, call->failure, call->reason,
                                   call->user);
        }
        amy__call_over(call);
        call = TAILQ_FIRST(&client->calls); /* others may be gone with it */
    }
}

static bool
idempotent(const struct amy__call *call)
{
    switch (call->head.method) {
    case AMY__METHOD_GET:
    case AMY__METHOD_HEAD:
    case AMY__METHOD_OPTIONS:
    case AMY__METHOD_PUT:
    case AMY__METHOD_DELETE:
        return true;
    case AMY__METHOD_OTHER:
    case AMY__METHOD_POST:
    case AMY__METHOD_PATCH:
    case AMY__METHOD_TRACE:
    case AMY__METHOD_CONNECT:
    default:
        return false;
    }
}

/* Kept connections first; where one proves dead before a byte was sent, the
 * next, and at last a new one. */
static void
dispatch(struct amy__call *call, bool fresh)
{
    struct amy__client *client = call->client;
    enum amy__call_failure failure = 0;
    struct amy__link *link = NULL;

    for (;;) {
        link = fresh ? NULL : amy__link_take_idle(client);
        if (link == NULL) {
            link = amy__link_open(client, &failure);
        }
        if (link == NULL) {
            amy__call_fail(call, failure,
                           failure == AMY__CALL_BUSY
                               ? "the server's backlog is full"
                               : "nobody listens");
            return;
        }
        if (amy__link_begin(link, call) == 0) {
            return;
        }
        drop_link(call);
    }
}

void
amy__call_lost(struct amy__call *call, const char *reason)
{
    struct amy__link *link = call->on;
    /* RFC 9112 9.3.1: the server may have closed it as idle while our request
     * was on its way. */
    bool again = link->reused && !link->heard && !call->retried &&
                 !call->detached && (idempotent(call) || call->sent == 0);

    if (!again) {
        amy__call_fail(call, call->answered ? AMY__CALL_CUT : AMY__CALL_CLOSED,
                       reason);
        return;
    }
    drop_link(call);
    call->retried = true;
    dispatch(call, true);
}

static int
copy_head(struct amy__call *call, const struct amy__request_head *head)
{
    size_t n = amy__head_size(head);
    char *mem = call->arena;

    if (n > sizeof(call->arena)) {
        if (amy__blocks_grow(&call->client->blocks, &call->big, 0, n) < 0) {
            return AMY_ENOMEM;
        }
        mem = call->big.p;
    }
    amy__head_copy(&call->head, head, mem);
    call->head.body = call->body.n == 0 ? AMY__BODY_NONE : AMY__BODY_LENGTH;
    if (head->body != AMY__BODY_NONE) {
        /* It had one, if empty: the server is told its length. */
        call->head.body = AMY__BODY_LENGTH;
    }
    call->head.content_length = call->body.n;
    return 0;
}

int
amy__call_start(struct amy__client *client,
                const struct amy__request_head *head,
                const struct amy__body *body, uint32_t timeout_ms,
                const struct amy__call_handler *borrow_handler, void *user,
                struct amy__call **ret_call, struct amy_error *err)
{
    struct amy__call *call = NULL;

    AMY_ASSERT(!client->freed);
    call = amy__slab_take(&client->call_slab);
    if (call == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a call");
    }
    memset(call, 0, offsetof(struct amy__call, head));
    call->client = client;
    call->handler = borrow_handler;
    call->user = user;
    call->body.fd = -1;
    if (body != NULL) {
        call->body = *body;
    }
    call->timeout_ms = timeout_ms == 0 ? TIMEOUT_MS : timeout_ms;
    call->progress_ms = amy__mono_ms(client->opts.borrow_clock);
    if (copy_head(call, head) < 0) {
        amy__slab_give(&client->call_slab, call);
        return amy__err(err, AMY_ENOMEM, "allocating a request's head");
    }
    TAILQ_INSERT_TAIL(&client->calls, call, link);
    amy__client_tick_within(client, call->timeout_ms / 4);
    dispatch(call, false);
    *ret_call = call;
    return 0;
}

void
amy__call_pause(struct amy__call *call)
{
    call->paused = true;
    if (call->on != NULL) {
        amy__link_read(call->on, false);
    }
}

void
amy__call_resume(struct amy__call *call)
{
    call->paused = false;
    call->progress_ms = amy__mono_ms(call->client->opts.borrow_clock);
    if (call->on != NULL && !call->in_over) {
        amy__link_read(call->on, true);
    }
}

int
amy__call_send(struct amy__call *call, struct amy__span data)
{
    /* Without a connection it has failed, and is told so at the turn's end. */
    return call->on == NULL ? 0 : amy__link_send(call->on, data);
}

void
amy__call_finish(struct amy__call *call)
{
    call->out_over = true;
    if (call->on != NULL) {
        amy__link_finish(call->on);
    }
}

bool
amy__call_connected(const struct amy__call *call)
{
    return call->on != NULL && !call->on->connecting;
}

bool
amy__call_sent(const struct amy__call *call)
{
    return amy__call_connected(call) && call->rest_at == call->rest_n &&
           call->body_at == call->body.n;
}

void
amy__call_detach(struct amy__call *call)
{
    call->detached = true;
    amy__call_resume(call);
    if (call->in_over) {
        call->whole = true; /* nothing more will come of it */
        amy__defer_ask(call->client->turn);
    }
}

void
amy__call_hang_up(struct amy__call *call)
{
    amy__call_detach(call);
    call->hung_up = true;
    if (call->on != NULL) {
        amy__link_hang_up(call->on);
    }
}

void
amy__call_cancel(struct amy__call *call)
{
    struct amy__client *client = call->client;

    amy__client_enter(client);
    drop_link(call);
    amy__call_over(call);
    amy__client_leave(client);
}

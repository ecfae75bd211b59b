/* Beginning a call, and taking it back. */
/* Not for its way from there on: client.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/options.h"
#include "redis/internal.h"
#include "redis/words.h"

#include <string.h>

/* A server that is known to be gone is not asked again by each call: one now
 * and then tries, while the others are told at once. */
static int
admit(const struct amy_redis *client, size_t n, struct amy_error *err)
{
    int64_t wait_ms = 0;
    char time[32] = "";

    if (n > client->bytes_max) {
        return amy__err(err, AMY_ELIMIT,
                        "a command of %zu bytes, more than queue_bytes_max", n);
    }
    if (client->queue.calls >= client->calls_max ||
        n > client->bytes_max - client->queue.bytes) {
        return amy__err(
            err, AMY_ELIMIT, "Redis at %s: %zu calls wait already, %zu bytes",
            client->shown, client->queue.calls, client->queue.bytes);
    }
    if (!amy__redis_pace_is_broken(&client->pace)) {
        return 0;
    }
    wait_ms = amy__redis_pace_wait(&client->pace, amy__redis_now(client));
    if (client->phase == AMY__REDIS_DOWN && wait_ms == 0) {
        return 0;
    }
    (void)amy__format_duration(wait_ms, time, sizeof(time));
    if (err != NULL) {
        *err = client->last;
        amy__err_prefix(err, "Redis at %s: next attempt %s%s: ", client->shown,
                        client->phase == AMY__REDIS_DOWN ? "in " : "under way",
                        client->phase == AMY__REDIS_DOWN ? time : "");
        err->code = amy__redis_loss(client);
    }
    return amy__redis_loss(client);
}

int
amy__redis_call_create(struct amy_redis *client,
                       const struct amy__redis_want *want,
                       struct amy__redis_call **ret_call, struct amy_error *err)
{
    struct amy__redis_call *call = NULL;
    int rc = amy__redis_usable(client, err);

    rc = rc < 0 ? rc : admit(client, want->n, err);
    if (rc < 0) {
        return rc;
    }
    call = amy__calloc(1, sizeof(*call) + want->n);
    if (call == NULL) {
        return amy__err(err, AMY_ENOMEM, "beginning a call");
    }
    call->n = want->n;
    call->fn = want->fn;
    call->user = want->user;
    call->replies = want->replies;
    call->batch = want->batch;
    call->atomic = want->atomic;
    call->timeout_ms =
        want->timeout_ms == 0 ? client->timeout_ms : want->timeout_ms;
    *ret_call = call;
    return 0;
}

uint64_t
amy__redis_call_begin(struct amy_redis *client, struct amy__redis_call *call)
{
    call->deadline_ms = amy__redis_now(client) + call->timeout_ms;
    amy__redis_queue_add(&client->queue, call);
    if (call->deadline_ms < client->deadline_ms) {
        client->deadline_ms = call->deadline_ms;
    }
    amy__redis_wake(client, call->deadline_ms);
    amy__defer_ask(client->pump);
    return call->id;
}

int
amy__redis_begin(struct amy_redis *client,
                 const struct amy_redis_command *command, amy_redis_fn fn,
                 void *user, uint64_t *ret_id, struct amy_error *err)
{
    struct amy_redis_command own;
    struct amy__redis_want want = {.fn = fn, .user = user, .replies = 1};
    uint64_t id = 0;
    struct amy__redis_call *call = NULL;
    int rc =
        amy__options_read(&own, sizeof(own), command,
                          offsetof(struct amy_redis_command, lengths), err);

    rc = rc < 0 ? rc : amy__redis_words_check(&own, &want.n, err);
    want.timeout_ms = rc < 0 ? 0 : own.timeout_ms;
    rc = rc < 0 ? rc : amy__redis_call_create(client, &want, &call, err);
    if (rc < 0) {
        return rc;
    }
    AMY_ASSERT(call != NULL);
    (void)amy__redis_words_write(&own, call->bytes);
    id = amy__redis_call_begin(client, call);
    if (ret_id != NULL) {
        *ret_id = id;
    }
    return 0;
}

int
amy__redis_own_loop(const struct amy_redis *client, bool wanted,
                    struct amy_error *err)
{
    if (client->own_base == wanted) {
        return 0;
    }
    return amy__err(err, AMY_ESTATE,
                    wanted ? "this client lives on your loop: do not block it"
                           : "this client has no loop of yours: run, not send");
}

int
amy_redis_send(struct amy_redis *client,
               const struct amy_redis_command *command, amy_redis_fn fn,
               void *user, uint64_t *ret_id, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(client, AMY__REDIS_MAGIC);
    rc = amy__redis_own_loop(client, false, err);
    return rc < 0 ? rc
                  : amy__redis_begin(client, command, fn, user, ret_id, err);
}

void
amy_redis_cancel(struct amy_redis *client, uint64_t id)
{
    AMY_CHECK(client, AMY__REDIS_MAGIC);
    if (amy__redis_usable(client, NULL) < 0) {
        return;
    }
    for (struct amy__redis_call *call = client->queue.head; call != NULL;
         call = call->next) {
        if (call->id == id) {
            call->canceled = true;
            amy__defer_ask(client->pump);
            return;
        }
    }
}

/* Connections: begun when they are needed, greeted, read, written, lost. */
/* Not for calls' ends: tell.c; nor for when they are late: client.c. */
#include "core/digest.h"
#include "core/error.h"
#include "core/log.h"
#include "redis/internal.h"

#include <string.h>

#define READ_BYTES ((size_t)64 * 1024)
#define WRITE_BYTES ((size_t)64 * 1024)

/* --- lost --- */

int
amy__redis_loss(const struct amy_redis *client)
{
    switch (client->last.code) {
    case AMY_EAUTH:
    case AMY_EPROTO:
    case AMY_ELIMIT:
    case AMY_EINVAL:
    case AMY_EUNSUPPORTED:
        return client->last.code;
    default:
        return AMY_ECONN;
    }
}

static void
forget_connection(struct amy_redis *client)
{
    amy__redis_link_close(client->link);
    client->link = NULL;
    client->phase = AMY__REDIS_DOWN;
    client->silent = false;
    client->blocked = false;
    client->in.len = 0;
    client->out.len = 0;
    client->out_at = 0;
}

/* Once when calls begin to be refused, and once when that is over. */
static void
log_change(struct amy_redis *client)
{
    bool broken = amy__redis_pace_is_broken(&client->pace);
    struct amy__span said = amy__own_words(client->last.msg);

    if (broken && !client->broken) {
        amy__log(&client->log, AMY_LOG_WARN,
                 "Redis at %s: " AMY_SPAN_FMT
                 "; calls are refused until it answers",
                 client->shown, AMY_SPAN_ARG(said));
    } else if (!broken && client->broken) {
        amy__log(&client->log, AMY_LOG_NOTICE, "Redis at %s answers again",
                 client->shown);
    }
    client->broken = broken;
}

void
amy__redis_down(struct amy_redis *client, const struct amy_error *why,
                bool refused)
{
    int64_t now_ms = amy__redis_now(client);
    uint32_t random = 0;

    client->last = *why;
    forget_connection(client);
    (void)amy__random(&random, sizeof(random), NULL); /* 0 will do */
    amy__redis_pace_down(&client->pace, now_ms, random);
    if (refused) {
        amy__redis_pace_refuse(&client->pace, now_ms);
    }
    log_change(client);
    amy__redis_queue_lose(&client->queue, client->written,
                          amy__redis_loss(client));
    if (amy__redis_pace_is_broken(&client->pace)) {
        amy__redis_queue_end_waiting(&client->queue, amy__redis_loss(client));
    }
    amy__defer_ask(client->pump);
    amy__redis_tell(client);
}

const char *
amy__redis_stage(const struct amy_redis *client)
{
    if (client->phase == AMY__REDIS_DOWN) {
        return "waiting to connect";
    }
    return client->phase == AMY__REDIS_GREETING
               ? "waiting for the answer to our greeting"
               : amy__redis_link_stage(client->link);
}

void
amy__redis_hang_up(struct amy_redis *client)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)amy__err(&err, AMY_ETIMEOUT, "no answer: %s",
                   amy__redis_stage(client));
    client->pace.up_ms = 0; /* it was none, if this is how it is */
    amy__redis_down(client, &err, false);
}

void
amy__redis_late(struct amy_redis *client)
{
    (void)amy__err(&client->last, AMY_ETIMEOUT, "no answer: %s",
                   amy__redis_stage(client));
    amy__redis_pace_late(&client->pace);
    log_change(client);
}

/* With TLS 1.3 a server that wants our certificate says so after the handshake,
 * and what it says is lost where it has closed before we read. */
static void
lose(struct amy_redis *client, struct amy_error *err)
{
    if (client->phase == AMY__REDIS_GREETING &&
        client->greeting.answered == 0 &&
        client->link_opts.server_name != NULL &&
        client->link_opts.cert_file == NULL) {
        amy__err_prefix(err, "right after the TLS handshake, as from a server "
                             "that wants a certificate of ours: ");
    }
    amy__redis_down(client, err, false);
}

/* --- written --- */

/* An atomic batch comes to a connection that does not run one, or was not asked
 * yet; which is done when nothing else is under way. 1: it has ended; 0: it
 * waits. */
static int
hold(struct amy_redis *client, struct amy__redis_call *call)
{
    if (client->multi == AMY__REDIS_MAY_NOT) {
        call->no_multi = true;
        amy__redis_queue_end(&client->queue, call, client->no_multi.code);
        amy__defer_ask(client->pump);
        return 1;
    }
    return call == client->queue.head ? amy__redis_ask_multi(client, NULL) : 0;
}

/* Hand over as many calls as make a good write. */
static int
fill(struct amy_redis *client)
{
    struct amy__redis_queue *queue = &client->queue;
    int64_t now_ms = amy__redis_now(client);

    client->out.len = 0;
    client->out_at = 0;
    while (queue->waiting != NULL && client->out.len < WRITE_BYTES) {
        struct amy__redis_call *call = queue->waiting;
        int rc = 0;

        if (call->atomic && client->multi != AMY__REDIS_MAY) {
            rc = hold(client, call);
            if (rc <= 0) {
                return rc;
            }
            continue;
        }
        rc = amy__buf_append(&client->out, call->bytes, call->n);
        if (rc < 0) {
            return rc;
        }
        amy__redis_queue_send(queue, client->handed, now_ms);
        client->handed += call->n;
    }
    return 0;
}

/* 1: go on; 0: the kernel has enough. */
static int
write_some(struct amy_redis *client, struct amy_error *err)
{
    struct amy__span rest = {client->out.data + client->out_at,
                             client->out.len - client->out_at};
    ssize_t n = amy__redis_link_write(client->link, rest, err);

    if (n < 0) {
        return (int)n;
    }
    client->out_at += (size_t)n;
    client->written += (uint64_t)n;
    client->blocked = (size_t)n < rest.n;
    return client->blocked ? 0 : 1;
}

/* Is there something to write, or could it be had? Fills where it may. */
static int
prepare_write(struct amy_redis *client, struct amy_error *err)
{
    bool may_send = client->phase == AMY__REDIS_UP && !client->silent;
    int rc = 0;

    if (client->out_at == client->out.len && may_send &&
        client->queue.waiting != NULL) {
        rc = fill(client);
    }
    if (rc < 0) {
        return amy__err(err, rc, "sending");
    }
    return client->out_at < client->out.len ? 1 : 0;
}

void
amy__redis_write(struct amy_redis *client)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    do {
        rc = prepare_write(client, &err);
        if (rc == 1) {
            rc = write_some(client, &err);
        }
    } while (rc == 1);
    if (rc == 0 && !client->blocked) {
        rc = amy__redis_link_calm(client->link, &err);
    }
    if (rc < 0) {
        lose(client, &err);
    }
}

/* --- read --- */

static int
take_greeting(struct amy_redis *client, struct amy_redis_reply *reply,
              struct amy_error *err)
{
    bool refused = false;
    int rc = amy__redis_greeted(client, reply, &refused, err);

    amy__redis_codec_drop(client->codec, reply);
    if (rc < 0) {
        amy__redis_down(client, err, refused);
        return rc;
    }
    if (rc == 1) {
        amy__wipe(client->out.data, client->out.len); /* the password's */
        client->out.len = 0;
        client->out_at = 0;
        client->handed = 0; /* none of these bytes is a call's */
        client->written = 0;
        client->phase = AMY__REDIS_UP;
        amy__redis_pace_up(&client->pace, amy__redis_now(client));
        log_change(client);
        amy__defer_ask(client->pump);
    }
    return 0;
}

/* What the next bytes are an answer to. */
static int
expect(struct amy_redis *client, struct amy_error *err)
{
    struct amy__redis_call *call = client->queue.head;

    if (client->phase == AMY__REDIS_GREETING) {
        return 0;
    }
    if (call == NULL || !call->sent || call->begin >= client->written) {
        return amy__err(err, AMY_EPROTO, "an answer that nobody asked for");
    }
    if (!call->batch || call->expected) {
        return 0;
    }
    call->expected = true;
    return amy__redis_codec_expect(client->codec, call->replies, err);
}

/* 1: a reply was taken; 0: there is none yet; below: the connection is gone. */
static int
take_reply(struct amy_redis *client, size_t *at)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_redis_reply *reply = NULL;
    struct amy__span rest = {client->in.data + *at, client->in.len - *at};
    size_t used = 0;
    int rc = expect(client, &err);

    if (rc == 0) {
        rc = amy__redis_codec_next(client->codec, rest, &used, &reply, &err);
    }
    if (rc < 0) {
        amy__redis_down(client, &err, false);
        return rc;
    }
    *at += used;
    if (rc == 0) {
        return 0;
    }
    if (client->phase == AMY__REDIS_GREETING) {
        rc = take_greeting(client, reply, &err);
        return rc < 0 ? rc : 1;
    }
    amy__redis_answer(client, reply);
    return client->doomed ? AMY_ECANCELED : 1;
}

static int
take_replies(struct amy_redis *client)
{
    size_t at = 0;

    while (at < client->in.len) {
        int rc = take_reply(client, &at);

        if (rc < 0) {
            return rc;
        }
        if (rc == 0) {
            break;
        }
    }
    amy__buf_consume(&client->in, at);
    return 0;
}

/* 1: there may be more; 0: not now. */
static int
read_some(struct amy_redis *client)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__buf_reserve(&client->in, READ_BYTES);
    size_t room = client->in.cap - 1 - client->in.len;
    ssize_t n = rc;

    if (rc < 0) {
        (void)amy__err(&err, rc, "reading replies");
    } else {
        n = amy__redis_link_read(client->link, client->in.data + client->in.len,
                                 room, &err);
    }
    if (n < 0) {
        lose(client, &err);
        return (int)n;
    }
    if (n == 0) {
        return 0;
    }
    client->in.len += (size_t)n;
    client->heard_ms = amy__redis_now(client);
    client->silent = false;
    rc = take_replies(client);
    if (rc < 0) {
        return rc;
    }
    /* TLS keeps to itself what it has read already. */
    return (size_t)n == room || client->link_opts.server_name != NULL ? 1 : 0;
}

static void
on_ready(void *user)
{
    struct amy_redis *client = user;
    int rc = 1;

    if (!amy__redis_enter(client)) {
        return;
    }
    while (rc == 1) {
        rc = read_some(client);
    }
    if (rc == 0 && !client->doomed) {
        amy__redis_write(client);
    }
    amy__redis_leave(client);
}

/* --- begun --- */

static void
on_up(void *user)
{
    struct amy_redis *client = user;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (!amy__redis_enter(client)) {
        return;
    }
    client->multi = AMY__REDIS_UNASKED;
    client->connections++;
    rc = amy__redis_codec_reset(client->codec, &err);
    rc = rc < 0 ? rc : amy__redis_greet(client, &err);
    if (rc < 0) {
        amy__redis_down(client, &err, false);
    } else {
        client->phase = AMY__REDIS_GREETING;
        amy__redis_write(client);
    }
    amy__redis_leave(client);
}

static void
on_down(const struct amy_error *why, void *user)
{
    struct amy_redis *client = user;
    struct amy_error copy = *why; /* it goes with the link */

    if (!amy__redis_enter(client)) {
        return;
    }
    amy__redis_down(client, &copy, false);
    amy__redis_leave(client);
}

void
amy__redis_connect(struct amy_redis *client)
{
    const struct amy__redis_link_events events = {.on_up = on_up,
                                                  .on_ready = on_ready,
                                                  .on_down = on_down,
                                                  .user = client};
    struct amy_error err = AMY_ERROR_INIT;
    int64_t now_ms = amy__redis_now(client);
    int rc = 0;

    client->phase = AMY__REDIS_OPENING;
    client->give_up_ms = now_ms + client->connect_ms;
    amy__redis_pace_begin(&client->pace, now_ms);
    rc = amy__redis_link_open(&client->link_opts, &events, &client->link, &err);
    if (rc < 0) {
        amy__redis_down(client, &err, false);
        return;
    }
    amy__redis_wake(client, client->give_up_ms);
}

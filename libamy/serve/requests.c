/* Bytes into exchanges: feeds a connection's codec and acts on its events. */
/* Not for answers: that is exchange.c; no socket is touched here. */
#include "core/error.h"
#include "http/message.h"
#include "serve/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct amy__exchange *
find(struct amy__connection *conn, amy__stream_id id)
{
    struct amy__exchange *x = NULL;

    TAILQ_FOREACH(x, &conn->active, link)
    {
        if (x->id == id) {
            return x;
        }
    }
    return NULL;
}

static void
on_request(amy__stream_id id, const struct amy__request_head *head, void *user)
{
    struct amy__connection *conn = user;
    struct amy__server *server = conn->server;
    struct amy__exchange *x = amy__exchange_start(conn, id, head);

    if (x == NULL) {
        conn->broken = true;
        return;
    }
    server->figures.requests++;
    x->deciding = true;
    server->handler.on_request(x, &x->head, server->user);
    x->deciding = false;
}

/* RFC 4918 11.5: 507 says that it is our disk, and not the request. */
static unsigned
status_of(int code, const struct amy_error *err)
{
    switch (err->sys_errno) {
    case 0:
        return code == AMY_ELIMIT ? 413 : 503;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return 507;
    default:
        return 503;
    }
}

static void
refuse_body(struct amy__exchange *x, int code, const struct amy_error *err)
{
    struct amy__server *server = x->conn->server;
    unsigned status = status_of(code, err);
    uint32_t swallowed = 0;

    if (status != 413 &&
        amy__log_allow(&server->log_limit, 5, 60000, amy__server_now_ms(server),
                       &swallowed)) {
        amy__log(&server->log, AMY_LOG_ERROR,
                 "request body lost: %s swallowed=%u", err->msg, swallowed);
    }
    amy__exchange_refuse(x, status, "request body");
}

static void
on_body(amy__stream_id id, struct amy__span data, void *user)
{
    struct amy__connection *conn = user;
    struct amy__server *server = conn->server;
    struct amy__exchange *x = find(conn, id);
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    conn->window_bytes += data.n;
    if (x == NULL) {
        return;
    }
    if (x->tunnel) {
        amy__tunnel_take(x, data);
        return;
    }
    x->body_seen += data.n;
    if (!x->wants_body || x->silenced) {
        conn->choked = x->body_seen > amy__connection_skip_bytes(conn);
        return;
    }
    if (x->body_seen > x->body_max) {
        amy__exchange_refuse(x, 413, "request body past its limit");
        return;
    }
    rc = amy__spool_write(&x->body, &server->spool, data, &err);
    if (rc < 0) {
        refuse_body(x, rc, &err);
    }
}

static void
on_end(amy__stream_id id, void *user)
{
    struct amy__connection *conn = user;
    struct amy__exchange *x = find(conn, id);

    if (x == NULL) {
        return;
    }
    if (x->tunnel && x->request_whole) {
        amy__tunnel_over(x);
        return;
    }
    x->request_whole = true;
    if (x->head.body != AMY__BODY_NONE) {
        x->times.body_us = conn->server->now_us;
    }
    if (x->wants_body && !x->silenced) {
        conn->server->handler.on_body(x, conn->server->user);
    }
}

static void
on_reset(amy__stream_id id, uint32_t code, void *user)
{
    struct amy__exchange *x = find(user, id);

    (void)code;
    if (x != NULL) {
        x->request_whole = true;
        x->silenced = true;
        x->cut = true;
        amy__exchange_tell_gone(x);
    }
}

static void
on_answer(amy__stream_id id, const struct amy__answer_head *head, void *user)
{
    (void)id;
    (void)head;
    (void)user;
}

const struct amy__codec_events amy__server_events = {
    .on_request = on_request,
    .on_answer = on_answer,
    .on_body = on_body,
    .on_end = on_end,
    .on_reset = on_reset,
};

void
amy__requests_refuse(struct amy__connection *conn, unsigned status,
                     const char *reason)
{
    struct amy__server *server = conn->server;
    struct amy__answer_head head;
    char text[AMY__REFUSAL_TEXT];
    struct amy__span body = amy__refusal(status, &head, text);
    struct amy__buf *out = amy__output_open(conn);

    amy__exchange_dress(server, &head, false);
    if (conn->codec->ops->send_answer(conn->codec, 0, &head, false, out) < 0 ||
        conn->codec->ops->send_body(conn->codec, 0, body, true, out) < 0) {
        conn->broken = true;
    }
    conn->close_after = true;
    conn->must_linger = true;
    server->figures.refused++;
    if (server->handler.on_refused != NULL) {
        server->handler.on_refused(&conn->peer, status, reason, server->user);
    }
}

/* A fault in a body belongs to an exchange that was handed out. */
static void
refuse_fault(struct amy__connection *conn, const struct amy__codec_fault *fault)
{
    struct amy__exchange *x = TAILQ_FIRST(&conn->active);

    conn->held_n = 0;
    if (x != NULL && !x->request_whole) {
        amy__exchange_refuse(x, fault->status == 0 ? 400 : fault->status,
                             fault->reason);
    } else if (fault->status == 0) {
        conn->broken = true;
    } else {
        amy__requests_refuse(conn, fault->status, fault->reason);
    }
}

/* Keep what was not consumed; the bytes may lie in the held block already. */
static void
hold(struct amy__connection *conn, struct amy__span rest)
{
    struct amy__blocks *blocks = &conn->server->blocks;

    if (rest.n == 0) {
        conn->held_n = 0;
        amy__blocks_give(blocks, &conn->held);
        return;
    }
    if (conn->held_n > 0) {
        memmove(conn->held.p, rest.p, rest.n);
    } else if (amy__blocks_grow(blocks, &conn->held, 0, rest.n) < 0) {
        conn->broken = true;
        return;
    } else {
        memcpy(conn->held.p, rest.p, rest.n);
    }
    conn->held_n = rest.n;
}

static bool
may_feed(const struct amy__connection *conn)
{
    return !conn->broken && conn->phase == AMY__PHASE_OPEN &&
           !(conn->close_after && TAILQ_EMPTY(&conn->active));
}

void
amy__requests_feed(struct amy__connection *conn, struct amy__span data)
{
    struct amy__codec *codec = conn->codec;
    struct amy__codec_fault fault = {0};
    bool moved = true;

    while (data.n > 0 && moved && may_feed(conn)) {
        int64_t n = codec->ops->feed(codec, data, &fault);

        if (n < 0) {
            refuse_fault(conn, &fault);
            return;
        }
        data.p += n;
        data.n -= (size_t)n;
        moved = amy__connection_advance(conn) || n > 0;
    }
    hold(conn, data);
    conn->stalled = conn->held_n > 0 && !TAILQ_EMPTY(&conn->active);
}

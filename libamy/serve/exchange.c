/* Answering: what a handler may do with an exchange. */
/* Not for reading requests (requests.c) nor for when bytes leave
 * (connection.c): these calls encode, note and return. */
#include "core/check.h"
#include "core/clock.h"
#include "http/message.h"
#include "net/tls_conn.h"
#include "serve/head.h"
#include "serve/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct amy__exchange *
amy__exchange_start(struct amy__connection *conn, amy__stream_id id,
                    const struct amy__request_head *head)
{
    struct amy__server *server = conn->server;
    struct amy__exchange *x = amy__slab_take(&server->exchanges);
    size_t n = amy__head_size(head);
    char *mem = NULL;

    if (x == NULL) {
        return NULL;
    }
    /* Not the head and the arena: they are written below as far as needed. */
    memset(x, 0, offsetof(struct amy__exchange, head));
    amy__spool_init(&x->body);
    mem = x->arena;
    if (n > sizeof(x->arena)) {
        if (amy__blocks_grow(&server->blocks, &x->big, 0, n) < 0) {
            amy__slab_give(&server->exchanges, x);
            return NULL;
        }
        mem = x->big.p;
    }
    amy__head_copy(&x->head, head, mem);
    x->conn = conn;
    conn->body_max = 0;
    x->id = id;
    x->times.start_us = conn->first_byte_us;
    x->times.head_us = server->now_us;
    conn->first_byte_us = server->now_us; /* of the next, when pipelined */
    conn->exchanges++;
    server->figures.exchanges++;
    TAILQ_INSERT_TAIL(&conn->active, x, link);
    return x;
}

/* Not on any list any more. */
void
amy__exchange_finish(struct amy__exchange *x)
{
    struct amy__connection *conn = x->conn;
    struct amy__server *server = conn->server;

    x->times.end_us = server->now_us;
    server->handler.on_done(x, server->user);
    conn->exchanges--;
    server->figures.exchanges--;
    server->figures.tunnels -= x->tunnel ? 1U : 0U;
    amy__spool_clear(&x->body, &server->blocks);
    amy__blocks_give(&server->blocks, &x->big);
    amy__slab_give(&server->exchanges, x);
}

void
amy__exchange_tell_gone(struct amy__exchange *x)
{
    struct amy__server *server = x->conn->server;

    if (!x->told_gone && !x->answered) {
        x->told_gone = true;
        server->handler.on_gone(x, server->user);
    }
    /* Who had half left before, and has gone wholly now, makes no room. */
    if (x->silenced && x->wants_room && !x->answered) {
        x->wants_room = false;
        server->handler.on_room(x, server->user);
    }
}

static void
refresh_date(struct amy__server *server)
{
    int64_t now_s = amy__server_now_ms(server) / 1000;

    if (now_s == server->date_s && server->date[0] != '\0') {
        return;
    }
    server->date_s = now_s;
    amy__date_format(amy__wall_ms(server->clock), server->date);
}

void
amy__exchange_dress(struct amy__server *server, struct amy__answer_head *head,
                    bool keep_alive)
{
    head->keep_alive = keep_alive;
    if (head->field_count == AMY__FIELDS_ROOM ||
        amy__field_find(head->fields, head->field_count, AMY__FIELD_DATE) !=
            NULL) {
        return;
    }
    refresh_date(server);
    head->fields[head->field_count++] =
        (struct amy__field){.name = AMY_SPAN("Date"),
                            .value = {server->date, 29},
                            .id = AMY__FIELD_DATE};
}

/* Is what is still to come of the request too much to read it for the sake of
 * the connection, or unknown? */
static bool
rest_is_long(const struct amy__exchange *x)
{
    if (x->request_whole || x->head.body == AMY__BODY_NONE) {
        return false;
    }
    if (x->head.expect_continue && !x->continue_sent && x->body_seen == 0) {
        return true; /* nobody knows whether it will come */
    }
    return x->head.body != AMY__BODY_LENGTH ||
           x->head.content_length - x->body_seen > AMY__SKIP_BYTES;
}

int
amy__exchange_encode_head(struct amy__exchange *x,
                          struct amy__answer_head *head, bool end)
{
    struct amy__connection *conn = x->conn;
    struct amy__server *server = conn->server;
    struct amy__buf *out = amy__output_open(conn);
    size_t before = out->len;
    int rc = 0;

    AMY_ASSERT(!x->begun && !x->answered);
    x->wants_body = x->wants_body && x->request_whole;
    if (rest_is_long(x)) {
        conn->must_linger = true;
        conn->close_after = true;
    }
    if (server->current == NULL) {
        (void)amy__server_now(server); /* called from elsewhere on the loop */
    }
    x->times.first_us = server->now_us;
    if (server->handler.on_answer != NULL) {
        server->handler.on_answer(x, head, server->user);
    }
    amy__exchange_dress(server, head,
                        x->head.keep_alive && !conn->close_after &&
                            !server->draining);
    rc = conn->codec->ops->send_answer(conn->codec, x->id, head, end, out);
    if (rc < 0) {
        out->len = before;
        return rc;
    }
    conn->close_after = conn->close_after || !head->keep_alive;
    x->begun = true;
    x->status = head->status;
    return 0;
}

static bool
bodyless(const struct amy__exchange *x, unsigned status)
{
    return x->head.method == AMY__METHOD_HEAD || status == 204 || status == 304;
}

void
amy__exchange_answered(struct amy__exchange *x)
{
    x->answered = true;
    x->wants_room = false;
    amy__connection_ready(x->conn);
}

/* What was answered before leaves before the connection ends. */
static void
flush_earlier(struct amy__connection *conn)
{
    struct amy__exchange *x = NULL;

    amy__output_push(conn, (struct amy__span){0}, false);
    if (conn->broken || amy__output_pending(conn)) {
        return;
    }
    TAILQ_FOREACH(x, &conn->finished, link)
    {
        x->flushed = true;
    }
}

void
amy__exchange_abort(struct amy__exchange *x)
{
    AMY_ASSERT(!x->answered);
    x->cut = true;
    if (!x->silenced) {
        struct amy__connection *conn = x->conn;

        x->silenced = true;
        flush_earlier(conn);
        if (conn->codec->ops->reset(conn->codec, x->id, 8,
                                    amy__output_open(conn)) < 0) {
            conn->broken = true; /* h1 has no other way */
        }
    }
    amy__exchange_answered(x);
}

/* Through the codec, a piece at a time: the shared buffer stays small. */
static int
frame_body(struct amy__exchange *x, struct amy__span data, bool end)
{
    struct amy__connection *conn = x->conn;
    struct amy__codec *codec = conn->codec;
    int rc = 0;

    while (rc == 0 && data.n > 0) {
        struct amy__span piece = {
            data.p, data.n < AMY__READ_BYTES ? data.n : AMY__READ_BYTES};
        struct amy__buf *out = amy__output_open(conn);

        data.p += piece.n;
        data.n -= piece.n;
        rc =
            codec->ops->send_body(codec, x->id, piece, end && data.n == 0, out);
        if (rc == 0 && out->len >= AMY__SEND_BYTES) {
            amy__output_push(conn, (struct amy__span){0}, false);
        }
    }
    return rc;
}

/* Body bytes behind the encoded head: copied while that saves a write, passed
 * on as they are when they are many. */
static int
put_body(struct amy__exchange *x, struct amy__span data, bool end, bool shared)
{
    struct amy__connection *conn = x->conn;
    struct amy__codec *codec = conn->codec;
    struct amy__buf *out = amy__output_open(conn);
    int rc = 0;

    x->sent += data.n;
    if (data.n >= AMY__SEND_BYTES || out->len + data.n > AMY__SEND_BYTES) {
        rc = codec->ops->pass_body(codec, x->id, data.n, end);
        if (rc == 0) {
            amy__output_push(conn, data, shared);
            return 0;
        }
        if (rc != AMY_EUNSUPPORTED) {
            return rc;
        }
    }
    return frame_body(x, data, end);
}

void
amy__exchange_reply(struct amy__exchange *x, struct amy__answer_head *head,
                    struct amy__span body, bool shared_body)
{
    bool no_body = bodyless(x, head->status);
    int rc = 0;

    if (x->silenced) {
        amy__exchange_answered(x);
        return;
    }
    head->body = AMY__BODY_LENGTH;
    head->content_length = body.n;
    rc = amy__exchange_encode_head(x, head, no_body || body.n == 0);
    if (rc == 0 && !no_body && body.n > 0) {
        rc = put_body(x, body, true, shared_body);
    }
    if (rc < 0) {
        amy__exchange_abort(x);
        return;
    }
    amy__exchange_answered(x);
}

int
amy__exchange_begin(struct amy__exchange *x, struct amy__answer_head *head)
{
    if (x->silenced) {
        x->begun = true;
        return 0;
    }
    x->no_body = bodyless(x, head->status) || head->body == AMY__BODY_NONE;
    amy__connection_ready(x->conn);
    return amy__exchange_encode_head(x, head, x->no_body);
}

/* What the sender of a piece is told. */
static int
settle_send(struct amy__exchange *x, int rc)
{
    if (rc < 0) {
        x->silenced = true;
        x->cut = true;
        x->conn->broken = true;
    }
    amy__connection_ready(x->conn);
    if (x->silenced) {
        return AMY_ECONN;
    }
    if (amy__output_pending(x->conn)) {
        x->wants_room = true;
        return AMY_EAGAIN;
    }
    return 0;
}

int
amy__exchange_send(struct amy__exchange *x, struct amy__span data)
{
    AMY_ASSERT(x->begun && !x->answered);
    if (x->silenced) {
        return AMY_ECONN;
    }
    if (x->no_body || data.n == 0) {
        return 0;
    }
    return settle_send(x, put_body(x, data, false, false));
}

void
amy__exchange_end(struct amy__exchange *x)
{
    struct amy__connection *conn = x->conn;
    struct amy__codec *codec = conn->codec;

    AMY_ASSERT(x->begun && !x->answered);
    if (x->tunnel) {
        amy__tunnel_end(x);
        return;
    }
    if (!x->silenced && !x->no_body &&
        codec->ops->send_body(codec, x->id, (struct amy__span){0}, true,
                              amy__output_open(conn)) < 0) {
        amy__exchange_abort(x); /* fewer bytes than promised */
        return;
    }
    amy__exchange_answered(x);
}

/* A codec that frames bodies itself gets the file through memory. */
static int
copy_file(struct amy__exchange *x, int fd, uint64_t offset, uint64_t n)
{
    while (n > 0) {
        char piece[8192];
        ssize_t got = pread(fd, piece, n < sizeof(piece) ? n : sizeof(piece),
                            (off_t)offset);

        if (got <= 0) {
            return AMY_EIO;
        }
        (void)amy__exchange_send(x, (struct amy__span){piece, (size_t)got});
        offset += (uint64_t)got;
        n -= (uint64_t)got;
    }
    return 0;
}

/* Takes the descriptor over. */
static int
put_file(struct amy__exchange *x, int fd, uint64_t offset, uint64_t n)
{
    struct amy__connection *conn = x->conn;
    int rc = conn->codec->ops->pass_body(conn->codec, x->id, n, false);

    if (rc == 0) {
        x->sent += n;
        amy__output_push_file(conn, fd, offset, n);
        return 0;
    }
    rc = rc == AMY_EUNSUPPORTED ? copy_file(x, fd, offset, n) : rc;
    (void)close(fd);
    return rc;
}

int
amy__exchange_pass_file(struct amy__exchange *x, int fd, uint64_t offset,
                        uint64_t n)
{
    AMY_ASSERT(x->begun && !x->answered);
    if (x->silenced || x->no_body) {
        (void)close(fd);
        return x->silenced ? AMY_ECONN : 0;
    }
    return settle_send(x, put_file(x, fd, offset, n));
}

void
amy__exchange_send_file(struct amy__exchange *x, int fd, uint64_t offset,
                        uint64_t n)
{
    AMY_ASSERT(x->begun && !x->answered);
    if (x->silenced || x->no_body) {
        (void)close(fd);
    } else if (put_file(x, fd, offset, n) < 0) {
        amy__exchange_abort(x);
        return;
    }
    amy__exchange_end(x);
}

struct amy__span
amy__refusal(unsigned status, struct amy__answer_head *head,
             char text[AMY__REFUSAL_TEXT])
{
    int n = snprintf(text, AMY__REFUSAL_TEXT, "%u %s\n", status,
                     amy__status_reason(status));

    memset(head, 0, offsetof(struct amy__answer_head, fields));
    head->status = status;
    head->version_minor = 1;
    head->body = AMY__BODY_LENGTH;
    head->content_length = (uint64_t)n;
    head->field_count = 1;
    head->fields[0] = (struct amy__field){.name = AMY_SPAN("Content-Type"),
                                          .value = AMY_SPAN("text/plain"),
                                          .id = AMY__FIELD_CONTENT_TYPE};
    return (struct amy__span){text, (size_t)n};
}

void
amy__exchange_refuse(struct amy__exchange *x, unsigned status,
                     const char *reason)
{
    struct amy__connection *conn = x->conn;

    if (x->silenced) {
        return;
    }
    x->wants_body = false;
    conn->close_after = true;
    conn->must_linger = true;
    conn->choked = true;
    if (x->begun || x->answered) {
        conn->broken = !x->answered; /* too late to say it */
    } else {
        struct amy__answer_head head;
        char text[AMY__REFUSAL_TEXT];
        struct amy__span body = amy__refusal(status, &head, text);

        if (amy__exchange_encode_head(x, &head, bodyless(x, status)) < 0 ||
            (!bodyless(x, status) && put_body(x, body, true, false) < 0)) {
            conn->broken = true;
        }
    }
    x->silenced = true;
    x->cut = x->cut || conn->broken;
    if (conn->server->handler.on_refused != NULL) {
        conn->server->handler.on_refused(&conn->peer, status, reason,
                                         conn->server->user);
    }
    amy__connection_ready(conn);
    amy__exchange_tell_gone(x);
}

void
amy__exchange_limit_body(struct amy__exchange *x, uint64_t max_bytes)
{
    x->body_max = max_bytes;
    x->conn->body_max = max_bytes;
}

int
amy__exchange_want_body(struct amy__exchange *x, uint64_t max_bytes)
{
    struct amy__connection *conn = x->conn;
    struct amy__server *server = conn->server;

    AMY_ASSERT(x->deciding && !x->answered);
    amy__exchange_limit_body(x, max_bytes == 0 ? server->limits.body_bytes
                                               : max_bytes);
    if (x->head.body == AMY__BODY_LENGTH &&
        x->head.content_length > x->body_max) {
        return AMY_ELIMIT;
    }
    x->wants_body = true;
    if (x->head.body == AMY__BODY_LENGTH) {
        (void)amy__spool_expect(&x->body, &server->spool,
                                x->head.content_length);
    }
    if (x->head.expect_continue &&
        conn->codec->ops->send_informational(conn->codec, x->id, 100,
                                             amy__output_open(conn)) == 0) {
        x->continue_sent = true;
        amy__connection_ready(conn);
    }
    return 0;
}

void
amy__exchange_close_after(struct amy__exchange *x)
{
    x->conn->close_after = true;
}

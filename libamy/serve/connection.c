/* A connection's course: bytes come, exchanges are answered, output leaves,
 * and what follows from it. */
/* Not for parsing (requests.c), encoding (exchange.c), sending (output.c). */
#include "core/check.h"
#include "core/loop.h"
#include "net/tls_conn.h"
#include "serve/internal.h"

#include <event2/event.h>

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

void
amy__connection_ready(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;

    if (conn->ready || conn == server->current) {
        return;
    }
    conn->ready = true;
    if (TAILQ_EMPTY(&server->ready)) {
        amy__defer_ask(server->turn);
    }
    TAILQ_INSERT_TAIL(&server->ready, conn, ready_link);
}

bool
amy__connection_advance(struct amy__connection *conn)
{
    struct amy__exchange *x = NULL;
    struct amy__exchange *next = NULL;
    bool moved = false;

    if (conn->server->speaker == conn &&
        conn->server->out.len >= AMY__SEND_BYTES) {
        amy__output_push(conn, (struct amy__span){0}, false);
    }
    if (amy__output_pending(conn)) {
        return false; /* one slow client's answers do not pile up */
    }
    for (x = TAILQ_FIRST(&conn->active); x != NULL; x = next) {
        next = TAILQ_NEXT(x, link);
        if (!x->answered || !(x->request_whole || conn->must_linger)) {
            continue;
        }
        TAILQ_REMOVE(&conn->active, x, link);
        TAILQ_INSERT_TAIL(&conn->finished, x, link);
        conn->served_first = true;
        if (!x->request_whole || !conn->codec->ops->next(conn->codec, x->id)) {
            conn->close_after = true;
        }
        moved = true;
    }
    return moved;
}

/* A body that would have been allowed is read to its end, or else the answer
 * may be lost to a client that sends all before it listens. One past a small
 * limit is not worth more than the server's own. */
uint64_t
amy__connection_skip_bytes(const struct amy__connection *conn)
{
    uint64_t least = conn->server->limits.body_bytes;

    return conn->body_max > least ? conn->body_max : least;
}

static void
finish(struct amy__connection *conn, bool whole)
{
    struct amy__exchange *x = NULL;

    while ((void)(x = TAILQ_FIRST(&conn->finished)), x != NULL) {
        TAILQ_REMOVE(&conn->finished, x, link);
        x->complete = (whole || x->flushed) && !x->cut;
        amy__exchange_finish(x);
    }
}

static void
give_room(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;
    struct amy__exchange *x = NULL;

    TAILQ_FOREACH(x, &conn->active, link)
    {
        if (x->wants_room && !amy__output_pending(conn)) {
            x->wants_room = false;
            server->handler.on_room(x, server->user);
        }
    }
}

/* The next request when the one before is answered; and in a tunnel what came
 * before it was one. */
static bool
may_feed_held(const struct amy__connection *conn)
{
    const struct amy__exchange *x = TAILQ_FIRST(&conn->active);

    if (!conn->stalled || amy__output_pending(conn)) {
        return false;
    }
    return x == NULL ? !conn->close_after : x->tunnel && !conn->held_back;
}

/* Feed what was held back while an answer was due; true when that changed
 * something. */
static bool
feed_held(struct amy__connection *conn)
{
    size_t before = conn->held_n;
    struct amy__connection *outer = conn->server->current;

    if (!may_feed_held(conn)) {
        return false;
    }
    conn->stalled = false;
    conn->server->current = conn;
    amy__requests_feed(conn, (struct amy__span){conn->held.p, before});
    conn->server->current = outer;
    return conn->held_n != before || !TAILQ_EMPTY(&conn->active);
}

static void
want_read(struct amy__connection *conn, bool want)
{
    if (want == conn->reading) {
        return;
    }
    if (want) {
        conn->reading = event_add(&conn->read_event, NULL) == 0;
    } else {
        (void)event_del(&conn->read_event);
        conn->reading = false;
    }
}

/* What TLS holds makes no descriptor readable: ask for it as if it did. */
static void
read_on(struct amy__connection *conn)
{
    bool want =
        !conn->eof && !conn->stalled && !conn->choked && !conn->held_back;

    want_read(conn, want);
    if (want && conn->unread) {
        conn->unread = false;
        event_active(&conn->read_event, EV_READ, 0);
    }
}

static void
wait_on(struct amy__connection *conn)
{
    const struct amy__exchange *x = TAILQ_FIRST(&conn->active);

    if (amy__output_pending(conn)) {
        amy__waiting_set(conn, AMY__WAIT_SEND, conn->progressed);
    } else if (x != NULL) {
        amy__waiting_set(
            conn, x->request_whole ? AMY__WAIT_NOTHING : AMY__WAIT_BODY, false);
    } else if (conn->held_n > 0) {
        amy__waiting_set(conn, AMY__WAIT_HEAD, false);
    } else if (conn->served_first) {
        amy__waiting_set(conn, AMY__WAIT_IDLE, conn->progressed);
    } else {
        amy__waiting_set(conn, AMY__WAIT_FRESH, false);
    }
    conn->progressed = false;
}

static void
reclaim(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;

    AMY_ASSERT(TAILQ_EMPTY(&conn->active) && TAILQ_EMPTY(&conn->finished));
    if (conn->ready) {
        TAILQ_REMOVE(&server->ready, conn, ready_link);
    }
    amy__tls_conn_free(conn->tls);
    TAILQ_REMOVE(&server->all, conn, all_link);
    if (server->draining) {
        amy__defer_ask(server->turn); /* it may have been the last */
    }
    /* Not "<": the bound is 0 under the address sanitizer. */
    if (server->spares + 1 <= AMY__SLAB_KEEP) {
        TAILQ_INSERT_HEAD(&server->spare, conn, all_link);
        server->spares++;
        return;
    }
    conn->codec->ops->free(conn->codec);
    amy__slab_give(&server->connections, conn);
}

/* The descriptor is closed; only exchanges whose handler still works, or whose
 * log line is due, hold the struct. */
static void
settle_closed(struct amy__connection *conn)
{
    struct amy__exchange *x = NULL;
    struct amy__exchange *next = NULL;

    for (x = TAILQ_FIRST(&conn->active); x != NULL; x = next) {
        next = TAILQ_NEXT(x, link);
        if (x->answered) {
            TAILQ_REMOVE(&conn->active, x, link);
            TAILQ_INSERT_TAIL(&conn->finished, x, link);
        }
    }
    finish(conn, false);
    if (conn->exchanges == 0) {
        reclaim(conn);
    }
}

void
amy__connection_close(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;
    struct amy__exchange *x = NULL;

    AMY_ASSERT(conn->phase != AMY__PHASE_CLOSED);
    if (conn->tls != NULL && !conn->broken) {
        amy__tls_conn_shutdown(conn->tls);
    }
    conn->phase = AMY__PHASE_CLOSED;
    if (server->speaker == conn) {
        server->speaker = NULL;
        server->out.len = 0;
    }
    amy__output_clear(conn);
    want_read(conn, false);
    amy__waiting_set(conn, AMY__WAIT_NOTHING, false);
    amy__blocks_give(&server->blocks, &conn->held);
    conn->held_n = 0;
    (void)close(conn->fd);
    conn->fd = -1;
    server->figures.open--;
    TAILQ_FOREACH(x, &conn->active, link)
    {
        x->silenced = true;
        x->cut = true;
        amy__exchange_tell_gone(x);
    }
    amy__listeners_resume(server);
    settle_closed(conn);
}

void
amy__connection_settle(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;

    if (conn->phase == AMY__PHASE_CLOSED) {
        settle_closed(conn);
        return;
    }
    do {
        (void)amy__connection_advance(conn);
        if (server->speaker == conn) {
            amy__output_push(conn, (struct amy__span){0}, false);
        }
        if (conn->broken) {
            amy__connection_close(conn);
            return;
        }
        (void)amy__connection_advance(conn);
        if (!amy__output_pending(conn)) {
            give_room(conn);
        }
        if (!amy__output_pending(conn) && server->speaker != conn) {
            finish(conn, true);
        }
    } while (feed_held(conn) || server->speaker == conn || conn->broken);
    if (conn->phase != AMY__PHASE_OPEN) {
        return;
    }
    if (!TAILQ_EMPTY(&conn->active) && TAILQ_FIRST(&conn->active)->tunnel) {
        amy__tunnel_settle(TAILQ_FIRST(&conn->active));
    }
    if (TAILQ_EMPTY(&conn->active) && !amy__output_pending(conn)) {
        bool idle = conn->held_n == 0 && conn->served_first;

        if (conn->close_after && (conn->must_linger || conn->held_n > 0)) {
            amy__linger_start(conn);
            return;
        }
        if (conn->close_after || (conn->eof && !conn->stalled) ||
            (server->draining && !server->unhurried && idle)) {
            amy__connection_close(conn);
            return;
        }
    }
    read_on(conn);
    wait_on(conn);
}

static ssize_t
receive(struct amy__connection *conn, char *buf, size_t size)
{
    ssize_t n = 0;

    if (conn->tls == NULL) {
        n = recv(conn->fd, buf, size, 0);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR ? AMY_EAGAIN : AMY_ECONN;
        }
        return n;
    }
    n = amy__tls_conn_read(conn->tls, buf, size);
    return n == AMY__TLS_WANT_WRITE ? AMY_EAGAIN : n;
}

static void
on_eof(struct amy__connection *conn)
{
    struct amy__exchange *x = NULL;

    conn->eof = true;
    (void)conn->codec->ops->eof(conn->codec);
    TAILQ_FOREACH(x, &conn->active, link)
    {
        if (!x->request_whole) {
            conn->broken = true; /* the rest of the body will never come */
        } else if (!x->tunnel) {
            /* It may only have closed its sending side, and read on. */
            amy__exchange_tell_gone(x);
        }
    }
}

/* Where to read: the shared scratch, or behind bytes held from before. */
static struct amy__block
room_to_read(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;
    struct amy__block room = {server->scratch, AMY__READ_BYTES};

    if (conn->held_n == 0) {
        return room;
    }
    if (amy__blocks_grow(&server->blocks, &conn->held, conn->held_n,
                         conn->held_n + 1) < 0) {
        return (struct amy__block){0};
    }
    room.p = conn->held.p + conn->held_n;
    room.cap = conn->held.cap - conn->held_n;
    return room;
}

/* One piece; true when more is at hand that the kernel will not tell of. */
static bool
read_once(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;
    struct amy__block room = room_to_read(conn);
    struct amy__span data = {room.p, 0};
    ssize_t n = 0;

    if (room.p == NULL) {
        conn->broken = true;
        return false;
    }
    n = receive(conn, room.p, room.cap);
    if (n == 0) {
        on_eof(conn);
        return false;
    }
    if (n < 0) {
        conn->broken = n != AMY_EAGAIN;
        return false;
    }
    server->figures.bytes_in += (uint64_t)n;
    if (conn->held_n == 0) {
        conn->first_byte_us = server->now_us;
        data.n = (size_t)n;
    } else {
        data = (struct amy__span){conn->held.p, conn->held_n + (size_t)n};
    }
    amy__requests_feed(conn, data);
    if (conn->tls == NULL || !amy__tls_conn_pending(conn->tls)) {
        return false;
    }
    conn->unread = conn->stalled || conn->held_back;
    return !conn->unread && !conn->broken && !conn->choked;
}

/* True when the connection is open now and may have bytes to read. */
static bool
shake_hands(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;
    int rc = 0;

    /* A signature costs as much as 50 requests: those who wait here are woken
     * again by the next turn, and established connections come between. */
    if (!conn->greeted) {
        if (server->handshakes_left == 0) {
            return false;
        }
        server->handshakes_left--;
        conn->greeted = true;
        amy__defer_ask(server->turn);
    }
    rc = amy__tls_conn_handshake(conn->tls, NULL);
    if (rc == AMY__TLS_WANT_WRITE && !conn->out.armed) {
        conn->out.armed = event_add(&conn->write_event, NULL) == 0;
    }
    if (rc == AMY__TLS_WANT_READ || rc == AMY__TLS_WANT_WRITE) {
        return false;
    }
    if (rc < 0) {
        server->figures.handshake_failures++;
        conn->broken = true;
        amy__connection_close(conn);
        return false;
    }
    server->figures.handshakes++;
    conn->phase = AMY__PHASE_OPEN;
    wait_on(conn);
    return amy__tls_conn_pending(conn->tls);
}

void
amy__connection_on_readable(int fd, short what, void *user)
{
    struct amy__connection *conn = user;
    struct amy__server *server = conn->server;

    (void)fd;
    (void)what;
    (void)amy__server_now(server);
    if (conn->phase == AMY__PHASE_LINGER) {
        amy__linger_read(conn);
        return;
    }
    if (conn->phase == AMY__PHASE_HANDSHAKE && !shake_hands(conn)) {
        return;
    }
    server->current = conn;
    while (read_once(conn)) {
        /* TLS: what it holds back makes no descriptor readable. */
    }
    server->current = NULL;
    amy__connection_settle(conn);
}

static struct amy__connection *
take_struct(struct amy__server *server)
{
    struct amy__connection *conn = TAILQ_FIRST(&server->spare);
    struct amy__codec *codec = NULL;

    if (conn != NULL) {
        TAILQ_REMOVE(&server->spare, conn, all_link);
        server->spares--;
        codec = conn->codec;
        amy__h1_renew(codec, conn);
    } else {
        conn = amy__slab_take(&server->connections);
        if (conn == NULL) {
            return NULL;
        }
        if (amy__h1_server_create(NULL, &amy__server_events, conn, &codec,
                                  NULL) < 0) {
            amy__slab_give(&server->connections, conn);
            return NULL;
        }
    }
    memset(conn, 0, sizeof(*conn));
    conn->codec = codec;
    conn->server = server;
    conn->out.fd = -1;
    conn->waiting = AMY__WAIT_NOTHING;
    TAILQ_INIT(&conn->active);
    TAILQ_INIT(&conn->finished);
    return conn;
}

void
amy__connection_accept(struct amy__listener *listener, int fd,
                       const struct amy__address *peer, uid_t uid)
{
    struct amy__server *server = listener->server;
    struct amy__connection *conn = take_struct(server);

    if (conn == NULL) {
        (void)close(fd);
        return;
    }
    conn->fd = fd;
    conn->tag = listener->tag;
    conn->peer = *peer;
    conn->uid = uid;
    conn->phase = AMY__PHASE_OPEN;
    TAILQ_INSERT_TAIL(&server->all, conn, all_link);
    server->figures.accepted++;
    server->figures.open++;
    if (listener->tls != NULL) {
        conn->phase = AMY__PHASE_HANDSHAKE;
        if (amy__tls_accept(listener->tls, fd, &conn->tls, NULL) < 0) {
            conn->broken = true;
        }
    }
    if (event_assign(&conn->read_event, server->base, fd, EV_READ | EV_PERSIST,
                     amy__connection_on_readable, conn) != 0 ||
        event_assign(&conn->write_event, server->base, fd,
                     EV_WRITE | EV_PERSIST, amy__output_on_writable,
                     conn) != 0) {
        conn->broken = true;
    }
    want_read(conn, !conn->broken);
    if (!conn->reading) {
        amy__connection_close(conn);
        return;
    }
    amy__waiting_set(conn,
                     conn->phase == AMY__PHASE_HANDSHAKE ? AMY__WAIT_HANDSHAKE
                                                         : AMY__WAIT_FRESH,
                     true);
}

/* Sending: bytes are encoded into one shared buffer that belongs to one
 * connection at a time, leave in one write, and only what the kernel does not
 * take is kept per connection. */
/* Not for deciding what is sent: that is exchange.c and connection.c. */
#include "core/check.h"
#include "core/files.h"
#include "net/tls_conn.h"
#include "serve/internal.h"

#include <event2/event.h>

#include <errno.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

/* One turn's share of a file, so that a fast client does not hold the loop. */
#define FILE_SLICE (512U * 1024U)

bool
amy__output_pending(const struct amy__connection *conn)
{
    const struct amy__output *out = &conn->out;

    return out->off < out->len || out->tail.n > 0 || out->file_left > 0;
}

void
amy__output_clear(struct amy__connection *conn)
{
    struct amy__output *out = &conn->out;

    amy__blocks_give(&conn->server->blocks, &out->block);
    amy__close(&out->fd);
    out->off = 0;
    out->len = 0;
    out->tail = (struct amy__span){0};
    out->file_left = 0;
    if (out->armed) {
        (void)event_del(&conn->write_event);
        out->armed = false;
    }
}

struct amy__buf *
amy__output_open(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;

    if (server->speaker != conn) {
        if (server->speaker != NULL) {
            amy__output_push(server->speaker, (struct amy__span){0}, false);
        }
        server->speaker = conn;
    }
    return &server->out;
}

/* Bytes taken; 0 when the socket is full; -1 when it is gone. */
static ssize_t
write_plain(struct amy__connection *conn, struct amy__span a,
            struct amy__span b, int flags)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)a.p, a.n},
                             {(void *)(uintptr_t)b.p, b.n}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = 0;

    if (b.n == 0) {
        n = send(conn->fd, a.p, a.n, MSG_NOSIGNAL | flags);
    } else {
        if (a.n == 0) {
            msg.msg_iov = &parts[1];
            msg.msg_iovlen = 1;
        }
        n = sendmsg(conn->fd, &msg, MSG_NOSIGNAL | flags);
    }
    if (n >= 0) {
        return n;
    }
    return errno == EAGAIN || errno == EINTR || errno == ENOBUFS ? 0 : -1;
}

static ssize_t
write_tls(struct amy__connection *conn, struct amy__span data)
{
    size_t done = 0;

    while (done < data.n) {
        struct amy__span rest = {data.p + done, data.n - done};
        ssize_t n = 0;

        if (rest.n > AMY__SEND_BYTES) {
            rest.n = AMY__SEND_BYTES;
        }
        n = amy__tls_conn_write(conn->tls, rest);
        if (n == AMY__TLS_WANT_READ || n == AMY__TLS_WANT_WRITE) {
            break;
        }
        if (n <= 0) {
            return -1;
        }
        done += (size_t)n;
    }
    return (ssize_t)done;
}

/* Both spans in as few records as it goes: the first is filled up from the
 * second, as a head and a small body share one record. `a` lies in the shared
 * buffer, which has room behind it. */
static ssize_t
write_tls_two(struct amy__connection *conn, struct amy__span a,
              struct amy__span b)
{
    struct amy__buf *buf = &conn->server->out;
    size_t fill = a.n % AMY__SEND_BYTES;
    ssize_t n = 0;
    ssize_t more = 0;

    fill = fill == 0 ? 0 : AMY__SEND_BYTES - fill;
    fill = fill < b.n ? fill : b.n;
    if (fill > 0 && a.p == buf->data && amy__buf_append(buf, b.p, fill) == 0) {
        a = amy__buf_span(buf);
        b.p += fill;
        b.n -= fill;
    }
    n = a.n == 0 ? 0 : write_tls(conn, a);
    if (n == (ssize_t)a.n && b.n > 0) {
        more = write_tls(conn, b);
        return more < 0 ? -1 : n + more;
    }
    return n;
}

static ssize_t
write_out(struct amy__connection *conn, struct amy__span a, struct amy__span b,
          int flags)
{
    ssize_t n = conn->tls == NULL ? write_plain(conn, a, b, flags)
                                  : write_tls_two(conn, a, b);

    if (n < 0) {
        conn->broken = true;
        amy__connection_ready(conn);
        return -1;
    }
    if (n > 0) {
        conn->progressed = true;
        conn->server->figures.bytes_out += (uint64_t)n;
    }
    return n;
}

static int
keep(struct amy__connection *conn, struct amy__span data)
{
    struct amy__output *out = &conn->out;
    size_t held = out->len - out->off;

    if (data.n == 0) {
        return 0;
    }
    AMY_ASSERT(out->file_left == 0);
    if (out->off > 0) {
        memmove(out->block.p, out->block.p + out->off, held);
        out->off = 0;
        out->len = held;
    }
    if (amy__blocks_grow(&conn->server->blocks, &out->block, held,
                         held + data.n) < 0) {
        conn->broken = true;
        amy__connection_ready(conn);
        return AMY_ENOMEM;
    }
    memcpy(out->block.p + held, data.p, data.n);
    out->len = held + data.n;
    return 0;
}

/* Behind borrowed bytes nothing can be appended, so they are copied then. */
static void
keep_tail(struct amy__connection *conn)
{
    struct amy__span tail = conn->out.tail;

    conn->out.tail = (struct amy__span){0};
    (void)keep(conn, tail);
}

/* OpenSSL wants at least the bytes of a write that it could not finish, in one
 * piece: so with TLS a record's worth is copied behind the head. */
static void
keep_rest(struct amy__connection *conn, struct amy__span more, bool shared)
{
    struct amy__span first = more;

    if (shared) {
        first.n = conn->tls == NULL ? 0 : more.n;
        first.n = first.n < AMY__SEND_BYTES ? first.n : AMY__SEND_BYTES;
    }
    if (keep(conn, first) == 0) {
        conn->out.tail.p = more.p + first.n;
        conn->out.tail.n = more.n - first.n;
    }
}

static void
arm(struct amy__connection *conn)
{
    if (!conn->out.armed && conn->phase != AMY__PHASE_CLOSED) {
        conn->out.armed = event_add(&conn->write_event, NULL) == 0;
    }
}

void
amy__output_push(struct amy__connection *conn, struct amy__span more,
                 bool shared)
{
    struct amy__server *server = conn->server;
    struct amy__span head = {0};
    size_t taken = 0;

    if (server->speaker == conn) {
        head = amy__buf_span(&server->out);
    }
    if (head.n + more.n == 0 || conn->broken ||
        conn->phase == AMY__PHASE_CLOSED) {
        goto said;
    }
    if (amy__output_pending(conn)) {
        keep_tail(conn);
    } else {
        ssize_t n = write_out(conn, head, more, 0);

        if (n < 0) {
            goto said;
        }
        taken = (size_t)n;
    }
    if (taken < head.n) {
        head.p += taken;
        head.n -= taken;
        (void)keep(conn, head);
        taken = 0;
    } else {
        taken -= head.n;
    }
    more.p += taken;
    more.n -= taken;
    keep_rest(conn, more, shared);
    if (amy__output_pending(conn)) {
        arm(conn);
    }
said:
    if (server->speaker == conn) {
        server->speaker = NULL;
        server->out.len = 0;
    }
}

static int
cut_file(struct amy__connection *conn)
{
    /* Shrunk or unreadable: the length promised cannot be kept. */
    conn->broken = true;
    amy__connection_ready(conn);
    return -1;
}

/* 1: went on; 0: the socket is full; -1: broken. */
static int
write_file_plain(struct amy__connection *conn, size_t slice)
{
    struct amy__output *out = &conn->out;
    off_t at = (off_t)out->file_at;
    ssize_t n = sendfile(conn->fd, out->fd, &at, slice);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n <= 0) {
        return cut_file(conn);
    }
    out->file_at += (uint64_t)n;
    out->file_left -= (uint64_t)n;
    conn->progressed = true;
    conn->server->figures.bytes_out += (uint64_t)n;
    return 1;
}

static int
write_file_tls(struct amy__connection *conn, size_t slice)
{
    struct amy__output *out = &conn->out;
    struct amy__buf *buf = &conn->server->out;
    struct amy__span data = {0};
    ssize_t n = 0;

    /* Behind what another connection may have there. */
    if (amy__buf_reserve(buf, AMY__SEND_BYTES) < 0) {
        return cut_file(conn);
    }
    n = pread(out->fd, buf->data + buf->len,
              slice < AMY__SEND_BYTES ? slice : AMY__SEND_BYTES,
              (off_t)out->file_at);
    if (n <= 0) {
        return cut_file(conn);
    }
    data = (struct amy__span){buf->data + buf->len, (size_t)n};
    n = write_out(conn, data, (struct amy__span){0}, 0);
    if (n > 0) {
        out->file_at += (uint64_t)n;
        out->file_left -= (uint64_t)n;
    }
    return n < 0 ? -1 : n > 0;
}

static void
write_file(struct amy__connection *conn)
{
    struct amy__output *out = &conn->out;
    uint64_t end =
        out->file_left > FILE_SLICE ? out->file_left - FILE_SLICE : 0;
    int rc = 1;

    while (rc == 1 && out->file_left > end) {
        size_t slice = (size_t)(out->file_left - end);

        rc = conn->tls == NULL ? write_file_plain(conn, slice)
                               : write_file_tls(conn, slice);
    }
    if (out->file_left == 0) {
        amy__close(&out->fd);
    }
}

/* Over TLS the head's record is filled up from the file; how many bytes. One
 * that cannot be read is found out by write_file(). */
static size_t
fill_record(struct amy__connection *conn, int fd, uint64_t offset, uint64_t n)
{
    struct amy__buf *buf = &conn->server->out;
    size_t room = AMY__SEND_BYTES - buf->len % AMY__SEND_BYTES;
    ssize_t got = 0;

    room = n < room ? (size_t)n : room;
    if (amy__buf_reserve(buf, room) < 0) {
        return 0;
    }
    got = pread(fd, buf->data + buf->len, room, (off_t)offset);
    if (got <= 0) {
        return 0;
    }
    buf->len += (size_t)got;
    return (size_t)got;
}

/* The head leaves with the first piece of the file: in one segment, or in one
 * record. Returns how much of the file went along. */
static size_t
push_head(struct amy__connection *conn, int fd, uint64_t offset, uint64_t n)
{
    struct amy__server *server = conn->server;
    ssize_t taken = 0;

    if (server->speaker != conn || server->out.len == 0 ||
        amy__output_pending(conn) || conn->broken) {
        return 0;
    }
    if (conn->tls != NULL) {
        return fill_record(conn, fd, offset, n);
    }
    taken = write_out(conn, amy__buf_span(&server->out), (struct amy__span){0},
                      MSG_MORE);
    if (taken > 0) {
        amy__buf_consume(&server->out, (size_t)taken);
    }
    return 0;
}

void
amy__output_push_file(struct amy__connection *conn, int fd, uint64_t offset,
                      uint64_t n)
{
    struct amy__output *out = &conn->out;
    size_t gone = push_head(conn, fd, offset, n);

    offset += gone;
    n -= gone;
    amy__output_push(conn, (struct amy__span){0}, false);
    if (conn->broken || conn->phase == AMY__PHASE_CLOSED || n == 0) {
        (void)close(fd);
        return;
    }
    keep_tail(conn);
    out->fd = fd;
    out->file_at = offset;
    out->file_left = n;
    if (out->off == out->len) {
        write_file(conn);
    }
    if (amy__output_pending(conn)) {
        arm(conn);
    }
}

static void
write_held(struct amy__connection *conn)
{
    struct amy__output *out = &conn->out;
    struct amy__span block = {out->block.p + out->off, out->len - out->off};
    ssize_t n = write_out(conn, block, out->tail, 0);
    size_t taken = n < 0 ? 0 : (size_t)n;

    if (taken < block.n) {
        out->off += taken;
        return;
    }
    taken -= block.n;
    out->tail.p += taken;
    out->tail.n -= taken;
    out->off = 0;
    out->len = 0;
    amy__blocks_give(&conn->server->blocks, &out->block);
}

void
amy__output_on_writable(int fd, short what, void *user)
{
    struct amy__connection *conn = user;
    struct amy__output *out = &conn->out;

    if (conn->phase == AMY__PHASE_HANDSHAKE) {
        (void)event_del(&conn->write_event);
        out->armed = false;
        amy__connection_on_readable(fd, what, conn);
        return;
    }
    (void)amy__server_now(conn->server);
    if (out->off < out->len || out->tail.n > 0) {
        write_held(conn);
    }
    if (!conn->broken && out->file_left > 0 && out->off == out->len &&
        out->tail.n == 0) {
        write_file(conn);
    }
    if (!amy__output_pending(conn) && out->armed) {
        (void)event_del(&conn->write_event);
        out->armed = false;
    }
    amy__connection_settle(conn);
}

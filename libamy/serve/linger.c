/* Closing so that the last answer arrives: our side is shut, what the client
 * still sends is thrown away until it is done, silent, or too long
 * (RFC 9112 9.6). */
/* Not for connections without unread bytes: those are just closed. */
#include "net/tls_conn.h"
#include "serve/internal.h"

#include <event2/event.h>

#include <errno.h>
#include <sys/socket.h>

void
amy__linger_start(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;

    if (conn->eof) {
        amy__connection_close(conn);
        return;
    }
    if (conn->tls != NULL) {
        amy__tls_conn_shutdown(conn->tls);
    }
    (void)shutdown(conn->fd, SHUT_WR);
    amy__blocks_give(&server->blocks, &conn->held);
    conn->held_n = 0;
    conn->phase = AMY__PHASE_LINGER;
    conn->linger_ms = amy__server_now_ms(server);
    amy__waiting_set(conn, AMY__WAIT_LINGER, true);
    if (!conn->reading) {
        conn->reading = event_add(&conn->read_event, NULL) == 0;
    }
}

/* Counted as they come, chunks and TLS records and all: a body of the size
 * allowed must fit. */
static uint64_t
most_bytes(const struct amy__connection *conn)
{
    uint64_t body = amy__connection_skip_bytes(conn);

    return body + body / 16 + AMY__READ_BYTES;
}

void
amy__linger_read(struct amy__connection *conn)
{
    struct amy__server *server = conn->server;
    /* With TLS too, the bytes are read as they are: nobody decrypts them. */
    ssize_t n = recv(conn->fd, server->scratch, AMY__READ_BYTES, 0);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n > 0) {
        conn->lingered += (uint64_t)n;
        amy__waiting_set(conn, AMY__WAIT_LINGER, true);
    }
    if (n <= 0 || conn->lingered > most_bytes(conn) ||
        amy__server_now_ms(server) - conn->linger_ms >
            server->limits.linger_ms) {
        conn->broken = n <= 0; /* close_notify was sent before */
        amy__connection_close(conn);
    }
}

/* An exchange that has changed protocols: bytes go both ways until each side
 * has said all. */
/* Not for the other end of it: that is the handler's. */
#include "core/check.h"
#include "net/tls_conn.h"
#include "serve/internal.h"

#include <sys/socket.h>

int
amy__exchange_upgrade(struct amy__exchange *x, struct amy__answer_head *head)
{
    struct amy__connection *conn = x->conn;
    int rc = 0;

    if (x->silenced || conn->eof) {
        return AMY_ECONN;
    }
    head->status = 101;
    head->body = AMY__BODY_NONE;
    rc = amy__exchange_encode_head(x, head, false);
    if (rc < 0) {
        return rc;
    }
    x->tunnel = true;
    conn->server->figures.tunnels++;
    amy__connection_ready(conn);
    return 0;
}

void
amy__exchange_hold(struct amy__exchange *x, bool hold)
{
    x->conn->held_back = hold;
    if (!hold) {
        amy__connection_ready(x->conn);
    }
}

void
amy__tunnel_take(struct amy__exchange *x, struct amy__span data)
{
    struct amy__server *server = x->conn->server;

    if (!x->silenced) {
        server->handler.on_tunnel(x, data, server->user);
    }
}

void
amy__tunnel_over(struct amy__exchange *x)
{
    struct amy__server *server = x->conn->server;

    x->in_over = true;
    if (!x->silenced) {
        server->handler.on_tunnel_end(x, server->user);
    }
    if (x->out_over && !x->answered) {
        amy__exchange_answered(x);
    }
}

void
amy__tunnel_end(struct amy__exchange *x)
{
    struct amy__connection *conn = x->conn;

    AMY_ASSERT(!x->out_over);
    x->out_over = true;
    if (!x->silenced &&
        conn->codec->ops->send_body(conn->codec, x->id, (struct amy__span){0},
                                    true, amy__output_open(conn)) < 0) {
        amy__exchange_abort(x);
        return;
    }
    if (x->in_over) {
        amy__exchange_answered(x);
    } else {
        amy__connection_ready(conn);
    }
}

void
amy__exchange_part(struct amy__exchange *x)
{
    struct amy__connection *conn = x->conn;

    AMY_ASSERT(x->tunnel && !x->answered);
    if (!x->out_over) {
        amy__tunnel_end(x);
    }
    conn->held_back = false;
    conn->must_linger = !conn->eof;
    if (!x->answered) {
        amy__exchange_answered(x);
    }
}

/* Half a close: the client may still speak. The one exchange of an HTTP/1.1
 * connection is at its end, so the socket is the place to say it. */
void
amy__tunnel_settle(struct amy__exchange *x)
{
    struct amy__connection *conn = x->conn;

    if (!x->out_over || x->shut || amy__output_pending(conn)) {
        return;
    }
    x->shut = true;
    if (conn->tls != NULL) {
        amy__tls_conn_shutdown(conn->tls);
    } else {
        (void)shutdown(conn->fd, SHUT_WR);
    }
}

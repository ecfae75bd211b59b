/* What a handler may ask an exchange. */
/* Not for changing it: that is exchange.c. */
#include "net/tls_conn.h"
#include "serve/internal.h"

#include <sys/socket.h>

void *
amy__exchange_room(struct amy__exchange *x)
{
    return x->room;
}

const struct amy__request_head *
amy__exchange_head(const struct amy__exchange *x)
{
    return &x->head;
}

uint32_t
amy__exchange_tag(const struct amy__exchange *x)
{
    return x->conn->tag;
}

const struct amy__address *
amy__exchange_peer(const struct amy__exchange *x)
{
    return &x->conn->peer;
}

bool
amy__exchange_credentials(const struct amy__exchange *x, uid_t *ret_uid,
                          gid_t *ret_gid, pid_t *ret_pid)
{
    struct ucred peer = {0};
    socklen_t n = sizeof(peer);

    /* TCP sockets answer too, with nobody's ids: the family decides. */
    if (x->conn->fd < 0 || x->conn->peer.sa.ss_family != AF_UNIX ||
        getsockopt(x->conn->fd, SOL_SOCKET, SO_PEERCRED, &peer, &n) != 0) {
        return false;
    }
    *ret_uid = peer.uid;
    *ret_gid = peer.gid;
    *ret_pid = peer.pid;
    return true;
}

bool
amy__exchange_is_tls(const struct amy__exchange *x)
{
    return x->conn->tls != NULL;
}

struct amy__span
amy__exchange_sni(const struct amy__exchange *x)
{
    return x->conn->tls == NULL ? AMY_SPAN("")
                                : amy__tls_conn_sni(x->conn->tls);
}

const struct amy__exchange_times *
amy__exchange_times(const struct amy__exchange *x)
{
    return &x->times;
}

unsigned
amy__exchange_status(const struct amy__exchange *x)
{
    return x->status;
}

uint64_t
amy__exchange_sent(const struct amy__exchange *x)
{
    return x->sent;
}

bool
amy__exchange_complete(const struct amy__exchange *x)
{
    return x->complete;
}

void
amy__exchange_body(const struct amy__exchange *x, struct amy__body *ret)
{
    *ret = (struct amy__body){
        .p = x->body.fd < 0 ? x->body.memory.p : NULL,
        .n = x->body.n,
        .fd = x->body.fd,
    };
}

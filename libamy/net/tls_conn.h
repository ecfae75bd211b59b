/* One TLS connection over a descriptor: the small seam by which serve shakes
 * hands, reads and writes. Not for contexts: those are net/tls.h. */
#ifndef AMY_NET_TLS_CONN_H
#define AMY_NET_TLS_CONN_H

#include <amy/error.h>

#include "core/str.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct amy__tls_conn;

/* What a call could not do at once. AMY_ECONN is the end of the connection. */
#define AMY__TLS_WANT_READ AMY_EAGAIN
#define AMY__TLS_WANT_WRITE AMY_EBUSY

/* The server's side over a connected non-blocking socket, which stays the
 * caller's. The certificate set is the one committed now. */
int amy__tls_accept(struct amy__tls *tls, int fd,
                    struct amy__tls_conn **ret_conn, struct amy_error *err);
/* Tells the peer (close_notify) when that is possible without waiting. */
void amy__tls_conn_shutdown(struct amy__tls_conn *conn);
void amy__tls_conn_free(struct amy__tls_conn *conn);

/* 0: done; AMY__TLS_WANT_READ, AMY__TLS_WANT_WRITE, AMY_EPROTO; AMY_EAUTH: the
 * server's certificate does not prove what a client asked of it. */
int amy__tls_conn_handshake(struct amy__tls_conn *conn, struct amy_error *err);
/* Bytes; 0 at the end (also without close_notify: RFC 9112 9.8);
 * AMY__TLS_WANT_* or AMY_ECONN. */
ssize_t amy__tls_conn_read(struct amy__tls_conn *conn, char *buf, size_t size);
ssize_t amy__tls_conn_write(struct amy__tls_conn *conn, struct amy__span data);
/* Why the last read or write gave AMY_ECONN, for as long as no other TLS call
 * was made: an alert of the peer's, maybe. Returns AMY_ECONN. */
int amy__tls_conn_reason(struct amy_error *err);
/* Bytes were read from the socket that amy__tls_conn_read() has not given out:
 * the descriptor will not become readable for them. */
bool amy__tls_conn_pending(const struct amy__tls_conn *conn);
/* Lower-cased SNI name; "" when the client sent none. */
struct amy__span amy__tls_conn_sni(const struct amy__tls_conn *conn);
bool amy__tls_conn_resumed(const struct amy__tls_conn *conn);

#endif

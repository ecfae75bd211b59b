/* The client's side of TLS: whom it believes, and whom it wants to meet. */
#ifndef AMY_NET_TLS_CLIENT_H
#define AMY_NET_TLS_CLIENT_H

#include <amy/error.h>

#include "net/tls_conn.h"

struct amy__tls_client {
    const char *ca_file;   /* PEM; NULL: whom this system trusts */
    const char *cert_file; /* PEM; NULL: we have none to show */
    const char *key_file;  /* PEM; NULL: in cert_file */
    const char *name;      /* of the peer: a DNS name (sent as SNI) or an
                              address, which its certificate must cover */
};

/* Over a connected non-blocking socket, which stays the caller's. Files are
 * read anew each time: a replaced one counts from the next connection on.
 * AMY_EINVAL (a file: err says which), AMY_ENOMEM. */
int amy__tls_connect(const struct amy__tls_client *client, int fd,
                     struct amy__tls_conn **ret_conn, struct amy_error *err);

#endif

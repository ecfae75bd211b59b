/* What net/tls.c, tls_cert.c and tls_conn.c share. Includes OpenSSL. */
#ifndef AMY_NET_TLS_INTERNAL_H
#define AMY_NET_TLS_INTERNAL_H

#include "net/tls.h"

#include <openssl/ssl.h>

struct amy__tls_cert {
    unsigned refs;
    SSL_CTX *ctx; /* chain and key; what a connection switches to */
    X509 *leaf;   /* owned by ctx */
};

/* A context with our protocol rules and no certificate. */
SSL_CTX *amy__tls_context(struct amy_error *err);
/* amy__err() with OpenSSL's newest reason behind the text; empties its queue.
 */
int amy__tls_err(struct amy_error *err, int code, const char *what);
/* The base context: SNI and tickets are decided there. */
SSL_CTX *amy__tls_base(const struct amy__tls *tls);

#endif

/* What the files net/tls*.c share. Includes OpenSSL. */
#ifndef AMY_NET_TLS_INTERNAL_H
#define AMY_NET_TLS_INTERNAL_H

#include "net/tls.h"
#include "net/tls_conn.h"

#include <openssl/ssl.h>

struct amy__tls_cert {
    unsigned refs;
    SSL_CTX *ctx; /* chain and key; what a connection may switch to */
    X509 *leaf;   /* owned by ctx */
};

/* A choice with its context; shared by the names that have the same one. */
struct amy__tls_set {
    unsigned refs;
    struct amy__tls_cert *certs[AMY__TLS_TYPES]; /* a reference each, or NULL */
    SSL_CTX *ctx;
};
int amy__tls_set_create(const struct amy__tls_choice *choice,
                        struct amy__tls_set **ret_set, struct amy_error *err);
void amy__tls_set_unref(struct amy__tls_set *set);
bool amy__tls_set_is(const struct amy__tls_set *set,
                     const struct amy__tls_choice *choice);

/* A context with our protocol rules and no certificate. */
SSL_CTX *amy__tls_context(struct amy_error *err);
/* amy__err() with OpenSSL's newest reason behind the text; empties its queue.
 */
int amy__tls_err(struct amy_error *err, int code, const char *what);
/* SHA-256, hex; "" when it cannot be had. */
void amy__tls_fingerprint(const X509 *leaf, char ret[65]);
/* For OpenSSL, which never asks a person: an encrypted key is one we cannot
 * read. */
int amy__tls_no_password(char *buf, int size, int writing, void *user);
/* A connection over an SSL object, which is taken over, also on failure:
 * AMY_ENOMEM. */
int amy__tls_conn_over(SSL *ssl, struct amy__tls_conn **ret_conn,
                       struct amy_error *err);
/* The base context: SNI and tickets are decided there. */
SSL_CTX *amy__tls_base(const struct amy__tls *tls);

#endif

/* TLS server contexts, chosen by SNI name; swapped as a whole when certificates
 * change. The only files with OpenSSL's SSL are net/tls*.c and serve's
 * connection, which calls through net/tls_conn.h. */
#ifndef AMY_NET_TLS_H
#define AMY_NET_TLS_H

#include <amy/error.h>

#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct amy__tls;      /* what a listener serves: names to certificates */
struct amy__tls_cert; /* one chain and key, checked to fit; reference counted */

/* What can be told of a certificate without its key. */
struct amy__tls_cert_info {
    int64_t not_before_ms; /* wall clock */
    int64_t not_after_ms;
    char fingerprint[65]; /* SHA-256 of the leaf, hex */
    char issuer[128];
    char serial[64];
    char key_type[16]; /* "EC P-256", "RSA 2048" */
    char names[512];   /* DNS names that it covers, by comma; cut where full */
    bool self_signed;
};

/* Check a PEM chain and a PEM key: they parse, the key fits the leaf, the leaf
 * covers every name (NULL-terminated; NULL: not asked), is valid at wall_ms
 * (0: not asked). AMY_EPARSE, AMY_EINVAL (key of another certificate; not yet
 * or no longer valid; name not covered): the message says which. */
int amy__tls_cert_create(struct amy__span chain_pem, struct amy__span key_pem,
                         const char *const *names, int64_t wall_ms,
                         struct amy__tls_cert **ret_cert,
                         struct amy_error *err);
void amy__tls_cert_info(const struct amy__tls_cert *cert,
                        struct amy__tls_cert_info *ret);
struct amy__tls_cert *amy__tls_cert_ref(struct amy__tls_cert *cert);
void amy__tls_cert_unref(struct amy__tls_cert *cert);

int amy__tls_create(struct amy__tls **ret_tls, struct amy_error *err);
void amy__tls_free(struct amy__tls *tls);
/* Begin a new set of names beside the one in use; add to it; commit swaps,
 * abandon drops it. Connections that are up keep what they have. */
int amy__tls_stage(struct amy__tls *tls, struct amy_error *err);
int amy__tls_add(struct amy__tls *tls, const char *name,
                 struct amy__tls_cert *cert, struct amy_error *err);
/* Served where SNI names nobody or is missing; NULL: the handshake ends with
 * unrecognized_name. */
int amy__tls_set_default(struct amy__tls *tls, struct amy__tls_cert *cert,
                         struct amy_error *err);
/* 48 bytes x count, newest first: shared by all front processes (RFC 5077
 * tickets; rotated by the master). Outside a stage they count at once. */
int amy__tls_set_ticket_keys(struct amy__tls *tls, const uint8_t *keys,
                             size_t count, struct amy_error *err);
void amy__tls_commit(struct amy__tls *tls);
void amy__tls_abandon(struct amy__tls *tls);
/* Do the two names share one certificate (RFC 9113 9.1.1: else 421)? */
bool amy__tls_same_cert(const struct amy__tls *tls, struct amy__span a,
                        struct amy__span b);

#endif

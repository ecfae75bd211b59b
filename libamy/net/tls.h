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

/* A client says which of these it can verify. */
enum amy__tls_type {
    AMY__TLS_EC = 0,
    AMY__TLS_RSA,
    AMY__TLS_OTHER, /* Ed25519 and the like */
    AMY__TLS_TYPES, /* how many there are */
};

/* What one name is served with: at most one certificate of each type, of which
 * OpenSSL takes one that the client can verify (EC before RSA). */
struct amy__tls_choice {
    struct amy__tls_cert *borrow_certs[AMY__TLS_TYPES]; /* NULL: none */
};

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

/* A PEM chain, leaf first. AMY_EPARSE, AMY_EINVAL (too weak, say). */
int amy__tls_cert_create(struct amy__span chain_pem,
                         struct amy__tls_cert **ret_cert,
                         struct amy_error *err);
/* Its PEM key; a certificate without one serves nobody. AMY_EPARSE, AMY_EINVAL
 * (the key of another certificate): as before then. */
int amy__tls_cert_add_key(struct amy__tls_cert *cert, struct amy__span key_pem,
                          struct amy_error *err);
/* Is it valid at wall_ms? AMY_EINVAL: not yet, or no longer. */
int amy__tls_cert_check_dates(const struct amy__tls_cert *cert, int64_t wall_ms,
                              struct amy_error *err);
void amy__tls_cert_info(const struct amy__tls_cert *cert,
                        struct amy__tls_cert_info *ret);
/* Would a client that trusts whom this system trusts believe the chain as it is
 * sent? Whatever the date. 0; AMY_EAUTH with OpenSSL's words; AMY_ENOMEM */
int amy__tls_cert_verify(const struct amy__tls_cert *cert,
                         struct amy_error *err);
enum amy__tls_type amy__tls_cert_type(const struct amy__tls_cert *cert);
/* By its DNS names, wildcards among them (RFC 9525 6.3). */
bool amy__tls_cert_covers(const struct amy__tls_cert *cert, const char *name);
/* Which of a site's certificates serve that name: the first of each type that
 * covers it. Where none does, the first one of all: a visitor who is shown the
 * wrong name is better off than one who meets nobody. False: count is 0. */
bool amy__tls_choose(struct amy__tls_cert *const *certs, size_t count,
                     const char *name, struct amy__tls_choice *ret_choice);
struct amy__tls_cert *amy__tls_cert_ref(struct amy__tls_cert *cert);
void amy__tls_cert_unref(struct amy__tls_cert *cert);

int amy__tls_create(struct amy__tls **ret_tls, struct amy_error *err);
void amy__tls_free(struct amy__tls *tls);
/* Begin a new set of names beside the one in use; add to it; commit swaps,
 * abandon drops it. Connections that are up keep what they have. */
int amy__tls_stage(struct amy__tls *tls, struct amy_error *err);
int amy__tls_add(struct amy__tls *tls, const char *name,
                 const struct amy__tls_choice *choice, struct amy_error *err);
/* Served where SNI names nobody or is missing; without one the handshake ends
 * with unrecognized_name. */
int amy__tls_set_default(struct amy__tls *tls,
                         const struct amy__tls_choice *choice,
                         struct amy_error *err);
/* 48 bytes x count, newest first: shared by all front processes (RFC 5077
 * tickets; rotated by the master). Outside a stage they count at once. */
int amy__tls_set_ticket_keys(struct amy__tls *tls, const uint8_t *keys,
                             size_t count, struct amy_error *err);
void amy__tls_commit(struct amy__tls *tls);
void amy__tls_abandon(struct amy__tls *tls);
/* Are the two names served with the same certificates (RFC 9113 9.1.1: else
 * 421)? */
bool amy__tls_same_cert(const struct amy__tls *tls, struct amy__span a,
                        struct amy__span b);

#endif

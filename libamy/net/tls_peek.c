/* A client's handshake, to look at the server's certificate. */
/* Not for talking to it, nor for judging what it shows. */
#include "net/tls_peek.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "net/tls_internal.h"

#include <openssl/err.h>

#include <errno.h>
#include <stdio.h>
#include <sys/socket.h>

struct amy__tls_peek {
    int fd;
    SSL_CTX *ctx;
    SSL *ssl;
    struct amy__io *io;
    struct amy__timer *timer;
    amy__tls_peek_fn fn;
    void *user;
};

/* What a client of that type can verify, for OpenSSL. */
static const char *const signatures[AMY__TLS_TYPES] = {
    [AMY__TLS_EC] = "ECDSA+SHA256:ECDSA+SHA384:ECDSA+SHA512",
    [AMY__TLS_RSA] = "rsa_pss_rsae_sha256:rsa_pss_rsae_sha384:RSA+SHA256",
    [AMY__TLS_OTHER] = "ed25519:ed448:rsa_pss_pss_sha256",
};

void
amy__tls_peek_cancel(struct amy__tls_peek *peek)
{
    if (peek == NULL) {
        return;
    }
    amy__io_free(peek->io);
    amy__timer_free(peek->timer);
    SSL_free(peek->ssl);
    SSL_CTX_free(peek->ctx);
    amy__close(&peek->fd);
    amy__free(peek);
}

AMY_DEFINE_CLEANUP(struct amy__tls_peek *, amy__tls_peek_cancel)

static void
finish(struct amy__tls_peek *peek, const char *fingerprint,
       const struct amy_error *err)
{
    amy__tls_peek_fn fn = peek->fn;
    void *user = peek->user;

    amy__tls_peek_cancel(peek);
    fn(fingerprint, err, user);
}

static void
fail(struct amy__tls_peek *peek, int code, const char *what)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)amy__tls_err(&err, code, what);
    finish(peek, NULL, &err);
}

static void
tell_leaf(struct amy__tls_peek *peek)
{
    const X509 *leaf = SSL_get0_peer_certificate(peek->ssl);
    char fingerprint[65] = "";

    if (leaf == NULL) {
        fail(peek, AMY_EPROTO, "no certificate was shown");
        return;
    }
    amy__tls_fingerprint(leaf, fingerprint);
    (void)SSL_shutdown(peek->ssl); /* farewell, without waiting for theirs */
    ERR_clear_error();
    finish(peek, fingerprint, NULL);
}

static void
on_ready(int fd, unsigned what, void *user)
{
    struct amy__tls_peek *peek = user;
    int rc = 0;

    (void)fd;
    (void)what;
    ERR_clear_error();
    rc = SSL_connect(peek->ssl);
    if (rc == 1) {
        tell_leaf(peek);
        return;
    }
    switch (SSL_get_error(peek->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        rc = amy__io_want(peek->io, AMY__IO_READ, NULL);
        break;
    case SSL_ERROR_WANT_WRITE:
        rc = amy__io_want(peek->io, AMY__IO_WRITE, NULL);
        break;
    default:
        fail(peek, AMY_EPROTO, "TLS handshake");
        return;
    }
    if (rc < 0) {
        fail(peek, rc, "waiting for a handshake");
    }
}

static void
on_late(void *user)
{
    fail(user, AMY_ETIMEOUT, "no handshake in time");
}

static int
open_connection(struct amy__tls_peek *peek, const struct amy__address *address,
                struct amy_error *err)
{
    peek->fd = socket(address->sa.ss_family,
                      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (peek->fd < 0) {
        return amy__err_sys(err, errno, "socket");
    }
    if (connect(peek->fd, (const struct sockaddr *)&address->sa,
                address->len) != 0 &&
        errno != EINPROGRESS) {
        return amy__err_sys(err, errno, "connecting");
    }
    return 0;
}

static int
open_tls(struct amy__tls_peek *peek, const char *name, enum amy__tls_type type,
         struct amy_error *err)
{
    /* OpenSSL's macros cast const away, which clang refuses. */
    char sni[256] = "";
    char list[128] = "";

    (void)snprintf(sni, sizeof(sni), "%s", name);
    (void)snprintf(list, sizeof(list), "%s", signatures[type]);
    peek->ctx = SSL_CTX_new(TLS_client_method());
    if (peek->ctx == NULL) {
        return amy__tls_err(err, AMY_ENOMEM, "making a TLS context");
    }
    SSL_CTX_set_verify(peek->ctx, SSL_VERIFY_NONE, NULL);
    (void)SSL_CTX_set_min_proto_version(peek->ctx, TLS1_2_VERSION);
    peek->ssl = SSL_new(peek->ctx);
    if (peek->ssl == NULL || SSL_set_fd(peek->ssl, peek->fd) != 1 ||
        SSL_set_tlsext_host_name(peek->ssl, sni) != 1 ||
        SSL_set1_sigalgs_list(peek->ssl, list) != 1) {
        return amy__tls_err(err, AMY_ENOMEM, "making a TLS connection");
    }
    return 0;
}

int
amy__tls_peek_start(struct event_base *base, const struct amy__address *address,
                    const char *name, enum amy__tls_type type,
                    int64_t timeout_ms, amy__tls_peek_fn fn, void *user,
                    struct amy__tls_peek **ret_peek, struct amy_error *err)
{
    AMY_CLEANUP(amy__tls_peek_cancel_p)
    struct amy__tls_peek *peek = amy__calloc(1, sizeof(*peek));
    int rc = 0;

    if (peek == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a look at a server");
    }
    peek->fd = -1;
    peek->fn = fn;
    peek->user = user;
    rc = open_connection(peek, address, err);
    if (rc == 0) {
        rc = open_tls(peek, name, type, err);
    }
    if (rc == 0) {
        rc = amy__timer_create(base, on_late, peek, &peek->timer, err);
    }
    if (rc == 0) {
        rc = amy__timer_arm(peek->timer, timeout_ms, err);
    }
    if (rc == 0) {
        rc = amy__io_create(base, peek->fd, AMY__IO_WRITE, on_ready, peek,
                            &peek->io, err);
    }
    if (rc == 0) {
        *ret_peek = AMY_TAKE(peek);
    }
    return rc;
}

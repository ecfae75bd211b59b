/* One TLS connection: handshake, reading and writing on a descriptor. */
/* Not for waiting: serve knows when the descriptor is ready. */
#include "net/tls_conn.h"

#include "core/alloc.h"
#include "core/error.h"
#include "net/tls_internal.h"

#include <openssl/err.h>

#include <limits.h>
#include <string.h>

struct amy__tls_conn {
    SSL *ssl;
    char *sni; /* lower-cased; NULL: none */
    bool dead; /* after a fatal error nothing may be said any more */
};

int
amy__tls_conn_over(SSL *ssl, struct amy__tls_conn **ret_conn,
                   struct amy_error *err)
{
    struct amy__tls_conn *conn = amy__calloc(1, sizeof(*conn));

    if (conn == NULL) {
        SSL_free(ssl);
        return amy__err(err, AMY_ENOMEM, "allocating a TLS connection");
    }
    conn->ssl = ssl;
    *ret_conn = conn;
    return 0;
}

int
amy__tls_accept(struct amy__tls *tls, int fd, struct amy__tls_conn **ret_conn,
                struct amy_error *err)
{
    SSL *ssl = SSL_new(amy__tls_base(tls));

    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        SSL_free(ssl);
        return amy__tls_err(err, AMY_ENOMEM, "making a TLS connection");
    }
    (void)SSL_set_app_data(ssl, tls);
    SSL_set_accept_state(ssl);
    return amy__tls_conn_over(ssl, ret_conn, err);
}

void
amy__tls_conn_shutdown(struct amy__tls_conn *conn)
{
    if (conn->dead || SSL_in_init(conn->ssl)) {
        return;
    }
    conn->dead = true;
    (void)SSL_shutdown(conn->ssl);
    ERR_clear_error();
}

void
amy__tls_conn_free(struct amy__tls_conn *conn)
{
    if (conn == NULL) {
        return;
    }
    if (conn->ssl != NULL) {
        /* Nothing is sent from here: the descriptor may be another's now. */
        SSL_set_quiet_shutdown(conn->ssl, 1);
        SSL_free(conn->ssl);
    }
    amy__free(conn->sni);
    amy__free(conn);
}

/* What OpenSSL wants before it can go on. SSL_get_error() also looks at the
 * queue of errors, which is one for all connections: so each call of ours
 * empties it first. */
static int
outcome(struct amy__tls_conn *conn, int rc)
{
    switch (SSL_get_error(conn->ssl, rc)) {
    case SSL_ERROR_WANT_READ:
        return AMY__TLS_WANT_READ;
    case SSL_ERROR_WANT_WRITE:
        return AMY__TLS_WANT_WRITE;
    case SSL_ERROR_ZERO_RETURN:
        return 0;
    default:
        conn->dead = true;
        return AMY_ECONN;
    }
}

static void
remember_name(struct amy__tls_conn *conn)
{
    const char *name = SSL_get_servername(conn->ssl, TLSEXT_NAMETYPE_host_name);

    if (name == NULL) {
        return;
    }
    conn->sni = amy__strdup(name);
    for (char *c = conn->sni; c != NULL && *c != '\0'; c++) {
        if (*c >= 'A' && *c <= 'Z') {
            *c = (char)(*c - 'A' + 'a');
        }
    }
}

/* Whom a client did not believe, and why; or that they do not speak TLS. */
static int
explain(const struct amy__tls_conn *conn, struct amy_error *err)
{
    long verdict = SSL_get_verify_result(conn->ssl);
    int reason = ERR_GET_REASON(ERR_peek_last_error());
    int rc = amy__tls_err(err, AMY_EPROTO, "TLS handshake");

    if (!SSL_is_server(conn->ssl) && reason == SSL_R_WRONG_VERSION_NUMBER) {
        return amy__err(err, rc,
                        "TLS handshake: it answers without TLS: a plain port");
    }
    if (verdict == X509_V_OK) {
        return rc;
    }
    return amy__err(err, AMY_EAUTH, "the server's certificate: %s",
                    X509_verify_cert_error_string(verdict));
}

int
amy__tls_conn_handshake(struct amy__tls_conn *conn, struct amy_error *err)
{
    int rc = 0;

    ERR_clear_error();
    rc = SSL_do_handshake(conn->ssl);
    if (rc == 1) {
        remember_name(conn);
        return 0;
    }
    rc = outcome(conn, rc);
    if (rc == AMY__TLS_WANT_READ || rc == AMY__TLS_WANT_WRITE) {
        return rc;
    }
    conn->dead = true;
    return explain(conn, err);
}

ssize_t
amy__tls_conn_read(struct amy__tls_conn *conn, char *buf, size_t size)
{
    int n = 0;

    ERR_clear_error();
    n = SSL_read(conn->ssl, buf, size > INT_MAX ? INT_MAX : (int)size);
    return n > 0 ? n : outcome(conn, n);
}

ssize_t
amy__tls_conn_write(struct amy__tls_conn *conn, struct amy__span data)
{
    int n = 0;

    ERR_clear_error();
    n = SSL_write(conn->ssl, data.p, data.n > INT_MAX ? INT_MAX : (int)data.n);
    if (n > 0) {
        return n;
    }
    n = outcome(conn, n);
    return n == 0 ? AMY_ECONN : n;
}

int
amy__tls_conn_reason(struct amy_error *err)
{
    return amy__tls_err(err, AMY_ECONN, "the connection ended");
}

bool
amy__tls_conn_pending(const struct amy__tls_conn *conn)
{
    return SSL_has_pending(conn->ssl) == 1;
}

struct amy__span
amy__tls_conn_sni(const struct amy__tls_conn *conn)
{
    return conn->sni == NULL ? AMY_SPAN("") : amy__span_of(conn->sni);
}

bool
amy__tls_conn_resumed(const struct amy__tls_conn *conn)
{
    return SSL_session_reused(conn->ssl) == 1;
}

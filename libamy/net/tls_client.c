/* A context for one connection to a server that has to prove its name. */
/* Not for the connection itself: net/tls_conn.c. */
#include "net/tls_client.h"

#include "core/cleanup.h"
#include "core/error.h"
#include "net/tls_internal.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <arpa/inet.h>
#include <stdio.h>

static void
free_context(SSL_CTX **ctx)
{
    SSL_CTX_free(*ctx);
}

static void
free_ssl(SSL **ssl)
{
    SSL_free(*ssl);
}

static int
name_file(struct amy_error *err, const char *what, const char *path)
{
    int rc = amy__tls_err(err, AMY_EINVAL, path);

    amy__err_prefix(err, "TLS: %s ", what);
    return rc;
}

static int
believe(SSL_CTX *ctx, const char *ca_file, struct amy_error *err)
{
    SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER, NULL);
    if (ca_file == NULL) {
        return SSL_CTX_set_default_verify_paths(ctx) == 1
                   ? 0
                   : amy__tls_err(err, AMY_ENOMEM, "this system's CAs");
    }
    return SSL_CTX_load_verify_file(ctx, ca_file) == 1
               ? 0
               : name_file(err, "the CA's file", ca_file);
}

static int
show(SSL_CTX *ctx, const struct amy__tls_client *client, struct amy_error *err)
{
    const char *key =
        client->key_file == NULL ? client->cert_file : client->key_file;

    if (client->cert_file == NULL) {
        return 0;
    }
    if (SSL_CTX_use_certificate_chain_file(ctx, client->cert_file) != 1) {
        return name_file(err, "our certificate", client->cert_file);
    }
    if (SSL_CTX_use_PrivateKey_file(ctx, key, SSL_FILETYPE_PEM) != 1 ||
        SSL_CTX_check_private_key(ctx) != 1) {
        return name_file(err, "our key", key);
    }
    return 0;
}

/* RFC 6066 section 3: an address is never sent as SNI. */
static int
want(SSL *ssl, const char *name, struct amy_error *err)
{
    char sni[256] = ""; /* OpenSSL's macro casts const away */
    unsigned char address[16];
    bool numeric = inet_pton(AF_INET, name, address) == 1 ||
                   inet_pton(AF_INET6, name, address) == 1;
    int ok = 0;

    if (numeric) {
        ok = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(ssl), name);
    } else {
        (void)snprintf(sni, sizeof(sni), "%s", name);
        SSL_set_hostflags(ssl, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
        ok = SSL_set1_host(ssl, name) == 1 &&
             SSL_set_tlsext_host_name(ssl, sni) == 1;
    }
    return ok == 1 ? 0
                   : amy__tls_err(err, AMY_EINVAL, "TLS: the server's name");
}

int
amy__tls_connect(const struct amy__tls_client *client, int fd,
                 struct amy__tls_conn **ret_conn, struct amy_error *err)
{
    AMY_CLEANUP(free_context) SSL_CTX *ctx = SSL_CTX_new(TLS_client_method());
    AMY_CLEANUP(free_ssl) SSL *ssl = NULL;
    int rc = 0;

    ERR_clear_error();
    if (ctx == NULL ||
        SSL_CTX_set_min_proto_version(ctx, TLS1_2_VERSION) != 1) {
        return amy__tls_err(err, AMY_ENOMEM, "making a TLS context");
    }
    (void)SSL_CTX_set_mode(ctx, SSL_MODE_ENABLE_PARTIAL_WRITE |
                                    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_read_ahead(ctx, 1);
    SSL_CTX_set_default_passwd_cb(ctx, amy__tls_no_password);
    rc = believe(ctx, client->ca_file, err);
    rc = rc < 0 ? rc : show(ctx, client, err);
    if (rc < 0) {
        return rc;
    }
    ssl = SSL_new(ctx);
    if (ssl == NULL || SSL_set_fd(ssl, fd) != 1) {
        return amy__tls_err(err, AMY_ENOMEM, "making a TLS connection");
    }
    rc = want(ssl, client->name, err);
    if (rc < 0) {
        return rc;
    }
    SSL_set_connect_state(ssl);
    return amy__tls_conn_over(AMY_TAKE(ssl), ret_conn, err);
}

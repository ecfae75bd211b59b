/* Self-signed certificates, made while the test runs, and asking for one. */
#ifndef TEST_CERT_H
#define TEST_CERT_H

#include "core/str.h"
#include "net/tls.h"

#include <openssl/types.h>

struct test_cert {
    char chain[4096];
    char key[4096];
};

/* For the names, "a.test,b.test"; valid from and for so many seconds. */
void test_cert_make(struct test_cert *cert, const char *names, int from_s,
                    int for_s);

/* The same with an RSA key. */
void test_cert_make_rsa(struct test_cert *cert, const char *names, int from_s,
                        int for_s);
/* Read back; the caller's. */
struct amy__tls_cert *test_cert_read(const struct test_cert *cert);
/* That certificate alone. */
struct amy__tls_choice test_cert_alone(struct amy__tls_cert *cert);

/* The client asks for that name (SNI). OpenSSL's own macro casts const away,
 * which clang refuses. */
void test_cert_ask_for(SSL *ssl, const char *name);

#endif

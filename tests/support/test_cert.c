#include "test_cert.h"

#include "amy_test.h"

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <stdio.h>
#include <string.h>

static void
read_pem(BIO *bio, char *buf, size_t size)
{
    int n = BIO_read(bio, buf, (int)size - 1);

    assert_true(n > 0);
    buf[n] = '\0';
    (void)BIO_free(bio);
}

static void
add_names(X509 *x509, const char *names)
{
    char value[512] = "";
    struct amy__span rest = amy__span_of(names);
    struct amy__span name;
    X509_EXTENSION *extension = NULL;

    while (amy__span_split(&rest, ',', &name)) {
        size_t used = strlen(value);

        (void)snprintf(value + used, sizeof(value) - used,
                       "%sDNS:" AMY_SPAN_FMT, used > 0 ? "," : "",
                       AMY_SPAN_ARG(name));
    }
    extension = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, value);
    assert_non_null(extension);
    assert_int_equal(X509_add_ext(x509, extension, -1), 1);
    X509_EXTENSION_free(extension);
}

static void
make_with(EVP_PKEY *key, struct test_cert *cert, const char *names, int from_s,
          int for_s)
{
    X509 *x509 = X509_new();
    BIO *bio = BIO_new(BIO_s_mem());

    assert_non_null(key);
    assert_int_equal(X509_set_version(x509, X509_VERSION_3), 1);
    assert_int_equal(ASN1_INTEGER_set(X509_get_serialNumber(x509), 7), 1);
    assert_non_null(X509_gmtime_adj(X509_getm_notBefore(x509), from_s));
    assert_non_null(X509_gmtime_adj(X509_getm_notAfter(x509), from_s + for_s));
    assert_int_equal(X509_set_pubkey(x509, key), 1);
    assert_int_equal(X509_NAME_add_entry_by_txt(
                         X509_get_subject_name(x509), "CN", MBSTRING_ASC,
                         (const unsigned char *)"amy test", -1, -1, 0),
                     1);
    assert_int_equal(X509_set_issuer_name(x509, X509_get_subject_name(x509)),
                     1);
    add_names(x509, names);
    assert_true(X509_sign(x509, key, EVP_sha256()) > 0);
    assert_int_equal(PEM_write_bio_X509(bio, x509), 1);
    read_pem(bio, cert->chain, sizeof(cert->chain));
    bio = BIO_new(BIO_s_mem());
    assert_int_equal(
        PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL), 1);
    read_pem(bio, cert->key, sizeof(cert->key));
    X509_free(x509);
    EVP_PKEY_free(key);
}

void
test_cert_make(struct test_cert *cert, const char *names, int from_s, int for_s)
{
    make_with(EVP_EC_gen("P-256"), cert, names, from_s, for_s);
}

void
test_cert_make_rsa(struct test_cert *cert, const char *names, int from_s,
                   int for_s)
{
    make_with(EVP_RSA_gen(2048), cert, names, from_s, for_s);
}

struct amy__tls_cert *
test_cert_read(const struct test_cert *cert)
{
    struct amy__tls_cert *read = NULL;

    assert_int_equal(
        amy__tls_cert_create(amy__span_of(cert->chain), &read, NULL), 0);
    assert_int_equal(amy__tls_cert_add_key(read, amy__span_of(cert->key), NULL),
                     0);
    return read;
}

struct amy__tls_choice
test_cert_alone(struct amy__tls_cert *cert)
{
    struct amy__tls_choice choice = {{NULL}};

    choice.borrow_certs[amy__tls_cert_type(cert)] = cert;
    return choice;
}

void
test_cert_ask_for(SSL *ssl, const char *name)
{
    char copy[256] = "";

    assert_true(amy__span_copy(amy__span_of(name), copy, sizeof(copy)));
    assert_int_equal(SSL_set_tlsext_host_name(ssl, copy), 1);
}

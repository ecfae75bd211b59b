/* Certificates: reading a chain and its key, and proving that they fit. */
/* Not for choosing one: that is net/tls.c. Private keys go nowhere else. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"
#include "net/tls_internal.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static void
free_bio(BIO **bio)
{
    (void)BIO_free(*bio);
}

static void
free_key(EVP_PKEY **key)
{
    EVP_PKEY_free(*key);
}

AMY_DEFINE_CLEANUP(struct amy__tls_cert *, amy__tls_cert_unref)

int
amy__tls_err(struct amy_error *err, int code, const char *what)
{
    unsigned long number = ERR_peek_last_error();
    const char *reason = ERR_reason_error_string(number);

    ERR_clear_error();
    (void)amy__err(err, code, "%s%s%s", what, reason == NULL ? "" : ": ",
                   reason == NULL ? "" : reason);
    if (err != NULL && number != 0) {
        err->source = AMY_SOURCE_TLS;
        err->detail = (int64_t)number;
    }
    return code;
}

int
amy__tls_no_password(char *buf, int size, int writing, void *user)
{
    (void)buf;
    (void)size;
    (void)writing;
    (void)user;
    return 0;
}

static BIO *
open_pem(struct amy__span pem)
{
    return pem.n > INT_MAX ? NULL : BIO_new_mem_buf(pem.p, (int)pem.n);
}

static int
read_chain(struct amy__tls_cert *cert, struct amy__span pem,
           struct amy_error *err)
{
    AMY_CLEANUP(free_bio) BIO *bio = open_pem(pem);
    X509 *x509 = NULL;

    if (bio == NULL) {
        return amy__err(err, AMY_ENOMEM, "reading a certificate");
    }
    x509 = PEM_read_bio_X509(bio, NULL, amy__tls_no_password, NULL);
    if (x509 == NULL) {
        return amy__tls_err(err, AMY_EPARSE, "no certificate in the PEM file");
    }
    if (SSL_CTX_use_certificate(cert->ctx, x509) != 1) {
        X509_free(x509);
        return amy__tls_err(err, AMY_EINVAL, "certificate not usable");
    }
    X509_free(x509);
    cert->leaf = SSL_CTX_get0_certificate(cert->ctx);
    for (;;) {
        x509 = PEM_read_bio_X509(bio, NULL, amy__tls_no_password, NULL);
        if (x509 == NULL) {
            break;
        }
        if (SSL_CTX_add0_chain_cert(cert->ctx, x509) != 1) {
            X509_free(x509);
            return amy__tls_err(err, AMY_EINVAL, "chain not usable");
        }
    }
    if (ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE) {
        return amy__tls_err(err, AMY_EPARSE, "chain cut or malformed");
    }
    ERR_clear_error();
    return 0;
}

int
amy__tls_cert_add_key(struct amy__tls_cert *cert, struct amy__span pem,
                      struct amy_error *err)
{
    AMY_CLEANUP(free_bio) BIO *bio = open_pem(pem);
    AMY_CLEANUP(free_key) EVP_PKEY *key = NULL;

    ERR_clear_error();
    if (bio != NULL) {
        key = PEM_read_bio_PrivateKey(bio, NULL, amy__tls_no_password, NULL);
    }
    if (key == NULL) {
        return amy__tls_err(err, AMY_EPARSE, "no readable private key");
    }
    if (X509_check_private_key(cert->leaf, key) != 1) {
        return amy__tls_err(err, AMY_EINVAL,
                            "the key is not that of the certificate");
    }
    if (SSL_CTX_use_PrivateKey(cert->ctx, key) != 1) {
        return amy__tls_err(err, AMY_EINVAL, "private key not usable");
    }
    return 0;
}

static void
free_store(X509_STORE **store)
{
    X509_STORE_free(*store);
}

static void
free_verification(X509_STORE_CTX **verification)
{
    X509_STORE_CTX_free(*verification);
}

int
amy__tls_cert_verify(const struct amy__tls_cert *cert, struct amy_error *err)
{
    AMY_CLEANUP(free_store) X509_STORE *store = X509_STORE_new();
    AMY_CLEANUP(free_verification)
    X509_STORE_CTX *verification = X509_STORE_CTX_new();
    STACK_OF(X509) *chain = NULL;

    ERR_clear_error();
    if (store == NULL || verification == NULL ||
        X509_STORE_set_default_paths(store) != 1 ||
        SSL_CTX_get0_chain_certs(cert->ctx, &chain) != 1 ||
        X509_STORE_CTX_init(verification, store, cert->leaf, chain) != 1) {
        return amy__tls_err(err, AMY_ENOMEM, "verifying a certificate");
    }
    X509_STORE_CTX_set_purpose(verification, X509_PURPOSE_SSL_SERVER);
    X509_STORE_CTX_set_flags(verification, X509_V_FLAG_NO_CHECK_TIME);
    if (X509_verify_cert(verification) == 1) {
        return 0;
    }
    ERR_clear_error();
    return amy__err(
        err, AMY_EAUTH, "%s",
        X509_verify_cert_error_string(X509_STORE_CTX_get_error(verification)));
}

bool
amy__tls_cert_covers(const struct amy__tls_cert *cert, const char *name)
{
    return X509_check_host(cert->leaf, name, 0, 0, NULL) == 1;
}

static int64_t
wall_ms_of(const ASN1_TIME *at)
{
    struct tm utc = {0};

    if (ASN1_TIME_to_tm(at, &utc) != 1) {
        return 0;
    }
    return (int64_t)timegm(&utc) * 1000;
}

int
amy__tls_cert_check_dates(const struct amy__tls_cert *cert, int64_t wall_ms,
                          struct amy_error *err)
{
    if (wall_ms < wall_ms_of(X509_get0_notBefore(cert->leaf))) {
        return amy__err(err, AMY_EINVAL, "the certificate is not yet valid");
    }
    if (wall_ms > wall_ms_of(X509_get0_notAfter(cert->leaf))) {
        return amy__err(err, AMY_EINVAL, "the certificate has expired");
    }
    return 0;
}

int
amy__tls_cert_create(struct amy__span chain_pem,
                     struct amy__tls_cert **ret_cert, struct amy_error *err)
{
    AMY_CLEANUP(amy__tls_cert_unref_p)
    struct amy__tls_cert *cert = amy__calloc(1, sizeof(*cert));
    int rc = 0;

    if (cert == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a certificate");
    }
    ERR_clear_error();
    cert->refs = 1;
    cert->ctx = amy__tls_context(err);
    if (cert->ctx == NULL) {
        return AMY_ENOMEM;
    }
    rc = read_chain(cert, chain_pem, err);
    if (rc == 0) {
        *ret_cert = AMY_TAKE(cert);
    }
    return rc;
}

struct amy__tls_cert *
amy__tls_cert_ref(struct amy__tls_cert *cert)
{
    cert->refs++;
    return cert;
}

void
amy__tls_cert_unref(struct amy__tls_cert *cert)
{
    if (cert == NULL || --cert->refs > 0) {
        return;
    }
    SSL_CTX_free(cert->ctx);
    amy__free(cert);
}

enum amy__tls_type
amy__tls_cert_type(const struct amy__tls_cert *cert)
{
    const EVP_PKEY *key = X509_get0_pubkey(cert->leaf);

    switch (key == NULL ? EVP_PKEY_NONE : EVP_PKEY_get_base_id(key)) {
    case EVP_PKEY_EC:
        return AMY__TLS_EC;
    case EVP_PKEY_RSA:
        return AMY__TLS_RSA;
    default:
        return AMY__TLS_OTHER;
    }
}

static void
describe_key(const X509 *leaf, char *buf, size_t size)
{
    const EVP_PKEY *key = X509_get0_pubkey(leaf);
    char group[32] = "";
    size_t n = 0;
    int bits = key == NULL ? 0 : EVP_PKEY_get_bits(key);

    if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_EC &&
        EVP_PKEY_get_group_name((EVP_PKEY *)(uintptr_t)key, group,
                                sizeof(group), &n) == 1) {
        const char *name = EC_curve_nid2nist(OBJ_sn2nid(group));

        (void)snprintf(buf, size, "EC %s", name == NULL ? group : name);
    } else if (key != NULL && EVP_PKEY_get_base_id(key) == EVP_PKEY_RSA) {
        (void)snprintf(buf, size, "RSA %d", bits);
    } else {
        (void)snprintf(buf, size, "other %d", bits);
    }
}

static void
list_names(const X509 *leaf, char *names, size_t size)
{
    GENERAL_NAMES *found =
        X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
    size_t used = 0;

    for (int i = 0; i < sk_GENERAL_NAME_num(found); i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(found, i);
        struct amy__span dns = {NULL, 0};

        if (name->type != GEN_DNS) {
            continue;
        }
        dns.p = (const char *)ASN1_STRING_get0_data(name->d.dNSName);
        dns.n = (size_t)ASN1_STRING_length(name->d.dNSName);
        if (used + dns.n + 2 > size || memchr(dns.p, '\0', dns.n) != NULL) {
            continue;
        }
        used += (size_t)snprintf(names + used, size - used, "%s" AMY_SPAN_FMT,
                                 used == 0 ? "" : ",", AMY_SPAN_ARG(dns));
    }
    GENERAL_NAMES_free(found);
}

void
amy__tls_fingerprint(const X509 *leaf, char ret[65])
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned n = 0;

    ret[0] = '\0';
    if (X509_digest(leaf, EVP_sha256(), digest, &n) == 1 && n == 32) {
        amy__hex(digest, n, ret);
    }
}

void
amy__tls_cert_info(const struct amy__tls_cert *cert,
                   struct amy__tls_cert_info *ret)
{
    const X509 *leaf = cert->leaf;
    BIGNUM *serial = NULL;
    char *text = NULL;

    memset(ret, 0, sizeof(*ret));
    ret->not_before_ms = wall_ms_of(X509_get0_notBefore(leaf));
    ret->not_after_ms = wall_ms_of(X509_get0_notAfter(leaf));
    amy__tls_fingerprint(leaf, ret->fingerprint);
    (void)X509_NAME_oneline(X509_get_issuer_name(leaf), ret->issuer,
                            sizeof(ret->issuer));
    serial = ASN1_INTEGER_to_BN(X509_get0_serialNumber(leaf), NULL);
    text = serial == NULL ? NULL : BN_bn2hex(serial);
    (void)snprintf(ret->serial, sizeof(ret->serial), "%s",
                   text == NULL ? "" : text);
    OPENSSL_free(text);
    BN_free(serial);
    describe_key(leaf, ret->key_type, sizeof(ret->key_type));
    list_names(leaf, ret->names, sizeof(ret->names));
    ret->self_signed = X509_NAME_cmp(X509_get_subject_name(leaf),
                                     X509_get_issuer_name(leaf)) == 0;
    ERR_clear_error();
}

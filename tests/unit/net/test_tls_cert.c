#include "amy_test.h"

#include "core/clock.h"
#include "net/tls.h"
#include "test_cert.h"

#include <openssl/pem.h>

#include <stdio.h>
#include <string.h>

static struct test_cert ours;
static struct test_cert other;

static int
make(void **state)
{
    (void)state;
    test_cert_make(&ours, "a.test,b.test,*.wild.test", -60, 86400);
    test_cert_make(&other, "c.test", -60, 86400);
    return 0;
}

static int
create(const char *chain, const char *key, struct amy_error *err)
{
    struct amy__tls_cert *cert = NULL;
    int rc = amy__tls_cert_create(amy__span_of(chain), &cert, err);

    assert_int_equal(rc == 0, cert != NULL);
    if (rc == 0) {
        rc = amy__tls_cert_add_key(cert, amy__span_of(key), err);
    }
    amy__tls_cert_unref(cert);
    return rc;
}

static void
test_cert_create_that_fits(void **state)
{
    struct amy__tls_cert *cert = test_cert_read(&ours);
    struct amy__tls_cert_info info;
    int64_t now_ms = amy__wall_ms(NULL);

    (void)state;
    amy__tls_cert_info(cert, &info);
    assert_string_equal(info.key_type, "EC P-256");
    assert_int_equal(amy__tls_cert_type(cert), AMY__TLS_EC);
    assert_string_equal(info.serial, "07");
    assert_string_equal(info.issuer, "/CN=amy test");
    assert_int_equal(strlen(info.fingerprint), 64);
    assert_true(info.not_before_ms <= now_ms && now_ms < info.not_after_ms);
    assert_true(info.not_after_ms - info.not_before_ms == 86400000);
    amy__tls_cert_unref(amy__tls_cert_ref(cert));
    amy__tls_cert_unref(cert);
}

static void
test_cert_create_with_key_of_another_is_invalid(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(create(ours.chain, other.key, &err), AMY_EINVAL);
    assert_non_null(strstr(err.msg, "key"));
}

static void
test_cert_covers_its_names_and_one_label_of_a_wildcard(void **state)
{
    struct amy__tls_cert *cert = test_cert_read(&ours);

    (void)state;
    assert_true(amy__tls_cert_covers(cert, "a.test"));
    assert_true(amy__tls_cert_covers(cert, "B.test"));
    assert_true(amy__tls_cert_covers(cert, "x.wild.test"));
    assert_false(amy__tls_cert_covers(cert, "c.test"));
    assert_false(amy__tls_cert_covers(cert, "wild.test"));
    assert_false(amy__tls_cert_covers(cert, "x.y.wild.test"));
    amy__tls_cert_unref(cert);
}

static void
test_cert_is_valid_from_then_until_then(void **state)
{
    struct amy__tls_cert *cert = test_cert_read(&ours);
    struct amy_error err = AMY_ERROR_INIT;
    int64_t now_ms = amy__wall_ms(NULL);

    (void)state;
    assert_int_equal(amy__tls_cert_check_dates(cert, now_ms, NULL), 0);
    assert_int_equal(amy__tls_cert_check_dates(cert, now_ms - 3600000, &err),
                     AMY_EINVAL);
    assert_non_null(strstr(err.msg, "not yet"));
    assert_int_equal(
        amy__tls_cert_check_dates(cert, now_ms + INT64_C(2) * 86400000, &err),
        AMY_EINVAL);
    assert_non_null(strstr(err.msg, "expired"));
    amy__tls_cert_unref(cert);
}

static void
test_rsa_key_is_told_by_its_size(void **state)
{
    struct amy__tls_cert_info info;
    struct amy__tls_cert *cert = NULL;

    (void)state;
    test_cert_make_rsa(&other, "c.test", -60, 86400);
    cert = test_cert_read(&other);
    amy__tls_cert_info(cert, &info);
    assert_string_equal(info.key_type, "RSA 2048");
    assert_int_equal(amy__tls_cert_type(cert), AMY__TLS_RSA);
    amy__tls_cert_unref(cert);
}

static void
test_cert_create_of_rubbish_is_a_parse_error(void **state)
{
    char cut[4096];

    (void)state;
    assert_int_equal(create("", ours.key, NULL), AMY_EPARSE);
    assert_int_equal(create("rubbish", ours.key, NULL), AMY_EPARSE);
    assert_int_equal(create(ours.chain, "", NULL), AMY_EPARSE);
    assert_int_equal(create(ours.chain, ours.chain, NULL), AMY_EPARSE);
    memcpy(cut, ours.chain, sizeof(cut));
    cut[strlen(cut) / 2] = '\0';
    assert_int_equal(create(cut, ours.key, NULL), AMY_EPARSE);
}

static void
test_cert_create_of_a_chain_cut_behind_the_first_is_a_parse_error(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;
    char chain[2 * sizeof(ours.chain)];

    (void)state;
    (void)snprintf(chain, sizeof(chain), "%s%s", ours.chain, other.chain);
    assert_int_equal(create(chain, ours.key, NULL), 0);
    chain[strlen(ours.chain) + strlen(other.chain) / 2] = '\0';
    assert_int_equal(create(chain, ours.key, &err), AMY_EPARSE);
    assert_non_null(strstr(err.msg, "chain cut or malformed"));
}

/* A person at a terminal would be asked for the password; nobody is. */
static void
test_cert_create_with_encrypted_key_is_a_parse_error(void **state)
{
    BIO *in = BIO_new_mem_buf(ours.key, -1);
    BIO *out = BIO_new(BIO_s_mem());
    EVP_PKEY *key = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
    char password[] = "password";
    char *pem = NULL;

    (void)state;
    assert_int_equal(PEM_write_bio_PKCS8PrivateKey(out, key, EVP_aes_128_cbc(),
                                                   password, 8, NULL, NULL),
                     1);
    assert_int_equal(BIO_write(out, "", 1), 1); /* its NUL */
    assert_true(BIO_get_mem_data(out, &pem) > 0);
    assert_int_equal(create(ours.chain, pem, NULL), AMY_EPARSE);
    EVP_PKEY_free(key);
    (void)BIO_free(in);
    (void)BIO_free(out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cert_create_that_fits),
        cmocka_unit_test(test_cert_create_with_key_of_another_is_invalid),
        cmocka_unit_test(
            test_cert_covers_its_names_and_one_label_of_a_wildcard),
        cmocka_unit_test(test_cert_is_valid_from_then_until_then),
        cmocka_unit_test(test_cert_create_of_rubbish_is_a_parse_error),
        cmocka_unit_test(
            test_cert_create_of_a_chain_cut_behind_the_first_is_a_parse_error),
        cmocka_unit_test(test_cert_create_with_encrypted_key_is_a_parse_error),
        cmocka_unit_test(test_rsa_key_is_told_by_its_size),
    };

    return cmocka_run_group_tests_name("net/tls_cert", tests, make, NULL);
}

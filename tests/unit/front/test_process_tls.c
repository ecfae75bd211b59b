/* A front process over TLS: which certificate, which site, and a reload with
 * another certificate. */
#include "amy_test.h"

#include "stage.h"
#include "test_cert.h"

#include <openssl/ssl.h>
#include <openssl/x509.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define FILES "http: redirect\nroutes: [{path: /, files: files}]\n"

struct fixture {
    struct stage stage;
    struct test_cert cert;
    struct test_cert other;
    struct test_cert renewed;
    struct stage_client tcp;
    SSL_CTX *ctx;
    SSL *ssl;
    char text[65536];
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    stage_open(&f->stage);
    test_cert_make(&f->cert, "example.org,www.example.org", -60, 3600);
    test_cert_make(&f->other, "other.org", -60, 3600);
    test_cert_make(&f->renewed, "example.org,www.example.org", -60, 7200);
    f->stage.chain = f->cert.chain;
    f->stage.key = f->cert.key;
    f->stage.other_chain = f->other.chain;
    f->stage.other_key = f->other.key;
    stage_file(&f->stage, "files/a.txt", "over TLS");
    assert_true(stage_bundle(&f->stage, "aliases: [www.example.org]\n" FILES));
    stage_serve(&f->stage);
    f->ctx = SSL_CTX_new(TLS_client_method());
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    SSL_CTX_free(f->ctx);
    stage_close(&f->stage);
    free(f);
    return 0;
}

static void
turn(struct fixture *f)
{
    stage_turn(&f->stage);
}

static void
connect_as(struct fixture *f, const char *name)
{
    stage_connect(&f->stage, &f->tcp);
    f->ssl = SSL_new(f->ctx);
    assert_int_equal(SSL_set_fd(f->ssl, f->tcp.fd), 1);
    if (name != NULL) {
        test_cert_ask_for(f->ssl, name);
    }
    for (int i = 0; SSL_connect(f->ssl) != 1; i++) {
        assert_true(i < 1000000);
        turn(f);
    }
}

static void
disconnect(struct fixture *f)
{
    SSL_free(f->ssl);
    stage_disconnect(&f->tcp);
}

/* Its status; the whole answer is in f->text. */
static unsigned
ask(struct fixture *f, const char *request)
{
    unsigned status = 0;
    size_t n = 0;

    assert_int_equal(SSL_write(f->ssl, request, (int)strlen(request)),
                     (int)strlen(request));
    f->text[0] = '\0';
    for (int i = 0; strstr(f->text, "\r\n\r\n") == NULL; i++) {
        int got = SSL_read(f->ssl, f->text + n, (int)(sizeof(f->text) - 1 - n));

        assert_true(i < 1000000);
        n += got > 0 ? (size_t)got : 0;
        f->text[n] = '\0';
        turn(f);
    }
    assert_int_equal(sscanf(f->text, "HTTP/1.1 %3u", &status), 1);
    return status;
}

/* The certificate served now has this many seconds left, about. */
static bool
lives_longer_than(struct fixture *f, int seconds)
{
    X509 *cert = SSL_get1_peer_certificate(f->ssl);
    int days = 0;
    int left = 0;

    assert_non_null(cert);
    assert_int_equal(
        ASN1_TIME_diff(&days, &left, NULL, X509_get0_notAfter(cert)), 1);
    X509_free(cert);
    return days * 86400 + left > seconds;
}

static void
test_site_is_served_by_its_names(void **state)
{
    struct fixture *f = *state;

    connect_as(f, "example.org");
    assert_int_equal(ask(f, "GET /a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n"),
                     200);
    assert_non_null(strstr(f->text, "over TLS"));
    /* One certificate for both names: one connection will do. */
    assert_int_equal(
        ask(f, "GET /a.txt HTTP/1.1\r\nHost: www.example.org\r\n\r\n"), 200);
    disconnect(f);
}

static void
test_host_of_another_certificate_is_misdirected(void **state)
{
    struct fixture *f = *state;

    connect_as(f, "example.org");
    assert_int_equal(ask(f, "GET / HTTP/1.1\r\nHost: other.org\r\n\r\n"), 421);
    disconnect(f);
}

static void
test_unknown_name_is_misdirected_and_not_cut(void **state)
{
    struct fixture *f = *state;

    connect_as(f, "unknown.org");
    assert_int_equal(ask(f, "GET / HTTP/1.1\r\nHost: unknown.org\r\n\r\n"),
                     421);
    disconnect(f);
    connect_as(f, NULL);
    assert_int_equal(ask(f, "GET /a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n"),
                     200);
    disconnect(f);
}

static void
test_new_bundle_brings_its_certificate_and_cuts_nobody(void **state)
{
    struct fixture *f = *state;
    SSL *old = NULL;
    struct stage_client *old_tcp = calloc(1, sizeof(*old_tcp));

    connect_as(f, "example.org");
    assert_false(lives_longer_than(f, 3700));
    old = f->ssl;
    *old_tcp = f->tcp;
    f->stage.chain = f->renewed.chain;
    f->stage.key = f->renewed.key;
    assert_true(stage_bundle(&f->stage, FILES));
    connect_as(f, "example.org");
    assert_true(lives_longer_than(f, 3700));
    disconnect(f);
    f->ssl = old;
    f->tcp = *old_tcp;
    assert_int_equal(ask(f, "GET /a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n"),
                     200);
    disconnect(f);
    free(old_tcp);
}

static void
test_pair_that_does_not_fit_is_refused_and_the_old_kept(void **state)
{
    struct fixture *f = *state;

    f->stage.chain = f->renewed.chain;
    f->stage.key = f->other.key;
    assert_false(stage_bundle(&f->stage, FILES));
    assert_non_null(strstr(f->stage.refusal, "example.org"));
    connect_as(f, "example.org");
    assert_false(lives_longer_than(f, 3700));
    disconnect(f);
}

/* Ask the process to look at itself: is name served with this certificate?
 * What it says is in f->stage.ack. */
static void
probe(struct fixture *f, const char *name, const struct test_cert *pem,
      enum amy__tls_type type)
{
    struct amy__tls_cert *cert = test_cert_read(pem);
    struct amy__tls_cert_info info;
    struct amy__json *json = NULL;
    char text[512];

    amy__tls_cert_info(cert, &info);
    amy__tls_cert_unref(cert);
    (void)snprintf(text, sizeof(text),
                   "{\"ask\":5,\"targets\":[{\"name\":\"%s\",\"type\":%d,"
                   "\"fingerprint\":\"%s\"}]}",
                   name, (int)type, info.fingerprint);
    assert_int_equal(amy__json_parse(amy__span_of(text), &json, NULL), 0);
    stage_question(&f->stage, AMY__WIRE_PROBE, json);
    amy__json_free(json);
}

static void
test_process_sees_what_it_serves(void **state)
{
    struct fixture *f = *state;
    static const char well[] = "{\"ask\":5,\"wrong\":[]}";

    probe(f, "example.org", &f->cert, AMY__TLS_EC);
    assert_string_equal(f->stage.ack, well);
    probe(f, "www.example.org", &f->cert, AMY__TLS_EC);
    assert_string_equal(f->stage.ack, well);
    probe(f, "other.org", &f->other, AMY__TLS_EC);
    assert_string_equal(f->stage.ack, well);
    probe(f, "other.org", &f->cert, AMY__TLS_EC);
    assert_non_null(strstr(f->stage.ack,
                           "{\"target\":0,\"why\":\"'other.org' (EC) at "
                           "127.0.0.1 port "));
    assert_non_null(strstr(f->stage.ack, "another certificate is shown"));
    /* No client of RSA alone is served. */
    probe(f, "example.org", &f->cert, AMY__TLS_RSA);
    assert_non_null(strstr(f->stage.ack, "(RSA) at"));
    assert_non_null(strstr(f->stage.ack, "TLS handshake"));
}

static void
test_process_sees_both_types_and_a_swap(void **state)
{
    struct fixture *f = *state;
    struct test_cert *rsa = calloc(1, sizeof(*rsa));

    test_cert_make_rsa(rsa, "example.org", -60, 3600);
    f->stage.second_chain = rsa->chain;
    f->stage.second_key = rsa->key;
    f->stage.chain = f->renewed.chain;
    f->stage.key = f->renewed.key;
    assert_true(stage_bundle(&f->stage, FILES));
    probe(f, "example.org", &f->renewed, AMY__TLS_EC);
    assert_non_null(strstr(f->stage.ack, "\"wrong\":[]"));
    probe(f, "example.org", rsa, AMY__TLS_RSA);
    assert_non_null(strstr(f->stage.ack, "\"wrong\":[]"));
    probe(f, "example.org", &f->cert, AMY__TLS_EC);
    assert_non_null(strstr(f->stage.ack, "another certificate is shown"));
    free(rsa);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_site_is_served_by_its_names),
        TEST(test_host_of_another_certificate_is_misdirected),
        TEST(test_unknown_name_is_misdirected_and_not_cut),
        TEST(test_new_bundle_brings_its_certificate_and_cuts_nobody),
        TEST(test_pair_that_does_not_fit_is_refused_and_the_old_kept),
        TEST(test_process_sees_what_it_serves),
        TEST(test_process_sees_both_types_and_a_swap),
    };

    return cmocka_run_group_tests_name("front/process_tls", tests, NULL, NULL);
}

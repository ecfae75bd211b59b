#include "amy_test.h"

#include "net/tls.h"
#include "net/tls_conn.h"
#include "test_cert.h"

#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct test_cert pem;
static struct amy__tls_cert *certs[2];
static struct amy__tls_cert *rsa; /* for a.test and *.wild.test */
static struct amy__tls_choice only[2];
static uint8_t keys[3 * 48];

/* Both ends of one connection in one thread. */
struct pair {
    int fds[2];
    struct amy__tls_conn *server;
    SSL_CTX *ctx;
    SSL *client;
    int server_rc;
    int client_rc;
};

static int
make(void **state)
{
    static const char *const names[] = {"a.test", "b.test"};

    (void)state;
    memset(keys, 'k', 48);
    memset(keys + 48, 'l', 48);
    memset(keys + 96, 'm', 48);
    for (int i = 0; i < 2; i++) {
        test_cert_make(&pem, names[i], -60, 86400);
        certs[i] = test_cert_read(&pem);
        only[i] = test_cert_alone(certs[i]);
    }
    test_cert_make_rsa(&pem, "a.test,*.wild.test", -60, 86400);
    rsa = test_cert_read(&pem);
    return 0;
}

static int
unmake(void **state)
{
    (void)state;
    amy__tls_cert_unref(certs[0]);
    amy__tls_cert_unref(certs[1]);
    amy__tls_cert_unref(rsa);
    return 0;
}

static struct amy__tls *
store(void)
{
    struct amy__tls *tls = NULL;

    assert_int_equal(amy__tls_create(&tls, NULL), 0);
    assert_int_equal(amy__tls_stage(tls, NULL), 0);
    assert_int_equal(amy__tls_add(tls, "A.test", &only[0], NULL), 0);
    assert_int_equal(amy__tls_add(tls, "b.test", &only[1], NULL), 0);
    return tls;
}

static void
shake(struct pair *pair)
{
    pair->server_rc = AMY__TLS_WANT_READ;
    pair->client_rc = -1;
    for (int i = 0; i < 10; i++) {
        pair->client_rc = SSL_connect(pair->client);
        if (pair->server_rc == AMY__TLS_WANT_READ) {
            pair->server_rc = amy__tls_conn_handshake(pair->server, NULL);
        }
    }
}

/* Ready to shake hands. */
static void
begin(struct pair *pair, struct amy__tls *tls, const char *name, int version,
      SSL_SESSION *session)
{
    memset(pair, 0, sizeof(*pair));
    assert_int_equal(
        socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair->fds), 0);
    assert_int_equal(amy__tls_accept(tls, pair->fds[0], &pair->server, NULL),
                     0);
    pair->ctx = SSL_CTX_new(TLS_client_method());
    if (version != 0) {
        assert_int_equal(SSL_CTX_set_min_proto_version(pair->ctx, version), 1);
        assert_int_equal(SSL_CTX_set_max_proto_version(pair->ctx, version), 1);
        /* Whatever is refused then, the client did not refuse it itself. */
        assert_int_equal(SSL_CTX_set_cipher_list(pair->ctx, "ALL:@SECLEVEL=0"),
                         1);
    }
    pair->client = SSL_new(pair->ctx);
    assert_int_equal(SSL_set_fd(pair->client, pair->fds[1]), 1);
    if (name != NULL) {
        test_cert_ask_for(pair->client, name);
    }
    if (session != NULL) {
        assert_int_equal(SSL_set_session(pair->client, session), 1);
    }
}

static void
meet(struct pair *pair, struct amy__tls *tls, const char *name, int version,
     SSL_SESSION *session)
{
    begin(pair, tls, name, version, session);
    shake(pair);
}

static void
part(struct pair *pair)
{
    amy__tls_conn_free(pair->server);
    SSL_free(pair->client);
    SSL_CTX_free(pair->ctx);
    (void)close(pair->fds[0]);
    (void)close(pair->fds[1]);
}

static bool
shows(struct pair *pair, const char *name)
{
    X509 *x509 = SSL_get1_peer_certificate(pair->client);
    bool same = x509 != NULL && X509_check_host(x509, name, 0, 0, NULL) == 1;

    X509_free(x509);
    return same;
}

static void
test_each_name_gets_its_certificate(void **state)
{
    struct amy__tls *tls = store();
    struct pair pair;

    (void)state;
    amy__tls_commit(tls);
    meet(&pair, tls, "a.test", 0, NULL);
    assert_int_equal(pair.server_rc, 0);
    assert_int_equal(pair.client_rc, 1);
    assert_true(shows(&pair, "a.test"));
    assert_int_equal(SSL_version(pair.client), TLS1_3_VERSION);
    part(&pair);
    meet(&pair, tls, "B.TEST", TLS1_2_VERSION, NULL);
    assert_true(shows(&pair, "b.test"));
    assert_true(
        amy__span_eq(amy__tls_conn_sni(pair.server), AMY_SPAN("b.test")));
    part(&pair);
    amy__tls_free(tls);
}

static void
test_unknown_name_without_default_is_refused(void **state)
{
    struct amy__tls *tls = store();
    struct pair pair;

    (void)state;
    amy__tls_commit(tls);
    meet(&pair, tls, "nobody.test", 0, NULL);
    assert_int_equal(pair.server_rc, AMY_EPROTO);
    part(&pair);
    meet(&pair, tls, NULL, 0, NULL);
    assert_int_equal(pair.server_rc, AMY_EPROTO);
    part(&pair);
    amy__tls_free(tls);
}

static void
test_unknown_name_gets_the_default(void **state)
{
    struct amy__tls *tls = store();
    struct pair pair;

    (void)state;
    assert_int_equal(amy__tls_set_default(tls, &only[1], NULL), 0);
    amy__tls_commit(tls);
    meet(&pair, tls, "nobody.test", 0, NULL);
    assert_true(shows(&pair, "b.test"));
    part(&pair);
    meet(&pair, tls, NULL, 0, NULL);
    assert_true(shows(&pair, "b.test"));
    assert_int_equal(amy__tls_conn_sni(pair.server).n, 0);
    part(&pair);
    amy__tls_free(tls);
}

/* What a client that verifies only these signatures is shown. */
static int
type_shown(struct amy__tls *tls, const char *name, int version,
           const char *signatures)
{
    struct pair pair;
    char list[128] = "";
    int id = 0;

    begin(&pair, tls, name, version, NULL);
    (void)snprintf(list, sizeof(list), "%s", signatures);
    assert_int_equal(SSL_set1_sigalgs_list(pair.client, list), 1);
    shake(&pair);
    if (pair.client_rc == 1) {
        X509 *x509 = SSL_get1_peer_certificate(pair.client);

        id = EVP_PKEY_get_base_id(X509_get0_pubkey(x509));
        X509_free(x509);
    }
    part(&pair);
    return id;
}

static void
test_client_gets_the_type_that_it_can_verify(void **state)
{
    static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};
    struct amy__tls_cert *all[] = {rsa, certs[0]};
    struct amy__tls_choice choice;
    struct amy__tls *tls = NULL;

    (void)state;
    assert_true(amy__tls_choose(all, 2, "a.test", &choice));
    assert_int_equal(amy__tls_create(&tls, NULL), 0);
    assert_int_equal(amy__tls_stage(tls, NULL), 0);
    assert_int_equal(amy__tls_add(tls, "a.test", &choice, NULL), 0);
    amy__tls_commit(tls);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(
            type_shown(tls, "a.test", versions[i], "RSA-PSS+SHA256:RSA+SHA256"),
            EVP_PKEY_RSA);
        assert_int_equal(type_shown(tls, "a.test", versions[i], "ECDSA+SHA256"),
                         EVP_PKEY_EC);
        assert_int_equal(type_shown(tls, "a.test", versions[i],
                                    "RSA-PSS+SHA256:RSA+SHA256:ECDSA+SHA256"),
                         EVP_PKEY_EC);
    }
    assert_int_equal(type_shown(tls, "a.test", TLS1_3_VERSION, "ed25519"), 0);
    amy__tls_free(tls);
}

static void
test_choose_takes_the_first_of_each_type_that_covers(void **state)
{
    struct amy__tls_cert *all[] = {certs[1], certs[0], rsa};
    struct amy__tls_choice choice;

    (void)state;
    assert_true(amy__tls_choose(all, 3, "a.test", &choice));
    assert_ptr_equal(choice.borrow_certs[AMY__TLS_EC], certs[0]);
    assert_ptr_equal(choice.borrow_certs[AMY__TLS_RSA], rsa);
    assert_null(choice.borrow_certs[AMY__TLS_OTHER]);
    /* By its wildcard alone, and not one label deeper. */
    assert_true(amy__tls_choose(all, 3, "c.wild.test", &choice));
    assert_null(choice.borrow_certs[AMY__TLS_EC]);
    assert_ptr_equal(choice.borrow_certs[AMY__TLS_RSA], rsa);
    assert_true(amy__tls_choose(all, 3, "c.c.wild.test", &choice));
    assert_ptr_equal(choice.borrow_certs[AMY__TLS_EC], certs[1]);
    assert_null(choice.borrow_certs[AMY__TLS_RSA]);
    assert_false(amy__tls_choose(all, 0, "a.test", &choice));
}

static void
test_names_of_one_choice_share_and_others_do_not(void **state)
{
    struct amy__tls_choice both = only[0];
    const struct amy__tls_choice none = {{NULL}};
    struct amy__tls *tls = NULL;

    (void)state;
    both.borrow_certs[AMY__TLS_RSA] = rsa;
    assert_int_equal(amy__tls_create(&tls, NULL), 0);
    assert_int_equal(amy__tls_stage(tls, NULL), 0);
    assert_int_equal(amy__tls_add(tls, "a.test", &both, NULL), 0);
    assert_int_equal(amy__tls_add(tls, "b.test", &only[0], NULL), 0);
    assert_int_equal(amy__tls_add(tls, "c.test", &both, NULL), 0);
    assert_int_equal(amy__tls_add(tls, "d.test", &none, NULL), AMY_EINVAL);
    amy__tls_commit(tls);
    assert_true(
        amy__tls_same_cert(tls, AMY_SPAN("a.test"), AMY_SPAN("c.test")));
    assert_false(
        amy__tls_same_cert(tls, AMY_SPAN("a.test"), AMY_SPAN("b.test")));
    assert_false(
        amy__tls_same_cert(tls, AMY_SPAN("d.test"), AMY_SPAN("d.test")));
    amy__tls_free(tls);
}

static void
test_old_versions_are_refused(void **state)
{
    struct amy__tls *tls = store();
    struct pair pair;

    (void)state;
    amy__tls_commit(tls);
    meet(&pair, tls, "a.test", TLS1_1_VERSION, NULL);
    assert_int_equal(pair.server_rc, AMY_EPROTO);
    assert_int_not_equal(pair.client_rc, 1);
    part(&pair);
    amy__tls_free(tls);
}

static void
test_commit_swaps_and_abandon_does_not(void **state)
{
    struct amy__tls *tls = store();
    struct pair old;
    struct pair pair;
    char buf[16];

    (void)state;
    amy__tls_commit(tls);
    meet(&old, tls, "a.test", 0, NULL);
    assert_int_equal(amy__tls_stage(tls, NULL), 0);
    assert_int_equal(amy__tls_stage(tls, NULL), AMY_ESTATE);
    assert_int_equal(amy__tls_add(tls, "a.test", &only[1], NULL), 0);
    assert_int_equal(amy__tls_add(tls, "a.test", &only[1], NULL), AMY_EEXIST);
    assert_int_equal(amy__tls_add(tls, "", &only[1], NULL), AMY_EINVAL);
    amy__tls_abandon(tls);
    assert_int_equal(amy__tls_add(tls, "a.test", &only[1], NULL), AMY_ESTATE);
    meet(&pair, tls, "a.test", 0, NULL);
    assert_true(shows(&pair, "a.test"));
    part(&pair);
    assert_int_equal(amy__tls_stage(tls, NULL), 0);
    assert_int_equal(amy__tls_add(tls, "a.test", &only[1], NULL), 0);
    amy__tls_commit(tls);
    meet(&pair, tls, "a.test", 0, NULL);
    assert_true(shows(&pair, "b.test"));
    part(&pair);
    /* The one that was up goes on. */
    assert_int_equal(SSL_write(old.client, "ping", 4), 4);
    assert_int_equal(amy__tls_conn_read(old.server, buf, sizeof(buf)), 4);
    assert_int_equal(amy__tls_conn_write(old.server, AMY_SPAN("pong")), 4);
    assert_int_equal(SSL_read(old.client, buf, sizeof(buf)), 4);
    part(&old);
    amy__tls_free(tls);
}

static void
test_many_names_are_found(void **state)
{
    struct amy__tls *tls = NULL;

    (void)state;
    assert_int_equal(amy__tls_create(&tls, NULL), 0);
    assert_int_equal(amy__tls_stage(tls, NULL), 0);
    for (unsigned i = 0; i < 500; i++) {
        char name[] = "n000.test";

        name[1] = (char)('0' + i / 100);
        name[2] = (char)('0' + i / 10 % 10);
        name[3] = (char)('0' + i % 10);
        assert_int_equal(amy__tls_add(tls, name, &only[i % 2], NULL), 0);
    }
    amy__tls_commit(tls);
    assert_true(
        amy__tls_same_cert(tls, AMY_SPAN("n002.test"), AMY_SPAN("n444.test")));
    assert_false(
        amy__tls_same_cert(tls, AMY_SPAN("n002.test"), AMY_SPAN("n443.test")));
    assert_false(
        amy__tls_same_cert(tls, AMY_SPAN("n002.test"), AMY_SPAN("no.test")));
    amy__tls_free(tls);
}

/* A session of one store, taken to another: two front processes. */
static bool
resumes(size_t first_keys, const uint8_t *then, size_t then_keys, int version)
{
    struct amy__tls *one = store();
    struct amy__tls *two = store();
    struct pair pair;
    SSL_SESSION *session = NULL;
    char buf[16];
    bool resumed = false;

    assert_int_equal(amy__tls_set_ticket_keys(one, keys, first_keys, NULL), 0);
    amy__tls_commit(one);
    assert_int_equal(amy__tls_set_ticket_keys(two, then, then_keys, NULL), 0);
    amy__tls_commit(two);
    meet(&pair, one, "a.test", version, NULL);
    (void)SSL_read(pair.client, buf, sizeof(buf)); /* tickets come behind */
    session = SSL_get1_session(pair.client);
    /* A connection that ends without farewell would forget its session. */
    (void)SSL_shutdown(pair.client);
    part(&pair);
    meet(&pair, two, "a.test", version, session);
    assert_int_equal(pair.server_rc, 0);
    resumed = amy__tls_conn_resumed(pair.server);
    part(&pair);
    SSL_SESSION_free(session);
    amy__tls_free(one);
    amy__tls_free(two);
    return resumed;
}

static void
test_tickets_are_good_with_every_holder_of_the_keys(void **state)
{
    uint8_t rotated[96];

    (void)state;
    memcpy(rotated, keys + 96, 48);
    memcpy(rotated + 48, keys, 48);
    assert_true(resumes(1, keys, 1, TLS1_3_VERSION));
    assert_true(resumes(1, keys, 1, TLS1_2_VERSION));
    assert_true(resumes(1, rotated, 2, TLS1_3_VERSION));
    assert_false(resumes(1, keys + 48, 1, TLS1_3_VERSION));
}

static void
test_ticket_keys_are_one_to_four(void **state)
{
    struct amy__tls *tls = store();

    (void)state;
    assert_int_equal(amy__tls_set_ticket_keys(tls, keys, 0, NULL), AMY_EINVAL);
    assert_int_equal(amy__tls_set_ticket_keys(tls, keys, 5, NULL), AMY_EINVAL);
    amy__tls_abandon(tls);
    /* Rotation needs no stage. */
    assert_int_equal(amy__tls_set_ticket_keys(tls, keys, 1, NULL), 0);
    amy__tls_free(tls);
}

static void
test_end_without_farewell_is_an_end(void **state)
{
    struct amy__tls *tls = store();
    struct pair pair;
    char buf[16];

    (void)state;
    amy__tls_commit(tls);
    meet(&pair, tls, "a.test", 0, NULL);
    assert_int_equal(amy__tls_conn_read(pair.server, buf, sizeof(buf)),
                     AMY__TLS_WANT_READ);
    assert_int_equal(SSL_write(pair.client, "last", 4), 4);
    (void)shutdown(pair.fds[1], SHUT_WR);
    assert_int_equal(amy__tls_conn_read(pair.server, buf, 2), 2);
    assert_true(amy__tls_conn_pending(pair.server));
    assert_int_equal(amy__tls_conn_read(pair.server, buf, sizeof(buf)), 2);
    assert_int_equal(amy__tls_conn_read(pair.server, buf, sizeof(buf)), 0);
    part(&pair);
    amy__tls_free(tls);
}

static void
test_shutdown_says_farewell(void **state)
{
    struct amy__tls *tls = store();
    struct pair pair;
    char buf[16];
    int n = 0;

    (void)state;
    amy__tls_commit(tls);
    meet(&pair, tls, "a.test", 0, NULL);
    amy__tls_conn_shutdown(pair.server);
    n = SSL_read(pair.client, buf, sizeof(buf));
    assert_int_equal(SSL_get_error(pair.client, n), SSL_ERROR_ZERO_RETURN);
    part(&pair);
    amy__tls_free(tls);
}

static void
test_renegotiation_is_refused(void **state)
{
    struct amy__tls *tls = store();
    struct pair pair;
    char buf[16];
    int rc = 0;

    (void)state;
    amy__tls_commit(tls);
    meet(&pair, tls, "a.test", TLS1_2_VERSION, NULL);
    assert_int_equal(pair.client_rc, 1);
    assert_int_equal(SSL_renegotiate(pair.client), 1);
    rc = SSL_do_handshake(pair.client);
    assert_int_equal(SSL_get_error(pair.client, rc), SSL_ERROR_WANT_READ);
    assert_int_equal(amy__tls_conn_read(pair.server, buf, sizeof(buf)),
                     AMY__TLS_WANT_READ);
    rc = SSL_do_handshake(pair.client);
    assert_int_equal(SSL_get_error(pair.client, rc), SSL_ERROR_SSL);
    part(&pair);
    amy__tls_free(tls);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_name_gets_its_certificate),
        cmocka_unit_test(test_unknown_name_without_default_is_refused),
        cmocka_unit_test(test_unknown_name_gets_the_default),
        cmocka_unit_test(test_client_gets_the_type_that_it_can_verify),
        cmocka_unit_test(test_choose_takes_the_first_of_each_type_that_covers),
        cmocka_unit_test(test_names_of_one_choice_share_and_others_do_not),
        cmocka_unit_test(test_old_versions_are_refused),
        cmocka_unit_test(test_commit_swaps_and_abandon_does_not),
        cmocka_unit_test(test_many_names_are_found),
        cmocka_unit_test(test_tickets_are_good_with_every_holder_of_the_keys),
        cmocka_unit_test(test_ticket_keys_are_one_to_four),
        cmocka_unit_test(test_end_without_farewell_is_an_end),
        cmocka_unit_test(test_shutdown_says_farewell),
        cmocka_unit_test(test_renegotiation_is_refused),
    };

    return cmocka_run_group_tests_name("net/tls", tests, make, unmake);
}

#include "amy_test.h"

#include "net/listen.h"
#include "net/tls.h"
#include "serve_rig.h"
#include "test_cert.h"

#include <openssl/ssl.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* The rig with a TLS listener, and one client that speaks TLS. */
struct secure {
    struct rig rig;
    struct amy__tls *tls;
    SSL_CTX *ctx;
    SSL *ssl;
    int fd;
    int listener;
    char *data;
    size_t n;
    bool closed;
};

static struct test_cert pem;

static int
make(void **state)
{
    (void)state;
    test_cert_make(&pem, "a.test", -60, 86400);
    return 0;
}

static void
dial(struct secure *s)
{
    struct amy__address at = {.len = sizeof(at.sa)};

    assert_int_equal(
        getsockname(s->listener, (struct sockaddr *)&at.sa, &at.len), 0);
    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(s->fd, (struct sockaddr *)&at.sa, at.len), 0);
    assert_int_equal(fcntl(s->fd, F_SETFL, O_NONBLOCK), 0);
    s->ssl = SSL_new(s->ctx);
    assert_int_equal(SSL_set_fd(s->ssl, s->fd), 1);
    test_cert_ask_for(s->ssl, "a.test");
}

static void
open_secure(struct secure *s, const struct amy__server_limits *limits)
{
    struct amy__tls_cert *cert = test_cert_read(&pem);
    const struct amy__tls_choice choice = test_cert_alone(cert);
    struct amy__address any;

    memset(s, 0, sizeof(*s));
    s->data = calloc(1, 8U << 20);
    rig_start(&s->rig, limits);
    assert_int_equal(amy__tls_create(&s->tls, NULL), 0);
    assert_int_equal(amy__tls_stage(s->tls, NULL), 0);
    assert_int_equal(amy__tls_add(s->tls, "a.test", &choice, NULL), 0);
    amy__tls_commit(s->tls);
    amy__tls_cert_unref(cert);
    assert_int_equal(amy__address_parse(AMY_SPAN("127.0.0.1:0"), 0, &any, NULL),
                     0);
    s->listener = amy__listen_tcp(&any, false, 0, NULL);
    assert_true(s->listener >= 0);
    assert_int_equal(
        amy__server_listen(s->rig.server, s->listener, s->tls, 8, NULL), 0);
    s->ctx = SSL_CTX_new(TLS_client_method());
    dial(s);
}

static void
close_secure(struct secure *s)
{
    SSL_free(s->ssl);
    SSL_CTX_free(s->ctx);
    (void)close(s->fd);
    rig_stop(&s->rig);
    amy__tls_free(s->tls);
    free(s->data);
}

static bool
shaken(struct secure *s)
{
    return SSL_connect(s->ssl) == 1;
}

static size_t
got(struct secure *s)
{
    int n = 1;

    while (n > 0) {
        n = SSL_read(s->ssl, s->data + s->n, (int)((8U << 20) - s->n - 1));
        s->n += n > 0 ? (size_t)n : 0;
    }
    s->closed = SSL_get_error(s->ssl, n) == SSL_ERROR_ZERO_RETURN;
    return s->n;
}

static void
say(struct secure *s, const char *text)
{
    assert_int_equal(SSL_write(s->ssl, text, (int)strlen(text)),
                     (int)strlen(text));
}

/* The client starts to read only when the server waits for it. */
static void
fetch(struct secure *s, const char *path, size_t n)
{
    char request[128];
    const char *body = NULL;

    s->n = 0;
    (void)snprintf(request, sizeof(request),
                   "GET %s/%zu HTTP/1.1\r\nHost: a.test\r\n\r\n", path, n);
    say(s, request);
    for (int i = 0; i < 10; i++) {
        rig_turn(&s->rig);
    }
    RIG_UNTIL(&s->rig, got(s) > 0 &&
                           (body = strstr(s->data, "\r\n\r\n")) != NULL &&
                           (size_t)(s->data + s->n - body - 4) >= n);
    assert_int_equal((size_t)(s->data + s->n - body - 4), n);
    for (size_t i = 0; i < n; i++) {
        assert_true(body[4 + i] == 'a');
    }
}

static void
test_bodies_of_all_sizes_arrive_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 16000, 16384, 65536, 1000000};
    struct secure s;

    (void)state;
    open_secure(&s, NULL);
    RIG_UNTIL(&s.rig, shaken(&s));
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        memset(s.data, 0, s.n);
        fetch(&s, "/big", sizes[i]);
        fetch(&s, "/stream", sizes[i]);
        fetch(&s, "/file", sizes[i]);
    }
    fetch(&s, "/stream", 5U << 20);
    fetch(&s, "/file", 5U << 20);
    RIG_UNTIL(&s.rig, s.rig.done == s.rig.requests);
    assert_int_equal(s.rig.complete, s.rig.requests);
    close_secure(&s);
}

static void
test_upload_of_many_records_is_read_whole(void **state)
{
    struct secure s;
    char *bytes = calloc(1, 1U << 20);
    size_t sent = 0;

    (void)state;
    open_secure(&s, NULL);
    RIG_UNTIL(&s.rig, shaken(&s));
    (void)SSL_set_mode(s.ssl, SSL_MODE_ENABLE_PARTIAL_WRITE);
    say(&s, "POST /upload HTTP/1.1\r\nHost: a.test\r\n"
            "Content-Length: 1048576\r\n\r\n");
    while (sent < 1U << 20) {
        int n = SSL_write(s.ssl, bytes + sent, (int)((1U << 20) - sent));

        sent += n > 0 ? (size_t)n : 0;
        rig_turn(&s.rig);
    }
    RIG_UNTIL(&s.rig, got(&s) > 0 && strstr(s.data, "taken\n") != NULL);
    assert_int_equal(s.rig.last_body, 1U << 20);
    close_secure(&s);
    free(bytes);
}

static void
test_last_answer_ends_with_a_farewell(void **state)
{
    struct secure s;

    (void)state;
    open_secure(&s, NULL);
    RIG_UNTIL(&s.rig, shaken(&s));
    say(&s, "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n");
    RIG_UNTIL(&s.rig, (got(&s), s.closed));
    assert_non_null(strstr(s.data, "hello\n"));
    close_secure(&s);
}

static void
test_handshake_that_stalls_is_cut(void **state)
{
    struct amy__server_limits limits = {.handshake_ms = 50};
    struct amy__server_figures figures;
    struct secure s;
    char byte = 0;

    (void)state;
    open_secure(&s, &limits);
    RIG_UNTIL(&s.rig, recv(s.fd, &byte, 1, 0) == 0);
    amy__server_figures(s.rig.server, &figures);
    assert_int_equal(figures.open, 0);
    close_secure(&s);
}

static void
test_rubbish_instead_of_a_handshake_is_counted(void **state)
{
    struct amy__server_figures figures;
    struct secure s;

    (void)state;
    open_secure(&s, NULL);
    assert_int_equal(send(s.fd, "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    RIG_UNTIL(&s.rig, (amy__server_figures(s.rig.server, &figures),
                       figures.handshake_failures == 1));
    assert_int_equal(figures.open, 0);
    close_secure(&s);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_of_all_sizes_arrive_whole),
        cmocka_unit_test(test_upload_of_many_records_is_read_whole),
        cmocka_unit_test(test_last_answer_ends_with_a_farewell),
        cmocka_unit_test(test_handshake_that_stalls_is_cut),
        cmocka_unit_test(test_rubbish_instead_of_a_handshake_is_counted),
    };

    return cmocka_run_group_tests_name("serve/over_tls", tests, make, NULL);
}

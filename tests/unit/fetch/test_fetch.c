/* Requests to a real server by TLS, in a process of its own that answers as
 * the path says. */
#include "amy_test.h"

#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "fetch/fetch.h"
#include "test_cert.h"

#include <openssl/pem.h>
#include <openssl/ssl.h>

#include <arpa/inet.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLENTY_MS 60000

struct place {
    pid_t server;
    unsigned port;
    char ca_path[64];
    char other_path[64];
    struct event_base *base;
    struct amy__fetch *client;
};

/* --- the server --- */

static void
answer(SSL *ssl, const char *head, size_t body)
{
    char text[1024];
    char piece[4096];
    int n = snprintf(
        text, sizeof(text),
        "HTTP/1.1 %s\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", head,
        body);

    memset(piece, 'x', sizeof(piece));
    (void)SSL_write(ssl, text, n);
    while (body > 0) {
        size_t now = body < sizeof(piece) ? body : sizeof(piece);

        if (SSL_write(ssl, piece, (int)now) <= 0) {
            return;
        }
        body -= now;
    }
}

static void
answer_long_head(SSL *ssl)
{
    static const char begin[] = "HTTP/1.1 200 OK\r\n";
    char field[1024];

    memset(field, 'f', sizeof(field));
    memcpy(field, "X-Field: ", 9);
    memcpy(field + sizeof(field) - 2, "\r\n", 2);
    (void)SSL_write(ssl, begin, sizeof(begin) - 1);
    for (int i = 0; i < 100; i++) {
        if (SSL_write(ssl, field, sizeof(field)) <= 0) {
            return;
        }
    }
}

/* What was asked comes back as the body. */
static void
answer_echo(SSL *ssl, const char *request, int n)
{
    char head[128];
    int head_n = snprintf(
        head, sizeof(head),
        "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n",
        n);

    (void)SSL_write(ssl, head, head_n);
    (void)SSL_write(ssl, request, n);
}

/* Until they leave. */
static void
answer_byte_by_byte(SSL *ssl)
{
    static const char begin[] =
        "HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\n";
    struct pollfd left = {.fd = SSL_get_fd(ssl), .events = POLLIN};

    (void)SSL_write(ssl, begin, sizeof(begin) - 1);
    while (poll(&left, 1, 20) == 0) {
        (void)SSL_write(ssl, "x", 1);
    }
}

static void
serve_one(SSL *ssl)
{
    char request[8192] = "";
    int n = SSL_read(ssl, request, sizeof(request) - 1);
    const char *path = strchr(request, ' ');

    if (n <= 0 || path == NULL) {
        return;
    }
    path++;
    if (strncmp(path, "/echo", 5) == 0) {
        if (strstr(request, "body") == NULL &&
            strstr(request, "Content-Length: 0") == NULL &&
            strncmp(request, "P", 1) == 0) { /* POST, PUT */
            n += SSL_read(ssl, request + n, (int)sizeof(request) - 1 - n);
        }
        answer_echo(ssl, request, n);
    } else if (strncmp(path, "/trickle", 8) == 0) {
        answer_byte_by_byte(ssl);
    } else if (strncmp(path, "/slow", 5) == 0) {
        (void)SSL_read(ssl, request, sizeof(request)); /* until they leave */
    } else if (strncmp(path, "/head", 5) == 0) {
        answer_long_head(ssl);
    } else if (strncmp(path, "/cut", 4) == 0) {
        static const char cut[] =
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort";

        (void)SSL_write(ssl, cut, sizeof(cut) - 1);
    } else if (strncmp(path, "/away", 5) == 0) {
        answer(ssl, "302 Found\r\nLocation: https://127.0.0.1:1/x", 0);
    } else if (strncmp(path, "/bad", 4) == 0) {
        answer(ssl, "500 Oh", 3);
    } else {
        answer(ssl, "200 OK", (size_t)strtoul(path + 1, NULL, 10));
    }
}

static SSL_CTX *
make_context(const struct test_cert *cert)
{
    SSL_CTX *context = SSL_CTX_new(TLS_server_method());
    BIO *chain = BIO_new_mem_buf(cert->chain, -1);
    BIO *key = BIO_new_mem_buf(cert->key, -1);
    X509 *x509 = PEM_read_bio_X509(chain, NULL, NULL, NULL);
    EVP_PKEY *private = PEM_read_bio_PrivateKey(key, NULL, NULL, NULL);

    assert_int_equal(SSL_CTX_use_certificate(context, x509), 1);
    assert_int_equal(SSL_CTX_use_PrivateKey(context, private), 1);
    X509_free(x509);
    EVP_PKEY_free(private);
    BIO_free(chain);
    BIO_free(key);
    return context;
}

_Noreturn static void
run_server(int listener, const struct test_cert *cert)
{
    SSL_CTX *context = make_context(cert);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGCHLD, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fork() == 0) {
            SSL *ssl = SSL_new(context);

            (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
            (void)SSL_set_fd(ssl, fd);
            if (SSL_accept(ssl) == 1) {
                serve_one(ssl);
                (void)SSL_shutdown(ssl);
            }
            _Exit(0);
        }
        close(fd);
    }
}

static void
write_pem(char *path, size_t size, const struct test_cert *cert)
{
    int fd = 0;

    (void)snprintf(path, size, "/tmp/amy-test-ca-XXXXXX");
    fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, cert->chain, strlen(cert->chain)),
                     strlen(cert->chain));
    close(fd);
}

static int
set_up_all(void **state)
{
    static struct place place;
    static struct test_cert cert;
    static struct test_cert other;
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t length = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)signal(SIGPIPE, SIG_IGN);
    test_cert_make(&cert, "localhost", -60, 86400);
    test_cert_make(&other, "localhost", -60, 86400);
    write_pem(place.ca_path, sizeof(place.ca_path), &cert);
    write_pem(place.other_path, sizeof(place.other_path), &other);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, length), 0);
    assert_int_equal(listen(listener, 16), 0);
    assert_int_equal(
        getsockname(listener, (struct sockaddr *)&address, &length), 0);
    place.port = ntohs(address.sin_port);
    place.server = fork();
    if (place.server == 0) {
        run_server(listener, &cert);
    }
    close(listener);
    *state = &place;
    return 0;
}

static int
tear_down_all(void **state)
{
    struct place *place = *state;

    (void)kill(place->server, SIGKILL);
    (void)waitpid(place->server, NULL, 0);
    (void)unlink(place->ca_path);
    (void)unlink(place->other_path);
    return 0;
}

static void
make_client(struct place *place, const char *ca_path, bool use_proxy)
{
    struct amy__fetch_options opts = {
        .base = place->base, .ca_file = ca_path, .use_proxy = use_proxy};

    assert_int_equal(amy__fetch_create(&opts, &place->client, NULL), 0);
}

static int
set_up(void **state)
{
    struct place *place = *state;

    assert_int_equal(amy__loop_create(&place->base, NULL), 0);
    make_client(place, place->ca_path, false);
    return 0;
}

static int
tear_down(void **state)
{
    struct place *place = *state;

    amy__fetch_free(place->client);
    amy__loop_free(place->base);
    return 0;
}

/* --- asking --- */

struct heard {
    struct place *place;
    bool over;
    bool frees; /* the client, in the completion */
    int count;
    int rc;
    unsigned status;
    char body[1024];
    size_t body_n;
    char location[64]; /* a field of the head */
    struct amy_error err;
};

static void
on_answer(int rc, const struct amy__fetch_answer *answered,
          const struct amy_error *err, void *user)
{
    struct heard *heard = user;

    heard->over = true;
    heard->count++;
    heard->rc = rc;
    heard->err = *err;
    assert_true((rc == 0) == (answered != NULL));
    if (answered != NULL) {
        heard->status = answered->status;
        heard->body_n = answered->body.n;
        (void)amy__span_copy(amy__fetch_field(answered->head, "LOCATION"),
                             heard->location, sizeof(heard->location));
        (void)amy__span_copy(answered->body, heard->body, sizeof(heard->body));
    }
    if (heard->frees) {
        amy__fetch_free(heard->place->client);
        heard->place->client = NULL;
    }
}

static struct amy__fetch_request
request_of(const struct place *place, char *url, size_t size, const char *path)
{
    (void)snprintf(url, size, "https://localhost:%u%s", place->port, path);
    return (struct amy__fetch_request){.method = "GET",
                                       .url = url,
                                       .timeout_ms = PLENTY_MS,
                                       .answer_max = 4096};
}

static void
run(struct place *place, struct heard *heard)
{
    assert_int_equal(amy__loop_run(place->base, &heard->over, NULL), 0);
}

static struct heard
ask(struct place *place, const struct amy__fetch_request *request)
{
    struct heard heard = {.place = place};
    struct amy__fetch_call *call = NULL;

    assert_int_equal(amy__fetch_start(place->client, request, on_answer, &heard,
                                      &call, NULL),
                     0);
    assert_false(heard.over);
    run(place, &heard);
    assert_int_equal(heard.count, 1);
    return heard;
}

static struct heard
get(struct place *place, const char *path)
{
    char url[128];
    struct amy__fetch_request request =
        request_of(place, url, sizeof(url), path);

    return ask(place, &request);
}

static void
test_a_post_brings_its_body_and_fields(void **state)
{
    static const char *const fields[] = {"Content-Type: text/plain", "X-A: b",
                                         NULL};
    char url[128];
    struct amy__fetch_request request =
        request_of(*state, url, sizeof(url), "/echo?x=1");
    struct heard heard;

    request.method = "POST";
    request.fields = fields;
    request.body = AMY_SPAN("the body");
    heard = ask(*state, &request);
    assert_int_equal(heard.rc, 0);
    assert_int_equal(heard.status, 200);
    assert_non_null(strstr(heard.body, "POST /echo?x=1 HTTP/1.1\r\n"));
    assert_non_null(strstr(heard.body, "\r\nContent-Type: text/plain\r\n"));
    assert_non_null(strstr(heard.body, "\r\nX-A: b\r\n"));
    assert_non_null(strstr(heard.body, "\r\nContent-Length: 8\r\n"));
    assert_non_null(strstr(heard.body, "\r\n\r\nthe body"));
    assert_null(strstr(heard.body, "Expect:"));
}

static void
test_a_post_without_a_body_says_so(void **state)
{
    static const char *const methods[] = {"POST", "PUT", "GET", "DELETE"};
    char url[128];
    struct amy__fetch_request request =
        request_of(*state, url, sizeof(url), "/echo");

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        struct heard heard;

        request.method = methods[i];
        heard = ask(*state, &request);
        assert_int_equal(heard.rc, 0);
        assert_true((strstr(heard.body, "\r\nContent-Length: 0\r\n") != NULL) ==
                    (methods[i][0] == 'P'));
    }
}

static void
test_any_status_is_an_answer(void **state)
{
    struct heard heard = get(*state, "/bad");

    assert_int_equal(heard.rc, 0);
    assert_int_equal(heard.status, 500);
    assert_string_equal(heard.body, "xxx");
}

static void
test_a_redirect_is_not_followed(void **state)
{
    struct heard heard = get(*state, "/away");

    assert_int_equal(heard.rc, 0);
    assert_int_equal(heard.status, 302);
    assert_string_equal(heard.location, "https://127.0.0.1:1/x");
}

static void
test_a_stretch_of_a_file_is_sent_as_it_is(void **state)
{
    char url[128];
    struct amy__fetch_request request =
        request_of(*state, url, sizeof(url), "/echo");
    struct amy__fetch_file file = {.offset = 3, .bytes = 8};
    struct heard heard;

    file.fd = amy__sealed_memfd("sent", "...the body...", 14, NULL);
    assert_true(file.fd >= 0);
    request.method = "PUT";
    request.file = &file;
    heard = ask(*state, &request);
    assert_int_equal(heard.rc, 0);
    assert_non_null(strstr(heard.body, "PUT /echo HTTP/1.1\r\n"));
    assert_non_null(strstr(heard.body, "\r\nContent-Length: 8\r\n"));
    assert_non_null(strstr(heard.body, "\r\n\r\nthe body"));
    assert_null(strstr(heard.body, "the body."));
    file.offset = 14; /* more than there is: it was cut meanwhile */
    (void)snprintf(url, sizeof(url), "https://localhost:%u/slow",
                   ((struct place *)*state)->port);
    assert_int_equal(ask(*state, &request).rc, AMY_EIO);
    (void)close(file.fd);
}

static void
test_a_request_is_signed_without_its_secret(void **state)
{
    static const char *const fields[] = {"x-amz-content-sha256: abc", NULL};
    static const struct amy__fetch_signer signer = {.region = "eu-test-1",
                                                    .service = "s3",
                                                    .key = "AKITEST",
                                                    .secret = "s3cr3t"};
    char url[128];
    struct amy__fetch_request request =
        request_of(*state, url, sizeof(url), "/echo?a=&b=%2F");
    struct amy__fetch_call *call = NULL;
    struct heard heard;

    request.fields = fields;
    request.signer = &signer;
    heard = ask(*state, &request);
    assert_int_equal(heard.rc, 0);
    assert_non_null(strstr(heard.body, "GET /echo?a=&b=%2F HTTP/1.1\r\n"));
    assert_non_null(strstr(heard.body, "AWS4-HMAC-SHA256 Credential=AKITEST/"));
    assert_non_null(strstr(heard.body, "/eu-test-1/s3/aws4_request"));
    assert_non_null(strstr(
        heard.body, "SignedHeaders=host;x-amz-content-sha256;x-amz-date"));
    assert_null(strstr(heard.body, "s3cr3t"));
    request.fields = NULL; /* no hash */
    assert_int_equal(amy__fetch_start(((struct place *)*state)->client,
                                      &request, on_answer, &heard, &call, NULL),
                     AMY_EINVAL);
}

static void
test_silence_ends_it_before_the_deadline(void **state)
{
    char url[128];
    struct amy__fetch_request request =
        request_of(*state, url, sizeof(url), "/slow/s3cr3t");
    struct heard heard;

    request.silence_ms = 200;
    heard = ask(*state, &request);
    assert_int_equal(heard.rc, AMY_ETIMEOUT);
    assert_non_null(strstr(heard.err.msg, "not a byte for 200ms"));
    assert_null(strstr(heard.err.msg, "s3cr3t"));
}

static void
test_a_trickle_is_given_up_as_silence_is(void **state)
{
    char url[128];
    struct amy__fetch_request request =
        request_of(*state, url, sizeof(url), "/trickle");
    struct heard heard;

    request.silence_ms = 900;
    request.least_rate = 1024;
    heard = ask(*state, &request);
    assert_int_equal(heard.rc, AMY_ETIMEOUT);
    assert_null(strstr(heard.err.msg, "within")); /* 80 s would be its time */
    request.silence_ms = 0;
    assert_int_equal(amy__fetch_wait(((struct place *)*state)->client, &request,
                                     &(struct amy__fetch_got){.status = 0},
                                     NULL),
                     AMY_EINVAL);
}

static void
test_whoever_has_no_loop_of_its_own_waits(void **state)
{
    struct place *place = *state;
    char url[128];
    struct amy__fetch_request request =
        request_of(place, url, sizeof(url), "/7");
    struct amy__fetch_got got;
    struct amy_error err = AMY_ERROR_INIT;

    assert_int_equal(amy__fetch_wait(place->client, &request, &got, &err), 0);
    assert_int_equal(got.status, 200);
    assert_int_equal(got.body.len, 7);
    amy__fetch_got_clear(&got);
    request.answer_max = 6;
    assert_int_equal(amy__fetch_wait(place->client, &request, &got, &err),
                     AMY_ELIMIT);
    assert_non_null(strstr(err.msg, "too long"));
    amy__fetch_got_clear(&got);
}

static void
test_plain_http_is_for_whoever_asks_for_it_alone(void **state)
{
    struct place *place = *state;
    struct amy__fetch_options opts = {.base = place->base, .plain = true};
    struct amy__fetch_request request = {
        .method = "GET", .timeout_ms = PLENTY_MS, .answer_max = 1};
    struct amy__fetch_got got;

    amy__fetch_free(place->client);
    assert_int_equal(amy__fetch_create(&opts, &place->client, NULL), 0);
    request.url = "https://127.0.0.1:1/";
    assert_int_equal(amy__fetch_wait(place->client, &request, &got, NULL),
                     AMY_EINVAL);
    request.url = "http://127.0.0.1:1/";
    assert_int_equal(amy__fetch_wait(place->client, &request, &got, NULL),
                     AMY_ECONN);
    amy__fetch_got_clear(&got);
}

static void
test_what_is_too_long_is_refused(void **state)
{
    struct heard heard = get(*state, "/4096");

    assert_int_equal(heard.rc, 0);
    assert_int_equal(heard.body_n, 4096);
    heard = get(*state, "/4097");
    assert_int_equal(heard.rc, AMY_ELIMIT);
    assert_non_null(strstr(heard.err.msg, "localhost"));
    heard = get(*state, "/head");
    assert_int_equal(heard.rc, AMY_ELIMIT);
}

static void
test_an_answer_that_is_cut_off_is_none(void **state)
{
    struct heard heard = get(*state, "/cut");

    assert_int_equal(heard.rc, AMY_ECONN);
    assert_int_equal(heard.err.source, AMY_SOURCE_CURL);
}

static void
test_the_deadline_ends_it_and_says_no_path(void **state)
{
    char url[128];
    struct amy__fetch_request request =
        request_of(*state, url, sizeof(url), "/slow/s3cr3t");
    struct heard heard;

    request.timeout_ms = 200;
    heard = ask(*state, &request);
    assert_int_equal(heard.rc, AMY_ETIMEOUT);
    assert_non_null(strstr(heard.err.msg, "within 200ms"));
    assert_null(strstr(heard.err.msg, "s3cr3t"));
}

static void
test_a_certificate_of_another_or_by_nobody_known_is_refused(void **state)
{
    struct place *place = *state;
    char url[128];
    struct amy__fetch_request request =
        request_of(place, url, sizeof(url), "/1");
    struct heard heard;

    (void)snprintf(url, sizeof(url), "https://127.0.0.1:%u/s3cr3t",
                   place->port);
    heard = ask(place, &request);
    assert_int_equal(heard.rc, AMY_EAUTH);
    assert_null(strstr(heard.err.msg, "s3cr3t"));
    amy__fetch_free(place->client);
    make_client(place, place->other_path, false);
    assert_int_equal(get(place, "/1").rc, AMY_EAUTH);
    amy__fetch_free(place->client);
    make_client(place, "/nowhere.pem", false);
    assert_int_equal(get(place, "/1").rc, AMY_EINVAL);
    amy__fetch_free(place->client);
    make_client(place, NULL, false); /* whom the system trusts */
    assert_int_equal(get(place, "/1").rc, AMY_EAUTH);
}

static void
test_nobody_there_is_told(void **state)
{
    struct place *place = *state;
    char url[] = "https://127.0.0.1:1/";
    struct amy__fetch_request request = {
        .method = "GET", .url = url, .timeout_ms = PLENTY_MS, .answer_max = 1};

    assert_int_equal(ask(place, &request).rc, AMY_ECONN);
    request.url = "https://no-such-name.invalid/";
    assert_int_equal(ask(place, &request).rc, AMY_ECONN);
}

static void
test_what_is_not_https_is_not_begun(void **state)
{
    struct place *place = *state;
    static const char *const urls[] = {"http://localhost/",
                                       "file:///etc/passwd", "https:///", "",
                                       "localhost"};
    struct amy__fetch_request request = {.method = "GET", .timeout_ms = 1};
    struct heard heard = {.place = place};
    struct amy__fetch_call *call = NULL;

    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        request.url = urls[i];
        assert_int_equal(amy__fetch_start(place->client, &request, on_answer,
                                          &heard, &call, NULL),
                         AMY_EINVAL);
    }
    request.url = "https://localhost/";
    request.timeout_ms = 0;
    assert_int_equal(amy__fetch_start(place->client, &request, on_answer,
                                      &heard, &call, NULL),
                     AMY_EINVAL);
    assert_int_equal(heard.count, 0);
}

static void
test_a_proxy_is_used_only_when_asked_for(void **state)
{
    struct place *place = *state;

    assert_int_equal(setenv("https_proxy", "http://127.0.0.1:1", 1), 0);
    assert_int_equal(get(place, "/1").rc, 0);
    amy__fetch_free(place->client);
    make_client(place, place->ca_path, true);
    assert_int_equal(get(place, "/1").rc, AMY_ECONN);
    assert_int_equal(unsetenv("https_proxy"), 0);
}

static void
test_the_client_may_be_freed_in_its_completion(void **state)
{
    struct place *place = *state;
    char url[128];
    struct amy__fetch_request request =
        request_of(place, url, sizeof(url), "/1");
    char slow_url[128];
    struct amy__fetch_request slow_request =
        request_of(place, slow_url, sizeof(slow_url), "/slow");
    struct heard heard = {.place = place, .frees = true};
    struct heard slow = {.place = place};
    struct amy__fetch_call *call = NULL;

    assert_int_equal(amy__fetch_start(place->client, &slow_request, on_answer,
                                      &slow, &call, NULL),
                     0);
    assert_int_equal(amy__fetch_start(place->client, &request, on_answer,
                                      &heard, &call, NULL),
                     0);
    run(place, &heard);
    assert_int_equal(heard.rc, 0);
    assert_int_equal(slow.count, 0); /* without a word */
}

static void
test_a_canceled_one_says_so_once(void **state)
{
    struct place *place = *state;
    char url[128];
    struct amy__fetch_request request =
        request_of(place, url, sizeof(url), "/slow");
    struct heard heard = {.place = place};
    struct amy__fetch_call *call = NULL;

    assert_int_equal(amy__fetch_start(place->client, &request, on_answer,
                                      &heard, &call, NULL),
                     0);
    amy__fetch_cancel(call);
    amy__fetch_cancel(call);
    assert_false(heard.over);
    run(place, &heard);
    assert_int_equal(heard.count, 1);
    assert_int_equal(heard.rc, AMY_ECANCELED);
    assert_int_equal(get(place, "/1").rc, 0); /* the client goes on */
}

static void
test_many_at_once_come_to_their_own_ends(void **state)
{
    struct place *place = *state;
    static struct heard heard[24]; /* more than connections there may be */
    struct amy__fetch_call *call = NULL;

    memset(heard, 0, sizeof(heard));
    for (unsigned i = 0; i < 24; i++) {
        char url[128];
        char path[32];
        struct amy__fetch_request request;

        (void)snprintf(path, sizeof(path), "/%u", i);
        request = request_of(place, url, sizeof(url), path);
        heard[i].place = place;
        assert_int_equal(amy__fetch_start(place->client, &request, on_answer,
                                          &heard[i], &call, NULL),
                         0);
    }
    for (unsigned i = 0; i < 24; i++) {
        run(place, &heard[i]);
        assert_int_equal(heard[i].rc, 0);
        assert_int_equal(heard[i].body_n, i);
    }
}

static void
test_the_host_is_what_a_message_may_say(void **state)
{
    static const char *const each[][2] = {
        {"https://hooks.example.org/T0/s3cr3t", "hooks.example.org"},
        {"https://a:b@c@example.org:8443?q", "example.org:8443"},
        {"HTTPS://x", "x"},
        {"https://x#y", "x"},
        {"https://x\\y@z", "x"},
        {"https://", ""},
        {"http://x/", "x"},
        {"ftp://x/", ""},
        {"", ""}};
    char host[64];

    (void)state;
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        amy__fetch_host(each[i][0], host, sizeof(host));
        assert_string_equal(host, each[i][1]);
    }
}

static void
test_sigpipe_must_be_ignored(void **state)
{
    struct place *place = *state;
    struct amy__fetch_options opts = {.base = place->base};
    struct amy__fetch *client = NULL;

    (void)signal(SIGPIPE, SIG_DFL);
    assert_int_equal(amy__fetch_create(&opts, &client, NULL), AMY_ESTATE);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_null(client);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_post_brings_its_body_and_fields),
        TEST(a_post_without_a_body_says_so),
        TEST(any_status_is_an_answer),
        TEST(a_redirect_is_not_followed),
        TEST(a_stretch_of_a_file_is_sent_as_it_is),
        TEST(a_request_is_signed_without_its_secret),
        TEST(silence_ends_it_before_the_deadline),
        TEST(a_trickle_is_given_up_as_silence_is),
        TEST(whoever_has_no_loop_of_its_own_waits),
        TEST(plain_http_is_for_whoever_asks_for_it_alone),
        TEST(what_is_too_long_is_refused),
        TEST(an_answer_that_is_cut_off_is_none),
        TEST(the_deadline_ends_it_and_says_no_path),
        TEST(a_certificate_of_another_or_by_nobody_known_is_refused),
        TEST(nobody_there_is_told),
        TEST(what_is_not_https_is_not_begun),
        TEST(a_proxy_is_used_only_when_asked_for),
        TEST(the_client_may_be_freed_in_its_completion),
        TEST(a_canceled_one_says_so_once),
        TEST(many_at_once_come_to_their_own_ends),
        TEST(the_host_is_what_a_message_may_say),
        TEST(sigpipe_must_be_ignored),
    };

    return cmocka_run_group_tests(tests, set_up_all, tear_down_all);
}

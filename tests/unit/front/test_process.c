/* A front process from its channel to its answers: bundles, gate, routes,
 * workers that come, hang and die. */
#include "amy_test.h"

#include "logrotate/lock.h"
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WEB "http: serve\nworkers: [{name: web, command: [x], count: 1}]\n"
#define STATIC                                                                 \
    "routes:\n  - {path: /static/, files: static, cache: immutable}\n"         \
    "  - {path: /, pool: web}\n"
#define GET(path) "GET " path " HTTP/1.1\r\nHost: example.org\r\n\r\n"

struct fixture {
    struct stage stage;
    struct stage_worker worker;
    struct stage_worker other;
    struct stage_client client;
    struct stage_client second;
    char text[65536];
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    stage_open(&f->stage);
    *state = f;
    return 0;
}

static int
set_up_served(void **state)
{
    struct fixture *f = NULL;

    (void)set_up(state);
    f = *state;
    assert_true(stage_bundle(&f->stage, WEB STATIC));
    stage_serve(&f->stage);
    stage_worker_open(&f->stage, &f->worker, 7, 1);
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    stage_worker_close(&f->worker);
    stage_worker_close(&f->other);
    stage_close(&f->stage);
    free(f);
    return 0;
}

static bool
contains(const char *text, const char *piece)
{
    return strstr(text, piece) != NULL;
}

/* ---- bundles ---- */

static void
test_bundle_with_a_bad_site_is_refused_and_named(void **state)
{
    struct fixture *f = *state;

    assert_false(stage_bundle(&f->stage, "nonsense: 1\n"));
    assert_true(contains(f->stage.refusal, "example.org"));
    assert_true(stage_bundle(&f->stage, WEB));
}

static void
test_refused_bundle_leaves_the_former_in_use(void **state)
{
    struct fixture *f = *state;

    assert_false(stage_bundle(&f->stage, "nonsense: 1\n"));
    assert_int_equal(stage_ask(&f->stage, GET("/"), f->text, sizeof(f->text)),
                     200);
}

static void
test_new_bundle_changes_what_is_served(void **state)
{
    struct fixture *f = *state;

    stage_file(&f->stage, "static/a.css", "a{}");
    assert_int_equal(
        stage_ask(&f->stage, GET("/static/a.css"), f->text, sizeof(f->text)),
        200);
    assert_true(contains(f->text, "a{}"));
    assert_true(
        stage_bundle(&f->stage, WEB "routes: [{path: /static/, pool: web}]\n"));
    assert_int_equal(
        stage_ask(&f->stage, GET("/static/a.css"), f->text, sizeof(f->text)),
        200);
    assert_true(contains(f->text, "hello"));
}

/* ---- requests to a worker ---- */

static void
test_request_reaches_the_worker_with_forwarding_fields(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        stage_ask(&f->stage,
                  "GET /a?b=c HTTP/1.1\r\nHost: example.org\r\n"
                  "X-Forwarded-For: 6.6.6.6\r\nX_Forwarded_For: 6.6.6.6\r\n"
                  "Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\n"
                  "Accept: text/html\r\n\r\n",
                  f->text, sizeof(f->text)),
        200);
    assert_true(contains(f->text, "hello"));
    assert_false(contains(f->text, "X-Accel-Buffering"));
    assert_true(contains(f->worker.head, "GET /a?b=c\nHost: example.org\n"));
    assert_true(contains(f->worker.head, "X-Forwarded-For: 127.0.0.1\n"));
    assert_true(contains(f->worker.head, "X-Forwarded-Proto: http\n"));
    assert_true(contains(f->worker.head, "X-Forwarded-Port: 80\n"));
    assert_true(contains(f->worker.head, "X-Request-ID: "));
    assert_true(contains(f->worker.head, "Accept: text/html\n"));
    assert_false(contains(f->worker.head, "6.6.6.6"));
    assert_false(contains(f->worker.head, "X-Hop"));
}

static void
test_unknown_host_is_misdirected(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(stage_ask(&f->stage,
                               "GET / HTTP/1.1\r\nHost: other.org\r\n\r\n",
                               f->text, sizeof(f->text)),
                     421);
    assert_int_equal(f->worker.requests, 0);
}

static void
test_trace_is_not_allowed(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(stage_ask(&f->stage,
                               "TRACE / HTTP/1.1\r\nHost: example.org\r\n\r\n",
                               f->text, sizeof(f->text)),
                     405);
}

static void
test_options_of_the_server_needs_no_worker(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        stage_ask(&f->stage, "OPTIONS * HTTP/1.1\r\nHost: example.org\r\n\r\n",
                  f->text, sizeof(f->text)),
        204);
    assert_true(contains(f->text, "Allow: GET, HEAD"));
    assert_int_equal(f->worker.requests, 0);
}

static void
test_body_is_collected_before_a_slot_is_taken(void **state)
{
    struct fixture *f = *state;
    static char body[300000];

    memset(body, 'b', sizeof(body));
    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, "POST /p HTTP/1.1\r\nHost: example.org\r\n"
                           "Content-Length: 300000\r\n\r\n");
    stage_send_bytes(&f->client, body, 299999);
    assert_int_equal(stage_ask(&f->stage, GET("/"), f->text, sizeof(f->text)),
                     200);
    assert_int_equal(amy__slot_owner(f->stage.slots, 7), 0);
    stage_send_bytes(&f->client, body, 1);
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     200);
    assert_int_equal(f->worker.body_n, 300000);
    assert_true(contains(f->text, "got it"));
    stage_disconnect(&f->client);
}

static void
test_body_past_the_limit_is_413_and_no_workers_business(void **state)
{
    struct fixture *f = *state;

    assert_true(stage_bundle(&f->stage, WEB "limits: {body: 1KiB}\n"));
    assert_int_equal(stage_ask(&f->stage,
                               "POST / HTTP/1.1\r\nHost: example.org\r\n"
                               "Content-Length: 2000\r\n"
                               "Expect: 100-continue\r\n\r\n",
                               f->text, sizeof(f->text)),
                     413);
    assert_int_equal(f->worker.requests, 0);
}

static void
test_applications_own_503_passes(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        stage_ask(&f->stage, GET("/503"), f->text, sizeof(f->text)), 503);
    assert_true(contains(f->text, "the application's own words"));
}

static void
test_connection_closed_without_answer_is_502(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        stage_ask(&f->stage, GET("/drop"), f->text, sizeof(f->text)), 502);
    assert_true(contains(f->text, "One moment"));
    assert_int_equal(amy__slot_owner(f->stage.slots, 7), 0);
    stage_read(&f->stage, "logs/error.log", f->text, sizeof(f->text));
    assert_true(contains(f->text, "status=502"));
}

static void
test_answer_cut_short_is_never_a_clean_end(void **state)
{
    struct fixture *f = *state;

    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, GET("/cut"));
    stage_eof(&f->client);
    assert_false(contains(f->client.got, "Connection: keep-alive"));
    assert_true(f->client.n < 400);
    stage_disconnect(&f->client);
}

static bool
slot_is_free(struct stage *s)
{
    return amy__slot_owner(s->slots, 7) == 0;
}

static void
test_slow_client_does_not_hold_the_slot(void **state)
{
    struct fixture *f = *state;
    size_t total = 0;

    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, GET("/large"));
    assert_int_equal(stage_ask(&f->stage, GET("/"), f->text, sizeof(f->text)),
                     200);
    stage_wait(&f->stage, slot_is_free);
    (void)stage_answer(&f->client, true, f->text, sizeof(f->text));
    total = f->client.n;
    while (total < 4194304) {
        f->client.n = 0;
        f->client.got[0] = '\0';
        f->client.eof = false;
        /* Any one byte more. */
        while (f->client.n == 0) {
            ssize_t n =
                read(f->client.fd, f->client.got, sizeof(f->client.got) - 1);

            if (n > 0) {
                f->client.n = (size_t)n;
                assert_int_equal(f->client.got[0], 'y');
            }
            stage_turn(&f->stage);
        }
        total += f->client.n;
    }
    assert_int_equal(total, 4194304);
    stage_disconnect(&f->client);
}

static bool
is_held(struct stage *s)
{
    return ((struct fixture *)(void *)s)->worker.held != NULL;
}

static bool
one_waits(struct stage *s)
{
    stage_figures(s);
    return contains(s->ack, "\"waiting\":1");
}

/* Ask, and let so much time pass once it has come so far; the answer is in
 * f->text. */
static unsigned
ask_and_wait(struct fixture *f, const char *request,
             bool (*has_come)(struct stage *s), int64_t ms)
{
    unsigned status = 0;

    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, request);
    stage_wait(&f->stage, has_come);
    stage_skip(&f->stage, ms);
    status = stage_answer(&f->client, false, f->text, sizeof(f->text));
    stage_disconnect(&f->client);
    return status;
}

static void
test_second_request_waits_for_the_slot(void **state)
{
    struct fixture *f = *state;

    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, GET("/hold"));
    stage_wait(&f->stage, is_held);
    stage_connect(&f->stage, &f->second);
    stage_send(&f->second, GET("/next"));
    stage_figures(&f->stage);
    stage_wait(&f->stage, one_waits);
    assert_int_equal(f->worker.requests, 1);
    amy__exchange_abort(f->worker.held);
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     502);
    assert_int_equal(stage_answer(&f->second, false, f->text, sizeof(f->text)),
                     200);
    stage_disconnect(&f->client);
    stage_disconnect(&f->second);
}

static void
test_full_queue_is_503_with_retry_after(void **state)
{
    struct fixture *f = *state;

    assert_true(stage_bundle(&f->stage, WEB "limits: {queue: 1}\n"));
    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, GET("/hold"));
    stage_wait(&f->stage, is_held);
    stage_connect(&f->stage, &f->second);
    stage_send(&f->second, GET("/next"));
    stage_figures(&f->stage);
    stage_wait(&f->stage, one_waits);
    assert_int_equal(
        stage_ask(&f->stage, GET("/third"), f->text, sizeof(f->text)), 503);
    assert_true(contains(f->text, "Retry-After: "));
    stage_disconnect(&f->client);
    stage_disconnect(&f->second);
}

static bool
nobody_waits(struct stage *s)
{
    stage_figures(s);
    return contains(s->ack, "\"waiting\":0");
}

static void
test_client_that_leaves_the_queue_is_dropped(void **state)
{
    struct fixture *f = *state;

    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, GET("/hold"));
    stage_wait(&f->stage, is_held);
    stage_connect(&f->stage, &f->second);
    stage_send(&f->second, GET("/next"));
    stage_wait(&f->stage, one_waits);
    stage_disconnect(&f->second);
    stage_wait(&f->stage, nobody_waits);
    assert_int_equal(f->worker.requests, 1);
    stage_disconnect(&f->client);
}

static bool
has_pool(struct stage *s, const char *name)
{
    char text[64];

    (void)snprintf(text, sizeof(text), "\"name\":\"%s\"", name);
    stage_figures(s);
    return contains(s->ack, text);
}

static bool
none_waits(struct stage *s)
{
    return !one_waits(s);
}

static bool
web_is_forgotten(struct stage *s)
{
    return !has_pool(s, "web");
}

static void
test_pool_without_a_route_is_forgotten_when_it_is_idle(void **state)
{
    static const char first[] =
        "http: serve\nroutes: [{path: /, upstream: ['127.0.0.1:9']}]\n";
    static const char second[] =
        "http: serve\nroutes: [{path: /b/, upstream: ['127.0.0.1:8']}]\n";
    struct fixture *f = *state;
    struct stage *s = &f->stage;

    assert_true(stage_bundle(s, first));
    assert_true(has_pool(s, "web")); /* it has a worker */
    stage_connect(s, &f->client);
    stage_send(&f->client, GET("/"));
    stage_wait(s, one_waits);
    assert_true(stage_bundle(s, second));
    assert_true(has_pool(s, "/b/"));
    assert_true(has_pool(s, "/"));
    stage_disconnect(&f->client);
    stage_wait(s, none_waits);
    assert_true(stage_bundle(s, second));
    assert_true(has_pool(s, "/b/"));
    assert_false(has_pool(s, "/"));
    stage_worker_gone(s, &f->worker);
    stage_wait(s, web_is_forgotten);
}

static void
test_timeout_is_504_and_the_slot_stays_the_workers(void **state)
{
    struct fixture *f = *state;

    assert_true(stage_bundle(&f->stage, WEB
                             "routes: [{path: /, pool: web, timeout: 1s}]\n"));
    assert_int_equal(ask_and_wait(f, GET("/hold"), is_held, 1250), 504);
    assert_true(contains(f->text, "One moment"));
    assert_int_equal(amy__slot_owner(f->stage.slots, 7), 1);
    assert_non_null(f->worker.held);
    amy__exchange_abort(f->worker.held);
    f->worker.held = NULL;
    stage_wait(&f->stage, slot_is_free);
}

static void
test_wsgi_pool_gives_up_before_its_server_does(void **state)
{
    struct fixture *f = *state;

    assert_true(stage_bundle(&f->stage,
                             "http: serve\nworkers: [{name: web, wsgi: a:b, "
                             "count: 1, timeout: 2s}]\n"));
    assert_int_equal(ask_and_wait(f, GET("/hold"), is_held, 1250), 504);
    assert_non_null(f->worker.held);
}

static void
test_worker_that_takes_no_connection_is_passed_over(void **state)
{
    struct fixture *f = *state;

    stage_worker_open(&f->stage, &f->other, 9, 1);
    stage_worker_close(&f->worker);
    for (int i = 0; i < 4; i++) {
        assert_int_equal(
            stage_ask(&f->stage, GET("/"), f->text, sizeof(f->text)), 200);
    }
    assert_int_equal(f->other.requests, 4);
}

static void
test_request_in_a_dead_workers_backlog_goes_elsewhere(void **state)
{
    struct fixture *f = *state;
    static struct stage_worker deaf;
    int fd = -1;

    stage_worker_gone(&f->stage, &f->worker);
    stage_worker_announce(&f->stage, &deaf, 11, 1);
    fd = stage_listen(&f->stage, &deaf); /* listens, and accepts nobody */
    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, GET("/"));
    while (amy__slot_owner(f->stage.slots, 11) == 0) {
        stage_turn(&f->stage);
    }
    (void)close(fd);
    stage_worker_open(&f->stage, &f->other, 9, 1);
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     200);
    stage_disconnect(&f->client);
}

static void
test_request_waits_for_a_worker_to_come_back(void **state)
{
    struct fixture *f = *state;

    stage_worker_gone(&f->stage, &f->worker);
    stage_worker_close(&f->worker);
    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, GET("/"));
    stage_wait(&f->stage, one_waits);
    stage_worker_open(&f->stage, &f->other, 9, 1);
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     200);
    stage_disconnect(&f->client);
}

static void
test_without_a_worker_the_down_page_comes(void **state)
{
    struct fixture *f = *state;

    stage_worker_gone(&f->stage, &f->worker);
    assert_int_equal(ask_and_wait(f, GET("/"), one_waits, 5000), 503);
    assert_true(contains(f->text, "One moment"));
    assert_true(contains(f->text, "Retry-After: "));
    assert_true(contains(f->text, "Cache-Control: no-store"));
}

/* ---- the gate ---- */

static void
test_closed_gate_answers_everything_with_the_page(void **state)
{
    struct fixture *f = *state;

    stage_file(&f->stage, "static/a.css", "a{}");
    stage_gate(&f->stage, "<p>closed");
    assert_int_equal(stage_ask(&f->stage, GET("/"), f->text, sizeof(f->text)),
                     503);
    assert_true(contains(f->text, "\r\n\r\n<p>closed"));
    assert_true(contains(f->text, "Retry-After: 120"));
    assert_true(contains(f->text, "Cache-Control: no-store"));
    assert_true(contains(f->text, "Vary: Accept"));
    assert_int_equal(
        stage_ask(&f->stage, GET("/static/a.css"), f->text, sizeof(f->text)),
        503);
    assert_int_equal(stage_ask(&f->stage,
                               "TRACE / HTTP/1.1\r\nHost: example.org\r\n\r\n",
                               f->text, sizeof(f->text)),
                     503);
    assert_int_equal(stage_ask(&f->stage,
                               "GET / HTTP/1.1\r\nHost: example.org\r\n"
                               "Accept: application/json\r\n\r\n",
                               f->text, sizeof(f->text)),
                     503);
    assert_true(contains(f->text, "application/problem+json"));
    assert_true(contains(f->text, "\"retry_after\":120"));
    stage_gate(&f->stage, NULL);
    assert_int_equal(stage_ask(&f->stage, GET("/"), f->text, sizeof(f->text)),
                     200);
    assert_int_equal(f->worker.requests, 1);
}

static void
test_closed_gate_head_has_no_body_and_pipelining_goes_on(void **state)
{
    struct fixture *f = *state;

    stage_gate(&f->stage, "<p>closed");
    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, "HEAD / HTTP/1.1\r\nHost: example.org\r\n\r\n" GET(
                               "/x") GET("/y"));
    assert_int_equal(stage_answer(&f->client, true, f->text, sizeof(f->text)),
                     503);
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     503);
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     503);
    assert_int_equal(f->client.n, 0);
    stage_disconnect(&f->client);
}

static void
test_closed_gate_lets_what_is_listed_pass(void **state)
{
    struct fixture *f = *state;

    assert_true(stage_bundle(&f->stage, WEB
                             "gate: {except: [/healthz], retry_after: 77s}\n"));
    stage_file(&f->stage, "maintenance/icon.svg", "<svg/>");
    stage_file(&f->stage, "acme/.well-known/acme-challenge/token", "key");
    stage_gate(&f->stage, "<p>closed");
    assert_int_equal(
        stage_ask(&f->stage, GET("/healthz"), f->text, sizeof(f->text)), 200);
    assert_int_equal(
        stage_ask(&f->stage, GET("/healthzz"), f->text, sizeof(f->text)), 503);
    assert_true(contains(f->text, "Retry-After: 77"));
    assert_int_equal(stage_ask(&f->stage, GET("/maintenance/icon.svg"), f->text,
                               sizeof(f->text)),
                     200);
    assert_true(contains(f->text, "<svg/>"));
    assert_int_equal(stage_ask(&f->stage,
                               GET("/.well-known/acme-challenge/token"),
                               f->text, sizeof(f->text)),
                     200);
    assert_true(contains(f->text, "key"));
}

static void
test_gate_allows_listed_networks(void **state)
{
    struct fixture *f = *state;

    assert_true(stage_bundle(&f->stage, WEB "gate: {allow: [127.0.0.0/8]}\n"));
    stage_gate(&f->stage, "<p>closed");
    assert_int_equal(stage_ask(&f->stage, GET("/"), f->text, sizeof(f->text)),
                     200);
}

static void
test_word_without_its_page_shows_the_built_in_one(void **state)
{
    struct fixture *f = *state;

    amy__gate_word_set(f->stage.words, 3, 99);
    assert_int_equal(stage_ask(&f->stage, GET("/"), f->text, sizeof(f->text)),
                     503);
    assert_true(contains(f->text, "<html"));
}

/* ---- plain HTTP ---- */

static void
test_redirect_keeps_the_method_and_the_target(void **state)
{
    struct fixture *f = *state;

    assert_true(stage_bundle(&f->stage, "http: redirect\nworkers: [{name: "
                                        "web, command: [x], count: 1}]\n"));
    assert_int_equal(
        stage_ask(&f->stage, GET("/a?b"), f->text, sizeof(f->text)), 301);
    assert_true(
        contains(f->text, "Location: https://example.org:8443/a?b\r\n"));
    assert_int_equal(stage_ask(&f->stage,
                               "POST /a HTTP/1.1\r\nHost: example.org\r\n"
                               "Content-Length: 0\r\n\r\n",
                               f->text, sizeof(f->text)),
                     308);
    stage_gate(&f->stage, "<p>closed");
    assert_int_equal(stage_ask(&f->stage, GET("/a"), f->text, sizeof(f->text)),
                     503);
}

/* ---- the log, the end ---- */

static bool
log_has_line(struct stage *s)
{
    char text[4096];

    stage_read(s, "logs/access.log", text, sizeof(text));
    return contains(text, "\n");
}

static void
test_access_log_has_a_line_within_a_second(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(stage_ask(&f->stage,
                               "GET /a HTTP/1.1\r\nHost: example.org\r\n"
                               "User-Agent: quo\"te\r\nReferer: r\r\n\r\n",
                               f->text, sizeof(f->text)),
                     200);
    stage_skip(&f->stage, 1000);
    assert_true(log_has_line(&f->stage));
    stage_read(&f->stage, "logs/access.log", f->text, sizeof(f->text));
    assert_true(contains(f->text, "127.0.0.1 - - ["));
    assert_true(contains(f->text,
                         "\"GET /a HTTP/1.1\" 200 5 \"r\" \"quo\\x22te\" rt="));
    assert_true(contains(f->text, " w=web/1.7\n"));
}

/* Another process has its lock, and does not go on. */
static void
test_log_that_is_held_up_is_written_later(void **state)
{
    struct fixture *f = *state;
    struct amy_log_lock *lock = &f->stage.locks[3].access;

    assert_int_equal(amy__log_lock_take(lock, 0), 1);
    assert_int_equal(
        stage_ask(&f->stage, GET("/one"), f->text, sizeof(f->text)), 200);
    stage_skip(&f->stage, 1000);
    assert_false(log_has_line(&f->stage));
    amy__log_lock_give(lock);
    stage_skip(&f->stage, 1000);
    assert_true(log_has_line(&f->stage));
    stage_figures(&f->stage);
    assert_true(contains(f->stage.ack, "\"lines_lost\":0"));
}

/* What was collected goes to the old file before the new one is acknowledged,
 * and a bundle that is older than the message does not bring it back. */
static void
test_a_rotated_log_is_left_for_good_when_acknowledged(void **state)
{
    struct fixture *f = *state;
    char old[4096];

    assert_int_equal(
        stage_ask(&f->stage, GET("/one"), f->text, sizeof(f->text)), 200);
    stage_log(&f->stage, "logs/next.log", 5);
    assert_true(contains(f->stage.ack, "\"access.log\""));
    assert_true(contains(f->stage.ack, "5"));
    stage_read(&f->stage, "logs/access.log", old, sizeof(old));
    assert_true(contains(old, "GET /one "));
    stage_log(&f->stage, "logs/late.log", 4);
    assert_true(stage_bundle(&f->stage, WEB STATIC));
    assert_int_equal(
        stage_ask(&f->stage, GET("/two"), f->text, sizeof(f->text)), 200);
    stage_skip(&f->stage, 1000);
    stage_read(&f->stage, "logs/next.log", f->text, sizeof(f->text));
    assert_true(contains(f->text, "GET /two "));
    stage_read(&f->stage, "logs/access.log", f->text, sizeof(f->text));
    assert_string_equal(f->text, old);
    stage_read(&f->stage, "logs/late.log", f->text, sizeof(f->text));
    assert_string_equal(f->text, "");
}

/* As on a quota, which only the writer meets. */
static void
test_log_that_finds_no_room_is_told_to_the_master(void **state)
{
    struct fixture *f = *state;

    stage_log(&f->stage, "/dev/full", 5);
    for (int i = 0; i < 2; i++) { /* as long as it lasts */
        assert_int_equal(
            stage_ask(&f->stage, GET("/one"), f->text, sizeof(f->text)), 200);
        stage_hear(&f->stage, 1000);
        assert_string_equal(f->stage.ack, "{\"site\":\"example.org\"}");
        f->stage.ack[0] = '\0';
    }
}

static void
test_drain_finishes_what_is_under_way(void **state)
{
    struct fixture *f = *state;

    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, GET("/hold"));
    stage_wait(&f->stage, is_held);
    amy__front_process_drain(f->stage.process, false);
    amy__exchange_abort(f->worker.held);
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     502);
    assert_true(contains(f->text, "Connection: close"));
    stage_eof(&f->client);
    stage_until(&f->stage, &f->stage.finished);
    assert_int_equal(f->stage.finished_rc, 0);
    stage_disconnect(&f->client);
}

static void
test_end_of_the_channel_drains(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(shutdown(f->stage.channel[0], SHUT_RDWR), 0);
    stage_until(&f->stage, &f->stage.finished);
    assert_int_equal(f->stage.finished_rc, AMY_ECONN);
}

#define SERVED(name)                                                           \
    cmocka_unit_test_setup_teardown(name, set_up_served, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_bundle_with_a_bad_site_is_refused_and_named, set_up,
            tear_down),
        SERVED(test_refused_bundle_leaves_the_former_in_use),
        SERVED(test_new_bundle_changes_what_is_served),
        SERVED(test_request_reaches_the_worker_with_forwarding_fields),
        SERVED(test_unknown_host_is_misdirected),
        SERVED(test_trace_is_not_allowed),
        SERVED(test_options_of_the_server_needs_no_worker),
        SERVED(test_body_is_collected_before_a_slot_is_taken),
        SERVED(test_body_past_the_limit_is_413_and_no_workers_business),
        SERVED(test_applications_own_503_passes),
        SERVED(test_connection_closed_without_answer_is_502),
        SERVED(test_answer_cut_short_is_never_a_clean_end),
        SERVED(test_slow_client_does_not_hold_the_slot),
        SERVED(test_second_request_waits_for_the_slot),
        SERVED(test_full_queue_is_503_with_retry_after),
        SERVED(test_client_that_leaves_the_queue_is_dropped),
        SERVED(test_pool_without_a_route_is_forgotten_when_it_is_idle),
        SERVED(test_timeout_is_504_and_the_slot_stays_the_workers),
        SERVED(test_wsgi_pool_gives_up_before_its_server_does),
        SERVED(test_worker_that_takes_no_connection_is_passed_over),
        SERVED(test_request_in_a_dead_workers_backlog_goes_elsewhere),
        SERVED(test_request_waits_for_a_worker_to_come_back),
        SERVED(test_without_a_worker_the_down_page_comes),
        SERVED(test_closed_gate_answers_everything_with_the_page),
        SERVED(test_closed_gate_head_has_no_body_and_pipelining_goes_on),
        SERVED(test_closed_gate_lets_what_is_listed_pass),
        SERVED(test_gate_allows_listed_networks),
        SERVED(test_word_without_its_page_shows_the_built_in_one),
        SERVED(test_redirect_keeps_the_method_and_the_target),
        SERVED(test_access_log_has_a_line_within_a_second),
        SERVED(test_log_that_is_held_up_is_written_later),
        SERVED(test_a_rotated_log_is_left_for_good_when_acknowledged),
        SERVED(test_log_that_finds_no_room_is_told_to_the_master),
        SERVED(test_drain_finishes_what_is_under_way),
        SERVED(test_end_of_the_channel_drains),
    };

    return cmocka_run_group_tests_name("front/process", tests, NULL, NULL);
}

#include "amy_test.h"

#include "http/codec.h"
#include "recorder.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

/* Our codec and a client of nghttp2, joined by memory. */
struct pair {
    struct recorder server_events;
    struct amy__codec *server;
    nghttp2_session *client;
    struct amy__buf to_client;
    struct amy__buf seen; /* what the client got, as text */
    const char *body;     /* still to be sent by the client */
};

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
          const uint8_t *name, size_t name_n, const uint8_t *value,
          size_t value_n, uint8_t flags, void *user)
{
    struct pair *p = user;

    (void)session;
    (void)frame;
    (void)flags;
    return amy__buf_appendf(&p->seen, "%.*s: %.*s\n", (int)name_n,
                            (const char *)name, (int)value_n,
                            (const char *)value);
}

static int
on_data(nghttp2_session *session, uint8_t flags, int32_t id,
        const uint8_t *data, size_t n, void *user)
{
    struct pair *p = user;

    (void)session;
    (void)flags;
    (void)id;
    return amy__buf_appendf(&p->seen, "body %.*s\n", (int)n,
                            (const char *)data);
}

static int
on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct pair *p = user;

    (void)session;
    (void)id;
    return amy__buf_appendf(&p->seen, "close %u\n", code);
}

static ssize_t
read_body(nghttp2_session *session, int32_t id, uint8_t *buf, size_t size,
          uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct pair *p = user;
    size_t n = strlen(p->body);

    (void)session;
    (void)id;
    (void)source;
    assert_true(n <= size);
    memcpy(buf, p->body, n);
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)n;
}

static void
open_pair(struct pair *p)
{
    nghttp2_session_callbacks *callbacks = NULL;

    memset(p, 0, sizeof(*p));
    recorder_init(&p->server_events);
    amy__buf_init(&p->to_client, 1U << 20);
    amy__buf_init(&p->seen, 1U << 20);
    assert_int_equal(amy__h2_server_create(NULL, &recorder_events,
                                           &p->server_events, &p->server, NULL),
                     0);
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                              on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    assert_int_equal(nghttp2_session_client_new(&p->client, callbacks, p), 0);
    nghttp2_session_callbacks_del(callbacks);
    assert_int_equal(
        nghttp2_submit_settings(p->client, NGHTTP2_FLAG_NONE, NULL, 0), 0);
}

static void
close_pair(struct pair *p)
{
    p->server->ops->free(p->server);
    nghttp2_session_del(p->client);
    recorder_clear(&p->server_events);
    amy__buf_clear(&p->to_client);
    amy__buf_clear(&p->seen);
}

/* Carry bytes both ways until nobody has any; `step` at a time to the server.
 */
static int64_t
carry(struct pair *p, size_t step)
{
    for (;;) {
        const uint8_t *data = NULL;
        ssize_t n = nghttp2_session_mem_send(p->client, &data);
        int64_t fed = 0;

        assert_true(n >= 0);
        if (n > 0) {
            fed = recorder_feed(
                &p->server_events, p->server,
                (struct amy__span){(const char *)data, (size_t)n}, step);
        }
        assert_int_equal(p->server->ops->flush(p->server, &p->to_client), 0);
        if (fed < 0 || (n == 0 && p->to_client.len == 0)) {
            return fed;
        }
        if (p->to_client.len > 0) {
            assert_int_equal(nghttp2_session_mem_recv(
                                 p->client, (const uint8_t *)p->to_client.data,
                                 p->to_client.len),
                             p->to_client.len);
            p->to_client.len = 0;
        }
    }
}

/* pairs of name and value; body NULL: none */
static int32_t
ask(struct pair *p, const char *const fields[], size_t count, const char *body)
{
    const nghttp2_data_provider provider = {.read_callback = read_body};
    nghttp2_nv nv[16];

    for (size_t i = 0; i < count; i++) {
        nv[i] = (nghttp2_nv){(uint8_t *)(uintptr_t)fields[2 * i],
                             (uint8_t *)(uintptr_t)fields[2 * i + 1],
                             strlen(fields[2 * i]), strlen(fields[2 * i + 1]),
                             NGHTTP2_NV_FLAG_NONE};
    }
    p->body = body;
    return nghttp2_submit_request(p->client, NULL, nv, count,
                                  body != NULL ? &provider : NULL, NULL);
}

/* The exchange that both codecs have to carry: what a handler sees of the
 * request, and what it answers. */
static void
answer_created(struct amy__codec *codec, amy__stream_id id,
               struct amy__buf *out)
{
    static const struct amy__field fields[] = {
        {{"Location", 8}, {"/new", 4}, AMY__FIELD_LOCATION, 0},
        {{"Connection", 10}, {"x", 1}, AMY__FIELD_CONNECTION, 0},
        {{"X", 1}, {"y", 1}, 0, AMY__FIELD_HOP},
    };
    struct amy__answer_head head = {.status = 201,
                                    .body = AMY__BODY_LENGTH,
                                    .content_length = 5,
                                    .keep_alive = true,
                                    .field_count = 3};

    memcpy(head.fields, fields, sizeof(fields));
    assert_int_equal(codec->ops->send_informational(codec, id, 100, out), 0);
    assert_int_equal(codec->ops->send_answer(codec, id, &head, false, out), 0);
    assert_int_equal(codec->ops->send_answer(codec, id, &head, false, out),
                     AMY_ESTATE);
    assert_int_equal(
        codec->ops->send_body(codec, id, AMY_SPAN("he"), false, out), 0);
    assert_int_equal(
        codec->ops->send_body(codec, id, AMY_SPAN("llo"), true, out), 0);
}

#define SEEN_BY_HANDLER                                                        \
    "request POST /x?y=z host=example.org:8443 length=3\n"                     \
    "  host: Example.org:8443\n"                                               \
    "  content-length: 3\n"                                                    \
    "  cookie: a=b; c=d\n"                                                     \
    "  te: trailers (hop)\n"                                                   \
    "body abc\n"                                                               \
    "end\n"

static void
test_exchange_looks_alike_over_both_codecs(void **state)
{
    static const char h1_bytes[] =
        "POST /x?y=z HTTP/1.1\r\nhost: Example.org:8443\r\ncontent-length: 3\r\n"
        "cookie: a=b; c=d\r\nte: trailers\r\n\r\nabc";
    static const char *const fields[] = {
        ":method",
        "POST",
        ":scheme",
        "https",
        ":authority",
        "Example.org:8443",
        ":path",
        "/x?y=z",
        "host",
        "Example.org:8443",
        "content-length",
        "3",
        "cookie",
        "a=b",
        "te",
        "trailers",
        "cookie",
        "c=d",
        "x_dropped",
        "1",
    };
    struct recorder h1_events;
    struct amy__codec *h1 = NULL;
    struct amy__buf out;

    (void)state;
    recorder_init(&h1_events);
    amy__buf_init(&out, 4096);
    assert_int_equal(
        amy__h1_server_create(NULL, &recorder_events, &h1_events, &h1, NULL),
        0);
    (void)recorder_feed(&h1_events, h1, AMY_SPAN(h1_bytes), 0);
    assert_string_equal(recorder_text(&h1_events), SEEN_BY_HANDLER);
    answer_created(h1, h1_events.last_id, &out);
    assert_true(h1->ops->next(h1, h1_events.last_id));
    h1->ops->free(h1);
    recorder_clear(&h1_events);
    amy__buf_clear(&out);

    for (size_t step = 0; step < 3; step++) {
        struct pair p;

        open_pair(&p);
        assert_true(ask(&p, fields, 10, "abc") > 0);
        assert_int_equal(carry(&p, step), 0);
        assert_string_equal(recorder_text(&p.server_events), SEEN_BY_HANDLER);
        assert_false(p.server->ops->idle(p.server));
        answer_created(p.server, p.server_events.last_id, &p.to_client);
        assert_int_equal(carry(&p, step), 0);
        assert_string_equal(p.seen.data,
                            ":status: 100\n:status: 201\nlocation: /new\n"
                            "content-length: 5\nbody he\nbody llo\nclose 0\n");
        assert_true(p.server->ops->next(p.server, 1));
        assert_true(p.server->ops->idle(p.server));
        assert_int_equal(p.server->ops->eof(p.server), 0);
        assert_string_equal(recorder_text(&p.server_events), SEEN_BY_HANDLER);
        close_pair(&p);
    }
}

static void
test_two_streams_answered_out_of_order(void **state)
{
    static const char *const fields[] = {
        ":method", "HEAD", ":scheme", "https", ":authority", "a", ":path", "/"};
    const struct amy__answer_head head = {.status = 200,
                                          .body = AMY__BODY_LENGTH,
                                          .content_length = 5,
                                          .keep_alive = true};
    struct pair p;

    (void)state;
    open_pair(&p);
    assert_int_equal(ask(&p, fields, 4, NULL), 1);
    assert_int_equal(ask(&p, fields, 4, NULL), 3);
    assert_int_equal(carry(&p, 0), 0);
    assert_int_equal(p.server_events.requests, 2);
    assert_int_equal(
        p.server->ops->send_answer(p.server, 3, &head, false, &p.to_client), 0);
    /* HEAD: what comes for the body is dropped */
    assert_int_equal(p.server->ops->send_body(p.server, 3, AMY_SPAN("hello"),
                                              true, &p.to_client),
                     0);
    assert_int_equal(carry(&p, 0), 0);
    assert_string_equal(p.seen.data,
                        ":status: 200\ncontent-length: 5\nclose 0\n");
    assert_int_equal(
        p.server->ops->reset(p.server, 1, NGHTTP2_INTERNAL_ERROR, &p.to_client),
        0);
    assert_int_equal(carry(&p, 0), 0);
    assert_non_null(strstr(p.seen.data, "close 2\n"));
    assert_int_equal(p.server->ops->reset(p.server, 1, 0, &p.to_client),
                     AMY_ESTATE);
    assert_int_equal(
        p.server->ops->send_answer(p.server, 1, &head, true, &p.to_client),
        AMY_ESTATE);
    close_pair(&p);
}

static void
test_client_reset_is_told_once(void **state)
{
    static const char *const fields[] = {
        ":method", "GET", ":scheme", "https", ":authority", "a", ":path", "/"};
    struct pair p;

    (void)state;
    open_pair(&p);
    assert_int_equal(ask(&p, fields, 4, NULL), 1);
    assert_int_equal(carry(&p, 0), 0);
    assert_int_equal(nghttp2_submit_rst_stream(p.client, NGHTTP2_FLAG_NONE, 1,
                                               NGHTTP2_CANCEL),
                     0);
    assert_int_equal(carry(&p, 0), 0);
    assert_string_equal(recorder_text(&p.server_events),
                        "request GET / host=a:0\nend\nreset 8\n");
    assert_true(p.server->ops->idle(p.server));
    close_pair(&p);
}

/* What an HTTP/1.1 worker must not be made to see never becomes a request. */
static void
test_requests_that_h1_would_refuse_are_refused(void **state)
{
    static const struct {
        const char *method;
        const char *path;
        const char *authority;
        const char *name;
        const char *value;
    } cases[] = {
        {"GET", "/a%00", "a", NULL, NULL},
        {"GET", "*", "a", NULL, NULL},
        {"GET", "/a#b", "a", NULL, NULL},
        {"GET", "/", "u@a", NULL, NULL},
        {"GET", "/", "a,b", NULL, NULL},
        {"GET", "/", "a", "host", "b"},
        {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG", "/", "a", NULL, NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *const fields[] = {
            ":method",     cases[i].method,    ":scheme", "https",
            ":authority",  cases[i].authority, ":path",   cases[i].path,
            cases[i].name, cases[i].value};
        struct pair p;

        open_pair(&p);
        assert_true(ask(&p, fields, cases[i].name != NULL ? 5 : 4, NULL) > 0);
        assert_int_equal(carry(&p, 0), 0);
        assert_int_equal(p.server_events.requests, 0);
        /* by us, or by nghttp2 before us */
        assert_true(strcmp(p.seen.data, ":status: 400\nclose 0\n") == 0 ||
                    strcmp(p.seen.data, "close 1\n") == 0);
        assert_true(p.server->ops->idle(p.server));
        close_pair(&p);
    }
}

static void
test_head_too_long_is_431(void **state)
{
    static char value[16000];
    const char *const fields[] = {
        ":method", "GET", ":scheme", "https", ":authority", "a", ":path",
        "/",       "a",   value,     "b",     value,        "c", value};
    struct pair p;

    (void)state;
    memset(value, 'x', sizeof(value) - 1);
    open_pair(&p);
    assert_true(ask(&p, fields, 7, NULL) > 0);
    assert_int_equal(carry(&p, 0), 0);
    assert_int_equal(p.server_events.requests, 0);
    assert_string_equal(p.seen.data, ":status: 431\nclose 0\n");
    close_pair(&p);
}

static void
test_feed_no_http2_is_a_fault(void **state)
{
    struct pair p;

    (void)state;
    open_pair(&p);
    assert_int_equal(recorder_feed(&p.server_events, p.server,
                                   AMY_SPAN("GET / HTTP/1.1\r\n\r\n"
                                            "123456789"),
                                   0),
                     AMY_EPROTO);
    assert_int_equal(p.server_events.fault.status, 0);
    close_pair(&p);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange_looks_alike_over_both_codecs),
        cmocka_unit_test(test_two_streams_answered_out_of_order),
        cmocka_unit_test(test_client_reset_is_told_once),
        cmocka_unit_test(test_requests_that_h1_would_refuse_are_refused),
        cmocka_unit_test(test_head_too_long_is_431),
        cmocka_unit_test(test_feed_no_http2_is_a_fault),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include "http/codec.h"
#include "recorder.h"

#include <string.h>

#define OK "HTTP/1.1 200 OK\r\n"
#define WITH_NUL(text) text, sizeof(text) - 1

/* A codec that has asked for `/`. */
static struct amy__codec *
new_client(struct recorder *r, enum amy__method method)
{
    const char *name = method == AMY__METHOD_HEAD ? "HEAD" : "GET";
    struct amy__request_head head = {.method = method,
                                     .method_text = amy__span_of(name),
                                     .target = AMY_SPAN("/"),
                                     .authority = AMY_SPAN("a")};
    struct amy__codec *codec = NULL;
    amy__stream_id id = 0;
    struct amy__buf out;

    recorder_init(r);
    amy__buf_init(&out, 4096);
    assert_int_equal(
        amy__h1_client_create(NULL, &recorder_events, r, &codec, NULL), 0);
    assert_int_equal(codec->ops->send_request(codec, &head, true, &id, &out),
                     0);
    assert_int_equal(id, 1);
    amy__buf_clear(&out);
    return codec;
}

static const struct {
    const char *bytes;
    size_t n; /* 0: strlen */
} refusals[] = {
    {OK "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 0},
    {OK "Content-Length: 1, 1\r\n\r\n", 0},
    {OK "Content-Length: -1\r\n\r\n", 0},
    {OK "Transfer-Encoding: gzip\r\n\r\n", 0},
    {"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", 0},
    {OK "Transfer-Encoding: chunked\r\n\r\n1\na\r\n", 0},
    {"HTTP/1.2 200 OK\r\n\r\n", 0},
    {"HTTP/2 200\r\n\r\n", 0},
    {"http/1.1 200 OK\r\n\r\n", 0},
    {"ICY 200 OK\r\n\r\n", 0},
    {"HTTP/1.1 20 OK\r\n\r\n", 0},
    {"HTTP/1.1 2000 OK\r\n\r\n", 0},
    {"HTTP/1.1  200 OK\r\n\r\n", 0},
    {"HTTP/1.1 099 OK\r\n\r\n", 0},
    {"HTTP/1.1 600 OK\r\n\r\n", 0},
    {"HTTP/1.1 200 OK\n\r\n", 0},
    {"HTTP/1.1 200 O\x01\r\n\r\n", 0},
    {"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", 0},
    {OK "A: b\n\r\n", 0},
    {OK " A: b\r\n\r\n", 0},
    {OK ": b\r\n\r\n", 0},
    {OK "A b: c\r\n\r\n", 0},
    {OK "A\r\n\r\n", 0},
    {WITH_NUL(OK "A: b\0\r\n\r\n")},
};

static void
test_feed_malformed_is_502(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        struct amy__span data = {
            refusals[i].bytes,
            refusals[i].n != 0 ? refusals[i].n : strlen(refusals[i].bytes)};

        for (size_t step = 0; step < 2; step++) {
            struct recorder r;
            struct amy__codec *codec = new_client(&r, AMY__METHOD_GET);

            assert_int_equal(recorder_feed(&r, codec, data, step), AMY_EPROTO);
            assert_int_equal(r.fault.status, 502);
            assert_int_equal(r.ends, 0);
            assert_false(codec->ops->next(codec, 1));
            assert_int_equal(recorder_feed(&r, codec, data, step), AMY_ESTATE);
            codec->ops->free(codec);
            recorder_clear(&r);
        }
    }
}

static const struct {
    enum amy__method method;
    const char *bytes;
    const char *events;
    bool goes_on;
} accepted[] = {
    {AMY__METHOD_GET, OK "Content-Length: 2\r\n\r\nhi",
     "answer 200 OK body=length:2\n  Content-Length: 2\nbody hi\nend\n", true},
    {AMY__METHOD_GET, OK "Content-Length: 0\r\n\r\n",
     "answer 200 OK body=length:0\n  Content-Length: 0\nend\n", true},
    {AMY__METHOD_GET, OK "Content-Length: 2\r\nConnection: Close\r\n\r\nhi",
     "answer 200 OK body=length:2 close\n  Content-Length: 2\n"
     "  Connection: Close (hop)\nbody hi\nend\n",
     false},
    /* bytes past the end are dropped, and so is the connection */
    {AMY__METHOD_GET, OK "Content-Length: 2\r\n\r\nhi HTTP/1.1 200 OK\r\n\r\n",
     "answer 200 OK body=length:2\n  Content-Length: 2\nbody hi\nend\n", false},
    {AMY__METHOD_GET,
     OK "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
     "answer 200 OK body=chunked\n  Transfer-Encoding: chunked (hop)\n"
     "body hi\nend\n",
     true},
    {AMY__METHOD_GET, OK "\r\nhi", "answer 200 OK body=close close\nbody hi\n",
     false},
    {AMY__METHOD_GET, "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
     "answer 200 OK body=length:2 close\n  Content-Length: 2\nbody hi\nend\n",
     false},
    {AMY__METHOD_GET,
     "HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
     "answer 200 OK body=length:2\n  Content-Length: 2\n"
     "  Connection: keep-alive (hop)\nbody hi\nend\n",
     true},
    {AMY__METHOD_GET, "HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n",
     "answer 404  body=length:0\n  Content-Length: 0\nend\n", true},
    {AMY__METHOD_GET, "HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n",
     "answer 404  body=length:0\n  Content-Length: 0\nend\n", true},
    /* without a body whatever the fields say */
    {AMY__METHOD_GET, "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
     "answer 204 No Content body=none\n  Content-Length: 2\nend\n", true},
    {AMY__METHOD_GET,
     "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 2\r\n\r\n",
     "answer 304 Not Modified body=none\n  ETag: \"x\"\n"
     "  Content-Length: 2\nend\n",
     true},
    {AMY__METHOD_HEAD, OK "Content-Length: 2\r\n\r\n",
     "answer 200 OK body=length:2\n  Content-Length: 2\nend\n", true},
    {AMY__METHOD_HEAD, OK "Transfer-Encoding: chunked\r\n\r\n",
     "answer 200 OK body=chunked\n  Transfer-Encoding: chunked (hop)\nend\n",
     true},
    {AMY__METHOD_HEAD, OK "\r\n", "answer 200 OK body=none\nend\n", true},
    {AMY__METHOD_HEAD, OK "Content-Length: 2\r\n\r\nhi",
     "answer 200 OK body=length:2\n  Content-Length: 2\nend\n", false},
    /* interim answers */
    {AMY__METHOD_GET,
     "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"
     "HTTP/1.1 204 No Content\r\n\r\n",
     "answer 100 Continue body=none\nanswer 103 Early Hints body=none\n"
     "  Link: x\nanswer 204 No Content body=none\nend\n",
     true},
    /* tolerated from a worker, mended on the way */
    {AMY__METHOD_GET, OK "A : b\r\nB\t:c\r\nContent-Length: 0\r\n\r\n",
     "answer 200 OK body=length:0\n  A: b\n  B: c\n  Content-Length: 0\nend\n",
     true},
    {AMY__METHOD_GET,
     OK "A: b\r\n  c \r\n\td\r\nB:\r\n e\r\n \r\nC: f\r\n g\r\n"
        "Content-Length: \r\n 0\r\n\r\n",
     "answer 200 OK body=length:0\n  A: b c d\n  B: e\n  C: f g\n"
     "  Content-Length: 0\nend\n",
     true},
    {AMY__METHOD_GET, OK "a_b: c\r\nContent-Length: 0\r\n\r\n",
     "answer 200 OK body=length:0\n  a_b: c\n  Content-Length: 0\nend\n", true},
};

static void
check_accepted(size_t i, size_t cut, bool bytewise)
{
    struct amy__span data = amy__span_of(accepted[i].bytes);
    struct recorder r;
    struct amy__codec *codec = new_client(&r, accepted[i].method);

    if (bytewise) {
        (void)recorder_feed(&r, codec, data, 1);
    } else {
        (void)recorder_feed_split(&r, codec, data, cut);
    }
    assert_string_equal(recorder_text(&r), accepted[i].events);
    assert_int_equal(codec->ops->next(codec, 1), accepted[i].goes_on);
    codec->ops->free(codec);
    recorder_clear(&r);
}

static void
test_feed_wellformed_understood_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        for (size_t cut = 0; cut <= strlen(accepted[i].bytes); cut++) {
            check_accepted(i, cut, false);
        }
        check_accepted(i, 0, true);
    }
}

/* ---- another protocol ---- */

#define AGREED                                                                 \
    "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\n"              \
    "Upgrade: WebSocket\r\n\r\n"

static struct amy__codec *
new_asker(struct recorder *r, struct amy__buf *out)
{
    struct amy__request_head head = {.method = AMY__METHOD_GET,
                                     .method_text = AMY_SPAN("GET"),
                                     .target = AMY_SPAN("/"),
                                     .authority = AMY_SPAN("a"),
                                     .upgrade_websocket = true};
    struct amy__codec *codec = NULL;
    amy__stream_id id = 0;

    recorder_init(r);
    amy__buf_init(out, 4096);
    assert_int_equal(
        amy__h1_client_create(NULL, &recorder_events, r, &codec, NULL), 0);
    assert_int_equal(codec->ops->send_request(codec, &head, true, &id, out), 0);
    return codec;
}

static void
test_upgrade_asks_with_both_fields(void **state)
{
    struct recorder r;
    struct amy__buf out;
    struct amy__codec *codec = new_asker(&r, &out);

    (void)state;
    assert_int_equal(amy__buf_append(&out, "", 1), 0);
    assert_string_equal(out.data,
                        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n"
                        "Upgrade: websocket\r\n\r\n");
    codec->ops->free(codec);
    recorder_clear(&r);
    amy__buf_clear(&out);
}

static void
test_upgrade_agreed_is_a_tunnel_at_every_split(void **state)
{
    static const char bytes[] = AGREED "HTTP/1.1 200 OK\r\n\r\n";

    (void)state;
    for (size_t cut = 0; cut < sizeof(bytes); cut++) {
        struct recorder r;
        struct amy__buf out;
        struct amy__codec *codec = new_asker(&r, &out);

        (void)recorder_feed_split(&r, codec, AMY_SPAN(bytes), cut);
        out.len = 0;
        assert_int_equal(
            codec->ops->send_body(codec, 1, AMY_SPAN("\0raw"), false, &out), 0);
        assert_int_equal(out.len, 4);
        assert_int_equal(codec->ops->pass_body(codec, 1, 1U << 20, false), 0);
        assert_int_equal(codec->ops->eof(codec), 0);
        assert_string_equal(recorder_text(&r),
                            "answer 101 Switching Protocols body=none\n"
                            "  Connection: upgrade (hop)\n"
                            "  Upgrade: WebSocket (hop)\n"
                            "body HTTP/1.1 200 OK\r\n\r\n\nend\n");
        assert_int_equal(
            codec->ops->send_body(codec, 1, AMY_SPAN("more"), true, &out), 0);
        assert_false(codec->ops->next(codec, 1));
        codec->ops->free(codec);
        recorder_clear(&r);
        amy__buf_clear(&out);
    }
}

static void
test_upgrade_to_something_else_is_502(void **state)
{
    static const char *const answers[] = {
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        "HTTP/1.1 101 X\r\nConnection: upgrade\r\n\r\n"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct recorder r;
        struct amy__buf out;
        struct amy__codec *codec = new_asker(&r, &out);

        assert_int_equal(recorder_feed(&r, codec, amy__span_of(answers[i]), 0),
                         AMY_EPROTO);
        assert_int_equal(r.fault.status, 502);
        assert_int_equal(r.answers, 0);
        codec->ops->free(codec);
        recorder_clear(&r);
        amy__buf_clear(&out);
    }
}

static void
test_upgrade_declined_is_an_answer_and_the_last(void **state)
{
    struct recorder r;
    struct amy__buf out;
    struct amy__codec *codec = new_asker(&r, &out);

    (void)state;
    (void)recorder_feed(&r, codec, AMY_SPAN(OK "Content-Length: 2\r\n\r\nhi"),
                        0);
    assert_int_equal(r.ends, 1);
    assert_false(codec->ops->next(codec, 1));
    codec->ops->free(codec);
    recorder_clear(&r);
    amy__buf_clear(&out);
}

static void
test_feed_without_a_request_refused(void **state)
{
    struct amy__codec *codec = NULL;
    struct recorder r;

    (void)state;
    recorder_init(&r);
    assert_int_equal(
        amy__h1_client_create(NULL, &recorder_events, &r, &codec, NULL), 0);
    assert_true(codec->ops->idle(codec));
    assert_int_equal(codec->ops->eof(codec), 0);
    assert_int_equal(
        recorder_feed(&r, codec, AMY_SPAN(OK "Content-Length: 0\r\n\r\n"), 0),
        AMY_EPROTO);
    assert_int_equal(r.answers, 0);
    codec->ops->free(codec);
    recorder_clear(&r);
}

static void
test_feed_endless_interim_answers_refused(void **state)
{
    struct recorder r;
    struct amy__codec *codec = new_client(&r, AMY__METHOD_GET);
    int64_t n = 1;

    (void)state;
    while (n > 0) {
        n = recorder_feed(&r, codec, AMY_SPAN("HTTP/1.1 102 x\r\n\r\n"), 0);
    }
    assert_int_equal(n, AMY_EPROTO);
    assert_int_equal(r.answers, 32);
    codec->ops->free(codec);
    recorder_clear(&r);
}

static void
test_feed_head_limit_is_502(void **state)
{
    static const size_t steps[] = {0, 1, 4096};
    struct amy__buf buf;

    (void)state;
    amy__buf_init(&buf, 1U << 20);
    assert_int_equal(amy__buf_append_text(&buf, OK "A: "), 0);
    while (buf.len < 65536) {
        assert_int_equal(amy__buf_append_text(&buf, "bbbbbbbbbbbbbbbb"), 0);
    }
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct recorder r;
        struct amy__codec *codec = new_client(&r, AMY__METHOD_GET);

        assert_int_equal(
            recorder_feed(&r, codec, amy__buf_span(&buf), steps[i]),
            AMY_EPROTO);
        assert_int_equal(r.fault.status, 502);
        codec->ops->free(codec);
        recorder_clear(&r);
    }
    amy__buf_clear(&buf);
}

/* Many folds of one value cost no more memory than the head itself. */
static void
test_feed_many_folds_joined_in_place(void **state)
{
    struct recorder r;
    struct amy__codec *codec = new_client(&r, AMY__METHOD_GET);
    struct amy__buf buf;

    (void)state;
    amy__buf_init(&buf, 1U << 20);
    assert_int_equal(amy__buf_append_text(&buf, OK "A: b\r\n"), 0);
    while (buf.len < 60000) {
        assert_int_equal(amy__buf_append_text(&buf, " c\r\n"), 0);
    }
    assert_int_equal(amy__buf_append_text(&buf, "Content-Length: 0\r\n\r\n"),
                     0);
    assert_int_equal(recorder_feed(&r, codec, amy__buf_span(&buf), 0), buf.len);
    assert_non_null(strstr(recorder_text(&r), "A: b c c c c"));
    assert_int_equal(r.ends, 1);
    codec->ops->free(codec);
    amy__buf_clear(&buf);
    recorder_clear(&r);
}

static void
test_eof_ends_only_what_has_no_other_end(void **state)
{
    static const struct {
        const char *bytes;
        int rc;
        unsigned ends;
    } cases[] = {
        {"", AMY_EPROTO, 0},
        {"HTTP/1.1 2", AMY_EPROTO, 0},
        {"HTTP/1.1 100 Continue\r\n\r\n", AMY_EPROTO, 0},
        {OK "\r\nhi", 0, 1},
        {OK "\r\n", 0, 1},
        {OK "Content-Length: 2\r\n\r\nh", AMY_EPROTO, 0},
        {OK "Content-Length: 2\r\n\r\nhi", 0, 1},
        {OK "Transfer-Encoding: chunked\r\n\r\n1\r\nh\r\n", AMY_EPROTO, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct recorder r;
        struct amy__codec *codec = new_client(&r, AMY__METHOD_GET);

        (void)recorder_feed(&r, codec, amy__span_of(cases[i].bytes), 0);
        assert_int_equal(codec->ops->eof(codec), cases[i].rc);
        assert_int_equal(r.ends, cases[i].ends);
        assert_false(codec->ops->next(codec, 1));
        codec->ops->free(codec);
        recorder_clear(&r);
    }
}

/* ---- requests ---- */

static const struct {
    enum amy__method method;
    const char *name;
    enum amy__body_kind body;
    uint64_t length;
    const char *data; /* NULL: end with the head */
    const char *bytes;
} requests[] = {
    {AMY__METHOD_GET, "GET", AMY__BODY_NONE, 0, NULL,
     "GET /x?y HTTP/1.1\r\nHost: b:1\r\nA: b\r\n\r\n"},
    {AMY__METHOD_POST, "POST", AMY__BODY_NONE, 0, NULL,
     "POST /x?y HTTP/1.1\r\nHost: b:1\r\nA: b\r\nContent-Length: 0\r\n\r\n"},
    {AMY__METHOD_POST, "POST", AMY__BODY_LENGTH, 2, "hi",
     "POST /x?y HTTP/1.1\r\nHost: b:1\r\nA: b\r\nContent-Length: 2\r\n\r\nhi"},
    {AMY__METHOD_PUT, "PUT", AMY__BODY_CHUNKED, 0, "hi",
     "PUT /x?y HTTP/1.1\r\nHost: b:1\r\nA: b\r\nTransfer-Encoding: chunked\r\n"
     "\r\n2\r\nhi\r\n0\r\n\r\n"},
};

static struct amy__request_head
request_of(size_t i)
{
    static const struct amy__field fields[] = {
        {{"Host", 4}, {"other", 5}, AMY__FIELD_HOST, 0},
        {{"A", 1}, {"b", 1}, 0, 0},
        {{"Connection", 10}, {"x", 1}, AMY__FIELD_CONNECTION, 0},
        {{"X", 1}, {"y", 1}, 0, AMY__FIELD_HOP},
        {{"Transfer-Encoding", 17},
         {"chunked", 7},
         AMY__FIELD_TRANSFER_ENCODING,
         0},
    };
    struct amy__request_head head = {
        .method = requests[i].method,
        .method_text = amy__span_of(requests[i].name),
        .target = AMY_SPAN("/x?y"),
        .authority = AMY_SPAN("b:1"),
        .body = requests[i].body,
        .content_length = requests[i].length,
        .field_count = 5,
    };

    memcpy(head.fields, fields, sizeof(fields));
    return head;
}

static void
test_send_request_framed_by_body_and_method(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct amy__request_head head = request_of(i);
        struct amy__codec *codec = NULL;
        amy__stream_id id = 0;
        struct recorder r;
        struct amy__buf out;

        recorder_init(&r);
        amy__buf_init(&out, 4096);
        assert_int_equal(
            amy__h1_client_create(NULL, &recorder_events, &r, &codec, NULL), 0);
        assert_int_equal(codec->ops->send_request(
                             codec, &head, requests[i].data == NULL, &id, &out),
                         0);
        if (requests[i].data != NULL) {
            assert_int_equal(
                codec->ops->send_body(codec, id, amy__span_of(requests[i].data),
                                      true, &out),
                0);
        }
        assert_int_equal(amy__buf_append(&out, "", 1), 0);
        assert_string_equal(out.data, requests[i].bytes);
        codec->ops->free(codec);
        amy__buf_clear(&out);
        recorder_clear(&r);
    }
}

static void
test_send_request_one_at_a_time(void **state)
{
    struct amy__request_head head = request_of(0);
    struct recorder r;
    struct amy__codec *codec = new_client(&r, AMY__METHOD_GET);
    struct amy__buf out;
    amy__stream_id id = 0;

    (void)state;
    amy__buf_init(&out, 4096);
    assert_int_equal(codec->ops->send_request(codec, &head, true, &id, &out),
                     AMY_ESTATE);
    (void)recorder_feed(&r, codec, AMY_SPAN(OK "Content-Length: 0\r\n\r\n"), 0);
    assert_int_equal(codec->ops->send_request(codec, &head, true, &id, &out),
                     AMY_ESTATE);
    assert_true(codec->ops->next(codec, 1));
    head.method_text = AMY_SPAN("G\n");
    assert_int_equal(codec->ops->send_request(codec, &head, true, &id, &out),
                     AMY_EINVAL);
    head.method_text = AMY_SPAN("GET");
    assert_int_equal(out.len, 0);
    assert_int_equal(codec->ops->send_request(codec, &head, true, &id, &out),
                     0);
    assert_int_equal(id, 2);
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

/* An answer that overtakes the request's body ends the connection's use. */
static void
test_next_with_the_request_unfinished_is_false(void **state)
{
    struct amy__request_head head = request_of(2);
    struct amy__codec *codec = NULL;
    amy__stream_id id = 0;
    struct recorder r;
    struct amy__buf out;

    (void)state;
    recorder_init(&r);
    amy__buf_init(&out, 4096);
    assert_int_equal(
        amy__h1_client_create(NULL, &recorder_events, &r, &codec, NULL), 0);
    assert_int_equal(codec->ops->send_request(codec, &head, false, &id, &out),
                     0);
    (void)recorder_feed(&r, codec, AMY_SPAN(OK "Content-Length: 0\r\n\r\n"), 0);
    assert_int_equal(r.ends, 1);
    assert_false(codec->ops->next(codec, id));
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feed_malformed_is_502),
        cmocka_unit_test(test_feed_wellformed_understood_at_every_split),
        cmocka_unit_test(test_upgrade_asks_with_both_fields),
        cmocka_unit_test(test_upgrade_agreed_is_a_tunnel_at_every_split),
        cmocka_unit_test(test_upgrade_to_something_else_is_502),
        cmocka_unit_test(test_upgrade_declined_is_an_answer_and_the_last),
        cmocka_unit_test(test_feed_without_a_request_refused),
        cmocka_unit_test(test_feed_endless_interim_answers_refused),
        cmocka_unit_test(test_feed_head_limit_is_502),
        cmocka_unit_test(test_feed_many_folds_joined_in_place),
        cmocka_unit_test(test_eof_ends_only_what_has_no_other_end),
        cmocka_unit_test(test_send_request_framed_by_body_and_method),
        cmocka_unit_test(test_send_request_one_at_a_time),
        cmocka_unit_test(test_next_with_the_request_unfinished_is_false),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

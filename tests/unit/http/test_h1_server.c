#include "amy_test.h"

#include "http/h1.h"
#include "http/h1_parse.h"
#include "recorder.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is refused: every line of the promises about framing ---- */

struct refusal {
    const char *bytes;
    size_t n; /* 0: strlen */
    unsigned status;
};

#define HOST "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n"
#define POST "POST / HTTP/1.1\r\n" HOST
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"
#define WITH_NUL(text) text, sizeof(text) - 1

static const struct refusal refusals[] = {
    /* length and coding, RFC 9112 6.1 to 6.3 */
    {POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400},
    {POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n", 0, 400},
    {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 0, 400},
    {POST "Transfer-Encoding: xchunked\r\n\r\n", 0, 501},
    {POST "Transfer-Encoding: chunked, identity\r\n\r\n", 0, 501},
    {POST "Transfer-Encoding: gzip, chunked\r\n\r\n", 0, 501},
    {POST "Transfer-Encoding: chunked, chunked\r\n\r\n", 0, 400},
    {POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n", 0,
     400},
    {POST "Transfer-Encoding: \x0b"
          "chunked\r\n\r\n",
     0, 400},
    {POST "Transfer-Encoding:\r\n\r\n", 0, 400},
    {POST "Transfer-Encoding: ,chunked\r\n\r\n", 0, 400},
    {POST "Content-Length: +5\r\n\r\n", 0, 400},
    {POST "Content-Length: -1\r\n\r\n", 0, 400},
    {POST "Content-Length: 0x5\r\n\r\n", 0, 400},
    {POST "Content-Length: 5_0\r\n\r\n", 0, 400},
    {POST "Content-Length: 5 5\r\n\r\n", 0, 400},
    {POST "Content-Length:\r\n\r\n", 0, 400},
    {POST "Content-Length: 9223372036854775808\r\n\r\n", 0, 400},
    {POST "Content-Length: 99999999999999999999999\r\n\r\n", 0, 400},
    {POST "Content-Length: 5, 5\r\n\r\n", 0, 400},
    {POST "Content-Length: 5\r\nContent-Length: 5\r\n\r\n", 0, 400},
    {POST "Content-Length: 5\r\nContent-Length: 6\r\n\r\n", 0, 400},
    /* chunks, 7.1 */
    {CHUNKED "0x1\r\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED " 1\r\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "1 \r\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "1 ;x\r\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "+1\r\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "-1\r\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "1_0\r\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "\r\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED ";x\r\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "g\r\n", 0, 400},
    {CHUNKED "00000000000000001\r\na\r\n", 0, 400},
    {CHUNKED "8000000000000000\r\na", 0, 400},
    {CHUNKED "FFFFFFFFFFFFFFFF\r\na", 0, 400},
    {CHUNKED "1\na\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "1\r\na\n0\r\n\r\n", 0, 400},
    {CHUNKED "1\r\na0\r\n\r\n", 0, 400},
    {CHUNKED "1\r\nab\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "0\n\r\n", 0, 400},
    {CHUNKED "0\r\n\n", 0, 400},
    {CHUNKED "1;a\nb\r\nx\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "1;a\rb\r\nx\r\n0\r\n\r\n", 0, 400},
    {CHUNKED "0\r\nno colon\r\n\r\n", 0, 400},
    {CHUNKED "0\r\na: b\n\r\n", 0, 400},
    {CHUNKED "0\r\n: b\r\n\r\n", 0, 400},
    {CHUNKED "0\r\n a: b\r\n\r\n", 0, 400},
    {WITH_NUL(CHUNKED "0\r\na: b\0c\r\n\r\n"), 400},
    /* field lines, 2.2 and 5 */
    {GET "Host: a\n\r\n", 0, 400},
    {"GET / HTTP/1.1\nHost: a\r\n\r\n", 0, 400},
    {GET HOST "\n", 0, 400},
    {GET HOST "A: b\rc\r\n\r\n", 0, 400},
    {GET HOST "A: b\r\r\n\r\n", 0, 400},
    {GET HOST "\r\r\n", 0, 400},
    {WITH_NUL(GET HOST "A: b\0c\r\n\r\n"), 400},
    {GET HOST "A: b\x01\r\n\r\n", 0, 400},
    {GET HOST "A: b\x7f\r\n\r\n", 0, 400},
    {GET HOST "A: b\r\n c\r\n\r\n", 0, 400},
    {GET HOST "A: b\r\n\tc\r\n\r\n", 0, 400},
    {GET HOST "A : b\r\n\r\n", 0, 400},
    {GET HOST "A\t: b\r\n\r\n", 0, 400},
    {GET " Host: a\r\n\r\n", 0, 400},
    {GET "\tHost: a\r\n\r\n", 0, 400},
    {GET HOST ": b\r\n\r\n", 0, 400},
    {GET HOST "A(b): c\r\n\r\n", 0, 400},
    {GET HOST "A\xff: c\r\n\r\n", 0, 400},
    {GET HOST "A\r\n\r\n", 0, 400},
    {WITH_NUL(GET HOST "A\0: c\r\n\r\n"), 400},
    /* the request line, 3 */
    {"\r\n\r\n\r\n" GET HOST "\r\n", 0, 400},
    {"\r" GET HOST "\r\n", 0, 400},
    {"\n" GET HOST "\r\n", 0, 400},
    {" " GET HOST "\r\n", 0, 400},
    {"GET  / HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET /  HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET\t/ HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET /\tHTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET / HTTP/1.1 \r\n" HOST "\r\n", 0, 400},
    {"GET\n/ HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET /\nHTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"G=( / HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG / HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET / HTTP/1.32\r\n" HOST "\r\n", 0, 400},
    {"GET / HTTP/1.2\r\n" HOST "\r\n", 0, 400},
    {"GET / HTTP/0.9\r\n" HOST "\r\n", 0, 400},
    {"GET / http/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET / HTTP/01.1\r\n" HOST "\r\n", 0, 400},
    {"GET / HTTP/1.1\r" HOST "\r\n", 0, 400},
    {"GET / HTTP/2.0\r\n" HOST "\r\n", 0, 505},
    {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 0, 505},
    {"GET /\r\n", 0, 400},
    {"GET / \r\n", 0, 400},
    {"\x16\x03\x01\x02", 0, 400}, /* TLS on a plain port */
    /* the target, 3.2 */
    {"GET /a#b HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET /a\x01 HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET /a\x7f HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET /a\xff HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {WITH_NUL("GET /a\0 HTTP/1.1\r\n" HOST "\r\n"), 400},
    {"GET /a%00b HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET * HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET a HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET ftp://a/ HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET http:///x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET http://u@a/x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"GET http://a?x HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    {"CONNECT / HTTP/1.1\r\n" HOST "\r\n", 0, 400},
    /* Host, 3.2 */
    {GET "\r\n", 0, 400},
    {GET HOST HOST "\r\n", 0, 400},
    {"GET / HTTP/1.0\r\n" HOST HOST "\r\n", 0, 400},
    {GET "Host: a@b/c\r\n\r\n", 0, 400},
    {GET "Host:\r\n\r\n", 0, 400},
    {GET "Host: a,b\r\n\r\n", 0, 400},
    {GET "Host: a b\r\n\r\n", 0, 400},
    {GET "Host: a/b\r\n\r\n", 0, 400},
    {GET "Host: a\\b\r\n\r\n", 0, 400},
    {GET "Host: u@a\r\n\r\n", 0, 400},
    {GET "Host: a:b\r\n\r\n", 0, 400},
    {GET "Host: a:65536\r\n\r\n", 0, 400},
    {GET "Host: [::1\r\n\r\n", 0, 400},
    {GET "Host: [x]\r\n\r\n", 0, 400},
    {GET "Host: .\r\n\r\n", 0, 400},
    {"GET http://b/ HTTP/1.1\r\nHost: a@b\r\n\r\n", 0, 400},
};

static struct amy__codec *
new_server(struct recorder *r)
{
    struct amy__codec *codec = NULL;

    recorder_init(r);
    assert_int_equal(
        amy__h1_server_create(NULL, &recorder_events, r, &codec, NULL), 0);
    return codec;
}

/* Feed in two pieces, cut everywhere, and byte by byte: always the same. */
static void
assert_same_at_every_split(struct amy__span data, const char *expect)
{
    for (size_t cut = 0; cut <= data.n; cut++) {
        struct recorder r;
        struct amy__codec *codec = new_server(&r);

        if (cut == data.n) {
            (void)recorder_feed(&r, codec, data, 1);
        } else {
            (void)recorder_feed_split(&r, codec, data, cut);
        }
        assert_string_equal(recorder_text(&r), expect);
        codec->ops->free(codec);
        recorder_clear(&r);
    }
}

static void
test_feed_malformed_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(refusals) / sizeof(refusals[0]); i++) {
        const struct refusal *c = &refusals[i];
        struct amy__span data = {c->bytes, c->n != 0 ? c->n : strlen(c->bytes)};
        struct recorder r;
        struct amy__codec *codec = new_server(&r);
        int64_t n = recorder_feed(&r, codec, data, 0);

        if (n != AMY_EPROTO || r.fault.status != c->status || r.ends != 0) {
            fail_msg("line %zu: '%s' gave %lld and %u (%s)", i, c->bytes,
                     (long long)n, r.fault.status, recorder_text(&r));
        }
        assert_same_at_every_split(data, recorder_text(&r));
        codec->ops->free(codec);
        recorder_clear(&r);
    }
}

/* ---- what is accepted, and how it is understood ---- */

static const struct {
    const char *bytes;
    const char *events;
} accepted[] = {
    {GET HOST "\r\n", "request GET / host=a:0\n  Host: a\nend\n"},
    {"\r\n\r\n" GET HOST "\r\n", "request GET / host=a:0\n  Host: a\nend\n"},
    {"GET / HTTP/1.0\r\n\r\n", "request GET / host=:0 close\nend\n"},
    {"GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n",
     "request GET / host=:0\n  Connection: Keep-Alive (hop)\nend\n"},
    {GET
     "host:\t Ex-ample.ORG.:8443 \t\r\nConnection: a, close\r\nA: 1\r\n\r\n",
     "request GET / host=ex-ample.org:8443 close\n"
     "  host: Ex-ample.ORG.:8443\n  Connection: a, close (hop)\n"
     "  A: 1 (hop)\nend\n"},
    {GET "Host: [::1]:80\r\n\r\n",
     "request GET / host=[::1]:80\n  Host: [::1]:80\nend\n"},
    {GET "Host: a:\r\n\r\n", "request GET / host=a:0\n  Host: a:\nend\n"},
    /* known ways around a proxy's rules */
    {GET HOST "Connection: Host, X-Forwarded-For, content-length\r\n"
              "X-Forwarded-For: 1\r\nContent-Length: 0\r\n\r\n",
     "request GET / host=a:0 length=0\n  Host: a\n"
     "  Connection: Host, X-Forwarded-For, content-length (hop)\n"
     "  X-Forwarded-For: 1\n  Content-Length: 0\nend\n"},
    {GET HOST "X_Forwarded_For: 1\r\nA: b\r\n\r\n",
     "request GET / host=a:0\n  Host: a\n  A: b\nend\n"},
    {GET HOST "TE: trailers\r\nKeep-Alive: 1\r\nProxy-Connection: x\r\n"
              "Trailer: a\r\nUpgrade: h2c\r\nProxy-Authorization: b\r\n\r\n",
     "request GET / host=a:0\n  Host: a\n  TE: trailers (hop)\n"
     "  Keep-Alive: 1 (hop)\n  Proxy-Connection: x (hop)\n"
     "  Trailer: a (hop)\n  Upgrade: h2c (hop)\n"
     "  Proxy-Authorization: b (hop)\nend\n"},
    {GET HOST "A: \xe4\tb\r\nB:\r\nC:   \r\n\r\n",
     "request GET / host=a:0\n  Host: a\n  A: \xe4\tb\n  B: \n  C: \nend\n"},
    {"GET http://B.c:1/x?y HTTP/1.1\r\n" HOST "\r\n",
     "request GET /x?y host=b.c:1\n  Host: a\nend\n"},
    {"GET HTTPS://b HTTP/1.1\r\n" HOST "\r\n",
     "request GET / host=b:0\n  Host: a\nend\n"},
    {"OPTIONS http://b HTTP/1.1\r\n" HOST "\r\n",
     "request OPTIONS * host=b:0\n  Host: a\nend\n"},
    {"OPTIONS * HTTP/1.1\r\n" HOST "\r\n",
     "request OPTIONS * host=a:0\n  Host: a\nend\n"},
    {"GET //b/../%2e%2F?a=%00|\" HTTP/1.1\r\n" HOST "\r\n",
     "request GET //b/../%2e%2F?a=%00|\" host=a:0\n  Host: a\nend\n"},
    {"CONNECT b:443 HTTP/1.1\r\n" HOST "\r\n",
     "request CONNECT b:443 host=b:443 refuse=405\n  Host: a\nend\n"},
    {"TRACE / HTTP/1.1\r\n" HOST "\r\n",
     "request TRACE / host=a:0 refuse=405\n  Host: a\nend\n"},
    {"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / HTTP/1.1\r\n" HOST "\r\n",
     "request ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF / host=a:0\n  Host: a\nend\n"},
    {POST "Content-Length: 5\r\nExpect: 100-Continue\r\n\r\nhello",
     "request POST / host=a:0 length=5 expect\n  Host: a\n"
     "  Content-Length: 5\n  Expect: 100-Continue (hop)\nbody hello\nend\n"},
    {GET HOST "Expect: 100-continue\r\n\r\n",
     "request GET / host=a:0\n  Host: a\n  Expect: 100-continue (hop)\nend\n"},
    {GET HOST "Expect: foo\r\n\r\n",
     "request GET / host=a:0 refuse=417\n  Host: a\n"
     "  Expect: foo (hop)\nend\n"},
    {"POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\nx",
     "request POST / host=:0 length=1 close\n  Expect: 100-continue (hop)\n"
     "  Content-Length: 1\nbody x\nend\n"},
    {GET HOST "Connection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n",
     "request GET / host=a:0 websocket\n  Host: a\n"
     "  Connection: Upgrade (hop)\n  Upgrade: WebSocket (hop)\nend\n"},
    {POST "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
     "request POST / host=a:0\n  Host: a\n"
     "  Connection: Upgrade (hop)\n  Upgrade: websocket (hop)\nend\n"},
    {CHUNKED "5;x=\"y\"\r\nhello\r\n0006\r\n world\r\n0;z\r\n"
             "Trail: x\r\n\r\n",
     "request POST / host=a:0 chunked\n  Host: a\n"
     "  Transfer-Encoding: chunked (hop)\nbody hello world\nend\n"},
    {POST "transfer-encoding: CHUNKED\r\n\r\nA\r\n0123456789\r\n0\r\n\r\n",
     "request POST / host=a:0 chunked\n  Host: a\n"
     "  transfer-encoding: CHUNKED (hop)\nbody 0123456789\nend\n"},
    {CHUNKED "0\r\n\r\n", "request POST / host=a:0 chunked\n  Host: a\n"
                          "  Transfer-Encoding: chunked (hop)\nend\n"},
};

static void
test_feed_wellformed_understood_at_every_split(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(accepted) / sizeof(accepted[0]); i++) {
        assert_same_at_every_split(amy__span_of(accepted[i].bytes),
                                   accepted[i].events);
    }
}

static void
test_feed_target_cut_into_path_and_query(void **state)
{
    static const char bytes[] =
        "GET http://b/p%20q?r=/?s HTTP/1.1\r\nHost: a\r\n\r\n";
    const struct amy__codec_limits limits = amy__h1_limits(NULL, false);
    struct amy__codec_fault fault = {0};
    struct amy__request_head head;
    struct amy__authority host;
    size_t used = 0;

    (void)state;
    assert_int_equal(amy__h1_parse_request(AMY_SPAN(bytes), &limits, &head,
                                           &host, &used, &fault),
                     0);
    assert_int_equal(used, sizeof(bytes) - 1);
    assert_true(amy__span_eq(head.target, AMY_SPAN("/p%20q?r=/?s")));
    assert_true(amy__span_eq(head.path, AMY_SPAN("/p%20q")));
    assert_true(amy__span_eq(head.query, AMY_SPAN("r=/?s")));
    assert_true(amy__span_eq(head.authority, AMY_SPAN("b")));
    assert_int_equal(head.method, AMY__METHOD_GET);
}

/* ---- limits ---- */

/* head, then n times fill, then tail. */
static struct amy__buf
long_message(const char *head, const char *fill, size_t n, const char *tail)
{
    struct amy__buf buf;

    amy__buf_init(&buf, 1U << 20);
    assert_int_equal(amy__buf_append_text(&buf, head), 0);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(amy__buf_append_text(&buf, fill), 0);
    }
    assert_int_equal(amy__buf_append_text(&buf, tail), 0);
    return buf;
}

static void
assert_verdict(struct amy__buf buf, unsigned status)
{
    static const size_t steps[] = {0, 1, 7, 1000, 8191, 8192, 8193};

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        struct recorder r;
        struct amy__codec *codec = new_server(&r);
        int64_t n = recorder_feed(&r, codec, amy__buf_span(&buf), steps[i]);

        if (status == 0) {
            assert_int_equal(n, buf.len);
        } else {
            assert_int_equal(n, AMY_EPROTO);
            assert_int_equal(r.fault.status, status);
        }
        codec->ops->free(codec);
        recorder_clear(&r);
    }
    amy__buf_clear(&buf);
}

static void
test_feed_request_line_limit_414(void **state)
{
    const char *tail = " HTTP/1.1\r\nHost: a\r\n\r\n";
    const size_t around = sizeof("GET / HTTP/1.1\r\n") - 1;

    (void)state;
    assert_verdict(long_message("GET /", "a", 8192 - around - 1, tail), 0);
    assert_verdict(long_message("GET /", "a", 8192 - around + 1, tail), 414);
    assert_verdict(long_message("GET /", "a", 20000, tail), 414);
    assert_verdict(long_message("GET /", "a", 20000, ""), 414);
}

static void
test_feed_head_limit_431(void **state)
{
    (void)state;
    assert_verdict(long_message(GET HOST "A: ", "b", 32000, "\r\n\r\n"), 0);
    assert_verdict(long_message(GET HOST "A: ", "b", 32768, "\r\n\r\n"), 431);
    assert_verdict(long_message(GET HOST "A: ", "b", 40960, ""), 431);
}

static void
test_feed_field_count_limit_431(void **state)
{
    (void)state;
    assert_verdict(long_message(GET HOST, "A: b\r\n", 99, "\r\n"), 0);
    assert_verdict(long_message(GET HOST, "A: b\r\n", 100, "\r\n"), 431);
    /* dropped names count too */
    assert_verdict(long_message(GET HOST, "A_: b\r\n", 100, "\r\n"), 431);
}

static void
test_feed_connection_options_limit_400(void **state)
{
    (void)state;
    assert_verdict(long_message(GET HOST "Connection: a", ",a", 63, "\r\n\r\n"),
                   0);
    assert_verdict(long_message(GET HOST "Connection: a", ",a", 64, "\r\n\r\n"),
                   400);
}

static void
test_feed_chunk_extensions_limit_400(void **state)
{
    (void)state;
    assert_verdict(long_message(CHUNKED, "1;a\r\nx\r\n", 4096, "0\r\n\r\n"), 0);
    assert_verdict(long_message(CHUNKED, "1;a\r\nx\r\n", 4097, "0\r\n\r\n"),
                   400);
}

static void
test_feed_trailer_limits_431(void **state)
{
    (void)state;
    assert_verdict(long_message(CHUNKED "0\r\n", "A: b\r\n", 100, "\r\n"), 0);
    assert_verdict(long_message(CHUNKED "0\r\n", "A: b\r\n", 101, "\r\n"), 431);
    assert_verdict(long_message(CHUNKED "0\r\nA: ", "b", 40000, "\r\n\r\n"),
                   431);
}

/* ---- answers ---- */

static struct amy__answer_head
answer_of(unsigned status, enum amy__body_kind body, uint64_t length)
{
    static const struct amy__field fields[] = {
        {{"A", 1}, {"b", 1}, 0, 0},
        {{"Content-Length", 14}, {"99", 2}, AMY__FIELD_CONTENT_LENGTH, 0},
        {{"X", 1}, {"y", 1}, 0, AMY__FIELD_HOP},
    };
    struct amy__answer_head head = {.status = status,
                                    .body = body,
                                    .content_length = length,
                                    .keep_alive = true,
                                    .field_count = 3};

    memcpy(head.fields, fields, sizeof(fields));
    return head;
}

static const struct {
    const char *request;
    unsigned status;
    enum amy__body_kind body;
    uint64_t length;
    const char *data; /* NULL: end with the head */
    const char *bytes;
    bool goes_on;
} answers[] = {
    {GET HOST "\r\n", 200, AMY__BODY_LENGTH, 2, "hi",
     "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nhi", true},
    {GET HOST "\r\n", 200, AMY__BODY_NONE, 0, NULL,
     "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n", true},
    {GET HOST "\r\n", 200, AMY__BODY_LENGTH, 0, NULL,
     "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n", true},
    {GET HOST "\r\n", 200, AMY__BODY_CHUNKED, 0, "hi",
     "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
     "2\r\nhi\r\n0\r\n\r\n",
     true},
    {GET HOST "\r\n", 200, AMY__BODY_CHUNKED, 0, NULL,
     "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
     true},
    {GET HOST "\r\n", 200, AMY__BODY_UNTIL_CLOSE, 0,
     "0123456789abcdefghijklmnopqrst",
     "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"
     "1e\r\n0123456789abcdefghijklmnopqrst\r\n0\r\n\r\n",
     true},
    {"GET / HTTP/1.0\r\n\r\n", 200, AMY__BODY_UNTIL_CLOSE, 0, "hi",
     "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nhi", false},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, AMY__BODY_CHUNKED,
     0, "hi", "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\nhi", false},
    {"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", 200, AMY__BODY_LENGTH,
     2, "hi",
     "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n"
     "Connection: keep-alive\r\n\r\nhi",
     true},
    {"GET / HTTP/1.0\r\n\r\n", 200, AMY__BODY_LENGTH, 2, "hi",
     "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n"
     "Connection: close\r\n\r\nhi",
     false},
    {GET HOST "Connection: close\r\n\r\n", 404, AMY__BODY_LENGTH, 2, "hi",
     "HTTP/1.1 404 Not Found\r\nA: b\r\nContent-Length: 2\r\n"
     "Connection: close\r\n\r\nhi",
     false},
    {"HEAD / HTTP/1.1\r\n" HOST "\r\n", 200, AMY__BODY_LENGTH, 2, "hi",
     "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\n", true},
    {"HEAD / HTTP/1.1\r\n" HOST "\r\n", 200, AMY__BODY_LENGTH, 2, NULL,
     "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\n", true},
    {"HEAD / HTTP/1.1\r\n" HOST "\r\n", 200, AMY__BODY_CHUNKED, 0, "hi",
     "HTTP/1.1 200 OK\r\nA: b\r\n\r\n", true},
    {"HEAD / HTTP/1.0\r\n\r\n", 200, AMY__BODY_UNTIL_CLOSE, 0, "hi",
     "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n", false},
    {GET HOST "\r\n", 204, AMY__BODY_LENGTH, 2, "hi",
     "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n", true},
    {GET HOST "\r\n", 304, AMY__BODY_CHUNKED, 0, NULL,
     "HTTP/1.1 304 Not Modified\r\nA: b\r\n\r\n", true},
    {GET HOST "\r\n", 205, AMY__BODY_LENGTH, 2, "hi",
     "HTTP/1.1 205 Reset Content\r\nA: b\r\nContent-Length: 0\r\n\r\n", true},
    {GET HOST "\r\n", 299, AMY__BODY_NONE, 0, NULL,
     "HTTP/1.1 299 Unknown\r\nA: b\r\nContent-Length: 0\r\n\r\n", true},
    /* the request's body did not come whole: no way to find the next one */
    {POST "Content-Length: 5\r\n\r\nhel", 413, AMY__BODY_NONE, 0, NULL,
     "HTTP/1.1 413 Content Too Large\r\nA: b\r\nContent-Length: 0\r\n\r\n",
     false},
};

static void
test_send_answer_framed_by_status_method_and_version(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct amy__answer_head head =
            answer_of(answers[i].status, answers[i].body, answers[i].length);
        struct recorder r;
        struct amy__codec *codec = new_server(&r);
        struct amy__buf out;

        amy__buf_init(&out, 4096);
        assert_true(
            recorder_feed(&r, codec, amy__span_of(answers[i].request), 0) > 0);
        assert_int_equal(codec->ops->send_answer(codec, r.last_id, &head,
                                                 answers[i].data == NULL, &out),
                         0);
        if (answers[i].data != NULL) {
            assert_int_equal(codec->ops->send_body(
                                 codec, r.last_id,
                                 amy__span_of(answers[i].data), true, &out),
                             0);
        }
        assert_int_equal(amy__buf_append(&out, "", 1), 0);
        assert_string_equal(out.data, answers[i].bytes);
        assert_int_equal(codec->ops->next(codec, r.last_id),
                         answers[i].goes_on);
        assert_int_equal(codec->ops->idle(codec), answers[i].goes_on);
        codec->ops->free(codec);
        amy__buf_clear(&out);
        recorder_clear(&r);
    }
}

/* Answer the exchange with an empty 200. */
static int
answer_empty(struct amy__codec *codec, amy__stream_id id, bool keep_alive,
             struct amy__buf *out)
{
    struct amy__answer_head head = {.status = 200, .keep_alive = keep_alive};

    return codec->ops->send_answer(codec, id, &head, true, out);
}

static void
test_feed_pipelined_waits_for_next(void **state)
{
    static const char two[] =
        GET HOST "\r\nPOST /2 HTTP/1.1\r\n" HOST "Content-Length: 1\r\n\r\nx";
    const size_t first = sizeof(GET HOST "\r\n") - 1;
    struct amy__codec_fault fault = {0};
    struct recorder r;
    struct amy__codec *codec = new_server(&r);
    struct amy__buf out;

    (void)state;
    amy__buf_init(&out, 4096);
    assert_int_equal(codec->ops->feed(codec, AMY_SPAN(two), &fault), first);
    assert_int_equal(
        codec->ops->feed(codec, (struct amy__span){two + first, 10}, &fault),
        0);
    assert_false(codec->ops->next(codec, 1)); /* not answered yet */
    assert_int_equal(answer_empty(codec, 1, true, &out), 0);
    assert_true(codec->ops->next(codec, 1));
    assert_int_equal(
        codec->ops->feed(
            codec, (struct amy__span){two + first, sizeof(two) - 1 - first},
            &fault),
        sizeof(two) - 1 - first);
    assert_int_equal(r.last_id, 2);
    assert_int_equal(r.ends, 2);
    assert_int_equal(answer_empty(codec, 1, true, &out), AMY_ESTATE);
    assert_int_equal(answer_empty(codec, 2, false, &out), 0);
    assert_false(codec->ops->next(codec, 2));
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

static void
test_send_answer_after_a_fault_closes(void **state)
{
    struct recorder r;
    struct amy__codec *codec = new_server(&r);
    struct amy__buf out;

    (void)state;
    amy__buf_init(&out, 4096);
    assert_int_equal(recorder_feed(&r, codec, AMY_SPAN("GET\r\n"), 0),
                     AMY_EPROTO);
    assert_int_equal(answer_empty(codec, 0, true, &out), 0);
    assert_string_equal(out.data, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                                  "Connection: close\r\n\r\n");
    assert_int_equal(answer_empty(codec, 0, true, &out), AMY_ESTATE);
    assert_int_equal(recorder_feed(&r, codec, AMY_SPAN("GET"), 0), AMY_ESTATE);
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

/* A 408: the second request began and does not come to its end. */
static void
test_send_answer_to_an_unfinished_head_closes(void **state)
{
    struct recorder r;
    struct amy__codec *codec = new_server(&r);
    struct amy__buf out;

    (void)state;
    amy__buf_init(&out, 4096);
    (void)recorder_feed(&r, codec, AMY_SPAN("HEAD / HTTP/1.1\r\n" HOST "\r\n"),
                        0);
    assert_int_equal(answer_empty(codec, 0, true, &out), AMY_ESTATE);
    assert_int_equal(answer_empty(codec, 1, true, &out), 0);
    assert_true(codec->ops->next(codec, 1));
    (void)recorder_feed(&r, codec, AMY_SPAN("GET / HT"), 0);
    assert_false(codec->ops->idle(codec));
    out.len = 0;
    assert_int_equal(answer_empty(codec, 1, true, &out), AMY_ESTATE);
    assert_int_equal(answer_empty(codec, 0, true, &out), 0);
    assert_int_equal(amy__buf_append(&out, "", 1), 0);
    assert_string_equal(out.data, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"
                                  "Connection: close\r\n\r\n");
    assert_false(codec->ops->next(codec, 1));
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

/* The body of such an answer has id 0 too, also on a kept connection. */
static void
test_send_body_of_an_answer_to_a_fault(void **state)
{
    struct amy__answer_head head = {
        .status = 400, .body = AMY__BODY_LENGTH, .content_length = 2};
    struct recorder r;
    struct amy__codec *codec = new_server(&r);
    struct amy__buf out;

    (void)state;
    amy__buf_init(&out, 4096);
    (void)recorder_feed(&r, codec, AMY_SPAN(GET HOST "\r\n"), 0);
    assert_int_equal(answer_empty(codec, 1, true, &out), 0);
    assert_true(codec->ops->next(codec, 1));
    assert_int_equal(recorder_feed(&r, codec, AMY_SPAN("GET\r\n"), 0),
                     AMY_EPROTO);
    out.len = 0;
    assert_int_equal(codec->ops->send_answer(codec, 0, &head, false, &out), 0);
    assert_int_equal(
        codec->ops->send_body(codec, 1, AMY_SPAN("no"), true, &out),
        AMY_ESTATE);
    assert_int_equal(
        codec->ops->send_body(codec, 0, AMY_SPAN("no"), true, &out), 0);
    assert_int_equal(amy__buf_append(&out, "", 1), 0);
    assert_string_equal(out.data,
                        "HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n"
                        "Connection: close\r\n\r\nno");
    assert_false(codec->ops->next(codec, 1));
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

static void
test_pass_body_only_where_bytes_go_out_as_they_are(void **state)
{
    static const struct {
        const char *request;
        enum amy__body_kind body;
        int rc;
    } cases[] = {
        {GET HOST "\r\n", AMY__BODY_LENGTH, 0},
        {GET HOST "\r\n", AMY__BODY_CHUNKED, AMY_EUNSUPPORTED},
        {"GET / HTTP/1.0\r\n\r\n", AMY__BODY_CHUNKED, 0},
        {"HEAD / HTTP/1.1\r\n" HOST "\r\n", AMY__BODY_LENGTH, AMY_EUNSUPPORTED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__answer_head head = answer_of(200, cases[i].body, 5);
        struct recorder r;
        struct amy__codec *codec = new_server(&r);
        struct amy__buf out;

        amy__buf_init(&out, 4096);
        (void)recorder_feed(&r, codec, amy__span_of(cases[i].request), 0);
        assert_int_equal(codec->ops->pass_body(codec, 1, 5, true), AMY_ESTATE);
        assert_int_equal(codec->ops->send_answer(codec, 1, &head, false, &out),
                         0);
        assert_int_equal(codec->ops->pass_body(codec, 1, 3, false),
                         cases[i].rc);
        if (cases[i].rc == 0 && cases[i].body == AMY__BODY_LENGTH) {
            assert_int_equal(codec->ops->pass_body(codec, 1, 3, true),
                             AMY_ELIMIT);
            assert_int_equal(codec->ops->pass_body(codec, 1, 1, true),
                             AMY_ESTATE);
            assert_int_equal(codec->ops->pass_body(codec, 1, 2, true), 0);
            assert_int_equal(codec->ops->pass_body(codec, 1, 0, true),
                             AMY_ESTATE);
            assert_true(codec->ops->next(codec, 1));
        }
        codec->ops->free(codec);
        amy__buf_clear(&out);
        recorder_clear(&r);
    }
}

static void
test_send_body_other_than_announced_refused(void **state)
{
    struct amy__answer_head head = answer_of(200, AMY__BODY_LENGTH, 3);
    struct recorder r;
    struct amy__codec *codec = new_server(&r);
    struct amy__buf out;
    size_t len = 0;

    (void)state;
    amy__buf_init(&out, 4096);
    (void)recorder_feed(&r, codec, AMY_SPAN(GET HOST "\r\n"), 0);
    assert_int_equal(
        codec->ops->send_body(codec, 1, AMY_SPAN("x"), false, &out),
        AMY_ESTATE);
    assert_int_equal(codec->ops->send_answer(codec, 1, &head, true, &out),
                     AMY_ESTATE);
    assert_int_equal(out.len, 0);
    assert_int_equal(codec->ops->send_answer(codec, 1, &head, false, &out), 0);
    assert_int_equal(codec->ops->send_answer(codec, 1, &head, false, &out),
                     AMY_ESTATE);
    len = out.len;
    assert_int_equal(
        codec->ops->send_body(codec, 1, AMY_SPAN("abcd"), false, &out),
        AMY_ESTATE);
    assert_int_equal(
        codec->ops->send_body(codec, 1, AMY_SPAN("ab"), true, &out),
        AMY_ESTATE);
    assert_int_equal(out.len, len);
    assert_int_equal(
        codec->ops->send_body(codec, 1, AMY_SPAN("ab"), false, &out), 0);
    assert_false(codec->ops->next(codec, 1));
    assert_int_equal(codec->ops->send_body(codec, 1, AMY_SPAN("c"), true, &out),
                     0);
    assert_int_equal(codec->ops->send_body(codec, 1, AMY_SPAN(""), true, &out),
                     AMY_ESTATE);
    assert_true(codec->ops->next(codec, 1));
    assert_int_equal(codec->ops->reset(codec, 1, 0, &out), AMY_ESTATE);
    assert_int_equal(codec->ops->flush(codec, &out), 0);
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

static void
test_send_answer_splitting_value_refused(void **state)
{
    static const char *const values[] = {"a\r\nB: c", "a\nb", "a\rb"};
    struct recorder r;
    struct amy__codec *codec = new_server(&r);
    struct amy__buf out;

    (void)state;
    amy__buf_init(&out, 4096);
    (void)recorder_feed(&r, codec, AMY_SPAN(GET HOST "\r\n"), 0);
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct amy__answer_head head = answer_of(200, AMY__BODY_NONE, 0);

        head.fields[0].value = amy__span_of(values[i]);
        assert_int_equal(codec->ops->send_answer(codec, 1, &head, true, &out),
                         AMY_EINVAL);
    }
    assert_int_equal(out.len, 0);
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

static void
test_send_no_room_leaves_all_as_before(void **state)
{
    struct amy__answer_head head = answer_of(200, AMY__BODY_CHUNKED, 0);
    struct recorder r;
    struct amy__codec *codec = new_server(&r);
    struct amy__buf out;
    int rc = AMY_ELIMIT;

    (void)state;
    (void)recorder_feed(&r, codec, AMY_SPAN(GET HOST "\r\n"), 0);
    for (size_t max = 0; rc == AMY_ELIMIT; max++) {
        amy__buf_init(&out, max);
        rc = codec->ops->send_answer(codec, 1, &head, true, &out);
        assert_true(rc == 0 || (rc == AMY_ELIMIT && out.len == 0));
        amy__buf_clear(&out);
    }
    assert_int_equal(rc, 0);
    codec->ops->free(codec);
    recorder_clear(&r);
}

static void
test_send_informational_before_the_answer_only(void **state)
{
    struct recorder r;
    struct amy__codec *codec = new_server(&r);
    struct amy__buf out;

    (void)state;
    amy__buf_init(&out, 4096);
    assert_int_equal(codec->ops->send_informational(codec, 1, 100, &out),
                     AMY_ESTATE);
    (void)recorder_feed(&r, codec, AMY_SPAN(GET HOST "\r\n"), 0);
    assert_int_equal(codec->ops->send_informational(codec, 1, 100, &out), 0);
    assert_string_equal(out.data, "HTTP/1.1 100 Continue\r\n\r\n");
    assert_int_equal(codec->ops->send_informational(codec, 1, 101, &out),
                     AMY_EINVAL);
    assert_int_equal(codec->ops->send_informational(codec, 1, 200, &out),
                     AMY_EINVAL);
    assert_int_equal(answer_empty(codec, 1, true, &out), 0);
    assert_int_equal(codec->ops->send_informational(codec, 1, 100, &out),
                     AMY_ESTATE);
    codec->ops->free(codec);
    recorder_clear(&r);

    codec = new_server(&r);
    out.len = 0;
    (void)recorder_feed(&r, codec, AMY_SPAN("GET / HTTP/1.0\r\n\r\n"), 0);
    assert_int_equal(codec->ops->send_informational(codec, 1, 103, &out), 0);
    assert_int_equal(out.len, 0);
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

static void
test_eof_only_between_messages(void **state)
{
    static const struct {
        const char *bytes;
        int rc;
    } cases[] = {
        {"", 0},
        {"\r\n", 0},
        {GET HOST "\r\n", 0},
        {"G", AMY_EPROTO},
        {POST "Content-Length: 2\r\n\r\na", AMY_EPROTO},
        {CHUNKED "1\r\na\r\n0\r\n", AMY_EPROTO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct recorder r;
        struct amy__codec *codec = new_server(&r);

        (void)recorder_feed(&r, codec, amy__span_of(cases[i].bytes), 0);
        assert_int_equal(codec->ops->eof(codec), cases[i].rc);
        codec->ops->free(codec);
        recorder_clear(&r);
    }
}

#define ASKS GET HOST "Connection: Upgrade, x\r\nUpgrade: websocket\r\n\r\n"

/* What comes before the answer waits for it: nobody is sent it meanwhile. */
static void
test_switch_takes_early_bytes_after_the_answer(void **state)
{
    struct amy__answer_head head = {.status = 101, .field_count = 1};
    struct recorder r;
    struct amy__codec *codec = new_server(&r);
    struct amy__buf out;

    (void)state;
    head.fields[0] =
        (struct amy__field){.name = AMY_SPAN("A"), .value = AMY_SPAN("b")};
    amy__buf_init(&out, 4096);
    assert_int_equal(recorder_feed(&r, codec, AMY_SPAN(ASKS "early"), 0),
                     sizeof(ASKS) - 1);
    assert_int_equal(recorder_feed(&r, codec, AMY_SPAN("early"), 0), 0);
    assert_int_equal(r.body_bytes, 0);
    assert_int_equal(codec->ops->send_answer(codec, 1, &head, false, &out), 0);
    assert_int_equal(amy__buf_append(&out, "", 1), 0);
    assert_string_equal(out.data,
                        "HTTP/1.1 101 Switching Protocols\r\nA: b\r\n"
                        "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    assert_int_equal(recorder_feed(&r, codec, AMY_SPAN("early"), 0), 5);
    assert_int_equal(recorder_feed(&r, codec, AMY_SPAN(GET HOST "\r\n"), 0),
                     sizeof(GET HOST "\r\n") - 1);
    assert_int_equal(r.requests, 1);
    assert_int_equal(codec->ops->eof(codec), 0);
    assert_int_equal(r.ends, 2);
    out.len = 0;
    assert_int_equal(
        codec->ops->send_body(codec, 1, AMY_SPAN("raw"), true, &out), 0);
    assert_int_equal(out.len, 3);
    assert_false(codec->ops->next(codec, 1));
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

static void
test_switch_that_nobody_asked_for_is_refused(void **state)
{
    static const char *const requests[] = {
        GET HOST "\r\n",
        GET HOST "Upgrade: websocket\r\n\r\n",
        GET HOST "Connection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        GET HOST "Connection: upgrade\r\nUpgrade: websocket\r\n"
                 "Content-Length: 0\r\n\r\n",
        "POST / HTTP/1.1\r\n" HOST
        "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        "GET / HTTP/1.0\r\n" HOST
        "Connection: upgrade\r\nUpgrade: websocket\r\n\r\n"};
    struct amy__answer_head head = {.status = 101};

    (void)state;
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        struct recorder r;
        struct amy__codec *codec = new_server(&r);
        struct amy__buf out;

        amy__buf_init(&out, 4096);
        (void)recorder_feed(&r, codec, amy__span_of(requests[i]), 0);
        assert_int_equal(r.requests, 1);
        assert_int_equal(codec->ops->send_answer(codec, 1, &head, false, &out),
                         AMY_ESTATE);
        assert_int_equal(out.len, 0);
        assert_int_equal(answer_empty(codec, 1, true, &out), 0);
        codec->ops->free(codec);
        amy__buf_clear(&out);
        recorder_clear(&r);
    }
}

static void
test_renew_forgets_everything(void **state)
{
    struct recorder r;
    struct amy__codec *codec = new_server(&r);

    (void)state;
    (void)recorder_feed(&r, codec, AMY_SPAN("GET\r\n"), 0);
    amy__h1_renew(codec, &r);
    assert_true(codec->ops->idle(codec));
    assert_true(recorder_feed(&r, codec, AMY_SPAN(GET HOST "\r\n"), 0) > 0);
    assert_int_equal(r.last_id, 1);
    codec->ops->free(codec);
    recorder_clear(&r);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_feed_malformed_refused),
        cmocka_unit_test(test_feed_wellformed_understood_at_every_split),
        cmocka_unit_test(test_feed_target_cut_into_path_and_query),
        cmocka_unit_test(test_feed_request_line_limit_414),
        cmocka_unit_test(test_feed_head_limit_431),
        cmocka_unit_test(test_feed_field_count_limit_431),
        cmocka_unit_test(test_feed_connection_options_limit_400),
        cmocka_unit_test(test_feed_chunk_extensions_limit_400),
        cmocka_unit_test(test_feed_trailer_limits_431),
        cmocka_unit_test(test_send_answer_framed_by_status_method_and_version),
        cmocka_unit_test(test_feed_pipelined_waits_for_next),
        cmocka_unit_test(test_send_answer_after_a_fault_closes),
        cmocka_unit_test(test_send_answer_to_an_unfinished_head_closes),
        cmocka_unit_test(test_send_body_of_an_answer_to_a_fault),
        cmocka_unit_test(test_pass_body_only_where_bytes_go_out_as_they_are),
        cmocka_unit_test(test_send_body_other_than_announced_refused),
        cmocka_unit_test(test_send_answer_splitting_value_refused),
        cmocka_unit_test(test_send_no_room_leaves_all_as_before),
        cmocka_unit_test(test_send_informational_before_the_answer_only),
        cmocka_unit_test(test_eof_only_between_messages),
        cmocka_unit_test(test_switch_takes_early_bytes_after_the_answer),
        cmocka_unit_test(test_switch_that_nobody_asked_for_is_refused),
        cmocka_unit_test(test_renew_forgets_everything),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* HTTP/1.1 as a server: requests in, answers out, one exchange at a time. Not
 * for what a request means; no I/O. */
#include "http/h1.h"
#include "http/h1_parse.h"

/* RFC 9112 2.2: empty lines before a request line are to be ignored. Some
 * clients send one behind a body. */
#define BLANKS_MAX 2

/* Step over CRLFs before the request line. AMY__H1_MORE when only a part of
 * one is there, else 0 or AMY_EPROTO. */
static int
skip_blanks(struct amy__h1 *h1, struct amy__span data, size_t *ret_used,
            struct amy__codec_fault *fault)
{
    size_t used = 0;

    while (used < data.n && data.p[used] == '\r') {
        if (h1->blanks == BLANKS_MAX) {
            return amy__h1_fault(fault, 400, "too many empty lines");
        }
        if (used + 1 == data.n) {
            break;
        }
        if (data.p[used + 1] != '\n') {
            return amy__h1_fault(fault, 400, "bare CR before the request");
        }
        h1->blanks++;
        used += 2;
    }
    *ret_used = used;
    return used < data.n && data.p[used] != '\r' ? 0 : AMY__H1_MORE;
}

static void
begin_request(struct amy__h1 *h1, const struct amy__request_head *head)
{
    h1->id++;
    h1->seen = 0;
    h1->blanks = 0;
    h1->to_head = head->method == AMY__METHOD_HEAD;
    h1->old = head->version_minor == 0;
    h1->keep_alive = head->keep_alive;
    h1->head_sent = false;
    h1->upgrade = head->upgrade_websocket;
    h1->switched = false;
    h1->sender = (struct amy__h1_sender){0};
    h1->step = AMY__H1_STEP_BODY;
    amy__h1_body_begin(&h1->body, head->body, head->content_length,
                       &h1->limits);
    h1->codec.borrow_events->on_request(h1->id, head, h1->codec.user);
}

/* Returns bytes consumed, 0: the head is incomplete, or AMY_EPROTO. */
static int64_t
take_head(struct amy__h1 *h1, struct amy__span data,
          struct amy__codec_fault *fault)
{
    AMY__UNINITIALIZED struct amy__request_head head;
    AMY__UNINITIALIZED struct amy__authority host;
    size_t used = 0;
    int rc = 0;

    if (!amy__h1_worth_parsing(h1, data)) {
        return 0;
    }
    rc = amy__h1_parse_request(data, &h1->limits, &head, &host, &used, fault);
    if (rc == AMY__H1_MORE) {
        h1->seen = data.n;
        h1->enough = used;
        return 0;
    }
    if (rc < 0) {
        return rc;
    }
    begin_request(h1, &head);
    return (int64_t)used;
}

static int64_t
feed_request(struct amy__h1 *h1, struct amy__span data,
             struct amy__codec_fault *fault)
{
    size_t used = 0;
    int64_t n = 0;
    int rc = 0;

    if (h1->step == AMY__H1_STEP_HEAD) {
        rc = h1->seen > 0 ? 0 : skip_blanks(h1, data, &used, fault);
        if (rc != 0) {
            return rc < 0 ? rc : (int64_t)used;
        }
        data = (struct amy__span){data.p + used, data.n - used};
        n = take_head(h1, data, fault);
        if (n <= 0) {
            return n < 0 ? n : (int64_t)used;
        }
        used += (size_t)n;
        data = (struct amy__span){data.p + n, data.n - (size_t)n};
    }
    if (h1->step == AMY__H1_STEP_BODY) {
        n = amy__h1_feed_body(h1, data, fault);
        if (n < 0) {
            return n;
        }
        used += (size_t)n;
        data = (struct amy__span){data.p + n, data.n - (size_t)n};
        if (h1->switched) { /* from inside on_request */
            h1->step = AMY__H1_STEP_TUNNEL;
        }
    }
    if (h1->step == AMY__H1_STEP_TUNNEL) {
        used += (size_t)amy__h1_feed_tunnel(h1, data);
    }
    return (int64_t)used;
}

static int64_t
server_feed(struct amy__codec *codec, struct amy__span data,
            struct amy__codec_fault *ret_fault)
{
    struct amy__h1 *h1 = amy__h1_of(codec);
    int64_t n = 0;

    *ret_fault = (struct amy__codec_fault){0, "the connection is over"};
    if (h1->step == AMY__H1_STEP_BROKEN) {
        return AMY_ESTATE;
    }
    if (data.n == 0) {
        return 0;
    }
    n = feed_request(h1, data, ret_fault);
    if (n < 0) {
        h1->step = AMY__H1_STEP_BROKEN;
        h1->keep_alive = false;
    }
    return n;
}

static int
server_eof(struct amy__codec *codec)
{
    struct amy__h1 *h1 = amy__h1_of(codec);

    /* A client that said all it will say may still read its answer. */
    h1->keep_alive = false;
    if (h1->step == AMY__H1_STEP_TUNNEL) {
        amy__h1_end_tunnel(h1);
        return 0;
    }
    return (h1->step == AMY__H1_STEP_HEAD && h1->seen == 0) ||
                   h1->step == AMY__H1_STEP_DONE
               ? 0
               : AMY_EPROTO;
}

/* RFC 9112 6.3 from the other side: how this answer tells its length, and in
 * what way its body is sent (kind NONE: it has none, what comes is dropped). */
struct framing {
    enum amy__body_kind told;
    enum amy__body_kind sent;
    uint64_t length;
};

static struct framing
framing_of(const struct amy__h1 *h1, const struct amy__answer_head *head)
{
    struct framing f = {AMY__BODY_LENGTH, AMY__BODY_LENGTH, 0};

    if (head->status == 204 || head->status == 304) {
        return (struct framing){AMY__BODY_NONE, AMY__BODY_NONE, 0};
    }
    if (head->status == 205) {
        f.sent = AMY__BODY_NONE;
        return f;
    }
    if (head->body == AMY__BODY_LENGTH) {
        f.length = head->content_length;
    } else if (head->body != AMY__BODY_NONE) {
        f.told = h1->old ? AMY__BODY_UNTIL_CLOSE : AMY__BODY_CHUNKED;
        f.sent = f.told;
    }
    if (h1->to_head) {
        /* Only a length that is known for sure says anything here. */
        f.told =
            head->body == AMY__BODY_LENGTH ? AMY__BODY_LENGTH : AMY__BODY_NONE;
        f.sent = AMY__BODY_NONE;
    }
    return f;
}

static enum amy__h1_connection
connection_of(const struct amy__h1 *h1, bool keep_alive)
{
    if (!keep_alive) {
        return AMY__H1_CONNECTION_CLOSE;
    }
    return h1->old ? AMY__H1_CONNECTION_KEEP : AMY__H1_CONNECTION_SILENT;
}

/* One answer for each request; id 0 for what never became one (a fault, or a
 * head that does not come to its end). */
static bool
may_answer(const struct amy__h1 *h1, amy__stream_id id)
{
    bool begun = h1->step == AMY__H1_STEP_BODY || h1->step == AMY__H1_STEP_DONE;

    if (h1->head_sent) {
        return false;
    }
    if (id == 0) {
        return !begun;
    }
    return id == h1->id && h1->step != AMY__H1_STEP_HEAD;
}

/* The protocol changes. Bytes that came too early were left to the caller, and
 * follow now: nothing of them went to anybody before the answer was known. */
static int
switch_protocols(struct amy__h1 *h1, amy__stream_id id,
                 const struct amy__answer_head *head, struct amy__buf *out)
{
    int rc = 0;

    if (id == 0 || !h1->upgrade || !may_answer(h1, id)) {
        return AMY_ESTATE;
    }
    rc = amy__h1_write_answer(out, head, AMY__BODY_NONE, 0,
                              AMY__H1_CONNECTION_UPGRADE);
    if (rc < 0) {
        return rc;
    }
    h1->head_sent = true;
    h1->out_id = id;
    h1->keep_alive = false;
    h1->switched = true;
    h1->sender = (struct amy__h1_sender){.kind = AMY__BODY_UNTIL_CLOSE};
    if (h1->step == AMY__H1_STEP_DONE) {
        h1->step = AMY__H1_STEP_TUNNEL;
    }
    return 0;
}

static int
server_send_answer(struct amy__codec *codec, amy__stream_id id,
                   const struct amy__answer_head *head, bool end,
                   struct amy__buf *out)
{
    struct amy__h1 *h1 = amy__h1_of(codec);
    struct framing f = framing_of(h1, head);
    bool keep_alive = h1->keep_alive && head->keep_alive && id != 0 &&
                      f.sent != AMY__BODY_UNTIL_CLOSE;
    size_t len = out->len;
    int rc = 0;

    if (head->status == 101) {
        return switch_protocols(h1, id, head, out);
    }
    if (head->status < 200 || head->status > 599) {
        return AMY_EINVAL;
    }
    if (!may_answer(h1, id) ||
        (end && f.sent == AMY__BODY_LENGTH && f.length > 0)) {
        return AMY_ESTATE;
    }
    rc = amy__h1_write_answer(out, head, f.told, f.length,
                              connection_of(h1, keep_alive));
    if (rc < 0) {
        return rc;
    }
    h1->head_sent = true;
    h1->out_id = id;
    h1->keep_alive = keep_alive;
    if (id == 0) {
        h1->step = AMY__H1_STEP_BROKEN;
    }
    h1->sender = (struct amy__h1_sender){.kind = f.sent, .left = f.length};
    return end ? amy__h1_end_head(h1, out, len) : 0;
}

static int
server_send_informational(struct amy__codec *codec, amy__stream_id id,
                          unsigned status, struct amy__buf *out)
{
    struct amy__h1 *h1 = amy__h1_of(codec);

    if (status < 100 || status > 199 || status == 101) {
        return AMY_EINVAL;
    }
    if (id == 0 || !may_answer(h1, id)) {
        return AMY_ESTATE;
    }
    if (h1->old) {
        return 0; /* RFC 9110 15.2: never to HTTP/1.0 */
    }
    return amy__buf_appendf(out, "HTTP/1.1 %u %s\r\n\r\n", status,
                            amy__status_reason(status));
}

static bool
server_next(struct amy__codec *codec, amy__stream_id id)
{
    struct amy__h1 *h1 = amy__h1_of(codec);

    if (id != h1->id || h1->step != AMY__H1_STEP_DONE || !h1->sender.done ||
        !h1->keep_alive) {
        return false;
    }
    h1->step = AMY__H1_STEP_HEAD;
    h1->head_sent = false;
    h1->to_head = false;
    h1->old = false;
    return true;
}

static bool
server_idle(const struct amy__codec *codec)
{
    const struct amy__h1 *h1 = (const struct amy__h1 *)codec;

    return h1->step == AMY__H1_STEP_HEAD && h1->seen == 0;
}

static int
server_send_request(struct amy__codec *codec,
                    const struct amy__request_head *head, bool end,
                    amy__stream_id *ret_id, struct amy__buf *out)
{
    (void)codec;
    (void)head;
    (void)end;
    (void)ret_id;
    (void)out;
    return AMY_ESTATE;
}

static const struct amy__codec_ops server_ops = {
    .feed = server_feed,
    .eof = server_eof,
    .send_request = server_send_request,
    .send_answer = server_send_answer,
    .send_informational = server_send_informational,
    .send_body = amy__h1_send_body,
    .pass_body = amy__h1_pass_body,
    .reset = amy__h1_reset,
    .flush = amy__h1_flush,
    .next = server_next,
    .idle = server_idle,
    .free = amy__h1_free,
};

int
amy__h1_server_create(const struct amy__codec_limits *limits,
                      const struct amy__codec_events *borrow_events, void *user,
                      struct amy__codec **ret_codec, struct amy_error *err)
{
    return amy__h1_create(&server_ops, false, limits, borrow_events, user,
                          ret_codec, err);
}

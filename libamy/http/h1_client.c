/* HTTP/1.1 as a client of one server: one request out, its answer in, then
 * maybe the next. Never pipelines; retries nothing; no I/O. */
#include "http/h1.h"
#include "http/h1_parse.h"

/* Interim answers are each taken as progress by whoever waits, so a server
 * could send them for ever. */
#define INTERIM_MAX 32

static void
begin_answer(struct amy__h1 *h1, const struct amy__answer_head *head)
{
    bool interim = head->status < 200;

    h1->seen = 0;
    if (head->status == 101) {
        h1->step = AMY__H1_STEP_TUNNEL;
        h1->sender = (struct amy__h1_sender){.kind = AMY__BODY_UNTIL_CLOSE};
    } else if (interim) {
        h1->interim++;
    } else {
        h1->keep_alive = h1->keep_alive && head->keep_alive;
        h1->step = AMY__H1_STEP_BODY;
        amy__h1_body_begin(&h1->body, h1->to_head ? AMY__BODY_NONE : head->body,
                           head->content_length, &h1->limits);
    }
    h1->codec.borrow_events->on_answer(h1->id, head, h1->codec.user);
}

/* The protocol that we asked for, and no other. */
static bool
is_agreed(const struct amy__h1 *h1, const struct amy__answer_head *head)
{
    const struct amy__field *upgrade =
        amy__field_find(head->fields, head->field_count, AMY__FIELD_UPGRADE);

    return h1->upgrade && upgrade != NULL &&
           amy__span_eq_nocase(upgrade->value, AMY_SPAN("websocket"));
}

/* Returns bytes consumed, 0: the head is incomplete, or AMY_EPROTO. */
static int64_t
take_head(struct amy__h1 *h1, struct amy__span data,
          struct amy__codec_fault *fault)
{
    AMY__UNINITIALIZED struct amy__answer_head head;
    size_t used = 0;
    int rc = 0;

    if (!amy__h1_worth_parsing(h1, data)) {
        return 0;
    }
    rc = amy__h1_parse_answer(data, &h1->limits, h1->to_head, &head, &h1->folds,
                              &used, fault);
    if (rc == AMY__H1_MORE) {
        h1->seen = data.n;
        h1->enough = used;
        return 0;
    }
    if (rc < 0) {
        return rc;
    }
    if (head.status == 101 && !is_agreed(h1, &head)) {
        return amy__h1_fault(fault, 502, "upgrade nobody asked for");
    }
    if (head.status < 200 && h1->interim == INTERIM_MAX) {
        return amy__h1_fault(fault, 502, "too many interim answers");
    }
    begin_answer(h1, &head);
    return (int64_t)used;
}

static int64_t
feed_answer(struct amy__h1 *h1, struct amy__span data,
            struct amy__codec_fault *fault)
{
    size_t used = 0;
    int64_t n = 0;

    while (h1->step == AMY__H1_STEP_HEAD && used < data.n) {
        struct amy__span rest = {data.p + used, data.n - used};

        n = take_head(h1, rest, fault);
        if (n <= 0) {
            return n < 0 ? n : (int64_t)used;
        }
        used += (size_t)n;
    }
    if (h1->step == AMY__H1_STEP_BODY) {
        struct amy__span rest = {data.p + used, data.n - used};

        n = amy__h1_feed_body(h1, rest, fault);
        if (n < 0) {
            return n;
        }
        used += (size_t)n;
    }
    if (h1->step == AMY__H1_STEP_TUNNEL) {
        struct amy__span rest = {data.p + used, data.n - used};

        used += (size_t)amy__h1_feed_tunnel(h1, rest);
    }
    if (used < data.n) {
        h1->keep_alive = false; /* bytes past the answer's end: dropped */
    }
    return (int64_t)data.n;
}

static int64_t
client_feed(struct amy__codec *codec, struct amy__span data,
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
    if (!h1->head_sent) {
        n = amy__h1_fault(ret_fault, 0, "an answer to no request");
    } else {
        n = feed_answer(h1, data, ret_fault);
    }
    if (n < 0) {
        /* Whatever was wrong, our client is told that the gateway failed. */
        ret_fault->status = ret_fault->status != 0 ? 502 : 0;
        h1->step = AMY__H1_STEP_BROKEN;
        h1->keep_alive = false;
    }
    return n;
}

static int
client_eof(struct amy__codec *codec)
{
    struct amy__h1 *h1 = amy__h1_of(codec);

    h1->keep_alive = false;
    if (h1->step == AMY__H1_STEP_TUNNEL) {
        amy__h1_end_tunnel(h1);
        return 0;
    }
    if (h1->step == AMY__H1_STEP_BODY &&
        h1->body.kind == AMY__BODY_UNTIL_CLOSE) {
        h1->body.done = true;
        h1->step = AMY__H1_STEP_DONE;
        h1->codec.borrow_events->on_end(h1->id, h1->codec.user);
        return 0;
    }
    if (h1->step == AMY__H1_STEP_DONE || !h1->head_sent) {
        return 0;
    }
    h1->step = AMY__H1_STEP_BROKEN;
    return AMY_EPROTO;
}

/* What is told about a request's body: one length or our own chunks. Where a
 * method lets expect a body, its absence is told too (RFC 9110 8.6). */
static enum amy__body_kind
framing_of(const struct amy__request_head *head)
{
    if (head->body == AMY__BODY_UNTIL_CLOSE) {
        return AMY__BODY_CHUNKED;
    }
    if (head->body != AMY__BODY_NONE) {
        return head->body;
    }
    return head->method == AMY__METHOD_POST ||
                   head->method == AMY__METHOD_PUT ||
                   head->method == AMY__METHOD_PATCH
               ? AMY__BODY_LENGTH
               : AMY__BODY_NONE;
}

static int
client_send_request(struct amy__codec *codec,
                    const struct amy__request_head *head, bool end,
                    amy__stream_id *ret_id, struct amy__buf *out)
{
    struct amy__h1 *h1 = amy__h1_of(codec);
    enum amy__body_kind kind = framing_of(head);
    uint64_t length = head->body == AMY__BODY_LENGTH ? head->content_length : 0;
    size_t len = out->len;
    int rc = 0;

    if (h1->head_sent || h1->step != AMY__H1_STEP_HEAD || (end && length > 0)) {
        return AMY_ESTATE;
    }
    rc = amy__h1_write_request(out, head, kind, length);
    if (rc < 0) {
        return rc;
    }
    h1->head_sent = true;
    h1->to_head = head->method == AMY__METHOD_HEAD;
    h1->interim = 0;
    h1->upgrade = head->upgrade_websocket;
    h1->keep_alive = h1->keep_alive && !h1->upgrade;
    h1->sender = (struct amy__h1_sender){.kind = kind, .left = length};
    rc = end ? amy__h1_end_head(h1, out, len) : 0;
    if (rc == 0) {
        h1->id++;
        h1->out_id = h1->id;
        *ret_id = h1->id;
    }
    return rc;
}

static int
client_send_answer(struct amy__codec *codec, amy__stream_id id,
                   const struct amy__answer_head *head, bool end,
                   struct amy__buf *out)
{
    (void)codec;
    (void)id;
    (void)head;
    (void)end;
    (void)out;
    return AMY_ESTATE;
}

static int
client_send_informational(struct amy__codec *codec, amy__stream_id id,
                          unsigned status, struct amy__buf *out)
{
    (void)codec;
    (void)id;
    (void)status;
    (void)out;
    return AMY_ESTATE;
}

static bool
client_next(struct amy__codec *codec, amy__stream_id id)
{
    struct amy__h1 *h1 = amy__h1_of(codec);

    if (id != h1->id || h1->step != AMY__H1_STEP_DONE || !h1->sender.done ||
        !h1->keep_alive) {
        return false;
    }
    h1->step = AMY__H1_STEP_HEAD;
    h1->head_sent = false;
    return true;
}

static bool
client_idle(const struct amy__codec *codec)
{
    const struct amy__h1 *h1 = (const struct amy__h1 *)codec;

    return h1->step == AMY__H1_STEP_HEAD && !h1->head_sent;
}

static const struct amy__codec_ops client_ops = {
    .feed = client_feed,
    .eof = client_eof,
    .send_request = client_send_request,
    .send_answer = client_send_answer,
    .send_informational = client_send_informational,
    .send_body = amy__h1_send_body,
    .pass_body = amy__h1_pass_body,
    .reset = amy__h1_reset,
    .flush = amy__h1_flush,
    .next = client_next,
    .idle = client_idle,
    .free = amy__h1_free,
};

int
amy__h1_client_create(const struct amy__codec_limits *limits,
                      const struct amy__codec_events *borrow_events, void *user,
                      struct amy__codec **ret_codec, struct amy_error *err)
{
    return amy__h1_create(&client_ops, true, limits, borrow_events, user,
                          ret_codec, err);
}

/* HTTP/2 as a server, on nghttp2's session over memory (RFC 9113). No
 * connection offers it yet: it keeps `serve` from being shaped by HTTP/1.1. */
#include "core/alloc.h"
#include "core/check.h"
#include "core/error.h"
#include "http/chars.h"
#include "http/h1_parse.h"
#include "http/h2_head.h"

#include <nghttp2/nghttp2.h>
#include <stdio.h>
#include <string.h>

#define H2_MAGIC 0x6832c0deU
/* What may wait for the peer's flow control, per stream. */
#define WAITING_MAX (1U << 20)

struct h2_stream {
    struct h2_stream *next;
    amy__stream_id id;
    struct amy__h2_head fields; /* as they arrive, until the head is whole */
    struct amy__buf waiting;    /* body bytes not yet taken by nghttp2 */
    bool to_head;
    bool begun;    /* on_request was called */
    bool ended;    /* on_end was called */
    bool answered; /* the final head was sent */
    bool bodiless; /* what is sent for its body is dropped */
    bool last;     /* no more body bytes will be given */
};

struct amy__h2 {
    struct amy__codec codec; /* first: what the caller holds */
    unsigned magic;
    struct amy__codec_limits limits;
    nghttp2_session *session;
    struct h2_stream *streams;
    struct amy__span unsent; /* of nghttp2, until it is asked for more */
    bool feeding; /* inside feed(): nghttp2 may not be asked for bytes */
};

static struct amy__h2 *
h2_of(struct amy__codec *codec)
{
    struct amy__h2 *h2 = (struct amy__h2 *)codec;

    AMY_CHECK(h2, H2_MAGIC);
    return h2;
}

static struct h2_stream *
find_stream(const struct amy__h2 *h2, amy__stream_id id)
{
    struct h2_stream *s = h2->streams;

    while (s != NULL && s->id != id) {
        s = s->next;
    }
    return s;
}

static void
free_stream(struct amy__h2 *h2, struct h2_stream *s)
{
    struct h2_stream **at = &h2->streams;

    while (*at != s) {
        at = &(*at)->next;
    }
    *at = s->next;
    amy__h2_head_clear(&s->fields);
    amy__buf_clear(&s->waiting);
    amy__free(s);
}

/* ---- heads that we send ---- */

/* A head as nghttp2 takes it: the status first, lengths from us. */
struct lines {
    nghttp2_nv nv[AMY__FIELDS_ROOM + 2];
    size_t count;
    char status[4];
    char length[24];
};

static void
add_line(struct lines *lines, struct amy__span name, struct amy__span value)
{
    /* nghttp2 copies both, and writes names in lower case. */
    lines->nv[lines->count++] = (nghttp2_nv){
        .name = (uint8_t *)(uintptr_t)name.p,
        .value = (uint8_t *)(uintptr_t)value.p,
        .namelen = name.n,
        .valuelen = value.n,
        .flags = NGHTTP2_NV_FLAG_NONE,
    };
}

static bool
writes_length(const struct amy__answer_head *head)
{
    return head->body == AMY__BODY_LENGTH && head->status >= 200 &&
           head->status != 204 && head->status != 304;
}

/* False: a byte that no value may hold. */
static bool
make_lines(const struct amy__answer_head *head, struct lines *lines)
{
    lines->count = 0;
    (void)snprintf(lines->status, sizeof(lines->status), "%u", head->status);
    add_line(lines, AMY_SPAN(":status"), amy__span_of(lines->status));
    for (size_t i = 0; i < head->field_count; i++) {
        const struct amy__field *field = &head->fields[i];
        struct amy__span value = field->value;

        if ((field->flags & AMY__FIELD_HOP) != 0 ||
            amy__field_is_hop((enum amy__field_id)field->id) ||
            field->id == AMY__FIELD_CONTENT_LENGTH) {
            continue;
        }
        if (value.n > 0 &&
            amy__scan_value(value.p, value.p + value.n) != value.p + value.n) {
            return false;
        }
        add_line(lines, field->name, value);
    }
    if (writes_length(head)) {
        (void)snprintf(lines->length, sizeof(lines->length), "%llu",
                       (unsigned long long)head->content_length);
        add_line(lines, AMY_SPAN("content-length"),
                 amy__span_of(lines->length));
    }
    return true;
}

/* ---- what nghttp2 tells us; it has checked the message's form (8.1, 8.2) ----
 */

static int
on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame,
                 void *user)
{
    struct amy__h2 *h2 = user;
    struct h2_stream *s = NULL;

    (void)session;
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers */
    }
    s = amy__calloc(1, sizeof(*s));
    if (s == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    s->id = (amy__stream_id)frame->hd.stream_id;
    amy__h2_head_init(&s->fields, &h2->limits);
    amy__buf_init(&s->waiting, WAITING_MAX);
    s->next = h2->streams;
    h2->streams = s;
    return 0;
}

static int
on_header(nghttp2_session *session, const nghttp2_frame *frame,
          const uint8_t *name, size_t name_n, const uint8_t *value,
          size_t value_n, uint8_t flags, void *user)
{
    struct amy__h2 *h2 = user;
    struct h2_stream *s = find_stream(h2, (amy__stream_id)frame->hd.stream_id);

    (void)session;
    (void)flags;
    if (s == NULL || frame->headers.cat != NGHTTP2_HCAT_REQUEST) {
        return 0; /* trailers are dropped */
    }
    return amy__h2_head_add(
               &s->fields, (struct amy__span){(const char *)name, name_n},
               (struct amy__span){(const char *)value, value_n}) < 0
               ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
               : 0;
}

static void
refuse_stream(struct amy__h2 *h2, struct h2_stream *s, unsigned status)
{
    const struct amy__answer_head head = {.status = status};
    AMY__UNINITIALIZED struct lines lines;

    (void)make_lines(&head, &lines); /* no fields: cannot fail */
    s->answered = true;
    s->last = true;
    (void)nghttp2_submit_response(h2->session, (int32_t)s->id, lines.nv,
                                  lines.count, NULL);
}

static void
begin_request(struct amy__h2 *h2, struct h2_stream *s, bool end)
{
    AMY__UNINITIALIZED struct amy__request_head head;
    AMY__UNINITIALIZED struct amy__authority host;
    unsigned status = amy__h2_head_finish(&s->fields, end, &head, &host);

    if (status != 0) {
        refuse_stream(h2, s, status);
        return;
    }
    s->begun = true;
    s->to_head = head.method == AMY__METHOD_HEAD;
    h2->codec.borrow_events->on_request(s->id, &head, h2->codec.user);
    amy__h2_head_clear(&s->fields);
}

static int
on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct amy__h2 *h2 = user;
    struct h2_stream *s = find_stream(h2, (amy__stream_id)frame->hd.stream_id);
    bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;

    (void)session;
    if (s == NULL ||
        (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) {
        return 0;
    }
    if (frame->hd.type == NGHTTP2_HEADERS &&
        frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
        begin_request(h2, s, end);
    }
    if (end && s->begun && !s->ended) {
        s->ended = true;
        h2->codec.borrow_events->on_end(s->id, h2->codec.user);
    }
    return 0;
}

static int
on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id,
              const uint8_t *data, size_t n, void *user)
{
    struct amy__h2 *h2 = user;
    struct h2_stream *s = find_stream(h2, (amy__stream_id)id);

    (void)session;
    (void)flags;
    if (s != NULL && s->begun && n > 0) {
        h2->codec.borrow_events->on_body(
            s->id, (struct amy__span){(const char *)data, n}, h2->codec.user);
    }
    return 0;
}

static int
on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
    struct amy__h2 *h2 = user;
    struct h2_stream *s = find_stream(h2, (amy__stream_id)id);

    (void)session;
    if (s == NULL) {
        return 0;
    }
    if (s->begun && (!s->ended || !s->last)) {
        h2->codec.borrow_events->on_reset(s->id, code, h2->codec.user);
    }
    free_stream(h2, s);
    return 0;
}

/* ---- sending ---- */

static ssize_t
read_waiting(nghttp2_session *session, int32_t id, uint8_t *buf, size_t size,
             uint32_t *flags, nghttp2_data_source *source, void *user)
{
    struct h2_stream *s = find_stream(user, (amy__stream_id)id);
    size_t n = 0;

    (void)session;
    (void)source;
    if (s == NULL) {
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    }
    n = s->waiting.len < size ? s->waiting.len : size;
    if (n == 0 && !s->last) {
        return NGHTTP2_ERR_DEFERRED;
    }
    if (n > 0) {
        memcpy(buf, s->waiting.data, n);
        amy__buf_consume(&s->waiting, n);
    }
    if (s->last && s->waiting.len == 0) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    }
    return (ssize_t)n;
}

/* Append what nghttp2 wants to send. A piece that finds no room is kept: it
 * stays valid until the next one is asked for. */
static int
h2_flush(struct amy__codec *codec, struct amy__buf *out)
{
    struct amy__h2 *h2 = h2_of(codec);

    if (h2->feeding) {
        return 0;
    }
    for (;;) {
        const uint8_t *data = NULL;
        ssize_t n = 0;
        int rc = amy__buf_append_span(out, h2->unsent);

        if (rc < 0) {
            return rc;
        }
        h2->unsent = (struct amy__span){NULL, 0};
        n = nghttp2_session_mem_send(h2->session, &data);
        if (n <= 0) {
            return n == 0 ? 0 : AMY_ENOMEM;
        }
        h2->unsent = (struct amy__span){(const char *)data, (size_t)n};
    }
}

static bool
is_bodiless(const struct h2_stream *s, unsigned status)
{
    return s->to_head || status == 204 || status == 205 || status == 304;
}

static int
h2_send_answer(struct amy__codec *codec, amy__stream_id id,
               const struct amy__answer_head *head, bool end,
               struct amy__buf *out)
{
    struct amy__h2 *h2 = h2_of(codec);
    struct h2_stream *s = find_stream(h2, id);
    const nghttp2_data_provider provider = {.read_callback = read_waiting};
    AMY__UNINITIALIZED struct lines lines;
    int rc = 0;

    if (s == NULL || s->answered) {
        return AMY_ESTATE;
    }
    if (head->status < 200 || head->status > 599 || !make_lines(head, &lines)) {
        return AMY_EINVAL;
    }
    s->bodiless = is_bodiless(s, head->status);
    s->last = end;
    rc = nghttp2_submit_response(h2->session, (int32_t)id, lines.nv,
                                 lines.count, s->last ? NULL : &provider);
    if (rc != 0) {
        return rc == NGHTTP2_ERR_NOMEM ? AMY_ENOMEM : AMY_ESTATE;
    }
    s->answered = true;
    return h2_flush(codec, out);
}

static int
h2_send_informational(struct amy__codec *codec, amy__stream_id id,
                      unsigned status, struct amy__buf *out)
{
    struct amy__h2 *h2 = h2_of(codec);
    struct h2_stream *s = find_stream(h2, id);
    const struct amy__answer_head head = {.status = status};
    AMY__UNINITIALIZED struct lines lines;

    if (status < 100 || status > 199 || status == 101) {
        return AMY_EINVAL;
    }
    if (s == NULL || s->answered) {
        return AMY_ESTATE;
    }
    (void)make_lines(&head, &lines); /* no fields: cannot fail */
    if (nghttp2_submit_headers(h2->session, NGHTTP2_FLAG_NONE, (int32_t)id,
                               NULL, lines.nv, lines.count, NULL) != 0) {
        return AMY_ENOMEM;
    }
    return h2_flush(codec, out);
}

static int
h2_send_body(struct amy__codec *codec, amy__stream_id id, struct amy__span data,
             bool end, struct amy__buf *out)
{
    struct amy__h2 *h2 = h2_of(codec);
    struct h2_stream *s = find_stream(h2, id);
    int rc = 0;

    if (s == NULL || !s->answered) {
        return AMY_ESTATE;
    }
    if (s->last) {
        return AMY_ESTATE;
    }
    rc = s->bodiless ? 0 : amy__buf_append_span(&s->waiting, data);
    if (rc < 0) {
        return rc;
    }
    s->last = end;
    /* Fails only when nothing was deferred, which is as well. */
    (void)nghttp2_session_resume_data(h2->session, (int32_t)id);
    return h2_flush(codec, out);
}

static int
h2_pass_body(struct amy__codec *codec, amy__stream_id id, uint64_t n, bool end)
{
    (void)codec;
    (void)id;
    (void)n;
    (void)end;
    return AMY_EUNSUPPORTED;
}

static int
h2_reset(struct amy__codec *codec, amy__stream_id id, uint32_t code,
         struct amy__buf *out)
{
    struct amy__h2 *h2 = h2_of(codec);

    if (find_stream(h2, id) == NULL) {
        return AMY_ESTATE;
    }
    if (nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE, (int32_t)id,
                                  code) != 0) {
        return AMY_ENOMEM;
    }
    return h2_flush(codec, out);
}

static int
h2_send_request(struct amy__codec *codec, const struct amy__request_head *head,
                bool end, amy__stream_id *ret_id, struct amy__buf *out)
{
    (void)codec;
    (void)head;
    (void)end;
    (void)ret_id;
    (void)out;
    return AMY_ESTATE;
}

/* ---- the connection ---- */

static int64_t
h2_feed(struct amy__codec *codec, struct amy__span data,
        struct amy__codec_fault *ret_fault)
{
    struct amy__h2 *h2 = h2_of(codec);
    ssize_t n = 0;

    *ret_fault = (struct amy__codec_fault){0, "HTTP/2 connection error"};
    h2->feeding = true;
    n = nghttp2_session_mem_recv(h2->session, (const uint8_t *)data.p, data.n);
    h2->feeding = false;
    if (n < 0 || (!nghttp2_session_want_read(h2->session) &&
                  !nghttp2_session_want_write(h2->session))) {
        return AMY_EPROTO;
    }
    return n;
}

static int
h2_eof(struct amy__codec *codec)
{
    return h2_of(codec)->streams == NULL ? 0 : AMY_EPROTO;
}

static bool
h2_next(struct amy__codec *codec, amy__stream_id id)
{
    struct amy__h2 *h2 = h2_of(codec);

    (void)id;
    return nghttp2_session_want_read(h2->session) != 0 ||
           nghttp2_session_want_write(h2->session) != 0;
}

static bool
h2_idle(const struct amy__codec *codec)
{
    return ((const struct amy__h2 *)codec)->streams == NULL;
}

static void
h2_free(struct amy__codec *codec)
{
    struct amy__h2 *h2 = NULL;

    if (codec == NULL) {
        return;
    }
    h2 = h2_of(codec);
    while (h2->streams != NULL) {
        free_stream(h2, h2->streams);
    }
    nghttp2_session_del(h2->session);
    h2->magic = 0;
    amy__free(h2);
}

static const struct amy__codec_ops h2_ops = {
    .feed = h2_feed,
    .eof = h2_eof,
    .send_request = h2_send_request,
    .send_answer = h2_send_answer,
    .send_informational = h2_send_informational,
    .send_body = h2_send_body,
    .pass_body = h2_pass_body,
    .reset = h2_reset,
    .flush = h2_flush,
    .next = h2_next,
    .idle = h2_idle,
    .free = h2_free,
};

static int
open_session(struct amy__h2 *h2)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, h2->limits.streams},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, h2->limits.head_bytes},
    };
    nghttp2_session_callbacks *callbacks = NULL;
    int rc = nghttp2_session_callbacks_new(&callbacks);

    if (rc != 0) {
        return rc;
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks,
                                                            on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks,
                                                         on_frame_recv);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks,
                                                              on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks,
                                                           on_stream_close);
    rc = nghttp2_session_server_new(&h2->session, callbacks, h2);
    nghttp2_session_callbacks_del(callbacks);
    return rc != 0 ? rc
                   : nghttp2_submit_settings(h2->session, NGHTTP2_FLAG_NONE,
                                             settings, 2);
}

int
amy__h2_server_create(const struct amy__codec_limits *limits,
                      const struct amy__codec_events *borrow_events, void *user,
                      struct amy__codec **ret_codec, struct amy_error *err)
{
    struct amy__h2 *h2 = amy__calloc(1, sizeof(*h2));

    if (h2 == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating an HTTP/2 codec");
    }
    h2->magic = H2_MAGIC;
    h2->codec.ops = &h2_ops;
    h2->codec.borrow_events = borrow_events;
    h2->codec.user = user;
    h2->limits = amy__h1_limits(limits, false);
    h2->limits.streams = h2->limits.streams != 0 ? h2->limits.streams : 100;
    if (open_session(h2) != 0) {
        h2_free(&h2->codec);
        return amy__err(err, AMY_ENOMEM, "opening an HTTP/2 session");
    }
    *ret_codec = &h2->codec;
    return 0;
}

#include "recorder.h"

#include <stdlib.h>
#include <string.h>

#define TEXT_MAX (4U * 1024 * 1024)

/* A test that runs out of room is a broken test. */
static void
must(int rc)
{
    if (rc < 0) {
        abort();
    }
}

static void
flush_body(struct recorder *r)
{
    if (r->body.len > 0) {
        must(amy__buf_appendf(&r->text, "body "));
        must(amy__buf_append(&r->text, r->body.data, r->body.len));
        must(amy__buf_append_text(&r->text, "\n"));
        r->body.len = 0;
    }
}

static void
write_fields(struct recorder *r, const struct amy__field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        must(amy__buf_appendf(
            &r->text, "  %.*s: %.*s%s\n", AMY_SPAN_ARG(fields[i].name),
            AMY_SPAN_ARG(fields[i].value),
            (fields[i].flags & AMY__FIELD_HOP) != 0 ? " (hop)" : ""));
    }
}

static void
on_request(amy__stream_id id, const struct amy__request_head *head, void *user)
{
    struct recorder *r = user;

    r->requests++;
    r->last_id = id;
    flush_body(r);
    must(amy__buf_appendf(&r->text, "request %.*s %.*s host=%.*s:%u",
                          AMY_SPAN_ARG(head->method_text),
                          AMY_SPAN_ARG(head->target), AMY_SPAN_ARG(head->host),
                          (unsigned)head->port));
    if (head->body == AMY__BODY_LENGTH) {
        must(amy__buf_appendf(&r->text, " length=%llu",
                              (unsigned long long)head->content_length));
    }
    must(amy__buf_appendf(
        &r->text, "%s%s%s%s%s\n",
        head->body == AMY__BODY_CHUNKED ? " chunked" : "",
        head->keep_alive ? "" : " close",
        head->expect_continue ? " expect" : "",
        head->upgrade_websocket ? " websocket" : "",
        head->refuse != 0
            ? (head->refuse == 405 ? " refuse=405" : " refuse=417")
            : ""));
    write_fields(r, head->fields, head->field_count);
}

static void
on_answer(amy__stream_id id, const struct amy__answer_head *head, void *user)
{
    static const char *const kinds[] = {"none", "length", "chunked", "close"};
    struct recorder *r = user;

    r->answers++;
    r->last_id = id;
    flush_body(r);
    must(amy__buf_appendf(&r->text, "answer %u %.*s body=%s", head->status,
                          AMY_SPAN_ARG(head->reason), kinds[head->body]));
    if (head->body == AMY__BODY_LENGTH) {
        must(amy__buf_appendf(&r->text, ":%llu",
                              (unsigned long long)head->content_length));
    }
    must(amy__buf_appendf(&r->text, "%s\n", head->keep_alive ? "" : " close"));
    write_fields(r, head->fields, head->field_count);
}

static void
on_body(amy__stream_id id, struct amy__span data, void *user)
{
    struct recorder *r = user;

    (void)id;
    r->body_bytes += data.n;
    must(amy__buf_append_span(&r->body, data));
}

static void
on_end(amy__stream_id id, void *user)
{
    struct recorder *r = user;

    (void)id;
    r->ends++;
    flush_body(r);
    must(amy__buf_append_text(&r->text, "end\n"));
}

static void
on_reset(amy__stream_id id, uint32_t code, void *user)
{
    struct recorder *r = user;

    (void)id;
    flush_body(r);
    must(amy__buf_appendf(&r->text, "reset %u\n", code));
}

const struct amy__codec_events recorder_events = {
    .on_request = on_request,
    .on_answer = on_answer,
    .on_body = on_body,
    .on_end = on_end,
    .on_reset = on_reset,
};

void
recorder_init(struct recorder *r)
{
    *r = (struct recorder){0};
    amy__buf_init(&r->text, TEXT_MAX);
    amy__buf_init(&r->body, TEXT_MAX);
    must(amy__buf_append_text(&r->text, ""));
}

void
recorder_clear(struct recorder *r)
{
    amy__buf_clear(&r->text);
    amy__buf_clear(&r->body);
}

const char *
recorder_text(struct recorder *r)
{
    flush_body(r);
    return r->text.data;
}

/* Each window of the bytes is copied into a block of its own size, so that a
 * read past it is seen by the address sanitizer. */
static int64_t
feed_window(struct recorder *r, struct amy__codec *codec,
            struct amy__span window)
{
    char *copy = malloc(window.n > 0 ? window.n : 1);
    struct amy__codec_fault fault = {0};
    int64_t n = 0;

    if (copy == NULL) {
        abort();
    }
    if (window.n > 0) {
        memcpy(copy, window.p, window.n);
    }
    n = codec->ops->feed(codec, (struct amy__span){copy, window.n}, &fault);
    if (n > (int64_t)window.n) {
        abort();
    }
    free(copy);
    if (n < 0) {
        r->fault = fault;
        flush_body(r);
        must(amy__buf_appendf(&r->text, "fault %u %s\n", fault.status,
                              fault.reason));
    }
    return n;
}

/* Feed data[*used .. have) until no more of it is taken. */
static int64_t
feed_until(struct recorder *r, struct amy__codec *codec, struct amy__span data,
           size_t *used)
{
    int64_t n = 0;

    do {
        n = feed_window(r, codec,
                        (struct amy__span){data.p + *used, data.n - *used});
        if (n < 0) {
            return n;
        }
        *used += (size_t)n;
    } while (n > 0 && *used < data.n);
    return (int64_t)*used;
}

int64_t
recorder_feed(struct recorder *r, struct amy__codec *codec,
              struct amy__span data, size_t step)
{
    size_t used = 0;
    size_t have = 0;
    int64_t n = 0;

    do {
        have = step == 0 || data.n - have < step ? data.n : have + step;
        n = feed_until(r, codec, (struct amy__span){data.p, have}, &used);
    } while (n >= 0 && have < data.n);
    return n;
}

int64_t
recorder_feed_split(struct recorder *r, struct amy__codec *codec,
                    struct amy__span data, size_t cut)
{
    size_t used = 0;
    int64_t n = feed_until(r, codec, (struct amy__span){data.p, cut}, &used);

    return n < 0 ? n : feed_until(r, codec, data, &used);
}

/* From HTTP/2 fields to the same head that HTTP/1.1 gives (RFC 9113 8.3): what
 * HTTP/1.1 would refuse is refused here too, for workers speak HTTP/1.1. Not
 * nghttp2's business: it has checked names, order and pseudo fields. */
#include "http/h2_head.h"

#include "http/chars.h"
#include "http/h1_parse.h"
#include "http/path.h"

#include <string.h>

void
amy__h2_head_init(struct amy__h2_head *h,
                  const struct amy__codec_limits *limits)
{
    h->count = 0;
    h->refused = 0;
    h->lines_max = limits->field_count;
    /* Cookie crumbs are joined in it, too. */
    amy__buf_init(&h->text, 2 * (size_t)limits->head_bytes);
}

void
amy__h2_head_clear(struct amy__h2_head *h)
{
    amy__buf_clear(&h->text);
}

/* Where the line of a pseudo field goes; NULL: nobody asks (:scheme). */
static struct amy__h2_line *
pseudo_line(struct amy__h2_head *h, struct amy__span name)
{
    if (amy__span_eq(name, AMY_SPAN(":method"))) {
        return &h->method;
    }
    if (amy__span_eq(name, AMY_SPAN(":path"))) {
        return &h->path;
    }
    return amy__span_eq(name, AMY_SPAN(":authority")) ? &h->authority : NULL;
}

int
amy__h2_head_add(struct amy__h2_head *h, struct amy__span name,
                 struct amy__span value)
{
    struct amy__h2_line *line = NULL;
    size_t at = h->text.len;
    int rc = 0;

    if (h->refused != 0) {
        return 0; /* HPACK has to see the rest all the same */
    }
    if (name.n > 0 && name.p[0] == ':') {
        line = pseudo_line(h, name);
    } else if (memchr(name.p, '_', name.n) == NULL) {
        line = h->count < h->lines_max ? &h->lines[h->count] : NULL;
        h->refused = line == NULL ? 431 : 0;
        h->count += line != NULL ? 1 : 0;
    }
    if (line == NULL) {
        return 0;
    }
    if (at + name.n + value.n > h->text.max / 2) {
        h->refused = 431;
        return 0;
    }
    rc = amy__buf_append_span(&h->text, name);
    rc = rc < 0 ? rc : amy__buf_append_span(&h->text, value);
    *line = (struct amy__h2_line){(uint32_t)at, (uint32_t)name.n,
                                  (uint32_t)(at + name.n), (uint32_t)value.n};
    return rc;
}

static struct amy__span
value_of(const struct amy__h2_head *h, const struct amy__h2_line *line)
{
    return line->value_n == 0
               ? (struct amy__span){NULL, 0}
               : (struct amy__span){h->text.data + line->value_at,
                                    line->value_n};
}

static struct amy__span
name_of(const struct amy__h2_head *h, const struct amy__h2_line *line)
{
    return (struct amy__span){h->text.data + line->name_at, line->name_n};
}

/* 8.2.3: crumbs of Cookie become one field, at the first one's place. */
static bool
join_cookies(struct amy__h2_head *h)
{
    struct amy__h2_line *first = NULL;
    size_t kept = 0;

    /* Nothing may move while values are copied within the text. */
    if (amy__buf_reserve(&h->text, h->text.len + 2 * h->count) < 0) {
        return h->text.len == 0;
    }
    for (size_t i = 0; i < h->count; i++) {
        struct amy__h2_line line = h->lines[i];

        if (!amy__span_eq(name_of(h, &line), AMY_SPAN("cookie"))) {
            h->lines[kept++] = line;
            continue;
        }
        if (first == NULL) {
            first = &h->lines[kept++];
            *first = line;
            continue;
        }
        if (first->value_at + first->value_n != h->text.len) {
            size_t at = h->text.len;

            if (amy__buf_append_span(&h->text, value_of(h, first)) < 0) {
                return false;
            }
            first->value_at = (uint32_t)at;
        }
        if (amy__buf_append(&h->text, "; ", 2) < 0 ||
            amy__buf_append_span(&h->text, value_of(h, &line)) < 0) {
            return false;
        }
        first->value_n = (uint32_t)(h->text.len - first->value_at);
    }
    h->count = kept;
    return true;
}

static bool
settle_target(struct amy__request_head *head)
{
    const char *question = NULL;
    struct amy__span t = head->target;
    bool asterisk = amy__span_eq(t, AMY_SPAN("*"));

    if (head->method == AMY__METHOD_CONNECT) {
        head->target = head->authority;
        head->path = head->authority;
        return true;
    }
    if (t.n == 0 || (t.p[0] != '/' && !asterisk) ||
        (asterisk && head->method != AMY__METHOD_OPTIONS) ||
        amy__scan_target(t.p, t.p + t.n, &question) != t.p + t.n) {
        return false;
    }
    head->path = t;
    if (question != NULL) {
        head->path.n = (size_t)(question - t.p);
        head->query = (struct amy__span){question + 1, t.n - head->path.n - 1};
    }
    return !amy__path_has_nul(head->path);
}

/* 8.3.1: Host stands in for :authority, and may not contradict it. */
static bool
settle_host(struct amy__request_head *head, struct amy__authority *host)
{
    const struct amy__field *field =
        amy__field_find(head->fields, head->field_count, AMY__FIELD_HOST);

    if (head->authority.n == 0 && field != NULL) {
        head->authority = field->value;
    }
    if ((field != NULL &&
         !amy__span_eq_nocase(field->value, head->authority)) ||
        !amy__authority_parse(head->authority, host)) {
        return false;
    }
    head->host = (struct amy__span){host->host, host->host_n};
    head->port = host->port;
    return true;
}

static bool
settle_body(struct amy__request_head *head, bool end)
{
    const struct amy__field *length = amy__field_find(
        head->fields, head->field_count, AMY__FIELD_CONTENT_LENGTH);
    const struct amy__field *expect =
        amy__field_find(head->fields, head->field_count, AMY__FIELD_EXPECT);

    head->body = end ? AMY__BODY_NONE : AMY__BODY_CHUNKED;
    if (length != NULL) {
        head->body = AMY__BODY_LENGTH;
        if (!amy__parse_u64(length->value, INT64_MAX, &head->content_length)) {
            return false;
        }
    }
    if (head->method == AMY__METHOD_CONNECT ||
        head->method == AMY__METHOD_TRACE) {
        head->refuse = 405;
    } else if (expect != NULL &&
               amy__span_eq_nocase(expect->value, AMY_SPAN("100-continue"))) {
        head->expect_continue = !end;
    } else if (expect != NULL) {
        head->refuse = 417;
    }
    return true;
}

static void
fill_fields(const struct amy__h2_head *h, struct amy__request_head *head)
{
    head->field_count = h->count;
    for (size_t i = 0; i < h->count; i++) {
        struct amy__field *field = &head->fields[i];
        enum amy__field_id id = AMY__FIELD_OTHER;

        field->name = name_of(h, &h->lines[i]);
        field->value = amy__span_trim(value_of(h, &h->lines[i]));
        id = amy__field_id_of(field->name);
        field->id = (uint16_t)id;
        field->flags = amy__field_is_hop(id) ? AMY__FIELD_HOP : 0;
    }
}

unsigned
amy__h2_head_finish(struct amy__h2_head *h, bool end,
                    struct amy__request_head *ret_head,
                    struct amy__authority *ret_host)
{
    struct amy__span method = {NULL, 0};

    if (h->refused != 0 || !join_cookies(h)) {
        return 431;
    }
    method = value_of(h, &h->method);
    if (method.n == 0 || method.n > AMY__H1_METHOD_MAX ||
        amy__scan_token(method.p, method.p + method.n) != method.p + method.n) {
        return 400;
    }
    ret_head->method = amy__method_of(method);
    ret_head->method_text = method;
    ret_head->target = value_of(h, &h->path);
    ret_head->authority = value_of(h, &h->authority);
    ret_head->query = (struct amy__span){NULL, 0};
    ret_head->version_major = 2;
    ret_head->version_minor = 0;
    ret_head->content_length = 0;
    ret_head->keep_alive = true;
    ret_head->expect_continue = false;
    ret_head->upgrade_websocket = false;
    ret_head->refuse = 0;
    fill_fields(h, ret_head);
    return settle_target(ret_head) && settle_host(ret_head, ret_host) &&
                   settle_body(ret_head, end)
               ? 0
               : 400;
}

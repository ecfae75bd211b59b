/* The writer of HTTP/1.1 heads and bodies: one reservation, then plain copies.
 * What is to be written was decided by the codec; nothing is judged here but
 * bytes that would let a value break out of its line. */
#include "http/h1_write.h"

#include "http/chars.h"

#include <string.h>

#define DECIMAL_MAX 20 /* digits of a uint64_t */

static char *
put(char *at, const char *p, size_t n)
{
    if (n > 0) {
        memcpy(at, p, n);
    }
    return at + n;
}

static char *
put_span(char *at, struct amy__span s)
{
    return put(at, s.p, s.n);
}

#define PUT(at, literal) put(at, literal, sizeof(literal) - 1)

static char *
put_number(char *at, uint64_t value)
{
    char digits[DECIMAL_MAX];
    size_t n = 0;

    do {
        digits[sizeof(digits) - ++n] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    return put(at, digits + sizeof(digits) - n, n);
}

/* Host is written from the authority; lengths and Connection by us. */
static bool
is_ours(const struct amy__field *field)
{
    return (field->flags & AMY__FIELD_HOP) != 0 ||
           field->id == AMY__FIELD_CONTENT_LENGTH ||
           field->id == AMY__FIELD_TRANSFER_ENCODING ||
           field->id == AMY__FIELD_CONNECTION || field->id == AMY__FIELD_HOST;
}

static bool
is_value(struct amy__span s)
{
    return s.n == 0 || amy__scan_value(s.p, s.p + s.n) == s.p + s.n;
}

/* Bytes that the fields take; 0: one of them cannot be written. Names come from
 * the parser or from literals of ours; values may be put together. */
static bool
measure(const struct amy__field *fields, size_t count, size_t *ret_size)
{
    size_t size = 0;

    for (size_t i = 0; i < count; i++) {
        if (is_ours(&fields[i])) {
            continue;
        }
        if (fields[i].name.n == 0 || !is_value(fields[i].name) ||
            !is_value(fields[i].value)) {
            return false;
        }
        size += fields[i].name.n + fields[i].value.n + sizeof(": \r\n") - 1;
    }
    *ret_size = size;
    return true;
}

static char *
put_fields(char *at, const struct amy__field *fields, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (!is_ours(&fields[i])) {
            at = put_span(at, fields[i].name);
            at = PUT(at, ": ");
            at = put_span(at, fields[i].value);
            at = PUT(at, "\r\n");
        }
    }
    return at;
}

#define UPGRADE "Connection: Upgrade\r\nUpgrade: websocket\r\n"
#define FRAMING_MAX                                                            \
    (sizeof("Transfer-Encoding: chunked\r\n" UPGRADE "\r\n") + DECIMAL_MAX)

/* The last lines of every head. */
static char *
put_framing(char *at, enum amy__body_kind kind, uint64_t length,
            enum amy__h1_connection connection)
{
    if (kind == AMY__BODY_LENGTH) {
        at = PUT(at, "Content-Length: ");
        at = put_number(at, length);
        at = PUT(at, "\r\n");
    } else if (kind == AMY__BODY_CHUNKED) {
        at = PUT(at, "Transfer-Encoding: chunked\r\n");
    }
    if (connection == AMY__H1_CONNECTION_CLOSE) {
        at = PUT(at, "Connection: close\r\n");
    } else if (connection == AMY__H1_CONNECTION_KEEP) {
        at = PUT(at, "Connection: keep-alive\r\n");
    } else if (connection == AMY__H1_CONNECTION_UPGRADE) {
        at = PUT(at, UPGRADE);
    }
    return PUT(at, "\r\n");
}

int
amy__h1_write_request(struct amy__buf *out,
                      const struct amy__request_head *head,
                      enum amy__body_kind kind, uint64_t length)
{
    static const char line[] = "  HTTP/1.1\r\nHost: \r\n";
    size_t size = 0;
    char *at = NULL;
    int rc = 0;

    if (!measure(head->fields, head->field_count, &size) ||
        !is_value(head->method_text) || !is_value(head->target) ||
        !is_value(head->authority) || head->method_text.n == 0 ||
        head->target.n == 0) {
        return AMY_EINVAL;
    }
    size += head->method_text.n + head->target.n + head->authority.n +
            sizeof(line) + FRAMING_MAX;
    rc = amy__buf_reserve(out, size);
    if (rc < 0) {
        return rc;
    }
    at = put_span(out->data + out->len, head->method_text);
    at = PUT(at, " ");
    at = put_span(at, head->target);
    at = PUT(at, " HTTP/1.1\r\nHost: ");
    at = put_span(at, head->authority);
    at = PUT(at, "\r\n");
    at = put_fields(at, head->fields, head->field_count);
    at = put_framing(at, kind, length,
                     head->upgrade_websocket ? AMY__H1_CONNECTION_UPGRADE
                                             : AMY__H1_CONNECTION_SILENT);
    out->len = (size_t)(at - out->data);
    return 0;
}

int
amy__h1_write_answer(struct amy__buf *out, const struct amy__answer_head *head,
                     enum amy__body_kind kind, uint64_t length,
                     enum amy__h1_connection connection)
{
    struct amy__span reason = head->reason;
    size_t size = 0;
    char *at = NULL;
    int rc = 0;

    if (reason.n == 0) {
        reason = amy__span_of(amy__status_reason(head->status));
    }
    if (!measure(head->fields, head->field_count, &size) || !is_value(reason)) {
        return AMY_EINVAL;
    }
    size += sizeof("HTTP/1.1  \r\n") + DECIMAL_MAX + reason.n + FRAMING_MAX;
    rc = amy__buf_reserve(out, size);
    if (rc < 0) {
        return rc;
    }
    at = PUT(out->data + out->len, "HTTP/1.1 ");
    at = put_number(at, head->status);
    at = PUT(at, " ");
    at = put_span(at, reason);
    at = PUT(at, "\r\n");
    at = put_fields(at, head->fields, head->field_count);
    at = put_framing(at, kind, length, connection);
    out->len = (size_t)(at - out->data);
    return 0;
}

static char *
put_chunk_size(char *at, size_t n)
{
    char digits[2 * sizeof(n)];
    size_t used = 0;

    do {
        digits[sizeof(digits) - ++used] = "0123456789abcdef"[n & 0xf];
        n >>= 4;
    } while (n > 0);
    return put(at, digits + sizeof(digits) - used, used);
}

static int
write_chunk(struct amy__buf *out, struct amy__span data, bool end)
{
    int rc = amy__buf_reserve(out, data.n + 2 * sizeof(data.n) +
                                       sizeof("\r\n\r\n0\r\n\r\n"));
    char *at = NULL;

    if (rc < 0) {
        return rc;
    }
    at = out->data + out->len;
    if (data.n > 0) {
        at = put_chunk_size(at, data.n);
        at = PUT(at, "\r\n");
        at = put_span(at, data);
        at = PUT(at, "\r\n");
    }
    if (end) {
        at = PUT(at, "0\r\n\r\n");
    }
    out->len = (size_t)(at - out->data);
    return 0;
}

int
amy__h1_write_body(struct amy__buf *out, struct amy__h1_sender *sender,
                   struct amy__span data, bool end)
{
    int rc = 0;

    if (sender->done) {
        return AMY_ESTATE;
    }
    switch (sender->kind) {
    case AMY__BODY_NONE:
        break;
    case AMY__BODY_LENGTH:
        if (data.n > sender->left || (end && data.n < sender->left)) {
            return AMY_ESTATE;
        }
        rc = amy__buf_append_span(out, data);
        break;
    case AMY__BODY_CHUNKED:
        rc = write_chunk(out, data, end);
        break;
    case AMY__BODY_UNTIL_CLOSE:
        rc = amy__buf_append_span(out, data);
        break;
    }
    if (rc < 0) {
        return rc;
    }
    if (sender->kind == AMY__BODY_LENGTH) {
        sender->left -= data.n;
    }
    sender->done = end;
    return 0;
}

int
amy__h1_pass(struct amy__h1_sender *sender, uint64_t n, bool end)
{
    if (sender->kind != AMY__BODY_LENGTH &&
        sender->kind != AMY__BODY_UNTIL_CLOSE) {
        return AMY_EUNSUPPORTED;
    }
    if (sender->done) {
        return AMY_ESTATE;
    }
    if (sender->kind == AMY__BODY_LENGTH) {
        if (n > sender->left) {
            return AMY_ELIMIT;
        }
        if (end && n < sender->left) {
            return AMY_ESTATE;
        }
        sender->left -= n;
    }
    sender->done = end;
    return 0;
}

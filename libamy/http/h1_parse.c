/* Start lines of HTTP/1.1 messages and what a whole head amounts to. Not field
 * lines (h1_fields.c), not bodies (h1_body.c), and it keeps no state. */
#include "http/h1_parse.h"

#include "http/chars.h"
#include "http/h1_fields.h"
#include "http/path.h"

#include <string.h>

int
amy__h1_fault(struct amy__codec_fault *ret_fault, unsigned status,
              const char *reason)
{
    ret_fault->status = status;
    ret_fault->reason = reason;
    return AMY_EPROTO;
}

struct amy__codec_limits
amy__h1_limits(const struct amy__codec_limits *limits, bool answers)
{
    struct amy__codec_limits l = {0};

    if (limits != NULL) {
        l = *limits;
    }
    l.request_line_bytes =
        l.request_line_bytes != 0 ? l.request_line_bytes : 8U * 1024;
    if (l.head_bytes == 0) {
        l.head_bytes = answers ? 64U * 1024 : 32U * 1024;
    }
    if (l.field_count == 0 || l.field_count > AMY__FIELDS_MAX) {
        l.field_count = AMY__FIELDS_MAX;
    }
    l.chunk_ext_bytes = l.chunk_ext_bytes != 0 ? l.chunk_ext_bytes : 4U * 1024;
    return l;
}

/* ---- the request line, RFC 9112 section 3 ---- */

static int
take_method(const char **p, const char *end, struct amy__request_head *head,
            struct amy__codec_fault *fault)
{
    const char *stop = amy__scan_token(*p, end);
    size_t n = (size_t)(stop - *p);

    if (n > AMY__H1_METHOD_MAX) {
        return amy__h1_fault(fault, 400, "method too long");
    }
    if (stop == end) {
        return AMY__H1_MORE;
    }
    if (n == 0 || *stop != ' ') {
        return amy__h1_fault(fault, 400, "malformed method");
    }
    head->method_text = (struct amy__span){*p, n};
    head->method = amy__method_of(head->method_text);
    *p = stop + 1;
    return 0;
}

static int
take_target(const char **p, const char *end, struct amy__request_head *head,
            struct amy__codec_fault *fault)
{
    const char *question = NULL;
    const char *stop = amy__scan_target(*p, end, &question);
    const char *path_end = question != NULL ? question : stop;

    if (stop == end) {
        return AMY__H1_MORE;
    }
    if (*stop != ' ' || stop == *p) {
        return amy__h1_fault(fault, 400,
                             *stop == '\r' || *stop == '\n'
                                 ? "no version in the request line"
                                 : "malformed target");
    }
    head->target = (struct amy__span){*p, (size_t)(stop - *p)};
    head->path = (struct amy__span){*p, (size_t)(path_end - *p)};
    head->query = (struct amy__span){NULL, 0};
    if (question != NULL) {
        head->query =
            (struct amy__span){question + 1, (size_t)(stop - question - 1)};
    }
    *p = stop + 1;
    return 0;
}

/* "HTTP/" DIGIT "." DIGIT CRLF, each byte judged as soon as it is there. */
static int
take_version(const char **p, const char *end, struct amy__request_head *head,
             struct amy__codec_fault *fault)
{
    static const char shape[] = "HTTP/9.9\r\n";
    const size_t whole = sizeof(shape) - 1;

    for (size_t i = 0; i < whole; i++) {
        char c = 0;

        if (*p + i == end) {
            return AMY__H1_MORE;
        }
        c = (*p)[i];
        if (shape[i] == '9' ? c < '0' || c > '9' : c != shape[i]) {
            return amy__h1_fault(fault, 400, "malformed version");
        }
    }
    head->version_major = (uint8_t)((*p)[5] - '0');
    head->version_minor = (uint8_t)((*p)[7] - '0');
    if (head->version_major > 1) {
        return amy__h1_fault(fault, 505, "version not supported");
    }
    if (head->version_major != 1 || head->version_minor > 1) {
        return amy__h1_fault(fault, 400, "malformed version");
    }
    *p += whole;
    return 0;
}

static int
take_request_line(const char **p, const char *end,
                  struct amy__request_head *head,
                  struct amy__codec_fault *fault)
{
    int rc = take_method(p, end, head, fault);

    if (rc == 0) {
        rc = take_target(p, end, head, fault);
    }
    if (rc == 0) {
        rc = take_version(p, end, head, fault);
    }
    return rc;
}

/* ---- what the target is, RFC 9112 section 3.2 ---- */

/* Length of "http://" or "https://" at the start of the target, else 0. */
static size_t
scheme_length(struct amy__span target)
{
    static const struct amy__span schemes[] = {{"http://", 7}, {"https://", 8}};

    for (size_t i = 0; i < 2; i++) {
        struct amy__span start = {target.p, schemes[i].n};

        if (target.n >= start.n && amy__span_eq_nocase(start, schemes[i])) {
            return start.n;
        }
    }
    return 0;
}

/* absolute-form: its authority counts, not Host's; upstream gets the rest. */
static int
split_absolute(struct amy__request_head *head, struct amy__codec_fault *fault)
{
    size_t scheme = scheme_length(head->target);
    const char *start = head->target.p + scheme;
    const char *end = head->target.p + head->target.n;
    const char *path_end = head->path.p + head->path.n;
    const char *slash = NULL;

    if (scheme == 0 || start > path_end) {
        return amy__h1_fault(fault, 400, "malformed target");
    }
    slash = memchr(start, '/', (size_t)(path_end - start));
    if (slash != NULL) {
        head->authority = (struct amy__span){start, (size_t)(slash - start)};
        head->target = (struct amy__span){slash, (size_t)(end - slash)};
        head->path = (struct amy__span){slash, (size_t)(path_end - slash)};
        return 0;
    }
    if (path_end != end) {
        /* "/?query" is nowhere in the caller's bytes, and nobody sends it. */
        return amy__h1_fault(fault, 400, "absolute target without a path");
    }
    head->authority = (struct amy__span){start, (size_t)(path_end - start)};
    head->target =
        head->method == AMY__METHOD_OPTIONS ? AMY_SPAN("*") : AMY_SPAN("/");
    head->path = head->target;
    return 0;
}

static int
settle_target(struct amy__request_head *head, struct amy__codec_fault *fault)
{
    head->authority = (struct amy__span){NULL, 0};
    if (head->method == AMY__METHOD_CONNECT) {
        head->authority = head->target;
        return 0;
    }
    if (head->target.n == 1 && head->target.p[0] == '*') {
        return head->method == AMY__METHOD_OPTIONS
                   ? 0
                   : amy__h1_fault(fault, 400, "target * without OPTIONS");
    }
    if (head->target.p[0] != '/') {
        int rc = split_absolute(head, fault);

        if (rc != 0) {
            return rc;
        }
    }
    if (amy__path_has_nul(head->path)) {
        return amy__h1_fault(fault, 400, "encoded NUL in the path");
    }
    return 0;
}

/* Host: exactly one in HTTP/1.1 (RFC 9112 3.2), of the grammar even where the
 * target overrules it. */
static int
settle_host(struct amy__request_head *head, const struct amy__h1_fields *f,
            struct amy__authority *host)
{
    const struct amy__field *field = amy__h1_fields_fact(f, AMY__FACT_HOST);
    unsigned lines = f->facts[AMY__FACT_HOST].lines;

    head->host = (struct amy__span){NULL, 0};
    head->port = 0;
    if (lines > 1 || (lines == 0 && head->version_minor == 1)) {
        return amy__h1_fault(f->fault, 400,
                             lines > 1 ? "two Host fields" : "no Host field");
    }
    if (field != NULL && !amy__authority_parse(field->value, host)) {
        return amy__h1_fault(f->fault, 400, "malformed Host");
    }
    if (head->authority.p != NULL) {
        if (!amy__authority_parse(head->authority, host)) {
            return amy__h1_fault(f->fault, 400, "malformed target");
        }
    } else if (field != NULL) {
        head->authority = field->value;
    } else {
        return 0;
    }
    head->host = (struct amy__span){host->host, host->host_n};
    head->port = host->port;
    return 0;
}

/* ---- what the head asks of the connection ---- */

static void
settle_expectations(struct amy__request_head *head,
                    const struct amy__h1_fields *f)
{
    const struct amy__field *expect = amy__h1_fields_fact(f, AMY__FACT_EXPECT);
    const struct amy__field *upgrade =
        amy__h1_fields_fact(f, AMY__FACT_UPGRADE);

    head->expect_continue = false;
    head->refuse = 0;
    head->upgrade_websocket =
        upgrade != NULL && f->upgrade && head->version_minor == 1 &&
        head->method == AMY__METHOD_GET && head->body == AMY__BODY_NONE &&
        amy__h1_has_option(upgrade->value, AMY_SPAN("websocket"));
    if (head->method == AMY__METHOD_CONNECT ||
        head->method == AMY__METHOD_TRACE) {
        head->refuse = 405;
        return;
    }
    /* RFC 9110 10.1.1: from HTTP/1.0 it means nothing. */
    if (expect == NULL || head->version_minor == 0) {
        return;
    }
    if (f->facts[AMY__FACT_EXPECT].lines == 1 &&
        amy__span_eq_nocase(expect->value, AMY_SPAN("100-continue"))) {
        head->expect_continue =
            head->body == AMY__BODY_CHUNKED || head->content_length > 0;
    } else {
        head->refuse = 417;
    }
}

static int
settle_request(struct amy__request_head *head, struct amy__h1_fields *f,
               struct amy__authority *host)
{
    int rc = settle_target(head, f->fault);

    if (rc == 0) {
        rc = settle_host(head, f, host);
    }
    if (rc == 0) {
        rc = amy__h1_fields_framing(f, head->version_minor, &head->body,
                                    &head->content_length);
    }
    if (rc == 0) {
        rc = amy__h1_fields_connection(f);
    }
    if (rc != 0) {
        return rc;
    }
    head->field_count = f->count;
    head->keep_alive = !f->close && (head->version_minor == 1 || f->keep_alive);
    settle_expectations(head, f);
    return 0;
}

static const char *
at_most(const char *p, const char *end, size_t n)
{
    return (size_t)(end - p) > n ? p + n : end;
}

int
amy__h1_parse_request(struct amy__span data,
                      const struct amy__codec_limits *limits,
                      struct amy__request_head *ret_head,
                      struct amy__authority *ret_host, size_t *ret_used,
                      struct amy__codec_fault *ret_fault)
{
    const char *end = data.p + data.n;
    const char *p = data.p;
    struct amy__h1_fields f = {.fault = ret_fault,
                               .lines_max = limits->field_count,
                               .fields = ret_head->fields};
    int rc = 0;

    /* No verdict may depend on bytes past the limits: what arrives in one
     * piece or in many is judged alike. */
    rc = take_request_line(&p, at_most(p, end, limits->request_line_bytes),
                           ret_head, ret_fault);
    if (rc == AMY__H1_MORE && data.n >= limits->request_line_bytes) {
        return amy__h1_fault(ret_fault, 414, "request line too long");
    }
    if (rc != 0) {
        *ret_used = limits->request_line_bytes;
        return rc;
    }
    f.p = p;
    f.end = at_most(p, end, limits->head_bytes);
    rc = amy__h1_fields_read(&f);
    if (rc == AMY__H1_MORE && (size_t)(end - p) >= limits->head_bytes) {
        return amy__h1_fault(ret_fault, 431, "head too long");
    }
    if (rc == 0) {
        rc = settle_request(ret_head, &f, ret_host);
    }
    *ret_used = rc == 0 ? (size_t)(f.p - data.p)
                        : (size_t)(p - data.p) + limits->head_bytes;
    return rc;
}

/* ---- answers ---- */

/* "HTTP/1." [01] SP 3DIGIT, judged byte by byte. */
static int
take_status(const char **p, const char *end, struct amy__answer_head *head,
            struct amy__codec_fault *fault)
{
    static const char shape[] = "HTTP/1.1 999";
    const size_t whole = sizeof(shape) - 1;

    for (size_t i = 0; i < whole; i++) {
        char c = 0;
        bool fits = false;

        if (*p + i == end) {
            return AMY__H1_MORE;
        }
        c = (*p)[i];
        if (i == 7) {
            fits = c == '0' || c == '1';
        } else {
            fits = shape[i] == '9' ? c >= '0' && c <= '9' : c == shape[i];
        }
        if (!fits) {
            return amy__h1_fault(fault, 502, "malformed status line");
        }
    }
    head->version_minor = (uint8_t)((*p)[7] - '0');
    head->status = 0;
    for (size_t i = 9; i < whole; i++) {
        head->status = head->status * 10 + (unsigned)((*p)[i] - '0');
    }
    if (head->status < 100 || head->status > 599) {
        return amy__h1_fault(fault, 502, "status out of range");
    }
    *p += whole;
    return 0;
}

/* [SP reason] CRLF: RFC 9112 section 4 wants the SP, many leave it out. */
static int
take_reason(const char **p, const char *end, struct amy__answer_head *head,
            struct amy__codec_fault *fault)
{
    const char *start = *p;
    const char *stop = NULL;

    if (start == end) {
        return AMY__H1_MORE;
    }
    if (*start == ' ') {
        start++;
    } else if (*start != '\r') {
        return amy__h1_fault(fault, 502, "malformed status line");
    }
    stop = amy__scan_value(start, end);
    if (stop == end || (*stop == '\r' && stop + 1 == end)) {
        return AMY__H1_MORE;
    }
    if (*stop != '\r' || stop[1] != '\n') {
        return amy__h1_fault(fault, 502, "malformed status line");
    }
    head->reason = (struct amy__span){start, (size_t)(stop - start)};
    *p = stop + 2;
    return 0;
}

/* RFC 9112 6.3: what body follows an answer's head. */
static int
settle_answer(struct amy__answer_head *head, struct amy__h1_fields *f,
              bool to_head)
{
    bool bodiless =
        head->status < 200 || head->status == 204 || head->status == 304;
    int rc = amy__h1_fields_framing(f, head->version_minor, &head->body,
                                    &head->content_length);

    if (rc == 0) {
        rc = amy__h1_fields_connection(f);
    }
    if (rc != 0) {
        return rc;
    }
    if (bodiless) {
        head->body = AMY__BODY_NONE;
        head->content_length = 0;
    } else if (head->body == AMY__BODY_NONE && !to_head) {
        head->body = AMY__BODY_UNTIL_CLOSE;
    }
    head->field_count = f->count;
    head->keep_alive = !f->close &&
                       (head->version_minor == 1 || f->keep_alive) &&
                       head->body != AMY__BODY_UNTIL_CLOSE;
    return 0;
}

int
amy__h1_parse_answer(struct amy__span data,
                     const struct amy__codec_limits *limits, bool to_head,
                     struct amy__answer_head *ret_head, struct amy__buf *folds,
                     size_t *ret_used, struct amy__codec_fault *ret_fault)
{
    const char *p = data.p;
    const char *end = at_most(p, p + data.n, limits->head_bytes);
    struct amy__h1_fields f = {.fault = ret_fault,
                               .folds = folds,
                               .lines_max = limits->field_count,
                               .fields = ret_head->fields};
    int rc = take_status(&p, end, ret_head, ret_fault);

    folds->len = 0;
    if (rc == 0) {
        rc = take_reason(&p, end, ret_head, ret_fault);
    }
    if (rc == 0) {
        f.p = p;
        f.end = end;
        rc = amy__h1_fields_read(&f);
    }
    if (rc == 0) {
        rc = settle_answer(ret_head, &f, to_head);
    }
    if (rc == AMY__H1_MORE && data.n >= limits->head_bytes) {
        return amy__h1_fault(ret_fault, 502, "head too long");
    }
    if (rc < 0) {
        ret_fault->status = 502;
        return rc;
    }
    *ret_used = rc == 0 ? (size_t)(f.p - data.p) : limits->head_bytes;
    return rc;
}

/* Field lines of a head, RFC 9112 section 5, and the two fields that frame the
 * message, section 6. Not the start lines (h1_parse.c), not bodies. */
#include "http/h1_fields.h"

#include "http/chars.h"
#include "http/h1_parse.h"

#include <string.h>

/* A peer may name many fields in Connection, and each is looked for among all:
 * past this many it is an attack. */
#define OPTIONS_MAX 64

struct field_trait {
    uint8_t fact;
    bool protected; /* Connection may not name it: a known way around rules */
};

static const struct field_trait traits[AMY__FIELD_X_REQUEST_ID + 1] = {
    [AMY__FIELD_CACHE_CONTROL] = {.protected = true},
    [AMY__FIELD_CONNECTION] = {.fact = AMY__FACT_CONNECTION},
    [AMY__FIELD_CONTENT_LENGTH] = {.fact = AMY__FACT_LENGTH, .protected = true},
    [AMY__FIELD_CONTENT_TYPE] = {.protected = true},
    [AMY__FIELD_EXPECT] = {.fact = AMY__FACT_EXPECT},
    [AMY__FIELD_FORWARDED] = {.protected = true},
    [AMY__FIELD_HOST] = {.fact = AMY__FACT_HOST, .protected = true},
    [AMY__FIELD_TRANSFER_ENCODING] = {.fact = AMY__FACT_TRANSFER},
    [AMY__FIELD_UPGRADE] = {.fact = AMY__FACT_UPGRADE},
    [AMY__FIELD_VIA] = {.protected = true},
    [AMY__FIELD_X_FORWARDED] = {.protected = true},
    [AMY__FIELD_X_REQUEST_ID] = {.protected = true},
};

static int
bad(struct amy__h1_fields *f, const char *reason)
{
    return amy__h1_fault(f->fault, 400, reason);
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Step over CR LF at p; what else stands there ends the message. */
static int
take_line_end(struct amy__h1_fields *f, const char *p)
{
    if (p == f->end) {
        return AMY__H1_MORE;
    }
    if (*p != '\r') {
        return bad(f, *p == '\n'   ? "bare LF in a field line"
                      : *p == '\0' ? "NUL in a field line"
                                   : "control character in a field line");
    }
    if (p + 1 == f->end) {
        return AMY__H1_MORE;
    }
    if (p[1] != '\n') {
        return bad(f, "bare CR in a field line");
    }
    f->p = p + 2;
    return 0;
}

/* From p to the end of the line; the value is what is between the blanks. */
static int
take_value(struct amy__h1_fields *f, const char *p, struct amy__span *ret)
{
    const char *stop = NULL;
    int rc = 0;

    while (p < f->end && is_blank(*p)) {
        p++;
    }
    stop = amy__scan_value(p, f->end);
    rc = take_line_end(f, stop);
    if (rc != 0) {
        return rc;
    }
    while (stop > p && is_blank(stop[-1])) {
        stop--;
    }
    *ret = (struct amy__span){p, (size_t)(stop - p)};
    return 0;
}

/* Put the line's text behind the value of the last field. All joined values
 * together are shorter than what is left of the head, and so much room is
 * reserved before the first: earlier ones never move. */
static int
join(struct amy__h1_fields *f, struct amy__field *last, struct amy__span more)
{
    struct amy__buf *folds = f->folds;
    size_t head_n = (size_t)(f->end - last->name.p);
    size_t start = 0;

    if (folds->len == 0 && amy__buf_reserve(folds, head_n) < 0) {
        return bad(f, "no room for folded field lines");
    }
    if (folds->len > 0 &&
        last->value.p + last->value.n == folds->data + folds->len) {
        start = (size_t)(last->value.p - folds->data);
    } else {
        start = folds->len;
        if (amy__buf_append_span(folds, last->value) < 0) {
            return bad(f, "no room for folded field lines");
        }
    }
    if (amy__buf_append(folds, " ", 1) < 0 ||
        amy__buf_append_span(folds, more) < 0) {
        return bad(f, "no room for folded field lines");
    }
    last->value = amy__span_trim(
        (struct amy__span){folds->data + start, folds->len - start});
    return 0;
}

/* A line that begins with a blank. In a request it is refused; an answer's
 * continues the value above, joined by one SP (RFC 9112 5.2). */
static int
take_fold(struct amy__h1_fields *f)
{
    struct amy__span more = {NULL, 0};
    int rc = 0;

    if (f->lines == 0) {
        return bad(f, "blank before the first field");
    }
    if (f->folds == NULL) {
        return bad(f, "folded field line");
    }
    rc = take_value(f, f->p, &more);
    if (rc != 0 || more.n == 0) {
        return rc;
    }
    return join(f, &f->fields[f->count - 1], more);
}

static void
note(struct amy__h1_fields *f, struct amy__field *field)
{
    enum amy__field_id id = amy__field_id_of(field->name);
    uint8_t fact = traits[id].fact;

    field->id = (uint16_t)id;
    field->flags = amy__field_is_hop(id) ? AMY__FIELD_HOP : 0;
    if (fact != AMY__FACT_NONE) {
        if (f->facts[fact].lines == 0) {
            f->facts[fact].first = (uint8_t)f->count;
        }
        f->facts[fact].lines++;
    }
}

static int
take_field(struct amy__h1_fields *f)
{
    struct amy__field *field = &f->fields[f->count];
    const char *name = f->p;
    bool underscore = false;
    const char *name_end = amy__scan_name(name, f->end, &underscore);
    const char *colon = name_end;
    int rc = 0;

    if (f->folds != NULL && name_end > name) {
        while (colon < f->end && is_blank(*colon)) {
            colon++;
        }
    }
    if (colon == f->end) {
        return AMY__H1_MORE;
    }
    if (*colon != ':' || name_end == name) {
        return bad(f, is_blank(*colon) ? "blank before the colon"
                                       : "malformed field name");
    }
    if (f->lines == f->lines_max) {
        return amy__h1_fault(f->fault, 431, "too many fields");
    }
    rc = take_value(f, colon + 1, &field->value);
    if (rc != 0) {
        return rc;
    }
    field->name = (struct amy__span){name, (size_t)(name_end - name)};
    f->lines++;
    /* WSGI writes '-' as '_': a client could speak as a trusted proxy. */
    if (f->folds == NULL && underscore) {
        return 0;
    }
    note(f, field);
    f->count++;
    return 0;
}

int
amy__h1_fields_read(struct amy__h1_fields *f)
{
    for (;;) {
        int rc = 0;

        if (f->p == f->end) {
            return AMY__H1_MORE;
        }
        if (*f->p == '\r' || *f->p == '\n') {
            return take_line_end(f, f->p);
        }
        rc = is_blank(*f->p) ? take_fold(f) : take_field(f);
        if (rc != 0) {
            return rc;
        }
    }
}

const struct amy__field *
amy__h1_fields_fact(const struct amy__h1_fields *f, enum amy__h1_fact fact)
{
    return f->facts[fact].lines == 0 ? NULL : &f->fields[f->facts[fact].first];
}

static void
mark_named(struct amy__h1_fields *f, struct amy__span name)
{
    for (size_t i = 0; i < f->count; i++) {
        struct amy__field *field = &f->fields[i];

        if (amy__span_eq_nocase(field->name, name) &&
            !traits[field->id].protected) {
            field->flags |= AMY__FIELD_HOP;
        }
    }
}

static void
take_option(struct amy__h1_fields *f, struct amy__span option)
{
    if (amy__span_eq_nocase(option, AMY_SPAN("close"))) {
        f->close = true;
    } else if (amy__span_eq_nocase(option, AMY_SPAN("keep-alive"))) {
        f->keep_alive = true;
    } else if (amy__span_eq_nocase(option, AMY_SPAN("upgrade"))) {
        f->upgrade = true;
    } else if (option.n > 0) {
        mark_named(f, option);
    }
}

int
amy__h1_fields_connection(struct amy__h1_fields *f)
{
    size_t options = 0;
    size_t left = f->facts[AMY__FACT_CONNECTION].lines;

    for (size_t i = f->facts[AMY__FACT_CONNECTION].first; left > 0; i++) {
        struct amy__span rest = f->fields[i].value;
        struct amy__span option = {NULL, 0};

        if (f->fields[i].id != AMY__FIELD_CONNECTION) {
            continue;
        }
        left--;
        while (amy__span_split(&rest, ',', &option)) {
            options++;
            if (options > OPTIONS_MAX) {
                return bad(f, "too many connection options");
            }
            take_option(f, amy__span_trim(option));
        }
    }
    return 0;
}

bool
amy__h1_has_option(struct amy__span list, struct amy__span option)
{
    struct amy__span piece = {NULL, 0};

    while (amy__span_split(&list, ',', &piece)) {
        if (amy__span_eq_nocase(amy__span_trim(piece), option)) {
            return true;
        }
    }
    return false;
}

/* Why a Transfer-Encoding other than one `chunked` is refused: 501 for a coding
 * that we do not know, 400 for a list that makes no sense. */
static int
refuse_coding(struct amy__h1_fields *f, struct amy__span list)
{
    struct amy__span piece = {NULL, 0};

    while (amy__span_split(&list, ',', &piece)) {
        piece = amy__span_trim(piece);
        if (piece.n > 0 && !amy__span_eq_nocase(piece, AMY_SPAN("chunked"))) {
            return amy__h1_fault(f->fault, 501, "unknown transfer coding");
        }
    }
    return bad(f, "malformed Transfer-Encoding");
}

int
amy__h1_fields_framing(struct amy__h1_fields *f, uint8_t version_minor,
                       enum amy__body_kind *ret_kind, uint64_t *ret_length)
{
    const struct amy__field *coding =
        amy__h1_fields_fact(f, AMY__FACT_TRANSFER);
    const struct amy__field *length = amy__h1_fields_fact(f, AMY__FACT_LENGTH);

    *ret_kind = AMY__BODY_NONE;
    *ret_length = 0;
    if (coding != NULL && length != NULL) {
        return bad(f, "both Content-Length and Transfer-Encoding");
    }
    if (coding != NULL) {
        if (version_minor == 0) {
            return bad(f, "Transfer-Encoding in HTTP/1.0");
        }
        if (f->facts[AMY__FACT_TRANSFER].lines > 1) {
            return bad(f, "two Transfer-Encoding fields");
        }
        if (!amy__span_eq_nocase(coding->value, AMY_SPAN("chunked"))) {
            return refuse_coding(f, coding->value);
        }
        *ret_kind = AMY__BODY_CHUNKED;
    }
    if (length != NULL) {
        if (f->facts[AMY__FACT_LENGTH].lines > 1) {
            return bad(f, "two Content-Length fields");
        }
        if (!amy__parse_u64(length->value, INT64_MAX, ret_length)) {
            return bad(f, "malformed Content-Length");
        }
        *ret_kind = AMY__BODY_LENGTH;
    }
    return 0;
}

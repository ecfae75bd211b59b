/* Reads answers of S3. */
/* Not for what they mean: s3.c and store_s3.c. */
#include "backup/s3xml.h"

#include "core/error.h"

#include <string.h>

struct reader {
    struct amy__span rest;
    amy__s3xml_fn fn;
    void *user;
    char path[AMY__S3XML_PATH_SIZE];
    size_t ends[AMY__S3XML_DEPTH]; /* length of path outside each element */
    size_t depth;
    bool inner; /* the element just ended was inside this one */
    bool seen;  /* the one element around everything */
    char text[AMY__S3XML_TEXT_MAX + 1];
    size_t n;
};

static int
malformed(struct amy_error *err)
{
    return amy__err(err, AMY_EPARSE, "its answer is no XML of S3's");
}

static int
too_long(struct amy_error *err)
{
    return amy__err(err, AMY_ELIMIT, "its answer has too long a value");
}

static bool
is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static void
skip(struct amy__span *rest, size_t n)
{
    rest->p += n;
    rest->n -= n;
}

/* Past the next `end`; false: there is none. */
static bool
skip_past(struct amy__span *rest, struct amy__span end)
{
    while (rest->n >= end.n) {
        if (amy__span_starts(*rest, end)) {
            skip(rest, end.n);
            return true;
        }
        skip(rest, 1);
    }
    return false;
}

/* --- text --- */

static int
add(struct reader *reader, char c, struct amy_error *err)
{
    if (reader->n == AMY__S3XML_TEXT_MAX || c == '\0') {
        return c == '\0' ? malformed(err) : too_long(err);
    }
    reader->text[reader->n++] = c;
    return 0;
}

/* A character by its number, as UTF-8. */
static int
add_character(struct reader *reader, uint32_t c, struct amy_error *err)
{
    char bytes[4] = {(char)c};
    size_t n = 1;
    int rc = 0;

    if (c >= 0x80) {
        n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
        for (size_t i = n - 1; i > 0; i--) {
            bytes[i] = (char)(0x80 | (c & 0x3f));
            c >>= 6;
        }
        bytes[0] = (char)(c | (0xf00U >> n & 0xf0));
    }
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = add(reader, bytes[i], err);
    }
    return rc;
}

static bool
read_number(struct amy__span digits, uint32_t *ret)
{
    bool hex = digits.n > 0 && digits.p[0] == 'x';
    uint32_t value = 0;

    if (hex) {
        skip(&digits, 1);
    }
    if (digits.n == 0 || digits.n > 7) {
        return false;
    }
    for (size_t i = 0; i < digits.n; i++) {
        static const char known[] = "0123456789abcdef";
        int c = (unsigned char)digits.p[i];
        const char *at = NULL;

        c = c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c;
        at = c == '\0' ? NULL : strchr(known, c);
        if (at == NULL || (!hex && at - known > 9)) {
            return false;
        }
        value = value * (hex ? 16U : 10U) + (uint32_t)(at - known);
    }
    *ret = value;
    return value <= 0x10ffff;
}

/* rest: behind the '&'. */
static int
add_entity(struct reader *reader, struct amy_error *err)
{
    static const struct {
        const char *name;
        char c;
    } known[] = {
        {"amp", '&'}, {"lt", '<'}, {"gt", '>'}, {"quot", '"'}, {"apos", '\''}};
    struct amy__span name = {reader->rest.p, 0};
    uint32_t number = 0;

    while (name.n < reader->rest.n && name.n < 10 && name.p[name.n] != ';') {
        name.n++;
    }
    if (name.n == reader->rest.n || name.p[name.n] != ';') {
        return malformed(err);
    }
    skip(&reader->rest, name.n + 1);
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (amy__span_eq(name, amy__span_of(known[i].name))) {
            return add(reader, known[i].c, err);
        }
    }
    if (name.n < 2 || name.p[0] != '#') {
        return malformed(err);
    }
    skip(&name, 1);
    return read_number(name, &number) ? add_character(reader, number, err)
                                      : malformed(err);
}

/* --- elements --- */

static int
begin(struct reader *reader, struct amy__span name, struct amy_error *err)
{
    size_t length = strlen(reader->path);

    if (name.n == 0 || (reader->depth == 0 && reader->seen)) {
        return malformed(err);
    }
    if (reader->depth == AMY__S3XML_DEPTH ||
        length + name.n + 2 > sizeof(reader->path)) {
        return amy__err(err, AMY_ELIMIT, "its answer is nested too deep");
    }
    reader->seen = true;
    reader->ends[reader->depth++] = length;
    if (length > 0) {
        reader->path[length++] = '/';
    }
    memcpy(reader->path + length, name.p, name.n);
    reader->path[length + name.n] = '\0';
    reader->n = 0;
    reader->inner = false;
    return 0;
}

static int
end(struct reader *reader, struct amy__span name, struct amy_error *err)
{
    const char *last = NULL;
    int rc = 0;

    if (reader->depth == 0) {
        return malformed(err);
    }
    last = strrchr(reader->path, '/');
    last = last == NULL ? reader->path : last + 1;
    if (!amy__span_eq(name, amy__span_of(last))) {
        return malformed(err);
    }
    reader->text[reader->inner ? 0 : reader->n] = '\0';
    rc = reader->fn(reader->path, reader->text, reader->user, err);
    reader->path[reader->ends[--reader->depth]] = '\0';
    reader->n = 0;
    reader->inner = true;
    return rc;
}

/* rest: behind the '<'. */
static int
read_tag(struct reader *reader, struct amy_error *err)
{
    struct amy__span tag = reader->rest;
    struct amy__span name = {NULL, 0};
    bool closes = false;
    bool empty = false;
    int rc = 0;

    if (!skip_past(&reader->rest, AMY_SPAN(">"))) {
        return malformed(err);
    }
    tag.n -= reader->rest.n + 1;
    if (tag.n > 0 && tag.p[0] == '?') {
        return 0;
    }
    closes = tag.n > 0 && tag.p[0] == '/';
    empty = !closes && tag.n > 0 && tag.p[tag.n - 1] == '/';
    name = (struct amy__span){tag.p + closes, 0};
    while (name.n < tag.n - closes - empty && !is_space(name.p[name.n])) {
        if (strchr("<&!/'\"=", name.p[name.n]) != NULL) {
            return malformed(err);
        }
        name.n++;
    }
    rc = closes ? 0 : begin(reader, name, err);
    return rc == 0 && (closes || empty) ? end(reader, name, err) : rc;
}

static int
read_next(struct reader *reader, struct amy_error *err)
{
    char c = reader->rest.p[0];

    if (amy__span_starts(reader->rest, AMY_SPAN("<!--"))) {
        skip(&reader->rest, 4);
        return skip_past(&reader->rest, AMY_SPAN("-->")) ? 0 : malformed(err);
    }
    skip(&reader->rest, 1);
    if (c == '<') {
        return read_tag(reader, err);
    }
    if (reader->depth == 0) {
        return is_space(c) ? 0 : malformed(err);
    }
    return c == '&' ? add_entity(reader, err) : add(reader, c, err);
}

int
amy__s3xml_read(struct amy__span xml, amy__s3xml_fn fn, void *user,
                struct amy_error *err)
{
    struct reader reader = {.rest = xml, .fn = fn, .user = user};
    int rc = 0;

    if (amy__span_starts(reader.rest, AMY_SPAN("\xef\xbb\xbf"))) {
        skip(&reader.rest, 3);
    }
    while (rc == 0 && reader.rest.n > 0) {
        rc = read_next(&reader, err);
    }
    return rc == 0 && (reader.depth > 0 || !reader.seen) ? malformed(err) : rc;
}

/* JSON values on jansson, bounded when read, repaired when made. */
/* Not for streaming, and not for YAML: that is site/schema.c. */
#include "core/json.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/error.h"

#include <jansson.h>
#include <string.h>

#define NESTING_MAX 32U

/* struct amy__json is never completed: a pointer to one is a json_t. */
static json_t *
ours(struct amy__json *json)
{
    return (json_t *)json;
}

/* jansson takes const only where it feels like it; it does not write. */
static json_t *
peek(const struct amy__json *json)
{
    union {
        const struct amy__json *in;
        json_t *out;
    } cast = {.in = json};

    return cast.out;
}

static struct amy__json *
theirs(json_t *json)
{
    return (struct amy__json *)json;
}

/* jansson recurses up to 2048 deep; a peer shall not choose our stack. */
static bool
nests_too_deep(struct amy__span text, unsigned *ret_line)
{
    unsigned depth = 0;
    bool in_string = false;

    *ret_line = 1;
    for (size_t i = 0; i < text.n; i++) {
        char c = text.p[i];

        *ret_line += c == '\n';
        if (in_string) {
            i += c == '\\';
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if ((c == '{' || c == '[') && ++depth > NESTING_MAX) {
            return true;
        } else if (c == '}' || c == ']') {
            depth -= depth > 0;
        }
    }
    return false;
}

int
amy__json_parse(struct amy__span text, struct amy__json **ret,
                struct amy_error *err)
{
    json_error_t why = {0};
    unsigned line = 0;
    json_t *json = NULL;

    if (nests_too_deep(text, &line)) {
        return amy__err(err, AMY_EPARSE,
                        "line %u: nested deeper than %u levels", line,
                        NESTING_MAX);
    }
    json = json_loadb(text.n == 0 ? "" : text.p, text.n,
                      JSON_REJECT_DUPLICATES | JSON_DECODE_ANY, &why);
    if (json == NULL) {
        if (json_error_code(&why) == json_error_out_of_memory) {
            return amy__err(err, AMY_ENOMEM, "parsing JSON");
        }
        return amy__err(err, AMY_EPARSE, "line %d: %s",
                        why.line < 1 ? 1 : why.line, why.text);
    }
    *ret = theirs(json);
    return 0;
}

void
amy__json_free(struct amy__json *json)
{
    json_decref(ours(json));
}

struct amy__json *
amy__json_object(void)
{
    return theirs(json_object());
}

struct amy__json *
amy__json_array(void)
{
    return theirs(json_array());
}

static void
repair_utf8(char *text, size_t n)
{
    size_t i = 0;

    while (i < n) {
        size_t step = amy__utf8_length(text + i, n - i);

        if (step == 0) {
            text[i] = '?';
            step = 1;
        }
        i += step;
    }
}

struct amy__json *
amy__json_span(struct amy__span text)
{
    json_t *json = NULL;
    char *copy = NULL;

    if (text.p == NULL) {
        return amy__json_null();
    }
    copy = amy__calloc(1, text.n + 1);
    if (copy == NULL) {
        return NULL;
    }
    memcpy(copy, text.p, text.n);
    repair_utf8(copy, text.n);
    json = json_stringn_nocheck(copy, text.n);
    amy__free(copy);
    return theirs(json);
}

struct amy__json *
amy__json_text(const char *text)
{
    return amy__json_span(amy__span_of(text));
}

struct amy__json *
amy__json_int(int64_t value)
{
    return theirs(json_integer(value));
}

struct amy__json *
amy__json_real(double value)
{
    return theirs(json_real(value));
}

struct amy__json *
amy__json_bool(bool value)
{
    return theirs(json_boolean(value));
}

struct amy__json *
amy__json_null(void)
{
    return theirs(json_null());
}

struct amy__json *
amy__json_copy(const struct amy__json *json)
{
    return theirs(json_deep_copy(peek(json)));
}

static _Thread_local uint64_t lost;

uint64_t
amy__json_lost(void)
{
    return lost;
}

static int
note_loss(int failed)
{
    lost += failed != 0;
    return failed == 0 ? 0 : AMY_ENOMEM;
}

int
amy__json_set(struct amy__json *object, const char *key,
              struct amy__json *value)
{
    /* Both set_new calls take the value over, also when they fail, and fail
     * for a NULL value or container. */
    return note_loss(json_object_set_new(ours(object), key, ours(value)));
}

int
amy__json_add(struct amy__json *array, struct amy__json *value)
{
    return note_loss(json_array_append_new(ours(array), ours(value)));
}

const struct amy__json *
amy__json_get(const struct amy__json *object, const char *key)
{
    return theirs(json_object_get(peek(object), key));
}

const char *
amy__json_as_text(const struct amy__json *json, const char *fallback)
{
    return json_is_string(peek(json)) ? json_string_value(peek(json))
                                      : fallback;
}

int64_t
amy__json_as_int(const struct amy__json *json, int64_t fallback)
{
    return json_is_integer(peek(json)) ? json_integer_value(peek(json))
                                       : fallback;
}

const char *
amy__json_get_text(const struct amy__json *object, const char *key,
                   const char *fallback)
{
    return amy__json_as_text(amy__json_get(object, key), fallback);
}

int64_t
amy__json_get_int(const struct amy__json *object, const char *key,
                  int64_t fallback)
{
    return amy__json_as_int(amy__json_get(object, key), fallback);
}

bool
amy__json_get_bool(const struct amy__json *object, const char *key,
                   bool fallback)
{
    const json_t *value = peek(amy__json_get(object, key));

    return json_is_boolean(value) ? json_is_true(value) : fallback;
}

size_t
amy__json_count(const struct amy__json *json)
{
    return json_is_object(peek(json)) ? json_object_size(peek(json))
                                      : json_array_size(peek(json));
}

const struct amy__json *
amy__json_at(const struct amy__json *array, size_t i)
{
    return theirs(json_array_get(peek(array), i));
}

bool
amy__json_pair(const struct amy__json *object, size_t i, const char **ret_key,
               const struct amy__json **ret_value)
{
    json_t *json = peek(object);
    void *at = json_object_iter(json);

    while (at != NULL && i > 0) {
        at = json_object_iter_next(json, at);
        i--;
    }
    if (at == NULL) {
        return false;
    }
    *ret_key = json_object_iter_key(at);
    *ret_value = theirs(json_object_iter_value(at));
    return true;
}

bool
amy__json_is_object(const struct amy__json *json)
{
    return json_is_object(peek(json));
}

bool
amy__json_is_array(const struct amy__json *json)
{
    return json_is_array(peek(json));
}

bool
amy__json_is_text(const struct amy__json *json)
{
    return json_is_string(peek(json));
}

bool
amy__json_is_int(const struct amy__json *json)
{
    return json_is_integer(peek(json));
}

struct writer {
    struct amy__buf *out;
    int rc;
};

static int
write_some(const char *bytes, size_t n, void *user)
{
    struct writer *writer = user;

    if (writer->rc == 0) {
        writer->rc = amy__buf_append(writer->out, bytes, n);
    }
    return writer->rc;
}

int
amy__json_write(const struct amy__json *json, int indent, struct amy__buf *out)
{
    struct writer writer = {.out = out};
    size_t before = out->len;
    size_t flags = JSON_ENCODE_ANY;

    AMY_ASSERT(indent >= 0);
    flags |= indent > 0 ? JSON_INDENT((size_t)indent) : JSON_COMPACT;
    /* jansson 2.14 does not look whether a key could be written. */
    if (json_dump_callback(peek(json), write_some, &writer, flags) != 0 ||
        writer.rc < 0) {
        out->len = before;
        return writer.rc < 0 ? writer.rc : AMY_ENOMEM;
    }
    return 0;
}

/* Single values: what each kind of field takes, and the words for it.
 * Not for where a value stands in a file: fields.c. */
#include "site/values.h"

#include <stdio.h>
#include <string.h>

static const struct amy__word booleans[] = {
    {"false", 0}, {"true", 1}, {NULL, 0}};

/* --- what is allowed, in words --- */

static void
allow_words(const struct amy__word *words, char *buf, size_t size)
{
    size_t n = 0;

    buf[0] = '\0';
    for (; words->word != NULL && n < size; words++) {
        int more = snprintf(buf + n, size - n, "%s%s", n == 0 ? "" : ", ",
                            words->word);

        n += more < 0 ? size : (size_t)more;
    }
}

static void
allow_range(const struct amy__field *field, char *buf, size_t size)
{
    char low[32] = "";
    char high[32] = "";

    if (field->kind == AMY__FIELD_COUNT) {
        (void)snprintf(buf, size, "a number from %lld to %lld",
                       (long long)field->min, (long long)field->max);
    } else if (field->kind == AMY__FIELD_SIZE) {
        (void)amy__format_size((uint64_t)field->min, low, sizeof(low));
        (void)amy__format_size((uint64_t)field->max, high, sizeof(high));
        (void)snprintf(buf, size, "a size such as 512KiB or 10MiB, %s to %s",
                       low, high);
    } else {
        (void)amy__format_duration(field->min, low, sizeof(low));
        (void)amy__format_duration(field->max, high, sizeof(high));
        (void)snprintf(buf, size,
                       "a duration with its unit such as %s, %s to %s",
                       field->kind == AMY__FIELD_SECONDS ? "30s or 2m"
                                                         : "500ms, 30s or 2m",
                       low, high);
    }
}

/* The row's own words, or made from its kind. */
const char *
amy__value_allowed(const struct amy__field *field, char *buf, size_t size)
{
    if (field->allowed != NULL) {
        return field->allowed;
    }
    switch (field->kind) {
    case AMY__FIELD_BOOL:
        allow_words(field->words == NULL ? booleans : field->words, buf, size);
        return buf;
    case AMY__FIELD_WORD:
        allow_words(field->words, buf, size);
        return buf;
    case AMY__FIELD_COUNT:
    case AMY__FIELD_SIZE:
    case AMY__FIELD_DURATION:
    case AMY__FIELD_SECONDS:
        allow_range(field, buf, size);
        return buf;
    case AMY__FIELD_TEXTS:
        return "a list of texts";
    case AMY__FIELD_CIDRS:
        return "addresses or networks such as 192.0.2.7, "
               "10.0.0.0/8 or 2001:db8::/32";
    case AMY__FIELD_ADDRESSES:
        return "addresses such as \"*:443\", 127.0.0.1:8443, "
               "\"[::1]:8443\"";
    case AMY__FIELD_MAP:
        return "keys and values";
    case AMY__FIELD_MAPS:
        return "a list of maps";
    case AMY__FIELD_TEXT:
    case AMY__FIELD_CUSTOM:
        break;
    }
    return NULL;
}

/* --- setting --- */

static bool
find_word(const struct amy__word *words, const char *text, int *ret)
{
    for (; words->word != NULL; words++) {
        if (strcmp(words->word, text) == 0) {
            *ret = words->value;
            return true;
        }
    }
    return false;
}

static bool
set_word(const struct amy__field *field, const char *text, void *target)
{
    bool is_bool = field->kind == AMY__FIELD_BOOL;
    int value = 0;

    if (!find_word(field->words == NULL ? booleans : field->words, text,
                   &value)) {
        return false;
    }
    if (is_bool) {
        *(bool *)target = value != 0;
    } else {
        memcpy(target, &value, sizeof(value)); /* an enum of int's size */
    }
    return true;
}

static bool
set_size(const struct amy__field *field, struct amy__span text, void *target)
{
    uint64_t value = 0;

    if (!amy__parse_size(text, &value) || value < (uint64_t)field->min ||
        value > (uint64_t)field->max) {
        return false;
    }
    *(uint64_t *)target = value;
    return true;
}

static bool
set_duration(const struct amy__field *field, struct amy__span text,
             void *target)
{
    bool whole = field->kind == AMY__FIELD_SECONDS;
    int64_t ms = 0;

    if (!amy__parse_duration(text, &ms) || ms < field->min || ms > field->max ||
        (whole && ms % 1000 != 0)) {
        return false;
    }
    *(int64_t *)target = whole ? ms / 1000 : ms;
    return true;
}

static bool
set_count(const struct amy__field *field, struct amy__span text, void *target)
{
    uint64_t value = 0;

    if (!amy__parse_u64(text, (uint64_t)field->max, &value) ||
        value < (uint64_t)field->min) {
        return false;
    }
    *(uint32_t *)target = (uint32_t)value;
    return true;
}

/* True when `text` is allowed, and stored. */
bool
amy__value_set(const struct amy__field *field, const char *text, void *record)
{
    struct amy__span span = amy__span_of(text);
    void *target = (char *)record + field->offset;

    switch (field->kind) {
    case AMY__FIELD_BOOL:
    case AMY__FIELD_WORD:
        return set_word(field, text, target);
    case AMY__FIELD_COUNT:
        return set_count(field, span, target);
    case AMY__FIELD_SIZE:
        return set_size(field, span, target);
    case AMY__FIELD_DURATION:
    case AMY__FIELD_SECONDS:
        return set_duration(field, span, target);
    case AMY__FIELD_CUSTOM:
        return field->set(record, span);
    case AMY__FIELD_TEXT:
    case AMY__FIELD_TEXTS:
    case AMY__FIELD_CIDRS:
    case AMY__FIELD_ADDRESSES:
    case AMY__FIELD_MAP:
    case AMY__FIELD_MAPS:
        break;
    }
    return false;
}

const char *
amy__value_why_not(enum amy__field_kind kind)
{
    switch (kind) {
    case AMY__FIELD_COUNT:
        return "is no number in range";
    case AMY__FIELD_SIZE:
        return "is no size in range";
    case AMY__FIELD_DURATION:
    case AMY__FIELD_SECONDS:
        return "is no duration in range";
    case AMY__FIELD_BOOL:
    case AMY__FIELD_WORD:
    case AMY__FIELD_CUSTOM:
    case AMY__FIELD_TEXT:
    case AMY__FIELD_TEXTS:
    case AMY__FIELD_CIDRS:
    case AMY__FIELD_ADDRESSES:
    case AMY__FIELD_MAP:
    case AMY__FIELD_MAPS:
        break;
    }
    return "is not allowed";
}

/* How amyctl writes for people. */
/* Not for --json, which is written by jansson. */
#include "ctl_text.h"

#include <amy/clock.h>

#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A program of one thread and one task: what it writes to is its state. */
static FILE *output;
static bool coloured;

void
text_begin(FILE *out)
{
    const char *term = getenv("TERM");
    const char *no_color = getenv("NO_COLOR");

    (void)fflush(output == NULL ? stdout : output);
    output = out;
    coloured = isatty(fileno(out)) == 1 &&
               (no_color == NULL || no_color[0] == '\0') &&
               (term == NULL || strcmp(term, "dumb") != 0);
}

static const char *
escape_of(enum text_style style)
{
    switch (style) {
    case TEXT_BOLD:
        return "\033[1m";
    case TEXT_FAINT:
        return "\033[2m";
    case TEXT_GOOD:
        return "\033[32m";
    case TEXT_WARN:
        return "\033[33m";
    case TEXT_BAD:
        return "\033[31m";
    case TEXT_PLAIN:
    default:
        return "";
    }
}

/* RFC 3629: how long a sequence is by its first byte, and what its second one
 * may be; U+0080 to U+009F, which are controls, are left out. */
static const struct {
    unsigned char low;
    unsigned char high;
    unsigned char second_low;
    unsigned char second_high;
    unsigned char length;
} sequences[] = {
    {0xc2, 0xc2, 0xa0, 0xbf, 2}, {0xc3, 0xdf, 0x80, 0xbf, 2},
    {0xe0, 0xe0, 0xa0, 0xbf, 3}, {0xe1, 0xec, 0x80, 0xbf, 3},
    {0xed, 0xed, 0x80, 0x9f, 3}, {0xee, 0xef, 0x80, 0xbf, 3},
    {0xf0, 0xf0, 0x90, 0xbf, 4}, {0xf1, 0xf3, 0x80, 0xbf, 4},
    {0xf4, 0xf4, 0x80, 0x8f, 4},
};
#define SEQUENCE_COUNT (sizeof(sequences) / sizeof(sequences[0]))

size_t
text_printable(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    size_t kind = 0;

    if (p[0] < 0x80) {
        return p[0] >= 0x20 && p[0] != 0x7f ? 1 : 0;
    }
    while (kind < SEQUENCE_COUNT && p[0] > sequences[kind].high) {
        kind++;
    }
    if (kind == SEQUENCE_COUNT || p[0] < sequences[kind].low ||
        n < sequences[kind].length || p[1] < sequences[kind].second_low ||
        p[1] > sequences[kind].second_high) {
        return 0;
    }
    for (size_t i = 2; i < sequences[kind].length; i++) {
        if ((p[i] & 0xc0U) != 0x80U) {
            return 0;
        }
    }
    return sequences[kind].length;
}

void
text_tame(char *text)
{
    size_t left = strlen(text);

    while (left > 0) {
        size_t n = *text == '\n' ? 1 : text_printable(text, left);

        if (n == 0) {
            *text = '?';
            n = 1;
        }
        text += n;
        left -= n;
    }
}

static void
put(enum text_style style, const char *text)
{
    bool paint = coloured && style != TEXT_PLAIN && text[0] != '\0';

    (void)fprintf(output, "%s%s%s", paint ? escape_of(style) : "", text,
                  paint ? "\033[0m" : "");
}

void
text_print(enum text_style style, const char *fmt, ...)
{
    char *text = NULL;
    va_list args;
    int n = 0;

    va_start(args, fmt);
    n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0) {
        return;
    }
    text_tame(text);
    put(style, text);
    free(text);
}

const char *
text_duration(int64_t ms, char *buf, size_t size)
{
    static const struct {
        int64_t ms;
        const char *name;
        int64_t next_ms;
        const char *next;
    } units[] = {
        {86400000, "d", 3600000, "h"},
        {3600000, "h", 60000, "m"},
        {60000, "m", 1000, "s"},
    };

    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        int64_t rest = ms % units[i].ms / units[i].next_ms;

        if (ms < units[i].ms) {
            continue;
        }
        if (rest == 0) {
            (void)snprintf(buf, size, "%" PRId64 "%s", ms / units[i].ms,
                           units[i].name);
        } else {
            (void)snprintf(buf, size, "%" PRId64 "%s%" PRId64 "%s",
                           ms / units[i].ms, units[i].name, rest,
                           units[i].next);
        }
        return buf;
    }
    if (ms >= 1000) {
        (void)snprintf(buf, size, "%" PRId64 "s", ms / 1000);
    } else {
        (void)snprintf(buf, size, "%" PRId64 "ms", ms < 0 ? 0 : ms);
    }
    return buf;
}

const char *
text_bytes(int64_t bytes, char *buf, size_t size)
{
    static const char *const names[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = bytes < 0 ? 0 : (double)bytes;
    size_t i = 0;

    while (value >= 1024 && i + 1 < sizeof(names) / sizeof(names[0])) {
        value /= 1024;
        i++;
    }
    (void)snprintf(buf, size, "%.*f %s", i > 0 && value < 100 ? 1 : 0, value,
                   names[i]);
    return buf;
}

static bool
parse_date(const char *rfc3339, struct tm *ret)
{
    *ret = (struct tm){0};
    return rfc3339 != NULL &&
           strptime(rfc3339, "%Y-%m-%dT%H:%M:%S", ret) != NULL;
}

const char *
text_date(const char *rfc3339, char *buf, size_t size)
{
    struct tm utc;

    if (!parse_date(rfc3339, &utc) ||
        strftime(buf, size, "%Y-%m-%d %H:%M UTC", &utc) == 0) {
        (void)snprintf(buf, size, "%s", rfc3339 == NULL ? "?" : rfc3339);
    }
    return buf;
}

int64_t
text_until(const char *rfc3339)
{
    const struct amy_clock *clock = amy_clock_system();
    struct tm utc;

    if (!parse_date(rfc3339, &utc)) {
        return INT64_MIN;
    }
    return (int64_t)timegm(&utc) * 1000 - clock->wall_ms(clock->user);
}

struct row {
    size_t count;
    char *cells[TABLE_COLUMNS];
    enum text_style styles[TABLE_COLUMNS];
};

struct table {
    const char *alignment;
    struct row *rows;
    size_t count;
};

struct table *
table_create(const char *alignment)
{
    struct table *table = calloc(1, sizeof(*table));

    if (table != NULL) {
        table->alignment = alignment;
    }
    return table;
}

void
table_row(struct table *table)
{
    struct row *grown = NULL;

    if (table == NULL) {
        return;
    }
    grown = reallocarray(table->rows, table->count + 1, sizeof(*grown));
    if (grown == NULL) {
        return;
    }
    table->rows = grown;
    table->rows[table->count++] = (struct row){0};
}

void
table_cell(struct table *table, enum text_style style, const char *fmt, ...)
{
    struct row *row = NULL;
    char *text = NULL;
    va_list args;
    int n = 0;

    if (table == NULL || table->count == 0) {
        return;
    }
    row = &table->rows[table->count - 1];
    if (row->count == TABLE_COLUMNS) {
        return;
    }
    va_start(args, fmt);
    n = vasprintf(&text, fmt, args);
    va_end(args);
    if (n < 0) {
        return;
    }
    text_tame(text);
    row->styles[row->count] = style;
    row->cells[row->count++] = text;
}

static size_t
width_of(const struct table *table, size_t column)
{
    size_t width = 0;

    for (size_t i = 0; i < table->count; i++) {
        const struct row *row = &table->rows[i];
        size_t n = column < row->count ? strlen(row->cells[column]) : 0;

        width = n > width ? n : width;
    }
    return width;
}

static void
print_row(const struct table *table, const struct row *row,
          const size_t widths[TABLE_COLUMNS], const char *indent)
{
    size_t count = row->count;

    while (count > 0 && row->cells[count - 1][0] == '\0') {
        count--; /* no blanks at the end of a line */
    }
    (void)fprintf(output, "%s", indent);
    for (size_t i = 0; i < count; i++) {
        size_t n = strlen(row->cells[i]);
        int pad = (int)(widths[i] - n);
        bool right = table->alignment[i] == 'r';
        bool last = i + 1 == count;

        (void)fprintf(output, "%*s", right ? pad : 0, "");
        put(row->styles[i], row->cells[i]);
        if (!last) {
            (void)fprintf(output, "%*s", (right ? 0 : pad) + 2, "");
        }
    }
    (void)fprintf(output, "\n");
}

void
table_finish(struct table *table, const char *indent)
{
    size_t widths[TABLE_COLUMNS] = {0};

    if (table == NULL) {
        return;
    }
    for (size_t i = 0; i < TABLE_COLUMNS; i++) {
        widths[i] = width_of(table, i);
    }
    for (size_t i = 0; i < table->count; i++) {
        print_row(table, &table->rows[i], widths, indent);
        for (size_t j = 0; j < table->rows[i].count; j++) {
            free(table->rows[i].cells[j]);
        }
    }
    free(table->rows);
    free(table);
}

static const char *
text_of(const json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));

    return text == NULL ? "" : text;
}

void
text_problem(const json_t *problem, const char *indent)
{
    json_int_t line = json_integer_value(json_object_get(problem, "line"));
    json_int_t column = json_integer_value(json_object_get(problem, "column"));
    const char *key = text_of(problem, "key");
    const char *allowed = text_of(problem, "allowed");
    bool warning = strcmp(text_of(problem, "severity"), "warning") == 0;

    text_print(TEXT_PLAIN, "%s%s", indent, text_of(problem, "file"));
    if (line > 0) {
        text_print(TEXT_PLAIN, ":%" JSON_INTEGER_FORMAT, line);
    }
    if (line > 0 && column > 0) {
        text_print(TEXT_PLAIN, ":%" JSON_INTEGER_FORMAT, column);
    }
    text_print(warning ? TEXT_WARN : TEXT_BAD,
               ": %s: ", warning ? "warning" : "error");
    text_print(TEXT_PLAIN, "%s%s%s", key, key[0] == '\0' ? "" : ": ",
               text_of(problem, "message"));
    if (allowed[0] != '\0') {
        text_print(TEXT_FAINT, " (allowed: %s)", allowed);
    }
    text_print(TEXT_PLAIN, "\n");
}

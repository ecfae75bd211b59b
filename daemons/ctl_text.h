/* Text for people: aligned tables, short units, colour on terminals only. */
#ifndef CTL_TEXT_H
#define CTL_TEXT_H

#include <jansson.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum text_style {
    TEXT_PLAIN = 0,
    TEXT_BOLD,
    TEXT_FAINT,
    TEXT_GOOD,
    TEXT_WARN,
    TEXT_BAD,
};

/* Where text goes from now on; colours when that is a terminal and NO_COLOR is
 * not set. What text_tame() takes out of what a daemon said is shown as '?'. */
void text_begin(FILE *out);
void text_print(enum text_style style, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));

/* How many bytes the character at text has, of which n are there; 0: it is a
 * control character of ASCII or Unicode, or no UTF-8. A terminal may obey
 * those, also U+0080 to U+009F. n > 0. */
size_t text_printable(const char *text, size_t n);
/* Each byte of such characters becomes '?'; newlines stay. */
void text_tame(char *text);

/* "3h12m", "26d4h", "450ms": the two largest units. Returns buf. */
const char *text_duration(int64_t ms, char *buf, size_t size);
/* "48.1 MiB". Returns buf. */
const char *text_bytes(int64_t bytes, char *buf, size_t size);
/* An RFC 3339 date: "2026-11-23 20:42 UTC"; as it came when it is none. */
const char *text_date(const char *rfc3339, char *buf, size_t size);
/* Milliseconds from now on, negative in the past; INT64_MIN: no date. */
int64_t text_until(const char *rfc3339);

/* Rows of cells; columns as wide as they need be. */
#define TABLE_COLUMNS 9
struct table;
/* alignment: one letter per column, 'l' or 'r'. */
struct table *table_create(const char *alignment);
void table_row(struct table *table);
void table_cell(struct table *table, enum text_style style, const char *fmt,
                ...) __attribute__((format(printf, 3, 4)));
/* Print with this before each row, and free. */
void table_finish(struct table *table, const char *indent);

/* file:line:column: key: message (allowed) */
void text_problem(const json_t *problem, const char *indent);

#endif

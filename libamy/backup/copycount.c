/* The state machine over pg_restore's text. */
/* Not for schemas: functions may hold what looks like COPY, so only data is
 * asked for. Within data every newline of a value is escaped. */
#include "backup/copycount.h"

#include "core/error.h"

#include <string.h>

#define STATEMENT_MAX ((size_t)512 * 1024) /* 1600 columns of 2 * 63 + 4 */

static const char copy_word[] = "COPY ";
#define COPY_N (sizeof(copy_word) - 1)
static const char mark[] = "\\.\n";

void
amy__copycount_init(struct amy__copycount *count,
                    struct amy__manifest *borrow_into)
{
    *count = (struct amy__copycount){.borrow_into = borrow_into};
    amy__buf_init(&count->held, STATEMENT_MAX);
}

void
amy__copycount_clear(struct amy__copycount *count)
{
    amy__buf_clear(&count->held);
}

/* The table out of "COPY schema.table (columns) FROM stdin;". */
static struct amy__span
table_name(struct amy__span statement)
{
    struct amy__span name = {statement.p + COPY_N, 0};
    bool quoted = false;

    while (name.n < statement.n - COPY_N && (quoted || name.p[name.n] != ' ')) {
        quoted = (name.p[name.n] == '"') != quoted;
        name.n++;
    }
    return name;
}

static int
finish_table(struct amy__copycount *count, struct amy_error *err)
{
    struct amy__span name = table_name(amy__buf_span(&count->held));
    int rc =
        amy__manifest_add_table(count->borrow_into, name, count->rows, err);

    count->state = AMY__COPYCOUNT_LINE;
    count->held.len = 0;
    count->rows = 0;
    return rc;
}

/* --- each takes bytes off the front of *text --- */

static char
take(struct amy__span *text)
{
    text->n--;
    return *text->p++;
}

/* True when there was one; else all has been taken. */
static bool
take_to_newline(struct amy__span *text)
{
    const char *end = memchr(text->p, '\n', text->n);
    size_t n = end == NULL ? text->n : (size_t)(end - text->p) + 1;

    text->p += n;
    text->n -= n;
    return end != NULL;
}

static int
hold(struct amy__copycount *count, char c, struct amy_error *err)
{
    int rc = amy__buf_append(&count->held, &c, 1);

    return rc < 0 ? amy__err(err, rc, "holding a COPY statement") : 0;
}

/* A statement? As soon as it cannot be one the rest is skipped. */
static int
feed_line(struct amy__copycount *count, struct amy__span *text,
          struct amy_error *err)
{
    if (text->p[0] != copy_word[count->held.len]) {
        count->held.len = 0;
        count->state = AMY__COPYCOUNT_SKIP;
        return 0;
    }
    if (count->held.len + 1 == COPY_N) {
        count->state = AMY__COPYCOUNT_STATEMENT;
        count->quoted = false;
    }
    return hold(count, take(text), err);
}

static int
feed_statement(struct amy__copycount *count, struct amy__span *text,
               struct amy_error *err)
{
    char c = take(text);
    int rc = hold(count, c, err);

    count->quoted = (c == '"') != count->quoted;
    if (rc < 0 || c != '\n' || count->quoted) {
        return rc;
    }
    if (!amy__span_ends(amy__buf_span(&count->held),
                        AMY_SPAN(" FROM stdin;\n"))) {
        return amy__err(err, AMY_EPARSE, "an unknown kind of COPY");
    }
    count->state = AMY__COPYCOUNT_MARK;
    count->marked = 0;
    return 0;
}

static int
feed_mark(struct amy__copycount *count, struct amy__span *text,
          struct amy_error *err)
{
    if (text->p[0] != mark[count->marked]) {
        count->state = AMY__COPYCOUNT_ROW;
        return 0;
    }
    (void)take(text);
    count->marked++;
    return count->marked == sizeof(mark) - 1 ? finish_table(count, err) : 0;
}

static void
feed_row(struct amy__copycount *count, struct amy__span *text)
{
    if (take_to_newline(text)) {
        count->rows++;
        count->marked = 0;
        count->state = AMY__COPYCOUNT_MARK;
    }
}

int
amy__copycount_feed(struct amy__copycount *count, struct amy__span text,
                    struct amy_error *err)
{
    int rc = 0;

    count->bytes += text.n;
    while (text.n > 0 && rc == 0) {
        switch (count->state) {
        case AMY__COPYCOUNT_LINE:
            rc = feed_line(count, &text, err);
            break;
        case AMY__COPYCOUNT_SKIP:
            if (take_to_newline(&text)) {
                count->state = AMY__COPYCOUNT_LINE;
            }
            break;
        case AMY__COPYCOUNT_STATEMENT:
            rc = feed_statement(count, &text, err);
            break;
        case AMY__COPYCOUNT_MARK:
            rc = feed_mark(count, &text, err);
            break;
        case AMY__COPYCOUNT_ROW:
            feed_row(count, &text);
            break;
        }
    }
    return rc;
}

int
amy__copycount_end(const struct amy__copycount *count, struct amy_error *err)
{
    if (count->state == AMY__COPYCOUNT_STATEMENT ||
        count->state == AMY__COPYCOUNT_MARK ||
        count->state == AMY__COPYCOUNT_ROW) {
        return amy__err(err, AMY_EPARSE, "the data ends within a table");
    }
    return 0;
}

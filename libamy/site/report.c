/* Collects the problems of one file and writes each as one line.
 * Not for deciding what is a problem: that is schema.c, fields.c, rules.c. */
#include "site/report.h"

#include "core/alloc.h"
#include "core/error.h"
#include "site/site.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Longest message kept, with its NUL. */
#define MESSAGE_SIZE 400

struct amy__report_item {
    struct amy_problem problem;
    char *file; /* NULL: the report's */
    char *key;
    char *message;
    char *allowed;
    size_t order; /* of finding; keeps the sort stable */
};

void
amy__report_init(struct amy__report *report, const char *borrow_file)
{
    *report = (struct amy__report){.borrow_file = borrow_file};
}

static void
clear_item(struct amy__report_item *item)
{
    amy__free(item->file);
    amy__free(item->key);
    amy__free(item->message);
    amy__free(item->allowed);
}

void
amy__report_clear(struct amy__report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        clear_item(&report->items[i]);
    }
    amy__free(report->items);
    amy__report_init(report, report->borrow_file);
}

/* NULL stays NULL; false when memory is out. */
static bool
copy_text(const char *text, char **ret)
{
    if (text == NULL) {
        return true;
    }
    *ret = amy__strdup(text);
    return *ret != NULL;
}

/* A message may quote the file: a newline in it would forge a line of ours. */
static void
make_one_line(char *message)
{
    for (; *message != '\0'; message++) {
        if ((unsigned char)*message < 0x20 || *message == 0x7F) {
            *message = '?';
        }
    }
}

static void
keep(struct amy__report *report, const struct amy__place *place,
     enum amy_severity severity, char *message)
{
    struct amy__report_item item = {
        .problem = {.struct_size = sizeof(struct amy_problem),
                    .file = report->borrow_file,
                    .line = place->line,
                    .column = place->column,
                    .severity = (uint32_t)severity},
        .order = report->count,
    };
    struct amy__report_item *items = NULL;

    make_one_line(message);
    if (report->count == AMY__REPORT_MAX) {
        report->dropped++;
        return;
    }
    items = amy__realloc(report->items, (report->count + 1) * sizeof(*items));
    if (items == NULL) {
        report->out_of_memory = true;
        return;
    }
    report->items = items;
    if (!copy_text(place->file, &item.file) ||
        !copy_text(place->key, &item.key) ||
        !copy_text(message, &item.message) ||
        !copy_text(place->allowed, &item.allowed)) {
        clear_item(&item);
        report->out_of_memory = true;
        return;
    }
    if (item.file != NULL) {
        item.problem.file = item.file;
    }
    item.problem.key = item.key;
    item.problem.message = item.message;
    item.problem.allowed = item.allowed;
    items[report->count++] = item;
}

void
amy__report_error(struct amy__report *report, const struct amy__place *place,
                  const char *fmt, ...)
{
    char message[MESSAGE_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    keep(report, place, AMY_SEVERITY_ERROR, message);
}

void
amy__report_warning(struct amy__report *report, const struct amy__place *place,
                    const char *fmt, ...)
{
    char message[MESSAGE_SIZE];
    va_list args;

    va_start(args, fmt);
    (void)vsnprintf(message, sizeof(message), fmt, args);
    va_end(args);
    keep(report, place, AMY_SEVERITY_WARNING, message);
}

static const struct amy__report_item *
first_error(const struct amy__report *report)
{
    for (size_t i = 0; i < report->count; i++) {
        if (report->items[i].problem.severity == AMY_SEVERITY_ERROR) {
            return &report->items[i];
        }
    }
    return NULL;
}

bool
amy__report_is_clean(const struct amy__report *report)
{
    return !report->out_of_memory && report->dropped == 0 &&
           first_error(report) == NULL;
}

static int
by_place(const void *a, const void *b)
{
    const struct amy__report_item *x = a;
    const struct amy__report_item *y = b;

    if (x->problem.line != y->problem.line) {
        return x->problem.line < y->problem.line ? -1 : 1;
    }
    if (x->problem.column != y->problem.column) {
        return x->problem.column < y->problem.column ? -1 : 1;
    }
    return x->order < y->order ? -1 : 1;
}

static void
tell_dropped(const struct amy__report *report, amy_problem_fn fn, void *user)
{
    char message[64];
    struct amy_problem more = {.struct_size = sizeof(more),
                               .file = report->borrow_file,
                               .severity = AMY_SEVERITY_ERROR,
                               .message = message};

    (void)snprintf(message, sizeof(message), "and %zu more problems",
                   report->dropped);
    fn(&more, user);
}

int
amy__report_finish(struct amy__report *report, int code, amy_problem_fn fn,
                   void *user, struct amy_error *err)
{
    const struct amy__report_item *first = NULL;
    char line[sizeof(err->msg)];

    if (report->count > 1) {
        qsort(report->items, report->count, sizeof(report->items[0]), by_place);
    }
    for (size_t i = 0; fn != NULL && i < report->count; i++) {
        fn(&report->items[i].problem, user);
    }
    if (fn != NULL && report->dropped > 0) {
        tell_dropped(report, fn, user);
    }
    if (report->out_of_memory) {
        return amy__err(err, AMY_ENOMEM, "reading '%s'", report->borrow_file);
    }
    first = first_error(report);
    if (first == NULL) {
        /* What was dropped may have been an error; there were a hundred
         * warnings before it, which no file of ours can have. */
        return report->dropped == 0 ? 0
                                    : amy__err(err, code, "too many problems");
    }
    (void)amy__problem_format(&first->problem, line, sizeof(line));
    return amy__err(err, code, "%s", line);
}

size_t
amy__problem_format(const struct amy_problem *problem, char *buf, size_t size)
{
    char place[32] = "";
    int n = 0;

    if (problem->line > 0 && problem->column > 0) {
        (void)snprintf(place, sizeof(place), ":%u:%u", problem->line,
                       problem->column);
    } else if (problem->line > 0) {
        (void)snprintf(place, sizeof(place), ":%u", problem->line);
    }
    n = snprintf(buf, size, "%s%s: %s%s%s%s%s%s",
                 problem->file == NULL ? "" : problem->file, place,
                 problem->key == NULL ? "" : problem->key,
                 problem->key == NULL ? "" : ": ", problem->message,
                 problem->allowed == NULL ? "" : " (allowed: ",
                 problem->allowed == NULL ? "" : problem->allowed,
                 problem->allowed == NULL ? "" : ")");
    return n < 0 ? 0 : (size_t)n;
}

/* Prometheus' text format, one line at a time. */
/* Not for gathering figures, nor for serving them: control/metrics.c. */
#include "control/metrics_text.h"

#include <inttypes.h>
#include <stddef.h>

static void
put(struct amy__metrics_text *text, struct amy__span bytes)
{
    if (text->rc == 0) {
        text->rc = amy__buf_append_span(text->borrow_out, bytes);
    }
}

static void
put_text(struct amy__metrics_text *text, const char *bytes)
{
    put(text, amy__span_of(bytes));
}

/* Backslash, quote and newline are escaped, nothing else is special. */
static void
put_label(struct amy__metrics_text *text, const struct amy__label *label)
{
    put_text(text, label->name);
    put_text(text, "=\"");
    for (const char *c = label->value; *c != '\0'; c++) {
        if (*c == '\n') {
            put_text(text, "\\n");
            continue;
        }
        if (*c == '\\' || *c == '"') {
            put_text(text, "\\");
        }
        put(text, (struct amy__span){c, 1});
    }
    put_text(text, "\"");
}

static void
put_head(struct amy__metrics_text *text, const struct amy__metric *metric)
{
    if (text->metric == metric || text->rc != 0) {
        return;
    }
    text->metric = metric;
    text->rc = amy__buf_appendf(
        text->borrow_out, "# HELP %s %s\n# TYPE %s %s\n", metric->name,
        metric->help, metric->name,
        metric->type == AMY__METRIC_COUNTER ? "counter" : "gauge");
}

static void
put_name(struct amy__metrics_text *text, const struct amy__metric *metric,
         const struct amy__label *labels)
{
    put_head(text, metric);
    put_text(text, metric->name);
    for (size_t i = 0; labels != NULL && labels[i].name != NULL; i++) {
        put_text(text, i == 0 ? "{" : ",");
        put_label(text, &labels[i]);
    }
    put_text(text, labels != NULL && labels[0].name != NULL ? "} " : " ");
}

void
amy__metrics_value(struct amy__metrics_text *text,
                   const struct amy__metric *metric,
                   const struct amy__label *labels, int64_t value)
{
    put_name(text, metric, labels);
    if (text->rc == 0) {
        text->rc = amy__buf_appendf(text->borrow_out, "%" PRId64 "\n", value);
    }
}

void
amy__metrics_seconds(struct amy__metrics_text *text,
                     const struct amy__metric *metric,
                     const struct amy__label *labels, int64_t ms)
{
    put_name(text, metric, labels);
    if (text->rc == 0) {
        text->rc = amy__buf_appendf(
            text->borrow_out, "%s%" PRId64 ".%03" PRId64 "\n",
            ms < 0 ? "-" : "", ms < 0 ? -(ms / 1000) : ms / 1000,
            ms < 0 ? -(ms % 1000) : ms % 1000);
    }
}

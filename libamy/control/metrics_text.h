/* Figures in the text that Prometheus reads (exposition format 0.0.4). Pure. */
#ifndef AMY_CONTROL_METRICS_TEXT_H
#define AMY_CONTROL_METRICS_TEXT_H

#include "core/buf.h"

#include <stdint.h>

enum amy__metric_type {
    AMY__METRIC_GAUGE = 0,
    AMY__METRIC_COUNTER, /* its name ends in _total */
};

/* Constants of whoever tells them. */
struct amy__metric {
    const char *name;
    enum amy__metric_type type;
    const char *help;
};

struct amy__label {
    const char *name; /* NULL ends a list */
    const char *value;
};

/* A text being written. What goes wrong once is kept: no call needs to be
 * looked at. */
struct amy__metrics_text {
    struct amy__buf *borrow_out;
    const struct amy__metric *metric; /* of the line before */
    int rc; /* AMY_ELIMIT, AMY_ENOMEM: the text is of no use */
};

/* One line, and the metric's head before the first one. All lines of a metric
 * must come one behind the other; labels may be NULL. */
void amy__metrics_value(struct amy__metrics_text *text,
                        const struct amy__metric *metric,
                        const struct amy__label *labels, int64_t value);
/* The same in seconds, from milliseconds. */
void amy__metrics_seconds(struct amy__metrics_text *text,
                          const struct amy__metric *metric,
                          const struct amy__label *labels, int64_t ms);

#endif

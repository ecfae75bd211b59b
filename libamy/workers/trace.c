/* Follows Python's tracebacks, line by line. */
/* Not for holding lines back: workers/output.c. */
#include "workers/trace.h"

/* As traceback.c of CPython writes them; exception groups indent theirs. */
static bool
is_head(struct amy__span line)
{
    return amy__span_ends(line, AMY_SPAN("Traceback (most recent call last):"));
}

static bool
is_link(struct amy__span line)
{
    return amy__span_eq(line,
                        AMY_SPAN("During handling of the above exception, "
                                 "another exception occurred:")) ||
           amy__span_eq(line, AMY_SPAN("The above exception was the direct "
                                       "cause of the following exception:"));
}

enum amy__trace
amy__trace_next(enum amy__trace trace, struct amy__span line)
{
    bool continues = line.n == 0 || line.p[0] == ' ' || line.p[0] == '\t';

    if (is_head(line)) {
        return AMY__TRACE_INSIDE;
    }
    if (trace == AMY__TRACE_NONE || continues) {
        return trace;
    }
    if (trace == AMY__TRACE_INSIDE) {
        return AMY__TRACE_AFTER;
    }
    return is_link(line) ? AMY__TRACE_LINKED : AMY__TRACE_NONE;
}

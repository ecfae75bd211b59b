/* Which lines of a worker's output are one traceback. Pure. */
#ifndef AMY_WORKERS_TRACE_H
#define AMY_WORKERS_TRACE_H

#include "core/str.h"

enum amy__trace {
    AMY__TRACE_NONE = 0,
    AMY__TRACE_INSIDE, /* its exception is still to come */
    AMY__TRACE_AFTER,  /* it may be whole; another may follow in its chain */
    AMY__TRACE_LINKED, /* another does */
};

/* After this line, the next one of the same worker. */
enum amy__trace amy__trace_next(enum amy__trace trace, struct amy__span line);

#endif

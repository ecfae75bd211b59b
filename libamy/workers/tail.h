/* The last lines that one worker wrote, kept for the day it fails: at most 50
 * of them and 8 KiB. */
#ifndef AMY_WORKERS_TAIL_H
#define AMY_WORKERS_TAIL_H

#include "core/json.h"

#include <stddef.h>

#define AMY__TAIL_LINES 50
#define AMY__TAIL_BYTES 8192
#define AMY__TAIL_LINE_BYTES 1024 /* the rest of a longer one is left out */

struct amy__tail {
    char *text; /* each line with its newline; NULL: none yet */
    size_t used;
    size_t lines;
};

/* Out of memory, a line is not kept. */
void amy__tail_add(struct amy__tail *tail, const char *line, size_t n);
void amy__tail_clear(struct amy__tail *tail);
/* An array of texts, the oldest line first; NULL when memory is out. */
struct amy__json *amy__tail_json(const struct amy__tail *tail);

#endif

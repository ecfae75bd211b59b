/* What a program of PostgreSQL's writes to its standard error: complaints, and
 * with --verbose how far it is. Pure; a line may be as long as it likes. */
#ifndef AMY_BACKUP_CHATTER_H
#define AMY_BACKUP_CHATTER_H

#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct amy__chatter {
    bool verbose;   /* what says only how far it is, is no complaint */
    char line[512]; /* the one under way; cut there */
    size_t line_n;
    char said[1024]; /* the first complaints, a line each */
    size_t said_n;
    uint32_t tables; /* whose rows it has begun to write */
};

/* The next bytes. */
void amy__chatter_take(struct amy__chatter *chatter, struct amy__span bytes);
/* What it complained of first, an error if there was one; or "". The line under
 * way counts as one that ended; the other complaints are gone. */
const char *amy__chatter_complaint(struct amy__chatter *chatter);

#endif

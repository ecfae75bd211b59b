/* Counts rows in what `pg_restore --data-only -f -` writes: its COPY blocks.
 * Pure; a row may be as long as it likes, it is never held. */
#ifndef AMY_BACKUP_COPYCOUNT_H
#define AMY_BACKUP_COPYCOUNT_H

#include <amy/error.h>

#include "backup/manifest.h"
#include "core/buf.h"
#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

struct amy__copycount {
    enum {
        AMY__COPYCOUNT_LINE = 0,  /* at the beginning of one, outside */
        AMY__COPYCOUNT_SKIP,      /* in a line that does not matter */
        AMY__COPYCOUNT_STATEMENT, /* in "COPY ... FROM stdin;" */
        AMY__COPYCOUNT_MARK,      /* in a row that may be the end mark "\." */
        AMY__COPYCOUNT_ROW,       /* in any other row */
    } state;
    struct amy__buf held; /* the beginning of a line, or a statement */
    bool quoted;          /* in a name, which a line may end within */
    unsigned marked;      /* bytes of the end mark seen */
    uint64_t rows;        /* of the block so far */
    uint64_t bytes;       /* of all text */
    struct amy__manifest *borrow_into;
};

void amy__copycount_init(struct amy__copycount *count,
                         struct amy__manifest *borrow_into);
void amy__copycount_clear(struct amy__copycount *count);
/* The next bytes. A table that ends is added to the manifest. AMY_EPARSE,
 * AMY_ELIMIT, AMY_ENOMEM. */
int amy__copycount_feed(struct amy__copycount *count, struct amy__span text,
                        struct amy_error *err);
/* Nothing more comes. AMY_EPARSE: in the middle of a block. */
int amy__copycount_end(const struct amy__copycount *count,
                       struct amy_error *err);

#endif

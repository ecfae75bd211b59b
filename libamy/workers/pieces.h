/* Lines of several workers, kept apart until they are written: those of one
 * turn in one piece, and a traceback with all that belongs to it, though it
 * comes line by line while others write. Pure. */
#ifndef AMY_WORKERS_PIECES_H
#define AMY_WORKERS_PIECES_H

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

/* A traceback waits for its end that long: a busy machine writes it slowly. */
#define AMY__PIECE_HOLD_MS 500

struct amy__piece;

/* The text is whole lines, valid during the call. */
typedef void (*amy__pieces_fn)(struct amy__span text, void *user);

struct amy__pieces {
    struct amy__piece *first; /* in the order of their first lines */
    struct amy__piece *spare;
    amy__pieces_fn fn;
    void *user;
};

/* A line of this process, with what stands before it in the file; a piece that
 * grows too long is written before. False: memory is out, the line is lost. */
bool amy__pieces_add(struct amy__pieces *pieces, int64_t pid, int64_t now_ms,
                     struct amy__span prefix, struct amy__span line);
/* Write all that are due: those that wait for nothing, and those that have
 * waited long enough. Returns when the next one is due, INT64_MAX: none. */
int64_t amy__pieces_flush(struct amy__pieces *pieces, int64_t now_ms);
/* Write all and free. */
void amy__pieces_clear(struct amy__pieces *pieces);

#endif

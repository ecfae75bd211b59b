/* What every object that is a whole daemon has in common, for tests of what
 * their users do wrong. A room says which calls are its own. */
#ifndef WHOLE_H
#define WHOLE_H

#include <amy/error.h>

#include "root.h"

#include <stddef.h>

/* The calls of a room, of objects and options that only it knows. */
struct whole {
    const char *daemon; /* who answers when it is started; NULL: nobody */
    size_t size;        /* of its options */
    size_t older; /* of those of an older version, without a clock and a log */
    /* Begin options for a root; the clock in them is no good. */
    void (*fill)(void *opts, const struct root *root);
    void (*unset_base)(void *opts);
    int (*create)(const void *opts, void **ret, struct amy_error *err);
    int (*check)(const void *opts, struct amy_error *err);
    int (*start)(void *it, struct amy_error *err);
    int (*reload)(void *it, struct amy_error *err);
    int (*stop)(void *it, struct amy_error *err);
    void (*free)(void *it);
};

/* For the callback that a room gives with its stop: frees the object. */
void whole_stopped(void);

/* All of its tests; what main() returns. */
int whole_run(const struct whole *whole);

#endif

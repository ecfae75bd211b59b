/* What a client would rather have (RFC 9110 12.5). Pure. */
#ifndef AMY_HTTP_ACCEPT_H
#define AMY_HTTP_ACCEPT_H

#include "http/message.h"

#include <stdbool.h>

/* How much a client likes a media type: the weight of the most specific range
 * that fits it, over all Accept fields. */
struct amy__liking {
    unsigned weight;      /* thousandths; 0: not at all */
    unsigned specificity; /* 0: no range fits, 1: all types, 2: type/any,
                             3: the type itself */
};

/* type in lower case, without parameters. Without any Accept: everything
 * alike (weight 1000, specificity 0). */
struct amy__liking amy__accept_liking(const struct amy__field *fields,
                                      size_t count, struct amy__span type);

/* Is it a program that reads JSON (problem details too) rather than a person?
 * By weight; where equal, by which of JSON and HTML is named more exactly; and
 * a client to which both are the same gets HTML. */
bool amy__accept_prefers_json(const struct amy__field *fields, size_t count);

#endif

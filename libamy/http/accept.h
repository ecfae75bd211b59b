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

/* Codings of a body (RFC 9110 8.4.1), the one that saves most first. */
enum amy__coding {
    AMY__CODING_BR = 0,
    AMY__CODING_ZSTD,
    AMY__CODING_GZIP,
    AMY__CODING_IDENTITY, /* last: as it is */
};
#define AMY__CODINGS 3U /* without identity */
struct amy__span amy__coding_name(enum amy__coding coding);

/* Which of the available codings (bits, 1 << coding) to send by Accept-Encoding
 * (12.5.3): the one that weighs most, where equal the earlier one above. Never
 * one that was not asked for: without the field, identity. Identity is there
 * always, and is what is left even for who forbids it: bytes that every client
 * can read serve it better than 406, and 12.1 leaves that to us. */
enum amy__coding amy__accept_coding(const struct amy__field *fields,
                                    size_t count, unsigned available);

#endif

/* The field lines of an HTTP/1.1 head, and what they say about the message's
 * framing and its connection. Internal to the h1 parser. */
#ifndef AMY_HTTP_H1_FIELDS_H
#define AMY_HTTP_H1_FIELDS_H

#include "core/buf.h"
#include "http/codec.h"

/* Fields that decide about the message itself. */
enum amy__h1_fact {
    AMY__FACT_NONE = 0,
    AMY__FACT_LENGTH,
    AMY__FACT_TRANSFER,
    AMY__FACT_HOST,
    AMY__FACT_CONNECTION,
    AMY__FACT_EXPECT,
    AMY__FACT_UPGRADE,
    AMY__FACT_COUNT,
};

struct amy__h1_fields {
    const char *p;   /* next byte */
    const char *end; /* of what may be looked at */
    struct amy__codec_fault *fault;
    struct amy__buf *folds; /* answers: room for folded values; requests: NULL
                               and strict */
    size_t lines;           /* field lines seen */
    size_t lines_max;
    size_t count; /* fields kept */
    struct {
        uint8_t lines;
        uint8_t first; /* its index in fields */
    } facts[AMY__FACT_COUNT];
    bool close; /* Connection options */
    bool keep_alive;
    bool upgrade;
    struct amy__field *fields;
};

/* Read up to and with the empty line. 0, AMY__H1_MORE or AMY_EPROTO. */
int amy__h1_fields_read(struct amy__h1_fields *f);
/* Mark the fields that Connection names, note its options. 0 or AMY_EPROTO. */
int amy__h1_fields_connection(struct amy__h1_fields *f);
/* Content-Length and Transfer-Encoding: 0 and *ret_kind NONE (neither), LENGTH
 * or CHUNKED; or AMY_EPROTO. */
int amy__h1_fields_framing(struct amy__h1_fields *f, uint8_t version_minor,
                           enum amy__body_kind *ret_kind, uint64_t *ret_length);
/* First field of that kind, or NULL. */
const struct amy__field *amy__h1_fields_fact(const struct amy__h1_fields *f,
                                             enum amy__h1_fact fact);
bool amy__h1_has_option(struct amy__span list, struct amy__span option);

#endif

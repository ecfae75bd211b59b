/* Bodies of HTTP/1.1 messages as they arrive (RFC 9112 sections 6 and 7). Pure;
 * the same for requests and answers. */
#ifndef AMY_HTTP_H1_BODY_H
#define AMY_HTTP_H1_BODY_H

#include "http/codec.h"

struct amy__h1_body {
    enum amy__body_kind kind;
    uint8_t step;        /* of the chunked grammar, see h1_body.c */
    bool done;           /* the message is whole */
    uint8_t digits;      /* of this chunk's size so far */
    uint32_t lines;      /* trailer fields */
    uint64_t left;       /* of the length, or of this chunk */
    uint64_t ext_left;   /* chunk extensions, whole body */
    uint64_t trail_left; /* trailer section */
    uint32_t lines_max;
};

void amy__h1_body_begin(struct amy__h1_body *body, enum amy__body_kind kind,
                        uint64_t length,
                        const struct amy__codec_limits *limits);
/* Take the next piece of in. Returns the bytes consumed, of which *ret_data
 * are payload (maybe none); call again until all is consumed or body->done.
 * Negative: AMY_EPROTO with the fault. */
int64_t amy__h1_body_take(struct amy__h1_body *body, struct amy__span in,
                          struct amy__span *ret_data,
                          struct amy__codec_fault *ret_fault);

#endif

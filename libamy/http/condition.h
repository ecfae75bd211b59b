/* Preconditions of a request (RFC 9110 13), as a function of its fields and of
 * what we have. Pure. */
#ifndef AMY_HTTP_CONDITION_H
#define AMY_HTTP_CONDITION_H

#include "http/message.h"

#include <stdbool.h>
#include <stdint.h>

/* What is known about the thing that is asked for. */
struct amy__validators {
    struct amy__span etag;    /* with quotes, maybe W/; empty: none */
    int64_t modified_wall_ms; /* 0: unknown */
};

enum amy__condition {
    AMY__CONDITION_PROCEED = 0,
    AMY__CONDITION_NOT_MODIFIED, /* 304 */
    AMY__CONDITION_FAILED,       /* 412 */
};

/* In the order of 13.2.2, as far as it is about If-Match, If-Unmodified-Since,
 * If-None-Match and If-Modified-Since; the thing exists. */
enum amy__condition
amy__condition_evaluate(const struct amy__request_head *head,
                        const struct amy__validators *v, int64_t wall_now_ms);

/* Of If-Range (13.1.5): may the Range field be honoured? */
bool amy__condition_range(const struct amy__request_head *head,
                          const struct amy__validators *v, int64_t wall_now_ms);

/* 8.8.3.2 */
bool amy__etag_equal_strong(struct amy__span a, struct amy__span b);
bool amy__etag_equal_weak(struct amy__span a, struct amy__span b);

#endif

/* An HTTP/2 request's head while its fields arrive one by one. Pure. */
#ifndef AMY_HTTP_H2_HEAD_H
#define AMY_HTTP_H2_HEAD_H

#include "core/buf.h"
#include "http/authority.h"
#include "http/codec.h"

/* Where a field stands in the text; the text moves while it grows. */
struct amy__h2_line {
    uint32_t name_at;
    uint32_t name_n;
    uint32_t value_at;
    uint32_t value_n;
};

struct amy__h2_head {
    struct amy__buf text;
    unsigned refused; /* status once it is too much */
    size_t lines_max;
    size_t count;
    struct amy__h2_line method;
    struct amy__h2_line path;
    struct amy__h2_line authority;
    struct amy__h2_line lines[AMY__FIELDS_MAX];
};

void amy__h2_head_init(struct amy__h2_head *h,
                       const struct amy__codec_limits *limits);
void amy__h2_head_clear(struct amy__h2_head *h);
/* A pseudo field or a field. 0 or AMY_ENOMEM. */
int amy__h2_head_add(struct amy__h2_head *h, struct amy__span name,
                     struct amy__span value);
/* All are there; end: no body follows. 0, or the status to refuse it with.
 * Spans of ret_head live as long as h. */
unsigned amy__h2_head_finish(struct amy__h2_head *h, bool end,
                             struct amy__request_head *ret_head,
                             struct amy__authority *ret_host);

#endif

/* A growing byte buffer that is given its maximum at birth. Not for a hot
 * path's fixed scratch: use a plain array there. */
#ifndef AMY_CORE_BUF_H
#define AMY_CORE_BUF_H

#include <amy/error.h>

#include "core/str.h"

#include <stddef.h>

struct amy__buf {
    char *data; /* len bytes and, after append calls, a NUL not counted */
    size_t len;
    size_t cap;
    size_t max; /* len never passes it: AMY_ELIMIT */
};

void amy__buf_init(struct amy__buf *buf, size_t max);
void amy__buf_clear(struct amy__buf *buf); /* frees; may be used again */
static inline void
amy__buf_clear_p(struct amy__buf *buf)
{
    amy__buf_clear(buf);
}
/* 0, AMY_ELIMIT or AMY_ENOMEM; on failure the buffer is as before. */
int amy__buf_reserve(struct amy__buf *buf, size_t more);
int amy__buf_append(struct amy__buf *buf, const void *data, size_t n);
int amy__buf_append_span(struct amy__buf *buf, struct amy__span s);
int amy__buf_append_text(struct amy__buf *buf, const char *text);
int amy__buf_appendf(struct amy__buf *buf, const char *fmt, ...)
    __attribute__((format(printf, 2, 3)));
/* Drop the first n bytes. */
void amy__buf_consume(struct amy__buf *buf, size_t n);
struct amy__span amy__buf_span(const struct amy__buf *buf);

#endif

/* A byte buffer that doubles up to a maximum given at birth. */
/* Not for hot paths: those have their own fixed slabs. */
#include "core/buf.h"

#include "core/alloc.h"
#include "core/check.h"

#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#define FIRST_CAP 256U

void
amy__buf_init(struct amy__buf *buf, size_t max)
{
    *buf = (struct amy__buf){.max = max};
}

void
amy__buf_clear(struct amy__buf *buf)
{
    amy__free(buf->data);
    amy__buf_init(buf, buf->max);
}

int
amy__buf_reserve(struct amy__buf *buf, size_t more)
{
    size_t need = 0;
    size_t cap = buf->cap == 0 ? FIRST_CAP : buf->cap;
    char *grown = NULL;

    if (!amy__add_size(buf->len, more, &need) || need > buf->max ||
        need == SIZE_MAX) {
        return AMY_ELIMIT;
    }
    need++; /* the NUL behind the bytes */
    if (need <= buf->cap) {
        return 0;
    }
    while (cap < need) {
        cap = cap > SIZE_MAX / 2 ? need : cap * 2;
    }
    if (cap - 1 > buf->max) {
        cap = buf->max + 1;
    }
    grown = amy__realloc(buf->data, cap);
    if (grown == NULL) {
        return AMY_ENOMEM;
    }
    buf->data = grown;
    buf->cap = cap;
    buf->data[buf->len] = '\0';
    return 0;
}

int
amy__buf_append(struct amy__buf *buf, const void *data, size_t n)
{
    int rc = amy__buf_reserve(buf, n);

    if (rc < 0) {
        return rc;
    }
    if (n > 0) {
        memcpy(buf->data + buf->len, data, n);
    }
    buf->len += n;
    buf->data[buf->len] = '\0';
    return 0;
}

int
amy__buf_append_span(struct amy__buf *buf, struct amy__span s)
{
    return amy__buf_append(buf, s.p, s.n);
}

int
amy__buf_append_text(struct amy__buf *buf, const char *text)
{
    return amy__buf_append(buf, text, strlen(text));
}

int
amy__buf_appendf(struct amy__buf *buf, const char *fmt, ...)
{
    va_list args;
    int n = 0;
    int rc = 0;

    va_start(args, fmt);
    n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    AMY_ASSERT(n >= 0); /* our own formats have no encoding to get wrong */
    rc = amy__buf_reserve(buf, (size_t)n);
    if (rc < 0) {
        return rc;
    }
    va_start(args, fmt);
    (void)vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, args);
    va_end(args);
    buf->len += (size_t)n;
    return 0;
}

void
amy__buf_consume(struct amy__buf *buf, size_t n)
{
    AMY_ASSERT(n <= buf->len);
    if (n == 0) {
        return;
    }
    memmove(buf->data, buf->data + n, buf->len - n);
    buf->len -= n;
    buf->data[buf->len] = '\0';
}

struct amy__span
amy__buf_span(const struct amy__buf *buf)
{
    return (struct amy__span){buf->data, buf->len};
}

/* Copies request heads, so that they outlive the buffer they were read into. */
/* Not for answers: those pass through and are never kept. */
#include "serve/head.h"

#include <string.h>

size_t
amy__head_size(const struct amy__request_head *head)
{
    size_t n = head->method_text.n + head->target.n + head->path.n +
               head->query.n + head->authority.n + head->host.n;

    for (size_t i = 0; i < head->field_count; i++) {
        n += head->fields[i].name.n + head->fields[i].value.n;
    }
    return n;
}

static struct amy__span
copy(char **at, struct amy__span s)
{
    struct amy__span to = {*at, s.n};

    if (s.n > 0) {
        memcpy(*at, s.p, s.n);
        *at += s.n;
    }
    return to;
}

/* path and query are mostly pieces of target. */
static struct amy__span
copy_piece(char **at, struct amy__span s, struct amy__span whole,
           struct amy__span copied)
{
    if (s.n > 0 && s.p >= whole.p && s.p + s.n <= whole.p + whole.n) {
        return (struct amy__span){copied.p + (s.p - whole.p), s.n};
    }
    return copy(at, s);
}

void
amy__head_copy(struct amy__request_head *dst,
               const struct amy__request_head *head, char *mem)
{
    size_t fixed = offsetof(struct amy__request_head, fields);

    /* A head has room for many fields; only those in use are worth copying. */
    memcpy(dst, head, fixed + head->field_count * sizeof(head->fields[0]));
    dst->method_text = copy(&mem, head->method_text);
    dst->target = copy(&mem, head->target);
    dst->path = copy_piece(&mem, head->path, head->target, dst->target);
    dst->query = copy_piece(&mem, head->query, head->target, dst->target);
    dst->authority = copy(&mem, head->authority);
    dst->host = copy(&mem, head->host);
    for (size_t i = 0; i < head->field_count; i++) {
        dst->fields[i].name = copy(&mem, head->fields[i].name);
        dst->fields[i].value = copy(&mem, head->fields[i].value);
    }
}

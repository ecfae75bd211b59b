/* Keeps the last lines of a worker's output. */
/* Not for the log, which has them all: output.c. */
#include "workers/tail.h"

#include "core/alloc.h"

#include <string.h>

void
amy__tail_clear(struct amy__tail *tail)
{
    amy__free(tail->text);
    *tail = (struct amy__tail){.text = NULL};
}

static void
drop_first(struct amy__tail *tail)
{
    const char *end = memchr(tail->text, '\n', tail->used);
    size_t n = (size_t)(end - tail->text) + 1;

    tail->used -= n;
    tail->lines--;
    memmove(tail->text, tail->text + n, tail->used);
}

void
amy__tail_add(struct amy__tail *tail, const char *line, size_t n)
{
    size_t keep = n < AMY__TAIL_LINE_BYTES ? n : AMY__TAIL_LINE_BYTES;

    if (tail->text == NULL) {
        tail->text = amy__calloc(1, AMY__TAIL_BYTES);
    }
    if (tail->text == NULL) {
        return;
    }
    while (tail->lines == AMY__TAIL_LINES ||
           tail->used + keep + 1 > AMY__TAIL_BYTES) {
        drop_first(tail);
    }
    for (size_t i = 0; i < keep; i++) {
        /* Programs that read the answer stop at a NUL. */
        tail->text[tail->used++] = line[i] == '\0' ? '?' : line[i];
    }
    tail->text[tail->used++] = '\n';
    tail->lines++;
}

struct amy__json *
amy__tail_json(const struct amy__tail *tail)
{
    struct amy__json *lines = amy__json_array();
    struct amy__span rest = {tail->text, tail->used};
    struct amy__span line = {NULL, 0};

    for (size_t i = 0; i < tail->lines; i++) {
        (void)amy__span_split(&rest, '\n', &line);
        /* What memory has no room for is missing, as everywhere in JSON. */
        (void)amy__json_add(lines, amy__json_span(line));
    }
    return lines;
}

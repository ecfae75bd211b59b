/* A heap of lines by time. */
/* Not for the order among several components: reader.c. */
#include "logrotate/settle.h"

#include "core/alloc.h"
#include "core/error.h"

#include <string.h>

struct amy__settle_entry {
    struct amy_log_line line;
    uint64_t serial; /* lines of one time stay as they came */
};

static bool
is_before(const struct amy__settle_entry *a, const struct amy__settle_entry *b)
{
    return a->line.wall_ms != b->line.wall_ms
               ? a->line.wall_ms < b->line.wall_ms
               : a->serial < b->serial;
}

static void
swap(struct amy__settle *settle, size_t a, size_t b)
{
    struct amy__settle_entry kept = settle->heap[a];

    settle->heap[a] = settle->heap[b];
    settle->heap[b] = kept;
}

static void
rise(struct amy__settle *settle, size_t at)
{
    while (at > 0 &&
           is_before(&settle->heap[at], &settle->heap[(at - 1) / 2])) {
        swap(settle, at, (at - 1) / 2);
        at = (at - 1) / 2;
    }
}

static void
sink(struct amy__settle *settle, size_t at)
{
    for (;;) {
        size_t least = at;

        for (size_t child = 2 * at + 1;
             child <= 2 * at + 2 && child < settle->count; child++) {
            if (is_before(&settle->heap[child], &settle->heap[least])) {
                least = child;
            }
        }
        if (least == at) {
            return;
        }
        swap(settle, at, least);
        at = least;
    }
}

static int
grow(struct amy__settle *settle, struct amy_error *err)
{
    size_t capacity = settle->capacity == 0 ? 16 : 2 * settle->capacity;
    struct amy__settle_entry *heap = NULL;

    if (settle->count < settle->capacity) {
        return 0;
    }
    heap = amy__realloc(settle->heap, capacity * sizeof(*heap));
    if (heap == NULL) {
        return amy__err(err, AMY_ENOMEM, "sorting a log");
    }
    settle->heap = heap;
    settle->capacity = capacity;
    return 0;
}

static size_t
bytes_of(const struct amy_log_line *line)
{
    return sizeof(struct amy__settle_entry) + line->text_bytes;
}

int
amy__settle_add(struct amy__settle *settle, const struct amy_log_line *line,
                struct amy_error *err)
{
    char *text = NULL;
    int rc = grow(settle, err);

    if (rc < 0) {
        return rc;
    }
    text = amy__calloc(1, line->text_bytes + 1);
    if (text == NULL) {
        return amy__err(err, AMY_ENOMEM, "sorting a log");
    }
    memcpy(text, line->text, line->text_bytes);
    settle->heap[settle->count] = (struct amy__settle_entry){
        .line = *line,
        .serial = settle->added,
    };
    settle->heap[settle->count].line.text = text;
    if (settle->added == 0 || line->wall_ms > settle->newest_ms) {
        settle->newest_ms = line->wall_ms;
    }
    settle->added++;
    settle->count++;
    settle->bytes += bytes_of(line);
    rise(settle, settle->count - 1);
    return 0;
}

bool
amy__settle_is_due(const struct amy__settle *settle)
{
    if (settle->count == 0) {
        return false;
    }
    /* No overflow: a line without a time has the least. */
    return settle->bytes > AMY__SETTLE_BYTES ||
           settle->heap[0].line.wall_ms + settle->window_ms <=
               settle->newest_ms;
}

bool
amy__settle_take(struct amy__settle *settle, struct amy_log_line *ret_line)
{
    amy__free(settle->given);
    settle->given = NULL;
    if (settle->count == 0) {
        return false;
    }
    *ret_line = settle->heap[0].line;
    /* Ours, though the public struct only lends it. */
    settle->given = (char *)(uintptr_t)ret_line->text;
    settle->bytes -= bytes_of(ret_line);
    settle->count--;
    settle->heap[0] = settle->heap[settle->count];
    sink(settle, 0);
    return true;
}

void
amy__settle_clear(struct amy__settle *settle)
{
    struct amy_log_line line = {0};

    while (amy__settle_take(settle, &line)) {
    }
    amy__free(settle->heap);
    *settle = (struct amy__settle){.window_ms = settle->window_ms};
}

/* Sending multipart/byteranges. Not for which ranges those are: static.c. */
#include "front/parts.h"

#include "core/alloc.h"
#include "core/digest.h"
#include "front/state.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define BOUNDARY_BYTES 16U /* random: what no file holds by chance */
#define TYPE_MAX 256U
#define PART_HEAD_MAX (TYPE_MAX + 2U * BOUNDARY_BYTES + AMY__RANGE_TEXT + 64U)

struct amy__parts {
    struct amy__ranges ranges;
    size_t next; /* the part that comes next */
    char boundary[2 * BOUNDARY_BYTES + 1];
    char type[TYPE_MAX];
    char own_type[sizeof("multipart/byteranges; boundary=") +
                  2 * BOUNDARY_BYTES];
};

struct amy__parts *
amy__parts_create(const struct amy__ranges *ranges, struct amy__span type)
{
    uint8_t random[BOUNDARY_BYTES];
    struct amy__parts *parts = NULL;

    if (amy__random(random, sizeof(random), NULL) < 0) {
        return NULL;
    }
    parts = amy__calloc(1, sizeof(*parts));
    if (parts == NULL) {
        return NULL;
    }
    parts->ranges = *ranges;
    amy__hex(random, sizeof(random), parts->boundary);
    if (!amy__span_copy(type, parts->type, sizeof(parts->type))) {
        (void)amy__span_copy(AMY_SPAN("application/octet-stream"), parts->type,
                             sizeof(parts->type));
    }
    (void)snprintf(parts->own_type, sizeof(parts->own_type),
                   "multipart/byteranges; boundary=%s", parts->boundary);
    return parts;
}

void
amy__parts_free(struct amy__parts *parts)
{
    amy__free(parts);
}

struct amy__span
amy__parts_type(const struct amy__parts *parts)
{
    return amy__span_of(parts->own_type);
}

static struct amy__span
part_head(const struct amy__visit *v, size_t i, char text[PART_HEAD_MAX])
{
    const struct amy__parts *parts = v->parts;
    size_t n = amy__range_part_head(parts->boundary, amy__span_of(parts->type),
                                    &parts->ranges.at[i], v->file->size, text,
                                    PART_HEAD_MAX);

    return (struct amy__span){text, n};
}

static struct amy__span
parts_end(const struct amy__visit *v, char text[PART_HEAD_MAX])
{
    size_t n = amy__range_parts_end(v->parts->boundary, text, PART_HEAD_MAX);

    return (struct amy__span){text, n};
}

/* Parts do not overlap: the sum is little more than the file. */
static uint64_t
length_of(const struct amy__visit *v)
{
    const struct amy__parts *parts = v->parts;
    char text[PART_HEAD_MAX];
    uint64_t length = parts_end(v, text).n;

    for (size_t i = 0; i < parts->ranges.count; i++) {
        length += part_head(v, i, text).n + parts->ranges.at[i].n;
    }
    return length;
}

/* As amy__exchange_send(). */
static int
send_part(struct amy__visit *v, size_t i)
{
    const struct amy__range *range = &v->parts->ranges.at[i];
    char text[PART_HEAD_MAX];
    int fd = -1;

    /* AMY_EAGAIN is no matter: the part itself may stand behind it. */
    if (amy__exchange_send(v->x, part_head(v, i, text)) == AMY_ECONN) {
        return AMY_ECONN;
    }
    if (v->file->fd < 0) {
        return amy__exchange_send(
            v->x, (struct amy__span){v->file->bytes + range->first,
                                     (size_t)range->n});
    }
    fd = fcntl(v->file->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0) {
        return AMY_ECONN; /* no descriptors: cut it */
    }
    return amy__exchange_pass_file(v->x, fd, range->first, range->n);
}

void
amy__parts_on_room(struct amy__visit *v)
{
    struct amy__parts *parts = v->parts;
    char text[PART_HEAD_MAX];

    while (parts->next < parts->ranges.count) {
        int rc = send_part(v, parts->next++);

        if (rc == AMY_ECONN) {
            amy__exchange_abort(v->x);
            return;
        }
        if (rc == AMY_EAGAIN) {
            return;
        }
    }
    if (amy__exchange_send(v->x, parts_end(v, text)) == AMY_ECONN) {
        amy__exchange_abort(v->x);
        return;
    }
    amy__exchange_end(v->x);
}

void
amy__parts_start(struct amy__visit *v)
{
    struct amy__answer_head *head = &v->front->answer;

    head->body = AMY__BODY_LENGTH;
    head->content_length = length_of(v);
    v->closed = true; /* it goes on by itself, whoever leaves */
    if (amy__exchange_begin(v->x, head) < 0) {
        amy__exchange_abort(v->x);
        return;
    }
    amy__parts_on_room(v);
}

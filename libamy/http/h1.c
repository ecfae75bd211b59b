/* The parts of an HTTP/1.1 codec that do not depend on the side it is on. Not
 * a codec by itself: see h1_server.c and h1_client.c. */
#include "http/h1.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/error.h"
#include "http/h1_parse.h"

#include <string.h>

struct amy__h1 *
amy__h1_of(struct amy__codec *codec)
{
    struct amy__h1 *h1 = (struct amy__h1 *)codec;

    AMY_CHECK(h1, AMY__H1_MAGIC);
    return h1;
}

int
amy__h1_create(const struct amy__codec_ops *ops, bool client,
               const struct amy__codec_limits *limits,
               const struct amy__codec_events *borrow_events, void *user,
               struct amy__codec **ret_codec, struct amy_error *err)
{
    struct amy__h1 *h1 = amy__calloc(1, sizeof(*h1));

    if (h1 == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating an HTTP/1.1 codec");
    }
    h1->magic = AMY__H1_MAGIC;
    h1->codec.ops = ops;
    h1->codec.borrow_events = borrow_events;
    h1->limits = amy__h1_limits(limits, client);
    h1->client = client;
    amy__buf_init(&h1->folds, h1->limits.head_bytes);
    amy__h1_renew(&h1->codec, user);
    *ret_codec = &h1->codec;
    return 0;
}

void
amy__h1_renew(struct amy__codec *codec, void *user)
{
    struct amy__h1 *h1 = amy__h1_of(codec);
    struct amy__h1 fresh = {
        .codec = h1->codec,
        .magic = AMY__H1_MAGIC,
        .limits = h1->limits,
        .client = h1->client,
        .keep_alive = true,
        .folds = h1->folds,
    };

    fresh.codec.user = user;
    *h1 = fresh;
}

void
amy__h1_free(struct amy__codec *codec)
{
    struct amy__h1 *h1 = NULL;

    if (codec == NULL) {
        return;
    }
    h1 = amy__h1_of(codec);
    h1->magic = 0;
    amy__buf_clear(&h1->folds);
    amy__free(h1);
}

bool
amy__h1_worth_parsing(struct amy__h1 *h1, struct amy__span data)
{
    if (h1->seen == 0 || data.n >= h1->enough) {
        return true;
    }
    if (data.n <= h1->seen) {
        return false; /* nothing new */
    }
    if (memchr(data.p + h1->seen, '\n', data.n - h1->seen) != NULL) {
        return true;
    }
    h1->seen = data.n;
    return false;
}

int64_t
amy__h1_feed_body(struct amy__h1 *h1, struct amy__span data,
                  struct amy__codec_fault *ret_fault)
{
    const struct amy__codec_events *events = h1->codec.borrow_events;
    size_t used = 0;

    while (used < data.n && !h1->body.done) {
        struct amy__span piece = {NULL, 0};
        struct amy__span rest = {data.p + used, data.n - used};
        int64_t n = amy__h1_body_take(&h1->body, rest, &piece, ret_fault);

        if (n < 0) {
            h1->step = AMY__H1_STEP_BROKEN;
            return n;
        }
        used += (size_t)n;
        if (piece.n > 0) {
            events->on_body(h1->id, piece, h1->codec.user);
        }
    }
    if (h1->body.done) {
        h1->step = AMY__H1_STEP_DONE;
        if (h1->client && used < data.n) {
            /* A server that says more than its answer is not asked again. */
            h1->keep_alive = false;
        }
        events->on_end(h1->id, h1->codec.user);
    }
    return (int64_t)used;
}

int64_t
amy__h1_feed_tunnel(struct amy__h1 *h1, struct amy__span data)
{
    if (data.n > 0) {
        h1->codec.borrow_events->on_body(h1->id, data, h1->codec.user);
    }
    return (int64_t)data.n;
}

void
amy__h1_end_tunnel(struct amy__h1 *h1)
{
    h1->step = AMY__H1_STEP_DONE;
    h1->codec.borrow_events->on_end(h1->id, h1->codec.user);
}

int
amy__h1_end_head(struct amy__h1 *h1, struct amy__buf *out, size_t len)
{
    int rc =
        amy__h1_write_body(out, &h1->sender, (struct amy__span){NULL, 0}, true);

    if (rc < 0) {
        out->len = len;
        h1->head_sent = false;
    }
    return rc;
}

int
amy__h1_send_body(struct amy__codec *codec, amy__stream_id id,
                  struct amy__span data, bool end, struct amy__buf *out)
{
    struct amy__h1 *h1 = amy__h1_of(codec);

    if (!h1->head_sent || id != h1->out_id) {
        return AMY_ESTATE;
    }
    return amy__h1_write_body(out, &h1->sender, data, end);
}

int
amy__h1_pass_body(struct amy__codec *codec, amy__stream_id id, uint64_t n,
                  bool end)
{
    struct amy__h1 *h1 = amy__h1_of(codec);

    if (!h1->head_sent || id != h1->out_id) {
        return AMY_ESTATE;
    }
    return amy__h1_pass(&h1->sender, n, end);
}

int
amy__h1_reset(struct amy__codec *codec, amy__stream_id id, uint32_t code,
              struct amy__buf *out)
{
    (void)codec;
    (void)id;
    (void)code;
    (void)out;
    return AMY_ESTATE;
}

int
amy__h1_flush(struct amy__codec *codec, struct amy__buf *out)
{
    (void)codec;
    (void)out;
    return 0;
}

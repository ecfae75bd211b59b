/* Commands that are sent as one. */
/* Not for their way: call.c; nor for picking their answer: tell.c. */
#include "core/alloc.h"
#include "core/error.h"
#include "core/options.h"
#include "redis/internal.h"
#include "redis/words.h"

#include <string.h>

#define MAGIC 0x62617463U
#define BYTES_MAX ((size_t)16 * 1024 * 1024)

static const char multi[] = "*1\r\n$5\r\nMULTI\r\n";
static const char exec[] = "*1\r\n$4\r\nEXEC\r\n";

struct amy_redis_batch {
    unsigned magic;
    uint32_t timeout_ms;
    bool atomic;
    uint32_t count; /* of commands */
    struct amy__buf bytes;
};

int
amy_redis_batch_create(const struct amy_redis_batch_options *opts,
                       struct amy_redis_batch **ret_batch,
                       struct amy_error *err)
{
    static const struct amy_redis_batch_options none =
        AMY_REDIS_BATCH_OPTIONS_INIT;
    struct amy_redis_batch_options own;
    struct amy_redis_batch *batch = NULL;
    int rc = amy__options_read(
        &own, sizeof(own), opts == NULL ? &none : opts,
        offsetof(struct amy_redis_batch_options, timeout_ms), err);

    if (rc < 0) {
        return rc;
    }
    batch = amy__calloc(1, sizeof(*batch));
    if (batch == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a batch");
    }
    batch->magic = MAGIC;
    batch->timeout_ms = own.timeout_ms;
    batch->atomic = own.atomic != 0;
    amy__buf_init(&batch->bytes,
                  own.bytes_max == 0 ? BYTES_MAX : own.bytes_max);
    *ret_batch = batch;
    return 0;
}

void
amy_redis_batch_free(struct amy_redis_batch *batch)
{
    if (batch == NULL) {
        return;
    }
    AMY_CHECK(batch, MAGIC);
    batch->magic = 0;
    amy__buf_clear(&batch->bytes);
    amy__free(batch);
}

int
amy_redis_batch_add(struct amy_redis_batch *batch,
                    const struct amy_redis_command *command,
                    struct amy_error *err)
{
    struct amy_redis_command own;
    size_t n = 0;
    int rc =
        amy__options_read(&own, sizeof(own), command,
                          offsetof(struct amy_redis_command, lengths), err);

    AMY_CHECK(batch, MAGIC);
    rc = rc < 0 ? rc : amy__redis_words_check(&own, &n, err);
    if (rc < 0) {
        return rc;
    }
    rc = amy__buf_reserve(&batch->bytes, n);
    if (rc < 0) {
        return amy__err(err, rc, "a batch of more than %zu bytes",
                        batch->bytes.max);
    }
    batch->bytes.len +=
        amy__redis_words_write(&own, batch->bytes.data + batch->bytes.len);
    batch->count++;
    return 0;
}

static void
write_bytes(const struct amy_redis_batch *batch, char *to)
{
    if (batch->atomic) {
        memcpy(to, multi, sizeof(multi) - 1);
        to += sizeof(multi) - 1;
    }
    memcpy(to, batch->bytes.data, batch->bytes.len);
    if (batch->atomic) {
        memcpy(to + batch->bytes.len, exec, sizeof(exec) - 1);
    }
}

int
amy__redis_begin_batch(struct amy_redis *client,
                       const struct amy_redis_batch *batch, amy_redis_fn fn,
                       void *user, uint64_t *ret_id, struct amy_error *err)
{
    struct amy__redis_want want = {.fn = fn, .user = user, .batch = true};
    uint64_t id = 0;
    struct amy__redis_call *call = NULL;
    int rc = 0;

    AMY_CHECK(batch, MAGIC);
    if (batch->count == 0) {
        return amy__err(err, AMY_EINVAL, "a batch without a command");
    }
    want.n = batch->bytes.len;
    want.replies = batch->count;
    want.timeout_ms = batch->timeout_ms;
    want.atomic = batch->atomic;
    if (batch->atomic) {
        want.n += sizeof(multi) - 1 + sizeof(exec) - 1;
        want.replies += 2;
    }
    rc = amy__redis_call_create(client, &want, &call, err);
    if (rc < 0) {
        return rc;
    }
    AMY_ASSERT(call != NULL);
    write_bytes(batch, call->bytes);
    id = amy__redis_call_begin(client, call);
    if (ret_id != NULL) {
        *ret_id = id;
    }
    return 0;
}

int
amy_redis_send_batch(struct amy_redis *client,
                     const struct amy_redis_batch *batch, amy_redis_fn fn,
                     void *user, uint64_t *ret_id, struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(client, AMY__REDIS_MAGIC);
    rc = amy__redis_own_loop(client, false, err);
    return rc < 0
               ? rc
               : amy__redis_begin_batch(client, batch, fn, user, ret_id, err);
}

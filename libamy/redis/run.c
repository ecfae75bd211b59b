/* Blocking calls, for a program that has no loop. */
/* Not for programs that have one: they would stand still. */
#include "core/error.h"
#include "redis/internal.h"

#include <string.h>

struct wait {
    bool over;
    struct amy_redis_result result;
    struct amy_error err;
};

static void
on_end(struct amy_redis *client, const struct amy_redis_result *result,
       void *user)
{
    struct wait *wait = user;

    wait->over = true;
    wait->result = *result;
    wait->result.err = NULL;
    if (result->err != NULL) {
        wait->err = *result->err;
    }
    client->keep = result->reply != NULL;
}

static void
fill(struct amy_redis_result *to, const struct amy_redis_result *from)
{
    size_t size = to->struct_size;

    memcpy(to, from, size < sizeof(*from) ? size : sizeof(*from));
    to->struct_size = size;
}

/* The last reply goes; and a connection that ended meanwhile is noticed now,
 * not by the call. */
static int
prepare(struct amy_redis *client, struct amy_error *err)
{
    int rc = amy__redis_usable(client, err);

    rc = rc < 0 ? rc : amy__redis_own_loop(client, true, err);
    if (rc < 0) {
        return rc;
    }
    amy__redis_codec_drop(client->codec, client->kept);
    client->kept = NULL;
    if (client->link != NULL) {
        amy__loop_turn(client->base);
    }
    return 0;
}

/* The call that was begun with rc. */
static int
finish(struct amy_redis *client, int rc, struct wait *wait,
       struct amy_redis_result *ret_result, struct amy_error *err)
{
    if (rc == 0) {
        rc = amy__loop_run(client->base, &wait->over, &wait->err);
        /* A loop that fails is none to go on with. */
        if (rc < 0 && !wait->over) {
            amy__redis_queue_end_all(&client->queue, AMY_ECANCELED);
            amy__redis_tell(client);
        }
        rc = rc < 0 ? rc : wait->result.code;
    } else {
        wait->result.fate = AMY_REDIS_NOT_RUN;
    }
    wait->result.code = rc;
    fill(ret_result, &wait->result);
    if (rc < 0 && err != NULL) {
        *err = wait->err;
    }
    return rc;
}

int
amy_redis_run(struct amy_redis *client, const struct amy_redis_command *command,
              struct amy_redis_result *ret_result, struct amy_error *err)
{
    struct wait wait = {.err = AMY_ERROR_INIT};
    int rc = 0;

    AMY_CHECK(client, AMY__REDIS_MAGIC);
    rc = prepare(client, &wait.err);
    if (rc == 0) {
        rc = amy__redis_begin(client, command, on_end, &wait, NULL, &wait.err);
    }
    return finish(client, rc, &wait, ret_result, err);
}

int
amy_redis_run_batch(struct amy_redis *client,
                    const struct amy_redis_batch *batch,
                    struct amy_redis_result *ret_result, struct amy_error *err)
{
    struct wait wait = {.err = AMY_ERROR_INIT};
    int rc = 0;

    AMY_CHECK(client, AMY__REDIS_MAGIC);
    rc = prepare(client, &wait.err);
    if (rc == 0) {
        rc = amy__redis_begin_batch(client, batch, on_end, &wait, NULL,
                                    &wait.err);
    }
    return finish(client, rc, &wait, ret_result, err);
}

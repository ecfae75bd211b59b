/* How calls learn of their end: exactly once each. */
/* Not for deciding that they end. */
#include "core/error.h"
#include "redis/internal.h"

#include <string.h>

/* --- error replies --- */

static const struct {
    const char *word;
    int code;
} words[] = {
    {"NOAUTH", AMY_EAUTH},       {"WRONGPASS", AMY_EAUTH},
    {"NOPERM", AMY_EDENIED},     {"LOADING", AMY_EAGAIN},
    {"BUSY", AMY_EAGAIN},        {"TRYAGAIN", AMY_EAGAIN},
    {"MASTERDOWN", AMY_EAGAIN},  {"CLUSTERDOWN", AMY_EAGAIN},
    {"OOM", AMY_ELIMIT},         {"READONLY", AMY_ESTATE},
    {"MISCONF", AMY_ESTATE},     {"NOREPLICAS", AMY_ESTATE},
    {"NOSCRIPT", AMY_ENOTFOUND},
};

int
amy__redis_code_of(const struct amy_redis_reply *reply)
{
    size_t n = 0;
    const char *text = amy_redis_reply_text(reply, &n);
    size_t word = 0;

    if (amy_redis_reply_type(reply) != AMY_REDIS_ERROR) {
        return 0;
    }
    word = strcspn(text, " ");
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i].word) == word &&
            memcmp(text, words[i].word, word) == 0) {
            return words[i].code;
        }
    }
    return AMY_EINVAL;
}

/* --- answers --- */

static void
call_back(struct amy_redis *client, const struct amy__redis_call *call,
          const struct amy_redis_result *result)
{
    if (call->fn != NULL) {
        client->busy++;
        call->fn(client, result, call->user);
        client->busy--;
    }
}

static bool
is_error(const struct amy_redis_reply *reply)
{
    return amy_redis_reply_type(reply) == AMY_REDIS_ERROR;
}

/* Of MULTI, the commands and EXEC that one counts which EXEC gave; where it
 * gave none, the error that was the reason. */
static const struct amy_redis_reply *
pick(const struct amy__redis_call *call, const struct amy_redis_reply *reply)
{
    const struct amy_redis_reply *last = NULL;

    if (!call->atomic) {
        return reply;
    }
    last = amy_redis_reply_at(reply, call->replies - 1);
    if (!is_error(last)) {
        return last;
    }
    for (size_t i = 0; i + 1 < call->replies; i++) {
        const struct amy_redis_reply *one = amy_redis_reply_at(reply, i);

        if (is_error(one)) {
            return one;
        }
    }
    return last;
}

/* What became of them when MULTI was refused after all? */
static void
doubt(struct amy_redis_result *result, struct amy_error *err)
{
    (void)amy__err(err, result->code,
                   "Redis refused MULTI, and may have run the commands one by "
                   "one" AMY__SAID "%s",
                   amy_redis_reply_text(result->reply, NULL));
    result->reply = NULL;
    result->fate = AMY_REDIS_UNKNOWN;
}

void
amy__redis_answer(struct amy_redis *client, struct amy_redis_reply *reply)
{
    struct amy__redis_call *call = amy__redis_queue_take(&client->queue);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_redis_result result = {.struct_size = sizeof(result)};

    if (!call->ended) {
        result.reply = pick(call, reply);
        result.code = amy__redis_code_of(result.reply);
        if (call->atomic && is_error(amy_redis_reply_at(reply, 0))) {
            doubt(&result, &err);
            result.err = &err;
        } else if (result.code < 0) {
            (void)amy__err(&err, result.code, "Redis refused it" AMY__SAID "%s",
                           amy_redis_reply_text(result.reply, NULL));
            result.err = &err;
        }
        call_back(client, call, &result);
    }
    amy__redis_call_drop(call);
    if (client->keep) {
        client->keep = false;
        client->kept = reply;
    } else {
        amy__redis_codec_drop(client->codec, reply);
    }
}

/* --- ends without an answer --- */

static void
explain(const struct amy_redis *client, const struct amy__redis_call *call,
        struct amy_error *err)
{
    char time[32] = "";

    switch (call->code) {
    case AMY_ECANCELED:
        (void)amy__err(err, AMY_ECANCELED, "canceled");
        break;
    case AMY_ETIMEOUT:
        (void)amy__format_duration(call->timeout_ms, time, sizeof(time));
        (void)amy__err(err, AMY_ETIMEOUT, "Redis at %s: not within %s: %s",
                       client->shown, time, client->stage);
        break;
    default:
        *err = call->no_multi ? client->no_multi : client->last;
        err->code = call->code;
        amy__err_prefix(err, "Redis at %s: ", client->shown);
        break;
    }
}

void
amy__redis_tell(struct amy_redis *client)
{
    struct amy__redis_call *call = NULL;

    while ((call = amy__redis_queue_next_ended(&client->queue)) != NULL) {
        struct amy_error err = AMY_ERROR_INIT;
        struct amy_redis_result result = {.struct_size = sizeof(result),
                                          .code = call->code,
                                          .fate = call->fate,
                                          .err = &err};

        explain(client, call, &err);
        call_back(client, call, &result);
        call->told = true;
        amy__redis_call_drop(call);
    }
}

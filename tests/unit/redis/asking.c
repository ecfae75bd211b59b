/* Asking Redis in words. */
#include "asking.h"

#include "amy_test.h"

#include "core/loop.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

#define WORDS_MAX 16U

struct words {
    char text[256];
    const char *argv[WORDS_MAX];
};

static struct amy_redis_command
split(const char *text, uint32_t timeout_ms, struct words *words)
{
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    char *rest = NULL;

    (void)snprintf(words->text, sizeof(words->text), "%s", text);
    for (char *word = strtok_r(words->text, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        assert_true(command.argc < WORDS_MAX);
        words->argv[command.argc++] = word;
    }
    command.argv = words->argv;
    command.timeout_ms = timeout_ms;
    return command;
}

static void
take(struct asked *asked, const struct amy_redis_result *result,
     const struct amy_error *err)
{
    const struct amy_redis_reply *reply = result->reply;
    const char *text = amy_redis_reply_text(reply, NULL);

    if (text == NULL) {
        text = amy_redis_reply_text(amy_redis_reply_at(reply, 0), NULL);
    }
    asked->times++;
    asked->code = result->code;
    asked->fate = result->fate;
    asked->type = amy_redis_reply_type(reply);
    asked->integer = amy_redis_reply_integer(reply);
    asked->count = amy_redis_reply_count(reply);
    (void)snprintf(asked->text, sizeof(asked->text), "%s",
                   text == NULL ? "" : text);
    (void)snprintf(asked->why, sizeof(asked->why), "%s",
                   err == NULL ? "" : err->msg);
}

void
note(struct amy_redis *client, const struct amy_redis_result *result,
     void *user)
{
    assert_non_null(client);
    assert_int_equal(result->code == 0, result->err == NULL);
    take(user, result, result->err);
}

int
ask(struct amy_redis *client, const char *words, uint32_t timeout_ms,
    struct asked *asked, uint64_t *ret_id, struct amy_error *err)
{
    struct words room;
    struct amy_redis_command command = split(words, timeout_ms, &room);

    return amy_redis_send(client, &command, note, asked, ret_id, err);
}

void
ask_well(struct amy_redis *client, const char *words, uint32_t timeout_ms,
         struct asked *asked)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (ask(client, words, timeout_ms, asked, NULL, &err) < 0) {
        fail_msg("%s: %s", words, err.msg);
    }
}

int
add(struct amy_redis_batch *batch, const char *words)
{
    struct words room;
    struct amy_redis_command command = split(words, 0, &room);

    return amy_redis_batch_add(batch, &command, NULL);
}

int
run(struct amy_redis *client, const char *words, uint32_t timeout_ms,
    struct asked *asked)
{
    struct words room;
    struct amy_redis_command command = split(words, timeout_ms, &room);
    struct amy_redis_result result = AMY_REDIS_RESULT_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy_redis_run(client, &command, &result, &err);

    assert_int_equal(result.code, rc);
    take(asked, &result, rc < 0 ? &err : NULL);
    return rc;
}

static void
on_too_late(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    *(bool *)user = true;
}

void
wait_for(struct event_base *base, const struct asked *asked)
{
    const struct timeval minute = {60, 0};
    bool too_late = false;
    struct event *timer = evtimer_new(base, on_too_late, &too_late);

    assert_int_equal(evtimer_add(timer, &minute), 0);
    while (asked->times == 0 && !too_late) {
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    }
    event_free(timer);
    assert_int_equal(asked->times, 1);
}

void
expect(const struct asked *asked, int code, uint32_t fate)
{
    if (asked->times != 1 || asked->code != code || asked->fate != fate) {
        fail_msg("times %u code %d fate %u: %s", asked->times, asked->code,
                 asked->fate, asked->why);
    }
}

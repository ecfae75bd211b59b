/* Blocking calls to a real Redis, by the public header alone. */
#include "amy_test.h"

#include <amy/redis.h>

#include "redis_server.h"

#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLENTY_MS 60000

static struct redis_server server;

static struct amy_redis *
make_client(uint32_t timeout_ms)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    opts.url = server.url;
    opts.name = "amy-test";
    opts.timeout_ms = timeout_ms;
    if (amy_redis_create(&opts, &client, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return client;
}

/* Words by blank. */
static int
run(struct amy_redis *client, const char *text, struct amy_redis_result *result,
    struct amy_error *err)
{
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    const char *argv[16];
    char copy[256] = "";
    char *rest = NULL;

    (void)strncpy(copy, text, sizeof(copy) - 1);
    for (char *word = strtok_r(copy, " ", &rest); word != NULL;
         word = strtok_r(NULL, " ", &rest)) {
        argv[command.argc++] = word;
    }
    command.argv = argv;
    return amy_redis_run(client, &command, result, err);
}

static void
test_run_values_come_back(void **state)
{
    struct amy_redis *client = make_client(PLENTY_MS);
    struct amy_redis_result result = AMY_REDIS_RESULT_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    size_t n = 0;

    (void)state;
    if (run(client, "SET key value", &result, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(amy_redis_reply_type(result.reply), AMY_REDIS_STATUS);
    assert_int_equal(run(client, "GET key", &result, &err), 0);
    assert_string_equal(amy_redis_reply_text(result.reply, &n), "value");
    assert_int_equal(n, 5);
    assert_int_equal(result.fate, AMY_REDIS_ANSWERED);
    assert_int_equal(run(client, "GET nothing", &result, &err), 0);
    assert_int_equal(amy_redis_reply_type(result.reply), AMY_REDIS_NIL);
    assert_int_equal(run(client, "RPUSH list a b c", &result, &err), 0);
    assert_int_equal(amy_redis_reply_integer(result.reply), 3);
    assert_int_equal(run(client, "LRANGE list 0 -1", &result, &err), 0);
    assert_int_equal(amy_redis_reply_count(result.reply), 3);
    assert_string_equal(
        amy_redis_reply_text(amy_redis_reply_at(result.reply, 2), NULL), "c");
    assert_null(amy_redis_reply_at(result.reply, 3));
    assert_int_equal(run(client, "CLIENT GETNAME", &result, &err), 0);
    assert_string_equal(amy_redis_reply_text(result.reply, NULL), "amy-test");
    amy_redis_free(client);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_values_come_back),
    };
    int rc = 0;

    redis_server_create(&server, NULL);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    redis_server_free(&server);
    return rc;
}

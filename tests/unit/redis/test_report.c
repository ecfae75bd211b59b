/* One line of JSON about a real Redis that holds what rq would put there. */
#include "amy_test.h"

#include "asking.h"
#include "core/clock.h"
#include "core/json.h"
#include "redis_server.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PLENTY_MS 60000
#define LINE_MAX_BYTES 65536

static struct redis_server server;

static struct amy__json *
report(const char *url, int expected)
{
    static char line[LINE_MAX_BYTES];
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy__json *json = NULL;
    int ends[2] = {-1, -1};
    ssize_t n = 0;

    opts.url = url;
    opts.timeout_ms = PLENTY_MS;
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(amy_redis_report(&opts, ends[1], NULL), expected);
    n = read(ends[0], line, sizeof(line));
    assert_true(n > 0 && line[n - 1] == '\n');
    assert_int_equal(
        amy__json_parse((struct amy__span){line, (size_t)n}, &json, NULL), 0);
    close(ends[0]);
    close(ends[1]);
    return json;
}

static void
prepare(const char *const *commands)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;

    opts.url = server.url;
    assert_int_equal(amy_redis_create(&opts, &client, NULL), 0);
    for (; *commands != NULL; commands++) {
        struct asked asked = {0};

        if (run(client, *commands, PLENTY_MS, &asked) < 0) {
            fail_msg("%s: %s", *commands, asked.why);
        }
    }
    amy_redis_free(client);
}

static const struct amy__json *
queue_of(const struct amy__json *json, const char *name)
{
    const struct amy__json *queues = amy__json_get(json, "queues");

    for (size_t i = 0; i < amy__json_count(queues); i++) {
        const struct amy__json *queue = amy__json_at(queues, i);

        if (strcmp(amy__json_get_text(queue, "name", ""), name) == 0) {
            return queue;
        }
    }
    fail_msg("no queue %s", name);
    return NULL;
}

static void
test_report_tells_of_queues_and_workers(void **state)
{
    static const char *const commands[] = {
        "FLUSHALL",
        "SADD rq:queues rq:queue:default rq:queue:low foreign",
        "RPUSH rq:queue:default one two",
        "HSET rq:job:one enqueued_at 2026-01-01T00:00:00.000000Z",
        "HSET rq:job:two enqueued_at 2026-01-02T00:00:00.000000Z",
        "ZADD rq:wip:low 1 x",
        "ZADD rq:failed:low 1 y 2 z",
        "SADD rq:workers rq:worker:a rq:worker:b rq:worker:c",
        "HSET rq:worker:a last_heartbeat 2026-01-01T00:00:00.000000Z",
        "HSET rq:worker:b last_heartbeat 2026-01-01T00:00:00Z death x",
        NULL};
    struct amy__json *json = NULL;
    const struct amy__json *queue = NULL;
    int64_t since_ms = 0;

    (void)state;
    prepare(commands);
    json = report(server.url, 0);
    queue = queue_of(json, "default");
    assert_int_equal(amy__json_get_int(queue, "length", -1), 2);
    assert_int_equal(amy__json_get_int(queue, "failed", -1), 0);
    /* Of the one that is next, and not of the one that came a day later. */
    since_ms = amy__wall_ms(NULL) - INT64_C(1767225600000);
    assert_in_range(since_ms - amy__json_get_int(queue, "oldest_ms", -1), 0,
                    60000);
    queue = queue_of(json, "low");
    assert_int_equal(amy__json_get_int(queue, "length", -1), 0);
    assert_int_equal(amy__json_get_int(queue, "started", -1), 1);
    assert_int_equal(amy__json_get_int(queue, "failed", -1), 2);
    assert_null(amy__json_get(queue, "oldest_ms"));
    assert_int_equal(amy__json_count(amy__json_get(json, "queues")), 2);
    assert_int_equal(amy__json_get_int(json, "queues_known", -1), 3);
    assert_int_equal(
        amy__json_get_int(amy__json_get(json, "workers"), "alive", -1), 1);
    assert_int_equal(
        amy__json_get_int(amy__json_get(json, "workers"), "known", -1), 3);
    amy__json_free(json);
}

static void
test_report_tells_of_the_server(void **state)
{
    static const char *const commands[] = {
        "FLUSHALL", "CONFIG SET maxmemory 100mb",
        "CONFIG SET maxmemory-policy allkeys-lru", NULL};
    static const char *const back[] = {"CONFIG SET maxmemory 0",
                                       "CONFIG SET maxmemory-policy noeviction",
                                       NULL};
    struct amy__json *json = NULL;
    const struct amy__json *told = NULL;

    (void)state;
    prepare(commands);
    json = report(server.url, 0);
    told = amy__json_get(json, "server");
    assert_int_equal(amy__json_get_int(told, "memory_max_bytes", -1),
                     100 * 1024 * 1024);
    assert_true(amy__json_get_int(told, "memory_bytes", -1) > 10000);
    assert_string_equal(amy__json_get_text(told, "memory_policy", ""),
                        "allkeys-lru");
    assert_string_equal(amy__json_get_text(told, "reach", ""), "local");
    assert_false(amy__json_get_bool(told, "aof", true));
    assert_false(amy__json_get_bool(told, "rdb", true));
    assert_true(amy__json_get_bool(told, "last_save_ok", false));
    assert_int_equal(amy__json_count(amy__json_get(json, "queues")), 0);
    amy__json_free(json);
    prepare(back);
}

/* A user who may do little learns little, and the rest all the same. */
static void
test_report_leaves_out_what_it_may_not_see(void **state)
{
    static const char *const commands[] = {
        "FLUSHALL", "SADD rq:queues rq:queue:q", "RPUSH rq:queue:q x",
        "ACL SETUSER little on >pw ~rq:* +@read +ping", NULL};
    struct amy__json *json = NULL;
    char url[192] = "";

    (void)state;
    prepare(commands);
    (void)snprintf(url, sizeof(url), "unix://little:pw@%s", server.url + 7);
    json = report(url, 0);
    assert_string_equal(
        amy__json_get_text(amy__json_get(json, "server"), "reach", ""),
        "unknown");
    assert_null(amy__json_get(amy__json_get(json, "server"), "version"));
    assert_int_equal(amy__json_get_int(queue_of(json, "q"), "length", -1), 1);
    amy__json_free(json);
}

static void
test_report_of_no_server_is_an_error(void **state)
{
    struct amy__json *json = report("unix:///nowhere/r.sock", AMY_ECONN);

    (void)state;
    assert_non_null(strstr(amy__json_get_text(json, "error", ""), "/nowhere"));
    assert_int_equal(amy__json_count(json), 1);
    amy__json_free(json);
}

/* More than anybody has. */
static void
test_report_is_bounded(void **state)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct amy__json *json = NULL;

    (void)state;
    opts.url = server.url;
    assert_int_equal(amy_redis_create(&opts, &client, NULL), 0);
    for (int i = 0; i < 300; i++) {
        struct asked asked = {0};
        char words[64] = "";

        (void)snprintf(words, sizeof(words), "SADD rq:queues rq:queue:%d", i);
        assert_int_equal(run(client, words, PLENTY_MS, &asked), 0);
    }
    amy_redis_free(client);
    json = report(server.url, 0);
    assert_int_equal(amy__json_count(amy__json_get(json, "queues")),
                     AMY_REDIS_REPORT_QUEUES);
    assert_true(amy__json_get_int(json, "queues_known", -1) >= 300);
    amy__json_free(json);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report_tells_of_queues_and_workers),
        cmocka_unit_test(test_report_tells_of_the_server),
        cmocka_unit_test(test_report_leaves_out_what_it_may_not_see),
        cmocka_unit_test(test_report_of_no_server_is_an_error),
        cmocka_unit_test(test_report_is_bounded),
    };
    int rc = 0;

    redis_server_create(&server, NULL);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    redis_server_free(&server);
    return rc;
}

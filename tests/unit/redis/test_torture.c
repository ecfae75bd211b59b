/* Out of memory at each allocation in turn: nothing leaks, nothing crashes, and
 * a call that began ends once. */
#include "amy_test.h"

#include "asking.h"
#include "fail_alloc.h"
#include "redis/url.h"
#include "redis_server.h"

#include <event2/event.h>

static struct redis_server server;

static void
test_parse_url_without_memory(void **state)
{
    (void)state;
    for (int n = 1;; n++) {
        struct amy__redis_url url = {0};
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy__redis_url_parse("rediss://u:p%20q@h:1/2?ssl_ca_certs=/c",
                                  &url, NULL);
        if (!fail_alloc_hit()) {
            assert_int_equal(rc, 0);
            amy__redis_url_clear(&url);
            break;
        }
        assert_int_equal(rc, AMY_ENOMEM);
        assert_int_equal(fail_alloc_live(), 0);
    }
    fail_alloc_nth(0);
    assert_int_equal(fail_alloc_live(), 0);
}

/* A client, a call, a batch, and the end of them. */
static void
talk(struct event_base *base)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis_batch *batch = NULL;
    struct amy_redis *client = NULL;
    struct asked one = {0};
    struct asked two = {0};
    bool begun_one = false;
    bool begun_two = false;

    opts.base = base;
    opts.url = server.url;
    opts.name = "torture";
    opts.timeout_ms = 200;
    if (amy_redis_create(&opts, &client, NULL) < 0) {
        assert_null(client);
        return;
    }
    begun_one = ask(client, "PING", 0, &one, NULL, NULL) == 0;
    if (amy_redis_batch_create(NULL, &batch, NULL) == 0) {
        begun_two =
            add(batch, "PING") == 0 && add(batch, "PING") == 0 &&
            amy_redis_send_batch(client, batch, note, &two, NULL, NULL) == 0;
    }
    while ((begun_one && one.times == 0) || (begun_two && two.times == 0)) {
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    }
    amy_redis_batch_free(batch);
    amy_redis_free(client);
    assert_int_equal(one.times, begun_one ? 1 : 0);
    assert_int_equal(two.times, begun_two ? 1 : 0);
}

static void
test_talk_without_memory(void **state)
{
    struct event_base *base = event_base_new();
    bool hit = true;

    (void)state;
    for (int n = 1; hit; n++) {
        fail_alloc_nth(n);
        talk(base);
        hit = fail_alloc_hit();
        fail_alloc_nth(0);
        assert_int_equal(fail_alloc_live(), 0);
    }
    event_base_free(base);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_url_without_memory),
        cmocka_unit_test(test_talk_without_memory),
    };
    int rc = 0;

    redis_server_create(&server, NULL);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    redis_server_free(&server);
    return rc;
}

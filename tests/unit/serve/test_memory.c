/* Refuses the n-th allocation, for every n: nothing crashes, nothing leaks,
 * every exchange and call ends. */
#include "amy_test.h"

#include "fail_alloc.h"
#include "serve/client.h"
#include "serve_rig.h"

#include <event2/event.h>

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define ATTEMPTS_MAX 200

static void
test_server_create_survives_every_refusal(void **state)
{
    struct event_base *base = event_base_new();
    const struct amy__server_handler handler = {0};
    struct amy__server_options opts = {
        .base = base, .borrow_handler = &handler, .borrow_spool_dir_fd = -1};
    int rc = AMY_ENOMEM;

    (void)state;
    for (int nth = 1; rc != 0 && nth < ATTEMPTS_MAX; nth++) {
        struct amy__server *server = NULL;

        fail_alloc_nth(nth);
        rc = amy__server_create(&opts, &server, NULL);
        fail_alloc_nth(0);
        assert_true(rc == 0 || rc == AMY_ENOMEM);
        amy__server_free(server);
    }
    assert_int_equal(rc, 0);
    event_base_free(base);
}

static void
test_client_create_survives_every_refusal(void **state)
{
    struct event_base *base = event_base_new();
    struct amy__client_options opts = {.base = base, .unix_name = "s"};
    int rc = AMY_ENOMEM;

    (void)state;
    for (int nth = 1; rc != 0 && nth < ATTEMPTS_MAX; nth++) {
        struct amy__client *client = NULL;

        fail_alloc_nth(nth);
        rc = amy__client_create(&opts, &client, NULL);
        fail_alloc_nth(0);
        assert_true(rc == 0 || rc == AMY_ENOMEM);
        amy__client_free(client);
    }
    assert_int_equal(rc, 0);
    event_base_free(base);
}

/* An upload and a large answer, with one allocation refused on the way. True
 * when there are not so many. */
static bool
talk(int nth)
{
    struct rig rig;
    struct rig_client client;
    bool whole = false;
    bool hit = false;

    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    fail_alloc_nth(nth);
    rig_client_send(&client, "POST /upload HTTP/1.1\r\nHost: x\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n3\r\nab");
    rig_turn(&rig);
    rig_turn(&rig);
    rig_client_poll(&client);
    if (!client.closed) {
        rig_client_send(&client, "c\r\n0\r\n\r\n"
                                 "GET /stream/1000000 HTTP/1.0\r\n\r\n");
    }
    for (int i = 0; i < 30; i++) {
        rig_turn(&rig); /* the client does not read: output is kept */
    }
    RIG_UNTIL(&rig, rig_client_closed(&client));
    hit = fail_alloc_hit();
    fail_alloc_nth(0);
    whole = rig.complete == 2 && client.n > 1000000;
    assert_true(whole || hit);
    rig_client_close(&client);
    rig_stop(&rig); /* asserts that every exchange ended */
    return !hit;
}

static void
test_exchanges_end_whatever_is_refused(void **state)
{
    int nth = 1;

    (void)state;
    while (!talk(nth)) {
        nth++;
        assert_true(nth < ATTEMPTS_MAX);
    }
    assert_true(nth > 3); /* something was refused indeed */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_create_survives_every_refusal),
        cmocka_unit_test(test_client_create_survives_every_refusal),
        cmocka_unit_test(test_exchanges_end_whatever_is_refused),
    };

    return cmocka_run_group_tests_name("serve/memory", tests, NULL, NULL);
}

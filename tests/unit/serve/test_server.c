#include "amy_test.h"

#include "serve_rig.h"

#include <stdio.h>
#include <string.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void
test_reply_whole_keeps_connection(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, GET("/"));
    RIG_UNTIL(&rig, rig_client_has(&client, "\r\n\r\nhello\n"));
    assert_true(rig_client_has(&client, "HTTP/1.1 200 OK\r\n"));
    assert_true(rig_client_has(&client, "Date: "));
    assert_true(rig_client_has(&client, "Content-Length: 6\r\n"));
    rig_client_send(&client, GET("/again"));
    RIG_UNTIL(&rig, rig_client_count(&client, "hello\n") == 2);
    assert_int_equal(rig.requests, 2);
    assert_int_equal(rig.complete, 2);
    assert_false(client.closed);
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_request_byte_by_byte_is_answered(void **state)
{
    static const char request[] =
        "POST /upload HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        "3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n" GET("/");
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    for (const char *p = request; *p != '\0'; p++) {
        char one[2] = {*p, '\0'};

        rig_client_send(&client, one);
        rig_turn(&rig);
    }
    RIG_UNTIL(&rig, rig_client_has(&client, "hello\n"));
    assert_true(rig_client_has(&client, "taken\n"));
    assert_int_equal(rig.last_body, 19);
    assert_false(rig.last_body_in_file);
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_pipelined_requests_are_answered_in_order(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, GET("/wait") GET("/big/3") GET("/"));
    RIG_UNTIL(&rig, rig.waiting != NULL);
    rig_turn(&rig);
    assert_int_equal(rig.requests, 1);
    rig_reply(rig.waiting, 404, "first\n");
    RIG_UNTIL(&rig, rig_client_has(&client, "hello\n"));
    assert_int_equal(rig.complete, 3);
    assert_true(strstr(client.data, "first\n") <
                strstr(client.data, "\r\n\r\naaa"));
    assert_true(strstr(client.data, "\r\n\r\naaa") <
                strstr(client.data, "hello\n"));
    rig_client_close(&client);
    rig_stop(&rig);
}

/* Then one more request, to see that the connection is still in step. */
static void
fetch(const char *path, size_t body, bool chunked)
{
    struct rig rig;
    struct rig_client client;
    char request[128];
    size_t head = 0;

    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    (void)snprintf(request, sizeof(request),
                   "GET %s/%zu HTTP/1.1\r\nHost: x\r\n\r\n", path, body);
    rig_client_send(&client, request);
    RIG_UNTIL(&rig, (rig_client_poll(&client), rig.done == 1));
    rig_client_send(&client, GET("/"));
    RIG_UNTIL(&rig, rig_client_has(&client, "hello\n"));
    head = (size_t)(strstr(client.data, "\r\n\r\n") + 4 - client.data);
    if (!chunked) {
        assert_memory_equal(client.data + head + body, "HTTP/1.1 200", 12);
    }
    assert_int_equal(rig.complete, 2);
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_bodies_of_all_sizes_arrive_whole(void **state)
{
    static const size_t sizes[] = {0, 1, 16384, 65536, 1000000};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fetch("/big", sizes[i], false);
        fetch("/stream", sizes[i], false);
        fetch("/chunks", sizes[i], true);
        fetch("/file", sizes[i], false);
    }
    fetch("/stream", 5U << 20, false);
    fetch("/chunks", 5U << 20, true);
    fetch("/file", 5U << 20, false);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reply_whole_keeps_connection),
        cmocka_unit_test(test_request_byte_by_byte_is_answered),
        cmocka_unit_test(test_pipelined_requests_are_answered_in_order),
        cmocka_unit_test(test_bodies_of_all_sizes_arrive_whole),
    };

    return cmocka_run_group_tests_name("serve/server", tests, NULL, NULL);
}

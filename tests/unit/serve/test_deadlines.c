#include "amy_test.h"

#include "serve_rig.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define POST(path, n)                                                          \
    "POST " path " HTTP/1.1\r\nHost: x\r\nContent-Length: " n "\r\n\r\n"

static void
start(struct rig *rig, struct rig_client *client,
      const struct amy__server_limits *limits)
{
    rig_start(rig, limits);
    rig_client_open(rig, client);
}

static void
stop(struct rig *rig, struct rig_client *client)
{
    rig_client_close(client);
    rig_stop(rig);
}

static void
test_unfinished_head_gets_408(void **state)
{
    struct amy__server_limits limits = {.head_timeout_ms = 60};
    struct rig rig;
    struct rig_client client;

    (void)state;
    start(&rig, &client, &limits);
    rig_client_send(&client, "GET / HTTP/1.1\r\nHo");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_true(rig_client_has(&client, "HTTP/1.1 408 "));
    assert_true(rig_client_has(&client, "Connection: close\r\n"));
    assert_int_equal(rig.last_refused, 408);
    assert_int_equal(rig.requests, 0);
    stop(&rig, &client);
}

static void
test_silent_newcomer_is_closed_without_a_word(void **state)
{
    struct amy__server_limits limits = {.head_timeout_ms = 60};
    struct rig rig;
    struct rig_client client;

    (void)state;
    start(&rig, &client, &limits);
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_int_equal(client.n, 0);
    stop(&rig, &client);
}

static void
test_idle_connection_is_closed_after_keepalive(void **state)
{
    struct amy__server_limits limits = {.keepalive_ms = 60};
    struct rig rig;
    struct rig_client client;

    (void)state;
    start(&rig, &client, &limits);
    rig_client_send(&client, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_true(rig_client_has(&client, "hello\n"));
    stop(&rig, &client);
}

/* The clock runs as the test says; the tick still comes by the real one. */
static int64_t
fake_ms(void *user)
{
    return *(int64_t *)user;
}

static void
test_dripping_body_gets_408(void **state)
{
    struct amy__server_limits limits = {.handshake_ms = 40};
    int64_t now_ms = 1000000;
    struct amy_clock clock = {.struct_size = sizeof(clock),
                              .mono_ms = fake_ms,
                              .wall_ms = fake_ms,
                              .user = &now_ms};
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start_with_clock(&rig, &limits, &clock);
    rig_client_open(&rig, &client);
    rig_client_send(&client, POST("/upload", "100000"));
    RIG_UNTIL(&rig, rig.requests == 1);
    for (int i = 0; i < 100 && !rig_client_closed(&client); i++) {
        rig_client_send(&client, "x");
        now_ms += 1000;
        rig_turn(&rig);
        rig_turn(&rig);
        rig_turn(&rig);
        rig_turn(&rig);
        if (rig_client_has(&client, "408")) {
            break;
        }
    }
    assert_true(rig_client_has(&client, "HTTP/1.1 408 "));
    assert_int_equal(rig.gone, 1);
    assert_int_equal(rig.last_status, 408);
    stop(&rig, &client);
}

static void
test_declared_body_past_limit_gets_413_at_once(void **state)
{
    struct amy__server_limits limits = {.body_bytes = 100, .linger_ms = 50};
    struct rig rig;
    struct rig_client client;

    (void)state;
    start(&rig, &client, &limits);
    rig_client_send(&client,
                    "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: "
                    "200000\r\nExpect: 100-continue\r\n\r\n");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_memory_equal(client.data, "HTTP/1.1 413 ", 13);
    assert_false(rig_client_has(&client, "100 Continue"));
    stop(&rig, &client);
}

static void
test_chunked_body_past_limit_gets_413(void **state)
{
    struct amy__server_limits limits = {.body_bytes = 10, .linger_ms = 50};
    struct rig rig;
    struct rig_client client;

    (void)state;
    start(&rig, &client, &limits);
    rig_client_send(&client, "POST /upload HTTP/1.1\r\nHost: x\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n"
                             "8\r\nabcdefgh\r\n8\r\nabcdefgh\r\n");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_true(rig_client_has(&client, "HTTP/1.1 413 "));
    assert_int_equal(rig.gone, 1);
    assert_int_equal(rig.bodies, 0);
    assert_int_equal(rig.last_status, 413);
    stop(&rig, &client);
}

static void
test_body_without_spool_past_memory_gets_413(void **state)
{
    struct amy__server_limits limits = {.body_memory_bytes = 8,
                                        .linger_ms = 50};
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start_without_spool(&rig, &limits);
    rig_client_open(&rig, &client);
    rig_client_send(&client, POST("/upload", "10") "0123456789");
    RIG_UNTIL(&rig, rig_client_has(&client, "HTTP/1.1 413 "));
    stop(&rig, &client);
}

/* The file size limit of the process stands for a full disk. */
static void
test_body_past_a_full_spool_gets_507(void **state)
{
    struct amy__server_limits limits = {.body_memory_bytes = 8,
                                        .linger_ms = 50};
    struct rlimit old;
    struct rlimit tight;
    struct rig rig;
    struct rig_client client;
    char body[4097];

    (void)state;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    tight = old;
    tight.rlim_cur = 1024;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    start(&rig, &client, &limits);
    memset(body, 'b', sizeof(body));
    body[sizeof(body) - 1] = '\0';
    rig_client_send(&client, POST("/upload", "8192"));
    rig_client_send(&client, body);
    RIG_UNTIL(&rig, rig_client_has(&client, "HTTP/1.1 507 "));
    assert_int_equal(rig.gone, 1);
    assert_int_equal(rig.bodies, 0);
    stop(&rig, &client);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
}

static void
test_malformed_head_gets_400_and_the_end(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    start(&rig, &client, NULL);
    rig_client_send(&client, "GET / HTTP/1.1\r\nHost : x\r\n\r\n"
                             "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_memory_equal(client.data, "HTTP/1.1 400 ", 13);
    assert_int_equal(rig_client_count(&client, "HTTP/1.1 "), 1);
    assert_int_equal(rig.requests, 0);
    assert_int_equal(rig.refused, 1);
    stop(&rig, &client);
}

static void
test_malformed_chunk_gets_400(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    start(&rig, &client, NULL);
    rig_client_send(&client, "POST /upload HTTP/1.1\r\nHost: x\r\n"
                             "Transfer-Encoding: chunked\r\n\r\n0x1\r\na\r\n");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_true(rig_client_has(&client, "HTTP/1.1 400 "));
    assert_int_equal(rig.gone, 1);
    assert_int_equal(rig.last_status, 400);
    stop(&rig, &client);
}

static void
test_long_head_gets_431(void **state)
{
    struct rig rig;
    struct rig_client client;
    char field[1100];

    (void)state;
    start(&rig, &client, NULL);
    rig_client_send(&client, "GET / HTTP/1.1\r\nHost: x\r\n");
    memset(field, 'v', sizeof(field));
    memcpy(field, "Name: ", 6);
    memcpy(field + sizeof(field) - 3, "\r\n", 3);
    for (int i = 0; i < 40 && rig.refused == 0; i++) {
        rig_client_send(&client, field);
        rig_turn(&rig);
    }
    RIG_UNTIL(&rig, rig_client_has(&client, "HTTP/1.1 431 "));
    stop(&rig, &client);
}

static void
test_client_that_does_not_read_is_dropped(void **state)
{
    struct amy__server_limits limits = {.send_timeout_ms = 60};
    struct rig rig;
    struct rig_client client;

    (void)state;
    start(&rig, &client, &limits);
    rig_client_send(&client,
                    "GET /stream/50000000 HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_UNTIL(&rig, rig.done == 1);
    assert_int_equal(rig.complete, 0);
    assert_int_equal(rig.gone, 1);
    stop(&rig, &client);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unfinished_head_gets_408),
        cmocka_unit_test(test_silent_newcomer_is_closed_without_a_word),
        cmocka_unit_test(test_idle_connection_is_closed_after_keepalive),
        cmocka_unit_test(test_dripping_body_gets_408),
        cmocka_unit_test(test_declared_body_past_limit_gets_413_at_once),
        cmocka_unit_test(test_chunked_body_past_limit_gets_413),
        cmocka_unit_test(test_body_without_spool_past_memory_gets_413),
        cmocka_unit_test(test_body_past_a_full_spool_gets_507),
        cmocka_unit_test(test_malformed_head_gets_400_and_the_end),
        cmocka_unit_test(test_malformed_chunk_gets_400),
        cmocka_unit_test(test_long_head_gets_431),
        cmocka_unit_test(test_client_that_does_not_read_is_dropped),
    };

    return cmocka_run_group_tests_name("serve/deadlines", tests, NULL, NULL);
}

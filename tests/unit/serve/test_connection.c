#include "amy_test.h"

#include "serve_rig.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define GET(path) "GET " path " HTTP/1.1\r\nHost: x\r\n\r\n"

static void
test_expect_continue_is_answered_before_the_body(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client,
                    "POST /upload HTTP/1.1\r\nHost: x\r\n"
                    "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    RIG_UNTIL(&rig, rig_client_has(&client, "HTTP/1.1 100 Continue\r\n\r\n"));
    rig_client_send(&client, "abc" GET("/"));
    RIG_UNTIL(&rig, rig_client_has(&client, "hello\n"));
    assert_int_equal(rig.last_body, 3);
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_expect_continue_unwanted_ends_the_connection(void **state)
{
    struct amy__server_limits limits = {.linger_ms = 40};
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, &limits);
    rig_client_open(&rig, &client);
    rig_client_send(&client,
                    "POST / HTTP/1.1\r\nHost: x\r\n"
                    "Content-Length: 3\r\nExpect: 100-continue\r\n\r\n");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_memory_equal(client.data, "HTTP/1.1 200 ", 13);
    assert_true(rig_client_has(&client, "Connection: close\r\n"));
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_short_unwanted_body_is_skipped(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, "POST / HTTP/1.1\r\nHost: x\r\n"
                             "Content-Length: 5\r\n\r\nab");
    RIG_UNTIL(&rig, rig_client_has(&client, "hello\n"));
    rig_client_send(&client, "cde" GET("/"));
    RIG_UNTIL(&rig, rig_client_count(&client, "hello\n") == 2);
    rig_client_close(&client);
    rig_stop(&rig);
}

/* Send so much of a body, or until nobody takes it any more: how much it was.
 */
static size_t
send_body(struct rig *rig, const struct rig_client *client, size_t most)
{
    char piece[4096];
    size_t sent = 0;

    memset(piece, 'b', sizeof(piece));
    while (sent < most) {
        ssize_t n = send(client->fd, piece, sizeof(piece), MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN) {
            break;
        }
        sent += n > 0 ? (size_t)n : 0;
        rig_turn(rig);
    }
    return sent;
}

/* The answer must arrive though the client still sends: no reset. */
static void
test_long_unwanted_body_is_lingered_over(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, "POST / HTTP/1.1\r\nHost: x\r\n"
                             "Content-Length: 10000000\r\n\r\n");
    assert_true(send_body(&rig, &client, 1000000) >= 1000000);
    (void)shutdown(client.fd, SHUT_WR);
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_false(client.reset);
    assert_true(rig_client_has(&client, "hello\n"));
    assert_true(rig_client_has(&client, "Connection: close\r\n"));
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_unwanted_body_is_read_as_far_as_one_is_allowed(void **state)
{
    struct amy__server_limits limits = {.body_bytes = 1000};
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, &limits);
    rig_client_open(&rig, &client);
    rig_client_send(&client, "POST /allowed HTTP/1.1\r\nHost: x\r\n"
                             "Content-Length: 1000000\r\n\r\n");
    assert_true(send_body(&rig, &client, 1000000) >= 1000000);
    rig_client_poll(&client);
    assert_true(rig_client_has(&client, "hello\n"));
    assert_false(client.reset);
    rig_client_close(&client);
    /* And no farther: the server's own limit is all that counts here. */
    rig_client_open(&rig, &client);
    rig_client_send(&client, "POST / HTTP/1.1\r\nHost: x\r\n"
                             "Content-Length: 1000000\r\n\r\n");
    assert_true(send_body(&rig, &client, 1000000) < 1000000);
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_client_that_leaves_is_told_and_may_be_aborted(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, GET("/wait"));
    RIG_UNTIL(&rig, rig.waiting != NULL);
    rig_client_close(&client);
    RIG_UNTIL(&rig, rig.gone == 1);
    assert_int_equal(rig.done, 0);
    amy__exchange_abort(rig.waiting);
    RIG_UNTIL(&rig, rig.done == 1);
    assert_int_equal(rig.complete, 0);
    rig_stop(&rig);
}

static void
test_answer_to_one_who_left_goes_nowhere(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, GET("/wait"));
    RIG_UNTIL(&rig, rig.waiting != NULL);
    rig_client_close(&client);
    RIG_UNTIL(&rig, rig.gone == 1);
    rig_reply(rig.waiting, 200, "late\n");
    RIG_UNTIL(&rig, rig.done == 1);
    assert_int_equal(rig.complete, 0);
    rig_stop(&rig);
}

static void
test_half_closed_client_still_gets_its_answer(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, GET("/wait") GET("/"));
    (void)shutdown(client.fd, SHUT_WR);
    RIG_UNTIL(&rig, rig.waiting != NULL);
    rig_turn(&rig);
    rig_reply(rig.waiting, 200, "first\n");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_true(rig_client_has(&client, "first\n"));
    assert_true(rig_client_has(&client, "hello\n"));
    assert_int_equal(rig.complete, 2);
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_client_that_leaves_in_its_body_is_gone(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, "POST /upload HTTP/1.1\r\nHost: x\r\n"
                             "Content-Length: 5\r\n\r\nab");
    RIG_UNTIL(&rig, rig.requests == 1);
    rig_client_close(&client);
    RIG_UNTIL(&rig, rig.done == 1);
    assert_int_equal(rig.gone, 1);
    assert_int_equal(rig.bodies, 0);
    rig_stop(&rig);
}

static void
test_abort_closes_without_an_answer(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, GET("/") GET("/abort"));
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_int_equal(rig_client_count(&client, "HTTP/1.1 "), 1);
    assert_true(rig_client_has(&client, "hello\n"));
    assert_int_equal(rig.complete, 1);
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_head_and_old_versions(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, "HEAD /big/100 HTTP/1.1\r\nHost: x\r\n\r\n"
                             "HEAD /chunks/100 HTTP/1.1\r\nHost: x\r\n\r\n"
                             "GET /chunks/30 HTTP/1.0\r\n\r\n");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_true(rig_client_has(&client, "Content-Length: 100\r\n"));
    assert_int_equal(rig_client_count(&client, "HTTP/1.1 200"), 3);
    assert_true(strcmp(client.data + client.n - 34,
                       "\r\n\r\naaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") == 0);
    rig_client_close(&client);
    rig_stop(&rig);
}

/* Pipelining without end while an answer is due: bounded memory, no spinning.
 */
static void
test_pipelining_behind_a_slow_answer_is_not_read_forever(void **state)
{
    struct rig rig;
    struct rig_client client;
    struct amy__server_figures before;
    struct amy__server_figures after;
    ssize_t n = 1;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, GET("/wait"));
    RIG_UNTIL(&rig, rig.waiting != NULL);
    for (int i = 0; i < 100000 && n > 0; i++) {
        n = send(client.fd, GET("/"), sizeof(GET("/")) - 1, MSG_NOSIGNAL);
        if (i % 100 == 0) {
            rig_turn(&rig);
        }
    }
    assert_true(n < 0); /* the kernel's buffers are full: we stopped reading */
    amy__server_figures(rig.server, &before);
    for (int i = 0; i < 10; i++) {
        rig_turn(&rig);
    }
    amy__server_figures(rig.server, &after);
    assert_int_equal(before.bytes_in, after.bytes_in);
    assert_true(after.bytes_in < 200000);
    rig_reply(rig.waiting, 200, "first\n");
    RIG_UNTIL(&rig, rig_client_count(&client, "hello\n") > 100);
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
on_drained(void *user)
{
    *(bool *)user = true;
}

static void
test_drain_ends_idle_and_finishes_the_rest(void **state)
{
    struct rig rig;
    struct rig_client idle;
    struct rig_client busy;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &idle);
    rig_client_open(&rig, &busy);
    rig_client_send(&idle, GET("/"));
    rig_client_send(&busy, GET("/wait"));
    RIG_UNTIL(&rig, rig.waiting != NULL && rig_client_has(&idle, "hello\n"));
    amy__server_drain(rig.server, on_drained, &rig.drained);
    RIG_UNTIL(&rig, rig_client_closed(&idle));
    assert_false(rig.drained);
    rig_reply(rig.waiting, 200, "last\n");
    RIG_UNTIL(&rig, rig.drained);
    RIG_UNTIL(&rig, rig_client_closed(&busy));
    assert_true(rig_client_has(&busy, "Connection: close\r\n"));
    assert_true(rig_client_has(&busy, "last\n"));
    rig_client_close(&idle);
    rig_client_close(&busy);
    rig_stop(&rig);
}

/* Others accept already: who is idle may ask once more. */
static void
test_leave_answers_who_was_idle_and_then_drain_hurries(void **state)
{
    struct rig rig;
    struct rig_client asks;
    struct rig_client stays;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &asks);
    rig_client_open(&rig, &stays);
    rig_client_send(&asks, GET("/"));
    rig_client_send(&stays, GET("/"));
    RIG_UNTIL(&rig, rig_client_has(&asks, "hello\n") &&
                        rig_client_has(&stays, "hello\n"));
    amy__server_leave(rig.server, on_drained, &rig.drained);
    rig_turn(&rig);
    assert_false(rig_client_closed(&asks));
    rig_client_send(&asks, GET("/"));
    RIG_UNTIL(&rig, rig_client_closed(&asks));
    assert_int_equal(rig_client_count(&asks, "hello\n"), 2);
    assert_true(rig_client_has(&asks, "Connection: close\r\n"));
    assert_false(rig_client_closed(&stays));
    assert_false(rig.drained);
    amy__server_drain(rig.server, on_drained, &rig.drained);
    RIG_UNTIL(&rig, rig.drained);
    RIG_UNTIL(&rig, rig_client_closed(&stays));
    rig_client_close(&asks);
    rig_client_close(&stays);
    rig_stop(&rig);
}

static void
test_hush_lets_who_comes_wait(void **state)
{
    struct rig rig;
    struct rig_client busy;
    struct rig_client later;

    (void)state;
    rig_start(&rig, NULL);
    assert_true(amy__server_hush(rig.server, false));
    rig_client_open(&rig, &busy);
    rig_client_send(&busy, GET("/wait"));
    RIG_UNTIL(&rig, rig.waiting != NULL);
    assert_false(amy__server_hush(rig.server, true));
    rig_client_open(&rig, &later);
    rig_client_send(&later, GET("/"));
    rig_reply(rig.waiting, 200, "last\n");
    RIG_UNTIL(&rig, rig_client_has(&busy, "last\n"));
    RIG_UNTIL(&rig, amy__server_hush(rig.server, true));
    assert_int_equal(rig.requests, 1);
    (void)amy__server_hush(rig.server, false);
    RIG_UNTIL(&rig, rig_client_has(&later, "hello\n"));
    rig_client_close(&busy);
    rig_client_close(&later);
    rig_stop(&rig);
}

static void
test_idle_connections_are_shed_at_the_limit(void **state)
{
    struct amy__server_limits limits = {.connections = 2};
    struct amy__server_figures figures;
    struct rig rig;
    struct rig_client clients[3];

    (void)state;
    rig_start(&rig, &limits);
    for (int i = 0; i < 3; i++) {
        rig_client_open(&rig, &clients[i]);
        rig_client_send(&clients[i], GET("/"));
        RIG_UNTIL(&rig, rig_client_has(&clients[i], "hello\n"));
    }
    assert_true(rig_client_closed(&clients[0]));
    assert_false(rig_client_closed(&clients[1]));
    amy__server_figures(rig.server, &figures);
    assert_int_equal(figures.shed, 1);
    assert_int_equal(figures.open, 2);
    for (int i = 0; i < 3; i++) {
        rig_client_close(&clients[i]);
    }
    rig_stop(&rig);
}

static void
test_newcomers_wait_while_all_are_busy(void **state)
{
    struct amy__server_limits limits = {.connections = 1};
    struct rig rig;
    struct rig_client busy;
    struct rig_client late;

    (void)state;
    rig_start(&rig, &limits);
    rig_client_open(&rig, &busy);
    rig_client_send(&busy, GET("/wait"));
    RIG_UNTIL(&rig, rig.waiting != NULL);
    rig_client_open(&rig, &late);
    rig_client_send(&late, GET("/"));
    for (int i = 0; i < 5; i++) {
        rig_turn(&rig);
    }
    assert_false(rig_client_has(&late, "hello\n"));
    amy__exchange_close_after(rig.waiting);
    rig_reply(rig.waiting, 200, "first\n");
    RIG_UNTIL(&rig, rig_client_has(&late, "hello\n"));
    assert_true(rig_client_has(&busy, "first\n"));
    rig_client_close(&busy);
    rig_client_close(&late);
    rig_stop(&rig);
}

static void
test_no_descriptors_left_sheds_idle_ones(void **state)
{
    struct rlimit old;
    struct rlimit tight;
    struct rig rig;
    struct rig_client first;
    struct rig_client second;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &first);
    rig_client_send(&first, GET("/"));
    RIG_UNTIL(&rig, rig_client_has(&first, "hello\n"));
    rig_client_open(&rig, &second);
    rig_client_send(&second, GET("/"));
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
    tight = old;
    tight.rlim_cur = (rlim_t)second.fd + 1; /* lowest free is not below */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    RIG_UNTIL(&rig, rig_client_has(&second, "hello\n"));
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
    assert_true(rig_client_closed(&first));
    rig_client_close(&first);
    rig_client_close(&second);
    rig_stop(&rig);
}

static void
test_free_with_work_under_way_ends_every_exchange(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, GET("/wait"));
    RIG_UNTIL(&rig, rig.waiting != NULL);
    rig_stop(&rig); /* asserts that done == requests */
    assert_true(rig_client_closed(&client));
    rig_client_close(&client);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expect_continue_is_answered_before_the_body),
        cmocka_unit_test(test_expect_continue_unwanted_ends_the_connection),
        cmocka_unit_test(test_short_unwanted_body_is_skipped),
        cmocka_unit_test(test_long_unwanted_body_is_lingered_over),
        cmocka_unit_test(test_unwanted_body_is_read_as_far_as_one_is_allowed),
        cmocka_unit_test(test_client_that_leaves_is_told_and_may_be_aborted),
        cmocka_unit_test(test_answer_to_one_who_left_goes_nowhere),
        cmocka_unit_test(test_half_closed_client_still_gets_its_answer),
        cmocka_unit_test(test_client_that_leaves_in_its_body_is_gone),
        cmocka_unit_test(test_abort_closes_without_an_answer),
        cmocka_unit_test(test_head_and_old_versions),
        cmocka_unit_test(
            test_pipelining_behind_a_slow_answer_is_not_read_forever),
        cmocka_unit_test(test_drain_ends_idle_and_finishes_the_rest),
        cmocka_unit_test(
            test_leave_answers_who_was_idle_and_then_drain_hurries),
        cmocka_unit_test(test_hush_lets_who_comes_wait),
        cmocka_unit_test(test_idle_connections_are_shed_at_the_limit),
        cmocka_unit_test(test_newcomers_wait_while_all_are_busy),
        cmocka_unit_test(test_no_descriptors_left_sheds_idle_ones),
        cmocka_unit_test(test_free_with_work_under_way_ends_every_exchange),
    };

    return cmocka_run_group_tests_name("serve/connection", tests, NULL, NULL);
}

#include "amy_test.h"

#include "serve/client.h"
#include "serve_rig.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define ASK(path)                                                              \
    "GET " path " HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\n"              \
    "Upgrade: websocket\r\n\r\n"
#define MUCH ((size_t)8 << 20)

/* ---- our side of a client's connection ---- */

static void
test_upgrade_early_bytes_wait_for_the_answer(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, ASK("/wait") "early");
    RIG_UNTIL(&rig, rig.waiting != NULL);
    rig_client_send(&client, " bird");
    rig_turn(&rig);
    assert_int_equal(rig.tunnel_bytes, 0);
    assert_int_equal(rig_upgrade(&rig, rig.waiting), 0);
    RIG_UNTIL(&rig, rig_client_has(&client, "\r\n\r\nearly bird"));
    assert_memory_equal(client.data, "HTTP/1.1 101 ", 13);
    assert_int_equal(rig.tunnel_bytes, 10);
    rig_client_close(&client);
    RIG_UNTIL(&rig, rig.done == 1);
    assert_int_equal(rig.complete, 1);
    rig_stop(&rig);
}

static void
test_upgrade_that_nobody_asked_for_is_refused(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, "GET /wait HTTP/1.1\r\nHost: x\r\n\r\n");
    RIG_UNTIL(&rig, rig.waiting != NULL);
    assert_int_equal(rig_upgrade(&rig, rig.waiting), AMY_ESTATE);
    rig_reply(rig.waiting, 200, "plain\n");
    RIG_UNTIL(&rig, rig_client_has(&client, "plain\n"));
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_upgrade_for_one_who_says_no_more_is_refused(void **state)
{
    struct rig rig;
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, ASK("/wait"));
    (void)shutdown(client.fd, SHUT_WR);
    RIG_UNTIL(&rig, rig.gone == 1);
    assert_int_equal(rig_upgrade(&rig, rig.waiting), AMY_ECONN);
    amy__exchange_abort(rig.waiting);
    RIG_UNTIL(&rig, rig_client_closed(&client));
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_client_that_ends_first_is_still_spoken_to(void **state)
{
    struct rig rig = {0};
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig.tunnel_stays = true;
    rig_client_open(&rig, &client);
    rig_client_send(&client, ASK("/") "last");
    (void)shutdown(client.fd, SHUT_WR);
    RIG_UNTIL(&rig, rig.tunnel_ends == 1);
    assert_int_equal(amy__exchange_send(rig.tunnel, AMY_SPAN(" words")), 0);
    amy__exchange_end(rig.tunnel);
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_true(rig_client_has(&client, "last words"));
    assert_int_equal(rig.complete, 1);
    rig_client_close(&client);
    rig_stop(&rig);
}

static void
test_client_is_heard_after_our_end(void **state)
{
    struct rig rig = {0};
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig.tunnel_silent = true;
    rig.tunnel_stays = true;
    rig_client_open(&rig, &client);
    rig_client_send(&client, ASK("/"));
    RIG_UNTIL(&rig, rig.tunnel != NULL);
    assert_int_equal(amy__exchange_send(rig.tunnel, AMY_SPAN("bye")), 0);
    amy__exchange_end(rig.tunnel);
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_true(rig_client_has(&client, "\r\n\r\nbye"));
    assert_int_equal(rig.done, 0);
    rig_client_send(&client, "I am still here");
    RIG_UNTIL(&rig, rig.tunnel_bytes == 15);
    rig_client_close(&client);
    RIG_UNTIL(&rig, rig.done == 1);
    assert_int_equal(rig.complete, 1);
    rig_stop(&rig);
}

/* Sends until the socket takes no more for a while, or all is sent. */
static size_t
push(struct rig *rig, struct rig_client *client, size_t n)
{
    static char much[65536];
    size_t sent = 0;
    unsigned idle = 0;

    while (sent < n && idle < 50) {
        size_t piece = n - sent < sizeof(much) ? n - sent : sizeof(much);
        ssize_t got =
            send(client->fd, much, piece, MSG_DONTWAIT | MSG_NOSIGNAL);

        sent += got > 0 ? (size_t)got : 0;
        idle = got > 0 ? 0 : idle + 1;
        rig_turn(rig);
    }
    return sent;
}

static void
test_held_client_is_not_read(void **state)
{
    struct rig rig = {0};
    struct rig_client client;
    size_t sent = 0;

    (void)state;
    rig_start(&rig, NULL);
    rig.tunnel_holds = true;
    rig.tunnel_silent = true;
    rig_client_open(&rig, &client);
    rig_client_send(&client, ASK("/"));
    RIG_UNTIL(&rig, rig.tunnel != NULL);
    sent = push(&rig, &client, MUCH);
    assert_true(sent < MUCH);
    assert_true(rig.tunnel_bytes <= 65536);
    rig.tunnel_holds = false;
    amy__exchange_hold(rig.tunnel, false);
    sent += push(&rig, &client, MUCH - sent);
    RIG_UNTIL(&rig, rig.tunnel_bytes == MUCH);
    assert_int_equal(sent, MUCH);
    rig_client_close(&client);
    rig_stop(&rig);
}

/* An echo to one who does not read: what it says waits with it. */
static void
test_client_that_does_not_read_is_not_read(void **state)
{
    struct rig rig = {0};
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, ASK("/"));
    RIG_UNTIL(&rig, rig.tunnel != NULL);
    assert_true(push(&rig, &client, MUCH) < MUCH);
    assert_true(rig.tunnel_bytes < MUCH / 2);
    rig_client_close(&client);
    RIG_UNTIL(&rig, rig.done == 1);
    assert_int_equal(rig.complete, 0);
    rig_stop(&rig);
}

static void
on_drained(void *user)
{
    bool *drained = user;

    *drained = true;
}

static void
test_drain_waits_for_tunnels_and_figures_count_them(void **state)
{
    struct amy__server_figures figures;
    struct rig rig = {0};
    struct rig_client client;

    (void)state;
    rig_start(&rig, NULL);
    rig_client_open(&rig, &client);
    rig_client_send(&client, ASK("/"));
    RIG_UNTIL(&rig, rig.tunnel != NULL);
    amy__server_figures(rig.server, &figures);
    assert_int_equal(figures.tunnels, 1);
    amy__server_drain(rig.server, on_drained, &rig.drained);
    rig_client_send(&client, "while it drains");
    RIG_UNTIL(&rig, rig_client_has(&client, "while it drains"));
    assert_false(rig.drained);
    rig_client_close(&client);
    RIG_UNTIL(&rig, rig.drained);
    amy__server_figures(rig.server, &figures);
    assert_int_equal(figures.tunnels, 0);
    rig_stop(&rig);
}

/* ---- our side of a server's connection ---- */

struct told {
    struct amy__call *call;
    unsigned status;
    uint64_t bytes;
    unsigned halves;
    unsigned rooms;
    unsigned ends;
    unsigned fails;
};

static void
on_answer(struct amy__call *call, const struct amy__answer_head *head,
          void *user)
{
    struct told *told = user;

    (void)call;
    told->status = head->status;
}

static void
on_data(struct amy__call *call, struct amy__span data, void *user)
{
    struct told *told = user;

    (void)call;
    told->bytes += data.n;
}

static void
on_half(struct amy__call *call, void *user)
{
    struct told *told = user;

    (void)call;
    told->halves++;
}

static void
on_room(struct amy__call *call, void *user)
{
    struct told *told = user;

    (void)call;
    told->rooms++;
}

static void
on_end(struct amy__call *call, void *user)
{
    struct told *told = user;

    (void)call;
    told->ends++;
    told->call = NULL;
}

static void
on_fail(struct amy__call *call, enum amy__call_failure failure,
        const char *reason, void *user)
{
    struct told *told = user;

    (void)call;
    (void)failure;
    assert_non_null(reason);
    told->fails++;
    told->call = NULL;
}

static const struct amy__call_handler handler = {
    .on_answer = on_answer,
    .on_data = on_data,
    .on_half = on_half,
    .on_room = on_room,
    .on_end = on_end,
    .on_fail = on_fail,
};

struct caller {
    struct rig rig;
    struct amy__client *client;
    struct told told;
    int dir_fd;
};

/* A tunnel to the rig's server. */
static void
dial(struct caller *c)
{
    struct amy__client_options opts = {.unix_name = "s"};
    struct amy__request_head head = {.method = AMY__METHOD_GET,
                                     .method_text = AMY_SPAN("GET"),
                                     .target = AMY_SPAN("/"),
                                     .path = AMY_SPAN("/"),
                                     .authority = AMY_SPAN("x"),
                                     .host = AMY_SPAN("x"),
                                     .version_major = 1,
                                     .version_minor = 1,
                                     .upgrade_websocket = true};
    char dir[128];

    rig_start(&c->rig, NULL);
    (void)snprintf(dir, sizeof(dir), "%s", c->rig.unix_path);
    *strrchr(dir, '/') = '\0';
    c->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    opts.base = c->rig.base;
    opts.borrow_dir_fd = c->dir_fd;
    assert_int_equal(amy__client_create(&opts, &c->client, NULL), 0);
    assert_int_equal(amy__call_start(c->client, &head, NULL, 0, &handler,
                                     &c->told, &c->told.call, NULL),
                     0);
    RIG_UNTIL(&c->rig, c->told.status != 0 && c->rig.tunnel != NULL);
    assert_int_equal(c->told.status, 101);
}

static void
hang_up(struct caller *c)
{
    amy__client_free(c->client);
    rig_stop(&c->rig);
    (void)close(c->dir_fd);
}

static void
test_call_says_and_hears_until_both_have_ended(void **state)
{
    struct caller c = {0};

    (void)state;
    dial(&c);
    assert_int_equal(amy__call_send(c.told.call, AMY_SPAN("hello")), 0);
    RIG_UNTIL(&c.rig, c.told.bytes == 5);
    amy__call_finish(c.told.call);
    RIG_UNTIL(&c.rig, c.told.ends == 1);
    assert_int_equal(c.told.halves, 1);
    assert_int_equal(c.told.fails, 0);
    assert_int_equal(c.rig.complete, 1);
    hang_up(&c);
}

static void
test_call_may_speak_after_the_servers_end(void **state)
{
    struct caller c = {0};

    (void)state;
    c.rig.tunnel_silent = true;
    dial(&c);
    c.rig.tunnel_silent = true;
    c.rig.tunnel_stays = true;
    amy__exchange_end(c.rig.tunnel);
    RIG_UNTIL(&c.rig, c.told.halves == 1);
    assert_int_equal(c.told.ends, 0);
    assert_int_equal(amy__call_send(c.told.call, AMY_SPAN("still")), 0);
    RIG_UNTIL(&c.rig, c.rig.tunnel_bytes == 5);
    amy__call_finish(c.told.call);
    assert_int_equal(c.told.ends, 0); /* never from inside */
    RIG_UNTIL(&c.rig, c.told.ends == 1 && c.rig.done == 1);
    hang_up(&c);
}

static void
test_call_is_told_of_room_and_keeps_the_order(void **state)
{
    static char much[65536];
    struct caller c = {0};
    uint64_t sent = 0;
    unsigned rooms = 0;

    (void)state;
    dial(&c);
    c.rig.tunnel_silent = true;
    c.rig.tunnel_holds = true;
    while (amy__call_send(c.told.call,
                          (struct amy__span){much, sizeof(much)}) == 0) {
        sent += sizeof(much);
        rig_turn(&c.rig);
    }
    sent += sizeof(much);
    for (unsigned i = 0; i < 5; i++) {
        rig_turn(&c.rig);
    }
    rooms = c.told.rooms;
    assert_int_equal(rooms, 0);
    c.rig.tunnel_holds = false;
    amy__exchange_hold(c.rig.tunnel, false);
    amy__call_finish(c.told.call);
    RIG_UNTIL(&c.rig, c.told.ends == 1);
    assert_int_equal(c.rig.tunnel_bytes, sent);
    hang_up(&c);
}

/* Nobody wants it any more: it is over when the server has closed, too. */
static void
test_call_hung_up_ends_with_the_server(void **state)
{
    struct caller c = {0};

    (void)state;
    dial(&c);
    amy__call_hang_up(c.told.call);
    RIG_UNTIL(&c.rig, c.told.ends + c.told.fails == 1);
    assert_int_equal(c.told.halves, 0);
    assert_int_equal(c.rig.tunnel_ends, 1);
    hang_up(&c);
}

/* A server that is gone is no server that only says no more. */
static void
test_call_cut_by_the_server_is_over(void **state)
{
    struct caller c = {0};

    (void)state;
    dial(&c);
    amy__exchange_abort(c.rig.tunnel);
    RIG_UNTIL(&c.rig, c.told.ends == 1);
    assert_int_equal(c.told.halves, 1);
    hang_up(&c);
}

/* No event tells of it: its end was read before. */
static void
test_call_ends_with_the_server_that_had_said_all(void **state)
{
    struct caller c = {0};

    (void)state;
    c.rig.tunnel_silent = true;
    dial(&c);
    c.rig.tunnel_silent = true;
    c.rig.tunnel_stays = true;
    amy__exchange_end(c.rig.tunnel);
    RIG_UNTIL(&c.rig, c.told.halves == 1);
    amy__call_pause(c.told.call);
    amy__exchange_abort(c.rig.tunnel);
    RIG_UNTIL(&c.rig, c.told.ends == 1);
    assert_int_equal(c.told.fails, 0);
    hang_up(&c);
}

static void
test_part_flushes_and_hears_no_more(void **state)
{
    struct amy__server_limits limits = {.linger_ms = 40};
    struct rig rig = {0};
    struct rig_client client;

    (void)state;
    rig_start(&rig, &limits);
    rig_client_open(&rig, &client);
    rig_client_send(&client, ASK("/"));
    RIG_UNTIL(&rig, rig.tunnel != NULL);
    (void)amy__exchange_send(rig.tunnel, AMY_SPAN("the last"));
    amy__exchange_part(rig.tunnel);
    rig_client_send(&client, "who listens?");
    RIG_UNTIL(&rig, rig_client_closed(&client));
    assert_true(rig_client_has(&client, "the last"));
    assert_false(client.reset);
    assert_int_equal(rig.tunnel_bytes, 0);
    RIG_UNTIL(&rig, rig.done == 1);
    assert_int_equal(rig.complete, 1);
    rig_client_close(&client);
    rig_stop(&rig);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_upgrade_early_bytes_wait_for_the_answer),
        cmocka_unit_test(test_upgrade_that_nobody_asked_for_is_refused),
        cmocka_unit_test(test_upgrade_for_one_who_says_no_more_is_refused),
        cmocka_unit_test(test_client_that_ends_first_is_still_spoken_to),
        cmocka_unit_test(test_client_is_heard_after_our_end),
        cmocka_unit_test(test_held_client_is_not_read),
        cmocka_unit_test(test_client_that_does_not_read_is_not_read),
        cmocka_unit_test(test_drain_waits_for_tunnels_and_figures_count_them),
        cmocka_unit_test(test_call_says_and_hears_until_both_have_ended),
        cmocka_unit_test(test_call_may_speak_after_the_servers_end),
        cmocka_unit_test(test_call_is_told_of_room_and_keeps_the_order),
        cmocka_unit_test(test_call_hung_up_ends_with_the_server),
        cmocka_unit_test(test_call_cut_by_the_server_is_over),
        cmocka_unit_test(test_call_ends_with_the_server_that_had_said_all),
        cmocka_unit_test(test_part_flushes_and_hears_no_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

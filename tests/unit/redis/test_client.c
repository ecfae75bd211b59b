/* A client on a loop, with a real Redis, by the public header alone. */
#include "amy_test.h"

#include "asking.h"
#include "redis_server.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLENTY_MS 60000
#define MANY 10000U

static struct redis_server server;
static struct event_base *base;

static struct amy_redis *
make_client(struct amy_redis_options *opts)
{
    struct amy_redis_options none = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    opts = opts == NULL ? &none : opts;
    opts->base = base;
    opts->url = opts->url == NULL ? server.url : opts->url;
    if (amy_redis_create(opts, &client, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return client;
}

static void
test_send_many_are_answered_in_order(void **state)
{
    struct amy_redis *client = make_client(NULL);
    struct asked *all = calloc(MANY, sizeof(*all));

    (void)state;
    for (size_t i = 0; i < MANY; i++) {
        ask_well(client, "INCR many", PLENTY_MS, &all[i]);
        assert_int_equal(all[i].times, 0);
    }
    wait_for(base, &all[MANY - 1]);
    for (size_t i = 0; i < MANY; i++) {
        expect(&all[i], 0, AMY_REDIS_ANSWERED);
        assert_int_equal(all[i].integer, i + 1);
    }
    amy_redis_free(client);
    free(all);
}

static void
test_send_error_replies_are_codes(void **state)
{
    static const struct {
        const char *words;
        int code;
    } rows[] = {
        {"SET text x", 0},
        {"INCR text", AMY_EINVAL},
        {"LPUSH text x", AMY_EINVAL},
        {"NOSUCH command", AMY_EINVAL},
        {"EVALSHA ffffffffffffffffffffffffffffffffffffffff 0", AMY_ENOTFOUND},
    };
    struct amy_redis *client = make_client(NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct asked asked = {0};

        ask_well(client, rows[i].words, PLENTY_MS, &asked);
        wait_for(base, &asked);
        expect(&asked, rows[i].code, AMY_REDIS_ANSWERED);
        if (rows[i].code < 0) {
            assert_int_equal(asked.type, AMY_REDIS_ERROR);
            assert_non_null(strstr(asked.why, asked.text));
        }
    }
    amy_redis_free(client);
}

static void
test_cancel_before_and_after_it_is_sent(void **state)
{
    struct amy_redis *client = make_client(NULL);
    struct asked early = {0};
    struct asked late = {0};
    struct asked next = {0};
    uint64_t id = 0;

    (void)state;
    assert_int_equal(ask(client, "SET canceled 1", 0, &early, &id, NULL), 0);
    amy_redis_cancel(client, id);
    assert_int_equal(early.times, 0);
    wait_for(base, &early);
    expect(&early, AMY_ECANCELED, AMY_REDIS_NOT_RUN);

    ask_well(client, "PING", 0, &next);
    wait_for(base, &next);
    assert_int_equal(ask(client, "BLPOP nothing 1", 0, &late, &id, NULL), 0);
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    amy_redis_cancel(client, id);
    wait_for(base, &late);
    expect(&late, AMY_ECANCELED, AMY_REDIS_UNKNOWN);
    /* Its answer comes, and is nobody's. */
    next = (struct asked){0};
    ask_well(client, "EXISTS canceled", PLENTY_MS, &next);
    wait_for(base, &next);
    expect(&next, 0, AMY_REDIS_ANSWERED);
    assert_int_equal(next.type, AMY_REDIS_INTEGER);
    assert_int_equal(next.integer, 0);
    amy_redis_cancel(client, id);
    amy_redis_cancel(client, 12345678);
    amy_redis_free(client);
}

/* Whoever takes back a call says nothing of the server. */
static void
test_cancel_while_it_connects_is_no_failure(void **state)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof(address);
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis_view view = AMY_REDIS_VIEW_INIT;
    struct amy_redis *client = NULL;
    char url[64] = "";

    (void)state;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(listener, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(listener, 4), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &n), 0);
    (void)snprintf(url, sizeof(url), "redis://127.0.0.1:%u",
                   (unsigned)ntohs(address.sin_port));
    opts.url = url;
    client = make_client(&opts);
    for (int i = 0; i < 5; i++) {
        struct asked asked = {0};
        uint64_t id = 0;

        assert_int_equal(ask(client, "PING", PLENTY_MS, &asked, &id, NULL), 0);
        assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
        amy_redis_cancel(client, id);
        wait_for(base, &asked);
        expect(&asked, AMY_ECANCELED, AMY_REDIS_NOT_RUN);
    }
    amy_redis_read(client, &view);
    assert_int_equal(view.failures, 0);
    assert_int_equal(view.state, AMY_REDIS_CONNECTING);
    amy_redis_free(client);
    close(listener);
}

static void
test_send_past_its_deadline_is_unknown_and_others_go_on(void **state)
{
    struct amy_redis *client = make_client(NULL);
    struct amy_redis_view view = AMY_REDIS_VIEW_INIT;
    struct asked late = {0};
    struct asked next = {0};

    (void)state;
    ask_well(client, "PING", PLENTY_MS, &next);
    wait_for(base, &next);
    ask_well(client, "BLPOP nothing 0", 100, &late);
    wait_for(base, &late);
    expect(&late, AMY_ETIMEOUT, AMY_REDIS_UNKNOWN);
    assert_non_null(strstr(late.why, "100ms"));
    assert_non_null(strstr(late.why, "waiting for the answer"));
    next = (struct asked){0};
    ask_well(client, "PING", PLENTY_MS, &next);
    wait_for(base, &next);
    expect(&next, 0, AMY_REDIS_ANSWERED);
    amy_redis_read(client, &view);
    assert_int_equal(view.state, AMY_REDIS_READY);
    assert_int_equal(view.connections, 2);
    amy_redis_free(client);
}

/* --- freed --- */

static void
free_it(struct amy_redis *client, const struct amy_redis_result *result,
        void *user)
{
    struct asked mine = {0};

    note(client, result, user);
    amy_redis_free(client);
    amy_redis_free(client);
    assert_int_equal(ask(client, "PING", 0, &mine, NULL, NULL), AMY_ESTATE);
}

static void
test_free_in_its_own_callback_tells_the_others(void **state)
{
    static const char *const argv[] = {"PING"};
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    struct amy_redis *client = make_client(NULL);
    struct asked all[5] = {{0}};

    (void)state;
    command.argc = 1;
    command.argv = argv;
    ask_well(client, "PING", PLENTY_MS, &all[0]);
    assert_int_equal(
        amy_redis_send(client, &command, free_it, &all[1], NULL, NULL), 0);
    ask_well(client, "PING", PLENTY_MS, &all[2]);
    ask_well(client, "PING", PLENTY_MS, &all[3]);
    wait_for(base, &all[1]);
    expect(&all[0], 0, AMY_REDIS_ANSWERED);
    expect(&all[1], 0, AMY_REDIS_ANSWERED);
    expect(&all[2], AMY_ECANCELED, AMY_REDIS_UNKNOWN);
    expect(&all[3], AMY_ECANCELED, AMY_REDIS_UNKNOWN);
}

static void
test_free_in_a_canceled_callback_tells_the_others(void **state)
{
    static const char *const argv[] = {"PING"};
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    struct amy_redis *client = make_client(NULL);
    struct asked all[3] = {{0}};
    uint64_t ids[3] = {0};

    (void)state;
    command.argc = 1;
    command.argv = argv;
    assert_int_equal(
        amy_redis_send(client, &command, free_it, &all[0], &ids[0], NULL), 0);
    assert_int_equal(ask(client, "PING", 0, &all[1], &ids[1], NULL), 0);
    assert_int_equal(ask(client, "PING", 0, &all[2], &ids[2], NULL), 0);
    amy_redis_cancel(client, ids[0]);
    amy_redis_cancel(client, ids[1]);
    wait_for(base, &all[0]);
    for (int i = 0; i < 3; i++) {
        expect(&all[i], AMY_ECANCELED, AMY_REDIS_NOT_RUN);
    }
}

static void
test_free_tells_all_from_inside(void **state)
{
    struct amy_redis *client = make_client(NULL);
    struct asked sent = {0};
    struct asked waiting = {0};
    struct asked first = {0};

    (void)state;
    ask_well(client, "PING", PLENTY_MS, &first);
    wait_for(base, &first);
    ask_well(client, "BLPOP nothing 0", PLENTY_MS, &sent);
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    ask_well(client, "PING", PLENTY_MS, &waiting);
    amy_redis_free(client);
    expect(&sent, AMY_ECANCELED, AMY_REDIS_UNKNOWN);
    expect(&waiting, AMY_ECANCELED, AMY_REDIS_NOT_RUN);
    amy_redis_free(NULL);
}

/* --- batches --- */

static void
test_batch_answers_are_one_array(void **state)
{
    struct amy_redis *client = make_client(NULL);
    struct amy_redis_batch *batch = NULL;
    struct asked asked = {0};
    struct asked next = {0};

    (void)state;
    assert_int_equal(amy_redis_batch_create(NULL, &batch, NULL), 0);
    assert_int_equal(
        amy_redis_send_batch(client, batch, note, &asked, NULL, NULL),
        AMY_EINVAL);
    assert_int_equal(add(batch, "SELECT 1"), AMY_EINVAL);
    assert_int_equal(add(batch, "SET batch one"), 0);
    assert_int_equal(add(batch, "INCR batch"), 0); /* an error of its own */
    assert_int_equal(add(batch, "GET batch"), 0);
    for (int i = 0; i < 2; i++) {
        asked = (struct asked){0};
        next = (struct asked){0};
        assert_int_equal(
            amy_redis_send_batch(client, batch, note, &asked, NULL, NULL), 0);
        ask_well(client, "GET batch", PLENTY_MS, &next);
        wait_for(base, &asked);
        wait_for(base, &next);
        expect(&asked, 0, AMY_REDIS_ANSWERED);
        assert_int_equal(asked.count, 3);
        assert_string_equal(asked.text, "OK");
        assert_string_equal(next.text, "one");
    }
    amy_redis_batch_free(batch);
    amy_redis_batch_free(NULL);
    amy_redis_free(client);
}

static void
test_batch_atomic_runs_all_or_none(void **state)
{
    struct amy_redis_batch_options opts = AMY_REDIS_BATCH_OPTIONS_INIT;
    struct amy_redis *client = make_client(NULL);
    struct amy_redis_batch *batch = NULL;
    struct asked asked = {0};

    (void)state;
    opts.atomic = 1;
    assert_int_equal(amy_redis_batch_create(&opts, &batch, NULL), 0);
    assert_int_equal(add(batch, "SET atomic 1"), 0);
    assert_int_equal(add(batch, "INCR atomic"), 0);
    assert_int_equal(
        amy_redis_send_batch(client, batch, note, &asked, NULL, NULL), 0);
    wait_for(base, &asked);
    expect(&asked, 0, AMY_REDIS_ANSWERED);
    assert_int_equal(asked.count, 2);

    assert_int_equal(add(batch, "NOSUCH command"), 0);
    assert_int_equal(add(batch, "SET atomic 7"), 0);
    asked = (struct asked){0};
    assert_int_equal(
        amy_redis_send_batch(client, batch, note, &asked, NULL, NULL), 0);
    wait_for(base, &asked);
    expect(&asked, AMY_EINVAL, AMY_REDIS_ANSWERED);
    assert_non_null(strstr(asked.why, "unknown command"));
    asked = (struct asked){0};
    ask_well(client, "GET atomic", PLENTY_MS, &asked);
    wait_for(base, &asked);
    assert_string_equal(asked.text, "2");
    amy_redis_batch_free(batch);
    amy_redis_free(client);
}

static void
test_batch_too_long_is_elimit(void **state)
{
    struct amy_redis_batch_options opts = AMY_REDIS_BATCH_OPTIONS_INIT;
    struct amy_redis_batch *batch = NULL;

    (void)state;
    opts.bytes_max = 60;
    assert_int_equal(amy_redis_batch_create(&opts, &batch, NULL), 0);
    assert_int_equal(add(batch, "SET k v"), 0);
    assert_int_equal(add(batch, "SET k v"), 0);
    assert_int_equal(add(batch, "SET k v"), AMY_ELIMIT);
    amy_redis_batch_free(batch);
}

/* --- limits --- */

static void
test_send_past_the_mark_is_elimit(void **state)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct asked all[4] = {{0}};
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    opts.queue_calls_max = 3;
    client = make_client(&opts);
    for (int i = 0; i < 3; i++) {
        ask_well(client, "PING", PLENTY_MS, &all[i]);
    }
    assert_int_equal(ask(client, "PING", 0, &all[3], NULL, &err), AMY_ELIMIT);
    wait_for(base, &all[2]);
    ask_well(client, "PING", PLENTY_MS, &all[3]);
    wait_for(base, &all[3]);
    amy_redis_free(client);

    opts.queue_calls_max = 0;
    opts.queue_bytes_max = 20;
    client = make_client(&opts);
    memset(all, 0, sizeof(all));
    ask_well(client, "PING", PLENTY_MS, &all[0]);
    assert_int_equal(ask(client, "PING", 0, &all[1], NULL, &err), AMY_ELIMIT);
    assert_non_null(strstr(err.msg, "1 calls wait already"));
    /* No waiting helps here. */
    assert_int_equal(ask(client, "GET longer", 0, &all[1], NULL, &err),
                     AMY_ELIMIT);
    assert_non_null(strstr(err.msg, "more than queue_bytes_max"));
    amy_redis_free(client);
    expect(&all[0], AMY_ECANCELED, AMY_REDIS_NOT_RUN);
}

static void
test_reply_past_its_limit_ends_that_call_alone(void **state)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct asked set = {0};
    struct asked get = {0};
    struct asked next = {0};

    (void)state;
    opts.reply_bytes_max = 1000;
    client = make_client(&opts);
    ask_well(client, "SETRANGE large 5000 x", PLENTY_MS, &set);
    wait_for(base, &set);
    ask_well(client, "GET large", PLENTY_MS, &get);
    wait_for(base, &get);
    expect(&get, AMY_ELIMIT, AMY_REDIS_UNKNOWN);
    assert_non_null(strstr(get.why, "1000 bytes"));
    ask_well(client, "GETRANGE large 5000 5000", PLENTY_MS, &next);
    wait_for(base, &next);
    expect(&next, 0, AMY_REDIS_ANSWERED);
    amy_redis_free(client);
}

static void
test_replies_of_a_batch_share_the_limit(void **state)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct amy_redis_batch *batch = NULL;
    struct asked asked = {0};

    (void)state;
    opts.reply_bytes_max = 1000;
    client = make_client(&opts);
    assert_int_equal(amy_redis_batch_create(NULL, &batch, NULL), 0);
    assert_int_equal(add(batch, "SETRANGE some 299 x"), 0);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(add(batch, "GET some"), 0);
    }
    for (int i = 0; i < 2; i++) {
        asked = (struct asked){0};
        assert_int_equal(
            amy_redis_send_batch(client, batch, note, &asked, NULL, NULL), 0);
        wait_for(base, &asked);
        expect(&asked, 0, AMY_REDIS_ANSWERED);
        assert_int_equal(asked.count, 4);
    }
    assert_int_equal(add(batch, "GET some"), 0);
    asked = (struct asked){0};
    assert_int_equal(
        amy_redis_send_batch(client, batch, note, &asked, NULL, NULL), 0);
    wait_for(base, &asked);
    expect(&asked, AMY_ELIMIT, AMY_REDIS_UNKNOWN);
    assert_non_null(strstr(asked.why, "1000 bytes"));
    amy_redis_batch_free(batch);
    amy_redis_free(client);
}

/* --- options --- */

static void
test_create_older_and_newer_options(void **state)
{
    struct {
        struct amy_redis_options known;
        uint64_t unknown;
    } opts = {.known = AMY_REDIS_OPTIONS_INIT};
    struct amy_redis *client = NULL;
    struct asked asked = {0};

    (void)state;
    opts.known.base = base;
    opts.known.url = server.url;
    opts.known.timeout_ms = 1; /* beyond what the older one has */
    opts.known.struct_size = offsetof(struct amy_redis_options, timeout_ms);
    assert_int_equal(amy_redis_create(&opts.known, &client, NULL), 0);
    ask_well(client, "PING", 0, &asked);
    wait_for(base, &asked);
    expect(&asked, 0, AMY_REDIS_ANSWERED);
    amy_redis_free(client);

    opts.known.timeout_ms = 0;
    opts.known.struct_size = sizeof(opts);
    assert_int_equal(amy_redis_create(&opts.known, &client, NULL), 0);
    amy_redis_free(client);
    opts.unknown = 1;
    assert_int_equal(amy_redis_create(&opts.known, &client, NULL), AMY_EINVAL);
    opts.known.struct_size = sizeof(size_t);
    assert_int_equal(amy_redis_create(&opts.known, &client, NULL), AMY_EINVAL);
}

static void
test_create_bad_options_are_told(void **state)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(amy_redis_create(&opts, &client, &err), AMY_EINVAL);
    opts.url = "redis://:hunter2@h:x";
    assert_int_equal(amy_redis_create(&opts, &client, &err), AMY_EINVAL);
    assert_null(strstr(err.msg, "hunter2"));
    assert_null(client);
    assert_int_equal(amy_redis_create(NULL, &client, &err), AMY_EINVAL);
}

static void
test_run_on_a_loop_of_the_callers_is_estate(void **state)
{
    struct amy_redis *client = make_client(NULL);
    struct asked asked = {0};

    (void)state;
    assert_int_equal(run(client, "PING", 0, &asked), AMY_ESTATE);
    expect(&asked, AMY_ESTATE, AMY_REDIS_NOT_RUN);
    amy_redis_free(client);
}

/* --- fork --- */

/* What the child may do with its parent's client. */
_Noreturn static void
be_child(struct amy_redis *client)
{
    struct asked asked = {0};
    struct amy_error err = AMY_ERROR_INIT;
    int rc = ask(client, "SET child 1", 0, &asked, NULL, &err);

    amy_redis_cancel(client, 1);
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    amy_redis_free(client);
    _exit(rc == AMY_ESTATE && strstr(err.msg, "fork") != NULL &&
                  asked.times == 0
              ? 0
              : 1);
}

static void
test_fork_leaves_the_parents_connection_alone(void **state)
{
    struct amy_redis *client = make_client(NULL);
    struct amy_redis_view view = AMY_REDIS_VIEW_INIT;
    struct asked first = {0};
    struct asked under_way = {0};
    struct asked next = {0};
    pid_t child = 0;
    int status = -1;

    (void)state;
    ask_well(client, "PING", PLENTY_MS, &first);
    wait_for(base, &first);
    ask_well(client, "BLPOP forked 0", PLENTY_MS, &under_way);
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    child = fork();
    if (child == 0) {
        be_child(client);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    {
        struct amy_redis *other = make_client(NULL);

        ask_well(other, "RPUSH forked x", PLENTY_MS, &next);
        wait_for(base, &under_way);
        amy_redis_free(other);
    }
    expect(&under_way, 0, AMY_REDIS_ANSWERED);
    amy_redis_read(client, &view);
    assert_int_equal(view.connections, 1);
    amy_redis_free(client);
}

static int
set_up(void **state)
{
    (void)state;
    base = event_base_new();
    return base == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_send_many_are_answered_in_order),
        T(test_send_error_replies_are_codes),
        T(test_cancel_before_and_after_it_is_sent),
        T(test_cancel_while_it_connects_is_no_failure),
        T(test_send_past_its_deadline_is_unknown_and_others_go_on),
        T(test_free_in_its_own_callback_tells_the_others),
        T(test_free_in_a_canceled_callback_tells_the_others),
        T(test_free_tells_all_from_inside),
        T(test_batch_answers_are_one_array),
        T(test_batch_atomic_runs_all_or_none),
        T(test_batch_too_long_is_elimit),
        T(test_send_past_the_mark_is_elimit),
        T(test_reply_past_its_limit_ends_that_call_alone),
        T(test_replies_of_a_batch_share_the_limit),
        T(test_create_older_and_newer_options),
        T(test_create_bad_options_are_told),
        T(test_run_on_a_loop_of_the_callers_is_estate),
        T(test_fork_leaves_the_parents_connection_alone),
    };
    int rc = 0;

    redis_server_create(&server, NULL);
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    redis_server_free(&server);
    return rc;
}

/* A Redis that comes and goes, hangs, or refuses us; by the public header. */
#include "amy_test.h"

#include "asking.h"
#include "core/clock.h"
#include "redis_server.h"

#include <event2/event.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PLENTY_MS 60000
#define SHORT_MS 200
#define CALLERS 1000U
/* A bound on time is asserted tenfold: the machine may be busy. */
#define AT_ONCE_MS 100

static struct event_base *base;

static struct amy_redis *
make_client(const char *url, struct event_base *on)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    opts.base = on;
    opts.url = url;
    opts.name = "who";
    opts.timeout_ms = SHORT_MS;
    if (amy_redis_create(&opts, &client, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return client;
}

static struct amy_redis_view
look(const struct amy_redis *client)
{
    struct amy_redis_view view = AMY_REDIS_VIEW_INIT;

    amy_redis_read(client, &view);
    return view;
}

/* Again and again, as a program would, until it is so. */
static void
run_until(struct amy_redis *client, uint32_t state, struct asked *asked)
{
    int64_t end_ms = amy__mono_ms(NULL) + PLENTY_MS;

    do {
        *asked = (struct asked){0};
        (void)run(client, "PING", 0, asked);
        assert_true(amy__mono_ms(NULL) < end_ms);
    } while (look(client).state != state);
}

static void
test_run_killed_server_is_told_then_costs_nothing_then_is_back(void **state)
{
    struct redis_server server;
    struct amy_redis *client = NULL;
    struct asked asked = {0};
    int64_t begun_ms = 0;

    (void)state;
    redis_server_create(&server, NULL);
    client = make_client(server.url, NULL);
    assert_int_equal(run(client, "SET key value", PLENTY_MS, &asked), 0);
    redis_server_stop(&server);

    run_until(client, AMY_REDIS_BROKEN, &asked);
    assert_int_equal(look(client).failures, 3);

    begun_ms = amy__mono_ms(NULL);
    for (int i = 0; i < 1000; i++) {
        asked = (struct asked){0};
        assert_int_equal(run(client, "PING", PLENTY_MS, &asked), AMY_ECONN);
        expect(&asked, AMY_ECONN, AMY_REDIS_NOT_RUN);
    }
    /* Two seconds at most between two that try; a thousand calls are less. */
    assert_true(amy__mono_ms(NULL) - begun_ms < 10 * AT_ONCE_MS);
    assert_true(look(client).failures <= 3 + 10);
    assert_non_null(strstr(asked.why, server.dir));

    redis_server_start(&server, NULL);
    run_until(client, AMY_REDIS_READY, &asked);
    asked = (struct asked){0};
    assert_int_equal(run(client, "CLIENT GETNAME", PLENTY_MS, &asked), 0);
    assert_string_equal(asked.text, "who");
    assert_int_equal(look(client).failures, 0);
    amy_redis_free(client);
    redis_server_free(&server);
}

static void
test_run_after_an_idle_connection_was_closed_is_not_unknown(void **state)
{
    struct redis_server server;
    struct amy_redis *client = NULL;
    struct amy_redis *other = NULL;
    struct asked asked = {0};

    (void)state;
    redis_server_create(&server, NULL);
    client = make_client(server.url, NULL);
    other = make_client(server.url, NULL);
    assert_int_equal(run(client, "PING", PLENTY_MS, &asked), 0);
    asked = (struct asked){0};
    assert_int_equal(
        run(other, "CLIENT KILL TYPE normal SKIPME yes", PLENTY_MS, &asked), 0);
    assert_int_equal(asked.integer, 1);
    asked = (struct asked){0};
    assert_int_equal(run(client, "SET key 1", PLENTY_MS, &asked), 0);
    assert_int_equal(look(client).connections, 2);
    amy_redis_free(client);
    amy_redis_free(other);
    redis_server_free(&server);
}

static void
test_send_killed_under_way_is_unknown_and_the_rest_goes_on(void **state)
{
    struct redis_server server;
    struct amy_redis *client = NULL;
    struct asked first = {0};
    struct asked under_way = {0};
    struct asked next = {0};

    (void)state;
    redis_server_create(&server, NULL);
    client = make_client(server.url, base);
    ask_well(client, "PING", PLENTY_MS, &first);
    wait_for(base, &first);
    ask_well(client, "BLPOP nothing 0", PLENTY_MS, &under_way);
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    redis_server_stop(&server);
    wait_for(base, &under_way);
    expect(&under_way, AMY_ECONN, AMY_REDIS_UNKNOWN);

    ask_well(client, "PING", PLENTY_MS, &next);
    redis_server_start(&server, NULL);
    wait_for(base, &next);
    if (next.code != 0) { /* three attempts may have been before the start */
        expect(&next, AMY_ECONN, AMY_REDIS_NOT_RUN);
    }
    amy_redis_free(client);
    redis_server_free(&server);
}

/* Our greeting's bytes are no call's: of these calls not one byte is sent. */
static void
test_send_over_a_connection_that_is_gone_is_not_unknown(void **state)
{
    struct redis_server server;
    struct amy_redis *client = NULL;
    struct amy_redis *other = NULL;
    struct asked all[4] = {{0}};
    struct asked asked = {0};

    (void)state;
    redis_server_create(&server, NULL);
    client = make_client(server.url, base);
    other = make_client(server.url, NULL);
    ask_well(client, "INCR n", PLENTY_MS, &all[0]);
    wait_for(base, &all[0]);
    assert_int_equal(
        run(other, "CLIENT KILL TYPE normal SKIPME yes", PLENTY_MS, &asked), 0);
    for (size_t i = 1; i < 4; i++) {
        ask_well(client, "INCR n", PLENTY_MS, &all[i]);
    }
    wait_for(base, &all[3]);
    for (size_t i = 1; i < 4; i++) {
        expect(&all[i], 0, AMY_REDIS_ANSWERED);
        assert_int_equal(all[i].integer, i + 1);
    }
    amy_redis_free(client);
    amy_redis_free(other);
    redis_server_free(&server);
}

static void
test_run_hung_server_keeps_deadlines_and_then_costs_nothing(void **state)
{
    struct redis_server server;
    struct amy_redis *client = NULL;
    struct asked asked = {0};
    int64_t begun_ms = 0;

    (void)state;
    redis_server_create(&server, NULL);
    client = make_client(server.url, NULL);
    assert_int_equal(run(client, "PING", PLENTY_MS, &asked), 0);
    assert_int_equal(kill(server.pid, SIGSTOP), 0);
    begun_ms = amy__mono_ms(NULL);
    asked = (struct asked){0};
    assert_int_equal(run(client, "SET key 1", 0, &asked), AMY_ETIMEOUT);
    expect(&asked, AMY_ETIMEOUT, AMY_REDIS_UNKNOWN);
    assert_in_range(amy__mono_ms(NULL) - begun_ms, SHORT_MS, 10 * SHORT_MS);
    run_until(client, AMY_REDIS_BROKEN, &asked);
    asked = (struct asked){0};
    begun_ms = amy__mono_ms(NULL);
    for (int i = 0; i < 100 && look(client).retry_ms > 0; i++) {
        asked = (struct asked){0};
        assert_int_not_equal(run(client, "PING", PLENTY_MS, &asked), 0);
        assert_int_equal(asked.fate, AMY_REDIS_NOT_RUN);
    }
    assert_int_equal(kill(server.pid, SIGCONT), 0);
    run_until(client, AMY_REDIS_READY, &asked);
    amy_redis_free(client);
    redis_server_free(&server);
}

/* However many wait, there is one attempt at a time, and a pause between. */
static void
test_send_thousand_callers_knock_three_times(void **state)
{
    struct amy_redis *client = make_client("unix:///nowhere/redis.sock", base);
    struct asked *all = calloc(CALLERS, sizeof(*all));
    int64_t begun_ms = amy__mono_ms(NULL);

    (void)state;
    for (size_t i = 0; i < CALLERS; i++) {
        ask_well(client, "PING", PLENTY_MS, &all[i]);
    }
    wait_for(base, &all[CALLERS - 1]);
    for (size_t i = 0; i < CALLERS; i++) {
        expect(&all[i], AMY_ECONN, AMY_REDIS_NOT_RUN);
    }
    assert_int_equal(look(client).failures, 3);
    assert_true(amy__mono_ms(NULL) - begun_ms >= 200);
    amy_redis_free(client);
    free(all);
}

/* It refuses PING then, and what writes; all else it does. */
static void
test_run_server_that_cannot_save_still_reads(void **state)
{
    static const char *const saving[] = {
        "--save",       "3600 1",        "--dir", "gone",
        "--unixsocket", "../redis.sock", NULL};
    struct redis_server server;
    struct amy_redis *client = NULL;
    struct amy_redis *other = NULL;
    struct asked asked = {0};
    char dir[128] = "";
    int64_t end_ms = amy__mono_ms(NULL) + PLENTY_MS;

    (void)state;
    redis_server_prepare(&server);
    (void)snprintf(dir, sizeof(dir), "%s/gone", server.dir);
    assert_int_equal(mkdir(dir, 0700), 0);
    redis_server_start(&server, saving);
    client = make_client(server.url, NULL);
    assert_int_equal(run(client, "SET key value", PLENTY_MS, &asked), 0);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(run(client, "BGSAVE", PLENTY_MS, &asked), 0);
    do {
        assert_true(amy__mono_ms(NULL) < end_ms);
    } while (run(client, "SET key value", PLENTY_MS, &asked) != AMY_ESTATE);

    other = make_client(server.url, NULL);
    asked = (struct asked){0};
    if (run(other, "GET key", PLENTY_MS, &asked) < 0) {
        fail_msg("%s", asked.why);
    }
    assert_string_equal(asked.text, "value");
    amy_redis_free(client);
    amy_redis_free(other);
    redis_server_free(&server);
}

/* --- who may --- */

static const char *const locked[] = {"--requirepass", "hunter2", NULL};

static void
url_with(const struct redis_server *server, const char *login,
         const char *query, char *url, size_t size)
{
    (void)snprintf(url, size, "unix://%s%s/redis.sock%s", login, server->dir,
                   query);
}

static void
test_run_wrong_password_is_asked_for_once(void **state)
{
    static const char *const logins[] = {"", ":wrong@", "default:wrong@",
                                         "nobody:hunter2@"};
    struct redis_server server;

    (void)state;
    redis_server_create(&server, locked);
    for (size_t i = 0; i < sizeof(logins) / sizeof(logins[0]); i++) {
        struct amy_redis *client = NULL;
        struct asked asked = {0};
        char url[128] = "";

        url_with(&server, logins[i], "", url, sizeof(url));
        client = make_client(url, NULL);
        assert_int_equal(run(client, "PING", PLENTY_MS, &asked), AMY_EAUTH);
        expect(&asked, AMY_EAUTH, AMY_REDIS_NOT_RUN);
        assert_null(strstr(asked.why, "wrong"));
        for (int n = 0; n < 100; n++) {
            asked = (struct asked){0};
            assert_int_equal(run(client, "PING", PLENTY_MS, &asked), AMY_EAUTH);
        }
        assert_int_equal(look(client).connections, 1);
        assert_int_equal(look(client).state, AMY_REDIS_BROKEN);
        assert_in_range(look(client).retry_ms, 1, 60000);
        amy_redis_free(client);
    }
    redis_server_free(&server);
}

/* It tells with what arguments, then. */
static void
test_run_server_without_auth_is_told_without_the_password(void **state)
{
    static const char *const without[] = {"--rename-command", "AUTH", "", NULL};
    static const char *const logins[] = {":hunter2@", "ann:hunter2@"};
    struct redis_server server;

    (void)state;
    redis_server_create(&server, without);
    for (size_t i = 0; i < 2; i++) {
        struct amy_redis *client = NULL;
        struct asked asked = {0};
        char url[128] = "";

        url_with(&server, logins[i], "", url, sizeof(url));
        client = make_client(url, NULL);
        assert_int_equal(run(client, "PING", PLENTY_MS, &asked), AMY_EAUTH);
        assert_non_null(strstr(asked.why, "unknown command"));
        assert_null(strstr(asked.why, "hunter2"));
        assert_null(strstr(asked.why, "ann"));
        assert_null(strstr(look(client).problem, "hunter2"));
        amy_redis_free(client);
    }
    redis_server_free(&server);
}

/* Of MULTI and EXEC one is not there: nothing runs, and the others go on. */
static void
test_batch_atomic_where_it_cannot_be_runs_nothing(void **state)
{
    static const char *const names[] = {"MULTI", "EXEC"};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const char *without[] = {"--rename-command", names[i], "", NULL};
        struct amy_redis_batch_options opts = AMY_REDIS_BATCH_OPTIONS_INIT;
        struct redis_server server;
        struct amy_redis *client = NULL;
        struct amy_redis_batch *batch = NULL;
        struct asked all[4] = {{0}};

        redis_server_create(&server, without);
        client = make_client(server.url, base);
        opts.atomic = 1;
        opts.timeout_ms = PLENTY_MS;
        assert_int_equal(amy_redis_batch_create(&opts, &batch, NULL), 0);
        assert_int_equal(add(batch, "INCR n"), 0);
        assert_int_equal(add(batch, "INCR n"), 0);
        ask_well(client, "SET n 1", PLENTY_MS, &all[0]);
        for (int n = 1; n < 3; n++) {
            assert_int_equal(
                amy_redis_send_batch(client, batch, note, &all[n], NULL, NULL),
                0);
        }
        ask_well(client, "INCR n", PLENTY_MS, &all[3]);
        wait_for(base, &all[3]);
        expect(&all[0], 0, AMY_REDIS_ANSWERED);
        for (int n = 1; n < 3; n++) {
            wait_for(base, &all[n]);
            expect(&all[n], AMY_EINVAL, AMY_REDIS_NOT_RUN);
            assert_non_null(strstr(all[n].why, names[i]));
        }
        expect(&all[3], 0, AMY_REDIS_ANSWERED);
        assert_int_equal(all[3].integer, 2);
        amy_redis_batch_free(batch);
        amy_redis_free(client);
        redis_server_free(&server);
    }
}

/* Allowed when we asked, and no more when the batch comes. */
static void
test_batch_atomic_refused_too_late_is_unknown(void **state)
{
    struct amy_redis_batch_options opts = AMY_REDIS_BATCH_OPTIONS_INIT;
    struct redis_server server;
    struct amy_redis *client = NULL;
    struct amy_redis_batch *batch = NULL;
    struct asked asked = {0};

    (void)state;
    redis_server_create(&server, NULL);
    client = make_client(server.url, base);
    opts.atomic = 1;
    opts.timeout_ms = PLENTY_MS;
    assert_int_equal(amy_redis_batch_create(&opts, &batch, NULL), 0);
    assert_int_equal(add(batch, "INCR n"), 0);
    assert_int_equal(
        amy_redis_send_batch(client, batch, note, &asked, NULL, NULL), 0);
    wait_for(base, &asked);
    expect(&asked, 0, AMY_REDIS_ANSWERED);
    asked = (struct asked){0};
    ask_well(client, "ACL SETUSER default -multi", PLENTY_MS, &asked);
    wait_for(base, &asked);
    expect(&asked, 0, AMY_REDIS_ANSWERED);
    asked = (struct asked){0};
    assert_int_equal(
        amy_redis_send_batch(client, batch, note, &asked, NULL, NULL), 0);
    wait_for(base, &asked);
    expect(&asked, AMY_EDENIED, AMY_REDIS_UNKNOWN);
    assert_int_equal(asked.type, AMY_REDIS_NIL);
    assert_non_null(strstr(asked.why, "one by one"));
    amy_redis_batch_free(batch);
    amy_redis_free(client);
    redis_server_free(&server);
}

static void
test_run_login_and_database_are_repeated_on_each_connection(void **state)
{
    struct redis_server server;
    struct amy_redis *client = NULL;
    struct amy_redis *other = NULL;
    struct asked asked = {0};
    char url[128] = "";

    (void)state;
    redis_server_create(&server, locked);
    url_with(&server, "default:hunter2@", "?db=3", url, sizeof(url));
    client = make_client(url, NULL);
    assert_int_equal(run(client, "SET third 1", PLENTY_MS, &asked), 0);
    url_with(&server, ":hunter2@", "?db=2", url, sizeof(url));
    other = make_client(url, NULL);
    assert_int_equal(
        run(other, "CLIENT KILL TYPE normal SKIPME yes", PLENTY_MS, &asked), 0);
    asked = (struct asked){0};
    assert_int_equal(run(client, "EXISTS third", PLENTY_MS, &asked), 0);
    assert_int_equal(asked.integer, 1);
    assert_int_equal(run(client, "CLIENT GETNAME", PLENTY_MS, &asked), 0);
    assert_string_equal(asked.text, "who");
    assert_int_equal(look(client).connections, 2);
    assert_int_equal(run(other, "EXISTS third", PLENTY_MS, &asked), 0);
    assert_int_equal(asked.integer, 0);
    amy_redis_free(client);
    amy_redis_free(other);
    redis_server_free(&server);
}

static void
test_run_no_such_database_is_told(void **state)
{
    struct redis_server server;
    struct amy_redis *client = NULL;
    struct asked asked = {0};
    char url[128] = "";

    (void)state;
    redis_server_create(&server, NULL);
    url_with(&server, "", "?db=99", url, sizeof(url));
    client = make_client(url, NULL);
    assert_int_equal(run(client, "PING", PLENTY_MS, &asked), AMY_EINVAL);
    assert_non_null(strstr(asked.why, "SELECT"));
    assert_int_equal(run(client, "PING", PLENTY_MS, &asked), AMY_EINVAL);
    assert_int_equal(look(client).connections, 1);
    amy_redis_free(client);
    redis_server_free(&server);
}

static void
test_run_no_server_at_all_is_told(void **state)
{
    struct amy_redis *client = make_client("unix:///nowhere/redis.sock", NULL);
    struct asked asked = {0};

    (void)state;
    assert_int_equal(run(client, "PING", PLENTY_MS, &asked), AMY_ECONN);
    expect(&asked, AMY_ECONN, AMY_REDIS_NOT_RUN);
    assert_non_null(strstr(asked.why, "/nowhere"));
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
        T(test_run_killed_server_is_told_then_costs_nothing_then_is_back),
        T(test_run_after_an_idle_connection_was_closed_is_not_unknown),
        T(test_send_killed_under_way_is_unknown_and_the_rest_goes_on),
        T(test_send_over_a_connection_that_is_gone_is_not_unknown),
        T(test_run_hung_server_keeps_deadlines_and_then_costs_nothing),
        T(test_send_thousand_callers_knock_three_times),
        T(test_run_server_that_cannot_save_still_reads),
        T(test_run_server_without_auth_is_told_without_the_password),
        T(test_batch_atomic_where_it_cannot_be_runs_nothing),
        T(test_batch_atomic_refused_too_late_is_unknown),
        T(test_run_wrong_password_is_asked_for_once),
        T(test_run_login_and_database_are_repeated_on_each_connection),
        T(test_run_no_such_database_is_told),
        T(test_run_no_server_at_all_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

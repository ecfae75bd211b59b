/* Servers that no Redis is: half an answer, too much of one, none at all. */
#include "amy_test.h"

#include "asking.h"
#include "core/clock.h"
#include "redis/internal.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLENTY_MS 60000
#define SHORT_MS 200

/* A process that answers PING, then each thing that it reads with `says`, and
 * closes or keeps silent. */
struct peer {
    pid_t pid;
    char url[64];
};

struct script {
    const char *greeting; /* instead of PONG; NULL: PONG; "": none */
    const char *says;     /* after the greeting, to whatever comes */
    bool closes;
};

/* Nothing is said before a byte comes from there; 0: at once. */
static int held;

static void
serve(int fd, const struct script *script)
{
    const char *greeting =
        script->greeting == NULL ? "+PONG\r\n" : script->greeting;
    char room[4096];

    if (held > 0) {
        (void)!read(held, room, 1);
    }
    if (read(fd, room, sizeof(room)) > 0 &&
        write(fd, greeting, strlen(greeting)) >= 0 &&
        !(script->closes && greeting[0] == 0) &&
        read(fd, room, sizeof(room)) > 0 && script->says != NULL) {
        (void)!write(fd, script->says, strlen(script->says));
    }
    if (!script->closes) {
        while (read(fd, room, sizeof(room)) > 0) {
        }
    }
}

_Noreturn static void
run_peer(int listener, const struct script *script)
{
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    (void)signal(SIGPIPE, SIG_IGN);
    for (;;) {
        int fd = accept(listener, NULL, NULL);

        if (fd >= 0) {
            serve(fd, script);
            close(fd);
        }
    }
}

static int
listen_somewhere(char *url, size_t size, const char *format)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    assert_int_equal(listen(fd, 16), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    (void)snprintf(url, size, "%s127.0.0.1:%u", format,
                   (unsigned)ntohs(address.sin_port));
    return fd;
}

static void
start(struct peer *peer, const struct script *script)
{
    int fd = listen_somewhere(peer->url, sizeof(peer->url), "redis://");

    peer->pid = fork();
    if (peer->pid == 0) {
        run_peer(fd, script);
    }
    close(fd);
}

static void
stop(struct peer *peer)
{
    assert_int_equal(kill(peer->pid, SIGKILL), 0);
    assert_int_equal(waitpid(peer->pid, NULL, 0), peer->pid);
}

static struct amy_redis *
make_client(const char *url)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    opts.url = url;
    opts.timeout_ms = PLENTY_MS;
    opts.connect_ms = PLENTY_MS;
    if (amy_redis_create(&opts, &client, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return client;
}

static void
test_run_bad_answers_are_told(void **state)
{
    static const struct {
        struct script script;
        int code;
        uint32_t fate;
        const char *why;
    } rows[] = {
        {{NULL, "$5\r\nhal", true}, AMY_ECONN, AMY_REDIS_UNKNOWN, "closed"},
        {{NULL, NULL, true}, AMY_ECONN, AMY_REDIS_UNKNOWN, ""},
        {{NULL, "HTTP/1.1 400 Bad\r\n", false},
         AMY_EPROTO,
         AMY_REDIS_UNKNOWN,
         "no reply of Redis"},
        {{NULL, "$-7\r\n", false}, AMY_EPROTO, AMY_REDIS_UNKNOWN, "number"},
        {{NULL, "$536870912\r\nxxxx", false},
         AMY_ELIMIT,
         AMY_REDIS_UNKNOWN,
         "67108864 bytes"},
        {{NULL, "*999999999\r\n", false},
         AMY_ELIMIT,
         AMY_REDIS_UNKNOWN,
         "items"},
        {{NULL, "*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n",
          false},
         AMY_ELIMIT,
         AMY_REDIS_UNKNOWN,
         "arrays deep"},
        {{"-DENIED Redis is running in protected mode\r\n", NULL, true},
         AMY_ECONN,
         AMY_REDIS_NOT_RUN,
         "protected mode"},
        {{"-ERR max number of clients reached\r\n", NULL, true},
         AMY_ECONN,
         AMY_REDIS_NOT_RUN,
         "max number"},
        {{"-LOADING Redis is loading\r\n", NULL, true},
         AMY_ECONN,
         AMY_REDIS_NOT_RUN,
         "loading"},
        {{"", NULL, true}, AMY_ECONN, AMY_REDIS_NOT_RUN, "closed"},
        {{"SSH-2.0-OpenSSH_9.2\r\n", NULL, false},
         AMY_EPROTO,
         AMY_REDIS_NOT_RUN,
         "no reply of Redis"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct peer peer;
        struct amy_redis *client = NULL;
        struct asked asked = {0};

        start(&peer, &rows[i].script);
        client = make_client(peer.url);
        (void)run(client, "GET key", PLENTY_MS, &asked);
        if (asked.code != rows[i].code || asked.fate != rows[i].fate ||
            strstr(asked.why, rows[i].why) == NULL) {
            fail_msg("row %zu: code %d fate %u: %s", i, asked.code, asked.fate,
                     asked.why);
        }
        amy_redis_free(client);
        stop(&peer);
    }
}

/* One call with a short deadline, of a client of its own. */
static void
wait_in_vain(const char *url, struct asked *asked)
{
    struct amy_redis *client = make_client(url);
    int64_t begun_ms = amy__mono_ms(NULL);

    *asked = (struct asked){0};
    assert_int_equal(run(client, "GET key", SHORT_MS, asked), AMY_ETIMEOUT);
    assert_in_range(amy__mono_ms(NULL) - begun_ms, SHORT_MS, 10 * SHORT_MS);
    amy_redis_free(client);
}

static void
test_run_silence_ends_with_the_deadline(void **state)
{
    static const struct {
        struct script script;
        uint32_t fate;
        const char *why;
    } rows[] = {
        {{"", NULL, false}, AMY_REDIS_NOT_RUN, "greeting"},
        {{"+PO", NULL, false}, AMY_REDIS_NOT_RUN, "greeting"},
        {{NULL, "", false}, AMY_REDIS_UNKNOWN, "waiting for the answer"},
        {{NULL, "$5\r\nhal", false},
         AMY_REDIS_UNKNOWN,
         "waiting for the answer"},
    };
    int64_t end_ms = amy__mono_ms(NULL) + PLENTY_MS;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct peer peer;
        struct asked asked = {0};

        start(&peer, &rows[i].script);
        do { /* on a busy machine the peer may be late even with its greeting */
            wait_in_vain(peer.url, &asked);
        } while ((asked.fate != rows[i].fate ||
                  strstr(asked.why, rows[i].why) == NULL) &&
                 amy__mono_ms(NULL) < end_ms);
        expect(&asked, AMY_ETIMEOUT, rows[i].fate);
        assert_non_null(strstr(asked.why, rows[i].why));
        stop(&peer);
    }
}

/* A connection that takes longer than a call has is made all the same; and
 * meanwhile calls are refused, so that a server that hangs costs nothing. */
static void
test_run_deadlines_shorter_than_connecting_get_a_connection(void **state)
{
    int ends[2] = {-1, -1};
    static const struct script script = {NULL, "+OK\r\n", false};
    struct peer peer;
    struct amy_redis *client = NULL;
    struct amy_redis_view view = AMY_REDIS_VIEW_INIT;
    struct asked asked = {0};
    int64_t end_ms = amy__mono_ms(NULL) + PLENTY_MS;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    held = ends[0];
    start(&peer, &script);
    client = make_client(peer.url);
    for (int i = 0; i < 3; i++) {
        asked = (struct asked){0};
        assert_int_equal(run(client, "GET key", 50, &asked), AMY_ETIMEOUT);
        expect(&asked, AMY_ETIMEOUT, AMY_REDIS_NOT_RUN);
    }
    amy_redis_read(client, &view);
    assert_int_equal(view.state, AMY_REDIS_BROKEN);
    assert_int_equal(view.connections, 1);
    asked = (struct asked){0};
    assert_int_equal(run(client, "GET key", PLENTY_MS, &asked), AMY_ECONN);
    expect(&asked, AMY_ECONN, AMY_REDIS_NOT_RUN);
    assert_non_null(strstr(asked.why, "under way: no answer: "));
    assert_null(strstr(strstr(asked.why, "no answer") + 1, "no answer"));

    assert_int_equal(write(ends[1], "x", 1), 1);
    while (run(client, "GET key", 10 * SHORT_MS, &asked) != 0) {
        assert_true(amy__mono_ms(NULL) < end_ms);
    }
    amy_redis_read(client, &view);
    assert_int_equal(view.state, AMY_REDIS_READY);
    assert_int_equal(view.connections, 1);
    amy_redis_free(client);
    stop(&peer);
    held = 0;
    close(ends[0]);
    close(ends[1]);
}

static void
test_run_nobody_accepts_ends_with_the_deadline(void **state)
{
    static const char *const schemes[] = {"redis://", "rediss://"};

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    for (size_t i = 0; i < 2; i++) {
        char url[64] = "";
        int listener = listen_somewhere(url, sizeof(url), schemes[i]);
        struct amy_redis *client = make_client(url);
        struct asked asked = {0};
        int64_t begun_ms = amy__mono_ms(NULL);

        assert_int_equal(run(client, "GET key", SHORT_MS, &asked),
                         AMY_ETIMEOUT);
        assert_in_range(amy__mono_ms(NULL) - begun_ms, SHORT_MS, 10 * SHORT_MS);
        expect(&asked, AMY_ETIMEOUT, AMY_REDIS_NOT_RUN);
        if (i == 1) {
            assert_non_null(strstr(asked.why, "TLS handshake"));
            assert_non_null(strstr(asked.why, "a port without TLS"));
        }
        amy_redis_free(client);
        close(listener);
    }
}

static void
test_run_tls_to_a_plain_port_is_told(void **state)
{
    static const struct script script = {"-ERR what?\r\n", NULL, false};
    struct peer peer;
    struct amy_redis *client = NULL;
    struct asked asked = {0};
    char url[64] = "";

    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    start(&peer, &script);
    (void)snprintf(url, sizeof(url), "rediss%s", peer.url + strlen("redis"));
    client = make_client(url);
    (void)run(client, "PING", PLENTY_MS, &asked);
    expect(&asked, AMY_EPROTO, AMY_REDIS_NOT_RUN);
    if (strstr(asked.why, "a plain port") == NULL) {
        fail_msg("%s", asked.why);
    }
    amy_redis_free(client);
    stop(&peer);
}

/* What it says is its own choice: also of a password. */
static void
test_run_words_that_hold_the_password_are_not_told(void **state)
{
    static const char *const rows[] = {"-hunter2\r\n", "-ERR your hunter2\r\n",
                                       "+OK\r\n-ERR hunter2\r\n"};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct script script = {rows[i], NULL, false};
        struct peer peer;
        struct amy_redis *client = NULL;
        struct asked asked = {0};
        char url[96] = "";

        start(&peer, &script);
        (void)snprintf(url, sizeof(url), "redis://:hunter2@%s",
                       peer.url + strlen("redis://"));
        client = make_client(url);
        assert_int_not_equal(run(client, "PING", PLENTY_MS, &asked), 0);
        assert_non_null(strstr(asked.why, "it refuses"));
        assert_null(strstr(asked.why, "hunter2"));
        amy_redis_free(client);
        stop(&peer);
    }
}

/* No name server listens there, and none says so. */
static void
test_run_name_stalls_ends_with_the_deadline(void **state)
{
    struct amy_redis *client = make_client("redis://silence.test");
    struct asked asked = {0};
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof(address);
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    char path[] = "/tmp/amy-resolv-XXXXXX";
    int file = mkstemp(path);
    int64_t begun_ms = amy__mono_ms(NULL);

    (void)state;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    assert_true(dprintf(file, "nameserver 127.0.0.1:%u\n",
                        (unsigned)ntohs(address.sin_port)) > 0);
    client->link_opts.resolv_conf = path; /* what only a test may set */
    assert_int_equal(run(client, "PING", SHORT_MS, &asked), AMY_ETIMEOUT);
    expect(&asked, AMY_ETIMEOUT, AMY_REDIS_NOT_RUN);
    assert_in_range(amy__mono_ms(NULL) - begun_ms, SHORT_MS, 10 * SHORT_MS);
    assert_non_null(strstr(asked.why, "looking up the name"));
    amy_redis_free(client);
    close(file);
    close(fd);
    assert_int_equal(unlink(path), 0);
}

/* A host whose names are all in its hosts file has no need of one. */
static void
test_run_without_a_name_server_finds_localhost(void **state)
{
    static const char *const files[] = {"/dev/null", "/nowhere/resolv.conf"};
    static const struct script script = {NULL, "+OK\r\n", false};
    struct peer peer;

    (void)state;
    start(&peer, &script);
    for (size_t i = 0; i < 2; i++) {
        struct amy_redis *client = NULL;
        struct asked asked = {0};
        char url[64] = "";

        (void)snprintf(url, sizeof(url), "redis://localhost%s",
                       strrchr(peer.url, ':'));
        client = make_client(url);
        client->link_opts.resolv_conf = files[i];
        (void)run(client, "GET key", PLENTY_MS, &asked);
        expect(&asked, 0, AMY_REDIS_ANSWERED);
        amy_redis_free(client);
    }
    stop(&peer);
}

static void
test_create_tls_and_sigpipe_is_estate(void **state)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;

    (void)state;
    (void)signal(SIGPIPE, SIG_DFL);
    opts.url = "rediss://h";
    assert_int_equal(amy_redis_create(&opts, &client, NULL), AMY_ESTATE);
    (void)signal(SIGPIPE, SIG_IGN);
    assert_int_equal(amy_redis_create(&opts, &client, NULL), 0);
    amy_redis_free(client);
}

static void
test_run_answers_that_nobody_asked_for_are_refused(void **state)
{
    static const struct script script = {"+PONG\r\n+PONG\r\n", NULL, false};
    struct peer peer;
    struct amy_redis *client = NULL;
    struct asked asked = {0};
    int64_t end_ms = amy__mono_ms(NULL) + PLENTY_MS;

    (void)state;
    start(&peer, &script);
    client = make_client(peer.url);
    do { /* on a busy machine the peer may not have said anything yet */
        asked = (struct asked){0};
        (void)run(client, "GET key", SHORT_MS, &asked);
        expect(&asked, AMY_ETIMEOUT, AMY_REDIS_NOT_RUN);
    } while (strstr(asked.why, "nobody asked for") == NULL &&
             amy__mono_ms(NULL) < end_ms);
    assert_non_null(strstr(asked.why, "nobody asked for"));
    amy_redis_free(client);
    stop(&peer);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_bad_answers_are_told),
        cmocka_unit_test(test_run_silence_ends_with_the_deadline),
        cmocka_unit_test(
            test_run_deadlines_shorter_than_connecting_get_a_connection),
        cmocka_unit_test(test_run_nobody_accepts_ends_with_the_deadline),
        cmocka_unit_test(test_run_tls_to_a_plain_port_is_told),
        cmocka_unit_test(test_run_words_that_hold_the_password_are_not_told),
        cmocka_unit_test(test_run_name_stalls_ends_with_the_deadline),
        cmocka_unit_test(test_run_without_a_name_server_finds_localhost),
        cmocka_unit_test(test_create_tls_and_sigpipe_is_estate),
        cmocka_unit_test(test_run_answers_that_nobody_asked_for_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

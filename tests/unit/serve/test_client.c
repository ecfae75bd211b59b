#include "amy_test.h"

#include "net/unix.h"
#include "serve/client.h"
#include "serve_rig.h"

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What became of one call. */
struct told {
    unsigned status;
    uint64_t bytes;
    unsigned ends;
    unsigned fails;
    enum amy__call_failure failure;
    bool bad_bytes;
    bool pause_on_data;
    bool cancel_on_answer;
    struct amy__call *call;
};

static void
on_answer(struct amy__call *call, const struct amy__answer_head *head,
          void *user)
{
    struct told *told = user;

    assert_int_equal(told->status, 0);
    told->status = head->status;
    if (told->cancel_on_answer) {
        told->call = NULL;
        amy__call_cancel(call);
    }
}

static void
on_data(struct amy__call *call, struct amy__span data, void *user)
{
    struct told *told = user;

    told->bytes += data.n;
    for (size_t i = 0; i < data.n && data.n > 10; i++) {
        told->bad_bytes = told->bad_bytes || data.p[i] != 'a';
    }
    if (told->pause_on_data) {
        amy__call_pause(call);
    }
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
    assert_non_null(reason);
    told->fails++;
    told->failure = failure;
    told->call = NULL;
}

static const struct amy__call_handler handler = {
    .on_answer = on_answer,
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

/* A client of the rig's server, or of a socket that the test plays itself. */
struct caller {
    struct rig rig;
    struct amy__client *client;
    int dir_fd;
};

static void
set_up(struct caller *caller)
{
    struct amy__client_options opts = {.unix_name = "s"};
    char dir[128];

    rig_start(&caller->rig, NULL);
    (void)snprintf(dir, sizeof(dir), "%s", caller->rig.unix_path);
    *strrchr(dir, '/') = '\0';
    caller->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
    opts.base = caller->rig.base;
    opts.borrow_dir_fd = caller->dir_fd;
    assert_int_equal(amy__client_create(&opts, &caller->client, NULL), 0);
}

static void
tear_down(struct caller *caller)
{
    amy__client_free(caller->client);
    rig_stop(&caller->rig);
    (void)close(caller->dir_fd);
}

static struct amy__request_head
request(enum amy__method method, const char *path)
{
    struct amy__request_head head = {.method = method};

    head.method_text =
        method == AMY__METHOD_POST ? AMY_SPAN("POST") : AMY_SPAN("GET");
    head.target = amy__span_of(path);
    head.path = head.target;
    head.authority = AMY_SPAN("x");
    head.host = AMY_SPAN("x");
    head.version_major = 1;
    head.version_minor = 1;
    return head;
}

static void
start(struct caller *caller, struct told *told, const char *path,
      const struct amy__body *body, uint32_t timeout_ms)
{
    struct amy__request_head head =
        request(body == NULL ? AMY__METHOD_GET : AMY__METHOD_POST, path);

    assert_int_equal(amy__call_start(caller->client, &head, body, timeout_ms,
                                     &handler, told, &told->call, NULL),
                     0);
    assert_int_equal(told->ends + told->fails, 0);
}

static void
test_bodies_of_all_sizes_come_whole(void **state)
{
    static const char *const paths[] = {
        "/",         "/big/0",        "/big/1",          "/big/65536",
        "/file/1",   "/stream/65536", "/stream/5242880", "/chunks/0",
        "/chunks/1", "/chunks/65536", "/chunks/5242880", "/file/5242880",
    };
    struct caller caller;

    (void)state;
    set_up(&caller);
    for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
        struct told told = {0};
        const char *number = strrchr(paths[i], '/') + 1;

        start(&caller, &told, paths[i], NULL, 0);
        RIG_UNTIL(&caller.rig, told.ends + told.fails > 0);
        assert_int_equal(told.ends, 1);
        assert_int_equal(told.status, 200);
        assert_int_equal(told.bytes,
                         *number == '\0' ? 6 : strtoull(number, NULL, 10));
        assert_false(told.bad_bytes);
    }
    tear_down(&caller);
}

static void
test_requests_share_one_kept_connection(void **state)
{
    struct caller caller;
    struct amy__server_figures figures;

    (void)state;
    set_up(&caller);
    for (int i = 0; i < 20; i++) {
        struct told told = {0};

        start(&caller, &told, "/", NULL, 0);
        RIG_UNTIL(&caller.rig, told.ends == 1);
    }
    amy__server_figures(caller.rig.server, &figures);
    assert_int_equal(figures.accepted, 1);
    assert_int_equal(figures.requests, 20);
    tear_down(&caller);
}

static void
upload(struct caller *caller, size_t n, bool in_file)
{
    struct told told = {0};
    struct amy__body body = {.n = n, .fd = -1};
    char *bytes = calloc(1, n + 1);

    memset(bytes, 'a', n);
    if (in_file) {
        body.fd = memfd_create("body", MFD_CLOEXEC);
        assert_int_equal(write(body.fd, bytes, n), (ssize_t)n);
    } else {
        body.p = bytes;
    }
    start(caller, &told, "/upload", &body, 0);
    RIG_UNTIL(&caller->rig, told.ends + told.fails > 0);
    assert_int_equal(told.ends, 1);
    assert_int_equal(told.status, 200);
    assert_int_equal(caller->rig.last_body, n);
    assert_true(caller->rig.last_body_in_file == (n > 65536));
    if (in_file) {
        (void)close(body.fd);
    }
    free(bytes);
}

static void
test_uploads_of_all_sizes_arrive_whole(void **state)
{
    struct caller caller;

    (void)state;
    set_up(&caller);
    upload(&caller, 0, false);
    upload(&caller, 1, false);
    upload(&caller, 65536, false);
    upload(&caller, 65536, true);
    upload(&caller, 5U << 20, false);
    upload(&caller, 5U << 20, true);
    tear_down(&caller);
}

/* ---- a server that the test plays itself ---- */

struct played {
    struct caller caller;
    int listener;
    int fd; /* the connection that was accepted last */
};

static void
play(struct played *played)
{
    struct amy__client_options opts = {.unix_name = "t"};

    set_up(&played->caller);
    amy__client_free(played->caller.client);
    opts.base = played->caller.rig.base;
    opts.borrow_dir_fd = played->caller.dir_fd;
    assert_int_equal(amy__client_create(&opts, &played->caller.client, NULL),
                     0);
    played->listener =
        amy__unix_replace_at(played->caller.dir_fd, "t", 0600, 8, NULL);
    assert_true(played->listener >= 0);
    played->fd = -1;
}

static void
hang_up(struct played *played)
{
    if (played->fd >= 0) {
        (void)close(played->fd);
    }
    played->fd = -1;
}

static void
stop_playing(struct played *played)
{
    hang_up(played);
    (void)close(played->listener);
    (void)unlinkat(played->caller.dir_fd, "t", 0);
    tear_down(&played->caller);
}

/* Take the request of the call just started, on a new connection or not. */
static size_t
hear(struct played *played, bool on_new)
{
    static char buf[65536];
    ssize_t n = -1;

    if (on_new) {
        RIG_UNTIL(&played->caller.rig,
                  (played->fd = accept(played->listener, NULL, NULL)) >= 0);
    }
    RIG_UNTIL(&played->caller.rig,
              (n = recv(played->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0);
    return (size_t)n;
}

static void
say(struct played *played, const char *text)
{
    size_t n = strlen(text);

    assert_int_equal(send(played->fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

static void
expect_failure(struct played *played, struct told *told,
               enum amy__call_failure failure)
{
    RIG_UNTIL(&played->caller.rig, told->ends + told->fails > 0);
    assert_int_equal(told->fails, 1);
    assert_int_equal(told->failure, failure);
}

static void
test_nobody_there_is_a_connect_failure(void **state)
{
    struct played played;
    struct told told = {0};

    (void)state;
    play(&played);
    (void)close(played.listener);
    played.listener = -1;
    start(&played.caller, &told, "/", NULL, 0);
    expect_failure(&played, &told, AMY__CALL_CONNECT);
    assert_int_equal(unlinkat(played.caller.dir_fd, "t", 0), 0);
    told = (struct told){0};
    start(&played.caller, &told, "/", NULL, 0);
    expect_failure(&played, &told, AMY__CALL_CONNECT);
    stop_playing(&played);
}

static void
test_full_backlog_is_busy(void **state)
{
    struct played played;
    struct told told[4] = {{0}};

    (void)state;
    play(&played);
    assert_int_equal(listen(played.listener, 0), 0);
    for (int i = 0; i < 4; i++) {
        start(&played.caller, &told[i], "/", NULL, 0);
    }
    expect_failure(&played, &told[3], AMY__CALL_BUSY);
    for (int i = 0; i < 3; i++) {
        if (told[i].call != NULL) {
            amy__call_cancel(told[i].call);
        }
    }
    stop_playing(&played);
}

static void
test_silence_times_out(void **state)
{
    struct played played;
    struct told told = {0};

    (void)state;
    play(&played);
    start(&played.caller, &told, "/", NULL, 50);
    (void)hear(&played, true);
    expect_failure(&played, &told, AMY__CALL_TIMEOUT);
    stop_playing(&played);
}

static void
answer_with(const char *answer, enum amy__call_failure failure)
{
    struct played played;
    struct told told = {0};

    play(&played);
    start(&played.caller, &told, "/", NULL, 0);
    (void)hear(&played, true);
    say(&played, answer);
    hang_up(&played);
    expect_failure(&played, &told, failure);
    stop_playing(&played);
}

static void
test_broken_answers_fail_by_their_kind(void **state)
{
    (void)state;
    answer_with("", AMY__CALL_CLOSED);
    answer_with("HTTP/1.1 200 OK\r\nContent-", AMY__CALL_CLOSED);
    answer_with("SSH-2.0-OpenSSH\r\n", AMY__CALL_BAD);
    answer_with("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc",
                AMY__CALL_CUT);
    answer_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
                "3\r\nabc\r\n",
                AMY__CALL_CUT);
    answer_with("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
                AMY__CALL_CUT);
}

static void
test_answer_until_close_ends_there(void **state)
{
    struct played played;
    struct told told = {0};

    (void)state;
    play(&played);
    start(&played.caller, &told, "/", NULL, 0);
    (void)hear(&played, true);
    say(&played, "HTTP/1.1 100 Continue\r\n\r\n"
                 "HTTP/1.1 200 OK\r\n\r\nabc");
    hang_up(&played);
    RIG_UNTIL(&played.caller.rig, told.ends == 1);
    assert_int_equal(told.status, 200);
    assert_int_equal(told.bytes, 3);
    stop_playing(&played);
}

static void
get_once(struct played *played)
{
    struct told told = {0};

    start(&played->caller, &told, "/", NULL, 0);
    (void)hear(played, played->fd < 0);
    say(played, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    RIG_UNTIL(&played->caller.rig, told.ends == 1);
}

static void
test_kept_connection_that_died_is_replaced(void **state)
{
    struct played played;
    struct told told = {0};
    int old = -1;

    (void)state;
    play(&played);
    get_once(&played);
    start(&played.caller, &told, "/", NULL, 0);
    (void)hear(&played, false);
    old = played.fd;
    (void)close(old); /* without a byte: it may be repeated */
    (void)hear(&played, true);
    say(&played, "HTTP/1.1 204 No Content\r\n\r\n");
    RIG_UNTIL(&played.caller.rig, told.ends == 1);
    assert_int_equal(told.status, 204);
    stop_playing(&played);
}

static void
test_post_that_was_sent_is_not_repeated(void **state)
{
    struct played played;
    struct told told = {0};
    struct amy__body body = {.p = "abc", .n = 3, .fd = -1};

    (void)state;
    play(&played);
    get_once(&played);
    start(&played.caller, &told, "/", &body, 0);
    (void)hear(&played, false);
    hang_up(&played);
    expect_failure(&played, &told, AMY__CALL_CLOSED);
    stop_playing(&played);
}

static void
test_bytes_beyond_the_answer_end_the_connection(void **state)
{
    struct played played;
    struct told told = {0};
    char byte = 0;

    (void)state;
    play(&played);
    start(&played.caller, &told, "/", NULL, 0);
    (void)hear(&played, true);
    say(&played, "HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\naHTTP/1.1 200");
    RIG_UNTIL(&played.caller.rig, told.ends == 1);
    assert_int_equal(told.bytes, 1);
    assert_int_equal(recv(played.fd, &byte, 1, MSG_DONTWAIT), 0);
    stop_playing(&played);
}

static void
test_early_answer_is_taken_while_the_body_is_sent(void **state)
{
    struct played played;
    struct told told = {0};
    struct amy__body body = {.n = 8U << 20, .fd = -1};
    char *bytes = calloc(1, 8U << 20);

    (void)state;
    body.p = bytes;
    play(&played);
    start(&played.caller, &told, "/", &body, 0);
    (void)hear(&played, true);
    say(&played, "HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n");
    RIG_UNTIL(&played.caller.rig, told.ends == 1);
    assert_int_equal(told.status, 413);
    stop_playing(&played);
    free(bytes);
}

static void
test_cancel_closes_and_says_nothing(void **state)
{
    struct played played;
    struct told told = {.cancel_on_answer = true};

    (void)state;
    play(&played);
    start(&played.caller, &told, "/", NULL, 0);
    (void)hear(&played, true);
    say(&played, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    RIG_UNTIL(&played.caller.rig, told.status == 200);
    rig_turn(&played.caller.rig);
    assert_int_equal(told.ends + told.fails, 0);
    assert_int_equal(told.bytes, 0);
    hang_up(&played);
    told = (struct told){0};
    start(&played.caller, &told, "/", NULL, 0);
    amy__call_cancel(told.call);
    rig_turn(&played.caller.rig);
    assert_int_equal(told.ends + told.fails, 0);
    stop_playing(&played);
}

static void
test_detached_call_ends_unseen(void **state)
{
    struct played played;
    struct told told = {0};

    (void)state;
    play(&played);
    start(&played.caller, &told, "/", NULL, 40);
    (void)hear(&played, true);
    amy__call_detach(told.call);
    say(&played, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    RIG_UNTIL(&played.caller.rig, told.ends == 1);
    assert_int_equal(told.status, 0);
    assert_int_equal(told.bytes, 0);
    stop_playing(&played);
}

static void
test_call_that_is_hung_up_ends_with_the_next_bytes(void **state)
{
    struct played played;
    struct told told = {0};
    char byte = 0;

    (void)state;
    play(&played);
    start(&played.caller, &told, "/", NULL, 40);
    (void)hear(&played, true);
    say(&played, "HTTP/1.1 200 OK\r\n\r\na");
    RIG_UNTIL(&played.caller.rig, told.bytes == 1);
    amy__call_hang_up(told.call);
    assert_int_equal(recv(played.fd, &byte, 1, 0), 0);
    assert_int_equal(told.fails, 0);
    say(&played, "b");
    RIG_UNTIL(&played.caller.rig, told.fails == 1);
    assert_int_equal(told.bytes, 1);
    stop_playing(&played);
}

static void
test_paused_call_reads_no_further(void **state)
{
    struct caller caller;
    struct told told = {.pause_on_data = true};
    uint64_t seen = 0;

    (void)state;
    set_up(&caller);
    start(&caller, &told, "/stream/5242880", NULL, 0);
    RIG_UNTIL(&caller.rig, told.bytes > 0);
    seen = told.bytes;
    for (int i = 0; i < 5; i++) {
        rig_turn(&caller.rig);
    }
    assert_int_equal(told.bytes, seen);
    told.pause_on_data = false;
    amy__call_resume(told.call);
    RIG_UNTIL(&caller.rig, told.ends == 1);
    assert_int_equal(told.bytes, 5242880);
    tear_down(&caller);
}

static void
test_free_lets_calls_end(void **state)
{
    struct played played;
    struct told told = {0};

    (void)state;
    play(&played);
    start(&played.caller, &told, "/", NULL, 0);
    (void)hear(&played, true);
    amy__client_free(played.caller.client);
    played.caller.client = NULL;
    say(&played, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc");
    RIG_UNTIL(&played.caller.rig, told.ends == 1);
    stop_playing(&played);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_of_all_sizes_come_whole),
        cmocka_unit_test(test_requests_share_one_kept_connection),
        cmocka_unit_test(test_uploads_of_all_sizes_arrive_whole),
        cmocka_unit_test(test_nobody_there_is_a_connect_failure),
        cmocka_unit_test(test_full_backlog_is_busy),
        cmocka_unit_test(test_silence_times_out),
        cmocka_unit_test(test_broken_answers_fail_by_their_kind),
        cmocka_unit_test(test_answer_until_close_ends_there),
        cmocka_unit_test(test_kept_connection_that_died_is_replaced),
        cmocka_unit_test(test_post_that_was_sent_is_not_repeated),
        cmocka_unit_test(test_bytes_beyond_the_answer_end_the_connection),
        cmocka_unit_test(test_early_answer_is_taken_while_the_body_is_sent),
        cmocka_unit_test(test_cancel_closes_and_says_nothing),
        cmocka_unit_test(test_detached_call_ends_unseen),
        cmocka_unit_test(test_call_that_is_hung_up_ends_with_the_next_bytes),
        cmocka_unit_test(test_paused_call_reads_no_further),
        cmocka_unit_test(test_free_lets_calls_end),
    };

    return cmocka_run_group_tests_name("serve/client", tests, NULL, NULL);
}

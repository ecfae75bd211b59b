#include "amy_test.h"

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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies_of_all_sizes_come_whole),
        cmocka_unit_test(test_requests_share_one_kept_connection),
        cmocka_unit_test(test_uploads_of_all_sizes_arrive_whole),
    };

    return cmocka_run_group_tests_name("serve/client", tests, NULL, NULL);
}

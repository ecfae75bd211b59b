/* The public client, against servers good and bad. */
/* Not for what daemons answer: tests/system. */
#include "amy_test.h"

#include <amy/control.h>

#include "control/control.h"
#include "fail_alloc.h"

#include <event2/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 20

struct place {
    char path[64];
    struct event_base *base;
    struct event *guard;
    struct amy__control *control;
    struct event *bad; /* a listener that answers rubbish */
    int bad_fd;
    const char *rubbish; /* NULL: says nothing at all */
    int accepted[4];
    size_t accepted_count;
    struct amy_control_request *request;
    bool free_inside;
    int calls;
    int code;
    unsigned status;
    char body[256];
    char reason[256];
};

static void
on_guard(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    (void)user;
    fail_msg("no end of the request");
}

static void
echo(struct amy__control_call *call, void *user)
{
    struct amy__json *json = amy__json_object();

    (void)user;
    (void)amy__json_set(json, "said",
                        amy__json_text(amy__json_get_text(
                            amy__control_body(call), "say", "nothing")));
    amy__control_reply(call, 201, json);
}

/* More than anybody wants to know. */
static void
flood(struct amy__control_call *call, void *user)
{
    struct amy__json *list = amy__json_array();
    char *text = calloc(1, 2U * 1024 * 1024 + 1);

    (void)user;
    memset(text, 'x', 2U * 1024 * 1024);
    (void)amy__json_add(list, amy__json_text(text));
    (void)amy__json_add(list, amy__json_text(text));
    free(text);
    amy__control_reply(call, 200, list);
}

static void
on_bad(evutil_socket_t fd, short what, void *user)
{
    struct place *place = user;
    int peer = accept4(fd, NULL, NULL, SOCK_CLOEXEC);

    (void)what;
    assert_true(peer >= 0 && place->accepted_count < 4);
    if (place->rubbish != NULL) {
        (void)send(peer, place->rubbish, strlen(place->rubbish), MSG_NOSIGNAL);
        (void)shutdown(peer, SHUT_WR);
    }
    place->accepted[place->accepted_count++] = peer;
}

static int
listen_badly(const struct place *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/bad.sock",
                   place->path);
    return bind(fd, (struct sockaddr *)&address, sizeof(address)) |
                   listen(fd, 5)
               ? -1
               : fd;
}

static int
set_up(void **state)
{
    static struct place place;
    struct amy__control_options opts = {.name = "good"};
    struct timeval patience = {PATIENCE_S, 0};

    place = (struct place){.path = "/tmp/amy-test-XXXXXX"};
    if (mkdtemp(place.path) == NULL) {
        return -1;
    }
    place.base = event_base_new();
    place.guard = event_new(place.base, -1, 0, on_guard, NULL);
    (void)event_add(place.guard, &patience);
    opts.base = place.base;
    opts.run_path = place.path;
    place.bad_fd = listen_badly(&place);
    place.bad = event_new(place.base, place.bad_fd, EV_READ | EV_PERSIST,
                          on_bad, &place);
    (void)event_add(place.bad, NULL);
    *state = &place;
    if (amy__control_create(&opts, &place.control, NULL) != 0) {
        return -1;
    }
    return amy__control_add(place.control, "POST", "/v1/echo", echo, NULL,
                            NULL) |
           amy__control_add(place.control, "GET", "/v1/flood", flood, NULL,
                            NULL);
}

static int
tear_down(void **state)
{
    struct place *place = *state;
    char path[128] = "";

    amy_control_free(place->request);
    amy__control_free(place->control);
    event_free(place->bad);
    event_free(place->guard);
    event_base_free(place->base);
    close(place->bad_fd);
    for (size_t i = 0; i < place->accepted_count; i++) {
        close(place->accepted[i]);
    }
    (void)snprintf(path, sizeof(path), "%s/good.sock", place->path);
    (void)unlink(path);
    (void)snprintf(path, sizeof(path), "%s/bad.sock", place->path);
    (void)unlink(path);
    return rmdir(place->path);
}

static void
on_done(struct amy_control_request *request,
        const struct amy_control_answer *answer, void *user)
{
    struct place *place = user;

    place->calls++;
    place->code = answer->code;
    place->status = answer->status;
    assert_int_equal(answer->body_bytes, strlen(answer->body));
    (void)snprintf(place->body, sizeof(place->body), "%.200s", answer->body);
    (void)snprintf(place->reason, sizeof(place->reason), "%s", answer->reason);
    if (place->free_inside) {
        amy_control_free(request);
        place->request = NULL;
    }
    (void)event_base_loopbreak(place->base);
}

static struct amy_control_options
options(struct place *place, const char *daemon, const char *path)
{
    struct amy_control_options opts = AMY_CONTROL_OPTIONS_INIT;

    opts.base = place->base;
    opts.run_directory = place->path;
    opts.daemon = daemon;
    opts.path = path;
    opts.on_done = on_done;
    opts.user = place;
    return opts;
}

static void
run(struct place *place, const struct amy_control_options *opts)
{
    struct amy_error err = AMY_ERROR_INIT;

    place->calls = 0;
    if (amy_control_start(opts, &place->request, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(place->calls, 0); /* never from inside start */
    (void)event_base_dispatch(place->base);
    assert_int_equal(place->calls, 1);
    if (!place->free_inside) {
        amy_control_free(place->request);
        place->request = NULL;
    }
}

static void
test_request_brings_status_and_body(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place, "good", "/v1/echo");

    opts.method = "POST";
    opts.body = "{\"say\":\"hello\"}";
    run(place, &opts);
    assert_int_equal(place->code, 0);
    assert_int_equal(place->status, 201);
    assert_string_equal(place->body, "{\"said\":\"hello\"}\n");
    assert_string_equal(place->reason, "");
    opts.body = NULL;
    place->free_inside = true;
    run(place, &opts);
    assert_string_equal(place->body, "{\"said\":\"nothing\"}\n");
    opts = options(place, "good", "/v1/none");
    run(place, &opts);
    assert_int_equal(place->code, 0);
    assert_int_equal(place->status, 404);
}

static void
test_request_to_nobody_is_econn(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place, "none", "/");

    run(place, &opts);
    assert_int_equal(place->code, AMY_ECONN);
    assert_int_equal(place->status, 0);
    assert_string_not_equal(place->reason, "");
    assert_string_equal(place->body, "");
}

static void
test_request_to_one_that_ends_is_eio(void **state)
{
    static const char *const starts[] = {
        "", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{"};
    struct place *place = *state;
    struct amy_control_options opts = options(place, "bad", "/");

    for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
        place->rubbish = starts[i];
        run(place, &opts);
        assert_int_equal(place->code, AMY_EIO);
    }
}

static void
test_request_answered_with_rubbish_is_eproto(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place, "bad", "/");

    place->rubbish = "220 smtp.example.org ready\r\n\r\n";
    run(place, &opts);
    assert_int_equal(place->code, AMY_EPROTO);
}

static void
test_request_without_answer_is_etimeout(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place, "bad", "/");

    opts.timeout_ms = 20;
    run(place, &opts);
    assert_int_equal(place->code, AMY_ETIMEOUT);
    assert_int_equal(place->status, 0);
}

/* Connect to the bad server, which does not accept now, until no more fit. */
static size_t
fill_backlog(const struct place *place, int *fds, size_t max)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t n = 0;

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/bad.sock",
                   place->path);
    for (; n < max; n++) {
        fds[n] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (connect(fds[n], (struct sockaddr *)&address, sizeof(address)) !=
            0) {
            close(fds[n]);
            break;
        }
    }
    return n;
}

static void
test_request_waits_for_a_place_in_a_full_backlog(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place, "bad", "/");
    int fds[64];
    size_t n = 0;

    (void)event_del(place->bad);
    n = fill_backlog(place, fds, 64);
    assert_in_range(n, 1, 63);
    opts.timeout_ms = 20;
    run(place, &opts); /* it stays full */
    assert_int_equal(place->code, AMY_ETIMEOUT);
    opts.timeout_ms = 0;
    place->calls = 0;
    assert_int_equal(amy_control_start(&opts, &place->request, NULL), 0);
    for (int turn = 0; turn < 3; turn++) {
        assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    }
    assert_int_equal(place->calls, 0);
    for (size_t i = 0; i < n; i++) {
        close(accept4(place->bad_fd, NULL, NULL, SOCK_CLOEXEC));
        close(fds[i]);
    }
    place->rubbish = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";
    (void)event_add(place->bad, NULL);
    (void)event_base_dispatch(place->base);
    assert_int_equal(place->calls, 1);
    assert_int_equal(place->code, 0);
    assert_int_equal(place->status, 200);
}

/* A server that sends on and on, as fast as the socket takes it. */
static void
on_pour(evutil_socket_t fd, short what, void *user)
{
    static const char drops[8192];

    (void)what;
    (void)user;
    (void)send(fd, drops, sizeof(drops), MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void
test_request_with_endless_answer_is_elimit(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place, "good", "/v1/flood");
    struct event *pour = NULL;

    /* A server of ours has the bound itself, and says 500. */
    run(place, &opts);
    assert_int_equal(place->code, 0);
    assert_int_equal(place->status, 500);
    opts = options(place, "bad", "/");
    assert_int_equal(amy_control_start(&opts, &place->request, NULL), 0);
    while (place->accepted_count == 0) {
        assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    }
    {
        const char *head = "HTTP/1.1 200 OK\r\nContent-Length: 5000000\r\n\r\n";

        assert_int_equal(
            send(place->accepted[0], head, strlen(head), MSG_NOSIGNAL),
            strlen(head));
    }
    place->calls = 0;
    pour = event_new(place->base, place->accepted[0], EV_WRITE | EV_PERSIST,
                     on_pour, NULL);
    (void)event_add(pour, NULL);
    (void)event_base_dispatch(place->base);
    event_free(pour);
    assert_int_equal(place->calls, 1);
    assert_int_equal(place->code, AMY_ELIMIT);
    assert_string_equal(place->reason, "the answer is too long");
}

static void
test_start_refuses_what_is_missing(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place, "good", "/v1/echo");
    struct amy_error err = AMY_ERROR_INIT;
    char *body = calloc(1, 65538);

    opts.base = NULL;
    assert_int_equal(amy_control_start(&opts, &place->request, &err),
                     AMY_EINVAL);
    opts = options(place, NULL, "/");
    assert_int_equal(amy_control_start(&opts, &place->request, &err),
                     AMY_EINVAL);
    opts = options(place, "good", NULL);
    assert_int_equal(amy_control_start(&opts, &place->request, &err),
                     AMY_EINVAL);
    opts = options(place, "good", "/");
    opts.on_done = NULL;
    assert_int_equal(amy_control_start(&opts, &place->request, &err),
                     AMY_EINVAL);
    opts = options(place, "good", "/");
    memset(body, 'x', 65537);
    opts.body = body;
    assert_int_equal(amy_control_start(&opts, &place->request, &err),
                     AMY_EINVAL);
    free(body);
    opts = options(place, "good", "/");
    opts.run_directory = "/nonexistent";
    assert_int_equal(amy_control_start(&opts, &place->request, &err),
                     AMY_ENOTFOUND);
    assert_null(place->request);
    assert_int_equal(amy_control_start(NULL, &place->request, &err),
                     AMY_EINVAL);
}

static void
test_free_gives_a_request_up(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place, "bad", "/");

    assert_int_equal(amy_control_start(&opts, &place->request, NULL), 0);
    while (place->accepted_count == 0) {
        assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    }
    amy_control_free(place->request);
    place->request = NULL;
    assert_int_equal(event_base_loop(place->base, EVLOOP_NONBLOCK), 0);
    assert_int_equal(place->calls, 0);
    amy_control_free(NULL);
}

static void
test_start_without_memory_leaves_nothing(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place, "good", "/v1/echo");
    int before = fail_alloc_live();

    opts.body = "{}";
    for (int n = 1;; n++) {
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy_control_start(&opts, &place->request, NULL);
        if (rc == 0) {
            break;
        }
        assert_int_equal(rc, AMY_ENOMEM);
        assert_null(place->request);
        assert_int_equal(fail_alloc_live(), before);
    }
    fail_alloc_nth(0);
    amy_control_free(place->request);
    place->request = NULL;
    assert_int_equal(fail_alloc_live(), before);
}

#define IN_PLACE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        IN_PLACE(test_request_brings_status_and_body),
        IN_PLACE(test_request_to_nobody_is_econn),
        IN_PLACE(test_request_to_one_that_ends_is_eio),
        IN_PLACE(test_request_answered_with_rubbish_is_eproto),
        IN_PLACE(test_request_without_answer_is_etimeout),
        IN_PLACE(test_request_waits_for_a_place_in_a_full_backlog),
        IN_PLACE(test_request_with_endless_answer_is_elimit),
        IN_PLACE(test_start_refuses_what_is_missing),
        IN_PLACE(test_free_gives_a_request_up),
        IN_PLACE(test_start_without_memory_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

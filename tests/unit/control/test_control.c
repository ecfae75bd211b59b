/* The control server over a real socket and loop. */
/* Not for the parser, which is the front's as well: tests/unit/http. */
#include "amy_test.h"

#include "control/control.h"
#include "fail_alloc.h"

#include <event2/event.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 20

struct place {
    char path[64];
    struct event_base *base;
    struct event *guard;
    struct amy__control *control;
    struct amy__control_call *kept;
    uid_t site_uid;
    char answer[8192];
};

static void
on_guard(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    (void)user;
    fail_msg("the server did not answer");
}

static void
say_hello(struct amy__control_call *call, void *user)
{
    struct amy__json *json = amy__json_object();
    char query[32] = "";

    (void)user;
    (void)amy__span_copy(amy__control_query(call), query, sizeof(query));
    (void)amy__json_set(json, "site",
                        amy__json_text(amy__control_param(call, "site")));
    (void)amy__json_set(json, "none",
                        amy__json_text(amy__control_param(call, "none")));
    (void)amy__json_set(json, "query", amy__json_text(query));
    (void)amy__json_set(json, "uid", amy__json_int(amy__control_uid(call)));
    (void)amy__json_set(json, "who", amy__json_text(amy__control_who(call)));
    (void)amy__json_set(json, "admin",
                        amy__json_bool(amy__control_is_admin(call)));
    (void)amy__json_set(json, "state",
                        amy__json_text(amy__json_get_text(
                            amy__control_body(call), "state", "no body")));
    amy__control_reply(call, 200, json);
}

static void
change(struct amy__control_call *call, void *user)
{
    const struct place *place = user;

    if (amy__control_require(call, place->site_uid)) {
        amy__control_refuse(call, 409, "site '%s' is \"busy\"",
                            amy__control_param(call, "site"));
    }
}

static void
keep(struct amy__control_call *call, void *user)
{
    struct place *place = user;

    place->kept = call;
}

static int
set_up(void **state)
{
    static struct place place;
    struct amy__control_options opts = {0};
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
    opts.name = "test";
    *state = &place;
    if (amy__control_create(&opts, &place.control, NULL) != 0) {
        return -1;
    }
    return amy__control_add(place.control, "GET", "/v1/sites/{site}", say_hello,
                            &place, NULL) |
           amy__control_add(place.control, "PUT", "/v1/sites/{site}", say_hello,
                            &place, NULL) |
           amy__control_add(place.control, "POST", "/v1/sites/{site}/change",
                            change, &place, NULL) |
           amy__control_add(place.control, "GET", "/v1/later", keep, &place,
                            NULL);
}

static int
tear_down(void **state)
{
    struct place *place = *state;
    char path[128] = "";

    amy__control_free(place->control);
    event_free(place->guard);
    event_base_free(place->base);
    (void)snprintf(path, sizeof(path), "%s/test.sock", place->path);
    (void)unlink(path);
    return rmdir(place->path);
}

static int
connect_to(const struct place *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path), "%s/test.sock",
                   place->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)),
                     0);
    return fd;
}

/* As that user; for root only. Everybody may come in. */
static int
connect_as(const struct place *place, uid_t uid)
{
    int fd = -1;

    assert_int_equal(chmod(place->path, 0755), 0);
    assert_int_equal(seteuid(uid), 0);
    fd = connect_to(place);
    assert_int_equal(seteuid(0), 0);
    return fd;
}

/* Head and as many bytes as Content-Length says. */
static bool
is_whole(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    const char *length = strcasestr(answer, "content-length:");

    return end != NULL && length != NULL &&
           strlen(end + 4) >= strtoul(length + 15, NULL, 10);
}

static void
await_answer(struct place *place, int fd)
{
    size_t used = 0;

    memset(place->answer, 0, sizeof(place->answer));
    while (!is_whole(place->answer)) {
        ssize_t n = 0;

        assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
        n = recv(fd, place->answer + used, sizeof(place->answer) - 1 - used,
                 MSG_DONTWAIT);
        if (n > 0) {
            used += (size_t)n;
        }
    }
}

static const char *
ask(struct place *place, const char *request)
{
    int fd = connect_to(place);

    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL),
                     strlen(request));
    await_answer(place, fd);
    close(fd);
    return place->answer;
}

static void
has(const char *answer, const char *words)
{
    if (strstr(answer, words) == NULL) {
        fail_msg("no '%s' in:\n%s", words, answer);
    }
}

static void
test_method_gets_what_was_asked(void **state)
{
    struct place *place = *state;
    const char *answer = NULL;
    char own[32] = "";

    answer = ask(place, "GET /v1/sites/example.org?a=b HTTP/1.1\r\n"
                        "Host: l\r\n\r\n");
    has(answer, "HTTP/1.1 200 ");
    has(answer, "Content-Type: application/json\r\n");
    has(answer, "Cache-Control: no-store\r\n");
    has(answer, "\"site\":\"example.org\",\"none\":\"\",\"query\":\"a=b\"");
    has(answer, "\"admin\":true,\"state\":\"no body\"}\n");
    (void)snprintf(own, sizeof(own), "\"uid\":%u,", (unsigned)geteuid());
    has(answer, own);
    answer = ask(place, "PUT /v1/sites/x HTTP/1.1\r\nHost: l\r\n"
                        "Content-Length: 18\r\n\r\n{\"state\":\"closed\"}");
    has(answer, "\"state\":\"closed\"");
}

static void
test_refusals_are_problem_json(void **state)
{
    struct place *place = *state;
    const char *answer = NULL;

    answer = ask(place, "GET /v2 HTTP/1.1\r\nHost: l\r\n\r\n");
    has(answer, "HTTP/1.1 404 ");
    has(answer, "Content-Type: application/problem+json\r\n");
    has(answer, "{\"type\":\"about:blank\",\"title\":\"Not Found\","
                "\"status\":404,\"detail\":\"there is no such path\"}\n");
    answer = ask(place, "DELETE /v1/sites/x HTTP/1.1\r\nHost: l\r\n\r\n");
    has(answer, "HTTP/1.1 405 ");
    has(answer, "Allow: PUT, GET\r\n");
    answer = ask(place, "PUT /v1/sites/x HTTP/1.1\r\nHost: l\r\n"
                        "Content-Length: 3\r\n\r\n{a}");
    has(answer, "HTTP/1.1 400 ");
    has(answer, "the body is no JSON: line 1");
    answer = ask(place, "POST /v1/sites/x/change HTTP/1.1\r\nHost: l\r\n"
                        "Content-Length: 0\r\n\r\n");
    has(answer, "HTTP/1.1 409 ");
    has(answer, "\"detail\":\"site 'x' is \\\"busy\\\"\"");
}

static void
test_body_past_its_limit_is_413(void **state)
{
    struct place *place = *state;

    has(ask(place, "PUT /v1/sites/x HTTP/1.1\r\nHost: l\r\n"
                   "Content-Length: 65537\r\n\r\n"),
        "HTTP/1.1 413 ");
}

static void
test_strangers_are_told_who_may(void **state)
{
    struct place *place = *state;
    const char *request = "POST /v1/sites/x/change HTTP/1.1\r\n"
                          "Host: l\r\nContent-Length: 0\r\n\r\n";
    int fd = -1;

    if (geteuid() != 0) {
        skip();
    }
    place->site_uid = 65533;
    fd = connect_as(place, 65534); /* anybody may ask */
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL),
                     strlen(request));
    await_answer(place, fd);
    close(fd);
    has(place->answer, "HTTP/1.1 403 ");
    has(place->answer, "may not do that: root, group amy-admin and the site's "
                       "user (uid 65533) may");
}

#define STRANGERS_SHARE 16

static void
test_strangers_take_no_more_than_their_share(void **state)
{
    struct place *place = *state;
    const char *request = "GET /v1/sites/x HTTP/1.1\r\nHost: l\r\n\r\n";
    int fds[STRANGERS_SHARE];
    int late = -1;

    if (geteuid() != 0) {
        skip();
    }
    for (size_t i = 0; i < STRANGERS_SHARE; i++) {
        fds[i] = connect_as(place, 65534);
    }
    late = connect_as(place, 65534);
    await_answer(place, late); /* without having asked */
    has(place->answer, "HTTP/1.1 503 ");
    has(place->answer, "Connection: close\r\n");
    has(place->answer, "\"detail\":\"too many connections of yours\"}\n");
    assert_int_equal(strlen(strstr(place->answer, "\r\n\r\n") + 4),
                     strtoul(strstr(place->answer, "Length: ") + 8, NULL, 10));
    assert_int_equal(recv(late, place->answer, 1, 0), 0);
    close(late);
    /* Others are served: another stranger, and root. */
    late = connect_as(place, 65533);
    assert_int_equal(send(late, request, strlen(request), MSG_NOSIGNAL),
                     strlen(request));
    await_answer(place, late);
    has(place->answer, "HTTP/1.1 200 ");
    close(late);
    has(ask(place, request), "HTTP/1.1 200 ");
    /* Who leaves makes room. */
    close(fds[0]);
    assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    fds[0] = connect_as(place, 65534);
    assert_int_equal(send(fds[0], request, strlen(request), MSG_NOSIGNAL),
                     strlen(request));
    await_answer(place, fds[0]);
    has(place->answer, "HTTP/1.1 200 ");
    for (size_t i = 0; i < STRANGERS_SHARE; i++) {
        close(fds[i]);
    }
}

static void
test_many_strangers_leave_room_for_root(void **state)
{
    struct place *place = *state;
    const char *request = "GET /v1/sites/x HTTP/1.1\r\nHost: l\r\n\r\n";
    int fds[256];
    size_t n = 0;
    int late = -1;

    if (geteuid() != 0) {
        skip();
    }
    for (uid_t uid = 60000; uid < 60012; uid++) {
        for (size_t i = 0; i < STRANGERS_SHARE; i++) {
            fds[n++] = connect_as(place, uid);
        }
    }
    late = connect_as(place, 60012);
    await_answer(place, late);
    has(place->answer, "HTTP/1.1 503 ");
    close(late);
    has(ask(place, request), "HTTP/1.1 200 ");
    while (n > 0) {
        close(fds[--n]);
    }
}

static void
test_require_without_a_site_names_root_and_admins(void **state)
{
    struct place *place = *state;
    const char *request = "POST /v1/sites/x/change HTTP/1.1\r\n"
                          "Host: l\r\nContent-Length: 0\r\n\r\n";
    int fd = -1;

    if (geteuid() != 0) {
        skip();
    }
    place->site_uid = AMY__CONTROL_ADMINS;
    fd = connect_as(place, 65534);
    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL),
                     strlen(request));
    await_answer(place, fd);
    close(fd);
    has(place->answer, "HTTP/1.1 403 ");
    has(place->answer, "may not do that: root and group amy-admin may\"");
}

static void
test_answer_may_come_later(void **state)
{
    struct place *place = *state;
    const char *request = "GET /v1/later HTTP/1.1\r\nHost: l\r\n\r\n";
    int fd = connect_to(place);

    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL),
                     strlen(request));
    while (place->kept == NULL) {
        assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    }
    amy__control_reply(place->kept, 202, amy__json_object());
    await_answer(place, fd);
    has(place->answer, "HTTP/1.1 202 ");
    has(place->answer, "\r\n\r\n{}\n");
    close(fd);
}

static void
test_caller_who_left_is_answered_into_the_void(void **state)
{
    struct place *place = *state;
    const char *request = "GET /v1/later HTTP/1.1\r\nHost: l\r\n\r\n";
    int fd = connect_to(place);

    assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL),
                     strlen(request));
    while (place->kept == NULL) {
        assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    }
    close(fd);
    assert_int_equal(event_base_loop(place->base, EVLOOP_ONCE), 0);
    amy__control_reply(place->kept, 200, amy__json_object());
    /* The server lives. */
    has(ask(place, "GET /v1/sites/x HTTP/1.1\r\nHost: l\r\n\r\n"), " 200 ");
}

static void
test_create_replaces_a_dead_socket_only(void **state)
{
    struct place *place = *state;
    struct amy__control *second = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__control_options opts = {
        .base = place->base, .run_path = place->path, .name = "test"};
    struct stat seen = {0};
    char path[128] = "";

    assert_int_equal(amy__control_create(&opts, &second, &err), AMY_EBUSY);
    assert_null(second);
    has(err.msg, "another amy-test runs here already");
    amy__control_free(place->control);
    place->control = NULL;
    (void)snprintf(path, sizeof(path), "%s/test.sock", place->path);
    assert_int_equal(lstat(path, &seen), 0); /* dead, and still there */
    assert_int_equal(amy__control_create(&opts, &place->control, &err), 0);
    assert_int_equal(lstat(path, &seen), 0);
    assert_int_equal(seen.st_mode & 07777, 0666);
    opts.run_path = "/nonexistent";
    assert_int_equal(amy__control_create(&opts, &second, &err), AMY_ENOTFOUND);
}

static int
create_and_add(struct place *place, struct amy__control **ret_control)
{
    struct amy__control_options opts = {
        .base = place->base, .run_path = place->path, .name = "other"};
    int rc = amy__control_create(&opts, ret_control, NULL);

    return rc < 0 ? rc
                  : amy__control_add(*ret_control, "GET", "/v1/x", keep, place,
                                     NULL);
}

static void
test_create_without_memory_leaves_nothing(void **state)
{
    struct place *place = *state;
    int before = fail_alloc_live();
    char path[128] = "";

    for (int n = 1;; n++) {
        struct amy__control *control = NULL;
        int rc = 0;

        fail_alloc_nth(n);
        rc = create_and_add(place, &control);
        amy__control_free(control);
        assert_int_equal(fail_alloc_live(), before);
        if (!fail_alloc_hit()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, AMY_ENOMEM);
    }
    fail_alloc_nth(0);
    (void)snprintf(path, sizeof(path), "%s/other.sock", place->path);
    assert_int_equal(unlink(path), 0);
}

static void
test_add_refuses_what_is_no_pattern(void **state)
{
    struct place *place = *state;

    assert_int_equal(
        amy__control_add(place->control, "GET", "v1", keep, place, NULL),
        AMY_EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_method_gets_what_was_asked, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_refusals_are_problem_json, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_body_past_its_limit_is_413, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_strangers_are_told_who_may, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_strangers_take_no_more_than_their_share, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_many_strangers_leave_room_for_root,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_require_without_a_site_names_root_and_admins, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_answer_may_come_later, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_caller_who_left_is_answered_into_the_void, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_create_replaces_a_dead_socket_only,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_create_without_memory_leaves_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_add_refuses_what_is_no_pattern,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

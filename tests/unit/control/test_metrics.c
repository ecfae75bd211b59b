/* The metrics server over real sockets and a real loop. */
#include "amy_test.h"

#include "control/metrics.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define PATIENCE_S 20

static const struct amy__metric things = {"amy_things", AMY__METRIC_GAUGE,
                                          "How many there are."};

struct place {
    char path[64];
    struct event_base *base;
    struct event *guard;
    struct amy__metrics *metrics;
    int64_t value;
    unsigned asked;
    bool at_once;
    int lines;
    char answer[65536];
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
on_ask(void *user)
{
    struct place *place = user;

    place->asked++;
    if (place->at_once) {
        amy__metrics_ready(place->metrics);
    }
}

static void
tell(struct amy__metrics_text *text, void *user)
{
    const struct place *place = user;

    for (int i = 0; i < place->lines; i++) {
        amy__metrics_value(text, &things, NULL, place->value);
    }
}

static void
open_server(struct place *place, const struct amy__address *addresses,
            size_t count)
{
    const struct amy__metrics_options opts = {.base = place->base,
                                              .run_path = place->path,
                                              .name = "test",
                                              .borrow_addresses = addresses,
                                              .address_count = count,
                                              .on_ask = on_ask,
                                              .user = place};

    assert_int_equal(amy__metrics_create(&opts, &place->metrics, NULL), 0);
    assert_int_equal(amy__metrics_add(place->metrics, tell, place, NULL), 0);
}

static int
set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct timeval patience = {PATIENCE_S, 0};

    (void)snprintf(place->path, sizeof(place->path), "/tmp/amy-test-XXXXXX");
    assert_non_null(mkdtemp(place->path));
    place->base = event_base_new();
    place->guard = event_new(place->base, -1, 0, on_guard, NULL);
    (void)event_add(place->guard, &patience);
    place->value = 42;
    place->lines = 1;
    place->at_once = true;
    *state = place;
    return 0;
}

static int
tear_down(void **state)
{
    struct place *place = *state;
    char path[128] = "";

    amy__metrics_free(place->metrics);
    event_free(place->guard);
    event_base_free(place->base);
    (void)snprintf(path, sizeof(path), "%s/test-metrics.sock", place->path);
    (void)unlink(path);
    (void)rmdir(place->path);
    free(place);
    return 0;
}

static int
connect_unix(const struct place *place)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)snprintf(address.sun_path, sizeof(address.sun_path),
                   "%s/test-metrics.sock", place->path);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)),
                     0);
    return fd;
}

static void
until_asked(struct place *place)
{
    while (place->asked == 0) {
        (void)event_base_loop(place->base, EVLOOP_ONCE);
    }
}

static void
send_text(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), (ssize_t)strlen(text));
}

/* Until the other end closes. */
static const char *
read_answer(struct place *place, int fd)
{
    size_t n = 0;
    ssize_t got = -1;

    assert_int_equal(fcntl(fd, F_SETFL, O_NONBLOCK), 0);
    for (int turns = 0; got != 0; turns++) {
        assert_true(turns < 10000000);
        (void)event_base_loop(place->base, EVLOOP_NONBLOCK);
        got = read(fd, place->answer + n, sizeof(place->answer) - 1 - n);
        n += got > 0 ? (size_t)got : 0;
    }
    place->answer[n] = '\0';
    (void)close(fd);
    return place->answer;
}

static const char *
ask(struct place *place, const char *request)
{
    int fd = connect_unix(place);

    send_text(fd, request);
    return read_answer(place, fd);
}

#define GET(path)                                                              \
    "GET " path " HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

static void
test_metrics_are_told(void **state)
{
    struct place *place = *state;
    const char *answer = NULL;

    open_server(place, NULL, 0);
    answer = ask(place, GET("/metrics"));
    assert_int_equal(strncmp(answer, "HTTP/1.1 200 ", 13), 0);
    assert_non_null(strstr(
        answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "\r\n\r\n# HELP amy_things How many there "
                                   "are.\n# TYPE amy_things gauge\n"
                                   "amy_things 42\n"));
    place->value = 43;
    assert_non_null(strstr(ask(place, GET("/metrics")), "amy_things 43\n"));
    assert_int_equal(place->asked, 2);
}

static void
test_nothing_else_is_there(void **state)
{
    struct place *place = *state;

    open_server(place, NULL, 0);
    assert_non_null(strstr(ask(place, GET("/v1/status")), "404 Not Found"));
    assert_non_null(
        strstr(ask(place, "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length:"
                          " 2\r\nConnection: close\r\n\r\nhi"),
               "Allow: GET, HEAD\r\n"));
    assert_int_equal(place->asked, 0);
}

static void
test_all_who_wait_are_answered_by_one_gathering(void **state)
{
    struct place *place = *state;
    int first = 0;
    int second = 0;
    int gone = 0;

    place->at_once = false;
    open_server(place, NULL, 0);
    first = connect_unix(place);
    second = connect_unix(place);
    gone = connect_unix(place);
    send_text(first, GET("/metrics"));
    send_text(gone, GET("/metrics"));
    until_asked(place);
    (void)close(gone);
    send_text(second, GET("/metrics"));
    for (int i = 0; i < 100; i++) {
        (void)event_base_loop(place->base, EVLOOP_NONBLOCK);
    }
    assert_int_equal(place->asked, 1);
    amy__metrics_ready(place->metrics);
    assert_non_null(strstr(read_answer(place, first), "amy_things 42\n"));
    assert_non_null(strstr(read_answer(place, second), "amy_things 42\n"));
    amy__metrics_ready(place->metrics); /* nobody waits */
}

static void
test_free_with_one_who_waits(void **state)
{
    struct place *place = *state;
    int fd = 0;

    place->at_once = false;
    open_server(place, NULL, 0);
    fd = connect_unix(place);
    send_text(fd, GET("/metrics"));
    until_asked(place);
    amy__metrics_free(place->metrics);
    place->metrics = NULL;
    (void)close(fd);
}

static void
test_more_than_can_be_told_is_503(void **state)
{
    struct place *place = *state;

    open_server(place, NULL, 0);
    place->lines = 1000000;
    assert_non_null(strstr(ask(place, GET("/metrics")), "HTTP/1.1 503 "));
}

static void
test_loopback_is_answered_too(void **state)
{
    struct place *place = *state;
    struct sockaddr_in probe = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof(probe);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct amy__address address;
    char text[32];

    assert_int_equal(bind(fd, (struct sockaddr *)&probe, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&probe, &n), 0);
    (void)close(fd);
    (void)snprintf(text, sizeof(text), "127.0.0.1:%u",
                   (unsigned)ntohs(probe.sin_port));
    assert_int_equal(amy__address_parse(amy__span_of(text), 0, &address, NULL),
                     0);
    open_server(place, &address, 1);
    fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&probe, n), 0);
    send_text(fd, GET("/metrics"));
    assert_non_null(strstr(read_answer(place, fd), "amy_things 42\n"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_metrics_are_told),
        TEST(test_nothing_else_is_there),
        TEST(test_all_who_wait_are_answered_by_one_gathering),
        TEST(test_free_with_one_who_waits),
        TEST(test_more_than_can_be_told_is_503),
        TEST(test_loopback_is_answered_too),
    };

    return cmocka_run_group_tests_name("control/metrics", tests, NULL, NULL);
}

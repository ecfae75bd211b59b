#include "amy_test.h"

#include "net/listen.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static struct amy__address
loopback(int fd)
{
    struct amy__address a = {.len = sizeof(a.sa)};

    if (fd < 0) {
        assert_int_equal(
            amy__address_parse(AMY_SPAN("127.0.0.1:0"), 0, &a, NULL), 0);
    } else {
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a.sa, &a.len), 0);
    }
    return a;
}

static void
test_listen_tcp_twice_needs_reuse_port(void **state)
{
    struct amy__address any = loopback(-1);
    struct amy__address taken;
    struct amy_error err = AMY_ERROR_INIT;
    int first = amy__listen_tcp(&any, true, 0, NULL);
    int second = -1;

    (void)state;
    assert_true(first >= 0);
    taken = loopback(first);
    second = amy__listen_tcp(&taken, true, 0, NULL);
    assert_true(second >= 0);
    assert_int_equal(amy__listen_tcp(&taken, false, 0, &err), AMY_EBUSY);
    assert_int_equal(err.code, AMY_EBUSY);
    assert_non_null(strstr(err.msg, "127.0.0.1"));
    (void)close(first);
    (void)close(second);
}

static void
test_listen_tcp_on_foreign_address_is_invalid(void **state)
{
    struct amy__address a;

    (void)state;
    assert_int_equal(amy__address_parse(AMY_SPAN("192.0.2.7:0"), 0, &a, NULL),
                     0);
    assert_int_equal(amy__listen_tcp(&a, false, 0, NULL), AMY_EINVAL);
}

/* How a program that takes over knows its sockets again. */
static void
test_listens_on_knows_its_own_address_alone(void **state)
{
    static const char *const hosts[] = {"127.0.0.1:0", "*:0", "[::1]:0",
                                        "0.0.0.0:0"};
    size_t count = sizeof(hosts) / sizeof(hosts[0]);

    (void)state;
    for (size_t i = 0; i < count; i++) {
        struct amy__address own;
        int fd = -1;

        assert_int_equal(
            amy__address_parse(amy__span_of(hosts[i]), 0, &own, NULL), 0);
        fd = amy__listen_tcp(&own, true, 0, NULL);
        assert_true(fd >= 0);
        own = loopback(fd);
        for (size_t k = 0; k < count; k++) {
            char text[64];
            struct amy__address other;

            (void)snprintf(text, sizeof(text), "%.*s:%u",
                           (int)(strlen(hosts[k]) - 2), hosts[k],
                           (unsigned)amy__address_port(&own));
            assert_int_equal(
                amy__address_parse(amy__span_of(text), 0, &other, NULL), 0);
            assert_int_equal(amy__listens_on(fd, &other), i == k);
            (void)snprintf(text, sizeof(text), "%.*s:%u",
                           (int)(strlen(hosts[k]) - 2), hosts[k],
                           (unsigned)amy__address_port(&own) ^ 1U);
            assert_int_equal(
                amy__address_parse(amy__span_of(text), 0, &other, NULL), 0);
            assert_false(amy__listens_on(fd, &other));
        }
        assert_false(amy__listens_on(fd, NULL));
        (void)close(fd);
    }
}

static void
test_listens_on_tells_unix_sockets(void **state)
{
    struct amy__address any = loopback(-1);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    (void)state;
    assert_true(fd >= 0);
    assert_true(amy__listens_on(fd, NULL));
    assert_false(amy__listens_on(fd, &any));
    (void)close(fd);
    assert_false(amy__listens_on(-1, NULL));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listens_on_knows_its_own_address_alone),
        cmocka_unit_test(test_listens_on_tells_unix_sockets),
        cmocka_unit_test(test_listen_tcp_twice_needs_reuse_port),
        cmocka_unit_test(test_listen_tcp_on_foreign_address_is_invalid),
    };

    return cmocka_run_group_tests_name("net/listen", tests, NULL, NULL);
}

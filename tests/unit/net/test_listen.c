#include "amy_test.h"

#include "net/listen.h"

#include <netinet/in.h>
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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listen_tcp_twice_needs_reuse_port),
        cmocka_unit_test(test_listen_tcp_on_foreign_address_is_invalid),
    };

    return cmocka_run_group_tests_name("net/listen", tests, NULL, NULL);
}

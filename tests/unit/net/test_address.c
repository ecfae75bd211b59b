#include "amy_test.h"

#include "net/address.h"

#include <string.h>
#include <sys/un.h>

static struct amy__address
address(const char *text)
{
    struct amy__address a;

    assert_int_equal(amy__address_parse(amy__span_of(text), 443, &a, NULL), 0);
    return a;
}

static void
assert_address(const char *text, const char *host, unsigned port)
{
    struct amy__address a = address(text);
    char buf[64];

    assert_int_equal(amy__address_host(&a, buf, sizeof(buf)), strlen(host));
    assert_string_equal(buf, host);
    assert_int_equal(amy__address_port(&a), port);
}

static void
test_parse_every_shape_says_host_and_port(void **state)
{
    (void)state;
    assert_address("127.0.0.1:80", "127.0.0.1", 80);
    assert_address("127.0.0.1", "127.0.0.1", 443);
    assert_address("[::1]:8443", "::1", 8443);
    assert_address("[2001:db8::7]", "2001:db8::7", 443);
    assert_address("*:8080", "::", 8080);
    assert_address(":8080", "::", 8080);
    assert_address("*", "::", 443);
    assert_address("127.0.0.1:0", "127.0.0.1", 0);
    assert_address("[::ffff:192.0.2.7]:1", "192.0.2.7", 1);
}

static void
test_parse_unix_keeps_the_path(void **state)
{
    struct amy__address a = address("unix:/run/x.sock");
    struct sockaddr_un un;
    char buf[8];

    (void)state;
    memcpy(&un, &a.sa, sizeof(un));
    assert_string_equal(un.sun_path, "/run/x.sock");
    assert_int_equal(amy__address_port(&a), 0);
    (void)amy__address_host(&a, buf, sizeof(buf));
    assert_string_equal(buf, "unix:");
}

static void
test_parse_of_anything_else_is_refused(void **state)
{
    static const char *const bad[] = {
        "",         "localhost:80", "127.0.0.1:65536", "127.0.0.1:",
        "1.2.3",    "[::1",         "[::1]80",         "::1",
        "[::1]:x",  "1.2.3.4:80 ",  "unix:",           "unix:relative",
        "[1.2.3.4]"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct amy_error err = AMY_ERROR_INIT;
        struct amy__address a;

        assert_int_equal(
            amy__address_parse(amy__span_of(bad[i]), 443, &a, &err),
            AMY_EINVAL);
        assert_true(err.msg[0] != '\0');
    }
}

static bool
contains(const char *network, const char *text)
{
    struct amy__cidr cidr;
    struct amy__address a = address(text);

    assert_int_equal(amy__cidr_parse(amy__span_of(network), &cidr, NULL), 0);
    return amy__cidr_contains(&cidr, &a);
}

static void
test_contains_by_prefix_and_family(void **state)
{
    (void)state;
    assert_true(contains("10.0.0.0/8", "10.255.0.1"));
    assert_false(contains("10.0.0.0/8", "11.0.0.1"));
    assert_true(contains("192.0.2.128/25", "192.0.2.200"));
    assert_false(contains("192.0.2.128/25", "192.0.2.127"));
    assert_true(contains("192.0.2.7", "192.0.2.7"));
    assert_false(contains("192.0.2.7", "192.0.2.6"));
    assert_true(contains("10.0.0.0/8", "[::ffff:10.1.2.3]"));
    assert_true(contains("0.0.0.0/0", "192.0.2.6"));
    assert_false(contains("0.0.0.0/0", "[::1]"));
    assert_true(contains("::/0", "[::1]"));
    assert_true(contains("::/0", "192.0.2.6"));
    assert_true(contains("2001:db8::/33", "[2001:db8:7fff::1]"));
    assert_false(contains("2001:db8::/33", "[2001:db8:8000::1]"));
    assert_false(contains("::/0", "unix:/x"));
}

static void
test_cidr_of_anything_else_is_refused(void **state)
{
    static const char *const bad[] = {
        "",     "10.0.0.0/33", "10.0.0.1/8", "10.0.0.0/", "::/129",
        "10/8", "10.0.0.0/-1", "[::]/0",     "x/8"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct amy__cidr cidr;

        assert_int_equal(amy__cidr_parse(amy__span_of(bad[i]), &cidr, NULL),
                         AMY_EINVAL);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_every_shape_says_host_and_port),
        cmocka_unit_test(test_parse_unix_keeps_the_path),
        cmocka_unit_test(test_parse_of_anything_else_is_refused),
        cmocka_unit_test(test_contains_by_prefix_and_family),
        cmocka_unit_test(test_cidr_of_anything_else_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

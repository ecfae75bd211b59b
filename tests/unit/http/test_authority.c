#include "amy_test.h"

#include "http/authority.h"

#include <string.h>

static void
test_parse_host_and_port(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        unsigned port;
    } cases[] = {
        {"example.org", "example.org", 0},
        {"Example.ORG:8443", "example.org", 8443},
        {"example.org.:80", "example.org", 80},
        {"example.org:", "example.org", 0},
        {"127.0.0.1:0", "127.0.0.1", 0},
        {"[2001:DB8::1]", "[2001:db8::1]", 0},
        {"[::ffff:1.2.3.4]:65535", "[::ffff:1.2.3.4]", 65535},
        {"a_b~c!$&'()*+;=%41", "a_b~c!$&'()*+;=%41", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__authority a = {0};

        assert_true(amy__authority_parse(amy__span_of(cases[i].text), &a));
        assert_int_equal(a.host_n, strlen(cases[i].host));
        assert_memory_equal(a.host, cases[i].host, a.host_n);
        assert_int_equal(a.port, cases[i].port);
    }
}

static void
test_parse_anything_else_refused(void **state)
{
    static const char *const cases[] = {
        "",        ".",     ":80",  "a:b",     "a:80:80",  "a:-1",
        "a:65536", "a:+1",  "u@a",  "a/b",     "a\\b",     "a,b",
        "a b",     "a?b",   "a#b",  "a%",      "a%4",      "a%zz",
        "[",       "[]",    "[::1", "[::1]x",  "[::1].",   "[v1.a]",
        "::1",     "a\x80", "a\"",  "[::1]:x", "http://a", "<a>",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__authority a = {0};

        if (amy__authority_parse(amy__span_of(cases[i]), &a)) {
            fail_msg("'%s' was taken", cases[i]);
        }
    }
}

static void
test_parse_host_of_255_bytes_at_most(void **state)
{
    char text[300];
    struct amy__authority a = {0};

    (void)state;
    memset(text, 'A', sizeof(text));
    assert_true(amy__authority_parse((struct amy__span){text, 255}, &a));
    assert_false(amy__authority_parse((struct amy__span){text, 256}, &a));
    text[255] = '.';
    assert_true(amy__authority_parse((struct amy__span){text, 256}, &a));
    memcpy(text + 255, ":65535", 6);
    assert_true(amy__authority_parse((struct amy__span){text, 261}, &a));
    assert_int_equal(a.host_n, 255);
    assert_int_equal(a.host[254], 'a');
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_host_and_port),
        cmocka_unit_test(test_parse_anything_else_refused),
        cmocka_unit_test(test_parse_host_of_255_bytes_at_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

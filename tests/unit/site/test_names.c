#include "amy_test.h"

#include "site/spec.h"

#include <string.h>

typedef int (*check_fn)(struct amy__span text, struct amy_error *err);

static void
expect(check_fn check, const char *const *texts, int code)
{
    for (; *texts != NULL; texts++) {
        struct amy_error err = AMY_ERROR_INIT;
        int rc = check(amy__span_of(*texts), &err);

        if (rc != code) {
            fail_msg("'%s' gives %d: %s", *texts, rc, err.msg);
        }
        assert_int_equal(err.code, code);
    }
}

static void
test_domains(void **state)
{
    static const char *const good[] = {"example.org",
                                       "a.b.c.d",
                                       "localhost",
                                       "demo.localhost",
                                       "xn--bcher-kva.example",
                                       "1.example",
                                       "a-b.c3",
                                       "127.example",
                                       NULL};
    static const char *const bad[] = {
        "",      ".",     "example.org.", ".org",   "a..b",  "-a.b", "a-.b",
        "A.b",   "a_b.c", "b\xc3\xbc.de", "a b.c",  "*.a.b", "a/b",  "10.0.0.1",
        "a.123", "123",   "front.sock",   "a.b:80", "..",    NULL};

    (void)state;
    expect(amy__domain_check, good, 0);
    expect(amy__domain_check, bad, AMY_EINVAL);
}

static void
test_long_domains(void **state)
{
    char name[256];

    (void)state;
    memset(name, 'a', 255);
    name[63] = name[127] = name[191] = '.';
    assert_int_equal(amy__domain_check((struct amy__span){name, 253}, NULL), 0);
    assert_int_equal(amy__domain_check((struct amy__span){name, 254}, NULL),
                     AMY_EINVAL);
    name[63] = 'a';
    assert_int_equal(amy__domain_check((struct amy__span){name, 100}, NULL),
                     AMY_EINVAL);
}

static void
test_users(void **state)
{
    static const char *const good[] = {"amy-example", "www-data", "_apt",
                                       "A.User_1", NULL};
    static const char *const bad[] = {
        "root", "-x",  "1a",   "a b",
        "a:b",  "a/b", "a\nb", "a2345678901234567890123456789012x",
        NULL};

    (void)state;
    expect(amy__site_check_user, good, 0);
    expect(amy__site_check_user, bad, AMY_EINVAL);
}

static void
test_pools(void **state)
{
    static const char *const good[] = {"web", "rq-high_2", "1", NULL};
    static const char *const bad[] = {"Web",
                                      "-a",
                                      "_a",
                                      "a.b",
                                      "a/b",
                                      "a b",
                                      "a2345678901234567890123456789012x",
                                      NULL};

    (void)state;
    expect(amy__site_check_pool, good, 0);
    expect(amy__site_check_pool, bad, AMY_EINVAL);
}

static void
test_url_paths(void **state)
{
    static const char *const good[] = {"/",        "/a",    "/a/",
                                       "/a.b/..c", "/~x@y", NULL};
    static const char *const bad[] = {
        "",      "a",    "//",    "/a//b", "/.",    "/a/../b",   "/a?b", "/a#b",
        "/a%2f", "/a b", "/a\\b", "/\"",   "/\x7f", "/\xc3\xbc", NULL};

    (void)state;
    expect(amy__site_check_url_path, good, 0);
    expect(amy__site_check_url_path, bad, AMY_EINVAL);
}

static void
test_files(void **state)
{
    static const char *const good[] = {"static", "repo/static files", "a/b/",
                                       "..a", NULL};
    static const char *const bad[] = {"",     "/etc", "..", "a/..",
                                      "a//b", "./a",  NULL};

    (void)state;
    expect(amy__site_check_files, good, 0);
    expect(amy__site_check_files, bad, AMY_EINVAL);
}

static void
test_wsgi_targets(void **state)
{
    static const char *const good[] = {"app", "config.wsgi:application",
                                       "_a.b1:_c.d", NULL};
    static const char *const bad[] = {"",      ":",     "a:",   ":a",
                                      "a.b:",  "a b",   "a..b", "1a",
                                      "a:b()", "a:b:c", "-c",   NULL};

    (void)state;
    expect(amy__site_check_wsgi, good, 0);
    expect(amy__site_check_wsgi, bad, AMY_EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_domains),
        cmocka_unit_test(test_long_domains),
        cmocka_unit_test(test_users),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_url_paths),
        cmocka_unit_test(test_files),
        cmocka_unit_test(test_wsgi_targets),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

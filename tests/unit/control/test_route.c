/* Patterns of control paths. */
/* Not for the server that uses them: see test_control.c. */
#include "amy_test.h"

#include "control/route.h"

#include <string.h>

#define GATE "/v1/sites/{site}/gate"

static bool
matches(const char *pattern, const char *path, struct amy__route_match *match)
{
    return amy__route_matches(pattern, amy__span_of(path), match);
}

static void
test_match_gives_parameters_back(void **state)
{
    struct amy__route_match match = {0};

    (void)state;
    assert_true(matches("/v1/status", "/v1/status", &match));
    assert_int_equal(match.count, 0);
    assert_true(matches("/v1/sites/{site}/pools/{pool}/restart",
                        "/v1/sites/example.org/pools/web/restart", &match));
    assert_int_equal(match.count, 2);
    assert_true(amy__span_eq(match.params[0].name, AMY_SPAN("site")));
    assert_true(amy__span_eq(match.params[0].value, AMY_SPAN("example.org")));
    assert_true(amy__span_eq(match.params[1].name, AMY_SPAN("pool")));
    assert_true(amy__span_eq(match.params[1].value, AMY_SPAN("web")));
}

static void
test_match_is_of_whole_segments(void **state)
{
    static const char *const others[] = {
        "",
        "/",
        "/v1/sites/x",
        "/v1/sites/x/gat",
        "/v1/sites/x/gates",
        "/v1/sites/x/gate/",
        "/v1/sites//gate",
        "/v1/sites/x/y/gate",
        "v1/sites/x/gate",
        "/v1//sites/x/gate",
        "/v1/sites/a%2fb/gate",
        "*",
    };
    struct amy__route_match match = {.count = 77};

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        if (matches(GATE, others[i], &match)) {
            fail_msg("'%s' matched", others[i]);
        }
    }
    assert_int_equal(match.count, 77); /* untouched */
}

static void
test_match_bounds_a_parameter(void **state)
{
    struct amy__route_match match = {0};
    char path[512] = "";
    size_t before = strlen("/v1/sites/");

    (void)state;
    memcpy(path, "/v1/sites/", before);
    memset(path + before, 'a', 256);
    memcpy(path + before + 255, "/gate", 6);
    assert_true(matches(GATE, path, &match));
    memset(path + before, 'a', 256);
    memcpy(path + before + 256, "/gate", 6);
    assert_false(matches(GATE, path, &match));
}

static void
test_check_refuses_what_is_no_pattern(void **state)
{
    (void)state;
    assert_int_equal(amy__route_check(GATE, NULL), 0);
    assert_int_equal(amy__route_check("/{a}/{b}/{c}/{d}", NULL), 0);
    assert_int_equal(amy__route_check("/{a}/{b}/{c}/{d}/{e}", NULL),
                     AMY_EINVAL);
    assert_int_equal(amy__route_check("", NULL), AMY_EINVAL);
    assert_int_equal(amy__route_check("v1", NULL), AMY_EINVAL);
    assert_int_equal(amy__route_check("/a{b}", NULL), AMY_EINVAL);
    assert_int_equal(amy__route_check("/{}", NULL), AMY_EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_match_gives_parameters_back),
        cmocka_unit_test(test_match_is_of_whole_segments),
        cmocka_unit_test(test_match_bounds_a_parameter),
        cmocka_unit_test(test_check_refuses_what_is_no_pattern),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

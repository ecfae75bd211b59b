/* Names of sites, and the longest path. */
#include "amy_test.h"

#include "front/router.h"

#include <stdio.h>
#include <string.h>

static struct amy__vhost *
vhost(uintptr_t n)
{
    return (struct amy__vhost *)(n * 16);
}

static void
test_names_are_found_and_others_are_not(void **state)
{
    struct amy__router *router = NULL;
    char name[32];

    (void)state;
    assert_int_equal(amy__router_create(1000, &router, NULL), 0);
    for (uintptr_t i = 1; i <= 1000; i++) {
        (void)snprintf(name, sizeof(name), "site%zu.org", (size_t)i);
        assert_int_equal(amy__router_add(router, name, vhost(i), NULL), 0);
    }
    for (uintptr_t i = 1; i <= 1000; i++) {
        (void)snprintf(name, sizeof(name), "site%zu.org", (size_t)i);
        assert_ptr_equal(amy__router_find(router, amy__span_of(name)),
                         vhost(i));
    }
    assert_null(amy__router_find(router, AMY_SPAN("site1001.org")));
    assert_null(amy__router_find(router, AMY_SPAN("")));
    assert_int_equal(amy__router_add(router, "more.org", vhost(1), NULL),
                     AMY_ELIMIT);
    amy__router_free(router);
}

static void
test_name_of_two_sites_is_refused(void **state)
{
    struct amy__router *router = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(amy__router_create(4, &router, NULL), 0);
    assert_int_equal(amy__router_add(router, "a.org", vhost(1), NULL), 0);
    assert_int_equal(amy__router_add(router, "a.org", vhost(1), NULL), 0);
    assert_int_equal(amy__router_add(router, "a.org", vhost(2), &err),
                     AMY_EEXIST);
    assert_non_null(strstr(err.msg, "a.org"));
    amy__router_free(router);
    amy__router_free(NULL);
}

static char root[] = "/";
static char static_path[] = "/static/";
static char api[] = "/api";
static char private_path[] = "/api/private/";

static void
test_longest_path_wins(void **state)
{
    struct amy__route routes[] = {
        {.path = private_path, .internal = true},
        {.path = static_path},
        {.path = api},
        {.path = root},
    };
    struct amy__site site = {.routes = routes, .route_count = 4};
    static const struct {
        const char *path;
        int want;
    } cases[] = {
        {"/", 3},
        {"/x", 3},
        {"/static/", 1},
        {"/static/a", 1},
        {"/static", 1},
        {"/staticx", 3},
        {"/api", 2},
        {"/api/", 2},
        {"/api/x", 2},
        {"/apix", 3},
        {"/api/private/x", 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_ptr_equal(amy__route_find(&site, amy__span_of(cases[i].path)),
                         &routes[cases[i].want]);
    }
    site.route_count = 3;
    assert_null(amy__route_find(&site, AMY_SPAN("/x")));
    assert_null(amy__route_find(&site, AMY_SPAN("*")));
}

static void
test_rest_is_what_follows_the_route(void **state)
{
    struct amy__route route = {.path = static_path};

    (void)state;
    assert_true(amy__span_eq(amy__route_rest(&route, AMY_SPAN("/static/a/b")),
                             AMY_SPAN("a/b")));
    assert_true(amy__span_eq(amy__route_rest(&route, AMY_SPAN("/static//a")),
                             AMY_SPAN("a")));
    assert_int_equal(amy__route_rest(&route, AMY_SPAN("/static")).n, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_found_and_others_are_not),
        cmocka_unit_test(test_name_of_two_sites_is_refused),
        cmocka_unit_test(test_longest_path_wins),
        cmocka_unit_test(test_rest_is_what_follows_the_route),
    };

    return cmocka_run_group_tests_name("front/router", tests, NULL, NULL);
}

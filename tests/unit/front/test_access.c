/* Paths that strangers may ask for, and what caches may keep. */
#include "amy_test.h"

#include "front/access.h"
#include "front/pages.h"

#include <string.h>

static char hooks[] = "/hooks/";
static char ping[] = "/ping";
static char health[] = "/healthz";
static char *listed[] = {hooks, ping, NULL};

static bool
excepts(const char *path, bool any_host)
{
    struct amy__site site = {.access_except = listed,
                             .health_path = health,
                             .health_any_host = any_host};

    return amy__access_excepts(&site, AMY__METHOD_POST, amy__span_of(path)) ||
           amy__access_excepts(&site, AMY__METHOD_GET, amy__span_of(path));
}

static void
test_health_is_looked_at_and_is_no_home_page(void **state)
{
    static char home[] = "/";
    static char *none[] = {NULL};
    struct amy__site site = {
        .access_except = none, .health_path = health, .health_any_host = true};
    const struct amy__span path = AMY_SPAN("/healthz");

    (void)state;
    assert_true(amy__access_excepts(&site, AMY__METHOD_GET, path));
    assert_true(amy__access_excepts(&site, AMY__METHOD_HEAD, path));
    assert_false(amy__access_excepts(&site, AMY__METHOD_POST, path));
    site.health_path = home;
    assert_false(amy__access_excepts(&site, AMY__METHOD_GET, AMY_SPAN("/")));
}

static void
test_listed_paths_are_for_everybody(void **state)
{
    static const char *const open[] = {
        "/ping",        "/hooks/",     "/hooks/a",  "/hooks/a/b.c/",
        "/hooks/a%20b", "/hooks/a..b", "/hooks/a%2"};

    (void)state;
    for (size_t i = 0; i < sizeof(open) / sizeof(open[0]); i++) {
        if (!excepts(open[i], false)) {
            fail_msg("%s", open[i]);
        }
    }
    assert_true(excepts("/healthz", true));
}

static void
test_no_other_path_is(void **state)
{
    static const char *const closed[] = {
        "/",
        "*",
        "",
        "/hooks",
        "/ping/",
        "/pings",
        "/Ping",
        "/healthz",
        "/x/hooks/",
        "/hooks/..",
        "/hooks/../x",
        "/hooks/./x",
        "/hooks/a/../../x",
        "/hooks/..;/x",
        "/hooks/a/..;a/x",
        "/hooks/%2e%2e/x",
        "/hooks/.%2E/x",
        "/hooks/a%2fb",
        "/hooks/a%2F..%2fb",
        "/hooks/%252e%252e/x",
        "/hooks/a\\b",
        "/hooks/a%5Cb",
        "/hooks//x",
        "/hooks/a//x",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(closed) / sizeof(closed[0]); i++) {
        if (excepts(closed[i], false)) {
            fail_msg("%s", closed[i]);
        }
    }
}

static void
test_addresses_need_no_password(void **state)
{
    struct amy__cidr networks[2];
    struct amy__site site = {.access_allow = networks, .access_allow_count = 2};
    struct amy__address client;

    (void)state;
    assert_int_equal(
        amy__cidr_parse(AMY_SPAN("10.0.0.0/8"), &networks[0], NULL), 0);
    assert_int_equal(
        amy__cidr_parse(AMY_SPAN("2001:db8::/32"), &networks[1], NULL), 0);
    assert_int_equal(
        amy__address_parse(AMY_SPAN("10.1.2.3:1"), 1, &client, NULL), 0);
    assert_true(amy__access_allows(&site, &client));
    assert_int_equal(
        amy__address_parse(AMY_SPAN("[2001:db8::1]:1"), 1, &client, NULL), 0);
    assert_true(amy__access_allows(&site, &client));
    assert_int_equal(
        amy__address_parse(AMY_SPAN("11.1.2.3:1"), 1, &client, NULL), 0);
    assert_false(amy__access_allows(&site, &client));
}

/* What becomes of the fields given as "name: value" lines. */
static void
expect_private(const char *first, const char *second, const char *want)
{
    struct amy__answer_head head = {.field_count = 0};
    char text[AMY__ACCESS_CACHE_TEXT];
    const struct amy__field *field = NULL;

    amy__answer_field(&head, AMY_SPAN("ETag"), AMY_SPAN("\"x\""));
    if (first != NULL) {
        amy__answer_field(&head, AMY_SPAN("Cache-Control"),
                          amy__span_of(first));
    }
    if (second != NULL) {
        amy__answer_field(&head, AMY_SPAN("cache-control"),
                          amy__span_of(second));
    }
    amy__answer_field(&head, AMY_SPAN("CDN-Cache-Control"), AMY_SPAN("a"));
    amy__answer_field(&head, AMY_SPAN("Surrogate-Control"), AMY_SPAN("b"));
    amy__answer_field(&head, AMY_SPAN("Cloudflare-cdn-Cache-Control"),
                      AMY_SPAN("c"));
    amy__answer_field(&head, AMY_SPAN("Edge-control"), AMY_SPAN("d"));
    amy__access_make_private(&head, text);
    assert_int_equal(head.field_count, 2);
    assert_true(amy__answer_has(&head, AMY_SPAN("ETag")));
    field = amy__answer_find(&head, AMY_SPAN("Cache-Control"));
    assert_non_null(field);
    if (!amy__span_eq(field->value, amy__span_of(want))) {
        fail_msg("'%.*s' in place of '%s'", AMY_SPAN_ARG(field->value), want);
    }
}

static void
test_answers_are_no_shared_caches(void **state)
{
    char many[400];

    (void)state;
    expect_private(NULL, NULL, "private");
    expect_private("public", NULL, "private");
    expect_private("PUBLIC, max-age=60, S-MaxAge=9", NULL,
                   "private, max-age=60");
    expect_private("public, max-age=31536000, immutable", NULL,
                   "private, max-age=31536000, immutable");
    expect_private("private=\"x\", no-cache", "no-store,,public",
                   "private, no-cache, no-store");
    expect_private("max-age=5, private=\"set-cookie, x-public\", no-cache",
                   NULL, "private, max-age=5, no-cache");
    expect_private("no-cache=\"a\\\", public\", max-age=1", NULL,
                   "private, no-cache=\"a\\\", public\", max-age=1");
    expect_private("private=\"a, max-age=1", NULL, "no-store");
    expect_private("publication=1", NULL, "private, publication=1");
    memset(many, 'x', sizeof(many) - 1);
    many[sizeof(many) - 1] = '\0';
    expect_private(many, "max-age=1", "no-store");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_listed_paths_are_for_everybody),
        cmocka_unit_test(test_no_other_path_is),
        cmocka_unit_test(test_health_is_looked_at_and_is_no_home_page),
        cmocka_unit_test(test_addresses_need_no_password),
        cmocka_unit_test(test_answers_are_no_shared_caches),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

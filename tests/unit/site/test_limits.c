#include "amy_test.h"

#include "fail_alloc.h"
#include "site/env.h"
#include "site/settings.h"
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char text[200000];

static int
parse(struct amy__site **ret_site)
{
    problems_clear();
    *ret_site = NULL;
    return amy__site_parse(amy__span_of(text), "site.yaml", "example.org",
                           problems_add, NULL, ret_site, NULL);
}

static void
start(const char *more)
{
    (void)snprintf(text, sizeof(text), "site: example.org\nuser: u\n%s", more);
}

static void
append(const char *format, unsigned n)
{
    size_t len = strlen(text);

    /* The formats are this file's own. */
    (void)snprintf(text + len, sizeof(text) - len, "%s%u", format, n);
}

static void
test_more_than_64_kib_is_refused(void **state)
{
    struct amy__site *site = NULL;

    (void)state;
    start("#");
    memset(text + strlen(text), 'x', 64 * 1024 - strlen(text));
    text[64 * 1024] = '\0';
    assert_int_equal(parse(&site), 0);
    amy__site_unref(site);
    text[64 * 1024] = 'x';
    text[64 * 1024 + 1] = '\0';
    assert_int_equal(parse(&site), AMY_EPARSE);
    assert_string_equal(problems_text(), "site.yaml: larger than 64 KiB\n");
}

static void
test_a_hundred_problems_are_kept_and_the_rest_counted(void **state)
{
    struct amy__site *site = NULL;

    (void)state;
    start("");
    for (unsigned i = 0; i < 150; i++) {
        append("k", i);
        (void)strncat(text, ": 1\n", 5);
    }
    assert_int_equal(parse(&site), AMY_EPARSE);
    assert_non_null(strstr(problems_text(), "site.yaml: and 50 more problems"));
}

static void
test_more_than_a_thousand_entries_are_refused(void **state)
{
    struct amy__site *site = NULL;

    (void)state;
    start("aliases: [");
    for (unsigned i = 0; i < 1001; i++) {
        append("x", i);
        (void)strncat(text, ",", 2);
    }
    (void)strncat(text, "]\n", 3);
    assert_int_equal(parse(&site), AMY_EPARSE);
    assert_non_null(strstr(problems_text(), "more than 1000 entries"));
}

static void
test_more_than_64_workers_are_refused(void **state)
{
    struct amy__site *site = NULL;

    (void)state;
    start("workers:\n");
    for (unsigned i = 0; i < 65; i++) {
        append("- {wsgi: a, name: x", i);
        (void)strncat(text, "}\n", 3);
    }
    assert_int_equal(parse(&site), AMY_EPARSE);
    assert_non_null(strstr(problems_text(), "workers: more than 64 entries"));
}

/* Whichever allocation fails: no crash, no leak (the address sanitizer looks),
 * and AMY_ENOMEM instead of half a site. */
static void
test_without_memory_nothing_is_accepted(void **state)
{
    int n = 1;
    int rc = AMY_ENOMEM;

    (void)state;
    start("aliases: [a.org]\n"
          "workers:\n"
          "- {name: web, wsgi: a:b, after: [rq]}\n"
          "- {name: rq, command: [x, y]}\n"
          "routes: [{path: /x/, files: y, internal: true}]\n"
          "gate: {allow: [10.0.0.0/8], except: [/a]}\n"
          "database: {from: X}\n");
    while (rc == AMY_ENOMEM) {
        struct amy__site *site = NULL;

        fail_alloc_nth(n++);
        rc = parse(&site);
        fail_alloc_nth(0);
        assert_true(rc == AMY_ENOMEM || site != NULL);
        amy__site_unref(site);
    }
    assert_int_equal(rc, 0);
    assert_true(n > 40);
}

static void
test_without_memory_no_settings_are_accepted(void **state)
{
    int n = 1;
    int rc = AMY_ENOMEM;

    (void)state;
    while (rc == AMY_ENOMEM) {
        struct amy__settings *settings = NULL;

        fail_alloc_nth(n++);
        rc = amy__settings_parse(
            AMY_SPAN("spool: /a\nfront: {http: [\"*:1\"], trusted: [1.2.3.4]}"),
            "amy.yaml", NULL, NULL, &settings, NULL);
        fail_alloc_nth(0);
        assert_true(rc == AMY_ENOMEM || settings != NULL);
        amy__settings_free(settings);
    }
    assert_int_equal(rc, 0);
    assert_true(n > 15);
}

static void
test_without_memory_no_environment_is_made(void **state)
{
    int n = 1;
    int rc = AMY_ENOMEM;

    (void)state;
    while (rc == AMY_ENOMEM) {
        struct amy__env *env = NULL;

        fail_alloc_nth(n++);
        rc = amy__env_from_records(AMY_SPAN("A=1\0B=2\0"), "/r", "/v", &env,
                                   NULL);
        fail_alloc_nth(0);
        assert_true(rc == AMY_ENOMEM || env != NULL);
        amy__env_unref(env);
    }
    assert_int_equal(rc, 0);
    assert_int_equal(n, 8);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_more_than_64_kib_is_refused),
        cmocka_unit_test(test_a_hundred_problems_are_kept_and_the_rest_counted),
        cmocka_unit_test(test_more_than_a_thousand_entries_are_refused),
        cmocka_unit_test(test_more_than_64_workers_are_refused),
        cmocka_unit_test(test_without_memory_nothing_is_accepted),
        cmocka_unit_test(test_without_memory_no_settings_are_accepted),
        cmocka_unit_test(test_without_memory_no_environment_is_made),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

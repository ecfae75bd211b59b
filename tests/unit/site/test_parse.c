#include "amy_test.h"

#include "core/alloc.h"
#include "site/site.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* All problems of the last parse, a line each. */
static struct {
    char text[64 * 1024];
    size_t n;
} lines;

static void
add_line(const struct amy_problem *problem, void *user)
{
    (void)user;
    assert_int_equal(problem->struct_size, sizeof(*problem));
    lines.n += amy__problem_format(problem, lines.text + lines.n,
                                   sizeof(lines.text) - lines.n);
    assert_true(lines.n + 1 < sizeof(lines.text));
    lines.text[lines.n++] = '\n';
    lines.text[lines.n] = '\0';
}

static int
parse(const char *yaml, struct amy__site **ret_site)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    lines.n = 0;
    lines.text[0] = '\0';
    rc = amy__site_parse(amy__span_of(yaml), "site.yaml", "example.org",
                         add_line, NULL, ret_site, &err);
    /* The error is the first line, cut to its size. */
    if (rc < 0) {
        assert_int_equal(err.code, rc);
        assert_int_equal(strncmp(err.msg, lines.text, strlen(err.msg)), 0);
    }
    return rc;
}

static struct amy__site *
good(const char *yaml)
{
    struct amy__site *site = NULL;
    int rc = parse(yaml, &site);

    assert_string_equal(lines.text, "");
    assert_int_equal(rc, 0);
    return site;
}

#define MINIMUM "site: example.org\nuser: amy-example\n"

static void
expect_problems(const char *yaml, const char *expected)
{
    struct amy__site *site = NULL;
    int rc = parse(yaml, &site);

    assert_string_equal(lines.text, expected);
    assert_int_equal(rc, AMY_EPARSE);
    assert_null(site);
}

/* As above, with the two required keys before `yaml`. */
static void
expect_after_minimum(const char *yaml, const char *expected)
{
    char text[4096];

    assert_true(snprintf(text, sizeof(text), "%s%s", MINIMUM, yaml) <
                (int)sizeof(text));
    expect_problems(text, expected);
}

static void
test_parse_of_two_keys_fills_every_default(void **state)
{
    struct amy__site *site = good(MINIMUM);

    (void)state;
    assert_string_equal(site->domain, "example.org");
    assert_string_equal(site->user, "amy-example");
    assert_true(site->uid == AMY__UID_UNKNOWN);
    assert_int_equal(site->user_line, 2);
    assert_null(site->aliases[0]);
    assert_null(site->gate_except[0]);
    assert_null(site->ignored_keys[0]);
    assert_false(site->stage_test);
    assert_null(site->tls_certificate);
    assert_int_equal(site->http, AMY__HTTP_REDIRECT);
    assert_string_equal(site->health_path, "/");
    assert_int_equal(site->body_bytes, 20 * 1024 * 1024);
    assert_int_equal(site->queue_length, 1000);
    assert_int_equal(site->queue_ms, 30000);
    assert_int_equal(site->retry_after_s, 120);
    assert_int_equal(site->worker_count, 0);
    assert_int_equal(site->route_count, 1);
    assert_string_equal(site->routes[0].path, "/static/");
    assert_string_equal(site->routes[0].files, "static");
    assert_int_equal(site->routes[0].max_age_s, -1);
    amy__site_unref(site);
}

static const char whole[] =
    "site: example.org\n"
    "aliases: [www.example.org]        # other names served; cdn hosts too\n"
    "stage: production\n"
    "user: amy-example\n"
    "tls: {certificate: auto}\n"
    "http: redirect\n"
    "health: {path: /healthz, any_host: true}\n"
    "workers:\n"
    "  - {name: web, wsgi: config.wsgi:application, count: 3, timeout: 30s}\n"
    "  - {name: rq, command: [python, manage.py, rqworker, default],"
    " replace: stop-first, stop: {signal: TERM, patience: 10m},"
    " after: [web]}\n"
    "  - {name: scheduler, command: [python, manage.py, rqscheduler],"
    " replace: stop-first}\n"
    "routes:\n"
    "  - {path: /static/, files: repo/staticfiles, cache: immutable}\n"
    "  - {path: /private/, files: media/private, internal: true}\n"
    "  - {path: /reports/, pool: web, timeout: 300s}\n"
    "limits: {body: 20MiB}\n"
    "gate: {retry_after: 2m, allow: [10.0.0.0/8], except: [/healthz]}\n"
    "database: {from: DATABASE_URL}\n"
    "redis: {from: AMY_REDIS_URL}\n"
    "backup: {every: 30m, keep: 48, before_deploy: true}\n"
    "logs: {size: 50MiB, total: 2GiB}\n";

static void
assert_texts(char **list, const char *const *expected)
{
    size_t i = 0;

    for (; expected[i] != NULL; i++) {
        assert_non_null(list[i]);
        assert_string_equal(list[i], expected[i]);
    }
    assert_null(list[i]);
}

static void
test_parse_of_the_example_reads_its_workers(void **state)
{
    static const char *const argv[] = {"python", "manage.py", "rqworker",
                                       "default", NULL};
    static const char *const after[] = {"web", NULL};
    struct amy__site *site = good(whole);

    (void)state;
    assert_int_equal(site->worker_count, 3);
    assert_string_equal(site->workers[0].wsgi, "config.wsgi:application");
    assert_null(site->workers[0].command);
    assert_int_equal(site->workers[0].count, 3);
    assert_int_equal(site->workers[0].slots, 1);
    assert_int_equal(site->workers[0].timeout_ms, 30000);
    assert_int_equal(site->workers[0].boot_timeout_ms, 60000);
    assert_int_equal(site->workers[0].stop_signal, SIGTERM);
    assert_int_equal(site->workers[0].line, 9);
    assert_true(site->workers[0].serves);
    assert_null(site->workers[1].wsgi);
    assert_texts(site->workers[1].command, argv);
    assert_texts(site->workers[1].after, after);
    assert_int_equal(site->workers[1].replace, AMY__REPLACE_STOP_FIRST);
    assert_int_equal(site->workers[1].stop_patience_ms, 600000);
    assert_false(site->workers[1].serves);
    assert_int_equal(site->workers[2].count, 1);
    assert_ptr_equal(amy__site_worker(site, AMY_SPAN("rq")), &site->workers[1]);
    assert_null(amy__site_worker(site, AMY_SPAN("r")));
    amy__site_unref(site);
}

static void
test_parse_of_the_example_reads_the_rest(void **state)
{
    static const char *const ignored[] = {
        "routes[1].internal", "database", "redis", "backup", "logs", NULL};
    static const char *const except[] = {"/healthz", NULL};
    struct amy__site *site = good(whole);

    (void)state;
    assert_int_equal(site->route_count, 4);
    assert_string_equal(site->routes[0].path, "/private/");
    assert_true(site->routes[0].internal);
    assert_string_equal(site->routes[1].path, "/reports/");
    assert_int_equal(site->routes[1].timeout_ms, 300000);
    assert_string_equal(site->routes[2].path, "/static/");
    assert_true(site->routes[2].immutable);
    assert_int_equal(site->routes[2].max_age_s, -1);
    assert_string_equal(site->routes[3].path, "/");
    assert_int_equal(site->routes[3].kind, AMY__ROUTE_POOL);
    assert_string_equal(site->routes[3].pool, "web");
    assert_int_equal(site->gate_allow_count, 1);
    assert_texts(site->gate_except, except);
    assert_texts(site->ignored_keys, ignored);
    assert_true(site->health_any_host);
    amy__site_unref(amy__site_ref(site));
    amy__site_unref(site);
}

static void
test_parse_finds_three_faults_at_once(void **state)
{
    (void)state;
    expect_after_minimum(
        "workers:\n"
        "  - {name: web, wsgi: a.b:c, timeout: 30}\n"
        "stage: test\n"
        "stage: production\n"
        "limit: {body: 1MiB}\n",
        "site.yaml:4:39: workers[0].timeout: '30' is no duration in range "
        "(allowed: a duration with its unit such as 500ms, 30s or 2m, 2s to "
        "1d)\n"
        "site.yaml:6:1: key 'stage' is given twice, first in line 5\n"
        "site.yaml:7:1: limit: unknown key, did you mean 'limits'? (allowed: "
        "site, aliases, stage, user, tls, http, health, workers, routes, "
        "limits, gate, database, redis, backup, logs)\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_of_two_keys_fills_every_default),
        cmocka_unit_test(test_parse_of_the_example_reads_its_workers),
        cmocka_unit_test(test_parse_of_the_example_reads_the_rest),
        cmocka_unit_test(test_parse_finds_three_faults_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include <amy/logrotate.h>

#include "core/alloc.h"
#include "site/site.h"
#include "tree.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct amy__site *
good(const char *yaml)
{
    struct amy__site *site = NULL;
    int rc = 0;

    problems_clear();
    rc = amy__site_parse(amy__span_of(yaml), "site.yaml", "example.org",
                         problems_add, NULL, &site, NULL);

    assert_string_equal(problems_text(), "");
    assert_int_equal(rc, 0);
    return site;
}

#define MINIMUM "site: example.org\nuser: amy-example\n"

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
    assert_false(site->stage_test);
    assert_false(site->closed);
    assert_null(site->access_users);
    assert_null(site->access_except[0]);
    assert_int_equal(site->cert_count, 0);
    assert_int_equal(site->http, AMY__HTTP_REDIRECT);
    assert_null(site->http_except[0]);
    assert_int_equal(site->http_peer_count, 0);
    assert_string_equal(site->health_path, "/");
    assert_int_equal(site->health_probes, 3);
    assert_int_equal(site->health_timeout_ms, 10000);
    assert_int_equal(site->health_bake_ms, 5000);
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
    "health: {path: /healthz, any_host: true, probes: 5, timeout: 30s, bake: "
    "1m}\n"
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
    "backup:\n"
    "  every: 30m\n"
    "  retry: 5s\n"
    "  keep: 48\n"
    "  before_deploy: true\n"
    "  copies:\n"
    "  - {name: nas, directory: /mnt/nas, keep: 9, thin: {daily: 30}}\n"
    "  - {name: away, s3: bucket/shop, credentials: imds, late: 2h}\n"
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
test_parse_of_closed_sites(void **state)
{
    static const char *const except[] = {"/hooks/", "/healthz", NULL};
    struct amy__site *site = good(MINIMUM "stage: test\n"
                                          "access: {allow: [10.0.0.1]}\n");

    (void)state;
    assert_true(site->stage_test && site->closed);
    assert_null(site->access_users);
    amy__site_unref(site);
    site = good(MINIMUM "access: {users: testers, allow: [10.0.0.0/8], "
                        "except: [/hooks/, /healthz], realm: us}\n");
    assert_true(site->closed && !site->stage_test);
    assert_string_equal(site->access_users, "testers");
    assert_int_equal(site->access_allow_count, 1);
    assert_texts(site->access_except, except);
    assert_string_equal(site->access_realm, "us");
    amy__site_unref(site);
}

#define KEEPS                                                                  \
    "database: {from: PG}\nbackup: {copies: [{name: nas, directory: /mnt}]}\n"

static void
test_test_site_keeps_less_unless_it_says_otherwise(void **state)
{
    static const char open[] = "stage: test\naccess: {allow: [10.0.0.1]}\n";
    char yaml[512];
    struct amy__site *site = good(MINIMUM KEEPS);

    (void)state;
    assert_int_equal(site->logs_max_age_ms, 30LL * 86400000);
    assert_int_equal(site->logs_total_bytes, 2ULL << 30);
    assert_int_equal(site->backup_keep, 48);
    assert_int_equal(site->copies[0].keep, 48);
    amy__site_unref(site);
    /* Wherever it says that it is one. */
    (void)snprintf(yaml, sizeof(yaml), "%s%s%s", MINIMUM, KEEPS, open);
    site = good(yaml);
    assert_int_equal(site->logs_max_age_ms, 7LL * 86400000);
    assert_int_equal(site->logs_total_bytes, 256ULL << 20);
    assert_int_equal(site->backup_keep, 8);
    assert_int_equal(site->copies[0].keep, 8);
    amy__site_unref(site);
    (void)snprintf(yaml, sizeof(yaml), "%s%s%s", MINIMUM, open,
                   "logs: {max_age: 30d}\ndatabase: {from: PG}\n"
                   "backup: {keep: 48}\n");
    site = good(yaml);
    assert_int_equal(site->logs_max_age_ms, 30LL * 86400000);
    assert_int_equal(site->logs_total_bytes, 256ULL << 20);
    assert_int_equal(site->backup_keep, 48);
    amy__site_unref(site);
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
    assert_string_equal(site->redis_from, "AMY_REDIS_URL");
    assert_true(site->health_any_host);
    assert_int_equal(site->health_probes, 5);
    assert_int_equal(site->health_timeout_ms, 30000);
    assert_int_equal(site->health_bake_ms, 60000);
    amy__site_unref(amy__site_ref(site));
    assert_string_equal(site->database_from, "DATABASE_URL");
    assert_int_equal(site->backup_every_ms, 30 * 60000);
    assert_int_equal(site->backup_retry_ms, 5000);
    assert_int_equal(site->backup_keep, 48);
    assert_int_equal(site->copy_count, 2);
    assert_string_equal(site->copies[0].directory, "/mnt/nas");
    assert_int_equal(site->copies[0].keep, 9);
    assert_int_equal(site->copies[0].daily, 30);
    assert_string_equal(site->copies[1].s3, "bucket/shop");
    assert_string_equal(site->copies[1].region, "us-east-1");
    assert_int_equal(site->copies[1].credentials, AMY__S3_IMDS);
    assert_int_equal(site->copies[1].style, AMY__S3_STYLE_AUTO);
    assert_int_equal(site->copies[1].keep, 48);
    assert_int_equal(site->copies[1].late_ms, 2 * 3600000);
    assert_null(site->copies[1].directory);
    assert_int_equal(site->logs_size_bytes, 50 * 1024 * 1024);
    assert_int_equal(site->logs_every, AMY_LOGROTATE_DAILY);
    assert_int_equal(site->logs_keep, 1000);
    assert_int_equal(site->logs_max_age_ms, INT64_C(30) * 86400 * 1000);
    assert_int_equal(site->logs_total_bytes, INT64_C(2) << 30);
    assert_int_equal(site->logs_packing, AMY_LOGROTATE_GZIP);
    assert_string_equal(site->backup_zone, "UTC");
    assert_int_equal(site->backup_silence_ms, 600000);
    assert_null(site->backup_at);
    amy__site_unref(site);
}

static void
test_parse_of_crlf_and_bom_is_the_same(void **state)
{
    struct amy__site *site =
        good("\xEF\xBB\xBFsite: example.org\r\nuser: \"amy-example\"\r\n");

    (void)state;
    assert_string_equal(site->user, "amy-example");
    amy__site_unref(site);
}

static void
test_parse_routes_the_root_to_the_right_pool(void **state)
{
    struct amy__site *site =
        good(MINIMUM "workers:\n- {name: api, wsgi: a}\n"
                     "- {name: web, command: [node, s.js], slots: 8}\n");

    (void)state;
    assert_string_equal(site->routes[1].path, "/");
    assert_string_equal(site->routes[1].pool, "web");
    assert_true(site->workers[1].serves);
    assert_int_equal(site->workers[1].slots, 8);
    amy__site_unref(site);
    site = good(MINIMUM "workers: [{name: api, wsgi: a}]\n");
    assert_string_equal(site->routes[1].pool, "api");
    amy__site_unref(site);
    site = good(MINIMUM "workers: [{name: rq, command: [a]}]\n"
                        "routes: [{path: /, files: public, cache: 1h},"
                        " {path: /static, files: s}]\n");
    assert_int_equal(site->route_count, 2);
    assert_int_equal(site->routes[1].max_age_s, 3600);
    assert_false(site->workers[0].serves);
    amy__site_unref(site);
}

static void
test_parse_reads_certificate_files(void **state)
{
    struct amy__site *site =
        good(MINIMUM "tls: {certificate: /a.pem, key: /b.pem}\nhttp: off\n");

    (void)state;
    assert_int_equal(site->cert_count, 1);
    assert_string_equal(site->certs[0].certificate, "/a.pem");
    assert_string_equal(site->certs[0].key, "/b.pem");
    assert_int_equal(site->http, AMY__HTTP_OFF);
    amy__site_unref(site);
    site = good(MINIMUM "tls: {certificate: example.org-0001}\n");
    assert_int_equal(site->cert_count, 1);
    assert_string_equal(site->certs[0].certificate, "example.org-0001");
    assert_null(site->certs[0].key);
    amy__site_unref(site);
}

static void
test_parse_upstreams_of_the_same_servers_share_a_name(void **state)
{
    struct amy__site *site =
        good(MINIMUM "routes:\n"
                     "  - {path: /ws/, upstream: [127.0.0.1:9000, "
                     "'unix:/run/a']}\n"
                     "  - {path: /, upstream: [127.0.0.1:9000, "
                     "'unix:/run/a'], timeout: 5s}\n"
                     "  - {path: /few/, upstream: [127.0.0.1:9000, "
                     "'unix:/run/a'], slots: 2}\n"
                     "  - {path: /other/, upstream: ['unix:/run/a']}\n");
    static const char *const names[] = {"/other/", "/few/", "/ws/", "/ws/"};
    size_t n = 0;

    (void)state;
    for (size_t i = 0; i < site->route_count; i++) {
        if (site->routes[i].kind == AMY__ROUTE_UPSTREAM) {
            assert_string_equal(site->routes[i].pool, names[n++]);
            assert_int_equal(site->routes[i].slots,
                             strcmp(names[n - 1], "/few/") == 0 ? 2 : 1000);
        }
    }
    assert_int_equal(n, 4);
    amy__site_unref(site);
}

static void
test_parse_socket_is_a_path_or_a_map_and_means_serving(void **state)
{
    struct amy__site *site =
        good(MINIMUM "workers:\n"
                     "  - {name: a, command: [x], socket: /run/a.sock}\n"
                     "  - {name: b, command: [x], socket: {path: /run/b.sock, "
                     "group: www-data}}\n"
                     "  - {name: c, command: [x]}\n");

    (void)state;
    assert_string_equal(site->workers[0].socket, "/run/a.sock");
    assert_null(site->workers[0].socket_group);
    assert_true(site->workers[0].serves);
    assert_string_equal(site->workers[1].socket, "/run/b.sock");
    assert_string_equal(site->workers[1].socket_group, "www-data");
    assert_null(site->workers[2].socket);
    assert_false(site->workers[2].serves);
    amy__site_unref(site);
}

static void
test_parse_http_is_a_word_or_a_map(void **state)
{
    struct amy__site *site =
        good(MINIMUM "http: {except: [/ok], peers: [10.0.0.0/8, \"::1\"]}\n");

    (void)state;
    assert_int_equal(site->http, AMY__HTTP_REDIRECT);
    assert_string_equal(site->http_except[0], "/ok");
    assert_null(site->http_except[1]);
    assert_int_equal(site->http_peer_count, 2);
    amy__site_unref(site);
    site = good(MINIMUM "http:\n  mode: off\n");
    assert_int_equal(site->http, AMY__HTTP_OFF);
    amy__site_unref(site);
    site = good(MINIMUM "http: serve\n");
    assert_int_equal(site->http, AMY__HTTP_SERVE);
    amy__site_unref(site);
}

static void
test_parse_reads_several_certificates(void **state)
{
    struct amy__site *site =
        good(MINIMUM "tls:\n  certificates:\n"
                     "    - {certificate: example.org}\n"
                     "    - {certificate: /rsa.pem, key: /rsa.key}\n");

    (void)state;
    assert_int_equal(site->cert_count, 2);
    assert_string_equal(site->certs[0].certificate, "example.org");
    assert_null(site->certs[0].key);
    assert_string_equal(site->certs[1].certificate, "/rsa.pem");
    assert_string_equal(site->certs[1].key, "/rsa.key");
    amy__site_unref(site);
    site = good(MINIMUM "tls: {certificate: auto}\n");
    assert_int_equal(site->cert_count, 0);
    amy__site_unref(site);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_upstreams_of_the_same_servers_share_a_name),
        cmocka_unit_test(
            test_parse_socket_is_a_path_or_a_map_and_means_serving),
        cmocka_unit_test(test_parse_http_is_a_word_or_a_map),
        cmocka_unit_test(test_parse_of_two_keys_fills_every_default),
        cmocka_unit_test(test_parse_of_closed_sites),
        cmocka_unit_test(test_test_site_keeps_less_unless_it_says_otherwise),
        cmocka_unit_test(test_parse_of_the_example_reads_its_workers),
        cmocka_unit_test(test_parse_of_the_example_reads_the_rest),
        cmocka_unit_test(test_parse_of_crlf_and_bom_is_the_same),
        cmocka_unit_test(test_parse_routes_the_root_to_the_right_pool),
        cmocka_unit_test(test_parse_reads_certificate_files),
        cmocka_unit_test(test_parse_reads_several_certificates),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

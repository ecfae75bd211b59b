#include "amy_test.h"

#include "site/settings.h"
#include "tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tree tree;

static int
set_up(void **state)
{
    (void)state;
    tree_make(&tree);
    problems_clear();
    assert_int_equal(unsetenv("RUNTIME_DIRECTORY"), 0);
    assert_int_equal(unsetenv("STATE_DIRECTORY"), 0);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    tree_remove(&tree);
    return 0;
}

static struct amy__settings *
load(const char *text)
{
    struct amy__settings *settings = NULL;
    struct amy__settings_args args = {.config = NULL};
    char path[128];

    (void)snprintf(path, sizeof(path), "%s/amy.yaml", tree.path);
    tree_file(&tree, "amy.yaml", text);
    args.config = path;
    assert_int_equal(
        amy__settings_load(&args, problems_add, NULL, &settings, NULL), 0);
    assert_string_equal(problems_text(), "");
    return settings;
}

static void
expect(const char *text, const char *problems)
{
    struct amy__settings *settings = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    problems_clear();
    assert_int_equal(amy__settings_parse(amy__span_of(text), "amy.yaml",
                                         problems_add, NULL, &settings, &err),
                     AMY_EPARSE);
    assert_null(settings);
    assert_string_equal(problems_text(), problems);
}

static void
expect_listener(const struct amy__address *a, const char *host, unsigned port)
{
    char buf[64];

    (void)amy__address_host(a, buf, sizeof(buf));
    assert_string_equal(buf, host);
    assert_int_equal(amy__address_port(a), port);
}

static void
test_an_empty_file_gives_every_default(void **state)
{
    struct amy__settings *settings = load("");

    (void)state;
    assert_string_equal(settings->webapps, "/webapps");
    assert_string_equal(settings->run, "/run/amy");
    assert_string_equal(settings->state, "/var/lib/amy");
    assert_string_equal(settings->certificates, "/etc/letsencrypt/live");
    assert_string_equal(settings->spool, "/var/lib/amy/spool");
    assert_int_equal(settings->https_count, 1);
    expect_listener(&settings->https[0], "::", 443);
    assert_int_equal(settings->http_count, 1);
    expect_listener(&settings->http[0], "::", 80);
    assert_true(settings->processes >= 1);
    assert_int_equal(settings->connections, 0);
    assert_string_equal(settings->front_user, "amy");
    assert_int_equal(settings->trusted_count, 0);
    assert_false(settings->logs_stdout);
    amy__settings_free(settings);
    amy__settings_free(NULL);
}

static void
test_every_key_is_read(void **state)
{
    struct amy__settings *settings =
        load("certificates: /srv/certs\n"
             "spool: /srv/spool\n"
             "logs: stdout\n"
             "front:\n"
             "  https: [\"127.0.0.1:8443\", \"[::1]\"]\n"
             "  http: []\n"
             "  processes: 4\n"
             "  connections: 5000\n"
             "  user: www-data\n"
             "  trusted: [10.0.0.0/8, '::1']\n");

    (void)state;
    assert_string_equal(settings->certificates, "/srv/certs");
    assert_string_equal(settings->spool, "/srv/spool");
    assert_true(settings->logs_stdout);
    assert_int_equal(settings->https_count, 2);
    expect_listener(&settings->https[0], "127.0.0.1", 8443);
    expect_listener(&settings->https[1], "::1", 443);
    assert_int_equal(settings->http_count, 0);
    assert_int_equal(settings->processes, 4);
    assert_int_equal(settings->connections, 5000);
    assert_string_equal(settings->front_user, "www-data");
    assert_int_equal(settings->trusted_count, 2);
    amy__settings_free(settings);
}

static void
test_arguments_win_over_systemd(void **state)
{
    struct amy__settings_args args = {.run = "relative/run",
                                      .webapps = "/srv/webapps"};
    struct amy__settings *settings = NULL;
    char path[128];
    char here[512];
    char expected[600];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/amy.yaml", tree.path);
    tree_file(&tree, "amy.yaml", "# nothing\nspool: /x\n");
    args.config = path;
    assert_int_equal(setenv("RUNTIME_DIRECTORY", "/run/amy-7", 1), 0);
    assert_int_equal(setenv("STATE_DIRECTORY", "/var/lib/amy-7:/other", 1), 0);
    assert_int_equal(amy__settings_load(&args, NULL, NULL, &settings, NULL), 0);
    assert_non_null(getcwd(here, sizeof(here)));
    (void)snprintf(expected, sizeof(expected), "%s/relative/run", here);
    assert_string_equal(settings->run, expected);
    assert_string_equal(settings->state, "/var/lib/amy-7");
    assert_string_equal(settings->webapps, "/srv/webapps");
    amy__settings_free(settings);
}

static void
test_a_missing_file_matters_only_when_named(void **state)
{
    struct amy__settings_args args = {.config = "/nowhere/amy.yaml"};
    struct amy__settings *settings = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(
        amy__settings_load(&args, problems_add, NULL, &settings, &err),
        AMY_ENOTFOUND);
    assert_null(settings);
    assert_non_null(strstr(problems_text(), "/nowhere/amy.yaml: "));
}

static void
test_a_file_others_may_write_is_refused(void **state)
{
    struct amy__settings_args args = {.config = NULL};
    struct amy__settings *settings = NULL;
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/amy.yaml", tree.path);
    tree_file(&tree, "amy.yaml", "");
    assert_int_equal(chmod(path, 0666), 0);
    args.config = path;
    assert_int_equal(
        amy__settings_load(&args, problems_add, NULL, &settings, NULL),
        AMY_EDENIED);
    assert_string_equal(problems_below(&tree),
                        "TOP/webapps/amy.yaml: can be written by anybody (mode "
                        "0666) (allowed: mode 0755 for directories, 0644 for "
                        "files, or less)\n");
}

static void
test_a_file_below_a_directory_others_may_write_is_refused(void **state)
{
    struct amy__settings_args args = {.config = NULL};
    struct amy__settings *settings = NULL;
    char path[128];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/amy.yaml", tree.path);
    tree_file(&tree, "amy.yaml", "");
    assert_int_equal(chmod(tree.path, 0777), 0);
    args.config = path;
    assert_int_equal(
        amy__settings_load(&args, problems_add, NULL, &settings, NULL),
        AMY_EDENIED);
    assert_string_equal(problems_below(&tree),
                        "TOP/webapps: can be written by anybody (mode 0777) "
                        "(allowed: mode 0755 for directories, 0644 for files, "
                        "or less)\n");
}

static void
test_faults_are_told_at_once(void **state)
{
    (void)state;
    expect(
        "webapps: /srv\nspool: srv\nfront:\n  https: [localhost:1]\n"
        "  processes: 0\n  user: root\n  trusted: 10.0.0.0/8\n",
        "amy.yaml:1:1: webapps: unknown key (allowed: certificates, spool, "
        "logs, front, metrics)\n"
        "amy.yaml:2:8: spool: 'srv' does not begin with '/' (allowed: an "
        "absolute path)\n"
        "amy.yaml:4:11: front.https[0]: 'localhost:1' is no address "
        "(allowed: addresses such as \"*:443\", 127.0.0.1:8443, "
        "\"[::1]:8443\")\n"
        "amy.yaml:5:14: front.processes: '0' is no number in range "
        "(allowed: a number from 1 to 256)\n"
        "amy.yaml:6:9: front.user: 'root' is refused (allowed: a system user, not root)\n"
        "amy.yaml:7:12: front.trusted: a single value where a list belongs "
        "(allowed: addresses or networks such as 192.0.2.7, 10.0.0.0/8 or "
        "2001:db8::/32)\n");
    expect("metrics: {front: [\"*:9480\"], workers: [10.0.0.1, \"[::1]\"]}\n",
           "amy.yaml:1:19: metrics.front[0]: '*:9480' can be reached from "
           "elsewhere (allowed: addresses of loopback such as "
           "127.0.0.1:9480)\n"
           "amy.yaml:1:40: metrics.workers[0]: '10.0.0.1' can be reached from "
           "elsewhere (allowed: addresses of loopback such as "
           "127.0.0.1:9480)\n");
    expect("[]", "amy.yaml:1:1: a list where a map belongs (allowed: keys and "
                 "values)\n");
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

static void
test_front_user_that_does_not_exist_is_a_problem_of_the_file(void **state)
{
    struct amy__settings *settings = load("front: {user: amy-nobody-here}\n");
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__user user = {0};
    char wanted[256];

    (void)state;
    (void)snprintf(wanted, sizeof(wanted),
                   "%s/amy.yaml: front.user: there is no user "
                   "'amy-nobody-here' for the front processes: adduser "
                   "--system --group amy-nobody-here\n",
                   tree.path);
    assert_int_equal(
        amy__settings_front_user(settings, problems_add, NULL, &user, &err),
        AMY_ENOTFOUND);
    assert_string_equal(problems_text(), wanted);
    assert_non_null(strstr(err.msg, "adduser"));
    assert_null(user.name);
    amy__settings_free(settings);
    problems_clear();
    settings = load("front: {user: daemon}\n");
    assert_int_equal(
        amy__settings_front_user(settings, problems_add, NULL, &user, &err), 0);
    assert_string_equal(user.name, "daemon");
    amy__user_clear(&user);
    amy__settings_free(settings);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TREE(test_an_empty_file_gives_every_default),
        WITH_TREE(test_every_key_is_read),
        WITH_TREE(test_arguments_win_over_systemd),
        WITH_TREE(test_a_missing_file_matters_only_when_named),
        WITH_TREE(test_a_file_others_may_write_is_refused),
        WITH_TREE(test_a_file_below_a_directory_others_may_write_is_refused),
        WITH_TREE(test_front_user_that_does_not_exist_is_a_problem_of_the_file),
        WITH_TREE(test_faults_are_told_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include "core/alloc.h"
#include "workers/internal.h"

#include <string.h>

static char *vars[] = {(char[]){"PATH=/usr/bin"}, (char[]){"SECRET=a b\nc"},
                       NULL};
static struct amy__env env = {.refs = 1,
                              .vars = vars,
                              .repo_path = (char[]){"/w/example.org/repo"},
                              .venv_path =
                                  (char[]){"/w/example.org/repo/.venv"}};
static struct amy__site site = {.refs = 1, .domain = (char[]){"example.org"}};

static bool
has(char **list, const char *word)
{
    for (size_t i = 0; list[i] != NULL; i++) {
        if (strcmp(list[i], word) == 0) {
            return true;
        }
    }
    return false;
}

static void
test_command_of_wsgi_is_gunicorn_of_the_venv(void **state)
{
    struct amy__site_worker spec = {.name = (char[]){"web"},
                                    .wsgi = (char[]){"config.wsgi:application"},
                                    .timeout_ms = 30500,
                                    .stop_patience_ms = 20000};
    char **argv = amy__workers_command(&site, &spec, &env);

    (void)state;
    assert_non_null(argv);
    assert_string_equal(argv[0], "/w/example.org/repo/.venv/bin/python");
    assert_string_equal(argv[1], "-c");
    assert_non_null(strstr(argv[2], "from gunicorn"));
    assert_true(has(argv, "--workers=1"));
    assert_true(has(argv, "--timeout=31")); /* never shorter than asked */
    assert_true(has(argv, "--graceful-timeout=19"));
    assert_true(has(argv, "--name=example.org:web"));
    assert_true(has(argv, "config.wsgi:application"));
    assert_false(has(argv, "--threads=1")); /* the simplest kind of worker */
    amy__workers_list_free(argv);
    spec.slots = 4;
    argv = amy__workers_command(&site, &spec, &env);
    assert_non_null(argv);
    assert_true(has(argv, "--threads=4"));
    amy__workers_list_free(argv);
}

static void
test_command_of_wsgi_waits_as_long_as_its_most_patient_route(void **state)
{
    struct amy__route routes[] = {
        {.kind = AMY__ROUTE_POOL,
         .pool = (char[]){"web"},
         .timeout_ms = 300000},
        {.kind = AMY__ROUTE_POOL,
         .pool = (char[]){"other"},
         .timeout_ms = 900000},
        {.kind = AMY__ROUTE_POOL, .pool = (char[]){"web"}},
    };
    struct amy__site patient = {.refs = 1,
                                .domain = (char[]){"example.org"},
                                .routes = routes,
                                .route_count = 3};
    struct amy__site_worker spec = {
        .name = (char[]){"web"}, .wsgi = (char[]){"a:b"}, .timeout_ms = 30000};
    char **argv = amy__workers_command(&patient, &spec, &env);

    (void)state;
    assert_non_null(argv);
    assert_true(has(argv, "--timeout=301")); /* the front gives up at 300 */
    amy__workers_list_free(argv);
}

static void
test_command_given_as_words_stays_as_it_is(void **state)
{
    char *words[] = {(char[]){"python"}, (char[]){"manage.py"},
                     (char[]){"rqworker"}, (char[]){"a b"}, NULL};
    struct amy__site_worker spec = {.name = (char[]){"rq"}, .command = words};
    char **argv = amy__workers_command(&site, &spec, &env);

    (void)state;
    assert_non_null(argv);
    for (size_t i = 0; i < 5; i++) {
        if (words[i] == NULL) {
            assert_null(argv[i]);
        } else {
            assert_string_equal(argv[i], words[i]);
        }
    }
    amy__workers_list_free(argv);
}

static void
test_environment_adds_who_the_worker_is(void **state)
{
    struct amy__site_worker spec = {.name = (char[]){"web"}};
    char **envp = amy__workers_environment(&site, &spec, &env, 7);

    (void)state;
    assert_non_null(envp);
    assert_true(has(envp, "PATH=/usr/bin"));
    assert_true(has(envp, "SECRET=a b\nc"));
    assert_true(has(envp, "AMY_SITE=example.org"));
    assert_true(has(envp, "AMY_POOL=web"));
    assert_true(has(envp, "AMY_GENERATION=7"));
    assert_true(has(envp, "PYTHONUNBUFFERED=1"));
    amy__workers_list_free(envp);
}

static void
test_environment_leaves_a_set_pythonunbuffered(void **state)
{
    char *own[] = {(char[]){"PYTHONUNBUFFERED="}, NULL};
    struct amy__env set = {.refs = 1, .vars = own};
    struct amy__site_worker spec = {.name = (char[]){"web"}};
    char **envp = amy__workers_environment(&site, &spec, &set, 1);

    (void)state;
    assert_non_null(envp);
    assert_false(has(envp, "PYTHONUNBUFFERED=1"));
    amy__workers_list_free(envp);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_command_of_wsgi_is_gunicorn_of_the_venv),
        cmocka_unit_test(
            test_command_of_wsgi_waits_as_long_as_its_most_patient_route),
        cmocka_unit_test(test_command_given_as_words_stays_as_it_is),
        cmocka_unit_test(test_environment_adds_who_the_worker_is),
        cmocka_unit_test(test_environment_leaves_a_set_pythonunbuffered),
    };

    return cmocka_run_group_tests_name("workers/command", tests, NULL, NULL);
}

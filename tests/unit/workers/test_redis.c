/* Who asks a site's Redis, with what, and what becomes of bad answers: with a
 * script in place of the daemon. */
#include "amy_test.h"

#include "core/alloc.h"
#include "scene.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char one_pool[] = "redis: {from: CACHE_URL}\n"
                               "workers:\n"
                               "  - {name: one, command: [sleep, '1000']}\n";

static const char activate[] = "export CACHE_URL=redis://:hunter2@h SECRET=x\n";

/* What asks says that. */
static void
start(struct scene *s, const char *variables, const char *script)
{
    char text[1024] = "";
    char path[64] = "";

    (void)snprintf(text, sizeof(text), "#!/bin/sh\n%s\n", script);
    scene_put(s, "asks", text, 0755);
    (void)snprintf(path, sizeof(path), "%s/asks", s->path);
    amy__free(s->workers->program);
    s->workers->program = amy__strdup(path);
    scene_put_site(s, variables, one_pool);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
}

static struct amy__json *
told(const struct scene *s)
{
    const struct amy__workers_site *site =
        amy__workers_site_find(s->workers, DOMAIN);

    return site == NULL ? NULL : amy__workers_redis_json(site);
}

static bool
was_asked(const struct scene *s)
{
    struct amy__json *json = told(s);
    bool asked = amy__json_get_bool(json, "asked", false);

    amy__json_free(json);
    return asked;
}

static void
expect_error(struct scene *s, const char *error)
{
    struct amy__json *json = NULL;

    scene_run_until(s, was_asked);
    json = told(s);
    assert_string_equal(amy__json_get_text(json, "error", ""), error);
    assert_null(amy__json_get(json, "age_ms"));
    amy__json_free(json);
}

static void
test_redis_is_asked_as_the_sites_user_who_is_told_no_more(void **state)
{
    struct scene *s = *state;
    const struct amy__workers_site *site = NULL;
    struct amy__json *json = NULL;
    const char *variables = NULL;

    start(s, activate,
          "echo \"{\\\"uid\\\": $(id -u), \\\"argument\\\": \\\"$*\\\", "
          "\\\"env\\\": \\\"$(env | tr '\\n' ' ')\\\"}\"");
    scene_run_until(s, was_asked);
    site = amy__workers_site_find(s->workers, DOMAIN);
    json = told(s);
    assert_int_equal(amy__json_get_int(json, "uid", -1), site->site->uid);
    assert_string_equal(amy__json_get_text(json, "argument", ""), "--redis");
    variables = amy__json_get_text(json, "env", "");
    assert_non_null(strstr(variables, "AMY_REDIS_URL=redis://:hunter2@h "));
    assert_null(strstr(variables, "SECRET"));
    assert_in_range(amy__json_get_int(json, "age_ms", -1), 0, 60000);
    assert_true(amy__workers_redis_is_up(site));
    amy__json_free(json);
}

static void
test_redis_answers_of_no_use_are_told(void **state)
{
    start(*state, activate, "echo no JSON");
    expect_error(*state, "the process that asks it failed");
}

static void
test_redis_answer_without_end_is_of_no_use(void **state)
{
    start(*state, activate, "yes '{\"a\": 1}' | head -c 1000000");
    expect_error(*state, "the process that asks it failed");
}

static void
test_redis_process_that_was_killed_is_told(void **state)
{
    start(*state, activate, "kill -9 $$");
    expect_error(*state, "no answer in time");
}

/* What the server said may be anything. */
static void
test_redis_error_is_told_in_our_words(void **state)
{
    start(*state, activate,
          "echo '{\"error\": \"Redis at h: refused; it said: secret\"}'");
    expect_error(*state, "Redis at h: refused");
}

/* It may have been made to say anything, and a log is read on a terminal. */
static void
test_redis_error_is_escaped(void **state)
{
    struct scene *s = *state;
    struct amy__json *json = NULL;

    start(s, activate, "echo '{\"error\": \"a\\u001b[2J\\\"b\"}'");
    scene_run_until(s, was_asked);
    json = told(s);
    assert_null(strchr(amy__json_get_text(json, "error", ""), '\033'));
    assert_non_null(strstr(amy__json_get_text(json, "error", ""), "[2J"));
    amy__json_free(json);
}

static void
test_redis_variable_that_is_missing_is_named(void **state)
{
    start(*state, "export OTHER=1\n", "echo '{}'");
    expect_error(*state, "the site's environment has no CACHE_URL");
}

static pid_t
read_pid(const struct scene *s)
{
    char path[96] = "";
    char text[32] = "";
    FILE *file = NULL;

    (void)snprintf(path, sizeof(path), "%s/out/pid", s->path);
    file = fopen(path, "re");
    if (file == NULL) {
        return 0;
    }
    if (fgets(text, sizeof(text), file) == NULL) {
        text[0] = '\0';
    }
    (void)fclose(file);
    return strchr(text, '\n') == NULL ? 0 : (pid_t)strtol(text, NULL, 10);
}

static bool
is_asking(const struct scene *s)
{
    return read_pid(s) > 0;
}

static void
test_free_ends_who_asks(void **state)
{
    struct scene *s = *state;
    char script[160] = "";
    char path[96] = "";

    scene_make(s, "out");
    (void)snprintf(path, sizeof(path), "%s/out", s->path);
    assert_int_equal(chmod(path, 0777), 0);
    (void)snprintf(script, sizeof(script), "echo $$ > %s/pid; exec sleep 1000",
                   path);
    start(s, activate, script);
    scene_run_until(s, is_asking);
    scene_renew_supervisor(s);
    assert_int_equal(kill(read_pid(s), 0), -1);
    assert_int_equal(errno, ESRCH);
}

#define T(name)                                                                \
    cmocka_unit_test_setup_teardown(name, scene_set_up, scene_tear_down)

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_redis_is_asked_as_the_sites_user_who_is_told_no_more),
        T(test_redis_answers_of_no_use_are_told),
        T(test_redis_answer_without_end_is_of_no_use),
        T(test_redis_process_that_was_killed_is_told),
        T(test_redis_error_is_told_in_our_words),
        T(test_redis_error_is_escaped),
        T(test_redis_variable_that_is_missing_is_named),
        T(test_free_ends_who_asks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

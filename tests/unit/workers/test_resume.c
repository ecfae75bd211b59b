/* A supervisor that begins anew: with the release that served last. */
#include "amy_test.h"

#include "serving.h"

#include <stdio.h>
#include <unistd.h>

static bool
resumed_and_refused(const struct scene *s)
{
    return ready_of(s, 2) == 2 && scene_pool(s, 3, "web") == NULL &&
           scene_reload(s)->generation == 3;
}

static bool
fourth_serves(const struct scene *s)
{
    return ready_of(s, 4) == 2 && scene_pool(s, 2, "web") == NULL;
}

static void
test_supervisor_begins_with_the_release_that_served_last(void **state)
{
    struct scene *s = *state;

    link_repo(s, "one");
    serve_first(s, "bake: 0s", "");
    link_repo(s, "two");
    put_serving(s, "bake: 0s", "3.0 exit\n");
    scene_renew_supervisor(s);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, resumed_and_refused);
    assert_true(runs_in(s, 2, "one"));
    assert_reason(s, "web 0 of generation 3: exited with code 3");
    /* Mended, it takes over, and is what the next one begins with. */
    put_mode(s, "");
    ask_reload(s);
    scene_run_until(s, fourth_serves);
    assert_true(runs_in(s, 4, "two"));
}

static bool
serves_anew(const struct scene *s)
{
    return ready_of(s, 2) == 2 || ready_of(s, 3) == 2;
}

static bool
any_is(const struct scene *s, const char *release)
{
    return runs_in(s, 2, release) || runs_in(s, 3, release);
}

static void
test_release_that_served_last_may_be_gone(void **state)
{
    struct scene *s = *state;
    char from[128];
    char to[128];

    link_repo(s, "one");
    serve_first(s, "bake: 0s", "");
    link_repo(s, "two");
    put_serving(s, "bake: 0s", "");
    (void)snprintf(from, sizeof(from), "%s/" DOMAIN "/releases/one",
                   s->webapps);
    (void)snprintf(to, sizeof(to), "%s/" DOMAIN "/releases/old", s->webapps);
    assert_int_equal(rename(from, to), 0);
    scene_renew_supervisor(s);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, serves_anew);
    assert_true(any_is(s, "two"));
}

/* Whoever serves release one has moved the link to one that never does; with
 * the YAML of serve_first(), or this one. */
static void
begin_after_a_bad_release(struct scene *s, const char *yaml)
{
    link_repo(s, "two");
    put_serving(s, "bake: 0s", "2.0 exit\n2.1 exit\n3.0 exit\n3.1 exit\n");
    if (yaml != NULL) {
        scene_put_site(s, "export A=1\n", yaml);
    }
    scene_renew_supervisor(s);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
}

static void
test_release_that_served_last_may_be_unreadable(void **state)
{
    struct scene *s = *state;

    link_repo(s, "one");
    serve_first(s, "bake: 0s", "");
    link_repo(s, "two");
    put_serving(s, "bake: 0s", "");
    scene_put(s, "webapps/" DOMAIN "/releases/one/.venv/bin/activate",
              "echo sealed; return 3\n", 0644);
    scene_renew_supervisor(s);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, serves_anew);
    assert_true(any_is(s, "two"));
}

static bool
third_is_refused(const struct scene *s)
{
    return ready_of(s, 2) == 2 && scene_reload(s)->generation == 3 &&
           scene_reload(s)->reason[0] != '\0';
}

static void
test_reload_while_it_begins_waits(void **state)
{
    struct scene *s = *state;

    link_repo(s, "one");
    serve_first(s, "bake: 0s", "");
    begin_after_a_bad_release(s, NULL);
    ask_reload(s);
    scene_run_until(s, third_is_refused);
    assert_true(runs_in(s, 2, "one"));
    scene_run_until(s, scene_has_reloaded);
}

/* Its rq and its clock never ran, and were not to be waited for; nor do they
 * take away the time that the other needs to begin again. */
static void
test_release_whose_other_pools_fail_has_served(void **state)
{
    static const char yaml[] =
        "health: {path: /up, bake: 0s}\n"
        "workers:\n"
        "  - {name: web, command: [python3, serve.py], count: 2,\n"
        "     boot_timeout: 3s, timeout: 2s}\n"
        "  - {name: rq, command: ['false']}\n"
        "  - {name: clock, command: ['false'], replace: stop-first}\n"
        "routes:\n"
        "  - {path: /, pool: web}\n";
    struct scene *s = *state;

    link_repo(s, "one");
    put_serving(s, "bake: 0s", "");
    scene_put_site(s, "export A=1\n", yaml);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, first_serves);
    put_mode(s, "2.0 slow\n2.1 slow\n");
    begin_after_a_bad_release(s, yaml);
    scene_run_until(s, third_is_refused);
    assert_true(runs_in(s, 2, "one"));
}

/* `.venv` leads to that one from now on. */
static void
link_venv(const struct scene *s, const char *target)
{
    char link[160];

    (void)snprintf(link, sizeof(link), "%s/" REPO ".venv", s->path);
    (void)unlink(link);
    assert_int_equal(symlink(target, link), 0);
}

static void
test_environment_alone_may_be_what_never_took_over(void **state)
{
    struct scene *s = *state;
    char from[160];
    char to[160];

    put_serving(s, "bake: 0s", "");
    (void)snprintf(from, sizeof(from), "%s/" REPO ".venv", s->path);
    (void)snprintf(to, sizeof(to), "%s/" DOMAIN "/one", s->webapps);
    assert_int_equal(rename(from, to), 0);
    link_venv(s, "../one");
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, first_serves);
    scene_make(s, "webapps/" DOMAIN "/two/bin");
    scene_put(s, "webapps/" DOMAIN "/two/bin/python", "#!/bin/sh\n", 0755);
    scene_put(s, "webapps/" DOMAIN "/two/bin/activate", "return 3\n", 0644);
    link_venv(s, "../two");
    ask_and_hear(s);
    assert_told("HTTP/1.1 422 ");
    scene_renew_supervisor(s);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, serves_anew);
}

/* What runs is the copy, and what is wrong with the new one is still known. */
static void
test_refusal_of_site_yaml_outlives_the_copy(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 0s", "");
    scene_put_site(s, "export A=1\n", "nonsense: yes\n");
    scene_renew_supervisor(s);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    ask_and_hear(s);
    assert_told("HTTP/1.1 422 ");
    scene_run_until(s, serves_anew);
    assert_true(scene_reload(s)->refused);
    assert_reason(s, "site.yaml");
}

#define SCENE_TEST(test)                                                       \
    cmocka_unit_test_setup_teardown(test, scene_set_up, scene_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_supervisor_begins_with_the_release_that_served_last),
        SCENE_TEST(test_release_that_served_last_may_be_gone),
        SCENE_TEST(test_release_that_served_last_may_be_unreadable),
        SCENE_TEST(test_reload_while_it_begins_waits),
        SCENE_TEST(test_release_whose_other_pools_fail_has_served),
        SCENE_TEST(test_environment_alone_may_be_what_never_took_over),
        SCENE_TEST(test_refusal_of_site_yaml_outlives_the_copy),
    };

    return cmocka_run_group_tests_name("workers/resume", tests, NULL, NULL);
}

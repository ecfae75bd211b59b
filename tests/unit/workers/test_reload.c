/* Reloads of a site that really serves. */
#include "amy_test.h"

#include "serving.h"

#include <signal.h>
#include <stdio.h>
#include <unistd.h>

/* ---- tests ---- */

static void
test_good_generation_takes_over_one_by_one(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 100ms", "");
    assert_true(published(s, "1.0") && published(s, "1.1"));
    ask_reload(s);
    scene_run_until(s, only_second_watched);
    assert_int_equal(s->reloaded, 1);
    assert_true(fewest >= 2);
    assert_string_equal(scene_reload(s)->reason, "");
    assert_true(published(s, "2.0") && published(s, "2.1"));
    assert_false(published(s, "1.0") || published(s, "1.1"));
}

static void
test_first_generation_may_answer_anything(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 0s", "1.0 500\n1.1 503\n");
    assert_true(published(s, "1.0") && published(s, "1.1"));
}

static void
test_later_position_that_does_not_come_up_takes_all_back(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 0s", "2.1 exit\n");
    ask_reload(s);
    scene_run_until(s, only_first_watched);
    assert_true(fewest >= 2);
    assert_reason(s, "web 1 of generation 2: exited with code 3");
    assert_int_equal(s->reloaded, 1);
    /* The first had gone for the canary's sake, and is back. */
    assert_int_equal(restarts_of(s, 1, 0), 1);
    assert_int_equal(restarts_of(s, 1, 1), 0);
    assert_true(published(s, "1.0") && published(s, "1.1"));
}

static bool
third_alone(const struct scene *s)
{
    return ready_of(s, 3) == 2 && scene_pool(s, 2, "web") == NULL &&
           scene_pool(s, 1, "web") == NULL && s->reloaded == 10;
}

static void
test_ten_reloads_at_once_are_two(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 300ms", "");
    ask_reload(s);
    scene_run_until(s, bakes);
    for (int i = 0; i < 9; i++) {
        ask_reload(s);
    }
    scene_run_until(s, third_alone);
    assert_null(scene_pool(s, 4, "web"));
    assert_int_equal(scene_reload(s)->generation, 3);
}

static void
test_stop_in_the_bake_ends_both_generations(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 1m", "");
    ask_reload(s);
    scene_run_until(s, bakes);
    assert_int_equal(amy_workers_stop(s->workers, 0, scene_on_stopped, s, NULL),
                     0);
    scene_run_until(s, scene_has_stopped);
    assert_int_equal(s->reloaded, 1);
    assert_false(published(s, "1.0") || published(s, "2.0"));
}

static bool
is_gone(const struct scene *s)
{
    return amy__workers_site_find(s->workers, DOMAIN) == NULL;
}

static void
test_site_that_leaves_in_the_bake_ends_both_generations(void **state)
{
    struct scene *s = *state;
    char path[128];

    serve_first(s, "bake: 1m", "");
    ask_reload(s);
    scene_run_until(s, bakes);
    (void)snprintf(path, sizeof(path), "%s/" DOMAIN "/site.yaml", s->webapps);
    assert_int_equal(unlink(path), 0);
    ask_reload(s);
    scene_run_until(s, is_gone);
    scene_run_until(s, scene_has_reloaded);
    assert_false(published(s, "1.0") || published(s, "2.0"));
}

static bool
refused(const struct scene *s)
{
    return scene_has_reloaded(s) && scene_reload(s)->refused;
}

static void
test_refused_environment_touches_nothing(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 0s", "");
    scene_put(s, REPO ".venv/bin/activate", "echo no; return 4\n", 0644);
    ask_reload(s);
    scene_run_until(s, refused);
    assert_reason(s, "repo/.venv/bin/activate failed with status 4");
    assert_string_equal(s->workers->sites->env_error, scene_reload(s)->reason);
    assert_int_equal(amy__json_count(scene_reload(s)->lines), 1);
    assert_string_equal(
        amy__json_as_text(amy__json_at(scene_reload(s)->lines, 0), ""), "no");
    assert_true(first_serves(s));
    assert_int_equal(scene_reload(s)->generation, 1);
}

static bool
has_a_reason(const struct scene *s)
{
    return scene_reload(s)->reason[0] != '\0';
}

/* The pool of another name is new, but the site is not. */
static void
test_renamed_pool_that_fails_leaves_the_old_one(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 0s", "2.0 exit\n2.1 exit\n");
    scene_put_site(s, "export A=1\n",
                   "health: {path: /up, bake: 0s}\n"
                   "workers:\n"
                   "  - {name: app, command: [python3, serve.py], count: 2,\n"
                   "     boot_timeout: 3s, timeout: 2s}\n"
                   "routes:\n"
                   "  - {path: /, pool: app}\n");
    ask_reload(s);
    scene_run_until(s, has_a_reason);
    assert_reason(s, " of generation 2: exited with code 3");
    assert_int_equal(ready_of(s, 1), 2);
    scene_run_until(s, scene_has_reloaded);
    assert_int_equal(ready_of(s, 1), 2);
    assert_int_equal(restarts_of(s, 1, 0) + restarts_of(s, 1, 1), 0);
}

static bool
first_boots(const struct scene *s)
{
    const struct amy__workers_pool *web = scene_pool(s, 1, "web");

    return web != NULL && amy__workers_pool_state(web, 0) == AMY_WORKER_BOOT;
}

/* Longer than a test may last. */
static void
start_patient(struct scene *s, const char *mode)
{
    put_serving(s, "bake: 0s", mode);
    scene_put_site(s, "export A=1\n",
                   "health: {path: /up, bake: 0s}\n"
                   "workers:\n"
                   "  - {name: web, command: [python3, serve.py], count: 2,\n"
                   "     boot_timeout: 5m, timeout: 2s}\n"
                   "routes:\n"
                   "  - {path: /, pool: web}\n");
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, first_boots);
}

static void
test_first_generation_that_hangs_is_not_waited_for(void **state)
{
    struct scene *s = *state;

    start_patient(s, "1.0 hang\n1.1 hang\n");
    ask_reload(s);
    scene_run_until(s, only_second);
    assert_int_equal(scene_reload(s)->generation, 2);
}

static void
test_who_asks_while_the_first_starts_hears_of_the_second(void **state)
{
    struct scene *s = *state;

    start_patient(s, "1.0 hang\n1.1 hang\n2.0 exit\n");
    ask_and_hear(s);
    assert_told("HTTP/1.1 422 ");
    assert_told("\"detail\":\"web 0 of generation 2: exited with code 3");
}

/* The first is ready while the environment of the second is read. */
static void
test_end_of_the_first_is_not_told_for_that_of_the_second(void **state)
{
    struct scene *s = *state;

    start_patient(s, "1.0 slow\n1.1 slow\n");
    scene_put(s, REPO ".venv/bin/activate", "sleep 1000\n", 0644);
    ask_and_hear(s);
    assert_told("HTTP/1.1 422 ");
    assert_told("activate took longer than 5000 ms");
    assert_int_equal(ready_of(s, 1), 2);
}

/* ---- releases ---- */

static bool
first_is_back(const struct scene *s)
{
    return restarts_of(s, 1, 0) == 1 && first_serves(s);
}

static void
test_crashed_worker_comes_back_with_its_own_release(void **state)
{
    struct scene *s = *state;

    link_repo(s, "one");
    serve_first(s, "bake: 0s", "");
    assert_true(runs_in(s, 1, "one"));
    link_repo(s, "two");
    kill_worker(s, 1, 0);
    scene_run_until(s, first_is_back);
    assert_true(runs_in(s, 1, "one"));
    assert_false(amy__workers_pool_changed(scene_pool(s, 1, "web")));
}

static void
remove_repo(const struct scene *s)
{
    char from[128];
    char to[128];

    (void)snprintf(from, sizeof(from), "%s/" DOMAIN "/repo", s->webapps);
    (void)snprintf(to, sizeof(to), "%s/" DOMAIN "/away", s->webapps);
    assert_int_equal(rename(from, to), 0);
}

static void
test_code_changed_in_place_is_seen(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 0s", "");
    assert_false(amy__workers_pool_changed(scene_pool(s, 1, "web")));
    scene_put(s, REPO "views.py", "pass\n", 0644);
    assert_true(amy__workers_pool_changed(scene_pool(s, 1, "web")));
    ask_reload(s);
    scene_run_until(s, only_second);
    assert_false(amy__workers_pool_changed(scene_pool(s, 2, "web")));
    /* One that is gone was not changed. */
    remove_repo(s);
    assert_false(amy__workers_pool_changed(scene_pool(s, 2, "web")));
}

/* ---- what an asker is told ---- */

static void
test_who_asks_hears_the_reason_and_the_last_lines(void **state)
{
    struct scene *s = *state;

    serve_first(s, "bake: 0s", "2.0 exit\n");
    ask_and_hear(s);
    assert_told("HTTP/1.1 422 ");
    assert_told("\"detail\":\"web 0 of generation 2: exited with code 3 before "
                "it was ready\"");
    assert_told("\"lines\":[\"up 2.0 repo\",\"cannot\"]");
    ask_and_hear(s);
    assert_told("HTTP/1.1 200 ");
    assert_told("\"done\":true,\"generation\":3,\"draining\":[]");
}

static void
test_site_without_workers_is_refused_once(void **state)
{
    struct scene *s = *state;

    scene_put_site(s, "true\n", "");
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_put_site(s, "true\n", "nonsense: yes\n");
    ask_and_hear(s);
    assert_told("HTTP/1.1 422 ");
    scene_put_site(s, "true\n", "");
    ask_and_hear(s);
    assert_told("HTTP/1.1 200 ");
}

static bool
rq_runs(const struct scene *s)
{
    const struct amy__workers_pool *rq = scene_pool(s, 1, "rq");

    return first_serves(s) && rq != NULL && amy__workers_pool_ready(rq) == 1;
}

static void
put_rq(const struct scene *s, const char *script)
{
    put_serving(s, "bake: 3s", "");
    scene_put_site(s, "export A=1\n",
                   "health: {path: /up, bake: 3s}\n"
                   "workers:\n"
                   "  - {name: web, command: [python3, serve.py], count: 2,\n"
                   "     boot_timeout: 3s, timeout: 2s}\n"
                   "  - {name: rq, command: [sh, rq.sh], replace: stop-first}\n"
                   "routes:\n"
                   "  - {path: /, pool: web}\n");
    scene_put(s, REPO "rq.sh", script, 0644);
}

/* It seems to run for longer than a worker without a socket takes to be ready.
 */
static void
test_release_broken_only_in_rq_is_refused(void **state)
{
    struct scene *s = *state;

    put_rq(s, "exec sleep 1000\n");
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, rq_runs);
    put_rq(s, "sleep 1.5; echo no module; exit 1\n");
    ask_and_hear(s);
    assert_told("HTTP/1.1 422 ");
    assert_told("rq 0 of generation 2: exited with code 1");
    assert_told("no module");
    put_rq(s, "exec sleep 1000\n");
    scene_run_until(s, rq_runs);
}

#define SCENE_TEST(test)                                                       \
    cmocka_unit_test_setup_teardown(test, serving_set_up, scene_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_good_generation_takes_over_one_by_one),
        SCENE_TEST(test_first_generation_may_answer_anything),
        SCENE_TEST(test_later_position_that_does_not_come_up_takes_all_back),
        SCENE_TEST(test_ten_reloads_at_once_are_two),
        SCENE_TEST(test_stop_in_the_bake_ends_both_generations),
        SCENE_TEST(test_site_that_leaves_in_the_bake_ends_both_generations),
        SCENE_TEST(test_refused_environment_touches_nothing),
        SCENE_TEST(test_renamed_pool_that_fails_leaves_the_old_one),
        SCENE_TEST(test_first_generation_that_hangs_is_not_waited_for),
        SCENE_TEST(test_who_asks_while_the_first_starts_hears_of_the_second),
        SCENE_TEST(test_end_of_the_first_is_not_told_for_that_of_the_second),
        SCENE_TEST(test_crashed_worker_comes_back_with_its_own_release),
        SCENE_TEST(test_code_changed_in_place_is_seen),
        SCENE_TEST(test_release_broken_only_in_rq_is_refused),
        SCENE_TEST(test_who_asks_hears_the_reason_and_the_last_lines),
        SCENE_TEST(test_site_without_workers_is_refused_once),
    };

    return cmocka_run_group_tests_name("workers/reload", tests, NULL, NULL);
}

/* The supervisor with real sites and tiny processes, on a real loop. */
#include "amy_test.h"

#include "core/files.h"
#include "net/unix.h"
#include "scene.h"

#include <fcntl.h>
#include <stdio.h>
#include <unistd.h>

static const char two_pools[] =
    "workers:\n"
    "  - {name: one, command: [sleep, '1000']}\n"
    "  - {name: two, command: [sleep, '1000'], replace: stop-first, after: "
    "[one]}\n";

/* Takes the second that it is given. */
static const char slow_second[] =
    "workers:\n"
    "  - {name: one, command: [sleep, '1000']}\n"
    "  - name: two\n"
    "    command: [sh, -c, \"trap '' TERM; while :; do sleep 1; done\"]\n"
    "    after: [one]\n"
    "    stop: {patience: 1s}\n";

static const char broken_first[] =
    "workers:\n"
    "  - {name: one, command: [sh, -c, 'echo no, thanks; exit 1']}\n"
    "  - {name: two, command: [sleep, '1000'], replace: stop-first, after: "
    "[one]}\n";

/* ---- tests ---- */

static void
test_stop_in_the_turn_of_a_reload_ends_both(void **state)
{
    struct scene *s = *state;

    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    assert_int_equal(amy_workers_reload(s->workers, scene_on_reloaded, s, NULL),
                     0);
    assert_int_equal(amy_workers_stop(s->workers, 0, scene_on_stopped, s, NULL),
                     0);
    scene_run_until(s, scene_has_stopped);
    assert_int_equal(s->reloaded, 1);
    assert_int_equal(amy_workers_reload(s->workers, scene_on_reloaded, s, NULL),
                     AMY_ESTATE);
    assert_int_equal(amy_workers_stop(s->workers, 0, scene_on_stopped, s, NULL),
                     AMY_EAGAIN);
}

static void
test_everyone_who_asks_for_a_reload_is_told_once(void **state)
{
    struct scene *s = *state;

    scene_put_site(s, "export A=1\n", two_pools);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    assert_int_equal(amy_workers_reload(s->workers, scene_on_reloaded, s, NULL),
                     0);
    assert_int_equal(amy_workers_reload(s->workers, NULL, NULL, NULL), 0);
    assert_int_equal(amy_workers_reload(s->workers, scene_on_reloaded, s, NULL),
                     0);
    assert_int_equal(s->reloaded, 0);
    scene_run_until(s, scene_has_reloaded);
    assert_int_equal(amy_workers_stop(s->workers, 1, scene_on_stopped, s, NULL),
                     0);
    scene_run_until(s, scene_has_stopped);
    assert_int_equal(s->reloaded, 2);
    assert_int_equal(s->stopped, 1);
}

static void
test_stop_while_an_environment_is_read_ends_the_reload(void **state)
{
    struct scene *s = *state;

    scene_put_site(s, "read never </dev/tty || kill -STOP $$\n", two_pools);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    assert_int_equal(amy_workers_reload(s->workers, scene_on_reloaded, s, NULL),
                     0);
    assert_int_equal(amy_workers_stop(s->workers, 0, scene_on_stopped, s, NULL),
                     0);
    scene_run_until(s, scene_has_stopped);
    assert_int_equal(s->reloaded, 1);
}

static bool
is_asked(const struct scene *s)
{
    return amy__workers_site_find(s->workers, DOMAIN)->reload.askers != NULL;
}

static void
test_free_answers_who_waits_for_a_site(void **state)
{
    static const char request[] =
        "POST /v1/sites/" DOMAIN "/reload HTTP/1.1\r\nHost: x\r\n\r\n";
    struct scene *s = *state;
    int run_fd = -1;
    int fd = -1;

    scene_put_site(s, "kill -STOP $$\n", two_pools);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    run_fd = open(s->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fd = amy__unix_connect_at(run_fd, "workers.sock", NULL);
    assert_true(fd >= 0);
    assert_int_equal(amy__write_all(fd, request, sizeof(request) - 1, NULL), 0);
    scene_run_until(s, is_asked);
    amy_workers_free(s->workers);
    s->workers = NULL;
    amy__close(&fd);
    amy__close(&run_fd);
}

static bool
second_runs(const struct scene *s)
{
    const struct amy__workers_pool *two = scene_pool(s, 1, "two");

    return two != NULL && amy__workers_pool_ready(two) == 1;
}

static bool
first_generation_alone(const struct scene *s)
{
    return scene_has_reloaded(s) && scene_pool(s, 2, "one") == NULL &&
           scene_pool(s, 2, "two") == NULL;
}

static void
test_broken_generation_ends_and_the_old_one_goes_on(void **state)
{
    struct scene *s = *state;
    const struct amy__workers_reload *reload = NULL;
    struct amy_worker_view view = {.struct_size = sizeof(view)};

    scene_put_site(s, "export A=1\n", two_pools);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, second_runs);
    scene_put_site(s, "export A=1\n", broken_first);
    assert_int_equal(amy_workers_reload(s->workers, scene_on_reloaded, s, NULL),
                     0);
    scene_run_until(s, first_generation_alone);
    reload = &amy__workers_site_find(s->workers, DOMAIN)->reload;
    assert_int_equal(reload->roll.phase, AMY__ROLL_IDLE);
    assert_string_equal(
        reload->reason,
        "one 0 of generation 2: exited with code 1 before it was ready");
    assert_int_equal(amy__json_count(reload->lines), 1);
    assert_string_equal(amy__json_as_text(amy__json_at(reload->lines, 0), ""),
                        "no, thanks");
    /* Nobody of the old one has even noticed. */
    assert_true(second_runs(s));
    assert_int_equal(amy_pool_worker(scene_pool(s, 1, "one")->pool, 0, &view),
                     0);
    assert_int_equal(view.state, AMY_WORKER_READY);
    assert_int_equal(view.restarts, 0);
}

static bool
second_is_stopping(const struct scene *s)
{
    const struct amy__workers_pool *two = scene_pool(s, 1, "two");

    return two != NULL && two->stopping;
}

static bool
next_runs(const struct scene *s)
{
    const struct amy__workers_pool *two = scene_pool(s, 2, "two");

    return two != NULL && amy__workers_pool_ready(two) == 1;
}

static void
test_site_that_comes_back_while_it_leaves_runs_again(void **state)
{
    struct scene *s = *state;
    char path[128];

    scene_put_site(s, "export A=1\n", slow_second);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, second_runs);
    (void)snprintf(path, sizeof(path), "%s/" DOMAIN "/site.yaml", s->webapps);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(amy_workers_reload(s->workers, NULL, NULL, NULL), 0);
    scene_run_until(s, second_is_stopping);
    /* Its environment is no good yet: what still drains is no reason to rest */
    scene_put_site(s, "return 1\n", two_pools);
    assert_int_equal(amy_workers_reload(s->workers, scene_on_reloaded, s, NULL),
                     0);
    scene_run_until(s, scene_has_reloaded);
    scene_put_site(s, "export A=1\n", two_pools);
    scene_run_until(s, next_runs);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_stop_in_the_turn_of_a_reload_ends_both, scene_set_up,
            scene_tear_down),
        cmocka_unit_test_setup_teardown(
            test_everyone_who_asks_for_a_reload_is_told_once, scene_set_up,
            scene_tear_down),
        cmocka_unit_test_setup_teardown(
            test_stop_while_an_environment_is_read_ends_the_reload,
            scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(test_free_answers_who_waits_for_a_site,
                                        scene_set_up, scene_tear_down),
        cmocka_unit_test_setup_teardown(
            test_broken_generation_ends_and_the_old_one_goes_on, scene_set_up,
            scene_tear_down),
        cmocka_unit_test_setup_teardown(
            test_site_that_comes_back_while_it_leaves_runs_again, scene_set_up,
            scene_tear_down),
    };

    return cmocka_run_group_tests_name("workers/workers", tests, NULL, NULL);
}

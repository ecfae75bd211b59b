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
release_one_is_gone(const struct scene *s)
{
    return ready_of(s, 2) == 2 || ready_of(s, 3) == 2;
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
    scene_run_until(s, release_one_is_gone);
    assert_true(runs_in(s, 2, "two") || runs_in(s, 3, "two"));
}

#define SCENE_TEST(test)                                                       \
    cmocka_unit_test_setup_teardown(test, scene_set_up, scene_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        SCENE_TEST(test_supervisor_begins_with_the_release_that_served_last),
        SCENE_TEST(test_release_that_served_last_may_be_gone),
    };

    return cmocka_run_group_tests_name("workers/resume", tests, NULL, NULL);
}

/* A pool in the hands of somebody who did not read its page. */
/* Not for being freed inside its callbacks: test_pool.c has each of them. */
#include "amy_test.h"

#include <amy/pool.h>

#include "misuse.h"

#include <event2/event.h>

#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

struct place {
    struct event_base *base;
    struct amy_pool *pool;
    int ready;
    int stopped;
    int64_t pid;
};

static const char *const argv[] = {"sleep", "1000", NULL};

static void
on_event(struct amy_pool *pool, const struct amy_pool_event *event, void *user)
{
    struct place *place = user;

    (void)pool;
    if (event->type == AMY_POOL_READY) {
        place->ready++;
        place->pid = event->pid;
    }
}

static void
on_stopped(struct amy_pool *pool, void *user)
{
    struct place *place = user;

    (void)pool;
    place->stopped++;
}

static struct amy_pool_options
options(struct place *place)
{
    struct amy_pool_options opts = AMY_POOL_OPTIONS_INIT;

    opts.base = place->base;
    opts.name = "misuse";
    opts.argv = argv;
    opts.settle_ms = 1;
    opts.on_event = on_event;
    opts.callback_user = place;
    return opts;
}

static int
set_up(void **state)
{
    static struct place place;
    struct amy_pool_options opts;

    place = (struct place){.base = event_base_new()};
    *state = &place;
    opts = options(&place);
    return place.base == NULL ? -1 : amy_pool_create(&opts, &place.pool, NULL);
}

static int
tear_down(void **state)
{
    struct place *place = *state;

    amy_pool_free(place->pool);
    event_base_free(place->base);
    return 0;
}

/* ---- options of another version ---- */

static void
test_options_of_an_older_version_have_defaults_for_the_rest(void **state)
{
    struct place *place = *state;
    struct amy_pool_options opts = options(place);
    struct amy_pool *pool = NULL;
    int no_event = 0;

    opts.count = 3; /* which that version did not have */
    opts.struct_size = offsetof(struct amy_pool_options, count);
    assert_int_equal(amy_pool_create(&opts, &pool, NULL), 0);
    assert_int_equal(amy_pool_count(pool), 1);
    assert_int_equal(amy_pool_start(pool, NULL), 0);
    assert_int_equal(amy_pool_stop(pool, 0, on_stopped, place, NULL), 0);
    run_until(place->base, &place->stopped);
    assert_int_equal(place->ready, no_event); /* nor on_event */
    amy_pool_free(pool);
}

static void
test_options_of_a_newer_version_may_ask_for_nothing_new(void **state)
{
    struct amy_pool_options opts = options(*state);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_pool *pool = NULL;
    void *newer = newer_options(&opts, sizeof(opts), 16, 0);

    assert_int_equal(amy_pool_create(newer, &pool, &err), 0);
    amy_pool_free(pool);
    free(newer);
    pool = NULL;
    newer = newer_options(&opts, sizeof(opts), 16, 1);
    assert_int_equal(amy_pool_create(newer, &pool, &err), AMY_EINVAL);
    assert_string_equal(err.msg,
                        "options use a field this libamy does not know");
    assert_null(pool);
    free(newer);
}

static void
test_options_that_nobody_began_are_refused(void **state)
{
    struct amy_pool_options opts = options(*state);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_pool *pool = NULL;

    opts.struct_size = 0;
    assert_int_equal(amy_pool_create(&opts, &pool, &err), AMY_EINVAL);
    assert_string_equal(err.msg, "options struct_size 0 is too small");
    assert_int_equal(amy_pool_create(NULL, &pool, &err), AMY_EINVAL);
    assert_null(pool);
}

static void
test_a_view_of_an_older_version_is_not_written_past(void **state)
{
    struct place *place = *state;
    struct amy_worker_view view = {
        .struct_size = offsetof(struct amy_worker_view, pid), .pid = 4711};

    assert_int_equal(amy_pool_worker(place->pool, 0, &view), 0);
    assert_int_equal(view.generation, 1);
    assert_int_equal(view.pid, 4711);
}

/* ---- without a loop ---- */

static void
test_a_pool_without_a_base_is_refused(void **state)
{
    struct amy_pool_options opts = options(*state);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_pool *pool = NULL;

    opts.base = NULL;
    assert_int_equal(amy_pool_create(&opts, &pool, &err), AMY_EINVAL);
    assert_non_null(strstr(err.msg, "base"));
}

static void
test_a_pool_whose_loop_does_not_run_starts_nothing(void **state)
{
    struct place *place = *state;
    struct amy_worker_view view = {.struct_size = sizeof(view)};

    assert_int_equal(amy_pool_start(place->pool, NULL), 0);
    assert_int_equal(amy_pool_worker(place->pool, 0, &view), 0);
    assert_int_equal(view.pid, -1);
    assert_int_equal(amy_pool_stop(place->pool, 0, on_stopped, place, NULL), 0);
    assert_int_equal(place->stopped, 0);
}

/* ---- fork ---- */

static int
use_it(void *user)
{
    struct place *place = user;
    struct amy_pool *pool = place->pool;
    struct amy_error err = AMY_ERROR_INIT;
    int bad = 0;

    bad |= BAD_UNLESS(refused_in_a_child(amy_pool_start(pool, &err), &err));
    bad |= BAD_UNLESS(
        refused_in_a_child(amy_pool_start_position(pool, 0, &err), &err));
    bad |= BAD_UNLESS(
        refused_in_a_child(amy_pool_stop_position(pool, 0, 0, &err), &err));
    bad |=
        BAD_UNLESS(refused_in_a_child(amy_pool_restart(pool, 0, &err), &err));
    bad |= BAD_UNLESS(
        refused_in_a_child(amy_pool_restart(pool, AMY_POOL_EVERY, &err), &err));
    bad |= BAD_UNLESS(refused_in_a_child(
        amy_pool_stop(pool, 0, on_stopped, place, &err), &err));
    amy_pool_kill(pool);
    amy_pool_set_ready(pool, 0, 1);
    amy_pool_free(pool);
    return bad;
}

/* Not ended, nor a zombie. */
static bool
lives(int64_t pid)
{
    siginfo_t info = {.si_pid = 0};

    return waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
           info.si_pid == 0;
}

/* A child that goes on with the loop, as one may that re-initialises it. */
static int
run_it(void *user)
{
    struct place *place = user;
    const struct timeval soon = {0, 300000};
    int bad = BAD_UNLESS(event_reinit(place->base) == 0);

    bad |= BAD_UNLESS(event_base_loopexit(place->base, &soon) == 0);
    (void)event_base_dispatch(place->base);
    return bad;
}

static void
test_a_child_cannot_take_the_pool_from_its_parent(void **state)
{
    struct place *place = *state;
    struct amy_worker_view view = {.struct_size = sizeof(view)};

    assert_int_equal(amy_pool_start(place->pool, NULL), 0);
    run_until(place->base, &place->ready);
    assert_int_equal(in_a_child(use_it, place), 0);
    assert_true(lives(place->pid));
    assert_int_equal(amy_pool_worker(place->pool, 0, &view), 0);
    assert_int_equal(view.state, AMY_WORKER_READY);
    assert_int_equal(view.pid, place->pid);
    /* Its end is noticed, as the loop knows its descriptor still. */
    assert_int_equal(kill((pid_t)place->pid, SIGKILL), 0);
    place->ready = 0;
    run_until(place->base, &place->ready);
    assert_int_equal(amy_pool_stop(place->pool, 0, on_stopped, place, NULL), 0);
    run_until(place->base, &place->stopped);
}

/* What was asked for and not done yet is the parent's to do. */
static void
test_a_child_that_runs_the_loop_ends_no_worker(void **state)
{
    struct place *place = *state;

    assert_int_equal(amy_pool_start(place->pool, NULL), 0);
    run_until(place->base, &place->ready);
    assert_int_equal(amy_pool_stop(place->pool, 0, on_stopped, place, NULL), 0);
    assert_int_equal(in_a_child(run_it, place), 0);
    assert_true(lives(place->pid));
    assert_int_equal(place->stopped, 0);
    run_until(place->base, &place->stopped);
}

#define POOL_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_options_of_an_older_version_have_defaults_for_the_rest),
        POOL_TEST(test_options_of_a_newer_version_may_ask_for_nothing_new),
        POOL_TEST(test_options_that_nobody_began_are_refused),
        POOL_TEST(test_a_view_of_an_older_version_is_not_written_past),
        POOL_TEST(test_a_pool_without_a_base_is_refused),
        POOL_TEST(test_a_pool_whose_loop_does_not_run_starts_nothing),
        POOL_TEST(test_a_child_cannot_take_the_pool_from_its_parent),
        POOL_TEST(test_a_child_that_runs_the_loop_ends_no_worker),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

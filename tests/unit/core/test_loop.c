#include "amy_test.h"

#include <amy/error.h>

#include "core/loop.h"

#include <event2/event.h>

#include <fcntl.h>
#include <unistd.h>

struct seen {
    struct event_base *base;
    struct amy__timer *timer;
    struct amy__io *io;
    struct amy__defer *defer;
    int timers;
    int reads;
    int writes;
    int defers;
    int defers_at_timer;
};

static void
turn(struct seen *seen)
{
    assert_int_not_equal(event_base_loop(seen->base, EVLOOP_ONCE), -1);
}

static int
set_up(void **state)
{
    static struct seen seen;

    seen = (struct seen){.base = event_base_new()};
    *state = &seen;
    return seen.base == NULL;
}

static int
tear_down(void **state)
{
    struct seen *seen = *state;

    event_base_free(seen->base);
    return 0;
}

static void
on_timer(void *user)
{
    struct seen *seen = user;

    seen->timers++;
    seen->defers_at_timer = seen->defers;
    amy__timer_free(seen->timer); /* from its own callback */
    seen->timer = NULL;
}

static void
test_timer_fires_once_and_may_free_itself(void **state)
{
    struct seen *seen = *state;

    assert_int_equal(
        amy__timer_create(seen->base, on_timer, seen, &seen->timer, NULL), 0);
    assert_int_equal(amy__timer_arm(seen->timer, 3600000, NULL), 0);
    assert_int_equal(amy__timer_arm(seen->timer, -5, NULL), 0);
    turn(seen);
    assert_int_equal(seen->timers, 1);
    assert_null(seen->timer);
}

static void
test_timer_cancelled_never_fires(void **state)
{
    struct seen *seen = *state;

    assert_int_equal(
        amy__timer_create(seen->base, on_timer, seen, &seen->timer, NULL), 0);
    assert_int_equal(amy__timer_arm(seen->timer, 0, NULL), 0);
    amy__timer_cancel(seen->timer);
    /* Nothing is left to wait for, so the loop ends at once. */
    assert_int_equal(event_base_loop(seen->base, 0), 1);
    assert_int_equal(seen->timers, 0);
    amy__timer_free(seen->timer);
    amy__timer_free(NULL);
}

static void
on_io(int fd, unsigned what, void *user)
{
    struct seen *seen = user;
    char byte = 0;

    if ((what & AMY__IO_READ) != 0) {
        seen->reads++;
        assert_int_equal(read(fd, &byte, 1), 1);
    }
    if ((what & AMY__IO_WRITE) != 0) {
        seen->writes++;
    }
    if (byte == 'q') {
        amy__io_free(seen->io);
        seen->io = NULL;
    }
}

static void
test_io_follows_what_is_wanted(void **state)
{
    struct seen *seen = *state;
    int ends[2] = {-1, -1};

    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    assert_int_equal(amy__io_create(seen->base, ends[0], AMY__IO_READ, on_io,
                                    seen, &seen->io, NULL),
                     0);
    assert_int_equal(write(ends[1], "ab", 2), 2);
    turn(seen);
    turn(seen); /* level-triggered: the second byte is still there */
    assert_int_equal(seen->reads, 2);
    assert_int_equal(write(ends[1], "q", 1), 1);
    assert_int_equal(amy__io_want(seen->io, 0, NULL), 0);
    assert_int_equal(event_base_loop(seen->base, EVLOOP_NONBLOCK), 1);
    assert_int_equal(seen->reads, 2);
    assert_int_equal(amy__io_want(seen->io, AMY__IO_READ, NULL), 0);
    turn(seen);
    assert_null(seen->io);
    assert_int_equal(
        amy__io_create(seen->base, ends[1], 0, on_io, seen, &seen->io, NULL),
        0);
    assert_int_equal(amy__io_want(seen->io, AMY__IO_WRITE, NULL), 0);
    turn(seen);
    assert_int_equal(seen->writes, 1);
    amy__io_free(seen->io);
    amy__io_free(NULL);
    close(ends[0]);
    close(ends[1]);
}

static void
test_io_refuses_what_cannot_be_watched(void **state)
{
    struct seen *seen = *state;
    struct amy_error err = AMY_ERROR_INIT;
    int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    assert_int_equal(amy__io_create(seen->base, fd, AMY__IO_READ, on_io, seen,
                                    &seen->io, &err),
                     AMY_EIO);
    assert_null(seen->io);
    close(fd);
}

static void
on_defer(void *user)
{
    struct seen *seen = user;

    seen->defers++;
    amy__defer_free(seen->defer);
    seen->defer = NULL;
}

static void
on_asking_timer(void *user)
{
    struct seen *seen = user;

    amy__defer_ask(seen->defer);
    amy__defer_ask(seen->defer);
    assert_int_equal(seen->defers, 0); /* never from inside */
}

static void
test_defer_runs_once_in_the_same_turn(void **state)
{
    struct seen *seen = *state;
    struct amy__timer *asking = NULL;

    assert_int_equal(
        amy__defer_create(seen->base, on_defer, seen, &seen->defer, NULL), 0);
    assert_int_equal(
        amy__timer_create(seen->base, on_asking_timer, seen, &asking, NULL), 0);
    assert_int_equal(amy__timer_arm(asking, 0, NULL), 0);
    turn(seen);
    assert_int_equal(seen->defers, 1);
    assert_null(seen->defer);
    amy__timer_free(asking);
    amy__defer_free(NULL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_timer_fires_once_and_may_free_itself, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_timer_cancelled_never_fires,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_io_follows_what_is_wanted, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_io_refuses_what_cannot_be_watched,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_defer_runs_once_in_the_same_turn,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

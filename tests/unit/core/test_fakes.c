/* The fakes keep core/loop.h's and core/alloc.h's promises too. */
#include "amy_test.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/loop.h"
#include "fail_alloc.h"
#include "fake_loop.h"

#include <string.h>
#include <unistd.h>

static char trace[32];

/* A letter for the trace, as the void * that callbacks take. */
#define LETTER(text) ((char[2]){text})

static void
note(void *user)
{
    (void)strncat(trace, user, 1);
}

static struct amy__timer *own;

static void
free_own(void *user)
{
    note(user);
    amy__timer_free(own);
}

static void
test_timers_fire_in_order_at_their_time(void **state)
{
    struct amy__timer *a = NULL;
    struct amy__timer *b = NULL;
    int64_t start = amy__mono_ms(fake_loop_clock());

    (void)state;
    trace[0] = '\0';
    assert_int_equal(amy__timer_create(NULL, note, LETTER("a"), &a, NULL), 0);
    assert_int_equal(amy__timer_create(NULL, note, LETTER("b"), &b, NULL), 0);
    assert_int_equal(amy__timer_create(NULL, free_own, LETTER("c"), &own, NULL),
                     0);
    assert_int_equal(amy__timer_arm(a, 30, NULL), 0);
    assert_int_equal(amy__timer_arm(b, 10, NULL), 0);
    assert_int_equal(amy__timer_arm(own, 20, NULL), 0);
    assert_true(fake_loop_next() == 10);
    fake_loop_advance(9);
    assert_string_equal(trace, "");
    fake_loop_advance(100);
    assert_string_equal(trace, "bca");
    assert_true(amy__mono_ms(fake_loop_clock()) == start + 109);
    assert_int_equal(fake_loop_left(), 2);
    amy__timer_cancel(a);
    amy__timer_free(a);
    amy__timer_free(b);
    amy__timer_free(NULL);
    assert_int_equal(fake_loop_left(), 0);
    assert_true(fake_loop_next() == -1);
}

static struct amy__defer *defer;

static void
ask_defer(int fd, unsigned what, void *user)
{
    char byte = 0;

    (void)what;
    assert_int_equal(read(fd, &byte, 1), 1);
    amy__defer_ask(defer);
    note(user);
}

static void
test_descriptors_and_deferred_calls(void **state)
{
    int ends[2] = {-1, -1};
    struct amy__io *io = NULL;

    (void)state;
    trace[0] = '\0';
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(amy__defer_create(NULL, note, LETTER("d"), &defer, NULL),
                     0);
    assert_int_equal(amy__io_create(NULL, ends[0], AMY__IO_READ, ask_defer,
                                    LETTER("r"), &io, NULL),
                     0);
    assert_int_equal(fake_loop_poll(), 0);
    assert_int_equal(write(ends[1], "xyz", 3), 3);
    assert_int_equal(fake_loop_fire(ends[0], AMY__IO_WRITE), 0);
    assert_int_equal(fake_loop_fire(ends[0], AMY__IO_READ), 1);
    assert_string_equal(trace, "rd");
    assert_int_equal(fake_loop_poll(), 2);
    assert_string_equal(trace, "rdrdrd");
    assert_int_equal(amy__io_want(io, 0, NULL), 0);
    assert_int_equal(fake_loop_wants(ends[0]), 0);
    amy__io_free(io);
    amy__defer_free(defer);
    close(ends[0]);
    close(ends[1]);
}

static void
test_nth_allocation_is_refused_once(void **state)
{
    char *a = NULL;
    char *b = NULL;

    (void)state;
    fail_alloc_nth(2);
    a = amy__strdup("a");
    assert_non_null(a);
    assert_false(fail_alloc_hit());
    assert_null(amy__realloc(NULL, 5));
    assert_true(fail_alloc_hit());
    b = amy__strndup("bcd", 2);
    assert_string_equal(b, "bc");
    b = amy__realloc(b, 100);
    assert_int_equal(fail_alloc_live(), 2);
    amy__free(a);
    amy__free(b);
    amy__free(NULL);
    assert_int_equal(fail_alloc_live(), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_timers_fire_in_order_at_their_time),
        cmocka_unit_test(test_descriptors_and_deferred_calls),
        cmocka_unit_test(test_nth_allocation_is_refused_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

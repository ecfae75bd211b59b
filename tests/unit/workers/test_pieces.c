/* Lines of several workers: one piece per turn, tracebacks kept whole, bounds.
 */
#include "amy_test.h"

#include "workers/pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct amy__pieces pieces;
    size_t writes;
    size_t used;
    char text[400000];
};

static void
note(struct amy__span text, void *user)
{
    struct fixture *f = user;

    assert_true(text.n > 0 && text.p[text.n - 1] == '\n');
    assert_true(f->used + text.n < sizeof(f->text));
    memcpy(f->text + f->used, text.p, text.n);
    f->used += text.n;
    f->text[f->used] = '\0';
    f->writes++;
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->pieces = (struct amy__pieces){.fn = note, .user = f};
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy__pieces_clear(&f->pieces);
    free(f);
    return 0;
}

static void
add(struct fixture *f, int64_t pid, int64_t now_ms, const char *line)
{
    char prefix[32];

    (void)snprintf(prefix, sizeof(prefix), "%d ", (int)pid);
    assert_true(amy__pieces_add(&f->pieces, pid, now_ms, amy__span_of(prefix),
                                amy__span_of(line)));
}

#define HEAD "Traceback (most recent call last):"

static void
test_lines_of_one_turn_are_one_write_per_worker(void **state)
{
    struct fixture *f = *state;

    add(f, 1, 0, "a");
    add(f, 2, 0, "b");
    add(f, 1, 0, "c");
    assert_int_equal(amy__pieces_flush(&f->pieces, 0), INT64_MAX);
    assert_int_equal(f->writes, 2);
    assert_string_equal(f->text, "1 a\n1 c\n2 b\n");
    assert_int_equal(amy__pieces_flush(&f->pieces, 0), INT64_MAX);
    assert_int_equal(f->writes, 2);
}

static void
test_traceback_waits_for_its_end_and_keeps_what_came_before(void **state)
{
    struct fixture *f = *state;

    add(f, 1, 0, "ERROR /");
    add(f, 1, 0, HEAD);
    add(f, 2, 0, "other");
    assert_int_equal(amy__pieces_flush(&f->pieces, 0), AMY__PIECE_HOLD_MS);
    assert_string_equal(f->text, "2 other\n");
    add(f, 1, 50, "ValueError");
    assert_int_equal(amy__pieces_flush(&f->pieces, 50), AMY__PIECE_HOLD_MS);
    add(f, 1, 60, "next");
    assert_int_equal(amy__pieces_flush(&f->pieces, 60), INT64_MAX);
    assert_string_equal(f->text,
                        "2 other\n1 ERROR /\n1 " HEAD "\n1 ValueError\n"
                        "1 next\n");
}

static void
test_each_of_many_tracebacks_has_its_own_time(void **state)
{
    struct fixture *f = *state;

    add(f, 1, 0, HEAD);
    add(f, 1, 40, "ValueError");
    assert_int_equal(amy__pieces_flush(&f->pieces, 40), AMY__PIECE_HOLD_MS);
    add(f, 1, 90, "plain");
    add(f, 1, 90, "ERROR /");
    add(f, 1, 90, HEAD);
    assert_string_equal(f->text, "1 " HEAD "\n1 ValueError\n1 plain\n");
    assert_int_equal(amy__pieces_flush(&f->pieces, 110),
                     90 + AMY__PIECE_HOLD_MS);
    add(f, 1, 120, "KeyError");
    add(f, 1, 120, HEAD);
    assert_string_equal(f->text, "1 " HEAD "\n1 ValueError\n1 plain\n"
                                 "1 ERROR /\n1 " HEAD "\n1 KeyError\n");
    assert_int_equal(amy__pieces_flush(&f->pieces, 120),
                     120 + AMY__PIECE_HOLD_MS);
}

static void
test_traceback_without_an_end_is_written_in_time(void **state)
{
    struct fixture *f = *state;

    add(f, 1, 10, HEAD);
    assert_int_equal(amy__pieces_flush(&f->pieces, 9 + AMY__PIECE_HOLD_MS),
                     10 + AMY__PIECE_HOLD_MS);
    assert_int_equal(f->writes, 0);
    assert_int_equal(amy__pieces_flush(&f->pieces, 10 + AMY__PIECE_HOLD_MS),
                     INT64_MAX);
    assert_string_equal(f->text, "1 " HEAD "\n");
}

static void
test_piece_that_grows_too_long_is_written_in_parts(void **state)
{
    struct fixture *f = *state;
    static char line[65537];

    memset(line, ' ', sizeof(line) - 1);
    add(f, 1, 0, HEAD);
    for (int i = 0; i < 4; i++) {
        add(f, 1, 0, line);
    }
    assert_true(f->writes >= 2);
    amy__pieces_clear(&f->pieces);
    assert_int_equal(f->used, strlen("1 " HEAD "\n") + 4 * (2 + 65536 + 1));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines_of_one_turn_are_one_write_per_worker),
        TEST(test_traceback_waits_for_its_end_and_keeps_what_came_before),
        TEST(test_each_of_many_tracebacks_has_its_own_time),
        TEST(test_traceback_without_an_end_is_written_in_time),
        TEST(test_piece_that_grows_too_long_is_written_in_parts),
    };

    return cmocka_run_group_tests_name("workers/pieces", tests, NULL, NULL);
}

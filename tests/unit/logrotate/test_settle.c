/* Lines put into the order of their times, against a stable sort. */
#include "amy_test.h"

#include "logrotate/settle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LINES 20000
#define TEXT 16
#define WINDOW_MS 5000

struct said {
    int64_t wall_ms;
    int serial;
};

static int
set_up(void **state)
{
    struct amy__settle *settle = calloc(1, sizeof(*settle));

    settle->window_ms = WINDOW_MS;
    *state = settle;
    return 0;
}

static int
tear_down(void **state)
{
    amy__settle_clear(*state);
    free(*state);
    return 0;
}

static void
add(struct amy__settle *settle, int64_t wall_ms, int serial)
{
    char text[TEXT];
    struct amy_log_line line = {.wall_ms = wall_ms, .text = text};

    line.text_bytes = (size_t)snprintf(text, sizeof(text), "%d", serial);
    assert_int_equal(amy__settle_add(settle, &line, NULL), 0);
}

static struct said
take(struct amy__settle *settle)
{
    struct amy_log_line line = {0};

    assert_true(amy__settle_take(settle, &line));
    return (struct said){line.wall_ms, atoi(line.text)};
}

static int
by_time(const void *a, const void *b)
{
    const struct said *x = a;
    const struct said *y = b;

    return x->wall_ms != y->wall_ms ? (x->wall_ms < y->wall_ms ? -1 : 1)
                                    : x->serial - y->serial;
}

static void
test_lines_within_the_window_are_sorted(void **state)
{
    struct amy__settle *settle = *state;
    struct said *said = calloc(LINES, sizeof(*said));
    size_t given = 0;

    srand(1);
    for (int i = 0; i < LINES; i++) {
        /* A millisecond a line, and any within the window. */
        said[i] = (struct said){i - rand() % WINDOW_MS, i};
    }
    struct said *sorted = calloc(LINES, sizeof(*sorted));

    memcpy(sorted, said, LINES * sizeof(*sorted));
    qsort(sorted, LINES, sizeof(*sorted), by_time);
    for (int i = 0; i < LINES; i++) {
        add(settle, said[i].wall_ms, i);
        assert_true(settle->count <= 2 * WINDOW_MS);
        while (amy__settle_is_due(settle)) {
            assert_int_equal(take(settle).serial, sorted[given++].serial);
        }
    }
    while (settle->count > 0) {
        assert_int_equal(take(settle).serial, sorted[given++].serial);
    }
    assert_int_equal(given, LINES);
    free(said);
    free(sorted);
}

static void
test_clock_set_back_keeps_the_order_of_the_file(void **state)
{
    struct amy__settle *settle = *state;

    add(settle, 3600000, 1);
    assert_false(amy__settle_is_due(settle));
    for (int i = 2; i < 10; i++) {
        add(settle, i, i);
        assert_true(amy__settle_is_due(settle));
        assert_int_equal(take(settle).serial, i);
    }
    assert_int_equal(take(settle).serial, 1);
}

static void
test_lines_without_any_time_stay_as_they_are(void **state)
{
    struct amy__settle *settle = *state;

    for (int i = 0; i < 10; i++) {
        add(settle, AMY_LOG_NO_TIME, i);
        assert_false(amy__settle_is_due(settle));
    }
    for (int i = 0; i < 10; i++) {
        assert_int_equal(take(settle).serial, i);
    }
    assert_false(amy__settle_is_due(settle));
}

static void
test_without_a_window_nothing_waits(void **state)
{
    struct amy__settle *settle = *state;

    settle->window_ms = 0;
    for (int i = 10; i > 0; i--) {
        add(settle, i, i);
        assert_true(amy__settle_is_due(settle));
        assert_int_equal(take(settle).serial, i);
    }
}

static void
test_memory_has_a_bound(void **state)
{
    struct amy__settle *settle = *state;
    struct amy_log_line line = {.wall_ms = 1};

    line.text_bytes = (size_t)1024 * 1024;
    char *text = calloc(1, line.text_bytes);

    line.text = text;
    for (int i = 0; i < 32; i++) {
        assert_int_equal(amy__settle_add(settle, &line, NULL), 0);
        while (amy__settle_is_due(settle)) {
            (void)take(settle);
        }
    }
    assert_true(settle->count > 0 && settle->count <= 8);
    assert_true(settle->bytes <= AMY__SETTLE_BYTES);
    free(text);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_lines_within_the_window_are_sorted),
        TEST(test_clock_set_back_keeps_the_order_of_the_file),
        TEST(test_lines_without_any_time_stay_as_they_are),
        TEST(test_without_a_window_nothing_waits),
        TEST(test_memory_has_a_bound),
    };

    return cmocka_run_group_tests_name("logrotate/settle", tests, NULL, NULL);
}

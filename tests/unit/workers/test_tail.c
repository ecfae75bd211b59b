#include "amy_test.h"

#include "workers/tail.h"

#include <stdio.h>
#include <string.h>

static void
expect(const struct amy__tail *tail, size_t i, const char *text)
{
    struct amy__json *lines = amy__tail_json(tail);

    assert_string_equal(amy__json_as_text(amy__json_at(lines, i), "none"),
                        text);
    amy__json_free(lines);
}

static void
test_none_is_an_empty_list(void **state)
{
    struct amy__tail tail = {.text = NULL};
    struct amy__json *lines = amy__tail_json(&tail);

    (void)state;
    assert_true(amy__json_is_array(lines));
    assert_int_equal(amy__json_count(lines), 0);
    amy__json_free(lines);
    amy__tail_clear(&tail);
}

static void
test_the_last_fifty_are_kept_in_order(void **state)
{
    struct amy__tail tail = {.text = NULL};

    (void)state;
    for (int i = 0; i < 1000; i++) {
        char line[16];
        int n = snprintf(line, sizeof(line), "line %d", i);

        amy__tail_add(&tail, line, (size_t)n);
    }
    assert_int_equal(tail.lines, AMY__TAIL_LINES);
    expect(&tail, 0, "line 950");
    expect(&tail, 49, "line 999");
    amy__tail_clear(&tail);
    assert_int_equal(tail.lines, 0);
}

static void
test_long_lines_are_cut_and_push_others_out(void **state)
{
    struct amy__tail tail = {.text = NULL};
    static char line[65536];

    (void)state;
    memset(line, 'x', sizeof(line));
    for (int i = 0; i < 100; i++) {
        line[0] = (char)('a' + i % 26);
        amy__tail_add(&tail, line, sizeof(line));
        assert_true(tail.used <= AMY__TAIL_BYTES);
    }
    assert_int_equal(tail.lines, AMY__TAIL_BYTES / (AMY__TAIL_LINE_BYTES + 1));
    amy__tail_add(&tail, "", 0);
    amy__tail_add(&tail, "a\0b", 3);
    expect(&tail, tail.lines - 2, "");
    expect(&tail, tail.lines - 1, "a?b");
    amy__tail_clear(&tail);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_none_is_an_empty_list),
        cmocka_unit_test(test_the_last_fifty_are_kept_in_order),
        cmocka_unit_test(test_long_lines_are_cut_and_push_others_out),
    };

    return cmocka_run_group_tests_name("workers/tail", tests, NULL, NULL);
}

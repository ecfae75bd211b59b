/* What requests are likely to cost. */
#include "amy_test.h"

#include "front/costs.h"

#include <stdio.h>
#include <string.h>

static uint32_t
key(const char *method, const char *path)
{
    return amy__costs_key(amy__span_of(method), amy__span_of(path));
}

static void
test_key_is_that_of_the_same_view(void **state)
{
    (void)state;
    assert_int_equal(key("GET", "/orders/7/"), key("GET", "/orders/12345/"));
    assert_int_equal(key("GET", "/x/3f2a-9bc/y"), key("GET", "/x/77aa-1/y"));
    assert_int_not_equal(key("GET", "/orders/"), key("GET", "/orders/7/"));
    assert_int_not_equal(key("GET", "/orders"), key("GET", "/orders/"));
    assert_int_not_equal(key("GET", "/orders"), key("POST", "/orders"));
    assert_int_not_equal(key("GET", "/ab/c"), key("GET", "/a/bc"));
    assert_int_not_equal(key("GET", "/reports"), key("GET", "/orders"));
    assert_int_not_equal(key("", ""), 0);
}

static void
test_expect_follows_what_was_learned(void **state)
{
    static struct amy__costs costs;

    (void)state;
    memset(&costs, 0, sizeof(costs));
    assert_int_equal(amy__costs_expect(&costs, 9), 0);
    amy__costs_learn(&costs, 9, 1000);
    assert_int_equal(amy__costs_expect(&costs, 9), 1000);
    amy__costs_learn(&costs, 9, 5000);
    assert_int_equal(amy__costs_expect(&costs, 9), 2000);
    for (int i = 0; i < 40; i++) {
        amy__costs_learn(&costs, 9, 100);
    }
    assert_in_range(amy__costs_expect(&costs, 9), 100, 110);
    /* Nothing takes no time, and nothing for ever. */
    amy__costs_learn(&costs, 10, -5);
    assert_int_equal(amy__costs_expect(&costs, 10), 1);
    amy__costs_learn(&costs, 11, INT64_MAX);
    assert_int_equal(amy__costs_expect(&costs, 11), UINT32_MAX);
}

static void
test_key_zero_is_never_learned(void **state)
{
    static struct amy__costs costs;

    (void)state;
    memset(&costs, 0, sizeof(costs));
    amy__costs_learn(&costs, 0, 1000);
    assert_int_equal(amy__costs_expect(&costs, 0), 0);
    amy__costs_learn(&costs, AMY__COSTS_SETS, 7); /* the same set */
    assert_int_equal(amy__costs_expect(&costs, 0), 0);
}

static void
test_set_keeps_the_two_that_were_learned_of_last(void **state)
{
    static struct amy__costs costs;
    uint32_t a = 1;
    uint32_t b = 1 + AMY__COSTS_SETS;
    uint32_t c = 1 + 2 * AMY__COSTS_SETS;

    (void)state;
    memset(&costs, 0, sizeof(costs));
    amy__costs_learn(&costs, a, 10);
    amy__costs_learn(&costs, b, 20);
    amy__costs_learn(&costs, a, 10);
    amy__costs_learn(&costs, c, 30);
    assert_int_equal(amy__costs_expect(&costs, a), 10);
    assert_int_equal(amy__costs_expect(&costs, b), 0);
    assert_int_equal(amy__costs_expect(&costs, c), 30);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_key_is_that_of_the_same_view),
        cmocka_unit_test(test_expect_follows_what_was_learned),
        cmocka_unit_test(test_key_zero_is_never_learned),
        cmocka_unit_test(test_set_keeps_the_two_that_were_learned_of_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

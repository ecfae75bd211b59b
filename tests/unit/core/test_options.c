#include "amy_test.h"

#include "core/options.h"

#include <string.h>

struct options {
    size_t struct_size;
    int one;
    int two;
};

static void
test_read_pads_an_older_struct(void **state)
{
    struct options ours = {9, 9, 9};
    struct options older = {offsetof(struct options, two), 5, 6};

    (void)state;
    assert_int_equal(
        amy__options_read(&ours, sizeof(ours), &older, sizeof(size_t), NULL),
        0);
    assert_int_equal(ours.one, 5);
    assert_int_equal(ours.two, 0);
}

static void
test_read_takes_a_newer_struct_whose_rest_is_zero(void **state)
{
    struct {
        struct options known;
        int more;
        int reserved;
    } newer = {{sizeof(newer), 5, 6}, 0, 0};
    struct options ours = {0};

    (void)state;
    assert_int_equal(
        amy__options_read(&ours, sizeof(ours), &newer, sizeof(size_t), NULL),
        0);
    assert_int_equal(ours.two, 6);
    newer.more = 1;
    assert_int_equal(
        amy__options_read(&ours, sizeof(ours), &newer, sizeof(size_t), NULL),
        AMY_EINVAL);
}

static void
test_read_refuses_nothing_and_too_little(void **state)
{
    struct options ours = {0};
    struct options small = {sizeof(size_t) - 1, 0, 0};

    (void)state;
    assert_int_equal(amy__options_read(&ours, sizeof(ours), NULL, 8, NULL),
                     AMY_EINVAL);
    assert_int_equal(
        amy__options_read(&ours, sizeof(ours), &small, sizeof(size_t), NULL),
        AMY_EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_read_pads_an_older_struct),
        cmocka_unit_test(test_read_takes_a_newer_struct_whose_rest_is_zero),
        cmocka_unit_test(test_read_refuses_nothing_and_too_little),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

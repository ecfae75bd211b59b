#include "amy_test.h"

#include "recorded.h"

static void
test_weight_counts_warnings_and_errors(void **state)
{
    struct amy__findings *findings = recorded_begin();

    (void)state;
    amy__finding_is(findings, "one %d", 1);
    amy__finding_tell(findings, AMY_DOCTOR_INFO, "a", "x");
    amy__finding_tell(findings, AMY_DOCTOR_UNKNOWN, "b", "%s", "");
    assert_int_equal(findings->weight, 0);
    amy__finding_tell(findings, AMY_DOCTOR_WARNING, "c", "x");
    amy__finding_tell(findings, AMY_DOCTOR_ERROR, "d", "do %s", "it");
    assert_int_equal(findings->weight, 2);
    assert_string_equal(recorded(), "info a: one 1 | x\n"
                                    "unknown b: one 1 | \n"
                                    "warning c: one 1 | x\n"
                                    "error d: one 1 | do it\n");
}

static void
test_skipped_checks_are_not_told(void **state)
{
    struct amy__findings *findings = recorded_begin();

    (void)state;
    findings->borrow_skip = "clock,redis,dns-address";
    assert_true(amy__finding_is_skipped(findings, "clock"));
    assert_true(amy__finding_is_skipped(findings, "redis-open"));
    assert_true(amy__finding_is_skipped(findings, "dns-address"));
    assert_false(amy__finding_is_skipped(findings, "dns"));
    assert_false(amy__finding_is_skipped(findings, "redistribution"));
    amy__finding_tell(findings, AMY_DOCTOR_ERROR, "redis-open", "x");
    assert_int_equal(findings->weight, 0);
    expect_nothing();
    findings->borrow_skip = "";
    assert_false(amy__finding_is_skipped(findings, "clock"));
}

static void
test_control_characters_do_not_reach_a_terminal(void **state)
{
    struct amy__findings *findings = recorded_begin();

    (void)state;
    amy__finding_is(findings, "a\033[2Jb\nc");
    amy__finding_tell(findings, AMY_DOCTOR_INFO, "a", "rm \x7F/x\r");
    assert_string_equal(recorded(), "info a: a?[2Jb?c | rm ?/x?\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weight_counts_warnings_and_errors),
        cmocka_unit_test(test_skipped_checks_are_not_told),
        cmocka_unit_test(test_control_characters_do_not_reach_a_terminal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

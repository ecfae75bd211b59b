/* How long pg_restore may be silent: whoever restores a large database waits
 * for its indexes. */
#include "amy_test.h"

#include "backup/job.h"

#include <limits.h>

static void
test_a_large_database_has_time_for_its_indexes(void **state)
{
    (void)state;
    assert_int_equal(amy__feed_patience_ms(0), 600000);
    assert_true(amy__feed_patience_ms(UINT64_C(30000000000)) > 8 * 3600 * 1000);
}

static void
test_there_is_an_end_whatever_a_manifest_says(void **state)
{
    (void)state;
    assert_int_equal(amy__feed_patience_ms(UINT64_MAX), INT_MAX);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_large_database_has_time_for_its_indexes),
        cmocka_unit_test(test_there_is_an_end_whatever_a_manifest_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

static void
test_what_a_host_lacks_is_no_fault_of_the_set(void **state)
{
    (void)state;
    assert_true(amy__drill_blames_host(
        "pg_restore failed with status 1; it said: pg_restore: error: COPY "
        "failed for table \"item\": ERROR:  could not extend file "
        "\"base/16384/16390\": No space left on device"));
    assert_true(amy__drill_blames_host(
        "pg_restore: error: could not execute query: ERROR:  extension "
        "\"postgis\" is not available"));
    assert_true(amy__drill_blames_host(
        "pg_restore: error: could not execute query: server closed the "
        "connection unexpectedly"));
    assert_false(amy__drill_blames_host(
        "pg_restore: error: could not execute query: ERROR:  could not create "
        "unique index \"item_pkey\""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_large_database_has_time_for_its_indexes),
        cmocka_unit_test(test_there_is_an_end_whatever_a_manifest_says),
        cmocka_unit_test(test_what_a_host_lacks_is_no_fault_of_the_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

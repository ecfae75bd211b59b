/* How long pg_restore may be silent: whoever restores a large database waits
 * for its indexes. */
#include "amy_test.h"

#include "backup/job.h"
#include "core/error.h"

#include <limits.h>
#include <stdio.h>

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

/* A client of 17 dumped a server of 15; nothing of 15 reads that. */
static void
test_a_newer_pg_dump_needs_a_newer_pg_restore(void **state)
{
    static const struct {
        int server;
        const char *dump;
        int wanted;
    } each[] = {
        {150018, "pg_dump (PostgreSQL) 17.2 (Debian)", 170000},
        {150018, "pg_dump (PostgreSQL) 15.3", 150018},
        {150018, "pg_dump (PostgreSQL) 14.1", 150018},
        {150018, "", 150018},
        {150018, "who knows", 150018},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        struct amy__manifest manifest;

        amy__manifest_init(&manifest);
        manifest.server_number = each[i].server;
        (void)snprintf(manifest.dump, sizeof(manifest.dump), "%s",
                       each[i].dump);
        assert_int_equal(amy__feed_server_number(&manifest), each[i].wanted);
        amy__manifest_clear(&manifest);
    }
}

static bool
says(const char *words)
{
    struct amy_error why = AMY_ERROR_INIT;

    (void)amy__err(&why, AMY_EIO, "%s", words);
    return amy__drill_blames_host(&why);
}

/* What the cluster itself answered, in whatever language. */
static void
test_a_state_says_more_than_words(void **state)
{
    static const char *const of_host[] = {"53100", "53200", "57P01",
                                          "58030", "58P01", "08006"};
    static const char *const of_set[] = {"23505", "22P02", "42P01", "XX001"};
    struct amy_error why = AMY_ERROR_INIT;

    (void)state;
    (void)amy__err(&why, AMY_EIO, "FEHLER: could not write, sagt jemand");
    why.source = AMY_SOURCE_SQL;
    for (size_t i = 0; i < sizeof(of_host) / sizeof(of_host[0]); i++) {
        (void)snprintf(why.sqlstate, sizeof(why.sqlstate), "%s", of_host[i]);
        assert_true(amy__drill_blames_host(&why));
    }
    for (size_t i = 0; i < sizeof(of_set) / sizeof(of_set[0]); i++) {
        (void)snprintf(why.sqlstate, sizeof(why.sqlstate), "%s", of_set[i]);
        assert_false(amy__drill_blames_host(&why));
    }
}

static void
test_what_a_host_lacks_is_no_fault_of_the_set(void **state)
{
    (void)state;
    assert_true(says(
        "pg_restore failed with status 1; it said: pg_restore: error: COPY "
        "failed for table \"item\": ERROR:  could not extend file "
        "\"base/16384/16390\": No space left on device"));
    assert_true(
        says("pg_restore: error: could not execute query: ERROR:  extension "
             "\"postgis\" is not available"));
    assert_true(
        says("pg_restore: error: could not execute query: server closed the "
             "connection unexpectedly"));
    assert_false(says(
        "pg_restore: error: could not execute query: ERROR:  could not create "
        "unique index \"item_pkey\""));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_large_database_has_time_for_its_indexes),
        cmocka_unit_test(test_there_is_an_end_whatever_a_manifest_says),
        cmocka_unit_test(test_a_newer_pg_dump_needs_a_newer_pg_restore),
        cmocka_unit_test(test_a_state_says_more_than_words),
        cmocka_unit_test(test_what_a_host_lacks_is_no_fault_of_the_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

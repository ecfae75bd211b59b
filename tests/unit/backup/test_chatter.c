/* What pg_dump says of itself, in pieces of any size. */
#include "amy_test.h"

#include "backup/chatter.h"

#include <string.h>

static const char verbose[] =
    "pg_dump: last built-in OID is 16383\n"
    "pg_dump: reading extensions\n"
    "pg_dump: warning: there are circular foreign-key constraints\n"
    "pg_dump: detail: item\n"
    "pg_dump: dumping contents of table \"public.a \"\"b\"\"\"\n"
    "NOTICE:  something of the server's\n"
    "pg_dump: dumping contents of table \"public.b\"\n"
    "pg_dump: dumping contents of table";

static void
take(struct amy__chatter *chatter, const char *text, size_t piece)
{
    size_t n = strlen(text);

    for (size_t i = 0; i < n; i += piece) {
        amy__chatter_take(
            chatter,
            (struct amy__span){text + i, n - i < piece ? n - i : piece});
    }
}

static void
test_tables_are_counted_and_complaints_kept(void **state)
{
    (void)state;
    for (size_t piece = 1; piece <= sizeof(verbose); piece++) {
        struct amy__chatter chatter = {.verbose = true};

        take(&chatter, verbose, piece);
        assert_int_equal(chatter.tables, 2);
        assert_non_null(
            strstr(chatter.said, "\npg_dump: detail: item\nNOTICE"));
        assert_string_equal(
            amy__chatter_complaint(&chatter),
            "pg_dump: warning: there are circular foreign-key constraints");
    }
}

static void
test_who_is_not_verbose_only_complains(void **state)
{
    struct amy__chatter chatter = {.verbose = false};

    (void)state;
    take(&chatter, "pg_dump: reading extensions\n", 7);
    assert_string_equal(amy__chatter_complaint(&chatter),
                        "pg_dump: reading extensions");
    assert_int_equal(chatter.tables, 0);
}

static void
test_a_last_line_without_an_end_is_one(void **state)
{
    struct amy__chatter chatter = {.verbose = true};

    (void)state;
    assert_string_equal(amy__chatter_complaint(&chatter), "");
    take(&chatter, "pg_dump: error: connection", 100);
    assert_string_equal(amy__chatter_complaint(&chatter),
                        "pg_dump: error: connection");
}

static void
test_an_error_is_what_counts(void **state)
{
    struct amy__chatter chatter = {.verbose = false};

    (void)state;
    take(&chatter,
         "pg_restore: while PROCESSING TOC:\npg_restore: error: no\nrest\n", 5);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(amy__chatter_complaint(&chatter),
                            "pg_restore: error: no");
    }
}

static void
test_more_than_there_is_room_for_is_cut(void **state)
{
    struct amy__chatter chatter = {.verbose = true};
    char line[2000];

    (void)state;
    memset(line, 'x', sizeof(line));
    for (int i = 0; i < 10; i++) {
        amy__chatter_take(&chatter, (struct amy__span){line, sizeof(line)});
        amy__chatter_take(&chatter, AMY_SPAN("\n"));
    }
    assert_int_equal(strlen(chatter.said), chatter.said_n);
    assert_int_equal(strlen(amy__chatter_complaint(&chatter)), 512);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables_are_counted_and_complaints_kept),
        cmocka_unit_test(test_who_is_not_verbose_only_complains),
        cmocka_unit_test(test_a_last_line_without_an_end_is_one),
        cmocka_unit_test(test_an_error_is_what_counts),
        cmocka_unit_test(test_more_than_there_is_room_for_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

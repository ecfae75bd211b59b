/* The journal: written, read again, and what of it is refused. */
#include "amy_test.h"

#include "deploy/journal.h"
#include "site/fields.h"

#include <stdio.h>
#include <string.h>

#define ID "0123456789abcdef"

static void
fill(struct amy__deploy_journal *journal)
{
    *journal = (struct amy__deploy_journal){
        .id = ID,
        .kind = AMY__DEPLOY_ROLLBACK,
        .pid = 4711,
        .began_wall_ms = 1700000000123,
        .step = "migrate",
        .release = "20261127T033000Z-1a2b3c",
        .ref = "main",
        .commit = "1a2b3c",
        .target = "releases/20261127T033000Z-1a2b3c",
        .previous = "releases/7",
        .backup = "20261127T032000Z",
        .made = true,
        .migrating = true,
        .switched = true};
    assert_true(amy__texts_add(&journal->migrations, "shop.0002_price"));
}

static int
read_text(const char *text, struct amy__deploy_journal *ret,
          struct amy_error *err)
{
    return amy__deploy_journal_read(amy__span_of(text), ret, err);
}

static void
test_what_is_written_is_read_again(void **state)
{
    struct amy__deploy_journal journal;
    struct amy__deploy_journal again;
    struct amy__buf text;

    (void)state;
    fill(&journal);
    amy__buf_init(&text, AMY__DEPLOY_JOURNAL_MAX);
    assert_int_equal(amy__deploy_journal_write(&journal, &text), 0);
    assert_int_equal(
        amy__deploy_journal_read(amy__buf_span(&text), &again, NULL), 0);
    assert_string_equal(again.id, journal.id);
    assert_int_equal(again.kind, journal.kind);
    assert_int_equal(again.pid, journal.pid);
    assert_int_equal(again.began_wall_ms, journal.began_wall_ms);
    assert_string_equal(again.step, "migrate");
    assert_string_equal(again.release, journal.release);
    assert_string_equal(again.ref, "main");
    assert_string_equal(again.commit, "1a2b3c");
    assert_string_equal(again.target, journal.target);
    assert_string_equal(again.previous, "releases/7");
    assert_string_equal(again.backup, journal.backup);
    assert_true(again.made && again.migrating && again.switched);
    assert_false(again.closed || again.suspended || again.reloading ||
                 again.served);
    assert_string_equal(again.migrations[0], "shop.0002_price");
    assert_null(again.migrations[1]);
    amy__buf_clear(&text);
    amy__deploy_journal_clear(&journal);
    amy__deploy_journal_clear(&again);
}

/* Whatever a ref or a hook may be called: a journal that cannot be read bars
 * every later deployment. */
static void
test_names_of_people_are_read_again(void **state)
{
    static const char *const names[] = {"gr\xc3\xb6\xc3\x9f"
                                        "e",
                                        "gr\xf6\xdf"
                                        "e",
                                        "cut off \xc3"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct amy__deploy_journal journal;
        struct amy__deploy_journal again;
        struct amy__buf text;

        fill(&journal);
        (void)snprintf(journal.ref, sizeof(journal.ref), "%s", names[i]);
        (void)snprintf(journal.step, sizeof(journal.step), "%s", names[i]);
        amy__buf_init(&text, AMY__DEPLOY_JOURNAL_MAX);
        assert_int_equal(amy__deploy_journal_write(&journal, &text), 0);
        assert_int_equal(
            amy__deploy_journal_read(amy__buf_span(&text), &again, NULL), 0);
        assert_int_equal(strncmp(again.ref, names[i], 2), 0);
        assert_string_equal(again.step, again.ref);
        amy__buf_clear(&text);
        amy__deploy_journal_clear(&journal);
        amy__deploy_journal_clear(&again);
    }
}

static void
test_what_nobody_wrote_so_is_refused(void **state)
{
#define HEAD "{\"version\": 1, \"kind\": \"deploy\", \"id\": \"" ID "\""
    static const struct {
        const char *text;
        const char *says;
    } bad[] = {
        {"", ""},
        {"[]", "version"},
        {"{\"version\": 2, \"kind\": \"deploy\", \"id\": \"" ID "\"}",
         "version"},
        {"{\"version\": 1, \"kind\": \"x\", \"id\": \"" ID "\"}", "kind"},
        {"{\"version\": 1, \"kind\": \"deploy\"}", "'id'"},
        {"{\"version\": 1, \"kind\": \"deploy\", \"id\": \"0123\"}", "'id'"},
        {HEAD ", \"release\": \"../x\"}", "'release'"},
        {HEAD ", \"release\": \".x\"}", "'release'"},
        {HEAD ", \"release\": \"-rf\"}", "'release'"},
        {HEAD ", \"previous\": \"a\\nb\"}", "'previous'"},
        {HEAD ", \"commit\": \"xyz\"}", "'commit'"},
        {HEAD ", \"made\": true}", "release"},
        {HEAD ", \"switched\": true}", "release"},
        {HEAD ", \"served\": true}", "release"},
        {HEAD ", \"switched\": true, \"target\": \"repo@ab\", "
              "\"in_place\": true}",
         "release"},
        {HEAD ", \"migrations\": [\"a b\"]}", "migrations"},
        {HEAD ", \"migrations\": [7]}", "migrations"},
        {HEAD ", \"migrations\": {}}", "migrations"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct amy__deploy_journal journal = {.pid = 99};
        struct amy_error err = AMY_ERROR_INIT;

        assert_int_equal(read_text(bad[i].text, &journal, &err), AMY_EPARSE);
        assert_non_null(strstr(err.msg, bad[i].says));
        assert_int_equal(journal.pid, 99);
    }
}

static void
test_the_least_is_enough(void **state)
{
    struct amy__deploy_journal journal;

    (void)state;
    assert_int_equal(read_text(HEAD "}", &journal, NULL), 0);
    assert_int_equal(journal.kind, AMY__DEPLOY_RELEASE);
    assert_string_equal(journal.previous, "");
    assert_null(journal.migrations);
    amy__deploy_journal_clear(&journal);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read_again),
        cmocka_unit_test(test_names_of_people_are_read_again),
        cmocka_unit_test(test_what_nobody_wrote_so_is_refused),
        cmocka_unit_test(test_the_least_is_enough),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

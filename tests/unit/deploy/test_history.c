/* Who served before, whom one goes back to, who may go. */
#include "amy_test.h"

#include "deploy/history.h"
#include "site/fields.h"

#include <stdio.h>
#include <string.h>

static struct amy__deploy_entry *
serve(struct amy__deploy_history *history, const char *link)
{
    struct amy__deploy_entry *entry =
        amy__deploy_history_serve(history, link, 1000);

    assert_non_null(entry);
    entry->ours = true;
    return entry;
}

static const char *
before(const struct amy__deploy_history *history, const char *now)
{
    const struct amy__deploy_entry *entry =
        amy__deploy_history_before(history, now);

    return entry == NULL ? "" : entry->link;
}

static const char *
surplus(const struct amy__deploy_history *history, const char *now, size_t keep)
{
    const struct amy__deploy_entry *entry =
        amy__deploy_history_surplus(history, now, keep);

    return entry == NULL ? "" : entry->link;
}

static void
test_one_goes_back_to_who_served_before(void **state)
{
    struct amy__deploy_history history = {.count = 0};

    (void)state;
    assert_string_equal(before(&history, "releases/1"), "");
    serve(&history, "releases/1");
    assert_string_equal(before(&history, "releases/1"), "");
    serve(&history, "releases/2");
    serve(&history, "releases/3");
    assert_string_equal(before(&history, "releases/3"), "releases/2");
    /* Back, and further back: not to the one that was left. */
    amy__deploy_history_find(&history, "releases/3")->left = true;
    serve(&history, "releases/2");
    assert_int_equal(history.count, 3);
    assert_string_equal(before(&history, "releases/2"), "releases/1");
    /* A new one, in front of which the second served. */
    serve(&history, "releases/4");
    assert_string_equal(before(&history, "releases/4"), "releases/2");
    /* Somebody has moved the link by hand. */
    assert_string_equal(before(&history, "elsewhere"), "releases/4");
    amy__deploy_history_clear(&history);
}

static void
test_what_serves_again_is_not_left_any_more(void **state)
{
    struct amy__deploy_history history = {.count = 0};

    (void)state;
    serve(&history, "releases/1");
    serve(&history, "releases/2")->left = true;
    serve(&history, "releases/2");
    serve(&history, "releases/3");
    assert_string_equal(before(&history, "releases/3"), "releases/2");
    amy__deploy_history_clear(&history);
}

static void
test_the_oldest_of_ours_goes_and_never_the_last_two(void **state)
{
    struct amy__deploy_history history = {.count = 0};

    (void)state;
    serve(&history, "by-hand")->ours = false;
    serve(&history, "releases/1");
    serve(&history, "releases/2");
    serve(&history, "releases/3");
    assert_string_equal(surplus(&history, "releases/3", 3), "");
    assert_string_equal(surplus(&history, "releases/3", 2), "releases/1");
    amy__deploy_history_drop(&history, "releases/1");
    amy__deploy_history_drop(&history, "releases/1");
    assert_int_equal(history.count, 3);
    assert_string_equal(surplus(&history, "releases/3", 2), "");
    assert_string_equal(surplus(&history, "releases/3", 1), "");
    /* Back to the second: the third, which was left, is the one too many. */
    amy__deploy_history_find(&history, "releases/3")->left = true;
    serve(&history, "releases/2");
    assert_string_equal(surplus(&history, "releases/2", 1), "releases/3");
    amy__deploy_history_clear(&history);
}

static void
test_a_newer_one_brings_what_an_older_one_does_not_know(void **state)
{
    struct amy__deploy_history history = {.count = 0};
    const struct amy__deploy_entry *newer = NULL;

    (void)state;
    serve(&history, "by-hand")->ours = false;
    serve(&history, "releases/2026-1");
    serve(&history, "releases/2026-2");
    serve(&history, "releases/2026-1");
    newer = amy__deploy_history_find(&history, "releases/2026-2");
    assert_true(
        amy__deploy_history_is_newer(&history, newer, "releases/2026-1"));
    assert_true(amy__deploy_history_is_newer(&history, newer, "by-hand"));
    assert_true(amy__deploy_history_is_newer(&history, newer, "unknown"));
    assert_false(
        amy__deploy_history_is_newer(&history, newer, "releases/2026-2"));
    assert_false(amy__deploy_history_is_newer(
        &history, amy__deploy_history_find(&history, "by-hand"),
        "releases/2026-1"));
    amy__deploy_history_clear(&history);
}

static void
test_it_has_an_end(void **state)
{
    struct amy__deploy_history history = {.count = 0};
    char link[64];

    (void)state;
    for (unsigned i = 0; i < AMY__DEPLOY_HISTORY_MAX + 5; i++) {
        (void)snprintf(link, sizeof(link), "releases/%u", i);
        serve(&history, link);
    }
    assert_int_equal(history.count, AMY__DEPLOY_HISTORY_MAX);
    assert_string_equal(history.entries[0].link, "releases/5");
    amy__deploy_history_clear(&history);
}

static void
test_what_is_written_is_read_again(void **state)
{
    struct amy__deploy_history history = {.count = 0};
    struct amy__deploy_history again;
    struct amy__deploy_entry *entry = serve(&history, "releases/1");
    struct amy__buf text;

    (void)state;
    (void)snprintf(entry->ref, sizeof(entry->ref), "main");
    (void)snprintf(entry->commit, sizeof(entry->commit), "abc");
    (void)snprintf(entry->backup, sizeof(entry->backup), "20261127T032000Z");
    entry->left = true;
    assert_true(amy__texts_add(&entry->migrations, "shop.0002_price"));
    amy__buf_init(&text, AMY__DEPLOY_HISTORY_BYTES);
    assert_int_equal(amy__deploy_history_write(&history, &text), 0);
    assert_int_equal(
        amy__deploy_history_read(amy__buf_span(&text), &again, NULL), 0);
    assert_int_equal(again.count, 1);
    assert_string_equal(again.entries[0].link, "releases/1");
    assert_string_equal(again.entries[0].ref, "main");
    assert_string_equal(again.entries[0].commit, "abc");
    assert_string_equal(again.entries[0].backup, "20261127T032000Z");
    assert_int_equal(again.entries[0].served_wall_ms, 1000);
    assert_true(again.entries[0].ours && again.entries[0].left);
    assert_string_equal(again.entries[0].migrations[0], "shop.0002_price");
    amy__buf_clear(&text);
    amy__deploy_history_clear(&history);
    amy__deploy_history_clear(&again);
}

static void
test_what_nobody_wrote_so_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "{\"version\": 2, \"releases\": []}",
        "{\"version\": 1}",
        "{\"version\": 1, \"releases\": {}}",
        "{\"version\": 1, \"releases\": [{}]}",
        "{\"version\": 1, \"releases\": [{\"link\": \"\"}]}",
        "{\"version\": 1, \"releases\": [{\"link\": \"a\\u0001\"}]}",
        "{\"version\": 1, \"releases\": [{\"link\": \"a\"}, {\"link\": \"b\", "
        "\"migrations\": 1}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct amy__deploy_history history = {.count = 7};

        assert_int_equal(
            amy__deploy_history_read(amy__span_of(bad[i]), &history, NULL),
            AMY_EPARSE);
        assert_int_equal(history.count, 7);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_goes_back_to_who_served_before),
        cmocka_unit_test(test_what_serves_again_is_not_left_any_more),
        cmocka_unit_test(test_the_oldest_of_ours_goes_and_never_the_last_two),
        cmocka_unit_test(
            test_a_newer_one_brings_what_an_older_one_does_not_know),
        cmocka_unit_test(test_it_has_an_end),
        cmocka_unit_test(test_what_is_written_is_read_again),
        cmocka_unit_test(test_what_nobody_wrote_so_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

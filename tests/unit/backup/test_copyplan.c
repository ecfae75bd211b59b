/* What a copy lacks and what goes there, by example and by what must hold of
 * any sets, records and rules. */
#include "amy_test.h"

#include "backup/copyplan.h"
#include "core/alloc.h"

#include <stdio.h>
#include <string.h>

#define NOW INT64_C(1795466527000) /* 2026-11-23T20:42:07Z */
#define HOUR INT64_C(3600000)
#define MOST 40

static struct amy__retain_set scratch[MOST];

static struct amy__copy_item
item(unsigned age_h, const char *what)
{
    struct amy__copy_item made = {.made_ms = NOW - age_h * HOUR};

    made.here = strchr(what, 'h') != NULL;
    made.verified = strchr(what, 'v') != NULL;
    made.there = strchr(what, 't') != NULL;
    made.proven = strchr(what, 'p') != NULL;
    made.unread = strchr(what, '?') != NULL;
    made.pinned = strchr(what, '!') != NULL;
    made.ahead = strchr(what, '+') != NULL;
    return made;
}

static void
plan(uint32_t count, struct amy__copy_item *items, size_t n)
{
    struct amy__retain_rules rules = {.count = count};

    amy__copyplan(&rules, items, n, NOW, scratch);
}

static void
test_what_is_missing_is_wanted_as_far_as_the_rules_go(void **state)
{
    struct amy__copy_item items[] = {item(1, "hv"), item(2, "hv"),
                                     item(3, "hvtp"), item(4, "hv"),
                                     item(5, "hv")};

    (void)state;
    plan(4, items, 5);
    assert_true(items[0].wanted && items[1].wanted && items[3].wanted);
    assert_false(items[2].wanted || items[4].wanted);
}

static void
test_what_is_not_verified_here_is_never_wanted(void **state)
{
    struct amy__copy_item items[] = {item(1, "h"), item(2, "hv+"),
                                     item(3, "tp")};

    (void)state;
    plan(9, items, 3);
    assert_false(items[0].wanted || items[1].wanted || items[2].wanted);
}

static void
test_nothing_goes_on_account_of_what_was_not_read_back(void **state)
{
    struct amy__copy_item items[] = {item(1, "hv"), item(2, "hvt"),
                                     item(3, "tp"), item(4, "tp"),
                                     item(5, "tp!")};

    (void)state;
    plan(2, items, 5);
    assert_true(items[0].wanted && items[1].wanted);
    assert_non_null(items[1].keep);
    assert_non_null(items[2].keep); /* two newer ones are not there yet */
    assert_non_null(items[3].keep);
    items[0].there = items[0].proven = items[1].proven = true;
    plan(2, items, 5);
    assert_false(items[0].wanted || items[1].wanted);
    assert_null(items[2].keep);
    assert_null(items[3].keep);
    assert_string_equal(items[4].keep, "pinned");
}

/* A host that was built anew, or two that share a place. */
static void
test_what_nobody_has_read_stays_until_somebody_has(void **state)
{
    const struct amy__retain_rules rules = {.count = 1, .monthly = 12};
    struct amy__copy_item items[] = {item(1, "hvtp"), item(2, "t?"),
                                     item(900, "t?"), item(1700, "t?"),
                                     item(2500, "t")};

    (void)state;
    amy__copyplan(&rules, items, 5, NOW, scratch);
    for (size_t i = 0; i < 4; i++) {
        assert_non_null(items[i].keep);
    }
    assert_null(items[4].keep); /* read, and bad */
    for (size_t i = 1; i < 4; i++) {
        items[i].unread = false;
        items[i].proven = true;
    }
    amy__copyplan(&rules, items, 5, NOW, scratch);
    assert_null(items[1].keep);
    assert_string_equal(items[2].keep, "monthly");
    assert_string_equal(items[3].keep, "monthly");
}

/* --- whatever there is --- */

static uint32_t
next(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 16;
}

static size_t
make_items(uint32_t *seed, struct amy__copy_item *items)
{
    size_t n = next(seed) % MOST;
    int64_t made_ms = NOW;

    for (size_t i = 0; i < n; i++) {
        uint32_t bits = next(seed);

        made_ms -= (int64_t)(next(seed) % 30) * HOUR + 1;
        items[i] = (struct amy__copy_item){.made_ms = made_ms,
                                           .here = (bits & 1) != 0,
                                           .there = (bits & 2) != 0,
                                           .pinned = (bits & 28) == 4,
                                           .deploy = (bits & 96) == 32};
        items[i].verified = items[i].here && (bits & 128) != 0;
        items[i].proven = items[i].there && (bits & 256) != 0;
        items[i].unread =
            items[i].there && !items[i].proven && (bits & 512) != 0;
    }
    return n;
}

/* All that is wanted was copied and read back. */
static void
carry_out(struct amy__copy_item *items, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (items[i].wanted) {
            items[i].there = items[i].proven = true;
        }
    }
}

static size_t
count_proven(const struct amy__copy_item *items, size_t n, bool kept)
{
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        count += items[i].proven && (!kept || items[i].keep != NULL);
    }
    return count;
}

static void
test_of_any_sets_and_rules_nothing_is_lost_and_an_end_is_reached(void **state)
{
    (void)state;
    for (uint32_t round = 1; round <= 20000; round++) {
        struct amy__copy_item items[MOST];
        uint32_t seed = round;
        size_t n = make_items(&seed, items);
        struct amy__retain_rules rules = {.count = next(&seed) % 6,
                                          .age_ms = (int64_t)(next(&seed) % 3) *
                                                    50 * HOUR,
                                          .daily = next(&seed) % 4,
                                          .monthly = next(&seed) % 3};
        size_t proven = count_proven(items, n, false);
        size_t kept = 0;

        amy__copyplan(&rules, items, n, NOW, scratch);
        kept = count_proven(items, n, true);
        /* The copy never falls below its rule by what we remove. */
        assert_true(kept == proven || kept >= rules.count);
        assert_true(proven == 0 || kept > 0);
        for (size_t i = 0; i < n; i++) {
            assert_true(!items[i].wanted || items[i].verified);
            assert_true(!items[i].pinned || items[i].keep != NULL);
            assert_true(!items[i].unread || items[i].keep != NULL);
        }
        carry_out(items, n);
        amy__copyplan(&rules, items, n, NOW, scratch);
        for (size_t i = 0; i < n; i++) {
            assert_false(items[i].wanted); /* once, and it is done */
        }
    }
}

/* --- both lists as one --- */

static void
name_set(struct amy__set *set, const char *name, const char *sha256)
{
    memset(set, 0, sizeof(*set));
    (void)snprintf(set->manifest.name, sizeof(set->manifest.name), "%s", name);
    set->manifest.verdict = AMY__VERDICT_PARSED;
    set->manifest.file_count = 1;
    (void)snprintf(set->manifest.files[0].name,
                   sizeof(set->manifest.files[0].name), "%s", AMY__SET_DATA);
    (void)snprintf(set->manifest.files[0].sha256,
                   sizeof(set->manifest.files[0].sha256), "%s", sha256);
}

static void
add_entry(struct amy__copy_record *record, const char *name, const char *sha256)
{
    struct amy__copy_entry entry = {.proven = sha256[0] != '?', .pinned = true};

    (void)snprintf(entry.name, sizeof(entry.name), "%s", name);
    (void)snprintf(entry.data, sizeof(entry.data), "%s", sha256);
    assert_int_equal(amy__copy_record_put(record, &entry, NULL), 0);
}

static void
test_what_is_here_and_what_is_there_become_one_list(void **state)
{
    struct amy__set here[4];
    struct amy__sets sets = {.items = here, .count = 4};
    struct amy__copy_record record = {.items = NULL};
    struct amy__retain_rules rules = {.count = 9};
    struct amy__copy_item *items = NULL;
    size_t n = 0;

    (void)state;
    name_set(&here[0], "20261123T040000Z", "a");
    name_set(&here[1], "20261123T030000Z", "b");
    name_set(&here[2], "20261123T020000Z", "c");
    name_set(&here[3], "20261123T010000Z", "d");
    (void)snprintf(here[3].broken, sizeof(here[3].broken), "no manifest");
    add_entry(&record, "20261123T020000Z", "c");
    add_entry(&record, "20261123T030000Z", "not b");
    add_entry(&record, "20261122T000000Z", "e");
    add_entry(&record, "20261121T000000Z", "?");
    assert_int_equal(
        amy__copy_items(&sets, &record, &rules, NOW, &items, &n, NULL), 0);
    assert_int_equal(n, 5); /* a broken one is nowhere */
    assert_string_equal(items[0].name, "20261123T040000Z");
    assert_true(items[0].wanted && !items[0].there);
    assert_true(items[1].wanted && items[1].there && !items[1].proven);
    assert_true(!items[2].wanted && items[2].proven && !items[2].pinned);
    assert_true(!items[3].here && items[3].there && items[3].pinned);
    assert_true(items[1].unread && !items[2].unread && !items[3].unread);
    assert_true(items[4].there && items[4].unread);
    amy__free(items);
    amy__copy_record_clear(&record);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_missing_is_wanted_as_far_as_the_rules_go),
        cmocka_unit_test(test_what_is_not_verified_here_is_never_wanted),
        cmocka_unit_test(
            test_nothing_goes_on_account_of_what_was_not_read_back),
        cmocka_unit_test(test_what_nobody_has_read_stays_until_somebody_has),
        cmocka_unit_test(
            test_of_any_sets_and_rules_nothing_is_lost_and_an_end_is_reached),
        cmocka_unit_test(test_what_is_here_and_what_is_there_become_one_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

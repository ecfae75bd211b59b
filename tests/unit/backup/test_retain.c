/* Retention against the plain words of its rules, over random sets. */
#include "amy_test.h"

#include "backup/retain.h"
#include "core/civil.h"

#include <stdlib.h>
#include <string.h>

#define HOUR_MS INT64_C(3600000)
#define SETS_MAX 60

static uint64_t
next_random(uint64_t *state)
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

static uint64_t
below(uint64_t *state, uint64_t n)
{
    return next_random(state) % n;
}

/* --- the model: each set asks all others --- */

static bool
counts(const struct amy__retain_set *set)
{
    return set->verified && !set->ahead;
}

static size_t
verified_before(const struct amy__retain_set *sets, size_t i)
{
    size_t n = 0;

    for (size_t k = 0; k < i; k++) {
        n += counts(&sets[k]);
    }
    return n;
}

static int64_t
stretch(int64_t ms, char kind)
{
    int64_t day = amy__floor_div(ms, AMY__DAY_MS);

    switch (kind) {
    case 'h':
        return amy__floor_div(ms, HOUR_MS);
    case 'd':
        return day;
    case 'w': /* the day number of its Monday */
        return day - (amy__civil_weekday(day) + 6) % 7;
    default:
        return amy__civil_date(day).year * 100 + amy__civil_date(day).month;
    }
}

/* First of its stretch, with fewer than count younger stretches. */
static bool
thinned(const struct amy__retain_set *sets, size_t i, uint32_t count, char kind)
{
    uint32_t younger = 0;

    for (size_t k = 0; k < i; k++) {
        bool first = counts(&sets[k]);

        if (counts(&sets[k]) &&
            stretch(sets[k].made_ms, kind) == stretch(sets[i].made_ms, kind)) {
            return false;
        }
        for (size_t j = 0; j < k; j++) {
            first = first &&
                    !(counts(&sets[j]) && stretch(sets[j].made_ms, kind) ==
                                              stretch(sets[k].made_ms, kind));
        }
        younger += first;
    }
    return counts(&sets[i]) && younger < count;
}

static bool
stays(const struct amy__retain_rules *r, const struct amy__retain_set *sets,
      size_t i, int64_t now_ms)
{
    const struct amy__retain_set *set = &sets[i];
    int64_t age_ms = now_ms - set->made_ms;
    size_t newer = verified_before(sets, i);
    bool none = r->count + r->hourly + r->daily + r->weekly + r->monthly == 0 &&
                r->age_ms == 0;

    return none || set->pinned || set->ahead ||
           (r->age_ms > 0 && age_ms < r->age_ms) ||
           (set->deploy && age_ms < r->deploy_age_ms) ||
           (counts(set) && (newer == 0 || newer < r->count)) ||
           (!counts(set) && newer < (r->count == 0 ? 1 : r->count)) ||
           thinned(sets, i, r->hourly, 'h') ||
           thinned(sets, i, r->daily, 'd') ||
           thinned(sets, i, r->weekly, 'w') ||
           thinned(sets, i, r->monthly, 'm');
}

static int
newest_first(const void *a, const void *b)
{
    const struct amy__retain_set *x = a;
    const struct amy__retain_set *y = b;

    return (x->made_ms < y->made_ms) - (x->made_ms > y->made_ms);
}

static void
test_random_sets_stay_as_the_rules_say(void **state)
{
    uint64_t random = 4;
    size_t gone = 0;
    size_t kept = 0;

    (void)state;
    for (unsigned run = 0; run < 2000; run++) {
        struct amy__retain_set sets[SETS_MAX];
        size_t n = below(&random, SETS_MAX);
        int64_t now_ms = 20000 * AMY__DAY_MS + (int64_t)below(&random, 1 << 30);
        int64_t span = below(&random, 2) ? 400 * 24 : 60; /* hours */
        struct amy__retain_rules r = {
            .count = (uint32_t)(below(&random, 2) * below(&random, 20)),
            .age_ms = (int64_t)(below(&random, 2) * below(&random, 90)) * 24 *
                      HOUR_MS,
            .hourly = (uint32_t)(below(&random, 2) * below(&random, 10)),
            .daily = (uint32_t)(below(&random, 2) * below(&random, 10)),
            .weekly = (uint32_t)(below(&random, 2) * below(&random, 6)),
            .monthly = (uint32_t)(below(&random, 2) * below(&random, 14)),
            .deploy_age_ms = (int64_t)below(&random, 10) * 24 * HOUR_MS,
        };

        for (size_t i = 0; i < n; i++) {
            /* Some from the future: a clock that was wrong. */
            sets[i] = (struct amy__retain_set){
                .made_ms = now_ms + 5 * HOUR_MS -
                           (int64_t)below(&random, (uint64_t)span) * HOUR_MS,
                .verified = below(&random, 4) != 0,
                .pinned = below(&random, 12) == 0,
                .deploy = below(&random, 6) == 0,
            };
            sets[i].ahead = sets[i].made_ms > now_ms;
        }
        qsort(sets, n, sizeof(sets[0]), newest_first);
        amy__retain(&r, sets, n, now_ms);
        for (size_t i = 0; i < n; i++) {
            assert_int_equal(sets[i].keep != NULL, stays(&r, sets, i, now_ms));
            gone += sets[i].keep == NULL;
            kept += sets[i].keep != NULL;
        }
    }
    assert_true(gone > 5000 && kept > 5000);
}

static void
test_unverified_sets_evict_nobody(void **state)
{
    struct amy__retain_rules rules = {.count = 2};
    struct amy__retain_set sets[] = {
        {.made_ms = 9, .verified = false}, {.made_ms = 8, .verified = false},
        {.made_ms = 7, .verified = false}, {.made_ms = 6, .verified = true},
        {.made_ms = 5, .verified = true},  {.made_ms = 4, .verified = false},
        {.made_ms = 3, .verified = true},
    };

    (void)state;
    amy__retain(&rules, sets, 7, 10);
    for (size_t i = 0; i < 5; i++) {
        assert_non_null(sets[i].keep);
    }
    assert_string_equal(sets[0].keep, "unverified");
    assert_string_equal(sets[3].keep, "newest verified");
    assert_string_equal(sets[4].keep, "count");
    assert_null(sets[5].keep);
    assert_null(sets[6].keep);
}

static void
test_the_newest_verified_stays_whatever_its_age(void **state)
{
    struct amy__retain_rules rules = {.age_ms = 1000};
    struct amy__retain_set sets[] = {{.made_ms = 5, .verified = true},
                                     {.made_ms = 4, .verified = true}};

    (void)state;
    amy__retain(&rules, sets, 2, 10000000);
    assert_non_null(sets[0].keep);
    assert_null(sets[1].keep);
}

static void
test_sets_from_the_future_evict_nobody_and_stay(void **state)
{
    struct amy__retain_rules rules = {.count = 2, .daily = 2};
    struct amy__retain_set sets[] = {
        {.made_ms = 900 * AMY__DAY_MS, .verified = true, .ahead = true},
        {.made_ms = 800 * AMY__DAY_MS, .verified = true, .ahead = true},
        {.made_ms = 700 * AMY__DAY_MS, .verified = true, .ahead = true},
        {.made_ms = 9 * AMY__DAY_MS, .verified = true},
        {.made_ms = 8 * AMY__DAY_MS, .verified = true},
        {.made_ms = 7 * AMY__DAY_MS, .verified = true},
    };

    (void)state;
    amy__retain(&rules, sets, 6, 10 * AMY__DAY_MS);
    for (size_t i = 0; i < 3; i++) {
        assert_string_equal(sets[i].keep, "dated in the future");
    }
    assert_string_equal(sets[3].keep, "newest verified");
    assert_string_equal(sets[4].keep, "count");
    assert_null(sets[5].keep);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_sets_stay_as_the_rules_say),
        cmocka_unit_test(test_unverified_sets_evict_nobody),
        cmocka_unit_test(test_the_newest_verified_stays_whatever_its_age),
        cmocka_unit_test(test_sets_from_the_future_evict_nobody_and_stay),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Retention: which sets stay. */
/* Not for deleting those that go: that is prune.c. */
#include "backup/retain.h"

#include "core/civil.h"

static void
keep(struct amy__retain_set *set, const char *why)
{
    if (set->keep == NULL) {
        set->keep = why;
    }
}

static bool
counts(const struct amy__retain_set *set)
{
    return set->verified && !set->ahead;
}

static int64_t
hour_of(int64_t ms)
{
    return amy__floor_div(ms, INT64_C(3600000));
}

static int64_t
day_of(int64_t ms)
{
    return amy__floor_div(ms, AMY__DAY_MS);
}

static int64_t
week_of(int64_t ms)
{
    return amy__floor_div(day_of(ms) + 3, 7); /* 1970 began on a Thursday */
}

static int64_t
month_of(int64_t ms)
{
    struct amy__civil date = amy__civil_date(day_of(ms));

    return date.year * 12 + (int64_t)date.month - 1;
}

/* The newest verified set of each of the last `count` stretches with one. */
static void
thin(struct amy__retain_set *sets, size_t n, uint32_t count,
     int64_t (*stretch_of)(int64_t ms), const char *why)
{
    int64_t last = 0;
    uint32_t seen = 0;

    for (size_t i = 0; i < n && count > 0; i++) {
        int64_t stretch = stretch_of(sets[i].made_ms);

        if (!counts(&sets[i]) || (seen > 0 && stretch == last)) {
            continue;
        }
        if (seen == count) {
            return;
        }
        seen++;
        last = stretch;
        keep(&sets[i], why);
    }
}

static bool
is_empty(const struct amy__retain_rules *rules)
{
    return rules->count == 0 && rules->age_ms <= 0 && rules->hourly == 0 &&
           rules->daily == 0 && rules->weekly == 0 && rules->monthly == 0;
}

/* Verified ones by number and age; unverified ones while there are not enough
 * verified ones that are newer. */
static void
keep_newest(const struct amy__retain_rules *rules, struct amy__retain_set *sets,
            size_t n, int64_t now_ms)
{
    uint32_t enough = rules->count > 0 ? rules->count : 1;
    uint32_t verified = 0;

    for (size_t i = 0; i < n; i++) {
        bool young =
            rules->age_ms > 0 && now_ms - sets[i].made_ms < rules->age_ms;

        if (young) {
            keep(&sets[i], "age");
        }
        if (!counts(&sets[i])) {
            if (verified < enough) {
                keep(&sets[i], "unverified");
            }
            continue;
        }
        if (verified == 0) {
            keep(&sets[i], "newest verified");
        }
        if (verified < rules->count) {
            keep(&sets[i], "count");
        }
        verified++;
    }
}

void
amy__retain(const struct amy__retain_rules *rules, struct amy__retain_set *sets,
            size_t n, int64_t now_ms)
{
    for (size_t i = 0; i < n; i++) {
        sets[i].keep = is_empty(rules) ? "no rule" : NULL;
        if (sets[i].pinned) {
            sets[i].keep = "pinned";
        }
        if (sets[i].ahead) {
            keep(&sets[i], "dated in the future");
        }
        if (sets[i].deploy && now_ms - sets[i].made_ms < rules->deploy_age_ms) {
            keep(&sets[i], "deployment");
        }
    }
    keep_newest(rules, sets, n, now_ms);
    thin(sets, n, rules->hourly, hour_of, "hourly");
    thin(sets, n, rules->daily, day_of, "daily");
    thin(sets, n, rules->weekly, week_of, "weekly");
    thin(sets, n, rules->monthly, month_of, "monthly");
}

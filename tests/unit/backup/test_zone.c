/* Zones against glibc's own reader of the same files. */
#include "amy_test.h"

#include "backup/zone.h"
#include "backup/zone_rule.h"
#include "core/civil.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static const char *const zones[] = {
    "Europe/Zurich",
    "America/New_York",
    "America/St_Johns",
    "Australia/Lord_Howe",
    "Pacific/Apia",
    "Africa/Casablanca",
    "Asia/Kathmandu",
    "America/Sao_Paulo",
    "Antarctica/Troll",
    "Europe/Dublin",
    "America/Godthab",
    "Pacific/Chatham",
    "Asia/Tehran",
    "Africa/Monrovia",
    "Etc/GMT+5",
    "UTC",
    "America/Scoresbysund",
};
#define ZONE_COUNT (sizeof(zones) / sizeof(zones[0]))

static void
use_zone(const char *name)
{
    assert_int_equal(setenv("TZ", name, 1), 0);
    tzset();
}

static int64_t
offset_by_libc(int64_t utc_s)
{
    time_t t = (time_t)utc_s;
    struct tm local = {0};

    assert_non_null(localtime_r(&t, &local));
    return local.tm_gmtoff;
}

static void
test_offsets_are_those_of_libc(void **state)
{
    int64_t from_s = amy__civil_day(1900, 1, 1) * AMY__DAY_S;
    int64_t until_s = amy__civil_day(2100, 1, 1) * AMY__DAY_S;

    (void)state;
    for (size_t i = 0; i < ZONE_COUNT; i++) {
        struct amy__zone *zone = NULL;

        assert_int_equal(amy__zone_load(zones[i], &zone, NULL), 0);
        use_zone(zones[i]);
        /* Every 15 h and a bit: no change is always stepped over by the same
         * hour. */
        for (int64_t s = from_s; s < until_s; s += 54183) {
            if (amy__zone_offset(zone, s) != offset_by_libc(s)) {
                fail_msg("%s at %lld", zones[i], (long long)s);
            }
        }
        amy__zone_free(zone);
    }
}

/* Every instant shows a local time; that local time must lead back to it. */
static void
test_local_times_lead_back_to_their_instants(void **state)
{
    int64_t from_s = amy__civil_day(2011, 12, 1) * AMY__DAY_S;
    int64_t until_s = amy__civil_day(2031, 1, 1) * AMY__DAY_S;

    (void)state;
    for (size_t i = 0; i < ZONE_COUNT; i++) {
        struct amy__zone *zone = NULL;
        int64_t last_local_s = INT64_MIN;

        assert_int_equal(amy__zone_load(zones[i], &zone, NULL), 0);
        for (int64_t s = from_s; s < until_s; s += 1800) {
            int64_t local_s = s + amy__zone_offset(zone, s);
            int64_t back[2] = {0, 0};
            unsigned n = amy__zone_instants(zone, local_s, back);

            assert_true(n >= 1 && (back[0] == s || back[1] == s));
            assert_true(n == 1 || back[0] < back[1]);
            if (local_s <= last_local_s) {
                assert_true(n == 2 && back[1] == s); /* turned back */
            }
            if (last_local_s != INT64_MIN && local_s > last_local_s + 1800) {
                n = amy__zone_instants(zone, local_s - 60, back);
                assert_int_equal(n, 0); /* left out: at the change */
                assert_int_equal(back[0], s);
            }
            last_local_s = local_s > last_local_s ? local_s : last_local_s;
        }
        amy__zone_free(zone);
    }
}

static void
test_names_lead_nowhere_else(void **state)
{
    static const char *const faulty[] = {
        "",          "/etc/passwd", "../passwd", "Europe/../UTC",
        "Europe/",   "Europe//X",   ".",         "Europe/Zu rich",
        "Zurich.tab"};
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__zone *zone = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
        assert_int_equal(amy__zone_load(faulty[i], &zone, &err), AMY_EINVAL);
    }
    assert_int_equal(amy__zone_load("Europe/Atlantis", &zone, &err),
                     AMY_ENOTFOUND);
    assert_non_null(strstr(err.msg, "Europe/Atlantis"));
    assert_true(amy__zone_load("Europe", &zone, &err) < 0); /* a directory */
    assert_null(zone);
}

/* Every cut of a real file, and every byte of its header spoilt, is refused or
 * read; nothing else happens. */
static void
test_cut_and_spoilt_files_are_refused(void **state)
{
    static char file[AMY__ZONE_BYTES_MAX];
    FILE *f = fopen("/usr/share/zoneinfo/Europe/Zurich", "re");
    size_t n = 0;
    struct amy__zone *zone = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_non_null(f);
    n = fread(file, 1, sizeof(file), f);
    (void)fclose(f);
    for (size_t cut = 0; cut < n; cut++) {
        assert_int_equal(
            amy__zone_parse((struct amy__span){file, cut}, &zone, &err),
            AMY_EPARSE);
    }
    assert_int_equal(amy__zone_parse((struct amy__span){file, n}, &zone, &err),
                     0);
    amy__zone_free(zone);
    file[0] = 'X';
    assert_int_equal(amy__zone_parse((struct amy__span){file, n}, &zone, &err),
                     AMY_EPARSE);
}

static void
test_rules_of_every_kind(void **state)
{
    static const char *const good[] = {
        "UTC0",
        "CET-1CEST,M3.5.0,M10.5.0/3",
        "<-03>3",
        "<+1030>-10:30<+11>-11,M10.1.0,M4.1.0",
        "IST-1GMT0,M10.5.0,M3.5.0/1",
        "EST5EDT,J60/2:30:15,J300/-1",
        "<-02>2<-01>,M3.5.0/-1,M10.5.0/0",
    };
    static const char *const faulty[] = {
        "",
        "CET",
        "-1",
        "CE-1",
        "CET-25",
        "CET-1CEST",
        "CET-1CEST,M3.5.0",
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.6.0,M10.5.0",
        "CET-1CEST,M3.5.7,M10.5.0",
        "CET-1CEST,J0,J10",
        "CET-1CEST,366,10",
        "CET-1CEST,M3.5.0,M10.5.0/168",
        "CET-1CEST,M3.5.0,M10.5.0x",
        "<+1-1",
    };
    struct amy__zone_rule rule;

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(amy__zone_rule_parse(amy__span_of(good[i]), &rule));
        use_zone(good[i]);
        for (int64_t s = INT64_C(1700000000); s < INT64_C(2000000000);
             s += 6997) {
            if (amy__zone_rule_offset(&rule, s) != offset_by_libc(s)) {
                fail_msg("%s at %lld", good[i], (long long)s);
            }
        }
    }
    for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
        if (amy__zone_rule_parse(amy__span_of(faulty[i]), &rule)) {
            fail_msg("'%s' was taken", faulty[i]);
        }
    }
}

/* Summer time all the year, as RFC 8536, 3.3.1 spells it; libc has it wrong for
 * some hours of the first of January. */
static void
test_a_rule_of_eternal_summer(void **state)
{
    struct amy__zone_rule rule;

    (void)state;
    assert_true(amy__zone_rule_parse(AMY_SPAN("XXX3YYY,0/0,J365/25"), &rule));
    for (int64_t s = INT64_C(1700000000); s < INT64_C(2000000000); s += 997) {
        assert_int_equal(amy__zone_rule_offset(&rule, s), -7200);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_offsets_are_those_of_libc),
        cmocka_unit_test(test_local_times_lead_back_to_their_instants),
        cmocka_unit_test(test_names_lead_nowhere_else),
        cmocka_unit_test(test_cut_and_spoilt_files_are_refused),
        cmocka_unit_test(test_rules_of_every_kind),
        cmocka_unit_test(test_a_rule_of_eternal_summer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

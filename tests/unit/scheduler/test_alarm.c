/* What a list of sets means, and when it is alarming. */
#include "amy_test.h"

#include "core/json.h"
#include "scheduler/internal.h"

#include <stdio.h>
#include <string.h>

#define MINUTE_MS INT64_C(60000)
#define T0 INT64_C(1795466527123) /* 2026-11-23T20:42:07.123Z */

static int64_t now_ms;
static char lines[4096]; /* of the log */

static int64_t
tell_now(void *user)
{
    (void)user;
    return now_ms;
}

static void
keep_line(enum amy_log_level level, const char *line, void *user)
{
    size_t n = strlen(lines);

    (void)level;
    (void)user;
    (void)snprintf(lines + n, sizeof(lines) - n, "%s\n", line);
}

static int64_t
tell_a_year_ago(void *user)
{
    (void)user;
    return now_ms - 365 * 24 * 60 * MINUTE_MS;
}

static struct amy_clock fake_clock = {.struct_size = sizeof(fake_clock),
                                      .mono_ms = tell_now,
                                      .wall_ms = tell_now};
static char database[] = "DATABASE_URL";

struct stage {
    struct amy_scheduler scheduler;
    struct amy__site says;
    struct amy__scheduler_site site;
};

static void
set_stage(struct stage *stage)
{
    static char domain[] = "example.org";

    memset(stage, 0, sizeof(*stage));
    now_ms = T0;
    lines[0] = '\0';
    stage->scheduler.borrow_clock = &fake_clock;
    stage->scheduler.log = (struct amy_log){
        .struct_size = sizeof(struct amy_log), .fn = keep_line};
    stage->scheduler.started_wall_ms = T0;
    stage->scheduler.started_mono_ms = T0;
    stage->says.database_from = database;
    stage->site.borrow_scheduler = &stage->scheduler;
    stage->site.domain = domain;
    stage->site.site = &stage->says;
    amy__scheduler_facts_clear(&stage->site.facts);
}

static void
know(struct stage *stage, const char *list)
{
    struct amy__json *json = NULL;

    assert_int_equal(amy__json_parse(amy__span_of(list), &json, NULL), 0);
    amy__scheduler_facts_read(json, &stage->site.facts);
    amy__json_free(json);
}

static unsigned
count(const char *words)
{
    unsigned n = 0;

    for (const char *at = strstr(lines, words); at != NULL;
         at = strstr(at + 1, words)) {
        n++;
    }
    return n;
}

static const char good_list[] =
    "{\"foreign\":2,\"sets\":["
    "{\"name\":\"c\",\"verdict\":\"suspect\",\"verified_set\":false,"
    "\"reason\":\"2 rows\",\"bytes\":10,\"slot\":null,"
    "\"started\":\"2026-11-23T20:42:00.000Z\"},"
    "{\"name\":\"b\",\"verdict\":\"parsed\",\"verified_set\":true,"
    "\"reason\":\"\",\"bytes\":100,\"slot\":\"2026-11-23T20:30:00.000Z\","
    "\"started\":\"2026-11-23T20:31:00.000Z\"},"
    "{\"name\":\"a\",\"verdict\":\"restored\",\"verified_set\":true,"
    "\"reason\":\"\",\"bytes\":1000,\"slot\":\"2026-11-23T20:00:00.000Z\","
    "\"started\":\"2026-11-23T20:01:00.000Z\","
    "\"verified\":\"2026-11-23T20:05:00.000Z\"}]}";

static void
test_facts_are_those_of_the_right_sets(void **state)
{
    struct stage stage;
    const struct amy__scheduler_facts *facts = &stage.site.facts;

    (void)state;
    set_stage(&stage);
    know(&stage, good_list);
    assert_true(facts->known);
    assert_int_equal(facts->sets, 3);
    assert_int_equal(facts->bytes, 1110);
    assert_int_equal(facts->foreign, 2);
    assert_string_equal(facts->newest_verdict, "suspect");
    assert_string_equal(amy__json_get_text(facts->good, "name", ""), "b");
    assert_int_equal(facts->good_ms, T0 - 667123);
    assert_int_equal(facts->slot_ms, T0 - 727123);
    assert_int_equal(facts->drilled_ms, T0 - 2227123);
    know(&stage, "{\"sets\":[],\"foreign\":0}");
    assert_null(facts->good);
    assert_true(facts->good_ms == AMY__MANIFEST_NO_TIME);
    amy__scheduler_facts_clear(&stage.site.facts);
}

static void
test_a_suspect_set_is_told_once(void **state)
{
    struct stage stage;

    (void)state;
    set_stage(&stage);
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(count("alarm"), 0); /* nothing is known yet */
    know(&stage, good_list);
    for (int i = 0; i < 5; i++) {
        amy__scheduler_alarms(&stage.site);
        now_ms += MINUTE_MS;
    }
    assert_int_equal(count("alarm on"), 1);
    assert_non_null(strstr(lines, "suspect: 2 rows"));
    assert_true(stage.site.alarms[AMY__ALARM_SUSPECT].on);
    assert_int_equal(stage.site.alarms[AMY__ALARM_SUSPECT].since_wall_ms, T0);
    know(&stage, "{\"sets\":[{\"name\":\"d\",\"verdict\":\"parsed\","
                 "\"verified_set\":true,"
                 "\"started\":\"2026-11-23T20:42:00.000Z\"}]}");
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(count("alarm off"), 1);
    amy__scheduler_facts_clear(&stage.site.facts);
}

static void
test_age_is_that_of_what_counts(void **state)
{
    struct stage stage;

    (void)state;
    set_stage(&stage);
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    know(&stage, good_list); /* 11 minutes and a bit; c does not count */
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_AGE].on);
    now_ms += 19 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_AGE].on);
    assert_non_null(strstr(lines, "the newest verified backup is 30m old"));
    amy__scheduler_facts_clear(&stage.site.facts);
}

static void
test_a_set_from_the_future_hides_nothing(void **state)
{
    struct stage stage;
    const struct amy__scheduler_facts *facts = &stage.site.facts;

    (void)state;
    set_stage(&stage);
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    know(&stage, "{\"sets\":["
                 "{\"name\":\"z\",\"ahead\":true,\"verdict\":\"parsed\","
                 "\"verified_set\":true,\"bytes\":5,"
                 "\"slot\":\"2037-01-01T00:00:00.000Z\","
                 "\"started\":\"2037-01-01T00:00:00.000Z\"},"
                 "{\"name\":\"b\",\"verdict\":\"damaged\","
                 "\"verified_set\":false,\"bytes\":3,"
                 "\"slot\":\"2026-11-23T20:30:00.000Z\","
                 "\"started\":\"2026-11-23T20:31:00.000Z\"},"
                 "{\"name\":\"a\",\"verdict\":\"parsed\","
                 "\"verified_set\":true,\"bytes\":2,"
                 "\"started\":\"2026-11-23T20:01:00.000Z\"}]}");
    assert_int_equal(facts->sets, 3);
    assert_int_equal(facts->ahead, 1);
    assert_int_equal(facts->bytes, 10);
    assert_string_equal(facts->newest_verdict, "damaged");
    assert_string_equal(amy__json_get_text(facts->good, "name", ""), "a");
    assert_int_equal(facts->slot_ms, T0 - 727123);
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_AGE].on);
    assert_true(stage.site.alarms[AMY__ALARM_SUSPECT].on);
    amy__scheduler_facts_clear(&stage.site.facts);
}

/* It has been set back by a year since the start. */
static void
test_no_backup_is_told_by_the_clock_that_nobody_sets(void **state)
{
    struct amy_clock wall_back = {.struct_size = sizeof(wall_back),
                                  .mono_ms = tell_now,
                                  .wall_ms = tell_a_year_ago};
    struct stage stage;

    (void)state;
    set_stage(&stage);
    stage.scheduler.borrow_clock = &wall_back;
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    know(&stage, "{\"sets\":[]}");
    now_ms += 29 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_AGE].on);
    now_ms += 2 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_non_null(strstr(lines, "there is no verified backup, for 31m"));
}

static void
test_what_another_host_backs_up_is_not_too_old_here(void **state)
{
    struct stage stage;

    (void)state;
    set_stage(&stage);
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    know(&stage, "{\"sets\":[]}");
    now_ms += 31 * MINUTE_MS;
    stage.site.other_ms = now_ms;
    now_ms += 30 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_AGE].on);
    now_ms += 1;
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_AGE].on);
}

static void
test_without_a_limit_the_schedule_is_one(void **state)
{
    struct stage stage;

    (void)state;
    set_stage(&stage);
    know(&stage, "{\"sets\":[]}");
    now_ms += 1000 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(count("alarm"), 0); /* by hand only */
    stage.site.has_schedule = true;
    stage.site.schedule.every_ms = 60 * MINUTE_MS;
    now_ms = T0 + 129 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(count("alarm"), 0);
    now_ms = T0 + 131 * MINUTE_MS; /* two of it, and ten minutes */
    amy__scheduler_alarms(&stage.site);
    assert_non_null(strstr(lines, "there is no verified backup"));
}

static void
test_failures_are_one_alarm_until_one_works(void **state)
{
    struct stage stage;

    (void)state;
    set_stage(&stage);
    (void)snprintf(stage.site.failure, sizeof(stage.site.failure), "no disk");
    for (uint32_t i = 1; i < 9; i++) {
        stage.site.failures = i;
        amy__scheduler_alarms(&stage.site);
    }
    assert_int_equal(count("state=failed"), 1);
    assert_non_null(strstr(lines, "no disk"));
    stage.site.failures = 0;
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_FAILED].on);
    stage.site.failures = 1;
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(count("alarm on"), 2);
}

/* A scheduled run is over; the daemon stops, so that nothing new begins. */
static void
end_run(struct stage *stage, enum amy__job_action action, int code,
        const char *result)
{
    struct amy__run run = {.internal = true, .code = code};

    run.spec.action = action;
    run.spec.slot_ms = T0 - MINUTE_MS;
    (void)snprintf(run.message, sizeof(run.message), "it failed");
    assert_int_equal(amy__json_parse(amy__span_of(result), &run.result, NULL),
                     0);
    stage->scheduler.stopping = true;
    amy__scheduler_site_ended(&stage->site, &run);
    amy__json_free(run.result);
}

static void
expect_retry(const struct stage *stage, enum amy__job_action action,
             int64_t in_ms, const char *set)
{
    const struct amy__retry *retry = &stage->site.retry;

    assert_int_equal(retry->action, action);
    assert_int_equal(retry->at_ms, now_ms + in_ms);
    assert_string_equal(retry->set, set);
}

static void
test_only_what_failed_is_tried_again(void **state)
{
    static const char unread[] = "{\"left\":\"verify\",\"set\":{\"name\":"
                                 "\"n\",\"verdict\":\"written\"}}";
    struct stage stage;

    (void)state;
    set_stage(&stage);
    end_run(&stage, AMY__JOB_DUMP, AMY_ECONN, "{}");
    expect_retry(&stage, AMY__JOB_DUMP, MINUTE_MS, "");
    assert_int_equal(stage.site.retry.slot_ms, T0 - MINUTE_MS);
    end_run(&stage, AMY__JOB_DUMP, AMY_ETIMEOUT, unread);
    expect_retry(&stage, AMY__JOB_VERIFY, 2 * MINUTE_MS, "n");
    end_run(&stage, AMY__JOB_VERIFY, AMY_EUNSUPPORTED, unread);
    expect_retry(&stage, AMY__JOB_VERIFY, 4 * MINUTE_MS, "n");
    assert_int_equal(stage.site.failures, 3);
    end_run(&stage, AMY__JOB_VERIFY, 0, "{}");
    expect_retry(&stage, AMY__JOB_PRUNE, 0, "");
    assert_int_equal(stage.site.failures, 0);
    end_run(&stage, AMY__JOB_PRUNE, AMY_EIO, "{\"left\":\"prune\"}");
    expect_retry(&stage, AMY__JOB_PRUNE, MINUTE_MS, "");
    end_run(&stage, AMY__JOB_PRUNE, 0, "{}");
    assert_int_equal(stage.site.retry.at_ms, 0);
}

static void
test_a_damaged_set_is_made_again(void **state)
{
    struct stage stage;

    (void)state;
    set_stage(&stage);
    end_run(&stage, AMY__JOB_DUMP, AMY_EPARSE,
            "{\"set\":{\"name\":\"n\",\"verdict\":\"damaged\"}}");
    expect_retry(&stage, AMY__JOB_DUMP, MINUTE_MS, "");
}

static void
test_a_newest_set_that_nobody_read_is_read(void **state)
{
    static const char list[] = "{\"sets\":[{\"name\":\"20261123T204200Z\","
                               "\"verdict\":\"written\"}]}";
    struct stage stage;

    (void)state;
    set_stage(&stage);
    end_run(&stage, AMY__JOB_LIST, 0, list);
    assert_int_equal(stage.site.retry.at_ms, 0); /* by hand only */
    stage.site.has_schedule = true;
    stage.site.scheduled = true;
    stage.site.schedule.every_ms = 60 * MINUTE_MS;
    end_run(&stage, AMY__JOB_LIST, 0, list);
    expect_retry(&stage, AMY__JOB_VERIFY, MINUTE_MS, "20261123T204200Z");
    now_ms += 1000; /* what is waited for already is not put off */
    end_run(&stage, AMY__JOB_LIST, 0, list);
    expect_retry(&stage, AMY__JOB_VERIFY, MINUTE_MS - 1000, "20261123T204200Z");
    amy__scheduler_facts_clear(&stage.site.facts);
}

static void
test_a_scheduled_drill_that_fails_is_alarming(void **state)
{
    struct stage stage;

    (void)state;
    set_stage(&stage);
    stage.says.backup_drill_ms = 60 * MINUTE_MS;
    end_run(&stage, AMY__JOB_DRILL, AMY_ESTATE, "{}");
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_FAILED].on);
    assert_int_equal(stage.site.drill_ms, T0 + 60 * MINUTE_MS);
    end_run(&stage, AMY__JOB_DRILL, 0, "{}");
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_FAILED].on);
    assert_int_equal(stage.site.retry.at_ms, 0); /* no dump for that */
}

static void
test_another_hosts_backup_is_noted_and_no_failure(void **state)
{
    struct stage stage;

    (void)state;
    set_stage(&stage);
    end_run(&stage, AMY__JOB_DUMP, AMY_EBUSY, "{\"elsewhere\":true}");
    assert_int_equal(stage.site.other_ms, T0);
    assert_int_equal(stage.site.failures, 0);
    assert_int_equal(stage.site.retry.at_ms, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts_are_those_of_the_right_sets),
        cmocka_unit_test(test_a_suspect_set_is_told_once),
        cmocka_unit_test(test_age_is_that_of_what_counts),
        cmocka_unit_test(test_a_set_from_the_future_hides_nothing),
        cmocka_unit_test(test_no_backup_is_told_by_the_clock_that_nobody_sets),
        cmocka_unit_test(test_what_another_host_backs_up_is_not_too_old_here),
        cmocka_unit_test(test_without_a_limit_the_schedule_is_one),
        cmocka_unit_test(test_failures_are_one_alarm_until_one_works),
        cmocka_unit_test(test_only_what_failed_is_tried_again),
        cmocka_unit_test(test_a_damaged_set_is_made_again),
        cmocka_unit_test(test_a_newest_set_that_nobody_read_is_read),
        cmocka_unit_test(test_a_scheduled_drill_that_fails_is_alarming),
        cmocka_unit_test(test_another_hosts_backup_is_noted_and_no_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

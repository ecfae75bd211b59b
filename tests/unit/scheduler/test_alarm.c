/* What a list of sets means, and when it is alarming. */
#include "stage.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

static int64_t
tell_a_year_ago(void *user)
{
    (void)user;
    return stage_now_ms - 365 * 24 * 60 * MINUTE_MS;
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
    stage_set(&stage);
    stage_know(&stage, good_list);
    assert_true(facts->known);
    assert_int_equal(facts->sets, 3);
    assert_int_equal(facts->bytes, 1110);
    assert_int_equal(facts->foreign, 2);
    assert_string_equal(facts->newest_verdict, "suspect");
    assert_string_equal(amy__json_get_text(facts->good, "name", ""), "b");
    assert_int_equal(facts->good_ms, T0 - 667123);
    assert_int_equal(facts->slot_ms, T0 - 727123);
    assert_int_equal(facts->drilled_ms, T0 - 2227123);
    stage_know(&stage, "{\"sets\":[],\"foreign\":0}");
    assert_null(facts->good);
    assert_true(facts->good_ms == AMY__MANIFEST_NO_TIME);
    amy__scheduler_facts_clear(&stage.site.facts);
}

/* Whoever was told that it is there asks at once, and the list comes later. */
static void
test_what_was_just_made_is_known(void **state)
{
    struct stage stage;
    const struct amy__scheduler_facts *facts = &stage.site.facts;

    (void)state;
    stage_set(&stage);
    stage_know(&stage, good_list);
    stage_end(&stage, AMY__JOB_DUMP, 0,
              "{\"set\":{\"name\":\"d\",\"verdict\":\"parsed\","
              "\"verified_set\":true,"
              "\"started\":\"2026-11-23T20:42:01.000Z\"}}");
    assert_string_equal(amy__json_get_text(facts->good, "name", ""), "d");
    assert_int_equal(facts->good_ms, T0 - 6123);
    assert_string_equal(facts->newest_verdict, "parsed");
    stage_end(&stage, AMY__JOB_DUMP, 0,
              "{\"set\":{\"name\":\"e\",\"verdict\":\"suspect\","
              "\"verified_set\":false,\"reason\":\"2 rows\"}}");
    assert_string_equal(amy__json_get_text(facts->good, "name", ""), "d");
    assert_string_equal(facts->newest_reason, "2 rows");
    amy__scheduler_facts_clear(&stage.site.facts);
}

static void
test_a_suspect_set_is_told_once(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(stage_count("alarm"), 0); /* nothing is known yet */
    stage_know(&stage, good_list);
    for (int i = 0; i < 5; i++) {
        amy__scheduler_alarms(&stage.site);
        stage_now_ms += MINUTE_MS;
    }
    assert_int_equal(stage_count("alarm on"), 1);
    assert_non_null(strstr(stage_lines, "suspect: 2 rows"));
    assert_true(stage.site.alarms[AMY__ALARM_SUSPECT].on);
    assert_int_equal(stage.site.alarms[AMY__ALARM_SUSPECT].since_wall_ms, T0);
    stage_know(&stage, "{\"sets\":[{\"name\":\"d\",\"verdict\":\"parsed\","
                       "\"verified_set\":true,"
                       "\"started\":\"2026-11-23T20:42:00.000Z\"}]}");
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(stage_count("alarm off"), 1);
    amy__scheduler_facts_clear(&stage.site.facts);
}

static void
test_age_is_that_of_what_counts(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    stage_know(&stage, good_list); /* 11 minutes and a bit; c does not count */
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_AGE].on);
    stage_now_ms += 19 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_AGE].on);
    assert_non_null(
        strstr(stage_lines, "the newest verified backup is 30m old"));
    amy__scheduler_facts_clear(&stage.site.facts);
}

static void
test_a_set_from_the_future_hides_nothing(void **state)
{
    struct stage stage;
    const struct amy__scheduler_facts *facts = &stage.site.facts;

    (void)state;
    stage_set(&stage);
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    stage_know(&stage, "{\"sets\":["
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
    struct amy_clock wall_back;
    struct stage stage;

    (void)state;
    stage_set(&stage);
    wall_back = *stage.scheduler.borrow_clock;
    wall_back.wall_ms = tell_a_year_ago;
    stage.scheduler.borrow_clock = &wall_back;
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    stage_know(&stage, "{\"sets\":[]}");
    stage_now_ms += 29 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_AGE].on);
    stage_now_ms += 2 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_non_null(
        strstr(stage_lines, "there is no verified backup, for 31m"));
}

static void
test_what_another_host_backs_up_is_not_too_old_here(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    stage_know(&stage, "{\"sets\":[]}");
    stage_now_ms += 31 * MINUTE_MS;
    stage.site.other_ms = stage_now_ms;
    stage_now_ms += 30 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_AGE].on);
    stage_now_ms += 1;
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_AGE].on);
}

static void
test_without_a_limit_the_schedule_is_one(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage_know(&stage, "{\"sets\":[]}");
    stage_now_ms += 1000 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(stage_count("alarm"), 0); /* by hand only */
    stage.site.has_schedule = true;
    stage.site.schedule.every_ms = 60 * MINUTE_MS;
    stage_now_ms = T0 + 129 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(stage_count("alarm"), 0);
    stage_now_ms = T0 + 131 * MINUTE_MS; /* two of it, and ten minutes */
    amy__scheduler_alarms(&stage.site);
    assert_non_null(strstr(stage_lines, "there is no verified backup"));
}

/* site.yaml was changed: what it was about is no more. */
static void
test_an_alarm_ends_with_what_it_is_about(void **state)
{
    struct stage stage;
    const struct amy__alarm *alarms = stage.site.alarms;

    (void)state;
    stage_set(&stage);
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    stage_know(&stage, "{\"sets\":[]}");
    stage.site.failures = 1;
    stage_now_ms += 31 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_true(alarms[AMY__ALARM_AGE].on && alarms[AMY__ALARM_FAILED].on);
    stage.says.backup_alarm_age_ms = 0; /* and no schedule */
    amy__scheduler_alarms(&stage.site);
    assert_false(alarms[AMY__ALARM_AGE].on);
    assert_true(alarms[AMY__ALARM_FAILED].on);
    stage.says.database_from = NULL;
    amy__scheduler_alarms(&stage.site);
    assert_false(alarms[AMY__ALARM_FAILED].on);
    assert_int_equal(stage_count("alarm off"), 2);
}

static void
test_failures_are_one_alarm_until_one_works(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    (void)snprintf(stage.site.failure, sizeof(stage.site.failure), "no disk");
    stage_know(&stage, "{\"sets\":[]}");
    for (uint32_t i = 1; i < 9; i++) {
        stage.site.failures = i;
        amy__scheduler_alarms(&stage.site);
    }
    assert_int_equal(stage_count("state=failed"), 1);
    assert_non_null(strstr(stage_lines, "no disk"));
    stage.site.failures = 0;
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_FAILED].on);
    stage.site.failures = 1;
    amy__scheduler_alarms(&stage.site);
    assert_int_equal(stage_count("alarm on"), 2);
}

static void
expect_retry(const struct stage *stage, enum amy__job_action action,
             int64_t in_ms, const char *set)
{
    const struct amy__retry *retry = &stage->site.retry;

    assert_int_equal(retry->action, action);
    assert_int_equal(retry->at_ms, stage_now_ms + in_ms);
    assert_string_equal(retry->set, set);
}

static void
test_only_what_failed_is_tried_again(void **state)
{
    static const char unread[] = "{\"left\":\"verify\",\"set\":{\"name\":"
                                 "\"n\",\"verdict\":\"written\"}}";
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage_end(&stage, AMY__JOB_DUMP, AMY_ECONN, "{}");
    expect_retry(&stage, AMY__JOB_DUMP, MINUTE_MS, "");
    assert_int_equal(stage.site.retry.slot_ms, T0 - MINUTE_MS);
    stage_end(&stage, AMY__JOB_DUMP, AMY_ETIMEOUT, unread);
    expect_retry(&stage, AMY__JOB_VERIFY, 2 * MINUTE_MS, "n");
    stage_end(&stage, AMY__JOB_VERIFY, AMY_EUNSUPPORTED, unread);
    expect_retry(&stage, AMY__JOB_VERIFY, 4 * MINUTE_MS, "n");
    assert_int_equal(stage.site.failures, 3);
    stage_end(&stage, AMY__JOB_VERIFY, 0, "{}");
    expect_retry(&stage, AMY__JOB_PRUNE, 0, "");
    assert_int_equal(stage.site.failures, 0);
    stage_end(&stage, AMY__JOB_PRUNE, AMY_EIO, "{\"left\":\"prune\"}");
    expect_retry(&stage, AMY__JOB_PRUNE, MINUTE_MS, "");
    stage_end(&stage, AMY__JOB_PRUNE, 0, "{}");
    assert_int_equal(stage.site.retry.at_ms, 0);
}

static void
test_tries_come_further_and_further_apart(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage.says.backup_retry_ms = 10 * MINUTE_MS;
    for (int64_t wait = 10; wait <= 20; wait *= 2) {
        stage_end(&stage, AMY__JOB_DUMP, AMY_ECONN, "{}");
        expect_retry(&stage, AMY__JOB_DUMP, wait * MINUTE_MS, "");
    }
    for (int i = 0; i < 40; i++) {
        stage_end(&stage, AMY__JOB_DUMP, AMY_ECONN, "{}");
        expect_retry(&stage, AMY__JOB_DUMP, 30 * MINUTE_MS, "");
    }
    stage.says.backup_retry_ms = 60 * MINUTE_MS;
    stage_end(&stage, AMY__JOB_DUMP, AMY_ECONN, "{}");
    expect_retry(&stage, AMY__JOB_DUMP, 60 * MINUTE_MS, "");
}

/* Nothing is wrong with anybody: no alarm, and a try that is not put off by the
 * one before. */
static void
test_a_dump_that_gave_way_is_made_later_and_no_failure(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    for (int i = 0; i < 3; i++) {
        stage_end(&stage, AMY__JOB_DUMP, AMY_EAGAIN, "{}");
        expect_retry(&stage, AMY__JOB_DUMP, MINUTE_MS, "");
        amy__scheduler_alarms(&stage.site);
    }
    assert_int_equal(stage.site.retry.slot_ms, T0 - MINUTE_MS);
    assert_int_equal(stage.site.failures, 0);
    assert_false(stage.site.alarms[AMY__ALARM_FAILED].on);
}

/* interlock.c calls it so. */
static void
test_a_lock_that_is_never_given_back_is_a_failure(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage_end(&stage, AMY__JOB_DUMP, AMY_ESTATE, "{}");
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_FAILED].on);
    expect_retry(&stage, AMY__JOB_DUMP, MINUTE_MS, "");
    assert_int_equal(stage.site.other_ms, 0); /* nobody backs it up */
}

static void
test_a_damaged_set_is_made_again(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage_end(&stage, AMY__JOB_DUMP, AMY_EPARSE,
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
    stage_set(&stage);
    stage_end(&stage, AMY__JOB_LIST, 0, list);
    assert_int_equal(stage.site.retry.at_ms, 0); /* by hand only */
    stage.site.has_schedule = true;
    stage.site.scheduled = true;
    stage.site.schedule.every_ms = 60 * MINUTE_MS;
    stage_end(&stage, AMY__JOB_LIST, 0, list);
    expect_retry(&stage, AMY__JOB_VERIFY, MINUTE_MS, "20261123T204200Z");
    stage_now_ms += 1000; /* what is waited for already is not put off */
    stage_end(&stage, AMY__JOB_LIST, 0, list);
    expect_retry(&stage, AMY__JOB_VERIFY, MINUTE_MS - 1000, "20261123T204200Z");
    amy__scheduler_facts_clear(&stage.site.facts);
}

/* A job of a daemon that was killed, at its end: the next slot may be far. */
static void
test_a_dump_that_another_job_keeps_out_is_tried_again(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage_end(&stage, AMY__JOB_DUMP, AMY_EBUSY, "{}");
    assert_int_equal(stage.site.failures, 0);
    expect_retry(&stage, AMY__JOB_DUMP, MINUTE_MS, "");
}

static void
test_a_scheduled_drill_that_fails_is_alarming(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage_know(&stage, "{\"sets\":[]}");
    stage.says.backup_drill_ms = 60 * MINUTE_MS;
    stage_end(&stage, AMY__JOB_DRILL, AMY_ESTATE, "{}");
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_FAILED].on);
    assert_int_equal(stage.site.drill_ms, T0 + 60 * MINUTE_MS);
    stage_end(&stage, AMY__JOB_DRILL, 0, "{}");
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_FAILED].on);
    assert_int_equal(stage.site.retry.at_ms, 0); /* no dump for that */
}

static void
test_another_hosts_backup_is_noted_and_no_failure(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage_end(&stage, AMY__JOB_DUMP, AMY_EBUSY, "{\"elsewhere\":true}");
    assert_int_equal(stage.site.other_ms, T0);
    assert_int_equal(stage.site.failures, 0);
    assert_int_equal(stage.site.retry.at_ms, 0);
}

/* A site whose files are not there now: no process of it can start. */
static void
lose_files(struct stage *stage, struct amy__settings *settings)
{
    static char nowhere[] = "/nonexistent";

    settings->webapps = nowhere;
    stage->scheduler.settings = settings;
    stage->scheduler.as_person = true;
    stage->scheduler.base = event_base_new();
    assert_non_null(stage->scheduler.base);
}

static void
test_a_look_that_cannot_start_is_a_failure(void **state)
{
    struct amy__settings settings = {0};
    struct stage stage;
    const struct amy__scheduler_site *site = &stage.site;

    (void)state;
    stage_set(&stage);
    lose_files(&stage, &settings);
    stage.site.has_schedule = true;
    stage.site.schedule.every_ms = 60 * MINUTE_MS;
    amy__scheduler_site_tick(&stage.site);
    assert_true(site->alarms[AMY__ALARM_FAILED].on);
    assert_int_equal(site->look_ms, T0 + MINUTE_MS);
    assert_int_equal(site->failures, 0);
    assert_true(site->scheduled); /* so that backups are tried, too */
    amy__scheduler_site_tick(&stage.site);
    assert_int_equal(site->failures, 1);
    expect_retry(&stage, AMY__JOB_DUMP, MINUTE_MS, "");
    stage_now_ms += MINUTE_MS;
    amy__scheduler_site_tick(&stage.site);
    assert_int_equal(site->look_ms, stage_now_ms + 2 * MINUTE_MS);
    expect_retry(&stage, AMY__JOB_DUMP, 2 * MINUTE_MS, "");
    assert_int_equal(stage_count("alarm on"), 1);
    stage_end(&stage, AMY__JOB_DUMP, 0, "{}");
    stage_end(&stage, AMY__JOB_LIST, 0, "{\"sets\":[]}");
    amy__scheduler_alarms(&stage.site);
    assert_false(site->alarms[AMY__ALARM_FAILED].on);
    event_base_free(stage.scheduler.base);
}

/* DB_backups has become another's since the last one. */
static void
test_a_look_that_fails_later_is_a_failure(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage_end(&stage, AMY__JOB_LIST, 0, good_list);
    stage_end(&stage, AMY__JOB_LIST, AMY_EDENIED, "{}");
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_FAILED].on);
    assert_string_equal(stage.site.alarms[AMY__ALARM_FAILED].message,
                        "it failed");
    stage_end(&stage, AMY__JOB_LIST, 0, good_list);
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_FAILED].on);
    amy__scheduler_facts_clear(&stage.site.facts);
}

static void
test_a_drill_that_cannot_start_is_tried_an_hour_later(void **state)
{
    struct amy__settings settings = {0};
    struct stage stage;

    (void)state;
    stage_set(&stage);
    lose_files(&stage, &settings);
    stage_know(&stage, "{\"sets\":[{\"name\":\"d\",\"verdict\":\"parsed\","
                       "\"verified_set\":true,"
                       "\"started\":\"2026-11-23T20:42:00.000Z\"}]}");
    stage.says.backup_drill_ms = 60 * MINUTE_MS;
    stage.site.look_ms = T0 + 60 * MINUTE_MS;
    amy__scheduler_site_tick(&stage.site);
    amy__scheduler_site_tick(&stage.site);
    assert_int_equal(stage_count("job=drill"), 1);
    assert_true(stage.site.alarms[AMY__ALARM_FAILED].on);
    assert_int_equal(stage.site.drill_ms, T0 + 60 * MINUTE_MS);
    event_base_free(stage.scheduler.base);
    amy__scheduler_facts_clear(&stage.site.facts);
}

/* The clock was a year ahead when it was made. */
static void
test_a_drill_from_the_future_puts_off_none(void **state)
{
    struct amy__settings settings = {0};
    struct stage stage;

    (void)state;
    stage_set(&stage);
    lose_files(&stage, &settings);
    stage_know(&stage, good_list);
    stage.says.backup_drill_ms = 60 * MINUTE_MS;
    stage.site.look_ms = T0 + 600 * MINUTE_MS;
    amy__scheduler_site_tick(&stage.site);
    assert_int_equal(stage_count("job=drill"), 0);     /* 37 minutes ago */
    stage.site.facts.drilled_ms = T0 + 10 * MINUTE_MS; /* about the same */
    amy__scheduler_site_tick(&stage.site);
    assert_int_equal(stage_count("job=drill"), 0);
    stage.site.facts.drilled_ms = T0 + 365 * 24 * 60 * MINUTE_MS;
    amy__scheduler_site_tick(&stage.site);
    assert_int_equal(stage_count("job=drill"), 1);
    event_base_free(stage.scheduler.base);
    amy__scheduler_facts_clear(&stage.site.facts);
}

/* What we end because we stop has not failed. */
static void
test_a_daemon_that_stops_alarms_nobody(void **state)
{
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage_end(&stage, AMY__JOB_DUMP, AMY_ECANCELED, "{}");
    stage_end(&stage, AMY__JOB_LIST, AMY_ECANCELED, "{}");
    assert_int_equal(stage_count("alarm"), 0);
}

/* Its user may have stopped it. */
static void
test_nobody_waits_for_a_job_that_says_nothing(void **state)
{
    struct amy__run run = {.spec = {.action = AMY__JOB_DUMP}, .heard_ms = T0};
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage.scheduler.sites = &stage.site;
    assert_false(amy__run_is_busy(&stage.scheduler));
    stage.site.runs = &run;
    stage_now_ms += 4 * MINUTE_MS;
    assert_true(amy__run_is_busy(&stage.scheduler));
    stage_now_ms += MINUTE_MS;
    assert_false(amy__run_is_busy(&stage.scheduler));
    run.heard_ms = stage_now_ms; /* it goes on */
    assert_true(amy__run_is_busy(&stage.scheduler));
}

/* site.yaml names a zone that this host does not have, until it is installed.
 */
static void
test_a_schedule_that_cannot_be_read_is_a_failure(void **state)
{
    static char half_past_two[] = "02:30";
    static char nowhere[] = "Nowhere/Atlantis";
    static char everywhere[] = "UTC";
    char *at[] = {half_past_two, NULL};
    const struct amy__alarm *alarms = NULL;
    struct amy__settings settings = {0};
    struct stage stage;

    (void)state;
    stage_set(&stage);
    alarms = stage.site.alarms;
    stage.says.backup_at = at;
    stage.says.backup_zone = nowhere;
    stage_know(&stage, good_list);
    assert_true(amy__scheduler_set_schedule(&stage.site, NULL) < 0);
    assert_false(stage.site.has_schedule);
    amy__scheduler_alarms(&stage.site);
    assert_true(alarms[AMY__ALARM_FAILED].on);
    assert_non_null(strstr(alarms[AMY__ALARM_FAILED].message, nowhere));
    stage.says.backup_zone = everywhere;
    lose_files(&stage, &settings);
    amy__scheduler_site_tick(&stage.site); /* as every hour */
    assert_true(stage.site.has_schedule);
    stage_end(&stage, AMY__JOB_LIST, 0, good_list);
    amy__scheduler_alarms(&stage.site);
    assert_false(alarms[AMY__ALARM_FAILED].on);
    event_base_free(stage.scheduler.base);
    amy__zone_free(stage.site.zone);
    amy__scheduler_facts_clear(&stage.site.facts);
}

/* Nor is one that was told of before. */
static void
test_an_age_does_not_end_with_a_schedule_that_cannot_be_read(void **state)
{
    static char half_past_two[] = "02:30";
    static char nowhere[] = "Nowhere/Atlantis";
    char *at[] = {half_past_two, NULL};
    struct stage stage;

    (void)state;
    stage_set(&stage);
    stage.site.alarms[AMY__ALARM_AGE].on = true; /* before the restart */
    stage.says.backup_at = at;
    stage.says.backup_zone = nowhere;
    stage_know(&stage, "{\"sets\":[]}");
    assert_true(amy__scheduler_set_schedule(&stage.site, NULL) < 0);
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_AGE].on);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts_are_those_of_the_right_sets),
        cmocka_unit_test(test_what_was_just_made_is_known),
        cmocka_unit_test(test_a_suspect_set_is_told_once),
        cmocka_unit_test(test_age_is_that_of_what_counts),
        cmocka_unit_test(test_a_set_from_the_future_hides_nothing),
        cmocka_unit_test(test_no_backup_is_told_by_the_clock_that_nobody_sets),
        cmocka_unit_test(test_what_another_host_backs_up_is_not_too_old_here),
        cmocka_unit_test(test_without_a_limit_the_schedule_is_one),
        cmocka_unit_test(test_an_alarm_ends_with_what_it_is_about),
        cmocka_unit_test(test_failures_are_one_alarm_until_one_works),
        cmocka_unit_test(test_only_what_failed_is_tried_again),
        cmocka_unit_test(test_tries_come_further_and_further_apart),
        cmocka_unit_test(
            test_a_dump_that_gave_way_is_made_later_and_no_failure),
        cmocka_unit_test(test_a_lock_that_is_never_given_back_is_a_failure),
        cmocka_unit_test(test_a_damaged_set_is_made_again),
        cmocka_unit_test(test_a_newest_set_that_nobody_read_is_read),
        cmocka_unit_test(test_a_scheduled_drill_that_fails_is_alarming),
        cmocka_unit_test(test_another_hosts_backup_is_noted_and_no_failure),
        cmocka_unit_test(test_a_dump_that_another_job_keeps_out_is_tried_again),
        cmocka_unit_test(test_a_look_that_cannot_start_is_a_failure),
        cmocka_unit_test(test_a_look_that_fails_later_is_a_failure),
        cmocka_unit_test(test_a_drill_that_cannot_start_is_tried_an_hour_later),
        cmocka_unit_test(test_a_drill_from_the_future_puts_off_none),
        cmocka_unit_test(test_a_daemon_that_stops_alarms_nobody),
        cmocka_unit_test(test_nobody_waits_for_a_job_that_says_nothing),
        cmocka_unit_test(test_a_schedule_that_cannot_be_read_is_a_failure),
        cmocka_unit_test(
            test_an_age_does_not_end_with_a_schedule_that_cannot_be_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Copies off the host: when each is due again, and what is alarming. */
#include "stage.h"

#include <stdio.h>
#include <string.h>

static void
set_copies(struct stage *stage)
{
    static char nas[] = "nas";
    static char s3[] = "s3";
    static struct amy__site_copy copies[2];

    stage_set(stage);
    copies[0].name = nas;
    copies[0].late_ms = 60 * MINUTE_MS;
    copies[1].name = s3;
    stage->says.copies = copies;
    stage->says.copy_count = 2;
    amy__scheduler_copies_renew(&stage->site);
}

static void
end_copy(struct stage *stage, const char *name, int code, const char *message)
{
    struct amy__run run = {.internal = true,
                           .over = true,
                           .code = code,
                           .spec = {.action = AMY__JOB_COPY}};

    (void)snprintf(run.spec.copy.name, sizeof(run.spec.copy.name), "%s", name);
    (void)snprintf(run.message, sizeof(run.message), "%s", message);
    amy__scheduler_copies_ended(&stage->site, &run);
    amy__scheduler_alarms(&stage->site);
}

static void
know_copies(struct stage *stage, const char *list)
{
    struct amy__json *json = NULL;

    assert_int_equal(amy__json_parse(amy__span_of(list), &json, NULL), 0);
    amy__scheduler_copies_read(&stage->site, json);
    amy__json_free(json);
    amy__scheduler_alarms(&stage->site);
}

static const char missing_list[] =
    "{\"copies\":[{\"name\":\"nas\",\"missing\":2,\"bytes\":5,"
    "\"newest\":\"2026-11-23T20:00:00.000Z\",\"sets\":["
    "{\"name\":\"a\",\"proven\":\"2026-11-23T20:00:01.000Z\"},"
    "{\"name\":\"b\",\"proven\":null}]},"
    "{\"name\":\"gone\",\"missing\":9}]}";

static const char s3_list[] =
    "{\"copies\":[{\"name\":\"s3\",\"missing\":0,\"newest\":null,"
    "\"sets\":[]}]}";

static void
test_a_copy_that_fails_is_told_once_and_tried_ever_later(void **state)
{
    struct stage stage;
    const struct amy__scheduler_copy *nas = &stage.site.copies[0];

    (void)state;
    set_copies(&stage);
    for (int i = 0; i < 3; i++) {
        end_copy(&stage, "nas", AMY_ECONN, "no route; it said: s3cr3t");
        assert_int_equal(nas->retry_ms, stage_now_ms + (MINUTE_MS << i));
    }
    assert_int_equal(stage_count("alarm on"), 1);
    assert_non_null(
        strstr(stage_lines, "state=copy-failed reason=\"no route\""));
    assert_null(strstr(stage_lines, "s3cr3t"));
    end_copy(&stage, "s3", 0, "");
    assert_true(stage.site.alarms[AMY__ALARM_COPY_FAILED].on);
    end_copy(&stage, "nas", AMY_EBUSY, "another host"); /* is no failure */
    assert_int_equal(nas->failures, 3);
    end_copy(&stage, "nas", 0, "");
    assert_false(stage.site.alarms[AMY__ALARM_COPY_FAILED].on);
    end_copy(&stage, "gone", AMY_EIO, "of no copy of ours any more");
    assert_false(stage.site.alarms[AMY__ALARM_COPY_FAILED].on);
}

static void
test_a_copy_is_late_when_it_lacks_something_and_is_old(void **state)
{
    struct stage stage;
    const struct amy__scheduler_copy *nas = &stage.site.copies[0];

    (void)state;
    set_copies(&stage);
    know_copies(&stage, missing_list);
    assert_true(nas->known && nas->missing == 2 && nas->sets == 1);
    assert_false(stage.site.copies[1].known);
    assert_false(stage.site.alarms[AMY__ALARM_COPY_LATE].on);
    know_copies(&stage, s3_list);   /* until all are known, nothing is over */
    stage_now_ms += 60 * MINUTE_MS; /* 20:00 is more than an hour ago now */
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_COPY_LATE].on);
    assert_non_null(
        strstr(stage_lines, "the newest backup at the copy 'nas' is"));
    end_copy(&stage, "nas", 0, ""); /* nothing is missing */
    assert_false(stage.site.alarms[AMY__ALARM_COPY_LATE].on);
}

static void
test_what_is_known_of_a_copy_outlives_a_reload(void **state)
{
    struct stage stage;
    struct amy__site_copy swapped[2];
    int64_t retry_ms = 0;

    (void)state;
    set_copies(&stage);
    know_copies(&stage, missing_list);
    end_copy(&stage, "nas", 0, "");
    know_copies(&stage, missing_list);
    end_copy(&stage, "nas", AMY_ECONN, "no route");
    retry_ms = stage.site.copies[0].retry_ms;
    swapped[0] = stage.says.copies[1];
    swapped[1] = stage.says.copies[0];
    stage.says.copies = swapped;
    amy__scheduler_copies_renew(&stage.site);
    assert_string_equal(stage.site.copies[0].name, "s3");
    assert_false(stage.site.copies[0].known);
    assert_int_equal(stage.site.copies[1].missing, 2);
    assert_int_equal(stage.site.copies[1].failures, 1);
    assert_int_equal(stage.site.copies[1].retry_ms, retry_ms);
    assert_int_equal(stage.site.copies[1].ran_ms, stage_now_ms);
    swapped[1].keep++; /* perhaps the disk was full */
    amy__scheduler_copies_renew(&stage.site);
    assert_int_equal(stage.site.copies[1].retry_ms, 0);
    assert_int_equal(stage.site.copies[1].ran_ms, 0);
    assert_int_equal(stage.site.copies[1].missing, 2);
}

static void
test_two_copies_at_a_time_are_made_for_all_sites(void **state)
{
    struct stage stage;
    static struct amy__run runs[2];
    static struct amy__scheduler_site other = {.runs = runs};

    (void)state;
    set_copies(&stage);
    know_copies(&stage, missing_list);
    for (size_t i = 0; i < 2; i++) {
        runs[i] = (struct amy__run){.internal = true,
                                    .spec.action = AMY__JOB_COPY,
                                    .began_wall_ms = stage_now_ms};
    }
    runs[0].next = &runs[1];
    stage.scheduler.sites = &stage.site;
    stage.site.next = &other;
    assert_int_equal(amy__run_copies(&stage.scheduler), 2);
    amy__scheduler_copies_tick(&stage.site); /* begins none here */
    assert_int_equal(stage.site.copies[0].failures, 0);
    assert_null(stage.site.runs);
    runs[0].began_wall_ms -= 5 * MINUTE_MS; /* the others wait no longer */
    assert_int_equal(amy__run_copies(&stage.scheduler), 1);
    runs[1].over = true;
    assert_int_equal(amy__run_copies(&stage.scheduler), 0);
}

static void
test_first_looks_are_spread_over_minutes(void **state)
{
    struct stage stage;
    bool differ = false;

    (void)state;
    set_copies(&stage);
    for (int i = 0; i < 20; i++) {
        int64_t before_ms = stage.site.copies[0].first_ms;

        stage.site.copy_count = 0; /* as after a start */
        amy__scheduler_copies_renew(&stage.site);
        differ = differ || stage.site.copies[0].first_ms != before_ms;
        assert_in_range(stage.site.copies[0].first_ms, T0, T0 + 5 * MINUTE_MS);
    }
    assert_true(differ);
}

static void
test_a_restart_forgets_no_alarm_of_a_copy(void **state)
{
    struct stage stage;

    (void)state;
    set_copies(&stage);
    stage.site.alarms[AMY__ALARM_COPY_FAILED].on = true; /* as remembered */
    stage.site.alarms[AMY__ALARM_COPY_LATE].on = true;
    end_copy(&stage, "nas", 0, "");
    know_copies(&stage, s3_list);
    assert_true(stage.site.alarms[AMY__ALARM_COPY_FAILED].on);
    assert_true(stage.site.alarms[AMY__ALARM_COPY_LATE].on);
    end_copy(&stage, "s3", 0, "");
    assert_false(stage.site.alarms[AMY__ALARM_COPY_FAILED].on);
}

static void
test_a_restart_makes_no_copy_younger_that_never_had_one(void **state)
{
    static const char list[] =
        "{\"copies\":[{\"name\":\"nas\",\"missing\":2,\"newest\":null,"
        "\"sets\":[]}]}";
    struct stage stage;

    (void)state;
    set_copies(&stage);
    stage.site.alarms[AMY__ALARM_COPY_LATE].on = true; /* as remembered */
    know_copies(&stage, s3_list);
    know_copies(&stage, list);
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_COPY_LATE].on);
    know_copies(&stage, missing_list);
    amy__scheduler_alarms(&stage.site);
    assert_false(stage.site.alarms[AMY__ALARM_COPY_LATE].on);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_a_copy_that_fails_is_told_once_and_tried_ever_later),
        cmocka_unit_test(
            test_a_copy_is_late_when_it_lacks_something_and_is_old),
        cmocka_unit_test(test_what_is_known_of_a_copy_outlives_a_reload),
        cmocka_unit_test(test_two_copies_at_a_time_are_made_for_all_sites),
        cmocka_unit_test(test_first_looks_are_spread_over_minutes),
        cmocka_unit_test(test_a_restart_forgets_no_alarm_of_a_copy),
        cmocka_unit_test(
            test_a_restart_makes_no_copy_younger_that_never_had_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

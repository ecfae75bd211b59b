/* What is known of alarms outlives the daemon. */
#include "core/cleanup.h"
#include "core/files.h"
#include "stage.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NOTE "backup/sites/example.org/alarms.json"

static char directory[32];
static int state_fd = -1;

static int
make_directory(void **state)
{
    (void)state;
    (void)snprintf(directory, sizeof(directory), "/tmp/amy-memory-XXXXXX");
    if (mkdtemp(directory) == NULL) {
        return -1;
    }
    state_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return state_fd < 0;
}

static int
remove_directory(void **state)
{
    static const char *const steps[] = {"backup/sites/example.org",
                                        "backup/sites", "backup"};

    (void)state;
    (void)unlinkat(state_fd, NOTE, 0);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        (void)unlinkat(state_fd, steps[i], AT_REMOVEDIR);
    }
    amy__close(&state_fd);
    return rmdir(directory);
}

/* A daemon that has just started. */
static void
start(struct stage *stage)
{
    int64_t now_ms = stage_now_ms;

    stage_set(stage);
    stage_now_ms = now_ms;
    stage->scheduler.state_fd = state_fd;
    stage->scheduler.started_wall_ms = now_ms;
    stage->scheduler.started_mono_ms = now_ms;
    amy__scheduler_memory_read(&stage->site);
}

static void
end(struct stage *stage)
{
    amy__scheduler_facts_clear(&stage->site.facts);
    amy__buf_clear(&stage->site.noted);
}

/* The webhook has heard what it was being told. */
static void
hear(struct stage *stage, enum amy__alarm_kind kind)
{
    struct amy__run run = {.spec = {.url = "https://localhost/"}};

    (void)snprintf(run.spec.why, sizeof(run.spec.why), "%s",
                   amy__alarm_name(kind));
    stage->site.alarms[kind].telling = stage->site.alarms[kind].on;
    amy__scheduler_hook_ended(&stage->site, &run);
}

static void
test_a_failure_is_not_told_again_and_its_end_is(void **state)
{
    struct stage stage;
    const struct amy__alarm *alarm = &stage.site.alarms[AMY__ALARM_FAILED];

    (void)state;
    stage_now_ms = T0;
    start(&stage);
    stage_end(&stage, AMY__JOB_DUMP, AMY_ECONN, "{}");
    amy__scheduler_alarms(&stage.site);
    assert_true(alarm->on);
    hear(&stage, AMY__ALARM_FAILED);
    end(&stage);
    stage_now_ms += MINUTE_MS;
    start(&stage);
    amy__scheduler_alarms(&stage.site);
    assert_true(alarm->on);
    assert_true(alarm->told);
    assert_int_equal(alarm->since_wall_ms, T0);
    assert_string_equal(alarm->message, "it failed");
    assert_int_equal(stage_count("alarm"), 0);
    assert_int_equal(stage.site.failures, 1);
    stage_end(&stage, AMY__JOB_DUMP, 0, "{}");
    amy__scheduler_alarms(&stage.site);
    assert_true(alarm->on); /* until somebody has looked */
    stage_know(&stage, "{\"sets\":[]}");
    amy__scheduler_alarms(&stage.site);
    assert_false(alarm->on);
    assert_true(alarm->told); /* so that the end is told */
    end(&stage);
    start(&stage); /* even if it was not, before the next restart */
    assert_false(alarm->on);
    assert_true(alarm->told);
    end(&stage);
}

static void
test_a_drill_that_failed_is_remembered(void **state)
{
    struct stage stage;

    (void)state;
    start(&stage);
    stage.says.backup_drill_ms = 60 * MINUTE_MS;
    stage_end(&stage, AMY__JOB_DRILL, AMY_ESTATE, "{}");
    amy__scheduler_alarms(&stage.site);
    end(&stage);
    start(&stage);
    stage.says.backup_drill_ms = 60 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_true(stage.site.alarms[AMY__ALARM_FAILED].on);
    assert_int_equal(stage_count("alarm"), 0);
    end(&stage);
}

/* With no backup at all, age is counted from the daemon's start. */
static void
test_a_restart_makes_no_backup_younger(void **state)
{
    struct stage stage;
    const struct amy__alarm *alarm = &stage.site.alarms[AMY__ALARM_AGE];

    (void)state;
    stage_now_ms = T0;
    start(&stage);
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    stage_know(&stage, "{\"sets\":[]}");
    stage_now_ms += 31 * MINUTE_MS;
    amy__scheduler_alarms(&stage.site);
    assert_true(alarm->on);
    end(&stage);
    start(&stage);
    stage.says.backup_alarm_age_ms = 30 * MINUTE_MS;
    stage_know(&stage, "{\"sets\":[]}");
    amy__scheduler_alarms(&stage.site);
    assert_true(alarm->on);
    assert_int_equal(stage_count("alarm"), 0);
    stage_know(&stage, "{\"sets\":[{\"name\":\"d\",\"verdict\":\"parsed\","
                       "\"verified_set\":true,"
                       "\"started\":\"2026-11-23T21:13:00.000Z\"}]}");
    amy__scheduler_alarms(&stage.site);
    assert_false(alarm->on);
    end(&stage);
}

static void
test_another_hosts_backup_is_remembered(void **state)
{
    struct stage stage;

    (void)state;
    stage_now_ms = T0;
    start(&stage);
    stage.site.other_ms = T0;
    stage.site.other_wall_ms = T0;
    amy__scheduler_alarms(&stage.site);
    end(&stage);
    stage_now_ms += 5 * MINUTE_MS;
    start(&stage);
    assert_int_equal(stage.site.other_ms, T0);
    end(&stage);
    stage_now_ms = T0 - MINUTE_MS; /* a clock that was set back */
    start(&stage);
    assert_int_equal(stage.site.other_ms, T0 - MINUTE_MS);
    end(&stage);
}

static void
end_command(struct stage *stage, bool started, int code)
{
    struct amy__run run = {.started = started, .code = code};
    char *words[] = {NULL};

    run.command = words;
    (void)snprintf(run.spec.why, sizeof(run.spec.why), "%s",
                   amy__alarm_name(AMY__ALARM_FAILED));
    amy__scheduler_site_ended(&stage->site, &run);
}

/* The command runs once for as long as an alarm lasts, and not less often. */
static void
test_a_command_that_did_not_run_is_remembered(void **state)
{
    struct stage stage;
    const struct amy__alarm *alarm = &stage.site.alarms[AMY__ALARM_FAILED];

    (void)state;
    stage_now_ms = T0;
    start(&stage);
    stage_end(&stage, AMY__JOB_DUMP, AMY_ECONN, "{}");
    amy__scheduler_alarms(&stage.site);
    assert_true(alarm->on && !alarm->ran);
    for (int64_t wait_ms = 1000; wait_ms <= 4000; wait_ms *= 2) {
        end_command(&stage, false, AMY_EIO);
        assert_false(alarm->ran);
        assert_int_equal(alarm->rerun_ms, stage_now_ms + wait_ms);
    }
    stage.scheduler.stopping = true;
    end_command(&stage, true, AMY_ECANCELED);
    end(&stage);
    start(&stage);
    assert_true(alarm->on && !alarm->ran);
    end_command(&stage, true, AMY_EIO); /* it ran, and was not content */
    end(&stage);
    start(&stage);
    assert_true(alarm->on && alarm->ran);
    end(&stage);
}

/* Nobody's but ours, but a disk may have lost it. */
static void
test_what_cannot_be_read_is_as_if_it_were_not(void **state)
{
    static const char *const texts[] = {
        "", "{", "[]", "{\"failed\":7,\"failures\":-3,\"failure\":[]}",
        "{\"failures\":99999999999,\"other_ms\":\"x\",\"failed\":{\"on\":2}}"};
    struct stage stage;
    int fd = -1;

    (void)state;
    fd = amy__site_state_dir(state_fd, true, "backup", "example.org", NULL);
    assert_true(fd >= 0);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_int_equal(amy__write_file_at(fd, "alarms.json", texts[i],
                                            strlen(texts[i]), 0600, NULL),
                         0);
        start(&stage);
        assert_int_equal(stage.site.failures, 0);
        assert_int_equal(stage.site.other_ms, 0);
        assert_string_equal(stage.site.failure, "");
        for (int k = 0; k < AMY__ALARM_COUNT; k++) {
            assert_false(stage.site.alarms[k].on);
            assert_false(stage.site.alarms[k].told);
        }
        end(&stage);
    }
    amy__close(&fd);
}

static void
test_what_cannot_be_noted_is_told_once_and_tried_again(void **state)
{
    AMY_CLEANUP(amy__close_p)
    int file = openat(state_fd, "backup", O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    struct stage stage;

    (void)state;
    assert_true(file >= 0);
    start(&stage);
    stage.site.failures = 1;
    for (int i = 0; i < 3; i++) {
        amy__scheduler_alarms(&stage.site);
    }
    assert_int_equal(stage_count("cannot be noted"), 1);
    assert_int_equal(unlinkat(state_fd, "backup", 0), 0);
    amy__scheduler_alarms(&stage.site);
    end(&stage);
    start(&stage);
    assert_true(stage.site.alarms[AMY__ALARM_FAILED].on);
    end(&stage);
}

#define WITH_STATE(test)                                                       \
    cmocka_unit_test_setup_teardown(test, make_directory, remove_directory)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STATE(test_a_failure_is_not_told_again_and_its_end_is),
        WITH_STATE(test_a_drill_that_failed_is_remembered),
        WITH_STATE(test_a_restart_makes_no_backup_younger),
        WITH_STATE(test_another_hosts_backup_is_remembered),
        WITH_STATE(test_a_command_that_did_not_run_is_remembered),
        WITH_STATE(test_what_cannot_be_read_is_as_if_it_were_not),
        WITH_STATE(test_what_cannot_be_noted_is_told_once_and_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

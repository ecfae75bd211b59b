/* Processes of a user who may stop them, or ask for many. */
#include "core/alloc.h"
#include "core/files.h"
#include "core/loop.h"
#include "fake_loop.h"
#include "stage.h"

#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define BRIEF_MS 120000
#define GRACE_MS 5000

static struct stage stage;
static struct amy__settings settings;
static char top[64];
static char program[128];

static void
on_sweep(void *user)
{
    (void)user;
}

static void
write_program(const char *text)
{
    FILE *file = fopen(program, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(chmod(program, 0755), 0);
}

/* A scheduler that can start jobs, whose program is a script. */
static int
set_up(void **state)
{
    static char user[64];
    const struct passwd *us = getpwuid(geteuid());

    (void)state;
    stage_set(&stage);
    (void)snprintf(top, sizeof(top), "/tmp/amy-run-XXXXXX");
    assert_non_null(mkdtemp(top));
    assert_non_null(us);
    (void)snprintf(user, sizeof(user), "%s", us->pw_name);
    (void)snprintf(program, sizeof(program), "%s/job", top);
    write_program("#!/bin/sh\nexec tail -f /dev/null\n");
    settings.webapps = top;
    stage.scheduler.settings = &settings;
    stage.scheduler.program = program;
    stage.scheduler.as_person = true;
    stage.scheduler.webapps_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(stage.scheduler.webapps_fd, "example.org", 0700),
                     0);
    assert_int_equal(amy__defer_create(stage.scheduler.base, on_sweep, NULL,
                                       &stage.scheduler.sweep, NULL),
                     0);
    stage.says.user = user;
    stage.says.uid = geteuid();
    stage.says.gid = getegid();
    stage.scheduler.sites = &stage.site;
    return 0;
}

static int
tear_down(void **state)
{
    int fd = stage.scheduler.webapps_fd;

    (void)state;
    while (stage.site.runs != NULL) {
        struct amy__run *run = stage.site.runs;

        stage.site.runs = run->next;
        amy__run_free(run);
    }
    amy__defer_free(stage.scheduler.sweep);
    (void)unlinkat(fd, "example.org/DB_backups", AT_REMOVEDIR);
    (void)unlinkat(fd, "example.org", AT_REMOVEDIR);
    (void)unlinkat(fd, "job", 0);
    close(fd);
    assert_int_equal(fake_loop_left(), 0);
    return rmdir(top);
}

/* One that is said to run. */
static struct amy__run *
add_run(enum amy__job_action action, bool internal)
{
    struct amy__run *run = amy__calloc(1, sizeof(*run));

    assert_non_null(run);
    run->borrow_site = &stage.site;
    run->spec.action = action;
    run->internal = internal;
    run->child.pidfd = -1;
    run->event_fd = -1;
    run->lend_fd = -1;
    run->next = stage.site.runs;
    stage.site.runs = run;
    return run;
}

/* Take what the job says until it has ended. */
static void
hear_out(struct amy__run *run)
{
    for (int i = 0; i < PATIENCE_MS / 10 && !run->over; i++) {
        struct pollfd any[] = {{.fd = run->event_fd, .events = POLLIN},
                               {.fd = run->child.pidfd, .events = POLLIN}};

        (void)poll(any, 2, 10);
        (void)fake_loop_poll();
    }
    assert_true(run->over);
}

static struct amy__run *
start_notice(void)
{
    struct amy__job_spec spec = {.action = AMY__JOB_NOTIFY};
    struct amy__run *run = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    (void)snprintf(spec.site, sizeof(spec.site), "example.org");
    if (amy__run_start(&stage.site, &spec, NULL, &run, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    run->internal = true;
    return run;
}

static void
await_end(const struct amy__run *run)
{
    struct pollfd end = {.fd = run->child.pidfd, .events = POLLIN};

    assert_int_equal(poll(&end, 1, PATIENCE_MS), 1);
    (void)fake_loop_poll();
    assert_true(run->over);
}

/* SIGTERM does not reach one that its user has stopped; SIGKILL does. */
static void
test_a_brief_job_that_is_stopped_is_killed(void **state)
{
    struct amy__run *run = start_notice();

    (void)state;
    assert_int_equal(kill(run->child.pid, SIGSTOP), 0);
    fake_loop_advance(BRIEF_MS - 1);
    assert_false(run->asked_to_end);
    fake_loop_advance(1);
    assert_true(run->asked_to_end);
    assert_false(run->over);
    fake_loop_advance(GRACE_MS);
    await_end(run);
    assert_int_equal(run->code, AMY_ETIMEOUT);
    assert_non_null(strstr(run->message, "too long"));
    assert_int_equal(fake_loop_next(), -1);
}

static void
test_a_user_has_so_many_looks_at_a_time(void **state)
{
    struct amy__run *first = NULL;

    (void)state;
    /* Ours, and what changes something, take none of their places. */
    (void)add_run(AMY__JOB_LIST, true);
    (void)add_run(AMY__JOB_COPY, true);
    (void)add_run(AMY__JOB_DUMP, false);
    first = add_run(AMY__JOB_LIST, false);
    (void)add_run(AMY__JOB_SHOW, false);
    add_run(AMY__JOB_PRUNE, false)->spec.dry_run = true;
    assert_true(amy__run_has_room(&stage.site));
    (void)add_run(AMY__JOB_VERIFY_COPY, false);
    assert_false(amy__run_has_room(&stage.site));
    first->over = true;
    assert_true(amy__run_has_room(&stage.site));
}

/* A user who has site.yaml read again all the time. */
static void
test_one_look_of_ours_at_a_time(void **state)
{
    struct amy__run *run = add_run(AMY__JOB_LIST, true);

    (void)state;
    stage.site.look_ms = stage_now_ms;
    for (int i = 0; i < 3; i++) {
        amy__scheduler_site_tick(&stage.site);
        assert_ptr_equal(stage.site.runs, run);
        assert_null(run->next);
    }
    assert_int_equal(stage_count("cannot start"), 0);
    /* What that one may not have seen is looked at after it. */
    run->over = true;
    amy__scheduler_site_tick(&stage.site);
    assert_int_equal(stage_count("cannot start"), 1); /* there is no Python */
    assert_true(stage.site.look_ms > stage_now_ms);
}

/* What only a list of sets may be. */
static void
test_a_line_that_is_too_long_is_dropped(void **state)
{
    struct amy__run *run = NULL;

    (void)state;
    write_program("#!/bin/sh\n"
                  "echo '{\"event\":\"done\",\"is\":\"ours\"}'\n"
                  "printf '{\"event\":\"done\",\"is\":\"'\n"
                  "head -c 1500000 /dev/zero | tr '\\0' x\n"
                  "echo '\"}'\n");
    run = start_notice();
    hear_out(run);
    assert_int_equal(run->code, 0);
    assert_string_equal(amy__json_get_text(run->result, "is", ""), "ours");
}

/* Each empty list costs a hundred bytes of a daemon that serves all sites. */
static void
test_a_line_of_nothing_but_values_is_dropped(void **state)
{
    struct amy__run *run = NULL;

    (void)state;
    write_program("#!/bin/sh\n"
                  "echo '{\"event\":\"done\",\"is\":\"ours\"}'\n"
                  "printf '{\"event\":\"done\",\"is\":[[]'\n"
                  "yes ',[]' | head -n 50000 | tr -d '\\n'\n"
                  "echo ']}'\n");
    run = start_notice();
    hear_out(run);
    assert_int_equal(run->code, 0);
    assert_string_equal(amy__json_get_text(run->result, "is", ""), "ours");
}

/* Whoever asks for the status is told of it. */
static void
test_long_progress_is_told_to_nobody(void **state)
{
    struct amy__run *run = NULL;
    struct amy__json *json = NULL;

    (void)state;
    write_program("#!/bin/sh\n"
                  "echo '{\"event\":\"progress\",\"bytes\":7}'\n"
                  "printf '{\"event\":\"progress\",\"stage\":\"'\n"
                  "head -c 5000 /dev/zero | tr '\\0' x\n"
                  "echo '\"}'\n"
                  "echo '{\"event\":\"done\"}'\n"
                  "exec tail -f /dev/null\n");
    run = start_notice();
    for (int i = 0; i < PATIENCE_MS / 10 && run->result == NULL; i++) {
        struct pollfd any = {.fd = run->event_fd, .events = POLLIN};

        (void)poll(&any, 1, 10);
        (void)fake_loop_poll();
    }
    assert_false(run->over);
    assert_int_equal(amy__json_get_int(run->progress, "bytes", 0), 7);
    /* Nor is what it says at its end, before it has ended. */
    json = amy__run_json(run);
    assert_null(amy__json_get(json, "result"));
    assert_non_null(amy__json_get(json, "progress"));
    amy__json_free(json);
}

static void
test_of_the_newest_backup_only_what_is_known_is_told(void **state)
{
    struct amy__buf text = {NULL, 0, 0, 0};
    struct amy__buf told = {NULL, 0, 0, 0};
    struct amy__json *list = NULL;
    const struct amy__json *good = NULL;

    (void)state;
    amy__buf_init(&text, 65536);
    amy__buf_init(&told, 65536);
    assert_int_equal(
        amy__buf_append_text(&text,
                             "{\"sets\":[{\"name\":\"a\",\"verified_set\":true,"
                             "\"started\":\"2026-11-23T20:31:00.000Z\","
                             "\"slot\":null,\"bytes\":{\"a\":[1,2]},\"rows\":9,"
                             "\"more\":[1,2,3],\"why\":\""),
        0);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(amy__buf_append_text(&text, "long "), 0);
    }
    assert_int_equal(amy__buf_append_text(&text, "\"}]}"), 0);
    assert_int_equal(amy__json_parse(amy__buf_span(&text), &list, NULL), 0);
    amy__scheduler_facts_read(list, &stage.site.facts);
    good = stage.site.facts.good;
    assert_non_null(good);
    assert_string_equal(amy__json_get_text(good, "name", ""), "a");
    assert_int_equal(amy__json_get_int(good, "rows", 0), 9);
    assert_null(amy__json_get(good, "more"));
    assert_int_equal(amy__json_write(good, 0, &told), 0);
    assert_true(told.len < 1000);
    amy__json_free(list);
    amy__buf_clear(&text);
    amy__buf_clear(&told);
    amy__scheduler_facts_clear(&stage.site.facts);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_brief_job_that_is_stopped_is_killed, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_user_has_so_many_looks_at_a_time,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_look_of_ours_at_a_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_a_line_that_is_too_long_is_dropped,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_line_of_nothing_but_values_is_dropped, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_progress_is_told_to_nobody,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_of_the_newest_backup_only_what_is_known_is_told, set_up,
            tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* A job in the hands of somebody who did not read its page. */
/* Not for what jobs do: tests/system. */
#include "amy_test.h"

#include <amy/backup.h>

#include "misuse.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIST "{\"action\": \"list\", \"site\": \"example.org\"}"

struct place {
    char path[64];
    int directory_fd;
    int spec[2];
    int events[2];
};

static int
set_up(void **state)
{
    static struct place place;

    place = (struct place){.path = "/tmp/amy-test-XXXXXX"};
    *state = &place;
    (void)signal(SIGPIPE, SIG_IGN);
    if (mkdtemp(place.path) == NULL || pipe2(place.spec, O_CLOEXEC) != 0 ||
        pipe2(place.events, O_CLOEXEC) != 0 ||
        write(place.spec[1], LIST, strlen(LIST)) < 0) {
        return -1;
    }
    (void)close(place.spec[1]);
    place.directory_fd = open(place.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return place.directory_fd < 0 ? -1 : 0;
}

static int
tear_down(void **state)
{
    struct place *place = *state;

    (void)unlinkat(place->directory_fd, "DB_backups", AT_REMOVEDIR);
    (void)close(place->directory_fd);
    (void)close(place->spec[0]);
    (void)close(place->events[0]);
    (void)close(place->events[1]);
    return rmdir(place->path);
}

static struct amy_backup_job_options
options(const struct place *place)
{
    struct amy_backup_job_options opts = AMY_BACKUP_JOB_OPTIONS_INIT;

    opts.directory_fd = place->directory_fd;
    opts.spec_fd = place->spec[0];
    opts.event_fd = place->events[1];
    return opts;
}

/* The last event, which says `done`. */
static void
expect_done(const struct place *place)
{
    char text[512] = "";

    assert_true(read(place->events[0], text, sizeof(text) - 1) > 0);
    assert_non_null(strstr(text, "\"event\":\"done\""));
}

static void
test_options_of_an_older_version_have_defaults_for_the_rest(void **state)
{
    struct place *place = *state;
    struct amy_backup_job_options opts = options(place);
    static const struct amy_clock broken = {.struct_size = 0};

    opts.borrow_clock = &broken; /* which that version did not have */
    opts.struct_size = offsetof(struct amy_backup_job_options, borrow_clock);
    assert_int_equal(amy_backup_job(&opts, NULL), 0);
    expect_done(place);
}

static void
test_options_of_a_newer_version_may_ask_for_nothing_new(void **state)
{
    struct place *place = *state;
    struct amy_backup_job_options opts = options(place);
    struct amy_error err = AMY_ERROR_INIT;
    void *newer = newer_options(&opts, sizeof(opts), 16, 1);

    assert_int_equal(amy_backup_job(newer, &err), AMY_EINVAL);
    assert_string_equal(err.msg,
                        "options use a field this libamy does not know");
    free(newer);
    newer = newer_options(&opts, sizeof(opts), 16, 0);
    assert_int_equal(amy_backup_job(newer, &err), 0);
    free(newer);
    expect_done(place);
}

static void
test_options_that_nobody_began_are_refused(void **state)
{
    struct amy_backup_job_options opts = options(*state);
    struct amy_error err = AMY_ERROR_INIT;

    opts.struct_size = 0;
    assert_int_equal(amy_backup_job(&opts, &err), AMY_EINVAL);
    assert_string_equal(err.msg, "options struct_size 0 is too small");
    assert_int_equal(amy_backup_job(NULL, &err), AMY_EINVAL);
    assert_string_equal(err.msg, "options are required");
}

static void
test_a_job_that_a_broken_pipe_would_kill_is_refused(void **state)
{
    struct amy_backup_job_options opts = options(*state);
    struct amy_error err = AMY_ERROR_INIT;

    (void)signal(SIGPIPE, SIG_DFL);
    assert_int_equal(amy_backup_job(&opts, &err), AMY_ESTATE);
    assert_string_equal(err.msg, "SIGPIPE must be ignored");
}

/* It has no loop, and no object that a child could take along. */
static int
do_job(void *user)
{
    struct amy_backup_job_options opts = options(user);

    return amy_backup_job(&opts, NULL) < 0 ? 1 : 0;
}

static void
test_a_job_may_be_done_by_a_child(void **state)
{
    struct place *place = *state;

    assert_int_equal(in_a_child(do_job, place), 0);
    expect_done(place);
}

static void
test_a_job_goes_on_when_nobody_reads_its_events(void **state)
{
    struct place *place = *state;
    struct amy_backup_job_options opts = options(place);

    (void)close(place->events[0]);
    place->events[0] = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_int_equal(amy_backup_job(&opts, NULL), 0);
}

#define JOB_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        JOB_TEST(test_options_of_an_older_version_have_defaults_for_the_rest),
        JOB_TEST(test_options_of_a_newer_version_may_ask_for_nothing_new),
        JOB_TEST(test_options_that_nobody_began_are_refused),
        JOB_TEST(test_a_job_that_a_broken_pipe_would_kill_is_refused),
        JOB_TEST(test_a_job_may_be_done_by_a_child),
        JOB_TEST(test_a_job_goes_on_when_nobody_reads_its_events),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

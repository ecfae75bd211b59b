#include "amy_test.h"

#include "core/buf.h"
#include "core/files.h"
#include "fake_loop.h"
#include "workers/output.h"
#include "workers/pieces.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOMAIN "example.org"
#define LOG DOMAIN "/logs/gunicorn_supervisor.log"

static int64_t
mono_ms(void *user)
{
    return *(int64_t *)user;
}

static int64_t
wall_ms(void *user)
{
    (void)user;
    return 1000; /* 1970-01-01T00:00:01.000Z */
}

struct fixture {
    char path[32];
    int webapps_fd;
    int64_t now_ms;
    struct amy_clock clock;
    int warnings;
    struct amy_log log;
    struct amy__workers_output *output;
    unsigned full; /* how often it was told that the disk is */
};

static void
on_log(enum amy_log_level level, const char *line, void *user)
{
    struct fixture *f = user;

    (void)line;
    f->warnings += level == AMY_LOG_WARN ? 1 : 0;
}

static void
give_file(const struct fixture *f)
{
    int fd = openat(f->webapps_fd, LOG,
                    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0640);

    assert_true(fd >= 0);
    amy__workers_output_set_file(f->output, fd);
}

static void
on_full(void *user)
{
    struct fixture *f = user;

    f->full++;
}

static int
set_up(void **state)
{
    static struct fixture f;
    struct amy__workers_output_options opts = {.domain = DOMAIN};

    f = (struct fixture){.now_ms = 5000};
    (void)snprintf(f.path, sizeof(f.path), "/tmp/amy-output-XXXXXX");
    assert_non_null(mkdtemp(f.path));
    f.webapps_fd = open(f.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(f.webapps_fd >= 0);
    assert_int_equal(mkdirat(f.webapps_fd, DOMAIN, 0755), 0);
    f.clock = (struct amy_clock){sizeof(f.clock), mono_ms, wall_ms, &f.now_ms};
    f.log = (struct amy_log){
        .struct_size = sizeof(f.log), .fn = on_log, .user = &f};
    assert_int_equal(mkdirat(f.webapps_fd, DOMAIN "/logs", 0755), 0);
    opts.borrow_clock = &f.clock;
    opts.log = &f.log;
    opts.on_full = on_full;
    opts.user = &f;
    assert_int_equal(amy__workers_output_create(&opts, &f.output, NULL), 0);
    give_file(&f);
    *state = &f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy__workers_output_free(f->output);
    (void)unlinkat(f->webapps_fd, LOG, 0);
    (void)unlinkat(f->webapps_fd, LOG, AT_REMOVEDIR);
    (void)unlinkat(f->webapps_fd, DOMAIN "/logs/old", 0);
    (void)unlinkat(f->webapps_fd, DOMAIN "/logs", AT_REMOVEDIR);
    (void)unlinkat(f->webapps_fd, DOMAIN, AT_REMOVEDIR);
    (void)rmdir(f->path);
    amy__close(&f->webapps_fd);
    return 0;
}

static void
say(struct fixture *f, const char *line)
{
    amy__workers_output_line(f->output, "web", 2, 4711, line, strlen(line));
    fake_loop_turn();
}

static void
assert_file(const struct fixture *f, const char *name, const char *want)
{
    struct amy__buf text;

    amy__buf_init(&text, 4096);
    assert_int_equal(
        amy__read_file_at(f->webapps_fd, name, 4096, &text, NULL, NULL), 0);
    assert_int_equal(text.len, strlen(want));
    assert_memory_equal(text.data, want, text.len);
    amy__buf_clear(&text);
}

static void
test_line_has_time_pool_position_and_pid(void **state)
{
    struct fixture *f = *state;

    say(f, "hello");
    say(f, "");
    assert_file(f, LOG,
                "1970-01-01T00:00:01.000Z [web:2 4711] hello\n"
                "1970-01-01T00:00:01.000Z [web:2 4711] \n");
    assert_int_equal(amy__workers_output_lost(f->output), 0);
}

static void
test_lines_go_to_the_file_that_was_given_last(void **state)
{
    struct fixture *f = *state;

    say(f, "one");
    assert_int_equal(
        renameat(f->webapps_fd, LOG, f->webapps_fd, DOMAIN "/logs/old"), 0);
    say(f, "two");
    give_file(f);
    say(f, "three");
    assert_file(f, DOMAIN "/logs/old",
                "1970-01-01T00:00:01.000Z [web:2 4711] one\n"
                "1970-01-01T00:00:01.000Z [web:2 4711] two\n");
    assert_file(f, LOG, "1970-01-01T00:00:01.000Z [web:2 4711] three\n");
}

static void
test_lines_without_a_file_are_counted_and_told(void **state)
{
    struct fixture *f = *state;

    amy__workers_output_set_file(f->output, -1);
    say(f, "one");
    say(f, "two");
    assert_int_equal(amy__workers_output_lost(f->output), 2);
    give_file(f);
    say(f, "three");
    assert_file(
        f, LOG,
        "1970-01-01T00:00:01.000Z [amy-workers] 2 lines were lost here\n"
        "1970-01-01T00:00:01.000Z [web:2 4711] three\n");
}

static void
test_tracebacks_of_two_workers_stay_in_one_piece_each(void **state)
{
    struct fixture *f = *state;
    static const char *const lines[] = {
        "Traceback (most recent call last):", "  File \"x.py\", line 1",
        "ValueError: no"};

    for (size_t i = 0; i < 3; i++) {
        for (int64_t pid = 1; pid <= 2; pid++) {
            amy__workers_output_line(f->output, "web", (uint32_t)pid, pid,
                                     lines[i], strlen(lines[i]));
            fake_loop_turn();
        }
    }
    say(f, "others do not wait");
    f->now_ms += AMY__PIECE_HOLD_MS;
    fake_loop_advance(AMY__PIECE_HOLD_MS);
    assert_file(
        f, LOG,
        "1970-01-01T00:00:01.000Z [web:2 4711] others do not wait\n"
        "1970-01-01T00:00:01.000Z [web:1 1] Traceback (most recent call "
        "last):\n"
        "1970-01-01T00:00:01.000Z [web:1 1]   File \"x.py\", line 1\n"
        "1970-01-01T00:00:01.000Z [web:1 1] ValueError: no\n"
        "1970-01-01T00:00:01.000Z [web:2 2] Traceback (most recent call "
        "last):\n"
        "1970-01-01T00:00:01.000Z [web:2 2]   File \"x.py\", line 1\n"
        "1970-01-01T00:00:01.000Z [web:2 2] ValueError: no\n");
}

static void
test_what_is_held_back_is_written_at_the_end(void **state)
{
    struct fixture *f = *state;

    say(f, "Traceback (most recent call last):");
    amy__workers_output_free(f->output);
    f->output = NULL;
    assert_file(f, LOG,
                "1970-01-01T00:00:01.000Z [web:2 4711] Traceback (most recent "
                "call last):\n");
    assert_int_equal(fake_loop_left(), 0);
}

/* A file size limit stands in for a full disk: both make write(2) short. */
static void
test_full_disk_never_leaves_a_torn_line_in_the_middle(void **state)
{
    struct fixture *f = *state;
    struct rlimit before;
    struct rlimit tight;

    say(f, "first");
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    tight = (struct rlimit){.rlim_cur = 60, .rlim_max = before.rlim_max};
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &tight), 0);
    say(f, "cut in the middle");
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(amy__workers_output_lost(f->output), 1);
    say(f, "whole");
    assert_int_equal(f->warnings, 1);
    assert_int_equal(amy__workers_output_lost(f->output), 1);
}

static void
test_full_disk_is_told_until_there_is_room(void **state)
{
    struct fixture *f = *state;

    amy__workers_output_set_file(
        f->output, open("/dev/full", O_WRONLY | O_APPEND | O_CLOEXEC));
    say(f, "one");
    say(f, "two");
    assert_int_equal(f->full, 2);
    assert_int_equal(amy__workers_output_lost(f->output), 2);
    give_file(f);
    say(f, "three");
    assert_int_equal(f->full, 2);
    assert_file(
        f, LOG,
        "1970-01-01T00:00:01.000Z [amy-workers] 2 lines were lost here\n"
        "1970-01-01T00:00:01.000Z [web:2 4711] three\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_line_has_time_pool_position_and_pid, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_lines_go_to_the_file_that_was_given_last, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_lines_without_a_file_are_counted_and_told, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_tracebacks_of_two_workers_stay_in_one_piece_each, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_what_is_held_back_is_written_at_the_end, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_full_disk_never_leaves_a_torn_line_in_the_middle, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_full_disk_is_told_until_there_is_room, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("workers/output", tests, NULL, NULL);
}

/* Lines out of a pipe, with a loop that fires when the test says so. */
/* Not for real workers: test_pool.c. */
#include "amy_test.h"

#include "core/loop.h"
#include "fail_alloc.h"
#include "fake_loop.h"
#include "pool/output.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct seen {
    struct amy__output *output;
    int read_fd;
    int write_fd;
    char text[512]; /* lines, each with a bar behind it */
    size_t lines;
    size_t bytes;
    size_t longest;
    size_t stop_after; /* lines; 0: never */
    int depth;
    bool free_at_leave;
};

static void
enter(void *user)
{
    ((struct seen *)user)->depth++;
}

static bool
line(const char *text, size_t n, void *user)
{
    struct seen *seen = user;
    size_t used = strlen(seen->text);

    if (used + n + 2 < sizeof(seen->text)) {
        memcpy(seen->text + used, text, n);
        seen->text[used + n] = '|';
    }
    seen->lines++;
    seen->bytes += n;
    seen->longest = n > seen->longest ? n : seen->longest;
    return seen->lines != seen->stop_after;
}

static void
leave(void *user)
{
    struct seen *seen = user;

    seen->depth--;
    if (seen->free_at_leave) {
        amy__output_free(seen->output);
        seen->output = NULL;
    }
}

static void
start_output(struct seen *seen)
{
    struct amy__output_user user = {enter, line, leave, seen};
    int ends[2] = {-1, -1};

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    /* So that a test may write much before anything is read. */
    assert_true(fcntl(ends[1], F_SETPIPE_SZ, 1024 * 1024) > 0);
    seen->read_fd = ends[0];
    seen->write_fd = ends[1];
    assert_int_equal(
        amy__output_create(NULL, ends[0], &user, &seen->output, NULL), 0);
}

static void
say(struct seen *seen, const char *text)
{
    size_t n = strlen(text);

    assert_int_equal(write(seen->write_fd, text, n), n);
    (void)fake_loop_poll();
    assert_int_equal(seen->depth, 0);
}

static void
close_output(struct seen *seen)
{
    amy__output_free(seen->output);
    close(seen->write_fd);
    assert_int_equal(fake_loop_left(), 0);
}

static void
test_output_joins_what_was_written_in_pieces(void **state)
{
    struct seen seen = {0};

    (void)state;
    start_output(&seen);
    say(&seen, "one\ntw");
    assert_string_equal(seen.text, "one|");
    say(&seen, "o");
    say(&seen, "\n\nthree");
    assert_string_equal(seen.text, "one|two||");
    amy__output_finish(seen.output);
    assert_string_equal(seen.text, "one|two||three|");
    amy__output_finish(seen.output);
    assert_int_equal(seen.lines, 4);
    close_output(&seen);
}

static void
test_output_passes_any_bytes(void **state)
{
    struct seen seen = {0};

    (void)state;
    start_output(&seen);
    assert_int_equal(write(seen.write_fd, "a\0b\xff\r\n", 6), 6);
    (void)fake_loop_poll();
    assert_memory_equal(seen.text, "a\0b\xff\r|", 6);
    close_output(&seen);
}

static void
test_output_cuts_a_line_that_is_too_long(void **state)
{
    struct seen seen = {0};
    static char big[AMY__OUTPUT_LINE_MAX * 2 + 10];

    (void)state;
    start_output(&seen);
    memset(big, 'x', sizeof(big));
    assert_int_equal(write(seen.write_fd, big, sizeof(big)), sizeof(big));
    (void)fake_loop_poll();
    assert_int_equal(seen.lines, 2);
    assert_int_equal(seen.longest, AMY__OUTPUT_LINE_MAX);
    say(&seen, "\n");
    assert_int_equal(seen.lines, 3);
    assert_int_equal(seen.bytes, sizeof(big));
    /* Just the maximum, then its newline. */
    assert_int_equal(write(seen.write_fd, big, AMY__OUTPUT_LINE_MAX),
                     AMY__OUTPUT_LINE_MAX);
    say(&seen, "\nend\n");
    assert_int_equal(seen.bytes, sizeof(big) + AMY__OUTPUT_LINE_MAX + 3);
    close_output(&seen);
}

static void
test_output_reads_once_a_turn(void **state)
{
    struct seen seen = {0};
    static char big[AMY__OUTPUT_LINE_MAX * 4];

    (void)state;
    start_output(&seen);
    memset(big, '\n', sizeof(big));
    assert_int_equal(write(seen.write_fd, big, sizeof(big)), sizeof(big));
    (void)fake_loop_fire(seen.read_fd, AMY__IO_READ);
    assert_int_equal(seen.lines, AMY__OUTPUT_LINE_MAX);
    amy__output_finish(seen.output);
    assert_int_equal(seen.lines, sizeof(big));
    close_output(&seen);
}

static void
test_output_rests_when_all_writers_are_gone(void **state)
{
    struct seen seen = {0};

    (void)state;
    start_output(&seen);
    say(&seen, "last words");
    close(seen.write_fd);
    (void)fake_loop_poll(); /* would go round for ever if still watched */
    assert_int_equal(fake_loop_left(), 0);
    amy__output_finish(seen.output);
    assert_string_equal(seen.text, "last words|");
    amy__output_free(seen.output);
}

static void
test_output_stops_when_its_owner_wants_no_more(void **state)
{
    struct seen seen = {0};

    (void)state;
    start_output(&seen);
    seen.stop_after = 2;
    seen.free_at_leave = true;
    say(&seen, "a\nb\nc\nd\n");
    assert_string_equal(seen.text, "a|b|");
    assert_null(seen.output);
    close_output(&seen);
}

static void
test_output_create_fails_without_a_trace(void **state)
{
    struct amy__output_user user = {enter, line, leave, NULL};
    struct amy__output *output = NULL;
    int ends[2] = {-1, -1};
    int live = fail_alloc_live();
    int failures = 0;

    (void)state;
    assert_int_equal(amy__output_create(NULL, -1, &user, &output, NULL),
                     AMY_EIO);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (;;) {
        fail_alloc_nth(failures + 1);
        if (amy__output_create(NULL, ends[0], &user, &output, NULL) == 0) {
            break;
        }
        failures++;
        assert_null(output);
        assert_int_equal(fail_alloc_live(), live);
        assert_true(fcntl(ends[0], F_GETFD) >= 0); /* still the caller's */
    }
    fail_alloc_nth(0);
    assert_int_equal(failures, 2);
    amy__output_free(output);
    amy__output_free(NULL);
    close(ends[1]);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_output_joins_what_was_written_in_pieces),
        cmocka_unit_test(test_output_passes_any_bytes),
        cmocka_unit_test(test_output_cuts_a_line_that_is_too_long),
        cmocka_unit_test(test_output_reads_once_a_turn),
        cmocka_unit_test(test_output_rests_when_all_writers_are_gone),
        cmocka_unit_test(test_output_stops_when_its_owner_wants_no_more),
        cmocka_unit_test(test_output_create_fails_without_a_trace),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Whole lines from several processes, a full disk, a torn end. */
#include "amy_test.h"

#include "core/files.h"
#include "logrotate/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

struct fixture {
    struct amy_log_writer_options opts;
    struct amy_log_writer *writer;
    int fd; /* ours, to read back */
    uint32_t full;
    char told[512];
    char text[4096];
};

static void
note(enum amy_log_level level, const char *line, void *user)
{
    struct fixture *f = user;

    (void)level;
    (void)snprintf(f->told + strlen(f->told), sizeof(f->told) - strlen(f->told),
                   "%s\n", line);
}

static void
note_full(struct amy_log_writer *writer, void *user)
{
    (void)writer;
    ((struct fixture *)user)->full++;
}

static size_t
mark(uint64_t lost, char *buf, size_t size, void *user)
{
    (void)user;
    return (size_t)snprintf(buf, size, "lost %d\n", (int)lost);
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct amy_log log = {sizeof(log), note, f, 0, 0};

    f->opts = (struct amy_log_writer_options)AMY_LOG_WRITER_OPTIONS_INIT;
    f->opts.name = "site=a file=b";
    f->opts.log = &log;
    f->opts.on_full = note_full;
    f->opts.user = f;
    f->fd = memfd_create("log", MFD_CLOEXEC);
    assert_int_equal(amy_log_writer_create(&f->opts, &f->writer, NULL), 0);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy_log_writer_free(f->writer);
    amy__close(&f->fd);
    free(f);
    return 0;
}

static struct amy_log_writer *
fresh(struct fixture *f, uint32_t buffer_bytes, amy_log_writer_mark_fn fn)
{
    const struct amy_log log = {sizeof(log), note, f, 0, 0};

    amy_log_writer_free(f->writer);
    f->opts.log = &log;
    f->opts.buffer_bytes = buffer_bytes;
    f->opts.mark = fn;
    assert_int_equal(amy_log_writer_create(&f->opts, &f->writer, NULL), 0);
    return f->writer;
}

/* The file opened again, to append: what a writer is given. */
static int
append(const struct fixture *f, int flags)
{
    char path[64];

    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
    return open(path, flags | O_APPEND | O_CLOEXEC);
}

static const char *
read_back(struct fixture *f)
{
    ssize_t n = pread(f->fd, f->text, sizeof(f->text) - 1, 0);

    f->text[n > 0 ? n : 0] = '\0';
    return f->text;
}

static void
say(struct amy_log_writer *writer, const char *text)
{
    amy_log_writer_write(writer, text, strlen(text));
}

static void
test_without_a_buffer_lines_are_written_as_they_come(void **state)
{
    struct fixture *f = *state;

    amy_log_writer_set_fd(f->writer, append(f, O_WRONLY));
    say(f->writer, "one\n");
    assert_string_equal(read_back(f), "one\n");
    say(f->writer, "two\nthree\n");
    assert_string_equal(read_back(f), "one\ntwo\nthree\n");
    assert_int_equal(amy_log_writer_lost(f->writer), 0);
    assert_string_equal(f->told, "");
}

static void
test_buffer_is_written_when_flushed_full_or_left(void **state)
{
    struct fixture *f = *state;
    struct amy_log_writer *writer = fresh(f, 16, NULL);
    int other = memfd_create("other", MFD_CLOEXEC);

    amy_log_writer_set_fd(writer, append(f, O_WRONLY));
    say(writer, "one\n");
    assert_string_equal(read_back(f), "");
    (void)amy_log_writer_flush(writer);
    assert_string_equal(read_back(f), "one\n");
    say(writer, "0123456789\n");
    say(writer, "abcdefghij\n"); /* no room beside the other */
    assert_string_equal(read_back(f), "one\n0123456789\n");
    say(writer, "longer than the buffer is\n");
    assert_string_equal(read_back(f), "one\n0123456789\nabcdefghij\n"
                                      "longer than the buffer is\n");
    say(writer, "old\n");
    amy_log_writer_set_fd(writer, other);
    assert_non_null(strstr(read_back(f), "is\nold\n"));
}

static void
test_full_disk_loses_counts_and_tells_twice(void **state)
{
    struct fixture *f = *state;
    struct amy_log_writer *writer = fresh(f, 0, mark);

    amy_log_writer_set_fd(writer, open("/dev/full", O_WRONLY | O_CLOEXEC));
    say(writer, "one\n");
    say(writer, "two\nthree\n");
    assert_int_equal(amy_log_writer_lost(writer), 3);
    assert_int_equal(f->full, 2);
    amy_log_writer_set_fd(writer, append(f, O_WRONLY));
    say(writer, "four\n");
    say(writer, "five\n");
    assert_string_equal(read_back(f), "lost 3\nfour\nfive\n");
    assert_int_equal(amy_log_writer_lost(writer), 3);
    assert_string_equal(f->told,
                        "a log takes no lines, they are lost site=a file=b "
                        "error=\"No space left on device\"\n"
                        "a log is written again site=a file=b lost=3\n");
}

static void
test_without_a_file_lines_are_lost(void **state)
{
    struct fixture *f = *state;

    say(f->writer, "one\ntwo\n");
    assert_int_equal(amy_log_writer_lost(f->writer), 2);
    assert_int_equal(f->full, 0);
    amy__log_writer_lose(f->writer, 1, "not told: lines are lost already");
    assert_string_equal(f->told, "");
    amy_log_writer_set_fd(f->writer, append(f, O_WRONLY));
    say(f->writer, "three\n");
    assert_string_equal(f->told,
                        "a log is written again site=a file=b lost=3\n");
}

static void
limit_files(rlim_t bytes)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = bytes == RLIM_INFINITY ? limit.rlim_max : bytes;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
}

/* A file size limit makes write(2) short as a disk that fills up does. */
static void
test_torn_line_is_ended_before_the_next(void **state)
{
    struct fixture *f = *state;
    char path[] = "/tmp/amy-writer-XXXXXX";

    amy__close(&f->fd);
    f->fd = mkstemp(path);
    (void)unlink(path);
    amy_log_writer_set_fd(f->writer, append(f, O_WRONLY));
    limit_files(10);
    say(f->writer, "whole\ntorn in the middle\nnever written\n");
    limit_files(RLIM_INFINITY);
    assert_string_equal(read_back(f), "whole\ntorn");
    assert_int_equal(amy_log_writer_lost(f->writer), 2);
    /* The same file opened anew is as torn as before. */
    amy_log_writer_set_fd(f->writer, append(f, O_WRONLY));
    say(f->writer, "next\n");
    assert_string_equal(read_back(f), "whole\ntorn\nnext\n");
}

/* There is room for the mark, and for no line behind it. */
static void
test_lost_lines_are_marked_once(void **state)
{
    struct fixture *f = *state;
    struct amy_log_writer *writer = fresh(f, 0, mark);
    char path[] = "/tmp/amy-writer-XXXXXX";

    amy__close(&f->fd);
    f->fd = mkstemp(path);
    (void)unlink(path);
    amy_log_writer_set_fd(writer, append(f, O_WRONLY));
    limit_files(7);
    say(writer, "does not fit\n");
    limit_files(8 + 7);
    say(writer, "nor does this\n");
    limit_files(8 + 7 + 7);
    say(writer, "nor this\n");
    limit_files(RLIM_INFINITY);
    say(writer, "fits\n");
    assert_string_equal(read_back(f),
                        "does no\nlost 1\nlost 1\nlost 1\nfits\n");
    assert_non_null(strstr(f->told, "a log is written again site=a file=b "
                                    "lost=3\n"));
}

static void
test_end_that_another_process_tore_is_ended(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(write(f->fd, "half a li", 9), 9);
    amy_log_writer_set_fd(f->writer, append(f, O_RDWR));
    say(f->writer, "whole\n");
    assert_string_equal(read_back(f), "half a li\nwhole\n");
    amy_log_writer_set_fd(f->writer, append(f, O_RDWR));
    say(f->writer, "more\n");
    assert_string_equal(read_back(f), "half a li\nwhole\nmore\n");
}

static void
test_bad_options_are_refused(void **state)
{
    struct fixture *f = *state;
    struct amy_log_writer *writer = NULL;
    struct amy_log_writer_options opts = AMY_LOG_WRITER_OPTIONS_INIT;

    (void)f;
    assert_int_equal(amy_log_writer_create(&opts, &writer, NULL), AMY_EINVAL);
    opts.name = "x";
    opts.buffer_bytes = AMY_LOG_WRITER_BUFFER_MAX + 1;
    assert_int_equal(amy_log_writer_create(&opts, &writer, NULL), AMY_EINVAL);
    assert_null(writer);
}

/* ---- JSON, for a stream that many share ---- */

static struct amy_log_writer *
fresh_json(struct fixture *f, int ends[2])
{
    struct amy_log_writer *writer = fresh(f, 65536, mark);

    assert_int_equal(pipe2(ends, O_NONBLOCK | O_CLOEXEC), 0);
    assert_int_equal(amy_log_writer_set_json(writer, AMY_LOG_COMPONENT_ERROR,
                                             "a.example", NULL),
                     0);
    amy_log_writer_set_fd(writer, ends[1]);
    return writer;
}

static void
test_json_lines_name_their_site_and_time(void **state)
{
    struct fixture *f = *state;
    int ends[2];
    struct amy_log_writer *writer = fresh_json(f, ends);
    ssize_t n = 0;

    say(writer, "2026-11-26T12:00:00Z one\n\n");
    (void)amy_log_writer_flush(writer);
    n = read(ends[0], f->text, sizeof(f->text) - 1);
    assert_true(n > 0);
    f->text[n] = '\0';
    assert_string_equal(
        f->text,
        "{\"time\":\"2026-11-26T12:00:00.000Z\",\"component\":\"error\","
        "\"site\":\"a.example\",\"message\":\"2026-11-26T12:00:00Z one\"}\n"
        "{\"time\":null,\"component\":\"error\",\"site\":\"a.example\","
        "\"message\":\"\"}\n");
    (void)close(ends[0]);
}

/* Whole lines of at most PIPE_BUF; how many there were in the pipe, without
 * those that stand for lost ones. */
static size_t
drain(int fd, char *buf, size_t size)
{
    size_t used = 0;
    size_t lines = 0;
    size_t begin = 0;
    ssize_t n = 0;

    while ((n = read(fd, buf + used, size - used)) > 0) {
        used += (size_t)n;
    }
    for (size_t i = 0; i < used; i++) {
        if (buf[i] == '\n') {
            assert_true(i + 1 - begin <= PIPE_BUF);
            assert_int_equal(buf[begin], '{');
            assert_int_equal(buf[i - 1], '}');
            lines += memmem(buf + begin, i - begin, ":\"lost ", 7) == NULL;
            begin = i + 1;
        }
    }
    assert_int_equal(begin, used);
    return lines;
}

static void
test_full_pipe_holds_nobody_up_and_tears_nothing(void **state)
{
    struct fixture *f = *state;
    static char buf[1 << 20];
    static char line[10000];
    int ends[2];
    struct amy_log_writer *writer = fresh_json(f, ends);
    size_t taken = 0;

    memset(line, '"', sizeof(line) - 1);
    line[sizeof(line) - 2] = '\n';
    for (int i = 0; i < 500; i++) {
        say(writer, i % 3 == 0 ? line : "short\n");
    }
    (void)amy_log_writer_flush(writer);
    assert_true(amy_log_writer_lost(writer) > 0);
    assert_int_equal(f->full, 0);
    taken = drain(ends[0], buf, sizeof(buf));
    assert_int_equal(taken + amy_log_writer_lost(writer), 500);
    say(writer, "again\n");
    (void)amy_log_writer_flush(writer);
    assert_int_equal(drain(ends[0], buf, sizeof(buf)), 1);
    assert_non_null(memmem(buf, 200, "\"message\":\"lost ", 16));
    (void)close(ends[0]);
}

/* ---- several processes ---- */

#define WRITERS 4
#define LINES 20000
#define FILL 120

/* Numbered lines of one writer, in its own process. */
static void
write_numbered(const char *path, int who)
{
    struct amy_log_writer_options opts = AMY_LOG_WRITER_OPTIONS_INIT;
    struct amy_log_writer *writer = NULL;

    opts.name = "x";
    opts.buffer_bytes = who % 2 == 0 ? 65536 : 1000;
    if (amy_log_writer_create(&opts, &writer, NULL) < 0) {
        _exit(1);
    }
    amy_log_writer_set_fd(writer, open(path, O_WRONLY | O_APPEND | O_CLOEXEC));
    for (int i = 0; i < LINES; i++) {
        char line[FILL + 32];
        int n = snprintf(line, sizeof(line), "%d %d ", who, i);

        memset(line + n, 'a' + who, FILL);
        line[n + FILL] = '\n';
        amy_log_writer_write(writer, line, (size_t)n + FILL + 1);
    }
    amy_log_writer_free(writer);
    _exit(0);
}

static void
check_numbered(FILE *file)
{
    int next[WRITERS] = {0};
    char line[FILL + 64];

    while (fgets(line, sizeof(line), file) != NULL) {
        int who = -1;
        int i = -1;
        int n = 0;

        assert_int_equal(sscanf(line, "%d %d %n", &who, &i, &n), 2);
        assert_in_range(who, 0, WRITERS - 1);
        assert_int_equal(i, next[who]++);
        for (size_t k = 0; k < FILL; k++) {
            assert_int_equal(line[(size_t)n + k], 'a' + who);
        }
        assert_string_equal(line + n + FILL, "\n");
    }
    for (int who = 0; who < WRITERS; who++) {
        assert_int_equal(next[who], LINES);
    }
}

static void
test_four_processes_tear_nothing_and_keep_their_order(void **state)
{
    char path[] = "/tmp/amy-writers-XXXXXX";
    int fd = mkstemp(path);
    FILE *file = fdopen(fd, "r");

    (void)state;
    for (int who = 0; who < WRITERS; who++) {
        if (fork() == 0) {
            write_numbered(path, who);
        }
    }
    for (int who = 0; who < WRITERS; who++) {
        int status = -1;

        assert_true(wait(&status) > 0);
        assert_int_equal(status, 0);
    }
    check_numbered(file);
    (void)fclose(file);
    (void)unlink(path);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_without_a_buffer_lines_are_written_as_they_come),
        TEST(test_buffer_is_written_when_flushed_full_or_left),
        TEST(test_full_disk_loses_counts_and_tells_twice),
        TEST(test_without_a_file_lines_are_lost),
        TEST(test_torn_line_is_ended_before_the_next),
        TEST(test_lost_lines_are_marked_once),
        TEST(test_end_that_another_process_tore_is_ended),
        TEST(test_bad_options_are_refused),
        TEST(test_json_lines_name_their_site_and_time),
        TEST(test_full_pipe_holds_nobody_up_and_tears_nothing),
        cmocka_unit_test(test_four_processes_tear_nothing_and_keep_their_order),
    };

    return cmocka_run_group_tests_name("logrotate/writer", tests, NULL, NULL);
}

/* Logs read back: by time over files and components, plain and packed, from a
 * time on, the last ones, and over rotations while they happen. */
#include "amy_test.h"

#include "core/files.h"
#include "fail_alloc.h"
#include "fake_loop.h"
#include "logrotate/line.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

struct fixture {
    char path[32];
    int logs_fd;
    struct amy_log_reader_options opts;
    struct amy_log_reader *reader;
    char told[1024];
    char text[65536];
};

static void
note(enum amy_log_level level, const char *line, void *user)
{
    struct fixture *f = user;

    (void)level;
    (void)snprintf(f->told + strlen(f->told), sizeof(f->told) - strlen(f->told),
                   "%s\n", line);
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    char logs[64];

    /* In memory where there is room: ten thousand files take a disk long. */
    (void)snprintf(f->path, sizeof(f->path), "%s/amy-reader-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(f->path));
    (void)snprintf(logs, sizeof(logs), "%s/logs", f->path);
    assert_int_equal(mkdir(logs, 0755), 0);
    f->logs_fd = open(logs, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    f->opts = (struct amy_log_reader_options)AMY_LOG_READER_OPTIONS_INIT;
    f->opts.directory = f->path;
    f->opts.borrow_clock = fake_loop_clock();
    *state = f;
    return 0;
}

static void
remove_all(int dir_fd)
{
    DIR *dir = fdopendir(fcntl(dir_fd, F_DUPFD_CLOEXEC, 0));
    const struct dirent *entry = NULL;

    rewinddir(dir);
    while ((entry = readdir(dir)) != NULL) {
        (void)unlinkat(dir_fd, entry->d_name, 0);
    }
    (void)closedir(dir);
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;
    char logs[64];

    amy_log_reader_free(f->reader);
    remove_all(f->logs_fd);
    amy__close(&f->logs_fd);
    (void)snprintf(logs, sizeof(logs), "%s/logs", f->path);
    (void)rmdir(logs);
    (void)rmdir(f->path);
    free(f);
    return 0;
}

static void
append(const struct fixture *f, const char *name, const char *text, size_t n)
{
    int fd = openat(f->logs_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
                    0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), n);
    (void)close(fd);
}

static void
say(const struct fixture *f, const char *name, const char *text)
{
    append(f, name, text, strlen(text));
}

/* "2026-11-26T12:00:SSZ text" */
static void
say_at(const struct fixture *f, const char *name, int second, const char *text)
{
    char line[256];

    (void)snprintf(line, sizeof(line), "2026-11-26T12:%02d:%02dZ %s\n",
                   second / 60, second % 60, text);
    say(f, name, line);
}

static int64_t
at(int second)
{
    int64_t wall_ms = 0;

    assert_true(amy__log_line_time(AMY_SPAN("2026-11-26T12:00:00Z"), &wall_ms));
    return wall_ms + (int64_t)second * 1000;
}

static void
pack_gzip(const struct fixture *f, const char *name, const char *text)
{
    int fd = openat(f->logs_fd, name, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC,
                    0644);
    gzFile gz = gzdopen(fd, "ab");

    assert_int_equal(gzwrite(gz, text, (unsigned)strlen(text)), strlen(text));
    assert_int_equal(gzclose(gz), Z_OK);
}

static void
pack_zstd(const struct fixture *f, const char *name, const char *text)
{
    char packed[4096];
    size_t n = ZSTD_compress(packed, sizeof(packed), text, strlen(text), 3);

    assert_false(ZSTD_isError(n));
    append(f, name, packed, n);
}

static void
open_reader(struct fixture *f)
{
    const struct amy_log log = {sizeof(log), note, f, 0, 0};

    f->opts.log = &log;
    assert_int_equal(amy_log_reader_open(&f->opts, &f->reader, NULL), 0);
}

/* All lines from now on, each as "component text"; of what has a time without
 * it. */
static const char *
rest(struct fixture *f)
{
    struct amy_log_line line = {.struct_size = sizeof(line)};
    size_t used = 0;

    f->text[0] = '\0';
    while (amy_log_reader_next(f->reader, &line) > 0) {
        size_t skip = line.text_bytes > 21 && line.continues == 0 ? 21 : 0;
        int n = snprintf(f->text + used, sizeof(f->text) - used, "%c %.*s\n",
                         amy_log_component_name(line.component)[0],
                         (int)(line.text_bytes - skip), line.text + skip);

        assert_true(n > 0 && used + (size_t)n < sizeof(f->text));
        used += (size_t)n;
    }
    return f->text;
}

static const char *
all(struct fixture *f)
{
    open_reader(f);
    return rest(f);
}

static void
test_components_are_merged_by_time(void **state)
{
    struct fixture *f = *state;

    say(f, "access.log",
        "a - - [26/Nov/2026:12:00:01 +0000] \"GET /1 HTTP/1.1\" 200 0\n"
        "a - - [26/Nov/2026:12:00:03 +0000] \"GET /3 HTTP/1.1\" 200 0\n");
    say_at(f, "error.log", 2, "two");
    say_at(f, "backup.log", 4, "four");
    say_at(f, "deploy.log", 0, "zero");
    say_at(f, "gunicorn_supervisor.log", 5, "five");
    say(f, "other.log", "2026-11-26T12:00:00Z not one of them\n");
    assert_string_equal(all(f), "d zero\n"
                                "a :00:01 +0000] \"GET /1 HTTP/1.1\" 200 0\n"
                                "e two\n"
                                "a :00:03 +0000] \"GET /3 HTTP/1.1\" 200 0\n"
                                "b four\nw five\n");
}

static void
test_line_without_a_time_stays_with_the_one_before(void **state)
{
    struct fixture *f = *state;

    say(f, "gunicorn_supervisor.log", "before any time\n");
    say_at(f, "gunicorn_supervisor.log", 1, "Traceback");
    say(f, "gunicorn_supervisor.log", "  File\nValueError\n");
    say_at(f, "error.log", 1, "same second");
    say_at(f, "error.log", 0, "earlier");
    f->opts.components =
        1U << AMY_LOG_COMPONENT_WORKERS | 1U << AMY_LOG_COMPONENT_ERROR;
    assert_string_equal(all(f), "w before any time\n"
                                "e same second\ne earlier\n"
                                "w Traceback\nw   File\nw ValueError\n");
}

/* As front processes do: each writes what it had within a second. */
static void
test_lines_of_several_writers_come_by_their_times(void **state)
{
    struct fixture *f = *state;

    say_at(f, "access.log", 2, "one writer's");
    say_at(f, "access.log", 3, "one writer's");
    say(f, "access.log", "  more of it\n");
    say_at(f, "access.log", 2, "another's");
    say_at(f, "access.log", 3, "another's");
    say_at(f, "error.log", 2, "between");
    f->opts.components =
        1U << AMY_LOG_COMPONENT_ACCESS | 1U << AMY_LOG_COMPONENT_ERROR;
    assert_string_equal(all(f), "a one writer's\na another's\ne between\n"
                                "a one writer's\na   more of it\n"
                                "a another's\n");
}

static void
fill_old(const struct fixture *f)
{
    pack_gzip(f, "error.log.2.gz", "2026-11-26T12:00:01Z one\n");
    pack_gzip(f, "error.log.2.gz", "2026-11-26T12:00:02Z two\n");
    say_at(f, "error.log.1", 3, "three");
    pack_zstd(f, "error.log-20261126T120010Z.zst",
              "2026-11-26T12:00:04Z four\n");
    pack_zstd(f, "error.log-20261126T120010Z.zst",
              "2026-11-26T12:00:05Z five\n");
    say_at(f, "error.log-20261126T120010Z-2", 6, "six");
    pack_gzip(f, "error.log-20261126T120010Z-2.gz", "half of it");
    pack_gzip(f, "error.log-20261126T120010Z-3.gz.partial", "half of it");
    say_at(f, "error.log", 7, "seven");
}

/* logrotate's files go by their own times. */
static void
set_time(const struct fixture *f, const char *name, int second)
{
    const struct timespec times[2] = {{at(second) / 1000, 0},
                                      {at(second) / 1000, 0}};

    assert_int_equal(utimensat(f->logs_fd, name, times, 0), 0);
}

static void
test_old_files_of_all_kinds_are_read_in_order(void **state)
{
    struct fixture *f = *state;

    fill_old(f);
    set_time(f, "error.log.2.gz", 2);
    set_time(f, "error.log.1", 3);
    assert_string_equal(all(f), "e one\ne two\ne three\ne four\ne five\ne "
                                "six\ne seven\n");
    assert_string_equal(f->told, "");
}

static void
test_last_lines_reach_into_old_files(void **state)
{
    struct fixture *f = *state;

    fill_old(f);
    set_time(f, "error.log.2.gz", 2);
    set_time(f, "error.log.1", 3);
    for (uint64_t n = 1; n <= 8; n++) {
        static const char want[] = "e one\ne two\ne three\ne four\ne five\ne "
                                   "six\ne seven\n";
        const char *from = want + sizeof(want) - 1;

        for (uint64_t lines = 0; from > want; from--) {
            lines += from[-1] == '\n' ? 1 : 0;
            if (lines > n) {
                break;
            }
        }
        f->opts.last = n;
        assert_string_equal(all(f), from);
        amy_log_reader_free(f->reader);
        f->reader = NULL;
    }
}

static void
test_since_and_until_bound_what_is_given_and_opened(void **state)
{
    struct fixture *f = *state;

    /* Were it opened, this would be told. */
    say(f, "error.log-20261126T110000Z.gz", "not packed at all");
    for (int i = 0; i < 60; i++) {
        char text[16];

        (void)snprintf(text, sizeof(text), "%d", i);
        say_at(f, i < 30 ? "error.log-20261126T120030Z" : "error.log", i, text);
    }
    f->opts.since_wall_ms = at(28);
    f->opts.until_wall_ms = at(32);
    assert_string_equal(all(f), "e 28\ne 29\ne 30\ne 31\n");
    assert_string_equal(f->told, "");
}

static void
test_damaged_file_is_told_and_passed_over(void **state)
{
    struct fixture *f = *state;

    say(f, "error.log-20261126T110000Z.gz", "not packed at all");
    say(f, "error.log-20261126T110001Z.zst", "nor is this");
    pack_gzip(f, "error.log-20261126T110002Z.gz",
              "2026-11-26T11:00:00Z whole\n");
    assert_int_equal(
        symlinkat("/etc/passwd", f->logs_fd, "error.log-20261126T110003Z"), 0);
    assert_int_equal(mkfifoat(f->logs_fd, "error.log-20261126T110004Z", 0644),
                     0);
    say_at(f, "error.log", 1, "one");
    assert_string_equal(all(f), "e whole\ne one\n");
    assert_non_null(strstr(f->told, "file=logs/error.log-20261126T110000Z.gz"));
    assert_non_null(strstr(f->told, "T110001Z.zst error=\"it is damaged"));
    assert_null(strstr(f->told, "110002"));
}

static void
test_cut_off_file_gives_what_it_has(void **state)
{
    struct fixture *f = *state;
    char packed[4096];
    char text[4000];
    size_t n = 0;

    for (size_t i = 0; i + 25 < sizeof(text); i += 25) {
        (void)snprintf(text + i, 26, "2026-11-26T12:00:00Z %03zu\n", i / 25);
    }
    n = ZSTD_compress(packed, sizeof(packed), text, strlen(text), 3);
    append(f, "error.log-20261126T110001Z.zst", packed, n - 1);
    say_at(f, "error.log", 1, "one");
    assert_non_null(strstr(all(f), "e one\n"));
    assert_non_null(strstr(f->told, "it is cut off"));
}

static void
test_long_line_is_cut_and_the_next_is_whole(void **state)
{
    struct fixture *f = *state;
    struct amy_log_line line = {.struct_size = sizeof(line)};
    static char huge[500000];

    memset(huge, 'x', sizeof(huge));
    say(f, "error.log", "2026-11-26T12:00:00Z ");
    append(f, "error.log", huge, sizeof(huge));
    say(f, "error.log", "\n");
    say_at(f, "error.log", 1, "next");
    say(f, "error.log", "without a newline");
    open_reader(f);
    assert_int_equal(amy_log_reader_next(f->reader, &line), 1);
    assert_int_equal(line.cut, 1);
    assert_int_equal(line.text_bytes, AMY_LOG_LINE_MAX);
    assert_string_equal(rest(f), "e next\ne without a newline\n");
}

static bool
has_e(const struct amy_log_line *line, void *user)
{
    (void)user;
    return memchr(line->text + 21, 'e', line->text_bytes - 21) != NULL;
}

static void
test_match_takes_what_continues_a_line_along(void **state)
{
    struct fixture *f = *state;

    say_at(f, "error.log", 1, "one");
    say(f, "error.log", "  which goes on so far that it is long\n");
    say_at(f, "error.log", 2, "two");
    say(f, "error.log", "  and that goes on as long as it may\n");
    say_at(f, "error.log", 3, "three");
    f->opts.match = has_e;
    assert_string_equal(all(f),
                        "e one\ne   which goes on so far that it is long\n"
                        "e three\n");
    amy_log_reader_free(f->reader);
    f->opts.last = 1;
    assert_string_equal(all(f), "e three\n");
}

/* ---- following ---- */

static void
rename_to(const struct fixture *f, const char *from, const char *to)
{
    assert_int_equal(renameat(f->logs_fd, from, f->logs_fd, to), 0);
}

static void
test_following_loses_and_doubles_nothing_over_rotations(void **state)
{
    struct fixture *f = *state;
    int late = -1;

    say_at(f, "error.log-20261126T115900Z", 0, "old");
    say_at(f, "error.log", 1, "one");
    f->opts.follow = 1;
    assert_string_equal(all(f), "e old\ne one\n");
    assert_string_equal(rest(f), "");
    say(f, "error.log", "2026-11-26T12:00:02Z half");
    assert_string_equal(rest(f), "");
    say(f, "error.log", " whole\n");
    assert_string_equal(rest(f), "e half whole\n");

    /* Two rotations at once, the first one packed already, and a writer that
     * is late. */
    late = openat(f->logs_fd, "error.log", O_WRONLY | O_APPEND | O_CLOEXEC);
    say_at(f, "error.log", 3, "three");
    rename_to(f, "error.log", "error.log-20261126T120003Z");
    say_at(f, "error.log", 4, "four");
    rename_to(f, "error.log", "error.log-20261126T120004Z");
    say_at(f, "error.log", 5, "five");
    assert_int_equal(write(late, "2026-11-26T12:00:03Z late\n", 26), 26);
    assert_string_equal(rest(f), "e three\ne late\ne four\ne five\n");
    assert_int_equal(write(late, "2026-11-26T12:00:03Z later\n", 27), 27);
    assert_string_equal(rest(f), "e later\n");
    fake_loop_advance(10000);
    say_at(f, "error.log", 6, "six");
    assert_string_equal(rest(f), "e six\n");
    (void)close(late);
}

static void
test_following_keeps_a_line_and_what_continues_it_together(void **state)
{
    struct fixture *f = *state;

    say_at(f, "error.log", 3, "before");
    say_at(f, "gunicorn_supervisor.log", 5, "Traceback");
    f->opts.follow = 1;
    assert_string_equal(all(f), "e before\nw Traceback\n");
    say_at(f, "error.log", 4, "earlier, and written later");
    say(f, "gunicorn_supervisor.log", "  File\n");
    assert_string_equal(rest(f), "w   File\ne earlier, and written later\n");
}

static void
test_following_knows_its_file_when_the_clock_went_back(void **state)
{
    struct fixture *f = *state;

    say_at(f, "error.log-20261126T120000Z", 0, "old");
    say_at(f, "error.log", 1, "one");
    f->opts.follow = 1;
    assert_string_equal(all(f), "e old\ne one\n");
    rename_to(f, "error.log", "error.log-20261126T110000Z");
    pack_gzip(f, "error.log-20261126T120009Z.gz", "2026-11-26T12:00:09Z new\n");
    say_at(f, "error.log", 10, "two");
    assert_string_equal(rest(f), "e new\ne two\n");
}

static void
test_following_passes_over_its_own_file_once_it_is_packed(void **state)
{
    struct fixture *f = *state;

    say_at(f, "error.log", 1, "one");
    f->opts.follow = 1;
    assert_string_equal(all(f), "e one\n");
    (void)unlinkat(f->logs_fd, "error.log", 0);
    pack_gzip(f, "error.log-20261126T120002Z.gz", "2026-11-26T12:00:01Z one\n");
    say_at(f, "error.log", 3, "three");
    assert_string_equal(rest(f), "e three\n");
}

static void
test_following_waits_for_a_file_and_sees_it_made_shorter(void **state)
{
    struct fixture *f = *state;
    int fd = -1;

    f->opts.follow = 1;
    assert_string_equal(all(f), "");
    assert_true(amy_log_reader_fd(f->reader) >= 0);
    say_at(f, "error.log", 1, "one, and quite some text");
    assert_string_equal(rest(f), "e one, and quite some text\n");
    fd = openat(f->logs_fd, "error.log", O_WRONLY | O_TRUNC | O_CLOEXEC);
    (void)close(fd);
    say_at(f, "error.log", 2, "two");
    assert_string_equal(rest(f), "e two\n");
}

static void
test_following_finds_a_directory_that_was_replaced(void **state)
{
    struct fixture *f = *state;
    char from[64];
    char to[64];

    say_at(f, "error.log", 1, "one");
    f->opts.follow = 1;
    assert_string_equal(all(f), "e one\n");
    (void)snprintf(from, sizeof(from), "%s/logs", f->path);
    (void)snprintf(to, sizeof(to), "%s/moved", f->path);
    assert_int_equal(rename(from, to), 0);
    assert_int_equal(mkdir(from, 0755), 0);
    remove_all(f->logs_fd);
    (void)rmdir(to);
    amy__close(&f->logs_fd);
    f->logs_fd = open(from, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    say_at(f, "error.log", 2, "two");
    assert_string_equal(rest(f), "e two\n");
}

/* ---- bounds ---- */

#define FILLER_BYTES ((size_t)1 << 20)

static uint64_t
bytes_read(void)
{
    char text[1024] = "";
    const char *found = NULL;
    int fd = open("/proc/self/io", O_RDONLY | O_CLOEXEC);

    assert_true(read(fd, text, sizeof(text) - 1) > 0);
    (void)close(fd);
    found = strstr(text, "rchar: ");
    assert_non_null(found);
    return strtoull(found + 7, NULL, 10);
}

static void
test_ten_thousand_files_and_a_huge_one_are_not_read_for_ten_lines(void **state)
{
    struct fixture *f = *state;
    struct rusage usage = {0};
    uint64_t before = 0;
    static char filler[FILLER_BYTES + 1]; /* and the NUL of its last line */

    for (int i = 0; i < 10000; i++) {
        char name[64];

        (void)snprintf(name, sizeof(name),
                       "access.log-202609%02dT%02d%02d%02dZ.gz", 1 + i % 28,
                       i / 3600, i / 60 % 60, i % 60);
        say(f, name, "x");
    }
    for (size_t i = 0; i < FILLER_BYTES; i += 64) {
        (void)snprintf(filler + i, 65, "2026-11-26T12:00:00Z %042zu\n", i);
    }
    for (int i = 0; i < 32; i++) {
        append(f, "error.log", filler, FILLER_BYTES);
    }
    say_at(f, "error.log", 600, "the end");
    before = bytes_read();
    f->opts.last = 10;
    f->opts.components = 1U << AMY_LOG_COMPONENT_ERROR;
    assert_non_null(strstr(all(f), "e the end\n"));
    amy_log_reader_free(f->reader);
    f->opts.last = 0;
    f->opts.since_wall_ms = at(599);
    f->opts.components = 0;
    assert_string_equal(all(f), "e the end\n");
    assert_true(bytes_read() - before < 6 * FILLER_BYTES);
    assert_int_equal(getrusage(RUSAGE_SELF, &usage), 0);
    assert_true(usage.ru_maxrss < 256 * 1024);
}

/* What cannot be had is an error of the opening, or a file that is passed over;
 * never a crash, and nothing is left. */
static void
test_any_allocation_may_fail(void **state)
{
    struct fixture *f = *state;
    bool hit = true;

    fill_old(f);
    f->opts.last = 3;
    f->opts.since_wall_ms = at(1);
    f->opts.follow = 1;
    for (int n = 1; hit; n++) {
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy_log_reader_open(&f->opts, &f->reader, NULL);
        assert_true(rc == 0 || rc == AMY_ENOMEM);
        if (rc == 0) {
            (void)rest(f);
            say_at(f, "error.log", 8, "eight");
            rename_to(f, "error.log", "error.log-20261126T120100Z");
            say_at(f, "error.log", 9, "nine");
            (void)rest(f);
            rename_to(f, "error.log-20261126T120100Z", "error.log");
        }
        hit = fail_alloc_hit();
        fail_alloc_nth(0);
        amy_log_reader_free(f->reader);
        f->reader = NULL;
        assert_int_equal(fail_alloc_live(), 0);
    }
}

static void
test_missing_directory_is_not_found(void **state)
{
    struct fixture *f = *state;
    struct amy_error err = AMY_ERROR_INIT;

    f->opts.directory = "/nowhere";
    assert_int_equal(amy_log_reader_open(&f->opts, &f->reader, &err),
                     AMY_ENOTFOUND);
    f->opts.directory = NULL;
    assert_int_equal(amy_log_reader_open(&f->opts, &f->reader, &err),
                     AMY_EINVAL);
    assert_null(f->reader);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_components_are_merged_by_time),
        TEST(test_line_without_a_time_stays_with_the_one_before),
        TEST(test_lines_of_several_writers_come_by_their_times),
        TEST(test_old_files_of_all_kinds_are_read_in_order),
        TEST(test_last_lines_reach_into_old_files),
        TEST(test_since_and_until_bound_what_is_given_and_opened),
        TEST(test_damaged_file_is_told_and_passed_over),
        TEST(test_cut_off_file_gives_what_it_has),
        TEST(test_long_line_is_cut_and_the_next_is_whole),
        TEST(test_match_takes_what_continues_a_line_along),
        TEST(test_following_loses_and_doubles_nothing_over_rotations),
        TEST(test_following_keeps_a_line_and_what_continues_it_together),
        TEST(test_following_knows_its_file_when_the_clock_went_back),
        TEST(test_following_passes_over_its_own_file_once_it_is_packed),
        TEST(test_following_waits_for_a_file_and_sees_it_made_shorter),
        TEST(test_following_finds_a_directory_that_was_replaced),
        TEST(test_ten_thousand_files_and_a_huge_one_are_not_read_for_ten_lines),
        TEST(test_any_allocation_may_fail),
        TEST(test_missing_directory_is_not_found),
    };

    return cmocka_run_group_tests_name("logrotate/reader", tests, NULL, NULL);
}

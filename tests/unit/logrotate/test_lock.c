/* Several processes write one file, and some are killed or stopped while they
 * do: lines stay whole, and nobody waits for long. */
#include "amy_test.h"

#include "logrotate/lock.h"
#include "logrotate/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096
#define LINE 131  /* bytes, with its newline */
#define BATCH 500 /* lines that a full buffer has */

/* What parent and children share. */
struct shared {
    struct amy_log_lock lock;
    _Atomic int lines[2]; /* that each knows to be written */
    _Atomic bool enough;  /* the other one stops */
};

struct fixture {
    char path[32];
    int fd;
    struct shared *shared;
    struct amy_log_writer *writer;
};

static int
open_log(const struct fixture *f)
{
    return open(f->path, O_WRONLY | O_APPEND | O_CLOEXEC);
}

static struct amy_log_writer *
open_writer(const struct fixture *f, uint32_t buffer_bytes)
{
    struct amy_log_writer_options opts = AMY_LOG_WRITER_OPTIONS_INIT;
    struct amy_log_writer *writer = NULL;

    opts.name = "x";
    opts.buffer_bytes = buffer_bytes;
    if (amy_log_writer_create(&opts, &writer, NULL) < 0 ||
        amy_log_writer_set_lock(writer, &f->shared->lock, NULL) < 0) {
        _exit(1);
    }
    amy_log_writer_set_fd(writer, open_log(f));
    return writer;
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    (void)snprintf(f->path, sizeof(f->path), "/tmp/amy-lock-XXXXXX");
    f->fd = mkstemp(f->path);
    f->shared = mmap(NULL, sizeof(*f->shared), PROT_READ | PROT_WRITE,
                     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(f->shared != MAP_FAILED);
    assert_int_equal(amy_log_lock_init(&f->shared->lock, NULL), 0);
    f->writer = open_writer(f, PAGE);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy_log_writer_free(f->writer);
    (void)munmap(f->shared, sizeof(*f->shared));
    (void)close(f->fd);
    (void)unlink(f->path);
    free(f);
    return 0;
}

static void
say(struct amy_log_writer *writer, const char *text)
{
    amy_log_writer_write(writer, text, strlen(text));
}

/* A child, which does not outlive a test that failed. */
static pid_t
fork_child(void)
{
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    }
    return pid;
}

/* All of the file, and a NUL; the caller's. */
static char *
read_all(const struct fixture *f, size_t *ret_n)
{
    off_t size = lseek(f->fd, 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);

    assert_int_equal(pread(f->fd, text, (size_t)size, 0), size);
    *ret_n = (size_t)size;
    return text;
}

static void
expect(const struct fixture *f, const char *wanted)
{
    size_t n = 0;
    char *text = read_all(f, &n);

    assert_string_equal(text, wanted);
    free(text);
}

/* ---- killed in a write ---- */

static size_t
make_line(char line[LINE + 1], char who, int number)
{
    int n = snprintf(line, LINE + 1, "%c %d ", who, number);

    memset(line + n, who, (size_t)(LINE - 1 - n));
    line[LINE - 1] = '\n';
    line[LINE] = '\0';
    return LINE;
}

/* Until it is killed, or has heard that it is enough. */
static _Noreturn void
write_on(const struct fixture *f, char who)
{
    struct amy_log_writer *writer = open_writer(f, AMY_LOG_WRITER_BUFFER_MAX);
    char line[LINE + 1];

    for (int i = 0; !f->shared->enough; i++) {
        amy_log_writer_write(writer, line, make_line(line, who, i));
        if (i % BATCH == BATCH - 1) {
            while (amy_log_writer_flush(writer) < 0) {
                (void)sched_yield(); /* a disk that is slow holds up all */
            }
            f->shared->lines[who - 'a'] = i + 1;
        }
    }
    amy_log_writer_free(writer);
    _exit(0);
}

static pid_t
start(const struct fixture *f, char who)
{
    pid_t pid = fork_child();

    if (pid == 0) {
        write_on(f, who);
    }
    return pid;
}

static void
await(pid_t pid, int wanted)
{
    int status = 0;

    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, wanted);
}

/* Every line is one that was written, and behind the one before it. */
static void
check_lines(const struct fixture *f)
{
    size_t n = 0;
    char *text = read_all(f, &n);
    int next[3] = {0, 0, 0};

    for (const char *at = text; at < text + n; at += LINE) {
        char line[LINE + 1];
        char who = *at;

        assert_in_range(who, 'a', 'c');
        (void)make_line(line, who, next[who - 'a']++);
        if (strncmp(at, line, LINE) != 0) {
            fail_msg("at %td: '%.*s'", at - text, LINE, at);
        }
    }
    assert_true(next[0] >= f->shared->lines[0]);
    assert_true(next[1] >= f->shared->lines[1]);
    free(text);
}

static void
test_lines_of_a_killed_process_are_whole(void **state)
{
    struct fixture *f = *state;
    char line[LINE + 1];

    for (int round = 0; round < 30; round++) {
        pid_t victim = 0;
        pid_t other = 0;

        assert_int_equal(ftruncate(f->fd, 0), 0);
        f->shared->lines[0] = 0;
        f->shared->lines[1] = 0;
        f->shared->enough = false;
        other = start(f, 'b');
        victim = start(f, 'a');
        while (f->shared->lines[0] < BATCH * (1 + round % 3) ||
               f->shared->lines[1] == 0) {
            (void)sched_yield();
        }
        assert_int_equal(kill(victim, SIGKILL), 0);
        await(victim, SIGKILL);
        f->shared->enough = true;
        await(other, 0);
        /* It may have written its last one before the victim died. */
        amy_log_writer_write(f->writer, line, make_line(line, 'c', 0));
        assert_int_equal(amy_log_writer_flush(f->writer), 0);
        check_lines(f);
    }
}

/* ---- where exactly ---- */

/* A process that has the lock, writes `done` bytes of a text that it meant to
 * write, and dies. */
static void
die_after(const struct fixture *f, const char *text, size_t done)
{
    pid_t pid = fork_child();

    if (pid == 0) {
        struct amy__span all = amy__span_of(text);
        struct stat st = {0};
        int fd = open_log(f);

        if (amy__log_lock_take(&f->shared->lock, 1000) != 1 ||
            fstat(fd, &st) != 0) {
            _exit(1);
        }
        amy__log_cuts_begin(amy__log_lock_cuts(&f->shared->lock), &st, all,
                            false);
        (void)!write(fd, text, done);
        (void)raise(SIGKILL);
    }
    await(pid, SIGKILL);
}

/* Some pages of lines of so many bytes each. */
static char *
make_text(size_t line, size_t lines)
{
    char *text = calloc(1, line * lines + 1);

    for (size_t i = 0; i < line * lines; i++) {
        text[i] = i % line == line - 1 ? '\n' : (char)('a' + i / line % 26);
    }
    return text;
}

static void
expect_after(const struct fixture *f, const char *text, size_t n,
             const char *rest)
{
    size_t got = 0;
    char *all = read_all(f, &got);

    assert_int_equal(got, n + strlen(rest));
    assert_memory_equal(all, text, n);
    assert_string_equal(all + n, rest);
    free(all);
}

static void
test_death_before_and_after_a_write_changes_nothing(void **state)
{
    struct fixture *f = *state;
    char *text = make_text(100, 100);

    die_after(f, text, 0);
    say(f->writer, "one\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    expect(f, "one\n");
    assert_int_equal(ftruncate(f->fd, 0), 0);
    die_after(f, text, strlen(text));
    say(f->writer, "two\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    expect_after(f, text, strlen(text), "two\n");
    free(text);
}

static void
test_line_that_death_cut_is_completed(void **state)
{
    struct fixture *f = *state;
    char *text = make_text(100, 100);

    for (size_t page = 1; page <= 2; page++) {
        size_t whole = (page * PAGE / 100 + 1) * 100;

        assert_int_equal(ftruncate(f->fd, 0), 0);
        die_after(f, text, page * PAGE);
        say(f->writer, "next\n");
        assert_int_equal(amy_log_writer_flush(f->writer), 0);
        expect_after(f, text, whole, "next\n");
        /* Once, and not again. */
        say(f->writer, "more\n");
        assert_int_equal(amy_log_writer_flush(f->writer), 0);
        expect_after(f, text, whole, "next\nmore\n");
    }
    free(text);
}

static void
test_death_between_two_lines_adds_nothing(void **state)
{
    struct fixture *f = *state;
    char *text = make_text(64, 200); /* divides a page */

    die_after(f, text, PAGE);
    say(f->writer, "next\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    expect_after(f, text, PAGE, "next\n");
    free(text);
}

/* Lines too long for their rests to be kept, and a cut where none is expected:
 * half a line is a line of its own. */
static void
test_line_that_cannot_be_completed_is_ended(void **state)
{
    struct fixture *f = *state;
    char *text = make_text(20000, 3);

    die_after(f, text, PAGE);
    say(f->writer, "next\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    expect_after(f, text, PAGE, "\nnext\n");
    free(text);
    text = make_text(100, 100);
    assert_int_equal(ftruncate(f->fd, 0), 0);
    die_after(f, text, 150);
    say(f->writer, "next\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    expect_after(f, text, 150, "\nnext\n");
    free(text);
}

/* Who was to complete a line dies as well, at any point of it. */
static void
test_death_while_completing_is_completed(void **state)
{
    struct fixture *f = *state;
    struct amy__log_cuts *cuts = amy__log_lock_cuts(&f->shared->lock);
    static const char rest[] = "rest of it\n";

    for (size_t done = 0; done < sizeof(rest); done += sizeof(rest) - 1) {
        struct stat st = {0};

        assert_int_equal(ftruncate(f->fd, 0), 0);
        assert_int_equal(pwrite(f->fd, "the ", 4, 0), 4);
        assert_int_equal(fstat(f->fd, &st), 0);
        amy__log_cuts_begin(cuts, &st, amy__span_of(rest), true);
        assert_int_equal(pwrite(f->fd, rest, done, 4), done);
        say(f->writer, "next\n");
        assert_int_equal(amy_log_writer_flush(f->writer), 0);
        expect(f, "the rest of it\nnext\n");
    }
}

/* The log was rotated when its writer died, and another one goes on with the
 * old file after somebody wrote the new one. */
static void
test_each_file_has_its_own_cut(void **state)
{
    struct fixture *f = *state;
    struct fixture new = *f;
    char *text = make_text(100, 100);
    size_t n = 0;
    char *all = NULL;

    die_after(f, text, PAGE);
    (void)snprintf(new.path, sizeof(new.path), "/tmp/amy-lock-XXXXXX");
    new.fd = mkstemp(new.path);
    new.writer = open_writer(&new, PAGE);
    say(new.writer, "new\n");
    assert_int_equal(amy_log_writer_flush(new.writer), 0);
    expect(&new, "new\n");
    die_after(&new, text, PAGE);
    say(f->writer, "old\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    expect_after(f, text, 4100, "old\n");
    say(new.writer, "last\n");
    assert_int_equal(amy_log_writer_flush(new.writer), 0);
    all = read_all(&new, &n);
    assert_string_equal(all + n - 6, "\nlast\n");
    free(all);
    amy_log_writer_free(new.writer);
    (void)close(new.fd);
    (void)unlink(new.path);
    free(text);
}

/* With more cut files than there is room for the eldest is forgotten, and never
 * the one that is written. */
static void
test_many_cut_files_do_no_harm(void **state)
{
    struct fixture *f = *state;
    struct amy__log_cuts *cuts = amy__log_lock_cuts(&f->shared->lock);
    char buf[AMY__LOG_REST_BYTES];
    const struct stat first = {.st_ino = 1, .st_size = 7};

    for (ino_t inode = 1; inode <= 2 * AMY__LOG_CUTS; inode++) {
        const struct stat st = {.st_ino = inode, .st_size = 7};

        for (int i = 0; i < 3; i++) {
            amy__log_cuts_begin(cuts, &st, (struct amy__span){"x\n", 2}, true);
        }
        assert_int_equal(amy__log_cuts_missing(cuts, &st, buf), 2);
        assert_memory_equal(buf, "x\n", 2);
    }
    assert_int_equal(amy__log_cuts_missing(cuts, &first, buf), 0);
    say(f->writer, "one\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    expect(f, "one\n");
}

/* As a disk that fills up; here a limit of the file's size does it. */
static void
test_half_line_for_want_of_room_is_ended_by_anybody(void **state)
{
    struct fixture *f = *state;
    struct amy_log_writer *other = open_writer(f, PAGE);
    struct rlimit limit = {0};

    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &limit), 0);
    limit.rlim_cur = 10;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    say(f->writer, "whole\ntorn in the middle\nnever written\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    limit.rlim_cur = limit.rlim_max;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
    assert_int_equal(amy_log_writer_lost(f->writer), 2);
    say(other, "next\n");
    amy_log_writer_free(other);
    expect(f, "whole\ntorn\nnext\n");
}

/* ---- a holder that does not go on ---- */

static pid_t
stop_with_the_lock(const struct fixture *f)
{
    int status = 0;
    pid_t pid = fork_child();

    if (pid == 0) {
        if (amy__log_lock_take(&f->shared->lock, 1000) != 1) {
            _exit(1);
        }
        (void)raise(SIGSTOP);
        amy__log_lock_give(&f->shared->lock);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    assert_true(WIFSTOPPED(status));
    return pid;
}

static int64_t
now_ms(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Lines for which there is no room. */
#define LATE 400

static void
test_stopped_holder_holds_up_nobody_for_long(void **state)
{
    struct fixture *f = *state;
    pid_t pid = stop_with_the_lock(f);
    int64_t begun_ms = now_ms();
    char line[LINE + 1];
    size_t n = 0;
    char *text = NULL;
    int kept = PAGE / LINE;

    for (int i = 0; i < kept + LATE; i++) {
        amy_log_writer_write(f->writer, line, make_line(line, 'a', i));
    }
    /* One wait of 100 ms, and not one for each line, which were 40 s. */
    assert_true(now_ms() - begun_ms < 10000);
    assert_int_equal(amy_log_writer_flush(f->writer), AMY_EAGAIN);
    assert_int_equal(amy_log_writer_lost(f->writer), LATE);
    assert_int_equal(kill(pid, SIGCONT), 0);
    await(pid, 0);
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    text = read_all(f, &n);
    assert_int_equal(n, kept * LINE);
    free(text);
    say(f->writer, "again\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    assert_int_equal(amy_log_writer_lost(f->writer), LATE);
}

static void
test_without_a_buffer_lines_are_lost_meanwhile(void **state)
{
    struct fixture *f = *state;
    struct amy_log_writer *writer = open_writer(f, 0);
    pid_t pid = stop_with_the_lock(f);

    say(writer, "one\ntwo\n");
    assert_int_equal(amy_log_writer_lost(writer), 2);
    assert_int_equal(kill(pid, SIGKILL), 0);
    await(pid, SIGKILL);
    say(writer, "three\n");
    amy_log_writer_free(writer);
    expect(f, "three\n");
}

static void
test_what_is_held_up_goes_to_the_next_file(void **state)
{
    struct fixture *f = *state;
    struct fixture new = *f;
    pid_t pid = stop_with_the_lock(f);

    (void)snprintf(new.path, sizeof(new.path), "/tmp/amy-lock-XXXXXX");
    new.fd = mkstemp(new.path);
    say(f->writer, "one\n");
    amy_log_writer_set_fd(f->writer, open_log(&new));
    say(f->writer, "two\n");
    assert_int_equal(kill(pid, SIGCONT), 0);
    await(pid, 0);
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    expect(f, "");
    expect(&new, "one\ntwo\n");
    (void)close(new.fd);
    (void)unlink(new.path);
}

static void
test_lock_that_was_never_made_is_refused(void **state)
{
    struct fixture *f = *state;
    static struct amy_log_lock none;

    assert_int_equal(amy_log_writer_set_lock(f->writer, &none, NULL),
                     AMY_EINVAL);
    assert_int_equal(amy_log_writer_set_lock(f->writer, NULL, NULL), 0);
    say(f->writer, "one\n");
    assert_int_equal(amy_log_writer_flush(f->writer), 0);
    expect(f, "one\n");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_lines_of_a_killed_process_are_whole),
        TEST(test_death_before_and_after_a_write_changes_nothing),
        TEST(test_line_that_death_cut_is_completed),
        TEST(test_death_between_two_lines_adds_nothing),
        TEST(test_line_that_cannot_be_completed_is_ended),
        TEST(test_death_while_completing_is_completed),
        TEST(test_each_file_has_its_own_cut),
        TEST(test_many_cut_files_do_no_harm),
        TEST(test_half_line_for_want_of_room_is_ended_by_anybody),
        TEST(test_stopped_holder_holds_up_nobody_for_long),
        TEST(test_without_a_buffer_lines_are_lost_meanwhile),
        TEST(test_what_is_held_up_goes_to_the_next_file),
        TEST(test_lock_that_was_never_made_is_refused),
    };

    return cmocka_run_group_tests_name("logrotate/lock", tests, NULL, NULL);
}

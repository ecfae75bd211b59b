/* Position locks between two descriptions of one file. */
/* Not for a pool that waits for one: test_pool.c. */
#include "amy_test.h"

#include "pool/lock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define NAME "web.0.lock"

static int dir_fd;
static char dir_path[] = "/tmp/amy-test-XXXXXX";

static int
make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir_path, sizeof(dir_path), "/tmp/amy-test-XXXXXX");
    if (mkdtemp(dir_path) == NULL) {
        return -1;
    }
    dir_fd = open(dir_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    (void)unlinkat(dir_fd, NAME, 0);
    close(dir_fd);
    return rmdir(dir_path);
}

static void
write_note(const char *text)
{
    int fd = openat(dir_fd, NAME, O_WRONLY | O_CREAT | O_TRUNC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void
test_name_is_of_pool_and_position(void **state)
{
    char name[64] = "";

    (void)state;
    assert_int_equal(amy__lock_name("web", 0, name, sizeof(name)), 10);
    assert_string_equal(name, NAME);
}

static void
test_take_gives_it_to_one(void **state)
{
    struct amy__holder holder = {.worker = {.pid = 77}};
    struct stat stat = {0};
    int first = -1;
    int second = -1;
    int copy = -1;

    (void)state;
    assert_int_equal(amy__lock_take(dir_fd, NAME, &first, &holder, NULL), 1);
    assert_int_equal(holder.worker.pid, 0);
    assert_int_equal(fstat(first, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0600);
    assert_int_equal(fcntl(first, F_GETFL) & O_ACCMODE, O_RDONLY);
    assert_int_equal(fcntl(first, F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
    assert_int_equal(amy__lock_take(dir_fd, NAME, &second, &holder, NULL), 0);
    assert_int_equal(second, -1);
    /* As a worker does that inherited it: held to the last copy. */
    copy = dup(first);
    close(first);
    assert_int_equal(amy__lock_take(dir_fd, NAME, &second, &holder, NULL), 0);
    close(copy);
    assert_int_equal(amy__lock_take(dir_fd, NAME, &second, &holder, NULL), 1);
    close(second);
}

static void
test_take_names_the_worker_that_was_noted(void **state)
{
    struct amy__holder holder = {.orphaned = true};
    int fd = -1;

    (void)state;
    assert_int_equal(amy__lock_take(dir_fd, NAME, &fd, &holder, NULL), 1);
    assert_int_equal(amy__lock_note(dir_fd, NAME, getpid(), NULL), 0);
    /* It lives, whether it kept the descriptor or not. */
    close(fd);
    assert_int_equal(amy__lock_take(dir_fd, NAME, &fd, &holder, NULL), 0);
    assert_int_equal(holder.worker.pid, getpid());
    assert_false(holder.orphaned); /* we noted it, and live */
}

static void
test_take_sees_that_the_supervisor_is_gone(void **state)
{
    struct amy__holder holder = {.orphaned = false};
    struct amy__process us = {0};
    char note[96] = "";
    int fd = -1;

    (void)state;
    assert_true(amy__process_read(getpid(), &us));
    (void)snprintf(note, sizeof(note), "%d %llu %d 1\n", (int)us.pid,
                   (unsigned long long)us.start, (int)us.pid);
    write_note(note);
    assert_int_equal(amy__lock_take(dir_fd, NAME, &fd, &holder, NULL), 0);
    assert_int_equal(holder.worker.pid, us.pid);
    assert_true(holder.orphaned);
}

static void
test_take_does_not_believe_a_stale_note(void **state)
{
    static const char *const notes[] = {
        "",
        "\n",
        "nonsense\n",
        "1 1\n",
        "-1 1\n",
        "1073741823 5\n",
        "1073741823 5 1073741823 5\n",
        "99999999999999999999 5\n",
        "4242",
    };
    struct amy__holder holder = {.orphaned = true};
    char other_life[64] = "";
    int fd = -1;

    (void)state;
    for (size_t i = 0; i < sizeof(notes) / sizeof(notes[0]); i++) {
        write_note(notes[i]);
        assert_int_equal(amy__lock_take(dir_fd, NAME, &fd, &holder, NULL), 1);
        close(fd);
    }
    /* Our number, of somebody who had it before us. */
    (void)snprintf(other_life, sizeof(other_life), "%d 1\n", (int)getpid());
    write_note(other_life);
    assert_int_equal(amy__lock_take(dir_fd, NAME, &fd, &holder, NULL), 1);
    close(fd);
}

static void
test_take_never_names_the_first_process(void **state)
{
    struct amy__holder holder = {.orphaned = true};
    struct amy__process init = {0};
    char note[96] = "";
    int fd = -1;

    (void)state;
    assert_true(amy__process_read(1, &init));
    (void)snprintf(note, sizeof(note), "1 %llu 1 1\n",
                   (unsigned long long)init.start);
    write_note(note);
    assert_int_equal(amy__lock_take(dir_fd, NAME, &fd, &holder, NULL), 1);
    close(fd);
}

static void
test_take_does_not_follow_a_link(void **state)
{
    struct amy__holder holder = {.orphaned = true};
    struct amy_error err = AMY_ERROR_INIT;
    int fd = -1;

    (void)state;
    assert_int_equal(symlinkat("/etc/passwd", dir_fd, NAME), 0);
    assert_true(amy__lock_take(dir_fd, NAME, &fd, &holder, &err) < 0);
    assert_non_null(strstr(err.msg, NAME));
    assert_true(amy__lock_note(dir_fd, NAME, getpid(), &err) < 0);
}

static void
test_note_of_one_that_ended_changes_nothing(void **state)
{
    (void)state;
    write_note("before\n");
    assert_int_equal(amy__lock_note(dir_fd, NAME, 0x3fffffff, NULL), 0);
    assert_int_equal(amy__lock_note(dir_fd, "missing", getpid(), NULL),
                     AMY_ENOTFOUND);
}

#define LOCK_TEST(name)                                                        \
    cmocka_unit_test_setup_teardown(name, make_dir, remove_dir)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        LOCK_TEST(test_name_is_of_pool_and_position),
        LOCK_TEST(test_take_gives_it_to_one),
        LOCK_TEST(test_take_names_the_worker_that_was_noted),
        LOCK_TEST(test_take_sees_that_the_supervisor_is_gone),
        LOCK_TEST(test_take_does_not_believe_a_stale_note),
        LOCK_TEST(test_take_never_names_the_first_process),
        LOCK_TEST(test_take_does_not_follow_a_link),
        LOCK_TEST(test_note_of_one_that_ended_changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include <amy/layout.h>

#include "layout/piece.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[] = "/tmp/amy-piece-XXXXXX";
static int dir_fd = -1;
static char message[AMY__LAYOUT_MESSAGE_SIZE];

static int
set_up(void **state)
{
    (void)state;
    (void)strcpy(top, "/tmp/amy-piece-XXXXXX");
    (void)umask(077);
    assert_non_null(mkdtemp(top));
    dir_fd = open(top, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0;
}

static int
tear_down(void **state)
{
    static const char *const names[] = {"logs", ".amy-init", "elsewhere"};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        (void)unlinkat(dir_fd, names[i], 0);
        (void)unlinkat(dir_fd, names[i], AT_REMOVEDIR);
    }
    (void)close(dir_fd);
    return rmdir(top);
}

static int
make(bool exact, bool dry_run)
{
    const struct amy__layout_piece piece = {"logs", 0750, geteuid(), getegid(),
                                            exact};

    message[0] = '\0';
    return amy__layout_directory(dir_fd, &piece, dry_run, message, NULL);
}

static unsigned
mode_of(const char *name)
{
    struct stat st;

    assert_int_equal(fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW), 0);
    return (unsigned)st.st_mode & 07777U;
}

static void
test_directory_is_made_with_its_mode(void **state)
{
    (void)state;
    assert_int_equal(make(true, false), AMY_LAYOUT_ADDED);
    assert_int_equal(mode_of("logs"), 0750);
    assert_int_equal(faccessat(dir_fd, ".amy-init", F_OK, 0), -1);
    assert_int_equal(make(true, false), AMY_LAYOUT_KEPT);
}

static void
test_directory_of_a_dry_run_is_not_made(void **state)
{
    (void)state;
    assert_int_equal(make(true, true), AMY_LAYOUT_ADDED);
    assert_int_equal(faccessat(dir_fd, "logs", F_OK, 0), -1);
}

/* As a kill in the middle leaves it. */
static void
test_directory_half_made_is_taken_up(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, ".amy-init", 0700), 0);
    assert_int_equal(make(true, false), AMY_LAYOUT_ADDED);
    assert_int_equal(mode_of("logs"), 0750);
    assert_int_equal(faccessat(dir_fd, ".amy-init", F_OK, 0), -1);
}

static void
test_directory_that_differs_is_left_and_told(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, "logs", 0700), 0);
    assert_int_equal(make(true, false), AMY_LAYOUT_KEPT); /* less is good */
    assert_int_equal(fchmodat(dir_fd, "logs", 0777, 0), 0);
    assert_int_equal(make(true, false), AMY_LAYOUT_DIFFERS);
    assert_non_null(strstr(message, "mode 0777; right would be "));
    assert_non_null(strstr(message, "mode 0750, or less"));
    assert_int_equal(mode_of("logs"), 0777);
    assert_int_equal(make(false, false), AMY_LAYOUT_KEPT);
}

static void
test_link_is_as_good_unless_it_matters(void **state)
{
    (void)state;
    assert_int_equal(mkdirat(dir_fd, "elsewhere", 0700), 0);
    assert_int_equal(symlinkat("elsewhere", dir_fd, "logs"), 0);
    assert_int_equal(make(false, false), AMY_LAYOUT_KEPT);
    assert_int_equal(make(true, false), AMY_EINVAL);
    assert_int_equal(unlinkat(dir_fd, "elsewhere", AT_REMOVEDIR), 0);
    assert_int_equal(make(false, false), AMY_LAYOUT_DIFFERS);
    assert_string_equal(message, "is a link that leads nowhere");
}

static void
test_file_in_the_way_is_refused(void **state)
{
    int fd = openat(dir_fd, "logs", O_CREAT | O_WRONLY | O_CLOEXEC, 0644);
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(close(fd), 0);
    assert_int_equal(make(false, false), AMY_EINVAL);
    assert_int_equal(unlinkat(dir_fd, "logs", 0), 0);
    assert_int_equal(mkdirat(dir_fd, "logs", 0700), 0);
    assert_int_equal(
        amy__layout_file(dir_fd, "logs", AMY_SPAN("text"), false, &err),
        AMY_EINVAL);
    assert_string_equal(err.msg, "'logs' is in the way: no regular file");
}

static void
test_file_is_made_once(void **state)
{
    char text[8] = "";
    int fd = -1;

    (void)state;
    assert_int_equal(
        amy__layout_file(dir_fd, "logs", AMY_SPAN("one"), true, NULL),
        AMY_LAYOUT_ADDED);
    assert_int_equal(faccessat(dir_fd, "logs", F_OK, 0), -1);
    assert_int_equal(
        amy__layout_file(dir_fd, "logs", AMY_SPAN("one"), false, NULL),
        AMY_LAYOUT_ADDED);
    assert_int_equal(
        amy__layout_file(dir_fd, "logs", AMY_SPAN("two"), false, NULL),
        AMY_LAYOUT_KEPT);
    assert_int_equal(mode_of("logs"), 0644);
    fd = openat(dir_fd, "logs", O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), 3);
    assert_string_equal(text, "one");
    (void)close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_directory_is_made_with_its_mode),
        TEST(test_directory_of_a_dry_run_is_not_made),
        TEST(test_directory_half_made_is_taken_up),
        TEST(test_directory_that_differs_is_left_and_told),
        TEST(test_link_is_as_good_unless_it_matters),
        TEST(test_file_in_the_way_is_refused),
        TEST(test_file_is_made_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

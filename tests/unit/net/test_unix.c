#include "amy_test.h"

#include <amy/error.h>

#include "core/files.h"
#include "net/unix.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A directory whose path alone is longer than a socket address. */
#define LONG_NAME_BYTES 200

static char path[32];
static char long_name[LONG_NAME_BYTES + 1];
static int above_fd;
static int dir_fd;

static int
set_up(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/amy-unix-XXXXXX");
    assert_non_null(mkdtemp(path));
    memset(long_name, 'd', LONG_NAME_BYTES);
    above_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(above_fd, long_name, 0755), 0);
    dir_fd = openat(above_fd, long_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0 ? -1 : 0;
}

static int
tear_down(void **state)
{
    (void)state;
    (void)unlinkat(dir_fd, "s", 0);
    amy__close(&dir_fd);
    (void)unlinkat(above_fd, long_name, AT_REMOVEDIR);
    amy__close(&above_fd);
    return rmdir(path);
}

static void
test_connect_reaches_a_socket_beneath_a_long_path(void **state)
{
    int listen_fd = amy__unix_listen_at(dir_fd, "s", 4, NULL);
    int fd = amy__unix_connect_at(dir_fd, "s", NULL);

    (void)state;
    assert_true(listen_fd >= 0);
    assert_true(fd >= 0);
    amy__close(&fd);
    amy__close(&listen_fd);
}

static void
test_listen_on_a_taken_name_says_so(void **state)
{
    int listen_fd = amy__unix_listen_at(dir_fd, "s", 4, NULL);

    (void)state;
    assert_int_equal(amy__unix_listen_at(dir_fd, "s", 4, NULL), AMY_EEXIST);
    amy__close(&listen_fd);
}

static void
test_connect_tells_gone_from_dead_from_full(void **state)
{
    int listen_fd = -1;
    int fds[8];
    int rc = 0;
    size_t n = 0;

    (void)state;
    assert_int_equal(amy__unix_connect_at(dir_fd, "s", NULL), AMY_ENOTFOUND);
    listen_fd = amy__unix_listen_at(dir_fd, "s", 1, NULL);
    for (n = 0; n < sizeof(fds) / sizeof(fds[0]); n++) {
        rc = amy__unix_connect_at(dir_fd, "s", NULL);
        if (rc < 0) {
            break;
        }
        fds[n] = rc;
    }
    assert_int_equal(rc, AMY_EAGAIN);
    while (n > 0) {
        amy__close(&fds[--n]);
    }
    amy__close(&listen_fd);
    assert_int_equal(amy__unix_connect_at(dir_fd, "s", NULL), AMY_ECONN);
}

static void
test_replace_takes_the_place_of_the_dead_with_its_mode(void **state)
{
    struct stat st;
    int fd = amy__unix_listen_at(dir_fd, "s", 4, NULL);

    (void)state;
    amy__close(&fd);
    fd = amy__unix_replace_at(dir_fd, "s", 0620, 4, NULL);
    assert_true(fd >= 0);
    assert_int_equal(fstatat(dir_fd, "s", &st, 0), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0620);
    amy__close(&fd);
}

static void
test_replace_of_a_living_socket_is_busy(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;
    int listen_fd = amy__unix_replace_at(dir_fd, "s", 0600, 4, NULL);
    int fd = -1;

    (void)state;
    assert_int_equal(amy__unix_replace_at(dir_fd, "s", 0600, 4, &err),
                     AMY_EBUSY);
    assert_int_equal(err.code, AMY_EBUSY);
    fd = amy__unix_connect_at(dir_fd, "s", NULL);
    assert_true(fd >= 0);
    amy__close(&fd);
    amy__close(&listen_fd);
}

static void
test_names_that_are_no_names_are_refused(void **state)
{
    char too_long[128];

    (void)state;
    memset(too_long, 'x', sizeof(too_long));
    too_long[sizeof(too_long) - 1] = '\0';
    assert_int_equal(amy__unix_listen_at(dir_fd, "", 4, NULL), AMY_EINVAL);
    assert_int_equal(amy__unix_listen_at(dir_fd, "a/b", 4, NULL), AMY_EINVAL);
    assert_int_equal(amy__unix_connect_at(dir_fd, too_long, NULL), AMY_EINVAL);
    assert_int_equal(amy__unix_replace_at(dir_fd, "../s", 0600, 4, NULL),
                     AMY_EINVAL);
    too_long[89] = '\0'; /* fits, but not with what the name aside adds */
    assert_int_equal(amy__unix_replace_at(dir_fd, too_long, 0600, 4, NULL),
                     AMY_EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_connect_reaches_a_socket_beneath_a_long_path, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_listen_on_a_taken_name_says_so,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_connect_tells_gone_from_dead_from_full, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_replace_takes_the_place_of_the_dead_with_its_mode, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_replace_of_a_living_socket_is_busy,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_names_that_are_no_names_are_refused, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("net/unix", tests, NULL, NULL);
}

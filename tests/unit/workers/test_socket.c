#include "amy_test.h"

#include "core/files.h"
#include "net/unix.h"
#include "workers/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static char path[32];
static struct amy_workers workers;
static struct amy__workers_site site;
static struct amy__workers_pool pool;

static int
set_up(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/amy-socket-XXXXXX");
    assert_non_null(mkdtemp(path));
    workers = (struct amy_workers){.as_person = true};
    workers.run_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    site = (struct amy__workers_site){.borrow_workers = &workers};
    pool = (struct amy__workers_pool){.borrow_site = &site, .generation = 7};
    pool.dir_fd = amy__workers_socket_dir(&workers, "example.org", "web", NULL);
    return workers.run_fd < 0 || pool.dir_fd < 0 ? -1 : 0;
}

static int
tear_down(void **state)
{
    (void)state;
    amy__close(&pool.dir_fd);
    (void)unlinkat(workers.run_fd, "example.org/web", AT_REMOVEDIR);
    (void)unlinkat(workers.run_fd, "example.org", AT_REMOVEDIR);
    amy__close(&workers.run_fd);
    return rmdir(path); /* fails when a test left a socket behind */
}

static bool
exists(const char *name)
{
    return faccessat(pool.dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
test_directories_are_closed_to_strangers(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(fstatat(workers.run_fd, "example.org", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
    assert_int_equal(fstatat(workers.run_fd, "example.org/web", &st, 0), 0);
    assert_int_equal(st.st_mode & 07777, 0750);
}

static void
test_socket_is_hidden_until_published_and_goes_when_withdrawn(void **state)
{
    struct amy__workers_socket socket;
    struct stat st;

    (void)state;
    amy__workers_socket_init(&socket, &pool, 2);
    assert_int_equal(amy__workers_socket_open(&socket, 31, NULL), 0);
    assert_true(exists(".7.2.31"));
    assert_int_equal(fstatat(pool.dir_fd, ".7.2.31", &st, 0), 0);
    assert_int_equal(st.st_mode & 0777, 0660);
    assert_true(socket.listen_fd >= 0);
    /* The next life of the position has a socket of its own. */
    assert_int_equal(amy__workers_socket_open(&socket, 32, NULL), 0);
    assert_false(exists(".7.2.31"));
    assert_true(exists(".7.2.32"));
    amy__workers_socket_withdraw(&socket);
    assert_false(exists(".7.2.32"));
    assert_int_equal(socket.listen_fd, -1);
}

static void
leave_socket(const char *name, bool listening, int *ret_fd)
{
    int fd = amy__unix_listen_at(pool.dir_fd, name, 8, NULL);

    assert_true(fd >= 0);
    if (!listening) {
        amy__close(&fd);
    }
    if (ret_fd != NULL) {
        *ret_fd = fd;
    }
}

static void
test_sweep_takes_only_dead_names_of_older_generations(void **state)
{
    int live = -1;

    (void)state;
    leave_socket("6.0", false, NULL);
    leave_socket(".5.1.9", false, NULL);
    leave_socket("6.1", true, &live);
    leave_socket("7.0", false, NULL);
    leave_socket("stranger", false, NULL);
    amy__workers_socket_sweep(pool.dir_fd, 7);
    assert_false(exists("6.0"));
    assert_false(exists(".5.1.9"));
    assert_true(exists("6.1")); /* somebody still drains there */
    assert_true(exists("7.0"));
    assert_true(exists("stranger"));
    amy__close(&live);
    amy__workers_socket_sweep(pool.dir_fd, 8);
    assert_false(exists("6.1"));
    assert_false(exists("7.0"));
    assert_int_equal(unlinkat(pool.dir_fd, "stranger", 0), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_directories_are_closed_to_strangers, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_socket_is_hidden_until_published_and_goes_when_withdrawn,
            set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_sweep_takes_only_dead_names_of_older_generations, set_up,
            tear_down),
    };

    return cmocka_run_group_tests_name("workers/socket", tests, NULL, NULL);
}

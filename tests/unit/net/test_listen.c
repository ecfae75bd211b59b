#include "amy_test.h"

#include "net/listen.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* A directory whose path is too long for a socket address. */
struct place {
    char root[64];
    char path[256];
    int fd;
};

static int
set_up(void **state)
{
    struct place *place = calloc(1, sizeof(*place));

    (void)snprintf(place->root, sizeof(place->root), "/tmp/amy-listen-XXXXXX");
    assert_non_null(mkdtemp(place->root));
    (void)snprintf(place->path, sizeof(place->path), "%s/%0150d", place->root,
                   0);
    assert_int_equal(mkdir(place->path, 0755), 0);
    place->fd = open(place->path, O_DIRECTORY | O_CLOEXEC);
    assert_true(place->fd >= 0);
    *state = place;
    return 0;
}

static int
tear_down(void **state)
{
    struct place *place = *state;

    (void)unlinkat(place->fd, "s", 0);
    (void)close(place->fd);
    (void)rmdir(place->path);
    assert_int_equal(rmdir(place->root), 0);
    free(place);
    return 0;
}

static void
test_listen_unix_in_long_directory_has_its_mode(void **state)
{
    struct place *place = *state;
    struct stat st;
    int fd = amy__listen_unix(place->fd, "s", 0620, 0, NULL);

    assert_true(fd >= 0);
    assert_int_equal(fstatat(place->fd, "s", &st, 0), 0);
    assert_true(S_ISSOCK(st.st_mode));
    assert_int_equal(st.st_mode & 0777, 0620);
    (void)close(fd);
}

static void
test_listen_unix_on_live_socket_is_busy(void **state)
{
    struct place *place = *state;
    struct amy_error err = AMY_ERROR_INIT;
    int fd = amy__listen_unix(place->fd, "s", 0600, 1, NULL);

    assert_true(fd >= 0);
    assert_int_equal(amy__listen_unix(place->fd, "s", 0600, 1, &err),
                     AMY_EBUSY);
    assert_int_equal(err.code, AMY_EBUSY);
    (void)close(fd);
}

static void
test_listen_unix_replaces_what_the_dead_left(void **state)
{
    struct place *place = *state;
    int fd = amy__listen_unix(place->fd, "s", 0600, 1, NULL);

    assert_true(fd >= 0);
    (void)close(fd);
    fd = amy__listen_unix(place->fd, "s", 0600, 1, NULL);
    assert_true(fd >= 0);
    (void)close(fd);
}

static void
test_listen_unix_with_bad_name_is_invalid(void **state)
{
    struct place *place = *state;
    char name[128];

    memset(name, 'n', sizeof(name));
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(amy__listen_unix(place->fd, name, 0600, 1, NULL),
                     AMY_EINVAL);
    assert_int_equal(amy__listen_unix(place->fd, "", 0600, 1, NULL),
                     AMY_EINVAL);
    assert_int_equal(amy__listen_unix(place->fd, "../s", 0600, 1, NULL),
                     AMY_EINVAL);
}

static struct amy__address
loopback(int fd)
{
    struct amy__address a = {.len = sizeof(a.sa)};

    if (fd < 0) {
        assert_int_equal(
            amy__address_parse(AMY_SPAN("127.0.0.1:0"), 0, &a, NULL), 0);
    } else {
        assert_int_equal(getsockname(fd, (struct sockaddr *)&a.sa, &a.len), 0);
    }
    return a;
}

static void
test_listen_tcp_twice_needs_reuse_port(void **state)
{
    struct amy__address any = loopback(-1);
    struct amy__address taken;
    struct amy_error err = AMY_ERROR_INIT;
    int first = amy__listen_tcp(&any, true, 0, NULL);
    int second = -1;

    (void)state;
    assert_true(first >= 0);
    taken = loopback(first);
    second = amy__listen_tcp(&taken, true, 0, NULL);
    assert_true(second >= 0);
    assert_int_equal(amy__listen_tcp(&taken, false, 0, &err), AMY_EBUSY);
    assert_int_equal(err.code, AMY_EBUSY);
    assert_non_null(strstr(err.msg, "127.0.0.1"));
    (void)close(first);
    (void)close(second);
}

static void
test_listen_tcp_on_foreign_address_is_invalid(void **state)
{
    struct amy__address a;

    (void)state;
    assert_int_equal(amy__address_parse(AMY_SPAN("192.0.2.7:0"), 0, &a, NULL),
                     0);
    assert_int_equal(amy__listen_tcp(&a, false, 0, NULL), AMY_EINVAL);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_listen_unix_in_long_directory_has_its_mode, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_listen_unix_on_live_socket_is_busy,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_listen_unix_replaces_what_the_dead_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_listen_unix_with_bad_name_is_invalid, set_up, tear_down),
        cmocka_unit_test(test_listen_tcp_twice_needs_reuse_port),
        cmocka_unit_test(test_listen_tcp_on_foreign_address_is_invalid),
    };

    return cmocka_run_group_tests_name("net/listen", tests, NULL, NULL);
}

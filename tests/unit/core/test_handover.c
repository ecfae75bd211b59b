/* States of daemons between two programs: written, read, and refused. */
#include "amy_test.h"

#include "core/files.h"
#include "core/handover.h"
#include "fail_alloc.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HEADER 40 /* bytes; the version is at 8 */

static bool
is_open(int fd)
{
    return fcntl(fd, F_GETFD) >= 0;
}

/* A state of daemon "front" with one descriptor and some bytes. */
static int
make_state(struct amy__handover **ret, int fd, struct amy_error *err)
{
    struct amy__handover *handover = NULL;
    struct amy__json *root = NULL;
    int state_fd = -1;
    int rc = amy__handover_create("front", &handover, err);

    if (rc < 0) {
        return rc;
    }
    root = amy__handover_root(handover);
    (void)amy__json_set(root, "socket_fd", amy__handover_fd(handover, fd));
    (void)amy__json_set(root, "none_fd", amy__handover_fd(handover, -1));
    (void)amy__json_set(root, "secret_fd",
                        amy__handover_bytes(handover, "a\0b", 3));
    (void)amy__json_set(root, "count", amy__json_int(7));
    amy__handover_child(handover, 1234);
    rc = amy__handover_seal(handover, &state_fd, err);
    if (rc < 0) {
        amy__handover_free(handover);
        return rc;
    }
    *ret = handover;
    return state_fd;
}

/* As over execve(2): what is kept stays open, the writer is forgotten. */
static struct amy__handover *
pass_on(struct amy__handover *left, int state_fd)
{
    struct amy__handover *come = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    int copy = 0;

    amy__handover_keep(left, true);
    assert_int_equal(fcntl(state_fd, F_GETFD), 0);
    copy = dup(state_fd);
    assert_int_equal(amy__handover_open(copy, "front", &come, &err), 0);
    assert_false(is_open(copy));
    return come;
}

static void
test_what_is_left_is_taken(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__handover *left = NULL;
    struct amy__handover *come = NULL;
    const struct amy__json *root = NULL;
    struct amy__buf bytes = {0};
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int state_fd = make_state(&left, fd, &err);

    (void)state;
    assert_true(state_fd >= 0);
    come = pass_on(left, state_fd);
    root = amy__handover_root(come);
    assert_int_equal(amy__json_get_int(root, "count", 0), 7);
    assert_int_equal(
        amy__json_as_int(amy__json_at(amy__json_get(root, "children"), 0), 0),
        1234);
    assert_int_equal(amy__handover_take(come, root, "socket_fd"), fd);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(amy__handover_take(come, root, "socket_fd"), -1);
    assert_int_equal(amy__handover_take(come, root, "none_fd"), -1);
    amy__buf_init(&bytes, 16);
    assert_int_equal(
        amy__handover_take_bytes(come, root, "secret_fd", 16, &bytes, &err), 0);
    assert_int_equal(bytes.len, 3);
    assert_memory_equal(bytes.data, "a\0b", 3);
    assert_int_equal(
        amy__handover_take_bytes(come, root, "secret_fd", 16, &bytes, &err),
        AMY_ENOTFOUND);
    amy__buf_clear(&bytes);
    amy__handover_free(come);
    assert_true(is_open(fd)); /* taken: ours */
    close(fd);
    amy__handover_free(left);
}

static void
test_what_nobody_takes_is_closed(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__handover *left = NULL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int state_fd = make_state(&left, fd, &err);

    (void)state;
    assert_true(state_fd >= 0);
    amy__handover_free(pass_on(left, state_fd));
    assert_false(is_open(fd));
    amy__handover_free(left);
}

static void
test_kept_descriptors_are_not_kept_after_a_refusal(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__handover *left = NULL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int state_fd = make_state(&left, fd, &err);

    (void)state;
    assert_true(state_fd >= 0);
    amy__handover_keep(left, true);
    assert_int_equal(fcntl(fd, F_GETFD), 0);
    amy__handover_keep(left, false);
    assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(state_fd, F_GETFD), FD_CLOEXEC);
    amy__handover_free(left);
    assert_true(is_open(fd)); /* the writer's own */
    close(fd);
}

/* ---- bytes ---- */

static char bytes[4096];
static size_t length;

static void
read_state(void)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__handover *left = NULL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int state_fd = make_state(&left, fd, &err);
    ssize_t n = 0;

    assert_true(state_fd >= 0);
    n = pread(state_fd, bytes, sizeof(bytes), 0);
    assert_true(n > HEADER);
    length = (size_t)n;
    close(fd);
    amy__handover_free(left);
}

static int
parse(const char *data, size_t n, const char *daemon)
{
    struct amy__json *root = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    int rc =
        amy__handover_parse((struct amy__span){data, n}, daemon, &root, &err);

    assert_true(rc == 0 || (root == NULL && err.msg[0] != '\0'));
    amy__json_free(root);
    return rc;
}

static void
test_every_cut_is_refused(void **state)
{
    (void)state;
    read_state();
    assert_int_equal(parse(bytes, length, "front"), 0);
    for (size_t n = 0; n < length; n++) {
        assert_int_equal(parse(bytes, n, "front"), AMY_EPARSE);
    }
}

static void
test_later_version_and_foreign_bytes_are_refused(void **state)
{
    (void)state;
    read_state();
    assert_int_equal(parse(bytes, length, "workers"), AMY_EINVAL);
    bytes[8] = AMY__HANDOVER_VERSION + 1;
    assert_int_equal(parse(bytes, length, "front"), AMY_EUNSUPPORTED);
    bytes[8] = 0;
    assert_int_equal(parse(bytes, length, "front"), AMY_EUNSUPPORTED);
    bytes[8] = AMY__HANDOVER_VERSION;
    assert_int_equal(parse(bytes, length, "front"), 0);
    bytes[HEADER] = '['; /* no JSON any more */
    assert_int_equal(parse(bytes, length, "front"), AMY_EPARSE);
    bytes[0] = 'A';
    assert_int_equal(parse(bytes, length, "front"), AMY_EPARSE);
}

/* A later release may have a longer header: its size says where the JSON is. */
static void
test_longer_header_of_a_later_release_is_read(void **state)
{
    uint32_t header = HEADER + 8;

    (void)state;
    read_state();
    memmove(bytes + header, bytes + HEADER, length - HEADER);
    memcpy(bytes + 12, &header, sizeof(header));
    assert_int_equal(parse(bytes, length + 8, "front"), 0);
}

static void
test_descriptor_that_is_not_there_is_refused(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__handover *left = NULL;
    struct amy__handover *come = NULL;
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int state_fd = make_state(&left, fd, &err);

    (void)state;
    assert_true(state_fd >= 0);
    /* Not kept: close-on-exec as before, so it cannot have come from anybody.
     */
    assert_int_equal(amy__handover_open(dup(state_fd), "front", &come, &err),
                     AMY_EPARSE);
    close(fd);
    amy__handover_free(left);
}

static void
test_without_memory_there_is_an_error(void **state)
{
    int fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    bool more = true;

    (void)state;
    for (int n = 1; more; n++) {
        struct amy__handover *left = NULL;
        struct amy_error err = AMY_ERROR_INIT;
        int rc = 0;

        fail_alloc_nth(n);
        rc = make_state(&left, fd, &err);
        more = fail_alloc_hit();
        fail_alloc_nth(0);
        assert_true(rc >= 0 ? !more : rc == AMY_ENOMEM);
        amy__handover_free(left);
        assert_int_equal(fail_alloc_live(), 0);
    }
    close(fd);
}

static void
test_member_that_is_lost_is_an_error_of_the_seal(void **state)
{
    struct amy__handover *handover = NULL;
    struct amy__json *one = amy__json_object();
    int fd = -1;

    (void)state;
    assert_int_equal(amy__handover_create("front", &handover, NULL), 0);
    (void)amy__json_set(one, "name", NULL); /* there was no memory for it */
    (void)amy__json_set(amy__handover_root(handover), "one", one);
    assert_int_equal(amy__handover_seal(handover, &fd, NULL), AMY_ENOMEM);
    amy__handover_free(handover);
    assert_int_equal(amy__handover_create("front", &handover, NULL), 0);
    assert_int_equal(amy__handover_seal(handover, &fd, NULL), 0);
    amy__handover_free(handover);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_left_is_taken),
        cmocka_unit_test(test_what_nobody_takes_is_closed),
        cmocka_unit_test(test_kept_descriptors_are_not_kept_after_a_refusal),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_later_version_and_foreign_bytes_are_refused),
        cmocka_unit_test(test_longer_header_of_a_later_release_is_read),
        cmocka_unit_test(test_descriptor_that_is_not_there_is_refused),
        cmocka_unit_test(test_without_memory_there_is_an_error),
        cmocka_unit_test(test_member_that_is_lost_is_an_error_of_the_seal),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

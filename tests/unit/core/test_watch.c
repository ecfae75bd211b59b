#include "amy_test.h"

#include "core/watch.h"
#include "fail_alloc.h"
#include "fake_loop.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct seen {
    char path[64];
    int dir;
    struct amy__watch *watch;
    char trace[512]; /* "tag:name " per call, "*" for everything */
    uint64_t remove_tag;
    bool free_it;
};

static void
on_change(uint64_t tag, const char *name, void *user)
{
    struct seen *seen = user;
    size_t used = strlen(seen->trace);

    (void)snprintf(seen->trace + used, sizeof(seen->trace) - used, "%d:%s ",
                   (int)tag, name == NULL ? "*" : name);
    if (seen->remove_tag != 0) {
        amy__watch_remove(seen->watch, seen->remove_tag);
        seen->remove_tag = 0;
    }
    if (seen->free_it) {
        amy__watch_free(seen->watch);
        seen->watch = NULL;
    }
}

static int
set_up(void **state)
{
    static struct seen seen;

    seen = (struct seen){.path = "/tmp/amy-test-XXXXXX"};
    if (mkdtemp(seen.path) == NULL) {
        return -1;
    }
    seen.dir = open(seen.path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *state = &seen;
    return amy__watch_create(NULL, on_change, &seen, &seen.watch, NULL);
}

static int
tear_down(void **state)
{
    struct seen *seen = *state;

    amy__watch_free(seen->watch);
    close(seen->dir);
    (void)rmdir(seen->path);
    return fake_loop_left() != 0 || fail_alloc_live() != 0;
}

static void
make_file(const struct seen *seen, const char *name)
{
    int fd = openat(seen->dir, name, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, "x", 1), 1);
    close(fd);
}

static void
test_changes_are_told_by_name(void **state)
{
    struct seen *seen = *state;

    assert_int_equal(amy__watch_add(seen->watch, seen->dir, 1, NULL), 0);
    make_file(seen, "a");
    (void)fake_loop_poll();
    assert_string_equal(seen->trace, "1:a 1:a "); /* created, written */
    seen->trace[0] = '\0';
    assert_int_equal(renameat(seen->dir, "a", seen->dir, "b"), 0);
    assert_int_equal(fchmodat(seen->dir, "b", 0644, 0), 0);
    assert_int_equal(unlinkat(seen->dir, "b", 0), 0);
    (void)fake_loop_poll();
    assert_string_equal(seen->trace, "1:a 1:b 1:b 1:b ");
}

static void
test_two_tags_may_watch_one_directory(void **state)
{
    struct seen *seen = *state;

    assert_int_equal(amy__watch_add(seen->watch, seen->dir, 1, NULL), 0);
    assert_int_equal(amy__watch_add(seen->watch, seen->dir, 2, NULL), 0);
    make_file(seen, "a");
    (void)fake_loop_poll();
    assert_string_equal(seen->trace, "1:a 2:a 1:a 2:a ");
    amy__watch_remove(seen->watch, 1);
    seen->trace[0] = '\0';
    assert_int_equal(unlinkat(seen->dir, "a", 0), 0);
    (void)fake_loop_poll();
    assert_string_equal(seen->trace, "2:a ");
    amy__watch_remove(seen->watch, 2);
    amy__watch_remove(seen->watch, 77);
    (void)fake_loop_poll();
    assert_string_equal(seen->trace, "2:a ");
}

static void
test_watch_may_be_changed_while_it_tells(void **state)
{
    struct seen *seen = *state;

    for (uint64_t tag = 1; tag <= 3; tag++) {
        assert_int_equal(amy__watch_add(seen->watch, seen->dir, tag, NULL), 0);
    }
    seen->remove_tag = 1; /* the one that is being told */
    assert_int_equal(mkdirat(seen->dir, "d", 0700), 0);
    (void)fake_loop_poll();
    assert_string_equal(seen->trace, "1:d 2:d 3:d ");
    seen->trace[0] = '\0';
    seen->remove_tag = 3; /* one that would be next */
    assert_int_equal(unlinkat(seen->dir, "d", AT_REMOVEDIR), 0);
    (void)fake_loop_poll();
    assert_string_equal(seen->trace, "2:d ");
}

static void
test_watch_may_be_freed_while_it_tells(void **state)
{
    struct seen *seen = *state;

    assert_int_equal(amy__watch_add(seen->watch, seen->dir, 1, NULL), 0);
    assert_int_equal(amy__watch_add(seen->watch, seen->dir, 2, NULL), 0);
    seen->free_it = true;
    make_file(seen, "a");
    (void)fake_loop_poll();
    assert_string_equal(seen->trace, "1:a ");
    assert_null(seen->watch);
    assert_int_equal(unlinkat(seen->dir, "a", 0), 0);
}

static void
test_end_of_the_directory_is_told(void **state)
{
    struct seen *seen = *state;
    char moved[80] = "";

    assert_int_equal(amy__watch_add(seen->watch, seen->dir, 1, NULL), 0);
    (void)snprintf(moved, sizeof(moved), "%s.moved", seen->path);
    assert_int_equal(rename(seen->path, moved), 0);
    (void)fake_loop_poll();
    assert_string_equal(seen->trace, "1:* ");
    seen->trace[0] = '\0';
    assert_int_equal(rmdir(moved), 0);
    close(seen->dir);
    (void)fake_loop_poll();
    assert_non_null(strstr(seen->trace, "1:* "));
    seen->dir = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

static void
test_add_refuses_what_is_no_directory(void **state)
{
    struct seen *seen = *state;
    int fd = open("/proc/self/status", O_RDONLY | O_CLOEXEC);

    assert_int_equal(amy__watch_add(seen->watch, fd, 1, NULL), AMY_ENOTFOUND);
    assert_int_equal(amy__watch_add(seen->watch, 999, 1, NULL), AMY_ENOTFOUND);
    fail_alloc_nth(1);
    assert_int_equal(amy__watch_add(seen->watch, seen->dir, 1, NULL), 0);
    for (uint64_t tag = 2; tag <= 8; tag++) {
        assert_int_equal(amy__watch_add(seen->watch, seen->dir, tag, NULL), 0);
    }
    assert_int_equal(amy__watch_add(seen->watch, seen->dir, 9, NULL),
                     AMY_ENOMEM);
    close(fd);
}

static void
test_create_without_memory_leaves_nothing(void **state)
{
    (void)state;
    for (int n = 1;; n++) {
        struct amy__watch *watch = NULL;
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy__watch_create(NULL, on_change, NULL, &watch, NULL);
        if (!fail_alloc_hit()) {
            assert_int_equal(rc, 0);
            amy__watch_free(watch);
            break;
        }
        assert_int_equal(rc, AMY_ENOMEM);
        assert_null(watch);
    }
    fail_alloc_nth(0);
    amy__watch_free(NULL);
    assert_int_equal(fail_alloc_live(), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_changes_are_told_by_name, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_two_tags_may_watch_one_directory,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_watch_may_be_changed_while_it_tells, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_watch_may_be_freed_while_it_tells,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_end_of_the_directory_is_told,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_add_refuses_what_is_no_directory,
                                        set_up, tear_down),
        cmocka_unit_test(test_create_without_memory_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include "enter/program.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char top[32];
static char found[PATH_MAX];
static char search[256];
static struct amy_error err;

static void
make(const char *name, mode_t mode)
{
    char path[64];
    int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/%s", top, name);
    fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    (void)close(fd);
}

static int
set_up(void **state)
{
    char path[64];

    (void)state;
    (void)strcpy(top, "/tmp/amy-enter-XXXXXX");
    assert_non_null(mkdtemp(top));
    for (const char *name = "ab"; *name != '\0'; name++) {
        (void)snprintf(path, sizeof(path), "%s/%c", top, *name);
        assert_int_equal(mkdir(path, 0755), 0);
    }
    make("a/data", 0644);
    make("b/data", 0755);
    make("b/tool", 0755);
    make("a/text", 0644);
    (void)snprintf(search, sizeof(search), "/nonexistent:%s/a:%s/b", top, top);
    err = (struct amy_error)AMY_ERROR_INIT;
    return 0;
}

static int
tear_down(void **state)
{
    static const char *const names[] = {"a/data", "b/data", "b/tool", "a/text"};
    char path[64];

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        (void)snprintf(path, sizeof(path), "%s/%s", top, names[i]);
        (void)unlink(path);
    }
    for (const char *name = "ab"; *name != '\0'; name++) {
        (void)snprintf(path, sizeof(path), "%s/%c", top, *name);
        (void)rmdir(path);
    }
    return rmdir(top);
}

static void
test_first_that_may_be_run(void **state)
{
    char want[64];

    (void)state;
    assert_int_equal(amy__enter_find("tool", search, found, &err), 0);
    (void)snprintf(want, sizeof(want), "%s/b/tool", top);
    assert_string_equal(found, want);
    /* a/data comes first, and is none. */
    assert_int_equal(amy__enter_find("data", search, found, &err), 0);
    (void)snprintf(want, sizeof(want), "%s/b/data", top);
    assert_string_equal(found, want);
    assert_int_equal(amy__enter_find("sh", NULL, found, &err), 0);
}

static void
test_none_is_told_from_one_that_may_not(void **state)
{
    (void)state;
    assert_int_equal(amy__enter_find("nothing", search, found, &err),
                     AMY_ENOTFOUND);
    assert_string_equal(err.msg, "there is no command 'nothing'");
    assert_int_equal(amy__enter_find("text", search, found, &err), AMY_EDENIED);
    assert_string_equal(err.msg, "'text' may not be run by this user");
    assert_int_equal(amy__enter_find("", search, found, &err), AMY_ENOTFOUND);
}

static void
test_name_with_a_slash_is_itself(void **state)
{
    char path[64];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/b/tool", top);
    assert_int_equal(amy__enter_find(path, "/nonexistent", found, &err), 0);
    assert_string_equal(found, path);
    (void)snprintf(path, sizeof(path), "%s/a/tool", top);
    assert_int_equal(amy__enter_find(path, search, found, &err), AMY_ENOTFOUND);
    /* A directory may be entered, not run. */
    assert_int_equal(amy__enter_find(top, search, found, &err), AMY_EDENIED);
}

static void
test_name_too_long_is_none(void **state)
{
    char name[PATH_MAX + 2];

    (void)state;
    memset(name, 'a', sizeof(name) - 1);
    name[sizeof(name) - 1] = '\0';
    assert_int_equal(amy__enter_find(name, search, found, NULL), AMY_ENOTFOUND);
    name[0] = '/';
    assert_int_equal(amy__enter_find(name, search, found, NULL), AMY_ENOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_first_that_may_be_run),
        TEST(test_none_is_told_from_one_that_may_not),
        TEST(test_name_with_a_slash_is_itself),
        TEST(test_name_too_long_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

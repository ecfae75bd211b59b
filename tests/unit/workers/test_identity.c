#include "amy_test.h"

#include "core/files.h"
#include "workers/identity.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct amy__identity_eyes ours = {.as_person = true};
static char top[32];

static int
set_up(void **state)
{
    (void)state;
    (void)snprintf(top, sizeof(top), "/tmp/amy-identity-XXXXXX");
    return mkdtemp(top) == NULL;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int
tear_down(void **state)
{
    (void)state;
    return nftw(top, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static const char *
below(const char *name)
{
    static char path[128];

    (void)snprintf(path, sizeof(path), "%s/%s", top, name);
    return path;
}

static void
put(const char *name, const char *text)
{
    int fd = open(below(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(amy__write_all(fd, text, strlen(text), NULL), 0);
    amy__close(&fd);
}

static void
make(const char *name)
{
    assert_int_equal(mkdir(below(name), 0755), 0);
}

static const char *
look(void)
{
    static char identities[4][AMY__IDENTITY_BYTES];
    static unsigned next;
    char *identity = identities[next++ % 4];

    amy__identity_read(top, &ours, identity);
    return identity;
}

static void
test_a_commit_is_followed_to_where_it_is(void **state)
{
    (void)state;
    make(".git");
    make(".git/refs");
    make(".git/refs/heads");
    put(".git/HEAD", "ref: refs/heads/main\n");
    put(".git/packed-refs", "# pack-refs with: peeled\n"
                            "1111 refs/heads/other\n"
                            "2222 refs/heads/main\n");
    assert_string_equal(look(), "2222");
    put(".git/refs/heads/main", "3333\n");
    assert_string_equal(look(), "3333");
    put(".git/HEAD", "4444\n");
    assert_string_equal(look(), "4444");
    /* Code that changes without a commit is not what a release is. */
    put("views.py", "1\n");
    assert_string_equal(look(), "4444");
}

static void
test_without_git_python_files_tell(void **state)
{
    const char *before = NULL;

    (void)state;
    make("config");
    put("manage.py", "1\n");
    put("config/settings.py", "1\n");
    before = look();
    assert_true(before[0] != '\0');
    assert_string_equal(look(), before);
    /* What running it leaves behind is no change. */
    make("config/__pycache__");
    put("config/__pycache__/settings.pyc", "1\n");
    put("db.sqlite3", "1\n");
    assert_string_equal(look(), before);
    put("config/settings.py", "12\n");
    assert_string_not_equal(look(), before);
    before = look();
    assert_int_equal(unlink(below("manage.py")), 0);
    assert_string_not_equal(look(), before);
}

static void
test_apps_below_apps_tell(void **state)
{
    const char *before = NULL;

    (void)state;
    make("a");
    make("a/b");
    make("a/b/c");
    make("a/b/c/d");
    make("a/b/c/d/e");
    put("a/b/views.py", "1\n");
    put("a/b/c/d/e/deep.py", "1\n");
    before = look();
    put("a/b/views.py", "12\n");
    assert_string_not_equal(look(), before);
    before = look();
    put("a/b/c/d/last.py", "1\n");
    assert_string_not_equal(look(), before);
    before = look();
    put("a/b/c/d/e/deep.py", "12\n");
    assert_string_equal(look(), before);
}

/* Names of one file: to make thousands takes a busy disk seconds. */
static void
put_many(const char *directory, const char *ending, int from, int n)
{
    char first[128];

    put("first", "");
    (void)snprintf(first, sizeof(first), "%s", below("first"));
    for (int i = from; i < from + n; i++) {
        char name[64];

        (void)snprintf(name, sizeof(name), "%s/%d%s", directory, i, ending);
        assert_int_equal(link(first, below(name)), 0);
    }
    assert_int_equal(unlink(first), 0);
}

static void
test_uploads_and_crowds_below_hide_nothing(void **state)
{
    const char *before = NULL;

    (void)state;
    make("a");
    make("a/media");
    put("a/views.py", "1\n");
    put_many("a/media", ".jpg", 0, 3000);
    before = look();
    put_many("a/media", ".jpg", 3000, 10);
    assert_string_equal(look(), before);
    put("a/views.py", "12\n");
    assert_string_not_equal(look(), before);
    /* Too many there: what is above them still tells. */
    put_many("a/media", ".py", 0, 2001);
    before = look();
    assert_true(before[0] != '\0');
    put("a/media/0.py", "12\n");
    assert_string_equal(look(), before);
    put("a/views.py", "123\n");
    assert_string_not_equal(look(), before);
}

static void
test_what_cannot_be_read_is_unknown(void **state)
{
    char identity[AMY__IDENTITY_BYTES] = "x";

    (void)state;
    amy__identity_read(below("none"), &ours, identity);
    assert_string_equal(identity, "");
    /* A link is not followed out of .git: somebody may have made it. */
    make(".git");
    assert_int_equal(symlink("/etc/hostname", below(".git/HEAD")), 0);
    assert_int_equal(strncmp(look(), "files ", 6), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_a_commit_is_followed_to_where_it_is, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_without_git_python_files_tell,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_apps_below_apps_tell, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(
            test_uploads_and_crowds_below_hide_nothing, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_what_cannot_be_read_is_unknown,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests_name("workers/identity", tests, NULL, NULL);
}

#include "amy_test.h"

#include <amy/enter.h>

#include "tree.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static struct tree tree;
static struct amy_enter_options opts;
static struct amy_error err;
static char yaml[128];

static int
set_up(void **state)
{
    (void)state;
    tree_make(&tree);
    (void)snprintf(yaml, sizeof(yaml), "site: example.org\nuser: %s\n",
                   tree.user);
    tree_dir(&tree, "example.org");
    tree_file(&tree, "example.org/site.yaml", yaml);
    tree_dir(&tree, "example.org/repo");
    tree_dir(&tree, "example.org/repo/.venv");
    tree_dir(&tree, "example.org/repo/.venv/bin");
    tree_file(&tree, "example.org/repo/.venv/bin/activate",
              "export FROM_ACTIVATE=yes\n");
    assert_int_equal(
        symlink("/bin/sh",
                tree_path(&tree, "example.org/repo/.venv/bin/python")),
        0);
    opts = (struct amy_enter_options)AMY_ENTER_OPTIONS_INIT;
    opts.site = "example.org";
    opts.webapps = tree.path;
    opts.on_problem = problems_add;
    err = (struct amy_error)AMY_ERROR_INIT;
    problems_clear();
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    tree_remove(&tree);
    return 0;
}

static void
expect_refused(int code, const char *why)
{
    struct amy_enter *enter = NULL;

    assert_int_equal(amy_enter_create(&opts, &enter, &err), code);
    assert_null(enter);
    if (strstr(err.msg, why) == NULL) {
        fail_msg("%s", err.msg);
    }
}

static void
test_site_that_is_not_there_is_refused(void **state)
{
    (void)state;
    opts.site = NULL;
    expect_refused(AMY_EINVAL, "which site");
    opts.site = "other.org";
    expect_refused(AMY_ENOTFOUND, "there is no site 'other.org' in /tmp/");
    opts.site = "../example.org";
    expect_refused(AMY_EINVAL, "is no domain");
    opts.webapps = "/nonexistent";
    expect_refused(AMY_ENOTFOUND, "/nonexistent");
}

static void
test_environment_that_fails_is_told(void **state)
{
    (void)state;
    tree_file(&tree, "example.org/repo/.venv/bin/activate", "exit 3\n");
    expect_refused(AMY_EPARSE, "site 'example.org': repo/.venv/bin/activate");
    assert_int_equal(
        unlink(tree_path(&tree, "example.org/repo/.venv/bin/activate")), 0);
    expect_refused(AMY_ENOTFOUND, "'repo/.venv/bin/activate' is missing");
}

static void
test_bad_site_yaml_is_told_by_line(void **state)
{
    (void)state;
    tree_file(&tree, "example.org/site.yaml", "site: example.org\nusr: x\n");
    expect_refused(AMY_EPARSE, "");
    assert_non_null(strstr(problems_text(), "site.yaml:2:1: usr:"));
}

static void
test_site_yaml_that_others_write_is_refused(void **state)
{
    (void)state;
    assert_int_equal(chmod(tree_path(&tree, "example.org/site.yaml"), 0666), 0);
    expect_refused(AMY_EDENIED, "can be written by anybody");
}

/* In a child of the test, which becomes the program. */
static int
run(const char *const *argv)
{
    pid_t pid = fork();
    int status = 0;

    if (pid == 0) {
        struct amy_enter *enter = NULL;
        int rc = 0;

        (void)umask(077); /* a person's */
        rc = amy_enter_create(&opts, &enter, &err);

        if (rc == 0) {
            rc = amy_enter_exec(enter, argv, &err);
        }
        amy_enter_free(enter);
        _exit(100 - rc);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void
test_program_is_the_sites(void **state)
{
    char script[512];
    const char *const argv[] = {"sh", "-c", script, NULL};

    (void)state;
    (void)snprintf(script, sizeof(script),
                   "[ $FROM_ACTIVATE = yes ] && [ $(id -u) = %u ] && "
                   "[ $(pwd) = %s/example.org/repo ] && [ $(umask) = 0022 ] "
                   "&& [ $AMY_SITE = example.org ] && exit 42",
                   (unsigned)tree.uid, tree.path);
    assert_int_equal(run(argv), 42);
}

static void
test_program_that_is_not_there_is_told(void **state)
{
    static const char *const argv[] = {"no-such-program", NULL};

    (void)state;
    assert_int_equal(run(argv), 100 - AMY_ENOTFOUND);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_site_that_is_not_there_is_refused),
        TEST(test_environment_that_fails_is_told),
        TEST(test_bad_site_yaml_is_told_by_line),
        TEST(test_site_yaml_that_others_write_is_refused),
        TEST(test_program_is_the_sites),
        TEST(test_program_that_is_not_there_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

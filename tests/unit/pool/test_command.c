/* Arguments, environment and program of a worker. */
/* Not for running them. */
#include "amy_test.h"

#include "core/alloc.h"
#include "fail_alloc.h"
#include "pool/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void
test_argv_gets_its_position(void **state)
{
    const char *argv[] = {
        "prog", "--at={position}", "{position}{position}", "{pos}", "", NULL};
    char **copy = amy__command_argv(argv, 12, NULL);

    (void)state;
    assert_string_equal(copy[0], "prog");
    assert_string_equal(copy[1], "--at=12");
    assert_string_equal(copy[2], "1212");
    assert_string_equal(copy[3], "{pos}");
    assert_string_equal(copy[4], "");
    assert_null(copy[5]);
    amy__list_free(copy);
}

static void
test_envp_prefers_what_is_added_and_its_last(void **state)
{
    const char *base[] = {"A=1", "AB=2", "C=3", NULL};
    char a[] = "A=4";
    char d[] = "D=5";
    char d_again[] = "D=6=7";
    char *more[] = {a, d, d_again};
    char **envp = amy__command_envp(base, more, 3, NULL);

    (void)state;
    assert_string_equal(envp[0], "AB=2");
    assert_string_equal(envp[1], "C=3");
    assert_string_equal(envp[2], "A=4");
    assert_string_equal(envp[3], "D=6=7");
    assert_null(envp[4]);
    amy__list_free(envp);
    envp = amy__command_envp(NULL, NULL, 0, NULL);
    assert_memory_equal(envp[0], "PATH=/", 6);
    assert_null(envp[1]);
    amy__list_free(envp);
}

static char **
argv_of(const char *program)
{
    const char *argv[] = {program, NULL};

    return amy__list_copy(argv);
}

static void
test_find_looks_in_path_for_what_has_no_slash(void **state)
{
    char dir[] = "/tmp/amy-test-XXXXXX";
    char sub[64] = "";
    char path[64] = "";
    char variable[160] = "";
    char *envp[] = {variable, NULL};
    char **argv = argv_of("tool");
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_non_null(mkdtemp(dir));
    (void)snprintf(sub, sizeof(sub), "%s/tool", dir);
    (void)snprintf(variable, sizeof(variable), "PATH=:%s:/nonexistent", dir);
    /* A directory of that name is no program, nor is a file without x. */
    assert_int_equal(mkdir(sub, 0755), 0);
    assert_int_equal(amy__command_find(argv, envp, &err), AMY_ENOTFOUND);
    assert_string_equal(err.msg, "'tool' is nowhere in PATH");
    assert_int_equal(rmdir(sub), 0);
    (void)snprintf(path, sizeof(path), "%s", sub);
    fclose(fopen(path, "w"));
    assert_int_equal(chmod(path, 0644), 0);
    assert_int_equal(amy__command_find(argv, envp, &err), AMY_ENOTFOUND);
    assert_int_equal(chmod(path, 0755), 0);
    assert_int_equal(amy__command_find(argv, envp, &err), 0);
    assert_string_equal(argv[0], path);
    /* With a slash it is left alone. */
    assert_int_equal(amy__command_find(argv, envp, &err), 0);
    assert_string_equal(argv[0], path);
    amy__list_free(argv);
    unlink(path);
    rmdir(dir);
}

static void
test_find_without_path_knows_the_usual_places(void **state)
{
    char *envp[] = {NULL};
    char **argv = argv_of("sh");

    (void)state;
    assert_int_equal(amy__command_find(argv, envp, NULL), 0);
    assert_non_null(strstr(argv[0], "/bin/sh"));
    amy__list_free(argv);
}

static void
test_out_of_memory_leaves_nothing(void **state)
{
    const char *list[] = {"A={position}", "B=2", NULL};
    int live = fail_alloc_live();
    char more_text[] = "A=4";
    char *more[] = {more_text};

    (void)state;
    for (int n = 1;; n++) {
        char **argv = NULL;
        char **envp = NULL;

        fail_alloc_nth(n);
        argv = amy__command_argv(list, 1, NULL);
        envp = argv == NULL ? NULL : amy__command_envp(list, more, 1, NULL);
        amy__list_free(argv);
        amy__list_free(envp);
        assert_int_equal(fail_alloc_live(), live);
        if (envp != NULL) {
            break;
        }
    }
    fail_alloc_nth(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_argv_gets_its_position),
        cmocka_unit_test(test_envp_prefers_what_is_added_and_its_last),
        cmocka_unit_test(test_find_looks_in_path_for_what_has_no_slash),
        cmocka_unit_test(test_find_without_path_knows_the_usual_places),
        cmocka_unit_test(test_out_of_memory_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

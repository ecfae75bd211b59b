#include "amy_test.h"

#include "core/error.h"
#include "site/env.h"
#include "tree.h"

#include <event2/event.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define BIN "example.org/repo/.venv/bin/"

/* What venv writes, as far as it matters here. */
static const char activate[] = "VIRTUAL_ENV=\"$(pwd)/.venv\"\n"
                               "export VIRTUAL_ENV\n"
                               "PATH=\"$VIRTUAL_ENV/bin:$PATH\"\n"
                               "export PATH\n"
                               "PS1=\"(.venv) ${PS1:-}\"\n"
                               "export PS1\n"
                               "hash -r 2> /dev/null\n";

static struct tree tree;
static struct event_base *base;
static struct amy__site *site;

static struct {
    unsigned calls;
    int rc;
    struct amy__env *env;
    struct amy_error err;
} seen;

static int
set_up(void **state)
{
    char yaml[128];

    (void)state;
    tree_make(&tree);
    tree_dir(&tree, "example.org");
    tree_dir(&tree, "example.org/repo");
    tree_dir(&tree, "example.org/repo/.venv");
    tree_dir(&tree, "example.org/repo/.venv/bin");
    tree_file(&tree, BIN "activate", activate);
    assert_int_equal(symlink("/bin/sh", tree_path(&tree, BIN "python")), 0);
    (void)snprintf(yaml, sizeof(yaml), "site: example.org\nuser: %s\n",
                   tree.user);
    assert_int_equal(
        amy__site_parse(amy__span_of(yaml), "x", NULL, NULL, NULL, &site, NULL),
        0);
    site->uid = tree.uid;
    site->gid = tree.gid;
    base = event_base_new();
    seen.calls = 0;
    seen.env = NULL;
    return base == NULL;
}

static int
tear_down(void **state)
{
    (void)state;
    amy__env_unref(seen.env);
    amy__site_unref(site);
    event_base_free(base);
    tree_remove(&tree);
    return 0;
}

static void
on_env(int rc, struct amy__env *env, const struct amy_error *err, void *user)
{
    assert_ptr_equal(user, &seen);
    seen.calls++;
    seen.rc = rc;
    seen.env = env == NULL ? NULL : amy__env_ref(env);
    if (err != NULL) {
        seen.err = *err;
    }
}

static int
start(int64_t timeout_ms, struct amy__env_job **ret_job, struct amy_error *err)
{
    struct amy__env_options opts = {.base = base,
                                    .site = site,
                                    .webapps_path = tree.path,
                                    .as_person = tree.as_person,
                                    .timeout_ms = timeout_ms};

    return amy__env_start(&opts, on_env, &seen, ret_job, err);
}

/* Run to the end; ctest ends a test that hangs. */
static void
run(int64_t timeout_ms)
{
    struct amy__env_job *job = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    assert_int_equal(start(timeout_ms, &job, &err), 0);
    assert_int_equal(seen.calls, 0);
    while (seen.calls == 0) {
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    }
    assert_int_equal(seen.calls, 1);
}

static void
run_with(const char *postactivate)
{
    tree_file(&tree, BIN "postactivate", postactivate);
    run(0);
}

static void
expect_failure(const char *postactivate, const char *message)
{
    run_with(postactivate);
    assert_null(seen.env);
    assert_string_equal(seen.err.msg, message);
    assert_int_equal(seen.rc, AMY_EPARSE);
    assert_int_equal(seen.err.code, AMY_EPARSE);
}

static void
expect_var(const char *name, const char *value)
{
    assert_int_equal(seen.rc, 0);
    assert_non_null(seen.env);
    if (value == NULL) {
        assert_null(amy__env_get(seen.env, name));
    } else {
        assert_non_null(amy__env_get(seen.env, name));
        assert_string_equal(amy__env_get(seen.env, name), value);
    }
}

static void
test_activate_alone_gives_path_and_venv(void **state)
{
    char expected[256];

    (void)state;
    run(0);
    (void)snprintf(expected, sizeof(expected), "%s/example.org/repo/.venv",
                   tree.path);
    expect_var("VIRTUAL_ENV", expected);
    assert_string_equal(seen.env->venv_path, expected);
    (void)snprintf(expected, sizeof(expected),
                   "%s/example.org/repo/.venv/bin:/usr/local/bin:/usr/bin:/bin",
                   tree.path);
    expect_var("PATH", expected);
    (void)snprintf(expected, sizeof(expected), "%s/example.org/repo",
                   tree.path);
    assert_string_equal(seen.env->repo_path, expected);
    expect_var("USER", tree.user);
    expect_var("LOGNAME", tree.user);
    expect_var("LANG", "C.UTF-8");
}

static void
test_noise_of_the_shell_is_left_out(void **state)
{
    (void)state;
    assert_int_equal(setenv("AMY_OF_THE_TEST", "1", 1), 0);
    run_with("f() { :; }; export -f f; set -a; later=1\n");
    expect_var("_", NULL);
    expect_var("SHLVL", NULL);
    expect_var("PWD", NULL);
    expect_var("OLDPWD", NULL);
    expect_var("PS1", NULL);
    expect_var("amy_file", NULL);
    expect_var("amy_status", NULL);
    expect_var("AMY_OF_THE_TEST", NULL);
    expect_var("later", "1");
    for (size_t i = 0; seen.env->vars[i] != NULL; i++) {
        assert_int_not_equal(strncmp(seen.env->vars[i], "BASH_FUNC", 9), 0);
    }
}

static void
test_values_of_every_shape_come_through(void **state)
{
    (void)state;
    run_with("export A=b C=d\n"
             "export LINES_='one\n two \"three\"\n'\n"
             "export EMPTY=\n"
             "export EQ='a=b=c'\n"
             "unexported=1\n"
             "export LAST=no-newline");
    expect_var("A", "b");
    expect_var("C", "d");
    expect_var("LINES_", "one\n two \"three\"\n");
    expect_var("EMPTY", "");
    expect_var("EQ", "a=b=c");
    expect_var("unexported", NULL);
    expect_var("LAST", "no-newline");
}

static void
test_chatter_is_not_taken_for_variables(void **state)
{
    (void)state;
    run_with("echo FAKE=1; printf 'FAKE2=1\\0' >&3\nexport A=1\n"
             "head -c 300000 /dev/zero | tr '\\0' x >&2\n");
    expect_var("A", "1");
    expect_var("FAKE", NULL);
    expect_var("FAKE2", NULL);
}

static void
test_runs_as_the_sites_user_in_repo(void **state)
{
    char expected[64];

    (void)state;
    run_with("export IDS=\"$(id -u):$(id -g)\" WHERE=\"$(basename $(pwd))\"\n"
             "export CAPS=\"$(grep CapEff /proc/self/status | tr -d '\\t')\"\n"
             "export SID=\"$(( $(ps -o sid= $$ 2>/dev/null || echo $$) == $$ "
             "))\"\n");
    (void)snprintf(expected, sizeof(expected), "%u:%u", tree.uid, tree.gid);
    expect_var("IDS", expected);
    expect_var("WHERE", "repo");
    expect_var("CAPS", "CapEff:0000000000000000");
    expect_var("SID", "1");
}

static void
test_failing_files_last_line_is_told_apart(void **state)
{
    (void)state;
    expect_failure("echo one >&2\necho the reason >&2\nfalse\n",
                   "repo/.venv/bin/postactivate failed with status 1" AMY__SAID
                   "the reason");
}

/* The shell quotes what it does not understand. */
static void
test_value_that_a_shell_quotes_is_not_in_our_words(void **state)
{
    struct amy__span own = {NULL, 0};

    (void)state;
    run_with("export SECRET_KEY=abc hunter2-is-my-password\n");
    assert_int_equal(seen.rc, AMY_EPARSE);
    own = amy__own_words(seen.err.msg);
    assert_true(amy__span_eq(
        own, AMY_SPAN("repo/.venv/bin/postactivate failed with status 1")));
    assert_non_null(strstr(amy__said_words(seen.err.msg), "hunter2"));
}

static void
test_exit_with_a_status_is_a_failure(void **state)
{
    (void)state;
    expect_failure("exit 3\n",
                   "repo/.venv/bin/postactivate failed with status 3");
}

static void
test_exit_without_failure_is_one_too(void **state)
{
    (void)state;
    expect_failure("exit 0\n", "repo/.venv/bin/postactivate ended the shell: "
                               "'exit' in it?");
}

static void
test_own_set_e_works(void **state)
{
    (void)state;
    expect_failure("set -e\nfalse\nexport A=1\n",
                   "repo/.venv/bin/postactivate failed with status 1");
}

static void
test_killed_shell_is_a_failure(void **state)
{
    (void)state;
    expect_failure("kill -9 $$\n",
                   "repo/.venv/bin/postactivate was ended by signal 9");
}

static void
test_syntax_error_names_its_line(void **state)
{
    (void)state;
    run_with("export A=1\nif true; then\n");
    assert_int_equal(seen.rc, AMY_EPARSE);
    assert_non_null(strstr(seen.err.msg, "syntax error"));
    assert_non_null(strstr(seen.err.msg, "line 3"));
}

static void
test_unset_variable_under_set_u_is_a_failure(void **state)
{
    (void)state;
    run_with("set -u\nexport A=\"$NOT_THERE\"\n");
    assert_int_equal(seen.rc, AMY_EPARSE);
    assert_non_null(strstr(seen.err.msg, "NOT_THERE: unbound variable"));
}

static void
test_failing_activate_is_named(void **state)
{
    (void)state;
    tree_file(&tree, BIN "activate", "return 7\n");
    run(0);
    assert_int_equal(seen.rc, AMY_EPARSE);
    assert_string_equal(seen.err.msg,
                        "repo/.venv/bin/activate failed with status 7");
}

/* Wait until the process named in the file has ended: a killed one does. */
static bool
has_ended(const char *pid_file)
{
    FILE *f = fopen(pid_file, "re");
    struct pollfd p = {.fd = -1, .events = POLLIN};
    int pid = 0;
    bool ended = false;

    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    (void)fclose(f);
    p.fd = (int)syscall(SYS_pidfd_open, pid, 0);
    ended = p.fd < 0 || poll(&p, 1, 10000) == 1;
    (void)close(p.fd);
    return ended;
}

static void
test_hanging_file_is_killed_with_its_children(void **state)
{
    char pid_file[128];
    char text[512];

    (void)state;
    (void)snprintf(pid_file, sizeof(pid_file), "%s/pid", tree.path);
    tree_file(&tree, "pid", "");
    assert_int_equal(chmod(pid_file, 0666), 0);
    (void)snprintf(text, sizeof(text),
                   "sleep 1000 & echo $! > %s; echo waiting >&2; wait\n",
                   pid_file);
    tree_file(&tree, BIN "postactivate", text);
    run(1000);
    assert_int_equal(seen.rc, AMY_ETIMEOUT);
    assert_string_equal(seen.err.msg, "repo/.venv/bin/postactivate took longer "
                                      "than 1000 ms; it said: waiting");
    assert_true(has_ended(pid_file));
}

static void
test_background_children_do_not_hold_it_up(void **state)
{
    (void)state;
    run_with("sleep 1000 &\nexport A=1\n");
    expect_var("A", "1");
}

static void
test_too_much_is_refused(void **state)
{
    (void)state;
    run_with("x=$(head -c 100000 /dev/zero | tr '\\0' x)\n"
             "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do export \"V$i=$x\"; "
             "done\n");
    assert_true(seen.rc == AMY_ELIMIT);
    assert_null(seen.env);
}

static void
expect_no_start(int code, const char *message)
{
    struct amy__env_job *job = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    assert_int_equal(start(0, &job, &err), code);
    assert_string_equal(err.msg, message);
    assert_null(job);
    assert_int_equal(seen.calls, 0);
}

static void
test_windows_line_ends_are_refused_with_their_line(void **state)
{
    (void)state;
    tree_file(&tree, BIN "postactivate", "export A=1\nexport B=2\r\n");
    expect_no_start(AMY_EPARSE,
                    "repo/.venv/bin/postactivate:2: ends in CR LF, as Windows "
                    "writes lines; LF alone is right");
}

static void
test_missing_pieces_are_named(void **state)
{
    (void)state;
    assert_int_equal(unlink(tree_path(&tree, BIN "python")), 0);
    expect_no_start(AMY_ENOTFOUND, "'repo/.venv/bin/python' is missing");
    assert_int_equal(
        symlink("/nowhere/python3", tree_path(&tree, BIN "python")), 0);
    expect_no_start(AMY_ENOTFOUND, "'repo/.venv/bin/python' is missing");
    assert_int_equal(unlink(tree_path(&tree, BIN "activate")), 0);
    expect_no_start(AMY_ENOTFOUND, "'repo/.venv/bin/activate' is missing");
}

static void
test_missing_venv_and_repo_are_named(void **state)
{
    char elsewhere[128];

    (void)state;
    (void)snprintf(elsewhere, sizeof(elsewhere), "%s/venv", tree.path);
    assert_int_equal(
        rename(tree_path(&tree, "example.org/repo/.venv"), elsewhere), 0);
    expect_no_start(AMY_ENOTFOUND, "'repo/.venv' is missing");
    assert_int_equal(rmdir(tree_path(&tree, "example.org/repo")), 0);
    expect_no_start(AMY_ENOTFOUND, "'repo' is missing");
}

static void
test_odd_pieces_are_refused(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(tree_path(&tree, BIN "postactivate"), 0644), 0);
    expect_no_start(AMY_EINVAL,
                    "'repo/.venv/bin/postactivate' is no regular file");
    assert_int_equal(unlink(tree_path(&tree, BIN "python")), 0);
    tree_file(&tree, BIN "python", "not for running");
    expect_no_start(AMY_EINVAL, "'repo/.venv/bin/python' cannot be run");
}

static void
test_files_the_user_may_not_read_are_refused(void **state)
{
    struct amy__env_job *job = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(chmod(tree_path(&tree, BIN "activate"), 0), 0);
    assert_int_equal(start(0, &job, &err), AMY_EDENIED);
    assert_non_null(strstr(err.msg, "repo/.venv/bin/activate"));
}

static void
test_repo_may_be_a_link_to_a_release(void **state)
{
    char release[128];

    (void)state;
    (void)snprintf(release, sizeof(release), "%s/release-7", tree.path);
    assert_int_equal(rename(tree_path(&tree, "example.org/repo"), release), 0);
    assert_int_equal(symlink(release, tree_path(&tree, "example.org/repo")), 0);
    run(0);
    assert_int_equal(seen.rc, 0);
    assert_string_equal(seen.env->repo_path, release);
}

/* What `python -m venv repo/.venv` writes where repo is a link, or what a
 * copied release has kept. */
static void
test_venv_is_where_it_is_whatever_activate_says(void **state)
{
    char text[512];
    char expected[256];

    (void)state;
    (void)snprintf(
        text, sizeof(text),
        "VIRTUAL_ENV='/a/link & more/.venv'\nexport VIRTUAL_ENV\n"
        "PATH=\"/first:$VIRTUAL_ENV/bin:$VIRTUAL_ENV/binary:$PATH\"\n"
        "export PATH\n");
    tree_file(&tree, BIN "activate", text);
    run_with("export SOURCES=$VIRTUAL_ENV/src\n");
    (void)snprintf(expected, sizeof(expected), "%s/example.org/repo/.venv",
                   tree.path);
    expect_var("VIRTUAL_ENV", expected);
    (void)snprintf(expected, sizeof(expected), "%s/example.org/repo/.venv/src",
                   tree.path);
    expect_var("SOURCES", expected);
    (void)snprintf(expected, sizeof(expected),
                   "/first:%s/example.org/repo/.venv/bin:"
                   "/a/link & more/.venv/binary:/usr/local/bin:/usr/bin:/bin",
                   tree.path);
    expect_var("PATH", expected);
    expect_var("amy_venv", NULL);
}

static void
test_cancel_gives_no_completion(void **state)
{
    struct amy__env_job *job = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    tree_file(&tree, BIN "postactivate", "sleep 1000\n");
    assert_int_equal(start(0, &job, &err), 0);
    amy__env_cancel(job);
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(seen.calls, 0);
    amy__env_cancel(NULL);
}

static void
test_records_without_sense_are_refused(void **state)
{
    struct amy__env *env = NULL;

    (void)state;
    assert_int_equal(
        amy__env_from_records(AMY_SPAN("A=1\0B"), "r", "v", &env, NULL),
        AMY_EPARSE);
    assert_int_equal(
        amy__env_from_records(AMY_SPAN("A\0"), "r", "v", &env, NULL),
        AMY_EPARSE);
    assert_null(env);
    assert_int_equal(amy__env_from_records(AMY_SPAN("A=1\0=2\0A B=3\0"), "r",
                                           "v", &env, NULL),
                     0);
    assert_string_equal(env->vars[0], "A=1");
    assert_null(env->vars[1]);
    assert_null(amy__env_get(env, "A="));
    amy__env_unref(env);
}

static void
test_pin_replaces_whole_directories_in_lists(void **state)
{
    struct amy__env *env = NULL;

    (void)state;
    assert_int_equal(
        amy__env_from_records(AMY_SPAN("VIRTUAL_ENV=/w/repo/.venv\0"
                                       "PATH=/w/repo/.venv/bin::/w/repository:"
                                       "/x/w/repo:/w/repo\0"
                                       "DATA=/w/repo\0"),
                              "r", "v", &env, NULL),
        0);
    assert_int_equal(amy__env_pin(env, "/w/repo", "/w/releases/7", NULL), 0);
    assert_string_equal(env->vars[0], "VIRTUAL_ENV=/w/releases/7/.venv");
    assert_string_equal(env->vars[1],
                        "PATH=/w/releases/7/.venv/bin::/w/repository:"
                        "/x/w/repo:/w/releases/7");
    assert_string_equal(env->vars[2], "DATA=/w/repo");
    amy__env_unref(env);
}

static void
expect_path(const char *name, const char *format)
{
    char expected[512];
    struct amy__buf text;

    amy__buf_init(&text, sizeof(expected));
    for (const char *at = format; *at != '\0'; at++) {
        const char one[2] = {*at, '\0'};

        assert_int_equal(
            amy__buf_append_text(&text, *at == '~' ? tree.path : one), 0);
    }
    expect_var(name, text.data);
    amy__buf_clear(&text);
}

/* The directory that set_up made goes for a link. */
static void
replace_repo(const char *target)
{
    char old[128];

    (void)snprintf(old, sizeof(old), "%s",
                   tree_path(&tree, "example.org/first"));
    assert_int_equal(rename(tree_path(&tree, "example.org/repo"), old), 0);
    assert_int_equal(symlink(target, tree_path(&tree, "example.org/repo")), 0);
}

/* A release, its environment made through the link that leads to it. */
static void
test_links_of_a_release_are_followed_once(void **state)
{
    char text[512];

    (void)state;
    tree_dir(&tree, "example.org/releases");
    tree_dir(&tree, "example.org/releases/one");
    tree_dir(&tree, "example.org/venvs");
    tree_dir(&tree, "example.org/venvs/one");
    tree_dir(&tree, "example.org/venvs/one/bin");
    (void)snprintf(text, sizeof(text),
                   "export VIRTUAL_ENV=%s/example.org/repo/.venv\n"
                   "export PATH=\"$VIRTUAL_ENV/bin:/usr/bin\"\n"
                   "export PYTHONPATH=%s/example.org/repo/lib\n",
                   tree.path, tree.path);
    tree_file(&tree, "example.org/venvs/one/bin/activate", text);
    assert_int_equal(
        symlink("/bin/sh",
                tree_path(&tree, "example.org/venvs/one/bin/python")),
        0);
    assert_int_equal(
        symlink("../../venvs/one",
                tree_path(&tree, "example.org/releases/one/.venv")),
        0);
    replace_repo("releases/one");
    run(0);
    expect_path("VIRTUAL_ENV", "~/example.org/venvs/one");
    expect_path("PATH", "~/example.org/venvs/one/bin:/usr/bin");
    expect_path("PYTHONPATH", "~/example.org/releases/one/lib");
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pin_replaces_whole_directories_in_lists),
        WITH_TREE(test_links_of_a_release_are_followed_once),
        WITH_TREE(test_activate_alone_gives_path_and_venv),
        WITH_TREE(test_noise_of_the_shell_is_left_out),
        WITH_TREE(test_values_of_every_shape_come_through),
        WITH_TREE(test_chatter_is_not_taken_for_variables),
        WITH_TREE(test_runs_as_the_sites_user_in_repo),
        WITH_TREE(test_failing_files_last_line_is_told_apart),
        WITH_TREE(test_value_that_a_shell_quotes_is_not_in_our_words),
        WITH_TREE(test_exit_with_a_status_is_a_failure),
        WITH_TREE(test_exit_without_failure_is_one_too),
        WITH_TREE(test_own_set_e_works),
        WITH_TREE(test_killed_shell_is_a_failure),
        WITH_TREE(test_syntax_error_names_its_line),
        WITH_TREE(test_unset_variable_under_set_u_is_a_failure),
        WITH_TREE(test_failing_activate_is_named),
        WITH_TREE(test_hanging_file_is_killed_with_its_children),
        WITH_TREE(test_background_children_do_not_hold_it_up),
        WITH_TREE(test_too_much_is_refused),
        WITH_TREE(test_windows_line_ends_are_refused_with_their_line),
        WITH_TREE(test_missing_pieces_are_named),
        WITH_TREE(test_missing_venv_and_repo_are_named),
        WITH_TREE(test_odd_pieces_are_refused),
        WITH_TREE(test_files_the_user_may_not_read_are_refused),
        WITH_TREE(test_repo_may_be_a_link_to_a_release),
        WITH_TREE(test_venv_is_where_it_is_whatever_activate_says),
        WITH_TREE(test_cancel_gives_no_completion),
        cmocka_unit_test(test_records_without_sense_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

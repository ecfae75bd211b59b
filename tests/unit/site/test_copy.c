#include "amy_test.h"

#include "tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "example.org/site.yaml"
#define COPY_NAME "../state/front/sites/example.org/site.yaml"

static struct tree tree;
static char minimum[128];
static int state_fd;

static int
set_up(void **state)
{
    (void)state;
    tree_make(&tree);
    (void)snprintf(minimum, sizeof(minimum), "site: example.org\nuser: %s\n",
                   tree.user);
    tree_dir(&tree, "example.org");
    tree_file(&tree, FILE_NAME, minimum);
    tree_dir(&tree, "../state");
    state_fd =
        open(tree_path(&tree, "../state"), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    problems_clear();
    return state_fd < 0;
}

static int
tear_down(void **state)
{
    (void)state;
    (void)close(state_fd);
    tree_remove(&tree);
    return 0;
}

static int
accept_site(const char *expect_yaml, struct amy_error *err)
{
    struct amy__site_source source = {.webapps_fd = tree.webapps_fd,
                                      .webapps_path = tree.path,
                                      .state_fd = state_fd,
                                      .daemon = "front",
                                      .rules = tree_rules(&tree),
                                      .on_problem = problems_add};
    struct amy__site *site = NULL;
    struct amy__buf yaml;
    int rc = 0;

    problems_clear();
    amy__buf_init(&yaml, 65536);
    rc = amy__site_accept(&source, "example.org", &yaml, &site, err);
    if (rc >= 0) {
        assert_string_equal(site->domain, "example.org");
        assert_int_equal(site->uid, tree.uid);
        assert_string_equal(yaml.data, expect_yaml);
    } else {
        assert_null(site);
        assert_int_equal(yaml.len, 0);
    }
    amy__site_unref(site);
    amy__buf_clear(&yaml);
    return rc;
}

static void
test_accept_of_a_good_site_keeps_a_copy(void **state)
{
    struct stat st;

    (void)state;
    assert_int_equal(accept_site(minimum, NULL), AMY__SITE_ACCEPTED);
    assert_string_equal(problems_text(), "");
    assert_int_equal(stat(tree_path(&tree, COPY_NAME), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, strlen(minimum));
}

static void
test_accept_again_does_not_write_again(void **state)
{
    struct stat first;
    struct stat second;

    (void)state;
    assert_int_equal(accept_site(minimum, NULL), AMY__SITE_ACCEPTED);
    assert_int_equal(stat(tree_path(&tree, COPY_NAME), &first), 0);
    assert_int_equal(accept_site(minimum, NULL), AMY__SITE_ACCEPTED);
    assert_int_equal(stat(tree_path(&tree, COPY_NAME), &second), 0);
    assert_true(first.st_ino == second.st_ino);
}

static void
test_accept_of_a_bad_site_gives_the_copy_and_the_problem(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(accept_site(minimum, NULL), AMY__SITE_ACCEPTED);
    tree_file(&tree, FILE_NAME, "site: example.org\nuser: root\n");
    assert_int_equal(accept_site(minimum, &err), AMY__SITE_FROM_COPY);
    assert_non_null(strstr(problems_text(), "'root' is refused"));
    assert_int_equal(err.code, AMY_EPARSE);
    /* Mended: the file again. */
    tree_file(&tree, FILE_NAME, minimum);
    assert_int_equal(accept_site(minimum, NULL), AMY__SITE_ACCEPTED);
}

static void
test_accept_of_a_bad_site_without_copy_fails(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    tree_file(&tree, FILE_NAME, "site: example.org\n");
    assert_int_equal(accept_site(NULL, &err), AMY_EPARSE);
    assert_int_equal(err.code, AMY_EPARSE);
}

static void
test_accept_of_a_site_that_is_gone_forgets_it(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(accept_site(minimum, NULL), AMY__SITE_ACCEPTED);
    assert_int_equal(unlink(tree_path(&tree, FILE_NAME)), 0);
    assert_int_equal(accept_site(NULL, &err), AMY_ENOTFOUND);
    assert_int_equal(err.code, AMY_ENOTFOUND);
    assert_int_equal(access(tree_path(&tree, COPY_NAME), F_OK), -1);
    tree_file(&tree, FILE_NAME, "");
    assert_int_equal(accept_site(NULL, NULL), AMY_EPARSE);
}

static void
test_accept_without_a_place_for_copies_warns(void **state)
{
    (void)state;
    assert_int_equal(rmdir(tree_path(&tree, "../state")), 0);
    assert_int_equal(accept_site(minimum, NULL), AMY__SITE_ACCEPTED);
    assert_non_null(
        strstr(problems_text(), "its last accepted copy could not be kept: "));
}

static void
test_accept_refuses_a_copy_that_is_a_link(void **state)
{
    (void)state;
    assert_int_equal(accept_site(minimum, NULL), AMY__SITE_ACCEPTED);
    assert_int_equal(unlink(tree_path(&tree, COPY_NAME)), 0);
    assert_int_equal(symlink("/dev/zero", tree_path(&tree, COPY_NAME)), 0);
    tree_file(&tree, FILE_NAME, "site: example.org\n");
    assert_int_equal(accept_site(NULL, NULL), AMY_EPARSE);
}

static void
test_copies_of_two_daemons_are_apart(void **state)
{
    struct amy__buf yaml;

    (void)state;
    amy__buf_init(&yaml, 65536);
    assert_int_equal(amy__site_save_copy(state_fd, "workers", "a.org",
                                         AMY_SPAN("text"), NULL),
                     0);
    assert_int_equal(
        amy__site_read_copy(state_fd, "front", "a.org", &yaml, NULL),
        AMY_ENOTFOUND);
    assert_int_equal(
        amy__site_read_copy(state_fd, "workers", "a.org", &yaml, NULL), 0);
    assert_string_equal(yaml.data, "text");
    assert_int_equal(amy__site_drop_copy(state_fd, "workers", "a.org", NULL),
                     0);
    assert_int_equal(amy__site_drop_copy(state_fd, "workers", "a.org", NULL),
                     0);
    assert_int_equal(
        amy__site_read_copy(state_fd, "workers", "a.org", &yaml, NULL),
        AMY_ENOTFOUND);
    amy__buf_clear(&yaml);
}

static void
test_copies_of_no_domain_are_refused(void **state)
{
    (void)state;
    assert_int_equal(
        amy__site_save_copy(state_fd, "front", "../x", AMY_SPAN(""), NULL),
        AMY_EINVAL);
}

static void
test_copy_of_a_domain_of_253_characters_works(void **state)
{
    char domain[254];
    struct amy__buf yaml;

    (void)state;
    memset(domain, 'a', 253);
    domain[63] = domain[127] = domain[191] = '.';
    domain[253] = '\0';
    amy__buf_init(&yaml, 65536);
    assert_int_equal(
        amy__site_save_copy(state_fd, "front", domain, AMY_SPAN("text"), NULL),
        0);
    assert_int_equal(
        amy__site_read_copy(state_fd, "front", domain, &yaml, NULL), 0);
    assert_string_equal(yaml.data, "text");
    amy__buf_clear(&yaml);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TREE(test_accept_of_a_good_site_keeps_a_copy),
        WITH_TREE(test_accept_again_does_not_write_again),
        WITH_TREE(test_accept_of_a_bad_site_gives_the_copy_and_the_problem),
        WITH_TREE(test_accept_of_a_bad_site_without_copy_fails),
        WITH_TREE(test_accept_of_a_site_that_is_gone_forgets_it),
        WITH_TREE(test_accept_without_a_place_for_copies_warns),
        WITH_TREE(test_accept_refuses_a_copy_that_is_a_link),
        WITH_TREE(test_copies_of_two_daemons_are_apart),
        WITH_TREE(test_copies_of_no_domain_are_refused),
        WITH_TREE(test_copy_of_a_domain_of_253_characters_works),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

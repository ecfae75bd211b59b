#include "amy_test.h"

#include "tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "example.org/site.yaml"

static struct tree tree;
static char minimum[128];

static int
set_up(void **state)
{
    (void)state;
    tree_make(&tree);
    (void)snprintf(minimum, sizeof(minimum), "site: example.org\nuser: %s\n",
                   tree.user);
    tree_dir(&tree, "example.org");
    tree_file(&tree, FILE_NAME, minimum);
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

static int
load_by(const struct amy__site_rules *rules, const char *domain,
        struct amy__site **ret_site)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__buf yaml;
    int rc = 0;

    problems_clear();
    *ret_site = NULL;
    amy__buf_init(&yaml, 65536);
    rc = amy__site_load(tree.webapps_fd, tree.path, domain, rules, problems_add,
                        NULL, &yaml, ret_site, &err);
    if (rc == 0) {
        assert_int_equal(yaml.len, strlen(minimum));
    } else {
        assert_int_equal(err.code, rc);
        assert_null(*ret_site);
        assert_int_equal(yaml.len, 0);
    }
    amy__buf_clear(&yaml);
    return rc;
}

static void
expect(const char *domain, int code, const char *problems)
{
    struct amy__site_rules rules = tree_rules(&tree);
    struct amy__site *site = NULL;
    int rc = load_by(&rules, domain, &site);

    assert_string_equal(problems_below(&tree), problems);
    assert_int_equal(rc, code);
}

static void
expect_good(void)
{
    struct amy__site_rules rules = tree_rules(&tree);
    struct amy__site *site = NULL;
    int rc = load_by(&rules, "example.org", &site);

    assert_string_equal(problems_text(), "");
    assert_int_equal(rc, 0);
    assert_int_equal(site->uid, tree.uid);
    assert_int_equal(site->gid, tree.gid);
    amy__site_unref(site);
}

static bool
needs_root(void)
{
    if (tree.as_person) {
        skip();
    }
    return !tree.as_person;
}

static void
test_load_of_a_good_site_knows_its_user(void **state)
{
    (void)state;
    expect_good();
}

static void
test_load_without_directory_or_file_is_not_found(void **state)
{
    (void)state;
    expect("absent.org", AMY_ENOTFOUND, "");
    tree_dir(&tree, "empty.org");
    expect("empty.org", AMY_ENOTFOUND, "");
}

static void
test_load_of_no_domain_is_refused(void **state)
{
    (void)state;
    tree_dir(&tree, "Not_A_Domain");
    expect("Not_A_Domain", AMY_EINVAL,
           "TOP/webapps/Not_A_Domain: is no domain: capital letters are not "
           "allowed\n");
    expect("..", AMY_EINVAL,
           "TOP/webapps/..: is no domain: a part between dots is empty\n");
}

static void
test_load_of_a_copied_directory_is_refused(void **state)
{
    (void)state;
    tree_dir(&tree, "example.org.bak");
    tree_file(&tree, "example.org.bak/site.yaml", minimum);
    expect("example.org.bak", AMY_EPARSE,
           "TOP/webapps/example.org.bak/site.yaml:1:7: site: names "
           "'example.org', and the directory is another site's or a copy "
           "(allowed: example.org.bak)\n");
}

static void
test_load_of_a_user_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    tree_file(&tree, FILE_NAME, "site: example.org\nuser: amy-nobody-here\n");
    expect("example.org", AMY_EPARSE,
           "TOP/webapps/example.org/site.yaml:2:7: user: there is no user "
           "'amy-nobody-here' (allowed: a system user of this site's own)\n");
}

static void
test_load_of_the_front_user_is_refused(void **state)
{
    struct amy__site_rules rules = tree_rules(&tree);
    struct amy__site *site = NULL;

    (void)state;
    if (!needs_root()) {
        return;
    }
    rules.borrow_front_user = tree.user;
    assert_int_equal(load_by(&rules, "example.org", &site), AMY_EPARSE);
    assert_non_null(
        strstr(problems_text(), "'nobody' is the user of the front processes"));
}

static void
test_load_by_a_person_is_for_that_person_only(void **state)
{
    struct amy__site_rules rules = {.as_person = true, .person = 12345};
    struct amy__site *site = NULL;

    (void)state;
    if (!needs_root()) {
        return;
    }
    assert_int_equal(load_by(&rules, "example.org", &site), AMY_EPARSE);
    assert_string_equal(
        problems_below(&tree),
        "TOP/webapps/example.org/site.yaml:2:7: user: 'nobody' is not who runs "
        "this (uid 12345), and only root can become another user (allowed: a "
        "system user of this site's own)\n");
}

static void
test_load_of_a_file_others_may_write_is_refused(void **state)
{
    (void)state;
    assert_int_equal(chmod(tree_path(&tree, FILE_NAME), 0666), 0);
    expect("example.org", AMY_EDENIED,
           "TOP/webapps/example.org/site.yaml: can be written by anybody "
           "(mode 0666) (allowed: mode 0755 for directories, 0644 for files, "
           "or less)\n");
    assert_int_equal(chmod(tree_path(&tree, FILE_NAME), 0640), 0);
    expect_good();
}

static void
test_load_of_a_file_its_group_may_write_is_refused(void **state)
{
    (void)state;
    if (!needs_root()) {
        return;
    }
    assert_int_equal(chown(tree_path(&tree, FILE_NAME), 0, tree.gid), 0);
    assert_int_equal(chmod(tree_path(&tree, FILE_NAME), 0664), 0);
    expect("example.org", AMY_EDENIED,
           "TOP/webapps/example.org/site.yaml: can be written by its group "
           "(mode 0664) (allowed: mode 0755 for directories, 0644 for files, "
           "or less)\n");
}

static void
test_load_of_the_users_own_file_is_refused(void **state)
{
    (void)state;
    if (!needs_root()) {
        return;
    }
    assert_int_equal(chown(tree_path(&tree, FILE_NAME), tree.uid, tree.gid), 0);
    expect("example.org", AMY_EDENIED,
           "TOP/webapps/example.org/site.yaml: belongs to 'nobody' (allowed: "
           "root)\n");
}

static void
test_load_below_the_users_own_directories_is_refused(void **state)
{
    (void)state;
    if (!needs_root()) {
        return;
    }
    assert_int_equal(chown(tree_path(&tree, "example.org"), tree.uid, 0), 0);
    assert_int_equal(chown(tree.top, tree.uid, 0), 0);
    assert_int_equal(chmod(tree.path, 0775), 0);
    expect("example.org", AMY_EDENIED,
           "TOP/webapps/example.org: belongs to 'nobody' (allowed: root)\n"
           "TOP/webapps: can be written by its group (mode 0775) (allowed: "
           "mode 0755 for directories, 0644 for files, or less)\n"
           "TOP: belongs to 'nobody' (allowed: root)\n");
}

static void
test_load_tells_owners_and_contents_at_once(void **state)
{
    (void)state;
    tree_file(&tree, FILE_NAME, "site: example.org\nuser: root\nstge: test\n");
    assert_int_equal(chmod(tree_path(&tree, FILE_NAME), 0646), 0);
    expect(
        "example.org", AMY_EDENIED,
        "TOP/webapps/example.org/site.yaml: can be written by anybody "
        "(mode 0646) (allowed: mode 0755 for directories, 0644 for files, "
        "or less)\n"
        "TOP/webapps/example.org/site.yaml:2:7: user: 'root' is refused (allowed: the system user of this site, not "
        "root)\n"
        "TOP/webapps/example.org/site.yaml:3:1: stge: unknown key, did you "
        "mean 'stage'? (allowed: site, aliases, stage, user, tls, http, "
        "health, workers, routes, limits, gate, access, database, redis, backup, "
        "refresh, logs, deploy)\n");
}

/* Each kind of thing that is no regular file. */
static void
test_load_of_no_regular_file_is_refused(void **state)
{
    const char *path = NULL;
    struct amy__site_rules rules = tree_rules(&tree);
    struct amy__site *site = NULL;

    (void)state;
    path = tree_path(&tree, FILE_NAME);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(symlink("/etc/passwd", path), 0);
    assert_int_equal(load_by(&rules, "example.org", &site), AMY_EINVAL);
    assert_non_null(strstr(problems_text(), "symbolic link"));
    path = tree_path(&tree, FILE_NAME);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkfifo(path, 0644), 0);
    assert_int_equal(load_by(&rules, "example.org", &site), AMY_EINVAL);
    assert_non_null(strstr(problems_text(), "fifo"));
    path = tree_path(&tree, FILE_NAME);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(mkdir(path, 0755), 0);
    assert_int_equal(load_by(&rules, "example.org", &site), AMY_EINVAL);
    assert_non_null(strstr(problems_text(), "directory"));
}

static void
test_load_of_a_huge_file_is_refused(void **state)
{
    struct amy__site_rules rules = tree_rules(&tree);
    struct amy__site *site = NULL;

    (void)state;
    assert_int_equal(truncate(tree_path(&tree, FILE_NAME), 65537), 0);
    assert_int_equal(load_by(&rules, "example.org", &site), AMY_ELIMIT);
}

static void
test_load_of_a_linked_directory_is_refused(void **state)
{
    (void)state;
    assert_int_equal(symlink("example.org", tree_path(&tree, "www.org")), 0);
    expect("www.org", AMY_EINVAL,
           "TOP/webapps/www.org: is no directory of its own (a link or a "
           "file)\n");
}

static void
make_long_domain(char buf[254])
{
    memset(buf, 'a', 253);
    buf[63] = '.';
    buf[127] = '.';
    buf[191] = '.';
    buf[253] = '\0';
}

static void
test_load_of_a_domain_of_253_characters_works(void **state)
{
    char domain[254];
    char name[300];
    struct amy__site_rules rules = tree_rules(&tree);
    struct amy__site *site = NULL;

    (void)state;
    make_long_domain(domain);
    tree_dir(&tree, domain);
    (void)snprintf(name, sizeof(name), "%s/site.yaml", domain);
    tree_file(&tree, name, "");
    assert_int_equal(load_by(&rules, domain, &site), AMY_EPARSE);
    (void)snprintf(minimum, sizeof(minimum), "user: %s\nsite: ", tree.user);
    {
        char yaml[400];
        struct amy__buf bytes;

        (void)snprintf(yaml, sizeof(yaml), "%s%s\n", minimum, domain);
        tree_file(&tree, name, yaml);
        amy__buf_init(&bytes, 65536);
        assert_int_equal(amy__site_load(tree.webapps_fd, tree.path, domain,
                                        &rules, NULL, NULL, &bytes, &site,
                                        NULL),
                         0);
        assert_string_equal(site->domain, domain);
        amy__buf_clear(&bytes);
        amy__site_unref(site);
    }
}

/* --- which there are --- */

static char names[1024];

static int
add_name(const char *domain, void *user)
{
    size_t n = strlen(names);

    (void)snprintf(names + n, sizeof(names) - n, "%s ", domain);
    return *(int *)user;
}

static void
test_each_is_sorted_and_needs_a_site_file(void **state)
{
    int answer = 0;

    (void)state;
    tree_dir(&tree, "zz.org");
    tree_file(&tree, "zz.org/site.yaml", "");
    tree_dir(&tree, "Bad_Name");
    tree_file(&tree, "Bad_Name/site.yaml", "");
    tree_dir(&tree, "empty.org");
    tree_dir(&tree, ".hidden");
    tree_file(&tree, ".hidden/site.yaml", "");
    tree_file(&tree, "file", "");
    for (unsigned i = 0; i < 2; i++) {
        names[0] = '\0';
        assert_int_equal(
            amy__site_each(tree.webapps_fd, add_name, &answer, NULL), 0);
        assert_string_equal(names, "Bad_Name example.org zz.org ");
    }
    answer = AMY_ECANCELED;
    names[0] = '\0';
    assert_int_equal(amy__site_each(tree.webapps_fd, add_name, &answer, NULL),
                     AMY_ECANCELED);
    assert_string_equal(names, "Bad_Name ");
}

static void
test_each_of_none_calls_nobody(void **state)
{
    int answer = 0;

    (void)state;
    assert_int_equal(unlink(tree_path(&tree, FILE_NAME)), 0);
    names[0] = '\0';
    assert_int_equal(amy__site_each(tree.webapps_fd, add_name, &answer, NULL),
                     0);
    assert_string_equal(names, "");
    assert_int_equal(amy__site_each(-1, add_name, &answer, NULL), AMY_EIO);
}

#define WITH_TREE(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_TREE(test_load_of_a_good_site_knows_its_user),
        WITH_TREE(test_load_without_directory_or_file_is_not_found),
        WITH_TREE(test_load_of_no_domain_is_refused),
        WITH_TREE(test_load_of_a_copied_directory_is_refused),
        WITH_TREE(test_load_of_a_user_that_does_not_exist_is_refused),
        WITH_TREE(test_load_of_the_front_user_is_refused),
        WITH_TREE(test_load_by_a_person_is_for_that_person_only),
        WITH_TREE(test_load_of_a_file_others_may_write_is_refused),
        WITH_TREE(test_load_of_a_file_its_group_may_write_is_refused),
        WITH_TREE(test_load_of_the_users_own_file_is_refused),
        WITH_TREE(test_load_below_the_users_own_directories_is_refused),
        WITH_TREE(test_load_tells_owners_and_contents_at_once),
        WITH_TREE(test_load_of_no_regular_file_is_refused),
        WITH_TREE(test_load_of_a_huge_file_is_refused),
        WITH_TREE(test_load_of_a_linked_directory_is_refused),
        WITH_TREE(test_load_of_a_domain_of_253_characters_works),
        WITH_TREE(test_each_is_sorted_and_needs_a_site_file),
        WITH_TREE(test_each_of_none_calls_nobody),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

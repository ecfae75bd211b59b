#include "amy_test.h"

#include <amy/layout.h>

#include "tree.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct tree tree;
static struct amy_layout_options opts;
static struct amy_layout_view view;
static struct amy_error err;
static unsigned told[3];
static char differing[1024];

static void
count(const struct amy_layout_item *item, void *user)
{
    (void)user;
    assert_int_equal(item->struct_size, sizeof(*item));
    assert_in_range(item->result, 0, 2);
    told[item->result]++;
    if (item->result == AMY_LAYOUT_DIFFERS) {
        (void)snprintf(differing, sizeof(differing), "%s: %s", item->name,
                       item->message);
    }
}

static int
set_up(void **state)
{
    (void)state;
    tree_make(&tree);
    opts = (struct amy_layout_options)AMY_LAYOUT_OPTIONS_INIT;
    opts.domain = "example.org";
    opts.webapps = tree.path;
    opts.site_user = tree.user;
    opts.on_item = count;
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
make(void)
{
    memset(told, 0, sizeof(told));
    differing[0] = '\0';
    err = (struct amy_error)AMY_ERROR_INIT;
    view = (struct amy_layout_view)AMY_LAYOUT_VIEW_INIT;
    return amy_layout_make(&opts, &view, &err);
}

static void
expect_mode(const char *name, unsigned mode, uid_t uid)
{
    struct stat st;

    assert_int_equal(lstat(tree_path(&tree, name), &st), 0);
    assert_int_equal(st.st_mode & 07777U, mode);
    assert_int_equal(st.st_uid, uid);
}

static bool
is_there(const char *name)
{
    return access(tree_path(&tree, name), F_OK) == 0;
}

static void
test_all_is_made_as_the_daemons_want_it(void **state)
{
    struct amy__site_rules rules = tree_rules(&tree);
    struct amy__site *site = NULL;

    (void)state;
    assert_int_equal(make(), 0);
    assert_int_equal(view.added, 9);
    assert_int_equal(view.differing, 0);
    assert_string_equal(view.site_user, tree.user);
    expect_mode("example.org", 0755, geteuid());
    expect_mode("example.org/site.yaml", 0644, geteuid());
    expect_mode("example.org/maintenance_off.html", 0644, geteuid());
    expect_mode("example.org/logs", 0750, tree.uid);
    expect_mode("example.org/DB_backups", 0700, tree.uid);
    expect_mode("example.org/static", 0755, geteuid());
    expect_mode("example.org/media", 02750, tree.uid);
    expect_mode("example.org/repo", 0755, geteuid());
    expect_mode("example.org/acme", 0755, geteuid());
    assert_int_equal(amy__site_load(tree.webapps_fd, tree.path, "example.org",
                                    &rules, problems_add, NULL, NULL, &site,
                                    NULL),
                     0);
    amy__site_unref(site);
}

static void
test_again_adds_nothing(void **state)
{
    (void)state;
    assert_int_equal(make(), 0);
    opts.site_user = NULL; /* site.yaml has it */
    assert_int_equal(make(), 0);
    assert_int_equal(view.added, 0);
    assert_int_equal(told[AMY_LAYOUT_ADDED], 0);
    assert_int_equal(told[AMY_LAYOUT_KEPT], 10);
    assert_string_equal(view.site_user, tree.user);
}

static void
test_dry_run_makes_nothing(void **state)
{
    (void)state;
    opts.dry_run = true;
    assert_int_equal(make(), 0);
    assert_int_equal(view.added, 9);
    assert_false(is_there("example.org"));
}

static void
test_what_is_there_is_left(void **state)
{
    char text[32] = "";
    int fd = -1;

    (void)state;
    tree_dir(&tree, "example.org");
    tree_dir(&tree, "example.org/repo");
    tree_file(&tree, "example.org/maintenance_on.html", "mine");
    assert_int_equal(make(), 0);
    assert_int_equal(view.added, 6);
    assert_false(is_there("example.org/maintenance_off.html"));
    fd = open(tree_path(&tree, "example.org/maintenance_on.html"),
              O_RDONLY | O_CLOEXEC);
    assert_int_equal(read(fd, text, sizeof(text)), 4);
    (void)close(fd);
}

static void
test_what_differs_is_told(void **state)
{
    (void)state;
    assert_int_equal(make(), 0);
    assert_int_equal(chmod(tree_path(&tree, "example.org/logs"), 0777), 0);
    assert_int_equal(make(), 0);
    assert_int_equal(view.differing, 1);
    assert_non_null(strstr(differing, "/example.org/logs: is of "));
    expect_mode("example.org/logs", 0777, tree.uid);
    assert_int_equal(chmod(tree_path(&tree, "example.org/logs"), 0750), 0);
    assert_int_equal(chmod(tree_path(&tree, "example.org/site.yaml"), 0666), 0);
    assert_int_equal(make(), 0);
    assert_non_null(strstr(differing, "can be written by anybody"));
}

/* site.yaml comes last, so that what is in the way leaves no site. */
static void
test_interrupted_is_no_site_and_the_next_completes(void **state)
{
    (void)state;
    tree_dir(&tree, "example.org");
    tree_file(&tree, "example.org/acme", "");
    assert_int_equal(make(), AMY_EINVAL);
    assert_non_null(strstr(err.msg, "'acme' is in the way"));
    assert_true(is_there("example.org/logs"));
    assert_false(is_there("example.org/site.yaml"));
    assert_int_equal(unlink(tree_path(&tree, "example.org/acme")), 0);
    assert_int_equal(make(), 0);
    assert_true(is_there("example.org/site.yaml"));
}

static void
expect_refused(int code, const char *why)
{
    assert_int_equal(make(), code);
    assert_int_equal(err.code, code);
    if (strstr(err.msg, why) == NULL) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(told[AMY_LAYOUT_ADDED], 0);
}

static void
test_bad_words_are_refused_before_anything_is_made(void **state)
{
    static const char *const aliases[] = {"www.example.org", "no name", NULL};
    static const char *const injected[] = {"www.example.org]\nuser: root",
                                           NULL};

    (void)state;
    opts.domain = NULL;
    expect_refused(AMY_EINVAL, "needs a domain");
    opts.domain = "Example.org";
    expect_refused(AMY_EINVAL, "'Example.org' is no domain: capital");
    opts.domain = "../example.org";
    expect_refused(AMY_EINVAL, "is no domain");
    opts.domain = "example.org";
    opts.wsgi = "config.wsgi";
    assert_int_equal(make(), 0); /* gunicorn's own default of the callable */
    opts.domain = "other.org";
    opts.wsgi = "rm -rf /";
    expect_refused(AMY_EPARSE, "wsgi");
    opts.wsgi = NULL;
    opts.aliases = aliases;
    expect_refused(AMY_EPARSE, "aliases[1]");
    opts.aliases = injected;
    expect_refused(AMY_EPARSE, "the new site.yaml:");
    opts.aliases = NULL;
    opts.site_user = "root";
    expect_refused(AMY_EPARSE, "'root' is refused");
    opts.site_user = "a-name-of-more-than-thirty-two-letters";
    expect_refused(AMY_EINVAL, "more than 32 characters");
    assert_false(is_there("other.org"));
}

static void
test_bad_site_yaml_is_told_and_left(void **state)
{
    (void)state;
    tree_dir(&tree, "example.org");
    tree_file(&tree, "example.org/site.yaml", "site: other.org\nuser: x\n");
    expect_refused(AMY_EPARSE, "/example.org/site.yaml:1:7: site:");
    assert_false(is_there("example.org/logs"));
}

static void
test_other_user_than_that_of_site_yaml_is_refused(void **state)
{
    (void)state;
    assert_int_equal(make(), 0);
    opts.site_user = "daemon";
    expect_refused(AMY_EEXIST, "and not 'daemon'");
}

static void
test_directory_that_others_write_is_refused(void **state)
{
    (void)state;
    tree_dir(&tree, "example.org");
    assert_int_equal(chmod(tree_path(&tree, "example.org"), 0777), 0);
    expect_refused(AMY_EDENIED, "can be written by anybody");
    assert_int_equal(rmdir(tree_path(&tree, "example.org")), 0);
    assert_int_equal(symlink("/tmp", tree_path(&tree, "example.org")), 0);
    expect_refused(AMY_EINVAL, "no directory of its own");
}

static void
test_webapps_is_not_made_when_something_is_refused(void **state)
{
    char deep[PATH_MAX];

    (void)state;
    (void)snprintf(deep, sizeof(deep), "%s/others/a/b", tree.path);
    tree_dir(&tree, "others");
    opts.webapps = deep;
    opts.deployer = "amy-no-such-user";
    expect_refused(AMY_ENOTFOUND, "amy-no-such-user");
    assert_int_equal(access(tree_path(&tree, "others/a"), F_OK), -1);
    opts.deployer = NULL;
    assert_int_equal(chmod(tree_path(&tree, "others"), 0777), 0);
    expect_refused(AMY_EDENIED, "can be written by anybody");
    assert_int_equal(access(tree_path(&tree, "others/a"), F_OK), -1);
    assert_int_equal(chmod(tree_path(&tree, "others"), 0755), 0);
    assert_int_equal(make(), 0);
    expect_mode("others/a/b/example.org/site.yaml", 0644, geteuid());
}

static void
test_unknown_deployer_is_refused(void **state)
{
    (void)state;
    opts.deployer = "amy-no-such-user";
    expect_refused(AMY_ENOTFOUND, "amy-no-such-user");
    if (!tree.as_person) {
        opts.deployer = "daemon";
        assert_int_equal(make(), 0);
        expect_mode("example.org/repo", 0755, 1);
        expect_mode("example.org/site.yaml", 0644, 0);
    }
}

/* Nothing is made, so that no test leaves a user behind. */
static void
test_user_is_named_by_the_domain_and_is_nobody_elses(void **state)
{
    (void)state;
    if (tree.as_person) {
        skip();
    }
    opts.site_user = NULL;
    opts.dry_run = true;
    opts.domain = "www.amytest.example.org";
    assert_int_equal(make(), 0);
    assert_string_equal(view.site_user, "amy-amytest");
    assert_int_equal(view.added, 10);
    tree_dir(&tree, "other.org");
    tree_file(&tree, "other.org/site.yaml",
              "site: other.org\nuser: amy-amytest\n");
    assert_int_equal(make(), 0);
    assert_string_equal(view.site_user, "amy-www-amytest-example-org");
    tree_file(&tree, "other.org/site.yaml",
              "site: other.org\nuser: amy-www-amytest-example-org\n");
    assert_int_equal(make(), 0);
    assert_string_equal(view.site_user, "amy-amytest");
    /* Its group may do everything. */
    opts.domain = "admin.example.org";
    assert_int_equal(make(), 0);
    assert_string_equal(view.site_user, "amy-admin-example-org");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_all_is_made_as_the_daemons_want_it),
        TEST(test_again_adds_nothing),
        TEST(test_dry_run_makes_nothing),
        TEST(test_what_is_there_is_left),
        TEST(test_what_differs_is_told),
        TEST(test_interrupted_is_no_site_and_the_next_completes),
        TEST(test_bad_words_are_refused_before_anything_is_made),
        TEST(test_bad_site_yaml_is_told_and_left),
        TEST(test_other_user_than_that_of_site_yaml_is_refused),
        TEST(test_directory_that_others_write_is_refused),
        TEST(test_webapps_is_not_made_when_something_is_refused),
        TEST(test_unknown_deployer_is_refused),
        TEST(test_user_is_named_by_the_domain_and_is_nobody_elses),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include <amy/doctor.h>

#include "recorded.h"
#include "tree.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is of this machine and not of the tree. */
#define HOST_CHECKS "clock,limits,disk,dns,port,socket,cert,renewal"

/* Static files alone: nothing to start or to ask. */
static struct tree tree;
static struct amy_doctor_options opts;
static struct amy_error err;
static char root[96];
static char yaml[256];

static void
make_dirs(const char *path)
{
    char at[256];

    for (const char *slash = strchr(path + 1, '/');;
         slash = strchr(slash + 1, '/')) {
        size_t n = slash == NULL ? strlen(path) : (size_t)(slash - path);

        (void)snprintf(at, sizeof(at), "%s/%.*s", root, (int)n, path);
        (void)mkdir(at, 0755);
        if (slash == NULL) {
            return;
        }
    }
}

/* Below the other root. */
static void
put(const char *directory, const char *name, const char *text)
{
    char path[300];
    FILE *file = NULL;

    make_dirs(directory);
    (void)snprintf(path, sizeof(path), "%s/%s/%s", root, directory, name);
    file = fopen(path, "we");
    assert_non_null(file);
    (void)fputs(text, file);
    (void)fclose(file);
}

static int
set_up(void **state)
{
    (void)state;
    tree_make(&tree);
    (void)snprintf(root, sizeof(root), "%s/root", tree.top);
    assert_int_equal(mkdir(root, 0755), 0);
    (void)snprintf(yaml, sizeof(yaml), "site: example.org\nuser: %s\n",
                   tree.user);
    tree_dir(&tree, "example.org");
    tree_file(&tree, "example.org/site.yaml", yaml);
    opts = (struct amy_doctor_options)AMY_DOCTOR_OPTIONS_INIT;
    opts.webapps = tree.path;
    opts.run = tree.top;
    opts.state = tree.top;
    opts.root_dir = root;
    opts.skip = HOST_CHECKS;
    opts.on_finding = recorded_add;
    (void)recorded_begin();
    err = (struct amy_error)AMY_ERROR_INIT;
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
expect(int weight, const char *head, const char *words)
{
    assert_int_equal(amy_doctor_examine(&opts, &err), weight);
    expect_finding(head, words);
}

static void
test_healthy_site_has_no_findings(void **state)
{
    (void)state;
    assert_int_equal(amy_doctor_examine(&opts, &err), 0);
    expect_nothing();
    opts.site = "example.org";
    assert_int_equal(amy_doctor_examine(&opts, &err), 0);
    expect_nothing();
}

static void
test_site_that_is_not_there_is_an_error(void **state)
{
    (void)state;
    opts.site = "other.org";
    assert_int_equal(amy_doctor_examine(&opts, &err), AMY_ENOTFOUND);
    assert_non_null(strstr(err.msg, "there is no site 'other.org'"));
    opts.site = NULL;
    opts.webapps = "/nonexistent";
    assert_int_equal(amy_doctor_examine(&opts, &err), AMY_ENOTFOUND);
    opts.on_finding = NULL;
    assert_int_equal(amy_doctor_examine(&opts, &err), AMY_EINVAL);
}

static void
test_bad_site_yaml_is_told_by_line(void **state)
{
    (void)state;
    tree_file(&tree, "example.org/site.yaml", "site: example.org\nusr: x\n");
    assert_int_equal(amy_doctor_examine(&opts, &err), 2);
    assert_non_null(strstr(recorded(), "site.yaml:2:1: usr:"));
    assert_non_null(strstr(recorded(), "amyctl reload example.org"));
}

static void
test_copy_of_a_site_is_told(void **state)
{
    (void)state;
    tree_dir(&tree, "example.org.bak");
    tree_file(&tree, "example.org.bak/site.yaml", yaml);
    expect(1, "warning copy", "/example.org.bak is a copy of example.org");
    opts.site = "example.org"; /* which is well */
    assert_int_equal(amy_doctor_examine(&opts, &err), 0);
}

static void
test_wrong_modes_are_told(void **state)
{
    (void)state;
    tree_dir(&tree, "example.org/media");
    assert_int_equal(chmod(tree_path(&tree, "example.org/media"), 0777), 0);
    expect(1, "error mode-world", "/example.org/media");
    assert_int_equal(rmdir(tree_path(&tree, "example.org/media")), 0);
    tree_dir(&tree, "example.org/DB_backups");
    assert_int_equal(
        chown(tree_path(&tree, "example.org/DB_backups"), tree.uid, tree.gid),
        0);
    assert_int_equal(chmod(tree_path(&tree, "example.org/DB_backups"), 0750),
                     0);
    expect(1, "warning mode-wide", "chmod 0700");
}

static void
test_file_of_users_of_a_closed_site_is_looked_at(void **state)
{
    (void)state;
    (void)snprintf(yaml, sizeof(yaml),
                   "site: example.org\nuser: %s\naccess: {users: testers}\n",
                   tree.user);
    tree_file(&tree, "example.org/site.yaml", yaml);
    expect(1, "error access-users", "example.org/testers is not there");
    tree_file(&tree, "example.org/testers", "");
    assert_int_equal(chmod(tree_path(&tree, "example.org/testers"), 0660), 0);
    (void)recorded_begin();
    expect(1, "error access-users", "can write");
    assert_int_equal(chmod(tree_path(&tree, "example.org/testers"), 0644), 0);
    (void)recorded_begin();
    expect(1, "warning access-users", "everybody on this host can read");
    assert_int_equal(chmod(tree_path(&tree, "example.org/testers"), 0600), 0);
    (void)recorded_begin();
    assert_int_equal(amy_doctor_examine(&opts, &err), 0);
    expect_nothing();
    /* Anywhere on the host. */
    (void)snprintf(yaml, sizeof(yaml),
                   "site: example.org\nuser: %s\n"
                   "access: {users: /etc/amy/testers}\n",
                   tree.user);
    tree_file(&tree, "example.org/site.yaml", yaml);
    expect(1, "error access-users", "/etc/amy/testers is not there");
    put("etc/amy", "testers", "");
    (void)recorded_begin();
    expect(1, "warning access-users", "read /etc/amy/testers");
}

static void
test_leftovers_of_a_site_are_told(void **state)
{
    char text[512];

    (void)state;
    put("etc/nginx/sites-enabled", "site", "server_name example.org;\n");
    put("etc/nginx/sites-enabled", "other", "server_name other.org;\n");
    expect(1, "warning nginx-site", "rm /etc/nginx/sites-enabled/site");
    opts.skip = HOST_CHECKS ",nginx";
    (void)snprintf(text, sizeof(text),
                   "[Service]\nWorkingDirectory=%s/example.org/repo\n"
                   "ExecStart=gunicorn config.wsgi\n",
                   tree.path);
    put("etc/systemd/system", "site.service", text);
    expect(1, "warning gunicorn-unit",
           "systemctl disable --now site.service; rm /etc/systemd/system/site");
    opts.skip = HOST_CHECKS ",nginx,gunicorn";
    (void)snprintf(text, sizeof(text),
                   "[program:site]\ndirectory=%s/example.org/repo\n",
                   tree.path);
    put("etc/supervisor/conf.d", "site.conf", text);
    expect(1, "warning supervisor-program", "rm /etc/supervisor/conf.d/site");
    opts.skip = HOST_CHECKS ",nginx,gunicorn,supervisor";
    (void)snprintf(text, sizeof(text),
                   "%s/example.org/logs/*.log {\n  daily\n}\n", tree.path);
    put("etc/logrotate.d", "site", text);
    expect(1, "warning logrotate-site", "/etc/logrotate.d/site rotates");
    opts.skip = HOST_CHECKS ",nginx,gunicorn,supervisor,logrotate";
    (void)snprintf(text, sizeof(text),
                   "#0 1 * * * root pg_dump > %s/example.org/DB_backups/a\n"
                   "0 3 * * * root pg_dump > %s/example.org/DB_backups/b\n"
                   "0 4 * * * root pg_dump > %s/other.org/DB_backups/c\n",
                   tree.path, tree.path, tree.path);
    put("etc/cron.d", "site", text);
    expect(1, "warning cron-job", "/etc/cron.d/site runs pg_dump");
}

static void
test_leftovers_of_the_host_are_told(void **state)
{
    (void)state;
    put("etc/systemd/system/multi-user.target.wants", "nginx.service", "");
    expect(1, "warning nginx-enabled", "systemctl disable --now nginx.service");
    /* Unless it is to stand before our workers. */
    (void)snprintf(yaml, sizeof(yaml),
                   "site: example.org\nuser: %s\nworkers:\n"
                   "  - {name: web, command: [web], socket: /run/web.sock}\n",
                   tree.user);
    tree_file(&tree, "example.org/site.yaml", yaml);
    put("etc/nginx/sites-enabled", "site", "server_name example.org;\n");
    opts.skip = HOST_CHECKS ",environment";
    expect(0, "info nginx-site", "while it is to stand before");
}

static void
test_shared_user_is_told(void **state)
{
    char other[64];

    (void)state;
    if (tree.as_person) {
        skip();
    }
    (void)snprintf(other, sizeof(other), "site: other.org\nuser: %s\n",
                   tree.user);
    tree_dir(&tree, "other.org");
    tree_file(&tree, "other.org/site.yaml", other);
    opts.site = "example.org";
    expect(1, "warning user-shared", "user of site 'other.org'");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_healthy_site_has_no_findings),
        TEST(test_site_that_is_not_there_is_an_error),
        TEST(test_bad_site_yaml_is_told_by_line),
        TEST(test_copy_of_a_site_is_told),
        TEST(test_wrong_modes_are_told),
        TEST(test_file_of_users_of_a_closed_site_is_looked_at),
        TEST(test_leftovers_of_a_site_are_told),
        TEST(test_leftovers_of_the_host_are_told),
        TEST(test_shared_user_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

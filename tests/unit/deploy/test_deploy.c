/* Whole deployments of a site of static files, which needs no daemon; and each
 * way to be refused. */
#include "amy_test.h"

#include <amy/deploy.h>

#include "root.h"

#include <event2/event.h>

#include <pwd.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VENV                                                                   \
    "{name: environment, run: [python3, -m, venv, --without-pip, .venv]}"
#define STATIC                                                                 \
    "routes: [{path: /, files: repo}]\ndeploy: {disk: 0B, steps: [" VENV "]"

static struct root root;
static struct amy_deploy_options opts;
static struct amy_error err;
static struct amy_deploy *deploy;
static struct {
    unsigned calls;
    int code;
    uint32_t mended;
    uint32_t served;
    char step[64];
    char reason[600];
    char next[1700];
    char release[512];
    char previous[512];
} end;
static char said[8192]; /* lines of programs, notes */
static char source[100];
static const char *cancel_at;
static bool free_in_done;

/* ---- the stage ---- */

static const char *
user_name(bool deployer)
{
    const struct passwd *me = NULL;

    if (geteuid() == 0) {
        return deployer ? "bin" : "daemon";
    }
    me = getpwuid(geteuid());
    return me == NULL ? "nobody" : me->pw_name;
}

static const char *
path_of(const char *name)
{
    static char path[300];

    (void)snprintf(path, sizeof(path), "%s/example.org/%s", root.webapps, name);
    return path;
}

static void
write_file(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");

    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

/* more: behind what is in `deploy` already. */
static void
write_yaml(const char *more)
{
    char text[2048];

    (void)snprintf(text, sizeof(text), "site: example.org\nuser: %s\n%s%s\n",
                   user_name(false), STATIC, more);
    write_file(path_of("site.yaml"), text);
}

static void
on_event(struct amy_deploy *it, const struct amy_deploy_event *event,
         void *user)
{
    size_t n = strlen(said);

    (void)user;
    assert_int_equal(event->struct_size, sizeof(*event));
    if (event->kind != AMY_DEPLOY_BEGUN) {
        (void)snprintf(said + n, sizeof(said) - n, "%s: %s\n", event->step,
                       event->text);
    } else if (cancel_at != NULL && strcmp(event->step, cancel_at) == 0) {
        amy_deploy_cancel(it);
    }
}

static void
on_done(struct amy_deploy *it, const struct amy_deploy_result *result,
        void *user)
{
    (void)user;
    end.calls++;
    end.code = result->code;
    end.mended = result->mended;
    end.served = result->served;
    (void)snprintf(end.step, sizeof(end.step), "%s", result->step);
    (void)snprintf(end.reason, sizeof(end.reason), "%s", result->reason);
    (void)snprintf(end.next, sizeof(end.next), "%s", result->next);
    (void)snprintf(end.release, sizeof(end.release), "%s", result->release);
    (void)snprintf(end.previous, sizeof(end.previous), "%s", result->previous);
    if (free_in_done) {
        amy_deploy_free(it);
        deploy = NULL;
    }
    (void)event_base_loopbreak(root.base);
}

static int
create(void)
{
    err = (struct amy_error)AMY_ERROR_INIT;
    return amy_deploy_create(&opts, NULL, NULL, &deploy, &err);
}

static void
run_it(void)
{
    memset(&end, 0, sizeof(end));
    said[0] = '\0';
    assert_int_equal(amy_deploy_start(deploy, on_done, NULL, &err), 0);
    (void)event_base_dispatch(root.base);
    assert_int_equal(end.calls, 1);
    amy_deploy_free(deploy);
    deploy = NULL;
}

static void
run_all(int code)
{
    assert_int_equal(create(), 0);
    run_it();
    if (end.code != code) {
        print_error("%s: %s\n%s", end.step, end.reason, said);
    }
    assert_int_equal(end.code, code);
}

static const char *
link_of(void)
{
    static char link[512];
    ssize_t n = readlink(path_of("repo"), link, sizeof(link) - 1);

    link[n < 0 ? 0 : n] = '\0';
    return link;
}

/* How many releases lie there. */
static unsigned
count_releases(void)
{
    char command[400];
    char text[32] = "0";
    FILE *pipe = NULL;
    unsigned count = 0;

    (void)snprintf(command, sizeof(command), "ls '%s' 2>/dev/null | wc -l",
                   path_of("releases"));
    pipe = popen(command, "re"); /* NOLINT(cert-env33-c): a path of ours */
    assert_non_null(pipe);
    assert_non_null(fgets(text, sizeof(text), pipe));
    (void)pclose(pipe);
    (void)sscanf(text, "%u", &count); /* NOLINT(cert-err34-c): of wc(1) */
    return count;
}

static int
set_up(void **state)
{
    char page[128];

    (void)state;
    assert_int_equal(root_make(&root), 0);
    assert_int_equal(chmod(root.path, 0755), 0);
    assert_int_equal(mkdir(path_of(""), 0755), 0);
    assert_int_equal(mkdir(path_of("logs"), 0777), 0);
    assert_int_equal(chmod(path_of("logs"), 0777), 0);
    (void)snprintf(source, sizeof(source), "%s/source", root.path);
    (void)snprintf(page, sizeof(page), "%s/index.html", source);
    assert_int_equal(mkdir(source, 0755), 0);
    write_file(page, "hello\n");
    opts = (struct amy_deploy_options)AMY_DEPLOY_OPTIONS_INIT;
    opts.base = root.base;
    opts.config = root.config;
    opts.webapps = root.webapps;
    opts.run = root.run;
    opts.state = root.state;
    opts.site = "example.org";
    opts.from = source;
    opts.on_event = on_event;
    cancel_at = NULL;
    free_in_done = false;
    write_yaml(geteuid() == 0 ? ", user: bin}" : "}");
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    amy_deploy_free(deploy);
    deploy = NULL;
    return root_remove(&root);
}

#define USER (geteuid() == 0 ? ", user: bin" : "")

static void
write_hook(const char *which, const char *run)
{
    char more[512];

    (void)snprintf(more, sizeof(more), "%s, %s: [{name: hook, %s}]}", USER,
                   which, run);
    write_yaml(more);
}

/* ---- what goes well ---- */

static void
test_releases_follow_each_other_and_one_goes_back(void **state)
{
    char first[512];
    struct stat st;

    (void)state;
    run_all(0);
    assert_true(end.served && end.mended);
    assert_string_equal(end.previous, "");
    assert_string_equal(link_of(), end.release);
    (void)snprintf(first, sizeof(first), "%s", end.release);
    assert_int_equal(stat(path_of("repo/index.html"), &st), 0);
    assert_int_equal(stat(path_of("releases"), &st), 0);
    assert_string_equal(getpwuid(st.st_uid)->pw_name, user_name(true));
    run_all(0); /* in the same second, or not: another one */
    assert_string_equal(end.previous, first);
    opts.from = NULL;
    opts.kind = AMY_DEPLOY_ROLLBACK;
    run_all(0);
    assert_string_equal(link_of(), first);
    assert_int_equal(create(), AMY_ENOTFOUND);
}

static void
test_hooks_have_the_release_in_their_variables(void **state)
{
    (void)state;
    write_hook("before", "run: [sh, -c, 'echo $AMY_SITE $AMY_RELEASE; pwd; id "
                         "-un; basename $VIRTUAL_ENV']");
    run_all(0);
    assert_non_null(strstr(said, "hook: example.org releases/20"));
    assert_non_null(strstr(said, "-directory\n"));
    assert_non_null(strstr(said, user_name(true)));
    assert_non_null(strstr(said, ".venv"));
    write_hook("after", "user: site, run: [id, -un]");
    run_all(0);
    assert_non_null(strstr(said, user_name(false)));
}

static void
test_it_may_be_freed_when_it_is_done(void **state)
{
    (void)state;
    free_in_done = true;
    run_all(0);
}

static void
test_the_plan_can_be_seen(void **state)
{
    struct amy_deploy_step step = {.struct_size = sizeof(step)};

    (void)state;
    assert_int_equal(create(), 0);
    assert_int_equal(amy_deploy_count(deploy), 8);
    assert_int_equal(amy_deploy_at(deploy, 0, &step), 0);
    assert_string_equal(step.name, "checks");
    assert_int_equal(amy_deploy_at(deploy, 1, &step), 0);
    assert_string_equal(step.user, user_name(true));
    assert_int_equal(amy_deploy_at(deploy, 8, &step), AMY_ENOTFOUND);
    assert_string_equal(amy_deploy_release(deploy), "");
    assert_int_equal(count_releases(), 0);
}

/* ---- what fails, and leaves everything as it was ---- */

static void
expect_undone(int code, const char *step, const char *reason)
{
    run_all(code);
    assert_string_equal(end.step, step);
    if (strstr(end.reason, reason) == NULL) {
        print_error("%s\n", end.reason);
    }
    assert_non_null(strstr(end.reason, reason));
    assert_true(end.mended);
    assert_false(end.served);
    assert_true(end.next[0] != '\0');
    assert_string_equal(link_of(), "");
    assert_int_equal(count_releases(), 0);
}

static void
test_a_step_that_fails_undoes_all(void **state)
{
    (void)state;
    write_hook("before", "run: [sh, -c, 'echo no luck >&2; exit 3']");
    expect_undone(AMY_EIO, "hook", "status 3; it said: no luck");
    write_hook("before", "run: [no-such-program]");
    expect_undone(AMY_ENOTFOUND, "hook", "no-such-program");
    write_hook("before", "run: [sh, -c, 'kill -9 $$']");
    expect_undone(AMY_EIO, "hook", "signal 9");
    write_hook("before", "timeout: 1s, run: [sleep, '600']");
    expect_undone(AMY_ETIMEOUT, "hook", "longer than 1s");
    opts.from = "/nonexistent";
    expect_undone(AMY_EIO, "fetch", "tar");
}

static void
test_no_room_is_told_before_anything(void **state)
{
    char more[64];

    (void)state;
    (void)snprintf(more, sizeof(more), "%s, disk: 1TiB}", USER);
    write_yaml(more);
    write_file(path_of("site.yaml"), "");
    (void)snprintf(said, sizeof(said),
                   "site: example.org\nuser: %s\ndeploy: {disk: 1TiB%s}\n",
                   user_name(false), USER);
    write_file(path_of("site.yaml"), said);
    expect_undone(AMY_ELIMIT, "checks", "deploy.disk wants 1TiB");
}

static void
test_canceled_is_undone(void **state)
{
    (void)state;
    write_hook("before", "run: [sleep, '600']");
    cancel_at = "hook";
    expect_undone(AMY_ECANCELED, "hook", "canceled");
    cancel_at = "fetch";
    expect_undone(AMY_ECANCELED, "fetch", "canceled");
    cancel_at = "switch";
    write_hook("before", "run: ['true']");
    run_all(AMY_ECANCELED);
    assert_string_equal(link_of(), "");
}

/* Behind the reload nothing is undone. */
static void
test_a_failing_hook_behind_it_is_only_told(void **state)
{
    (void)state;
    write_hook("after", "run: ['false']");
    run_all(AMY_EIO);
    assert_true(end.served);
    assert_string_equal(link_of(), end.release);
    assert_non_null(strstr(end.next, "rollback"));
    assert_int_equal(count_releases(), 1);
}

/* ---- what a killed one left ---- */

static void
leave_half(void)
{
    write_hook("before", "run: [sleep, '600']");
    assert_int_equal(create(), 0);
    assert_int_equal(amy_deploy_start(deploy, on_done, NULL, &err), 0);
    said[0] = '\0';
    while (strstr(said, "variables: \n") == NULL) {
        assert_int_equal(event_base_loop(root.base, EVLOOP_ONCE), 0);
    }
    amy_deploy_free(deploy); /* as a kill */
    deploy = NULL;
    assert_int_equal(count_releases(), 1);
}

static void
test_what_a_killed_one_left_is_mended(void **state)
{
    (void)state;
    leave_half();
    opts.kind = AMY_DEPLOY_RECOVER;
    run_all(0);
    assert_int_equal(count_releases(), 0);
    run_all(0); /* nothing is left */
    opts.kind = AMY_DEPLOY_RELEASE;
    leave_half();
    write_hook("before", "run: ['true']");
    run_all(0);
    assert_int_equal(count_releases(), 1);
    assert_string_equal(link_of(), end.release);
}

static unsigned
mode_of(const char *name)
{
    struct stat st;

    return lstat(path_of(name), &st) == 0 ? st.st_mode & 07777 : 0;
}

static void
test_what_is_closed_to_others_stays_so(void **state)
{
    char path[200];

    (void)state;
    (void)snprintf(path, sizeof(path), "%s/key", source);
    write_file(path, "secret\n");
    assert_int_equal(chmod(path, 0600), 0);
    if (geteuid() == 0) {
        const struct passwd *user = getpwnam(user_name(true));

        assert_non_null(user);
        assert_int_equal(chown(path, user->pw_uid, user->pw_gid), 0);
    }
    (void)snprintf(path, sizeof(path), "%s/open", source);
    write_file(path, "x\n");
    assert_int_equal(chmod(path, 0666), 0);
    (void)snprintf(path, sizeof(path), "%s/.git", source);
    assert_int_equal(mkdir(path, 0755), 0);
    run_all(0);
    assert_int_equal(mode_of("repo/key"), 0600);
    assert_int_equal(mode_of("repo/open"), 0644);
    assert_int_equal(mode_of("repo/.git"), 0);
    assert_int_equal(mode_of("repo/."), 0755);
}

static void
test_roots_umask_closes_no_release(void **state)
{
    mode_t old = umask(077);

    (void)state;
    run_all(0);
    (void)umask(old);
    assert_int_equal(mode_of("repo/."), 0755);
}

/* A letter of two bytes where a line is cut, and one of Latin-1. */
static void
test_what_programs_say_is_told_as_utf8(void **state)
{
    (void)state;
    write_hook("before",
               "run: [python3, -c, \"import sys; o = sys.stdout.buffer; "
               "o.write(b'caf\\\\xe9 !\\\\n' + b'x' * 149 + "
               "b'\\\\xc3\\\\xbc' * 10); o.flush(); sys.exit(3)\"]");
    run_all(AMY_EIO);
    assert_non_null(strstr(said, "caf? !\n"));
    assert_non_null(strstr(said, "xx\xc3\xbc"));
    assert_string_equal(end.reason + strlen(end.reason) - 3, "xxx");
}

static void
test_what_cannot_be_mended_is_forgotten_when_told_to(void **state)
{
    (void)state;
    leave_half();
    opts.kind = AMY_DEPLOY_FORGET;
    run_all(AMY_ESTATE);
    assert_string_equal(end.step, "remove");
    assert_non_null(strstr(said, "left undone"));
    assert_int_equal(end.mended, 0);
    assert_int_equal(count_releases(), 1);
    run_all(0); /* nothing is left */
    opts.kind = AMY_DEPLOY_RELEASE;
    write_hook("before", "run: ['true']");
    run_all(0);
    assert_int_equal(count_releases(), 2);
}

static void
test_a_journal_that_makes_no_sense_stops_it(void **state)
{
    char path[200];

    (void)state;
    run_all(0);
    (void)snprintf(path, sizeof(path), "%s/deploy/sites/example.org/journal",
                   root.state);
    write_file(path, "{}");
    run_all(AMY_EPARSE);
    assert_int_equal(count_releases(), 1);
    opts.kind = AMY_DEPLOY_FORGET;
    run_all(AMY_EPARSE);
    opts.kind = AMY_DEPLOY_RELEASE;
    run_all(0);
    assert_int_equal(count_releases(), 2);
}

/* ---- what is refused ---- */

static void
expect_refused(int code, const char *words)
{
    assert_int_equal(create(), code);
    if (strstr(err.msg, words) == NULL) {
        print_error("%s\n", err.msg);
    }
    assert_non_null(strstr(err.msg, words));
    assert_null(deploy);
}

static void
test_what_cannot_be_is_refused(void **state)
{
    (void)state;
    opts.base = NULL;
    expect_refused(AMY_EINVAL, "base");
    opts.base = root.base;
    opts.site = NULL;
    expect_refused(AMY_EINVAL, "site");
    opts.site = "example.com";
    expect_refused(AMY_ENOTFOUND, "example.com");
    opts.site = "../example.org";
    expect_refused(AMY_ENOTFOUND, "no site");
    opts.site = "example.org";
    opts.kind = 7;
    expect_refused(AMY_EINVAL, "kind");
    opts.kind = AMY_DEPLOY_RELEASE;
    opts.from = "source";
    expect_refused(AMY_EINVAL, "absolute");
    opts.from = NULL;
    opts.ref = "--upload-pack=id";
    expect_refused(AMY_EINVAL, "no branch");
    opts.ref = "a b";
    expect_refused(AMY_EINVAL, "no branch");
    opts.ref = "a\rb";
    expect_refused(AMY_EINVAL, "no branch");
    opts.ref = "a\x7f";
    expect_refused(AMY_EINVAL, "no branch");
    opts.ref = NULL;
    opts.kind = AMY_DEPLOY_ROLLBACK;
    expect_refused(AMY_ENOTFOUND, "served before");
    opts.to = "../x";
    expect_refused(AMY_EINVAL, "no release");
    opts.to = NULL;
    opts.kind = AMY_DEPLOY_RELEASE;
    write_file(path_of("site.yaml"), "site: example.org\nuser: [\n");
    expect_refused(AMY_EPARSE, "");
    write_yaml(", user: no-such-user-here}");
    if (geteuid() == 0) {
        expect_refused(AMY_ENOTFOUND, "no-such-user-here");
        write_yaml("}");
        expect_refused(AMY_EINVAL, "deploy.user");
    }
}

static void
test_a_directory_in_the_way_is_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path_of("repo"), 0755), 0);
    write_file(path_of("repo/manage.py"), "");
    expect_refused(AMY_ESTATE, "repo is a directory");
    assert_int_equal(mkdir(path_of("repo/.git"), 0755), 0);
    expect_refused(AMY_EINVAL, "--from needs releases");
}

static void
test_two_at_once_are_refused(void **state)
{
    struct amy_deploy *other = NULL;

    (void)state;
    assert_int_equal(create(), 0);
    other = deploy;
    assert_int_equal(create(), 0);
    assert_int_equal(amy_deploy_start(other, on_done, NULL, &err), 0);
    assert_int_equal(amy_deploy_start(other, on_done, NULL, &err), AMY_ESTATE);
    assert_int_equal(amy_deploy_start(deploy, NULL, NULL, &err), AMY_EINVAL);
    assert_int_equal(amy_deploy_start(deploy, on_done, NULL, &err), AMY_EBUSY);
    (void)event_base_loop(root.base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    assert_int_equal(amy_deploy_start(deploy, on_done, NULL, &err), AMY_EBUSY);
    assert_non_null(strstr(err.msg, "under way: pid "));
    amy_deploy_free(other);
    amy_deploy_free(NULL);
}

int
main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_releases_follow_each_other_and_one_goes_back),
        TEST(test_hooks_have_the_release_in_their_variables),
        TEST(test_it_may_be_freed_when_it_is_done),
        TEST(test_the_plan_can_be_seen),
        TEST(test_a_step_that_fails_undoes_all),
        TEST(test_no_room_is_told_before_anything),
        TEST(test_canceled_is_undone),
        TEST(test_a_failing_hook_behind_it_is_only_told),
        TEST(test_what_a_killed_one_left_is_mended),
        TEST(test_what_is_closed_to_others_stays_so),
        TEST(test_roots_umask_closes_no_release),
        TEST(test_what_programs_say_is_told_as_utf8),
        TEST(test_what_cannot_be_mended_is_forgotten_when_told_to),
        TEST(test_a_journal_that_makes_no_sense_stops_it),
        TEST(test_what_cannot_be_is_refused),
        TEST(test_a_directory_in_the_way_is_refused),
        TEST(test_two_at_once_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

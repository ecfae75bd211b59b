/* A supervisor becomes another program: its workers are not touched. This
 * program is both supervisors, and the trial of the second. */
/* Not for a supervisor that is killed: test_handover.c. */
#include "amy_test.h"

#include <amy/pool.h>

#include "core/clock.h"
#include "core/files.h"
#include "core/loop.h"
#include "core/spawn.h"
#include "core/upgrade.h"
#include "pool/saved.h"

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000

/* Begins a line under the first supervisor, and ends it under the second. */
#define SCRIPT                                                                 \
    "trap 'exit 0' TERM; printf half; echo $$ >>begun; "                       \
    "while [ ! -e go ]; do sleep 0.02; done; echo ' line'; "                   \
    "while :; do sleep 0.02; done"

static char dir_path[] = "/tmp/amy-test-XXXXXX";
static int dir_fd = -1;

/* What both supervisors are. */
struct scene {
    struct event_base *base;
    struct amy_pool *pool;
    struct amy__upgrade_past past;
    struct amy__upgrade_owner owner;
    struct amy__upgrade *upgrade;
    struct amy__timer *timer;
    char line[256];
    int64_t pid;   /* of its worker, as restored */
    int exit_code; /* of this supervisor */
    uint32_t exits;
    struct event *hup;
    struct amy_upgrade_options opts;
    uint32_t saves;
};
static struct scene scene;

static bool
exists(const char *name)
{
    return faccessat(AT_FDCWD, name, F_OK, 0) == 0;
}

static void
end(int code)
{
    scene.exit_code = code;
    (void)event_base_loopbreak(scene.base);
}

/* ---- both ---- */

static void
on_stopped(struct amy_pool *pool, void *user)
{
    (void)pool;
    (void)user;
    end(scene.exits == 1 ? 0 : 5);
}

static void
on_line(struct amy_pool *pool, uint32_t position, int64_t pid, const char *line,
        size_t n, void *user)
{
    (void)position;
    (void)user;
    (void)snprintf(scene.line, sizeof(scene.line), "%.*s", (int)n, line);
    if (strcmp(scene.line, "half line") != 0 || pid != scene.pid) {
        end(3);
        return;
    }
    if (amy_pool_stop(pool, 0, on_stopped, NULL, NULL) < 0) {
        end(4);
    }
}

static void
on_event(struct amy_pool *pool, const struct amy_pool_event *event, void *user)
{
    (void)pool;
    (void)user;
    scene.exits += event->type == AMY_POOL_EXITED;
}

static const char *
busy(void *user)
{
    (void)user;
    return exists("begun") ? NULL : "the worker begins";
}

static bool
is_set(const char *variable)
{
    return getenv(variable) != NULL;
}

static bool
hush(bool on, void *user)
{
    (void)user;
    if (on && is_set("HUP_AT_LAST_TURN")) {
        (void)raise(SIGHUP);
    }
    return true;
}

static int
save(struct amy__handover *handover, void *user, struct amy_error *err)
{
    (void)user;
    (void)err;
    scene.saves++;
    if (scene.saves == 1 && is_set("TWICE") &&
        amy__upgrade_start(&scene.owner, &scene.opts, &scene.upgrade, NULL) <
            0) {
        end(12);
    }
    if (scene.saves == 2 && is_set("HUP_AT_JUMP")) {
        (void)raise(SIGHUP);
    }
    (void)amy__json_set(amy__handover_root(handover), "pool",
                        amy__pool_save(scene.pool, handover));
    return 0;
}

static bool
make_scene(void)
{
    static const char *const argv[] = {"sh", "-c", SCRIPT, NULL};
    struct amy_pool_options opts = AMY_POOL_OPTIONS_INIT;

    scene.base = event_base_new();
    scene.exit_code = 1;
    scene.owner = (struct amy__upgrade_owner){
        .base = scene.base,
        .daemon = "test",
        .borrow_past = &scene.past,
        .busy = busy,
        .hush = hush,
        .save = save,
    };
    opts.base = scene.base;
    opts.name = "saved";
    opts.argv = argv;
    opts.directory = ".";
    opts.count = 2;
    opts.settle_ms = 1;
    opts.on_output = on_line;
    opts.on_event = on_event;
    return amy_pool_create(&opts, &scene.pool, NULL) == 0;
}

/* ---- the first ---- */

static void
on_refused(const struct amy_error *err, void *user)
{
    (void)user;
    (void)fprintf(stderr, "refused: %s\n", err->msg);
    end(scene.past.refusal[0] != '\0' && scene.upgrade == NULL ? 40 : 41);
}

static void
on_hup(int number, short what, void *user)
{
    (void)number;
    (void)what;
    (void)user;
    end(42);
}

static void
on_hold(bool on, void *user)
{
    sigset_t set;

    (void)user;
    (void)sigemptyset(&set);
    (void)sigaddset(&set, SIGHUP);
    (void)sigprocmask(on ? SIG_BLOCK : SIG_UNBLOCK, &set, NULL);
}

static bool
is_held_back(void)
{
    sigset_t set;

    return sigpending(&set) == 0 && sigismember(&set, SIGHUP) == 1;
}

static int
supervise(const char *program)
{
    /* A helper that nobody hands over. */
    static const char *const sleeper[] = {"/bin/sleep", "1000", NULL};
    static const char *const none[] = {NULL};
    const struct amy__spawn_plan plan = {
        .argv = sleeper, .envp = none, .cwd_fd = -1, .new_session = true};
    const char *argv[] = {"test", "resume", NULL};
    struct amy_upgrade_options *opts = &scene.opts;
    struct amy__child helper = {.pidfd = -1};
    char pid[32] = "";

    if (!make_scene() || amy__spawn(&plan, &helper, NULL) < 0) {
        return 10;
    }
    (void)snprintf(pid, sizeof(pid), "%d", (int)helper.pid);
    (void)setenv("HELPER", pid, 1);
    *opts = (struct amy_upgrade_options)AMY_UPGRADE_OPTIONS_INIT;
    opts->program = program;
    opts->argv = argv;
    opts->trial_ms = getenv("HANG") != NULL ? 2000 : 15000;
    opts->refused = on_refused;
    opts->hold = on_hold;
    scene.hup = evsignal_new(scene.base, SIGHUP, on_hup, NULL);
    if (event_add(scene.hup, NULL) != 0 ||
        amy_pool_start_position(scene.pool, 1, NULL) < 0 ||
        amy__upgrade_start(&scene.owner, opts, &scene.upgrade, NULL) < 0) {
        return 11;
    }
    (void)event_base_dispatch(scene.base);
    amy__upgrade_free(scene.upgrade);
    amy_pool_free(scene.pool);
    amy__child_end(&helper, true);
    return scene.exit_code;
}

/* ---- the second ---- */

static void
make_file(const char *name)
{
    (void)close(open(name, O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
}

static int
check_state(const char *number)
{
    struct amy__json *root = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__handover_read(atoi(number), "test", &root, &err);

    amy__json_free(root);
    if (is_set("REFUSE") || (is_set("REFUSE_ONCE") && !exists("tried"))) {
        make_file("tried");
        (void)printf("first\nthis release refuses\n\n");
        return 1;
    }
    if (is_set("HANG")) {
        (void)pause();
    }
    if (is_set("REPLACE")) {
        (void)symlink("/bin/false", "new");
        (void)rename("new", "program");
    }
    return rc == 0 ? 0 : 1;
}

static int
resume(void)
{
    const char *number = getenv(AMY__HANDOVER_VARIABLE);
    struct amy_worker_view view = {.struct_size = sizeof(view)};
    struct amy__handover *handover = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    if (!make_scene() || number == NULL ||
        amy__upgrade_take(atoi(number), &scene.owner, &handover, &err) < 0 ||
        amy__pool_restore(scene.pool, handover,
                          amy__json_get(amy__handover_root(handover), "pool"),
                          NULL, NULL, &err) < 0) {
        (void)fprintf(stderr, "resume: %s\n", err.msg);
        return 20;
    }
    amy__handover_free(handover);
    if (kill(atoi(getenv("HELPER")), 0) == 0 || errno != ESRCH) {
        return 21;
    }
    if (scene.past.count != 1 || amy_pool_worker(scene.pool, 1, &view) < 0 ||
        view.pid <= 0 || view.incarnation != 1) {
        return 22;
    }
    scene.pid = view.pid;
    if (amy_pool_worker(scene.pool, 0, &view) < 0 ||
        view.state != AMY_WORKER_STOPPED) {
        return 23;
    }
    if (is_set("HUP_AT_JUMP") != is_held_back()) {
        return 24;
    }
    make_file("go");
    (void)event_base_dispatch(scene.base);
    amy_pool_free(scene.pool);
    return scene.exit_code;
}

/* ---- tests ---- */

static int
make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir_path, sizeof(dir_path), "/tmp/amy-test-XXXXXX");
    if (mkdtemp(dir_path) == NULL) {
        return -1;
    }
    dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0;
}

static int
remove_dir(void **state)
{
    static const char *const names[] = {"begun", "go", "tried", "program"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        (void)unlinkat(dir_fd, names[i], 0);
    }
    close(dir_fd);
    return rmdir(dir_path);
}

/* The exit code of the whole. */
static int
run_with(const char *program, const char *variable, const char *another)
{
    const char *argv[] = {"/proc/self/exe", "supervise", program, NULL};
    const char *envp[] = {"PATH=/usr/bin:/bin", variable, another, NULL};
    const struct amy__spawn_plan plan = {
        .argv = argv, .envp = envp, .cwd_fd = dir_fd, .new_session = true};
    struct amy__child child = {.pidfd = -1};
    struct amy__child_exit how = {0};
    struct pollfd ended = {.events = POLLIN};
    struct amy_error err = AMY_ERROR_INIT;

    assert_int_equal(amy__spawn(&plan, &child, &err), 0);
    ended.fd = child.pidfd;
    assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
    assert_int_equal(amy__child_reap(&child, &how, &err), 1);
    amy__close(&child.pidfd);
    return how.code;
}

static int
run(const char *program, const char *variable)
{
    return run_with(program, variable, NULL);
}

static size_t
lines_begun(void)
{
    char text[256] = "";
    int fd = openat(dir_fd, "begun", O_RDONLY | O_CLOEXEC);
    ssize_t n = read(fd, text, sizeof(text) - 1);
    size_t lines = 0;

    for (ssize_t i = 0; i < n; i++) {
        lines += text[i] == '\n';
    }
    close(fd);
    return lines;
}

static void
test_worker_and_its_half_line_live_on(void **state)
{
    (void)state;
    assert_int_equal(run("/proc/self/exe", NULL), 0);
    assert_int_equal(lines_begun(), 1);
}

static void
test_program_that_refuses_leaves_the_old_one(void **state)
{
    (void)state;
    assert_int_equal(run("/proc/self/exe", "REFUSE=1"), 40);
    assert_int_equal(lines_begun(), 1);
}

static void
test_program_that_hangs_leaves_the_old_one(void **state)
{
    (void)state;
    assert_int_equal(run("/proc/self/exe", "HANG=1"), 40);
}

static void
test_program_that_is_none_leaves_the_old_one(void **state)
{
    (void)state;
    assert_int_equal(run("/nowhere/amy", NULL), 40);
    assert_int_equal(run("/etc/passwd", NULL), 40);
}

static void
test_program_that_was_replaced_is_tried_itself(void **state)
{
    char self[4096] = "";

    (void)state;
    assert_true(readlink("/proc/self/exe", self, sizeof(self) - 1) > 0);
    assert_int_equal(symlinkat(self, dir_fd, "program"), 0);
    assert_int_equal(run("./program", "REPLACE=1"), 40);
}

static void
test_asked_twice_is_tried_twice(void **state)
{
    (void)state;
    assert_int_equal(run_with("/proc/self/exe", "REFUSE_ONCE=1", "TWICE=1"), 0);
    assert_int_equal(lines_begun(), 1);
}

static void
test_signal_before_the_jump_is_dealt_with(void **state)
{
    (void)state;
    assert_int_equal(run("/proc/self/exe", "HUP_AT_LAST_TURN=1"), 42);
}

static void
test_signal_at_the_jump_is_the_next_ones(void **state)
{
    (void)state;
    assert_int_equal(run("/proc/self/exe", "HUP_AT_JUMP=1"), 0);
}

static void
test_states_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {
        "{}",
        "{\"workers\": []}",
        "{\"workers\": [{}, {}]}",
        "{\"workers\": [{\"facts\": \"amy-worker-1 2\"}, {}]}",
        /* ready, and no process */
        "{\"workers\": [{\"facts\": \"amy-worker-1 2 1 0 0 0 1 1 1 -1 0\"}, {}]}",
        "{\"workers\": [{\"facts\": \"amy-worker-1 2 1 0 0 0 1 1 1 -1 0\","
        " \"pid\": 1, \"process_fd\": 0}, {}]}",
    };
    struct amy__handover *handover = NULL;

    (void)state;
    assert_int_equal(amy__handover_create("test", &handover, NULL), 0);
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct amy__json *json = NULL;

        assert_true(make_scene());
        assert_int_equal(amy__json_parse(amy__span_of(bad[i]), &json, NULL), 0);
        assert_int_equal(
            amy__pool_restore(scene.pool, handover, json, NULL, NULL, NULL),
            AMY_EPARSE);
        amy__json_free(json);
        amy_pool_free(scene.pool);
        event_base_free(scene.base);
    }
    amy__handover_free(handover);
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_worker_and_its_half_line_live_on,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            test_program_that_refuses_leaves_the_old_one, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            test_program_that_hangs_leaves_the_old_one, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            test_program_that_is_none_leaves_the_old_one, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            test_program_that_was_replaced_is_tried_itself, make_dir,
            remove_dir),
        cmocka_unit_test_setup_teardown(test_asked_twice_is_tried_twice,
                                        make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            test_signal_before_the_jump_is_dealt_with, make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            test_signal_at_the_jump_is_the_next_ones, make_dir, remove_dir),
        cmocka_unit_test(test_states_that_are_none_are_refused),
    };

    if (argc > 2 && strcmp(argv[argc - 2], "--check-state") == 0) {
        return check_state(argv[argc - 1]);
    }
    if (argc == 3 && strcmp(argv[1], "supervise") == 0) {
        return supervise(argv[2]);
    }
    if (argc == 2 && strcmp(argv[1], "resume") == 0) {
        return resume();
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

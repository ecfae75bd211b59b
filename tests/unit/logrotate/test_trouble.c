/* A rotator that is refused something: memory, an answer whether a file is
 * still written to, its children's work, an end of the directory. */
#include "amy_test.h"

#include "fail_alloc.h"
#include "logrotate/logrotate.h"
#include "logrotate/scan.h"

#include <event2/event.h>

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAME "app.log"
#define OLD NAME "-20261126T205959Z"
#define BEGIN_MS INT64_C(1795726799000) /* 2026-11-26T20:59:59Z */
#define DEADLINE_MS 60000
#define MINUTE_MS INT64_C(60000)

struct scene {
    char path[64];
    struct event_base *base;
    struct amy_logrotate *rotator;
    struct amy_logrotate_options opts;
    int64_t skip_ms; /* that the rotator believes to have passed */
    char warned[4096];
    unsigned warnings;
    unsigned open_told; /* that somebody has an old file open */
};
static struct scene scene;

static int64_t
mono_ms(void *user)
{
    (void)user;
    return amy_clock_system()->mono_ms(NULL);
}

static int64_t
skipped_ms(void *user)
{
    return mono_ms(user) + scene.skip_ms;
}

static int64_t
wall_ms(void *user)
{
    (void)user;
    return BEGIN_MS;
}

static const struct amy_clock test_clock = {sizeof(test_clock), skipped_ms,
                                            wall_ms, NULL};

static void
on_log(enum amy_log_level level, const char *line, void *user)
{
    size_t used = strlen(scene.warned);

    (void)user;
    if (level <= AMY_LOG_WARN) {
        scene.warnings++;
        (void)snprintf(scene.warned + used, sizeof(scene.warned) - used, "%s\n",
                       line);
    } else if (strstr(line, "lets go of it directory=") != NULL) {
        scene.open_told++;
    }
}

static const struct amy_log test_log = {.struct_size = sizeof(test_log),
                                        .fn = on_log};

static void
on_file(struct amy_logrotate *rotator, const struct amy_logrotate_file *file,
        void *user)
{
    (void)user;
    if (file->fd >= 0) {
        amy_logrotate_release(rotator, file->name, file->serial);
    }
}

static int
set_up(void **state)
{
    (void)state;
    scene = (struct scene){.skip_ms = 0};
    /* In memory where there is room: many files take a disk long. */
    (void)snprintf(scene.path, sizeof(scene.path), "%s/amy-trouble-XXXXXX",
                   access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    assert_non_null(mkdtemp(scene.path));
    scene.base = event_base_new();
    assert_non_null(scene.base);
    scene.opts = (struct amy_logrotate_options)AMY_LOGROTATE_OPTIONS_INIT;
    scene.opts.base = scene.base;
    scene.opts.directory = scene.path;
    scene.opts.look_ms = 5;
    scene.opts.borrow_clock = &test_clock;
    scene.opts.log = &test_log;
    scene.opts.on_file = on_file;
    return 0;
}

static void
stop(void)
{
    amy_logrotate_free(scene.rotator);
    scene.rotator = NULL;
}

static int
tear_down(void **state)
{
    char command[128] = "";

    (void)state;
    stop();
    event_base_free(scene.base);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", scene.path);
    return system(command);
}

static void
start(void)
{
    assert_int_equal(amy_logrotate_create(&scene.opts, &scene.rotator, NULL),
                     0);
    assert_int_equal(
        amy_logrotate_add(scene.rotator, NAME, AMY_LOGROTATE_NAMED, NULL), 0);
}

/* ---- files ---- */

static const char *
path_of(const char *name)
{
    static char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", scene.path, name);
    return path;
}

/* Open for writing, for as long as the caller wants. */
static int
put(const char *name, const char *text)
{
    int fd =
        open(path_of(name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    return fd;
}

static bool
exists(const char *name)
{
    struct stat st = {0};

    return lstat(path_of(name), &st) == 0;
}

static bool
is_gone(const char *name)
{
    return !exists(name);
}

static bool
is_warned(const char *words)
{
    return strstr(scene.warned, words) != NULL;
}

static bool
has_problem(const char *words)
{
    struct amy_logrotate_view view = {.struct_size = sizeof(view)};

    amy_logrotate_read(scene.rotator, &view);
    return strstr(view.problem, words) != NULL;
}

static bool
is_well(const char *unused)
{
    struct amy_logrotate_view view = {.struct_size = sizeof(view)};

    (void)unused;
    amy_logrotate_read(scene.rotator, &view);
    return view.problem[0] == '\0';
}

/* ---- the loop ---- */

static bool
run_for(bool (*is_so)(const char *what), const char *what, int64_t ms)
{
    int64_t until = mono_ms(NULL) + ms;

    while (!is_so(what)) {
        if (mono_ms(NULL) > until) {
            return false;
        }
        (void)event_base_loop(scene.base, EVLOOP_ONCE);
    }
    return true;
}

static void
run_until(bool (*is_so)(const char *what), const char *what)
{
    if (!run_for(is_so, what, DEADLINE_MS)) {
        fail_msg("'%s' in vain; told: %s", what, scene.warned);
    }
}

/* A dozen looks. */
static void
let_it_look(void)
{
    for (int i = 0; i < 12; i++) {
        (void)event_base_loop(scene.base, EVLOOP_ONCE);
    }
}

/* ---- who goes on writing ---- */

static void
test_who_goes_on_writing_for_five_minutes_is_told_of_once(void **state)
{
    int fd = -1;

    (void)state;
    scene.opts.size_bytes = 4;
    fd = put(NAME, "123\n");
    start();
    run_until(exists, OLD);
    scene.skip_ms += 4 * MINUTE_MS;
    let_it_look();
    assert_string_equal(scene.warned, "");
    assert_int_equal(write(fd, "45\n", 3), 3);
    scene.skip_ms += MINUTE_MS;
    run_until(is_warned,
              "stays plain for now: '" OLD "' is still written to directory=");
    scene.skip_ms += 10 * MINUTE_MS;
    let_it_look();
    assert_int_equal(scene.warnings, 1);
    assert_true(exists(OLD));
    close(fd);
    let_it_look();
    assert_true(exists(OLD)); /* tried each ten minutes from then on */
    scene.skip_ms += 10 * MINUTE_MS;
    run_until(is_gone, OLD);
    assert_true(exists(OLD ".gz"));
    assert_int_equal(scene.warnings, 1);
}

static bool
is_told_open(const char *unused)
{
    (void)unused;
    return scene.open_told > 0;
}

/* As a WatchedFileHandler on a quiet site: nothing to worry about, until it
 * writes there after all. */
static void
test_who_has_it_open_and_writes_nothing_is_no_trouble(void **state)
{
    int fd = -1;

    (void)state;
    scene.opts.size_bytes = 4;
    fd = put(NAME, "123\n");
    start();
    run_until(exists, OLD);
    let_it_look();
    scene.skip_ms += 5 * MINUTE_MS;
    run_until(is_told_open, "");
    scene.skip_ms += 10 * MINUTE_MS;
    let_it_look();
    assert_string_equal(scene.warned, "");
    assert_int_equal(scene.open_told, 1);
    assert_int_equal(write(fd, "45\n", 3), 3);
    scene.skip_ms += 10 * MINUTE_MS;
    run_until(is_warned, "stays plain for now: '" OLD "' is still written to");
    close(fd);
    scene.skip_ms += 10 * MINUTE_MS;
    run_until(is_gone, OLD);
    assert_true(exists(OLD ".gz"));
    assert_int_equal(scene.warnings, 1);
    assert_int_equal(scene.open_told, 1);
}

/* ---- a file system without leases ---- */

/* From now on, in this process: fcntl(2) knows no F_SETLEASE. */
static bool
refuse_leases(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_fcntl, 0, 3),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
                 offsetof(struct seccomp_data, args[1])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, F_SETLEASE, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EINVAL),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}

/* Nothing can be known of who writes: what is rotated stays plain, and that is
 * said once; limits go on. 0, or what failed. */
static int
rotate_without_leases(void)
{
    if (!refuse_leases()) {
        return 1;
    }
    scene.opts.size_bytes = 4;
    start();
    if (!run_for(is_warned,
                 "the file system does not tell whether it is still "
                 "written to",
                 DEADLINE_MS)) {
        return 2;
    }
    scene.skip_ms += 10 * MINUTE_MS;
    let_it_look();
    if (scene.warnings != 1 || !exists(OLD) || exists(OLD ".gz")) {
        return 3;
    }
    scene.opts.total_bytes = 1;
    if (amy_logrotate_set(scene.rotator, &scene.opts, NULL) != 0 ||
        !run_for(is_gone, OLD, DEADLINE_MS)) {
        return 4;
    }
    stop();
    return 0;
}

static void
test_without_leases_old_files_stay_plain_and_that_is_told(void **state)
{
    int status = -1;
    pid_t pid = -1;

    (void)state;
    close(put(NAME, "123\n"));
    pid = fork(); /* the filter is for good */
    assert_true(pid >= 0);
    if (pid == 0) {
        assert_int_equal(event_reinit(scene.base), 0);
        _exit(rotate_without_leases());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* ---- a child that dies ---- */

/* Of a child of ours that runs this program by now; or 0. */
static pid_t
find_child(const char *program)
{
    char path[64] = "";
    char comm[32] = "";
    FILE *children = fopen("/proc/thread-self/children", "re");
    int pid = 0;
    int found = 0;

    assert_non_null(children);
    while (found == 0 && fscanf(children, "%d", &pid) == 1) {
        FILE *file = NULL;

        (void)snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        file = fopen(path, "re");
        if (file != NULL) {
            found =
                fscanf(file, "%31s", comm) == 1 && strcmp(comm, program) == 0
                    ? pid
                    : 0;
            (void)fclose(file);
        }
    }
    (void)fclose(children);
    return found;
}

static bool
is_killed(const char *program)
{
    pid_t pid = find_child(program);

    return pid > 0 && kill(pid, SIGKILL) == 0;
}

static void
test_a_child_that_is_killed_leaves_the_plain_file(void **state)
{
    (void)state;
    close(put(OLD, "1\n"));
    /* A hole that takes gzip seconds. */
    assert_int_equal(truncate(path_of(OLD), INT64_C(1) << 30), 0);
    start();
    run_until(is_killed, "gzip");
    run_until(is_warned, "stays plain for now: packing '" OLD "' failed");
    assert_true(is_warned("signal 9"));
    assert_true(is_gone(OLD ".gz.partial"));
    assert_true(is_gone(OLD ".gz"));
    assert_true(exists(OLD));
    assert_int_equal(truncate(path_of(OLD), 2), 0);
    scene.skip_ms += MINUTE_MS;
    run_until(is_gone, OLD);
    assert_true(exists(OLD ".gz"));
}

/* ---- a directory without end ---- */

static void
test_a_directory_with_too_many_entries_is_told_of(void **state)
{
    char name[32] = "";

    (void)state;
    close(put("first", ""));
    for (unsigned i = 0; i < AMY__LOGSCAN_ENTRIES_MAX; i++) {
        (void)snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(symlink("x", path_of(name)), 0);
    }
    start();
    run_until(has_problem, "the limits may not hold: more than 50000 entries");
    assert_true(is_warned("more than 50000 entries"));
    for (unsigned i = 0; i < 10; i++) { /* and "." and ".." */
        (void)snprintf(name, sizeof(name), "f%u", i);
        assert_int_equal(unlink(path_of(name)), 0);
    }
    run_until(is_well, "");
}

/* ---- memory ---- */

/* Whatever failed is tried again at some time. */
static bool
is_packed_in_the_end(const char *name)
{
    scene.skip_ms += MINUTE_MS;
    return is_gone(name);
}

/* All that a rotator does, with the n-th allocation refused. */
static void
live_once(void)
{
    int rc = amy_logrotate_create(&scene.opts, &scene.rotator, NULL);

    assert_true(rc == 0 || rc == AMY_ENOMEM);
    if (rc == AMY_ENOMEM) {
        return;
    }
    rc = amy_logrotate_add(scene.rotator, NAME, AMY_LOGROTATE_GIVEN, NULL);
    assert_true(rc == 0 || rc == AMY_ENOMEM);
    rc = rc == 0 ? amy_logrotate_now(scene.rotator, NAME, NULL) : rc;
    assert_true(rc == 0 || rc == AMY_ENOMEM);
    if (rc == 0) {
        run_until(is_packed_in_the_end, OLD);
        assert_true(exists(OLD ".gz"));
    }
}

static void
test_any_allocation_may_fail(void **state)
{
    bool hit = true;

    (void)state;
    for (int n = 1; hit; n++) {
        close(put(NAME, "123\n"));
        (void)unlink(path_of(OLD ".gz"));
        (void)unlink(path_of(OLD));
        fail_alloc_nth(n);
        live_once();
        hit = fail_alloc_hit();
        fail_alloc_nth(0);
        stop();
        assert_int_equal(fail_alloc_live(), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_who_has_it_open_and_writes_nothing_is_no_trouble),
        TEST(test_who_goes_on_writing_for_five_minutes_is_told_of_once),
        TEST(test_without_leases_old_files_stay_plain_and_that_is_told),
        TEST(test_a_child_that_is_killed_leaves_the_plain_file),
        TEST(test_a_directory_with_too_many_entries_is_told_of),
        TEST(test_any_allocation_may_fail),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

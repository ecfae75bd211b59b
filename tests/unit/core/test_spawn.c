#include "amy_test.h"

#include "core/buf.h"
#include "core/files.h"
#include "core/spawn.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static const char *const NO_ENV[] = {"PATH=/usr/bin:/bin", NULL};

/* A plan that runs `sh -c script`. */
struct shell {
    const char *argv[4];
    struct amy__spawn_plan plan;
};

static void
shell_init(struct shell *shell, const char *script)
{
    *shell = (struct shell){
        .argv = {"/bin/sh", "-c", script, NULL},
        .plan = {.envp = NO_ENV, .cwd_fd = -1},
    };
    shell->plan.argv = shell->argv;
}

static void
await(const struct amy__child *child, struct amy__child_exit *ret_exit)
{
    struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
    int pidfd = child->pidfd;

    if (poll(&ended, 1, PATIENCE_MS) != 1) {
        (void)amy__child_signal(child, SIGKILL, NULL);
        fail_msg("the child did not end");
    }
    assert_int_equal(amy__child_reap(child, ret_exit, NULL), 1);
    amy__close(&pidfd);
}

/* Run to the end with stdout in a pipe; returns the exit. */
static struct amy__child_exit
run(struct amy__spawn_plan *plan, char *out, size_t size)
{
    struct amy__spawn_fd fds[8] = {{0}};
    struct amy__child child = {0};
    struct amy__child_exit how = {0};
    struct amy_error err = AMY_ERROR_INIT;
    int ends[2] = {-1, -1};
    size_t used = 0;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    for (size_t i = 0; i < plan->fd_count; i++) {
        fds[i] = plan->fds[i];
    }
    fds[plan->fd_count] = (struct amy__spawn_fd){ends[1], 1};
    plan->fds = fds;
    plan->fd_count++;
    if (amy__spawn(plan, &child, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    close(ends[1]);
    for (;;) {
        ssize_t n = read(ends[0], out + used, size - 1 - used);

        if (n <= 0) {
            break;
        }
        used += (size_t)n;
    }
    out[used] = '\0';
    close(ends[0]);
    await(&child, &how);
    return how;
}

static void
test_spawn_runs_a_program_to_its_exit(void **state)
{
    struct shell shell;
    struct amy__child_exit how = {0};
    char out[256] = "";

    (void)state;
    shell_init(&shell, "echo hello; exit 7");
    how = run(&shell.plan, out, sizeof(out));
    assert_string_equal(out, "hello\n");
    assert_int_equal(how.code, 7);
    assert_int_equal(how.signal, 0);
}

static void
fails(struct amy__spawn_plan *plan, int code, const char *words)
{
    struct amy__child child = {-7, -7};
    struct amy_error err = AMY_ERROR_INIT;

    assert_int_equal(amy__spawn(plan, &child, &err), code);
    if (strstr(err.msg, words) == NULL) {
        fail_msg("'%s' lacks '%s'", err.msg, words);
    }
    assert_int_equal(child.pid, -7);
    /* No child is left, not even as a zombie. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
}

static void
test_spawn_tells_what_execve_said(void **state)
{
    struct shell shell;
    char script[] = "/tmp/amy-test-XXXXXX";
    int fd = mkstemp(script);

    (void)state;
    assert_true(fd >= 0);
    shell_init(&shell, "");
    shell.argv[0] = "/nonexistent/python";
    fails(&shell.plan, AMY_ENOTFOUND, "execve '/nonexistent/python': No such");
    shell.argv[0] = script;
    fails(&shell.plan, AMY_EDENIED, "Permission denied");
    assert_int_equal(dprintf(fd, "#!/nonexistent/interpreter\n"), 27);
    assert_int_equal(fchmod(fd, 0700), 0);
    close(fd);
    fails(&shell.plan, AMY_ENOTFOUND, "its interpreter is missing");
    assert_int_equal(truncate(script, 0), 0);
    fails(&shell.plan, AMY_EIO, "Exec format error");
    unlink(script);
    shell.argv[0] = "/";
    fails(&shell.plan, AMY_EDENIED, "execve '/'");
}

static void
test_spawn_refuses_a_plan_that_cannot_be(void **state)
{
    struct amy__spawn_fd twice[] = {{0, 3}, {1, 3}};
    struct amy__spawn_fd closed = {999, 3};
    struct shell shell;

    (void)state;
    shell_init(&shell, "");
    shell.argv[0] = "sh";
    fails(&shell.plan, AMY_EINVAL, "slash");
    shell.argv[0] = "/bin/sh";
    shell.plan.fds = twice;
    shell.plan.fd_count = 2;
    fails(&shell.plan, AMY_EINVAL, "descriptor 1 cannot become 3");
    shell.plan.fds = &closed;
    shell.plan.fd_count = 1;
    fails(&shell.plan, AMY_EIO, "placing descriptors");
}

static int
memory_file(const char *text)
{
    struct amy_error err = AMY_ERROR_INIT;
    int fd = amy__sealed_memfd("test", text, strlen(text), &err);

    assert_true(fd >= 0);
    return fd;
}

static void
test_spawn_swaps_descriptors(void **state)
{
    struct amy__spawn_fd fds[3];
    struct shell shell;
    char out[256] = "";
    /* Put a in 3 and b in 4, then ask for them the other way round. */
    int a = memory_file("a");
    int b = memory_file("b");
    int saved3 = -1;
    int saved4 = -1;

    (void)state;
    a = fcntl(a, F_DUPFD_CLOEXEC, 50);
    b = fcntl(b, F_DUPFD_CLOEXEC, 50);
    saved3 = fcntl(3, F_DUPFD_CLOEXEC, 60);
    saved4 = fcntl(4, F_DUPFD_CLOEXEC, 60);
    assert_int_equal(dup2(a, 3), 3);
    assert_int_equal(dup2(b, 4), 4);
    fds[0] = (struct amy__spawn_fd){3, 4};
    fds[1] = (struct amy__spawn_fd){4, 3};
    fds[2] = (struct amy__spawn_fd){3, 7};
    /* ls lists the directory it opens, too: the first number that is free. */
    shell_init(&shell, "cat /dev/fd/3 /dev/fd/4 /dev/fd/7; "
                       "exec ls /proc/self/fd");
    shell.plan.fds = fds;
    shell.plan.fd_count = 3;
    assert_int_equal(run(&shell.plan, out, sizeof(out)).code, 0);
    assert_string_equal(out, "baa0\n1\n2\n3\n4\n5\n7\n");
    if (saved3 >= 0) {
        assert_int_equal(dup3(saved3, 3, O_CLOEXEC), 3);
    } else {
        close(3);
    }
    if (saved4 >= 0) {
        assert_int_equal(dup3(saved4, 4, O_CLOEXEC), 4);
    } else {
        close(4);
    }
    for (int fd = 50; fd < 70; fd++) {
        close(fd);
    }
}

static void
test_spawn_fills_unnamed_stdio_with_null(void **state)
{
    struct shell shell;
    char out[256] = "";

    (void)state;
    shell_init(&shell, "readlink /proc/$$/fd/0 /proc/$$/fd/2");
    assert_int_equal(run(&shell.plan, out, sizeof(out)).code, 0);
    assert_string_equal(out, "/dev/null\n/dev/null\n");
}

static void
ignore(int sig)
{
    (void)sig;
}

static void
test_spawn_gives_clean_signals(void **state)
{
    struct sigaction handler = {.sa_handler = ignore};
    struct sigaction saved = {0};
    sigset_t blocked;
    struct shell shell;
    char out[512] = "";

    (void)state;
    assert_int_equal(sigaction(SIGUSR1, &handler, &saved), 0);
    assert_int_not_equal(signal(SIGPIPE, SIG_IGN), SIG_ERR);
    (void)sigemptyset(&blocked);
    (void)sigaddset(&blocked, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &blocked, NULL), 0);
    shell_init(&shell, "exec grep -E '^Sig(Blk|Ign)' /proc/self/status");
    assert_int_equal(run(&shell.plan, out, sizeof(out)).code, 0);
    assert_string_equal(out, "SigBlk:\t0000000000000000\n"
                             "SigIgn:\t0000000000000000\n");
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &blocked, NULL), 0);
    assert_int_equal(sigaction(SIGUSR1, &saved, NULL), 0);
}

static void
test_spawn_hands_over_listeners(void **state)
{
    static const char *const stale[] = {"PATH=/usr/bin:/bin", "LISTEN_PID=1",
                                        "LISTEN_FDS=9", "X=y", NULL};
    struct shell shell;
    char out[256] = "";

    (void)state;
    shell_init(&shell, "test $$ = $LISTEN_PID && "
                       "echo $LISTEN_FDS $LISTEN_FDNAMES $X");
    shell.plan.envp = stale;
    shell.plan.listen_fds = 2;
    shell.plan.listen_names = "web:admin";
    assert_int_equal(run(&shell.plan, out, sizeof(out)).code, 0);
    assert_string_equal(out, "2 web:admin y\n");
    shell_init(&shell, "echo ${LISTEN_FDS-none} ${LISTEN_PID-none} $X");
    shell.plan.envp = stale;
    assert_int_equal(run(&shell.plan, out, sizeof(out)).code, 0);
    assert_string_equal(out, "none none y\n");
}

static void
test_spawn_sets_process_attributes(void **state)
{
    struct shell shell;
    char out[256] = "";
    char want[256] = "";
    int root = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int nice = getpriority(PRIO_PROCESS, 0) + 3;

    (void)state;
    shell_init(&shell, "pwd; umask; ulimit -n; ulimit -c; nice; "
                       "cut -d' ' -f6 /proc/$$/stat | grep -qx $$ && echo own; "
                       "grep NoNewPrivs /proc/$$/status");
    shell.plan.cwd_fd = root;
    shell.plan.umask_plus_one = 0027 + 1;
    shell.plan.max_files = 77;
    shell.plan.no_core = true;
    shell.plan.nice_by = 3;
    shell.plan.oom_score_adj_by = 100;
    shell.plan.new_session = true;
    shell.plan.no_new_privs = true;
    assert_int_equal(run(&shell.plan, out, sizeof(out)).code, 0);
    (void)snprintf(want, sizeof(want),
                   "/\n0027\n77\n0\n%d\nown\n"
                   "NoNewPrivs:\t1\n",
                   nice > 19 ? 19 : nice);
    assert_string_equal(out, want);
    close(root);
}

static void
test_spawn_becomes_another_user_with_nothing(void **state)
{
    static const gid_t groups[] = {65533, 65532};
    struct shell shell;
    char out[512] = "";

    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    shell_init(&shell,
               "exec grep -E '^(Uid|Gid|Groups|Cap(Inh|Prm|Eff|Bnd|Amb))' "
               "/proc/self/status");
    shell.plan.set_ids = true;
    shell.plan.uid = 65534;
    shell.plan.gid = 65534;
    shell.plan.groups = groups;
    shell.plan.group_count = 2;
    shell.plan.drop_capabilities = true;
    shell.plan.parent_death_signal = SIGTERM;
    assert_int_equal(run(&shell.plan, out, sizeof(out)).code, 0);
    assert_string_equal(out, "Uid:\t65534\t65534\t65534\t65534\n"
                             "Gid:\t65534\t65534\t65534\t65534\n"
                             "Groups:\t65532 65533 \n"
                             "CapInh:\t0000000000000000\n"
                             "CapPrm:\t0000000000000000\n"
                             "CapEff:\t0000000000000000\n"
                             "CapBnd:\t0000000000000000\n"
                             "CapAmb:\t0000000000000000\n");
}

static void
test_spawn_enters_the_directory_as_the_new_user(void **state)
{
    struct shell shell;
    char path[] = "/tmp/amy-test-XXXXXX";
    int dir = -1;

    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    assert_non_null(mkdtemp(path));
    dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    shell_init(&shell, "");
    shell.plan.set_ids = true;
    shell.plan.uid = 65534;
    shell.plan.gid = 65534;
    shell.plan.cwd_fd = dir;
    fails(&shell.plan, AMY_EDENIED, "entering the working directory");
    close(dir);
    rmdir(path);
}

static void
test_spawn_without_privilege_cannot_change_ids(void **state)
{
    struct shell shell;

    (void)state;
    if (geteuid() == 0) {
        skip();
    }
    shell_init(&shell, "");
    shell.plan.set_ids = true;
    fails(&shell.plan, AMY_EDENIED, "setting groups");
}

static void
test_child_is_signalled_and_reaped_once(void **state)
{
    struct shell shell;
    struct amy__child child = {0};
    struct amy__child_exit how = {0};

    (void)state;
    shell_init(&shell, "exec cat");
    shell.plan.fds = NULL;
    /* cat on a pipe that stays open lives until it is told to end. */
    {
        int ends[2] = {-1, -1};
        struct amy__spawn_fd in = {0};

        assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
        in = (struct amy__spawn_fd){ends[0], 0};
        shell.plan.fds = &in;
        shell.plan.fd_count = 1;
        shell.plan.new_session = true;
        assert_int_equal(amy__spawn(&shell.plan, &child, NULL), 0);
        assert_int_equal(fcntl(child.pidfd, F_GETFD), FD_CLOEXEC);
        assert_int_equal(amy__child_reap(&child, &how, NULL), 0);
        assert_int_equal(amy__child_signal_group(&child, SIGTERM, NULL), 0);
        close(ends[0]);
        struct pollfd ended = {.fd = child.pidfd, .events = POLLIN};
        assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
        close(ends[1]);
    }
    assert_int_equal(amy__child_signal(&child, SIGTERM, NULL), 0);
    assert_int_equal(amy__child_reap(&child, &how, NULL), 1);
    assert_int_equal(how.code, -1);
    assert_int_equal(how.signal, SIGTERM);
    assert_int_equal(amy__child_signal(&child, SIGTERM, NULL), 0);
    assert_int_equal(amy__child_signal_group(&child, SIGTERM, NULL), 0);
    assert_int_equal(amy__child_reap(&child, &how, NULL), AMY_EIO);
    close(child.pidfd);
}

static void
test_child_that_is_ended_is_no_zombie(void **state)
{
    struct shell shell;
    struct amy__child child = {0};
    struct amy__child_exit how = {0};
    const struct amy__child none = {.pidfd = -1};

    (void)state;
    shell_init(&shell, "trap '' TERM; sleep 600 & wait");
    shell.plan.new_session = true;
    assert_int_equal(amy__spawn(&shell.plan, &child, NULL), 0);
    amy__child_end(&child, true);
    assert_int_equal(amy__child_reap(&child, &how, NULL), AMY_EIO);
    close(child.pidfd);
    shell_init(&shell, "exec sleep 600");
    assert_int_equal(amy__spawn(&shell.plan, &child, NULL), 0);
    amy__child_end(&child, false);
    assert_int_equal(amy__child_reap(&child, &how, NULL), AMY_EIO);
    close(child.pidfd);
    amy__child_end(&none, true);
}

static void
test_child_dies_with_its_parent(void **state)
{
    struct shell shell;
    int ends[2] = {-1, -1};
    struct pollfd ended = {0};
    pid_t middle = 0;
    char byte = 0;

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    middle = fork();
    if (middle == 0) {
        struct amy__spawn_fd out = {ends[1], 1};
        struct amy__child child = {0};

        shell_init(&shell, "echo; exec tail -f /dev/null");
        shell.plan.fds = &out;
        shell.plan.fd_count = 1;
        shell.plan.parent_death_signal = SIGKILL;
        if (amy__spawn(&shell.plan, &child, NULL) != 0) {
            _exit(1);
        }
        /* Stay until the child runs; then leave it alone. */
        _exit(read(ends[0], &byte, 1) == 1 ? 0 : 1);
    }
    close(ends[1]);
    assert_int_equal(waitpid(middle, NULL, 0), middle);
    ended = (struct pollfd){.fd = ends[0], .events = POLLIN};
    assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
    assert_int_equal(read(ends[0], &byte, 1), 0);
    close(ends[0]);
}

/* A program that cannot be opened while we hold its lease: whoever runs it
 * stays before its execve, for the 45 s of lease-break-time. Not every file
 * system has leases. */
static int
make_held_program(char *path, size_t size)
{
    static const char *const places[] = {"/tmp", "/var/tmp", "/dev/shm"};

    assert_ptr_not_equal(signal(SIGIO, SIG_IGN), SIG_ERR);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        int fd = -1;

        (void)snprintf(path, size, "%s/amy-held-XXXXXX", places[i]);
        fd = mkstemp(path);
        assert_true(fd >= 0);
        assert_int_equal(fchmod(fd, 0755), 0);
        close(fd);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && fcntl(fd, F_SETLEASE, F_WRLCK) == 0) {
            return fd;
        }
        close(fd);
        (void)unlink(path);
    }
    fail_msg("no place for a lease");
    return -1;
}

static size_t
count_descriptors(void)
{
    DIR *dir = opendir("/proc/self/fd");
    size_t n = 0;

    assert_non_null(dir);
    while (readdir(dir) != NULL) {
        n++;
    }
    (void)closedir(dir);
    return n;
}

/* What a site's user may do all day: stop what it finds of ours, which is a
 * child of `parent` that is not this one. */
static void
stop_children_of(pid_t parent)
{
    char path[64] = "";

    (void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent,
                   (int)parent);
    for (;;) {
        FILE *list = fopen(path, "re");
        int pid = 0;

        if (list == NULL) {
            _exit(1);
        }
        while (fscanf(list, "%d", &pid) == 1) {
            if (pid != getpid()) {
                (void)kill(pid, SIGSTOP);
            }
        }
        (void)fclose(list);
    }
}

static void
test_spawn_gives_up_a_child_stopped_before_execve(void **state)
{
    char path[64] = "";
    const char *argv[] = {path, NULL};
    struct amy__spawn_plan plan = {.argv = argv, .envp = NO_ENV, .cwd_fd = -1};
    struct amy__child child = {-7, -7};
    struct amy_error err = AMY_ERROR_INIT;
    int fd = make_held_program(path, sizeof(path));
    size_t before = count_descriptors();
    pid_t us = getpid();
    pid_t stopper = fork();

    (void)state;
    if (stopper == 0) {
        stop_children_of(us);
    }
    assert_int_equal(amy__spawn(&plan, &child, &err), AMY_ETIMEOUT);
    /* Seen at once, and not after the whole patience. */
    assert_non_null(strstr(err.msg, "stopped"));
    assert_int_equal(child.pid, -7);
    assert_int_equal(count_descriptors(), before);
    (void)kill(stopper, SIGKILL);
    assert_int_equal(waitpid(stopper, NULL, 0), stopper);
    /* No child is left but that one. */
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    close(fd);
    (void)unlink(path);
}

static void
test_spawn_gives_up_a_program_that_does_not_open(void **state)
{
    char path[64] = "";
    const char *argv[] = {path, NULL};
    struct amy__spawn_plan plan = {.argv = argv, .envp = NO_ENV, .cwd_fd = -1};
    int fd = make_held_program(path, sizeof(path));
    size_t before = count_descriptors();

    (void)state;
    fails(&plan, AMY_ETIMEOUT, "not done in");
    assert_int_equal(count_descriptors(), before);
    close(fd);
    (void)unlink(path);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spawn_runs_a_program_to_its_exit),
        cmocka_unit_test(test_spawn_tells_what_execve_said),
        cmocka_unit_test(test_spawn_refuses_a_plan_that_cannot_be),
        cmocka_unit_test(test_spawn_swaps_descriptors),
        cmocka_unit_test(test_spawn_fills_unnamed_stdio_with_null),
        cmocka_unit_test(test_spawn_gives_clean_signals),
        cmocka_unit_test(test_spawn_hands_over_listeners),
        cmocka_unit_test(test_spawn_sets_process_attributes),
        cmocka_unit_test(test_spawn_becomes_another_user_with_nothing),
        cmocka_unit_test(test_spawn_enters_the_directory_as_the_new_user),
        cmocka_unit_test(test_spawn_without_privilege_cannot_change_ids),
        cmocka_unit_test(test_child_is_signalled_and_reaped_once),
        cmocka_unit_test(test_child_that_is_ended_is_no_zombie),
        cmocka_unit_test(test_child_dies_with_its_parent),
        cmocka_unit_test(test_spawn_gives_up_a_child_stopped_before_execve),
        cmocka_unit_test(test_spawn_gives_up_a_program_that_does_not_open),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

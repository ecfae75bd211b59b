#include "amy_test.h"

#include <amy/front.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* What is done in a child that has confined itself; 0: as promised. */
static int
status_of(int (*act)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        (void)signal(SIGSYS, SIG_DFL); /* cmocka has its own */
        (void)signal(SIGABRT, SIG_DFL);
        _exit(amy_front_process_confine(NULL) == 0 ? act() : 99);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static bool
is_absent(long rc)
{
    return rc == -1 && errno == ENOSYS;
}

static int
open_sockets(void)
{
    struct sockaddr_in any = {.sin_family = AF_INET};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (!is_absent(socket(AF_NETLINK, SOCK_RAW, 0)) ||
        !is_absent(socket(AF_PACKET, SOCK_RAW, 0)) ||
        !is_absent(socket(AF_ALG, SOCK_SEQPACKET, 0))) {
        return 1;
    }
    if (fd < 0 || socket(AF_INET6, SOCK_STREAM, 0) < 0 ||
        socket(AF_UNIX, SOCK_STREAM, 0) < 0) {
        return 2;
    }
    return is_absent(bind(fd, (struct sockaddr *)&any, sizeof(any))) &&
                   is_absent(listen(fd, 1))
               ? 0
               : 3;
}

static void
test_sockets_are_for_connections_to_workers(void **state)
{
    (void)state;
    assert_int_equal(status_of(open_sockets), 0);
}

#ifndef AMY_INSTRUMENTED /* their run time writes files, and more */
static int
open_files(void)
{
    int fd = open("/tmp", O_TMPFILE | O_RDWR | O_EXCL | O_CLOEXEC, 0600);

    if (fd < 0 || write(fd, "body", 4) != 4) {
        return 1; /* the spool's */
    }
    if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0) {
        return 2;
    }
    if (!is_absent(open("/dev/null", O_WRONLY | O_CLOEXEC)) ||
        !is_absent(open("/dev/null", O_RDONLY | O_TRUNC)) ||
        !is_absent(open("/tmp", O_TMPFILE | O_RDWR, 0600))) {
        return 3; /* the last could be given a name */
    }
    return is_absent(chmod("/tmp/no-such-file", 0777)) &&
                   is_absent(unlink("/tmp/no-such-file")) &&
                   is_absent(rename("/tmp/no-such-file", "/tmp/b")) &&
                   is_absent(symlink("/", "/tmp/no-such-directory/a")) &&
                   is_absent(mkdir("/tmp/no-such-directory/a", 0755))
               ? 0
               : 4;
}

static void
test_files_are_for_reading_and_a_long_body(void **state)
{
    (void)state;
    assert_int_equal(status_of(open_files), 0);
}

static int
change_identity(void)
{
    return is_absent(syscall(SYS_setuid, 0)) &&
                   is_absent(syscall(SYS_setresuid, 0, 0, 0)) &&
                   is_absent(syscall(SYS_setgroups, 0, NULL)) &&
                   is_absent(syscall(SYS_capset, NULL, NULL)) &&
                   is_absent(syscall(SYS_kill, getppid(), 0))
               ? 0
               : 1;
}

static void
test_identity_and_other_processes_are_out_of_reach(void **state)
{
    (void)state;
    assert_int_equal(status_of(change_identity), 0);
}
#endif

static int
map_code(void)
{
    void *data = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (data == MAP_FAILED) {
        return 1;
    }
    return mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS,
                -1, 0) == MAP_FAILED &&
                   errno == ENOSYS &&
                   is_absent(mprotect(data, 4096, PROT_READ | PROT_EXEC))
               ? 0
               : 2;
}

static void
test_memory_is_never_code(void **state)
{
    (void)state;
    assert_int_equal(status_of(map_code), 0);
}

/* A limit is read, none is set. */
static int
read_limits(void)
{
    struct rlimit files = {0};

    if (getrlimit(RLIMIT_NOFILE, &files) != 0) {
        return 1;
    }
    return is_absent(setrlimit(RLIMIT_NOFILE, &files)) ? 0 : 2;
}

static void
test_limits_are_read_only(void **state)
{
    (void)state;
    assert_int_equal(status_of(read_limits), 0);
}

/* ---- what ends it */

static int
run_program(void)
{
    char *argv[] = {(char[]){"true"}, NULL};

    return execve("/bin/true", argv, NULL);
}

static int
trace(void)
{
    return (int)syscall(SYS_ptrace, PTRACE_TRACEME, 0, 0, 0);
}

static int
mount_something(void)
{
    return (int)syscall(SYS_mount, "none", "/", "tmpfs", 0, NULL);
}

static int
enter_namespace(void)
{
    return (int)syscall(SYS_unshare, 0);
}

static int
write_memory_of_another(void)
{
    return (int)syscall(SYS_process_vm_writev, getppid(), NULL, 0, NULL, 0, 0);
}

static int
open_handle(void)
{
    return (int)syscall(SYS_open_by_handle_at, 0, NULL, 0);
}

static void
test_calls_of_an_intruder_end_it(void **state)
{
    int (*const acts[])(void) = {run_program,     trace,
                                 mount_something, enter_namespace,
                                 open_handle,     write_memory_of_another};

    (void)state;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++) {
        int status = status_of(acts[i]);

        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

/* As for any assertion: its core shows where. */
static int
give_up(void)
{
    abort();
}

static void
test_abort_is_still_an_abort(void **state)
{
    int status = status_of(give_up);

    (void)state;
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sockets_are_for_connections_to_workers),
#ifndef AMY_INSTRUMENTED
        cmocka_unit_test(test_files_are_for_reading_and_a_long_body),
        cmocka_unit_test(test_identity_and_other_processes_are_out_of_reach),
#endif
        cmocka_unit_test(test_memory_is_never_code),
        cmocka_unit_test(test_limits_are_read_only),
        cmocka_unit_test(test_calls_of_an_intruder_end_it),
        cmocka_unit_test(test_abort_is_still_an_abort),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

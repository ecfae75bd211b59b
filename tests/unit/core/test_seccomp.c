#include "amy_test.h"

#include "core/caps.h"
#include "core/seccomp.h"

#include <errno.h>
#include <linux/capability.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

/* A filter is for life: each test has a child for it. Exit 0: as promised. */
static int
status_of(int (*check)(void))
{
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        _exit(check());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static int
load(const struct amy__seccomp_rule *rules, size_t count,
     enum amy__seccomp_verdict other)
{
    const struct amy__seccomp_policy policy = {
        .rules = rules, .count = count, .other = other};

    return amy__seccomp_load(&policy, NULL);
}

static int
check_refusals(void)
{
    static const struct amy__seccomp_rule rules[] = {
        {"getppid", AMY__SECCOMP_EPERM, 0, 0, 0},
        {"sysinfo", AMY__SECCOMP_ENOSYS, 0, 0, 0},
        {"no_such_call_anywhere", AMY__SECCOMP_EPERM, 0, 0, 0},
    };

    if (load(rules, 3, AMY__SECCOMP_ALLOW) != 0) {
        return 1;
    }
    if (syscall(SYS_getppid) != -1 || errno != EPERM) {
        return 2;
    }
    if (syscall(SYS_sysinfo, NULL) != -1 || errno != ENOSYS) {
        return 3;
    }
    return syscall(SYS_getpid) > 0 ? 0 : 4;
}

static void
test_load_refuses_as_each_rule_says(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_refusals), 0);
}

static int
check_arguments(void)
{
    static const struct amy__seccomp_rule rules[] = {
        {"socket", AMY__SECCOMP_EPERM, 0, 0xffffffffU, AF_NETLINK},
        {"socket", AMY__SECCOMP_EPERM, 1, SOCK_NONBLOCK, SOCK_NONBLOCK},
    };

    if (load(rules, 2, AMY__SECCOMP_ALLOW) != 0) {
        return 1;
    }
    if (socket(AF_NETLINK, SOCK_RAW, 0) != -1 || errno != EPERM) {
        return 2;
    }
    if (socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0) != -1 ||
        errno != EPERM) {
        return 3;
    }
    return socket(AF_UNIX, SOCK_STREAM, 0) >= 0 ? 0 : 4;
}

static void
test_load_looks_at_arguments(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_arguments), 0);
}

static volatile sig_atomic_t trapped;

static void
on_sigsys(int sig, siginfo_t *info, void *context)
{
    (void)sig;
    (void)context;
    trapped = info->si_syscall == SYS_getppid;
}

static int
check_trap(void)
{
    static const struct amy__seccomp_rule rules[] = {
        {"getppid", AMY__SECCOMP_TRAP, 0, 0, 0},
    };
    struct sigaction action = {.sa_sigaction = on_sigsys,
                               .sa_flags = SA_SIGINFO};

    if (sigaction(SIGSYS, &action, NULL) != 0 ||
        load(rules, 1, AMY__SECCOMP_ALLOW) != 0) {
        return 1;
    }
    (void)syscall(SYS_getppid);
    if (trapped == 0) {
        return 2;
    }
    action = (struct sigaction){.sa_handler = SIG_DFL};
    (void)sigaction(SIGSYS, &action, NULL);
    (void)syscall(SYS_getppid);
    return 3;
}

static void
test_trap_says_which_call_and_ends_who_does_not_handle_it(void **state)
{
    int status = 0;

    (void)state;
    status = status_of(check_trap);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGSYS);
}

static int
check_privs(void)
{
    static const struct amy__seccomp_rule rules[] = {
        {"getppid", AMY__SECCOMP_EPERM, 0, 0, 0},
    };
    struct amy__seccomp_policy policy = {
        .rules = rules,
        .count = 1,
        .other = AMY__SECCOMP_ALLOW,
        .keep_privs = true,
    };
    bool may = amy__caps_have(CAP_SYS_ADMIN);

    if (may && (amy__seccomp_load(&policy, NULL) != 0 ||
                prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) != 0)) {
        return 1;
    }
    if (amy__caps_keep(NULL, 0, NULL) < 0 ||
        amy__seccomp_load(&policy, NULL) != AMY_EDENIED ||
        prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) != 0) {
        return 2;
    }
    policy.keep_privs = false;
    if (amy__seccomp_load(&policy, NULL) != 0 ||
        prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) != 1) {
        return 3;
    }
    return 0;
}

static void
test_keep_privs_needs_power_and_leaves_no_new_privs(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_privs), 0);
}

static int
check_container(void)
{
    static const struct amy__seccomp_rule outer[] = {
        {"seccomp", AMY__SECCOMP_EPERM, 0, 0, 0},
        {"prctl", AMY__SECCOMP_EPERM, 0, 0xffffffffU, PR_SET_SECCOMP},
    };
    static const struct amy__seccomp_rule missing[] = {
        {"seccomp", AMY__SECCOMP_ENOSYS, 0, 0, 0},
        {"prctl", AMY__SECCOMP_ENOSYS, 0, 0xffffffffU, PR_SET_SECCOMP},
    };
    struct amy_error err = AMY_ERROR_INIT;
    const struct amy__seccomp_policy policy = {.other = AMY__SECCOMP_ALLOW};

    if (load(outer, 2, AMY__SECCOMP_ALLOW) != 0) {
        return 1;
    }
    if (amy__seccomp_load(&policy, &err) != AMY_EDENIED) {
        return 2;
    }
    return load(missing, 2, AMY__SECCOMP_ALLOW) == AMY_EDENIED ? 0 : 3;
}

static void
test_load_in_a_container_that_forbids_it_is_denied(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_container), 0);
}

static int
check_old_kernel(void)
{
    static const struct amy__seccomp_rule missing[] = {
        {"seccomp", AMY__SECCOMP_ENOSYS, 0, 0, 0},
        {"prctl", AMY__SECCOMP_ENOSYS, 0, 0xffffffffU, PR_SET_SECCOMP},
    };

    if (load(missing, 2, AMY__SECCOMP_ALLOW) != 0) {
        return 1;
    }
    return load(missing, 2, AMY__SECCOMP_ALLOW) == AMY_EUNSUPPORTED ? 0 : 2;
}

static void
test_load_by_a_kernel_without_it_is_unsupported(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_old_kernel), 0);
}

static void
test_load_refuses_a_rule_that_says_nothing_new(void **state)
{
    static const struct amy__seccomp_rule rules[] = {
        {"getppid", AMY__SECCOMP_EPERM, 0, 0, 0},
    };
    struct amy_error err = AMY_ERROR_INIT;
    const struct amy__seccomp_policy policy = {
        .rules = rules, .count = 1, .other = AMY__SECCOMP_EPERM};

    (void)state;
    assert_int_equal(amy__seccomp_load(&policy, &err), AMY_EINVAL);
    assert_non_null(strstr(err.msg, "getppid"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_load_refuses_as_each_rule_says),
        cmocka_unit_test(test_load_looks_at_arguments),
        cmocka_unit_test(
            test_trap_says_which_call_and_ends_who_does_not_handle_it),
        cmocka_unit_test(test_keep_privs_needs_power_and_leaves_no_new_privs),
        cmocka_unit_test(test_load_in_a_container_that_forbids_it_is_denied),
        cmocka_unit_test(test_load_by_a_kernel_without_it_is_unsupported),
        cmocka_unit_test(test_load_refuses_a_rule_that_says_nothing_new),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

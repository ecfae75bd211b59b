#include "amy_test.h"

#include "core/caps.h"
#include "core/host_calls.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

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

/* Each would say something else to whom it is not refused: EFAULT or EINVAL. */
static bool
are_refused(void)
{
    return syscall(SYS_open_by_handle_at, -1, NULL, 0) == -1 &&
           errno == EPERM && syscall(SYS_bpf, -1, NULL, 0) == -1 &&
           errno == EPERM && syscall(SYS_clock_settime, -1, NULL) == -1 &&
           errno == EPERM;
}

static int lines_told;

static void
count_line(enum amy_log_level level, const char *line, void *user)
{
    (void)level;
    (void)line;
    (void)user;
    lines_told++;
}

static const struct amy_log counting = {.fn = count_line};

static int
check_refused(void)
{
    amy__host_calls_refuse(false, &counting);
    if (!are_refused()) {
        return 1;
    }
    /* A browser in a worker builds its sandbox with these. */
    if (syscall(SYS_unshare, 0) != 0 ||
        (syscall(SYS_mount, NULL, NULL, NULL, 0, NULL) == -1 &&
         errno == ENOSYS)) {
        return 2;
    }
    return prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) == 1 &&
                   lines_told == 0
               ? 0
               : 3;
}

static void
test_refuse_keeps_the_hosts_calls_from_all_below(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_refused), 0);
}

static int
count_filters(void)
{
    char line[256] = "";
    int count = -1;
    FILE *status = fopen("/proc/self/status", "re");

    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        if (strncmp(line, "Seccomp_filters:", 16) == 0) {
            count = (int)strtol(line + 16, NULL, 10);
        }
    }
    if (status != NULL) {
        (void)fclose(status);
    }
    return count;
}

static int
check_again(void)
{
    int before = count_filters();

    if (amy__caps_keep((const int[]){CAP_DAC_READ_SEARCH}, 1, NULL) < 0) {
        return 1;
    }
    amy__host_calls_refuse(false, &counting);
    if (!are_refused() || count_filters() != before + 1) {
        return 2;
    }
    amy__host_calls_refuse(false, &counting);
    return count_filters() == before + 1 ? 0 : 3;
}

static void
test_refuse_again_adds_nothing(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_again), 0);
}

static int
check_kept(void)
{
    bool may = amy__caps_have(CAP_SYS_ADMIN);

    amy__host_calls_refuse(true, &counting);
    return are_refused() == may && lines_told == 0 &&
                   prctl(PR_GET_NO_NEW_PRIVS, 0UL, 0UL, 0UL, 0UL) == 0
               ? 0
               : 1;
}

static void
test_refuse_with_keep_privs_leaves_setuid_programs_alone(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_kept), 0);
}

static int
check_powerless(void)
{
    return amy__caps_keep(NULL, 0, NULL) < 0 ? 2 : check_kept();
}

static void
test_refuse_with_keep_privs_and_no_power_is_silent(void **state)
{
    (void)state;
    assert_int_equal(status_of(check_powerless), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refuse_keeps_the_hosts_calls_from_all_below),
        cmocka_unit_test(test_refuse_again_adds_nothing),
        cmocka_unit_test(
            test_refuse_with_keep_privs_leaves_setuid_programs_alone),
        cmocka_unit_test(test_refuse_with_keep_privs_and_no_power_is_silent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include "core/caps.h"

#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* In a child, for it cannot be undone. Exit 0: all as promised. */
static int
check_in_child(void)
{
    static const int keep[] = {CAP_KILL, CAP_SETUID};
    char line[256] = "";
    FILE *status = NULL;
    int sets = 0;

    if (amy__caps_keep(keep, 2, NULL) != 0) {
        return 1;
    }
    if (!amy__caps_have(CAP_KILL) || amy__caps_have(CAP_CHOWN)) {
        return 2;
    }
    status = fopen("/proc/self/status", "re");
    while (status != NULL && fgets(line, sizeof(line), status) != NULL) {
        /* KILL is bit 5, SETUID bit 7. */
        sets += strcmp(line, "CapPrm:\t00000000000000a0\n") == 0;
        sets += strcmp(line, "CapEff:\t00000000000000a0\n") == 0;
        sets += strcmp(line, "CapBnd:\t00000000000000a0\n") == 0;
        sets += strcmp(line, "CapInh:\t0000000000000000\n") == 0;
        sets += strcmp(line, "CapAmb:\t0000000000000000\n") == 0;
    }
    if (status != NULL) {
        (void)fclose(status);
    }
    if (sets != 5) {
        return 3;
    }
    /* Without CAP_SETPCAP the bounding set stays as it is, and that is said. */
    return amy__caps_keep(keep, 1, NULL) == 1 && amy__caps_have(CAP_KILL) &&
                   !amy__caps_have(CAP_SETUID)
               ? 0
               : 4;
}

static void
test_keep_leaves_only_what_was_named(void **state)
{
    int status = 0;
    pid_t pid = 0;

    (void)state;
    if (geteuid() != 0 || !amy__caps_have(CAP_SETPCAP)) {
        skip();
    }
    pid = fork();
    if (pid == 0) {
        _exit(check_in_child());
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

static void
test_keep_refuses_unknown_numbers(void **state)
{
    static const int bad[] = {64};
    static const int negative[] = {-1};

    (void)state;
    assert_int_equal(amy__caps_keep(bad, 1, NULL), AMY_EINVAL);
    assert_int_equal(amy__caps_keep(negative, 1, NULL), AMY_EINVAL);
    assert_false(amy__caps_have(-1));
    assert_false(amy__caps_have(64));
}

static void
test_keep_by_a_person_does_nothing(void **state)
{
    (void)state;
    if (geteuid() == 0) {
        skip();
    }
    assert_int_equal(amy__caps_keep(NULL, 0, NULL), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_keep_leaves_only_what_was_named),
        cmocka_unit_test(test_keep_refuses_unknown_numbers),
        cmocka_unit_test(test_keep_by_a_person_does_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

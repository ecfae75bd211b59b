/* What only whoever administers a machine calls. */
/* Not a list for one kind of process: those of sites inherit this one, so that
 * nothing may be in it that a site's program can want with success. */
#include "core/host_calls.h"

#include "core/log.h"
#include "core/seccomp.h"

#include <errno.h>
#include <sys/syscall.h>
#include <unistd.h>

#define REFUSE(name)                                                           \
    {                                                                          \
        name, AMY__SECCOMP_EPERM, 0, 0, 0                                      \
    }

/* All need a capability of the whole machine's, which no child of ours has and
 * no user namespace gives; what is kept from them is the kernel's code behind
 * the calls. mount(2), ptrace(2) and their like are not here: a browser that a
 * worker starts to print a page builds its sandbox with them. */
static const struct amy__seccomp_rule rules[] = {
    /* This one is for the masters: with CAP_DAC_READ_SEARCH a file of the same
     * file system is opened by its number, past read-only mounts. */
    REFUSE("open_by_handle_at"),
    REFUSE("acct"),
    REFUSE("bpf"),
    REFUSE("clock_settime"),
    REFUSE("clock_settime64"),
    REFUSE("delete_module"),
    REFUSE("finit_module"),
    REFUSE("init_module"),
    REFUSE("ioperm"),
    REFUSE("iopl"),
    REFUSE("kexec_file_load"),
    REFUSE("kexec_load"),
    REFUSE("lookup_dcookie"),
    REFUSE("perf_event_open"),
    REFUSE("quotactl"),
    REFUSE("quotactl_fd"),
    REFUSE("reboot"),
    REFUSE("settimeofday"),
    REFUSE("stime"),
    REFUSE("swapoff"),
    REFUSE("swapon"),
};

/* By the release before, whose process this is after an exec; or by a unit.
 * Each would say EFAULT or EINVAL, to whom it is not refused. */
static bool
are_refused(void)
{
    return syscall(SYS_open_by_handle_at, -1, NULL, 0) == -1 &&
           errno == EPERM && syscall(SYS_clock_settime, -1, NULL) == -1 &&
           errno == EPERM;
}

void
amy__host_calls_refuse(bool keep_privs, const struct amy_log *log)
{
    const struct amy__seccomp_policy policy = {
        .rules = rules,
        .count = sizeof(rules) / sizeof(rules[0]),
        .other = AMY__SECCOMP_ALLOW,
        .keep_privs = keep_privs,
    };
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (are_refused()) {
        return; /* each filter more is looked at for each call */
    }
    rc = amy__seccomp_load(&policy, &err);
    if (rc < 0 && !(keep_privs && rc == AMY_EDENIED)) {
        amy__log(log, AMY_LOG_WARN, "no system call is refused error=\"%s\"",
                 err.msg);
    }
}

/* The kernel's filter of system calls (seccomp(2)), from a table. */
#ifndef AMY_CORE_SECCOMP_H
#define AMY_CORE_SECCOMP_H

#include <amy/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum amy__seccomp_verdict {
    AMY__SECCOMP_ALLOW,
    AMY__SECCOMP_EPERM,
    AMY__SECCOMP_ENOSYS, /* "not in this kernel": C libraries have another way
                          */
    AMY__SECCOMP_TRAP,   /* SIGSYS, with the number in si_syscall */
};

/* A call by its name, whatever its number is here; one that this machine, or
 * this libseccomp, does not know is passed over. Several rules for one call are
 * alternatives. */
struct amy__seccomp_rule {
    const char *call;
    uint32_t verdict; /* enum amy__seccomp_verdict, not the policy's other */
    uint32_t arg;     /* from 0 */
    uint64_t mask;    /* holds only where (arg & mask) == value; 0: always */
    uint64_t value;
};

struct amy__seccomp_policy {
    const struct amy__seccomp_rule *rules;
    size_t count;
    enum amy__seccomp_verdict other; /* for calls without a rule that holds */
    /* Only if this process may without no_new_privs: its children shall be able
     * to start a program that is setuid. */
    bool keep_privs;
};

/* For this process and all that it starts, for life; sets no_new_privs unless
 * policy->keep_privs.
 * @return 0, AMY_EUNSUPPORTED (no libseccomp, or a kernel without seccomp),
 *         AMY_EDENIED (keep_privs, or a container, forbids), AMY_ENOMEM,
 *         AMY_EINVAL (a rule that says what `other` says). Nothing has changed
 *         then but no_new_privs. */
int amy__seccomp_load(const struct amy__seccomp_policy *policy,
                      struct amy_error *err);

#endif

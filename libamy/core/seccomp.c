/* A filter of system calls, made by libseccomp from a table. */
/* Not for what is allowed: the table is of who runs in it. */
#include "core/seccomp.h"

#include "core/error.h"
#include "core/library.h"

#include <errno.h>
#include <seccomp.h>

/* What is used of libseccomp, which is opened here, and by daemons alone: a
 * program that links us for something else does not load it. */
struct library {
    scmp_filter_ctx (*init)(uint32_t other);
    void (*release)(scmp_filter_ctx filter);
    int (*attr_set)(scmp_filter_ctx filter, enum scmp_filter_attr attr,
                    uint32_t value);
    int (*resolve)(const char *name);
    int (*rule_add)(scmp_filter_ctx filter, uint32_t action, int call,
                    unsigned count, const struct scmp_arg_cmp *args);
    int (*load)(const scmp_filter_ctx filter);
};

static int
open_library(struct library *ret, struct amy_error *err)
{
    const struct amy__library_symbol wanted[] = {
        {"seccomp_init", &ret->init},
        {"seccomp_release", &ret->release},
        {"seccomp_attr_set", &ret->attr_set},
        {"seccomp_syscall_resolve_name", &ret->resolve},
        {"seccomp_rule_add_array", &ret->rule_add},
        {"seccomp_load", &ret->load},
    };

    return amy__library_load("libseccomp.so.2", "libseccomp2", wanted,
                             sizeof(wanted) / sizeof(wanted[0]), err);
}

static uint32_t
action_of(uint32_t verdict)
{
    switch (verdict) {
    case AMY__SECCOMP_ALLOW:
        return SCMP_ACT_ALLOW;
    case AMY__SECCOMP_EPERM:
        return SCMP_ACT_ERRNO(EPERM);
    case AMY__SECCOMP_TRAP:
        return SCMP_ACT_TRAP;
    default:
        return SCMP_ACT_ERRNO(ENOSYS);
    }
}

static int
load(const struct library *lib, scmp_filter_ctx filter, struct amy_error *err)
{
    errno = 0;
    if (lib->load(filter) == 0) {
        return 0;
    }
    /* What the kernel said: the library has another word for most of it. */
    switch (errno) {
    case EPERM:
    case EACCES:
        return amy__err_sys(err, errno, "seccomp: setting a filter");
    case ENOSYS:
    case EINVAL:
        return amy__err(err, AMY_EUNSUPPORTED,
                        "seccomp: this kernel takes no filter");
    default:
        return amy__err_sys(err, errno == 0 ? ENOMEM : errno,
                            "seccomp: setting a filter");
    }
}

/* What an old library or kernel lacks of these is lacked. */
static void
set_attributes(const struct library *lib, scmp_filter_ctx filter,
               const struct amy__seccomp_policy *policy)
{
    (void)lib->attr_set(filter, SCMP_FLTATR_CTL_NNP, !policy->keep_privs);
    /* To the kernel's log goes what is refused. */
    (void)lib->attr_set(filter, SCMP_FLTATR_CTL_LOG, 1);
    /* By a tree: calls whose arguments matter are not looked for one by one;
     * for all others the kernel knows the answer without running the filter. */
    (void)lib->attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2);
    /* Kernels before 5.16 slow a filtered process down, for the sake of those
     * that run strangers' code in themselves (JavaScript, say); none of ours.
     */
    (void)lib->attr_set(filter, SCMP_FLTATR_CTL_SSB, 1);
}

static int
add_rule(const struct library *lib, scmp_filter_ctx filter,
         const struct amy__seccomp_rule *rule, struct amy_error *err)
{
    const struct scmp_arg_cmp test = {rule->arg, SCMP_CMP_MASKED_EQ, rule->mask,
                                      rule->value};
    int call = lib->resolve(rule->call);
    int rc = 0;

    if (call == __NR_SCMP_ERROR) {
        return 0;
    }
    rc = lib->rule_add(filter, action_of(rule->verdict), call,
                       rule->mask != 0 ? 1 : 0, &test);
    /* EDOM, EOPNOTSUPP: it is another machine's call, or in another form. */
    if (rc < 0 && rc != -EDOM && rc != -EOPNOTSUPP) {
        return amy__err(err, rc == -ENOMEM ? AMY_ENOMEM : AMY_EINVAL,
                        "seccomp: no rule is made for '%s'", rule->call);
    }
    return 0;
}

int
amy__seccomp_load(const struct amy__seccomp_policy *policy,
                  struct amy_error *err)
{
    struct library lib = {0};
    scmp_filter_ctx filter = NULL;
    int rc = open_library(&lib, err);

    if (rc < 0) {
        return rc;
    }
    filter = lib.init(action_of(policy->other));
    if (filter == NULL) {
        return amy__err(err, AMY_ENOMEM, "seccomp: memory for a filter");
    }
    set_attributes(&lib, filter, policy);
    for (size_t i = 0; rc == 0 && i < policy->count; i++) {
        rc = add_rule(&lib, filter, &policy->rules[i], err);
    }
    if (rc == 0) {
        rc = load(&lib, filter, err);
    }
    lib.release(filter);
    return rc;
}

/* Giving up all capabilities but the named ones. */
/* Not for children, who lose theirs in core/spawn_child.c. */
#include "core/caps.h"

#include "core/error.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP_MAX 63

/* The kernel's halves of 32 bits as one word each. */
struct sets {
    uint64_t effective;
    uint64_t permitted;
};

static int
read_sets(struct sets *ret)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct half[_LINUX_CAPABILITY_U32S_3] = {{0}};

    if (syscall(SYS_capget, &header, half) != 0) {
        return -1;
    }
    ret->effective = half[0].effective | (uint64_t)half[1].effective << 32;
    ret->permitted = half[0].permitted | (uint64_t)half[1].permitted << 32;
    return 0;
}

static int
write_sets(uint64_t keep)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    uint32_t low = (uint32_t)keep;
    uint32_t high = (uint32_t)(keep >> 32);
    struct __user_cap_data_struct half[_LINUX_CAPABILITY_U32S_3] = {
        {.effective = low, .permitted = low},
        {.effective = high, .permitted = high},
    };

    return (int)syscall(SYS_capset, &header, half);
}

/* 0, or 1 when something had to stay. */
static int
bound(uint64_t keep)
{
    int stayed = 0;

    for (unsigned long cap = 0; cap <= CAP_MAX; cap++) {
        int held = prctl(PR_CAPBSET_READ, cap, 0UL, 0UL, 0UL);

        if (held < 0) {
            break; /* past the last one this kernel knows */
        }
        if (held == 1 && (keep >> cap & 1) == 0 &&
            prctl(PR_CAPBSET_DROP, cap, 0UL, 0UL, 0UL) != 0) {
            stayed = 1;
        }
    }
    return stayed;
}

int
amy__caps_keep(const int *caps, size_t n, struct amy_error *err)
{
    struct sets now = {0};
    uint64_t keep = 0;
    int stayed = 0;

    for (size_t i = 0; i < n; i++) {
        if (caps[i] < 0 || caps[i] > CAP_MAX) {
            return amy__err(err, AMY_EINVAL, "there is no capability %d",
                            caps[i]);
        }
        keep |= (uint64_t)1 << caps[i];
    }
    if (read_sets(&now) != 0) {
        return amy__err_sys(err, errno, "reading capabilities");
    }
    if (now.permitted == 0) {
        return 0;
    }
    /* While CAP_SETPCAP is still there. */
    stayed = bound(keep);
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0UL, 0UL, 0UL) != 0 ||
        write_sets(keep & now.permitted) != 0) {
        return amy__err_sys(err, errno, "giving up capabilities");
    }
    return stayed;
}

bool
amy__caps_have(int cap)
{
    struct sets now = {0};

    return cap >= 0 && cap <= CAP_MAX && read_sets(&now) == 0 &&
           (now.effective >> cap & 1) != 0;
}

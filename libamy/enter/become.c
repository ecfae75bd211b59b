/* Leaves behind what this process was. */
/* Not for children: core/spawn.c. */
#include "core/error.h"
#include "enter/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/close_range.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FIRST_OTHER 3

int
amy__enter_open_standard(struct amy_error *err)
{
    for (int fd = 0; fd < FIRST_OTHER; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            continue;
        }
        /* The lowest free number is this one. */
        if (open("/dev/null", O_RDWR) != fd) { /* NOLINT: for the program */
            return amy__err_sys(err, errno, "opening /dev/null");
        }
    }
    return 0;
}

static int
change_ids(const struct amy__user *user, struct amy_error *err)
{
    if (geteuid() != 0) {
        return 0;
    }
    if (setgroups(user->group_count, user->groups) < 0 ||
        setresgid(user->gid, user->gid, user->gid) < 0 ||
        setresuid(user->uid, user->uid, user->uid) < 0) {
        return amy__err_sys(err, errno, "becoming '%s'", user->name);
    }
    return amy__enter_guard_terminal(err);
}

int
amy__enter_become(const struct amy__user *user, struct amy_error *err)
{
    if (syscall(SYS_close_range, (unsigned)FIRST_OTHER, ~0U,
                CLOSE_RANGE_CLOEXEC) < 0) {
        return amy__err_sys(err, errno, "closing descriptors");
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1UL, 0UL, 0UL, 0UL) < 0) {
        return amy__err_sys(err, errno, "giving up new privileges");
    }
    (void)umask(022);
    return change_ids(user, err);
}

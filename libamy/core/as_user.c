/* Touching files with another user's rights, for the length of a few calls. */
/* Not for children: those change their ids for good (core/spawn.c). */
#include "core/check.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <sys/fsuid.h>
#include <sys/syscall.h>
#include <unistd.h>

/* System calls and not the C library's setgroups(3), which would tell every
 * thread of the process. */
static int
set_thread_groups(size_t n, const gid_t *groups)
{
    return (int)syscall(SYS_setgroups, n, groups);
}

int
amy__as_user_begin(uid_t uid, gid_t gid, struct amy__as_user *ret_saved,
                   struct amy_error *err)
{
    struct amy__as_user saved = {.fsuid = geteuid(), .fsgid = getegid()};
    int n = 0;

    if (uid == geteuid()) {
        *ret_saved = saved; /* we are that user already */
        return 0;
    }
    if (geteuid() != 0) {
        return amy__err(err, AMY_EDENIED,
                        "only root may touch files as user %u", (unsigned)uid);
    }
    n = getgroups(AMY__AS_USER_GROUPS, saved.groups);
    if (n < 0) {
        return amy__err_sys(err, errno, "reading our groups");
    }
    saved.group_count = (size_t)n;
    if (set_thread_groups(0, NULL) != 0) {
        return amy__err_sys(err, errno, "leaving our groups");
    }
    saved.changed = true;
    (void)setfsgid(gid);
    (void)setfsuid(uid);
    /* Neither call can report failure but by what it finds the next time. */
    if ((gid_t)setfsgid((gid_t)-1) != gid ||
        (uid_t)setfsuid((uid_t)-1) != uid) {
        amy__as_user_end(&saved);
        return amy__err(err, AMY_EDENIED, "becoming user %u for files",
                        (unsigned)uid);
    }
    *ret_saved = saved;
    return 0;
}

void
amy__as_user_end(const struct amy__as_user *saved)
{
    bool back = false;

    if (!saved->changed) {
        return;
    }
    (void)setfsuid(saved->fsuid);
    (void)setfsgid(saved->fsgid);
    back = set_thread_groups(saved->group_count, saved->groups) == 0 &&
           (uid_t)setfsuid((uid_t)-1) == saved->fsuid &&
           (gid_t)setfsgid((gid_t)-1) == saved->fsgid;
    /* To go on with half of somebody else's rights would be worse. */
    AMY_ASSERT(back);
}

/* Users and groups of the system, by the reentrant calls. May block (NSS can
 * ask the network): for start and reload, never per request. */
#ifndef AMY_CORE_USER_H
#define AMY_CORE_USER_H

#include <amy/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct amy__user {
    uid_t uid;
    gid_t gid;
    gid_t *groups; /* all of them, the primary one too */
    size_t group_count;
    char *name;
    char *home;
    char *shell;
};

/* 0, AMY_ENOTFOUND (no such user), AMY_ENOMEM, AMY_EIO. Cleared by the caller.
 */
int amy__user_find(const char *name, struct amy__user *ret_user,
                   struct amy_error *err);
int amy__user_find_uid(uid_t uid, struct amy__user *ret_user,
                       struct amy_error *err);
void amy__user_clear(struct amy__user *user);

/* The user's name, or "uid 1234" when it has none; returns buf. */
const char *amy__user_name(uid_t uid, char *buf, size_t size);
/* 0 or AMY_ENOTFOUND, AMY_EIO. */
int amy__group_find(const char *name, gid_t *ret_gid, struct amy_error *err);
bool amy__user_in_group(const struct amy__user *user, gid_t gid);

#endif

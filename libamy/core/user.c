/* Looking up users and groups by getpwnam_r(3) and its kin. */
/* Not for changing ids: core/spawn.c and core/files.h do that. */
#include "core/user.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"

#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdint.h>
#include <stdio.h>

#define FIRST_SIZE ((size_t)1024)
#define LARGEST_SIZE                                                           \
    ((size_t)1024 * 1024) /* a group with very many members                    \
                           */
#define GROUPS_MAX 65536  /* NGROUPS_MAX of Linux */

static void
free_block(char **block)
{
    amy__free(*block);
}

/* What to look for: a name, or (NULL) an id. */
struct key {
    const char *name;
    uid_t uid;
};

static int
ask_passwd(const struct key *key, struct passwd *entry, char *buf, size_t size,
           struct passwd **found)
{
    return key->name != NULL ? getpwnam_r(key->name, entry, buf, size, found)
                             : getpwuid_r(key->uid, entry, buf, size, found);
}

/* getpwnam_r(3): these mean "not found" on one system or another. */
static bool
means_unknown(int failure)
{
    return failure == 0 || failure == ENOENT || failure == ESRCH ||
           failure == EBADF || failure == EPERM;
}

/* The caller frees *ret_buf, into which the entry points. */
static int
find_passwd(const struct key *key, struct passwd *entry, char **ret_buf,
            struct amy_error *err)
{
    for (size_t size = FIRST_SIZE; size <= LARGEST_SIZE; size *= 2) {
        AMY_CLEANUP(free_block) char *buf = amy__calloc(1, size);
        struct passwd *found = NULL;
        int failure = 0;

        if (buf == NULL) {
            return amy__err(err, AMY_ENOMEM, "looking up a user");
        }
        failure = ask_passwd(key, entry, buf, size, &found);
        if (found != NULL) {
            *ret_buf = AMY_TAKE(buf);
            return 0;
        }
        if (failure == ERANGE || failure == EINTR) {
            continue;
        }
        if (means_unknown(failure)) {
            return AMY_ENOTFOUND;
        }
        return amy__err_sys(err, failure, "looking up a user");
    }
    return amy__err(err, AMY_EIO, "looking up a user: its entry is too large");
}

static int
find_groups(struct amy__user *user, struct amy_error *err)
{
    int count = 32;

    for (;;) {
        int asked = count;

        amy__free(user->groups);
        user->groups = amy__calloc((size_t)count, sizeof(*user->groups));
        if (user->groups == NULL) {
            return amy__err(err, AMY_ENOMEM, "looking up groups");
        }
        if (getgrouplist(user->name, user->gid, user->groups, &count) >= 0) {
            user->group_count = (size_t)count;
            return 0;
        }
        if (count <= asked) {
            count = asked * 2; /* not every system tells how many */
        }
        if (count > GROUPS_MAX) {
            return amy__err(err, AMY_ELIMIT, "user '%s' is in too many groups",
                            user->name);
        }
    }
}

static int
find(const struct key *key, struct amy__user *ret_user, struct amy_error *err)
{
    AMY_CLEANUP(free_block) char *buf = NULL;
    struct passwd entry = {0};
    struct amy__user user = {0};
    int rc = find_passwd(key, &entry, &buf, err);

    if (rc < 0) {
        return rc;
    }
    user = (struct amy__user){
        .uid = entry.pw_uid,
        .gid = entry.pw_gid,
        .name = amy__strdup(entry.pw_name),
        .home = amy__strdup(entry.pw_dir),
        .shell = amy__strdup(entry.pw_shell),
    };
    rc = user.name == NULL || user.home == NULL || user.shell == NULL
             ? amy__err(err, AMY_ENOMEM, "looking up a user")
             : find_groups(&user, err);
    if (rc < 0) {
        amy__user_clear(&user);
        return rc;
    }
    *ret_user = user;
    return 0;
}

int
amy__user_find(const char *name, struct amy__user *ret_user,
               struct amy_error *err)
{
    struct key key = {.name = name};
    int rc = find(&key, ret_user, err);

    return rc == AMY_ENOTFOUND
               ? amy__err(err, rc, "there is no user '%s'", name)
               : rc;
}

int
amy__user_find_uid(uid_t uid, struct amy__user *ret_user, struct amy_error *err)
{
    struct key key = {.uid = uid};
    int rc = find(&key, ret_user, err);

    return rc == AMY_ENOTFOUND
               ? amy__err(err, rc, "there is no user with id %u", (unsigned)uid)
               : rc;
}

void
amy__user_clear(struct amy__user *user)
{
    amy__free(user->groups);
    amy__free(user->name);
    amy__free(user->home);
    amy__free(user->shell);
    *user = (struct amy__user){0};
}

const char *
amy__user_name(uid_t uid, char *buf, size_t size)
{
    AMY_CLEANUP(free_block) char *entry_buf = NULL;
    struct key key = {.uid = uid};
    struct passwd entry = {0};

    if (find_passwd(&key, &entry, &entry_buf, NULL) == 0) {
        (void)snprintf(buf, size, "%s", entry.pw_name);
    } else {
        (void)snprintf(buf, size, "uid %u", (unsigned)uid);
    }
    return buf;
}

int
amy__group_find(const char *name, gid_t *ret_gid, struct amy_error *err)
{
    for (size_t size = FIRST_SIZE; size <= LARGEST_SIZE; size *= 2) {
        AMY_CLEANUP(free_block) char *buf = amy__calloc(1, size);
        struct group entry = {0};
        struct group *found = NULL;
        int failure = 0;

        if (buf == NULL) {
            return amy__err(err, AMY_ENOMEM, "looking up a group");
        }
        failure = getgrnam_r(name, &entry, buf, size, &found);
        if (found != NULL) {
            *ret_gid = entry.gr_gid;
            return 0;
        }
        if (failure == ERANGE || failure == EINTR) {
            continue;
        }
        if (means_unknown(failure)) {
            return amy__err(err, AMY_ENOTFOUND, "there is no group '%s'", name);
        }
        return amy__err_sys(err, failure, "looking up group '%s'", name);
    }
    return amy__err(err, AMY_EIO, "group '%s' is too large", name);
}

bool
amy__user_in_group(const struct amy__user *user, gid_t gid)
{
    for (size_t i = 0; i < user->group_count; i++) {
        if (user->groups[i] == gid) {
            return true;
        }
    }
    return user->gid == gid;
}

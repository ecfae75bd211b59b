/* The directory DB_backups and the sets in it, each a directory of its own.
 *
 * A set that is being made, or removed, is called NAME.partial; only a rename
 * makes it NAME, with everything on the disk before that. What has another
 * name is not ours: counted, never touched. Everything here runs as the site's
 * user. Blocking. */
#ifndef AMY_BACKUP_SET_H
#define AMY_BACKUP_SET_H

#include <amy/error.h>

#include "backup/manifest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__SETS_DIRECTORY "DB_backups"
#define AMY__SET_DATA "data.dump.zst"
#define AMY__SET_ROLES "roles.sql"
#define AMY__SETS_SCRATCH ".scratch" /* a throw-away cluster (scratch.c) */
#define AMY__SETS_REFRESHING ".refreshing" /* while it makes a database */
#define AMY__SETS_COPIES                                                       \
    ".copies" /* what is known of copies (copyrecord.h)                        \
               */
#define AMY__SETS_MAX 10000

struct amy__set {
    struct amy__manifest manifest; /* its name at least */
    char broken[224];              /* why the manifest cannot be read, or "" */
};

struct amy__sets {
    struct amy__set *items; /* newest first */
    size_t count;
    size_t foreign;  /* other entries */
    size_t partial;  /* being made, or left over */
    bool refreshing; /* a refresh has begun, and has not cleaned up yet */
};

/* Open it beneath the site's directory: a directory, no link, ours alone
 * (others' permissions are taken away). Returns the descriptor, AMY_ENOTFOUND,
 * AMY_EDENIED, AMY_EINVAL. */
int amy__sets_open(int site_fd, struct amy_error *err);
/* The same, only when it is there, and nothing of it is changed. */
int amy__sets_look(int site_fd, struct amy_error *err);
/* Be the only one that changes it, on this host, until the descriptor is
 * closed. AMY_EBUSY: another is. */
int amy__sets_lock(int sets_fd, struct amy_error *err);
int amy__sets_read(int sets_fd, struct amy__sets *ret, struct amy_error *err);
void amy__sets_clear(struct amy__sets *sets);
static inline void
amy__sets_clear_p(struct amy__sets *sets)
{
    amy__sets_clear(sets);
}
/* Dated so far in the future that a clock was wrong: hosts that share a disk
 * may differ by less. Such a set proves nothing of what was made when. */
#define AMY__SET_AHEAD_MS INT64_C(600000)
bool amy__set_is_ahead(const char *name, int64_t now_ms);
/* Does its verdict count? */
bool amy__set_is_good(const struct amy__set *set);
/* The newest that is good, or NULL. One that is dated in the future is taken
 * only when there is no other. */
const struct amy__set *amy__sets_good(const struct amy__sets *sets,
                                      int64_t now_ms);
/* AMY_ENOTFOUND, AMY_EPARSE ...; ret is cleared by the caller. */
int amy__set_read(int sets_fd, const char *name, struct amy__manifest *ret,
                  struct amy_error *err);
/* Replace its manifest as a whole. */
int amy__set_save(int sets_fd, const struct amy__manifest *manifest,
                  struct amy_error *err);

/* Begin one: a name that is free, and NAME.partial, open. Returns its
 * descriptor. */
int amy__set_begin(int sets_fd, int64_t wall_ms, char ret_name[],
                   struct amy_error *err);
/* The same by a name that is known; what was left over of that name is gone
 * first. AMY_EEXIST: there is such a set. */
int amy__set_begin_named(int sets_fd, const char *name, struct amy_error *err);
/* The commit: manifest, then the rename. The files were synced before. */
int amy__set_commit(int sets_fd, int set_fd,
                    const struct amy__manifest *manifest,
                    struct amy_error *err);
/* Remove a set, or what is left of one that was not committed; what is not
 * ours in it stays. */
int amy__set_remove(int sets_fd, const char *name, struct amy_error *err);
void amy__set_abandon(int sets_fd, const char *name);
int amy__sets_remove_scratch(int sets_fd, struct amy_error *err);
/* Remove everything that was left over. Only under the lock. */
int amy__sets_sweep(int sets_fd, struct amy_error *err);

#endif

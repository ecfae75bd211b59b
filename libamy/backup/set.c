/* Makes, reads and removes sets. */
/* Not for what is in their files. */
#include "backup/set.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define PARTIAL ".partial"
#define PARTIAL_SIZE (AMY__STAMP_SIZE + sizeof(PARTIAL))

static void
partial_name(const char *name, char buf[PARTIAL_SIZE])
{
    (void)snprintf(buf, PARTIAL_SIZE, "%s" PARTIAL, name);
}

/* --- the directory --- */

static int
refuse_owner(const struct stat *st, struct amy_error *err)
{
    return amy__err(err, AMY_EDENIED,
                    AMY__SETS_DIRECTORY
                    " belongs to user %u, not to the site's "
                    "user %u",
                    (unsigned)st->st_uid, (unsigned)geteuid());
}

int
amy__sets_look(int site_fd, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct stat st = {0};

    fd = openat(site_fd, AMY__SETS_DIRECTORY,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && (errno == ELOOP || errno == ENOTDIR)) {
        return amy__err(err, AMY_EINVAL,
                        AMY__SETS_DIRECTORY " is a symbolic link or a file; "
                                            "it must be a directory");
    }
    if (fd < 0 && errno == EACCES &&
        fstatat(site_fd, AMY__SETS_DIRECTORY, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        st.st_uid != geteuid()) {
        return refuse_owner(&st, err); /* that is why */
    }
    if (fd < 0 || fstat(fd, &st) != 0) {
        return amy__err_sys(err, errno, "opening " AMY__SETS_DIRECTORY);
    }
    return st.st_uid == geteuid() ? amy__take_fd(&fd) : refuse_owner(&st, err);
}

int
amy__sets_open(int site_fd, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct stat st = {0};

    if (mkdirat(site_fd, AMY__SETS_DIRECTORY, 0700) != 0 && errno != EEXIST &&
        errno != EACCES && errno != EROFS) {
        return amy__err_sys(err, errno, "making " AMY__SETS_DIRECTORY);
    }
    fd = amy__sets_look(site_fd, err);
    if (fd < 0) {
        return fd;
    }
    if (fstat(fd, &st) != 0 ||
        ((st.st_mode & 077) != 0 && fchmod(fd, 0700) != 0)) {
        return amy__err_sys(err, errno,
                            "closing " AMY__SETS_DIRECTORY " to others");
    }
    return amy__take_fd(&fd);
}

int
amy__sets_lock(int sets_fd, struct amy_error *err)
{
    if (flock(sets_fd, LOCK_EX | LOCK_NB) == 0) {
        return 0;
    }
    if (errno == EWOULDBLOCK) {
        return amy__err(err, AMY_EBUSY,
                        "another job works in " AMY__SETS_DIRECTORY);
    }
    return amy__err_sys(err, errno, "locking " AMY__SETS_DIRECTORY);
}

typedef int (*entry_fn)(const char *name, void *user, struct amy_error *err);

/* Every entry but "." and "..", on a descriptor of its own. */
static int
each_entry(int dir_fd, entry_fn fn, void *user, struct amy_error *err)
{
    int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry = NULL;
    int rc = 0;

    if (dir == NULL) {
        rc = amy__err_sys(err, errno, "listing a directory");
        amy__close(&fd);
        return rc;
    }
    do {
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL && errno != 0) {
            rc = amy__err_sys(err, errno, "listing a directory");
        } else if (entry != NULL && strcmp(entry->d_name, ".") != 0 &&
                   strcmp(entry->d_name, "..") != 0) {
            rc = fn(entry->d_name, user, err);
        }
    } while (entry != NULL && rc == 0);
    (void)closedir(dir);
    return rc;
}

/* A set's name with ".partial" behind it. */
static bool
is_partial(const char *entry, char name[AMY__STAMP_SIZE])
{
    struct amy__span rest = amy__span_of(entry);
    int64_t wall_ms = 0;
    unsigned sequence = 0;

    if (!amy__span_ends(rest, AMY_SPAN(PARTIAL))) {
        return false;
    }
    rest.n -= sizeof(PARTIAL) - 1;
    return amy__stamp_parse(rest, &wall_ms, &sequence) &&
           amy__span_copy(rest, name, AMY__STAMP_SIZE);
}

/* --- reading --- */

int
amy__set_read(int sets_fd, const char *name, struct amy__manifest *ret,
              struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf json = {NULL, 0, 0, 0};
    int64_t wall_ms = 0;
    unsigned sequence = 0;
    int rc = 0;

    amy__manifest_init(ret);
    if (!amy__stamp_parse(amy__span_of(name), &wall_ms, &sequence)) {
        return amy__err(err, AMY_ENOTFOUND, "'%.64s' is no name of a backup",
                        name);
    }
    (void)snprintf(ret->name, sizeof(ret->name), "%s", name);
    fd = openat(sets_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno == ENOENT ? amy__err(err, AMY_ENOTFOUND,
                                          "there is no backup '%s'", name)
                               : amy__err_sys(err, errno, "opening '%s'", name);
    }
    amy__buf_init(&json, AMY__MANIFEST_MAX);
    rc = amy__read_file_at(fd, AMY__MANIFEST_NAME, AMY__MANIFEST_MAX, &json,
                           NULL, err);
    return rc < 0 ? rc
                  : amy__manifest_read(amy__buf_span(&json), name, ret, err);
}

struct reading {
    int sets_fd;
    struct amy__sets *sets;
};

static int
read_entry(const char *entry, void *user, struct amy_error *err)
{
    struct reading *reading = user;
    struct amy__sets *sets = reading->sets;
    struct amy__set *set = NULL;
    struct amy_error why = AMY_ERROR_INIT;
    char name[AMY__STAMP_SIZE];
    int64_t wall_ms = 0;
    unsigned sequence = 0;
    int rc = 0;

    if (!amy__stamp_parse(amy__span_of(entry), &wall_ms, &sequence)) {
        bool ours =
            is_partial(entry, name) || strcmp(entry, AMY__SETS_SCRATCH) == 0;

        bool refreshing = strcmp(entry, AMY__SETS_REFRESHING) == 0;

        sets->partial += ours;
        sets->refreshing = sets->refreshing || refreshing;
        sets->foreign +=
            !ours && !refreshing && strcmp(entry, AMY__SETS_COPIES) != 0;
        return 0;
    }
    if (sets->count == AMY__SETS_MAX) {
        return amy__err(err, AMY_ELIMIT, "more than %d sets", AMY__SETS_MAX);
    }
    if ((sets->count & (sets->count - 1)) == 0) {
        size_t room = sets->count == 0 ? 1 : sets->count * 2;

        set = amy__realloc(sets->items, room * sizeof(*set));
        if (set == NULL) {
            return amy__err(err, AMY_ENOMEM, "reading backups");
        }
        sets->items = set;
    }
    set = &sets->items[sets->count++];
    set->broken[0] = '\0';
    rc = amy__set_read(reading->sets_fd, entry, &set->manifest, &why);
    if (rc < 0) {
        amy__manifest_drop_tables(&set->manifest);
        (void)snprintf(set->broken, sizeof(set->broken), "%s", why.msg);
    }
    return rc == AMY_ENOMEM ? amy__err(err, rc, "%s", why.msg) : 0;
}

static int
newest_first(const void *a, const void *b)
{
    const struct amy__set *x = a;
    const struct amy__set *y = b;

    return amy__stamp_compare(y->manifest.name, x->manifest.name);
}

int
amy__sets_read(int sets_fd, struct amy__sets *ret, struct amy_error *err)
{
    struct reading reading = {sets_fd, ret};
    int rc = 0;

    *ret = (struct amy__sets){.items = NULL};
    rc = each_entry(sets_fd, read_entry, &reading, err);
    if (rc == 0 && ret->count > 1) {
        qsort(ret->items, ret->count, sizeof(ret->items[0]), newest_first);
    }
    return rc;
}

void
amy__sets_clear(struct amy__sets *sets)
{
    for (size_t i = 0; i < sets->count; i++) {
        amy__manifest_clear(&sets->items[i].manifest);
    }
    amy__free(sets->items);
    *sets = (struct amy__sets){.items = NULL};
}

bool
amy__set_is_ahead(const char *name, int64_t now_ms)
{
    int64_t made_ms = 0;
    unsigned sequence = 0;

    return amy__stamp_parse(amy__span_of(name), &made_ms, &sequence) &&
           made_ms - now_ms > AMY__SET_AHEAD_MS;
}

bool
amy__set_is_good(const struct amy__set *set)
{
    return set->broken[0] == '\0' &&
           amy__verdict_is_verified(set->manifest.verdict);
}

const struct amy__set *
amy__sets_good(const struct amy__sets *sets, int64_t now_ms)
{
    const struct amy__set *ahead = NULL;

    for (size_t i = 0; i < sets->count; i++) {
        const struct amy__set *set = &sets->items[i];

        if (!amy__set_is_good(set)) {
            continue;
        }
        if (!amy__set_is_ahead(set->manifest.name, now_ms)) {
            return set;
        }
        ahead = ahead == NULL ? set : ahead;
    }
    return ahead;
}

/* --- making --- */

static int
write_manifest(int set_fd, const struct amy__manifest *manifest,
               struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf json = {NULL, 0, 0, 0};
    int rc = 0;

    amy__buf_init(&json, AMY__MANIFEST_MAX);
    rc = amy__manifest_write(manifest, &json, err);
    return rc < 0 ? rc
                  : amy__write_file_at(set_fd, AMY__MANIFEST_NAME, json.data,
                                       json.len, 0600, err);
}

int
amy__set_save(int sets_fd, const struct amy__manifest *manifest,
              struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = openat(sets_fd, manifest->name,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", manifest->name);
    }
    return write_manifest(fd, manifest, err);
}

static int
open_partial(int sets_fd, const char *partial, struct amy_error *err)
{
    int fd = openat(sets_fd, partial,
                    O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    return fd < 0 ? amy__err_sys(err, errno, "opening '%s'", partial) : fd;
}

int
amy__set_begin_named(int sets_fd, const char *name, struct amy_error *err)
{
    char partial[PARTIAL_SIZE] = "";
    struct stat st = {0};

    if (fstatat(sets_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return amy__err(err, AMY_EEXIST, "there is a backup '%s' already",
                        name);
    }
    amy__set_abandon(sets_fd, name);
    partial_name(name, partial);
    if (mkdirat(sets_fd, partial, 0700) != 0) {
        return amy__err_sys(err, errno, "making '%s'", partial);
    }
    return open_partial(sets_fd, partial, err);
}

int
amy__set_begin(int sets_fd, int64_t wall_ms, char ret_name[],
               struct amy_error *err)
{
    char name[AMY__STAMP_SIZE] = "";
    char partial[PARTIAL_SIZE] = "";
    struct stat st = {0};
    bool made = false;
    int fd = -1;

    for (unsigned sequence = 1; sequence <= AMY__STAMP_SEQUENCE_MAX && !made;
         sequence++) {
        amy__stamp_write(wall_ms, sequence, name);
        partial_name(name, partial);
        if (fstatat(sets_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
            continue;
        }
        made = mkdirat(sets_fd, partial, 0700) == 0;
        if (!made && errno != EEXIST) {
            return amy__err_sys(err, errno, "making '%s'", partial);
        }
    }
    if (!made) {
        return amy__err(err, AMY_EEXIST, "this second has %d backups already",
                        AMY__STAMP_SEQUENCE_MAX);
    }
    fd = open_partial(sets_fd, partial, err);
    if (fd < 0) {
        return fd;
    }
    (void)snprintf(ret_name, AMY__STAMP_SIZE, "%s", name);
    return fd;
}

/* NFS, 9p and some of FUSE know no flags. There we look first, as whoever comes
 * here holds a lock; and a directory replaces none that is not empty. */
static int
rename_new(int sets_fd, const char *from, const char *to)
{
    struct stat st = {0};

    if (renameat2(sets_fd, from, sets_fd, to, RENAME_NOREPLACE) == 0) {
        return 0;
    }
    if (errno != EINVAL && errno != ENOSYS) {
        return -1;
    }
    if (fstatat(sets_fd, to, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        errno = EEXIST;
        return -1;
    }
    return errno == ENOENT ? renameat(sets_fd, from, sets_fd, to) : -1;
}

int
amy__set_commit(int sets_fd, int set_fd, const struct amy__manifest *manifest,
                struct amy_error *err)
{
    char partial[PARTIAL_SIZE];
    int rc = write_manifest(set_fd, manifest, err);

    if (rc < 0) {
        return rc;
    }
    partial_name(manifest->name, partial);
    if (rename_new(sets_fd, partial, manifest->name) != 0) {
        return amy__err_sys(err, errno, "renaming '%s'", partial);
    }
    if (fsync(sets_fd) != 0) {
        rc = amy__err_sys(err, errno, "fsync of " AMY__SETS_DIRECTORY);
        /* Nobody knows whether it will last: then it does not count. */
        (void)rename_new(sets_fd, manifest->name, partial);
    }
    return rc;
}

/* --- removing --- */

/* Ours in a set: the names we give, and what replacing a manifest leaves. */
static int
remove_file(const char *entry, void *user, struct amy_error *err)
{
    static const char *const ours[] = {AMY__SET_DATA, AMY__SET_ROLES,
                                       AMY__MANIFEST_NAME};
    const int *fd = user;
    struct amy__span name = amy__span_of(entry);
    bool mine = amy__span_starts(name, AMY_SPAN(".amy-")) &&
                amy__span_ends(name, AMY_SPAN(".tmp"));

    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        mine = mine || strcmp(entry, ours[i]) == 0;
    }
    if (mine && unlinkat(*fd, entry, 0) != 0 && errno != ENOENT) {
        return amy__err_sys(err, errno, "removing '%s'", entry);
    }
    return 0;
}

static int
remove_partial(int sets_fd, const char *partial, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = open_partial(sets_fd, partial, err);
    int rc = 0;

    if (fd < 0) {
        return fd;
    }
    rc = each_entry(fd, remove_file, &fd, err);
    if (rc == 0 && unlinkat(sets_fd, partial, AT_REMOVEDIR) != 0) {
        rc = errno == ENOTEMPTY
                 ? amy__err(err, AMY_EEXIST,
                            "'%s' holds what is not ours; it stays", partial)
                 : amy__err_sys(err, errno, "removing '%s'", partial);
    }
    return rc;
}

/* The rename takes it away as a whole; a crash after it leaves what is swept.
 */
int
amy__set_remove(int sets_fd, const char *name, struct amy_error *err)
{
    char partial[PARTIAL_SIZE];

    partial_name(name, partial);
    if (rename_new(sets_fd, name, partial) != 0) {
        return amy__err_sys(err, errno, "removing '%s'", name);
    }
    if (fsync(sets_fd) != 0) {
        return amy__err_sys(err, errno, "fsync of " AMY__SETS_DIRECTORY);
    }
    return remove_partial(sets_fd, partial, err);
}

void
amy__set_abandon(int sets_fd, const char *name)
{
    char partial[PARTIAL_SIZE];

    partial_name(name, partial);
    /* What stays is swept by the next job, and never looks complete. */
    (void)remove_partial(sets_fd, partial, NULL);
}

/* A tree, as the throw-away cluster is; links are removed, never followed. */
static int
remove_tree(const char *entry, void *user, struct amy_error *err)
{
    const int *dir_fd = user;
    AMY_CLEANUP(amy__close_p) int fd = -1;
    int rc = 0;

    if (unlinkat(*dir_fd, entry, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    fd =
        openat(*dir_fd, entry, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        /* Where nothing may be written unlink says so, also of nothing. */
        return errno == ENOENT
                   ? 0
                   : amy__err_sys(err, errno, "removing '%s'", entry);
    }
    rc = each_entry(fd, remove_tree, &fd, err);
    if (rc == 0 && unlinkat(*dir_fd, entry, AT_REMOVEDIR) != 0) {
        rc = amy__err_sys(err, errno, "removing '%s'", entry);
    }
    return rc;
}

int
amy__sets_remove_scratch(int sets_fd, struct amy_error *err)
{
    return remove_tree(AMY__SETS_SCRATCH, &sets_fd, err);
}

static int
sweep_entry(const char *entry, void *user, struct amy_error *err)
{
    const int *sets_fd = user;
    char name[AMY__STAMP_SIZE];
    int rc = is_partial(entry, name) ? remove_partial(*sets_fd, entry, err) : 0;

    return rc == AMY_EEXIST ? 0 : rc; /* something of a person's in it */
}

int
amy__sets_sweep(int sets_fd, struct amy_error *err)
{
    int rc = amy__sets_remove_scratch(sets_fd, err);

    return rc < 0 ? rc : each_entry(sets_fd, sweep_entry, &sets_fd, err);
}

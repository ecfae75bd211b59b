/* The way back: a set from a copy into DB_backups. */
/* Not for restoring it: restore.c. */
#include "backup/copy.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

struct newest {
    char name[AMY__STAMP_SIZE];
    const char *site; /* whose */
    struct amy__store *store;
};

/* The newest good one of that site. */
static int
consider(const char *name, uint64_t bytes, void *user, struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest manifest;
    struct newest *newest = user;
    char hex[65] = "";
    int rc = 0;

    amy__manifest_init(&manifest);
    (void)bytes; /* it is read whole */
    if (newest->name[0] != '\0' && amy__stamp_compare(name, newest->name) < 0) {
        return 0;
    }
    rc = amy__copy_manifest(newest->store, name, &manifest, hex, err);
    if (rc == AMY_EPARSE || rc == AMY_ENOTFOUND || rc == AMY_ELIMIT ||
        rc == AMY_EDENIED) { /* another's, or one that says nothing */
        return 0;
    }
    if (rc == 0 && strcmp(manifest.site, newest->site) == 0 &&
        amy__verdict_is_verified(manifest.verdict)) {
        memcpy(newest->name, manifest.name, sizeof(newest->name));
    }
    return rc;
}

static int
fetch_files(struct amy__job *job, struct amy__store *store,
            const struct amy__manifest *manifest, int set_fd,
            struct amy_error *err)
{
    int rc = 0;

    for (size_t i = 0; i < manifest->file_count && rc == 0; i++) {
        const struct amy__manifest_file *file = &manifest->files[i];
        AMY_CLEANUP(amy__close_p)
        int fd =
            openat(set_fd, file->name,
                   O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

        if (fd < 0) {
            return amy__err_sys(err, errno, "making '%s'", file->name);
        }
        rc = amy__copy_prove_file(job, store, manifest->name, file, fd, err);
        if (rc == 0 && fsync(fd) != 0) {
            rc = amy__err_sys(err, errno, "fsync of '%s'", file->name);
        }
    }
    return rc;
}

/* Pinned: whoever fetches an old one would find it gone by the next morning. */
static int
fetch_set(struct amy__job *job, struct amy__store *store, const char *name,
          struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest manifest;
    AMY_CLEANUP(amy__close_p) int set_fd = -1;
    char hex[65] = "";
    int rc = 0;

    amy__manifest_init(&manifest);
    rc = amy__copy_manifest(store, name, &manifest, hex, err);
    if (rc == 0 && strcmp(manifest.site, job->spec.site) != 0) {
        return amy__err(err, AMY_EDENIED, "'%s' is a backup of %s", name,
                        manifest.site);
    }
    if (rc < 0) {
        return rc;
    }
    set_fd = amy__set_begin_named(job->sets_fd, name, err);
    if (set_fd < 0) {
        return set_fd;
    }
    rc = fetch_files(job, store, &manifest, set_fd, err);
    manifest.pinned = true;
    rc = rc < 0 ? rc : amy__set_commit(job->sets_fd, set_fd, &manifest, err);
    if (rc < 0) {
        amy__set_abandon(job->sets_fd, name);
        return rc;
    }
    amy__job_log(job, "%s fetched from %s, and pinned", name,
                 job->spec.copy.name);
    amy__job_tell_set(job, &manifest);
    return 0;
}

/* The one that is named, or the newest. */
static int
choose(const struct amy__job *job, struct amy__store *store, const char *site,
       char ret_name[AMY__STAMP_SIZE], struct amy_error *err)
{
    struct newest newest = {.site = site, .store = store};
    int rc = 0;

    if (job->spec.set[0] == '\0') {
        rc = store->ops->list(store, consider, &newest, err);
    } else {
        memcpy(newest.name, job->spec.set, sizeof(newest.name));
    }
    if (rc == 0 && newest.name[0] == '\0') {
        return amy__err(err, AMY_ENOTFOUND, "there is no verified backup");
    }
    memcpy(ret_name, newest.name, sizeof(newest.name));
    return rc;
}

int
amy__copy_fetch(struct amy__job *job, struct amy_error *err)
{
    AMY_CLEANUP(amy__store_close_p) struct amy__store *store = NULL;
    char name[AMY__STAMP_SIZE] = "";
    int rc = amy__store_open(job, false, &store, err);

    rc = rc < 0 ? rc : choose(job, store, job->spec.site, name, err);
    return rc < 0 ? rc : fetch_set(job, store, name, err);
}

/* Into files without a name: nothing of another site's is left here, whatever
 * becomes of us. */
static int
borrow_files(struct amy__job *job, struct amy__store *store,
             struct amy__loan *loan, struct amy_error *err)
{
    const struct amy__manifest *manifest = &loan->manifest;
    int rc = 0;

    for (size_t i = 0; i < manifest->file_count && rc == 0; i++) {
        int fd =
            openat(job->sets_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

        if (fd < 0) {
            return amy__err_sys(err, errno, "making a file");
        }
        loan->fds[loan->count++] = fd;
        rc = amy__copy_prove_file(job, store, manifest->name,
                                  &manifest->files[i], fd, err);
    }
    return rc;
}

int
amy__copy_borrow(struct amy__job *job, struct amy__loan *ret,
                 struct amy_error *err)
{
    AMY_CLEANUP(amy__store_close_p) struct amy__store *store = NULL;
    const char *site = job->spec.lender;
    char name[AMY__STAMP_SIZE] = "";
    char hex[65] = "";
    int rc = amy__store_open(job, false, &store, err);

    rc = rc < 0 ? rc : choose(job, store, site, name, err);
    rc =
        rc < 0 ? rc : amy__copy_manifest(store, name, &ret->manifest, hex, err);
    if (rc == 0 && (strcmp(ret->manifest.site, site) != 0 ||
                    !amy__verdict_is_verified(ret->manifest.verdict))) {
        return amy__err(err, AMY_EDENIED, "'%s' is no verified backup of %s",
                        name, site);
    }
    amy__loan_leave_roles(&ret->manifest);
    return rc < 0 ? rc : borrow_files(job, store, ret, err);
}

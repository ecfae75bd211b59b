/* Listeners for strangers: one for all workers of a pool, kept while workers,
 * generations and reloads come and go, so that nobody who queues there is lost.
 */
/* Not for a worker's own socket: that is socket.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/user.h"
#include "net/unix.h"
#include "site/owner.h"
#include "site/told.h"
#include "workers/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

/* The kernel takes less where net.core.somaxconn says so. */
#define BACKLOG 4096
/* A site's own directory of sockets: others may pass, and see nothing. */
#define PASS_MODE 0751

struct amy__workers_shared {
    struct amy__workers_shared *next;
    char *path;
    unsigned refs; /* pools */
    int fd;
    int dir_fd;
    const char *name; /* in path */
    dev_t dev;        /* of what we bound */
    ino_t ino;
};

static void
free_shared(struct amy__workers_shared *shared)
{
    if (shared == NULL) {
        return;
    }
    amy__close(&shared->fd);
    amy__close(&shared->dir_fd);
    amy__free(shared->path);
    amy__free(shared);
}
AMY_DEFINE_CLEANUP(struct amy__workers_shared *, free_shared)

/* Is what stands under that name still ours? */
static bool
is_ours(const struct amy__workers_shared *shared)
{
    struct stat st;

    return fstatat(shared->dir_fd, shared->name, &st, AT_SYMLINK_NOFOLLOW) ==
               0 &&
           st.st_dev == shared->dev && st.st_ino == shared->ino;
}

/* ---- its directory ---- */

/* Root binds nothing where the site's user could put something in its way. */
static int
check_owners(const struct amy_workers *workers, int dir_fd, const char *path,
             struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report;
    struct amy__site_rules rules =
        amy__told_rules(workers->settings, workers->as_person);

    amy__report_init(&report, path);
    amy__owner_check_chain(&rules, dir_fd, &report);
    return amy__report_finish(&report, AMY_EDENIED, NULL, NULL, err);
}

static int
open_checked(const struct amy_workers *workers, const char *path, int *ret_fd,
             struct amy_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0) {
        return amy__err_sys(err, errno, "opening directory '%s'", path);
    }
    rc = check_owners(workers, fd, path, err);
    if (rc < 0) {
        amy__close(&fd);
        return rc;
    }
    *ret_fd = fd;
    return 0;
}

/* /run is empty after each boot: the last directory of the path is made. */
static int
open_directory(const struct amy_workers *workers, const char *path, int *ret_fd,
               struct amy_error *err)
{
    char above[sizeof(((struct sockaddr_un *)NULL)->sun_path)];
    AMY_CLEANUP(amy__close_p) int above_fd = -1;
    char *slash = NULL;
    int rc = open_checked(workers, path, ret_fd, err);

    if (rc != AMY_ENOTFOUND ||
        !amy__span_copy(amy__span_of(path), above, sizeof(above))) {
        return rc;
    }
    slash = strrchr(above, '/');
    if (slash == above) {
        return rc;
    }
    *slash = '\0';
    rc = open_checked(workers, above, &above_fd, err);
    if (rc == 0 && mkdirat(above_fd, slash + 1, 0755) != 0 && errno != EEXIST) {
        rc = amy__err_sys(err, errno, "making directory '%s'", path);
    }
    if (rc == 0) {
        rc = open_checked(workers, path, ret_fd, err);
    }
    if (rc == 0 && fchmod(*ret_fd, 0755) != 0) { /* the umask was taken off */
        rc = amy__err_sys(err, errno, "opening up directory '%s'", path);
    }
    return rc;
}

/* {run}/{domain} is the front's alone, until a stranger has to get through. */
static int
let_pass(const struct amy__workers_site *site, int dir_fd,
         struct amy_error *err)
{
    struct stat run;
    struct stat here;

    if (fstatat(site->borrow_workers->run_fd, site->domain, &run,
                AT_SYMLINK_NOFOLLOW) != 0 ||
        fstat(dir_fd, &here) != 0 || run.st_dev != here.st_dev ||
        run.st_ino != here.st_ino) {
        return 0;
    }
    return fchmod(dir_fd, PASS_MODE) == 0
               ? 0
               : amy__err_sys(err, errno, "opening up {run}/%s", site->domain);
}

/* ---- the socket ---- */

/* As gunicorn's own: anybody of this machine; or one group. */
int
amy__workers_shared_admit(const struct amy__workers_shared *shared,
                          const char *group, struct amy_error *err)
{
    gid_t gid = 0;
    int rc = 0;

    if (group == NULL) {
        return fchmodat(shared->dir_fd, shared->name, 0666, 0) == 0
                   ? 0
                   : amy__err_sys(err, errno, "the mode of '%s'", shared->path);
    }
    rc = amy__group_find(group, &gid, err);
    if (rc < 0) {
        return rc;
    }
    if (fchownat(shared->dir_fd, shared->name, (uid_t)-1, gid,
                 AT_SYMLINK_NOFOLLOW) != 0 ||
        fchmodat(shared->dir_fd, shared->name, 0660, 0) != 0) {
        return amy__err_sys(err, errno, "the group of '%s'", shared->path);
    }
    return 0;
}

/* inherited: a program before this one bound it; taken over. */
static int
bind_socket(struct amy__workers_shared *shared, int *inherited,
            struct amy_error *err)
{
    struct stat st;

    if (fstatat(shared->dir_fd, shared->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        !S_ISSOCK(st.st_mode)) {
        return amy__err(err, AMY_EEXIST, "'%s' is there and no socket",
                        shared->path);
    }
    shared->fd = inherited != NULL && *inherited >= 0
                     ? amy__take_fd(inherited)
                     : amy__unix_replace_at(shared->dir_fd, shared->name, 0660,
                                            BACKLOG, err);
    if (shared->fd < 0) {
        return shared->fd;
    }
    if (fstatat(shared->dir_fd, shared->name, &st, AT_SYMLINK_NOFOLLOW) != 0) {
        return amy__err_sys(err, errno, "looking at '%s'", shared->path);
    }
    shared->dev = st.st_dev;
    shared->ino = st.st_ino;
    return 0;
}

static int
open_shared(struct amy__workers_site *site, const char *path, int *inherited,
            struct amy__workers_shared **ret_shared, struct amy_error *err)
{
    AMY_CLEANUP(free_shared_p)
    struct amy__workers_shared *shared = amy__calloc(1, sizeof(*shared));
    char *slash = NULL;
    int rc = 0;

    if (shared == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a listener");
    }
    shared->fd = -1;
    shared->dir_fd = -1;
    shared->path = amy__strdup(path);
    if (shared->path == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a listener");
    }
    slash = strrchr(shared->path, '/');
    shared->name = slash + 1;
    *slash = '\0';
    rc = open_directory(site->borrow_workers,
                        slash == shared->path ? "/" : shared->path,
                        &shared->dir_fd, err);
    *slash = '/';
    if (rc == 0) {
        rc = let_pass(site, shared->dir_fd, err);
    }
    if (rc == 0) {
        rc = bind_socket(shared, inherited, err);
    }
    if (rc < 0) {
        return rc;
    }
    shared->next = site->shared;
    site->shared = shared;
    *ret_shared = AMY_TAKE(shared);
    return 0;
}

/* ---- who uses it ---- */

static int
open_for(struct amy__workers_site *site, const struct amy__site_worker *spec,
         struct amy__workers_shared **ret_shared, struct amy_error *err)
{
    int rc = open_shared(site, spec->socket, NULL, ret_shared, err);

    if (rc == 0) {
        (*ret_shared)->refs++;
        rc = amy__workers_shared_admit(*ret_shared, spec->socket_group, err);
        if (rc < 0) {
            amy__workers_shared_give(site, *ret_shared);
        }
    }
    return rc;
}

int
amy__workers_shared_take(struct amy__workers_site *site,
                         const struct amy__site_worker *spec,
                         struct amy__workers_shared **ret_shared,
                         struct amy_error *err)
{
    struct amy__workers_shared *shared = site->shared;
    gid_t gid = 0;
    int rc = 0;

    /* One that somebody unlinked is nobody's way to us any more. */
    while (shared != NULL &&
           (strcmp(shared->path, spec->socket) != 0 || !is_ours(shared))) {
        shared = shared->next;
    }
    if (shared != NULL) {
        /* In use: who may connect changes with the generation that serves. */
        rc = spec->socket_group == NULL
                 ? 0
                 : amy__group_find(spec->socket_group, &gid, err);
        shared->refs += rc == 0 ? 1U : 0U;
    } else {
        rc = open_for(site, spec, &shared, err);
    }
    if (rc < 0) {
        amy__err_prefix(err, "socket of pool '%s': ", spec->name);
        return rc;
    }
    *ret_shared = shared;
    return 0;
}

void
amy__workers_shared_give(struct amy__workers_site *site,
                         struct amy__workers_shared *shared)
{
    struct amy__workers_shared **at = &site->shared;

    if (shared == NULL || --shared->refs > 0) {
        return;
    }
    while (*at != shared) {
        at = &(*at)->next;
    }
    *at = shared->next;
    if (is_ours(shared)) {
        (void)unlinkat(shared->dir_fd, shared->name, 0);
    }
    free_shared(shared);
}

struct amy__json *
amy__workers_shared_save(const struct amy__workers_site *site,
                         struct amy__handover *handover)
{
    struct amy__json *list = amy__json_array();

    for (const struct amy__workers_shared *shared = site->shared;
         shared != NULL; shared = shared->next) {
        struct amy__json *one = amy__json_object();

        (void)amy__json_set(one, "path", amy__json_text(shared->path));
        (void)amy__json_set(one, "socket_fd",
                            amy__handover_fd(handover, shared->fd));
        (void)amy__json_add(list, one);
    }
    return list;
}

int
amy__workers_shared_restore(struct amy__workers_site *site,
                            struct amy__handover *handover,
                            const struct amy__json *list, struct amy_error *err)
{
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < amy__json_count(list); i++) {
        const struct amy__json *one = amy__json_at(list, i);
        struct amy__workers_shared *shared = NULL;
        AMY_CLEANUP(amy__close_p)
        int fd = amy__handover_take(handover, one, "socket_fd");

        rc = fd < 0 ? amy__err(err, AMY_EPARSE, "state: a socket for strangers")
                    : open_shared(site, amy__json_get_text(one, "path", "/"),
                                  &fd, &shared, err);
    }
    return rc;
}

int
amy__workers_shared_fd(const struct amy__workers_shared *shared)
{
    return shared->fd;
}

/* The directories of releases, and the link that says which one is meant. */
/* Not for what is in them: fetch.c, python.c. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "deploy/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define REPO "repo"
#define REPO_NEW ".repo.new"
#define RELEASES "releases"
#define SETTINGS "postactivate"
#define SETTINGS_MAX ((size_t)256 * 1024)

/* ---- the link: in a directory that only whoever deploys may write ---- */

/* Empty, as `amyctl init` makes it: no release, and in nobody's way. */
static bool
is_new_directory(const struct amy_deploy *deploy)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    DIR *dir = NULL;
    unsigned names = 0;

    fd = openat(deploy->site_fd, REPO,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    dir = fd < 0 ? NULL : fdopendir(fd);
    if (dir == NULL) {
        return false;
    }
    fd = -1; /* the stream's */
    while (names <= 2 && readdir(dir) != NULL) {
        names++; /* "." and ".." are two */
    }
    (void)closedir(dir); /* it was read only: nothing can be lost */
    return names == 2;
}

int
amy__deploy_link_read(const struct amy_deploy *deploy,
                      char ret_link[AMY__DEPLOY_LINK_SIZE],
                      struct amy_error *err)
{
    ssize_t n =
        readlinkat(deploy->site_fd, REPO, ret_link, AMY__DEPLOY_LINK_SIZE - 1);

    if (n < 0 && (errno == ENOENT || errno == EINVAL)) {
        ret_link[0] = '\0';
        return errno == ENOENT || is_new_directory(deploy)
                   ? 0
                   : amy__err(err, AMY_ESTATE, "repo is no link");
    }
    if (n < 0) {
        return amy__err_sys(err, errno, "reading the link repo");
    }
    ret_link[n] = '\0';
    return amy__deploy_is_link(ret_link)
               ? 0
               : amy__err(err, AMY_EINVAL, "repo leads to a strange name");
}

int
amy__deploy_link_write(const struct amy_deploy *deploy, const char *link,
                       struct amy_error *err)
{
    if (unlinkat(deploy->site_fd, REPO_NEW, 0) != 0 && errno != ENOENT) {
        return amy__err_sys(err, errno, "removing " REPO_NEW);
    }
    if (link[0] == '\0') {
        return unlinkat(deploy->site_fd, REPO, 0) == 0 || errno == ENOENT
                   ? 0
                   : amy__err_sys(err, errno, "removing the link repo");
    }
    if (symlinkat(link, deploy->site_fd, REPO_NEW) != 0) {
        return amy__err_sys(err, errno, "making a link to %s", link);
    }
    /* An empty directory makes room; anything else stays, and is told. */
    (void)unlinkat(deploy->site_fd, REPO, AT_REMOVEDIR);
    if (renameat(deploy->site_fd, REPO_NEW, deploy->site_fd, REPO) != 0) {
        int why = errno;

        (void)unlinkat(deploy->site_fd, REPO_NEW, 0);
        return amy__err_sys(err, why, "switching repo to %s", link);
    }
    return fsync(deploy->site_fd) == 0
               ? 0
               : amy__err_sys(err, errno, "syncing the site's directory");
}

/* ---- releases/ ---- */

int
amy__deploy_directory_give(const struct amy_deploy *deploy, const char *name,
                           struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;

    if (mkdirat(deploy->site_fd, name, 0755) != 0) {
        return errno == EEXIST ? 0
                               : amy__err_sys(err, errno, "making %s/", name);
    }
    fd = openat(deploy->site_fd, name,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchmod(fd, 0755) != 0 ||
        (!deploy->as_person &&
         fchown(fd, deploy->deployer.uid, deploy->deployer.gid) != 0)) {
        int why = errno;

        (void)unlinkat(deploy->site_fd, name, AT_REMOVEDIR);
        return amy__err_sys(err, why, "giving %s/ to %s", name,
                            deploy->deployer.name);
    }
    return 0;
}

int
amy__deploy_releases_open(struct amy_deploy *deploy, struct amy_error *err)
{
    int rc = amy__deploy_directory_give(deploy, RELEASES, err);

    if (rc < 0 || deploy->releases_fd >= 0) {
        return rc;
    }
    deploy->releases_fd =
        openat(deploy->site_fd, RELEASES,
               O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return deploy->releases_fd < 0
               ? amy__err_sys(err, errno, "opening " RELEASES)
               : 0;
}

/* ---- one of them ---- */

static int
begin_as(const struct amy_deploy *deploy, const struct amy__user *user,
         struct amy__as_user *saved, struct amy_error *err)
{
    return deploy->as_person
               ? 0
               : amy__as_user_begin(user->uid, user->gid, saved, err);
}

static void
end_as(const struct amy_deploy *deploy, const struct amy__as_user *saved)
{
    if (!deploy->as_person) {
        amy__as_user_end(saved);
    }
}

/* The real path of what a descriptor is. */
static int
real_path(int fd, char ret[PATH_MAX], struct amy_error *err)
{
    char link[40];
    ssize_t n = 0;

    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    n = readlink(link, ret, PATH_MAX - 1);
    if (n < 0) {
        return amy__err_sys(err, errno, "looking for the release");
    }
    ret[n] = '\0';
    return 0;
}

int
amy__deploy_release_make(struct amy_deploy *deploy, struct amy_error *err)
{
    const char *name = deploy->journal.release;
    struct amy__as_user saved = {.changed = false};
    int rc = begin_as(deploy, &deploy->deployer, &saved, err);
    int why = 0;

    if (rc < 0) {
        return rc;
    }
    if (mkdirat(deploy->releases_fd, name, 0755) != 0) {
        why = errno;
    } else {
        deploy->release_fd =
            openat(deploy->releases_fd, name,
                   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        /* Whatever root's umask is: the site's user has to get in. */
        why = deploy->release_fd < 0 || fchmod(deploy->release_fd, 0755) != 0
                  ? errno
                  : 0;
    }
    end_as(deploy, &saved);
    /* Somebody's who was quicker, and not ours to remove. */
    deploy->journal.made = why != EEXIST;
    if (why != 0) {
        return amy__err_sys(err, why, "making " RELEASES "/%s as %s", name,
                            deploy->deployer.name);
    }
    return real_path(deploy->release_fd, deploy->release_path, err);
}

int
amy__deploy_release_open(struct amy_deploy *deploy, const char *link,
                         struct amy_error *err)
{
    struct amy__as_user saved = {.changed = false};
    int rc = begin_as(deploy, &deploy->account, &saved, err);
    int why = 0;

    if (rc < 0) {
        return rc;
    }
    amy__close(&deploy->release_fd);
    deploy->release_fd =
        openat(deploy->site_fd, link, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    why = deploy->release_fd < 0 ? errno : 0;
    end_as(deploy, &saved);
    if (why == ENOENT) {
        return amy__err(err, AMY_ENOTFOUND, "%s is not there any more", link);
    }
    return why != 0 ? amy__err_sys(err, why, "opening %s", link)
                    : real_path(deploy->release_fd, deploy->release_path, err);
}

/* ---- its settings ---- */

/* A link to the site's own, which a person or Ansible keeps: what it says now
 * counts for every release, the one that is gone back to as well. */
static int
link_settings(const struct amy_deploy *deploy, struct amy_error *err)
{
    char path[PATH_MAX + 300];

    (void)snprintf(path, sizeof(path), "%s/%s/" SETTINGS,
                   deploy->settings->webapps, deploy->domain);
    if (unlinkat(deploy->release_fd, ".venv/bin/" SETTINGS, 0) != 0 &&
        errno != ENOENT) {
        return amy__err_sys(err, errno, "removing the release's " SETTINGS);
    }
    return symlinkat(path, deploy->release_fd, ".venv/bin/" SETTINGS) == 0
               ? 0
               : amy__err_sys(err, errno, "linking the release's " SETTINGS);
}

/* What the present release has, read as the site's user. */
static int
read_settings(const struct amy_deploy *deploy, struct amy__buf *out,
              struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int dir_fd = -1;

    dir_fd = openat(deploy->site_fd, REPO "/.venv/bin",
                    O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0) {
        return amy__err(err, AMY_ENOTFOUND, "no environment yet");
    }
    return amy__read_file_at(dir_fd, SETTINGS, SETTINGS_MAX, out, NULL, err);
}

/* Written as the deploying user; the site's group gets to read it by the
 * descriptor of the file that was just made. */
static int
write_settings(const struct amy_deploy *deploy, const struct amy__buf *text,
               struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct amy__as_user saved = {.changed = false};
    int rc = begin_as(deploy, &deploy->deployer, &saved, err);

    if (rc < 0) {
        return rc;
    }
    fd = openat(deploy->release_fd, ".venv/bin/" SETTINGS,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0640);
    rc = fd < 0 ? amy__err_sys(err, errno, "copying " SETTINGS)
                : amy__write_all(fd, text->data, text->len, err);
    end_as(deploy, &saved);
    if (rc == 0 && !deploy->as_person &&
        (fchown(fd, (uid_t)-1, deploy->account.gid) != 0 ||
         fchmod(fd, 0640) != 0)) {
        rc = amy__err_sys(err, errno, "giving " SETTINGS " to the site");
    }
    return rc;
}

static bool
exists(const struct amy_deploy *deploy, int dir_fd, const char *name)
{
    struct stat st;

    (void)deploy;
    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
copy_settings(const struct amy_deploy *deploy, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct amy__as_user saved = {.changed = false};
    struct amy_error why = AMY_ERROR_INIT;
    int rc = begin_as(deploy, &deploy->account, &saved, err);

    if (rc < 0) {
        return rc;
    }
    amy__buf_init(&text, SETTINGS_MAX + 1);
    rc = read_settings(deploy, &text, &why);
    end_as(deploy, &saved);
    if (rc == 0) {
        rc = write_settings(deploy, &text, err);
    } else if (rc == AMY_ENOTFOUND) {
        rc = 0; /* a site without settings */
    } else {
        rc = amy__err(err, rc, "%s", why.msg);
    }
    if (text.data != NULL) {
        explicit_bzero(text.data, text.cap);
    }
    return rc;
}

int
amy__deploy_settings_bring(struct amy_deploy *deploy, struct amy_error *err)
{
    struct amy__as_user saved = {.changed = false};
    int rc = 0;

    if (exists(deploy, deploy->site_fd, SETTINGS)) {
        rc = begin_as(deploy, &deploy->deployer, &saved, err);
        rc = rc < 0 ? rc : link_settings(deploy, err);
        end_as(deploy, &saved);
        return rc;
    }
    if (exists(deploy, deploy->release_fd, ".venv/bin/" SETTINGS)) {
        return 0; /* a step of site.yaml has made it */
    }
    return copy_settings(deploy, err);
}

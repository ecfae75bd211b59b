/* Finds a site's repo, its virtual environment and the files that make it,
 * touching all of them as the site's user. Not for running them: env.c. */
#include "site/env_files.h"

#include "core/buf.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Nobody writes an activate of this size. */
#define FILE_MAX ((size_t)256 * 1024)

static int
missing(struct amy_error *err, int sys_errno, const char *path)
{
    if (sys_errno == ENOENT || sys_errno == ENOTDIR) {
        return amy__err(err, AMY_ENOTFOUND, "'%s' is missing", path);
    }
    return amy__err_sys(err, sys_errno, "opening '%s'", path);
}

/* Links may lead anywhere (a release, the system's python): what they lead to
 * is opened with the user's rights, and the kernel says where it is. */
static int
open_real_dir(int from, const char *name, const char *shown, int *ret_fd,
              char ret_path[PATH_MAX], struct amy_error *err)
{
    char link[32];
    ssize_t n = 0;

    *ret_fd = openat(from, name, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (*ret_fd < 0) {
        return missing(err, errno, shown);
    }
    (void)snprintf(link, sizeof(link), "/proc/self/fd/%d", *ret_fd);
    n = readlink(link, ret_path, PATH_MAX - 1);
    if (n < 0) {
        return amy__err_sys(err, errno, "looking for '%s'", shown);
    }
    ret_path[n] = '\0';
    return 0;
}

static int
read_text(int fd, struct amy__buf *text, const char *shown,
          struct amy_error *err)
{
    for (;;) {
        ssize_t n = 0;

        if (amy__buf_reserve(text, 4096) < 0) {
            return amy__err(err, AMY_ELIMIT, "'%s' is larger than %zu KiB",
                            shown, FILE_MAX / 1024);
        }
        n = read(fd, text->data + text->len, 4096);
        if (n < 0) {
            return amy__err_sys(err, errno, "reading '%s'", shown);
        }
        if (n == 0) {
            return 0;
        }
        text->len += (size_t)n;
    }
}

/* bash takes the carriage return of a Windows line into the value, and every
 * password is wrong by one invisible character. */
static int
refuse_windows_lines(struct amy__span text, const char *shown,
                     struct amy_error *err)
{
    unsigned line = 1;

    for (size_t i = 0; i < text.n; i++) {
        if (text.p[i] == '\n') {
            line++;
        } else if (text.p[i] == '\r' &&
                   (i + 1 == text.n || text.p[i + 1] == '\n')) {
            return amy__err(err, AMY_EPARSE,
                            "%s:%u: ends in CR LF, as Windows writes lines; "
                            "LF alone is right",
                            shown, line);
        }
    }
    return 0;
}

static int
check_script(int venv_fd, const char *name, const char *shown,
             struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct stat st;
    int rc = 0;

    /* A fifo must not hold up whoever opens it. */
    fd = openat(venv_fd, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        return missing(err, errno, shown);
    }
    if (fstat(fd, &st) < 0) {
        return amy__err_sys(err, errno, "looking at '%s'", shown);
    }
    if (!S_ISREG(st.st_mode)) {
        return amy__err(err, AMY_EINVAL, "'%s' is no regular file", shown);
    }
    amy__buf_init(&text, FILE_MAX + 4096);
    rc = read_text(fd, &text, shown, err);
    if (rc < 0) {
        return rc;
    }
    return refuse_windows_lines(amy__buf_span(&text), shown, err);
}

static int
check_python(int venv_fd, const char *shown, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct stat st;

    fd = openat(venv_fd, "bin/python", O_PATH | O_CLOEXEC);
    if (fd < 0) {
        /* Often a link to a python that an upgrade took away. */
        return missing(err, errno, shown);
    }
    if (fstat(fd, &st) < 0) {
        return amy__err_sys(err, errno, "looking at '%s'", shown);
    }
    if (!S_ISREG(st.st_mode) || (st.st_mode & 0111) == 0) {
        return amy__err(err, AMY_EINVAL, "'%s' cannot be run", shown);
    }
    return 0;
}

static int
check_venv(int venv_fd, struct amy__env_files *files, struct amy_error *err)
{
    int rc =
        check_script(venv_fd, "bin/activate", "repo/.venv/bin/activate", err);

    if (rc < 0) {
        return rc;
    }
    rc = check_python(venv_fd, "repo/.venv/bin/python", err);
    if (rc < 0) {
        return rc;
    }
    rc = check_script(venv_fd, "bin/postactivate",
                      "repo/.venv/bin/postactivate", err);
    files->has_postactivate = rc == 0;
    return rc == AMY_ENOTFOUND ? 0 : rc;
}

static int
open_release(const struct amy__env_release *release,
             struct amy__env_files *files, int *ret_venv_fd,
             struct amy_error *err)
{
    int rc = open_real_dir(AT_FDCWD, release->repo_path, release->repo_path,
                           &files->repo_fd, files->repo_path, err);

    return rc < 0
               ? rc
               : open_real_dir(AT_FDCWD, release->venv_path, release->venv_path,
                               ret_venv_fd, files->venv_path, err);
}

/* What the links lead to now. */
static int
open_repo(const char *site_path, struct amy__env_files *files, int *ret_venv_fd,
          struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int site_fd = -1;
    int rc = 0;

    site_fd = open(site_path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (site_fd < 0) {
        return missing(err, errno, site_path);
    }
    rc = open_real_dir(site_fd, "repo", "repo", &files->repo_fd,
                       files->repo_path, err);
    if (rc == 0) {
        rc = open_real_dir(files->repo_fd, ".venv", "repo/.venv", ret_venv_fd,
                           files->venv_path, err);
    }
    return rc;
}

static int
find_as_user(const char *site_path, const struct amy__env_release *release,
             struct amy__env_files *files, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int venv_fd = -1;
    int rc = release != NULL ? open_release(release, files, &venv_fd, err)
                             : open_repo(site_path, files, &venv_fd, err);

    return rc < 0 ? rc : check_venv(venv_fd, files, err);
}

int
amy__env_files_find(const struct amy__site *site, const char *webapps_path,
                    const struct amy__env_release *release, bool as_person,
                    struct amy__env_files *ret_files, struct amy_error *err)
{
    struct amy__as_user saved = {.changed = false};
    struct amy__env_files files = {.repo_fd = -1};
    struct amy_error why = AMY_ERROR_INIT;
    char path[PATH_MAX];
    int rc = 0;

    (void)snprintf(path, sizeof(path), "%s/%s", webapps_path, site->domain);
    if (!as_person) {
        rc = amy__as_user_begin(site->uid, site->gid, &saved, err);
        if (rc < 0) {
            return rc;
        }
    }
    rc = find_as_user(path, release, &files, &why);
    if (!as_person) {
        amy__as_user_end(&saved);
    }
    if (rc < 0) {
        amy__close(&files.repo_fd);
        return amy__err(err, rc, "%s", why.msg);
    }
    *ret_files = files;
    return 0;
}

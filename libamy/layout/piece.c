/* Makes directories and files, or says how those that are there differ. */
/* Not for which there are: layout.c. */
#include "layout/piece.h"

#include <amy/layout.h>

#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/user.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* What is being made has this name until it is as it should be. */
#define UNFINISHED ".amy-init"
#define USER_SIZE 64

/* "amy-example, mode 0750" */
static void
describe(uid_t uid, mode_t mode, char *buf, size_t size)
{
    char name[USER_SIZE];

    if (uid == (uid_t)-1) {
        (void)snprintf(buf, size, "mode %04o", (unsigned)mode);
        return;
    }
    (void)snprintf(buf, size, "%s, mode %04o",
                   amy__user_name(uid, name, sizeof(name)), (unsigned)mode);
}

static int
compare(const struct amy__layout_piece *piece, const struct stat *st,
        char ret[AMY__LAYOUT_MESSAGE_SIZE])
{
    mode_t mode = st->st_mode & 07777U;
    char is[96];
    char right[96];

    ret[0] = '\0';
    if (!piece->exact ||
        (st->st_uid == piece->uid && (mode & ~piece->mode) == 0)) {
        return AMY_LAYOUT_KEPT;
    }
    describe(st->st_uid, mode, is, sizeof(is));
    describe(piece->uid, piece->mode, right, sizeof(right));
    (void)snprintf(ret, AMY__LAYOUT_MESSAGE_SIZE,
                   "is of %s; right would be %s, or less", is, right);
    return AMY_LAYOUT_DIFFERS;
}

/* AMY_ENOTFOUND: there is nothing of that name. */
static int
look(int dir_fd, const struct amy__layout_piece *piece,
     char ret[AMY__LAYOUT_MESSAGE_SIZE], struct amy_error *err)
{
    struct stat st;

    if (fstatat(dir_fd, piece->name, &st,
                piece->exact ? AT_SYMLINK_NOFOLLOW : 0) < 0) {
        struct stat link;

        if (errno == ENOENT &&
            fstatat(dir_fd, piece->name, &link, AT_SYMLINK_NOFOLLOW) == 0) {
            (void)snprintf(ret, AMY__LAYOUT_MESSAGE_SIZE,
                           "is a link that leads nowhere");
            return AMY_LAYOUT_DIFFERS;
        }
        return amy__err_sys(err, errno, "looking for '%s'", piece->name);
    }
    if (!S_ISDIR(st.st_mode)) {
        return amy__err(err, AMY_EINVAL, "'%s' is in the way: no directory",
                        piece->name);
    }
    return compare(piece, &st, ret);
}

/* Under another name until it is finished: what is called logs/ is as it should
 * be, whenever we are killed. One that was left so is taken up. */
static int
make(int dir_fd, const struct amy__layout_piece *piece, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;

    if (mkdirat(dir_fd, UNFINISHED, 0700) < 0 && errno != EEXIST) {
        return amy__err_sys(err, errno, "making '%s'", piece->name);
    }
    fd = openat(dir_fd, UNFINISHED,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, piece->uid, piece->gid) < 0 ||
        fchmod(fd, piece->mode) < 0 ||
        renameat2(dir_fd, UNFINISHED, dir_fd, piece->name, RENAME_NOREPLACE) <
            0) {
        int rc = amy__err_sys(err, errno, "making '%s'", piece->name);

        (void)unlinkat(dir_fd, UNFINISHED, AT_REMOVEDIR);
        return rc;
    }
    return 0;
}

int
amy__layout_directory(int dir_fd, const struct amy__layout_piece *piece,
                      bool dry_run, char ret[AMY__LAYOUT_MESSAGE_SIZE],
                      struct amy_error *err)
{
    struct amy_error why = AMY_ERROR_INIT;
    int rc = dir_fd < 0 ? AMY_ENOTFOUND : look(dir_fd, piece, ret, &why);

    if (rc >= 0) {
        return rc;
    }
    if (rc != AMY_ENOTFOUND) {
        return amy__err(err, rc, "%s", why.msg);
    }
    if (!dry_run) {
        rc = make(dir_fd, piece, err);
        if (rc < 0) {
            return rc;
        }
    }
    describe(piece->uid, piece->mode, ret, AMY__LAYOUT_MESSAGE_SIZE);
    return AMY_LAYOUT_ADDED;
}

int
amy__layout_file(int dir_fd, const char *name, struct amy__span bytes,
                 bool dry_run, struct amy_error *err)
{
    struct stat st;
    int rc = 0;

    if (dir_fd >= 0 && fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0) {
        return S_ISREG(st.st_mode)
                   ? AMY_LAYOUT_KEPT
                   : amy__err(err, AMY_EINVAL,
                              "'%s' is in the way: no regular file", name);
    }
    if (!dry_run) {
        rc = amy__write_file_at(dir_fd, name, bytes.p, bytes.n, 0644, err);
    }
    return rc < 0 ? rc : AMY_LAYOUT_ADDED;
}

/* Opening, reading and replacing files relative to a directory descriptor. */
/* Not for memfds and foreign users: core/memfd.c and core/as_user.c. */
#include "core/files.h"

#include "core/cleanup.h"
#include "core/digest.h"
#include "core/error.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define OPENAT2_TRIES 8

static bool
is_same_time(const struct timespec *a, const struct timespec *b)
{
    return a->tv_sec == b->tv_sec && a->tv_nsec == b->tv_nsec;
}

bool
amy__stat_is_same(const struct stat *a, const struct stat *b)
{
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino &&
           a->st_size == b->st_size && a->st_mode == b->st_mode &&
           is_same_time(&a->st_mtim, &b->st_mtim) &&
           is_same_time(&a->st_ctim, &b->st_ctim);
}

bool
amy__ends_within_a_line(int fd)
{
    struct stat st = {0};
    char last = '\n';

    return fstat(fd, &st) == 0 && st.st_size > 0 &&
           pread(fd, &last, 1, st.st_size - 1) == 1 && last != '\n';
}

void
amy__close(int *fd)
{
    int before = errno;

    if (*fd >= 0) {
        (void)close(*fd); /* the descriptor is gone whatever it says */
    }
    *fd = -1;
    errno = before;
}

int
amy__open_beneath(int dir_fd, const char *path, int flags, mode_t mode,
                  struct amy_error *err)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .mode = mode,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS,
    };
    long fd = -1;

    /* EAGAIN: a rename anywhere raced with a "..", says openat2(2). */
    for (int i = 0; i < OPENAT2_TRIES && fd < 0; i++) {
        fd = syscall(SYS_openat2, dir_fd, path, &how, sizeof(how));
        if (fd < 0 && errno != EAGAIN && errno != EINTR) {
            break;
        }
    }
    if (fd >= 0) {
        return (int)fd;
    }
    if (errno == EXDEV) {
        (void)amy__err_sys(err, errno, "'%s' leaves its directory", path);
        if (err != NULL) {
            err->code = AMY_EINVAL;
        }
        return AMY_EINVAL;
    }
    if (errno == ENOSYS) {
        return amy__err_sys(err, errno,
                            "'%s': openat2 is needed (Linux 5.6, or a seccomp "
                            "filter that knows it)",
                            path);
    }
    return amy__err_sys(err, errno, "opening '%s'", path);
}

int
amy__open_dir(const char *path, struct amy_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0) {
        return amy__err_sys(err, errno, "opening directory '%s'", path);
    }
    return fd;
}

/* Make (when missing) and enter one component. Takes *at and replaces it. */
static int
descend(int *at, const char *name, mode_t mode)
{
    bool made = mkdirat(*at, name, mode) == 0;
    int next = -1;

    if (!made && errno != EEXIST) {
        return -1;
    }
    next = openat(*at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (next < 0) {
        return -1;
    }
    amy__close(at);
    *at = next;
    /* mkdir(2) takes the umask off. */
    return made ? fchmod(next, mode) : 0;
}

int
amy__make_dirs(const char *path, mode_t mode, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int at = -1;
    struct amy__span rest = amy__span_of(path);
    struct amy__span part = {0};
    char name[NAME_MAX + 1] = "";

    at = open(path[0] == '/' ? "/" : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (at < 0) {
        return amy__err_sys(err, errno, "opening the directory above '%s'",
                            path);
    }
    while (amy__span_split(&rest, '/', &part)) {
        struct amy__span ahead = rest;
        struct amy__span next = {0};
        bool last = true;

        while (amy__span_split(&ahead, '/', &next)) {
            last = last && next.n == 0; /* slashes at the end count nothing */
        }
        if (part.n == 0) {
            continue;
        }
        if (!amy__span_copy(part, name, sizeof(name))) {
            return amy__err_sys(err, ENAMETOOLONG, "making '%s'", path);
        }
        if (descend(&at, name, last ? mode : 0755) != 0) {
            return amy__err_sys(err, errno, "making '%s' of '%s'", name, path);
        }
    }
    return 0;
}

static const char *
kind_of(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFLNK:
        return "a symbolic link";
    case S_IFIFO:
        return "a fifo";
    case S_IFSOCK:
        return "a socket";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    default:
        return "no regular file";
    }
}

static int
refuse_kind(const char *name, mode_t mode, struct amy_error *err)
{
    return amy__err(err, AMY_EINVAL, "'%s' is %s, not a regular file", name,
                    kind_of(mode));
}

static int
open_regular(int dir_fd, const char *name, struct stat *ret_stat,
             struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;

    fd = openat(dir_fd, name,
                O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY | O_CLOEXEC);
    if (fd < 0) {
        int failure = errno;

        /* Links and sockets cannot be opened at all; say what stands there. */
        if ((failure == ELOOP || failure == ENXIO) &&
            fstatat(dir_fd, name, ret_stat, AT_SYMLINK_NOFOLLOW) == 0 &&
            !S_ISREG(ret_stat->st_mode)) {
            return refuse_kind(name, ret_stat->st_mode, err);
        }
        return amy__err_sys(err, failure, "opening '%s'", name);
    }
    if (fstat(fd, ret_stat) != 0) {
        return amy__err_sys(err, errno, "looking at '%s'", name);
    }
    if (!S_ISREG(ret_stat->st_mode)) {
        return refuse_kind(name, ret_stat->st_mode, err);
    }
    return amy__take_fd(&fd);
}

/* To the end of the file, whatever its size was called before. */
static int
read_rest(int fd, const char *name, size_t max, struct amy__buf *out,
          struct amy_error *err)
{
    size_t before = out->len;

    for (;;) {
        char chunk[8192];
        ssize_t n = read(fd, chunk, sizeof(chunk));
        int rc = 0;

        if (n == 0) {
            return 0;
        }
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n < 0) {
            return amy__err_sys(err, errno, "reading '%s'", name);
        }
        if ((size_t)n > max - (out->len - before)) {
            return amy__err(err, AMY_ELIMIT, "'%s' has more than %zu bytes",
                            name, max);
        }
        rc = amy__buf_append(out, chunk, (size_t)n);
        if (rc < 0) {
            return amy__err(err, rc, "'%s' does not fit its buffer", name);
        }
    }
}

int
amy__read_file_at(int dir_fd, const char *name, size_t max,
                  struct amy__buf *out, struct stat *ret_stat,
                  struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct stat seen = {0};
    size_t before = out->len;
    int rc = 0;

    fd = open_regular(dir_fd, name, &seen, err);
    if (fd < 0) {
        return fd;
    }
    if (seen.st_size > 0 && (uint64_t)seen.st_size > max) {
        return amy__err(err, AMY_ELIMIT, "'%s' has more than %zu bytes", name,
                        max);
    }
    rc = read_rest(fd, name, max, out, err);
    if (rc < 0) {
        out->len = before;
        return rc;
    }
    if (ret_stat != NULL) {
        *ret_stat = seen;
    }
    return 0;
}

int
amy__write_all(int fd, const void *data, size_t n, struct amy_error *err)
{
    const char *p = data;

    while (n > 0) {
        ssize_t done = write(fd, p, n);

        if (done < 0 && errno == EINTR) {
            continue;
        }
        if (done < 0) {
            return amy__err_sys(err, errno, "writing %zu bytes", n);
        }
        p += done;
        n -= (size_t)done;
    }
    return 0;
}

static int
write_and_sync(int fd, const void *data, size_t n, mode_t mode,
               struct amy_error *err)
{
    int rc = 0;

    if (fchmod(fd, mode) != 0) { /* open(2) took the umask off */
        return amy__err_sys(err, errno, "setting the mode");
    }
    rc = amy__write_all(fd, data, n, err);
    if (rc < 0) {
        return rc;
    }
    if (fsync(fd) != 0) {
        return amy__err_sys(err, errno, "fsync");
    }
    return 0;
}

int
amy__write_file_at(int dir_fd, const char *name, const void *data, size_t n,
                   mode_t mode, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    uint8_t salt[8] = {0};
    char hex[2 * sizeof(salt) + 1] = "";
    char fresh[32] = "";
    int rc = 0;

    if (name[0] == '\0' || strchr(name, '/') != NULL) {
        return amy__err(err, AMY_EINVAL, "'%s' is no plain file name", name);
    }
    rc = amy__random(salt, sizeof(salt), err);
    if (rc < 0) {
        return rc;
    }
    amy__hex(salt, sizeof(salt), hex);
    (void)snprintf(fresh, sizeof(fresh), ".amy-%s.tmp", hex);
    fd = openat(dir_fd, fresh,
                O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0) {
        return amy__err_sys(err, errno, "creating a file beside '%s'", name);
    }
    rc = write_and_sync(fd, data, n, mode, err);
    if (rc == 0 && renameat(dir_fd, fresh, dir_fd, name) != 0) {
        rc = amy__err_sys(err, errno, "renaming");
    }
    if (rc < 0) {
        (void)unlinkat(dir_fd, fresh, 0);
        amy__err_prefix(err, "writing '%s': ", name);
        return rc;
    }
    if (fsync(dir_fd) != 0) {
        return amy__err_sys(err, errno, "fsync of the directory of '%s'", name);
    }
    return 0;
}

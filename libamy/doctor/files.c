/* Reads directories of configuration that root wrote. */
/* Not for what a site's user may write: modes.c goes there as that user. */
#include "doctor/files.h"

#include "core/buf.h"
#include "core/cleanup.h"
#include "core/files.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES_MAX 1000U
#define FILE_MAX ((size_t)256 * 1024)

struct reading {
    struct amy__findings *findings;
    const char *check;
    amy__file_fn fn;
    void *user;
};

static void
cannot(const struct reading *reading, const char *path, int sys_errno)
{
    amy__finding_is(reading->findings, "%s%s could not be looked at: %s",
                    path[0] == '/' ? "" : "/", path, strerror(sys_errno));
    amy__finding_tell(reading->findings, AMY_DOCTOR_UNKNOWN, reading->check,
                      "run amyctl doctor as root");
}

/* The first FILE_MAX bytes of a regular file. */
static void
read_one(const struct reading *reading, int fd, const char *path)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct stat st;
    ssize_t n = 1;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
        return;
    }
    amy__buf_init(&text, FILE_MAX);
    while (n > 0 && amy__buf_reserve(&text, 4096) == 0) {
        n = read(fd, text.data + text.len, 4096);
        text.len += n > 0 ? (size_t)n : 0;
    }
    reading->fn(path, amy__buf_span(&text), reading->user);
}

static void
open_and_read(const struct reading *reading, int at, const char *name,
              const char *path)
{
    AMY_CLEANUP(amy__close_p)
    int fd = openat(at, name, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);

    if (fd >= 0) {
        read_one(reading, fd, path);
    } else if (errno == EACCES) {
        cannot(reading, path, errno);
    }
}

static void
read_directory(const struct reading *reading, DIR *dir, const char *path)
{
    const struct dirent *entry = NULL;
    char full[PATH_MAX];

    for (size_t i = 0; i < FILES_MAX; i++) {
        entry = readdir(dir);
        if (entry == NULL) {
            return;
        }
        if (entry->d_name[0] != '.') {
            (void)snprintf(full, sizeof(full), "%s/%s", path, entry->d_name);
            open_and_read(reading, dirfd(dir), entry->d_name, full);
        }
    }
}

void
amy__files_each(int root_fd, const char *path, struct amy__findings *findings,
                const char *check, amy__file_fn fn, void *user)
{
    const struct reading reading = {findings, check, fn, user};
    int fd = openat(root_fd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);

    if (dir != NULL) {
        read_directory(&reading, dir, path);
        (void)closedir(dir); /* it was read only */
        return;
    }
    if (errno == ENOTDIR) {
        open_and_read(&reading, root_fd, path, path);
    } else if (errno == EACCES) {
        cannot(&reading, path, errno);
    }
    amy__close(&fd);
}

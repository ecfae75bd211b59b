/* Logs of other programs: after the rename of one, a signal to who writes it.
 * Not for renaming and packing: that is the room logrotate. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "workers/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define PID_MAX_VALUE 4194304U /* of a 64-bit kernel: proc(5) */

/* The number in the file, read with the rights of the site's user, who may have
 * written anything into it. */
static int
read_pid(const struct amy__workers_site *site, const char *path, uint64_t *ret,
         struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int dir = -1;
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct amy__as_user saved;
    char text[32] = "";
    ssize_t n = -1;
    int rc = 0;

    dir = amy__open_beneath(site->borrow_workers->webapps_fd, site->domain,
                            O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    rc = dir < 0 ? dir
                 : amy__as_user_begin(site->site->uid, site->site->gid, &saved,
                                      err);
    if (rc < 0) {
        return rc;
    }
    fd = amy__open_beneath(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, err);
    n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
    amy__as_user_end(&saved);
    if (fd < 0) {
        return fd;
    }
    if (n <= 0 ||
        !amy__parse_u64((struct amy__span){text, strcspn(text, " \r\n")},
                        PID_MAX_VALUE, ret) ||
        *ret < 2) {
        return amy__err(err, AMY_EPARSE, "'%s' has no process number", path);
    }
    return 0;
}

/* Only to the site's own: root's right to signal anybody is not lent. First the
 * descriptor, then whose it is, so that it is that process and no later one of
 * the same number. */
static int
send_to(const struct amy__workers_site *site, uint64_t pid, int sig,
        struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = (int)syscall(SYS_pidfd_open, (pid_t)pid, 0U);
    char path[32] = "";
    struct stat st = {0};

    (void)snprintf(path, sizeof(path), "/proc/%u", (unsigned)pid);
    if (fd < 0 || stat(path, &st) != 0) {
        return amy__err_sys(err, errno, "process %u", (unsigned)pid);
    }
    if (st.st_uid != site->site->uid) {
        return amy__err(err, AMY_EDENIED,
                        "process %u is not of the site's user", (unsigned)pid);
    }
    if (syscall(SYS_pidfd_send_signal, fd, sig, NULL, 0U) != 0) {
        return amy__err_sys(err, errno, "process %u", (unsigned)pid);
    }
    return 0;
}

void
amy__workers_foreign_rotated(const struct amy__workers_site *site,
                             const char *name)
{
    struct amy_error err = AMY_ERROR_INIT;

    for (size_t i = 0; i < site->site->log_file_count; i++) {
        const struct amy__site_log_file *file = &site->site->log_files[i];
        uint64_t pid = 0;
        int rc = 0;

        if (strcmp(file->path, name) != 0 || file->signal == 0) {
            continue;
        }
        rc = read_pid(site, file->pid_file, &pid, &err);
        rc = rc == 0 ? send_to(site, pid, file->signal, &err) : rc;
        if (rc < 0) {
            amy__log(&site->borrow_workers->log, AMY_LOG_WARN,
                     "nobody was told that a log was rotated: %s site=%s "
                     "file=%s",
                     err.msg, site->domain, name);
        }
    }
}

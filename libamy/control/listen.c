/* Binding the control socket so that a dead one is replaced. */
/* Not for workers' sockets: the directory of those is a registry. */
#include "control/listen.h"

#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 64

static bool
address_of(int dir_fd, const char *name, struct sockaddr_un *ret)
{
    int n = 0;

    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s",
                 dir_fd, name);
    return n > 0 && (size_t)n < sizeof(ret->sun_path);
}

static bool
is_alive(const struct sockaddr_un *address)
{
    AMY_CLEANUP(amy__close_p)
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    /* EAGAIN: it lives, and its backlog is full. */
    return fd >= 0 && (connect(fd, (const struct sockaddr *)address,
                               sizeof(*address)) == 0 ||
                       errno == EAGAIN);
}

int
amy__control_bind(int dir_fd, const char *name, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct sockaddr_un address;
    char fresh[64] = "";
    int taken = -1;

    (void)snprintf(fresh, sizeof(fresh), ".%.40s.%d", name, (int)getpid());
    if (!address_of(dir_fd, name, &address)) {
        return amy__err(err, AMY_EINVAL, "socket name '%s' is too long", name);
    }
    if (is_alive(&address)) {
        return amy__err(err, AMY_EBUSY,
                        "'%s' is answered by another process already", name);
    }
    (void)address_of(dir_fd, fresh, &address);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) {
        return amy__err_sys(err, errno, "making socket '%s'", name);
    }
    (void)unlinkat(dir_fd, fresh, 0); /* of a dead process with our number */
    if (bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0) {
        return amy__err_sys(err, errno, "binding socket '%s'", name);
    }
    if (fchmodat(dir_fd, fresh, 0666, 0) != 0 || listen(fd, BACKLOG) != 0 ||
        renameat(dir_fd, fresh, dir_fd, name) != 0) {
        int failure = errno;

        (void)unlinkat(dir_fd, fresh, 0);
        return amy__err_sys(err, failure, "binding socket '%s'", name);
    }
    taken = fd;
    fd = -1;
    return taken;
}

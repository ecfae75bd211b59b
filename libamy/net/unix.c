/* Unix sockets by directory descriptor and name. */
/* Not for who may connect: the owner of the directory sets modes. */
#include "net/unix.h"

#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int
address_at(int dir_fd, const char *name, struct sockaddr_un *ret_sa,
           struct amy_error *err)
{
    int n = 0;

    *ret_sa = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (name[0] == '\0' || strchr(name, '/') != NULL) {
        return amy__err(err, AMY_EINVAL, "socket name '%s'", name);
    }
    n = snprintf(ret_sa->sun_path, sizeof(ret_sa->sun_path),
                 "/proc/self/fd/%d/%s", dir_fd, name);
    if (n < 0 || (size_t)n >= sizeof(ret_sa->sun_path)) {
        return amy__err(err, AMY_EINVAL, "socket name '%s' is too long", name);
    }
    return 0;
}

/* A socket, and the address of that name for it. */
static int
socket_for(int dir_fd, const char *name, struct sockaddr_un *ret_sa,
           struct amy_error *err)
{
    int rc = address_at(dir_fd, name, ret_sa, err);
    int fd = -1;

    if (rc < 0) {
        return rc;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? amy__err_sys(err, errno, "making a unix socket") : fd;
}

/* Returns a socket that has its name and does not listen yet. */
static int
bind_at(int dir_fd, const char *name, struct amy_error *err)
{
    struct sockaddr_un sa;
    int fd = socket_for(dir_fd, name, &sa, err);
    int rc = 0;

    if (fd >= 0 && bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
        rc = errno == EADDRINUSE
                 ? amy__err(err, AMY_EEXIST, "socket '%s' exists", name)
                 : amy__err_sys(err, errno, "binding socket '%s'", name);
        amy__close(&fd);
        return rc;
    }
    return fd;
}

int
amy__unix_listen_at(int dir_fd, const char *name, int backlog,
                    struct amy_error *err)
{
    int fd = bind_at(dir_fd, name, err);
    int rc = 0;

    if (fd >= 0 && listen(fd, backlog) != 0) {
        rc = amy__err_sys(err, errno, "listening on socket '%s'", name);
        amy__close(&fd);
        return rc;
    }
    return fd;
}

/* The mode is right before anybody can connect, and the name appears last. */
static int
listen_aside(int dir_fd, const char *name, const char *aside, mode_t mode,
             int backlog, struct amy_error *err)
{
    int fd = -1;
    int rc = 0;

    (void)unlinkat(dir_fd, aside, 0); /* of a dead process with our number */
    fd = bind_at(dir_fd, aside, err);
    if (fd >= 0 &&
        (fchmodat(dir_fd, aside, mode, 0) != 0 || listen(fd, backlog) != 0 ||
         renameat(dir_fd, aside, dir_fd, name) != 0)) {
        rc = amy__err_sys(err, errno, "listening on socket '%s'", name);
        (void)unlinkat(dir_fd, aside, 0);
        amy__close(&fd);
        return rc;
    }
    return fd;
}

int
amy__unix_replace_at(int dir_fd, const char *name, mode_t mode, int backlog,
                     struct amy_error *err)
{
    char aside[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = "";
    struct sockaddr_un sa;
    int rc = address_at(dir_fd, name, &sa, err);
    int fd = -1;

    if (rc < 0) {
        return rc;
    }
    rc = snprintf(aside, sizeof(aside), ".%s.%d", name, (int)getpid());
    if (rc < 0 || (size_t)rc >= sizeof(aside)) {
        return amy__err(err, AMY_EINVAL, "socket name '%s' is too long", name);
    }
    fd = amy__unix_connect_at(dir_fd, name, NULL);
    if (fd >= 0 || fd == AMY_EAGAIN) { /* it lives; maybe its backlog is full */
        amy__close(&fd);
        return amy__err(err, AMY_EBUSY,
                        "'%s' is answered by another process already", name);
    }
    return listen_aside(dir_fd, name, aside, mode, backlog, err);
}

int
amy__unix_connect_at(int dir_fd, const char *name, struct amy_error *err)
{
    struct sockaddr_un sa;
    int fd = socket_for(dir_fd, name, &sa, err);
    int rc = 0;

    if (fd >= 0 && connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0) {
        rc = amy__err_sys(err, errno, "connecting to socket '%s'", name);
        amy__close(&fd);
        return rc;
    }
    return fd;
}

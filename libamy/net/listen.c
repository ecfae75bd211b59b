/* Opens listening sockets on TCP addresses and beneath directories. */
/* Not for accepting: that is serve/listener.c. */
#include "net/listen.h"

#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define BACKLOG 4096
#define SOCKET_TYPE (SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC)

static int
fail_tcp(int *fd, int sys_errno, const struct amy__address *address,
         struct amy_error *err)
{
    char host[64];
    int rc = 0;

    amy__close(fd);
    (void)amy__address_host(address, host, sizeof(host));
    rc = amy__err_sys(err, sys_errno, "listening on %s port %u", host,
                      (unsigned)amy__address_port(address));
    if (sys_errno != EADDRINUSE && sys_errno != EADDRNOTAVAIL) {
        return rc;
    }
    rc = sys_errno == EADDRINUSE ? AMY_EBUSY : AMY_EINVAL;
    if (err != NULL) {
        err->code = rc;
    }
    return rc;
}

int
amy__listen_tcp(const struct amy__address *address, bool reuse_port,
                int backlog, struct amy_error *err)
{
    int family = address->sa.ss_family;
    int fd = socket(family, SOCKET_TYPE, 0);
    int on = 1;
    int off = 0;

    if (fd < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        (reuse_port &&
         setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0) ||
        (family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) != 0) ||
        bind(fd, (const struct sockaddr *)&address->sa, address->len) != 0 ||
        listen(fd, backlog == 0 ? BACKLOG : backlog) != 0) {
        return fail_tcp(&fd, errno, address, err);
    }
    return fd;
}

/* sun_path holds 108 bytes; the descriptor stands for the directory. */
static int
path_of(int dir_fd, const char *name, struct sockaddr_un *ret,
        struct amy_error *err)
{
    int n = 0;

    ret->sun_family = AF_UNIX;
    n = snprintf(ret->sun_path, sizeof(ret->sun_path), "/proc/self/fd/%d/%s",
                 dir_fd, name);
    if (n < 0 || (size_t)n >= sizeof(ret->sun_path) || name[0] == '\0' ||
        strchr(name, '/') != NULL) {
        return amy__err(err, AMY_EINVAL, "'%s' cannot name a socket", name);
    }
    return 0;
}

/* Does a living process listen there? */
static bool
is_live(const struct sockaddr_un *sa)
{
    int fd = socket(AF_UNIX, SOCKET_TYPE, 0);
    bool live = false;

    if (fd >= 0) {
        /* EAGAIN: somebody whose backlog is full. */
        live = connect(fd, (const struct sockaddr *)sa, sizeof(*sa)) == 0 ||
               errno == EAGAIN;
        (void)close(fd);
    }
    return live;
}

static int
bind_aside(int dir_fd, const char *name, const char *aside, mode_t mode,
           int backlog, struct amy_error *err)
{
    struct sockaddr_un sa = {0};
    int rc = path_of(dir_fd, aside, &sa, err);
    int fd = -1;

    if (rc < 0) {
        return rc;
    }
    (void)unlinkat(dir_fd, aside, 0);
    fd = socket(AF_UNIX, SOCKET_TYPE, 0);
    if (fd < 0) {
        return amy__err_sys(err, errno, "making a socket");
    }
    if (bind(fd, (const struct sockaddr *)&sa, sizeof(sa)) != 0 ||
        fchmodat(dir_fd, aside, mode, 0) != 0 ||
        listen(fd, backlog == 0 ? BACKLOG : backlog) != 0 ||
        renameat(dir_fd, aside, dir_fd, name) != 0) {
        rc = amy__err_sys(err, errno, "listening on socket '%s'", name);
        (void)unlinkat(dir_fd, aside, 0);
        amy__close(&fd);
        return rc;
    }
    return fd;
}

int
amy__listen_unix(int dir_fd, const char *name, mode_t mode, int backlog,
                 struct amy_error *err)
{
    struct sockaddr_un sa = {0};
    char aside[80];
    int rc = path_of(dir_fd, name, &sa, err);

    if (rc < 0) {
        return rc;
    }
    if (is_live(&sa)) {
        return amy__err(err, AMY_EBUSY, "somebody listens on '%s'", name);
    }
    rc = snprintf(aside, sizeof(aside), ".%s.%d", name, (int)getpid());
    if (rc < 0 || (size_t)rc >= sizeof(aside)) {
        return amy__err(err, AMY_EINVAL, "'%s' cannot name a socket", name);
    }
    return bind_aside(dir_fd, name, aside, mode, backlog, err);
}

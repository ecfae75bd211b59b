/* Opens listening sockets on TCP addresses. */
/* Not for unix sockets (net/unix.c) nor accepting (serve/listener.c). */
#include "net/listen.h"

#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>

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

bool
amy__listens_on(int fd, const struct amy__address *address)
{
    struct amy__address own = {.len = sizeof(own.sa)};
    char here[64] = "";
    char there[64] = "";

    if (getsockname(fd, (struct sockaddr *)&own.sa, &own.len) != 0) {
        return false;
    }
    if (address == NULL || own.sa.ss_family != address->sa.ss_family) {
        return address == NULL && own.sa.ss_family == AF_UNIX;
    }
    (void)amy__address_host(&own, here, sizeof(here));
    (void)amy__address_host(address, there, sizeof(there));
    return strcmp(here, there) == 0 &&
           amy__address_port(&own) == amy__address_port(address);
}

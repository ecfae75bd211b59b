/* Listening TCP sockets, non-blocking and close-on-exec. */
#ifndef AMY_NET_LISTEN_H
#define AMY_NET_LISTEN_H

#include <amy/error.h>

#include "net/address.h"

#include <stdbool.h>

/* backlog 0: 4096. With reuse_port several sockets may share the address, each
 * with a queue of its own. [::] takes IPv4 too. Returns the descriptor or
 * AMY_EBUSY (in use), AMY_EDENIED (a port below 1024), AMY_EINVAL (an address
 * that is not this machine's), AMY_EIO. */
int amy__listen_tcp(const struct amy__address *address, bool reuse_port,
                    int backlog, struct amy_error *err);

/* Is that where this socket listens? address NULL: on a unix socket. */
bool amy__listens_on(int fd, const struct amy__address *address);

#endif

/* Unix sockets by directory descriptor and name, so that neither a long domain
 * nor a renamed parent matters: the kernel sees /proc/self/fd/N/NAME, which
 * fits into the 107 bytes of a socket address where the real path would not. */
#ifndef AMY_NET_UNIX_H
#define AMY_NET_UNIX_H

#include <amy/error.h>

#include <sys/types.h>

/* A listening stream socket bound to name beneath dir_fd; close-on-exec,
 * non-blocking. Returns the descriptor; AMY_EEXIST when the name is taken,
 * AMY_EINVAL when it is empty, too long or has a slash. */
int amy__unix_listen_at(int dir_fd, const char *name, int backlog,
                        struct amy_error *err);

/* The same, but it appears ready and with its mode in one step, and takes the
 * place of what a dead process left there. Returns the descriptor; AMY_EBUSY
 * when somebody listens on that name, AMY_EINVAL, AMY_EDENIED, AMY_EIO. */
int amy__unix_replace_at(int dir_fd, const char *name, mode_t mode, int backlog,
                         struct amy_error *err);

/* Connect without waiting. Returns the descriptor; AMY_ENOTFOUND (no such
 * name), AMY_ECONN (nobody listens), AMY_EAGAIN (the backlog is full). */
int amy__unix_connect_at(int dir_fd, const char *name, struct amy_error *err);

#endif

/* The control socket's file. */
#ifndef AMY_CONTROL_LISTEN_H
#define AMY_CONTROL_LISTEN_H

#include <amy/error.h>

/* Bind a listening stream socket as dir_fd/name, mode 0666: made under a
 * temporary name and renamed, so that a dead one is replaced and nobody ever
 * meets one that is not ready. Returns the descriptor; AMY_EBUSY when a living
 * one answers, AMY_EDENIED, AMY_EIO. Long paths fit, by /proc/self/fd. */
int amy__control_bind(int dir_fd, const char *name, struct amy_error *err);

#endif

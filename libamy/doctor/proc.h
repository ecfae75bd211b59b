/* Texts of /proc. Pure, but for amy__proc_owner(). */
#ifndef AMY_DOCTOR_PROC_H
#define AMY_DOCTOR_PROC_H

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

/* The soft limit of open files in a text of /proc/PID/limits; UINT64_MAX:
 * unlimited. False: it does not say. */
bool amy__limits_files(struct amy__span text, uint64_t *ret);

/* The inode of who listens on this port, by a text of /proc/net/tcp or tcp6; 0:
 * nobody. */
uint64_t amy__tcp_listener(struct amy__span text, unsigned port);

/* The name of a process that has this socket open; false: none that we may look
 * at. */
bool amy__proc_owner(uint64_t inode, char ret_name[32]);

#endif

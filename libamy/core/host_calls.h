/* System calls that are the host's: no daemon and no site needs them. */
#ifndef AMY_CORE_HOST_CALLS_H
#define AMY_CORE_HOST_CALLS_H

#include <amy/log.h>

#include <stdbool.h>

/* Refuse them (EPERM) from now on to this process and all that it starts. Where
 * that cannot be, all goes on without; the log is told, but for keep_privs,
 * which is for who starts programs that may be setuid: it needs CAP_SYS_ADMIN
 * or leaves things as they are. Otherwise no_new_privs is set. */
void amy__host_calls_refuse(bool keep_privs, const struct amy_log *log);

#endif

/* The steps of amy_enter_exec() that cannot be undone. */
#ifndef AMY_ENTER_INTERNAL_H
#define AMY_ENTER_INTERNAL_H

#include <amy/error.h>

#include "core/user.h"

/* Of 0, 1 and 2: what is closed is /dev/null from now on. */
int amy__enter_open_standard(struct amy_error *err);
/* When root: become that user with all its groups. For all: no new privileges,
 * umask 022, and no descriptor but 0, 1 and 2 outlives execve. */
int amy__enter_become(const struct amy__user *user, struct amy_error *err);
/* Nobody in this process, or started by it, can push characters into a terminal
 * (TIOCSTI) or what is like it. Needs no_new_privs. */
int amy__enter_guard_terminal(struct amy_error *err);

#endif

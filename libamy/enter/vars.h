/* The environment of a program that enters a site. */
#ifndef AMY_ENTER_VARS_H
#define AMY_ENTER_VARS_H

#include "site/env.h"

#include <stdbool.h>

/* That of the site's workers, and what of ours (NULL-terminated) tells of the
 * terminal; PS1 where it is a shell. NULL: memory is out. */
char **amy__enter_vars(const struct amy__env *env, const char *domain,
                       char *const *ours, bool shell);
void amy__enter_vars_free(char **vars);

#endif

/* What a front process may ask of the kernel. */
#ifndef AMY_FRONT_CONFINE_H
#define AMY_FRONT_CONFINE_H

#include "core/seccomp.h"

const struct amy__seccomp_policy *amy__front_policy(void);

#endif

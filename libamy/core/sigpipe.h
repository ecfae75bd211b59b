/* What OpenSSL and pipes write to may be closed: a host that does not ignore
 * SIGPIPE is ended by it. Whoever makes an object that writes so is told. */
#ifndef AMY_CORE_SIGPIPE_H
#define AMY_CORE_SIGPIPE_H

#include <amy/error.h>

/* 0, or AMY_ESTATE with words. */
int amy__check_sigpipe(struct amy_error *err);

#endif

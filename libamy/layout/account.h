/* The system user of a site. */
#ifndef AMY_LAYOUT_ACCOUNT_H
#define AMY_LAYOUT_ACCOUNT_H

#include <amy/error.h>

/* Make a system user and its group of the same name: no login, no home.
 * @return 0, AMY_EUNSUPPORTED (there is no useradd), AMY_EIO (what it said) ...
 * Blocks: 30 s at the most. */
int amy__layout_account_make(const char *name, struct amy_error *err);

#endif

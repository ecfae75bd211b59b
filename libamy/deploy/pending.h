/* What `manage.py showmigrations --plan` says. Pure. */
#ifndef AMY_DEPLOY_PENDING_H
#define AMY_DEPLOY_PENDING_H

#include <amy/error.h>

#include "core/str.h"

/* "[ ]  shop.0002_price" is pending, "[X]  shop.0001_initial" is not; other
 * lines are somebody's chatter. ret: NULL-terminated, or NULL for none.
 * @return 0, AMY_ELIMIT (more than a journal takes), AMY_ENOMEM */
int amy__deploy_pending_read(struct amy__span text, char ***ret,
                             struct amy_error *err);

#endif

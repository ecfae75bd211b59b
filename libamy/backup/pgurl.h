/* A database's URL with another database's name in it. Pure. */
#ifndef AMY_BACKUP_PGURL_H
#define AMY_BACKUP_PGURL_H

#include <amy/error.h>

#include "core/buf.h"

/* Append url to out, its path replaced by name, percent-encoded; all else is as
 * it was. err has nothing of the URL.
 * @return 0, AMY_EPARSE (no URL, or one that names its database elsewhere),
 *         AMY_ELIMIT, AMY_ENOMEM */
int amy__pgurl_replace(const char *url, const char *name, struct amy__buf *out,
                       struct amy_error *err);

#endif

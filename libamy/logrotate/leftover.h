/* Does an entry of logrotate's still rotate our files? Pure. */
#ifndef AMY_LOGROTATE_LEFTOVER_H
#define AMY_LOGROTATE_LEFTOVER_H

#include "core/str.h"

#include <stdbool.h>

/* Is there a pattern in this text of /etc/logrotate.d/ that names a file of
 * this path (absolute)? As in logrotate(8): patterns stand before the braces,
 * with blanks or newlines between them, perhaps in quotes; what stands within
 * braces names nothing. */
bool amy__logrotate_leftover(struct amy__span text, const char *path);

#endif

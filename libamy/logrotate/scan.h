/* Looking through a directory for the files of its logs. */
#ifndef AMY_LOGROTATE_SCAN_H
#define AMY_LOGROTATE_SCAN_H

#include <amy/error.h>

#include "logrotate/plan.h"

/* A directory with more entries is looked at up to here: whoever may write to
 * it shall not hold up our loop. */
#define AMY__LOGSCAN_ENTRIES_MAX 50000U

struct amy__logscan_log {
    struct amy__span base;
    bool others;
};

struct amy__logscan {
    struct amy__logplan_file *files;
    size_t count;
    size_t room;
    bool cut; /* there are more entries */
};

/* Forget what it held and look again. Symbolic links, directories and the like
 * are nobody's. @return 0, AMY_EIO, AMY_EDENIED, AMY_ENOMEM (what was found
 * stays) */
int amy__logscan_read(struct amy__logscan *scan, int dir_fd,
                      const struct amy__logscan_log *logs, size_t log_count,
                      struct amy_error *err);
void amy__logscan_clear(struct amy__logscan *scan);

#endif

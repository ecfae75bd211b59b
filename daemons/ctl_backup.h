/* amyctl backup: asks amy-backup for jobs and shows what becomes of them. */
#ifndef CTL_BACKUP_H
#define CTL_BACKUP_H

#include "ctl.h"

extern const struct ctl_option ctl_backup_options[];

/* Words: what is wanted, the site, the set (or none). An exit code. */
int ctl_backup(const struct ctl *ctl, int argc, char **argv);

#endif

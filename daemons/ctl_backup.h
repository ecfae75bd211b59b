/* amyctl backup: asks amy-backup for jobs and shows what becomes of them. */
#ifndef CTL_BACKUP_H
#define CTL_BACKUP_H

#include <stdbool.h>

struct backup_options {
    const char *run;
    bool json;
    bool dry_run;
    bool drill;       /* verify: restore it, too */
    const char *to;   /* restore: another database than the site's; or NULL */
    const char *copy; /* copy, verify, fetch, restore: which; or NULL */
    const char *purpose; /* now: "deploy", or NULL */
    const char *verdict; /* now: at least this one; NULL: "parsed" for a
                            deployment, else whichever it gets */
};

/* words: what is wanted, the site, the set (or NULL). An exit code. */
int ctl_backup(const struct backup_options *options, int argc, char **argv);

#endif

/* Who may write what root is going to believe. */
#ifndef AMY_SITE_OWNER_H
#define AMY_SITE_OWNER_H

#include "site/report.h"
#include "site/site.h"

struct stat;

/* Report when a file belongs to, or may be written by, anybody but those whom
 * the rules trust. The report's file is `path`. */
void amy__owner_check_file(const struct amy__site_rules *rules,
                           const struct stat *st, const char *path,
                           struct amy__report *report);

/* The same for a directory and all above it up to the root, by descriptor: no
 * path is walked, so nothing can be swapped under it. */
void amy__owner_check_chain(const struct amy__site_rules *rules, int dir_fd,
                            struct amy__report *report);

/* Resolve site->user into uid and gid and report whom the rules refuse. */
void amy__owner_resolve_user(const struct amy__site_rules *rules,
                             struct amy__site *site,
                             struct amy__report *report);

#endif

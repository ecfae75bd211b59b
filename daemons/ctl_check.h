/* amyctl backup check: is all well with a site's backups? */
#ifndef CTL_CHECK_H
#define CTL_CHECK_H

/* 0: there is a verified one and no alarm, which is said on a line; 1: anything
 * else, no answer of amy-backup too, with a line for each cause. */
int ctl_check(const char *run, const char *site);

#endif

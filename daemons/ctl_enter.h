/* amyctl run: a command as a site's workers run. */
#ifndef CTL_ENTER_H
#define CTL_ENTER_H

#include "ctl.h"

/* The words: the site, and a command. Returns where there is none to run: 125,
 * or as env(1) 126 (it may not be run) and 127 (there is no such). */
int ctl_enter(const struct ctl *ctl, int argc, char **argv);

#endif

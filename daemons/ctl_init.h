/* amyctl init: the directory of a new site. */
#ifndef CTL_INIT_H
#define CTL_INIT_H

#include "ctl.h"

extern const struct ctl_option ctl_init_options[];

/* The word: the domain. An exit code. */
int ctl_init(const struct ctl *ctl, int argc, char **argv);

#endif

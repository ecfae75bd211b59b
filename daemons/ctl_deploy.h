/* amyctl deploy, rollback. */
#ifndef CTL_DEPLOY_H
#define CTL_DEPLOY_H

#include "ctl.h"

extern const struct ctl_option ctl_deploy_options[];
extern const struct ctl_option ctl_rollback_options[];

/* The word: the site. An exit code. */
int ctl_deploy(const struct ctl *ctl, int argc, char **argv);
int ctl_rollback(const struct ctl *ctl, int argc, char **argv);

#endif

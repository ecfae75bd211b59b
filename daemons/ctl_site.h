/* amyctl status, maintenance, reload, restart. */
#ifndef CTL_SITE_H
#define CTL_SITE_H

#include "ctl.h"

/* Each: the words behind the command's name; an exit code. */
int ctl_status(const struct ctl *ctl, int argc, char **argv);
int ctl_maintenance(const struct ctl *ctl, int argc, char **argv);
int ctl_reload(const struct ctl *ctl, int argc, char **argv);
extern const struct ctl_option ctl_reload_options[];
int ctl_restart(const struct ctl *ctl, int argc, char **argv);

#endif

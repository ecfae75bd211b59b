/* amyctl logs: a site's logs as one stream. Reads files, asks no daemon. */
#ifndef CTL_LOGS_H
#define CTL_LOGS_H

#include "ctl.h"

extern const struct ctl_option ctl_logs_options[];

/* The word: the site. An exit code. */
int ctl_logs(const struct ctl *ctl, int argc, char **argv);

#endif

/* amyctl refresh-test: another site's data, scrubbed, in a test database. */
#ifndef CTL_REFRESH_H
#define CTL_REFRESH_H

#include "ctl.h"

extern const struct ctl_option ctl_refresh_options[];

/* The word: the test site. An exit code. */
int ctl_refresh(const struct ctl *ctl, int argc, char **argv);

#endif

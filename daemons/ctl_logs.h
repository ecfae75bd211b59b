/* amyctl logs: a site's logs as one stream. Reads files, asks no daemon. */
#ifndef CTL_LOGS_H
#define CTL_LOGS_H

#include <stdbool.h>

struct logs_options {
    const char *webapps;
    const char *site;
    bool json;
    bool follow;
    const char *since; /* as given; NULL: not */
    const char *until;
    const char *grep;
    const char *components;
    const char *last;
};

/* An exit code. */
int ctl_logs(const struct logs_options *options);

#endif

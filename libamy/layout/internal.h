/* What one call of amy_layout_make() carries from step to step. */
#ifndef AMY_LAYOUT_INTERNAL_H
#define AMY_LAYOUT_INTERNAL_H

#include <amy/layout.h>

#include "core/buf.h"
#include "layout/name.h"
#include "site/site.h"

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct amy__layout {
    struct amy_layout_options opts;
    struct amy__site_rules rules;
    int webapps_fd; /* -1: not there yet */
    int dir_fd;     /* the same of the site's directory */
    char path[PATH_MAX];
    struct amy__buf yaml;
    struct amy__site *site; /* what site.yaml says, or will say */
    bool has_yaml;          /* it is there */
    uint32_t added;
    uint32_t differing;
};

/* Decide who the site's user is and what its site.yaml says: layout->site. What
 * is there is believed. 0, AMY_EINVAL, AMY_EPARSE, AMY_EEXIST, AMY_EDENIED */
int amy__layout_decide(struct amy__layout *layout, struct amy_error *err);

#endif

/* What env.c needs to know of a site's repo before it starts a shell there. */
#ifndef AMY_SITE_ENV_FILES_H
#define AMY_SITE_ENV_FILES_H

#include <amy/error.h>

#include "site/env.h"
#include "site/site.h"

#include <limits.h>
#include <stdbool.h>

struct amy__env_files {
    int repo_fd; /* O_PATH; -1: none */
    char repo_path[PATH_MAX];
    char venv_path[PATH_MAX];
    bool has_postactivate;
};

/* Look at repo/, .venv/ and what must be in it (or at those of a release), as
 * the site's user, so that nothing is opened that this user could not open. The
 * caller closes repo_fd on success. */
int amy__env_files_find(const struct amy__site *site, const char *webapps_path,
                        const struct amy__env_release *release, bool as_person,
                        struct amy__env_files *ret_files,
                        struct amy_error *err);

#endif

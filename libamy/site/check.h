/* What `--check` of a daemon finds in amy.yaml and in every site.yaml. */
#ifndef AMY_SITE_CHECK_H
#define AMY_SITE_CHECK_H

#include <amy/error.h>

#include "site/settings.h"
#include "site/site.h"

/* What a daemon asks besides; each may be NULL. */
struct amy__check_asks {
    void (*of_settings)(const struct amy__settings *settings,
                        amy_problem_fn on_problem, void *user);
    /* Of a site.yaml without a fault; err becomes a problem of that site. */
    int (*of_site)(const struct amy__site *site, struct amy_error *err);
};

/* Read all of it and tell everything that is wrong; change nothing.
 * @return the number of errors (warnings do not count), or why that cannot be
 *         told: AMY_ENOTFOUND (no webapps directory), AMY_EDENIED, AMY_ENOMEM
 */
int amy__check_all(const struct amy__settings_args *args,
                   const struct amy__check_asks *asks,
                   amy_problem_fn on_problem, void *user,
                   struct amy_error *err);

#endif

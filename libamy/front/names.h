/* Which sites claim a name that is another's. Pure. */
#ifndef AMY_FRONT_NAMES_H
#define AMY_FRONT_NAMES_H

#include <amy/error.h>

#include "site/site.h"

#include <stddef.h>

/* sites[loser] has the alias `name`, which is sites[owner]'s. */
typedef void (*amy__names_fn)(size_t loser, const char *name, size_t owner,
                              void *user);

/* How good a site's claim to a name is: 0 its own name, 1 an alias beneath it
 * (www.a.org of a.org), 2 any other alias. The best claim wins; of equal ones
 * that of the site that comes first. Stateless, so that the master and its
 * processes agree, and a restart changes nothing. */
#define AMY__NAMES_CLAIMS 3
int amy__names_claim(const struct amy__site *site, const char *name);

/* Calls fn for every claim that comes to nothing.
 * @return 0, AMY_ENOMEM */
int amy__names_judge(struct amy__site *const *sites, size_t count,
                     amy__names_fn fn, void *user, struct amy_error *err);

#endif

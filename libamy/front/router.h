/* From a host name to its site, and from a path to its route. Pure. */
#ifndef AMY_FRONT_ROUTER_H
#define AMY_FRONT_ROUTER_H

#include <amy/error.h>

#include "core/str.h"
#include "site/site.h"

#include <stdbool.h>
#include <stddef.h>

struct amy__vhost;

/* All names of one bundle. Holds no reference: the owner of the vhosts frees
 * the router first. */
struct amy__router;

int amy__router_create(size_t names, struct amy__router **ret_router,
                       struct amy_error *err);
void amy__router_free(struct amy__router *router);
/* AMY_EEXIST: another site has that name; AMY_ELIMIT: more than announced. */
int amy__router_add(struct amy__router *router, const char *name,
                    struct amy__vhost *vhost, struct amy_error *err);
/* host: lower case, no port. NULL: nobody's. */
struct amy__vhost *amy__router_find(const struct amy__router *router,
                                    struct amy__span host);

/* The route whose path is the longest prefix of this one ("/a/" also fits
 * "/a"), internal ones too: those are no client's. NULL: none. */
const struct amy__route *amy__route_find(const struct amy__site *site,
                                         struct amy__span path);
/* What follows the route's path, without a leading '/'. */
struct amy__span amy__route_rest(const struct amy__route *route,
                                 struct amy__span path);

#endif

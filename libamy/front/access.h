/* Rules of a site that is closed to strangers. Pure; front/door.c goes by
 * them. */
#ifndef AMY_FRONT_ACCESS_H
#define AMY_FRONT_ACCESS_H

#include "core/str.h"
#include "http/message.h"
#include "net/address.h"
#include "site/site.h"

#include <stdbool.h>
#include <stddef.h>

/* Is this path one that strangers may ask for? "/hooks/" is itself and what is
 * beneath it, "/healthz" only itself. What another server could take for
 * another path (dot segments, empty ones, encoded slashes) is beneath nothing.
 * health.path with health.any_host is to be looked at, unless it is "/". */
bool amy__access_excepts(const struct amy__site *site, enum amy__method method,
                         struct amy__span path);

/* Does this client need no password? */
bool amy__access_allows(const struct amy__site *site,
                        const struct amy__address *client);

/* Make an answer one that no cache between us and the client keeps for others:
 * Cache-Control becomes private, and what is meant for caches of a CDN alone
 * goes. text holds the new value. */
#define AMY__ACCESS_CACHE_TEXT 256U
void amy__access_make_private(struct amy__answer_head *head,
                              char text[AMY__ACCESS_CACHE_TEXT]);

#endif

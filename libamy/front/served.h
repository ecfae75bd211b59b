/* The sites of one bundle, built beside those in use, and the domains that stay
 * while bundles come and go. */
#ifndef AMY_FRONT_SERVED_H
#define AMY_FRONT_SERVED_H

#include <amy/error.h>

#include "front/bundle.h"
#include "front/state.h"

/* Everything a bundle brings that can be refused; touches nothing in use. */
struct amy__served {
    uint64_t number;
    struct amy__bundle *bundle; /* what is left of it: descriptors */
    struct amy__router *router;
    struct amy__vhost **vhosts;
    size_t vhost_count;
};

/* Takes the bundle over on success. Certificates are staged in front->tls, and
 * abandoned on failure. AMY_EPARSE, AMY_EINVAL, AMY_ENOMEM ...: the message
 * names the site. */
int amy__served_create(struct amy__front *front, struct amy__bundle *bundle,
                       struct amy__served **ret_served, struct amy_error *err);
/* It came to nothing; NULL is a no-op. */
void amy__served_abandon(struct amy__front *front, struct amy__served *served);
/* In use from now on, the former one no longer. */
void amy__served_commit(struct amy__front *front, struct amy__served *served);

/* The domain of that name, made when it is new (and so kept); NULL: memory. */
struct amy__domain *amy__front_domain(struct amy__front *front,
                                      const char *name, struct amy_error *err);
struct amy__domain *amy__front_find_domain(const struct amy__front *front,
                                           const char *name); /* or NULL */
/* The pool of that name, made when it is new. */
int amy__domain_need_pool(struct amy__domain *domain, const char *name,
                          struct amy__pool_lane **ret_pool,
                          struct amy_error *err);
/* Pools that no route of a site leads to any more, and that are idle. */
void amy__domain_forget_pools(struct amy__domain *domain);
/* Write this log ("access.log", else error.log) there from now on, unless it
 * has a later file. True: fd is taken over. */
bool amy__domain_set_log(struct amy__domain *domain, const char *log,
                         uint64_t serial, int fd);
/* Show this page while the gate's word is serial; takes the page over. */
void amy__domain_set_page(struct amy__domain *domain, struct amy__page *page,
                          uint64_t serial);
/* Session ticket keys from a sealed memfd: 48 bytes each, newest first. */
int amy__front_set_tickets(struct amy__front *front, int fd,
                           struct amy_error *err);
/* All sites and domains; exchanges are over. */
void amy__front_forget_all(struct amy__front *front);

#endif

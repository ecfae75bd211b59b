/* The certificates of all sites, as the master keeps them: found by name,
 * watched, and replaced when what lies on disk is good; what is not good leaves
 * the former one in place and is told. */
#ifndef AMY_FRONT_CERTS_H
#define AMY_FRONT_CERTS_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>

#include "core/json.h"
#include "front/bundle.h"
#include "net/tls.h"
#include "site/site.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct amy__certs;

/* Behind the watch, which sees no file that is written in place elsewhere. */
#define AMY__CERTS_LOOK_MS 5000

struct amy__certs_options {
    struct event_base *base; /* NULL: nothing is watched, for one look */
    const char *live;        /* {certificates} */
    const struct amy_clock *borrow_clock;
    const struct amy_log *log; /* copied; NULL: silent */
    /* Some site's certificates are others than before. Never from inside one of
     * the calls below. */
    void (*on_change)(void *user);
    void *user;
};
int amy__certs_create(const struct amy__certs_options *opts,
                      struct amy__certs **ret_certs, struct amy_error *err);
void amy__certs_free(struct amy__certs *certs);

/* From now on the site is as spec says: find its certificates and look at each
 * now. What is wrong with them is no failure: amy__certs_at tells it.
 * @return 0, AMY_ENOMEM */
int amy__certs_read(struct amy__certs *certs, const struct amy__site *spec,
                    struct amy_error *err);
void amy__certs_forget(struct amy__certs *certs, const char *domain);

/* Put the site's good ones into its place of a bundle, instead of those there.
 * @return 0, AMY_EIO: the place has none then */
int amy__certs_fill(const struct amy__certs *certs, const char *domain,
                    struct amy__bundle_site *one, struct amy_error *err);
/* The same as certificates, at most AMY__SITE_CERTS_MAX; borrowed until the
 * loop's next turn. Returns how many. */
size_t amy__certs_served(const struct amy__certs *certs, const char *domain,
                         struct amy__tls_cert **ret_borrow);

/* What is known of one; borrowed as above. */
struct amy__cert_view {
    const char *name;                        /* below {certificates}, or path */
    const struct amy__tls_cert *borrow_cert; /* that is served; NULL: none */
    const char *error;                       /* "": all is well */
    const char *file;                        /* that is at fault */
    int64_t error_wall_ms;                   /* since when */
    uint64_t refused;                        /* how many were */
};
/* The next of the site's names, from *at (0 first) on, that none of those that
 * are served covers; NULL: no more, or none is served at all. Borrowed. */
const char *amy__certs_uncovered(const struct amy__certs *certs,
                                 const char *domain, size_t *at);

/* The i-th of a site; false past the last one. */
bool amy__certs_at(const struct amy__certs *certs, const char *domain, size_t i,
                   struct amy__cert_view *ret);

#endif

/* A name's addresses, asked for on the loop by libevent's resolver, which is
 * opened at first use: hosts file first, then the name servers of resolv.conf.
 * getaddrinfo(3) would block. */
#ifndef AMY_NET_LOOKUP_H
#define AMY_NET_LOOKUP_H

#include <amy/error.h>

#include "net/address.h"

#include <stddef.h>
#include <stdint.h>

struct event_base;
struct amy__lookup;

#define AMY__LOOKUP_MAX 8U /* addresses of one name; more are passed over */

/* count 0: err says why: AMY_ENOTFOUND, AMY_ECONN (no name server answers).
 * Once, never from inside start; the lookup is gone then. */
typedef void (*amy__lookup_fn)(const struct amy__address *addresses,
                               size_t count, const struct amy_error *err,
                               void *user);

struct amy__lookup_options {
    struct event_base *base;
    const char *name;
    uint16_t port;           /* of the addresses */
    const char *resolv_conf; /* NULL: the system's */
};

/* It goes on until it is cancelled, or the resolver gives up (some 15 s).
 * @return 0, AMY_EUNSUPPORTED (names the package), AMY_ENOMEM, AMY_EIO */
int amy__lookup_start(const struct amy__lookup_options *opts, amy__lookup_fn fn,
                      void *user, struct amy__lookup **ret_lookup,
                      struct amy_error *err);
/* fn is not called any more; NULL is a no-op. The last of it is freed in one of
 * the loop's next turns. */
void amy__lookup_cancel(struct amy__lookup *lookup);

#endif

/* Who the client is behind trusted proxies, and the request head that a worker
 * is given: hop-by-hop fields out, forwarding fields set anew (promises/front,
 * "Hop-by-hop / forwarding"). Pure. */
#ifndef AMY_FRONT_FORWARDED_H
#define AMY_FRONT_FORWARDED_H

#include "http/message.h"
#include "net/address.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__CLIENT_MAX 48U     /* an IPv6 address as text, and NUL */
#define AMY__REQUEST_ID_MAX 65U /* characters of an id, and NUL */

/* How a request came. */
struct amy__arrival {
    const struct amy__address *peer;
    const struct amy__cidr *trusted; /* proxies whose word counts */
    size_t trusted_count;
    uint16_t port; /* of ours, as clients know it */
    bool tls;
};

bool amy__arrival_trusted(const struct amy__arrival *arrival);

/* The client's address: the peer's or, through trusted peers, the rightmost
 * address of X-Forwarded-For that is no trusted proxy. Text for logs and
 * fields in client; the address itself in ret for matching. */
void amy__client_resolve(const struct amy__arrival *arrival,
                         const struct amy__request_head *head,
                         char client[AMY__CLIENT_MAX],
                         struct amy__address *ret);

/* Ids that nobody else gives: random start, then counted. */
struct amy__id_maker {
    uint64_t start;
    uint64_t next;
};
/* The id a trusted peer gave, if it is plain; else a new one. */
void amy__request_id(struct amy__id_maker *maker,
                     const struct amy__arrival *arrival,
                     const struct amy__request_head *head,
                     char id[AMY__REQUEST_ID_MAX]);

/* Text that fields of the new head point into; one per process will do, since
 * the head is encoded before the next request's. More than all fields of a head
 * (32 KiB) and ours: what a trusted peer appended stands last, and a client
 * that fills what is before it must not push it out. */
struct amy__forward_text {
    size_t used;
    char text[49152];
};

/* Fill dst with what goes to the worker; spans point into src, client, id and
 * text. body_n: length of the spooled body; has_body: one was sent. */
void amy__forward_head(struct amy__request_head *dst,
                       const struct amy__request_head *src,
                       const struct amy__arrival *arrival, const char *client,
                       const char *id, bool has_body, uint64_t body_n,
                       struct amy__forward_text *text);

/* Leave out of dst what was meant for us. */
void amy__forward_drop(struct amy__request_head *dst, enum amy__field_id id);

/* Is a worker's field for the client, and not for us or for this hop? */
bool amy__field_goes_back(const struct amy__field *field);

/* The answer's way back: fields that are for the next hop only are left out.
 * Returns whether it asked not to be collected (X-Accel-Buffering: no, or an
 * event stream). */
bool amy__backward_head(struct amy__answer_head *dst,
                        const struct amy__answer_head *src);

#endif

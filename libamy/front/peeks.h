/* A front process looks at its own listeners as a client does: does each name
 * get the certificate that the master holds? One handshake at a time. */
#ifndef AMY_FRONT_PEEKS_H
#define AMY_FRONT_PEEKS_H

#include "core/json.h"
#include "net/address.h"

#include <stddef.h>

struct event_base;
struct amy__peeks;

/* Targets of one question, and addresses to ask at: more are not looked at. */
#define AMY__PEEKS_MAX 32U
#define AMY__PEEKS_ADDRESSES 8U
/* For one handshake, and between two: visitors come first. */
#define AMY__PEEKS_TIMEOUT_MS 5000
#define AMY__PEEKS_GAP_MS 5

/* wrong: [{target, why}], the callee's to free. Once, never from inside begin;
 * the peeks are gone then. */
typedef void (*amy__peeks_fn)(struct amy__json *wrong, void *user);

/* targets as in AMY__WIRE_PROBE; copied. NULL: out of memory. */
struct amy__peeks *amy__peeks_begin(struct event_base *base,
                                    const struct amy__address *addresses,
                                    size_t count,
                                    const struct amy__json *targets,
                                    amy__peeks_fn fn, void *user);
/* fn is not called any more; NULL is a no-op. */
void amy__peeks_cancel(struct amy__peeks *peeks);

/* Where a client on this machine reaches the listening socket fd; false: it is
 * not one of TCP. Where it serves all addresses, by loopback. */
bool amy__peeks_address(int fd, struct amy__address *ret);

#endif

/* Which certificate does a TLS server show? One handshake as a client that
 * verifies nothing: whoever asks compares. */
#ifndef AMY_NET_TLS_PEEK_H
#define AMY_NET_TLS_PEEK_H

#include <amy/error.h>

#include "net/address.h"
#include "net/tls.h"

#include <stdint.h>

struct event_base;
struct amy__tls_peek;

/* fingerprint: SHA-256 of the leaf, hex; NULL: why not is in err (AMY_ETIMEOUT,
 * AMY_ECONN, AMY_EPROTO). Once, never from inside start; the peek is gone
 * then. */
typedef void (*amy__tls_peek_fn)(const char *fingerprint,
                                 const struct amy_error *err, void *user);

/* Connect, ask for name (SNI), and be able to verify that type alone.
 * @return 0, AMY_ECONN (at once), AMY_ENOMEM, AMY_EIO */
int amy__tls_peek_start(struct event_base *base,
                        const struct amy__address *address, const char *name,
                        enum amy__tls_type type, int64_t timeout_ms,
                        amy__tls_peek_fn fn, void *user,
                        struct amy__tls_peek **ret_peek, struct amy_error *err);
/* fn is not called any more; NULL is a no-op. */
void amy__tls_peek_cancel(struct amy__tls_peek *peek);

#endif

/* A connected stream socket, from a host's name or a path: all addresses of the
 * name one after the other, each with its share of the time. */
#ifndef AMY_NET_DIAL_H
#define AMY_NET_DIAL_H

#include <amy/error.h>

#include <stdint.h>

struct event_base;
struct amy__dial;

/* fd: connected, non-blocking, close-on-exec, the callee's; -1: err says why.
 * Once, never from inside start; the dial is gone then. */
typedef void (*amy__dial_fn)(int fd, const struct amy_error *err, void *user);

struct amy__dial_options {
    struct event_base *base;
    const char *path; /* of a unix socket; NULL: */
    const char *host; /* a name, or an address without brackets */
    uint16_t port;
    int64_t timeout_ms;      /* for connecting; the name takes no part of it,
                                for it may be cancelled at any time */
    const char *resolv_conf; /* NULL: the system's */
};

/* @return 0, AMY_ENOMEM, AMY_EUNSUPPORTED (names cannot be looked up) */
int amy__dial_start(const struct amy__dial_options *opts, amy__dial_fn fn,
                    void *user, struct amy__dial **ret_dial,
                    struct amy_error *err);
/* What it does now, for messages: "looking up the name", "connecting". */
const char *amy__dial_stage(const struct amy__dial *dial);
/* fn is not called any more; NULL is a no-op. */
void amy__dial_cancel(struct amy__dial *dial);

#endif

/* One connection to a server: dialled, by TLS where that is asked, and the
 * bytes in and out. */
#ifndef AMY_REDIS_LINK_H
#define AMY_REDIS_LINK_H

#include <amy/error.h>

#include "core/str.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct amy__redis_link;

/* Called on the loop, never from inside amy__redis_link_open(). Each may close
 * the link. */
struct amy__redis_link_events {
    void (*on_up)(void *user);    /* bytes may be sent */
    void (*on_ready)(void *user); /* read, and write what waits */
    void (*on_down)(const struct amy_error *err, void *user); /* close it */
    void *user;
};

struct amy__redis_link_options {
    struct event_base *base;
    const char *path; /* NULL: */
    const char *host;
    uint16_t port;
    int64_t timeout_ms;      /* share of connecting */
    const char *server_name; /* NULL: no TLS */
    const char *ca_file;
    const char *cert_file;
    const char *key_file;
    const char *resolv_conf;
};

/* opts and its strings are borrowed until the link is closed. */
int amy__redis_link_open(const struct amy__redis_link_options *borrow_opts,
                         const struct amy__redis_link_events *events,
                         struct amy__redis_link **ret_link,
                         struct amy_error *err);
/* Politely where that costs no waiting; NULL is a no-op. */
void amy__redis_link_close(struct amy__redis_link *link);
/* The descriptor alone, of a child after fork(): the rest is the parent's. */
void amy__redis_link_abandon(struct amy__redis_link *link);

/* Bytes; 0: not now; AMY_ECONN: it is down (and on_down does not come). */
ssize_t amy__redis_link_read(struct amy__redis_link *link, char *buf,
                             size_t size, struct amy_error *err);
ssize_t amy__redis_link_write(struct amy__redis_link *link,
                              struct amy__span data, struct amy_error *err);
/* Everything is written: wait for answers alone. */
int amy__redis_link_calm(struct amy__redis_link *link, struct amy_error *err);
/* For messages: "connecting", "TLS handshake, no answer so far" ... */
const char *amy__redis_link_stage(const struct amy__redis_link *link);

#endif

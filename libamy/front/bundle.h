/* A bundle: everything that all front processes work with, packed by the
 * master, the same for each of them. They read no file of the configuration,
 * only this. */
#ifndef AMY_FRONT_BUNDLE_H
#define AMY_FRONT_BUNDLE_H

#include <amy/error.h>

#include "core/buf.h"
#include "front/wire.h"
#include "net/address.h"
#include "site/site.h"

#include <stddef.h>
#include <stdint.h>

#define AMY__SITES_MAX 1024U
#define AMY__BUNDLE_JSON_MAX ((size_t)1024 * 1024)

/* A checked pair, sealed PEM. */
struct amy__bundle_cert {
    int chain_fd;
    int key_fd;
};

/* Descriptors are the bundle's, -1 where there is none; take one by copying it
 * and setting it to -1. */
struct amy__bundle_site {
    char *name;
    uint32_t index;  /* of its gate word, and of its locks */
    uint64_t serial; /* of the page that page_fd holds; 0: none */
    int yaml_fd;     /* sealed: the accepted site.yaml */
    struct amy__bundle_cert certs[AMY__SITE_CERTS_MAX];
    size_t cert_count; /* 0: no HTTPS */
    int dir_fd;        /* the site's directory */
    int run_fd; /* workers' sockets are beneath it: {pool}/{gen}.{position} */
    int access_fd; /* append only */
    int error_fd;
    uint64_t access_serial; /* of LOG: which file it is; 0: none */
    uint64_t error_serial;
    int page_fd;  /* sealed: the maintenance page; -1: the built-in one */
    int down_fd;  /* sealed: down.html */
    int users_fd; /* sealed: who gets in by a password (front/users.h) */
};

struct amy__bundle {
    uint64_t number;
    bool logs_stdout;     /* lines of logs are JSON, for one stream */
    uint32_t connections; /* per process; 0: from RLIMIT_NOFILE */
    uint32_t https_port;  /* where redirects go; 0: nowhere listens TLS */
    struct amy__cidr *trusted;
    size_t trusted_count;
    struct amy__bundle_site *sites;
    size_t site_count;
    int *events; /* eventfd of each process, by index */
    size_t event_count;
    int spool_fd;   /* directory for O_TMPFILE; -1: memory only */
    int words_fd;   /* gate words (gate/word.h), to be mapped read-only */
    int slots_fd;   /* front/slots.h, to be mapped writable */
    int locks_fd;   /* front/accesslog.h, to be mapped writable; -1: none */
    int tickets_fd; /* sealed: 48 bytes each, newest first */
};

/* Make one with room for that many; all descriptors -1, names NULL. */
int amy__bundle_create(size_t sites, size_t trusted, size_t events,
                       struct amy__bundle **ret_bundle, struct amy_error *err);
void amy__bundle_free(struct amy__bundle *bundle);
static inline void
amy__bundle_free_p(struct amy__bundle **bundle)
{
    amy__bundle_free(*bundle);
}

/* Duplicate a site into an empty place. AMY_ENOMEM, AMY_EIO: part of it may be
 * there. */
int amy__bundle_site_copy(const struct amy__bundle_site *from,
                          struct amy__bundle_site *to, struct amy_error *err);
/* Another pair of descriptors of the same pair; -1 in both on failure. */
int amy__bundle_cert_copy(const struct amy__bundle_cert *from,
                          struct amy__bundle_cert *to, struct amy_error *err);
void amy__bundle_certs_clear(struct amy__bundle_site *site);
/* Give back what one place holds; it is empty then. */
void amy__bundle_site_clear(struct amy__bundle_site *site);

/* Master. The bundle as JSON, and its descriptors in the order that the JSON
 * names them (borrowed from the bundle). fds is amy__realloc'ed, the caller's.
 */
int amy__bundle_pack(const struct amy__bundle *bundle,
                     struct amy__buf *ret_json, int **ret_fds,
                     size_t *ret_count, struct amy_error *err);
/* The other way round; takes what it needs out of message, also on failure.
 * AMY_EPROTO: not what pack writes. */
int amy__bundle_unpack(struct amy__span json, struct amy__wire_message *message,
                       struct amy__bundle **ret_bundle, struct amy_error *err);

/* The same over the wire: PREPARE for the process of that index. */
int amy__bundle_send(const struct amy__bundle *bundle, struct amy__wire *wire,
                     uint32_t index, uint32_t processes, struct amy_error *err);
/* A PREPARE that came. */
int amy__bundle_receive(struct amy__wire_message *message, uint32_t *ret_index,
                        uint32_t *ret_processes,
                        struct amy__bundle **ret_bundle, struct amy_error *err);

#endif

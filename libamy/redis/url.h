/* The URL of a Redis server, as redis-py takes it. Pure. */
#ifndef AMY_REDIS_URL_H
#define AMY_REDIS_URL_H

#include <amy/error.h>

#include <stdbool.h>
#include <stdint.h>

struct amy__redis_url {
    char *host; /* without brackets; NULL: it is a path */
    char *path; /* of a unix socket */
    uint16_t port;
    bool tls;
    uint32_t db;
    char *user;     /* NULL: none */
    char *password; /* NULL: none */
    char *ca_file;  /* ssl_ca_certs ... of the query; NULL: not named */
    char *cert_file;
    char *key_file;
};

/* AMY_EINVAL: err names the part, and shows no part that may be a secret;
 * AMY_ENOMEM. */
int amy__redis_url_parse(const char *text, struct amy__redis_url *ret,
                         struct amy_error *err);
/* Wipes the password. */
void amy__redis_url_clear(struct amy__redis_url *url);
/* "host:port" or the path, as messages have it; escaped. */
void amy__redis_url_show(const struct amy__redis_url *url, char *buf,
                         size_t size);

#endif

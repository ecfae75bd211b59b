/* The distribution's redis-server in a directory of its own, on a unix socket
 * and, where asked, on a TLS port of loopback. */
#ifndef REDIS_SERVER_H
#define REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: it is stopped */
    int output;
    unsigned tls_port; /* 0: none */
    char dir[64];
    char url[128]; /* unix:// */
    char password[32];
};

/* Up to six further arguments, ended by NULL; kept for redis_server_start().
 * false: there is no redis-server here. */
bool redis_server_create(struct redis_server *server,
                         const char *const *arguments);
/* Again, after a stop. Returns when it accepts connections. */
void redis_server_start(struct redis_server *server,
                        const char *const *arguments);
void redis_server_stop(struct redis_server *server); /* SIGKILL */
void redis_server_free(struct redis_server *server);

#endif

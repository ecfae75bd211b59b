/* The distribution's redis-server in a directory of its own, on a unix socket.
 */
#ifndef REDIS_SERVER_H
#define REDIS_SERVER_H

#include <stdbool.h>
#include <sys/types.h>

struct redis_server {
    pid_t pid; /* 0: it is stopped */
    int output;
    char dir[64];
    char url[128]; /* unix:// */
};

/* The directory alone, and the URL. */
void redis_server_prepare(struct redis_server *server);
/* Returns when it accepts connections. Up to twelve further arguments, ended by
 * NULL. */
void redis_server_start(struct redis_server *server,
                        const char *const *arguments);
/* The same; false when it ended instead: a port was taken, say. */
bool redis_server_try(struct redis_server *server,
                      const char *const *arguments);
/* Prepare and start. */
void redis_server_create(struct redis_server *server,
                         const char *const *arguments);
void redis_server_stop(struct redis_server *server); /* SIGKILL */
/* Files that a test put into the directory are the test's to remove. */
void redis_server_free(struct redis_server *server);

#endif

/* What replies of a server say of it, as JSON. Pure: replies in, values out. */
#ifndef AMY_REDIS_FIGURES_H
#define AMY_REDIS_FIGURES_H

#include <amy/redis.h>

#include "core/json.h"
#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

/* "used_memory:1234" of INFO's text: what stands behind the colon; {NULL, 0}:
 * it is not there. */
struct amy__span amy__redis_info(struct amy__span text, const char *name);
/* "version", "memory_bytes", ... of INFO's text, into server. */
void amy__redis_tell_server(struct amy__json *server, struct amy__span info);

/* What CONFIG GET says; NULL: it is not for us to see, or not known there. */
struct amy__redis_settings {
    const char *bind;
    const char *port;
    const char *tls_port;
    const char *protected_mode;
    const char *save;
};
/* The value in the answer to CONFIG GET of one name, or NULL. */
const char *amy__redis_setting(const struct amy_redis_reply *answer);

enum amy__redis_reach {
    AMY__REDIS_UNSEEN = 0, /* it does not let us see */
    AMY__REDIS_LOCAL,      /* a socket, or loopback alone */
    AMY__REDIS_GUARDED,    /* from the network, for who knows a password */
    AMY__REDIS_OPEN,       /* for everybody who reaches it */
};
/* user: the answer to ACL GETUSER default, which may be an error. */
enum amy__redis_reach
amy__redis_reach_of(const struct amy__redis_settings *settings,
                    const struct amy_redis_reply *user);
const char *amy__redis_reach_name(enum amy__redis_reach reach);

/* "2026-11-27T00:10:00.123456Z", as rq writes times; false: it is none. */
bool amy__redis_time(const char *text, int64_t *ret_wall_ms);

#endif

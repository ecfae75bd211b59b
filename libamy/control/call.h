/* One control request while it is answered. For control.c and call.c alone. */
#ifndef AMY_CONTROL_CALL_H
#define AMY_CONTROL_CALL_H

#include "control/control.h"
#include "control/route.h"
#include "serve/server.h"

#define AMY__CONTROL_CALL_MAGIC 0x63616c6cU

struct amy__control_param {
    struct amy__span name;
    char value[AMY__ROUTE_PARAM_MAX + 1];
};

struct amy__control_call {
    uint32_t magic;
    struct amy__exchange *x;
    amy__control_fn fn; /* who answers */
    void *user;
    size_t param_count;
    struct amy__control_param params[AMY__ROUTE_PARAMS];
    struct amy__span query;
    struct amy__json *body;
    uid_t uid;
    gid_t gid;
    char who[64];
    bool handed; /* the method has it, and answers */
    bool answered;
};

/* Root, we ourselves, or group amy-admin: by the group that the caller runs
 * with, or by those that the system knows of them. */
bool amy__control_is_admin_id(uid_t uid, gid_t gid);

/* Answer an exchange that has no call (yet): problem+json. allow: the value of
 * an Allow field, or NULL. */
void amy__control_refuse_exchange(struct amy__exchange *x, unsigned status,
                                  const char *allow, const char *detail);

#endif

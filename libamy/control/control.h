/* The control socket: HTTP and JSON over a unix socket, on the same server and
 * parser as the front. Has no methods of its own: rooms register theirs. */
#ifndef AMY_CONTROL_CONTROL_H
#define AMY_CONTROL_CONTROL_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>

#include "core/json.h"
#include "core/str.h"

#include <stdbool.h>
#include <sys/types.h>

struct event_base;
struct amy__control;
struct amy__control_call; /* one request being answered */

struct amy__control_options {
    struct event_base *base;
    const char *run_path; /* /run/amy */
    const char *name;     /* "front": run_path/front.sock, 0666 */
    const struct amy_clock *borrow_clock;
    const struct amy_log *log;
    /* A program before this one listened there: go on with its socket. It is
     * taken over, and -1 then. NULL or -1: none. */
    int *inherited;
};
/* Binds by rename of a temporary name, so a dead socket is replaced; a live one
 * (it answers connect) gives AMY_EBUSY. */
int amy__control_create(const struct amy__control_options *opts,
                        struct amy__control **ret_control,
                        struct amy_error *err);
/* As amy__server_hush(). */
bool amy__control_hush(struct amy__control *control, bool hold);
/* The listening socket, for the program after this one. */
int amy__control_fd(const struct amy__control *control);
void amy__control_free(struct amy__control *control);

/* path: "/v1/sites/{site}/gate"; {x} matches one segment, got back by
 * amy__control_param. The handler must answer exactly once, now or later. */
typedef void (*amy__control_fn)(struct amy__control_call *call, void *user);
int amy__control_add(struct amy__control *control, const char *method,
                     const char *path, amy__control_fn fn, void *user,
                     struct amy_error *err);

const char *amy__control_param(const struct amy__control_call *call,
                               const char *name); /* never NULL */
struct amy__span amy__control_query(const struct amy__control_call *call);
/* The body as JSON; NULL when none was sent. Borrowed. */
const struct amy__json *amy__control_body(const struct amy__control_call *call);
uid_t amy__control_uid(const struct amy__control_call *call);
/* Name of the caller's user, "uid 1234" when it has none. */
const char *amy__control_who(const struct amy__control_call *call);
/* Root, the daemon's own user and members of group amy-admin: everything. */
bool amy__control_is_admin(const struct amy__control_call *call);
/* Admin, or this uid (the site's user; AMY__CONTROL_ADMINS: nobody else).
 * Answers 403 with a message that names who may, and returns false, when not.
 */
bool amy__control_require(struct amy__control_call *call, uid_t site_uid);
#define AMY__CONTROL_ADMINS ((uid_t)-1)

/* Takes json over. */
void amy__control_reply(struct amy__control_call *call, unsigned status,
                        struct amy__json *json);
/* problem+json (RFC 9457) with title and detail. */
void amy__control_refuse(struct amy__control_call *call, unsigned status,
                         const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

#endif

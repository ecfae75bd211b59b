/* Becoming the next release in the same process (amy/upgrade.h): wait until
 * nothing is under way that cannot be handed over, try the new program on the
 * state, write the state down once more, execve(2). Whatever fails before that
 * leaves everything as it is. */
#ifndef AMY_CORE_UPGRADE_H
#define AMY_CORE_UPGRADE_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>
#include <amy/upgrade.h>

#include "core/handover.h"
#include "core/json.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct amy__upgrade; /* one, under way */

/* What became of upgrades: told by status, carried from program to program. */
struct amy__upgrade_past {
    uint64_t count;    /* that succeeded */
    int64_t wall_ms;   /* the last one, or its refusal; 0: never */
    char from[64];     /* the release that was before; or "" */
    char refusal[256]; /* why the last one was refused; or "" */
};

/* Whose state it is. All of it is read while an upgrade is under way. */
struct amy__upgrade_owner {
    struct event_base *base;
    const char *daemon; /* "front" */
    const struct amy_clock *borrow_clock;
    const struct amy_log *borrow_log;
    struct amy__upgrade_past *borrow_past;
    /* NULL: it may happen now; else what has to end first, in words. */
    const char *(*busy)(void *user);
    /* on: who comes to the control sockets waits; true when nobody is being
     * answered there. Off again when the upgrade is refused. */
    bool (*hush)(bool on, void *user);
    /* Fill the root, name the descriptors and children that are to live on. */
    int (*save)(struct amy__handover *handover, void *user,
                struct amy_error *err);
    void *user;
};

/* AMY_EINVAL (no program, no arguments), AMY_ENOMEM. *upgrade is NULL again
 * when it was refused; opts are copied, and owner must outlive it. Where one is
 * under way (*upgrade is not NULL) the program is tried once more, with its
 * opts. */
int amy__upgrade_start(const struct amy__upgrade_owner *borrow_owner,
                       const struct amy_upgrade_options *opts,
                       struct amy__upgrade **upgrade, struct amy_error *err);
/* Nobody is told of a refusal. */
void amy__upgrade_free(struct amy__upgrade *upgrade);

/* In the new program: open what the old one left, note that, and end children
 * of it that are not listed. Takes fd over. */
int amy__upgrade_take(int fd, const struct amy__upgrade_owner *owner,
                      struct amy__handover **ret, struct amy_error *err);
/* For status: {count, at_ms, from, refusal, under_way}. */
struct amy__json *amy__upgrade_json(const struct amy__upgrade_past *past,
                                    const struct amy__upgrade *upgrade);

#endif

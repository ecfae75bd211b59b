/* When to look at what is really served, and what came of it: after each swap
 * and every hour, each name in each key type. Who looks is the owner's to say:
 * the master itself never reads from a network socket. */
#ifndef AMY_FRONT_PROBER_H
#define AMY_FRONT_PROBER_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>

#include "core/json.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;
struct amy__prober;

#define AMY__PROBER_EVERY_MS (INT64_C(3600) * 1000)
#define AMY__PROBER_SOON_MS 200    /* after a swap: all have committed */
#define AMY__PROBER_AGAIN_MS 5000  /* a second look before it is an alarm */
#define AMY__PROBER_ALARM_MS 60000 /* as long as it is one */
/* For one answer, besides what its handshakes may take. */
#define AMY__PROBER_PATIENCE_MS 60000
/* Looks that come to nothing for so long, the second of two that nobody answers
 * at the latest, are an alarm: what is served is not known. */
#define AMY__PROBER_UNKNOWN_MS 60000

struct amy__prober_options {
    struct event_base *base;
    const struct amy_clock *borrow_clock;
    const struct amy_log *log; /* copied; NULL: silent */
    /* A look begins: tell by amy__prober_want() what should be seen. */
    void (*on_list)(struct amy__prober *prober, void *user);
    /* Have somebody look at these: [{name, type, fingerprint}]. AMY_EAGAIN:
     * there is nobody now. amy__prober_answer() or _lost() follows. */
    int (*on_ask)(uint64_t ask, const struct amy__json *targets, void *user);
    void *user;
};
int amy__prober_create(const struct amy__prober_options *opts,
                       struct amy__prober **ret_prober, struct amy_error *err);
void amy__prober_free(struct amy__prober *prober);

/* Others than before are served now: a look under way says nothing. */
void amy__prober_swapped(struct amy__prober *prober);
/* From on_list. What memory does not suffice for is not looked at. */
void amy__prober_want(struct amy__prober *prober, const char *site,
                      const char *name, enum amy__tls_type type,
                      const char *fingerprint);
/* wrong: [{target, why}]; of an older question: ignored. */
void amy__prober_answer(struct amy__prober *prober, uint64_t ask,
                        const struct amy__json *wrong);
/* Whoever was asked is gone. */
void amy__prober_lost(struct amy__prober *prober);

struct amy__prober_view {
    int64_t checked_wall_ms; /* when a look last was answered; 0: never */
    const char *error;       /* "": what should be served is; borrowed */
};
/* False: nothing is known of that site yet. */
bool amy__prober_site(const struct amy__prober *prober, const char *site,
                      struct amy__prober_view *ret);

#endif

/* The schedule of looks at what is served, and their verdicts. */
/* Not for looking: front/peeks.c, in a front process. */
#include "front/prober.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"
#include "front/peeks.h"

#include <stdio.h>
#include <string.h>

/* What is known of one site. */
struct verdict {
    struct verdict *next;
    char *site;
    bool listed; /* by the look under way */
    int64_t checked_wall_ms;
    char now[256];   /* what the look under way says */
    char error[256]; /* what is told */
};

struct amy__prober {
    struct amy__prober_options opts;
    struct amy_log log;
    struct amy__timer *timer;
    struct amy__json *targets; /* of the look under way; NULL: none is */
    size_t at;                 /* first target of the question asked */
    uint64_t ask;
    bool suspicious;  /* the last look found something: ask once more */
    int64_t blind_ms; /* since when looks come to nothing; 0: they do not */
    struct verdict *verdicts;
};

AMY_DEFINE_CLEANUP(struct amy__prober *, amy__prober_free)

static void
arm(struct amy__prober *prober, int64_t ms)
{
    if (amy__timer_arm(prober->timer, ms, NULL) < 0) {
        amy__log(&prober->log, AMY_LOG_ERROR,
                 "out of memory: served certificates are not looked at until "
                 "the next swap");
    }
}

static struct verdict *
find_verdict(const struct amy__prober *prober, const char *site)
{
    struct verdict *v = prober->verdicts;

    while (v != NULL && strcmp(v->site, site) != 0) {
        v = v->next;
    }
    return v;
}

static struct verdict *
need_verdict(struct amy__prober *prober, const char *site)
{
    struct verdict *v = find_verdict(prober, site);

    if (v != NULL) {
        return v;
    }
    v = amy__calloc(1, sizeof(*v));
    if (v == NULL) {
        return NULL;
    }
    v->site = amy__strdup(site);
    if (v->site == NULL) {
        amy__free(v);
        return NULL;
    }
    v->next = prober->verdicts;
    prober->verdicts = v;
    return v;
}

/* ---- one look ---- */

static void
drop_look(struct amy__prober *prober)
{
    amy__json_free(prober->targets);
    prober->targets = NULL;
    prober->ask++; /* what still comes is of before */
}

static void
forget_unlisted(struct amy__prober *prober)
{
    struct verdict **at = &prober->verdicts;

    while (*at != NULL) {
        struct verdict *v = *at;

        if (v->listed) {
            at = &v->next;
            continue;
        }
        *at = v->next;
        amy__free(v->site);
        amy__free(v);
    }
}

static void
announce(struct amy__prober *prober, struct verdict *v)
{
    if (v->now[0] != '\0' && strcmp(v->now, v->error) != 0) {
        amy__log(&prober->log, AMY_LOG_ERROR,
                 "what is served is %s what is held: %s site=%s",
                 prober->blind_ms == 0 ? "not" : "not known to be", v->now,
                 v->site);
    } else if (v->now[0] == '\0' && v->error[0] != '\0') {
        amy__log(&prober->log, AMY_LOG_NOTICE,
                 "what is served is what is held again site=%s", v->site);
    }
    memcpy(v->error, v->now, sizeof(v->error));
    if (prober->blind_ms == 0) {
        v->checked_wall_ms = amy__wall_ms(prober->opts.borrow_clock);
    }
}

static void
announce_all(struct amy__prober *prober)
{
    for (struct verdict *v = prober->verdicts; v != NULL; v = v->next) {
        announce(prober, v);
    }
}

/* A look came to nothing: whoever was asked is gone, or says nothing. One may
 * have met the end of a process; one behind the other is not to be trusted. */
static void
give_up(struct amy__prober *prober)
{
    int64_t now_ms = amy__mono_ms(prober->opts.borrow_clock);

    drop_look(prober);
    if (prober->blind_ms == 0) {
        prober->blind_ms = now_ms;
    }
    if (now_ms - prober->blind_ms < AMY__PROBER_UNKNOWN_MS) {
        arm(prober, AMY__PROBER_AGAIN_MS);
        return;
    }
    for (struct verdict *v = prober->verdicts; v != NULL; v = v->next) {
        (void)snprintf(v->now, sizeof(v->now),
                       "no front process says what is served");
    }
    announce_all(prober);
    arm(prober, AMY__PROBER_ALARM_MS);
}

/* All was looked at. A first suspicion is looked at once more: a visitor's
 * burst may have taken the place of our own connection. */
static void
finish_look(struct amy__prober *prober)
{
    bool found = false;
    bool again = false;

    drop_look(prober);
    prober->blind_ms = 0;
    for (struct verdict *v = prober->verdicts; v != NULL; v = v->next) {
        found = found || v->now[0] != '\0';
    }
    again = found && !prober->suspicious;
    prober->suspicious = found;
    if (again) {
        arm(prober, AMY__PROBER_AGAIN_MS);
        return;
    }
    announce_all(prober);
    arm(prober, found ? AMY__PROBER_ALARM_MS : AMY__PROBER_EVERY_MS);
}

static struct amy__json *
some_targets(const struct amy__prober *prober)
{
    struct amy__json *some = amy__json_array();

    for (size_t i = prober->at; i < prober->at + AMY__PEEKS_MAX &&
                                i < amy__json_count(prober->targets);
         i++) {
        (void)amy__json_add(some,
                            amy__json_copy(amy__json_at(prober->targets, i)));
    }
    return some;
}

/* All its handshakes may have to wait for the last moment. */
static int64_t
patience_ms(const struct amy__json *targets)
{
    int64_t handshakes =
        (int64_t)amy__json_count(targets) * AMY__PEEKS_ADDRESSES;

    return AMY__PROBER_PATIENCE_MS +
           handshakes * (AMY__PEEKS_TIMEOUT_MS + AMY__PEEKS_GAP_MS);
}

static void
ask_next(struct amy__prober *prober)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *some = NULL;

    if (prober->at >= amy__json_count(prober->targets)) {
        finish_look(prober);
        return;
    }
    some = some_targets(prober);
    prober->ask++;
    if (some == NULL ||
        prober->opts.on_ask(prober->ask, some, prober->opts.user) < 0) {
        drop_look(prober);
        arm(prober, AMY__PROBER_AGAIN_MS);
        return;
    }
    arm(prober, patience_ms(some));
}

static void
on_timer(void *user)
{
    struct amy__prober *prober = user;

    if (prober->targets != NULL) {
        amy__log(&prober->log, AMY_LOG_WARN,
                 "nobody said what is served: asking again");
        give_up(prober);
        return;
    }
    prober->targets = amy__json_array();
    prober->at = 0;
    for (struct verdict *v = prober->verdicts; v != NULL; v = v->next) {
        v->listed = false;
        v->now[0] = '\0';
    }
    prober->opts.on_list(prober, prober->opts.user);
    forget_unlisted(prober);
    ask_next(prober);
}

void
amy__prober_want(struct amy__prober *prober, const char *site, const char *name,
                 enum amy__tls_type type, const char *fingerprint)
{
    struct verdict *v = need_verdict(prober, site);
    struct amy__json *one = amy__json_object();

    if (v == NULL) {
        amy__json_free(one);
        return;
    }
    v->listed = true;
    (void)amy__json_set(one, "site", amy__json_text(site));
    (void)amy__json_set(one, "name", amy__json_text(name));
    (void)amy__json_set(one, "type", amy__json_int(type));
    (void)amy__json_set(one, "fingerprint", amy__json_text(fingerprint));
    (void)amy__json_add(prober->targets, one);
}

void
amy__prober_answer(struct amy__prober *prober, uint64_t ask,
                   const struct amy__json *wrong)
{
    if (prober->targets == NULL || ask != prober->ask) {
        return;
    }
    for (size_t i = 0; i < amy__json_count(wrong); i++) {
        const struct amy__json *one = amy__json_at(wrong, i);
        int64_t target = amy__json_get_int(one, "target", -1);
        const struct amy__json *wanted =
            target < 0
                ? NULL
                : amy__json_at(prober->targets, prober->at + (size_t)target);
        struct verdict *v =
            find_verdict(prober, amy__json_get_text(wanted, "site", ""));

        if (v != NULL && v->now[0] == '\0') { /* the first one will do */
            (void)snprintf(v->now, sizeof(v->now), "%s",
                           amy__json_get_text(one, "why", "no reason given"));
        }
    }
    prober->at += AMY__PEEKS_MAX;
    ask_next(prober);
}

void
amy__prober_lost(struct amy__prober *prober)
{
    if (prober->targets != NULL) {
        give_up(prober);
    }
}

void
amy__prober_swapped(struct amy__prober *prober)
{
    if (prober->targets != NULL) {
        drop_look(prober);
    }
    prober->suspicious = false;
    arm(prober, AMY__PROBER_SOON_MS);
}

/* ---- life ---- */

int
amy__prober_create(const struct amy__prober_options *opts,
                   struct amy__prober **ret_prober, struct amy_error *err)
{
    AMY_CLEANUP(amy__prober_free_p)
    struct amy__prober *prober = amy__calloc(1, sizeof(*prober));
    int rc = 0;

    if (prober == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a prober");
    }
    prober->opts = *opts;
    prober->log = amy__log_copy(opts->log);
    rc = amy__timer_create(opts->base, on_timer, prober, &prober->timer, err);
    if (rc == 0) {
        *ret_prober = AMY_TAKE(prober);
    }
    return rc;
}

void
amy__prober_free(struct amy__prober *prober)
{
    if (prober == NULL) {
        return;
    }
    for (struct verdict *v = prober->verdicts; v != NULL; v = v->next) {
        v->listed = false;
    }
    forget_unlisted(prober);
    amy__json_free(prober->targets);
    amy__timer_free(prober->timer);
    amy__free(prober);
}

bool
amy__prober_site(const struct amy__prober *prober, const char *site,
                 struct amy__prober_view *ret)
{
    const struct verdict *v = find_verdict(prober, site);

    if (v == NULL || (v->checked_wall_ms == 0 && v->error[0] == '\0')) {
        return false;
    }
    *ret = (struct amy__prober_view){v->checked_wall_ms, v->error};
    return true;
}

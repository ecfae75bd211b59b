/* One generation takes over from another: gathers what roll.c is told, carries
 * out what it wants, keeps the outcome. */
/* Not for the order of it (roll.c), nor for who asked (ask.c). */
#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "workers/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define CHECK_EVERY_MS 1000

static int64_t
now_of(const struct amy__workers_site *site)
{
    return amy__mono_ms(site->borrow_workers->borrow_clock);
}

static struct amy__workers_pool *
find_pool(const struct amy__workers_site *site, const char *name,
          enum amy__workers_role role)
{
    for (struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (pool->role == role && !pool->gone && !pool->stopping &&
            strcmp(pool->spec->name, name) == 0) {
            return pool;
        }
    }
    return NULL;
}

/* ---- outcome ---- */

void
amy__workers_reload_forget(struct amy__workers_site *site)
{
    struct amy__workers_reload *reload = &site->reload;

    amy__json_free(reload->lines);
    reload->lines = NULL;
    reload->reason[0] = '\0';
    reload->refused = false;
}

void
amy__workers_reload_refuse(struct amy__workers_site *site, const char *reason)
{
    struct amy__workers_reload *reload = &site->reload;

    amy__workers_reload_forget(site);
    reload->refused = true;
    reload->ended_ms = now_of(site);
    (void)snprintf(reload->reason, sizeof(reload->reason), "%s", reason);
}

static void
note_failure(struct amy__workers_pool *pool, uint32_t position,
             const char *reason)
{
    struct amy__workers_site *site = pool->borrow_site;
    struct amy__workers_reload *reload = &site->reload;
    bool first = reload->roll.phase == AMY__ROLL_START;

    amy__workers_reload_forget(site);
    (void)snprintf(reload->reason, sizeof(reload->reason),
                   "%s %" PRIu32 " of generation %" PRIu64 ": %s",
                   pool->spec->name, position, pool->generation, reason);
    /* For who may reload. The log is not its own: what a program says last may
     * be a traceback that shows the URL of its database. */
    reload->lines = amy__tail_json(&pool->places[position].tail);
    amy__log(&site->borrow_workers->log, AMY_LOG_ERROR,
             "%s site=%s reason=\"%s\"",
             first ? "a worker does not start, it is tried again"
                   : "the new generation is no good, the old one goes on",
             site->domain, reload->reason);
}

/* ---- facts and wants ---- */

/* Of an even older generation, where two must never be. */
static uint32_t
straggler(const struct amy__workers_site *site, const char *name,
          uint32_t position)
{
    for (const struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        uint32_t state = amy__workers_pool_state(pool, position);

        if (pool->role == AMY__POOL_OLD && state != AMY_WORKER_STOPPED &&
            strcmp(pool->spec->name, name) == 0) {
            return state;
        }
    }
    return AMY_WORKER_STOPPED;
}

static bool
is_wanted(const struct amy__workers_pool *pool, uint32_t position)
{
    return pool != NULL && position < pool->spec->count &&
           pool->places[position].wanted;
}

static void
gather(struct amy__workers_site *site)
{
    struct amy__workers_reload *reload = &site->reload;

    for (size_t i = 0; i < reload->roll.pool_count; i++) {
        const struct amy__workers_pair *pair = &reload->pairs[i];
        struct amy__roll_pool *pool = &reload->roll.pools[i];

        for (uint32_t j = 0; j < pool->seat_count; j++) {
            pool->seats[j] = (struct amy__roll_seat){
                .old_state = amy__workers_pool_state(pair->now, j),
                .new_state = amy__workers_pool_state(pair->next, j),
                .want_old = is_wanted(pair->now, j),
                .want_new = is_wanted(pair->next, j),
                .drained = pool->seats[j].drained,
            };
            if (pool->stop_first &&
                pool->seats[j].old_state == AMY_WORKER_STOPPED) {
                pool->seats[j].old_state =
                    straggler(site, pair->next->spec->name, j);
            }
        }
    }
}

/* True when anything is to change. */
static bool
want(struct amy__workers_pool *pool, uint32_t position, bool wanted)
{
    if (pool == NULL || position >= pool->spec->count ||
        pool->places[position].wanted == wanted) {
        return false;
    }
    amy__workers_pool_want(pool, position, wanted);
    return true;
}

static bool
apply(struct amy__workers_reload *reload)
{
    bool changed = false;

    for (size_t i = 0; i < reload->roll.pool_count; i++) {
        const struct amy__workers_pair *pair = &reload->pairs[i];
        const struct amy__roll_pool *pool = &reload->roll.pools[i];

        for (uint32_t j = 0; j < pool->seat_count; j++) {
            changed = want(pair->now, j, pool->seats[j].want_old) || changed;
            changed = want(pair->next, j, pool->seats[j].want_new) || changed;
        }
    }
    return changed;
}

/* ---- generations that only end ---- */

/* One that still serves, for want of a better one, goes when there is one. */
static bool
is_needed(const struct amy__workers_site *site,
          const struct amy__workers_pool *old, uint32_t position)
{
    const char *name = old->spec->name;
    const struct amy__workers_pool *now =
        find_pool(site, name, AMY__POOL_CURRENT);
    const struct amy__workers_pool *next =
        find_pool(site, name, AMY__POOL_NEXT);
    bool covered = (now != NULL && position < now->spec->count) ||
                   (next != NULL && position < next->spec->count);

    return covered && old->proven &&
           old->spec->replace != AMY__REPLACE_STOP_FIRST &&
           amy__workers_pool_state(now, position) != AMY_WORKER_READY &&
           amy__workers_pool_state(next, position) != AMY_WORKER_READY;
}

static void
retire(struct amy__workers_site *site, struct amy__workers_pool *pool)
{
    bool gone = true;

    for (uint32_t i = 0; i < pool->spec->count; i++) {
        if (pool->places[i].wanted && !is_needed(site, pool, i)) {
            amy__workers_pool_want(pool, i, false);
        }
        gone = gone && amy__workers_pool_state(pool, i) == AMY_WORKER_STOPPED &&
               !pool->places[i].wanted;
    }
    if (gone && !pool->gone) {
        pool->gone = true;
        amy__workers_ask_sweep(site->borrow_workers);
    }
}

static void
retire_old(struct amy__workers_site *site)
{
    for (struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (pool->role == AMY__POOL_OLD && !pool->stopping) {
            retire(site, pool);
        }
    }
}

/* The roll is over, or there is no way back from where it is: who is who. */
static void
settle(struct amy__workers_site *site)
{
    struct amy__workers_reload *reload = &site->reload;
    bool back = reload->roll.back;

    for (struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (pool->role == AMY__POOL_NEXT) {
            pool->role = back ? AMY__POOL_OLD : AMY__POOL_CURRENT;
            /* From now on a page that reports a broken database is better than
             * none. */
            pool->strict = false;
        } else if (pool->role == AMY__POOL_CURRENT && !back) {
            pool->role = AMY__POOL_OLD;
        }
    }
    if (!back && !reload->refused) {
        amy__workers_reload_forget(site);
    }
    reload->roll.phase = AMY__ROLL_IDLE;
    reload->roll.pool_count = 0;
    reload->ended_ms = now_of(site);
    amy__free(reload->roll.pools);
    amy__free(reload->pairs);
    amy__free(reload->seats);
    reload->roll.pools = NULL;
    reload->pairs = NULL;
    reload->seats = NULL;
}

/* ---- the bake ---- */

static bool
is_baking(const struct amy__workers_pool *next)
{
    return next != NULL && next->strict && next->sockets != NULL;
}

/* Does a health check wait for its answer? A worker that is busy may take its
 * time; one that never answers shall not pass. */
static bool
is_unsure(const struct amy__workers_reload *reload)
{
    for (size_t i = 0; i < reload->roll.pool_count; i++) {
        const struct amy__workers_pool *next = reload->pairs[i].next;

        if (is_baking(next) && next->sockets[0].call != NULL) {
            return true;
        }
    }
    return false;
}

static void
check_canaries(struct amy__workers_reload *reload, int64_t now_ms)
{
    if (reload->roll.phase != AMY__ROLL_BAKE || now_ms < reload->check_ms) {
        return;
    }
    reload->check_ms = now_ms + CHECK_EVERY_MS;
    for (size_t i = 0; i < reload->roll.pool_count; i++) {
        if (is_baking(reload->pairs[i].next)) {
            amy__workers_socket_check(&reload->pairs[i].next->sockets[0]);
        }
    }
}

/* ---- steps ---- */

static void
enter_phase(struct amy__workers_site *site, enum amy__roll_phase before)
{
    struct amy__workers_reload *reload = &site->reload;

    if (reload->roll.phase == before) {
        return;
    }
    reload->check_ms = now_of(site) + CHECK_EVERY_MS;
    amy__log(&site->borrow_workers->log, AMY_LOG_NOTICE,
             "reload site=%s generation=%" PRIu64 " phase=%s%s", site->domain,
             reload->generation,
             reload->roll.phase == AMY__ROLL_IDLE
                 ? (reload->roll.back ? "failed" : "done")
                 : amy__roll_phase_name(reload->roll.phase),
             amy__site_tag(site->site));
}

static void
arm_timer(struct amy__workers_site *site, int64_t due_ms)
{
    const struct amy__workers_reload *reload = &site->reload;
    int64_t now_ms = now_of(site);

    if (reload->roll.phase == AMY__ROLL_BAKE &&
        (due_ms < 0 || reload->check_ms < due_ms)) {
        due_ms = reload->check_ms;
    }
    if (due_ms < 0) {
        amy__timer_cancel(reload->timer);
    } else if (amy__timer_arm(reload->timer, due_ms - now_ms, NULL) < 0) {
        amy__log(&site->borrow_workers->log, AMY_LOG_ERROR,
                 "no timer could be set site=%s", site->domain);
    }
}

/* The new pools that visitors reach, or those without a ready worker. */
static size_t
count_serving(const struct amy__workers_reload *reload, bool only_waiting)
{
    size_t n = 0;

    for (size_t i = 0; i < reload->roll.pool_count; i++) {
        const struct amy__workers_pool *next = reload->pairs[i].next;

        if (next != NULL && next->spec->serves &&
            !(only_waiting && amy__workers_pool_ready(next) > 0)) {
            n++;
        }
    }
    return n;
}

/* A first generation serves before it is complete, and may never be. */
static bool
serves_already(const struct amy__workers_reload *reload)
{
    return count_serving(reload, false) > 0 && count_serving(reload, true) == 0;
}

/* A pool beside it that fails must not cost the release that served last what
 * it begins with. */
static bool
has_had_its_try(const struct amy__workers_site *site)
{
    const struct amy__workers_reload *reload = &site->reload;

    return site->job == NULL &&
           (reload->roll.phase == AMY__ROLL_IDLE ||
            (reload->roll.told && count_serving(reload, true) == 0));
}

/* The listener was there before, with its own rules perhaps. */
static void
admit_strangers(const struct amy__workers_pool *pool)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (pool->shared != NULL &&
        amy__workers_shared_admit(pool->shared, pool->spec->socket_group,
                                  &err) < 0) {
        amy__log(&pool->borrow_site->borrow_workers->log, AMY_LOG_ERROR,
                 "who may connect stays as it was pool=%s error=\"%s\"",
                 pool->name, err.msg);
    }
}

/* Strangers, and a supervisor that comes after us, get what serves now. */
static void
note_served(struct amy__workers_site *site)
{
    bool written = false;

    if (site->reload.noted == site->reload.generation) {
        return;
    }
    site->reload.noted = site->reload.generation;
    for (const struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (pool->generation != site->reload.generation) {
            continue;
        }
        if (!written) {
            amy__workers_served_write(pool);
            written = true;
        }
        admit_strangers(pool);
    }
}

static void
run(struct amy__workers_site *site, struct amy__roll_input in)
{
    struct amy__workers_reload *reload = &site->reload;
    enum amy__roll_phase before = reload->roll.phase;
    enum amy__roll_outcome outcome = AMY__ROLL_OPEN;
    struct amy__roll_output out = {.due_ms = -1};
    bool changed = before != AMY__ROLL_IDLE;

    in.now_ms = now_of(site);
    check_canaries(reload, in.now_ms);
    /* What waited for its next try stops at once, without an event. */
    while (changed) {
        gather(site);
        in.unsure = is_unsure(reload);
        out = amy__roll_step(&reload->roll, &in);
        outcome = out.outcome != AMY__ROLL_OPEN ? out.outcome : outcome;
        in.failed = false;
        in.given_up = false;
        changed = apply(reload);
    }
    enter_phase(site, before);
    if (reload->roll.phase == AMY__ROLL_IDLE && reload->pairs != NULL) {
        settle(site);
    }
    if (outcome == AMY__ROLL_DONE ||
        (before == AMY__ROLL_START &&
         (reload->roll.phase == AMY__ROLL_IDLE || serves_already(reload)))) {
        note_served(site);
    }
    retire_old(site);
    arm_timer(site, out.due_ms);
    site->resuming = site->resuming && !has_had_its_try(site);
    if (outcome != AMY__ROLL_OPEN) {
        if (site->job == NULL) {
            amy__workers_tell_site(site); /* else they hear of what comes */
        }
        amy__workers_ask_sweep(site->borrow_workers);
    }
}

void
amy__workers_reload_step(struct amy__workers_site *site)
{
    run(site, (struct amy__roll_input){.failed = false});
}

static void
on_timer(void *user)
{
    amy__workers_reload_step(user);
}

int
amy__workers_reload_init(struct amy__workers_site *site, struct amy_error *err)
{
    return amy__timer_create(site->borrow_workers->base, on_timer, site,
                             &site->reload.timer, err);
}

void
amy__workers_reload_failed(struct amy__workers_pool *pool, uint32_t position,
                           const char *reason)
{
    struct amy__workers_site *site = pool->borrow_site;
    struct amy__workers_reload *reload = &site->reload;
    struct amy__roll_input in = {.failed = true, .failed_seat = position};

    if (pool->role == AMY__POOL_NEXT && pool->spec->serves) {
        site->resuming = false;
    }
    if (!amy__workers_reload_is_open(site) ||
        reload->roll.phase == AMY__ROLL_BACK || pool->role != AMY__POOL_NEXT) {
        return;
    }
    while (reload->pairs[in.failed_pool].next != pool) {
        in.failed_pool++;
    }
    note_failure(pool, position, reason);
    run(site, in);
}

void
amy__workers_reload_give_up(struct amy__workers_site *site)
{
    struct amy__workers_reload *reload = &site->reload;

    if (!amy__workers_reload_must_wait(site) || site->resuming ||
        reload->roll.phase == AMY__ROLL_BACK) {
        return;
    }
    amy__workers_reload_forget(site);
    (void)snprintf(reload->reason, sizeof(reload->reason),
                   "generation %" PRIu64
                   " was given up for one that has served before",
                   reload->generation);
    amy__log(&site->borrow_workers->log, AMY_LOG_NOTICE,
             "given up for one that has served site=%s generation=%" PRIu64,
             site->domain, reload->generation);
    run(site, (struct amy__roll_input){.given_up = true});
}

bool
amy__workers_reload_is_open(const struct amy__workers_site *site)
{
    return site->reload.roll.phase != AMY__ROLL_IDLE && !site->reload.roll.told;
}

bool
amy__workers_reload_must_wait(const struct amy__workers_site *site)
{
    return site->resuming || (amy__workers_reload_is_open(site) &&
                              site->reload.roll.phase != AMY__ROLL_START);
}

void
amy__workers_reload_cancel(struct amy__workers_site *site)
{
    struct amy__workers_reload *reload = &site->reload;

    if (reload->timer != NULL) {
        amy__timer_cancel(reload->timer);
    }
    reload->again = false;
    if (reload->pairs != NULL) {
        settle(site);
    }
    if (reload->askers != NULL || reload->later != NULL) {
        (void)amy__span_copy(AMY_SPAN("the site stops"), site->env_error,
                             sizeof(site->env_error));
        amy__workers_reload_refuse(site, site->env_error);
    }
    amy__workers_tell_site(site);
}

void
amy__workers_reload_clear(struct amy__workers_site *site)
{
    amy__workers_reload_cancel(site);
    amy__workers_reload_forget(site);
    amy__timer_free(site->reload.timer);
    site->reload.timer = NULL;
}

/* ---- beginning ---- */

static void
free_list(struct amy__workers_pool *pool)
{
    while (pool != NULL) {
        struct amy__workers_pool *next = pool->next;

        amy__workers_pool_free(pool);
        pool = next;
    }
}

static int
create_pools(struct amy__workers_site *site, struct amy__env *env,
             struct amy__workers_pool **ret_first, struct amy_error *err)
{
    struct amy__workers_pool *first = NULL;
    struct amy__workers_pool **end = &first;

    for (size_t i = 0; i < site->site->worker_count; i++) {
        const struct amy__workers_birth birth = {
            site->site, &site->site->workers[i], env, site->generation};
        int rc = amy__workers_pool_create(site, &birth, end, err);

        if (rc < 0) {
            free_list(first);
            return rc;
        }
        end = &(*end)->next;
    }
    *ret_first = first;
    return 0;
}

static uint64_t
bits_of(const struct amy__site *site, const struct amy__site_worker *spec)
{
    uint64_t bits = 0;

    for (size_t i = 0; spec->after != NULL && spec->after[i] != NULL; i++) {
        const struct amy__site_worker *other =
            amy__site_worker(site, amy__span_of(spec->after[i]));

        bits |= other == NULL ? 0 : UINT64_C(1) << (other - site->workers);
    }
    return bits;
}

/* One more pair; its seats begin where those of the pairs before end. */
static void
add_pair(struct amy__workers_reload *reload, struct amy__workers_pool *next,
         struct amy__workers_pool *now, size_t *seats)
{
    size_t at = reload->roll.pool_count++;
    struct amy__roll_pool *pool = &reload->roll.pools[at];
    uint32_t new_count = next == NULL ? 0 : next->spec->count;
    uint32_t old_count = now == NULL ? 0 : now->spec->count;

    reload->pairs[at] = (struct amy__workers_pair){next, now};
    *pool = (struct amy__roll_pool){
        .fresh = now == NULL || !now->proven,
        .old_count = old_count,
        .new_count = new_count,
        .seat_count = new_count > old_count ? new_count : old_count,
        .seats = reload->seats + *seats,
    };
    *seats += pool->seat_count;
    if (next != NULL) {
        pool->after = bits_of(next->site, next->spec);
        pool->serves = next->spec->serves;
        pool->stop_first = next->spec->replace == AMY__REPLACE_STOP_FIRST;
        next->strict = pool->serves && !pool->stop_first && !pool->fresh;
    }
}

static void
make_pairs(struct amy__workers_site *site)
{
    struct amy__workers_reload *reload = &site->reload;
    size_t seats = 0;

    for (struct amy__workers_pool *pool = site->pools;
         pool != NULL && pool->role == AMY__POOL_NEXT; pool = pool->next) {
        add_pair(reload, pool,
                 find_pool(site, pool->spec->name, AMY__POOL_CURRENT), &seats);
    }
    for (struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (pool->role == AMY__POOL_CURRENT && !pool->gone && !pool->stopping &&
            find_pool(site, pool->spec->name, AMY__POOL_NEXT) == NULL) {
            add_pair(reload, NULL, pool, &seats);
        }
    }
}

static int
allocate(struct amy__workers_reload *reload,
         const struct amy__workers_pool *added,
         const struct amy__workers_pool *present, struct amy_error *err)
{
    const struct amy__workers_pool *lists[] = {added, present};
    struct amy__roll_pool *pools = NULL;
    struct amy__workers_pair *pairs = NULL;
    struct amy__roll_seat *seats = NULL;
    size_t pool_count = 1;
    size_t seat_count = 1;

    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (const struct amy__workers_pool *pool = lists[i]; pool != NULL;
             pool = pool->next) {
            pool_count++;
            seat_count += pool->spec->count;
        }
    }
    pools = amy__calloc(pool_count, sizeof(*pools));
    pairs = amy__calloc(pool_count, sizeof(*pairs));
    seats = amy__calloc(seat_count, sizeof(*seats));
    if (pools == NULL || pairs == NULL || seats == NULL) {
        amy__free(pools);
        amy__free(pairs);
        amy__free(seats);
        return amy__err(err, AMY_ENOMEM, "allocating a reload");
    }
    reload->roll.pools = pools;
    reload->pairs = pairs;
    reload->seats = seats;
    return 0;
}

int
amy__workers_reload_pair(struct amy__workers_site *site, struct amy_error *err)
{
    int rc = allocate(&site->reload, NULL, site->pools, err);

    if (rc == 0) {
        make_pairs(site);
    }
    return rc;
}

int
amy__workers_reload_begin(struct amy__workers_site *site, struct amy__env *env,
                          struct amy_error *err)
{
    struct amy__workers_reload *reload = &site->reload;
    struct amy__workers_pool *added = NULL;
    struct amy__workers_pool **end = &added;
    struct amy_workers *workers = site->borrow_workers;
    int rc = create_pools(site, env, &added, err);

    if (rc < 0) {
        return rc;
    }
    if (reload->pairs != NULL) {
        settle(site); /* told, and only its end was awaited */
    }
    rc = allocate(reload, added, site->pools, err);
    if (rc < 0) {
        free_list(added);
        return rc;
    }
    while (*end != NULL) {
        end = &(*end)->next;
    }
    *end = site->pools;
    site->pools = added;
    if (!site->refused) {
        amy__workers_reload_forget(site);
    }
    reload->generation = site->generation;
    reload->roll.proven = amy__workers_is_proven(site);
    reload->roll.bake_ms = reload->roll.proven ? 0 : site->site->health_bake_ms;
    make_pairs(site);
    amy__roll_begin(&reload->roll, now_of(site));
    amy__log(&workers->log, AMY_LOG_NOTICE,
             "generation begins site=%s generation=%" PRIu64 " pools=%zu",
             site->domain, site->generation, site->site->worker_count);
    enter_phase(site, AMY__ROLL_IDLE);
    amy__workers_reload_step(site);
    return 0;
}

/* ---- status ---- */

static const char *
state_name(const struct amy__workers_site *site)
{
    const struct amy__workers_reload *reload = &site->reload;

    if (site->job != NULL ||
        (reload->again && !amy__workers_reload_is_open(site))) {
        return "environment";
    }
    if (reload->refused ||
        (reload->roll.phase == AMY__ROLL_IDLE && reload->reason[0] != '\0')) {
        return "failed";
    }
    return amy__roll_phase_name(reload->roll.phase);
}

struct amy__json *
amy__workers_reload_json(const struct amy__workers_site *site)
{
    const struct amy__workers_reload *reload = &site->reload;
    struct amy__json *json = amy__json_object();
    int64_t since_ms = reload->roll.phase == AMY__ROLL_IDLE
                           ? reload->ended_ms
                           : reload->roll.since_ms;

    (void)amy__json_set(json, "state", amy__json_text(state_name(site)));
    (void)amy__json_set(json, "generation",
                        amy__json_int((int64_t)reload->generation));
    (void)amy__json_set(json, "reason", amy__json_text(reload->reason));
    (void)amy__json_set(
        json, "since_ms",
        amy__json_int(since_ms == 0 ? 0 : now_of(site) - since_ms));
    for (const struct amy__workers_pool *pool = site->pools; pool != NULL;
         pool = pool->next) {
        if (pool->role == AMY__POOL_CURRENT) {
            (void)amy__json_set(json, "release",
                                amy__json_text(pool->env->repo_path));
            break;
        }
    }
    return json;
}

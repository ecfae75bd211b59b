/* Rounds: one version of the configuration to all processes, or to none. */
/* Not for reading it (master_load.c) nor for what a round is (round.c). */
#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "front/master.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>

/* ---- saying things ---- */

static void
tell_members(struct amy_front *front, uint64_t members,
             enum amy__wire_type type, uint64_t bundle)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "bundle", amy__json_int((int64_t)bundle));
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX && json != NULL; i++) {
        if ((members & amy__front_bit(i)) != 0) {
            amy__front_tell(&front->processes[i], type, json, NULL, 0);
        }
    }
    amy__json_free(json);
}

static struct amy__json *
describe_worker(const struct amy__registry_pool *pool,
                const struct amy__roster_worker *worker, bool is_new)
{
    struct amy__json *json = amy__json_object();
    char name[AMY__ROSTER_NAME + 64] = "";

    (void)amy__json_set(json, "site", amy__json_text(pool->site));
    (void)amy__json_set(json, "pool", amy__json_text(pool->pool));
    (void)amy__json_set(json, "incarnation",
                        amy__json_int((int64_t)worker->incarnation));
    if (!is_new) {
        return json;
    }
    (void)snprintf(name, sizeof(name), "%s/%s", pool->pool, worker->name);
    (void)amy__json_set(json, pool->servers ? "address" : "name",
                        amy__json_text(pool->servers ? worker->name : name));
    (void)amy__json_set(json, "pool_index", amy__json_int(pool->roster->index));
    (void)amy__json_set(json, "slot", amy__json_int(worker->slot));
    (void)amy__json_set(json, "slots", amy__json_int(worker->slots));
    (void)amy__json_set(json, "generation",
                        amy__json_int((int64_t)worker->generation));
    (void)amy__json_set(json, "position", amy__json_int(worker->position));
    return json;
}

/* To all that serve something; others hear of it after their first commit. */
void
amy__front_on_worker(const struct amy__registry_pool *pool,
                     const struct amy__roster_worker *worker, bool is_new,
                     void *user)
{
    struct amy_front *front = user;
    struct amy__json *json = describe_worker(pool, worker, is_new);

    if (is_new) {
        amy__slots_reset(front->slots, worker->slot, worker->slots);
    }
    amy__log(&front->log, AMY_LOG_INFO, "worker %s site=%s worker=%s/%s",
             is_new ? "came" : "went", pool->site, pool->pool, worker->name);
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX && json != NULL; i++) {
        if (front->processes[i].bundle != 0) {
            amy__front_tell(&front->processes[i],
                            is_new ? AMY__WIRE_WORKER_ADD
                                   : AMY__WIRE_WORKER_DEL,
                            json, NULL, 0);
        }
    }
    amy__json_free(json);
}

static void
tell_worker(const struct amy__registry_pool *pool,
            const struct amy__roster_worker *worker, bool is_new, void *user)
{
    struct amy__json *json = describe_worker(pool, worker, is_new);

    if (json != NULL) {
        amy__front_tell(user, AMY__WIRE_WORKER_ADD, json, NULL, 0);
    }
    amy__json_free(json);
}

/* ---- listeners ---- */

/* The message for one process: what it gets, what it gives back. */
static void
tell_listeners(struct amy_front *front, uint32_t process,
               const uint32_t *servers)
{
    struct amy__listeners *all = &front->listeners;
    struct amy__json *json = amy__json_object();
    struct amy__json *add = amy__json_array();
    struct amy__json *drop = amy__json_array();
    int *fds = amy__calloc(all->count + 1, sizeof(*fds));
    size_t count = 0;
    size_t dropped = 0;

    for (size_t i = 0; i < all->count && fds != NULL; i++) {
        struct amy__listener *l = &all->items[i];
        struct amy__json *one = NULL;

        if (l->server == process && servers[i] != process) {
            (void)amy__json_add(drop, amy__json_int((int64_t)i));
            dropped++;
        }
        if (servers[i] != process || l->server == process) {
            continue;
        }
        one = amy__json_object();
        (void)amy__json_set(one, "id", amy__json_int((int64_t)i));
        (void)amy__json_set(one, "socket_fd", amy__json_int((int64_t)count));
        (void)amy__json_set(one, "tls", amy__json_bool(l->tls));
        (void)amy__json_set(one, "port", amy__json_int(l->port));
        (void)amy__json_add(add, one);
        fds[count++] = l->fd;
    }
    (void)amy__json_set(json, "add", add);
    (void)amy__json_set(json, "drop", drop);
    if (count + dropped > 0) {
        amy__front_tell(&front->processes[process], AMY__WIRE_LISTENERS, json,
                        fds, count);
    }
    amy__json_free(json);
    amy__free(fds);
}

/* Who should serve that lane: one of now; until the first of them serves, those
 * before them go on. */
static uint32_t
server_of(const struct amy_front *front, uint32_t lane)
{
    for (const struct amy__front_crew *crew = front->crews; crew != NULL;
         crew = crew->next) {
        uint64_t serving = crew->leaving ? 0 : amy__front_crew_serving(crew);
        uint64_t positions = 0;

        for (uint32_t i = 0; i < crew->count; i++) {
            if ((serving & amy__front_bit(crew->numbers[i])) != 0) {
                positions |= amy__front_bit(i);
            }
        }
        if (positions != 0) {
            return crew
                ->numbers[amy__listeners_server(lane, positions, crew->count)];
        }
    }
    return AMY__NOBODY;
}

void
amy__front_adopt(struct amy_front *front)
{
    struct amy__listeners *all = &front->listeners;
    uint64_t serving = amy__front_serving(front);
    uint32_t *servers = amy__calloc(all->count + 1, sizeof(*servers));

    if (servers == NULL || front->stopping) {
        amy__free(servers); /* out of memory: the next change tries again */
        return;
    }
    for (size_t i = 0; i < all->count; i++) {
        servers[i] = server_of(front, all->items[i].lane);
    }
    for (uint32_t p = 0; p < AMY__PROCESSES_MAX; p++) {
        if ((serving & amy__front_bit(p)) != 0) {
            tell_listeners(front, p, servers);
        }
    }
    for (size_t i = 0; i < all->count; i++) {
        all->items[i].server = servers[i];
    }
    amy__free(servers);
}

/* ---- a round ---- */

/* The newest pages, logs and keys: a bundle may be older than they are. */
static void
freshen(struct amy_front *front, struct amy__bundle *bundle)
{
    amy__close(&bundle->tickets_fd);
    bundle->tickets_fd = fcntl(front->tickets_fd, F_DUPFD_CLOEXEC, 0);
    for (size_t i = 0; i < bundle->site_count; i++) {
        struct amy__bundle_site *one = &bundle->sites[i];
        const struct amy__front_site *site = amy__front_site(front, one->name);

        amy__close(&one->page_fd);
        one->serial = site == NULL ? 0 : site->serial;
        if (site != NULL && site->page_fd >= 0) {
            one->page_fd = fcntl(site->page_fd, F_DUPFD_CLOEXEC, 0);
        }
        if (site != NULL) {
            amy__front_logs_freshen(site, one);
        }
    }
}

static void
begin_round(struct amy_front *front, struct amy__bundle *bundle,
            uint64_t members)
{
    struct amy_error err = AMY_ERROR_INIT;

    freshen(front, bundle);
    amy__round_begin(&front->round, bundle->number, members,
                     amy__mono_ms(front->opts.borrow_clock));
    (void)amy__timer_arm(front->round_timer, AMY__ROUND_MS + 10, NULL);
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        struct amy__front_process *process = &front->processes[i];

        if ((members & amy__front_bit(i)) == 0) {
            continue;
        }
        process->told_pages = true;
        if (amy__bundle_send(bundle, process->wire, i, AMY__PROCESSES_MAX,
                             &err) < 0) {
            /* The round's time limit, or its death, ends this. */
            amy__log(&front->log, AMY_LOG_ERROR,
                     "sending a bundle: %s process=%u", err.msg, i);
        }
    }
}

/* Those who leave finish with what they have. */
static bool
takes_part(const struct amy__front_process *process)
{
    return process->wire != NULL && process->crew == process->front->crews;
}

static uint64_t
speaking(const struct amy_front *front)
{
    uint64_t set = 0;

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        if (takes_part(&front->processes[i])) {
            set |= amy__front_bit(i);
        }
    }
    return set;
}

static uint64_t
behind(const struct amy_front *front)
{
    uint64_t set = 0;

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        if (takes_part(&front->processes[i]) &&
            front->processes[i].bundle != front->current->bundle->number) {
            set |= amy__front_bit(i);
        }
    }
    return set;
}

static void
announce(struct amy_front *front, int rc, const char *why)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (rc < 0) {
        (void)amy__err(&err, rc, "%s", why);
    }
    if (front->opts.on_ready != NULL) {
        front->opts.on_ready(front, rc, &err, front->opts.user);
    }
}

static void retire(struct amy_front *front);

/* All serve what was staged, or there is nobody to ask yet. */
static void
make_current(struct amy_front *front)
{
    amy__front_version_free(front->current);
    front->current = front->staged;
    front->staged = NULL;
    retire(front);
}

static void
stage_certs(struct amy_front *front)
{
    struct amy_error err = AMY_ERROR_INIT;

    front->certs_changed = false;
    if (amy__front_stage_certs(front, &err) < 0) {
        amy__log(&front->log, AMY_LOG_ERROR, "certificates are not served: %s",
                 err.msg);
        amy__front_certs_again(front);
    }
}

void
amy__front_offer(struct amy_front *front)
{
    uint64_t members = speaking(front);

    if (front->round.phase != AMY__ROUND_IDLE || front->stopping) {
        return;
    }
    if (front->staged == NULL && front->reload_again) {
        struct amy_error err = AMY_ERROR_INIT;

        front->reload_again = false;
        front->reload_waiters = front->next_waiters;
        front->next_waiters = NULL;
        if (amy__front_stage(front, NULL, &err) < 0) {
            amy__front_reload_over(front, err.code, err.msg);
            announce(front, err.code, err.msg);
        }
    }
    if (front->staged == NULL && front->certs_changed) {
        stage_certs(front);
    }
    if (front->staged != NULL && members != 0) {
        begin_round(front, front->staged->bundle, members);
        return;
    }
    if (front->staged != NULL) { /* nobody lives: the next ones get it */
        bool certs_only = front->staged->certs_only;

        make_current(front);
        if (!certs_only) {
            amy__front_reload_over(front, 0, "");
        }
        if (!certs_only && front->announced) {
            announce(front, 0, "");
        }
    }
    members = front->current == NULL ? 0 : behind(front);
    if (members != 0) {
        begin_round(front, front->current->bundle, members);
    }
}

int
amy__front_stage(struct amy_front *front, const char *only,
                 struct amy_error *err)
{
    struct amy__front_version *version = NULL;
    int rc = amy__front_load(front, only, &version, err);

    if (rc < 0) {
        return rc;
    }
    amy__front_version_free(front->staged);
    front->staged = version;
    return 0;
}

/* ---- after a round ---- */

static void
keep_pools(struct amy_front *front, const struct amy__site *site)
{
    for (size_t w = 0; w < site->worker_count; w++) {
        struct amy_error err = AMY_ERROR_INIT;

        if (site->workers[w].serves &&
            amy__registry_keep(front->registry, site->domain,
                               site->workers[w].name, site->workers[w].slots,
                               &err) < 0) {
            amy__log(&front->log, AMY_LOG_ERROR, "%s", err.msg);
        }
    }
}

/* Those of several routes have one name. */
static void
keep_servers(struct amy_front *front, const struct amy__site *site)
{
    for (size_t i = 0; i < site->route_count; i++) {
        const struct amy__route *route = &site->routes[i];
        struct amy_error err = AMY_ERROR_INIT;

        if (route->kind == AMY__ROUTE_UPSTREAM &&
            amy__registry_keep_servers(front->registry, site->domain,
                                       route->pool, route->slots,
                                       route->upstream, &err) < 0) {
            amy__log(&front->log, AMY_LOG_ERROR, "%s", err.msg);
        }
    }
}

/* Pools as the current version has them; sites that are gone go. */
static void
retire(struct amy_front *front)
{
    struct amy__front_site **at = &front->sites;
    const struct amy__front_version *current = front->current;

    amy__registry_begin(front->registry);
    for (size_t i = 0; i < current->bundle->site_count; i++) {
        keep_pools(front, current->sites[i]);
        keep_servers(front, current->sites[i]);
    }
    amy__registry_end(front->registry);
    while (*at != NULL) {
        struct amy__front_site *site = *at;

        if (site->listed) {
            at = &site->next;
            continue;
        }
        *at = site->next;
        amy__gate_word_set(front->words, site->index, 0);
        amy__log(&front->log, AMY_LOG_NOTICE, "site is gone site=%s",
                 site->name);
        amy__front_site_free(site);
    }
}

/* These serve the bundle from now on. */
static void
welcome(struct amy_front *front, uint64_t members, uint64_t bundle)
{
    uint64_t new_ones = members & ~amy__front_serving(front);

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        struct amy__front_process *process = &front->processes[i];

        if ((members & amy__front_bit(i)) == 0) {
            continue;
        }
        process->bundle = bundle;
        if ((new_ones & amy__front_bit(i)) != 0) {
            amy__registry_each(front->registry, tell_worker, process);
        }
    }
    amy__front_adopt(front);
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        const struct amy__front_process *process = &front->processes[i];

        if ((new_ones & amy__front_bit(i)) != 0) {
            amy_pool_set_ready(process->crew->pool, process->position,
                               process->incarnation);
        }
    }
    amy__front_relieve(front);
}

static void
finish_round(struct amy_front *front, bool reload)
{
    uint64_t bundle = front->round.bundle;
    bool certs_only = reload && front->staged->certs_only;
    bool first = false; /* the start is over */

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        if ((front->round.late & amy__front_bit(i)) != 0) {
            /* Nobody knows what it serves. */
            amy__front_kill(&front->processes[i], "did not commit in time");
        }
    }
    if (reload) {
        make_current(front);
    }
    welcome(front, front->round.members, bundle);
    if (front->settings->https_count > 0) {
        amy__prober_swapped(front->prober);
    }
    if (reload) {
        amy__log(&front->log, AMY_LOG_NOTICE, "serving bundle=%llu sites=%zu",
                 (unsigned long long)bundle,
                 front->current->bundle->site_count);
    }
    first = !front->announced && behind(front) == 0 &&
            amy__front_is_complete(front);
    front->announced = front->announced || first;
    if (reload && !certs_only) {
        front->reloads++;
        front->refusal[0] = '\0';
        amy__front_reload_over(front, 0, "");
    }
    if (first || (reload && !certs_only)) {
        announce(front, 0, "");
    }
}

static void
abandon_round(struct amy_front *front, bool reload, const char *why)
{
    amy__log(&front->log, AMY_LOG_ERROR, "bundle %llu is refused: %s",
             (unsigned long long)front->round.bundle, why);
    tell_members(front, front->round.members, AMY__WIRE_ABANDON,
                 front->round.bundle);
    if (reload && front->staged->certs_only) {
        amy__front_version_free(front->staged);
        front->staged = NULL;
        amy__front_certs_again(front);
        return;
    }
    if (reload) {
        amy__front_version_free(front->staged);
        front->staged = NULL;
        front->certs_changed = true; /* maybe: it has looked at them */
        front->reloads_refused++;
        (void)snprintf(front->refusal, sizeof(front->refusal), "%s", why);
        amy__front_reload_over(front, AMY_EPARSE, why);
        announce(front, AMY_EPARSE, why);
        return;
    }
    /* What cannot serve what all others serve starts anew. */
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        if ((front->round.members & amy__front_bit(i)) != 0) {
            amy__front_kill(&front->processes[i], why);
        }
    }
}

void
amy__front_take_step(struct amy_front *front, enum amy__round_step step,
                     const char *why)
{
    bool reload = front->staged != NULL &&
                  front->staged->bundle->number == front->round.bundle;

    switch (step) {
    case AMY__ROUND_COMMIT:
        tell_members(front, front->round.members, AMY__WIRE_COMMIT,
                     front->round.bundle);
        (void)amy__timer_arm(front->round_timer, AMY__ROUND_MS + 10, NULL);
        return;
    case AMY__ROUND_DONE:
        amy__timer_cancel(front->round_timer);
        finish_round(front, reload);
        break;
    case AMY__ROUND_ABANDON:
        amy__timer_cancel(front->round_timer);
        abandon_round(front, reload, why);
        break;
    case AMY__ROUND_WAIT:
    default:
        return;
    }
    amy__front_offer(front);
}

void
amy__front_on_round_timer(void *user)
{
    struct amy_front *front = user;
    enum amy__round_step step =
        amy__round_tick(&front->round, amy__mono_ms(front->opts.borrow_clock));

    if (step == AMY__ROUND_WAIT && front->round.phase != AMY__ROUND_IDLE) {
        (void)amy__timer_arm(front->round_timer, 20, NULL);
        return;
    }
    amy__front_take_step(front, step, "a process did not answer in time");
}

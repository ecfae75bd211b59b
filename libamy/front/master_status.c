/* What the master tells about itself, its processes and sites. */
/* Not for gathering what workers do: amy-workers tells that. */
#include <amy/version.h>

#include "core/cleanup.h"
#include "core/clock.h"
#include "front/master.h"
#include "site/logs.h"

#include <string.h>
#include <unistd.h>

#define ASK_MS 500

/* Failed sets below show as an answer that says so: see amy__json_set. */

static const char *
state_name(uint32_t state)
{
    static const char *const names[] = {"stopped", "boot",   "ready",
                                        "drain",   "killed", "backoff",
                                        "failed",  "waiting"};

    return state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static struct amy__json *
process_json(const struct amy__front_process *process)
{
    struct amy_worker_view view = {.struct_size = sizeof(view)};
    struct amy__json *json = amy__json_object();
    const struct amy__json *figures = process->figures;

    (void)amy__json_set(json, "position", amy__json_int(process->position));
    if (amy_pool_worker(process->crew->pool, process->position, &view) == 0) {
        (void)amy__json_set(json, "pid", amy__json_int(view.pid));
        (void)amy__json_set(json, "state",
                            amy__json_text(state_name(view.state)));
        (void)amy__json_set(json, "age_ms", amy__json_int(view.age_ms));
        (void)amy__json_set(json, "restarts",
                            amy__json_int((int64_t)view.restarts));
        (void)amy__json_set(json, "rss_bytes",
                            amy__json_int((int64_t)view.rss_bytes));
        (void)amy__json_set(json, "reason", amy__json_text(view.reason));
    }
    (void)amy__json_set(json, "bundle",
                        amy__json_int((int64_t)process->bundle));
    (void)amy__json_set(
        json, "connections",
        amy__json_int(amy__json_get_int(figures, "connections", 0)));
    (void)amy__json_set(json, "idle",
                        amy__json_int(amy__json_get_int(figures, "idle", 0)));
    (void)amy__json_set(
        json, "requests",
        amy__json_int(amy__json_get_int(figures, "requests", 0)));
    return json;
}

static struct amy__json *
gate_json(const struct amy__front_site *site)
{
    struct amy_gate_view view = {.struct_size = sizeof(view)};
    struct amy__json *json = amy__json_object();
    char since[25] = "";

    if (site->gate == NULL) {
        return json;
    }
    amy_gate_read(site->gate, &view);
    (void)amy__json_set(
        json, "state",
        amy__json_text(view.state == AMY_GATE_CLOSED ? "closed" : "open"));
    (void)amy__json_set(
        json, "since",
        amy__json_text(amy__format_time(view.since_wall_ms, since)));
    (void)amy__json_set(json, "since_ms", amy__json_int(view.since_wall_ms));
    (void)amy__json_set(json, "by", amy__json_text(view.by));
    (void)amy__json_set(json, "warning", amy__json_text(view.warning));
    return json;
}

static void
add_refusals(struct amy__front_load *load, const struct amy__json *refusals)
{
    const struct amy__json *value = NULL;
    const char *name = NULL;

    for (size_t i = 0; amy__json_pair(refusals, i, &name, &value); i++) {
        int64_t n = amy__json_as_int(value, 0);

        if (n > amy__json_get_int(load->refusals, name, 0)) {
            (void)amy__json_set(load->refusals, name, amy__json_int(n));
        }
    }
}

static void
add_load(struct amy__front_load *load, const struct amy__json *pool)
{
    int64_t age = amy__json_get_int(pool, "oldest_ms", 0);

    load->queued += amy__json_get_int(pool, "waiting", 0);
    load->tunnels += amy__json_get_int(pool, "tunnels", 0);
    load->oldest_ms = age > load->oldest_ms ? age : load->oldest_ms;
    if (load->refusals != NULL) {
        add_refusals(load, amy__json_get(pool, "refusals"));
    }
}

static void
add_loads(const struct amy_front *front, const struct amy__registry_pool *pool,
          struct amy__front_load *load)
{
    for (uint32_t p = 0; p < AMY__PROCESSES_MAX; p++) {
        const struct amy__json *sites =
            amy__json_get(front->processes[p].figures, "sites");

        for (size_t i = 0; i < amy__json_count(sites); i++) {
            const struct amy__json *site = amy__json_at(sites, i);
            const struct amy__json *pools = amy__json_get(site, "pools");

            if (strcmp(amy__json_get_text(site, "name", ""), pool->site) != 0) {
                continue;
            }
            for (size_t k = 0; k < amy__json_count(pools); k++) {
                const struct amy__json *one = amy__json_at(pools, k);

                if (strcmp(amy__json_get_text(one, "name", ""), pool->pool) ==
                    0) {
                    add_load(load, one);
                }
            }
        }
    }
}

static int64_t
count_busy(const struct amy_front *front,
           const struct amy__roster_worker *worker)
{
    int64_t busy = 0;

    for (uint32_t i = 0; i < worker->slots; i++) {
        busy += amy__slot_owner(front->slots, worker->slot + i) != 0;
    }
    return busy;
}

void
amy__front_pool_load(const struct amy_front *front,
                     const struct amy__registry_pool *pool,
                     struct amy__front_load *ret)
{
    *ret = (struct amy__front_load){.refusals = ret->refusals};
    for (const struct amy__roster_worker *w = pool->roster->workers; w != NULL;
         w = w->next) {
        ret->total += w->slots;
        ret->busy += count_busy(front, w);
    }
    add_loads(front, pool, ret);
}

/* In the order of site.yaml; the roster has the last one first. */
static struct amy__json *
servers_json(const struct amy_front *front,
             const struct amy__roster_worker *worker,
             const struct amy__json *refusals)
{
    struct amy__json *servers = NULL;
    struct amy__json *json = NULL;

    if (worker == NULL) {
        return amy__json_array();
    }
    servers = servers_json(front, worker->next, refusals);
    json = amy__json_object();
    (void)amy__json_set(json, "address", amy__json_text(worker->name));
    (void)amy__json_set(json, "total", amy__json_int(worker->slots));
    (void)amy__json_set(json, "busy", amy__json_int(count_busy(front, worker)));
    (void)amy__json_set(
        json, "refused",
        amy__json_int(amy__json_get_int(refusals, worker->name, 0)));
    (void)amy__json_add(servers, json);
    return servers;
}

static struct amy__json *
pool_json(const struct amy_front *front, const struct amy__registry_pool *pool)
{
    struct amy__json *json = amy__json_object();
    AMY_CLEANUP(amy__json_free_p)
    struct amy__json *refusals = pool->servers ? amy__json_object() : NULL;
    struct amy__front_load load = {.refusals = refusals};

    amy__front_pool_load(front, pool, &load);
    (void)amy__json_set(json, "total", amy__json_int(load.total));
    (void)amy__json_set(json, "busy", amy__json_int(load.busy));
    (void)amy__json_set(json, "queued", amy__json_int(load.queued));
    (void)amy__json_set(json, "oldest_ms", amy__json_int(load.oldest_ms));
    (void)amy__json_set(json, "tunnels", amy__json_int(load.tunnels));
    if (pool->servers) {
        (void)amy__json_set(
            json, "servers",
            servers_json(front, pool->roster->workers, refusals));
    }
    return json;
}

static struct amy__json *
slots_json(const struct amy_front *front, const char *name)
{
    struct amy__json *json = amy__json_object();
    struct amy__registry_pool pool = {0};

    for (size_t i = 0; amy__registry_at(front->registry, i, &pool); i++) {
        if (strcmp(pool.site, name) == 0) {
            (void)amy__json_set(json, pool.pool, pool_json(front, &pool));
        }
    }
    return json;
}

/* Whom a closed site lets in; nothing of one that is open to all. */
static void
add_access(const struct amy__front_site *site, struct amy__json *json)
{
    const struct amy__site *spec = site->spec;
    struct amy__json *access = NULL;

    if (spec == NULL) {
        return;
    }
    (void)amy__json_set(json, "stage", amy__json_text(amy__site_stage(spec)));
    if (spec->closed) {
        access = amy__json_object();
        (void)amy__json_set(access, "users",
                            amy__json_int((int64_t)site->users));
        (void)amy__json_set(access, "networks",
                            amy__json_int((int64_t)spec->access_allow_count));
        (void)amy__json_set(json, "access", access);
    }
}

static struct amy__json *
site_json(const struct amy_front *front, const struct amy__front_site *site)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "site", amy__json_text(site->name));
    add_access(site, json);
    (void)amy__json_set(json, "gate", gate_json(site));
    (void)amy__json_set(json, "slots", slots_json(front, site->name));
    (void)amy__json_set(json, "certificates",
                        amy__front_certs_json(front, site->name));
    (void)amy__json_set(json, "uncovered",
                        amy__front_uncovered_json(front, site->name));
    (void)amy__json_set(json, "served",
                        amy__front_served_json(front, site->name));
    (void)amy__json_set(json, "logs", amy__site_logs_json(site->rotator));
    (void)amy__json_set(json, "problems",
                        site->problems == NULL
                            ? amy__json_array()
                            : amy__json_copy(site->problems));
    return json;
}

static struct amy__json *
status_json(const struct amy_front *front)
{
    struct amy__json *json = amy__json_object();
    struct amy__json *processes = amy__json_array();
    struct amy__json *leaving = amy__json_array();
    struct amy__json *sites = amy__json_array();

    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        const struct amy__front_process *process = &front->processes[i];

        if (process->crew != NULL) {
            (void)amy__json_add(process->crew == front->crews ? processes
                                                              : leaving,
                                process_json(process));
        }
    }
    for (const struct amy__front_site *s = front->sites; s != NULL;
         s = s->next) {
        (void)amy__json_add(sites, site_json(front, s));
    }
    (void)amy__json_set(json, "daemon", amy__json_text("front"));
    (void)amy__json_set(json, "version", amy__json_text(amy_version()));
    (void)amy__json_set(json, "pid", amy__json_int(getpid()));
    (void)amy__json_set(json, "since_ms",
                        amy__json_int(amy__mono_ms(front->opts.borrow_clock) -
                                      front->since_ms));
    (void)amy__json_set(json, "as_person", amy__json_bool(front->as_person));
    (void)amy__json_set(json, "refused", amy__json_text(front->refusal));
    (void)amy__json_set(json, "upgrade",
                        amy__upgrade_json(&front->past, front->upgrade));
    (void)amy__json_set(json, "processes", processes);
    (void)amy__json_set(json, "leaving", leaving);
    (void)amy__json_set(json, "sites", sites);
    return json;
}

/* ---- asking the processes first ---- */

static void
answer_all(struct amy_front *front)
{
    struct amy__control_call *call = NULL;

    front->asked = 0;
    amy__timer_cancel(front->ask_timer);
    while ((call = amy__front_waited(&front->status_waiters)) != NULL) {
        amy__control_reply(call, 200, status_json(front));
    }
    if (front->metrics != NULL) {
        amy__metrics_ready(front->metrics);
    }
}

void
amy__front_on_ask_timer(void *user)
{
    answer_all(user); /* with what we knew last of those that say nothing */
}

void
amy__front_ask(void *user)
{
    struct amy_front *front = user;
    struct amy__json *json = NULL;

    if (front->asked != 0) {
        return; /* one question serves all who want to know */
    }
    json = amy__json_object();
    (void)amy__json_set(json, "ask", amy__json_int((int64_t)++front->ask));
    front->asked = json == NULL ? 0 : amy__front_serving(front);
    for (uint32_t i = 0; i < AMY__PROCESSES_MAX; i++) {
        if ((front->asked & amy__front_bit(i)) != 0) {
            amy__front_tell(&front->processes[i], AMY__WIRE_STATUS, json, NULL,
                            0);
        }
    }
    amy__json_free(json);
    if (front->asked == 0 ||
        amy__timer_arm(front->ask_timer, ASK_MS, NULL) < 0) {
        answer_all(front);
    }
}

void
amy__front_get_status(struct amy__control_call *call, void *user)
{
    struct amy_front *front = user;

    amy__front_wait(&front->status_waiters, call);
    amy__front_ask(front);
}

void
amy__front_figures_lost(struct amy_front *front, uint32_t process)
{
    if ((front->asked & amy__front_bit(process)) != 0) {
        front->asked &= ~amy__front_bit(process);
        if (front->asked == 0) {
            answer_all(front);
        }
    }
}

void
amy__front_figures_came(struct amy__front_process *process,
                        struct amy__wire_message *message)
{
    struct amy_front *front = process->front;

    amy__json_free(process->figures);
    process->figures = message->json;
    message->json = NULL;
    if ((uint64_t)amy__json_get_int(process->figures, "ask", 0) == front->ask) {
        amy__front_figures_lost(front, process->index);
    }
}

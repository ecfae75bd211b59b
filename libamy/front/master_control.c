/* The master's methods on its control socket: gates and reloads. */
/* Not for what status tells (master_status.c), nor for who is asking. */
#include "core/alloc.h"
#include "core/error.h"
#include "core/files.h"
#include "front/master.h"

#include <string.h>

/* ---- calls that wait ---- */

void
amy__front_wait(struct amy__waiter **list, struct amy__control_call *call)
{
    struct amy__waiter *waiter = amy__calloc(1, sizeof(*waiter));

    if (waiter == NULL) {
        amy__control_refuse(call, 503, "out of memory");
        return;
    }
    waiter->call = call;
    waiter->next = *list;
    *list = waiter;
}

struct amy__control_call *
amy__front_waited(struct amy__waiter **list)
{
    struct amy__waiter *waiter = *list;
    struct amy__control_call *call = NULL;

    if (waiter == NULL) {
        return NULL;
    }
    call = waiter->call;
    *list = waiter->next;
    amy__free(waiter);
    return call;
}

/* ---- sites ---- */

static struct amy__front_site *
site_of(struct amy_front *front, struct amy__control_call *call)
{
    const char *name = amy__control_param(call, "site");
    struct amy__front_site *site = amy__front_site(front, name);

    if (site == NULL) {
        amy__control_refuse(call, 404, "no site '%s' here", name);
    }
    return site;
}

/* Its user; nobody where that is not known. */
static uid_t
owner_of(const struct amy_front *front, const struct amy__front_site *site)
{
    for (size_t i = 0; i < front->current->bundle->site_count; i++) {
        if (front->current->sites[i]->domain != NULL &&
            strcmp(front->current->sites[i]->domain, site->name) == 0) {
            return front->current->sites[i]->uid;
        }
    }
    return AMY__UID_UNKNOWN;
}

static void
put_gate(struct amy__control_call *call, void *user)
{
    struct amy_front *front = user;
    struct amy__front_site *site = site_of(front, call);
    const struct amy__json *body = amy__control_body(call);
    const char *state = amy__json_get_text(body, "state", "");
    struct amy_error err = AMY_ERROR_INIT;
    bool closing = strcmp(state, "closed") == 0;
    int rc = 0;

    if (site == NULL || !amy__control_require(call, owner_of(front, site))) {
        return; /* answered */
    }
    if (!closing && strcmp(state, "open") != 0) {
        amy__control_refuse(call, 400, "state is 'open' or 'closed'");
        return;
    }
    if (site->gate == NULL) {
        amy__control_refuse(call, 409, "site '%s' is not served", site->name);
        return;
    }
    rc = closing ? amy_gate_close(site->gate, amy__control_who(call), &err)
                 : amy_gate_open(site->gate, amy__control_who(call), &err);
    if (rc < 0) {
        amy__control_refuse(call, 500, "%s", err.msg);
        return;
    }
    /* The answer is proof: it comes once every process shows the new state. */
    if (site->waiting != 0) {
        amy__front_wait(&site->waiters, call);
        return;
    }
    {
        struct amy__json *json = amy__json_object();

        (void)amy__json_set(json, "state", amy__json_text(state));
        amy__control_reply(call, 200, json);
    }
}

/* ---- reloads ---- */

/* Problems of all sites that keep something from being served. */
static struct amy__json *
errors_of(const struct amy_front *front)
{
    struct amy__json *all = amy__json_array();

    for (const struct amy__front_site *s = front->sites; s != NULL;
         s = s->next) {
        struct amy__cert_view view;

        for (size_t i = 0; i < amy__json_count(s->problems); i++) {
            const struct amy__json *one = amy__json_at(s->problems, i);

            if (strcmp(amy__json_get_text(one, "severity", ""), "error") == 0) {
                (void)amy__json_add(all, amy__json_copy(one));
            }
        }
        for (size_t i = 0; amy__certs_at(front->certs, s->name, i, &view);
             i++) {
            struct amy__json *one = amy__json_object();

            (void)amy__json_set(one, "file", amy__json_text(s->name));
            (void)amy__json_set(one, "key", amy__json_text("tls.certificate"));
            (void)amy__json_set(one, "message", amy__json_text(view.error));
            if (view.error[0] != '\0') {
                (void)amy__json_add(all, one);
            } else {
                amy__json_free(one);
            }
        }
    }
    return all;
}

/* Pools that amy-workers has to reload, too, of the site that was asked for or
 * of all: who asks cannot tell a site without any from one whose supervisor is
 * down. */
static int64_t
count_pools(const struct amy__front_version *version, const char *only)
{
    int64_t count = 0;

    for (size_t i = 0; i < version->bundle->site_count; i++) {
        const struct amy__site *site = version->sites[i];

        if (only[0] == '\0' || strcmp(site->domain, only) == 0) {
            count += (int64_t)site->worker_count;
        }
    }
    return count;
}

static void
answer_reload(struct amy_front *front, struct amy__control_call *call, int rc,
              const char *why)
{
    struct amy__json *json = NULL;
    struct amy__json *problems = NULL;

    if (rc < 0) {
        amy__control_refuse(call, 422, "the old configuration is served on: %s",
                            why);
        return;
    }
    json = amy__json_object();
    problems = errors_of(front);
    if (amy__json_count(problems) == 0) {
        (void)amy__json_set(
            json, "bundle",
            amy__json_int((int64_t)front->current->bundle->number));
        (void)amy__json_set(
            json, "pools",
            amy__json_int(
                count_pools(front->current, amy__control_param(call, "site"))));
        amy__json_free(problems);
        amy__control_reply(call, 200, json);
        return;
    }
    (void)amy__json_set(json, "title", amy__json_text("Unprocessable Content"));
    (void)amy__json_set(json, "status", amy__json_int(422));
    (void)amy__json_set(
        json, "detail",
        amy__json_text("what is wrong is served as it was accepted last"));
    (void)amy__json_set(json, "problems", problems);
    amy__control_reply(call, 422, json);
}

void
amy__front_reload_over(struct amy_front *front, int rc, const char *why)
{
    struct amy__control_call *call = NULL;

    while ((call = amy__front_waited(&front->reload_waiters)) != NULL) {
        answer_reload(front, call, rc, why);
    }
}

static void
reload(struct amy_front *front, const char *only,
       struct amy__control_call *call)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (front->stopping) {
        amy__control_refuse(call, 503, "amy-front is stopping");
        return;
    }
    if (front->staged != NULL || front->round.phase != AMY__ROUND_IDLE) {
        front->reload_again = true; /* one more, for all who ask meanwhile */
        amy__front_wait(&front->next_waiters, call);
        return;
    }
    if (amy__front_stage(front, only, &err) < 0) {
        amy__control_refuse(call, 422, "%s", err.msg);
        return;
    }
    amy__front_wait(&front->reload_waiters, call);
    amy__front_offer(front);
}

static void
post_reload(struct amy__control_call *call, void *user)
{
    if (amy__control_require(call, AMY__CONTROL_ADMINS)) {
        reload(user, NULL, call);
    }
}

static void
post_site_reload(struct amy__control_call *call, void *user)
{
    struct amy_front *front = user;
    const char *name = amy__control_param(call, "site");
    struct amy__front_site *site = amy__front_site(front, name);

    if (site == NULL && amy__control_is_admin(call)) {
        reload(front, NULL, call); /* it may have come just now */
        return;
    }
    site = site_of(front, call);
    if (site != NULL && amy__control_require(call, owner_of(front, site))) {
        reload(front, name, call);
    }
}

int
amy__front_control_create(struct amy_front *front, struct amy_error *err)
{
    int inherited = amy__sockets_control(front->handover, front->settings->run);
    struct amy__control_options opts = {
        .base = front->opts.base,
        .run_path = front->settings->run,
        .name = "front",
        .borrow_clock = front->opts.borrow_clock,
        .log = &front->log,
        .inherited = &inherited,
    };
    static const struct {
        const char *method;
        const char *path;
        amy__control_fn fn;
    } methods[] = {
        {"GET", "/v1/status", amy__front_get_status},
        {"PUT", "/v1/sites/{site}/gate", put_gate},
        {"POST", "/v1/reload", post_reload},
        {"POST", "/v1/sites/{site}/reload", post_site_reload},
    };
    int rc = amy__control_create(&opts, &front->control, err);

    for (size_t i = 0; rc == 0 && i < sizeof(methods) / sizeof(methods[0]);
         i++) {
        rc = amy__control_add(front->control, methods[i].method,
                              methods[i].path, methods[i].fn, front, err);
    }
    amy__close(&inherited);
    return rc;
}

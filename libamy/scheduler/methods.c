/* The scheduler's methods on its control socket. */
/* Not for who is asking: control tells, and refuses. */
#include <amy/version.h>

#include "core/clock.h"
#include "core/error.h"
#include "scheduler/internal.h"
#include "site/logs.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 1000 /* how long who asks waits for something new */

/* Failed sets below show as an answer that says so: see amy__json_set. */
static struct amy__json *
alarms_json(const struct amy__scheduler_site *site)
{
    struct amy__json *list = amy__json_array();

    for (int i = 0; i < AMY__ALARM_COUNT; i++) {
        const struct amy__alarm *alarm = &site->alarms[i];
        struct amy__json *json = NULL;

        if (!alarm->on) {
            continue;
        }
        json = amy__json_object();
        (void)amy__json_set(
            json, "state",
            amy__json_text(amy__alarm_name((enum amy__alarm_kind)i)));
        (void)amy__json_set(json, "since",
                            amy__manifest_time(alarm->since_wall_ms));
        (void)amy__json_set(json, "message", amy__json_text(alarm->message));
        (void)amy__json_add(list, json);
    }
    return list;
}

static int64_t
next_slot(const struct amy__scheduler_site *site)
{
    int64_t slot_ms = AMY__MANIFEST_NO_TIME;
    int64_t now_ms = amy__wall_ms(site->borrow_scheduler->borrow_clock);

    if (!site->has_schedule ||
        !amy__schedule_after(&site->schedule, now_ms, &slot_ms)) {
        return AMY__MANIFEST_NO_TIME;
    }
    return slot_ms;
}

static struct amy__json *
backup_json(const struct amy__scheduler_site *site)
{
    const struct amy__scheduler_facts *facts = &site->facts;
    const struct amy__run *run = amy__run_of_site(site);
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "scheduled", amy__json_bool(site->has_schedule));
    (void)amy__json_set(json, "next", amy__manifest_time(next_slot(site)));
    (void)amy__json_set(json, "known", amy__json_bool(facts->known));
    (void)amy__json_set(json, "sets", amy__json_int((int64_t)facts->sets));
    (void)amy__json_set(json, "bytes", amy__json_int((int64_t)facts->bytes));
    (void)amy__json_set(json, "foreign",
                        amy__json_int((int64_t)facts->foreign));
    (void)amy__json_set(json, "ahead", amy__json_int((int64_t)facts->ahead));
    (void)amy__json_set(json, "good",
                        facts->good == NULL ? amy__json_null()
                                            : amy__json_copy(facts->good));
    (void)amy__json_set(json, "copies", amy__scheduler_copies_json(site));
    (void)amy__json_set(json, "running",
                        run == NULL ? amy__json_null() : amy__run_json(run));
    (void)amy__json_set(json, "alarms", alarms_json(site));
    return json;
}

static struct amy__json *
site_json(const struct amy__scheduler_site *site)
{
    struct amy__json *json = amy__json_object();
    const char *error =
        site->error[0] != '\0' ? site->error : site->unscheduled;

    (void)amy__json_set(json, "site", amy__json_text(site->domain));
    if (site->site != NULL) {
        (void)amy__json_set(json, "stage",
                            amy__json_text(amy__site_stage(site->site)));
    }
    if (site->site != NULL && site->site->database_from != NULL) {
        (void)amy__json_set(json, "backup", backup_json(site));
    }
    if (error[0] != '\0') {
        (void)amy__json_set(json, "error", amy__json_text(error));
    }
    (void)amy__json_set(json, "logs", amy__site_logs_json(site->rotator));
    (void)amy__json_set(json, "problems",
                        site->problems == NULL
                            ? amy__json_array()
                            : amy__json_copy(site->problems));
    return json;
}

static void
on_status(struct amy__control_call *call, void *user)
{
    struct amy_scheduler *scheduler = user;
    struct amy__json *json = amy__json_object();
    struct amy__json *sites = amy__json_array();
    int64_t age_ms =
        amy__wall_ms(scheduler->borrow_clock) - scheduler->started_wall_ms;

    for (const struct amy__scheduler_site *site = scheduler->sites;
         site != NULL; site = site->next) {
        (void)amy__json_add(sites, site_json(site));
    }
    (void)amy__json_set(json, "daemon", amy__json_text("backup"));
    (void)amy__json_set(json, "version", amy__json_text(amy_version()));
    (void)amy__json_set(json, "pid", amy__json_int(getpid()));
    (void)amy__json_set(json, "since_ms", amy__json_int(age_ms));
    (void)amy__json_set(json, "as_person",
                        amy__json_bool(scheduler->as_person));
    (void)amy__json_set(
        json, "upgrade",
        amy__upgrade_json(&scheduler->past, scheduler->upgrade));
    (void)amy__json_set(json, "sites", sites);
    amy__control_reply(call, 200, json);
}

static void
on_reload(struct amy__control_call *call, void *user)
{
    struct amy_scheduler *scheduler = user;
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__json *json = NULL;

    if (!amy__control_require(call, 0)) {
        return;
    }
    if (amy_scheduler_reload(scheduler, &err) < 0) {
        amy__control_refuse(call, 500, "%s", err.msg);
        return;
    }
    json = amy__json_object();
    (void)amy__json_set(json, "done", amy__json_bool(true));
    amy__control_reply(call, 200, json);
}

/* The site named in the path, if it is there and the caller may; else the call
 * has been answered. */
static struct amy__scheduler_site *
allowed_site(struct amy__control_call *call,
             const struct amy_scheduler *scheduler)
{
    const char *domain = amy__control_param(call, "site");
    struct amy__scheduler_site *site =
        amy__scheduler_site_find(scheduler, domain);

    if (site == NULL || site->site == NULL) {
        amy__control_refuse(call, 404, "there is no site '%s'", domain);
        return NULL;
    }
    return amy__control_require(call, site->site->uid) ? site : NULL;
}

/* Also of a site that was made a minute ago. */
static void
on_reload_site(struct amy__control_call *call, void *user)
{
    struct amy_scheduler *scheduler = user;
    const char *domain = amy__control_param(call, "site");
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__json *json = NULL;
    int rc = 0;

    if (!amy__control_is_admin(call) && allowed_site(call, scheduler) == NULL) {
        return;
    }
    if (scheduler->stopping) {
        amy__control_refuse(call, 503, "amy-backup is stopping");
        return;
    }
    rc = amy__domain_check(amy__span_of(domain), &err);
    rc = rc < 0 ? rc : amy__scheduler_renew(scheduler, domain, &err);
    amy__defer_ask(scheduler->sweep);
    if (rc < 0) {
        amy__control_refuse(call, rc == AMY_ENOTFOUND ? 404 : 422, "%s",
                            err.msg);
        return;
    }
    json = amy__json_object();
    (void)amy__json_set(json, "done", amy__json_bool(true));
    amy__control_reply(call, 200, json);
}

static bool
is_about_a_copy(const struct amy__job_spec *spec)
{
    return spec->action == AMY__JOB_COPY ||
           spec->action == AMY__JOB_VERIFY_COPY ||
           spec->action == AMY__JOB_FETCH;
}

/* What may be asked for; all else of a spec is the site's. */
static bool
read_request(const struct amy__scheduler_site *site,
             const struct amy__json *body, struct amy__job_spec *ret)
{
    static const char *const whys[] = {"manual", "deploy"};
    struct amy__job_spec asked;
    struct amy__buf text;
    bool good = false;
    int rc = 0;

    amy__buf_init(&text, 65536);
    rc = amy__json_write(body, 0, &text);
    rc = rc < 0 ? rc : amy__job_spec_read(amy__buf_span(&text), &asked, NULL);
    amy__buf_clear(&text);
    if (rc < 0 || asked.action == AMY__JOB_NOTIFY ||
        asked.action == AMY__JOB_LEND || asked.action == AMY__JOB_REFRESH ||
        asked.action == AMY__JOB_SWEEP) {
        return false;
    }
    amy__scheduler_spec(site, asked.action, ret);
    if (is_about_a_copy(ret) &&
        !amy__scheduler_copies_name(site->site, asked.copy.name, ret)) {
        return false;
    }
    memcpy(ret->set, asked.set, sizeof(ret->set));
    memcpy(ret->to, asked.to, sizeof(ret->to));
    ret->dry_run = asked.dry_run;
    for (size_t i = 0; i < 2 && !good; i++) {
        good = strcmp(asked.why, whys[i]) == 0;
    }
    if (good) {
        memcpy(ret->why, asked.why, sizeof(ret->why));
    }
    return true;
}

/* What the site does not want is done with it. */
static struct amy__json *
skipped_json(void)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "state", amy__json_text("skipped"));
    (void)amy__json_set(json, "message",
                        amy__json_text("no backup before a deployment: "
                                       "site.yaml says before_deploy: false"));
    return json;
}

static void
on_ask(struct amy__control_call *call, void *user)
{
    struct amy_scheduler *scheduler = user;
    struct amy__scheduler_site *site = allowed_site(call, scheduler);
    const struct amy__run *other = NULL;
    struct amy__job_spec spec;
    struct amy__run *run = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    if (site == NULL) {
        return;
    }
    if (!read_request(site, amy__control_body(call), &spec)) {
        amy__control_refuse(
            call, 400, "this asks for no action, or no copy, that there is");
        return;
    }
    if (strcmp(spec.why, "deploy") == 0 && spec.action == AMY__JOB_DUMP &&
        !site->site->backup_before_deploy) {
        amy__control_reply(call, 200, skipped_json());
        return;
    }
    other = amy__run_of_site(site);
    if (other != NULL && !amy__spec_is_look(&spec)) {
        amy__control_refuse(call, 409, "'%s' has a job under way: %s",
                            site->domain,
                            amy__job_action_name(other->spec.action));
        return;
    }
    if (amy__spec_is_look(&spec) && !amy__run_has_room(site)) {
        amy__control_refuse(
            call, 409,
            "'%s' has several jobs of this kind under way; ask again later",
            site->domain);
        return;
    }
    if (scheduler->stopping ||
        amy__run_start(site, &spec, NULL, &run, &err) < 0) {
        amy__control_refuse(call, 503, "%s",
                            scheduler->stopping ? "amy-backup is stopping"
                                                : err.msg);
        return;
    }
    amy__control_reply(call, 202, amy__run_json(run));
}

static unsigned
status_of(int rc)
{
    switch (rc) {
    case AMY_EINVAL:
        return 422;
    case AMY_EDENIED:
        return 403;
    case AMY_ENOTFOUND:
        return 404;
    case AMY_EBUSY:
        return 409;
    default:
        return 503;
    }
}

/* Another site's data: for admins alone. */
static void
on_refresh(struct amy__control_call *call, void *user)
{
    struct amy_scheduler *scheduler = user;
    struct amy__scheduler_site *site = allowed_site(call, scheduler);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__run *run = NULL;
    bool by_root = false;
    int rc = 0;

    if (site == NULL || !amy__control_require(call, AMY__CONTROL_ADMINS)) {
        return;
    }
    by_root = amy__control_uid(call) == 0 || scheduler->as_person;
    rc = scheduler->stopping
             ? amy__err(&err, AMY_ESTATE, "amy-backup is stopping")
             : amy__scheduler_refresh(site, by_root, amy__control_body(call),
                                      &run, &err);
    if (rc < 0) {
        amy__control_refuse(call, status_of(rc), "%s", err.msg);
        return;
    }
    amy__control_reply(call, 202, amy__run_json(run));
}

static struct amy__run *
find_run(const struct amy__scheduler_site *site, const char *number)
{
    uint64_t wanted = 0;

    if (!amy__parse_u64(amy__span_of(number), UINT64_MAX, &wanted)) {
        return NULL;
    }
    for (struct amy__run *run = site->runs; run != NULL; run = run->next) {
        if (run->number == wanted) {
            return run;
        }
    }
    return NULL;
}

/* Answered when there is something new to tell. */
static void
on_run(struct amy__control_call *call, void *user)
{
    struct amy__scheduler_site *site = allowed_site(call, user);
    struct amy__run *run = NULL;

    if (site == NULL) {
        return;
    }
    run = find_run(site, amy__control_param(call, "run"));
    if (run == NULL) {
        amy__control_refuse(call, 404, "there is no such job of '%s'",
                            site->domain);
        return;
    }
    amy__run_answer(run); /* one waits at a time */
    run->waiting = call;
    if (run->over || amy__timer_arm(run->patience, PATIENCE_MS, NULL) < 0) {
        amy__run_answer(run);
    }
}

int
amy__scheduler_methods_add(struct amy_scheduler *scheduler,
                           struct amy_error *err)
{
    static const struct {
        const char *method;
        const char *path;
        amy__control_fn fn;
    } methods[] = {
        {"GET", "/v1/status", on_status},
        {"POST", "/v1/reload", on_reload},
        {"POST", "/v1/sites/{site}/reload", on_reload_site},
        {"POST", "/v1/sites/{site}/jobs", on_ask},
        {"GET", "/v1/sites/{site}/jobs/{run}", on_run},
        {"POST", "/v1/sites/{site}/refresh", on_refresh},
    };

    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        int rc =
            amy__control_add(scheduler->control, methods[i].method,
                             methods[i].path, methods[i].fn, scheduler, err);

        if (rc < 0) {
            return rc;
        }
    }
    return 0;
}

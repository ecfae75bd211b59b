/* Tells a site's webhook what became of its alarms, until it has heard. */
/* Not for the request: a job makes it, as the site's user. */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "fetch/fetch.h"
#include "scheduler/internal.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RETRY_FIRST_MS INT64_C(1000)
#define RETRY_MAX_MS INT64_C(1800000)

/* What it is told; docs/backups.md has it. */
static int
write_body(const struct amy__scheduler_site *site, enum amy__alarm_kind kind,
           char *buf, size_t size, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    const struct amy__alarm *alarm = &site->alarms[kind];
    char host[256] = "";
    int rc = 0;

    if (gethostname(host, sizeof(host) - 1) != 0) {
        host[0] = '\0';
    }
    (void)amy__json_set(json, "site", amy__json_text(site->domain));
    if (site->site != NULL) {
        (void)amy__json_set(json, "stage",
                            amy__json_text(amy__site_stage(site->site)));
    }
    (void)amy__json_set(json, "host", amy__json_text(host));
    (void)amy__json_set(json, "state", amy__json_text(amy__alarm_name(kind)));
    (void)amy__json_set(json, "on", amy__json_bool(alarm->on));
    (void)amy__json_set(json, "reason", amy__json_text(alarm->message));
    (void)amy__json_set(json, "since",
                        amy__manifest_time(alarm->since_wall_ms));
    rc = amy__json_set(json, "last_good",
                       amy__manifest_time(site->facts.good_ms));
    amy__buf_init(&text, size - 1);
    rc = rc < 0 ? rc : amy__json_write(json, 0, &text);
    if (rc < 0 || !amy__span_copy(amy__buf_span(&text), buf, size)) {
        return amy__err(err, AMY_ELIMIT, "what it is to be told is too long");
    }
    return 0;
}

/* The run that tells of this alarm now. */
static bool
is_telling(const struct amy__scheduler_site *site, enum amy__alarm_kind kind)
{
    for (const struct amy__run *run = site->runs; run != NULL;
         run = run->next) {
        if (!run->over && run->spec.action == AMY__JOB_NOTIFY &&
            strcmp(run->spec.why, amy__alarm_name(kind)) == 0) {
            return true;
        }
    }
    return false;
}

int64_t
amy__alarm_wait_ms(uint32_t tries)
{
    int64_t wait_ms = RETRY_FIRST_MS;

    for (uint32_t i = 0; i < tries && wait_ms < RETRY_MAX_MS; i++) {
        wait_ms *= 2;
    }
    return wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS;
}

/* Again, further and further apart. */
static void
failed(struct amy__scheduler_site *site, enum amy__alarm_kind kind,
       const char *why)
{
    struct amy_scheduler *scheduler = site->borrow_scheduler;
    struct amy__alarm *alarm = &site->alarms[kind];

    alarm->retry_ms = amy__mono_ms(scheduler->borrow_clock) +
                      amy__alarm_wait_ms(alarm->untold);
    alarm->untold++;
    amy__log(&scheduler->log, AMY_LOG_WARN,
             "an alarm's webhook was not reached site=%s state=%s try=%u "
             "reason=\"%s\"",
             site->domain, amy__alarm_name(kind), (unsigned)alarm->untold, why);
}

static void
tell(struct amy__scheduler_site *site, enum amy__alarm_kind kind)
{
    struct amy__alarm *alarm = &site->alarms[kind];
    struct amy__job_spec spec;
    struct amy__run *run = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    amy__scheduler_spec(site, AMY__JOB_NOTIFY, &spec);
    (void)snprintf(spec.why, sizeof(spec.why), "%s", amy__alarm_name(kind));
    (void)snprintf(spec.url, sizeof(spec.url), "%s",
                   site->site->backup_alarm_webhook);
    rc = write_body(site, kind, spec.body, sizeof(spec.body), &err);
    rc = rc < 0 ? rc : amy__run_start(site, &spec, NULL, &run, &err);
    if (rc < 0) {
        failed(site, kind, err.msg);
        return;
    }
    alarm->telling = alarm->on;
    run->internal = true;
}

void
amy__scheduler_hooks(struct amy__scheduler_site *site)
{
    int64_t now_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock);

    if (site->site == NULL || site->site->backup_alarm_webhook == NULL) {
        return;
    }
    for (int i = 0; i < AMY__ALARM_COUNT; i++) {
        const struct amy__alarm *alarm = &site->alarms[i];

        if (alarm->on != alarm->told && now_ms >= alarm->retry_ms &&
            !is_telling(site, (enum amy__alarm_kind)i)) {
            tell(site, (enum amy__alarm_kind)i);
        }
    }
}

void
amy__scheduler_hook_ended(struct amy__scheduler_site *site,
                          const struct amy__run *run)
{
    char host[256];

    for (int i = 0; i < AMY__ALARM_COUNT; i++) {
        enum amy__alarm_kind kind = (enum amy__alarm_kind)i;
        struct amy__alarm *alarm = &site->alarms[kind];

        if (strcmp(run->spec.why, amy__alarm_name(kind)) != 0) {
            continue;
        }
        if (run->code < 0) {
            failed(site, kind, run->message);
            return;
        }
        alarm->told = alarm->telling;
        alarm->untold = 0;
        alarm->retry_ms = 0;
        amy__scheduler_memory_note(site);
        amy__fetch_host(run->spec.url, host, sizeof(host));
        amy__log(&site->borrow_scheduler->log, AMY_LOG_NOTICE,
                 "an alarm's webhook knows site=%s state=%s on=%d host=%s",
                 site->domain, amy__alarm_name(kind), alarm->told, host);
    }
}

/* A site as the scheduler sees it: what is due, and what became of it. */
/* Not for the process that does it: run.c. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/log.h"
#include "logrotate/writer.h"
#include "scheduler/internal.h"
#include "site/logs.h"
#include "site/told.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define RUNS_KEPT 8
#define MINUTE_MS INT64_C(60000)
#define JITTER_MAX_MS MINUTE_MS
#define RETRY_MAX_MS (30 * MINUTE_MS)
#define DRILL_RETRY_MS (60 * MINUTE_MS)
#define LOOK_MS (60 * MINUTE_MS) /* at sets that a person may have removed */

struct amy__scheduler_site *
amy__scheduler_site_find(const struct amy_scheduler *scheduler,
                         const char *domain)
{
    struct amy__scheduler_site *site = scheduler->sites;

    while (site != NULL && strcmp(site->domain, domain) != 0) {
        site = site->next;
    }
    return site;
}

void
amy__scheduler_site_free(struct amy__scheduler_site *site)
{
    if (site == NULL) {
        return;
    }
    while (site->runs != NULL) {
        struct amy__run *next = site->runs->next;

        amy__run_free(site->runs);
        site->runs = next;
    }
    amy_logrotate_free(site->rotator);
    amy_log_writer_free(site->log);
    amy__scheduler_facts_clear(&site->facts);
    amy__buf_clear(&site->noted);
    amy__zone_free(site->zone);
    amy__json_free(site->problems);
    amy__site_unref(site->site);
    amy__free(site->domain);
    amy__free(site);
}

void
amy__scheduler_spec(const struct amy__scheduler_site *site,
                    enum amy__job_action action, struct amy__job_spec *ret)
{
    const struct amy__site *says = site->site;

    *ret = (struct amy__job_spec){
        .action = action,
        .slot_ms = AMY__MANIFEST_NO_TIME,
        .silence_ms = says->backup_silence_ms,
        .tell_log = site->log != NULL,
        .rules = {.count = says->backup_keep,
                  .age_ms = says->backup_keep_for_ms,
                  .hourly = says->backup_hourly,
                  .daily = says->backup_daily,
                  .weekly = says->backup_weekly,
                  .monthly = says->backup_monthly,
                  .deploy_age_ms = AMY__DEPLOY_KEPT_MS},
    };
    (void)snprintf(ret->site, sizeof(ret->site), "%s", site->domain);
    (void)snprintf(ret->from, sizeof(ret->from), "%s",
                   says->database_from == NULL ? "" : says->database_from);
    (void)snprintf(ret->why, sizeof(ret->why), "manual");
    amy__scheduler_copies_rules(says, ret);
}

/* --- what is due --- */

static void
forget_old_runs(struct amy__scheduler_site *site)
{
    struct amy__run **link = &site->runs;
    unsigned kept = 0;

    while (*link != NULL) {
        struct amy__run *run = *link;

        if (run->over &&
            (run->internal || run->command != NULL || ++kept > RUNS_KEPT)) {
            *link = run->next;
            amy__run_free(run);
        } else {
            link = &run->next;
        }
    }
}

/* A dump, or what may be left of one. */
static bool
makes_sets(enum amy__job_action action)
{
    return action == AMY__JOB_DUMP || action == AMY__JOB_VERIFY ||
           action == AMY__JOB_PRUNE;
}

int
amy__scheduler_begin(struct amy__scheduler_site *site,
                     const struct amy__job_spec *spec)
{
    struct amy__run *run = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__run_start(site, spec, NULL, &run, &err);

    if (rc < 0) {
        amy__log(&site->borrow_scheduler->log, AMY_LOG_ERROR,
                 "a job cannot start site=%s job=%s reason=\"%s\"",
                 site->domain, amy__job_action_name(spec->action), err.msg);
        (void)snprintf(site->failure, sizeof(site->failure), "%s", err.msg);
        return rc;
    }
    run->internal = true;
    return 0;
}

/* The first look says which slot was the last one; the schedule begins then,
 * and also where it says nothing. */
static void
begin_schedule(struct amy__scheduler_site *site)
{
    const struct amy_clock *clock = site->borrow_scheduler->borrow_clock;

    if (site->has_schedule && !site->scheduled) {
        amy__schedule_begin(
            &site->schedule,
            site->facts.slot_ms == AMY__MANIFEST_NO_TIME ? AMY__SCHEDULE_NEVER
                                                         : site->facts.slot_ms,
            amy__wall_ms(clock), amy__mono_ms(clock), &site->state);
        site->scheduled = true;
    }
}

static void
look_failed(struct amy__scheduler_site *site, const char *message)
{
    site->look_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock) +
                    amy__scheduler_wait_ms(site, site->look_failures);
    site->look_failures++;
    (void)snprintf(site->look_failure, sizeof(site->look_failure), AMY_SPAN_FMT,
                   AMY_SPAN_ARG(amy__own_words(message)));
    begin_schedule(site);
}

static void
begin(struct amy__scheduler_site *site, const struct amy__retry *what)
{
    int64_t now_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock);
    struct amy__job_spec spec;

    amy__scheduler_spec(site, what->action, &spec);
    spec.slot_ms = what->slot_ms;
    memcpy(spec.set, what->set, sizeof(spec.set));
    (void)snprintf(spec.why, sizeof(spec.why), "schedule");
    if (amy__scheduler_begin(site, &spec) == 0) {
        return;
    }
    if (what->action == AMY__JOB_LIST) {
        look_failed(site, site->failure);
    } else if (what->action == AMY__JOB_DRILL) {
        site->drill_ms = now_ms + DRILL_RETRY_MS;
        site->drill_failed = true;
    } else {
        site->retry = *what;
        site->retry.at_ms =
            now_ms + amy__scheduler_wait_ms(site, site->failures);
        site->failures++;
    }
}

/* A slot that failed is tried again, further and further apart, until the next
 * one comes. */
static bool
retry_is_due(struct amy__scheduler_site *site, int64_t mono_ms)
{
    return site->retry.at_ms != 0 && mono_ms >= site->retry.at_ms;
}

static void
tick_dump(struct amy__scheduler_site *site)
{
    const struct amy_clock *clock = site->borrow_scheduler->borrow_clock;
    int64_t mono_ms = amy__mono_ms(clock);
    struct amy__retry fresh = {.action = AMY__JOB_DUMP};
    struct amy__retry again = site->retry;

    if (amy__schedule_due(&site->schedule, &site->state, amy__wall_ms(clock),
                          mono_ms, &fresh.slot_ms)) {
        site->retry.at_ms = 0;
        begin(site, &fresh);
    } else if (retry_is_due(site, mono_ms)) {
        site->retry.at_ms = 0;
        begin(site, &again);
    }
}

static bool
drill_is_due(const struct amy__scheduler_site *site)
{
    const struct amy_clock *clock = site->borrow_scheduler->borrow_clock;
    int64_t every_ms = site->site->backup_drill_ms;
    int64_t drilled_ms = site->facts.drilled_ms;
    int64_t now_ms = amy__wall_ms(clock);

    /* One from the future was dated by a clock that was wrong. */
    return every_ms > 0 && site->facts.good != NULL &&
           amy__mono_ms(clock) >= site->drill_ms &&
           (drilled_ms == AMY__MANIFEST_NO_TIME ||
            now_ms - drilled_ms >= every_ms ||
            drilled_ms - now_ms > DRILL_RETRY_MS);
}

static void
look(struct amy__scheduler_site *site)
{
    static const struct amy__retry list = {.action = AMY__JOB_LIST,
                                           .slot_ms = AMY__MANIFEST_NO_TIME};

    site->look_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock);
    if (amy__run_is_looking(site)) {
        return; /* due as soon as that one has told what it saw */
    }
    site->look_ms += LOOK_MS;
    if (!site->borrow_scheduler->stopping && site->site != NULL &&
        site->site->database_from != NULL) {
        begin(site, &list);
    }
}

/* What a schedule lacks may have been installed; nobody would tell us. */
static void
try_schedule(struct amy__scheduler_site *site)
{
    if (site->unscheduled[0] != '\0' &&
        amy__scheduler_set_schedule(site, NULL) == 0) {
        amy__log(&site->borrow_scheduler->log, AMY_LOG_NOTICE,
                 "a schedule can be used now site=%s", site->domain);
    }
}

void
amy__scheduler_site_tick(struct amy__scheduler_site *site)
{
    static const struct amy__retry drill = {.action = AMY__JOB_DRILL,
                                            .slot_ms = AMY__MANIFEST_NO_TIME};

    forget_old_runs(site);
    if (site->site == NULL || site->borrow_scheduler->stopping) {
        return;
    }
    if (amy__run_of_site(site) == NULL &&
        !amy__run_is_busy(site->borrow_scheduler)) {
        if (site->scheduled) {
            tick_dump(site);
        }
        if (amy__run_of_site(site) == NULL && drill_is_due(site)) {
            begin(site, &drill);
        }
    }
    if (amy__mono_ms(site->borrow_scheduler->borrow_clock) >= site->look_ms) {
        try_schedule(site);
        look(site);
    }
    amy__scheduler_copies_tick(site);
    amy__scheduler_alarms(site);
    amy__scheduler_hooks(site);
    amy__scheduler_commands(site);
}

/* --- what became of it --- */

/* For alarms, which anybody reads: the rest is in logs/backup.log. */
static void
note_failure(struct amy__scheduler_site *site, const char *message)
{
    (void)snprintf(site->failure, sizeof(site->failure), AMY_SPAN_FMT,
                   AMY_SPAN_ARG(amy__own_words(message)));
}

/* Others' locks and other hosts are no failures of ours. */
bool
amy__scheduler_is_failure(int code)
{
    return code < 0 && code != AMY_EAGAIN && code != AMY_EBUSY;
}

/* How long to wait after so many failures in a row: twice as long after each,
 * half an hour at most, or as long as site.yaml says. */
int64_t
amy__scheduler_wait_ms(const struct amy__scheduler_site *site,
                       uint32_t failures)
{
    int64_t wait_ms = site->site->backup_retry_ms;
    int64_t most_ms = wait_ms > RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS;

    for (uint32_t i = 0; i < failures && wait_ms < most_ms; i++) {
        wait_ms *= 2;
    }
    return wait_ms < most_ms ? wait_ms : most_ms;
}

/* A set that is there is not made once more because reading it through, or
 * removing others, failed. One that is damaged is. */
static enum amy__job_action
what_is_left(const struct amy__run *run)
{
    static const enum amy__job_action parts[] = {AMY__JOB_VERIFY,
                                                 AMY__JOB_PRUNE};
    const char *left = amy__json_get_text(run->result, "left", "");
    const char *verdict =
        amy__json_get_text(amy__json_get(run->result, "set"), "verdict", "");

    if (strcmp(verdict, amy__verdict_name(AMY__VERDICT_DAMAGED)) == 0) {
        return AMY__JOB_DUMP;
    }
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        if (strcmp(left, amy__job_action_name(parts[i])) == 0) {
            return parts[i];
        }
    }
    return run->spec.action;
}

static void
try_again(struct amy__scheduler_site *site, const struct amy__run *run,
          int64_t wait_ms)
{
    const char *set = amy__json_get_text(amy__json_get(run->result, "set"),
                                         "name", run->spec.set);

    site->retry = (struct amy__retry){
        .at_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock) + wait_ms,
        .action = what_is_left(run),
        .slot_ms = run->spec.slot_ms};
    if (site->retry.action == AMY__JOB_VERIFY) {
        (void)snprintf(site->retry.set, sizeof(site->retry.set), "%s", set);
    }
}

/* Of a dump, whoever asked for it; of what was left of one. */
static void
work_ended(struct amy__scheduler_site *site, const struct amy__run *run)
{
    const struct amy_clock *clock = site->borrow_scheduler->borrow_clock;
    int64_t wait_ms = amy__scheduler_wait_ms(site, site->failures);
    bool elsewhere = amy__json_get_bool(run->result, "elsewhere", false);

    if (site->scheduled && run->spec.action == AMY__JOB_DUMP) {
        amy__schedule_end(&site->schedule, &site->state, amy__wall_ms(clock));
    }
    if (elsewhere) {
        site->other_ms = amy__mono_ms(clock);
        site->other_wall_ms = amy__wall_ms(clock);
    }
    if (run->code == 0) {
        if (run->spec.action == AMY__JOB_DUMP) {
            amy__scheduler_facts_made(amy__json_get(run->result, "set"),
                                      &site->facts);
        }
        site->failures = 0;
        site->retry = (struct amy__retry){
            .at_ms =
                run->spec.action == AMY__JOB_VERIFY ? amy__mono_ms(clock) : 0,
            .action = AMY__JOB_PRUNE,
            .slot_ms = AMY__MANIFEST_NO_TIME};
        return;
    }
    if (amy__scheduler_is_failure(run->code)) {
        site->failures++;
        note_failure(site, run->message);
    }
    if (run->internal && !elsewhere) {
        try_again(site, run, wait_ms);
    }
}

static void
drill_ended(struct amy__scheduler_site *site, const struct amy__run *run)
{
    site->drill_ms =
        amy__mono_ms(site->borrow_scheduler->borrow_clock) + DRILL_RETRY_MS;
    if (run->internal) {
        site->drill_failed = amy__scheduler_is_failure(run->code);
    }
    if (site->drill_failed) {
        note_failure(site, run->message);
    }
}

/* Whoever made the newest set did not come to read it through. */
static void
finish_newest(struct amy__scheduler_site *site)
{
    const char *verdict = site->facts.newest_verdict;
    bool unread =
        strcmp(verdict, "written") == 0 || strcmp(verdict, "hashed") == 0;

    if (!unread || !site->has_schedule || amy__run_of_site(site) != NULL ||
        (site->retry.at_ms != 0 && site->retry.action != AMY__JOB_DUMP)) {
        return;
    }
    if (site->retry.at_ms == 0) {
        site->retry.at_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock) +
                            site->site->backup_retry_ms;
        site->retry.slot_ms = AMY__MANIFEST_NO_TIME;
    }
    site->retry.action = AMY__JOB_VERIFY;
    memcpy(site->retry.set, site->facts.newest_name, sizeof(site->retry.set));
}

/* A refresh was killed: production's data may be there as it was. */
static void
sweep_refresh(struct amy__scheduler_site *site)
{
    struct amy__job_spec spec;

    if (site->site == NULL || site->borrow_scheduler->stopping ||
        amy__run_of_site(site) != NULL) {
        return; /* it is under way, or the next look will find it */
    }
    amy__scheduler_spec(site, AMY__JOB_SWEEP, &spec);
    (void)amy__scheduler_begin(site, &spec);
}

static void
list_ended(struct amy__scheduler_site *site, const struct amy__run *run)
{
    if (run->code == 0) {
        site->look_failures = 0;
        amy__scheduler_facts_read(run->result, &site->facts);
        amy__scheduler_copies_read(site, run->result);
        finish_newest(site);
        begin_schedule(site);
        if (amy__json_get_bool(run->result, "refreshing", false)) {
            sweep_refresh(site);
        }
    } else {
        look_failed(site, run->message);
    }
}

static void
log_end(const struct amy__scheduler_site *site, const struct amy__run *run)
{
    const struct amy_log *log = &site->borrow_scheduler->log;
    const struct amy__json *set = amy__json_get(run->result, "set");

    if (run->code < 0) {
        amy__log(log,
                 amy__scheduler_is_failure(run->code) ? AMY_LOG_ERROR
                                                      : AMY_LOG_WARN,
                 "job failed site=%s job=%s reason=\"" AMY_SPAN_FMT "\"%s",
                 site->domain, amy__job_action_name(run->spec.action),
                 AMY_SPAN_ARG(amy__own_words(run->message)),
                 amy__site_tag(site->site));
    } else if (run->spec.action != AMY__JOB_LIST &&
               run->spec.action != AMY__JOB_SHOW) {
        amy__log(log, AMY_LOG_NOTICE,
                 "job done site=%s job=%s set=%s "
                 "verdict=%s%s",
                 site->domain, amy__job_action_name(run->spec.action),
                 amy__json_get_text(set, "name", "-"),
                 amy__json_get_text(set, "verdict", "-"),
                 amy__site_tag(site->site));
    }
}

void
amy__scheduler_site_ended(struct amy__scheduler_site *site,
                          struct amy__run *run)
{
    if (run->spec.action == AMY__JOB_NOTIFY && run->command == NULL) {
        amy__scheduler_hook_ended(site, run);
        return;
    }
    if (run->command != NULL) {
        amy__scheduler_command_ended(site, run);
        return;
    }
    log_end(site, run);
    if (run->spec.action == AMY__JOB_SHOW ||
        run->spec.action == AMY__JOB_SWEEP) {
        return;
    }
    if (run->spec.action == AMY__JOB_LIST) {
        list_ended(site, run);
        amy__scheduler_alarms(site);
        return;
    }
    if (run->spec.action == AMY__JOB_DUMP ||
        (run->internal && makes_sets(run->spec.action))) {
        work_ended(site, run);
    }
    if (run->spec.action == AMY__JOB_DRILL) {
        drill_ended(site, run);
    }
    if (run->spec.action == AMY__JOB_COPY) {
        amy__scheduler_copies_ended(site, run);
    }
    look(site);
}

/* --- reading the site --- */

/* What site.yaml means by `at` or `cron`, in the zone that it names. */
static int
read_times(const struct amy__site *says, struct amy__cron *ret,
           struct amy__zone **ret_zone, struct amy_error *err)
{
    int rc = amy__zone_load(says->backup_zone, ret_zone, err);

    if (rc == 0 && says->backup_cron != NULL) {
        rc = amy__cron_parse(amy__span_of(says->backup_cron), ret, err);
    }
    for (size_t i = 0;
         rc == 0 && says->backup_at != NULL && says->backup_at[i] != NULL;
         i++) {
        rc = amy__cron_add_time(amy__span_of(says->backup_at[i]), ret, err);
    }
    return rc;
}

int
amy__scheduler_set_schedule(struct amy__scheduler_site *site,
                            struct amy_error *err)
{
    const struct amy__site *says = site->site;
    struct amy__schedule fresh = {.every_ms = says->backup_every_ms};
    bool wanted = says->database_from != NULL &&
                  (says->backup_every_ms > 0 || says->backup_at != NULL ||
                   says->backup_cron != NULL);
    struct amy__zone *zone = NULL;
    struct amy_error why = AMY_ERROR_INIT;
    int rc = 0;

    if (wanted && says->backup_every_ms == 0) {
        rc = read_times(says, &fresh.cron, &zone, &why);
    }
    (void)snprintf(site->unscheduled, sizeof(site->unscheduled), "%s", why.msg);
    if (rc < 0) {
        amy__zone_free(zone);
        return amy__err(err, AMY_EINVAL, "%s", why.msg);
    }
    fresh.seed =
        amy__hash(amy__span_of(site->domain), UINT64_C(14695981039346656037));
    fresh.zone = zone;
    fresh.jitter_ms = says->backup_every_ms / 10;
    if (fresh.every_ms == 0 || fresh.jitter_ms > JITTER_MAX_MS) {
        fresh.jitter_ms = JITTER_MAX_MS;
    }
    amy__zone_free(site->zone);
    site->zone = zone;
    site->schedule = fresh;
    site->has_schedule = wanted;
    site->scheduled = site->scheduled && wanted;
    return 0;
}

static int
accept_yaml(struct amy__scheduler_site *site, struct amy_error *err)
{
    struct amy_scheduler *scheduler = site->borrow_scheduler;
    struct amy__told told = {.log = &scheduler->log,
                             .domain = site->domain,
                             .list = amy__json_array()};
    struct amy__site_source source = {
        .webapps_fd = scheduler->webapps_fd,
        .webapps_path = scheduler->settings->webapps,
        .state_fd = scheduler->state_fd,
        .daemon = "backup",
        .rules = amy__told_rules(scheduler->settings, scheduler->as_person),
        .on_problem = amy__told_problem,
        .problem_user = &told,
    };
    struct amy__site *accepted = NULL;
    int rc = amy__site_accept(&source, site->domain, NULL, &accepted, err);

    amy__json_free(site->problems);
    site->problems = told.list;
    if (rc >= 0) {
        amy__site_unref(site->site);
        site->site = accepted;
    }
    return rc;
}

/* What jobs tell of backup.log goes to our standard output. */
static int
log_to_stdout(struct amy__scheduler_site *site, struct amy_error *err)
{
    struct amy_log_writer_options opts = AMY_LOG_WRITER_OPTIONS_INIT;
    struct amy_log_writer *writer = NULL;
    char name[320];
    int fd = -1;
    int rc = 0;

    if (site->log != NULL) {
        return 0;
    }
    (void)snprintf(name, sizeof(name), "site=%s file=backup.log", site->domain);
    opts.name = name;
    opts.log = &site->borrow_scheduler->log;
    rc = amy_log_writer_create(&opts, &writer, err);
    if (rc == 0) {
        rc = amy_log_writer_set_json(writer, AMY_LOG_COMPONENT_BACKUP,
                                     site->domain, err);
    }
    if (rc == 0) {
        fd = amy_log_open_stdout(err);
        rc = fd < 0 ? fd : 0;
    }
    if (rc < 0) {
        amy_log_writer_free(writer);
        return rc;
    }
    amy_log_writer_set_fd(writer, fd);
    site->log = writer;
    return 0;
}

/* Jobs open it for each line, so nobody is given its next file. */
static void
rotate_log(struct amy__scheduler_site *site)
{
    static const char *const own[] = {"backup.log", NULL};
    struct amy_scheduler *scheduler = site->borrow_scheduler;
    const struct amy__site_logs_spec logs = {
        .base = scheduler->base,
        .borrow_peers = scheduler->log_peers,
        .webapps_fd = scheduler->webapps_fd,
        .borrow_clock = scheduler->borrow_clock,
        .log = &scheduler->log,
        .own = own,
        .kind = AMY_LOGROTATE_NAMED,
    };
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (scheduler->settings->logs_stdout) {
        rc = log_to_stdout(site, &err);
    } else if (site->rotator == NULL) {
        rc = amy__site_logs_create(site->site, &logs, &site->rotator, &err);
    } else {
        rc = amy__site_logs_renew(site->site, false, site->rotator, &err);
    }
    if (rc < 0) {
        amy__log(&scheduler->log, AMY_LOG_WARN,
                 "backup.log is not cared for: %s site=%s", err.msg,
                 site->domain);
    }
}

static struct amy__scheduler_site *
find_or_make(struct amy_scheduler *scheduler, const char *domain)
{
    struct amy__scheduler_site *site =
        amy__scheduler_site_find(scheduler, domain);

    if (site != NULL) {
        return site;
    }
    site = amy__calloc(1, sizeof(*site));
    if (site == NULL) {
        return NULL;
    }
    site->borrow_scheduler = scheduler;
    amy__scheduler_facts_clear(&site->facts);
    site->domain = amy__strdup(domain);
    if (site->domain == NULL) {
        amy__free(site);
        return NULL;
    }
    amy__scheduler_memory_read(site);
    site->next = scheduler->sites;
    scheduler->sites = site;
    return site;
}

int
amy__scheduler_renew(struct amy_scheduler *scheduler, const char *domain,
                     struct amy_error *err)
{
    struct amy__scheduler_site *site = find_or_make(scheduler, domain);
    struct amy_error why = AMY_ERROR_INIT;
    int rc = 0;

    if (site == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a site");
    }
    rc = accept_yaml(site, &why);
    site->seen = rc != AMY_ENOTFOUND;
    (void)snprintf(site->error, sizeof(site->error), "%s",
                   rc < 0 ? why.msg : "");
    if (rc >= 0) {
        amy__scheduler_copies_renew(site);
        rotate_log(site);
        rc = amy__scheduler_set_schedule(site, &why);
        look(site);
    }
    if (rc < 0) {
        amy__log(&scheduler->log, AMY_LOG_ERROR,
                 "a site cannot be used site=%s reason=\"%s\"", domain,
                 why.msg);
        return amy__err(err, rc, "%s", why.msg);
    }
    return 0;
}

/* A bad site must not keep the others from being read; what is wrong with it
 * has been told. */
static int
on_site_name(const char *domain, void *user)
{
    (void)amy__scheduler_renew(user, domain, NULL);
    return 0;
}

int
amy__scheduler_scan(struct amy_scheduler *scheduler, struct amy_error *err)
{
    int rc = 0;

    for (struct amy__scheduler_site *site = scheduler->sites; site != NULL;
         site = site->next) {
        site->seen = false;
    }
    rc = amy__site_each(scheduler->webapps_fd, on_site_name, scheduler, err);
    if (rc == 0) {
        amy__defer_ask(scheduler->sweep); /* those that are gone */
    }
    return rc;
}

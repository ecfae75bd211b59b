/* What is wrong with a site's backups, told once for as long as it is so. */
/* Not for single failures: those are in the log and in backup.log. */
#include "core/clock.h"
#include "core/log.h"
#include "core/str.h"
#include "scheduler/internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SLACK_MS INT64_C(600000) /* a dump takes its time, too */

#define DAY_MS INT64_C(86400000)

static const char *const names[AMY__ALARM_COUNT] = {
    "too-old", "failed", "suspect", "copy-failed", "copy-late"};

const char *
amy__alarm_name(enum amy__alarm_kind kind)
{
    return names[kind];
}

static void set_alarm(struct amy__scheduler_site *site,
                      enum amy__alarm_kind kind, bool on, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

static void
set_alarm(struct amy__scheduler_site *site, enum amy__alarm_kind kind, bool on,
          const char *fmt, ...)
{
    struct amy_scheduler *scheduler = site->borrow_scheduler;
    struct amy__alarm *alarm = &site->alarms[kind];
    va_list args;

    if (on == alarm->on) {
        return;
    }
    alarm->on = on;
    alarm->since_wall_ms = amy__wall_ms(scheduler->borrow_clock);
    va_start(args, fmt);
    (void)vsnprintf(alarm->message, sizeof(alarm->message), fmt, args);
    va_end(args);
    amy__log(&scheduler->log, on ? AMY_LOG_ERROR : AMY_LOG_NOTICE,
             "alarm %s site=%s state=%s reason=\"%s\"%s", on ? "on" : "off",
             site->domain, names[kind], alarm->message,
             amy__site_tag(site->site));
    alarm->ran = false;
    alarm->unrun = 0;
    alarm->rerun_ms = 0;
}

/* How old the newest verified one may be; 0: as old as it likes. */
static int64_t
age_limit(const struct amy__scheduler_site *site)
{
    int64_t now_ms = amy__wall_ms(site->borrow_scheduler->borrow_clock);
    int64_t before_ms = 0;
    int64_t next_ms = 0;

    if (site->site->backup_alarm_age_ms > 0) {
        return site->site->backup_alarm_age_ms;
    }
    if (!site->has_schedule ||
        !amy__schedule_before(&site->schedule, now_ms, &before_ms) ||
        !amy__schedule_after(&site->schedule, now_ms, &next_ms)) {
        return 0;
    }
    return 2 * (next_ms - before_ms) + SLACK_MS;
}

/* Of the newest verified one; of our start, after which there may be one yet,
 * by the clock that nobody sets. */
static int64_t
age_of(const struct amy__scheduler_site *site)
{
    const struct amy_scheduler *scheduler = site->borrow_scheduler;

    return site->facts.good_ms == AMY__MANIFEST_NO_TIME
               ? amy__mono_ms(scheduler->borrow_clock) -
                     scheduler->started_mono_ms
               : amy__wall_ms(scheduler->borrow_clock) - site->facts.good_ms;
}

/* With none at all, a restart makes nothing younger. */
static bool
is_too_old(const struct amy__scheduler_site *site, int64_t age_ms,
           int64_t limit_ms)
{
    return age_ms > limit_ms || (site->facts.good_ms == AMY__MANIFEST_NO_TIME &&
                                 site->alarms[AMY__ALARM_AGE].on);
}

/* What another host makes is its to be alarmed about (docs/decisions/0084). */
static bool
is_left_to_another(const struct amy__scheduler_site *site, int64_t limit_ms)
{
    return site->other_ms != 0 &&
           amy__mono_ms(site->borrow_scheduler->borrow_clock) -
                   site->other_ms <=
               limit_ms;
}

static void
look_at_age(struct amy__scheduler_site *site)
{
    int64_t limit_ms = age_limit(site);
    int64_t age_ms = age_of(site);
    char age[64] = "";

    if (!site->facts.known) {
        return;
    }
    if (limit_ms == 0 && site->unscheduled[0] != '\0') {
        return; /* nobody knows; AMY__ALARM_FAILED tells */
    }
    if (limit_ms == 0) {
        set_alarm(site, AMY__ALARM_AGE, false, "no age is too old any more");
        return;
    }
    (void)amy__format_duration(age_ms / 60000 * 60000, age, sizeof(age));
    set_alarm(site, AMY__ALARM_AGE,
              is_too_old(site, age_ms, limit_ms) &&
                  !is_left_to_another(site, limit_ms),
              site->facts.good == NULL ? "there is no verified backup, for %s"
                                       : "the newest verified backup is %s old",
              age);
}

/* How old the newest one at a copy may be; 0: as old as it likes. */
static int64_t
copy_limit(const struct amy__scheduler_site *site, size_t i)
{
    int64_t limit_ms = age_limit(site);

    if (site->site->copies[i].late_ms > 0) {
        return site->site->copies[i].late_ms;
    }
    return limit_ms == 0 ? 0 : limit_ms + DAY_MS;
}

/* It lacks something, and what it has is too old. Where it never had anything
 * a restart makes nothing younger. */
static bool
is_late(const struct amy__scheduler_site *site, size_t i, int64_t *ret_age_ms)
{
    const struct amy_scheduler *scheduler = site->borrow_scheduler;
    const struct amy__scheduler_copy *copy = &site->copies[i];
    int64_t limit_ms = copy_limit(site, i);
    bool never = copy->newest_ms == AMY__MANIFEST_NO_TIME;

    *ret_age_ms =
        never
            ? amy__mono_ms(scheduler->borrow_clock) - scheduler->started_mono_ms
            : amy__wall_ms(scheduler->borrow_clock) - copy->newest_ms;
    return copy->known && copy->missing > 0 && limit_ms > 0 &&
           (*ret_age_ms > limit_ms ||
            (never && site->alarms[AMY__ALARM_COPY_LATE].on));
}

static void
look_for_failed_copies(struct amy__scheduler_site *site)
{
    const struct amy__scheduler_copy *failed = NULL;
    bool all_known = true;

    for (size_t i = site->copy_count; i-- > 0;) {
        const struct amy__scheduler_copy *copy = &site->copies[i];

        failed = copy->failures > 0 ? copy : failed;
        all_known = all_known && (copy->failures > 0 || copy->ran_ms != 0);
    }
    if (failed != NULL || all_known) { /* else it stays as it was */
        set_alarm(site, AMY__ALARM_COPY_FAILED, failed != NULL, "%s",
                  failed == NULL ? "it worked again" : failed->failure);
    }
}

static void
look_for_late_copies(struct amy__scheduler_site *site)
{
    const struct amy__scheduler_copy *late = NULL;
    int64_t late_ms = 0;
    bool all_known = true;
    char age[64] = "";

    for (size_t i = site->copy_count; i-- > 0;) {
        int64_t age_ms = 0;

        all_known = all_known && site->copies[i].known;
        if (is_late(site, i, &age_ms)) {
            late = &site->copies[i];
            late_ms = age_ms;
        }
    }
    if (late == NULL) {
        if (all_known) {
            set_alarm(site, AMY__ALARM_COPY_LATE, false,
                      "every copy is up to date");
        }
        return;
    }
    (void)amy__format_duration(late_ms / 60000 * 60000, age, sizeof(age));
    set_alarm(site, AMY__ALARM_COPY_LATE, true,
              late->newest_ms == AMY__MANIFEST_NO_TIME
                  ? "the copy '%s' has had no backup for %s"
                  : "the newest backup at the copy '%s' is %s old",
              late->name, age);
}

static void
end_all(struct amy__scheduler_site *site)
{
    for (int i = 0; i < AMY__ALARM_COUNT; i++) {
        set_alarm(site, (enum amy__alarm_kind)i, false,
                  "there is no database to back up any more");
    }
    amy__scheduler_memory_note(site);
}

/* Why no backup is made, or none can be restored; NULL: all works. */
static const char *
failure_of(const struct amy__scheduler_site *site)
{
    if (site->unscheduled[0] != '\0') {
        return site->unscheduled;
    }
    if (site->failures > 0 ||
        (site->drill_failed && site->site->backup_drill_ms > 0)) {
        return site->failure;
    }
    return site->look_failures > 0 ? site->look_failure : NULL;
}

void
amy__scheduler_alarms(struct amy__scheduler_site *site)
{
    const struct amy__scheduler_facts *facts = &site->facts;
    const char *failure = NULL;

    /* What is ended because we stop has not failed. */
    if (site->site == NULL || site->borrow_scheduler->stopping) {
        return;
    }
    if (site->site->database_from == NULL) {
        end_all(site);
        return;
    }
    look_at_age(site);
    look_for_failed_copies(site); /* one state each for all of them: the first
                                     that is so is named */
    look_for_late_copies(site);
    failure = failure_of(site);
    if (failure != NULL || facts->known) { /* else it stays as it was */
        set_alarm(site, AMY__ALARM_FAILED, failure != NULL, "%s",
                  failure != NULL ? failure : "it worked again");
    }
    if (facts->known) {
        bool suspect = strcmp(facts->newest_verdict, "suspect") == 0 ||
                       strcmp(facts->newest_verdict, "damaged") == 0;

        set_alarm(
            site, AMY__ALARM_SUSPECT, suspect, "the newest backup is %s%s%s",
            facts->newest_verdict[0] == '\0' ? "gone" : facts->newest_verdict,
            facts->newest_reason[0] == '\0' ? "" : ": ", facts->newest_reason);
    }
    amy__scheduler_memory_note(site);
}

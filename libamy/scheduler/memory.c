/* What a site's alarms were and who has heard of them, over a restart. */
/* Not for which slot was the last: the sets say that. */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "scheduler/internal.h"

#include <stdio.h>
#include <string.h>

#define FILE_NAME "alarms.json"
#define TEXT_MAX ((size_t)16 * 1024)

/* --- writing --- */

static struct amy__json *
alarm_json(const struct amy__alarm *alarm)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "on", amy__json_bool(alarm->on));
    (void)amy__json_set(json, "since_ms", amy__json_int(alarm->since_wall_ms));
    (void)amy__json_set(json, "message", amy__json_text(alarm->message));
    (void)amy__json_set(json, "told", amy__json_bool(alarm->told));
    (void)amy__json_set(json, "ran", amy__json_bool(alarm->ran));
    return json;
}

static int
write_text(const struct amy__scheduler_site *site, struct amy__buf *out)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = amy__json_object();
    int rc = 0;

    for (int i = 0; i < AMY__ALARM_COUNT; i++) {
        (void)amy__json_set(json, amy__alarm_name((enum amy__alarm_kind)i),
                            alarm_json(&site->alarms[i]));
    }
    (void)amy__json_set(json, "failures", amy__json_int(site->failures));
    (void)amy__json_set(json, "failure", amy__json_text(site->failure));
    (void)amy__json_set(json, "drill_failed",
                        amy__json_bool(site->drill_failed));
    /* By the wall clock: the other one begins anew with the machine. */
    rc = amy__json_set(json, "other_ms", amy__json_int(site->other_wall_ms));
    return rc < 0 ? rc : amy__json_write(json, 0, out);
}

static int
write_file(const struct amy__scheduler_site *site, struct amy__span text,
           struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p)
    int fd = amy__site_state_dir(site->borrow_scheduler->state_fd, true,
                                 "backup", site->domain, err);

    return fd < 0
               ? fd
               : amy__write_file_at(fd, FILE_NAME, text.p, text.n, 0600, err);
}

/* What cannot be noted is tried again with every look, and told once. */
void
amy__scheduler_memory_note(struct amy__scheduler_site *site)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    const struct amy_scheduler *scheduler = site->borrow_scheduler;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    amy__buf_init(&text, TEXT_MAX);
    if (scheduler->state_fd < 0 || write_text(site, &text) < 0 ||
        amy__span_eq(amy__buf_span(&text), amy__buf_span(&site->noted))) {
        return;
    }
    rc = write_file(site, amy__buf_span(&text), &err);
    if (rc < 0 && !site->unnoted) {
        amy__log(&scheduler->log, AMY_LOG_WARN,
                 "who has heard of which alarm cannot be noted site=%s "
                 "reason=\"%s\"",
                 site->domain, err.msg);
    }
    site->unnoted = rc < 0;
    if (rc == 0) {
        amy__buf_clear(&site->noted);
        site->noted = text;
        text = (struct amy__buf){NULL, 0, 0, 0};
    }
}

/* --- reading --- */

static void
read_alarm(const struct amy__json *json, struct amy__alarm *ret)
{
    ret->on = amy__json_get_bool(json, "on", false);
    ret->since_wall_ms = amy__json_get_int(json, "since_ms", 0);
    ret->told = amy__json_get_bool(json, "told", false);
    /* Who did not write it yet had run it in any case. */
    ret->ran = amy__json_get_bool(json, "ran", true);
    (void)snprintf(ret->message, sizeof(ret->message), "%s",
                   amy__json_get_text(json, "message", ""));
}

static void
read_other(struct amy__scheduler_site *site, int64_t seen_ms)
{
    const struct amy_clock *clock = site->borrow_scheduler->borrow_clock;
    int64_t ago_ms = amy__wall_ms(clock) - seen_ms;

    if (seen_ms <= 0) {
        return;
    }
    site->other_wall_ms = seen_ms;
    site->other_ms = amy__mono_ms(clock) - (ago_ms < 0 ? 0 : ago_ms);
    if (site->other_ms == 0) {
        site->other_ms = -1; /* 0 is never */
    }
}

static void
take(struct amy__scheduler_site *site, const struct amy__json *json)
{
    int64_t failures = amy__json_get_int(json, "failures", 0);

    for (int i = 0; i < AMY__ALARM_COUNT; i++) {
        read_alarm(
            amy__json_get(json, amy__alarm_name((enum amy__alarm_kind)i)),
            &site->alarms[i]);
    }
    site->failures =
        failures > 0 && failures < INT32_MAX ? (uint32_t)failures : 0;
    (void)snprintf(site->failure, sizeof(site->failure), "%s",
                   amy__json_get_text(json, "failure", ""));
    site->drill_failed = amy__json_get_bool(json, "drill_failed", false);
    read_other(site, amy__json_get_int(json, "other_ms", 0));
}

/* Nothing there, or nothing of ours: then nobody has heard of anything. */
void
amy__scheduler_memory_read(struct amy__scheduler_site *site)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = NULL;
    AMY_CLEANUP(amy__close_p) int fd = -1;

    amy__buf_init(&site->noted, TEXT_MAX);
    fd = amy__site_state_dir(site->borrow_scheduler->state_fd, false, "backup",
                             site->domain, NULL);
    if (fd >= 0 &&
        amy__read_file_at(fd, FILE_NAME, TEXT_MAX, &site->noted, NULL, NULL) ==
            0 &&
        amy__json_parse(amy__buf_span(&site->noted), &json, NULL) == 0) {
        take(site, json);
    } else {
        amy__buf_clear(&site->noted);
    }
}

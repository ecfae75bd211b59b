/* Does one job from its spec to its last event. */
/* Not for deciding that one is due: scheduler/. */
#include "backup/job.h"

#include <amy/backup.h>
#include <amy/version.h>

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/options.h"
#include "core/sigpipe.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SPEC_MAX ((size_t)64 * 1024)
#define EVENT_MAX ((size_t)16 * 1024 * 1024)
#define TELL_MS 250
#define SILENCE_MS 600000

/* --- events and the log --- */

/* Takes json over. Whoever listens may be gone: then the work goes on. */
static void
tell(const struct amy__job *job, const char *event, struct amy__json *json)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf line = {NULL, 0, 0, 0};

    amy__buf_init(&line, EVENT_MAX);
    (void)amy__json_set(json, "event", amy__json_text(event));
    if (amy__json_write(json, 0, &line) == 0 &&
        amy__buf_append_text(&line, "\n") == 0) {
        (void)amy__write_all(job->event_fd, line.data, line.len, NULL);
    }
    amy__json_free(json);
}

void
amy__job_progress(struct amy__job *job, const char *stage, uint64_t done,
                  uint64_t of)
{
    int64_t now_ms = amy__mono_ms(job->borrow_clock);
    struct amy__json *json = NULL;

    if (now_ms - job->told_ms < TELL_MS) {
        return;
    }
    job->told_ms = now_ms;
    json = amy__json_object();
    (void)amy__json_set(json, "stage", amy__json_text(stage));
    (void)amy__json_set(json, "bytes", amy__json_int((int64_t)done));
    (void)amy__json_set(json, "of", amy__json_int((int64_t)of));
    (void)amy__json_set(json, "tables", amy__json_int((int64_t)job->tables));
    (void)amy__json_set(json, "of_tables",
                        amy__json_int((int64_t)job->of_tables));
    tell(job, "progress", json);
}

void
amy__job_log_begin(const struct amy__job *job)
{
    AMY_CLEANUP(amy__close_p)
    int fd =
        amy__open_beneath(job->site_fd, "logs/backup.log",
                          O_RDWR | O_APPEND | O_NOFOLLOW | O_NONBLOCK, 0, NULL);

    if (fd >= 0 && amy__ends_within_a_line(fd)) {
        (void)amy__write_all(fd, "\n", 1, NULL);
    }
}

/* Opened for each line: it may have been renamed. */
static void
append_to_file(const struct amy__job *job, const char *line, size_t n)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;

    fd = amy__open_beneath(
        job->site_fd, "logs/backup.log",
        O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0640, NULL);
    if (fd >= 0) {
        (void)amy__write_all(fd, line, n, NULL);
    }
}

void
amy__job_log(const struct amy__job *job, const char *fmt, ...)
{
    char text[1024] = "";
    char line[1100] = "";
    char time[25];
    va_list args;
    int n = 0;

    va_start(args, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    text[strcspn(text, "\n")] = '\0';
    n = snprintf(line, sizeof(line), "%s %s\n",
                 amy__format_time(amy__wall_ms(job->borrow_clock), time), text);
    if (n > 0 && job->spec.tell_log) {
        struct amy__json *json = amy__json_object();

        (void)amy__json_set(json, "line", amy__json_text(line));
        tell(job, "log", json);
    } else if (n > 0) {
        append_to_file(job, line, (size_t)n);
    }
}

int
amy__job_silence_ms(const struct amy__job *job)
{
    int64_t ms = job->spec.silence_ms;

    return ms == 0 ? SILENCE_MS : (int)ms; /* bounded by the spec's reader */
}

int
amy__job_heard(const struct amy__job *job, const char *who, int64_t heard_ms,
               struct amy_error *err)
{
    int limit_ms = amy__job_silence_ms(job);

    if (amy__mono_ms(job->borrow_clock) - heard_ms <= limit_ms) {
        return 0;
    }
    return amy__err(err, AMY_ETIMEOUT, "%s stood still for %d s", who,
                    limit_ms / 1000);
}

/* --- the database --- */

int
amy__job_target(struct amy__job *job, struct amy_error *err)
{
    int rc = 0;

    if (job->environment != NULL) {
        return 0;
    }
    if (job->spec.from[0] == '\0') {
        return amy__err(err, AMY_EINVAL,
                        "site.yaml does not say which database: 'database: "
                        "{from: DATABASE_URL}'");
    }
    rc = amy__pg_target_read(job->spec.from, &job->target, err);
    if (rc == 0 && job->spec.to[0] != '\0') {
        rc = amy__pg_target_set(&job->target, "dbname", job->spec.to, err);
    }
    if (rc < 0) {
        return rc;
    }
    job->environment = amy__pg_environment(&job->target);
    return job->environment == NULL
               ? amy__err(err, AMY_ENOMEM, "preparing an environment")
               : 0;
}

static void
host_name(char *buf, size_t size)
{
    if (gethostname(buf, size) != 0) {
        (void)snprintf(buf, size, "localhost");
    }
    buf[size - 1] = '\0';
}

int
amy__job_connect(struct amy__job *job, struct amy__pg **ret_pg,
                 struct amy_error *err)
{
    char host[40] = "";
    char name[64] = "";
    int rc = amy__job_target(job, err);

    host_name(host, sizeof(host));
    (void)snprintf(name, sizeof(name), "amy-backup on %s", host);
    if (rc == 0) {
        rc = amy__pg_target_set(&job->target, "application_name", name, err);
    }
    rc = rc < 0 ? rc : amy__pg_open(&job->target, ret_pg, err);
    if (rc == 0 && amy__job_silence_ms(job) < AMY__PG_PATIENCE_MS) {
        amy__pg_set_patience(*ret_pg, amy__job_silence_ms(job));
    }
    if (rc == 0) {
        rc = amy__pg_lift_limits(*ret_pg, err);
        if (rc < 0) {
            amy__pg_close(*ret_pg);
            *ret_pg = NULL;
        }
    }
    return rc;
}

/* --- what the last event says --- */

/* What is so of every set. */
static struct amy__json *
name_json(const struct amy__job *job, const char *name)
{
    struct amy__json *json = amy__json_object();
    bool ahead = amy__set_is_ahead(name, amy__wall_ms(job->borrow_clock));

    (void)amy__json_set(json, "name", amy__json_text(name));
    (void)amy__json_set(json, "ahead", amy__json_bool(ahead));
    return json;
}

/* A set in a list. */
static struct amy__json *
set_json(const struct amy__job *job, const struct amy__manifest *m)
{
    struct amy__json *json = name_json(job, m->name);

    (void)amy__json_set(json, "why", amy__json_text(m->why));
    (void)amy__json_set(json, "started", amy__manifest_time(m->started_ms));
    (void)amy__json_set(json, "slot", amy__manifest_time(m->slot_ms));
    (void)amy__json_set(json, "duration_ms", amy__json_int(m->duration_ms));
    (void)amy__json_set(json, "bytes",
                        amy__json_int((int64_t)amy__manifest_bytes(m)));
    (void)amy__json_set(json, "tables", amy__json_int((int64_t)m->table_count));
    (void)amy__json_set(json, "rows",
                        amy__json_int((int64_t)amy__manifest_rows(m)));
    (void)amy__json_set(json, "verdict",
                        amy__json_text(amy__verdict_name(m->verdict)));
    (void)amy__json_set(json, "verified_set",
                        amy__json_bool(amy__verdict_is_verified(m->verdict)));
    (void)amy__json_set(json, "reason", amy__json_text(m->reason));
    (void)amy__json_set(json, "verified", amy__manifest_time(m->verified_ms));
    (void)amy__json_set(json, "restore_ms", amy__json_int(m->restore_ms));
    (void)amy__json_set(json, "pinned", amy__json_bool(m->pinned));
    (void)amy__json_set(json, "warning", amy__json_text(m->warning));
    return json;
}

static struct amy__json *
broken_json(const struct amy__job *job, const struct amy__set *set)
{
    struct amy__json *json = name_json(job, set->manifest.name);

    (void)amy__json_set(json, "verdict", amy__json_text("damaged"));
    (void)amy__json_set(json, "verified_set", amy__json_bool(false));
    (void)amy__json_set(json, "reason", amy__json_text(set->broken));
    return json;
}

/* --- the actions --- */

static int
run_list(struct amy__job *job, struct amy_error *err)
{
    struct amy__json *sets = amy__json_array();

    for (size_t i = 0; i < job->sets.count; i++) {
        const struct amy__set *set = &job->sets.items[i];

        (void)amy__json_add(sets, set->broken[0] == '\0'
                                      ? set_json(job, &set->manifest)
                                      : broken_json(job, set));
    }
    (void)amy__json_set(job->result, "sets", sets);
    (void)amy__json_set(job->result, "foreign",
                        amy__json_int((int64_t)job->sets.foreign));
    (void)amy__json_set(job->result, "partial",
                        amy__json_int((int64_t)job->sets.partial));
    (void)amy__json_set(job->result, "refreshing",
                        amy__json_bool(job->sets.refreshing));
    return amy__copy_tell(job, err);
}

/* The one that is named, or the newest that counts. */
static int
read_named(struct amy__job *job, struct amy__manifest *ret,
           struct amy_error *err)
{
    const struct amy__set *good = job->good;

    if (job->spec.set[0] != '\0') {
        return amy__set_read(job->sets_fd, job->spec.set, ret, err);
    }
    if (good == NULL) {
        return amy__err(err, AMY_ENOTFOUND, "there is no verified backup");
    }
    return amy__set_read(job->sets_fd, good->manifest.name, ret, err);
}

void
amy__job_tell_set(struct amy__job *job, const struct amy__manifest *manifest)
{
    (void)amy__json_set(job->result, "set", set_json(job, manifest));
}

static int
run_show(struct amy__job *job, const struct amy__manifest *manifest,
         struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct amy__json *json = NULL;
    int rc = 0;

    amy__buf_init(&text, AMY__MANIFEST_MAX);
    rc = amy__manifest_write(manifest, &text, err);
    if (rc == 0) {
        rc = amy__json_parse(amy__buf_span(&text), &json, err);
    }
    if (rc == 0 && job->spec.copy_count > 0) {
        struct amy__json *places = amy__json_array();

        rc = amy__copy_places(job, manifest->name, places, err);
        (void)amy__json_set(json, "copies", places);
    }
    (void)amy__json_set(job->result, "manifest", json);
    return rc;
}

static int
run_accept(struct amy__job *job, struct amy__manifest *manifest,
           struct amy_error *err)
{
    if (manifest->verdict != AMY__VERDICT_SUSPECT) {
        return amy__err(err, AMY_ESTATE, "'%s' is not suspect but %s",
                        manifest->name, amy__verdict_name(manifest->verdict));
    }
    manifest->verdict = AMY__VERDICT_PARSED;
    manifest->reason[0] = '\0';
    return amy__set_save(job->sets_fd, manifest, err);
}

static int
run_pin(struct amy__job *job, struct amy__manifest *manifest,
        struct amy_error *err)
{
    manifest->pinned = job->spec.action == AMY__JOB_PIN;
    return amy__set_save(job->sets_fd, manifest, err);
}

/* What remains to be done again, and only that. */
static void
tell_left(struct amy__job *job, enum amy__job_action action)
{
    (void)amy__json_set(job->result, "left",
                        amy__json_text(amy__job_action_name(action)));
}

/* verify, drill: what is wrong with the set is its verdict, and still a
 * failure of the job. */
static int
run_verify(struct amy__job *job, struct amy__manifest *manifest,
           struct amy_error *err)
{
    int rc = amy__job_target(job, err);

    rc = rc < 0 ? rc : amy__verify(job, manifest, err);
    if (rc == 0 && job->spec.action == AMY__JOB_DRILL &&
        manifest->verdict != AMY__VERDICT_DAMAGED) {
        rc = amy__drill(job, manifest, err);
    }
    if (rc < 0) {
        amy__job_log(job, "%s not verified: %s", manifest->name,
                     err == NULL ? "" : err->msg);
        tell_left(job, AMY__JOB_VERIFY);
        return rc;
    }
    amy__job_log(job, "%s %s%s%s", manifest->name,
                 amy__verdict_name(manifest->verdict),
                 manifest->reason[0] == '\0' ? "" : ": ", manifest->reason);
    return manifest->verdict == AMY__VERDICT_DAMAGED
               ? amy__err(err, AMY_EPARSE, "'%s' is damaged: %s",
                          manifest->name, manifest->reason)
               : 0;
}

static int
run_restore(struct amy__job *job, const struct amy__manifest *manifest,
            struct amy_error *err)
{
    int rc = 0;

    if (manifest->verdict == AMY__VERDICT_DAMAGED) {
        return amy__err(err, AMY_ESTATE, "'%s' is damaged: %s", manifest->name,
                        manifest->reason);
    }
    rc = amy__restore(job, manifest, err);
    if (rc < 0) {
        amy__job_log(job, "%s not restored: %s", manifest->name,
                     err == NULL ? "" : err->msg);
    } else {
        amy__job_log(job, "%s restored", manifest->name);
    }
    return rc;
}

static int
run_lend(struct amy__job *job, struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest manifest;
    int rc = 0;

    amy__manifest_init(&manifest);
    rc = read_named(job, &manifest, err);
    return amy__lend(job, &manifest, rc, err);
}

static int
run_on_set(struct amy__job *job, struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest manifest;
    int rc = 0;

    amy__manifest_init(&manifest);
    rc = read_named(job, &manifest, err);
    if (rc < 0) {
        return rc;
    }
    switch (job->spec.action) {
    case AMY__JOB_SHOW:
        return run_show(job, &manifest, err);
    case AMY__JOB_PIN:
    case AMY__JOB_UNPIN:
        rc = run_pin(job, &manifest, err);
        break;
    case AMY__JOB_ACCEPT:
        rc = run_accept(job, &manifest, err);
        break;
    case AMY__JOB_VERIFY:
    case AMY__JOB_DRILL:
        rc = run_verify(job, &manifest, err);
        break;
    case AMY__JOB_RESTORE:
        rc = run_restore(job, &manifest, err);
        break;
    case AMY__JOB_DUMP:
    case AMY__JOB_LIST:
    case AMY__JOB_PRUNE:
    case AMY__JOB_NOTIFY:
    case AMY__JOB_COPY:
    case AMY__JOB_VERIFY_COPY:
    case AMY__JOB_FETCH:
    case AMY__JOB_LEND:
    case AMY__JOB_REFRESH:
    case AMY__JOB_SWEEP:
        break;
    }
    amy__job_tell_set(job, &manifest);
    return rc;
}

static int
run_prune(struct amy__job *job, bool dry_run, struct amy_error *err)
{
    struct amy__json *gone = amy__json_array();
    int rc = amy__prune(job, dry_run, gone, err);

    if (rc < 0) {
        amy__job_log(job, "not pruned: %s", err == NULL ? "" : err->msg);
        tell_left(job, AMY__JOB_PRUNE);
    }
    (void)amy__json_set(job->result, "removed", gone);
    return rc;
}

/* --- a dump --- */

static void
begin_manifest(const struct amy__job *job, int64_t now_ms,
               struct amy__manifest *m)
{
    amy__manifest_init(m);
    (void)snprintf(m->site, sizeof(m->site), "%s", job->spec.site);
    (void)snprintf(m->why, sizeof(m->why), "%s", job->spec.why);
    (void)snprintf(m->amy, sizeof(m->amy), "%s", amy_version());
    host_name(m->host, sizeof(m->host));
    m->started_ms = now_ms;
    m->slot_ms = job->spec.slot_ms;
}

/* From nothing to a set that is on the disk under its name. */
static int
make_set(struct amy__job *job, struct amy__manifest *m, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int set_fd = -1;
    int64_t began_ms = amy__mono_ms(job->borrow_clock);
    int rc = 0;

    begin_manifest(job, amy__wall_ms(job->borrow_clock), m);
    set_fd = amy__set_begin(job->sets_fd, m->started_ms, m->name, err);
    if (set_fd < 0) {
        return set_fd;
    }
    rc = amy__dump(job, m, set_fd, err);
    if (rc == 0) {
        m->duration_ms = amy__mono_ms(job->borrow_clock) - began_ms;
        rc = amy__set_commit(job->sets_fd, set_fd, m, err);
    }
    if (rc < 0) {
        amy__set_abandon(job->sets_fd, m->name);
    }
    return rc;
}

static int
run_dump(struct amy__job *job, struct amy_error *err)
{
    AMY_CLEANUP(amy__manifest_clear_p) struct amy__manifest m;
    int rc = amy__job_target(job, err);

    amy__manifest_init(&m);
    rc = rc < 0 ? rc : make_set(job, &m, err);
    if (rc < 0) {
        amy__job_log(job, "no backup: %s", err == NULL ? "" : err->msg);
        return rc;
    }
    amy__job_log(job, "%s written: %llu bytes in %lld ms%s%s", m.name,
                 (unsigned long long)amy__manifest_bytes(&m),
                 (long long)m.duration_ms, m.warning[0] == '\0' ? "" : "; ",
                 m.warning);
    rc = run_verify(job, &m, err);
    amy__job_tell_set(job, &m);
    return rc < 0 ? rc : run_prune(job, false, err);
}

/* --- from spec to end --- */

/* What would be removed: nothing at all is changed. */
static bool
is_rehearsal(const struct amy__job_spec *spec)
{
    return spec->action == AMY__JOB_PRUNE && spec->dry_run;
}

static bool
changes_sets(const struct amy__job_spec *spec)
{
    return spec->action != AMY__JOB_LIST && spec->action != AMY__JOB_SHOW &&
           spec->action != AMY__JOB_COPY &&
           spec->action != AMY__JOB_VERIFY_COPY &&
           spec->action != AMY__JOB_LEND && !is_rehearsal(spec);
}

static int
run(struct amy__job *job, struct amy_error *err)
{
    int rc = 0;

    if (job->spec.action == AMY__JOB_NOTIFY) {
        return amy__notify(job, err);
    }
    job->sets_fd = is_rehearsal(&job->spec) ? amy__sets_look(job->site_fd, err)
                                            : amy__sets_open(job->site_fd, err);
    rc = job->sets_fd < 0 ? job->sets_fd : 0;
    if (rc == 0 && changes_sets(&job->spec)) {
        rc = amy__sets_lock(job->sets_fd, err);
        rc = rc < 0 ? rc : amy__sets_sweep(job->sets_fd, err);
        amy__drill_sweep();
    }
    rc = rc < 0 ? rc : amy__sets_read(job->sets_fd, &job->sets, err);
    if (rc < 0) {
        if (changes_sets(&job->spec)) {
            amy__job_log(job, "%s: %s", amy__job_action_name(job->spec.action),
                         err->msg);
        }
        return rc;
    }
    job->good = amy__sets_good(&job->sets, amy__wall_ms(job->borrow_clock));
    switch (job->spec.action) {
    case AMY__JOB_DUMP:
        return run_dump(job, err);
    case AMY__JOB_LIST:
        return run_list(job, err);
    case AMY__JOB_PRUNE:
        return run_prune(job, job->spec.dry_run, err);
    case AMY__JOB_VERIFY:
    case AMY__JOB_DRILL:
    case AMY__JOB_RESTORE:
    case AMY__JOB_SHOW:
    case AMY__JOB_PIN:
    case AMY__JOB_UNPIN:
    case AMY__JOB_ACCEPT:
    case AMY__JOB_NOTIFY:
        break;
    case AMY__JOB_COPY:
    case AMY__JOB_VERIFY_COPY:
    case AMY__JOB_FETCH:
        return amy__copy_run(job, err);
    case AMY__JOB_LEND:
        return run_lend(job, err);
    case AMY__JOB_REFRESH:
        return amy__refresh(job, err);
    case AMY__JOB_SWEEP:
        return amy__refresh_sweep(job, err);
    }
    return run_on_set(job, err);
}

static int
read_spec(int fd, struct amy__job_spec *ret, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    char bytes[4096];
    ssize_t n = 1;
    int rc = 0;

    amy__buf_init(&text, SPEC_MAX);
    while (n > 0 && rc == 0) {
        n = read(fd, bytes, sizeof(bytes));
        if (n < 0) {
            return amy__err_sys(err, errno, "reading a job");
        }
        rc = amy__buf_append(&text, bytes, (size_t)n);
    }
    return rc < 0 ? amy__err(err, rc, "reading a job")
                  : amy__job_spec_read(amy__buf_span(&text), ret, err);
}

/* That another job is at it is no failure. What the system calls the same is.
 */
static int
code_to_tell(int rc, const struct amy_error *err)
{
    bool waits = rc == AMY_EBUSY || rc == AMY_EAGAIN;

    return waits && err->sys_errno != 0 ? AMY_EIO : rc;
}

static void
tell_end(struct amy__job *job, int rc, const struct amy_error *err)
{
    if (rc < 0) {
        (void)amy__json_set(job->result, "code",
                            amy__json_int(code_to_tell(rc, err)));
        (void)amy__json_set(job->result, "message", amy__json_text(err->msg));
    }
    tell(job, rc < 0 ? "failed" : "done", job->result);
    job->result = NULL;
}

int
amy_backup_job(const struct amy_backup_job_options *opts, struct amy_error *err)
{
    struct amy_backup_job_options own = {0};
    struct amy__job job = {.sets_fd = -1};
    struct amy_error why = AMY_ERROR_INIT;
    int rc = amy__options_read(
        &own, sizeof(own), opts,
        offsetof(struct amy_backup_job_options, borrow_clock), err);

    if (rc < 0) {
        return rc;
    }
    rc = amy__check_sigpipe(err);
    if (rc < 0) {
        return rc;
    }
    job.borrow_clock = own.borrow_clock;
    job.site_fd = own.directory_fd;
    job.event_fd = own.event_fd;
    job.result = amy__json_object();
    rc = read_spec(own.spec_fd, &job.spec, &why);
    amy__job_log_begin(&job);
    rc = rc < 0 ? rc : run(&job, &why);
    tell_end(&job, rc, &why);
    amy__sets_clear(&job.sets);
    amy__close(&job.sets_fd);
    amy__pg_environment_free(job.environment);
    amy__pg_target_clear(&job.target);
    if (rc < 0 && err != NULL) {
        *err = why;
    }
    return rc;
}

/* A process in a site's name: its environment, its start, its events, its end.
 */
/* Not for what it does: that is the backup room, in that process. */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/user.h"
#include "logrotate/writer.h"
#include "scheduler/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* One line of a job: a user's process, which may say anything. */
#define LIST_MAX ((size_t)16 * 1024 * 1024) /* with all sets, or all tables */
#define EVENT_MAX ((size_t)1024 * 1024)
#define PLAIN_MAX 65536   /* in which no number of values is too many */
#define PROGRESS_MAX 4096 /* it is copied into what everybody is told */
#define PIECE 65536
#define PATIENCE_MS 1000 /* how long who asks waits for something new */
#define COMMAND_MS 60000 /* for an alarm's command, where nothing is said */
#define BRIEF_MS 120000  /* for what only reads manifests, or tells a hook */
#define LOOKS_MAX 4      /* at a time, of those that somebody asked for */
#define GRACE_MS 5000    /* from SIGTERM to SIGKILL */
/* A job that moves says so four times a second; one that says nothing may have
 * been stopped by the user whose it is: after so long the others do not wait
 * for it any more. */
#define TURN_MS INT64_C(300000)

static bool
is_heavy(const struct amy__run *run)
{
    return run->command == NULL && (run->spec.action == AMY__JOB_DUMP ||
                                    run->spec.action == AMY__JOB_DRILL ||
                                    run->spec.action == AMY__JOB_RESTORE ||
                                    run->spec.action == AMY__JOB_REFRESH);
}

/* Reads manifests and nothing else. */
static bool
is_reading(const struct amy__job_spec *spec)
{
    return spec->action == AMY__JOB_LIST || spec->action == AMY__JOB_SHOW ||
           spec->action == AMY__JOB_LEND ||
           (spec->action == AMY__JOB_PRUNE && spec->dry_run);
}

bool
amy__spec_is_look(const struct amy__job_spec *spec)
{
    return is_reading(spec) || spec->action == AMY__JOB_COPY ||
           spec->action == AMY__JOB_VERIFY_COPY;
}

static bool
is_change(const struct amy__run *run)
{
    return run->command == NULL && run->spec.action != AMY__JOB_NOTIFY &&
           !amy__spec_is_look(&run->spec);
}

bool
amy__run_is_looking(const struct amy__scheduler_site *site)
{
    for (const struct amy__run *run = site->runs; run != NULL;
         run = run->next) {
        if (!run->over && run->internal && run->command == NULL &&
            run->spec.action == AMY__JOB_LIST) {
            return true;
        }
    }
    return false;
}

bool
amy__run_has_room(const struct amy__scheduler_site *site)
{
    unsigned looks = 0;

    for (const struct amy__run *run = site->runs; run != NULL;
         run = run->next) {
        if (!run->over && !run->internal && run->command == NULL &&
            amy__spec_is_look(&run->spec)) {
            looks++;
        }
    }
    return looks < LOOKS_MAX;
}

static bool
is_notice(const struct amy__run *run)
{
    return run->command == NULL && run->spec.action == AMY__JOB_NOTIFY;
}

struct amy__run *
amy__run_of_site(const struct amy__scheduler_site *site)
{
    for (struct amy__run *run = site->runs; run != NULL; run = run->next) {
        if (!run->over && is_change(run)) {
            return run;
        }
    }
    return NULL;
}

bool
amy__run_is_busy(const struct amy_scheduler *scheduler)
{
    int64_t now_ms = amy__mono_ms(scheduler->borrow_clock);

    for (const struct amy__scheduler_site *site = scheduler->sites;
         site != NULL; site = site->next) {
        for (const struct amy__run *run = site->runs; run != NULL;
             run = run->next) {
            if (!run->over && is_heavy(run) &&
                now_ms - run->heard_ms < TURN_MS) {
                return true;
            }
        }
    }
    return false;
}

/* One that takes its time, as the first to a place far away does, must not keep
 * those of others waiting for hours. */
unsigned
amy__run_copies(const struct amy_scheduler *scheduler)
{
    int64_t now_ms = amy__wall_ms(scheduler->borrow_clock);
    unsigned count = 0;

    for (const struct amy__scheduler_site *site = scheduler->sites;
         site != NULL; site = site->next) {
        for (const struct amy__run *run = site->runs; run != NULL;
             run = run->next) {
            count += !run->over && run->internal &&
                     run->spec.action == AMY__JOB_COPY &&
                     now_ms - run->began_wall_ms < TURN_MS;
        }
    }
    return count;
}

static void
close_process(struct amy__run *run)
{
    amy__io_free(run->ended_io);
    amy__io_free(run->event_io);
    run->ended_io = NULL;
    run->event_io = NULL;
    amy__close(&run->event_fd);
    amy__close(&run->lend_fd);
    amy__close(&run->child.pidfd);
    amy__buf_clear(&run->events);
}

void
amy__run_free(struct amy__run *run)
{
    struct amy__child_exit how;

    if (run == NULL) {
        return;
    }
    amy__env_cancel(run->env_job);
    if (run->child.pidfd >= 0) {
        (void)amy__child_signal_group(&run->child, SIGKILL, NULL);
        (void)amy__child_reap(&run->child, &how, NULL);
    }
    run->over = true;
    amy__run_answer(run);
    close_process(run);
    amy__timer_free(run->patience);
    amy__timer_free(run->deadline);
    amy__json_free(run->progress);
    amy__json_free(run->result);
    for (size_t i = 0; run->command != NULL && run->command[i] != NULL; i++) {
        amy__free(run->command[i]);
    }
    amy__free(run->command);
    amy__free(run);
}
AMY_DEFINE_CLEANUP(struct amy__run *, amy__run_free)

/* --- who waits --- */

struct amy__json *
amy__run_json(const struct amy__run *run)
{
    struct amy__json *json = amy__json_object();
    const char *state = !run->over      ? "running"
                        : run->code < 0 ? "failed"
                                        : "done";

    (void)amy__json_set(json, "run", amy__json_int((int64_t)run->number));
    (void)amy__json_set(json, "action",
                        amy__json_text(amy__job_action_name(run->spec.action)));
    (void)amy__json_set(json, "why", amy__json_text(run->spec.why));
    (void)amy__json_set(json, "state", amy__json_text(state));
    if (run->spec.copy.name[0] != '\0') {
        (void)amy__json_set(json, "copy", amy__json_text(run->spec.copy.name));
    }
    if (run->progress != NULL && !run->over) {
        (void)amy__json_set(json, "progress", amy__json_copy(run->progress));
    }
    if (run->code < 0) {
        (void)amy__json_set(json, "code", amy__json_int(run->code));
        (void)amy__json_set(json, "message", amy__json_text(run->message));
    }
    if (run->over && run->result != NULL) {
        (void)amy__json_set(json, "result", amy__json_copy(run->result));
    }
    return json;
}

void
amy__run_answer(struct amy__run *run)
{
    struct amy__control_call *call = run->waiting;

    if (call == NULL) {
        return;
    }
    run->waiting = NULL;
    amy__timer_cancel(run->patience);
    amy__control_reply(call, 200, amy__run_json(run));
}

static void
on_patience(void *user)
{
    amy__run_answer(user);
}

/* --- its end --- */

/* First asked to end, then ended, with all that it has started. */
static void
end_process(struct amy__run *run)
{
    int sig = run->asked_to_end ? SIGKILL : SIGTERM;

    if (run->child.pidfd < 0) {
        return;
    }
    run->asked_to_end = true;
    (void)amy__child_signal_group(&run->child, sig, NULL);
    /* Cannot fail for a timer's own memory. */
    (void)amy__timer_arm(run->deadline, GRACE_MS, NULL);
}

static void
on_deadline(void *user)
{
    struct amy__run *run = user;

    run->late = run->late || !run->asked_to_end;
    end_process(run);
}

static void
finish(struct amy__run *run, int code, const char *message)
{
    amy__timer_cancel(run->deadline);
    run->over = true;
    run->code = code;
    (void)snprintf(run->message, sizeof(run->message), "%s", message);
    close_process(run);
    amy__run_answer(run);
    amy__scheduler_site_ended(run->borrow_site, run);
    amy__defer_ask(run->borrow_site->borrow_scheduler->sweep);
}

/* So many values in so few bytes that they would take a hundred times as many
 * in our memory: none of ours has them. */
static bool
is_dense(struct amy__span line)
{
    size_t lists = 0;
    size_t commas = 0;

    if (line.n <= PLAIN_MAX) {
        return false;
    }
    for (size_t i = 0; i < line.n; i++) {
        lists += line.p[i] == '[' || line.p[i] == '{';
        commas += line.p[i] == ',';
    }
    return 16 * lists + 4 * commas > line.n;
}

/* One line of a job: progress, or how it ended. */
static void
take_event(struct amy__run *run, struct amy__span line)
{
    struct amy__json *json = NULL;
    const char *event = NULL;

    if (is_dense(line) || amy__json_parse(line, &json, NULL) < 0) {
        return; /* not one of ours */
    }
    event = amy__json_get_text(json, "event", "");
    if (strcmp(event, "progress") == 0) {
        if (line.n > PROGRESS_MAX) {
            amy__json_free(json);
            return;
        }
        amy__json_free(run->progress);
        run->progress = json;
        amy__run_answer(run);
    } else if (strcmp(event, "log") == 0) {
        const char *text = amy__json_get_text(json, "line", "");

        size_t n = strlen(text);

        /* A user's process: what it says need not be a line. */
        if (run->borrow_site->log != NULL && n > 0 && text[n - 1] == '\n') {
            amy_log_writer_write(run->borrow_site->log, text, n);
        }
        amy__json_free(json);
    } else {
        amy__json_free(run->result);
        run->result = json;
    }
}

/* Each byte is looked at once, however long the line. */
static void
take_lines(struct amy__run *run)
{
    struct amy__buf *all = &run->events;

    while (run->searched < all->len) {
        const char *end =
            memchr(all->data + run->searched, '\n', all->len - run->searched);
        size_t n = 0;

        if (end == NULL) {
            run->searched = all->len;
            return;
        }
        n = (size_t)(end - all->data);
        take_event(run, (struct amy__span){all->data, n});
        amy__buf_consume(all, n + 1);
        run->searched = 0;
    }
}

/* What there is now. */
static void
read_events(struct amy__run *run)
{
    static const unsigned rounds = 512;
    char bytes[4096];

    for (unsigned i = 0; i < rounds && run->event_fd >= 0; i++) {
        ssize_t n = read(run->event_fd, bytes, sizeof(bytes));

        if (n < 0) {
            return;
        }
        if (n == 0) {
            amy__io_free(run->event_io);
            run->event_io = NULL;
            amy__close(&run->event_fd);
            return;
        }
        run->heard_ms =
            amy__mono_ms(run->borrow_site->borrow_scheduler->borrow_clock);
        if (amy__buf_append(&run->events, bytes, (size_t)n) < 0) {
            run->events.len = 0; /* longer than any of ours */
            run->searched = 0;
        }
        take_lines(run);
    }
}

static void
on_event(int fd, unsigned what, void *user)
{
    (void)fd;
    (void)what;
    read_events(user);
}

static void
judge(struct amy__run *run, const struct amy__child_exit *how)
{
    const char *event = amy__json_get_text(run->result, "event", "");
    char message[256] = "";

    if (run->command != NULL) {
        (void)snprintf(message, sizeof(message),
                       run->asked_to_end ? "the alarm's command took too long"
                                         : "the alarm's command ended with %d",
                       how->code);
        finish(run, how->code == 0 ? 0 : AMY_EIO,
               how->code == 0 ? "" : message);
    } else if (strcmp(event, "done") == 0 && how->code == 0) {
        finish(run, 0, "");
    } else if (run->late) {
        finish(run, AMY_ETIMEOUT, "the job took too long");
    } else if (strcmp(event, "failed") == 0) {
        (void)snprintf(message, sizeof(message), "%s",
                       amy__json_get_text(run->result, "message", ""));
        finish(run, (int)amy__json_get_int(run->result, "code", AMY_EIO),
               message);
    } else if (how->signal != 0) {
        (void)snprintf(message, sizeof(message),
                       "the job was ended by signal %d", how->signal);
        finish(run, AMY_ECANCELED, message);
    } else {
        (void)snprintf(message, sizeof(message),
                       "the job ended with status %d and no result", how->code);
        finish(run, AMY_EIO, message);
    }
}

static void
on_ended(int fd, unsigned what, void *user)
{
    struct amy__run *run = user;
    struct amy__child_exit how = {.code = -1};
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    (void)fd;
    (void)what;
    read_events(run);
    rc = amy__child_reap(&run->child, &how, &err);
    if (rc < 0) {
        finish(run, rc, err.msg);
    } else if (rc > 0) {
        judge(run, &how);
    }
}

/* --- its start --- */

/* DB_backups is the site's user's, in a directory that is not. */
static int
make_directory(const struct amy__run *run, int site_fd, struct amy_error *err)
{
    const struct amy__site *site = run->borrow_site->site;

    AMY_CLEANUP(amy__close_p) int fd = -1;

    if (mkdirat(site_fd, AMY__SETS_DIRECTORY, 0700) != 0) {
        return errno == EEXIST
                   ? 0
                   : amy__err_sys(err, errno, "making " AMY__SETS_DIRECTORY);
    }
    if (run->borrow_site->borrow_scheduler->as_person) {
        return 0;
    }
    fd = openat(site_fd, AMY__SETS_DIRECTORY,
                O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fchown(fd, site->uid, site->gid) != 0) {
        int why = errno;

        (void)unlinkat(site_fd, AMY__SETS_DIRECTORY, AT_REMOVEDIR);
        return amy__err_sys(
            err, why, "giving " AMY__SETS_DIRECTORY " to the site's user");
    }
    return 0;
}

/* What it is to do, for it to read. */
static int
pack_spec(const struct amy__run *run, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    int rc = 0;
    int fd = -1;

    amy__buf_init(&text, PIECE);
    rc = amy__job_spec_write(&run->spec, &text);
    if (rc < 0) {
        return amy__err(err, rc, "packing a job");
    }
    fd = amy__sealed_memfd("amy-job", text.data, text.len, err);
    if (fd >= 0) {
        (void)lseek(fd, 0, SEEK_SET);
    }
    return fd;
}

struct start {
    struct amy__user account;
    int site_fd;
    int spec_fd;
    int event_fd; /* the child's end */
};

static void
start_clear(struct start *start)
{
    amy__user_clear(&start->account);
    amy__close(&start->site_fd);
    amy__close(&start->spec_fd);
    amy__close(&start->event_fd);
}

static int
prepare(struct amy__run *run, struct start *start, struct amy_error *err)
{
    struct amy__scheduler_site *site = run->borrow_site;
    int ends[2] = {-1, -1};
    int rc = amy__user_find(site->site->user, &start->account, err);

    if (rc < 0) {
        return rc;
    }
    start->site_fd =
        amy__open_beneath(site->borrow_scheduler->webapps_fd, site->domain,
                          O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
    if (start->site_fd < 0) {
        return start->site_fd;
    }
    /* Who tells of a full disk needs nothing on it. */
    if (run->command == NULL && !is_notice(run)) {
        rc = make_directory(run, start->site_fd, err);
        if (rc < 0) {
            return rc;
        }
    }
    start->spec_fd = pack_spec(run, err);
    if (start->spec_fd < 0) {
        return start->spec_fd;
    }
    if (pipe2(ends, O_CLOEXEC) != 0 ||
        fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        return amy__err_sys(err, errno, "making a pipe");
    }
    run->event_fd = ends[0];
    start->event_fd = ends[1];
    return 0;
}

static int
spawn(struct amy__run *run, char *const *environment, const struct start *start,
      struct amy_error *err)
{
    const struct amy_scheduler *scheduler = run->borrow_site->borrow_scheduler;
    const struct amy__site *site = run->borrow_site->site;
    const char *job[] = {scheduler->program, "--job", NULL};
    const struct amy__spawn_fd fds[] = {{start->spec_fd, 0},
                                        {start->event_fd, 1},
                                        {start->site_fd, 3},
                                        {run->lend_fd, run->spec.lend_fd}};
    size_t fd_count = run->lend_fd < 0 ? 3 : 4;
    struct amy__spawn_plan plan = {
        .argv = run->command != NULL
                    ? (const char *const *)(uintptr_t)run->command
                    : job,
        .envp = (const char *const *)(uintptr_t)environment,
        .cwd_fd = start->site_fd,
        .fds = fds,
        .fd_count = run->command != NULL ? 0 : fd_count,
        .set_ids = !scheduler->as_person,
        .uid = site->uid,
        .gid = site->gid,
        .groups = start->account.groups,
        .group_count = start->account.group_count,
        .drop_capabilities = !scheduler->as_person,
        .no_new_privs = run->command == NULL,
        .new_session = true,
        .parent_death_signal = SIGTERM,
        .umask_plus_one = 077 + 1,
        .nice_by = 10,
        .no_core = true,
    };

    return amy__spawn(&plan, &run->child, err);
}

/* How long it may take; 0: as long as there is something to do. */
static int64_t
limit_ms(const struct amy__run *run)
{
    int64_t ms = run->borrow_site->site->backup_alarm_timeout_ms;

    if (run->command != NULL) {
        return ms > 0 ? ms : COMMAND_MS;
    }
    return is_reading(&run->spec) || run->spec.action == AMY__JOB_NOTIFY
               ? BRIEF_MS
               : 0;
}

static int
start_process(struct amy__run *run, char *const *environment,
              struct amy_error *err)
{
    AMY_CLEANUP(start_clear)
    struct start start = {.site_fd = -1, .spec_fd = -1, .event_fd = -1};
    struct event_base *base = run->borrow_site->borrow_scheduler->base;
    int rc = prepare(run, &start, err);

    if (rc == 0) {
        rc = spawn(run, environment, &start, err);
    }
    amy__close(&run->lend_fd);
    if (rc == 0) {
        rc = amy__io_create(base, run->child.pidfd, AMY__IO_READ, on_ended, run,
                            &run->ended_io, err);
    }
    if (rc == 0) {
        rc = amy__io_create(base, run->event_fd, AMY__IO_READ, on_event, run,
                            &run->event_io, err);
    }
    if (rc == 0 && limit_ms(run) > 0) {
        rc = amy__timer_arm(run->deadline, limit_ms(run), err);
    }
    run->started = rc == 0;
    return rc;
}

/* What tells a webhook needs nothing of the site's, and an alarm's command can
 * do without: its environment may be what is wrong. Only whom to trust is as
 * we were told. */
static int
start_plain(struct amy__run *run, struct amy_error *err)
{
    const char *trusted = getenv("SSL_CERT_FILE");
    char path[] = "PATH=/usr/bin:/bin";
    char trust[PATH_MAX + 16] = "";
    char *environment[] = {path, NULL, NULL};

    if (trusted != NULL) {
        (void)snprintf(trust, sizeof(trust), "SSL_CERT_FILE=%s", trusted);
        environment[1] = trust;
    }
    return start_process(run, environment, err);
}

static void
on_environment(int rc, struct amy__env *env, const struct amy_error *err,
               void *user)
{
    struct amy__run *run = user;
    struct amy_error why = AMY_ERROR_INIT;

    run->env_job = NULL;
    if (rc < 0 && run->command == NULL) {
        finish(run, rc, err->msg);
        return;
    }
    rc = rc < 0 ? start_plain(run, &why) : start_process(run, env->vars, &why);
    if (rc < 0) {
        finish(run, rc, why.msg);
    }
}

static int
begin(struct amy__run *run, struct amy_error *err)
{
    const struct amy__scheduler_site *site = run->borrow_site;
    struct amy__env_options opts = {
        .base = site->borrow_scheduler->base,
        .site = site->site,
        .webapps_path = site->borrow_scheduler->settings->webapps,
        .as_person = site->borrow_scheduler->as_person,
    };
    int rc = 0;

    if (is_notice(run)) {
        return start_plain(run, err);
    }
    rc = amy__env_start(&opts, on_environment, run, &run->env_job, err);
    return rc < 0 && run->command != NULL ? start_plain(run, err) : rc;
}

static struct amy__run *
new_run(struct amy__scheduler_site *site, const struct amy__job_spec *spec,
        char **command)
{
    struct amy__run *run = amy__calloc(1, sizeof(*run));

    if (run == NULL) {
        for (size_t i = 0; command != NULL && command[i] != NULL; i++) {
            amy__free(command[i]);
        }
        amy__free(command);
        return NULL;
    }
    run->command = command;
    run->borrow_site = site;
    run->spec = *spec;
    run->child.pidfd = -1;
    run->event_fd = -1;
    run->lend_fd = -1;
    run->heard_ms = amy__mono_ms(site->borrow_scheduler->borrow_clock);
    run->began_wall_ms = amy__wall_ms(site->borrow_scheduler->borrow_clock);
    amy__buf_init(&run->events, is_reading(spec) ? LIST_MAX : EVENT_MAX);
    return run;
}

int
amy__run_start(struct amy__scheduler_site *site,
               const struct amy__job_spec *spec, char **command,
               struct amy__run **ret_run, struct amy_error *err)
{
    struct amy_scheduler *scheduler = site->borrow_scheduler;
    AMY_CLEANUP(amy__run_free_p)
    struct amy__run *run = new_run(site, spec, command);
    int rc = 0;

    if (run == NULL) {
        return amy__err(err, AMY_ENOMEM, "starting a job");
    }
    rc = amy__timer_create(scheduler->base, on_patience, run, &run->patience,
                           err);
    rc = rc < 0 ? rc
                : amy__timer_create(scheduler->base, on_deadline, run,
                                    &run->deadline, err);
    rc = rc < 0 ? rc : begin(run, err);
    if (rc < 0) {
        return rc;
    }
    run->number = ++scheduler->last_run;
    run->next = site->runs;
    site->runs = run;
    *ret_run = AMY_TAKE(run);
    return 0;
}

void
amy__run_stop(struct amy__run *run)
{
    if (run->over) {
        return;
    }
    if (run->child.pidfd >= 0) {
        run->asked_to_end = false; /* whoever asked: there is a new reason */
        end_process(run);
        return;
    }
    amy__env_cancel(run->env_job);
    run->env_job = NULL;
    finish(run, AMY_ECANCELED, "amy-backup stops");
}

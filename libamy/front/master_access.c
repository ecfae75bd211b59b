/* The master's part of closed sites: reading who gets in by a password, and the
 * one process that compares passwords with hashes, passed to and fro. */
/* Not for rules and answers: those are door.c's, in the front processes. */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "front/master.h"
#include "front/users.h"
#include "site/owner.h"
#include "site/report.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define KEY "access.users"

/* ---- the file ---- */

struct users_file {
    char path[PATH_MAX]; /* for messages */
    struct amy__report *report;
    struct stat st;
};

static void
report_file(const struct users_file *file, uint32_t line, const char *fault)
{
    struct amy__place place = {
        .line = line,
        .column = line == 0 ? 0 : 1,
        .key = KEY,
        .allowed = line == 0 ? NULL : "name:hash, as htpasswd -B writes it",
    };

    amy__report_error(file->report, &place, "%s", fault);
}

static void
on_fault(uint32_t line, const char *fault, void *user)
{
    report_file(user, line, fault);
}

/* Where it is: beside site.yaml, or anywhere. Returns its directory. */
static int
open_place(const struct amy__front_site *site, const char *users,
           const char **ret_name, struct amy_error *err)
{
    const char *slash = strrchr(users, '/');
    char directory[PATH_MAX];

    *ret_name = slash == NULL ? users : slash + 1;
    if (slash == NULL) {
        return amy__open_beneath(site->dir_fd, ".", O_PATH | O_DIRECTORY, 0,
                                 err);
    }
    if ((size_t)(slash - users) + 2 > sizeof(directory)) {
        return amy__err(err, AMY_EINVAL, "too long a path");
    }
    (void)snprintf(directory, sizeof(directory), "%.*s/", (int)(slash - users),
                   users);
    return amy__open_dir(directory, err);
}

/* Read, and judged as site.yaml is: who can write it decides who gets in. */
static int
read_file(struct amy_front *front, const struct amy__front_site *site,
          const char *users, struct users_file *file, struct amy__buf *text)
{
    const struct amy__site_rules rules = {front->as_person, geteuid(),
                                          front->settings->front_user};
    const char *name = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    AMY_CLEANUP(amy__close_p) int dir = open_place(site, users, &name, &err);
    struct amy__place place = {.key = KEY, .allowed = "mode 0600 or 0640"};
    int rc = dir < 0 ? dir
                     : amy__read_file_at(dir, name, AMY__USERS_BYTES, text,
                                         &file->st, &err);

    if (rc < 0) {
        report_file(file, 0, err.msg);
        return rc;
    }
    amy__owner_check_file(&rules, &file->st, file->path, file->report);
    amy__owner_check_chain(&rules, dir, file->report);
    if ((file->st.st_mode & S_IROTH) != 0) {
        amy__report_warning(file->report, &place,
                            "can be read by anybody (mode %04o)",
                            (unsigned)file->st.st_mode & 07777U);
    }
    return amy__report_is_clean(file->report) ? 0 : AMY_EDENIED;
}

static int
take_users(struct users_file *file, struct amy__span text, int *ret_fd,
           size_t *ret_count, struct amy_error *err)
{
    struct amy__users *users = NULL;
    int rc = amy__users_parse(text, on_fault, file, &users, err);

    if (rc < 0) {
        return rc;
    }
    *ret_count = amy__users_count(users);
    amy__users_free(users);
    if (*ret_count == 0) {
        struct amy__place place = {.key = KEY};

        amy__report_warning(file->report, &place,
                            "has no users: nobody gets in by a password");
    }
    *ret_fd = amy__sealed_memfd("amy-users", text.p, text.n, err);
    return *ret_fd < 0 ? *ret_fd : 0;
}

int
amy__front_users_read(struct amy_front *front,
                      const struct amy__front_site *site,
                      const struct amy__site *spec, amy_problem_fn on_problem,
                      void *user, int *ret_fd, size_t *ret_count,
                      struct amy_error *err)
{
    AMY_CLEANUP(amy__report_clear_p) struct amy__report report = {.count = 0};
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    struct users_file file = {.report = &report};
    int rc = 0;

    *ret_fd = -1;
    *ret_count = 0;
    if (spec->access_users == NULL) {
        return 0;
    }
    (void)snprintf(file.path, sizeof(file.path), "%s%s%s",
                   spec->access_users[0] == '/' ? "" : spec->domain,
                   spec->access_users[0] == '/' ? "" : "/", spec->access_users);
    amy__report_init(&report, file.path);
    amy__buf_init(&text, AMY__USERS_BYTES);
    /* What cannot be believed lets nobody in. */
    if (read_file(front, site, spec->access_users, &file, &text) == 0) {
        rc = take_users(&file, amy__buf_span(&text), ret_fd, ret_count, err);
    }
    (void)amy__report_finish(&report, AMY_EPARSE, on_problem, user, NULL);
    return rc;
}

/* ---- the checker ---- */

static void
tell_verdict(struct amy__front_process *process, uint64_t ask,
             const char *verdict)
{
    struct amy__json *json = amy__json_object();

    (void)amy__json_set(json, "ask", amy__json_int((int64_t)ask));
    if (amy__json_set(json, "verdict", amy__json_text(verdict)) == 0) {
        amy__front_tell(process, AMY__WIRE_CHECKED, json, NULL, 0);
    }
    amy__json_free(json);
}

/* Whose question it was; a process that died has asked nothing. */
static void
settle(struct amy__front_checker *checker, size_t place, const char *verdict)
{
    struct amy__front_ask *ask = &checker->asks[place];
    struct amy__front_process *process =
        &checker->front->processes[ask->process];

    ask->number = 0;
    if (process->incarnation == ask->incarnation) {
        tell_verdict(process, ask->their_number, verdict);
    }
}

static void
settle_all(struct amy__front_checker *checker)
{
    for (size_t i = 0; i < AMY__FRONT_ASKS; i++) {
        if (checker->asks[i].number != 0) {
            settle(checker, i, "none");
        }
    }
}

static void
lose_all(struct amy__front_checker *checker)
{
    amy__wire_free(checker->wire);
    checker->wire = NULL;
    settle_all(checker);
}

static void
on_message(struct amy__wire *wire, struct amy__wire_message *message,
           void *user)
{
    struct amy__front_checker *checker = user;
    uint64_t number = (uint64_t)amy__json_get_int(message->json, "ask", 0);

    (void)wire;
    for (size_t i = 0; number != 0 && message->type == AMY__WIRE_CHECKED &&
                       i < AMY__FRONT_ASKS;
         i++) {
        if (checker->asks[i].number == number) {
            settle(checker, i,
                   amy__json_get_text(message->json, "verdict", "none"));
            return;
        }
    }
}

static void
on_gone(struct amy__wire *wire, const struct amy_error *why, void *user)
{
    (void)wire;
    (void)why; /* its end is told by the pool */
    lose_all(user);
}

static const struct amy__wire_handler handler = {on_message, on_gone};

static void
on_event(struct amy_pool *pool, const struct amy_pool_event *event, void *user)
{
    struct amy__front_checker *checker = user;
    struct amy_error err = AMY_ERROR_INIT;

    if (event->type == AMY_POOL_EXITED) {
        lose_all(checker);
    } else if (event->type == AMY_POOL_STARTED) {
        if (amy__wire_create(checker->front->opts.base, event->channel_fd,
                             &handler, checker, &checker->wire, &err) < 0) {
            amy__log(&checker->front->log, AMY_LOG_ERROR,
                     "no password can be checked: %s", err.msg);
        }
        amy_pool_set_ready(pool, event->position, event->incarnation);
    }
}

static void
probe_nothing(struct amy_pool *pool, uint32_t position, uint64_t incarnation,
              void *user)
{
    (void)pool;
    (void)position;
    (void)incarnation;
    (void)user;
}

int
amy__front_checker_start(struct amy_front *front, struct amy_error *err)
{
    struct amy__front_checker *checker = &front->checker;
    const struct amy__front_children what = {
        .name = "passwords",
        .count = 1,
        .probe = probe_nothing,
        .on_event = on_event,
        .user = checker,
    };
    int rc = 0;

    if (checker->pool != NULL || front->stopping) {
        return 0;
    }
    checker->front = front;
    rc = amy__front_child_pool(front, &what, &checker->pool, err);
    return rc < 0 ? rc : amy_pool_start(checker->pool, err);
}

void
amy__front_checker_free(struct amy_front *front)
{
    amy_pool_free(front->checker.pool);
    front->checker.pool = NULL;
    amy__wire_free(front->checker.wire);
    front->checker.wire = NULL;
}

void
amy__front_checker_let_go(struct amy_front *front)
{
    settle_all(&front->checker);
}

void
amy__front_check(struct amy__front_process *process, struct amy__json *json)
{
    struct amy__front_checker *checker = &process->front->checker;
    uint64_t number = (uint64_t)amy__json_get_int(json, "ask", 0);

    for (size_t i = 0; checker->wire != NULL && i < AMY__FRONT_ASKS; i++) {
        struct amy__front_ask *ask = &checker->asks[i];

        if (ask->number != 0) {
            continue;
        }
        *ask = (struct amy__front_ask){.number = ++checker->last,
                                       .their_number = number,
                                       .process = process->index,
                                       .incarnation = process->incarnation};
        if (amy__json_set(json, "ask", amy__json_int((int64_t)ask->number)) <
                0 ||
            amy__wire_send(checker->wire, AMY__WIRE_CHECK, json, NULL, 0,
                           NULL) < 0) {
            settle(checker, i, "none");
        }
        return;
    }
    tell_verdict(process, number, "none"); /* too many, or nobody to ask */
}

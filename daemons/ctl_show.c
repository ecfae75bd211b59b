/* amyctl status for people. */
/* Not for asking the daemons: that is ctl_ask.c. */
#include "ctl_show.h"

#include "ctl_json.h"
#include "ctl_text.h"

#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#define SOON_MS (14LL * 86400000) /* a certificate that ends in two weeks */

static enum text_style
style_of_state(const char *state)
{
    static const char *const bad[] = {"failed", "killed", "closed"};

    if (strcmp(state, "ready") == 0 || strcmp(state, "open") == 0) {
        return TEXT_GOOD;
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (strcmp(state, bad[i]) == 0) {
            return TEXT_BAD;
        }
    }
    return TEXT_WARN;
}

static void
heading(struct table *table, const char *const *names)
{
    table_row(table);
    for (size_t i = 0; names[i] != NULL; i++) {
        table_cell(table, TEXT_FAINT, "%s", names[i]);
    }
}

/* A figure, or nothing where it says nothing. */
static void
duration_cell(struct table *table, int64_t ms)
{
    char text[32] = "";

    table_cell(table, TEXT_PLAIN, "%s",
               ms < 0 ? "-" : text_duration(ms, text, sizeof(text)));
}

static void
bytes_cell(struct table *table, int64_t bytes)
{
    char text[32] = "";

    table_cell(table, TEXT_PLAIN, "%s",
               bytes <= 0 ? "-" : text_bytes(bytes, text, sizeof(text)));
}

static void
pid_cell(struct table *table, int64_t pid)
{
    if (pid > 0) {
        table_cell(table, TEXT_PLAIN, "%" PRId64, pid);
    } else {
        table_cell(table, TEXT_PLAIN, "-");
    }
}

static void
daemon_row(struct table *table, const char *name, const json_t *part)
{
    const char *error = text_at(part, "error");
    char up[32] = "";

    table_row(table);
    table_cell(table, TEXT_BOLD, "%s", name);
    if (error[0] != '\0') {
        table_cell(table, TEXT_BAD, "down");
        table_cell(table, TEXT_PLAIN, "%s", error);
        return;
    }
    table_cell(table, TEXT_GOOD, "up %s",
               text_duration(int_at(part, "since_ms"), up, sizeof(up)));
    table_cell(table, TEXT_PLAIN, "%s, pid %" PRId64 "%s",
               text_at(part, "version"), int_at(part, "pid"),
               json_is_true(json_object_get(part, "as_person"))
                   ? ", all as the person who started it"
                   : "");
}

static void
show_processes(const json_t *front)
{
    static const char *const names[] = {
        "process",     "pid",  "state",    "age",      "memory",
        "connections", "idle", "requests", "restarts", NULL};
    const json_t *processes = json_object_get(front, "processes");
    const json_t *process = NULL;
    struct table *table = NULL;
    size_t i = 0;

    if (json_array_size(processes) == 0) {
        return;
    }
    table = table_create("lrlrrrrrr");
    heading(table, names);
    json_array_foreach(processes, i, process)
    {
        const char *state = text_at(process, "state");

        table_row(table);
        table_cell(table, TEXT_PLAIN, "front %" PRId64,
                   int_at(process, "position"));
        pid_cell(table, int_at(process, "pid"));
        table_cell(table, style_of_state(state), "%s", state);
        duration_cell(table, int_at(process, "age_ms"));
        bytes_cell(table, int_at(process, "rss_bytes"));
        table_cell(table, TEXT_PLAIN, "%" PRId64,
                   int_at(process, "connections"));
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(process, "idle"));
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(process, "requests"));
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(process, "restarts"));
    }
    text_print(TEXT_PLAIN, "\n");
    table_finish(table, "  ");
}

void
show_gate(const json_t *site)
{
    const json_t *gate = json_object_get(site, "gate");
    const char *state = text_at(gate, "state");
    const char *since = text_at(gate, "since");
    const char *by = text_at(gate, "by");
    char date[64] = "";

    text_print(TEXT_BOLD, "%s", text_at(site, "site"));
    if (strcmp(text_at(site, "stage"), "test") == 0) {
        text_print(TEXT_WARN, "  test");
    }
    if (state[0] == '\0') {
        text_print(TEXT_PLAIN, "\n");
        return;
    }
    text_print(TEXT_PLAIN, "  ");
    text_print(style_of_state(state), "%s", state);
    if (since[0] != '\0') {
        text_print(TEXT_PLAIN, " since %s",
                   text_date(since, date, sizeof(date)));
    }
    if (by[0] != '\0') {
        text_print(TEXT_PLAIN, " by %s", by);
    }
    text_print(TEXT_PLAIN, "\n");
    if (text_at(gate, "warning")[0] != '\0') {
        text_print(TEXT_WARN, "  warning: %s\n", text_at(gate, "warning"));
    }
}

static void
show_certificate(const json_t *certificate)
{
    const char *error = text_at(certificate, "error");
    const char *until = text_at(certificate, "not_after");
    int64_t left_ms = text_until(until);
    const json_t *name = NULL;
    char date[64] = "";
    char left[32] = "";
    size_t i = 0;

    if (error[0] != '\0') {
        text_print(TEXT_BAD, "  certificate: %s", error);
        text_print(
            TEXT_PLAIN, ", since %s\n",
            text_date(text_at(certificate, "error_since"), date, sizeof(date)));
    }
    if (until[0] == '\0') {
        return;
    }
    text_print(TEXT_FAINT, "  certificate");
    json_array_foreach(json_object_get(certificate, "names"), i, name)
    {
        text_print(TEXT_PLAIN, "%s%s", i == 0 ? " " : ", ",
                   json_string_value(name));
    }
    text_print(TEXT_PLAIN, ", %s, until %s", text_at(certificate, "key_type"),
               text_date(until, date, sizeof(date)));
    if (left_ms < 0 && left_ms != INT64_MIN) {
        text_print(TEXT_BAD, " (over)");
    } else if (left_ms >= 0) {
        text_print(left_ms < SOON_MS ? TEXT_WARN : TEXT_PLAIN, " (%s)",
                   text_duration(left_ms, left, sizeof(left)));
    }
    if (json_is_true(json_object_get(certificate, "self_signed"))) {
        text_print(TEXT_WARN, ", self-signed");
    } else {
        text_print(TEXT_PLAIN, ", by %s", text_at(certificate, "issuer"));
    }
    text_print(TEXT_PLAIN, "\n");
}

/* Where a pool stands beside others of its name. */
static const char *
mark_of(const json_t *pool)
{
    if (json_is_true(json_object_get(pool, "draining"))) {
        return " (old)";
    }
    return strcmp(text_at(pool, "role"), "next") == 0 ? " (new)" : "";
}

static void
worker_row(struct table *table, const json_t *pool, const json_t *worker)
{
    const char *state = text_at(worker, "state");

    table_row(table);
    table_cell(table, TEXT_PLAIN, "%s %" PRId64 "%s", text_at(pool, "name"),
               int_at(worker, "position"), mark_of(pool));
    pid_cell(table, int_at(worker, "pid"));
    table_cell(table, style_of_state(state), "%s", state);
    duration_cell(table, int_at(worker, "since_ms"));
    bytes_cell(table, int_at(worker, "rss_bytes"));
    table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(worker, "restarts"));
    table_cell(table, TEXT_PLAIN, "%s", text_at(worker, "reason"));
}

static void
show_workers(const json_t *pools)
{
    static const char *const names[] = {"worker", "pid",      "state", "for",
                                        "memory", "restarts", "",      NULL};
    struct table *table = NULL;
    const json_t *pool = NULL;
    size_t i = 0;

    if (json_array_size(pools) == 0) {
        return;
    }
    table = table_create("lrlrrrl");
    heading(table, names);
    json_array_foreach(pools, i, pool)
    {
        const json_t *worker = NULL;
        size_t j = 0;

        json_array_foreach(json_object_get(pool, "workers"), j, worker)
        {
            worker_row(table, pool, worker);
        }
    }
    table_finish(table, "  ");
}

/* Servers that no daemon of ours runs, beneath what they are together. */
static void
server_rows(struct table *table, const json_t *servers)
{
    const json_t *server = NULL;
    size_t i = 0;

    json_array_foreach(servers, i, server)
    {
        int64_t refused = int_at(server, "refused");

        table_row(table);
        table_cell(table, TEXT_PLAIN, "  %s", text_at(server, "address"));
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(server, "total"));
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(server, "busy"));
        table_cell(table, TEXT_PLAIN, "%s", "");
        table_cell(table, TEXT_PLAIN, "%s", "");
        table_cell(table, TEXT_PLAIN, "%s", "");
        if (refused > 0) {
            table_cell(table, TEXT_BAD, "refused %" PRId64 " in a row",
                       refused);
        }
    }
}

static void
show_slots(json_t *slots)
{
    static const char *const names[] = {"slots",  "total",  "busy", "tunnels",
                                        "queued", "oldest", "",     NULL};
    struct table *table = NULL;
    const json_t *slot = NULL;
    const char *pool = NULL;

    if (json_object_size(slots) == 0) {
        return;
    }
    table = table_create("lrrrrrl");
    heading(table, names);
    json_object_foreach(slots, pool, slot)
    {
        int64_t queued = int_at(slot, "queued");

        table_row(table);
        table_cell(table, TEXT_PLAIN, "%s", pool);
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(slot, "total"));
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(slot, "busy"));
        table_cell(table, TEXT_PLAIN, "%" PRId64, int_at(slot, "tunnels"));
        table_cell(table, queued > 0 ? TEXT_WARN : TEXT_PLAIN, "%" PRId64,
                   queued);
        duration_cell(table, queued > 0 ? int_at(slot, "oldest_ms") : -1);
        server_rows(table, json_object_get(slot, "servers"));
    }
    table_finish(table, "  ");
}

/* One line while there is something to tell. */
static void
show_reload(const json_t *site)
{
    const json_t *reload = json_object_get(site, "reload");
    const char *state = text_at(reload, "state");
    const char *reason = text_at(reload, "reason");
    char since[32] = "";

    if (state[0] == '\0' || strcmp(state, "idle") == 0 ||
        text_at(site, "error")[0] != '\0') {
        return;
    }
    text_print(TEXT_FAINT, "  reload ");
    text_print(strcmp(state, "failed") == 0 ? TEXT_BAD : TEXT_WARN, "%s",
               state);
    text_print(TEXT_PLAIN, ", generation %" PRId64 ", for %s%s%s\n",
               int_at(reload, "generation"),
               text_duration(int_at(reload, "since_ms"), since, sizeof(since)),
               reason[0] == '\0' ? "" : ": ", reason);
    if (strcmp(state, "failed") == 0 && text_at(reload, "release")[0] != '\0') {
        text_print(TEXT_WARN, "  warning: still served is %s\n",
                   text_at(reload, "release"));
    }
}

/* A refusal that names a problem is not told beside it. */
static bool
is_told_below(const char *error, const json_t *problems)
{
    const json_t *problem = NULL;
    size_t i = 0;

    json_array_foreach(problems, i, problem)
    {
        const char *message = text_at(problem, "message");

        if (message[0] != '\0' && strstr(error, message) != NULL) {
            return true;
        }
    }
    return false;
}

static void
show_certificates(const json_t *site)
{
    const json_t *certificates = json_object_get(site, "certificates");
    const char *wrong = text_at(json_object_get(site, "served"), "error");
    const json_t *certificate = NULL;
    const json_t *name = NULL;
    size_t i = 0;

    json_array_foreach(certificates, i, certificate)
    {
        show_certificate(certificate);
    }
    json_array_foreach(json_object_get(site, "uncovered"), i, name)
    {
        text_print(TEXT_WARN, "  warning: no certificate covers %s\n",
                   json_string_value(name));
    }
    if (wrong[0] != '\0') {
        text_print(TEXT_BAD, "  served: %s\n", wrong);
    }
}

static void
show_alarms(const json_t *backup)
{
    const json_t *alarm = NULL;
    char date[64] = "";
    size_t i = 0;

    json_array_foreach(json_object_get(backup, "alarms"), i, alarm)
    {
        text_print(TEXT_BAD, "  backup: %s", text_at(alarm, "message"));
        text_print(TEXT_PLAIN, ", since %s\n",
                   text_date(text_at(alarm, "since"), date, sizeof(date)));
    }
}

/* "  copy nas: 48 backups, the newest 12m old; 2 missing" */
static void
show_copy(const json_t *copy)
{
    int64_t newest_ms = text_until(text_at(copy, "newest"));
    int64_t missing = int_at(copy, "missing");
    char text[32] = "";
    char age[32] = "";

    text_print(TEXT_FAINT, "  copy");
    text_print(TEXT_PLAIN, " %s: ", text_at(copy, "name"));
    if (newest_ms == INT64_MIN) {
        text_print(TEXT_WARN, "nothing yet");
    } else {
        text_print(TEXT_PLAIN, "%" PRId64 " backups, %s, the newest %s old",
                   int_at(copy, "sets"),
                   text_bytes(int_at(copy, "bytes"), text, sizeof(text)),
                   text_duration(-newest_ms, age, sizeof(age)));
    }
    if (missing > 0) {
        text_print(TEXT_WARN, "; %" PRId64 " missing", missing);
    }
    if (json_is_object(json_object_get(copy, "running"))) {
        text_print(TEXT_WARN, "; under way");
    }
    if (text_at(copy, "failed")[0] != '\0') {
        text_print(TEXT_BAD, "; %s", text_at(copy, "failed"));
    }
    text_print(TEXT_PLAIN, "\n");
}

/* "backup 20261123T160000Z, parsed, 12m old; 48 of 1.2 GiB; next in 18m" */
static void
show_backup(const json_t *backup)
{
    const json_t *good = json_object_get(backup, "good");
    const json_t *running = json_object_get(backup, "running");
    int64_t age_ms = -text_until(text_at(good, "started"));
    int64_t next_ms = text_until(text_at(backup, "next"));
    const json_t *copy = NULL;
    char text[32] = "";
    size_t i = 0;

    if (backup == NULL) {
        return;
    }
    show_alarms(backup);
    text_print(TEXT_FAINT, "  backup");
    if (json_is_object(good)) {
        text_print(TEXT_PLAIN, " %s, %s, %s old", text_at(good, "name"),
                   text_at(good, "verdict"),
                   text_duration(age_ms, text, sizeof(text)));
    } else {
        text_print(TEXT_WARN, " none");
    }
    text_print(TEXT_PLAIN, "; %" PRId64 " in all, %s", int_at(backup, "sets"),
               text_bytes(int_at(backup, "bytes"), text, sizeof(text)));
    if (next_ms != INT64_MIN) {
        text_print(TEXT_PLAIN, "; next in %s",
                   text_duration(next_ms, text, sizeof(text)));
    }
    if (json_is_object(running)) {
        text_print(TEXT_WARN, "; %s under way", text_at(running, "action"));
    }
    text_print(TEXT_PLAIN, "\n");
    json_array_foreach(json_object_get(backup, "copies"), i, copy)
    {
        show_copy(copy);
    }
    if (int_at(backup, "ahead") > 0) {
        text_print(TEXT_WARN,
                   "  backup: %" PRId64 " dated in the future do not count: a "
                   "clock was wrong\n",
                   int_at(backup, "ahead"));
    }
}

/* "  closed to strangers: 3 by password, 1 network" */
static void
show_access(const json_t *access)
{
    int64_t users = int_at(access, "users");
    int64_t networks = int_at(access, "networks");

    if (!json_is_object(access)) {
        return;
    }
    text_print(TEXT_FAINT, "  closed to strangers");
    if (users == 0 && networks == 0) {
        text_print(TEXT_WARN, ": nobody gets in; give access.users or "
                              "access.allow in site.yaml\n");
        return;
    }
    text_print(TEXT_PLAIN, ": %" PRId64 " by password, %" PRId64 " network%s\n",
               users, networks, networks == 1 ? "" : "s");
}

static void
show_site(const json_t *site)
{
    const char *error = text_at(site, "error");
    int64_t lost = int_at(site, "output_lost");
    const json_t *problems = json_object_get(site, "problems");
    const json_t *problem = NULL;
    size_t i = 0;

    text_print(TEXT_PLAIN, "\n");
    show_gate(site);
    show_access(json_object_get(site, "access"));
    if (error[0] != '\0' && !is_told_below(error, problems)) {
        text_print(TEXT_BAD, "  error: %s\n", error);
    }
    if (lost > 0) {
        text_print(TEXT_WARN,
                   "  warning: %" PRId64 " lines of output could not be "
                   "written\n",
                   lost);
    }
    show_reload(site);
    if (json_is_true(json_object_get(site, "changed_in_place"))) {
        text_print(TEXT_WARN, "  warning: repo/ has changed in place: a reload "
                              "is pending\n");
    }
    show_certificates(site);
    show_backup(json_object_get(site, "backup"));
    json_array_foreach(problems, i, problem)
    {
        text_problem(problem, "  ");
    }
    show_workers(json_object_get(site, "pools"));
    show_slots(json_object_get(site, "slots"));
    show_redis(json_object_get(site, "redis"));
}

/* What is not as `amyctl` and the packages would have it. */
static void
show_upgrade(const char *name, const json_t *part)
{
    const json_t *upgrade = json_object_get(part, "upgrade");
    const char *refusal = text_at(upgrade, "refusal");
    size_t leaving = json_array_size(json_object_get(part, "leaving"));

    if (refusal[0] != '\0') {
        text_print(TEXT_BAD, "  %s: upgrade refused: %s\n", name, refusal);
    }
    if (leaving > 0) {
        text_print(TEXT_PLAIN,
                   "  %s: %zu processes of the program before finish what "
                   "they have\n",
                   name, leaving);
    }
}

void
show_status(const json_t *merged)
{
    static const char *const daemons[] = {"front", "workers", "backup"};
    const json_t *sites = json_object_get(merged, "sites");
    struct table *table = table_create("lll");
    const json_t *site = NULL;
    size_t i = 0;

    daemon_row(table, "amy-front", json_object_get(merged, "front"));
    daemon_row(table, "amy-workers", json_object_get(merged, "workers"));
    if (json_object_get(merged, "backup") != NULL) {
        daemon_row(table, "amy-backup", json_object_get(merged, "backup"));
    }
    table_finish(table, "");
    for (size_t d = 0; d < sizeof(daemons) / sizeof(daemons[0]); d++) {
        show_upgrade(daemons[d], json_object_get(merged, daemons[d]));
    }
    show_processes(json_object_get(merged, "front"));
    json_array_foreach(sites, i, site)
    {
        show_site(site);
    }
    if (json_array_size(sites) == 0) {
        text_print(TEXT_PLAIN, "\nno sites\n");
    }
}

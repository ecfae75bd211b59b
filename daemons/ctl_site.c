/* amyctl status, maintenance, reload, restart: asks the daemons and prints. */
/* Not for anything it would have to know itself: the daemons decide. */
#include "ctl_site.h"

#include "ctl_ask.h"
#include "ctl_show.h"
#include "ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STATUS_MS 10000U
#define CHANGE_MS 60000U
/* A reload takes as long as a site's workers take to start, one by one. The
 * daemon answers in any case; a day only ends the wait for one that is stuck.
 */
#define RELOAD_MS 86400000U

static void
set_ask(struct ask *ask, const char *daemon, const char *method,
        uint32_t timeout_ms)
{
    *ask = (struct ask){
        .daemon = daemon, .method = method, .timeout_ms = timeout_ms};
}

/* Front, workers, and amy-backup, which not every host has. */
#define STATUS_ASKS 3

/* Ask the daemons how they are. asks[0]: front. EXIT_SUCCESS when at least one
 * answered. */
static int
ask_status(const struct ctl *ctl, struct ask asks[STATUS_ASKS])
{
    set_ask(&asks[0], "front", "GET", STATUS_MS);
    set_ask(&asks[1], "workers", "GET", STATUS_MS);
    set_ask(&asks[2], "backup", "GET", STATUS_MS);
    for (size_t i = 0; i < STATUS_ASKS; i++) {
        (void)snprintf(asks[i].path, sizeof(asks[i].path), "/v1/status");
    }
    if (ask_all(ctl->run, asks, STATUS_ASKS) < 0) {
        return ctl_fail("making an event base failed");
    }
    if (ask_succeeded(&asks[0]) || ask_succeeded(&asks[1]) ||
        ask_succeeded(&asks[2])) {
        return EXIT_SUCCESS;
    }
    ask_complain(&asks[0], ctl->run, "");
    ask_complain(&asks[1], ctl->run, "");
    return EXIT_FAILURE;
}

static const char *
reason_of(const struct ask *ask, char buf[320])
{
    if (ask->code != 0) {
        (void)snprintf(buf, 320, "%s%s",
                       ask_found_nobody(ask) ? "does not run: " : "",
                       ask->reason);
    } else {
        (void)snprintf(buf, 320, "answers with HTTP status %u", ask->status);
    }
    return buf;
}

static json_t *
merge(const struct ask asks[STATUS_ASKS], const char *site)
{
    char front[320] = "";
    char workers[320] = "";
    json_t *merged = NULL;

    merged = show_merge(ask_succeeded(&asks[0]) ? asks[0].json : NULL,
                        reason_of(&asks[0], front),
                        ask_succeeded(&asks[1]) ? asks[1].json : NULL,
                        reason_of(&asks[1], workers), site);
    if (ask_succeeded(&asks[2])) {
        show_add(merged, "backup", asks[2].json, site);
    }
    return merged;
}

/* A daemon that is there and does not answer is a failure, whatever the others
 * say; one that does not run is what the status tells. */
static int
complain_of_refusals(const struct ctl *ctl, const struct ask asks[STATUS_ASKS])
{
    int code = EXIT_SUCCESS;

    for (size_t i = 0; i < STATUS_ASKS; i++) {
        if (!ask_succeeded(&asks[i]) && !ask_found_nobody(&asks[i])) {
            ask_complain(&asks[i], ctl->run, "");
            code = EXIT_FAILURE;
        }
    }
    return code;
}

int
ctl_status(const struct ctl *ctl, int argc, char **argv)
{
    const char *site = argc > 0 ? argv[0] : NULL;
    struct ask asks[STATUS_ASKS];
    json_t *merged = NULL;
    int code = ask_status(ctl, asks);

    if (code == EXIT_SUCCESS) {
        code = complain_of_refusals(ctl, asks);
        merged = merge(asks, site);
        if (site != NULL &&
            json_array_size(json_object_get(merged, "sites")) == 0) {
            code = ctl_no_such_site(site);
        } else if (ctl->json) {
            (void)json_dumpf(merged, stdout, JSON_INDENT(2));
            (void)printf("\n");
        } else {
            show_status(merged);
        }
    }
    json_decref(merged);
    ask_clear(asks, STATUS_ASKS);
    return code;
}

static int
show_gate_of(const struct ctl *ctl, const char *site)
{
    struct ask asks[STATUS_ASKS];
    json_t *merged = NULL;
    int code = ask_status(ctl, asks);

    if (code == EXIT_SUCCESS && !ask_succeeded(&asks[0])) {
        ask_complain(&asks[0], ctl->run, site);
        code = EXIT_FAILURE;
    } else if (code == EXIT_SUCCESS) {
        merged = merge(asks, site);
        if (json_array_size(json_object_get(merged, "sites")) == 0) {
            code = ctl_no_such_site(site);
        } else {
            show_gate(json_array_get(json_object_get(merged, "sites"), 0));
        }
    }
    json_decref(merged);
    ask_clear(asks, STATUS_ASKS);
    return code;
}

static int
ask_for_change(const struct ctl *ctl, struct ask *asks, size_t n,
               const char *subject)
{
    int code = 0;

    if (ask_all(ctl->run, asks, n) < 0) {
        return ctl_fail("making an event base failed");
    }
    for (size_t i = 0; i < n; i++) {
        if (!ask_succeeded(&asks[i])) {
            ask_complain(&asks[i], ctl->run, subject);
            code = EXIT_FAILURE;
        }
    }
    ask_clear(asks, n);
    return code;
}

int
ctl_maintenance(const struct ctl *ctl, int argc, char **argv)
{
    const char *word = argv[0];
    const char *site = argv[1];
    bool on = strcmp(word, "on") == 0;
    struct ask ask;
    int code = 0;

    (void)argc;
    if (!ctl_is_name(site)) {
        return ctl_no_such_site(site);
    }
    if (strcmp(word, "status") == 0) {
        return show_gate_of(ctl, site);
    }
    if (!on && strcmp(word, "off") != 0) {
        (void)fprintf(stderr, "amyctl: maintenance is on, off or status\n");
        return EXIT_USAGE;
    }
    set_ask(&ask, "front", "PUT", CHANGE_MS);
    ask.body = on ? "{\"state\":\"closed\"}" : "{\"state\":\"open\"}";
    (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/gate", site);
    code = ask_for_change(ctl, &ask, 1, site);
    if (code == EXIT_SUCCESS) {
        text_print(TEXT_BOLD, "%s", site);
        text_print(TEXT_PLAIN, "  is %s\n",
                   on ? "closed for maintenance" : "open");
    }
    return code;
}

/* ---- reload ---- */

static const char *only;

const struct ctl_option ctl_reload_options[] = {{"only", 0, &only, NULL},
                                                {NULL, 0, NULL, NULL}};

struct progress {
    const struct ctl *ctl;
    const char *site;
    char state[32];
};

/* A line for each phase as it comes. What cannot be asked is not shown. */
static void
show_progress(void *user)
{
    struct progress *progress = user;
    const char *state = NULL;
    const json_t *site = NULL;
    struct ask ask;
    size_t i = 0;

    set_ask(&ask, "workers", "GET", STATUS_MS);
    (void)snprintf(ask.path, sizeof(ask.path), "/v1/status");
    if (ask_all(progress->ctl->run, &ask, 1) < 0) {
        return;
    }
    json_array_foreach(json_object_get(ask.json, "sites"), i, site)
    {
        const char *name = json_string_value(json_object_get(site, "site"));

        if (name != NULL && strcmp(name, progress->site) == 0) {
            state = json_string_value(
                json_object_get(json_object_get(site, "reload"), "state"));
        }
    }
    if (state != NULL && strcmp(state, "idle") != 0 &&
        strcmp(state, "failed") != 0 && strcmp(state, progress->state) != 0) {
        (void)snprintf(progress->state, sizeof(progress->state), "%s", state);
        text_print(TEXT_BOLD, "%s", progress->site);
        text_print(TEXT_FAINT, "  %s\n", state);
        (void)fflush(stdout);
    }
    ask_clear(&ask, 1);
}

static void
show_reloaded(const char *site, const json_t *answer)
{
    const json_t *generation = json_object_get(answer, "generation");
    const json_t *draining = json_object_get(answer, "draining");
    const json_t *pool = NULL;
    size_t i = 0;

    text_print(TEXT_BOLD, "%s", site == NULL ? "all sites" : site);
    text_print(TEXT_PLAIN, "  reloaded");
    if (json_is_integer(generation)) {
        text_print(TEXT_PLAIN, ", generation %" JSON_INTEGER_FORMAT,
                   json_integer_value(generation));
    }
    json_array_foreach(draining, i, pool)
    {
        text_print(TEXT_PLAIN, "%s %s", i == 0 ? "; still draining:" : ",",
                   json_string_value(pool));
    }
    text_print(TEXT_PLAIN, "\n");
}

static void
set_reload(struct ask *ask, const char *daemon, const char *site)
{
    set_ask(ask, daemon, "POST",
            strcmp(daemon, "workers") == 0 ? RELOAD_MS : CHANGE_MS);
    if (site == NULL) {
        (void)snprintf(ask->path, sizeof(ask->path), "/v1/reload");
    } else {
        (void)snprintf(ask->path, sizeof(ask->path), "/v1/sites/%s/reload",
                       site);
    }
}

/* Not every host has amy-backup: nobody there is no failure. */
static int
reload_backup(const struct ctl *ctl, const char *site)
{
    struct ask ask;
    int code = EXIT_SUCCESS;

    set_reload(&ask, "backup", site);
    if (ask_all(ctl->run, &ask, 1) < 0) {
        return ctl_fail("making an event base failed");
    }
    if (!ask_succeeded(&ask) && !ask_found_nobody(&ask)) {
        ask_complain(&ask, ctl->run, site == NULL ? "" : site);
        code = EXIT_FAILURE;
    }
    ask_clear(&ask, 1);
    return code;
}

/* Has the site, or any, no workers as far as amy-front knows? */
static bool
needs_no_workers(const struct ask *front)
{
    const json_t *pools = json_object_get(front->json, "pools");

    return ask_succeeded(front) && json_is_integer(pools) &&
           json_integer_value(pools) == 0;
}

/* Complain about what failed. amy-front that does not run has nothing to
 * change: it reads everything when it starts, and a host where an nginx stands
 * before the workers has none. amy-workers that does not run is missed where
 * there are workers: who asks for a reload has new code that should run now. */
static int
judge_reload(const struct ctl *ctl, const struct ask asks[2],
             const char *subject)
{
    const struct ask *front = &asks[0];
    const struct ask *workers = &asks[1];
    int code = EXIT_SUCCESS;

    if (!ask_succeeded(front)) {
        ask_complain(front, ctl->run, subject);
        code = ask_found_nobody(front) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (!ask_succeeded(workers) &&
        !(ask_found_nobody(workers) && needs_no_workers(front))) {
        ask_complain(workers, ctl->run, subject);
        code = EXIT_FAILURE;
    }
    return code;
}

/* What the unit of one daemon wants of its own. */
static int
reload_one(const struct ctl *ctl, const char *daemon, const char *site)
{
    struct ask ask;
    int code = 0;

    if (strcmp(daemon, "front") != 0 && strcmp(daemon, "workers") != 0 &&
        strcmp(daemon, "backup") != 0) {
        return ctl_usage("--only front, workers or backup, and not ", daemon);
    }
    set_reload(&ask, daemon, site);
    code = ask_for_change(ctl, &ask, 1, site == NULL ? "" : site);
    if (code == EXIT_SUCCESS) {
        text_print(TEXT_BOLD, "%s", site == NULL ? "all sites" : site);
        text_print(TEXT_PLAIN, "  reloaded by amy-%s\n", daemon);
    }
    return code;
}

int
ctl_reload(const struct ctl *ctl, int argc, char **argv)
{
    const char *site = argc > 0 ? argv[0] : NULL;
    struct progress progress = {.ctl = ctl, .site = site};
    const struct ask_meanwhile meanwhile = {show_progress, &progress};
    struct ask asks[2];
    int code = 0;

    if (site != NULL && !ctl_is_name(site)) {
        return ctl_no_such_site(site);
    }
    if (only != NULL) {
        return reload_one(ctl, only, site);
    }
    set_reload(&asks[0], "front", site);
    set_reload(&asks[1], "workers", site);
    if (ask_all_while(ctl->run, asks, 2, site == NULL ? NULL : &meanwhile) <
        0) {
        return ctl_fail("making an event base failed");
    }
    code = judge_reload(ctl, asks, site == NULL ? "" : site);
    if (code == EXIT_SUCCESS) {
        show_reloaded(site, asks[1].json);
        code = reload_backup(ctl, site);
    }
    ask_clear(asks, 2);
    return code;
}

static int
restart_pool(const struct ctl *ctl, const char *site, const char *pool)
{
    struct ask ask;
    int code = 0;

    if (!ctl_is_name(pool)) {
        (void)fprintf(stderr, "amyctl: there is no pool '%s'\n", pool);
        return EXIT_FAILURE;
    }
    set_ask(&ask, "workers", "POST", CHANGE_MS);
    (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/pools/%s/restart",
                   site, pool);
    code = ask_for_change(ctl, &ask, 1, site);
    if (code == EXIT_SUCCESS) {
        text_print(TEXT_BOLD, "%s", site);
        text_print(TEXT_PLAIN, "  pool %s restarts\n", pool);
    }
    return code;
}

/* Without a pool: all that the site has, but for those that end by themselves.
 */
static int
restart_each(const struct ctl *ctl, const char *site, const json_t *pools)
{
    const json_t *pool = NULL;
    size_t asked = 0;
    size_t i = 0;
    int code = EXIT_SUCCESS;

    json_array_foreach(pools, i, pool)
    {
        const char *name = json_string_value(json_object_get(pool, "name"));

        if (name == NULL || json_is_true(json_object_get(pool, "draining"))) {
            continue;
        }
        asked++;
        if (restart_pool(ctl, site, name) != EXIT_SUCCESS) {
            code = EXIT_FAILURE;
        }
    }
    if (asked == 0) {
        (void)fprintf(stderr, "amyctl: site '%s' has no workers\n", site);
        return EXIT_FAILURE;
    }
    return code;
}

static int
restart_all(const struct ctl *ctl, const char *site)
{
    struct ask asks[STATUS_ASKS];
    json_t *merged = NULL;
    int code = ask_status(ctl, asks);

    if (code == EXIT_SUCCESS && !ask_succeeded(&asks[1])) {
        ask_complain(&asks[1], ctl->run, site);
        code = EXIT_FAILURE;
    }
    if (code == EXIT_SUCCESS) {
        const json_t *sites = NULL;

        merged = merge(asks, site);
        sites = json_object_get(merged, "sites");
        code = json_array_size(sites) == 0
                   ? ctl_no_such_site(site)
                   : restart_each(
                         ctl, site,
                         json_object_get(json_array_get(sites, 0), "pools"));
    }
    json_decref(merged);
    ask_clear(asks, STATUS_ASKS);
    return code;
}

int
ctl_restart(const struct ctl *ctl, int argc, char **argv)
{
    if (!ctl_is_name(argv[0])) {
        return ctl_no_such_site(argv[0]);
    }
    return argc > 1 ? restart_pool(ctl, argv[0], argv[1])
                    : restart_all(ctl, argv[0]);
}

/* amyctl: asks the daemons over their control sockets and prints. */
/* Not for anything it would have to know itself: the daemons decide. */
#include <amy/error.h>
#include <amy/version.h>

#include "ctl_ask.h"
#include "ctl_backup.h"
#include "ctl_logs.h"
#include "ctl_show.h"
#include "ctl_text.h"

#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define EXIT_USAGE 2
#define STATUS_MS 10000U
#define CHANGE_MS 60000U
/* A reload takes as long as a site's workers take to start, one by one. The
 * daemon answers in any case; a day only ends the wait for one that is stuck.
 */
#define RELOAD_MS 86400000U

struct options {
    const char *run;
    bool json;
    bool dry_run;
    bool drill;
    const char *to;
    const char *copy;
    const char *purpose;
    const char *verdict;
    struct logs_options logs;
};

typedef int (*command_fn)(const struct options *options, int argc, char **argv);

struct command {
    const char *name;
    int min; /* arguments */
    int max;
    command_fn fn;
    const char *usage;
    const char *help;
};

static int
fail(const char *what)
{
    (void)fprintf(stderr, "amyctl: %s\n", what);
    return EXIT_FAILURE;
}

/* What a name in a path may have: nothing that would need encoding. */
static bool
is_name(const char *text)
{
    return text[0] != '\0' && strlen(text) < 256 &&
           strspn(text, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789.-_") == strlen(text);
}

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
ask_status(const struct options *options, struct ask asks[STATUS_ASKS])
{
    set_ask(&asks[0], "front", "GET", STATUS_MS);
    set_ask(&asks[1], "workers", "GET", STATUS_MS);
    set_ask(&asks[2], "backup", "GET", STATUS_MS);
    for (size_t i = 0; i < STATUS_ASKS; i++) {
        (void)snprintf(asks[i].path, sizeof(asks[i].path), "/v1/status");
    }
    if (ask_all(options->run, asks, STATUS_ASKS) < 0) {
        return fail("making an event base failed");
    }
    if (ask_succeeded(&asks[0]) || ask_succeeded(&asks[1]) ||
        ask_succeeded(&asks[2])) {
        return EXIT_SUCCESS;
    }
    ask_complain(&asks[0], options->run, "");
    ask_complain(&asks[1], options->run, "");
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
complain_of_refusals(const struct options *options,
                     const struct ask asks[STATUS_ASKS])
{
    int code = EXIT_SUCCESS;

    for (size_t i = 0; i < STATUS_ASKS; i++) {
        if (!ask_succeeded(&asks[i]) && !ask_found_nobody(&asks[i])) {
            ask_complain(&asks[i], options->run, "");
            code = EXIT_FAILURE;
        }
    }
    return code;
}

static int
no_such_site(const char *site)
{
    (void)fprintf(stderr, "amyctl: there is no site '%s'\n", site);
    return EXIT_FAILURE;
}

static int
run_status(const struct options *options, int argc, char **argv)
{
    const char *site = argc > 0 ? argv[0] : NULL;
    struct ask asks[STATUS_ASKS];
    json_t *merged = NULL;
    int code = ask_status(options, asks);

    if (code == EXIT_SUCCESS) {
        code = complain_of_refusals(options, asks);
        merged = merge(asks, site);
        if (site != NULL &&
            json_array_size(json_object_get(merged, "sites")) == 0) {
            code = no_such_site(site);
        } else if (options->json) {
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
show_gate_of(const struct options *options, const char *site)
{
    struct ask asks[STATUS_ASKS];
    json_t *merged = NULL;
    int code = ask_status(options, asks);

    if (code == EXIT_SUCCESS && !ask_succeeded(&asks[0])) {
        ask_complain(&asks[0], options->run, site);
        code = EXIT_FAILURE;
    } else if (code == EXIT_SUCCESS) {
        merged = merge(asks, site);
        if (json_array_size(json_object_get(merged, "sites")) == 0) {
            code = no_such_site(site);
        } else {
            show_gate(json_array_get(json_object_get(merged, "sites"), 0));
        }
    }
    json_decref(merged);
    ask_clear(asks, STATUS_ASKS);
    return code;
}

static int
ask_for_change(const struct options *options, struct ask *asks, size_t n,
               const char *subject)
{
    int code = 0;

    if (ask_all(options->run, asks, n) < 0) {
        return fail("making an event base failed");
    }
    for (size_t i = 0; i < n; i++) {
        if (!ask_succeeded(&asks[i])) {
            ask_complain(&asks[i], options->run, subject);
            code = EXIT_FAILURE;
        }
    }
    ask_clear(asks, n);
    return code;
}

static int
run_maintenance(const struct options *options, int argc, char **argv)
{
    const char *word = argv[0];
    const char *site = argv[1];
    bool on = strcmp(word, "on") == 0;
    struct ask ask;
    int code = 0;

    (void)argc;
    if (!is_name(site)) {
        return no_such_site(site);
    }
    if (strcmp(word, "status") == 0) {
        return show_gate_of(options, site);
    }
    if (!on && strcmp(word, "off") != 0) {
        (void)fprintf(stderr, "amyctl: maintenance is on, off or status\n");
        return EXIT_USAGE;
    }
    set_ask(&ask, "front", "PUT", CHANGE_MS);
    ask.body = on ? "{\"state\":\"closed\"}" : "{\"state\":\"open\"}";
    (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/gate", site);
    code = ask_for_change(options, &ask, 1, site);
    if (code == EXIT_SUCCESS) {
        text_print(TEXT_BOLD, "%s", site);
        text_print(TEXT_PLAIN, "  is %s\n",
                   on ? "closed for maintenance" : "open");
    }
    return code;
}

/* ---- reload ---- */

struct progress {
    const struct options *options;
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
    if (ask_all(progress->options->run, &ask, 1) < 0) {
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

/* Not every host has amy-backup: nobody there is no failure. */
static int
reload_backup(const struct options *options, const char *site)
{
    struct ask ask;
    int code = EXIT_SUCCESS;

    set_ask(&ask, "backup", "POST", CHANGE_MS);
    if (site == NULL) {
        (void)snprintf(ask.path, sizeof(ask.path), "/v1/reload");
    } else {
        (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/reload", site);
    }
    if (ask_all(options->run, &ask, 1) < 0) {
        return fail("making an event base failed");
    }
    if (!ask_succeeded(&ask) && !ask_found_nobody(&ask)) {
        ask_complain(&ask, options->run, site == NULL ? "" : site);
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
judge_reload(const struct options *options, const struct ask asks[2],
             const char *subject)
{
    const struct ask *front = &asks[0];
    const struct ask *workers = &asks[1];
    int code = EXIT_SUCCESS;

    if (!ask_succeeded(front)) {
        ask_complain(front, options->run, subject);
        code = ask_found_nobody(front) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (!ask_succeeded(workers) &&
        !(ask_found_nobody(workers) && needs_no_workers(front))) {
        ask_complain(workers, options->run, subject);
        code = EXIT_FAILURE;
    }
    return code;
}

static int
run_reload(const struct options *options, int argc, char **argv)
{
    const char *site = argc > 0 ? argv[0] : NULL;
    struct progress progress = {.options = options, .site = site};
    const struct ask_meanwhile meanwhile = {show_progress, &progress};
    struct ask asks[2];
    int code = 0;

    if (site != NULL && !is_name(site)) {
        return no_such_site(site);
    }
    set_ask(&asks[0], "front", "POST", CHANGE_MS);
    set_ask(&asks[1], "workers", "POST", RELOAD_MS);
    for (size_t i = 0; i < 2; i++) {
        if (site == NULL) {
            (void)snprintf(asks[i].path, sizeof(asks[i].path), "/v1/reload");
        } else {
            (void)snprintf(asks[i].path, sizeof(asks[i].path),
                           "/v1/sites/%s/reload", site);
        }
    }
    if (ask_all_while(options->run, asks, 2, site == NULL ? NULL : &meanwhile) <
        0) {
        return fail("making an event base failed");
    }
    code = judge_reload(options, asks, site == NULL ? "" : site);
    if (code == EXIT_SUCCESS) {
        show_reloaded(site, asks[1].json);
        code = reload_backup(options, site);
    }
    ask_clear(asks, 2);
    return code;
}

static int
restart_pool(const struct options *options, const char *site, const char *pool)
{
    struct ask ask;
    int code = 0;

    if (!is_name(pool)) {
        (void)fprintf(stderr, "amyctl: there is no pool '%s'\n", pool);
        return EXIT_FAILURE;
    }
    set_ask(&ask, "workers", "POST", CHANGE_MS);
    (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/pools/%s/restart",
                   site, pool);
    code = ask_for_change(options, &ask, 1, site);
    if (code == EXIT_SUCCESS) {
        text_print(TEXT_BOLD, "%s", site);
        text_print(TEXT_PLAIN, "  pool %s restarts\n", pool);
    }
    return code;
}

/* Without a pool: all that the site has, but for those that end by themselves.
 */
static int
restart_each(const struct options *options, const char *site,
             const json_t *pools)
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
        if (restart_pool(options, site, name) != EXIT_SUCCESS) {
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
restart_all(const struct options *options, const char *site)
{
    struct ask asks[STATUS_ASKS];
    json_t *merged = NULL;
    int code = ask_status(options, asks);

    if (code == EXIT_SUCCESS && !ask_succeeded(&asks[1])) {
        ask_complain(&asks[1], options->run, site);
        code = EXIT_FAILURE;
    }
    if (code == EXIT_SUCCESS) {
        const json_t *sites = NULL;

        merged = merge(asks, site);
        sites = json_object_get(merged, "sites");
        code = json_array_size(sites) == 0
                   ? no_such_site(site)
                   : restart_each(
                         options, site,
                         json_object_get(json_array_get(sites, 0), "pools"));
    }
    json_decref(merged);
    ask_clear(asks, STATUS_ASKS);
    return code;
}

static int
run_restart(const struct options *options, int argc, char **argv)
{
    if (!is_name(argv[0])) {
        return no_such_site(argv[0]);
    }
    return argc > 1 ? restart_pool(options, argv[0], argv[1])
                    : restart_all(options, argv[0]);
}

static int
run_backup(const struct options *options, int argc, char **argv)
{
    struct backup_options backup = {.run = options->run,
                                    .json = options->json,
                                    .dry_run = options->dry_run,
                                    .drill = options->drill,
                                    .to = options->to,
                                    .copy = options->copy,
                                    .purpose = options->purpose,
                                    .verdict = options->verdict};

    return ctl_backup(&backup, argc, argv);
}

static int
run_logs(const struct options *options, int argc, char **argv)
{
    struct logs_options logs = options->logs;

    (void)argc;
    if (!is_name(argv[0])) {
        return no_such_site(argv[0]);
    }
    logs.site = argv[0];
    logs.json = options->json;
    return ctl_logs(&logs);
}

static const struct command commands[] = {
    {"status", 0, 1, run_status, "status [SITE] [--json]",
     "sites, gates, workers, certificates, problems"},
    {"maintenance", 2, 2, run_maintenance, "maintenance on|off|status SITE",
     "close a site with its page, open it again"},
    {"reload", 0, 1, run_reload, "reload [SITE]",
     "new code and settings take over, or nothing changes"},
    {"restart", 1, 2, run_restart, "restart SITE [POOL]",
     "start the workers anew"},
    {"backup", 2, 3, run_backup, "backup WHAT SITE [BACKUP]",
     "now, check, list, show, verify, restore, pin, unpin, accept, prune,\n"
     "                                   copy, fetch"},
    {"logs", 1, 1, run_logs, "logs SITE [-f] [-n N] [OPTION...]",
     "all logs of a site, old and packed ones too, by time"},
};
#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

static void
print_help(void)
{
    (void)printf("usage: amyctl [OPTION...] COMMAND\n\n");
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        (void)printf("  %-32s %s\n", commands[i].usage, commands[i].help);
    }
    (void)printf(
        "\n"
        "  --run DIR    where the control sockets are"
        " [$RUNTIME_DIRECTORY, /run/amy]\n"
        "  --webapps DIR  where the sites are [/webapps]; for logs\n"
        "  --json       status, logs: for programs; of a backup its progress, too,\n"
        "               an object a line\n"
        "  --dry-run    backup prune: only say what would go\n"
        "  --drill      backup verify: restore it into a throw-away cluster\n"
        "  --to NAME    backup restore: into this database, which is empty\n"
        "  --copy NAME, --from NAME\n"
        "               backup copy, verify, fetch, restore: the copy off the\n"
        "               host, as site.yaml calls it\n"
        "  --for deploy backup now: the one before a deployment, if the site\n"
        "               wants one\n"
        "  --verdict V  backup now: fails below parsed, or restored\n"
        "  -f, --follow logs: go on with what is written\n"
        "  -n, --lines N\n"
        "               logs: the last N lines [all; 10 with -f]\n"
        "  --since WHEN, --until WHEN\n"
        "               logs: 30m, 2h, 1d12h (ago), 20:15, 2026-11-26,\n"
        "               '2026-11-26 20:15', 2026-11-26T20:15:00Z\n"
        "  --grep RE    logs: lines that match this extended regular expression,\n"
        "               and what continues them\n"
        "  --component LIST\n"
        "               logs: of access,error,workers,backup,deploy\n"
        "  --help       show this\n"
        "  --version    show the version\n\n"
        "--config and --state are taken, so that one set of options\n"
        "fits all programs, and not needed here.\n\n"
        "exit: 0 done, 1 refused or failed, 2 not understood\n");
}

static int
usage(const char *what, const char *value)
{
    if (what != NULL) {
        (void)fprintf(stderr, "amyctl: %s%s\n", what, value);
    }
    (void)fprintf(stderr, "try 'amyctl --help'\n");
    return EXIT_USAGE;
}

enum option_id {
    OPTION_RUN = 1,
    OPTION_JSON,
    OPTION_HELP,
    OPTION_VERSION,
    OPTION_OTHER,
    OPTION_DRY_RUN,
    OPTION_DRILL,
    OPTION_TO,
    OPTION_COPY,
    OPTION_FOR,
    OPTION_VERDICT,
    OPTION_WEBAPPS,
    OPTION_SINCE,
    OPTION_UNTIL,
    OPTION_GREP,
    OPTION_COMPONENT,
};

static const struct option known[] = {
    {"run", required_argument, NULL, OPTION_RUN},
    {"json", no_argument, NULL, OPTION_JSON},
    {"dry-run", no_argument, NULL, OPTION_DRY_RUN},
    {"drill", no_argument, NULL, OPTION_DRILL},
    {"to", required_argument, NULL, OPTION_TO},
    {"copy", required_argument, NULL, OPTION_COPY},
    {"from", required_argument, NULL, OPTION_COPY},
    {"for", required_argument, NULL, OPTION_FOR},
    {"verdict", required_argument, NULL, OPTION_VERDICT},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {"config", required_argument, NULL, OPTION_OTHER},
    {"webapps", required_argument, NULL, OPTION_WEBAPPS},
    {"state", required_argument, NULL, OPTION_OTHER},
    {"follow", no_argument, NULL, 'f'},
    {"lines", required_argument, NULL, 'n'},
    {"since", required_argument, NULL, OPTION_SINCE},
    {"until", required_argument, NULL, OPTION_UNTIL},
    {"grep", required_argument, NULL, OPTION_GREP},
    {"component", required_argument, NULL, OPTION_COMPONENT},
    {NULL, 0, NULL, 0},
};

/* Those of logs; false: it is none. */
static bool
set_logs_option(struct logs_options *logs, int id)
{
    switch (id) {
    case 'f':
        logs->follow = true;
        return true;
    case 'n':
        logs->last = optarg;
        return true;
    case OPTION_WEBAPPS:
        logs->webapps = optarg;
        return true;
    case OPTION_SINCE:
        logs->since = optarg;
        return true;
    case OPTION_UNTIL:
        logs->until = optarg;
        return true;
    case OPTION_GREP:
        logs->grep = optarg;
        return true;
    case OPTION_COMPONENT:
        logs->components = optarg;
        return true;
    default:
        return false;
    }
}

/* An exit code, or -1 to go on. */
static int
read_options(struct options *options, int argc, char **argv)
{
    for (;;) {
        int id = getopt_long(argc, argv, "fn:", known, NULL);

        switch (id) {
        case OPTION_RUN:
            options->run = optarg;
            break;
        case OPTION_JSON:
            options->json = true;
            break;
        case OPTION_DRY_RUN:
            options->dry_run = true;
            break;
        case OPTION_DRILL:
            options->drill = true;
            break;
        case OPTION_TO:
            options->to = optarg;
            break;
        case OPTION_COPY:
            options->copy = optarg;
            break;
        case OPTION_FOR:
            options->purpose = optarg;
            break;
        case OPTION_VERDICT:
            options->verdict = optarg;
            break;
        case OPTION_OTHER:
            break;
        case OPTION_HELP:
            print_help();
            return EXIT_SUCCESS;
        case OPTION_VERSION:
            (void)printf("amyctl %s\n", amy_version());
            return EXIT_SUCCESS;
        case -1:
            return -1;
        default:
            if (!set_logs_option(&options->logs, id)) {
                return usage(NULL, NULL);
            }
            break;
        }
    }
}

int
main(int argc, char **argv)
{
    const char *run = getenv("RUNTIME_DIRECTORY");
    struct options options = {.run = run == NULL ? "/run/amy" : run,
                              .logs = {.webapps = "/webapps"}};
    int code = read_options(&options, argc, argv);
    int left = argc - optind;

    if (code >= 0) {
        return code;
    }
    text_begin(stdout);
    if (left == 0) {
        return usage("what shall be done?", "");
    }
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        const struct command *command = &commands[i];

        if (strcmp(argv[optind], command->name) != 0) {
            continue;
        }
        if (left - 1 < command->min || left - 1 > command->max) {
            return usage("usage: amyctl ", command->usage);
        }
        return command->fn(&options, left - 1, argv + optind + 1);
    }
    return usage("there is no command ", argv[optind]);
}

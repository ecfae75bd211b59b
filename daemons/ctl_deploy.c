/* amyctl deploy, rollback: runs a deployment and prints what it tells. */
/* Not for what it does: amy_deploy knows. */
#include "ctl_deploy.h"

#include <amy/deploy.h>

#include "ctl_json.h"
#include "ctl_text.h"

#include <event2/event.h>

#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* As given; NULL: not. */
static struct {
    const char *ref;
    const char *from;
    const char *to;
    bool plan;
    bool recover;
    bool forget;
    bool if_changed;
    bool list;
} given;

const struct ctl_option ctl_deploy_options[] = {
    {"ref", 0, &given.ref, NULL},
    {"from", 0, &given.from, NULL},
    {"plan", 0, NULL, &given.plan},
    {"recover", 0, NULL, &given.recover},
    {"forget", 0, NULL, &given.forget},
    {"if-changed", 0, NULL, &given.if_changed},
    {NULL, 0, NULL, NULL}};

const struct ctl_option ctl_rollback_options[] = {
    {"to", 0, &given.to, NULL},
    {"list", 0, NULL, &given.list},
    {"plan", 0, NULL, &given.plan},
    {NULL, 0, NULL, NULL}};

struct work {
    const struct ctl *ctl;
    const char *site;
    struct event_base *base;
    struct amy_deploy *deploy;
    bool on_terminal;
    bool open_line; /* the step under way stands at the end, without newline */
    unsigned interrupts;
    int code;
};

static const char *const event_names[] = {
    "begun", "output", "note", "warning", "finished", "failed", "mending"};

/* A line is never missing: whoever reads waits for the one that says "done". */
static json_t *
text_of(const char *text)
{
    json_t *json = json_string(text);
    char *copy = json == NULL ? strdup(text) : NULL;

    for (char *at = copy; at != NULL && *at != '\0'; at++) {
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    }
    if (copy != NULL) {
        json = json_string(copy);
    }
    free(copy);
    return json == NULL ? json_null() : json;
}

static void
print_json(json_t *json)
{
    (void)json_dumpf(json, stdout, JSON_COMPACT);
    (void)printf("\n");
    (void)fflush(stdout);
    json_decref(json);
}

/* ---- events ---- */

static void
close_line(struct work *work)
{
    if (work->open_line) {
        (void)printf("\r\033[K");
        work->open_line = false;
    }
}

static void
show_step(struct work *work, const struct amy_deploy_event *event)
{
    char took[32];

    if (event->kind == AMY_DEPLOY_BEGUN) {
        if (work->on_terminal) {
            text_print(TEXT_FAINT, "  %2u/%u %-14s %s", event->number,
                       event->of, event->step, event->text);
            work->open_line = true;
        }
        return;
    }
    text_print(event->kind == AMY_DEPLOY_FAILED ? TEXT_BAD : TEXT_GOOD,
               "  %-14s", event->step);
    text_print(TEXT_PLAIN, " %s", text_duration(event->took_ms, took, 32));
    text_print(TEXT_BAD, "%s%s\n", event->text[0] == '\0' ? "" : "  ",
               event->text);
}

static void
show_event(struct work *work, const struct amy_deploy_event *event)
{
    close_line(work);
    switch (event->kind) {
    case AMY_DEPLOY_OUTPUT:
        text_print(TEXT_FAINT, "    %s\n", event->text);
        break;
    case AMY_DEPLOY_NOTE:
        text_print(TEXT_PLAIN, "    %s\n", event->text);
        break;
    case AMY_DEPLOY_WARNING:
        text_print(TEXT_WARN, "    warning: %s\n", event->text);
        break;
    case AMY_DEPLOY_MENDING:
        text_print(TEXT_WARN, "  %s\n", event->text);
        break;
    default:
        show_step(work, event);
        break;
    }
    (void)fflush(stdout);
}

static void
on_event(struct amy_deploy *deploy, const struct amy_deploy_event *event,
         void *user)
{
    struct work *work = user;

    (void)deploy;
    if (!work->ctl->json) {
        show_event(work, event);
        return;
    }
    print_json(json_pack("{s:s, s:o, s:o, s:b, s:I, s:i, s:i}", "event",
                         event_names[event->kind], "step", text_of(event->step),
                         "text", text_of(event->text), "mending",
                         (int)event->mending, "took_ms",
                         (json_int_t)event->took_ms, "number",
                         (int)event->number, "of", (int)event->of));
}

/* ---- the end ---- */

static void
show_result(const struct work *work, const struct amy_deploy_result *result)
{
    char took[32];

    if (result->code == 0) {
        text_print(TEXT_BOLD, "%s", work->site);
        text_print(TEXT_PLAIN, "  %s  %s\n",
                   result->release[0] == '\0' ? "nothing is left to be mended"
                                              : result->release,
                   text_duration(result->took_ms, took, sizeof(took)));
        return;
    }
    text_begin(stderr);
    text_print(TEXT_PLAIN, "amyctl: %s: %s%s%s\n", work->site, result->step,
               result->step[0] == '\0' ? "" : ": ", result->reason);
    if (result->next[0] != '\0') {
        text_print(TEXT_PLAIN, "amyctl: %s\n", result->next);
    }
    text_begin(stdout);
}

static void
on_done(struct amy_deploy *deploy, const struct amy_deploy_result *result,
        void *user)
{
    struct work *work = user;

    (void)deploy;
    close_line(work);
    work->code = result->code == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    if (work->ctl->json) {
        print_json(json_pack(
            "{s:s, s:b, s:i, s:o, s:o, s:o, s:s, s:s, s:s, s:s, s:b, s:b, "
            "s:b, s:I}",
            "event", "done", "good", result->code == 0, "code", result->code,
            "step", text_of(result->step), "reason", text_of(result->reason),
            "next", text_of(result->next), "release", result->release,
            "previous", result->previous, "commit", result->commit, "backup",
            result->backup, "served", (int)result->served, "mended",
            (int)result->mended, "unchanged", (int)result->unchanged, "took_ms",
            (json_int_t)result->took_ms));
    } else {
        show_result(work, result);
    }
    (void)event_base_loopbreak(work->base);
}

/* The first one undoes; the second leaves that to the next command. */
static void
on_interrupt(evutil_socket_t sig, short what, void *user)
{
    struct work *work = user;

    (void)what;
    work->interrupts++;
    if (work->interrupts > 1) {
        close_line(work);
        (void)fprintf(stderr,
                      "amyctl: left as it is; amyctl deploy %s --recover goes "
                      "on\n",
                      work->site);
        _exit(128 + (int)sig);
    }
    amy_deploy_cancel(work->deploy);
}

static int
complain(const struct work *work, const struct amy_error *err, bool say)
{
    if (work->ctl->json) {
        print_json(json_pack("{s:s, s:b, s:i, s:o}", "event", "done", "good", 0,
                             "code", err->code, "reason", text_of(err->msg)));
    }
    if (say) {
        (void)fprintf(stderr, "amyctl: %s: %s\n", work->site, err->msg);
    }
    return EXIT_FAILURE;
}

static int
run(struct work *work)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct event *events[] = {
        evsignal_new(work->base, SIGINT, on_interrupt, work),
        evsignal_new(work->base, SIGTERM, on_interrupt, work)};

    for (size_t i = 0; i < 2; i++) {
        if (events[i] != NULL) {
            (void)event_add(events[i], NULL);
        }
    }
    /* A lost connection to this machine is no reason to stop half way. */
    (void)signal(SIGHUP, SIG_IGN);
    (void)signal(SIGPIPE, SIG_IGN);
    work->code = EXIT_FAILURE;
    if (amy_deploy_start(work->deploy, on_done, work, &err) < 0) {
        work->code = complain(work, &err, true);
    } else {
        (void)event_base_dispatch(work->base);
    }
    for (size_t i = 0; i < 2; i++) {
        if (events[i] != NULL) {
            event_free(events[i]);
        }
    }
    return work->code;
}

/* ---- the releases that served ---- */

static void
list_served(const struct work *work)
{
    struct amy_deploy_release one = {.struct_size = sizeof(one)};
    json_t *list = json_array();

    for (size_t i = 0; amy_deploy_served(work->deploy, i, &one) == 0; i++) {
        (void)json_array_append_new(
            list,
            json_pack("{s:s, s:s, s:s, s:s, s:I, s:b, s:b}", "release",
                      one.link, "ref", one.ref, "commit", one.commit, "backup",
                      one.backup, "served_ms", (json_int_t)one.served_wall_ms,
                      "serves", (int)one.serves, "left", (int)one.left));
    }
    print_json(json_pack("{s:s, s:o}", "site", work->site, "releases", list));
}

static void
show_served(const struct work *work)
{
    struct amy_deploy_release one = {.struct_size = sizeof(one)};
    struct table *table = NULL;

    if (work->ctl->json) {
        list_served(work);
        return;
    }
    table = table_create("llll");
    for (size_t i = 0; amy_deploy_served(work->deploy, i, &one) == 0; i++) {
        table_row(table);
        table_cell(table, one.serves ? TEXT_BOLD : TEXT_PLAIN, "%s", one.link);
        table_cell(table, TEXT_PLAIN, "%s", one.ref);
        table_cell(table, TEXT_FAINT, "%.12s", one.commit);
        table_cell(table, one.serves ? TEXT_GOOD : TEXT_WARN, "%s",
                   one.serves ? "serves"
                   : one.left ? "gone back from"
                              : "");
    }
    table_finish(table, "  ");
}

/* ---- the plan ---- */

static void
show_plan(const struct work *work)
{
    struct table *table = table_create("rllrl");
    char limit[32];

    for (size_t i = 0; i < amy_deploy_count(work->deploy); i++) {
        struct amy_deploy_step step = {.struct_size = sizeof(step)};

        if (amy_deploy_at(work->deploy, i, &step) < 0) {
            continue;
        }
        table_row(table);
        table_cell(table, TEXT_FAINT, "%zu", i + 1);
        table_cell(table, TEXT_BOLD, "%s", step.name);
        table_cell(table, TEXT_PLAIN, "%s", step.user);
        table_cell(table, TEXT_FAINT, "%s",
                   text_duration(step.timeout_ms, limit, sizeof(limit)));
        table_cell(table, TEXT_PLAIN, "%s%s%s", step.says,
                   step.undo[0] == '\0' ? "" : "; undone: ", step.undo);
    }
    table_finish(table, "  ");
}

static void
print_plan(const struct work *work)
{
    json_t *steps = json_array();

    for (size_t i = 0; i < amy_deploy_count(work->deploy); i++) {
        struct amy_deploy_step step = {.struct_size = sizeof(step)};

        if (amy_deploy_at(work->deploy, i, &step) == 0) {
            (void)json_array_append_new(
                steps, json_pack("{s:s, s:s, s:s, s:s, s:I}", "name", step.name,
                                 "user", step.user, "says", step.says, "undo",
                                 step.undo, "timeout_ms",
                                 (json_int_t)step.timeout_ms));
        }
    }
    print_json(json_pack("{s:s, s:s, s:o}", "event", "plan", "release",
                         amy_deploy_release(work->deploy), "steps", steps));
}

/* ---- */

static int
deploy(struct work *work, uint32_t kind, const char *from)
{
    struct amy_deploy_options opts = AMY_DEPLOY_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    unsigned errors = 0; /* of site.yaml, told one by one */
    int code = EXIT_SUCCESS;

    opts.base = work->base;
    opts.config = work->ctl->config;
    opts.webapps = work->ctl->webapps;
    opts.run = work->ctl->run;
    opts.state = work->ctl->state;
    opts.site = work->site;
    opts.kind = kind;
    opts.ref = given.ref;
    opts.from = from;
    opts.to = given.to;
    opts.if_changed = given.if_changed;
    opts.on_event = on_event;
    opts.user = work;
    if (amy_deploy_create(&opts, ctl_show_problem, &errors, &work->deploy,
                          &err) < 0) {
        return complain(work, &err, errors == 0);
    }
    if (given.list) {
        show_served(work);
    } else if (!given.plan) {
        code = run(work);
    } else if (work->ctl->json) {
        print_plan(work);
    } else {
        show_plan(work);
    }
    amy_deploy_free(work->deploy);
    return code;
}

static int
begin(const struct ctl *ctl, const char *site, uint32_t kind, const char *from)
{
    struct work work = {.ctl = ctl,
                        .site = site,
                        .base = event_base_new(),
                        .on_terminal = isatty(STDOUT_FILENO) == 1};
    int code = 0;

    if (!ctl_is_name(site)) {
        return ctl_no_such_site(site);
    }
    if (work.base == NULL) {
        return ctl_fail("making an event base failed");
    }
    code = deploy(&work, kind, from);
    event_base_free(work.base);
    return code;
}

int
ctl_deploy(const struct ctl *ctl, int argc, char **argv)
{
    char from[PATH_MAX];

    (void)argc;
    if ((given.recover || given.forget) &&
        (given.ref != NULL || given.from != NULL || given.plan ||
         given.recover == given.forget)) {
        return ctl_usage(given.recover ? "--recover goes with no other option"
                                       : "--forget goes with no other option",
                         "");
    }
    if (given.ref != NULL && given.from != NULL) {
        return ctl_usage("--ref and --from exclude each other", "");
    }
    if (given.from != NULL && realpath(given.from, from) == NULL) {
        return ctl_usage("there is no ", given.from);
    }
    return begin(ctl, argv[0],
                 given.recover  ? AMY_DEPLOY_RECOVER
                 : given.forget ? AMY_DEPLOY_FORGET
                                : AMY_DEPLOY_RELEASE,
                 given.from == NULL ? NULL : from);
}

int
ctl_rollback(const struct ctl *ctl, int argc, char **argv)
{
    (void)argc;
    /* A look needs no release to go back to. */
    return begin(ctl, argv[0],
                 given.list ? AMY_DEPLOY_RECOVER : AMY_DEPLOY_ROLLBACK, NULL);
}

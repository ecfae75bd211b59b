/* Control requests of amyctl, side by side on one event base. */
/* Not for showing what came back: that is ctl_show.c. */
#include "ctl_ask.h"

#include <amy/control.h>

#include "ctl_text.h"

#include <event2/event.h>

#include <stdio.h>
#include <string.h>

struct round {
    struct event_base *base;
    size_t pending;
};

/* What a callback needs: its question and the round it belongs to. */
struct slot {
    struct ask *ask;
    struct round *round;
    struct amy_control_request *request;
};

#define SLOTS_MAX 64
#define MEANWHILE_US 250000

static void
on_done(struct amy_control_request *request,
        const struct amy_control_answer *answer, void *user)
{
    struct slot *slot = user;

    (void)request;
    slot->ask->code = answer->code;
    slot->ask->status = answer->status;
    (void)snprintf(slot->ask->reason, sizeof(slot->ask->reason), "%s",
                   answer->reason);
    if (answer->body_bytes > 0) {
        slot->ask->json = json_loadb(answer->body, answer->body_bytes, 0, NULL);
    }
    slot->round->pending--;
    if (slot->round->pending == 0) {
        (void)event_base_loopbreak(slot->round->base);
    }
}

static void
start(struct slot *slot, const char *run)
{
    struct amy_control_options opts = AMY_CONTROL_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct ask *ask = slot->ask;

    opts.base = slot->round->base;
    opts.run_directory = run;
    opts.daemon = ask->daemon;
    opts.method = ask->method;
    opts.path = ask->path;
    opts.body = ask->body;
    opts.timeout_ms = ask->timeout_ms;
    opts.on_done = on_done;
    opts.user = slot;
    ask->code = amy_control_start(&opts, &slot->request, &err);
    if (ask->code == 0) {
        slot->round->pending++;
    } else {
        (void)snprintf(ask->reason, sizeof(ask->reason), "%s", err.msg);
    }
}

static void
on_meanwhile(evutil_socket_t fd, short what, void *user)
{
    const struct ask_meanwhile *meanwhile = user;

    (void)fd;
    (void)what;
    meanwhile->fn(meanwhile->user);
}

/* NULL: nothing to do meanwhile, or no memory for it. */
static struct event *
begin_meanwhile(struct event_base *base, const struct ask_meanwhile *meanwhile)
{
    const struct timeval every = {0, MEANWHILE_US};
    void *user = (void *)(uintptr_t)meanwhile;
    struct event *timer = NULL;

    if (meanwhile != NULL) {
        timer = event_new(base, -1, EV_PERSIST, on_meanwhile, user);
    }
    if (timer != NULL) {
        (void)event_add(timer, &every);
    }
    return timer;
}

int
ask_all(const char *run, struct ask *asks, size_t n)
{
    return ask_all_while(run, asks, n, NULL);
}

int
ask_all_while(const char *run, struct ask *asks, size_t n,
              const struct ask_meanwhile *meanwhile)
{
    struct round round = {.base = event_base_new()};
    struct slot slots[SLOTS_MAX] = {{0}};
    struct event *timer = NULL;

    if (round.base == NULL || n > SLOTS_MAX) {
        return -1;
    }
    for (size_t i = 0; i < n; i++) {
        slots[i] = (struct slot){.ask = &asks[i], .round = &round};
        start(&slots[i], run);
    }
    if (round.pending > 0) {
        timer = begin_meanwhile(round.base, meanwhile);
        (void)event_base_dispatch(round.base);
    }
    if (timer != NULL) {
        event_free(timer);
    }
    for (size_t i = 0; i < n; i++) {
        amy_control_free(slots[i].request);
    }
    event_base_free(round.base);
    return 0;
}

void
ask_clear(struct ask *asks, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        json_decref(asks[i].json);
        asks[i].json = NULL;
    }
}

bool
ask_succeeded(const struct ask *ask)
{
    return ask->code == 0 && ask->status >= 200 && ask->status < 300;
}

bool
ask_found_nobody(const struct ask *ask)
{
    return ask->code == AMY_ECONN || ask->code == AMY_ENOTFOUND;
}

/* What a refusal brings along: problems of files, a worker's last lines. */
static void
show_details(const json_t *answer)
{
    const json_t *item = NULL;
    size_t i = 0;

    json_array_foreach(json_object_get(answer, "problems"), i, item)
    {
        text_problem(item, "  ");
    }
    json_array_foreach(json_object_get(answer, "lines"), i, item)
    {
        const char *line = json_string_value(item);

        text_print(TEXT_FAINT, "  %s\n", line == NULL ? "" : line);
    }
}

/* Of a reload of all: each site that failed. */
static void
complain_of_sites(const json_t *sites)
{
    const json_t *site = NULL;
    size_t i = 0;

    json_array_foreach(sites, i, site)
    {
        const char *name = json_string_value(json_object_get(site, "site"));
        const char *detail = json_string_value(json_object_get(site, "detail"));

        text_print(TEXT_PLAIN, "amyctl: %s: %s\n", name == NULL ? "?" : name,
                   detail == NULL ? "no reason given" : detail);
        show_details(site);
    }
}

void
ask_complain(const struct ask *ask, const char *run, const char *subject)
{
    const char *detail =
        json_string_value(json_object_get(ask->json, "detail"));

    text_begin(stderr);
    if (ask_found_nobody(ask)) {
        text_print(TEXT_PLAIN, "amyctl: amy-%s does not run (%s/%s.sock: %s)\n",
                   ask->daemon, run, ask->daemon, ask->reason);
    } else if (ask->code != 0) {
        text_print(TEXT_PLAIN, "amyctl: amy-%s: %s\n", ask->daemon,
                   ask->reason);
    } else {
        text_print(TEXT_PLAIN, "amyctl: %s%samy-%s: %s\n", subject,
                   subject[0] == '\0' ? "" : ": ", ask->daemon,
                   detail == NULL ? "no reason given" : detail);
    }
    show_details(ask->json);
    complain_of_sites(json_object_get(ask->json, "sites"));
    text_begin(stdout);
}

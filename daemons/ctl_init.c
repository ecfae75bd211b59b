/* amyctl init: prints what became of each piece, has amy-front look, and says
 * what is to be done next. */
/* Not for laying out: amy_layout_make() does. */
#include "ctl_init.h"

#include <amy/error.h>
#include <amy/layout.h>

#include "ctl_ask.h"
#include "ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CHANGE_MS 60000U
#define ALIASES_MAX 64

/* As given; NULL: not. */
static struct {
    const char *user;
    const char *deployer;
    const char *stage;
    const char *wsgi;
    const char *aliases;
    bool dry_run;
} given;

const struct ctl_option ctl_init_options[] = {
    {"user", 0, &given.user, NULL},
    {"deployer", 0, &given.deployer, NULL},
    {"stage", 0, &given.stage, NULL},
    {"wsgi", 0, &given.wsgi, NULL},
    {"alias", 0, &given.aliases, NULL},
    {"dry-run", 0, NULL, &given.dry_run},
    {NULL, 0, NULL, NULL}};

/* ---- what became of each piece ---- */

struct shown {
    bool json;
    size_t added;
    json_t *items;
};

static const char *
word_of(uint32_t result)
{
    switch (result) {
    case AMY_LAYOUT_ADDED:
        return given.dry_run ? "would add" : "added";
    case AMY_LAYOUT_DIFFERS:
        return "differs";
    default:
        return "there";
    }
}

static enum text_style
style_of(uint32_t result)
{
    switch (result) {
    case AMY_LAYOUT_ADDED:
        return TEXT_GOOD;
    case AMY_LAYOUT_DIFFERS:
        return TEXT_WARN;
    default:
        return TEXT_FAINT;
    }
}

static void
show_item(const struct amy_layout_item *item, void *user)
{
    static const char *const words[] = {"kept", "added", "differs"};
    struct shown *shown = user;

    shown->added += item->result == AMY_LAYOUT_ADDED ? 1 : 0;
    if (shown->json) {
        (void)json_array_append_new(
            shown->items,
            json_pack("{s:s, s:s, s:s}", "name", item->name, "result",
                      words[item->result], "message", item->message));
        return;
    }
    text_print(style_of(item->result), "%-9s ", word_of(item->result));
    text_print(TEXT_PLAIN, "%s", item->name);
    if (item->message[0] != '\0') {
        text_print(TEXT_FAINT, "  %s", item->message);
    }
    text_print(TEXT_PLAIN, "\n");
}

/* ---- the front ---- */

/* Ours to be told of now: from then on port 80 answers certbot. The workers
 * have nothing to start yet. Returns why the site is not served, or "". */
static const char *
tell_front(const struct ctl *ctl, const char *site, char buf[512])
{
    struct ask ask = {
        .daemon = "front", .method = "POST", .timeout_ms = CHANGE_MS};

    buf[0] = '\0';
    (void)snprintf(ask.path, sizeof(ask.path), "/v1/sites/%s/reload", site);
    if (ask_all(ctl->run, &ask, 1) < 0) {
        (void)snprintf(buf, 512, "amy-front could not be asked");
    } else if (ask_found_nobody(&ask)) {
        (void)snprintf(buf, 512,
                       "amy-front does not run; it finds the site when it "
                       "starts");
    } else if (!ask_succeeded(&ask)) {
        (void)snprintf(buf, 512, "amy-front has not taken it up: %s",
                       ask.reason);
    }
    ask_clear(&ask, 1);
    return buf;
}

/* ---- what is to be done next ---- */

static void
print_certbot(const char *path, const char *domain, const char *const *aliases)
{
    text_print(TEXT_PLAIN, "     certbot certonly --webroot -w %s/acme -d %s",
               path, domain);
    for (size_t i = 0; aliases[i] != NULL; i++) {
        text_print(TEXT_PLAIN, " -d %s", aliases[i]);
    }
    text_print(TEXT_PLAIN, "\n");
}

static void
print_next(const char *path, const char *domain, const char *site_user,
           const char *const *aliases)
{
    int first = geteuid() == 0 ? 3 : 1;

    text_print(TEXT_BOLD, "\nnext\n");
    if (geteuid() == 0) {
        text_print(TEXT_PLAIN,
                   "  1. DNS: have %s%s lead to this host\n"
                   "  2. a certificate, served at once and when it is "
                   "renewed:\n",
                   domain, aliases[0] == NULL ? "" : " and its aliases");
        print_certbot(path, domain, aliases);
    }
    text_print(TEXT_PLAIN, "  %d. ", first);
    text_print(TEXT_PLAIN,
               "settings: lines `export NAME=value` in %s/postactivate,\n"
               "     root's, of group %s, mode 0640\n",
               path, site_user);
    text_print(TEXT_PLAIN,
               "  %d. %s/site.yaml: what runs, its database, `deploy:`\n"
               "  %d. amyctl deploy %s; or, with code and .venv in\n"
               "     %s/repo by other means: amyctl reload %s\n"
               "  %d. amyctl doctor %s\n",
               first + 1, path, first + 2, domain, path, domain, first + 3,
               domain);
}

/* ---- the command ---- */

/* "a,b" in place. False: too many. */
static bool
split_aliases(char *text, const char *ret[ALIASES_MAX + 1])
{
    size_t n = 0;
    char *rest = NULL;
    char *one = text == NULL ? NULL : strtok_r(text, ",", &rest);

    while (one != NULL && n < ALIASES_MAX) {
        ret[n++] = one;
        one = strtok_r(NULL, ",", &rest);
    }
    ret[n] = NULL;
    return one == NULL;
}

static int
report_json(const char *domain, const struct amy_layout_view *view,
            const struct shown *shown, const char *front)
{
    json_t *json =
        json_pack("{s:s, s:s, s:b, s:b, s:O, s:s}", "site", domain, "user",
                  view->site_user, "changed", view->added > 0, "differs",
                  view->differing > 0, "items", shown->items, "front", front);

    (void)json_dumpf(json, stdout, JSON_INDENT(2));
    (void)printf("\n");
    json_decref(json);
    return EXIT_SUCCESS;
}

static int
report(const struct ctl *ctl, const char *domain,
       const struct amy_layout_view *view, const char *const *aliases,
       const struct shown *shown)
{
    char path[512];
    char buf[512] = "";
    const char *front =
        view->added > 0 && !given.dry_run ? tell_front(ctl, domain, buf) : "";

    if (ctl->json) {
        return report_json(domain, view, shown, front);
    }
    if (view->differing > 0) {
        text_print(TEXT_WARN,
                   "\nWhat differs was left as it is; amyctl doctor %s tells "
                   "what matters.\n",
                   domain);
    }
    if (view->added == 0) {
        text_print(TEXT_PLAIN, "\nNothing to add.\n");
        return EXIT_SUCCESS;
    }
    if (front[0] != '\0') {
        text_print(TEXT_WARN, "\n%s\n", front);
    }
    (void)snprintf(path, sizeof(path), "%s/%s", ctl->webapps, domain);
    if (!given.dry_run) {
        print_next(path, domain, view->site_user, aliases);
    }
    return EXIT_SUCCESS;
}

static int
make(const struct ctl *ctl, const char *domain, const char *const *aliases,
     struct shown *shown)
{
    struct amy_layout_options opts = AMY_LAYOUT_OPTIONS_INIT;
    struct amy_layout_view view = AMY_LAYOUT_VIEW_INIT;
    struct amy_error err = AMY_ERROR_INIT;

    opts.domain = domain;
    opts.webapps = ctl->webapps;
    opts.site_user = given.user;
    opts.deployer = given.deployer;
    opts.wsgi = given.wsgi;
    opts.aliases = aliases;
    opts.stage_test = given.stage != NULL && strcmp(given.stage, "test") == 0;
    opts.dry_run = given.dry_run;
    opts.on_item = show_item;
    opts.user = shown;
    if (amy_layout_make(&opts, &view, &err) < 0) {
        (void)fflush(stdout);
        (void)fprintf(stderr, "amyctl: %s\n", err.msg);
        if (shown->added > 0 && !given.dry_run) {
            (void)fprintf(stderr, "amyctl: what was added stays; the same "
                                  "command again adds the rest\n");
        }
        return EXIT_FAILURE;
    }
    return report(ctl, domain, &view, aliases, shown);
}

int
ctl_init(const struct ctl *ctl, int argc, char **argv)
{
    const char *aliases[ALIASES_MAX + 1];
    char *text = given.aliases == NULL ? NULL : strdup(given.aliases);
    struct shown shown = {.json = ctl->json, .items = json_array()};
    int code = EXIT_USAGE;

    (void)argc;
    if (given.stage != NULL && strcmp(given.stage, "test") != 0 &&
        strcmp(given.stage, "production") != 0) {
        (void)ctl_usage("--stage is production or test, and not ", given.stage);
    } else if (!split_aliases(text, aliases)) {
        (void)ctl_usage("--alias has more than 64 names", "");
    } else {
        code = make(ctl, argv[0], aliases, &shown);
    }
    json_decref(shown.items);
    free(text);
    return code;
}

/* Prints what amy_doctor_examine() finds. */
/* Not for finding it. */
#include "ctl_doctor.h"

#include <amy/doctor.h>
#include <amy/error.h>

#include "ctl_text.h"

#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Of a sentence; longer ones are cut. */
#define TEXT_SIZE 2048

/* As given; NULL: not. */
static struct {
    const char *skip;
    const char *root;
} given;

const struct ctl_option ctl_doctor_options[] = {{"skip", 0, &given.skip, NULL},
                                                {"root", 0, &given.root, NULL},
                                                {NULL, 0, NULL, NULL}};

static const struct {
    const char *word;
    const char *shown;
    enum text_style style;
} severities[] = {
    [AMY_DOCTOR_INFO] = {"info", "info", TEXT_FAINT},
    [AMY_DOCTOR_UNKNOWN] = {"unknown", "unknown", TEXT_FAINT},
    [AMY_DOCTOR_WARNING] = {"warning", "warning", TEXT_WARN},
    [AMY_DOCTOR_ERROR] = {"error", "error", TEXT_BAD},
};

struct shown {
    bool json;
    json_t *findings;
    size_t count;
    char site[256]; /* whose the last one was */
};

/* A file's name may be no text of JSON's. */
static void
keep(struct shown *shown, const struct amy_doctor_finding *finding)
{
    char what[TEXT_SIZE];
    char todo[TEXT_SIZE];

    (void)snprintf(what, sizeof(what), "%s", finding->what);
    (void)snprintf(todo, sizeof(todo), "%s", finding->todo);
    text_tame(what);
    text_tame(todo);
    (void)json_array_append_new(
        shown->findings,
        json_pack("{s:s, s:s, s:s, s:s, s:s}", "severity",
                  severities[finding->severity].word, "site", finding->site,
                  "check", finding->check, "what", what, "todo", todo));
}

static void
show(const struct amy_doctor_finding *finding, void *user)
{
    struct shown *shown = user;

    if (shown->json) {
        keep(shown, finding);
        return;
    }
    if (shown->count++ == 0 || strcmp(shown->site, finding->site) != 0) {
        text_print(TEXT_BOLD, "%s%s\n", shown->count > 1 ? "\n" : "",
                   finding->site[0] == '\0' ? "this host" : finding->site);
        (void)snprintf(shown->site, sizeof(shown->site), "%s", finding->site);
    }
    text_print(severities[finding->severity].style, "  %-8s",
               severities[finding->severity].shown);
    text_print(TEXT_PLAIN, " %s", finding->what);
    text_print(TEXT_FAINT, "  [%s]\n", finding->check);
    if (finding->todo[0] != '\0') {
        text_print(TEXT_PLAIN, "           %s\n", finding->todo);
    }
}

static void
conclude(const struct shown *shown, int weight)
{
    if (shown->json) {
        json_t *json = json_pack("{s:i, s:O}", "weight", weight, "findings",
                                 shown->findings);

        (void)json_dumpf(json, stdout, JSON_INDENT(2));
        (void)printf("\n");
        json_decref(json);
        return;
    }
    if (weight == 0) {
        text_print(TEXT_GOOD, "%sNothing is wrong.\n",
                   shown->count > 0 ? "\n" : "");
    } else {
        text_print(TEXT_PLAIN, "\n%d to look after.\n", weight);
    }
}

int
ctl_doctor(const struct ctl *ctl, int argc, char **argv)
{
    struct amy_doctor_options opts = AMY_DOCTOR_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct shown shown = {.json = ctl->json, .findings = json_array()};
    int weight = 0;

    opts.site = argc > 0 ? argv[0] : NULL;
    opts.config = ctl->config;
    opts.webapps = ctl->webapps;
    opts.run = ctl->run;
    opts.state = ctl->state;
    opts.root_dir = given.root;
    opts.skip = given.skip;
    opts.on_finding = show;
    opts.user = &shown;
    weight = amy_doctor_examine(&opts, &err);
    if (weight < 0) {
        (void)fprintf(stderr, "amyctl: %s\n", err.msg);
    } else {
        conclude(&shown, weight);
    }
    json_decref(shown.findings);
    return weight < 0 ? EXIT_USAGE : weight > 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}

int
ctl_doctor_answer(const char *word, const char *name)
{
    (void)signal(SIGPIPE, SIG_IGN); /* TLS may meet a closed connection */
    return amy_doctor_answer(word, name, NULL) < 0 ? EXIT_FAILURE
                                                   : EXIT_SUCCESS;
}

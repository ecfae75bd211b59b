/* amyctl refresh-test: asks first, has it done, and starts the workers anew. */
/* Not for what is done: the jobs of amy-backup know. */
#include "ctl_refresh.h"

#include "ctl_ask.h"
#include "ctl_job.h"
#include "ctl_json.h"
#include "ctl_site.h"
#include "ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STATUS_MS 10000U

/* As given. */
static struct {
    const char *from;
    const char *set;
    const char *scrub;
    bool yes;
} given;

const struct ctl_option ctl_refresh_options[] = {
    {"from", 0, &given.from, NULL},
    {"set", 0, &given.set, NULL},
    {"scrub", 0, &given.scrub, NULL},
    {"yes", 0, NULL, &given.yes},
    {NULL, 0, NULL, NULL}};

/* A person is asked; a program has to have said so. */
static bool
is_sure(const char *site)
{
    char answer[16] = "";

    if (given.yes) {
        return true;
    }
    if (isatty(STDIN_FILENO) != 1 || isatty(STDERR_FILENO) != 1) {
        (void)job_complain(site, "this replaces the test database: say --yes");
        return false;
    }
    (void)fprintf(stderr,
                  "This replaces the database of %s by a backup of %s. Go on? "
                  "[y/N] ",
                  site, given.from == NULL ? "the site it names" : given.from);
    if (fgets(answer, sizeof(answer), stdin) == NULL ||
        (answer[0] != 'y' && answer[0] != 'Y')) {
        (void)job_complain(site, "nothing was done");
        return false;
    }
    return true;
}

/* Words between blanks: who needs more writes a list in site.yaml. */
static json_t *
split(const char *command)
{
    json_t *list = json_array();
    const char *at = command == NULL ? "" : command;

    while (*at != '\0') {
        size_t n = strcspn(at, " ");

        if (n > 0) {
            (void)json_array_append_new(list, json_stringn(at, n));
        }
        at += n + (at[n] == ' ' ? 1 : 0);
    }
    return list;
}

static bool
has_workers(const struct ctl *ctl, const char *site)
{
    struct ask ask = {.daemon = "workers",
                      .method = "GET",
                      .path = "/v1/status",
                      .timeout_ms = STATUS_MS};
    const json_t *one = NULL;
    bool has = false;
    size_t i = 0;

    if (ask_all(ctl->run, &ask, 1) == 0 && ask_succeeded(&ask)) {
        json_array_foreach(json_object_get(ask.json, "sites"), i, one)
        {
            has = has || (strcmp(text_at(one, "site"), site) == 0 &&
                          json_array_size(json_object_get(one, "pools")) > 0);
        }
    }
    ask_clear(&ask, 1);
    return has;
}

/* Their sessions were ended with the old database. */
static int
restart_workers(const struct ctl *ctl, char *site)
{
    int code = EXIT_SUCCESS;

    if (has_workers(ctl, site)) {
        text_begin(stderr); /* what was asked for is told on stdout */
        code = ctl_restart(ctl, 1, &site);
        text_begin(stdout);
    }
    return code;
}

static int
show_end(const struct ctl *ctl, char *site, const json_t *job)
{
    const json_t *result = json_object_get(job, "result");

    if (ctl->json) {
        job_print(job);
    }
    if (strcmp(text_at(job, "state"), "done") != 0) {
        return ctl->json ? EXIT_FAILURE
                         : job_complain(site, text_at(job, "message"));
    }
    if (!ctl->json) {
        text_print(TEXT_GOOD, "%s", text_at(result, "database"));
        text_print(TEXT_PLAIN, " of %s is backup %s now, scrubbed\n", site,
                   text_at(json_object_get(result, "set"), "name"));
    }
    return restart_workers(ctl, site);
}

int
ctl_refresh(const struct ctl *ctl, int argc, char **argv)
{
    const struct job_options how = {.run = ctl->run, .json = ctl->json};
    char *site = argv[0];
    json_t *body = NULL;
    json_t *job = NULL;
    char *text = NULL;
    int code = EXIT_FAILURE;

    (void)argc;
    if (!ctl_is_name(site)) {
        return ctl_no_such_site(site);
    }
    if (!is_sure(site)) {
        return EXIT_FAILURE;
    }
    body = json_pack(
        "{s:s, s:s, s:o}", "lender", given.from == NULL ? "" : given.from,
        "set", given.set == NULL ? "" : given.set, "scrub", split(given.scrub));
    text = json_dumps(body, JSON_COMPACT);
    job = job_begin(&how, site, "refresh", text);
    free(text);
    json_decref(body);
    job = job == NULL ? NULL : job_follow(&how, site, job);
    if (job != NULL) {
        code = show_end(ctl, site, job);
    }
    json_decref(job);
    return code;
}

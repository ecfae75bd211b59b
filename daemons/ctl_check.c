/* amyctl backup check: is all well with a site's backups? For a monitor, or
 * cron: another process than the one that makes them, so that it also tells of
 * an amy-backup that stands still or is gone. */
/* Not for judging sets: amy-backup's alarms do. */
#include "ctl_check.h"

#include "ctl_ask.h"
#include "ctl_json.h"
#include "ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ASK_MS 5000U

static int
complain(const char *site, const char *why)
{
    text_begin(stderr);
    text_print(TEXT_PLAIN, "amyctl: %s: %s\n", site, why);
    text_begin(stdout);
    return EXIT_FAILURE;
}

static const json_t *
find_site(const json_t *status, const char *site)
{
    const json_t *one = NULL;
    size_t i = 0;

    json_array_foreach(json_object_get(status, "sites"), i, one)
    {
        if (strcmp(text_at(one, "site"), site) == 0) {
            return one;
        }
    }
    return NULL;
}

static int
judge(const json_t *backup, const char *site)
{
    const json_t *good = json_object_get(backup, "good");
    const json_t *alarms = json_object_get(backup, "alarms");
    const json_t *alarm = NULL;
    char text[32] = "";
    size_t i = 0;

    json_array_foreach(alarms, i, alarm)
    {
        (void)complain(site, text_at(alarm, "message"));
    }
    if (json_array_size(alarms) > 0) {
        return EXIT_FAILURE;
    }
    if (!json_is_true(json_object_get(backup, "known"))) {
        return complain(site, "amy-backup could not look at its backups yet");
    }
    if (!json_is_object(good)) {
        return complain(site, "there is no verified backup");
    }
    text_print(TEXT_PLAIN, "%s: %s, %s, %s old\n", site, text_at(good, "name"),
               text_at(good, "verdict"),
               text_duration(-text_until(text_at(good, "started")), text,
                             sizeof(text)));
    return EXIT_SUCCESS;
}

static int
judge_answer(const json_t *status, const char *site)
{
    const json_t *one = find_site(status, site);
    const json_t *backup = json_object_get(one, "backup");

    if (one == NULL) {
        return complain(site, "amy-backup knows no such site");
    }
    if (text_at(one, "error")[0] != '\0') {
        return complain(site, text_at(one, "error"));
    }
    return backup == NULL
               ? complain(site, "its site.yaml names no database to back up")
               : judge(backup, site);
}

int
ctl_check(const char *run, const char *site)
{
    struct ask ask = {.daemon = "backup",
                      .method = "GET",
                      .path = "/v1/status",
                      .timeout_ms = ASK_MS};
    int code = EXIT_FAILURE;

    if (ask_all(run, &ask, 1) < 0) {
        (void)complain(site, "making an event base failed");
    } else if (!ask_succeeded(&ask)) {
        ask_complain(&ask, run, site);
    } else {
        code = judge_answer(ask.json, site);
    }
    ask_clear(&ask, 1);
    return code;
}

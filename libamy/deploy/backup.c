/* The backup before a deployment: asked of amy-backup, followed to its end, and
 * judged. */
/* Not for how one is made: that is amy-backup's. */
#include "core/error.h"
#include "deploy/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define AGAIN_MS 500

static void ask_for_job(struct amy_deploy *deploy, int rc,
                        struct amy_error *err);

static void
fail(struct amy_deploy *deploy, int rc, const struct amy_error *err)
{
    amy__deploy_done(deploy, rc, err);
}

/* stage: 0 a dump is asked for, 1 a drill of it. */
static void
judge_set(struct amy_deploy *deploy)
{
    const struct amy__json *set =
        amy__json_get(amy__json_get(deploy->answer, "result"), "set");
    const char *verdict = amy__json_get_text(set, "verdict", "");
    const char *reason = amy__json_get_text(set, "reason", "");
    const char *name = amy__json_get_text(set, "name", "");
    struct amy_error err = AMY_ERROR_INIT;
    bool restored = strcmp(verdict, "restored") == 0;
    bool parsed = strcmp(verdict, "parsed") == 0;

    if (amy__deploy_is_name(name)) {
        (void)snprintf(deploy->journal.backup, sizeof(deploy->journal.backup),
                       "%s", name);
    }
    if (parsed && deploy->site->deploy.drill && deploy->stage == 0) {
        deploy->stage = 1;
        ask_for_job(deploy, 0, &err);
        return;
    }
    if (!restored && !(parsed && !deploy->site->deploy.drill)) {
        fail(deploy,
             amy__err(&err, AMY_EIO, "the backup %s is %s, not %s%s%s", name,
                      verdict[0] == '\0' ? "unknown" : verdict,
                      deploy->site->deploy.drill ? "restored" : "parsed",
                      reason[0] == '\0' ? "" : ": ", reason),
             &err);
        return;
    }
    amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "%s is %s", name, verdict);
    amy__deploy_done(deploy, amy__deploy_journal_save(deploy, &err), &err);
}

static void
on_job(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    const char *state = amy__json_get_text(deploy->answer, "state", "");
    char path[512];

    if (rc < 0) {
        fail(deploy, rc, err);
        return;
    }
    if (strcmp(state, "running") == 0) {
        /* Answered when there is something new, or after a second. */
        (void)snprintf(path, sizeof(path), "/v1/sites/%s/jobs/%" PRId64,
                       deploy->domain, deploy->job);
        rc = amy__deploy_ask(deploy, "backup", "GET", path, NULL, on_job, err);
        if (rc < 0) {
            fail(deploy, rc, err);
        }
        return;
    }
    if (strcmp(state, "skipped") == 0) {
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "%s",
                         amy__json_get_text(deploy->answer, "message", ""));
        amy__deploy_done(deploy, 0, NULL);
        return;
    }
    if (strcmp(state, "done") != 0) {
        fail(deploy,
             amy__err(err, AMY_EIO, "no backup: %s",
                      amy__json_get_text(deploy->answer, "message",
                                         "no reason given")),
             err);
        return;
    }
    judge_set(deploy);
}

static void
on_begun(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    /* Another job is under way: its end is waited for. */
    if (rc == AMY_EAGAIN) {
        rc = amy__deploy_wait(deploy, AGAIN_MS, ask_for_job, err);
        if (rc < 0) {
            fail(deploy, rc, err);
        }
        return;
    }
    deploy->job = amy__json_get_int(deploy->answer, "run", 0);
    on_job(deploy, rc, err);
}

static void
ask_for_job(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    char path[400];
    char body[256];

    (void)snprintf(path, sizeof(path), "/v1/sites/%s/jobs", deploy->domain);
    (void)snprintf(body, sizeof(body),
                   "{\"action\":\"%s\",\"set\":\"%s\",\"to\":\"\","
                   "\"copy\":{\"name\":\"\"},\"why\":\"deploy\","
                   "\"dry_run\":false}",
                   deploy->stage == 0 ? "dump" : "drill",
                   deploy->stage == 0 ? "" : deploy->journal.backup);
    rc = rc < 0 ? rc
                : amy__deploy_ask(deploy, "backup", "POST", path, body,
                                  on_begun, err);
    if (rc < 0) {
        fail(deploy, rc, err);
    }
}

bool
amy__deploy_is_first(const struct amy_deploy *deploy)
{
    return deploy->journal.previous[0] == '\0';
}

void
amy__deploy_backup(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__deploy_is_first(deploy)) {
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE,
                         "none before the first release: a database that has "
                         "data already is yours to back up");
        amy__deploy_done(deploy, 0, NULL);
        return;
    }
    deploy->stage = 0;
    ask_for_job(deploy, 0, &err);
}

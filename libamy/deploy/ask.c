/* One question to a daemon's control socket at a time. */
/* Not for what is asked: that is the acts'. */
#include "core/alloc.h"
#include "core/error.h"
#include "deploy/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* A reload takes as long as workers take to start; the step's own deadline ends
 * the wait. */
#define ASK_MS 86400000U

static void
tell_problem(struct amy_deploy *deploy, const struct amy__json *problem)
{
    const char *key = amy__json_get_text(problem, "key", "");
    const char *allowed = amy__json_get_text(problem, "allowed", "");
    int64_t line = amy__json_get_int(problem, "line", 0);
    char place[48] = "";

    if (line > 0) {
        (void)snprintf(place, sizeof(place), ":%" PRId64 ":%" PRId64, line,
                       amy__json_get_int(problem, "column", 0));
    }
    amy__deploy_tell(deploy, AMY_DEPLOY_OUTPUT, "%s%s: %s%s%s%s%s%s",
                     amy__json_get_text(problem, "file", ""), place, key,
                     key[0] == '\0' ? "" : ": ",
                     amy__json_get_text(problem, "message", ""),
                     allowed[0] == '\0' ? "" : " (allowed: ", allowed,
                     allowed[0] == '\0' ? "" : ")");
}

/* What a refusal says, with the last lines of the worker that it is about. */
static int
refusal(struct amy_deploy *deploy, const char *daemon, struct amy_error *err)
{
    const struct amy__json *lines = amy__json_get(deploy->answer, "lines");
    const struct amy__json *problems =
        amy__json_get(deploy->answer, "problems");
    const char *detail =
        amy__json_get_text(deploy->answer, "detail", "no reason given");

    for (size_t i = 0; i < amy__json_count(problems); i++) {
        tell_problem(deploy, amy__json_at(problems, i));
    }
    for (size_t i = 0; i < amy__json_count(lines); i++) {
        amy__deploy_tell(deploy, AMY_DEPLOY_OUTPUT, "%s",
                         amy__json_as_text(amy__json_at(lines, i), ""));
    }
    return amy__err(err, deploy->status == 409 ? AMY_EAGAIN : AMY_EIO,
                    "amy-%s: %s", daemon, detail);
}

static int
judge(struct amy_deploy *deploy, const struct amy_control_answer *answer,
      const char *daemon, struct amy_error *err)
{
    bool gone = answer->code == AMY_ECONN || answer->code == AMY_ENOTFOUND;

    deploy->status = answer->status;
    amy__json_free(deploy->answer);
    deploy->answer = NULL;
    if (gone) {
        return amy__err(err, AMY_ECONN, "amy-%s does not run (%s)", daemon,
                        answer->reason);
    }
    if (answer->code < 0) {
        return amy__err(err, answer->code, "amy-%s: %s", daemon,
                        answer->reason);
    }
    if (answer->body_bytes > 0) {
        (void)amy__json_parse(
            (struct amy__span){answer->body, answer->body_bytes},
            &deploy->answer, NULL);
    }
    return answer->status >= 200 && answer->status < 300
               ? 0
               : refusal(deploy, daemon, err);
}

static void
on_answer(struct amy_control_request *request,
          const struct amy_control_answer *answer, void *user)
{
    struct amy_deploy *deploy = user;
    struct amy_error err = AMY_ERROR_INIT;
    amy__deploy_then_fn then = deploy->then;
    int rc = judge(deploy, answer, deploy->asked, &err);

    deploy->request = NULL;
    amy_control_free(request);
    then(deploy, rc, &err);
}

int
amy__deploy_ask(struct amy_deploy *deploy, const char *daemon,
                const char *method, const char *path, const char *body,
                amy__deploy_then_fn then, struct amy_error *err)
{
    struct amy_control_options opts = AMY_CONTROL_OPTIONS_INIT;
    struct amy_error why = AMY_ERROR_INIT;
    int rc = 0;

    opts.base = deploy->base;
    opts.run_directory = deploy->settings->run;
    opts.daemon = daemon;
    opts.method = method;
    opts.path = path;
    opts.body = body;
    opts.timeout_ms = ASK_MS;
    opts.on_done = on_answer;
    opts.user = deploy;
    deploy->then = then;
    deploy->asked = daemon;
    rc = amy_control_start(&opts, &deploy->request, &why);
    if (rc == AMY_ENOTFOUND) {
        return amy__err(err, AMY_ECONN, "amy-%s does not run (%s)", daemon,
                        why.msg);
    }
    return rc < 0 ? amy__err(err, rc, "amy-%s: %s", daemon, why.msg) : 0;
}

const struct amy__json *
amy__deploy_site_of(const struct amy_deploy *deploy)
{
    const struct amy__json *sites = amy__json_get(deploy->answer, "sites");

    for (size_t i = 0; i < amy__json_count(sites); i++) {
        const struct amy__json *site = amy__json_at(sites, i);

        if (strcmp(amy__json_get_text(site, "site", ""), deploy->domain) == 0) {
            return site;
        }
    }
    return NULL;
}

/* Has a site's Redis and its database asked, and its environment read. */
/* Not for how, nor for what the answers mean: ask.c, judge_services.c. */
#include "core/cleanup.h"
#include "doctor/ask.h"
#include "doctor/internal.h"
#include "doctor/judge.h"

#include <string.h>

AMY_DEFINE_CLEANUP(struct amy__env *, amy__env_unref)

/* manage.py rqworker, rq worker */
static bool
is_of_rq(const struct amy__site_worker *worker)
{
    for (char **word = worker->command; word != NULL && *word != NULL; word++) {
        if (strncmp(*word, "rq", 2) == 0) {
            return true;
        }
    }
    return false;
}

static bool
has_queues(const struct amy__site *site)
{
    bool found = false;

    for (size_t i = 0; i < site->worker_count; i++) {
        found |= is_of_rq(&site->workers[i]);
    }
    return found;
}

static void
ask_both(struct amy__doctor *doctor, const struct amy__site *site,
         const struct amy__env *env)
{
    if (site->redis_from != NULL &&
        !amy__finding_is_skipped(&doctor->findings, "redis")) {
        AMY_CLEANUP(amy__json_free_p)
        struct amy__json *json =
            amy__doctor_ask(doctor, site, env, "redis", site->redis_from);

        amy__judge_redis(json, site->redis_from, has_queues(site),
                         &doctor->findings);
    }
    if (site->database_from != NULL &&
        !amy__finding_is_skipped(&doctor->findings, "postgres")) {
        AMY_CLEANUP(amy__json_free_p)
        struct amy__json *json =
            amy__doctor_ask(doctor, site, env, "database", site->database_from);

        amy__judge_database(json, site->database_from, &doctor->findings);
    }
}

void
amy__doctor_services(struct amy__doctor *doctor, const struct amy__site *site)
{
    AMY_CLEANUP(amy__env_unref_p) struct amy__env *env = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    if (site->worker_count == 0 && site->redis_from == NULL &&
        site->database_from == NULL) {
        return;
    }
    if (!amy__doctor_may_be(site)) {
        amy__finding_is(&doctor->findings,
                        "its environment, Redis and database were not asked: "
                        "only root and '%s' may",
                        site->user);
        amy__finding_tell(&doctor->findings, AMY_DOCTOR_UNKNOWN, "environment",
                          "run amyctl doctor as root");
        return;
    }
    env = amy__doctor_env(doctor, site, &err);
    if (env != NULL) {
        ask_both(doctor, site, env);
        return;
    }
    amy__finding_is(&doctor->findings, "no environment: %s", err.msg);
    amy__finding_tell(
        &doctor->findings,
        err.code == AMY_EDENIED ? AMY_DOCTOR_UNKNOWN : AMY_DOCTOR_ERROR,
        "environment", "mend it, or deploy; amyctl run %s shows what is there",
        site->domain);
}

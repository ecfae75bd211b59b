/* The steps of a deployment, in order, and what is to be done about one that
 * ended half way. Pure. */
#ifndef AMY_DEPLOY_PLAN_H
#define AMY_DEPLOY_PLAN_H

#include "deploy/journal.h"
#include "site/site.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum amy__deploy_act {
    AMY__ACT_CHECK = 0,   /* may it begin at all? */
    AMY__ACT_FETCH,       /* the release's files, in a directory of its own */
    AMY__ACT_ENVIRONMENT, /* its .venv */
    AMY__ACT_VARIABLES,   /* what its commands will have in theirs */
    AMY__ACT_PENDING,     /* which migrations does it bring? */
    AMY__ACT_BACKUP,      /* of the database, and its verdict */
    AMY__ACT_CLOSE,       /* the gate */
    AMY__ACT_SUSPEND,     /* the queues of rq, until none of their jobs runs */
    AMY__ACT_MIGRATE,
    AMY__ACT_STATIC,
    AMY__ACT_COMMAND,  /* of site.yaml: a step or a hook */
    AMY__ACT_SWITCH,   /* repo leads to it */
    AMY__ACT_CHECKOUT, /* or repo itself becomes it */
    AMY__ACT_RELOAD,   /* the workers take it over, or not */
    AMY__ACT_RESUME,
    AMY__ACT_OPEN,
    AMY__ACT_RECORD, /* it served */
    AMY__ACT_CLEAN,  /* old releases go */
    /* Undoing. */
    AMY__ACT_KILL, /* what is left of its processes */
    AMY__ACT_LOOK, /* does it serve, and nobody has noted it? */
    AMY__ACT_SWITCH_BACK,
    AMY__ACT_CHECKOUT_BACK,
    AMY__ACT_ENVIRONMENT_BACK,
    AMY__ACT_RELOAD_BACK,
    AMY__ACT_REMOVE, /* the release's files */
    AMY__ACT_COUNT,
};

struct amy__deploy_step {
    enum amy__deploy_act act;
    const char *name;
    const struct amy__deploy_command *borrow_command; /* or NULL */
    int64_t timeout_ms;
};

#define AMY__DEPLOY_STEPS_MAX (3U * AMY__DEPLOY_COMMANDS_MAX + 24U)
struct amy__deploy_plan {
    size_t count;
    struct amy__deploy_step steps[AMY__DEPLOY_STEPS_MAX];
};

/* It borrows the site's commands. */
void amy__deploy_plan_make(const struct amy__site *site,
                           enum amy__deploy_kind kind, bool in_place,
                           struct amy__deploy_plan *ret_plan);
/* What is to be done about one that ended there: backwards, or, when its
 * release serves, forwards. killed: its reload may have gone on without it. */
void amy__deploy_plan_mend(const struct amy__deploy_journal *journal,
                           bool killed, struct amy__deploy_plan *ret_plan);

/* Is the site to be closed? pending: how many migrations; negative: nobody
 * knows. */
bool amy__deploy_closes(const struct amy__site *site, int pending);

/* One line each, for people. */
const char *amy__deploy_step_says(const struct amy__deploy_step *step);
const char *amy__deploy_step_undo(const struct amy__deploy_step *step);
/* Whose rights it has: "root", "deployer", "site". */
const char *amy__deploy_step_who(const struct amy__deploy_step *step);

#endif

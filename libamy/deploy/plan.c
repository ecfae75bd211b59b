/* Which steps a deployment has, from site.yaml; and what undoes them. */
/* Not for carrying them out: act.c. */
#include "deploy/plan.h"

#include <string.h>

#define SECOND INT64_C(1000)
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)

/* What is the same of a kind of step wherever it stands. */
struct kind {
    const char *name;
    int64_t timeout_ms;
    const char *who;
    const char *says;
    const char *undo;
};

static const struct kind kinds[AMY__ACT_COUNT] = {
    [AMY__ACT_CHECK] = {"checks", MINUTE, "root",
                        "is there room, do the daemons answer, is the "
                        "certificate good, can a backup be made?",
                        "nothing was changed"},
    [AMY__ACT_FETCH] = {"fetch", 10 * MINUTE, "deployer",
                        "the release's files into a directory of their own",
                        "the directory is removed"},
    [AMY__ACT_ENVIRONMENT] = {"environment", 30 * MINUTE, "deployer",
                              "a .venv with what it requires",
                              "goes with the release"},
    [AMY__ACT_VARIABLES] = {"variables", MINUTE, "site",
                            "activate and postactivate are read",
                            "nothing was changed"},
    [AMY__ACT_PENDING] = {"pending", 5 * MINUTE, "site",
                          "which migrations does it bring?",
                          "nothing was changed"},
    [AMY__ACT_BACKUP] = {"backup", 24 * HOUR, "site",
                         "the database is dumped and read back",
                         "the backup stays"},
    [AMY__ACT_CLOSE] = {"close", MINUTE, "root", "visitors see the page",
                        "the site is opened again"},
    [AMY__ACT_SUSPEND] = {"suspend", 24 * HOUR, "site",
                          "rq takes no new jobs; those that run may end",
                          "rq goes on"},
    [AMY__ACT_MIGRATE] = {"migrate", HOUR, "site",
                          "migrations, giving up where they wait for a lock",
                          "migrations are NOT undone: the old release goes on "
                          "with the new tables"},
    [AMY__ACT_STATIC] = {"collectstatic", 10 * MINUTE, "deployer",
                         "static files beside those of older releases",
                         "they stay: old pages do not name them"},
    [AMY__ACT_COMMAND] = {"command", 10 * MINUTE, "deployer",
                          "a command of site.yaml",
                          "what it did is NOT undone"},
    [AMY__ACT_SWITCH] = {"switch", MINUTE, "root",
                         "repo leads to the new release",
                         "repo leads to the old one"},
    [AMY__ACT_CHECKOUT] = {"checkout", 10 * MINUTE, "deployer",
                           "repo is the new release from now on: the old "
                           "workers go on, but what they import late is new",
                           "repo is the old release again"},
    [AMY__ACT_RELOAD] = {"reload", 24 * HOUR, "root",
                         "its workers take over once they are healthy",
                         "the old release's workers take over again"},
    [AMY__ACT_RESUME] = {"resume", MINUTE, "site", "rq goes on", ""},
    [AMY__ACT_OPEN] = {"open", MINUTE, "root", "visitors see the site", ""},
    [AMY__ACT_RECORD] = {"record", MINUTE, "root", "it can be gone back from",
                         ""},
    [AMY__ACT_CLEAN] = {"clean", 10 * MINUTE, "deployer",
                        "releases that are not kept are removed", ""},
    [AMY__ACT_KILL] = {"kill", MINUTE, "root",
                       "what is left of its processes ends", ""},
    [AMY__ACT_LOOK] = {"look", MINUTE, "root",
                       "does amy-workers serve it already?", ""},
    [AMY__ACT_SWITCH_BACK] = {"switch back", MINUTE, "root",
                              "repo leads to the old release", ""},
    [AMY__ACT_CHECKOUT_BACK] = {"checkout back", 10 * MINUTE, "deployer",
                                "repo is the old release again", ""},
    [AMY__ACT_ENVIRONMENT_BACK] = {"environment back", 30 * MINUTE, "deployer",
                                   "what the old release requires is "
                                   "installed again",
                                   ""},
    [AMY__ACT_RELOAD_BACK] = {"reload back", 24 * HOUR, "root",
                              "the old release's workers take over again", ""},
    [AMY__ACT_REMOVE] = {"remove", 10 * MINUTE, "deployer",
                         "the new release's files go", ""},
};

static void
add(struct amy__deploy_plan *plan, enum amy__deploy_act act,
    const struct amy__deploy_command *command)
{
    struct amy__deploy_step *step = &plan->steps[plan->count++];

    *step = (struct amy__deploy_step){.act = act,
                                      .name = kinds[act].name,
                                      .borrow_command = command,
                                      .timeout_ms = kinds[act].timeout_ms};
    if (command != NULL && command->timeout_ms > 0) {
        step->timeout_ms = command->timeout_ms;
    }
    if (command != NULL && command->name != NULL) {
        step->name = command->name;
    } else if (command != NULL && command->run != NULL) {
        step->name = command->run[0];
    }
}

static bool
is_named(const struct amy__deploy_command *command, const char *name)
{
    return command->name != NULL && strcmp(command->name, name) == 0;
}

/* A step of site.yaml: one of ours by its name, or its own. */
static void
add_step(struct amy__deploy_plan *plan,
         const struct amy__deploy_command *command)
{
    enum amy__deploy_act act = AMY__ACT_COMMAND;

    if (command->run == NULL) {
        act = is_named(command, "environment") ? AMY__ACT_ENVIRONMENT
              : is_named(command, "migrate")   ? AMY__ACT_MIGRATE
                                               : AMY__ACT_STATIC;
    }
    add(plan, act, command);
}

/* Where the one of that name stands; count: nowhere. */
static size_t
find_step(const struct amy__site_deploy *deploy, const char *name)
{
    size_t i = 0;

    while (i < deploy->step_count && !is_named(&deploy->steps[i], name)) {
        i++;
    }
    return i;
}

static void
add_steps(struct amy__deploy_plan *plan, const struct amy__site_deploy *deploy,
          size_t from, size_t to)
{
    for (size_t i = from; i < to; i++) {
        add_step(plan, &deploy->steps[i]);
    }
}

/* What a release that serves already had for an environment, once more. */
static void
add_environment(struct amy__deploy_plan *plan,
                const struct amy__site_deploy *deploy)
{
    size_t i = find_step(deploy, "environment");

    if (i < deploy->step_count) {
        add_step(plan, &deploy->steps[i]);
    } else if (deploy->step_count == 0) {
        add(plan, AMY__ACT_ENVIRONMENT, NULL);
    }
}

static void
add_hooks(struct amy__deploy_plan *plan,
          const struct amy__deploy_command *hooks, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        add(plan, AMY__ACT_COMMAND, &hooks[i]);
    }
}

/* Can anything be pending at all? */
static bool
may_close(const struct amy__site_deploy *deploy)
{
    bool migrates = deploy->step_count == 0 ||
                    find_step(deploy, "migrate") < deploy->step_count;

    return deploy->gate == AMY__DEPLOY_GATE_CLOSED ||
           (deploy->gate == AMY__DEPLOY_GATE_AUTO && migrates);
}

/* From a built release to one whose tables are there: as late and as short as
 * can be, for this is when a site may be closed. */
static void
add_change(struct amy__deploy_plan *plan, const struct amy__site *site)
{
    if (site->database_from != NULL && site->backup_before_deploy) {
        add(plan, AMY__ACT_BACKUP, NULL);
    }
    /* Visitors need not see the page while jobs come to their end. */
    if (site->deploy.rq_suspend) {
        add(plan, AMY__ACT_SUSPEND, NULL);
    }
    if (may_close(&site->deploy)) {
        add(plan, AMY__ACT_CLOSE, NULL);
    }
}

/* In place the new code has to be there before anything can be done with it. */
static void
add_release(struct amy__deploy_plan *plan, const struct amy__site *site,
            bool in_place)
{
    const struct amy__site_deploy *deploy = &site->deploy;
    bool django = deploy->step_count == 0;
    size_t count = deploy->step_count;
    size_t built = find_step(deploy, "environment");
    size_t change = find_step(deploy, "migrate");

    built = built < count ? built + 1 : 0;
    change = change < built ? built : change;
    if (in_place) {
        add(plan, AMY__ACT_CHECKOUT, NULL);
    }
    if (django) {
        add(plan, AMY__ACT_ENVIRONMENT, NULL);
    }
    add_steps(plan, deploy, 0, built);
    add(plan, AMY__ACT_VARIABLES, NULL);
    add_hooks(plan, deploy->before, deploy->before_count);
    if (django) {
        add(plan, AMY__ACT_STATIC, NULL);
    }
    add_steps(plan, deploy, built, change);
    if (django || (change < count && deploy->steps[change].run == NULL)) {
        add(plan, AMY__ACT_PENDING, NULL);
    }
    add_change(plan, site);
    if (django) {
        add(plan, AMY__ACT_MIGRATE, NULL);
    }
    add_steps(plan, deploy, change, count);
}

void
amy__deploy_plan_make(const struct amy__site *site, enum amy__deploy_kind kind,
                      bool in_place, struct amy__deploy_plan *ret_plan)
{
    bool release = kind == AMY__DEPLOY_RELEASE;

    ret_plan->count = 0;
    add(ret_plan, AMY__ACT_CHECK, NULL);
    if (release) {
        add(ret_plan, AMY__ACT_FETCH, NULL);
        add_release(ret_plan, site, in_place);
    } else if (in_place) {
        add(ret_plan, AMY__ACT_CHECKOUT, NULL);
        add_environment(ret_plan, &site->deploy);
    }
    if (!in_place) {
        add(ret_plan, AMY__ACT_SWITCH, NULL);
    }
    add(ret_plan, AMY__ACT_RELOAD, NULL);
    add(ret_plan, AMY__ACT_RECORD, NULL);
    if (release && site->deploy.rq_suspend) {
        add(ret_plan, AMY__ACT_RESUME, NULL);
    }
    if (release && may_close(&site->deploy)) {
        add(ret_plan, AMY__ACT_OPEN, NULL);
    }
    if (release) {
        add_hooks(ret_plan, site->deploy.after, site->deploy.after_count);
    }
    if (release && !in_place) {
        add(ret_plan, AMY__ACT_CLEAN, NULL);
    }
}

void
amy__deploy_plan_mend(const struct amy__deploy_journal *journal, bool killed,
                      struct amy__deploy_plan *ret_plan)
{
    bool back = !journal->served && journal->reloading;

    ret_plan->count = 0;
    add(ret_plan, AMY__ACT_KILL, NULL);
    /* In place both are of one path: nobody could tell. */
    if (back && killed && journal->switched && !journal->in_place) {
        add(ret_plan, AMY__ACT_LOOK, NULL);
    }
    if (journal->served) {
        add(ret_plan, AMY__ACT_RECORD, NULL);
    }
    if (!journal->served && journal->switched) {
        add(ret_plan,
            journal->in_place ? AMY__ACT_CHECKOUT_BACK : AMY__ACT_SWITCH_BACK,
            NULL);
    }
    if (!journal->served && journal->installed) {
        add(ret_plan, AMY__ACT_ENVIRONMENT_BACK, NULL);
    }
    /* Behind a first one there is nothing that could serve again: amy-workers
     * would refuse it, now and for ever. */
    if (back && journal->previous[0] != '\0') {
        add(ret_plan, AMY__ACT_RELOAD_BACK, NULL);
    }
    if (journal->suspended) {
        add(ret_plan, AMY__ACT_RESUME, NULL);
    }
    if (journal->closed) {
        add(ret_plan, AMY__ACT_OPEN, NULL);
    }
    if (!journal->served && journal->made) {
        add(ret_plan, AMY__ACT_REMOVE, NULL);
    }
}

bool
amy__deploy_closes(const struct amy__site *site, int pending)
{
    switch (site->deploy.gate) {
    case AMY__DEPLOY_GATE_NONE:
        return false;
    case AMY__DEPLOY_GATE_CLOSED:
        return true;
    default:
        break;
    }
    if (pending >= 0) {
        return pending > 0;
    }
    /* A step of its own that is called so: who knows what it does. */
    return find_step(&site->deploy, "migrate") < site->deploy.step_count;
}

const char *
amy__deploy_step_says(const struct amy__deploy_step *step)
{
    return kinds[step->act].says;
}

const char *
amy__deploy_step_undo(const struct amy__deploy_step *step)
{
    return kinds[step->act].undo;
}

const char *
amy__deploy_step_who(const struct amy__deploy_step *step)
{
    if (step->act == AMY__ACT_COMMAND && step->borrow_command != NULL &&
        step->borrow_command->who == AMY__DEPLOY_AS_SITE) {
        return "site";
    }
    return kinds[step->act].who;
}

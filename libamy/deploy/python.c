/* Python and Django: a release's environment, its migrations. */
/* Not for other commands: act.c. */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "deploy/internal.h"
#include "deploy/pending.h"
#include "site/fields.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define VENV ".venv"
#define RETRY_MS 2000

/* ---- the environment ---- */

static void next_of_environment(struct amy_deploy *deploy, int rc,
                                struct amy_error *err);

static bool
has(const struct amy_deploy *deploy, const char *name)
{
    struct stat st;

    return fstatat(deploy->release_fd, name, &st, 0) == 0;
}

static int
environment_stage(struct amy_deploy *deploy, struct amy_error *err)
{
    const char *venv[] = {
        deploy->site->deploy.python, "-m", "venv", "--clear", VENV, NULL};
    const char *pip[] = {VENV "/bin/python",
                         "-m",
                         "pip",
                         "install",
                         "--quiet",
                         "--no-input",
                         "--disable-pip-version-check",
                         "-r",
                         deploy->site->deploy.requirements,
                         NULL};
    /* In place it is changed and not made anew: the workers live in it. */
    bool kept = deploy->journal.in_place && has(deploy, VENV "/bin/python");
    struct amy__deploy_program program = {.argv = venv,
                                          .who = AMY__DEPLOY_AS_DEPLOYER,
                                          .cwd_fd = deploy->release_fd,
                                          .bare = true};

    if (deploy->stage == 0 && kept) {
        deploy->stage = 1;
    }
    if (deploy->stage > 1 ||
        (deploy->stage == 1 &&
         !has(deploy, deploy->site->deploy.requirements))) {
        return 1;
    }
    program.argv = deploy->stage == 0 ? venv : pip;
    return amy__deploy_run(deploy, &program, next_of_environment, err);
}

/* 1: that was all. */
static void
end_environment(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc > 0 && deploy->mending) {
        deploy->journal.installed = false;
        (void)amy__deploy_journal_undone(deploy, NULL);
    }
    amy__deploy_done(deploy, rc < 0 ? rc : 0, err);
}

static void
next_of_environment(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == 0) {
        deploy->stage++;
        rc = environment_stage(deploy, err);
    }
    if (rc != 0) {
        end_environment(deploy, rc, err);
    }
}

static void
begin_environment(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    deploy->stage = 0;
    rc = rc < 0 ? rc : environment_stage(deploy, err);
    if (rc != 0) {
        end_environment(deploy, rc, err);
    }
}

void
amy__deploy_environment(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (deploy->journal.in_place) {
        deploy->journal.installed = true;
        rc = amy__deploy_journal_save(deploy, &err);
    }
    begin_environment(deploy, rc, &err);
}

/* What the new release has installed besides stays: no harm is known of it. */
void
amy__deploy_environment_back(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = deploy->release_fd >= 0
                 ? 0
                 : amy__deploy_release_open(deploy, "repo", &err);

    begin_environment(deploy, rc, &err);
}

/* ---- migrations ---- */

static void
on_pending(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    char **pending = NULL;

    if (rc == 0) {
        rc = amy__deploy_pending_read(amy__buf_span(&deploy->run.taken),
                                      &pending, err);
    }
    if (rc < 0) {
        amy__deploy_done(deploy, rc, err);
        return;
    }
    amy__texts_free(deploy->journal.migrations);
    deploy->journal.migrations = pending;
    deploy->facts.pending = (int)amy__texts_count(pending);
    for (size_t i = 0; pending != NULL && pending[i] != NULL; i++) {
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "%s", pending[i]);
    }
    if (deploy->facts.pending == 0) {
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "no migration is pending");
    }
    rc = amy__deploy_journal_save(deploy, err);
    rc = rc < 0 ? rc : amy__deploy_check_gate(deploy, err);
    amy__deploy_done(deploy, rc, err);
}

void
amy__deploy_pending(struct amy_deploy *deploy)
{
    static const char *const argv[] = {"python", "manage.py", "showmigrations",
                                       "--plan", NULL};
    const struct amy__deploy_program program = {
        .argv = argv,
        .who = AMY__DEPLOY_AS_SITE,
        .cwd_fd = deploy->release_fd,
        .take = true,
        .more = {"PYTHONDONTWRITEBYTECODE=1"}};
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__deploy_run(deploy, &program, on_pending, &err);

    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

static void begin_migrate(struct amy_deploy *deploy, int rc,
                          struct amy_error *err);

static void
on_migrated(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    uint32_t tries = deploy->site->deploy.lock_tries;

    if (rc < 0 && deploy->run.waits && ++deploy->tries < tries) {
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE,
                         "it waited too long for a lock; once more");
        rc = amy__deploy_wait(deploy, RETRY_MS, begin_migrate, err);
        if (rc == 0) {
            return;
        }
    } else if (rc < 0 && deploy->run.waits) {
        (void)amy__err(err, AMY_ETIMEOUT,
                       "somebody holds a lock that it needs, after %" PRIu32
                       " tries",
                       tries);
        rc = AMY_ETIMEOUT;
    }
    amy__deploy_done(deploy, rc, err);
}

/* A lock that a migration waits for stops all visitors who come after it: it
 * gives up soon, and tries again. */
static void
begin_migrate(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    static const char *const argv[] = {"python", "manage.py", "migrate",
                                       "--noinput", NULL};
    const char *old = amy__env_get(deploy->env, "PGOPTIONS");
    char options[1024];
    const struct amy__deploy_program program = {
        .argv = argv,
        .who = AMY__DEPLOY_AS_SITE,
        .cwd_fd = deploy->release_fd,
        .more = {options, "PYTHONDONTWRITEBYTECODE=1"}};

    (void)snprintf(options, sizeof(options),
                   "PGOPTIONS=%.900s%s-c lock_timeout=%" PRId64,
                   old == NULL ? "" : old, old == NULL ? "" : " ",
                   deploy->site->deploy.lock_timeout_ms);
    rc = rc < 0 ? rc : amy__deploy_run(deploy, &program, on_migrated, err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, err);
    }
}

void
amy__deploy_migrate(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;

    deploy->tries = 0;
    begin_migrate(deploy, 0, &err);
}

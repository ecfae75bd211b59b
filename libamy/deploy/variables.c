/* The environment that a release's commands run in. */
/* Not for making it: python.c; nor for reading the files: site/env.c. */
#include "core/error.h"
#include "core/files.h"
#include "deploy/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void
on_env(int rc, struct amy__env *env, const struct amy_error *err, void *user)
{
    struct amy_deploy *deploy = user;
    struct amy_error why = AMY_ERROR_INIT;

    deploy->env_job = NULL;
    if (rc < 0) {
        why = *err;
    } else {
        amy__env_unref(deploy->env);
        deploy->env = amy__env_ref(env);
    }
    deploy->then(deploy, rc, &why);
}

int
amy__deploy_env(struct amy_deploy *deploy, amy__deploy_then_fn then,
                struct amy_error *err)
{
    struct amy__env_release release;
    struct amy__env_options opts = {.base = deploy->base,
                                    .site = deploy->site,
                                    .webapps_path = deploy->settings->webapps,
                                    .as_person = deploy->as_person};

    deploy->then = then;
    if (deploy->release_fd >= 0) {
        (void)snprintf(release.repo_path, sizeof(release.repo_path), "%s",
                       deploy->release_path);
        (void)snprintf(release.venv_path, sizeof(release.venv_path),
                       "%.4000s/.venv", deploy->release_path);
        opts.release = &release;
    }
    return amy__env_start(&opts, on_env, deploy, &deploy->env_job, err);
}

static void
on_read(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    amy__deploy_done(deploy, rc, err);
}

void
amy__deploy_read_variables(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = deploy->journal.in_place
                 ? 0 /* they are where they were */
                 : amy__deploy_settings_bring(deploy, &err);

    rc = rc < 0 ? rc : amy__deploy_env(deploy, on_read, &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

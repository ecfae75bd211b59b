/* The environment a site's workers run in: what bash makes of
 * repo/.venv/bin/activate and postactivate, in a clean environment, as the
 * site's user, within 5 s. Values are never logged. */
#ifndef AMY_SITE_ENV_H
#define AMY_SITE_ENV_H

#include <amy/error.h>

#include "core/str.h"
#include "site/site.h"

#include <limits.h>

struct event_base;
struct amy__env_job;

struct amy__env {
    unsigned refs;
    char **vars;     /* NULL-terminated "NAME=value" */
    char *repo_path; /* real path of repo; the variables name no other */
    char *venv_path; /* real path of repo/.venv */
};
struct amy__env *amy__env_ref(struct amy__env *env);
void amy__env_unref(struct amy__env *env);
const char *amy__env_get(const struct amy__env *env, const char *name);

/* From NUL-terminated "NAME=value" records as `env -0` writes them. What bash
 * adds of its own (_, SHLVL, PWD, OLDPWD, PS1) and what is no plain name
 * (exported functions) is left out. Copies both paths.
 * @return 0, AMY_EPARSE (not such records), AMY_ENOMEM */
int amy__env_from_records(struct amy__span records, const char *repo_path,
                          const char *venv_path, struct amy__env **ret_env,
                          struct amy_error *err);

/* In VIRTUAL_ENV, PATH and PYTHONPATH: directories at or beneath `from` are
 * named as beneath `to`. @return 0, AMY_ELIMIT, AMY_ENOMEM */
int amy__env_pin(struct amy__env *env, const char *from, const char *to,
                 struct amy_error *err);

/* rc < 0: err says why (the shell's last line after AMY__SAID); env is NULL.
 * AMY_EPARSE: a file failed; AMY_ETIMEOUT; AMY_ELIMIT: more than 1 MiB. */
typedef void (*amy__env_fn)(int rc, struct amy__env *env,
                            const struct amy_error *err, void *user);

/* A release by its real paths, whatever `repo` leads to now. */
struct amy__env_release {
    char repo_path[PATH_MAX];
    char venv_path[PATH_MAX];
};

struct amy__env_options {
    struct event_base *base;
    const struct amy__site *site; /* read until amy__env_start returns */
    const char *webapps_path;     /* absolute; the same */
    bool as_person;               /* do not change ids */
    int64_t timeout_ms;           /* [5 s] */
    const struct amy__env_release *release; /* NULL: what `repo` leads to */
};
/* Look at repo/, .venv/, activate, postactivate and python as the site's user,
 * then start the shell. Completion exactly once, from the loop; cancel gives
 * none, and waits the moment that a killed shell takes to end.
 * @return 0, AMY_ENOTFOUND (err.msg names what is missing), AMY_EPARSE (a file
 *         with Windows line ends), AMY_EDENIED, AMY_EINVAL, AMY_EAGAIN ... of
 *         amy__spawn. fn is not called then. */
int amy__env_start(const struct amy__env_options *opts, amy__env_fn fn,
                   void *user, struct amy__env_job **ret_job,
                   struct amy_error *err);
void amy__env_cancel(struct amy__env_job *job);

#endif

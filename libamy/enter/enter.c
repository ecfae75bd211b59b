/* Reads what it takes to be in a site, and goes there. */
/* Not for the steps that cannot be undone: become.c, tty.c. */
#include <amy/enter.h>

#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "core/options.h"
#include "core/user.h"
#include "enter/internal.h"
#include "enter/program.h"
#include "enter/vars.h"
#include "site/env.h"
#include "site/schema.h"
#include "site/site.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define MAGIC 0x454E5452U /* "ENTR" */
#define MIN_OPTIONS offsetof(struct amy_enter_options, on_problem)

extern char **environ;

struct amy_enter {
    unsigned magic;
    struct amy__site *site;
    struct amy__env *env;
    struct amy__user user;
};

AMY_DEFINE_CLEANUP(struct amy_enter *, amy_enter_free)
AMY_DEFINE_CLEANUP(struct amy__site *, amy__site_unref)
AMY_DEFINE_CLEANUP(struct event_base *, amy__loop_free)

/* ---- the site ---- */

/* Only root can become somebody else: say who could, before a list of what is
 * wrong for us with files that are right. */
static int
check_person(int webapps_fd, const char *domain, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf yaml = {NULL, 0, 0, 0};
    AMY_CLEANUP(amy__site_unref_p) struct amy__site *site = NULL;
    AMY_CLEANUP(amy__user_clear) struct amy__user account = {0};
    AMY_CLEANUP(amy__close_p)
    int fd =
        amy__open_beneath(webapps_fd, domain, O_PATH | O_DIRECTORY, 0, NULL);
    char name[64];

    amy__buf_init(&yaml, AMY__YAML_MAX_BYTES);
    if (geteuid() == 0 || fd < 0 ||
        amy__read_file_at(fd, "site.yaml", AMY__YAML_MAX_BYTES, &yaml, NULL,
                          NULL) < 0 ||
        amy__site_parse(amy__buf_span(&yaml), "site.yaml", domain, NULL, NULL,
                        &site, NULL) < 0 ||
        amy__user_find(site->user, &account, NULL) < 0 ||
        account.uid == geteuid()) {
        return 0; /* whatever is wrong, the next one tells it */
    }
    return amy__err(err, AMY_EDENIED,
                    "site '%s' runs as '%s', and this is '%s': only root can "
                    "become another user (try sudo)",
                    domain, site->user,
                    amy__user_name(geteuid(), name, sizeof(name)));
}

static int
load_site(struct amy_enter *enter, const struct amy_enter_options *opts,
          const char *webapps, struct amy_error *err)
{
    struct amy__site_rules rules = {.as_person = geteuid() != 0,
                                    .person = geteuid()};
    AMY_CLEANUP(amy__close_p) int fd = -1;
    int rc = 0;

    fd = open(webapps, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        return amy__err_sys(err, errno, "opening '%s'", webapps);
    }
    rc = check_person(fd, opts->site, err);
    if (rc == 0) {
        rc = amy__site_load(fd, webapps, opts->site, &rules, opts->on_problem,
                            opts->user, NULL, &enter->site, err);
    }
    return rc == AMY_ENOTFOUND
               ? amy__err(err, rc, "there is no site '%s' in %s", opts->site,
                          webapps)
               : rc;
}

/* ---- its environment ---- */

struct wait {
    bool over;
    int rc;
    struct amy__env *env;
    struct amy_error err;
};

static void
on_env(int rc, struct amy__env *env, const struct amy_error *err, void *user)
{
    struct wait *wait = user;

    wait->over = true;
    wait->rc = rc;
    if (rc == 0) {
        wait->env = amy__env_ref(env);
    } else {
        wait->err = *err;
    }
}

static int
read_env(struct amy_enter *enter, const char *webapps, struct amy_error *err)
{
    AMY_CLEANUP(amy__loop_free_p) struct event_base *base = NULL;
    struct wait wait = {.over = false};
    struct amy__env_job *job = NULL;
    struct amy__env_options opts = {
        .site = enter->site,
        .webapps_path = webapps,
        .as_person = geteuid() != 0,
    };
    int rc = amy__loop_create(&base, err);

    if (rc < 0) {
        return rc;
    }
    opts.base = base;
    rc = amy__env_start(&opts, on_env, &wait, &job, err);
    if (rc < 0) {
        return rc;
    }
    rc = amy__loop_run(base, &wait.over, err);
    if (rc < 0) {
        if (!wait.over) {
            amy__env_cancel(job);
        }
        return rc;
    }
    if (wait.rc < 0) {
        return amy__err(err, wait.rc, "%s", wait.err.msg);
    }
    enter->env = wait.env;
    return 0;
}

static int
fill(struct amy_enter *enter, const struct amy_enter_options *opts,
     struct amy_error *err)
{
    char webapps[PATH_MAX];
    const char *given = opts->webapps == NULL ? "/webapps" : opts->webapps;
    int rc = 0;

    if (realpath(given, webapps) == NULL) {
        return amy__err_sys(err, errno, "looking for '%s'", given);
    }
    rc = load_site(enter, opts, webapps, err);
    if (rc == 0) {
        rc = amy__user_find(enter->site->user, &enter->user, err);
    }
    if (rc == 0) {
        rc = read_env(enter, webapps, err);
        if (rc < 0) {
            amy__err_prefix(err, "site '%s': ", opts->site);
        }
    }
    return rc;
}

int
amy_enter_create(const struct amy_enter_options *opts,
                 struct amy_enter **ret_enter, struct amy_error *err)
{
    AMY_CLEANUP(amy_enter_free_p) struct amy_enter *enter = NULL;
    struct amy_enter_options own = AMY_ENTER_OPTIONS_INIT;
    int rc = amy__options_read(&own, sizeof(own), opts, MIN_OPTIONS, err);

    if (rc < 0) {
        return rc;
    }
    if (own.site == NULL) {
        return amy__err(err, AMY_EINVAL, "which site to enter?");
    }
    rc = amy__enter_open_standard(err);
    if (rc < 0) {
        return rc;
    }
    enter = amy__calloc(1, sizeof(*enter));
    if (enter == NULL) {
        return amy__err(err, AMY_ENOMEM, "entering a site");
    }
    enter->magic = MAGIC;
    rc = fill(enter, &own, err);
    if (rc == 0) {
        *ret_enter = AMY_TAKE(enter);
    }
    return rc;
}

/* ---- going there ---- */

static int
become_program(const struct amy_enter *enter, const char *const *argv,
               char *const *vars, struct amy_error *err)
{
    char file[PATH_MAX];
    int rc = amy__enter_become(&enter->user, err);

    if (rc < 0) {
        return rc;
    }
    /* As the new user: what it may not enter is an error. */
    if (chdir(enter->env->repo_path) < 0) {
        return amy__err_sys(err, errno, "going to '%s'", enter->env->repo_path);
    }
    rc = amy__enter_find(argv[0], amy__env_get(enter->env, "PATH"), file, err);
    if (rc < 0) {
        return rc;
    }
    /* execve(2) changes neither; its type is older than const. */
    (void)execve(file, (char *const *)(uintptr_t)argv, vars);
    return amy__err_sys(err, errno, "running '%s'", argv[0]);
}

int
amy_enter_exec(struct amy_enter *enter, const char *const *argv,
               struct amy_error *err)
{
    static const char *const shell[] = {"/bin/bash", "--noprofile", "--norc",
                                        NULL};
    char **vars = NULL;
    int rc = 0;

    AMY_CHECK(enter, MAGIC);
    vars =
        amy__enter_vars(enter->env, enter->site->domain, environ, argv == NULL);
    if (vars == NULL) {
        return amy__err(err, AMY_ENOMEM, "entering a site");
    }
    rc = become_program(enter, argv == NULL ? shell : argv, vars, err);
    amy__enter_vars_free(vars);
    return rc;
}

void
amy_enter_free(struct amy_enter *enter)
{
    if (enter == NULL) {
        return;
    }
    AMY_CHECK(enter, MAGIC);
    enter->magic = 0;
    amy__site_unref(enter->site);
    amy__env_unref(enter->env);
    amy__user_clear(&enter->user);
    amy__free(enter);
}

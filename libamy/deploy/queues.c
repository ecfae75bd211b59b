/* The queues of rq: suspended, drained, resumed, by a program of the site's
 * user in its environment. Root asks no server that a site names. */
/* Not for workers: those are reloaded. */
#include "core/error.h"
#include "deploy/internal.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* rq:suspended is what `rq suspend` sets; every worker looks at it before it
 * takes a job. Ours has the number of the deployment in it, so that what a
 * person has suspended stays so; and an end, should nobody ever come back. */
static const char script[] =
    "import os, sys, time\n"
    "import redis\n"
    "server = redis.Redis.from_url(os.environ[sys.argv[2]])\n"
    "key, ours = 'rq:suspended', 'amy:' + os.environ['AMY_DEPLOY']\n"
    "def is_ours():\n"
    "    return (server.get(key) or b'').decode('ascii', 'replace') == ours\n"
    "def busy():\n"
    "    names = server.smembers('rq:workers')\n"
    "    return sum(server.hget(name, 'state') == b'busy' for name in names)\n"
    "if sys.argv[1] == 'resume':\n"
    "    if is_ours():\n"
    "        server.delete(key)\n"
    "    sys.exit(0)\n"
    "wait = float(sys.argv[3])\n"
    "if not server.set(key, ours, nx=True, ex=int(wait) + 86400):\n"
    "    if not is_ours():\n"
    "        print('rq was suspended before, and stays so')\n"
    "end, told = time.monotonic() + wait, None\n"
    "while True:\n"
    "    left = busy()\n"
    "    if left == 0:\n"
    "        sys.exit(0)\n"
    "    if left != told:\n"
    "        print(left, 'jobs still run', flush=True)\n"
    "        told = left\n"
    "    if time.monotonic() >= end:\n"
    "        print(left, 'jobs still run after', wait, 's', file=sys.stderr)\n"
    "        sys.exit(1)\n"
    "    time.sleep(0.2)\n";

static void
on_suspended(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    amy__deploy_done(deploy, rc, err);
}

static int
run(struct amy_deploy *deploy, const char *what, int cwd_fd,
    amy__deploy_then_fn then, struct amy_error *err)
{
    char wait[32];
    const char *argv[] = {
        "python", "-c", script, what, deploy->site->redis_from, wait, NULL};
    const struct amy__deploy_program program = {
        .argv = argv, .who = AMY__DEPLOY_AS_SITE, .cwd_fd = cwd_fd};

    if (deploy->site->redis_from == NULL) {
        return amy__err(err, AMY_ESTATE,
                        "site.yaml does not say any more where the queues are "
                        "(redis)");
    }
    (void)snprintf(wait, sizeof(wait), "%" PRId64,
                   deploy->site->deploy.rq_drain_ms / 1000);
    return amy__deploy_run(deploy, &program, then, err);
}

void
amy__deploy_suspend(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    deploy->journal.suspended = true;
    rc = amy__deploy_journal_save(deploy, &err);
    rc = rc < 0
             ? rc
             : run(deploy, "suspend", deploy->release_fd, on_suspended, &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

/* ---- and again ---- */

static void
on_resumed(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == 0) {
        deploy->journal.suspended = false;
        rc = amy__deploy_journal_undone(deploy, err);
    }
    amy__deploy_done(deploy, rc, err);
}

/* Where nothing is left to ask by, no later try finds it either. */
static void
leave(struct amy_deploy *deploy, const char *why)
{
    amy__deploy_tell(deploy, AMY_DEPLOY_WARNING,
                     "rq goes on by itself within a day of its deadline, or at "
                     "'rq resume': %.500s",
                     why);
    on_resumed(deploy, 0, NULL);
}

static void
on_env(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc < 0 && deploy->mending && amy__deploy_is_first(deploy)) {
        leave(deploy, err->msg);
        return;
    }
    rc = rc < 0 ? rc : run(deploy, "resume", deploy->site_fd, on_resumed, err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, err);
    }
}

/* Behind a first one repo leads nowhere: the release that goes next is the only
 * one that knows where the queues are. */
static int
find_env(struct amy_deploy *deploy, struct amy_error *err)
{
    int rc = 0;

    if (amy__deploy_is_first(deploy) && deploy->release_fd < 0) {
        rc = amy__deploy_release_open(deploy, deploy->journal.target, err);
    }
    return rc < 0 ? rc : amy__deploy_env(deploy, on_env, err);
}

void
amy__deploy_resume(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (!deploy->journal.suspended) {
        amy__deploy_done(deploy, 0, NULL);
        return;
    }
    if (deploy->mending && deploy->site->redis_from == NULL) {
        leave(deploy, "site.yaml does not say any more where the queues are");
        return;
    }
    rc = deploy->env == NULL ? find_env(deploy, &err) : 0;
    if (rc < 0 || deploy->env != NULL) {
        on_env(deploy, rc, &err);
    }
}

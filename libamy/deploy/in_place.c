/* Releases without releases/: repo is a checkout of git, and is changed where
 * it is. */
/* Not for its environment: python.c. */
#include "core/error.h"
#include "deploy/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

/* Where what is fetched goes: in nobody's way. */
#define BRANCHES "refs/remotes/amy/"

/* A look at a name, nothing is opened. */
bool
amy__deploy_is_checkout(const struct amy_deploy *deploy)
{
    struct stat st;

    return fstatat(deploy->site_fd, "repo/.git", &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static int
run(struct amy_deploy *deploy, const char *const *argv, bool take,
    amy__deploy_then_fn then, struct amy_error *err)
{
    const struct amy__deploy_program program = {
        .argv = argv,
        .who = AMY__DEPLOY_AS_DEPLOYER,
        .cwd_fd = deploy->release_fd,
        .bare = true,
        .take = take,
        .more = {"GIT_TERMINAL_PROMPT=0",
                 "GIT_SSH_COMMAND=ssh -o BatchMode=yes"},
    };

    return amy__deploy_run(deploy, &program, then, err);
}

/* ---- fetch: nothing of the work tree changes ---- */

static void next_of_fetch(struct amy_deploy *deploy, int rc,
                          struct amy_error *err);

static int
fetch_stage(struct amy_deploy *deploy, struct amy_error *err)
{
    const char *source = deploy->site->deploy.source;
    char text[AMY__DEPLOY_REF_SIZE + 80];

    switch (deploy->stage) {
    case 0: {
        static const char *const argv[] = {"git", "rev-parse", "--verify",
                                           "HEAD", NULL};

        return run(deploy, argv, true, next_of_fetch, err);
    }
    case 1: {
        static const char *const argv[] = {"git", "status", "--porcelain",
                                           "--untracked-files=no", NULL};

        return run(deploy, argv, true, next_of_fetch, err);
    }
    case 2: {
        const char *argv[] = {"git",
                              "fetch",
                              "--quiet",
                              "--force",
                              "--tags",
                              "--",
                              source == NULL ? "origin" : source,
                              "+refs/heads/*:" BRANCHES "*",
                              NULL};

        return run(deploy, argv, false, next_of_fetch, err);
    }
    case 3: /* a branch there */
    case 4: /* or a tag, or a commit */ {
        const char *argv[] = {"git",     "rev-parse", "--verify",
                              "--quiet", text,        NULL};

        (void)snprintf(text, sizeof(text), "%s%s^{commit}",
                       deploy->stage == 3 ? BRANCHES : "", deploy->journal.ref);
        return run(deploy, argv, true, next_of_fetch, err);
    }
    default:
        return 1;
    }
}

/* What the program said of which this was about. */
static int
take_answer(struct amy_deploy *deploy, struct amy_error *err)
{
    struct amy__deploy_journal *journal = &deploy->journal;
    struct amy__span said = amy__buf_span(&deploy->run.taken);
    int rc = 0;

    if (deploy->stage == 0) {
        rc = amy__deploy_commit_read(said, journal->before, err);
        (void)snprintf(journal->previous, sizeof(journal->previous), "repo@%s",
                       journal->before);
    } else if (deploy->stage == 1 && said.n > 0) {
        rc = amy__err(err, AMY_ESTATE,
                      "files of repo were changed by hand: git status there");
    } else if (deploy->stage >= 3) {
        rc = amy__deploy_commit_read(said, journal->commit, err);
        (void)snprintf(journal->target, sizeof(journal->target), "repo@%s",
                       journal->commit);
        deploy->stage = 4; /* it is found */
        amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "%s is %s", journal->ref,
                         journal->commit);
    }
    return rc;
}

static void
next_of_fetch(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == 0) {
        rc = take_answer(deploy, err);
    } else if (deploy->stage == 3) {
        rc = 0; /* no branch: what else may it be? */
    } else if (deploy->stage == 4) {
        rc = amy__err(err, AMY_EINVAL, "there is no branch, tag or commit '%s'",
                      deploy->journal.ref);
    }
    if (rc == 0) {
        deploy->stage++;
        rc = deploy->stage == 5 && amy__deploy_is_unchanged(deploy)
                 ? 1
                 : fetch_stage(deploy, err);
    }
    if (rc != 0) { /* 1: that was all */
        amy__deploy_done(deploy, rc < 0 ? rc : 0, err);
    }
}

void
amy__deploy_fetch_in_place(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    deploy->stage = 0;
    rc = fetch_stage(deploy, &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

/* ---- checkout: from here on repo is the new release ---- */

static void next_of_checkout(struct amy_deploy *deploy, int rc,
                             struct amy_error *err);

static int
checkout_stage(struct amy_deploy *deploy, struct amy_error *err)
{
    const char *commit = deploy->journal.commit;

    switch (deploy->stage) {
    case 0: {
        static const char *const argv[] = {"git", "rev-parse", "--verify",
                                           "HEAD", NULL};

        return run(deploy, argv, true, next_of_checkout, err);
    }
    case 1: { /* it also looks at every file, which the next one wants */
        static const char *const argv[] = {"git", "status", "--porcelain",
                                           "--untracked-files=no", NULL};

        return run(deploy, argv, true, next_of_checkout, err);
    }
    case 2: { /* files that git does not know, where it brings one */
        const char *argv[] = {"git",       "read-tree", "-m",   "-u",
                              "--dry-run", "HEAD",      commit, NULL};

        return run(deploy, argv, false, next_of_checkout, err);
    }
    case 3: { /* the branch comes along; what git does not know, as .venv,
               * stays */
        const char *argv[] = {"git",    "reset", "--quiet",
                              "--hard", commit,  NULL};
        int rc = 0;

        deploy->journal.switched = true;
        rc = amy__deploy_journal_save(deploy, err);
        return rc < 0 ? rc : run(deploy, argv, false, next_of_checkout, err);
    }
    default:
        return 1;
    }
}

/* Somebody has gone on from our last one by hand (git pull): then that is the
 * one before. */
static void
correct_target(struct amy_deploy *deploy)
{
    struct amy__deploy_journal *journal = &deploy->journal;
    const struct amy__deploy_history *history = &deploy->history;
    const char *last =
        history->count == 0 ? "" : history->entries[history->count - 1].link;

    if (journal->kind != AMY__DEPLOY_ROLLBACK || deploy->to != NULL ||
        strncmp(last, "repo@", 5) != 0 ||
        strcmp(last, journal->previous) == 0) {
        return;
    }
    (void)snprintf(journal->target, sizeof(journal->target), "%s", last);
    (void)snprintf(journal->commit, sizeof(journal->commit), "%.64s", last + 5);
    amy__deploy_tell(deploy, AMY_DEPLOY_NOTE,
                     "%s was not deployed by amyctl: back to %s",
                     journal->previous, last);
}

static void
next_of_checkout(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == 0 && deploy->stage < 2) {
        rc = take_answer(deploy, err);
    }
    if (rc == 0 && deploy->stage == 0) {
        correct_target(deploy);
    }
    if (rc == 0) {
        deploy->stage++;
        rc = checkout_stage(deploy, err);
    }
    if (rc != 0) { /* 1: that was all */
        amy__deploy_done(deploy, rc < 0 ? rc : 0, err);
    }
}

void
amy__deploy_checkout(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    deploy->stage = 0;
    rc = checkout_stage(deploy, &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

/* ---- and back ---- */

static void next_of_back(struct amy_deploy *deploy, int rc,
                         struct amy_error *err);

/* A git that was killed meanwhile has left its locks, and files that its index
 * does not name: with the whole commit in there they are known, and go. */
static int
back_stage(struct amy_deploy *deploy, struct amy_error *err)
{
    const struct amy__deploy_journal *journal = &deploy->journal;

    switch (deploy->stage) {
    case 0: {
        static const char *const argv[] = {AMY__DEPLOY_UNLOCK(".git"), NULL};

        return run(deploy, argv, false, next_of_back, err);
    }
    case 1: {
        const char *argv[] = {"git", "read-tree", journal->commit, NULL};

        return run(deploy, argv, false, next_of_back, err);
    }
    case 2: {
        const char *argv[] = {"git",    "reset",         "--quiet",
                              "--hard", journal->before, NULL};

        return run(deploy, argv, false, next_of_back, err);
    }
    default:
        return 1;
    }
}

static void
next_of_back(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == 0) {
        deploy->stage++;
        rc = back_stage(deploy, err);
    }
    if (rc > 0) {
        deploy->journal.switched = false;
        (void)amy__deploy_journal_undone(deploy, NULL);
    }
    if (rc != 0) { /* 1: that was all */
        amy__deploy_done(deploy, rc < 0 ? rc : 0, err);
    }
}

void
amy__deploy_checkout_back(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = deploy->release_fd >= 0
                 ? 0
                 : amy__deploy_release_open(deploy, "repo", &err);

    deploy->stage = 0;
    rc = rc < 0 ? rc : back_stage(deploy, &err);
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

/* A release's files: from git, from a directory, from a tar file; all of it as
 * the deploying user. */
/* Not for what is made of them: python.c. */
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "deploy/internal.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MIRROR ".source.git"
#define GIT "git", "--git-dir=" MIRROR

static void next_stage(struct amy_deploy *deploy, int rc,
                       struct amy_error *err);

static int
run(struct amy_deploy *deploy, const char *const *argv, bool take,
    struct amy_error *err)
{
    /* Whom it would ask for a password is not there. The index is not that of
     * a checkout: there is none. */
    const struct amy__deploy_program program = {
        .argv = argv,
        .who = AMY__DEPLOY_AS_DEPLOYER,
        .cwd_fd = deploy->releases_fd,
        .bare = true,
        .take = take,
        .more = {"GIT_TERMINAL_PROMPT=0",
                 "GIT_SSH_COMMAND=ssh -o BatchMode=yes",
                 "GIT_INDEX_FILE=" MIRROR "/amy-index"},
    };

    return amy__deploy_run(deploy, &program, next_stage, err);
}

/* "20261127T033000Z-1a2b3c4d5e6f": sorted by name, they are by time. */
static bool
is_there(const struct amy_deploy *deploy, const char *name)
{
    struct stat st;

    return fstatat(deploy->releases_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* One that is not there, for it is removed should this fail: of two in a second
 * the other one is "20261127T033000Z.2-1a2b3c4d5e6f". */
static int
name_release(struct amy_deploy *deploy, const char *what, struct amy_error *err)
{
    struct amy__deploy_journal *journal = &deploy->journal;
    char time[25];
    char stamp[17];
    size_t n = 0;

    (void)amy__format_time(amy__wall_ms(deploy->borrow_clock), time);
    for (size_t i = 0; time[i] != '\0' && time[i] != '.'; i++) {
        if (time[i] != '-' && time[i] != ':' && n + 2 < sizeof(stamp)) {
            stamp[n++] = time[i];
        }
    }
    stamp[n++] = 'Z';
    stamp[n] = '\0';
    (void)snprintf(journal->release, sizeof(journal->release), "%s-%.12s",
                   stamp, what);
    for (unsigned i = 2; i < 100 && is_there(deploy, journal->release); i++) {
        (void)snprintf(journal->release, sizeof(journal->release),
                       "%s.%u-%.12s", stamp, i, what);
    }
    if (is_there(deploy, journal->release)) {
        journal->release[0] = '\0';
        return amy__err(err, AMY_EEXIST, "too many releases of this second");
    }
    (void)snprintf(journal->target, sizeof(journal->target), "releases/%s",
                   journal->release);
    return 0;
}

static int
make_release(struct amy_deploy *deploy, const char *what, struct amy_error *err)
{
    int rc = name_release(deploy, what, err);

    if (rc < 0) {
        return rc;
    }
    deploy->journal.made = true;
    rc = amy__deploy_journal_save(deploy, err);
    return rc < 0 ? rc : amy__deploy_release_make(deploy, err);
}

/* ---- git ---- */

int
amy__deploy_commit_read(struct amy__span line,
                        char ret[AMY__DEPLOY_COMMIT_SIZE],
                        struct amy_error *err)
{
    while (line.n > 0 && isspace((unsigned char)line.p[line.n - 1])) {
        line.n--;
    }
    if (line.n < 40 || !amy__span_copy(line, ret, AMY__DEPLOY_COMMIT_SIZE) ||
        strspn(ret, "0123456789abcdef") < line.n) {
        ret[0] = '\0';
        return amy__err(err, AMY_EIO, "git names no commit");
    }
    return 0;
}

static int
take_commit(struct amy_deploy *deploy, struct amy_error *err)
{
    struct amy__deploy_journal *journal = &deploy->journal;
    int rc = amy__deploy_commit_read(amy__buf_span(&deploy->run.taken),
                                     journal->commit, err);

    if (rc < 0) {
        return rc;
    }
    amy__deploy_tell(deploy, AMY_DEPLOY_NOTE, "%s is %s", journal->ref,
                     journal->commit);
    if (amy__deploy_is_unchanged(deploy)) {
        return 1;
    }
    return make_release(deploy, journal->commit, err);
}

static int
git_stage(struct amy_deploy *deploy, struct amy_error *err)
{
    const char *source = deploy->site->deploy.source;
    char text[AMY__DEPLOY_REF_SIZE + 80];

    switch (deploy->stage) {
    case 0: { /* those of one that was killed; only one at a time uses it */
        static const char *const argv[] = {AMY__DEPLOY_UNLOCK(MIRROR), NULL};

        return run(deploy, argv, false, err);
    }
    case 1: {
        const char *argv[] = {"git", "init", "--bare", "--quiet", MIRROR, NULL};

        return run(deploy, argv, false, err);
    }
    case 2: {
        const char *argv[] = {GIT,
                              "fetch",
                              "--quiet",
                              "--force",
                              "--prune",
                              "--",
                              source,
                              "+refs/heads/*:refs/heads/*",
                              "+refs/tags/*:refs/tags/*",
                              NULL};

        return run(deploy, argv, false, err);
    }
    case 3: {
        const char *argv[] = {GIT,       "rev-parse", "--verify",
                              "--quiet", text,        NULL};

        (void)snprintf(text, sizeof(text), "%s^{commit}", deploy->journal.ref);
        return run(deploy, argv, true, err);
    }
    case 4: {
        const char *argv[] = {GIT, "read-tree", deploy->journal.commit, NULL};
        int rc = take_commit(deploy, err);

        return rc != 0 ? rc : run(deploy, argv, false, err);
    }
    case 5: {
        const char *argv[] = {GIT,     "--work-tree=.", "checkout-index",
                              "--all", "--force",       text,
                              NULL};

        (void)snprintf(text, sizeof(text), "--prefix=%s/",
                       deploy->journal.release);
        return run(deploy, argv, false, err);
    }
    default:
        return 1;
    }
}

/* ---- a directory or a tar file ---- */

static bool
is_directory(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

static int
copy_stage(struct amy_deploy *deploy, struct amy_error *err)
{
    const char *name = deploy->journal.release;
    char path[PATH_MAX];

    switch (deploy->stage) {
    case 0: {
        bool directory = is_directory(deploy->from);
        const char *copy[] = {"cp", "-R", "--preserve=mode,timestamps,links",
                              "--", path, NULL,
                              NULL};
        const char *unpack[] = {
            "tar", "-x", "-f", deploy->from, "--no-same-owner",
            "-C",  NULL, NULL};
        int rc = make_release(deploy, directory ? "directory" : "tar", err);

        (void)snprintf(path, sizeof(path), "%.4000s/.", deploy->from);
        copy[5] = deploy->journal.release;
        unpack[6] = deploy->journal.release;
        return rc < 0 ? rc : run(deploy, directory ? copy : unpack, false, err);
    }
    case 1: { /* what is closed to others stays so: a key among the files */
        const char *argv[] = {"chmod", "-R", "u+rwX,go-w", "--", name, NULL};

        return run(deploy, argv, false, err);
    }
    case 2: { /* cp and tar gave it the mode of what they read */
        const char *argv[] = {"chmod", "755", "--", name, NULL};

        return run(deploy, argv, false, err);
    }
    case 3: { /* of no use here, and its config may have a token in it */
        const char *argv[] = {"rm", "-rf", "--", path, NULL};

        (void)snprintf(path, sizeof(path), "%s/.git", name);
        return run(deploy, argv, false, err);
    }
    default:
        return 1;
    }
}

/* ---- */

static int
explain(const struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (deploy->from == NULL && deploy->stage == 3) {
        return amy__err(err, AMY_EINVAL, "%s has no branch, tag or commit '%s'",
                        deploy->site->deploy.source, deploy->journal.ref);
    }
    return rc;
}

static void
next_stage(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc < 0) {
        amy__deploy_done(deploy, explain(deploy, rc, err), err);
        return;
    }
    deploy->stage++;
    rc =
        deploy->from == NULL ? git_stage(deploy, err) : copy_stage(deploy, err);
    if (rc != 0) { /* 1: that was all */
        amy__deploy_done(deploy, rc < 0 ? rc : 0, err);
    }
}

void
amy__deploy_fetch(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (deploy->journal.in_place) {
        amy__deploy_fetch_in_place(deploy);
        return;
    }
    rc = amy__deploy_releases_open(deploy, &err);
    if (rc == 0 && deploy->from == NULL &&
        deploy->site->deploy.source == NULL) {
        rc = amy__err(&err, AMY_EINVAL,
                      "site.yaml has no deploy.source, and no --from is given");
    }
    deploy->stage = deploy->from == NULL && !is_there(deploy, MIRROR) ? 1 : 0;
    if (rc == 0) {
        rc = deploy->from == NULL ? git_stage(deploy, &err)
                                  : copy_stage(deploy, &err);
    }
    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
    }
}

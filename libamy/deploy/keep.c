/* What a deployment keeps: the lock, the journal, the history, lines in the
 * log. */
/* Not for what stands in them: journal.c, history.c. */
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "deploy/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#define LOCK "lock"
#define JOURNAL "journal"
#define HISTORY "releases"
#define LOG "logs/deploy.log"

/* ---- the lock ---- */

/* By the journal of whoever holds it. */
static int
tell_holder(const struct amy_deploy *deploy, struct amy_error *err)
{
    struct amy__deploy_journal other = {.pid = 0};
    char since[25];
    int rc = amy__deploy_journal_load(deploy, &other, NULL);

    if (rc < 0) {
        return amy__err(err, AMY_EBUSY,
                        "another deployment of '%s' has just begun",
                        deploy->domain);
    }
    rc =
        amy__err(err, AMY_EBUSY,
                 "another %s of '%s' is under way: pid %lld, since %s, step "
                 "'%s'",
                 other.kind == AMY__DEPLOY_ROLLBACK ? "rollback" : "deployment",
                 deploy->domain, (long long)other.pid,
                 amy__format_time(other.began_wall_ms, since), other.step);
    amy__deploy_journal_clear(&other);
    return rc;
}

int
amy__deploy_lock(struct amy_deploy *deploy, struct amy_error *err)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    int rc = amy__make_dirs(deploy->settings->state, 0755, err);

    if (rc == 0 && deploy->state_fd < 0) {
        deploy->state_fd = amy__open_dir(deploy->settings->state, err);
        rc = deploy->state_fd;
    }
    if (rc < 0) {
        return rc;
    }
    amy__close(&deploy->dir_fd);
    deploy->dir_fd = amy__site_state_dir(deploy->state_fd, true, "deploy",
                                         deploy->domain, err);
    if (deploy->dir_fd < 0) {
        return deploy->dir_fd;
    }
    fd = openat(deploy->dir_fd, LOCK, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC,
                0600);
    if (fd < 0) {
        return amy__err_sys(err, errno, "opening the lock of deployments");
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        return errno == EWOULDBLOCK
                   ? tell_holder(deploy, err)
                   : amy__err_sys(err, errno, "locking deployments");
    }
    deploy->lock_fd = amy__take_fd(&fd);
    return 0;
}

/* ---- the journal ---- */

int
amy__deploy_journal_save(struct amy_deploy *deploy, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    int rc = 0;

    amy__buf_init(&text, AMY__DEPLOY_JOURNAL_MAX);
    rc = amy__deploy_journal_write(&deploy->journal, &text);
    if (rc < 0) {
        return amy__err(err, rc, "writing the journal");
    }
    return amy__write_file_at(deploy->dir_fd, JOURNAL, text.data, text.len,
                              0600, err);
}

int
amy__deploy_journal_undone(struct amy_deploy *deploy, struct amy_error *err)
{
    int rc = amy__deploy_journal_save(deploy, err);

    return deploy->mending ? 0 : rc;
}

int
amy__deploy_journal_load(const struct amy_deploy *deploy,
                         struct amy__deploy_journal *ret, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    int rc = 0;

    if (deploy->dir_fd < 0) {
        return amy__err(err, AMY_ENOTFOUND, "no deployment was ever begun");
    }
    amy__buf_init(&text, AMY__DEPLOY_JOURNAL_MAX);
    rc = amy__read_file_at(deploy->dir_fd, JOURNAL, AMY__DEPLOY_JOURNAL_MAX,
                           &text, NULL, err);
    return rc < 0 ? rc
                  : amy__deploy_journal_read(amy__buf_span(&text), ret, err);
}

void
amy__deploy_journal_drop(const struct amy_deploy *deploy)
{
    /* One that stays is mended once more, which changes nothing. */
    (void)unlinkat(deploy->dir_fd, JOURNAL, 0);
    (void)fsync(deploy->dir_fd);
}

/* ---- the history ---- */

int
amy__deploy_history_save(const struct amy_deploy *deploy, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    int rc = 0;

    amy__buf_init(&text, AMY__DEPLOY_HISTORY_BYTES);
    rc = amy__deploy_history_write(&deploy->history, &text);
    if (rc < 0) {
        return amy__err(err, rc, "writing the list of releases");
    }
    return amy__write_file_at(deploy->dir_fd, HISTORY, text.data, text.len,
                              0600, err);
}

int
amy__deploy_history_load(struct amy_deploy *deploy, struct amy_error *err)
{
    AMY_CLEANUP(amy__buf_clear_p) struct amy__buf text = {NULL, 0, 0, 0};
    int rc = 0;

    amy__deploy_history_clear(&deploy->history);
    if (deploy->dir_fd < 0) {
        return 0;
    }
    amy__buf_init(&text, AMY__DEPLOY_HISTORY_BYTES);
    rc = amy__read_file_at(deploy->dir_fd, HISTORY, AMY__DEPLOY_HISTORY_BYTES,
                           &text, NULL, err);
    if (rc < 0) {
        return rc == AMY_ENOTFOUND ? 0 : rc;
    }
    return amy__deploy_history_read(amy__buf_span(&text), &deploy->history,
                                    err);
}

/* ---- the log ---- */

/* Opened for each line: it may have been renamed. */
static void
append(const struct amy_deploy *deploy, const char *line, size_t n)
{
    AMY_CLEANUP(amy__close_p) int fd = -1;
    struct amy__as_user saved = {.changed = false};

    if (!deploy->as_person &&
        amy__as_user_begin(deploy->site->uid, deploy->site->gid, &saved, NULL) <
            0) {
        return;
    }
    fd = amy__open_beneath(
        deploy->site_fd, LOG,
        O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK, 0640, NULL);
    if (fd >= 0 && amy__ends_within_a_line(fd)) {
        (void)amy__write_all(fd, "\n", 1, NULL);
    }
    if (fd >= 0) {
        (void)amy__write_all(fd, line, n, NULL);
    }
    if (!deploy->as_person) {
        amy__as_user_end(&saved);
    }
}

void
amy__deploy_log(const struct amy_deploy *deploy, const char *step,
                const char *text)
{
    char line[5120];
    char time[25];
    int n = snprintf(line, sizeof(line) - 1, "%s %s: %s",
                     amy__format_time(amy__wall_ms(deploy->borrow_clock), time),
                     step, text);
    size_t end = n < 0 ? 0 : (size_t)n;

    end = end > sizeof(line) - 2 ? sizeof(line) - 2 : end;
    line[end] = '\n';
    append(deploy, line, end + 1);
}

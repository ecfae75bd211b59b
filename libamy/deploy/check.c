/* May a deployment begin? Whatever would stop it later, and can be known now,
 * is said before anything has changed. */
/* Not for the site.yaml: that was read already. */
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "deploy/internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>

static bool
is_release(const struct amy_deploy *deploy)
{
    return deploy->journal.kind == AMY__DEPLOY_RELEASE;
}

/* ---- the disk ---- */

static int
check_disk(const struct amy_deploy *deploy, struct amy_error *err)
{
    uint64_t wanted = deploy->site->deploy.disk_bytes;
    struct statvfs fs;
    char free_text[32];
    char wanted_text[32];
    uint64_t bytes = 0;

    if (fstatvfs(deploy->site_fd, &fs) != 0) {
        return amy__err_sys(err, errno, "asking how full the disk is");
    }
    bytes = (uint64_t)fs.f_bavail * fs.f_frsize;
    if (bytes < wanted) {
        (void)amy__format_size(bytes >> 20U << 20U, free_text,
                               sizeof(free_text));
        (void)amy__format_size(wanted, wanted_text, sizeof(wanted_text));
        return amy__err(err, AMY_ELIMIT,
                        "the disk has %s free, and deploy.disk wants %s",
                        free_text, wanted_text);
    }
    /* Some file systems count no files. */
    if (fs.f_files > 0 && fs.f_favail < 10000) {
        return amy__err(err, AMY_ELIMIT,
                        "the disk has room for %llu more files only",
                        (unsigned long long)fs.f_favail);
    }
    return 0;
}

/* ---- amy-backup ---- */

static bool
wants_backup(const struct amy_deploy *deploy)
{
    return is_release(deploy) &&
           (deploy->journal.in_place || !amy__deploy_is_first(deploy)) &&
           deploy->site->database_from != NULL &&
           deploy->site->backup_before_deploy;
}

static void
on_backup(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    const struct amy__json *site = amy__deploy_site_of(deploy);
    const char *error = amy__json_get_text(site, "error", "");

    if (rc == AMY_ECONN) {
        rc = amy__err(err, AMY_ECONN,
                      "amy-backup does not run: start it, or write backup: "
                      "{before_deploy: false}");
    } else if (rc == 0 && amy__json_get(site, "backup") == NULL) {
        rc = amy__err(err, AMY_ESTATE,
                      "amy-backup makes no backups of this site%s%s: amyctl "
                      "reload %s",
                      error[0] == '\0' ? "" : ": ", error, deploy->domain);
    }
    amy__deploy_done(deploy, rc, err);
}

static void
check_backup(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    if (!wants_backup(deploy)) {
        amy__deploy_done(deploy, 0, NULL);
        return;
    }
    rc = amy__deploy_ask(deploy, "backup", "GET", "/v1/status", NULL, on_backup,
                         &err);
    if (rc < 0) {
        on_backup(deploy, rc, &err);
    }
}

/* ---- amy-workers ---- */

static void
on_workers(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    if (rc == AMY_ECONN && deploy->site->worker_count == 0) {
        rc = 0; /* nothing to reload */
    }
    if (rc < 0) {
        amy__deploy_done(deploy, rc, err);
        return;
    }
    check_backup(deploy);
}

static void
check_workers(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = amy__deploy_ask(deploy, "workers", "GET", "/v1/status", NULL,
                             on_workers, &err);

    if (rc < 0) {
        on_workers(deploy, rc, &err);
    }
}

/* ---- amy-front ---- */

/* A certificate that has run out is not mended by a new release, and a site
 * that nobody reaches is not looked after by one. */
static void
look_at_certificates(struct amy_deploy *deploy, const struct amy__json *site)
{
    const struct amy__json *all = amy__json_get(site, "certificates");
    char now[25];

    (void)amy__format_time(amy__wall_ms(deploy->borrow_clock), now);
    for (size_t i = 0; i < amy__json_count(all); i++) {
        const struct amy__json *one = amy__json_at(all, i);
        const char *until = amy__json_get_text(one, "not_after", "");
        const char *error = amy__json_get_text(one, "error", "");

        /* RFC 3339 in UTC: in the order of time. */
        if (until[0] != '\0' && strcmp(until, now) < 0) {
            amy__deploy_tell(deploy, AMY_DEPLOY_WARNING,
                             "the certificate %s ran out on %s",
                             amy__json_get_text(one, "name", ""), until);
        } else if (error[0] != '\0') {
            amy__deploy_tell(deploy, AMY_DEPLOY_WARNING, "certificate: %s",
                             error);
        }
    }
}

/* Will a later step know more of migrations? */
static bool
is_counted_later(const struct amy_deploy *deploy)
{
    const struct amy__deploy_plan *plan = &deploy->plan;
    size_t i = deploy->at + 1;

    while (i < plan->count && plan->steps[i].act != AMY__ACT_PENDING) {
        i++;
    }
    return i < plan->count &&
           deploy->site->deploy.gate == AMY__DEPLOY_GATE_AUTO;
}

int
amy__deploy_check_gate(const struct amy_deploy *deploy, struct amy_error *err)
{
    return deploy->facts.front || is_counted_later(deploy) ||
                   !amy__deploy_closes(deploy->site, deploy->facts.pending)
               ? 0
               : amy__err(err, AMY_ESTATE,
                          "amy-front does not run, and the site is to be "
                          "closed: start it, or write deploy: {gate: none}");
}

static void
on_front(struct amy_deploy *deploy, int rc, struct amy_error *err)
{
    deploy->facts.front = rc == 0;
    if (rc == 0) {
        look_at_certificates(deploy, amy__deploy_site_of(deploy));
    }
    rc = rc == AMY_ECONN ? 0 : rc;
    if (rc == 0 && is_release(deploy)) {
        rc = amy__deploy_check_gate(deploy, err);
    }
    if (rc < 0) {
        amy__deploy_done(deploy, rc, err);
        return;
    }
    check_workers(deploy);
}

void
amy__deploy_check(struct amy_deploy *deploy)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = is_release(deploy) ? check_disk(deploy, &err) : 0;

    if (rc < 0) {
        amy__deploy_done(deploy, rc, &err);
        return;
    }
    rc = amy__deploy_ask(deploy, "front", "GET", "/v1/status", NULL, on_front,
                         &err);
    if (rc < 0) {
        on_front(deploy, rc, &err);
    }
}

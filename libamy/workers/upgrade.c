/* From program to program: when the supervisor may go, and what the next one
 * begins with. */
/* Not for one site: saved.c; nor for execve: core/upgrade.c. */
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/maker.h"
#include "core/spawn.h"
#include "workers/internal.h"

#include <string.h>

/* ---- when ---- */

/* Somebody over the control socket. A callback of the program's is for what it
 * tells of itself, and the next one begins by telling. */
static bool
somebody_waits(const struct amy__workers_asker *asker)
{
    while (asker != NULL && asker->call == NULL) {
        asker = asker->next;
    }
    return asker != NULL;
}

/* A first generation may never come up: it goes over as it is. */
static const char *
site_busy(const struct amy__workers_site *site)
{
    bool open = amy__workers_reload_is_open(site) &&
                site->reload.roll.phase != AMY__ROLL_START;

    if (site->job != NULL) {
        return "an environment is being read";
    }
    if (open || somebody_waits(site->reload.askers) ||
        somebody_waits(site->reload.later) ||
        (site->reload.again && !site->resuming)) {
        return "a reload is under way";
    }
    return NULL;
}

static const char *
busy(void *user)
{
    const struct amy_workers *workers = user;
    const char *why =
        somebody_waits(workers->askers) ? "a reload is under way" : NULL;

    for (const struct amy__workers_site *site = workers->sites;
         why == NULL && site != NULL; site = site->next) {
        why = site_busy(site);
    }
    return why;
}

static bool
hush(bool on, void *user)
{
    struct amy_workers *workers = user;
    bool control = amy__control_hush(workers->control, on);

    return amy__metrics_hush(workers->metrics, on) && control;
}

/* ---- leaving ---- */

static int
save(struct amy__handover *handover, void *user, struct amy_error *err)
{
    struct amy_workers *workers = user;
    struct amy__json *root = amy__handover_root(handover);
    struct amy__json *sites = amy__json_array();

    (void)err; /* what could not be had shows when it is sealed */
    (void)amy__json_set(root, "started_wall_ms",
                        amy__json_int(workers->started_wall_ms));
    amy__sockets_save(workers->settings->run, workers->control,
                      workers->metrics, handover);
    for (struct amy__workers_site *site = workers->sites; site != NULL;
         site = site->next) {
        (void)amy__json_add(sites, amy__workers_site_save(site, handover));
    }
    (void)amy__json_set(root, "sites", sites);
    return 0;
}

/* ---- going on ---- */

void
amy__workers_own(struct amy_workers *workers)
{
    workers->owner = (struct amy__upgrade_owner){
        .base = workers->base,
        .daemon = "workers",
        .borrow_clock = workers->borrow_clock,
        .borrow_log = &workers->log,
        .borrow_past = &workers->past,
        .busy = busy,
        .hush = hush,
        .save = save,
        .user = workers,
    };
}

/* The names of workers' sockets are there, and nowhere else. */
static int
check_run(const struct amy__json *root, const char *run, struct amy_error *err)
{
    const char *before = amy__json_get_text(root, "run", "");

    return strcmp(before, run) == 0
               ? 0
               : amy__err(err, AMY_EUNSUPPORTED,
                          "the run directory is '%s' now, it was '%s': restart "
                          "instead",
                          run, before);
}

int
amy__workers_take_over(struct amy_workers *workers, uint32_t fd_plus_one,
                       struct amy_error *err)
{
    const struct amy__json *root = NULL;
    int rc = 0;

    if (fd_plus_one == 0) {
        return 0;
    }
    rc = amy__upgrade_take((int)(fd_plus_one - 1), &workers->owner,
                           &workers->handover, err);
    if (rc < 0) {
        return rc;
    }
    root = amy__handover_root(workers->handover);
    workers->started_wall_ms =
        amy__json_get_int(root, "started_wall_ms", workers->started_wall_ms);
    return check_run(root, workers->settings->run, err);
}

/* It cannot be gone on with: it begins anew, but first what runs of it ends. */
static void
end_workers(struct amy__handover *handover, const struct amy__json *site)
{
    const struct amy__json *pools = amy__json_get(site, "pools");

    for (size_t i = 0; i < amy__json_count(pools); i++) {
        const struct amy__json *workers = amy__json_get(
            amy__json_get(amy__json_at(pools, i), "pool"), "workers");

        for (size_t k = 0; k < amy__json_count(workers); k++) {
            const struct amy__json *one = amy__json_at(workers, k);
            struct amy__child child = {
                .pid = (pid_t)amy__json_get_int(one, "pid", -1),
                .pidfd = amy__handover_take(handover, one, "process_fd")};

            amy__child_end(&child, child.pid > 1);
            amy__close(&child.pidfd);
        }
    }
}

int
amy__workers_restore(struct amy_workers *workers, struct amy_error *err)
{
    const struct amy__json *sites =
        amy__json_get(amy__handover_root(workers->handover), "sites");

    (void)err;
    /* Each is put in front of the others. */
    for (size_t i = amy__json_count(sites); i > 0; i--) {
        const struct amy__json *json = amy__json_at(sites, i - 1);
        const char *domain = amy__json_get_text(json, "site", "");
        struct amy_error why = AMY_ERROR_INIT;

        if (amy__workers_site_restore(workers, json, &why) < 0) {
            amy__log(&workers->log, AMY_LOG_ERROR,
                     "a site's workers cannot be taken over, it begins anew "
                     "site=%s reason=\"%s\"",
                     domain, why.msg);
            end_workers(workers->handover, json);
            (void)amy__workers_site_renew(workers, domain);
        }
    }
    amy__handover_free(workers->handover);
    workers->handover = NULL;
    amy__workers_ask_sweep(workers);
    return 0;
}

/* ---- the calls ---- */

int
amy_workers_upgrade(struct amy_workers *workers,
                    const struct amy_upgrade_options *opts,
                    struct amy_error *err)
{
    int rc = 0;

    AMY_CHECK(workers, AMY__WORKERS_MAGIC);
    rc = amy__check_maker(workers->maker, err);
    if (rc < 0) {
        return rc;
    }
    if (workers->stopping) {
        return amy__err(err, AMY_ESTATE, "workers: stopping");
    }
    return amy__upgrade_start(&workers->owner, opts, &workers->upgrade, err);
}

int
amy_workers_check_state(const struct amy_workers_options *opts,
                        struct amy_error *err)
{
    AMY_CLEANUP(amy__json_free_p) struct amy__json *root = NULL;
    struct amy__settings *settings = NULL;
    const struct amy__json *sites = NULL;
    struct amy_workers_options own;
    struct amy__settings_args args;
    int rc = amy__workers_read_options(opts, &own, err);

    if (rc == 0 && own.handover_fd_plus_one == 0) {
        rc = amy__err(err, AMY_EINVAL, "workers: no state is given");
    }
    if (rc < 0) {
        return rc;
    }
    args = amy__workers_args(&own);
    rc = amy__settings_load(&args, NULL, NULL, &settings, err);
    if (rc == 0) {
        rc = amy__handover_read((int)(own.handover_fd_plus_one - 1), "workers",
                                &root, err);
    }
    if (rc == 0) {
        rc = check_run(root, settings->run, err);
    }
    amy__settings_free(settings);
    sites = rc == 0 ? amy__json_get(root, "sites") : NULL;
    for (size_t i = 0; rc == 0 && i < amy__json_count(sites); i++) {
        rc = amy__workers_site_check(amy__json_at(sites, i), err);
    }
    return rc;
}

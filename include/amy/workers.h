/** @file amy/workers.h
 *  @brief The worker supervisor: runs the pools of every site of a webapps
 *         root. What the daemon amy-workers is a thin wrapper of.
 */
#ifndef AMY_WORKERS_H
#define AMY_WORKERS_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/export.h>
#include <amy/log.h>
#include <amy/upgrade.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct amy_workers;

/** Options; a zero field means its default. Strings are copied. */
struct amy_workers_options {
    size_t struct_size;      /**< set by AMY_WORKERS_OPTIONS_INIT */
    struct event_base *base; /**< required; the caller runs it */
    const char *config;      /**< amy.yaml; NULL: /etc/amy/amy.yaml if there */
    const char *webapps;     /**< NULL: as amy.yaml says, else /webapps */
    const char *run;         /**< NULL: $RUNTIME_DIRECTORY, else /run/amy */
    const char *state;       /**< NULL: $STATE_DIRECTORY, else /var/lib/amy */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log;            /**< NULL: silent; copied */
    /** The program that asks a site's Redis when it is started with `--redis`,
     *  as the site's user: it calls amy_redis_report() with the URL that
     *  AMY_REDIS_URL has, and descriptor 1. NULL: the one that is running. */
    const char *program;
    uint32_t handover_fd_plus_one; /**< what AMY_STATE_FD names + 1
                                        (amy/upgrade.h), taken over; 0: none */
    uint32_t reserved;             /**< must be 0 */
};

#define AMY_WORKERS_OPTIONS_INIT                                               \
    {                                                                          \
        .struct_size = sizeof(struct amy_workers_options)                      \
    }

/** Called once, on the loop thread, never from inside the call that was given
 *  it. May free the supervisor. */
typedef void (*amy_workers_done_fn)(struct amy_workers *workers, void *user);

/**
 * Read amy.yaml and every site.yaml and tell everything that is wrong; start
 * nothing, change nothing.
 *
 * @param opts        as for amy_workers_create()
 * @param on_problem  called for each problem; may be NULL
 * @param user        handed to on_problem
 * @param err         may be NULL
 * @return the number of errors (warnings do not count), AMY_EINVAL, AMY_ENOMEM,
 *         AMY_ENOTFOUND (no webapps directory)
 *
 * Blocks: for reading files and asking for users.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_workers_check(const struct amy_workers_options *opts,
                  amy_problem_fn on_problem, void *user, struct amy_error *err);

/**
 * Make a supervisor: reads amy.yaml, takes the run directory, opens the control
 * socket. Starts no worker yet. When we are root, gives up every capability
 * that it does not need, for good.
 *
 * @param opts         options; not kept after return
 * @param ret_workers  the supervisor, freed with amy_workers_free()
 * @param err          may be NULL
 * @return 0, AMY_EINVAL, AMY_EPARSE (amy.yaml), AMY_EBUSY (another supervisor
 *         has this run directory), AMY_EDENIED, AMY_ENOTFOUND, AMY_EIO,
 *         AMY_ENOMEM
 *
 * Loop: opts->base.  Blocks: for reading files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_workers_create(const struct amy_workers_options *opts,
                   struct amy_workers **ret_workers, struct amy_error *err);

/**
 * Read every site and start its pools. A site that cannot be used is logged and
 * shown by the status; it does not fail this call.
 *
 * @return 0, AMY_ENOTFOUND or AMY_EDENIED (the webapps directory), AMY_ENOMEM
 * Loop: the supervisor's base.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_workers_start(struct amy_workers *workers,
                                           struct amy_error *err);

/**
 * Read every site again: new ones start, those that are gone stop, all others
 * get a new generation of workers, the new ones ready before the old ones drain
 * (pools with `replace: stop-first` the other way round). Where the new one is
 * no good, the old one goes on. Asked while a reload is under way, another one
 * follows, and all who asked meanwhile share it.
 *
 * @param on_done  called when the new generations have taken over or been
 *                 given up; NULL: nobody asks
 * @return 0, AMY_ESTATE (stopping), AMY_ENOTFOUND, AMY_ENOMEM
 * Loop: the supervisor's base.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_workers_reload(struct amy_workers *workers,
                                            amy_workers_done_fn on_done,
                                            void *user, struct amy_error *err);

/**
 * Become the next release in this same process (amy/upgrade.h).
 *
 * No worker is touched: same processes, sockets, locks, output, counts of
 * restarts and waits. A reload that is still open ends first. When the new
 * program cannot be started, does not understand the state, or says nothing in
 * time, all stays as it is.
 *
 * @param opts  copied; opts->refused tells how it went, unless it succeeded:
 *              then there is nobody left to tell
 * @return 0 (it is under way; where it was already, the program is tried once
 * more), AMY_EINVAL (no program, no arguments), AMY_ESTATE (stopping),
 * AMY_ENOMEM
 *
 * Loop: the supervisor's base.  Blocks: while the trial is started.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_workers_upgrade(struct amy_workers *workers,
                    const struct amy_upgrade_options *opts,
                    struct amy_error *err);

/**
 * Could this release go on from there? For the trial of an upgrade.
 *
 * @param opts  handover_fd_plus_one, and where the settings are
 * @return 0, AMY_EUNSUPPORTED (written for later releases only; another run
 *         directory), AMY_EINVAL (no descriptor; another daemon's), AMY_EPARSE
 *         (also a site.yaml with keys of a later release), or an error of the
 *         settings as amy_workers_create()
 *
 * Loop: none.  Blocks: for reading files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_workers_check_state(const struct amy_workers_options *opts,
                        struct amy_error *err);

/**
 * Drain all workers, pools that come after others first.
 *
 * @param now      nonzero: kill at once instead
 * @param on_done  called when the last worker is gone; may free the supervisor
 * @return 0, AMY_EAGAIN (a stop is under way already; with `now` it is hurried)
 * Loop: the supervisor's base.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_workers_stop(struct amy_workers *workers, int now,
                                          amy_workers_done_fn on_done,
                                          void *user, struct amy_error *err);

/** Open the sites' log files anew, after somebody renamed them. Since: 0.1 */
AMY_API void amy_workers_reopen(struct amy_workers *workers);

/** Is it `logs: stdout` in amy.yaml: all logs of sites go to standard output as
 *  JSON lines, and so should the caller's own? Since: 0.1 */
AMY_API bool amy_workers_logs_to_stdout(const struct amy_workers *workers);

/** The number of sites and of workers that are ready, for a status line; both
 *  pointers may be NULL. Since: 0.1 */
AMY_API void amy_workers_count(const struct amy_workers *workers,
                               uint32_t *ret_sites, uint32_t *ret_ready);

/** Free a supervisor; NULL is a no-op. Workers that still run are killed.
 *  Since: 0.1 */
AMY_API void amy_workers_free(struct amy_workers *workers);

#ifdef __cplusplus
}
#endif
#endif

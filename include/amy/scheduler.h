/** @file amy/scheduler.h
 *  @brief The backup scheduler: makes, proves and thins out the backups of
 *         every site of a webapps root. What the daemon amy-backup is a thin
 *         wrapper of.
 */
#ifndef AMY_SCHEDULER_H
#define AMY_SCHEDULER_H

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
struct amy_scheduler;

/** Options; a zero field means its default. Strings are copied. */
struct amy_scheduler_options {
    size_t struct_size;      /**< set by AMY_SCHEDULER_OPTIONS_INIT */
    struct event_base *base; /**< required; the caller runs it */
    const char *config;      /**< amy.yaml; NULL: /etc/amy/amy.yaml if there */
    const char *webapps;     /**< NULL: as amy.yaml says, else /webapps */
    const char *run;         /**< NULL: $RUNTIME_DIRECTORY, else /run/amy */
    const char *state;       /**< NULL: $STATE_DIRECTORY, else /var/lib/amy */
    /** The program that does a job when it is started with `--job`: it calls
     *  amy_backup_job() with descriptors 0 and 1 as spec and events, and 3 as
     *  the site's directory. NULL: the program that is running. */
    const char *program;
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log;            /**< NULL: silent; copied */
    uint32_t handover_fd_plus_one;        /**< what AMY_STATE_FD names + 1
                                               (amy/upgrade.h), taken over; 0: none */
    uint32_t reserved;                    /**< must be 0 */
};

#define AMY_SCHEDULER_OPTIONS_INIT                                             \
    {                                                                          \
        .struct_size = sizeof(struct amy_scheduler_options)                    \
    }

/** Called once, on the loop thread, never from inside the call that was given
 *  it. May free the scheduler. */
typedef void (*amy_scheduler_done_fn)(struct amy_scheduler *scheduler,
                                      void *user);

/**
 * Read amy.yaml and every site.yaml and tell everything that is wrong; start
 * nothing, change nothing.
 *
 * @param opts        as for amy_scheduler_create()
 * @param on_problem  called for each problem; may be NULL
 * @param user        handed to on_problem
 * @param err         may be NULL
 * @return the number of errors (warnings do not count), AMY_EINVAL, AMY_ENOMEM,
 *         AMY_ENOTFOUND (no webapps directory)
 *
 * Blocks: for reading files and asking for users.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_scheduler_check(const struct amy_scheduler_options *opts,
                    amy_problem_fn on_problem, void *user,
                    struct amy_error *err);

/**
 * Make a scheduler: reads amy.yaml, opens the control socket. Starts nothing
 * yet. When we are root, gives up every capability that it does not need, for
 * good.
 *
 * @param opts           options; not kept after return
 * @param ret_scheduler  the scheduler, freed with amy_scheduler_free()
 * @param err            may be NULL
 * @return 0, AMY_EINVAL, AMY_EPARSE (amy.yaml), AMY_EBUSY (another one has this
 *         run directory), AMY_EDENIED, AMY_ENOTFOUND, AMY_EIO, AMY_ENOMEM
 *
 * Loop: opts->base.  Blocks: for reading files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_scheduler_create(const struct amy_scheduler_options *opts,
                     struct amy_scheduler **ret_scheduler,
                     struct amy_error *err);

/**
 * Read every site and begin with its schedule. A site that cannot be used is
 * logged and shown by the status; it does not fail this call.
 *
 * @return 0, AMY_ENOTFOUND or AMY_EDENIED (the webapps directory), AMY_ENOMEM
 * Loop: the scheduler's base.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_scheduler_start(struct amy_scheduler *scheduler,
                                             struct amy_error *err);

/**
 * Read every site again. Jobs under way go on with what they began with.
 *
 * @return 0, AMY_ESTATE (stopping), AMY_ENOTFOUND, AMY_ENOMEM
 * Loop: the scheduler's base.  Blocks: for reading files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_scheduler_reload(struct amy_scheduler *scheduler,
                                              struct amy_error *err);

/**
 * Become the next release in this same process (amy/upgrade.h).
 *
 * Jobs under way end first, for up to a day unless opts say otherwise; the
 * control sockets go over, and all else is on disk.
 *
 * @param opts  copied; opts->refused tells how it went, unless it succeeded:
 *              then there is nobody left to tell
 * @return 0 (it is under way; where it was already, the program is tried once
 * more), AMY_EINVAL (no program, no arguments), AMY_ESTATE (stopping),
 * AMY_ENOMEM
 *
 * Loop: the scheduler's base.  Blocks: while the trial is started.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_scheduler_upgrade(struct amy_scheduler *scheduler,
                      const struct amy_upgrade_options *opts,
                      struct amy_error *err);

/**
 * Could this release go on from there? For the trial of an upgrade.
 *
 * @param opts  handover_fd_plus_one, and where the settings are
 * @return 0, AMY_EUNSUPPORTED (written for later releases only), AMY_EINVAL (no
 *         descriptor; another daemon's), AMY_EPARSE, or an error of the
 *         settings as amy_scheduler_create()
 *
 * Loop: none.  Blocks: for reading files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_scheduler_check_state(const struct amy_scheduler_options *opts,
                          struct amy_error *err);

/**
 * End all jobs, which leave nothing that looks complete and is not.
 *
 * @param on_done  called when the last one has ended; may free the scheduler
 * @return 0, AMY_EAGAIN (a stop is under way already)
 * Loop: the scheduler's base.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_scheduler_stop(struct amy_scheduler *scheduler,
                                            amy_scheduler_done_fn on_done,
                                            void *user, struct amy_error *err);

/** Is it `logs: stdout` in amy.yaml: all logs of sites go to standard output as
 *  JSON lines, and so should the caller's own? Since: 0.1 */
AMY_API bool
amy_scheduler_logs_to_stdout(const struct amy_scheduler *scheduler);

/** The number of sites and of those with a schedule, for a status line; both
 *  pointers may be NULL. Since: 0.1 */
AMY_API void amy_scheduler_count(const struct amy_scheduler *scheduler,
                                 uint32_t *ret_sites, uint32_t *ret_scheduled);

/** Free a scheduler; NULL is a no-op. Jobs that still run are killed. Since:
 *  0.1 */
AMY_API void amy_scheduler_free(struct amy_scheduler *scheduler);

#ifdef __cplusplus
}
#endif
#endif

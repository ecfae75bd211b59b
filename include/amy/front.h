/** @file amy/front.h
 *  @brief The web front: TLS, sites, gates, static files, and a proxy to the
 *         sites' workers.
 *
 *  A master, which this object is, and front processes, which it starts: the
 *  program given in the options, with the argument --front-process, must make
 *  an amy_front_process and run its loop; AMY_LOG=json in its environment says
 *  that amy_front_logs_to_stdout() holds. Sites are found in the webapps
 *  directory.
 */
#ifndef AMY_FRONT_H
#define AMY_FRONT_H

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
struct amy_front;

/** All processes serve the configuration as it was read last: after the start,
 *  and after each reload. rc: 0, or why the reload was refused and the old
 *  configuration serves on (err says it). Called on the loop thread. */
typedef void (*amy_front_ready_fn)(struct amy_front *front, int rc,
                                   const struct amy_error *err, void *user);

/** A stop is over. Called once, on the loop thread; may free the front. */
typedef void (*amy_front_done_fn)(struct amy_front *front, void *user);

/** Options; a zero field means its default. */
struct amy_front_options {
    size_t struct_size;      /**< set by AMY_FRONT_OPTIONS_INIT */
    struct event_base *base; /**< required; the caller runs it */
    const char *program;     /**< required to start: path of the program that
                                  becomes a front process */
    const char *config;      /**< NULL: /etc/amy/amy.yaml, if it is there */
    const char *webapps;     /**< NULL: as config says, else /webapps */
    const char *run;         /**< NULL: as config says, else /run/amy */
    const char *state;       /**< NULL: as config says, else /var/lib/amy */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log;            /**< NULL: silent; copied */
    amy_front_ready_fn on_ready;          /**< NULL: no callback */
    void *user;                           /**< handed to on_ready */
    uint32_t handover_fd_plus_one;        /**< what AMY_STATE_FD names + 1
                                               (amy/upgrade.h), taken over by
                                               amy_front_start(); 0: none */
    uint32_t reserved;                    /**< must be 0 */
};

#define AMY_FRONT_OPTIONS_INIT                                                 \
    {                                                                          \
        sizeof(struct amy_front_options), NULL, NULL, NULL, NULL, NULL, NULL,  \
            NULL, NULL, NULL, NULL, 0, 0                                       \
    }

/**
 * Make a front and read its settings; nothing runs or listens yet.
 *
 * @param opts       options; not kept after return
 * @param ret_front  on success the new front, owned by the caller, freed with
 *                   amy_front_free(); untouched on failure
 * @param err        may be NULL
 * @return 0, AMY_EINVAL (no base), AMY_EPARSE (settings: the first fault; all
 *         are logged), AMY_ENOTFOUND (config was given and is missing; no
 *         webapps directory), AMY_EDENIED, AMY_ENOMEM
 *
 * Loop: opts->base.  Blocks: for reading a file.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_front_create(const struct amy_front_options *opts,
                                          struct amy_front **ret_front,
                                          struct amy_error *err);

/**
 * Report everything that is wrong with the settings, sites and certificates.
 *
 * @param opts        options; base and program are not needed
 * @param on_problem  called for each, from inside this call; may be NULL
 * @return how many are errors (0: good to be started), or AMY_ENOTFOUND (config
 *         was given and is missing; no webapps directory; no user `amy`),
 *         AMY_EDENIED, AMY_ENOMEM: then nothing more could be looked at
 *
 * Loop: none.  Blocks: for reading files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_front_check(const struct amy_front_options *opts,
                                         amy_problem_fn on_problem, void *user,
                                         struct amy_error *err);

/**
 * Listen, start the front processes, and answer on {run}/front.sock.
 *
 * Started as root, the calling process is bounded to the capabilities that the
 * front needs, for good, and the processes run as the user `amy` (or
 * front.user of the settings).
 *
 * @return 0, AMY_EBUSY (a port or the control socket is in use), AMY_EDENIED
 *         (a port below 1024), AMY_ENOTFOUND (no such user or program),
 *         AMY_ESTATE (started already), AMY_ENOMEM, AMY_EIO
 *
 * Loop: the front's base.  Blocks: for reading files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_front_start(struct amy_front *front,
                                         struct amy_error *err);

/** Read sites and certificates again, and have all processes serve them or
 *  none. on_ready tells the end; calls meanwhile make one more reload.
 *  @return 0, AMY_ESTATE (not started, or stopping), AMY_ENOMEM
 *  Loop: the front's base.  Blocks: for reading files.  Since: 0.1 */
AMY_API AMY_MUST_USE int amy_front_reload(struct amy_front *front,
                                          struct amy_error *err);

/** Open the sites' log files anew, after somebody renamed them.
 *  @return as amy_front_reload()
 *  Loop: the front's base.  Blocks: for opening files.  Since: 0.1 */
AMY_API AMY_MUST_USE int amy_front_reopen(struct amy_front *front,
                                          struct amy_error *err);

/**
 * Become the next release in this same process (amy/upgrade.h).
 *
 * Listeners with all who wait there, slots, gates, keys of sessions and the
 * control sockets go over. New front processes of the new program take the
 * listeners; those there are finish what they have, WebSockets within an hour.
 * A reload under way ends first. When the new program cannot be started, does
 * not understand the state, or says nothing in time, all stays as it is.
 *
 * @param opts  copied; opts->refused tells how it went, unless it succeeded:
 *              then there is nobody left to tell
 * @return 0 (it is under way; where it was already, the program is tried once
 * more), AMY_EINVAL (no program, no arguments), AMY_ESTATE (not started, or
 * stopping), AMY_ENOMEM
 *
 * Loop: the front's base.  Blocks: while the trial is started.  Since: 0.1.
 * Source: execve(2)
 */
AMY_API AMY_MUST_USE int
amy_front_upgrade(struct amy_front *front,
                  const struct amy_upgrade_options *opts,
                  struct amy_error *err);

/**
 * Could this release go on from there? For the trial of an upgrade.
 *
 * @param opts  handover_fd_plus_one, and where the settings are
 * @return 0, AMY_EUNSUPPORTED (written for later releases only), AMY_EINVAL (no
 *         descriptor; another daemon's), AMY_EPARSE, or an error of the
 *         settings as amy_front_create()
 *
 * Loop: none.  Blocks: for reading files.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_front_check_state(const struct amy_front_options *opts,
                      struct amy_error *err);

/** Is it `logs: stdout` in amy.yaml: all logs of sites go to standard output as
 *  JSON lines, and so should the caller's own? Since: 0.1 */
AMY_API bool amy_front_logs_to_stdout(const struct amy_front *front);

/**
 * Stop: no new connections, requests under way finish, then processes end.
 *
 * @param now      do not wait for requests under way
 * @param on_done  called once, on the loop thread, never from inside this call
 * @return 0, AMY_ESTATE (not started); a second stop with `now` hurries the
 *         first and its on_done is the one that is called
 *
 * Loop: the front's base.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_front_stop(struct amy_front *front, bool now,
                                        amy_front_done_fn on_done, void *user,
                                        struct amy_error *err);

/** Free a front; NULL is a no-op. What still runs is killed. Since: 0.1 */
AMY_API void amy_front_free(struct amy_front *front);

struct amy_front_process;

/** The process has finished: drained, or its master is gone. rc: 0, AMY_ECONN
 *  (the master died; what was under way is finished), AMY_EPROTO. Called once,
 *  on the loop thread; may free the process. */
typedef void (*amy_front_process_done_fn)(struct amy_front_process *process,
                                          int rc, void *user);

/** Options; a zero field means its default. */
struct amy_front_process_options {
    size_t struct_size;      /**< set by AMY_FRONT_PROCESS_OPTIONS_INIT */
    struct event_base *base; /**< required; the caller runs it */
    int32_t channel_fd;      /**< to the master; 0: what AMY_CHANNEL_FD names.
                                  Taken over */
    uint32_t reserved;       /**< must be 0 */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log;            /**< NULL: silent; copied */
    amy_front_process_done_fn on_done;    /**< required */
    void *user;                           /**< handed to on_done */
};

#define AMY_FRONT_PROCESS_OPTIONS_INIT                                         \
    {                                                                          \
        sizeof(struct amy_front_process_options), NULL, 0, 0, NULL, NULL,      \
            NULL, NULL                                                         \
    }

/**
 * Be a front process: wait for the master's word, then serve.
 *
 * @param opts  options; not kept after return
 * @return 0, AMY_EINVAL (no base, no channel, no on_done), AMY_ENOMEM, AMY_EIO
 *
 * Loop: opts->base.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_front_process_create(const struct amy_front_process_options *opts,
                         struct amy_front_process **ret_process,
                         struct amy_error *err);

/**
 * Give up, for life, all system calls that a front process does not need.
 *
 * For a program that is nothing but a front process, after it has created it
 * and before the loop runs: from then on it starts no program, opens no file
 * for writing, binds no socket and makes no memory executable. Most calls that
 * are refused seem not to exist (ENOSYS); execve(2), ptrace(2), mount(2) and
 * their like end the process by SIGSYS. amy-front does this.
 *
 * @return 0, AMY_EUNSUPPORTED (no libseccomp, or a kernel without seccomp),
 *         AMY_EDENIED (a container's own filter), AMY_ENOMEM; but for
 *         no_new_privs, which stays set, nothing has changed then
 *
 * Loop: no.  Blocks: while libseccomp is loaded.  Since: 0.1.
 * Source: seccomp(2), seccomp_rule_add(3)
 */
AMY_API AMY_MUST_USE int amy_front_process_confine(struct amy_error *err);

/** Accept nothing more, finish what is under way, then on_done; now: do not
 *  wait for it. Since: 0.1 */
AMY_API void amy_front_process_drain(struct amy_front_process *process,
                                     bool now);

/** Free a front process; NULL is a no-op. Connections are closed. Since: 0.1 */
AMY_API void amy_front_process_free(struct amy_front_process *process);

#ifdef __cplusplus
}
#endif
#endif

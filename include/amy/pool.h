/** @file amy/pool.h
 *  @brief Worker pool: keeps a number of processes of one command running.
 *
 *  A pool has positions 0 to count - 1. Each position has one process at a
 *  time, its worker; each process is one incarnation. A worker that dies is
 *  replaced at once; one that keeps dying, after ever longer pauses. Positions
 *  start all together or one by one: two pools of the same command, one after
 *  the other, are how a new release takes over without a gap. The host
 *  program must not waitpid(-1) and must not ignore SIGCHLD.
 */
#ifndef AMY_POOL_H
#define AMY_POOL_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/export.h>
#include <amy/log.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct amy_pool;

/** Where one worker is in its life. */
enum amy_worker_state {
    AMY_WORKER_STOPPED = 0, /**< position not running and not wanted */
    AMY_WORKER_BOOT = 1,    /**< started, has not answered yet */
    AMY_WORKER_READY = 2,
    AMY_WORKER_DRAIN = 3,   /**< told to finish what it has */
    AMY_WORKER_KILLED = 4,  /**< patience is over: SIGKILL sent */
    AMY_WORKER_BACKOFF = 5, /**< died; waits before the next start */
    AMY_WORKER_FAILED = 6,  /**< died too often; retried every 60 s */
    AMY_WORKER_WAITING = 7, /**< wanted, but something it needs is missing: a
                                 pool it comes after, or an old instance that
                                 still holds the position */
};

enum amy_pool_event_type {
    AMY_POOL_STARTED = 1, /**< a process was started */
    AMY_POOL_READY = 2,
    AMY_POOL_DRAINING = 3,
    AMY_POOL_EXITED = 4,  /**< reaped; exit_code or exit_signal say how */
    AMY_POOL_BACKOFF = 5, /**< will start again in delay_ms */
    AMY_POOL_FAILED = 6,
};

/** What happened to one position. Valid during the callback. */
struct amy_pool_event {
    size_t struct_size;
    uint32_t type;     /**< enum amy_pool_event_type */
    uint32_t position; /**< from 0 */
    uint64_t generation;
    uint64_t incarnation; /**< counts the lives of all positions */
    int64_t pid;
    int32_t exit_code;   /**< -1 when a signal ended it */
    int32_t exit_signal; /**< 0 when it exited */
    int64_t delay_ms;
    int32_t channel_fd; /**< our end of its channel, or -1; the pool's, open
                             until EXITED returns */
    uint32_t reserved;
    const char *reason; /**< one line; never NULL */
};

/** Called on the loop thread, in the order of one position's life: STARTED,
 *  READY, DRAINING, EXITED, then BACKOFF or FAILED where it is not started
 *  again at once. It may free the pool. */
typedef void (*amy_pool_event_fn)(struct amy_pool *pool,
                                  const struct amy_pool_event *event,
                                  void *user);

/** Is this worker able to work? Asked every `probe_every_ms` while it boots,
 *  unless opts.probe is NULL (then it is ready once it has lived `settle_ms`).
 *  The answer is amy_pool_set_ready(), now or later; none is "not yet". */
typedef void (*amy_pool_probe_fn)(struct amy_pool *pool, uint32_t position,
                                  uint64_t incarnation, void *user);

/** Called before a worker is started, to complete what it is given: add
 *  descriptors and variables with the amy_pool_give_* calls. A negative return
 *  is a failed start with that error. */
typedef int (*amy_pool_prepare_fn)(struct amy_pool *pool, uint32_t position,
                                   uint64_t incarnation, void *user,
                                   struct amy_error *err);

/** One whole line of a worker's output, without its newline: at most 64 KiB,
 *  longer ones come in pieces. Valid during the call; any bytes. */
typedef void (*amy_pool_output_fn)(struct amy_pool *pool, uint32_t position,
                                   int64_t pid, const char *line, size_t n,
                                   void *user);

/** A stop is over. Called once; may free the pool or start it again. */
typedef void (*amy_pool_done_fn)(struct amy_pool *pool, void *user);

/** Options; a zero field means its default. */
struct amy_pool_options {
    size_t struct_size;      /**< set by AMY_POOL_OPTIONS_INIT */
    struct event_base *base; /**< required; the caller runs it */
    const char *name;        /**< required; for log lines, 1 to 400 bytes */
    const char *const *argv; /**< required, NULL-terminated; argv[0] is searched
                                  in the PATH of envp when it has no slash;
                                  `{position}` in an argument is replaced */
    const char *const *envp; /**< NULL-terminated; NULL: PATH alone */
    const char *directory;   /**< NULL: ours */
    const char *user;        /**< run as this user with its groups, without
                                  capabilities, no_new_privs; another user than
                                  ours needs privilege. NULL: as we are */
    const char *lock_name;   /**< name of the position locks' files, without a
                                  slash; NULL: name */
    uint64_t generation;     /**< its number; 0: 1 */
    uint64_t max_files;      /**< RLIMIT_NOFILE of workers; 0: ours */
    uint32_t count;          /**< 1 to 1024; 0: 1 */
    int32_t stop_signal;     /**< to the worker alone; 0: SIGTERM. Sent by the
                                  kernel, too, when we die */
    uint32_t stop_patience_ms; /**< then SIGKILL to the group; 0: 30000 */
    uint32_t boot_timeout_ms;  /**< without an answer; 0: 60000 */
    uint32_t probe_every_ms;   /**< 0: 100 */
    uint32_t settle_ms;        /**< 0: 1000 */
    uint32_t min_uptime_ms;    /**< dying earlier counts as failure; 0: 10000 */
    uint32_t backoff_max_ms;   /**< 0: 30000, from 100 doubling */
    uint32_t start_retries;    /**< failures in a row until FAILED; 0: 8 */
    uint32_t channel;          /**< 1: a SOCK_SEQPACKET pair per worker, its end
                                    is descriptor 3 and AMY_CHANNEL_FD=3 */
    uint32_t stop_first; /**< 1: of two generations the old one ends first;
                              within one it is always so */
    uint32_t lock_dir_fd_plus_one; /**< directory for position locks + 1,
                                        duplicated; only we may write in it.
                                        0: no locks */
    uint32_t output_fd_plus_one; /**< stdout and stderr of workers go here + 1,
                                      duplicated; 0: ours, unless on_output */
    uint32_t umask_plus_one;     /**< umask of workers + 1; 0: ours */
    int32_t oom_score_adj_by;    /**< added to ours; below 0 needs privilege */
    uint32_t withdraw_ms; /**< from AMY_POOL_DRAINING to stop_signal: the worker
                               takes what was on its way to it by then; at most
                               10000; 0: none */
    amy_pool_output_fn on_output;         /**< NULL: see output_fd_plus_one */
    amy_pool_prepare_fn prepare;          /**< NULL: nothing to add */
    amy_pool_probe_fn probe;              /**< NULL: see settle_ms */
    amy_pool_event_fn on_event;           /**< NULL: no callback */
    void *callback_user;                  /**< handed to all callbacks */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log;            /**< NULL: silent; copied */
};

#define AMY_POOL_OPTIONS_INIT                                                  \
    {                                                                          \
        sizeof(struct amy_pool_options), NULL, NULL, NULL, NULL, NULL, NULL,   \
            NULL, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, NULL,  \
            NULL, NULL, NULL, NULL, NULL, NULL                                 \
    }

/** Every position, for amy_pool_restart(). */
#define AMY_POOL_EVERY UINT32_MAX

/** One worker as it is now; filled by amy_pool_worker(). */
struct amy_worker_view {
    size_t struct_size;
    uint32_t position;
    uint32_t state; /**< enum amy_worker_state */
    uint64_t generation;
    uint64_t incarnation;
    int64_t pid;      /**< -1: none */
    int64_t since_ms; /**< age of this state */
    int64_t age_ms;   /**< age of the process; 0: none */
    uint64_t restarts;
    uint64_t rss_bytes; /**< of it and its descendants, looked at every second;
                             0: not yet */
    const char *reason; /**< last failure, or ""; the pool's, valid until the
                             loop runs */
};

/**
 * Make a pool; nothing is started yet.
 *
 * @param opts      options; strings and lists are copied
 * @param ret_pool  on success the new pool, owned by the caller, freed with
 *                  amy_pool_free(); untouched on failure
 * @param err       may be NULL
 * @return 0, AMY_EINVAL (a required option is missing, a value out of range),
 *         AMY_ENOTFOUND (no such user), AMY_EDENIED (another user, and we are
 *         not root), AMY_ENOMEM
 *
 * Loop: opts->base.  Blocks: for looking up opts->user.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_pool_create(const struct amy_pool_options *opts,
                                         struct amy_pool **ret_pool,
                                         struct amy_error *err);

/**
 * Free a pool; NULL is a no-op. Workers that still live are killed with their
 * groups: stop the pool first to let them finish. Allowed inside every callback
 * of the pool; a stop under way is forgotten, its on_done does not run.
 *
 * Loop: the pool's base.  Blocks: until what was killed is gone, at most one
 * second; not at all after a stop.  Since: 0.1
 */
AMY_API void amy_pool_free(struct amy_pool *pool);

/**
 * Start a worker in every position. What goes wrong with a worker from here on
 * is told by on_event, and tried again.
 *
 * @param pool  created, or stopped (its on_done has run)
 * @return 0 (also when started already), AMY_EAGAIN (a stop is under way)
 *
 * Loop: the pool's base; callbacks come from the loop.  Blocks: no.
 * Since: 0.1.  Source: pidfd_open(2), setsid(2), sd_listen_fds(3)
 */
AMY_API AMY_MUST_USE int amy_pool_start(struct amy_pool *pool,
                                        struct amy_error *err);

/**
 * Ask every worker to finish, then kill the groups of those still alive when
 * patience is over.
 *
 * @param pool         any pool; one that never started is done at once
 * @param patience_ms  0: the pool's stop_patience_ms
 * @param on_done      called once, from the loop, never from inside this call;
 *                     may be NULL
 * @param user         handed to on_done
 * @return 0, AMY_EAGAIN (a stop is under way)
 *
 * Loop: the pool's base.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_pool_stop(struct amy_pool *pool,
                                       uint32_t patience_ms,
                                       amy_pool_done_fn on_done, void *user,
                                       struct amy_error *err);

/**
 * Start a worker in one position only; the others are left as they are. One
 * that drains is followed by a new one when it has ended.
 *
 * @param position  from 0
 * @return 0 (also when it runs already), AMY_EINVAL (no such position),
 *         AMY_EAGAIN (a stop of the whole pool is under way)
 *
 * Loop: the pool's base; callbacks come from the loop.  Blocks: no.
 * Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_pool_start_position(struct amy_pool *pool,
                                                 uint32_t position,
                                                 struct amy_error *err);

/**
 * Ask the worker of one position to finish, then kill its group when patience
 * is over. It stays STOPPED until it is started again. One that drains already
 * is not told a second time; its patience is shortened, never lengthened.
 *
 * @param position     from 0
 * @param patience_ms  0: the pool's stop_patience_ms
 * @return 0 (also when nothing runs there), AMY_EINVAL (no such position)
 *
 * Loop: the pool's base.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_pool_stop_position(struct amy_pool *pool,
                                                uint32_t position,
                                                uint32_t patience_ms,
                                                struct amy_error *err);

/** Kill every worker's group now and start none again. A stop under way is over
 *  as soon as they are reaped. Loop: the pool's base. Blocks: no. Since: 0.1 */
AMY_API void amy_pool_kill(struct amy_pool *pool);

/** This worker can work. Ignored when that incarnation boots no longer.
 *  Loop: the pool's base. Blocks: no. Since: 0.1 */
AMY_API void amy_pool_set_ready(struct amy_pool *pool, uint32_t position,
                                uint64_t incarnation);

/**
 * Let the worker of a position finish and start it anew. One that waits after
 * failures is started at once, its failures forgotten.
 *
 * @param position  or AMY_POOL_EVERY: one after another, each only when the one
 *                  before is ready again; when one does not come back, the
 *                  others are left as they are
 * @return 0, AMY_EINVAL (no such position), AMY_ESTATE (the pool is not
 *         started, or stops)
 *
 * Loop: the pool's base.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_pool_restart(struct amy_pool *pool,
                                          uint32_t position,
                                          struct amy_error *err);

/** How many positions it has. Since: 0.1 */
AMY_API uint32_t amy_pool_count(const struct amy_pool *pool);

/**
 * One position as it is now.
 *
 * @param ret_view  struct_size set by the caller; filled up to that size
 * @return 0, AMY_EINVAL (no such position)
 *
 * Blocks: no.  Since: 0.1.  Source: proc(5)
 */
AMY_API AMY_MUST_USE int amy_pool_worker(const struct amy_pool *pool,
                                         uint32_t position,
                                         struct amy_worker_view *ret_view);

/**
 * From inside opts.prepare: give the worker a descriptor. It becomes the next
 * free number, from 3 on (from 4 on with a channel).
 *
 * @param fd           duplicated: may be closed when the call returns
 * @param listen_name  its name in LISTEN_FDNAMES, counted in LISTEN_FDS; NULL:
 *                     a plain descriptor, after all that have names
 * @return 0, AMY_EINVAL (bad descriptor; a name with ':'), AMY_ESTATE (not
 *         inside prepare; a name after a plain one, or beside a channel),
 *         AMY_ELIMIT (more than 16)
 * Since: 0.1.  Source: sd_listen_fds(3)
 */
AMY_API AMY_MUST_USE int amy_pool_give_fd(struct amy_pool *pool, int fd,
                                          const char *listen_name,
                                          struct amy_error *err);

/**
 * From inside opts.prepare: set a variable of this one worker.
 *
 * @param name   not empty, without '='; replaces one of opts.envp
 * @param value  copied
 * @return 0, AMY_EINVAL, AMY_ESTATE (not inside prepare), AMY_ELIMIT (more than
 *         64), AMY_ENOMEM
 * Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_pool_give_env(struct amy_pool *pool,
                                           const char *name, const char *value,
                                           struct amy_error *err);

#ifdef __cplusplus
}
#endif
#endif

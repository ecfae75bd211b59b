/** @file amy/pool.h
 *  @brief Worker pool: keeps a number of processes of one command running.
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
    int32_t channel_fd; /**< STARTED: our end of its channel, or -1; the
                             pool's, valid until EXITED returns */
    uint32_t reserved;
    const char *reason; /**< one line; never NULL */
};
typedef void (*amy_pool_event_fn)(struct amy_pool *pool,
                                  const struct amy_pool_event *event,
                                  void *user);

/** Is this worker able to work? Asked repeatedly while it boots, as
 *  `probe_every_ms` says, unless opts.probe is NULL (then: ready once it has
 *  lived `settle_ms`, or said READY=1). Answer by amy_pool_set_ready(). */
typedef void (*amy_pool_probe_fn)(struct amy_pool *pool, uint32_t position,
                                  uint64_t incarnation, void *user);

/** Called before a worker is started, to complete what it is given: add
 *  descriptors and variables with the amy_pool_give_* calls. A negative return
 *  is a failed start with that error. */
typedef int (*amy_pool_prepare_fn)(struct amy_pool *pool, uint32_t position,
                                   uint64_t incarnation, void *user,
                                   struct amy_error *err);

typedef void (*amy_pool_done_fn)(struct amy_pool *pool, void *user);

/** Options; a zero field means its default. */
struct amy_pool_options {
    size_t struct_size;      /**< set by AMY_POOL_OPTIONS_INIT */
    struct event_base *base; /**< required */
    const char *name;        /**< required; for log lines */
    const char *const *argv; /**< required, NULL-terminated; argv[0] is searched
                                  in the PATH of envp when it has no slash;
                                  `{position}` in an argument is replaced */
    const char *const *envp; /**< NULL-terminated; NULL: an empty environment
                                  but PATH */
    const char *directory;   /**< NULL: ours */
    const char *user;        /**< run as; NULL: as we are. Needs privilege */
    uint32_t count;          /**< 0: 1 */
    int32_t stop_signal;     /**< 0: SIGTERM */
    uint32_t stop_patience_ms; /**< then SIGKILL to the group; 0: 30000 */
    uint32_t boot_timeout_ms;  /**< 0: 60000 */
    uint32_t probe_every_ms;   /**< 0: 100 */
    uint32_t settle_ms;        /**< 0: 1000 */
    uint32_t min_uptime_ms;    /**< dying earlier counts as failure; 0: 10000 */
    uint32_t backoff_max_ms;   /**< 0: 30000, from 100 doubling */
    uint32_t start_retries;    /**< failures in a row until FAILED; 0: 8 */
    uint32_t channel;          /**< 1: a SOCK_SEQPACKET pair per worker, its end
                                    is descriptor 3 and AMY_CHANNEL_FD=3 */
    uint32_t generation_low;   /**< first generation's number; 0: 1 */
    uint32_t stop_first; /**< 1: an old one ends before a new one starts */
    uint32_t lock_dir_fd_plus_one; /**< directory for position locks + 1,
                                    duplicated; 0: no locks */
    int32_t
        output_fd_plus_one; /**< stdout and stderr of workers go here + 1,
                                 duplicated; 0: to on_output; both 0: ours */
    uint32_t reserved;
    /** One whole line of a worker's output, without newline (at most 64 KiB,
     *  longer ones in pieces). NULL: see output_fd_plus_one. */
    void (*on_output)(struct amy_pool *pool, uint32_t position, int64_t pid,
                      const char *line, size_t n, void *user);
    amy_pool_prepare_fn prepare;
    amy_pool_probe_fn probe;
    amy_pool_event_fn on_event;
    void *callback_user;                  /**< handed to all callbacks */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log;            /**< NULL: silent; copied */
};

#define AMY_POOL_OPTIONS_INIT                                                  \
    {                                                                          \
        .struct_size = sizeof(struct amy_pool_options)                         \
    }

/** One worker as it is now; filled by amy_pool_worker(). */
struct amy_worker_view {
    size_t struct_size;
    uint32_t position;
    uint32_t state; /**< enum amy_worker_state */
    uint64_t generation;
    uint64_t incarnation;
    int64_t pid;      /**< -1: none */
    int64_t since_ms; /**< age of this state */
    int64_t age_ms;   /**< age of the process */
    uint64_t restarts;
    uint64_t rss_bytes; /**< of its whole process group; 0: unknown */
    const char *reason; /**< last failure, or "" ; valid until the loop runs */
};

/* create, free, start, stop, reload: documented beside their prototypes by the
 * room that owns this header. */
AMY_API AMY_MUST_USE int amy_pool_create(const struct amy_pool_options *opts,
                                         struct amy_pool **ret_pool,
                                         struct amy_error *err);
AMY_API void amy_pool_free(struct amy_pool *pool);
AMY_API AMY_MUST_USE int amy_pool_start(struct amy_pool *pool,
                                        struct amy_error *err);
AMY_API AMY_MUST_USE int amy_pool_stop(struct amy_pool *pool,
                                       uint32_t patience_ms,
                                       amy_pool_done_fn on_done, void *user,
                                       struct amy_error *err);
AMY_API void amy_pool_set_ready(struct amy_pool *pool, uint32_t position,
                                uint64_t incarnation);
AMY_API AMY_MUST_USE int amy_pool_restart(struct amy_pool *pool,
                                          uint32_t position,
                                          struct amy_error *err);
AMY_API uint32_t amy_pool_count(const struct amy_pool *pool);
AMY_API AMY_MUST_USE int amy_pool_worker(const struct amy_pool *pool,
                                         uint32_t position,
                                         struct amy_worker_view *ret_view);
AMY_API AMY_MUST_USE int amy_pool_give_fd(struct amy_pool *pool, int fd,
                                          const char *listen_name,
                                          struct amy_error *err);
AMY_API AMY_MUST_USE int amy_pool_give_env(struct amy_pool *pool,
                                           const char *name, const char *value,
                                           struct amy_error *err);

#ifdef __cplusplus
}
#endif
#endif

/** @file amy/redis.h
 *  @brief A Redis client: on the caller's loop, or blocking in a program that
 *         has none. One deadline a call; a dead server costs nothing.
 *
 *  Follows https://redis.io/docs/latest/develop/reference/protocol-spec/
 *  (RESP2). docs/api/redis.md has the concepts and a tutorial.
 */
#ifndef AMY_REDIS_H
#define AMY_REDIS_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/export.h>
#include <amy/log.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;

/** One server, one connection to it, and the calls that wait for it. */
struct amy_redis;

/* ---- replies ---- */

/** What a server answered. Read-only, and the client's: see where you get it
 *  for how long. */
struct amy_redis_reply;

enum amy_redis_type {
    AMY_REDIS_NIL = 0,
    AMY_REDIS_STRING = 1,  /**< any bytes */
    AMY_REDIS_STATUS = 2,  /**< "OK", "QUEUED" ... */
    AMY_REDIS_ERROR = 3,   /**< "WRONGTYPE Operation against ..." */
    AMY_REDIS_INTEGER = 4, /**< 64 bits, signed */
    AMY_REDIS_ARRAY = 5,
};

/** Arrays in arrays: a deeper reply is AMY_ELIMIT. */
#define AMY_REDIS_DEPTH_MAX 6U

/** Its enum amy_redis_type; NULL is AMY_REDIS_NIL. Since: 0.1 */
AMY_API uint32_t amy_redis_reply_type(const struct amy_redis_reply *reply);

/** Of AMY_REDIS_INTEGER; else 0. Since: 0.1 */
AMY_API int64_t amy_redis_reply_integer(const struct amy_redis_reply *reply);

/**
 * The bytes of a string, a status or an error.
 *
 * @param ret_bytes  how many; may be NULL
 * @return followed by a NUL that is not counted; the reply's; NULL where the
 *         type has none
 * Since: 0.1
 */
AMY_API const char *amy_redis_reply_text(const struct amy_redis_reply *reply,
                                         size_t *ret_bytes);

/** How many items an array has; else 0. Since: 0.1 */
AMY_API size_t amy_redis_reply_count(const struct amy_redis_reply *reply);

/** An array's item, from 0; NULL: there is none. Since: 0.1 */
AMY_API const struct amy_redis_reply *
amy_redis_reply_at(const struct amy_redis_reply *reply, size_t index);

/* ---- results ---- */

/** Did the server act on it? */
enum amy_redis_fate {
    AMY_REDIS_ANSWERED = 0, /**< it said what it did, or why it did not */
    AMY_REDIS_NOT_RUN = 1,  /**< no byte of it was sent */
    AMY_REDIS_UNKNOWN = 2,  /**< it was sent, and no answer came: it may have
                                 run, may run yet, or never will */
};

/** How a call ended. */
struct amy_redis_result {
    size_t struct_size;
    /** 0: answered, and not by an error. An error reply is AMY_EAUTH (NOAUTH,
     *  WRONGPASS), AMY_EDENIED (NOPERM), AMY_EAGAIN (LOADING, BUSY, TRYAGAIN,
     *  MASTERDOWN, CLUSTERDOWN), AMY_ELIMIT (OOM), AMY_ESTATE (READONLY,
     *  MISCONF, NOREPLICAS), AMY_ENOTFOUND (NOSCRIPT) or AMY_EINVAL (any
     *  other). Without an answer: AMY_ETIMEOUT, AMY_ECANCELED, or why the
     *  connection ended, or there is none: AMY_ECONN, AMY_EAUTH (refused, by
     *  either side), AMY_EPROTO, AMY_ELIMIT (a reply), AMY_EINVAL (no such
     *  database, a file for TLS), AMY_EUNSUPPORTED (names cannot be looked up;
     *  err names the package). */
    int code;
    uint32_t fate; /**< enum amy_redis_fate */
    /** NULL unless answered; an error reply is here, too. Of a batch: an array
     *  of as many replies as it has commands, errors among them. */
    const struct amy_redis_reply *reply;
    /** Why, when code is not 0; the server's own words come last. Else NULL.
     *  Of amy_redis_run() always NULL: its err has it. */
    const struct amy_error *err;
};

#define AMY_REDIS_RESULT_INIT                                                  \
    {                                                                          \
        sizeof(struct amy_redis_result), 0, 0, NULL, NULL                      \
    }

/** A call has ended. Exactly once for each call that was begun, on the loop,
 *  never from inside the call that began it; from inside amy_redis_free() with
 *  AMY_ECANCELED. The result and all in it is valid during the callback. May
 *  begin and cancel calls, and may free the client. */
typedef void (*amy_redis_fn)(struct amy_redis *client,
                             const struct amy_redis_result *result, void *user);

/* ---- the client ---- */

/** Options; a zero field means its default. Strings are copied. */
struct amy_redis_options {
    size_t struct_size;      /**< set by AMY_REDIS_OPTIONS_INIT */
    struct event_base *base; /**< the caller runs it; NULL: the client has a
                                  loop of its own, for blocking calls alone */
    /** Required. redis://[[user]:password@]host[:port][/db], rediss://
     *  the same by TLS, unix://[[user]:password@]/path[?db=n]; parts are
     *  percent-decoded. As redis-py has it, the query may name db, username,
     *  password, ssl_ca_certs, ssl_certfile and ssl_keyfile; its other options
     *  are passed over. */
    const char *url;
    const char *name;         /**< CLIENT SETNAME; NULL: none */
    const char *ca_file;      /**< PEM; NULL: whom this system trusts */
    const char *cert_file;    /**< ours, PEM; NULL: none */
    const char *key_file;     /**< its key; NULL: in cert_file */
    const char *server_name;  /**< whom the certificate is to name; NULL: the
                                   URL's host */
    uint32_t timeout_ms;      /**< of a call that names none; 0: 5000 */
    uint32_t connect_ms;      /**< of one attempt: name, connect, TLS, AUTH,
                                   also where the calls that wait for it end
                                   before; 0: 5000 */
    uint32_t queue_calls_max; /**< calls begun and not ended; 0: 65536 */
    uint32_t failures_max;    /**< failed attempts in a row, or deadlines that
                                   passed while one was under way, after which
                                   calls are refused at once; 0: 3 */
    size_t queue_bytes_max;   /**< of the same calls' commands; 0: 16 MiB */
    size_t reply_bytes_max;   /**< a longer reply (of a batch: all of its
                                   replies together) ends the connection, before
                                   it is stored; 0: 64 MiB */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log;            /**< NULL: silent; copied */
};

#define AMY_REDIS_OPTIONS_INIT                                                 \
    {                                                                          \
        sizeof(struct amy_redis_options), NULL, NULL, NULL, NULL, NULL, NULL,  \
            NULL, 0, 0, 0, 0, 0, 0, NULL, NULL                                 \
    }

/**
 * Make a client, which connects when it is first needed.
 *
 * @param opts        options; not kept after return
 * @param ret_client  on success the caller's, freed with amy_redis_free()
 * @param err         may be NULL; names the part of the URL that is wrong, and
 *                    never the password
 * @return 0, AMY_EINVAL (the URL, an option), AMY_ESTATE (rediss:// and SIGPIPE
 *         is not ignored), AMY_EUNSUPPORTED (no libhiredis: err names the
 *         package), AMY_ENOMEM
 *
 * Loop: opts->base.  Threads: one at a time.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_redis_create(const struct amy_redis_options *opts,
                                          struct amy_redis **ret_client,
                                          struct amy_error *err);

/**
 * End all calls with AMY_ECANCELED, from inside, and free the client. NULL is a
 * no-op. Allowed inside any of its callbacks. While a name is being looked up,
 * the loop has to run once more for the last of it to be freed.
 *
 * In a child after fork() it closes the child's copy of the connection, calls
 * nobody, and leaves the parent's as it is.
 *
 * Blocks: no.  Since: 0.1
 */
AMY_API void amy_redis_free(struct amy_redis *client);

/** One command. */
struct amy_redis_command {
    size_t struct_size;      /**< set by AMY_REDIS_COMMAND_INIT */
    size_t argc;             /**< 1 and more */
    const char *const *argv; /**< "GET", "key" */
    const size_t *lengths;   /**< of each, so that they may hold any bytes;
                                  NULL: they end with a NUL */
    uint32_t timeout_ms;     /**< for all of it, from now on: name, connect,
                                  TLS, AUTH, queue and answer; 0: the client's.
                                  A command that blocks needs more than it
                                  waits for, and a client of its own */
    uint32_t reserved;       /**< must be 0 */
};

#define AMY_REDIS_COMMAND_INIT                                                 \
    {                                                                          \
        sizeof(struct amy_redis_command), 0, NULL, NULL, 0, 0                  \
    }

/**
 * Begin a call. All that are begun in one turn of the loop leave together, and
 * are answered in their order.
 *
 * Commands that change the connection itself are refused: AUTH, SELECT, HELLO,
 * RESET, QUIT, MONITOR, SUBSCRIBE and its kin, CLIENT REPLY, CLIENT TRACKING,
 * SYNC and PSYNC; and MULTI, EXEC, DISCARD, WATCH and UNWATCH, for which there
 * is an atomic batch.
 *
 * @param command  not kept after return
 * @param fn       called once, unless this call fails; NULL: nobody asks
 * @param ret_id   for amy_redis_cancel(); may be NULL
 * @return 0, AMY_EINVAL (no command, or a refused one), AMY_ELIMIT (the queue
 *         is full: go on when something was answered; or this command alone is
 *         more than it takes, as err says), AMY_ECONN or
 *         what else connections end with (the server is known to be gone, or to
 *         refuse us, and it is not yet time to try again; err says why and
 *         when), AMY_ESTATE (a client without a base, in a child after fork(),
 * or within amy_redis_free()), AMY_ENOMEM
 *
 * Loop: the client's base.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_redis_send(struct amy_redis *client,
                                        const struct amy_redis_command *command,
                                        amy_redis_fn fn, void *user,
                                        uint64_t *ret_id,
                                        struct amy_error *err);

/** End a call at the end of this turn of the loop, with AMY_ECANCELED. What was
 *  sent may run all the same. An id of a call that has ended is a no-op.
 *  Since: 0.1 */
AMY_API void amy_redis_cancel(struct amy_redis *client, uint64_t id);

/**
 * Run a command and wait for its answer, with a loop of the client's own.
 *
 * @param ret_result  struct_size is set by the caller; always filled. Its reply
 *                    is valid until the next call on this client
 * @param err         may be NULL
 * @return ret_result->code, or as amy_redis_send() when it could not begin;
 *         AMY_ESTATE: the client has a base of the caller's
 *
 * Loop: none.  Blocks: yes, to the call's deadline at most.  Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_redis_run(struct amy_redis *client,
                                       const struct amy_redis_command *command,
                                       struct amy_redis_result *ret_result,
                                       struct amy_error *err);

/* ---- batches ---- */

/** Commands that are sent as one and end as one. */
struct amy_redis_batch;

/** Options of a batch; a zero field means its default. */
struct amy_redis_batch_options {
    size_t struct_size;  /**< set by AMY_REDIS_BATCH_OPTIONS_INIT */
    uint32_t timeout_ms; /**< for all of it; 0: the client's */
    uint32_t atomic;  /**< 1: within MULTI and EXEC. All run, or none; others'
                           commands come before or after, never between */
    size_t bytes_max; /**< of its commands together; 0: 16 MiB */
};

#define AMY_REDIS_BATCH_OPTIONS_INIT                                           \
    {                                                                          \
        sizeof(struct amy_redis_batch_options), 0, 0, 0                        \
    }

/**
 * Make an empty batch, which belongs to no client.
 *
 * @param opts       NULL: the defaults
 * @param ret_batch  the caller's, freed with amy_redis_batch_free()
 * @return 0, AMY_EINVAL, AMY_ENOMEM
 * Since: 0.1  Source: redis.io, "Pipelining" and "Transactions"
 */
AMY_API AMY_MUST_USE int
amy_redis_batch_create(const struct amy_redis_batch_options *opts,
                       struct amy_redis_batch **ret_batch,
                       struct amy_error *err);

/** Free a batch; NULL is a no-op. Calls that it began go on. Since: 0.1 */
AMY_API void amy_redis_batch_free(struct amy_redis_batch *batch);

/** Add a command, copied; its timeout counts for nothing.
 *  @return 0, AMY_EINVAL (as amy_redis_send()), AMY_ELIMIT (bytes_max),
 *          AMY_ENOMEM
 *  Since: 0.1 */
AMY_API AMY_MUST_USE int
amy_redis_batch_add(struct amy_redis_batch *batch,
                    const struct amy_redis_command *command,
                    struct amy_error *err);

/** As amy_redis_send(), for all of a batch; AMY_EINVAL: it is empty. The batch
 *  may be sent again. A batch is never continued over another connection: where
 *  one is lost in between, its fate is AMY_REDIS_UNKNOWN. An atomic batch that
 *  the server refuses as a whole ends with the error of its first command that
 *  has one. Before the first one on a connection the server is asked whether it
 *  has MULTI and EXEC: where it refuses them, AMY_REDIS_NOT_RUN.
 *  Loop: the client's base.  Blocks: no.  Since: 0.1 */
AMY_API AMY_MUST_USE int
amy_redis_send_batch(struct amy_redis *client,
                     const struct amy_redis_batch *batch, amy_redis_fn fn,
                     void *user, uint64_t *ret_id, struct amy_error *err);

/** As amy_redis_run(), for all of a batch. Blocks: yes.  Since: 0.1 */
AMY_API AMY_MUST_USE int
amy_redis_run_batch(struct amy_redis *client,
                    const struct amy_redis_batch *batch,
                    struct amy_redis_result *ret_result, struct amy_error *err);

/* ---- how it is ---- */

enum amy_redis_state {
    AMY_REDIS_IDLE = 0,       /**< not connected: nobody needs it */
    AMY_REDIS_CONNECTING = 1, /**< name, connect, TLS, AUTH */
    AMY_REDIS_READY = 2,
    AMY_REDIS_PAUSING = 3, /**< waits before it tries again */
    AMY_REDIS_BROKEN = 4,  /**< too many failures: calls are refused at once,
                                but for one now and then that tries */
};

/** What a client is doing; filled by amy_redis_read(). */
struct amy_redis_view {
    size_t struct_size;
    uint32_t state;       /**< enum amy_redis_state */
    uint32_t failures;    /**< attempts failed in a row */
    uint64_t connections; /**< made in all */
    uint64_t calls;       /**< begun and not ended */
    int64_t retry_ms;     /**< until the next attempt may begin; 0: now */
    const char *problem; /**< "" or why the last connection ended; the client's,
                              valid until the loop runs again */
};

#define AMY_REDIS_VIEW_INIT                                                    \
    {                                                                          \
        sizeof(struct amy_redis_view), 0, 0, 0, 0, 0, NULL                     \
    }

/** @param ret_view  struct_size is set by the caller
 *  Blocks: no.  Since: 0.1 */
AMY_API void amy_redis_read(const struct amy_redis *client,
                            struct amy_redis_view *ret_view);

/* ---- what there is to know of a server ---- */

/** Queues and workers of rq of which a report tells; more are counted. */
#define AMY_REDIS_REPORT_QUEUES 64U
#define AMY_REDIS_REPORT_WORKERS 256U

/**
 * Ask a server for its memory, its persistence, who may reach it, and for the
 * queues and workers of rq; write that as one line of JSON. What the server
 * does not let us see is left out. docs/api/redis.md has the keys.
 *
 * @param opts  as for amy_redis_create(), without a base; timeout_ms is for
 *              each of the four questions, of which the first one connects
 * @param fd    where to write; on failure {"error": "..."} is written
 * @param err   may be NULL
 * @return 0, or as amy_redis_run(); AMY_EIO (writing)
 *
 * Loop: none.  Blocks: yes.  Since: 0.1
 * Source: redis.io, "INFO", "CONFIG GET", "ACL GETUSER"; rq 1 to 3
 */
AMY_API AMY_MUST_USE int amy_redis_report(const struct amy_redis_options *opts,
                                          int fd, struct amy_error *err);

#ifdef __cplusplus
}
#endif
#endif

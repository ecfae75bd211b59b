/** @file amy/control.h
 *  @brief Asking a running daemon: one request over its control socket.
 *
 *  The daemons speak HTTP and JSON on unix sockets under /run/amy. amyctl is a
 *  client by this header; so can be any other program.
 */
#ifndef AMY_CONTROL_H
#define AMY_CONTROL_H

#include <amy/error.h>
#include <amy/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

struct event_base;
struct amy_control_request;

/** How a request ended. Valid during the callback. */
struct amy_control_answer {
    size_t struct_size;
    int32_t code;       /**< 0, or AMY_E*: then there is no answer */
    uint32_t status;    /**< the HTTP status; 0 when there is no answer */
    const char *body;   /**< JSON text, NUL-terminated; "" when none */
    size_t body_bytes;  /**< without the NUL */
    const char *reason; /**< why there is no answer, in one line; or "" */
};

/** Called once, on the loop thread, never from inside amy_control_start(); may
 *  free the request. */
typedef void (*amy_control_done_fn)(struct amy_control_request *request,
                                    const struct amy_control_answer *answer,
                                    void *user);

/** Options; a zero field means its default. */
struct amy_control_options {
    size_t struct_size;          /**< set by AMY_CONTROL_OPTIONS_INIT */
    struct event_base *base;     /**< required; the caller runs it */
    const char *run_directory;   /**< NULL: "/run/amy" */
    const char *daemon;          /**< required: "front", "workers" */
    const char *method;          /**< NULL: "GET" */
    const char *path;            /**< required: "/v1/status" */
    const char *body;            /**< JSON text, at most 64 KiB; NULL: none */
    uint32_t timeout_ms;         /**< for the whole of it; 0: 10000 */
    uint32_t reserved;           /**< must be 0 */
    amy_control_done_fn on_done; /**< required */
    void *user;                  /**< handed to on_done */
};

#define AMY_CONTROL_OPTIONS_INIT                                               \
    {                                                                          \
        sizeof(struct amy_control_options), NULL, NULL, NULL, NULL, NULL,      \
            NULL, 0, 0, NULL, NULL                                             \
    }

/**
 * Send one request to a daemon's control socket.
 *
 * @param opts         options; copied
 * @param ret_request  on success the request, the caller's to free with
 *                     amy_control_free(), at the latest after on_done;
 *                     untouched on failure
 * @param err          may be NULL
 * @return 0, AMY_EINVAL (something required is missing, or the body is too
 *         long), AMY_ENOTFOUND (no such directory), AMY_EDENIED, AMY_ENOMEM
 *
 * The answer's code is 0, or AMY_ECONN (the daemon does not run), AMY_EIO (it
 * ended before it had answered, and may have begun what it was asked for),
 * AMY_ETIMEOUT, AMY_EPROTO, AMY_ELIMIT (more than 4 MiB), AMY_ENOMEM.
 *
 * Loop: opts->base.  Blocks: no.  Since: 0.1
 */
AMY_API AMY_MUST_USE int
amy_control_start(const struct amy_control_options *opts,
                  struct amy_control_request **ret_request,
                  struct amy_error *err);

/** Free a request, giving it up when it is under way: on_done is not called
 *  then. NULL is a no-op. Allowed inside on_done. Since: 0.1 */
AMY_API void amy_control_free(struct amy_control_request *request);

#ifdef __cplusplus
}
#endif
#endif

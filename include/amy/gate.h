/** @file amy/gate.h
 *  @brief Maintenance gate: one switch that decides whether a site serves.
 *
 *  The switch is a file's name: maintenance_on.html in the site's directory
 *  closes the site, whatever it holds; its bytes are the page. Renamed to
 *  maintenance_off.html, the site is open.
 */
#ifndef AMY_GATE_H
#define AMY_GATE_H

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
struct amy_gate;

enum amy_gate_state {
    AMY_GATE_OPEN = 0,
    AMY_GATE_CLOSED = 1,
};

/** What a gate shows; filled by amy_gate_read(). */
struct amy_gate_view {
    size_t struct_size;
    uint32_t state;         /**< enum amy_gate_state */
    uint32_t retry_after_s; /**< for Retry-After (RFC 9110 section 10.2.3) */
    const char *page;       /**< the page while closed; never NULL then */
    size_t page_bytes;
    int64_t since_wall_ms; /**< when this state was first seen */
    const char *by;        /**< who toggled it through us: a user's name; ""
                                when the file was renamed by other means */
    const char *warning;   /**< "" or why the built-in page is shown */
};

/** Called on the loop thread after the state or the page changed. It may free
 *  the gate. */
typedef void (*amy_gate_change_fn)(struct amy_gate *gate,
                                   enum amy_gate_state state, void *user);

/** Options; a zero field means its default. */
struct amy_gate_options {
    size_t struct_size;      /**< set by AMY_GATE_OPTIONS_INIT */
    struct event_base *base; /**< required; the caller runs it */
    const char *directory;   /**< the site's directory; or dir_fd_plus_one */
    int dir_fd_plus_one;     /**< open directory + 1, duplicated */
    uint32_t retry_after_s;  /**< Retry-After, seconds; 0: 120 */
    uint32_t poll_ms;        /**< slow look behind inotify; 0: 1000 */
    uint32_t reserved;       /**< must be 0 */
    const struct amy_clock *borrow_clock; /**< NULL: the system's; outlives */
    const struct amy_log *log;            /**< NULL: silent; copied */
    amy_gate_change_fn on_change;         /**< NULL: no callback */
    void *user;                           /**< handed to on_change */
};

#define AMY_GATE_OPTIONS_INIT                                                  \
    {                                                                          \
        sizeof(struct amy_gate_options), NULL, NULL, 0, 0, 0, 0, NULL, NULL,   \
            NULL, NULL                                                         \
    }

/**
 * Make a gate over one site directory and look at it once.
 *
 * @param opts      options; not kept after return
 * @param ret_gate  on success the new gate, owned by the caller, freed with
 *                  amy_gate_free(); untouched on failure
 * @param err       may be NULL
 * @return 0, AMY_EINVAL (no base, no directory), AMY_ENOTFOUND (no such
 *         directory), AMY_EDENIED, AMY_ENOMEM
 *
 * Loop: opts->base.  Blocks: for one open and read.  Since: 0.1
 * Source: inotify(7)
 */
AMY_API AMY_MUST_USE int amy_gate_create(const struct amy_gate_options *opts,
                                         struct amy_gate **ret_gate,
                                         struct amy_error *err);

/** Free a gate; NULL is a no-op. Allowed inside on_change. Since: 0.1 */
AMY_API void amy_gate_free(struct amy_gate *gate);

/**
 * What the gate shows now. Costs no system call.
 *
 * @param gate      a gate
 * @param ret_view  struct_size set by the caller; pointers in it are the
 *                  gate's, valid until the loop runs again or the gate is freed
 * Since: 0.1
 */
AMY_API void amy_gate_read(const struct amy_gate *gate,
                           struct amy_gate_view *ret_view);

/** Look at the directory now rather than at the next event. on_change runs from
 *  inside when something moved.
 *  @return 0, AMY_EIO, AMY_EDENIED, AMY_ENOTFOUND (the directory is gone)
 *  Since: 0.1 */
AMY_API AMY_MUST_USE int amy_gate_poll(struct amy_gate *gate,
                                       struct amy_error *err);

/**
 * Close: rename maintenance_off.html to maintenance_on.html, or write the
 * built-in page where there is none. Closed already: 0.
 *
 * @param by  who asks, for amy_gate_view.by; copied; NULL: ""
 * @return 0, AMY_EDENIED, AMY_EIO
 * Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_gate_close(struct amy_gate *gate, const char *by,
                                        struct amy_error *err);

/**
 * Open: rename maintenance_on.html to maintenance_off.html. Where both exist,
 * the one called off is kept as maintenance_off.html.saved. Open already: 0.
 *
 * @return 0, AMY_EDENIED, AMY_EIO
 * Since: 0.1
 */
AMY_API AMY_MUST_USE int amy_gate_open(struct amy_gate *gate, const char *by,
                                       struct amy_error *err);

#ifdef __cplusplus
}
#endif
#endif

/** @file amy/log.h
 *  @brief Where loop-driven code of libamy, which has no caller to return an
 *         error to, says what happened.
 */
#ifndef AMY_LOG_H
#define AMY_LOG_H

#include <amy/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Least severe last; the numbers are syslog's. */
enum amy_log_level {
    AMY_LOG_ERROR = 3,  /**< the operator must act */
    AMY_LOG_WARN = 4,   /**< degraded, and says what was done instead */
    AMY_LOG_NOTICE = 5, /**< a state changed */
    AMY_LOG_INFO = 6,
    AMY_LOG_DEBUG = 7,
};

/** One line, `key=value` after a short text, peer bytes escaped, no secrets.
 *  `line` is valid during the call and has no newline. */
typedef void (*amy_log_fn)(enum amy_log_level level, const char *line,
                           void *user);

/** A sink; a NULL `struct amy_log *` in any options is silent. */
struct amy_log {
    size_t struct_size;
    amy_log_fn fn;
    void *user;
    uint32_t level;    /**< most verbose level wanted; 0: AMY_LOG_INFO */
    uint32_t reserved; /**< 0 */
};

/** "warn" of AMY_LOG_WARN; "?" of what is no level. Thread-safe. Since: 0.1 */
AMY_API const char *amy_log_level_name(enum amy_log_level level);

#ifdef __cplusplus
}
#endif
#endif

/** @file amy/error.h
 *  @brief Return codes and the error report every fallible call can fill.
 */
#ifndef AMY_ERROR_H
#define AMY_ERROR_H

#include <amy/export.h>

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Every code libamy returns: X(name, value, text). Values are never reused.
 *  A code says what the caller can do about it. */
#define AMY_ERROR_MAP(X)                                                       \
    X(EINVAL, -1, "invalid argument")                                          \
    X(ENOMEM, -2, "out of memory")                                             \
    X(EIO, -3, "input/output error")                                           \
    X(ENOTFOUND, -4, "not found")                                              \
    X(EPARSE, -5, "malformed input")                                           \
    X(ETIMEOUT, -6, "deadline passed")                                         \
    X(EDENIED, -7, "not permitted")                                            \
    X(EBUSY, -8, "in use")                                                     \
    X(EAGAIN, -9, "try again")                                                 \
    X(EEXIST, -10, "exists already")                                           \
    X(EPROTO, -11, "the peer broke the protocol")                              \
    X(ELIMIT, -12, "a limit was reached")                                      \
    X(EAUTH, -13, "authentication failed")                                     \
    X(ECANCELED, -14, "canceled")                                              \
    X(EUNSUPPORTED, -15, "not supported here")                                 \
    X(ECONN, -16, "connection failed")                                         \
    X(ESTATE, -17, "not possible in this state")

enum amy_code {
    AMY_OK = 0,
#define AMY_X(name, value, text) AMY_##name = (value),
    AMY_ERROR_MAP(AMY_X)
#undef AMY_X
};

/** Whose number amy_error.detail is. */
enum amy_error_source {
    AMY_SOURCE_NONE = 0,
    AMY_SOURCE_SYS = 1,  /**< the system: see sys_errno */
    AMY_SOURCE_TLS = 2,  /**< OpenSSL's error code */
    AMY_SOURCE_SQL = 3,  /**< PostgreSQL: see sqlstate */
    AMY_SOURCE_HTTP = 4, /**< an HTTP status */
    AMY_SOURCE_CURL = 5, /**< a CURLcode */
};

/** What failed, in words. Caller allocates; the library never does. 256 bytes,
 *  for good. */
struct amy_error {
    int code;          /**< AMY_E*, or AMY_OK when untouched */
    int sys_errno;     /**< errno when a system call failed, else 0 */
    uint32_t source;   /**< enum amy_error_source: whose number detail is */
    uint32_t reserved; /**< 0 */
    int64_t detail;    /**< the source's own number, e.g. an HTTP status */
    char sqlstate[8];  /**< five characters and NUL when PostgreSQL said so */
    char msg[224];     /**< one line, NUL-terminated, no trailing period */
};

/** Start value for a struct amy_error. */
#define AMY_ERROR_INIT                                                         \
    {                                                                          \
        AMY_OK, 0, 0, 0, 0, {0},                                               \
        {                                                                      \
            0                                                                  \
        }                                                                      \
    }

/** How bad a problem is. */
enum amy_severity {
    AMY_SEVERITY_ERROR = 0,   /**< what was read cannot be used */
    AMY_SEVERITY_WARNING = 1, /**< usable, but somebody should look */
};

/** One fault among many, of a call that can find more than one (a YAML file).
 *  Strings are valid during the callback only. */
struct amy_problem {
    size_t struct_size;
    const char *file;    /**< as the caller named it */
    uint32_t line;       /**< from 1; 0: of the whole file */
    uint32_t column;     /**< from 1; 0: of the whole line */
    uint32_t severity;   /**< enum amy_severity */
    uint32_t reserved;   /**< 0 */
    const char *key;     /**< dotted path, e.g. "workers[0].count"; or NULL */
    const char *message; /**< what is wrong, one line */
    const char *allowed; /**< what would be right; or NULL */
};

/** Called once per fault, from inside the call that found it. */
typedef void (*amy_problem_fn)(const struct amy_problem *problem, void *user);

/** Static text for a code; never NULL. Thread-safe. Since: 0.1 */
AMY_API const char *amy_strerror(int code);

#ifdef __cplusplus
}
#endif
#endif

/* Writing to the caller's log sink. */
#ifndef AMY_CORE_LOG_H
#define AMY_CORE_LOG_H

#include <amy/error.h>
#include <amy/log.h>

#include "core/str.h"

#include <stdbool.h>

/* One line of at most 1 KiB; cut there with "...". NULL log: silent. The sink
 * struct is copied by the object that keeps it (amy__log_copy). */
void amy__log(const struct amy_log *log, enum amy_log_level level,
              const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Copy a caller's sink (NULL: a silent one), reading only what its
 * struct_size covers. */
struct amy_log amy__log_copy(const struct amy_log *log);

/* For lines a peer can trigger: true at most `burst` times per `per_ms`; the
 * next allowed line is told how many were swallowed. */
struct amy__log_limit {
    int64_t window_start_ms;
    uint32_t in_window;
    uint32_t swallowed;
};
bool amy__log_allow(struct amy__log_limit *limit, uint32_t burst,
                    int64_t per_ms, int64_t now_ms, uint32_t *ret_swallowed);

#endif

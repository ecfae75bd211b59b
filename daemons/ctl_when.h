/* Times as people give them. */
#ifndef CTL_WHEN_H
#define CTL_WHEN_H

#include <stdbool.h>
#include <stdint.h>

#define WHEN_ALLOWED                                                           \
    "how long ago, as 30m, 2h, 1d12h, or a time, as 2026-11-26, "              \
    "'2026-11-26 20:15', 20:15 or 2026-11-26T20:15:00Z"

/* Without Z or an offset a time is the local one, as the times of access.log
 * are. */
bool when_read(const char *text, int64_t now_ms, int64_t *ret_wall_ms);

#endif

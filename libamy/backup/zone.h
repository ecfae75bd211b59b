/* A named time zone, from the zone files of the system (TZif, RFC 8536): what
 * the clocks show at an instant, and when they show something. */
#ifndef AMY_BACKUP_ZONE_H
#define AMY_BACKUP_ZONE_H

#include <amy/error.h>

#include "core/cleanup.h"
#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

struct amy__zone;

#define AMY__ZONE_BYTES_MAX ((size_t)64 * 1024)

/* Is it a name as in "Europe/Zurich"? Nothing that leads elsewhere. */
int amy__zone_check_name(struct amy__span name, struct amy_error *err);
/* Read /usr/share/zoneinfo/{name}; "UTC" needs no file.
 * @return 0, AMY_EINVAL (no name), AMY_ENOTFOUND (no such zone; err names the
 *         package when there are none at all), AMY_EPARSE, AMY_EUNSUPPORTED
 *         (leap seconds), AMY_EIO, AMY_ENOMEM. Blocks for the file. */
int amy__zone_load(const char *name, struct amy__zone **ret_zone,
                   struct amy_error *err);
/* The same from the bytes of such a file. Pure. */
int amy__zone_parse(struct amy__span file, struct amy__zone **ret_zone,
                    struct amy_error *err);
void amy__zone_free(struct amy__zone *zone);
AMY_DEFINE_CLEANUP(struct amy__zone *, amy__zone_free)

/* Seconds that the clocks are ahead of UTC at an instant. NULL: UTC. */
int64_t amy__zone_offset(const struct amy__zone *zone, int64_t utc_s);
/* Are the clocks left alone from one instant until another? */
bool amy__zone_is_steady(const struct amy__zone *zone, int64_t from_s,
                         int64_t until_s);
/* The instants at which the clocks show local_s (seconds as if it were UTC):
 * 2 when they are turned back over it (earlier first), 0 when it is left out;
 * ret[0] is then the instant of the change. */
unsigned amy__zone_instants(const struct amy__zone *zone, int64_t local_s,
                            int64_t ret_utc_s[2]);

#endif

/* Capabilities of this process (capabilities(7)), by the system calls: libcap
 * is not worth a dependency for two. */
#ifndef AMY_CORE_CAPS_H
#define AMY_CORE_CAPS_H

#include <amy/error.h>

#include <stdbool.h>
#include <stddef.h>

/* Bound a root daemon to these (CAP_* of <linux/capability.h>): bounding set,
 * permitted and effective; inheritable and ambient become empty. What we do not
 * hold is not gained. Started by a person, who holds none: nothing to do.
 * @return 0; 1 when the bounding set had to stay as it is (no CAP_SETPCAP:
 *         a container's), all else being done; AMY_EINVAL (no such capability),
 *         AMY_EDENIED */
int amy__caps_keep(const int *caps, size_t n, struct amy_error *err);
/* Is it effective now? */
bool amy__caps_have(int cap);

#endif

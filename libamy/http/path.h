/* Paths of targets, and percent encoding (RFC 3986 2.1 and 5.2.4). Pure. */
#ifndef AMY_HTTP_PATH_H
#define AMY_HTTP_PATH_H

#include "core/str.h"

#include <stddef.h>

/* The file path that a target's path names, for static files: percent-decoded
 * once, empty and dot segments resolved, always beginning with '/', NUL-
 * terminated. Returns its length; AMY_EPARSE: malformed or encoded slash or
 * NUL, no leading '/', or it climbs above the root; AMY_ELIMIT: longer than
 * buf. A trailing '/' stays. */
int64_t amy__path_normalise(struct amy__span path, char *buf, size_t size);

/* The same for a path of the application's: decoded already, and no segment may
 * lead upwards (AMY_EPARSE), not even within the root: who joins a name that a
 * visitor gave to a directory means what lies in that directory. */
int64_t amy__path_resolve(struct amy__span path, char *buf, size_t size);

/* Percent-decode all of it, slashes too: the length; AMY_EPARSE: malformed, or
 * a NUL; AMY_ELIMIT: longer than buf. */
int64_t amy__percent_decode(struct amy__span s, char *buf, size_t size);

/* Does a plain path (no empty or dot segments) name the directory, or something
 * in it? A slash behind the directory does not count. */
bool amy__path_is_within(const char *path, const char *directory);

/* Is there a %00 in it? */
bool amy__path_has_nul(struct amy__span path);

/* Percent-encode what may not stand in a path (keep_slash) or in a query
 * value. As snprintf: returns the length needed. */
size_t amy__percent_encode(struct amy__span s, bool keep_slash, char *buf,
                           size_t size);

#endif

/* Which file a command's name means. */
#ifndef AMY_ENTER_PROGRAM_H
#define AMY_ENTER_PROGRAM_H

#include <amy/error.h>

#include <limits.h>
#include <stdbool.h>

/* A name with a slash is itself; else the first file along `path` ("/a:/b";
 * NULL: /usr/bin:/bin) that we may run. Looks as whoever we are by now.
 * @return 0, AMY_ENOTFOUND, AMY_EDENIED (there is one, which may not be run) */
int amy__enter_find(const char *name, const char *path, char ret[PATH_MAX],
                    struct amy_error *err);

#endif

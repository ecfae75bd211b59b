/* Where the programs of PostgreSQL are, for a server of a given version. */
#ifndef AMY_BACKUP_PROGRAM_H
#define AMY_BACKUP_PROGRAM_H

#include <amy/error.h>

#include <stddef.h>

#define AMY__PROGRAM_PATH_SIZE 512

struct amy__program {
    char path[AMY__PROGRAM_PATH_SIZE];
    char version[128]; /* "pg_dump (PostgreSQL) 15.18" */
    int major;
};

/* The oldest installed one that is not older than the server (150018): first
 * where the distribution puts them by version, then along PATH of our
 * environment.
 * @return 0, AMY_EUNSUPPORTED (none; err names the package), AMY_ENOMEM */
int amy__program_find(const char *name, int server_number,
                      char *const *environment, struct amy__program *ret,
                      struct amy_error *err);
/* "pg_dump (PostgreSQL) 15.18 (Debian ...)": 15; 0: not such a line. Pure. */
int amy__program_major(const char *version);

#endif

/* What tells one state of a directory of code from another, at a price that
 * status can pay: the commit that .git/HEAD names, or else names, sizes and
 * times of the Python files in it and four levels below; of fewer levels where
 * these hold more than 2000 Python files and directories. */
#ifndef AMY_WORKERS_IDENTITY_H
#define AMY_WORKERS_IDENTITY_H

#include <stdbool.h>
#include <sys/types.h>

#define AMY__IDENTITY_BYTES 72

/* Whose files they are, and with whose eyes they are looked at. */
struct amy__identity_eyes {
    bool as_person;
    uid_t uid;
    gid_t gid;
};

/* "" when the directory cannot be read, or even its first level is too large:
 * then nothing is known. */
void amy__identity_read(const char *path, const struct amy__identity_eyes *eyes,
                        char ret_identity[AMY__IDENTITY_BYTES]);

#endif

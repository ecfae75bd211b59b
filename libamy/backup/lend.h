/* A set of one site's for another site's job: the files, opened by a process of
 * the user whose they are, and handed over a socket. Neither can read what the
 * other has besides. Blocking. */
#ifndef AMY_BACKUP_LEND_H
#define AMY_BACKUP_LEND_H

#include <amy/error.h>

#include "backup/manifest.h"
#include "backup/pg.h"

#include <stdbool.h>

#define AMY__LOAN_FILES ((size_t)AMY__MANIFEST_FILES_MAX)

/* What a database and all its physical standbys have in common, and nobody else
 * but a clone: "" where the role may not ask. 0, AMY_ECONN, AMY_EIO */
#define AMY__IDENTITY_SIZE 48
int amy__loan_identity(struct amy__pg *pg, char ret[AMY__IDENTITY_SIZE],
                       struct amy_error *err);

/* What was lent. */
struct amy__loan {
    struct amy__manifest manifest;
    int fds[AMY__LOAN_FILES]; /* of manifest.files, in their order */
    size_t count;
    char key[24]; /* of the lock that the lender's database has meanwhile */
    bool standby; /* the lender reads a standby: nobody else sees its locks */
    char identity[AMY__IDENTITY_SIZE]; /* "": the lender may not ask for it */
    int socket_fd;                     /* until amy__loan_seen */
};
void amy__loan_init(struct amy__loan *loan);
void amy__loan_clear(struct amy__loan *loan);

/* Wait for it. site: whose set it must be; socket_fd is taken over.
 * @return 0; as the lender's job failed, with its words; AMY_ETIMEOUT,
 *         AMY_ECONN, AMY_EPROTO */
int amy__loan_take(int socket_fd, const char *site, struct amy__loan *ret,
                   struct amy_error *err);
/* It is not needed any more: nobody who gets at this process finds it there. */
void amy__loan_close_files(struct amy__loan *loan);
/* Production's roles are nobody else's: they are not lent. */
void amy__loan_leave_roles(struct amy__manifest *manifest);
/* The lender may go. */
void amy__loan_seen(struct amy__loan *loan);

#endif

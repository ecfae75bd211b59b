/* What the files about copies share. */
#ifndef AMY_BACKUP_COPY_H
#define AMY_BACKUP_COPY_H

#include "backup/store.h"

/* A set's manifest as it lies there; ret is cleared by the caller. ret_hex: of
 * its bytes. AMY_EPARSE, AMY_ENOTFOUND */
int amy__copy_manifest(struct amy__store *store, const char *name,
                       struct amy__manifest *ret, char ret_hex[65],
                       struct amy_error *err);
/* Read one of its files through, into out_fd as well (-1: nowhere). AMY_EPARSE:
 * it is not what the manifest says. */
int amy__copy_prove_file(struct amy__job *job, struct amy__store *store,
                         const char *name,
                         const struct amy__manifest_file *file, int out_fd,
                         struct amy_error *err);
/* copyfetch.c */
int amy__copy_fetch(struct amy__job *job, struct amy_error *err);
/* A set of another site's, spec.lender's: spec.set or the newest verified one,
 * into files that have no name here. */
int amy__copy_borrow(struct amy__job *job, struct amy__loan *ret,
                     struct amy_error *err);

#endif

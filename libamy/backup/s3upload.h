/* A file into S3: at once, or in parts that are each hashed, checked by the
 * server and tried again alone. Blocking. */
#ifndef AMY_BACKUP_S3UPLOAD_H
#define AMY_BACKUP_S3UPLOAD_H

#include <amy/error.h>

#include "backup/manifest.h"
#include "backup/s3.h"

/* fd: the file, of which the manifest says how long it is and its hash. At the
 * end the object is asked for its length and hash. What fails is aborted, as
 * far as S3 can still be reached. AMY_EPARSE: the file is not what its manifest
 * says, and is not there. */
int amy__s3_upload(struct amy__s3 *s3, struct amy__job *job, const char *key,
                   const struct amy__manifest_file *file, int fd,
                   struct amy_error *err);
/* AMY_ENOTFOUND: there is no such upload any more. */
int amy__s3_abort(struct amy__s3 *s3, const char *key, const char *upload,
                  struct amy_error *err);
/* Does it make sense to ask for more, after that? */
bool amy__s3_answers(int rc);

#define AMY__S3_UPLOAD_SIZE 1025 /* of an upload's id */

#endif

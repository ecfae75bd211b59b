/* Reading the files of other programs, below a root of the caller's. */
#ifndef AMY_DOCTOR_FILES_H
#define AMY_DOCTOR_FILES_H

#include "core/str.h"
#include "doctor/finding.h"

typedef void (*amy__file_fn)(const char *path, struct amy__span text,
                             void *user);

/* Call fn for each regular file of a directory, or for the one file that `path`
 * is (without the leading slash); links are followed, as those of sites-enabled
 * must be. What is not there is passed over; what may not be read is told as
 * AMY_DOCTOR_UNKNOWN of this check. */
void amy__files_each(int root_fd, const char *path,
                     struct amy__findings *findings, const char *check,
                     amy__file_fn fn, void *user);

#endif

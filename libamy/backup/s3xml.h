/* Answers of S3: the little of XML that they are made of. Pure.
 *
 * Elements, text, the five entities and those by number; attributes, comments
 * and declarations are passed over. No document type, so nothing grows. */
#ifndef AMY_BACKUP_S3XML_H
#define AMY_BACKUP_S3XML_H

#include <amy/error.h>

#include "core/str.h"

#define AMY__S3XML_DEPTH 8
#define AMY__S3XML_PATH_SIZE 256
#define AMY__S3XML_TEXT_MAX 2048

/* At the end of each element. path: "ListBucketResult/Contents/Key"; text: its
 * own, unescaped; "" where it has elements inside. Both only during the call;
 * below zero ends the reading. */
typedef int (*amy__s3xml_fn)(const char *path, const char *text, void *user,
                             struct amy_error *err);

/* @return 0, what fn returned, AMY_EPARSE (not such a text), AMY_ELIMIT (too
 *         deep, or too long a text) */
int amy__s3xml_read(struct amy__span xml, amy__s3xml_fn fn, void *user,
                    struct amy_error *err);

#endif

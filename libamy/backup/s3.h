/* Requests to S3 and what is like it: signed, tried again, their answers
 * understood. Blocking. */
#ifndef AMY_BACKUP_S3_H
#define AMY_BACKUP_S3_H

#include <amy/error.h>

#include "backup/job.h"
#include "core/str.h"
#include "fetch/fetch.h"

#include <stdint.h>

struct amy__s3;

/* Where, and with what keys, the spec's copy says; `silence_ms` of it is how
 * long an answer may take, and for how long what fails is tried again. */
int amy__s3_create(struct amy__job *job, struct amy__s3 **ret_s3,
                   struct amy_error *err);
void amy__s3_free(struct amy__s3 *s3);
static inline void
amy__s3_free_p(struct amy__s3 **s3)
{
    amy__s3_free(*s3);
}

#define AMY__S3_FIELDS 4
#define AMY__S3_KEY_SIZE 512
struct amy__s3_request {
    const char *method;
    const char *key;   /* needs no escaping; NULL: the bucket */
    const char *query; /* sorted and escaped, "a=&b=c"; NULL: none */
    const char *fields[AMY__S3_FIELDS]; /* besides ours; NULL: no more */
    struct amy__span body;
    const struct amy__fetch_file *file; /* instead of body */
    const char *sha256;                 /* of file */
    size_t answer_max;
};

/* ret: the caller's to clear, also on failure.
 * @return 0: a status of 2xx, and no error in its body; AMY_ENOTFOUND,
 * AMY_EAUTH (refused), AMY_EIO (other statuses), AMY_ECONN, AMY_ETIMEOUT,
 * AMY_ESTATE (this host's clock), AMY_EPARSE ... The code of S3's error, if
 * there was one, comes first in what the host said. */
int amy__s3_ask(struct amy__s3 *s3, const struct amy__s3_request *request,
                struct amy__fetch_got *ret, struct amy_error *err);

/* Escape a value of a query. False: it does not fit. Pure. */
bool amy__s3_escape(const char *text, char *buf, size_t size);
/* A hash as S3 writes checksums: base64, not digits. Pure. */
#define AMY__S3_CHECKSUM_SIZE 45
void amy__s3_checksum(const char hex[65], char ret[AMY__S3_CHECKSUM_SIZE]);
/* Where Amazon's S3 of that region answers. Pure. */
void amy__s3_host(const char *region, char *buf, size_t size);
/* How large parts must be: as small as may be, at most 10,000 of them. Pure. */
uint64_t amy__s3_part_bytes(uint64_t bytes);

/* What an error means for whoever asked. Pure. */
enum amy__s3_fate {
    AMY__S3_REFUSED = 0, /* it would be the same again */
    AMY__S3_AGAIN,       /* in a moment */
    AMY__S3_NEW_KEYS,    /* with other keys */
    AMY__S3_CLOCK,       /* this host's clock is wrong */
};
/* code: S3's, or "" where the answer had none. */
enum amy__s3_fate amy__s3_fate_of(unsigned status, const char *code);

#endif

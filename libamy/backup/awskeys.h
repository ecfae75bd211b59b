/* Keys for S3: from the environment, from the file that the AWS tools share, or
 * from the machine's metadata service (its version 2 only). */
#ifndef AMY_BACKUP_AWSKEYS_H
#define AMY_BACKUP_AWSKEYS_H

#include <amy/clock.h>
#include <amy/error.h>

#include "core/str.h"

#include <stdbool.h>
#include <stdint.h>

struct event_base;

/* Secrets: wiped by amy__awskeys_clear, in no message. */
struct amy__awskeys {
    char key[160];
    char secret[160];
    char token[4096]; /* of temporary ones; "" */
    int64_t ends_ms;  /* wall; INT64_MAX: they do not end */
};

void amy__awskeys_clear(struct amy__awskeys *keys);

/* A profile of ~/.aws/credentials. AMY_ENOTFOUND (no such profile), AMY_EPARSE
 * (it lacks a key, or one is too long). Pure. */
int amy__awskeys_read_file(struct amy__span text, const char *profile,
                           struct amy__awskeys *ret, struct amy_error *err);
/* What the metadata service says of a role. AMY_EPARSE */
int amy__awskeys_read_role(struct amy__span text, struct amy__awskeys *ret,
                           struct amy_error *err);

/* "2026-11-24T02:42:07Z", with thousandths or without. Pure. */
bool amy__aws_time(const char *text, int64_t *ret_ms);

/* Have keys from `source`: "environment", "file" or "imds". Blocking.
 * AMY_ENOTFOUND, AMY_EPARSE, AMY_ECONN, AMY_ETIMEOUT ... */
int amy__awskeys_get(const char *source, const char *profile,
                     struct event_base *base, struct amy__awskeys *ret,
                     struct amy_error *err);

/* Are they over within five minutes, so that new ones are due? Asked for a
 * minute ago at the earliest (asked_ms, wall; 0: never), while they still
 * serve: who gives them may have no newer ones yet, or be silent. Pure. */
#define AMY__AWSKEYS_EARLY_MS INT64_C(300000)
#define AMY__AWSKEYS_AGAIN_MS INT64_C(60000)
bool amy__awskeys_are_due(const struct amy__awskeys *keys, int64_t asked_ms,
                          int64_t now_ms);

#endif

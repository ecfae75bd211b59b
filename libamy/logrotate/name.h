/* Names of a log's files: who gave them, when, and how they are packed. They
 * are all the state that rotation has. Pure.
 *
 * access.log                             being written
 * access.log-20261126T205959Z            rotated then (UTC)
 * access.log-20261126T205959Z-2          in the same second, or the clock went
 *                                        back: no name is ever given twice
 * access.log-20261126T205959Z.gz, .zst   packed
 * access.log-20261126T205959Z.gz.partial being packed, or left by a crash
 * access.log.1, access.log.2.gz, access.log-20261126.gz
 *                                        logrotate's: adopted, never renamed
 *
 * Where a file is there plain and packed, somebody died between the two: the
 * plain one is whole, and the packed one does not count. */
#ifndef AMY_LOGROTATE_NAME_H
#define AMY_LOGROTATE_NAME_H

#include "core/civil.h"
#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__LOGNAME_BASE_MAX 100 /* bytes of "access.log" */
/* Any name of ours, with its NUL. */
#define AMY__LOGNAME_SIZE (AMY__LOGNAME_BASE_MAX + AMY__STAMP_SIZE + 16)

enum amy__logname_kind {
    AMY__LOGNAME_CURRENT = 0,
    AMY__LOGNAME_ROTATED, /* by us */
    AMY__LOGNAME_ADOPTED, /* logrotate's; its time is the file's own */
};

enum amy__logname_packing {
    AMY__LOGNAME_PLAIN = 0,
    AMY__LOGNAME_GZIP,
    AMY__LOGNAME_ZSTD,
};

struct amy__logname {
    enum amy__logname_kind kind;
    enum amy__logname_packing packing;
    bool partial;      /* not whole; only of ROTATED that are packed */
    unsigned sequence; /* of ROTATED: 1, 2, ...; of the others 0 */
    int64_t wall_ms;   /* of ROTATED: when, to the second; of the others 0 */
};

/* May a log be called so? A file's name in printable ASCII without spaces that
 * does not begin with a dot, and does not look like a rotated file itself. */
bool amy__logname_is_base(struct amy__span name);

/* What `name` is among the files of the log `base`; false: nothing of it. */
bool amy__logname_parse(struct amy__span name, struct amy__span base,
                        struct amy__logname *ret_name);

/* Write CURRENT or ROTATED; returns buf. base is one. */
char *amy__logname_write(struct amy__span base, const struct amy__logname *name,
                         char buf[AMY__LOGNAME_SIZE]);

/* Of two rotated files, which is older: below zero: a. */
int amy__logname_compare(const struct amy__logname *a,
                         const struct amy__logname *b);

#endif

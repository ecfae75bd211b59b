/* What rotation does, decided from facts: is a log's file to be changed, and
 * which of the old ones go. Pure. */
#ifndef AMY_LOGROTATE_PLAN_H
#define AMY_LOGROTATE_PLAN_H

#include "logrotate/name.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define AMY__LOGPLAN_LOGS_MAX 64 /* of one directory */

enum amy__logplan_every {
    AMY__LOGPLAN_DAILY = 0,
    AMY__LOGPLAN_HOURLY,
    AMY__LOGPLAN_WEEKLY, /* from Monday on */
    AMY__LOGPLAN_NEVER,
};

struct amy__logplan_limits {
    uint64_t size_bytes; /* of the file that is written; UINT64_MAX: none */
    enum amy__logplan_every every;
    uint32_t keep;        /* old files of one log; UINT32_MAX: all */
    int64_t max_age_ms;   /* of an old file; INT64_MAX: any */
    uint64_t total_bytes; /* of all logs of the directory; UINT64_MAX: any */
};

/* Why a file is to be changed; NULL: it is not. Times are what the local clocks
 * show, as if it were UTC. A clock that went back never makes a file due: so a
 * day has one file, whatever is done to its hours. */
const char *amy__logplan_due(const struct amy__logplan_limits *limits,
                             uint64_t bytes, int64_t begun_local_ms,
                             int64_t now_local_ms);

enum amy__logplan_verdict {
    AMY__LOGPLAN_STAYS = 0,
    AMY__LOGPLAN_TOO_OLD,
    AMY__LOGPLAN_TOO_MANY,
    AMY__LOGPLAN_TOO_MUCH,  /* the directory has more than total_bytes */
    AMY__LOGPLAN_DISK_FULL, /* to make room */
};

struct amy__logplan_file {
    uint32_t log; /* which; below AMY__LOGPLAN_LOGS_MAX */
    struct amy__logname name;
    uint64_t bytes;  /* on disk */
    int64_t wall_ms; /* when its last line was written */
    uint64_t inode;
    bool others;  /* somebody else rotates this log: only the total counts */
    bool busy;    /* being packed: it stays */
    bool written; /* still written to: it stays, and nothing goes for it */
    bool held;    /* ret: a limit does not hold for its sake */
    enum amy__logplan_verdict verdict;
    char *text; /* its name; the owner of the list frees it */
};

/* Sort the files, oldest first, and say which go: what is too old, then what is
 * too many, then, while it is too much, the oldest packed ones and then the
 * oldest of the others. The file that is written never goes, nor does an old
 * one that is still written to: no other one could make up for that. May be
 * called again when more is known. */
void amy__logplan_sweep(const struct amy__logplan_limits *limits,
                        struct amy__logplan_file *files, size_t count,
                        int64_t now_ms);

/* The disk is full: mark the oldest packed ones until so many bytes come free,
 * a few at a time. The newest old file of each log stays. After a sweep.
 * Returns how many. */
#define AMY__LOGPLAN_FREE_MAX 8U
size_t amy__logplan_free(struct amy__logplan_file *files, size_t count,
                         uint64_t bytes);

#endif

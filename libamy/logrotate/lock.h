/* Whose turn it is to append to a file that several processes write, and where
 * somebody stopped in the middle of a line. A write of several pages ends at a
 * page boundary when SIGKILL comes. Whoever writes next must not have begun
 * before; and writes the rest of the line that was cut, which the dead one left
 * here for each place where it could be. */
#ifndef AMY_LOGROTATE_LOCK_H
#define AMY_LOGROTATE_LOCK_H

#include <amy/logrotate.h>

#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

/* Files of one log that somebody may have cut a line in at the same time: it is
 * written, it was rotated just now. With more of them one is forgotten. */
#define AMY__LOG_CUTS 4U
/* The page boundaries of a full buffer, and where it began. */
#define AMY__LOG_RESTS 18U
/* For the rests of one write. What does not fit is not left: half a line is
 * ended with a newline then. */
#define AMY__LOG_REST_BYTES 3072U

struct amy__log_rest {
    uint32_t at;   /* so many bytes were written */
    uint16_t from; /* then this is missing of the line: where, in the text */
    uint16_t n;    /* 0: nothing */
};

/* A write to a file that had `size` bytes, by somebody who may not have lived
 * to end it. */
struct amy__log_cut {
    uint64_t device;
    uint64_t inode; /* 0: none */
    uint64_t size;
    uint64_t bytes;
    uint64_t rest_count;
    struct amy__log_rest rests[AMY__LOG_RESTS];
};

struct amy__log_cuts {
    struct amy__log_cut cut[AMY__LOG_CUTS];
    uint64_t next; /* that is overwritten when all are in use */
    char text[AMY__LOG_CUTS][AMY__LOG_REST_BYTES];
};

/* Whole lines begin to be written at the end of this file; within_line: it ends
 * within one, and the text begins with what is missing of it. */
void amy__log_cuts_begin(struct amy__log_cuts *cuts, const struct stat *st,
                         struct amy__span text, bool within_line);
/* All of it is written, or no part of a line. */
void amy__log_cuts_end(struct amy__log_cuts *cuts, const struct stat *st);
/* Does the file end within a line? What is missing goes into buf, which has
 * AMY__LOG_REST_BYTES; how many bytes, 0: it does not. */
size_t amy__log_cuts_missing(struct amy__log_cuts *cuts, const struct stat *st,
                             char *buf);

bool amy__log_lock_is_made(const struct amy_log_lock *lock);
/* Take it, waiting so long at most. 1: it is ours, also when its holder died.
 * 0: somebody else has it. -1: it is broken and never will be anybody's. */
int amy__log_lock_take(struct amy_log_lock *lock, int64_t wait_ms);
void amy__log_lock_give(struct amy_log_lock *lock);
/* To be changed only while it is ours. To be read by whoever knows that nobody
 * writes the file in question; it may be anything, and is bounded. */
struct amy__log_cuts *amy__log_lock_cuts(struct amy_log_lock *lock);

#endif

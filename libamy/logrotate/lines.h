/* Lines of one file, in a buffer of a fixed size. */
#ifndef AMY_LOGROTATE_LINES_H
#define AMY_LOGROTATE_LINES_H

#include <amy/logrotate.h>

#include "core/str.h"
#include "logrotate/name.h"

#include <stdbool.h>

struct amy__lines;

/* Takes fd over, on failure too. offset: of a plain file: where a line begins.
 */
int amy__lines_open(int fd, enum amy__logname_packing packing, uint64_t offset,
                    struct amy__lines **ret_lines, struct amy_error *err);
void amy__lines_free(struct amy__lines *lines);
/* 1: a line, valid until the next call; 0: no whole one is there. `last`:
 * nothing will follow, so what has no newline is a line, too. */
int amy__lines_next(struct amy__lines *lines, bool last,
                    struct amy__span *ret_line, bool *ret_cut,
                    struct amy_error *err);
int amy__lines_fd(const struct amy__lines *lines);

/* Of a plain file: where a line begins that is not later than wall_ms, with no
 * more than some 64 KiB between; by halving, so that a huge file is not read.
 */
uint64_t amy__lines_find_time(int fd, uint64_t size, int64_t wall_ms);
/* Of a plain file: where the last n lines begin; *ret_lines: how many those
 * are, less than n when it has no more. */
uint64_t amy__lines_find_last(int fd, uint64_t size, uint64_t n,
                              uint64_t *ret_lines);

#endif

/* All lines of one component, oldest file first; over rotations, too. */
#ifndef AMY_LOGROTATE_STREAM_H
#define AMY_LOGROTATE_STREAM_H

#include <amy/logrotate.h>

#include "logrotate/lines.h"
#include "logrotate/scan.h"
#include "logrotate/settle.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

/* A line may be so much older than the file's name or another line before it
 * says: buffers are written once a second, and writers change over to a new
 * file a moment after the old one was renamed. */
#define AMY__STREAM_SLACK_MS 10000
/* Files that were renamed and may still be written to, while following. */
#define AMY__STREAM_OLD_MAX 8
#define AMY__STREAM_OLD_MS 5000

/* Where the files are, and as whom they are opened. */
struct amy__log_place {
    int dir_fd;
    uid_t uid;
    gid_t gid;
    int64_t since_ms; /* INT64_MIN: from the first line on */
    bool follow;
    struct amy_log log;
    const struct amy_clock *borrow_clock;
};

struct amy__stream_old {
    struct amy__lines *lines;
    int64_t until_ms; /* monotonic */
};

struct amy__stream {
    const struct amy__log_place *borrow_place;
    uint32_t component;
    struct amy__logscan scan;
    size_t *order; /* of the scan's files: those to read, oldest first */
    size_t count;
    size_t index;          /* being read; count: the live one */
    size_t start;          /* where a second reading begins: file, */
    uint64_t start_offset; /* and place in it */
    int live_fd;           /* what the log's name led to; -1: nothing */
    uint64_t live_inode;
    int64_t newest_ms; /* of the rotated ones that were seen, */
    unsigned newest_sequence;
    struct amy__lines *lines; /* NULL: none is open */
    struct amy__stream_old olds[AMY__STREAM_OLD_MAX];
    size_t old_count;
    int64_t last_ms; /* time of the last line that had one */
    struct amy__settle settle;
    bool has_head;
    struct amy_log_line head; /* valid until the next pull */
};

int amy__stream_open(struct amy__stream *stream,
                     const struct amy__log_place *place, uint32_t component,
                     struct amy_error *err);
void amy__stream_close(struct amy__stream *stream);
/* Begin where the last n lines do. */
void amy__stream_from_last(struct amy__stream *stream, uint64_t n);
/* Begin again where the first reading began. */
void amy__stream_rewind(struct amy__stream *stream);
/* Drop the head and find the next; false: there is none, or none yet. What
 * cannot be read is told and passed over. */
bool amy__stream_pull(struct amy__stream *stream);
/* Does its name lead to another file by now, or does it lead to one at last?
 * Then go on with that. True: there may be lines. */
bool amy__stream_turn(struct amy__stream *stream);

#endif

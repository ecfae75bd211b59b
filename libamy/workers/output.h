/* logs/gunicorn_supervisor.log: what the workers of a site write, each line
 * with time, pool, position and pid before it, tracebacks in one piece. Never
 * waits: what the disk does not take is counted and told once it does again. */
#ifndef AMY_WORKERS_OUTPUT_H
#define AMY_WORKERS_OUTPUT_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

struct event_base;
struct amy__workers_output;

struct amy__workers_output_options {
    struct event_base *base;
    int webapps_fd;     /* duplicated */
    const char *domain; /* copied */
    uid_t uid;          /* the file is made, and opened, as this user */
    gid_t gid;
    const struct amy_clock *borrow_clock;
    const struct amy_log *log;
};

/* A log that cannot be opened is no error here: it is logged, and tried again
 * with the next line a second later. */
int amy__workers_output_create(const struct amy__workers_output_options *opts,
                               struct amy__workers_output **ret_output,
                               struct amy_error *err);
void amy__workers_output_free(struct amy__workers_output *output);
/* It is written at the end of this turn of the loop, or with the traceback that
 * it belongs to. */
void amy__workers_output_line(struct amy__workers_output *output,
                              const char *pool, uint32_t position, int64_t pid,
                              const char *line, size_t n);
/* Open the file anew with the next line: somebody renamed it. Who does not say
 * so is met a second later. */
void amy__workers_output_reopen(struct amy__workers_output *output);
/* From now on the file is opened as this user. */
void amy__workers_output_set_owner(struct amy__workers_output *output,
                                   uid_t uid, gid_t gid);
/* Lines that the disk did not take. */
uint64_t amy__workers_output_lost(const struct amy__workers_output *output);

#endif

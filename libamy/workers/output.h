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

struct event_base;
struct amy__workers_output;

struct amy__workers_output_options {
    struct event_base *base;
    const char *domain; /* copied; for our own log */
    const struct amy_clock *borrow_clock;
    const struct amy_log *log;
    void (*on_full)(void *user); /* the disk is; from inside a write; or NULL */
    void *user;
};

/* Without a file until amy__workers_output_set_file(): lines are lost, counted,
 * and told by the first one that is written. */
int amy__workers_output_create(const struct amy__workers_output_options *opts,
                               struct amy__workers_output **ret_output,
                               struct amy_error *err);
void amy__workers_output_free(struct amy__workers_output *output);
/* It is written at the end of this turn of the loop, or with the traceback that
 * it belongs to. */
void amy__workers_output_line(struct amy__workers_output *output,
                              const char *pool, uint32_t position, int64_t pid,
                              const char *line, size_t n);
/* Write what waits, a traceback that is not whole too: another program goes on.
 */
void amy__workers_output_flush(struct amy__workers_output *output);
/* Write JSON to our standard output from now on. */
int amy__workers_output_to_stdout(struct amy__workers_output *output,
                                  struct amy_error *err);
/* Write there from now on; O_APPEND, taken over. */
void amy__workers_output_set_file(struct amy__workers_output *output, int fd);
/* Lines that the disk did not take. */
uint64_t amy__workers_output_lost(const struct amy__workers_output *output);

#endif

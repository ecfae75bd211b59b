/* A program of PostgreSQL's that runs beside us: its pipes, what it complains
 * about, its end. Blocking: for jobs, never on a loop. */
#ifndef AMY_BACKUP_TOOL_H
#define AMY_BACKUP_TOOL_H

#include <amy/error.h>

#include "backup/chatter.h"
#include "core/spawn.h"

#include <stdbool.h>
#include <stddef.h>

struct amy__tool {
    struct amy__child child;
    bool ended;
    bool group; /* it leads one, which ends with it */
    struct amy__child_exit exit;
    char name[32]; /* for messages: the last part of argv[0] */
    int in_fd;     /* its standard input; -1: none, or closed */
    int out_fd;    /* its standard output */
    int err_fd;
    struct amy__chatter chatter; /* what it says besides */
};

#define AMY__TOOL_IN 1U    /* has a pipe for input */
#define AMY__TOOL_OUT 2U   /* has a pipe for output */
#define AMY__TOOL_GROUP 8U /* what it starts ends with it */
#define AMY__TOOL_NONE                                                         \
    {                                                                          \
        .child = {.pidfd = -1}, .in_fd = -1, .out_fd = -1, .err_fd = -1        \
    }
/* Start it with nice 10, no core, and our death as its end. argv[0] is a path;
 * what is not piped is /dev/null. 0 or as amy__spawn. */
int amy__tool_start(struct amy__tool *tool, const char *const *argv,
                    char *const *environment, unsigned pipes,
                    struct amy_error *err);
/* Wait until input can be written (if wanted), output can be read, or it has
 * ended; takes complaints meanwhile. Returns what is so (0: nothing in time),
 * AMY_EIO, or AMY_ECANCELED (amy__tool_heed_sigterm). At the end of its output
 * out_fd is readable. */
#define AMY__TOOL_ENDED 4U
int amy__tool_wait(struct amy__tool *tool, bool want_in, int timeout_ms,
                   struct amy_error *err);
/* From now on SIGTERM ends no process of ours at once: whoever waits for a
 * program gets AMY_ECANCELED instead, and cleans up. */
void amy__tool_heed_sigterm(void);
/* Close its input and wait for its end, up to a deadline.
 * @return 0 (exit code 0), AMY_EIO with its name and first complaint,
 *         AMY_ECANCELED (somebody's signal ended it), AMY_ETIMEOUT */
int amy__tool_finish(struct amy__tool *tool, int timeout_ms,
                     struct amy_error *err);
/* End it (SIGTERM, then SIGKILL) and close everything; also after a failed
 * start, and more than once. */
void amy__tool_stop(struct amy__tool *tool);
static inline void
amy__tool_stop_p(struct amy__tool *tool)
{
    amy__tool_stop(tool);
}
/* The first line with an error, else the first at all that it complained with,
 * or "". */
const char *amy__tool_complaint(struct amy__tool *tool);

/* Run one to its end and keep the first `size` - 1 bytes of its output.
 * 0, AMY_EIO, AMY_ETIMEOUT (it said nothing for so long), as amy__spawn. */
int amy__tool_output(const char *const *argv, char *const *environment,
                     int timeout_ms, char *buf, size_t size,
                     struct amy_error *err);

#endif

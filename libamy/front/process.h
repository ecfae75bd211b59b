/* A front process: serves what its master hands over on a channel, and nothing
 * else: it reads no configuration and opens no path but beneath the directories
 * it was given. */
#ifndef AMY_FRONT_PROCESS_H
#define AMY_FRONT_PROCESS_H

#include <amy/clock.h>
#include <amy/error.h>
#include <amy/log.h>

#include <stdbool.h>

struct event_base;
struct amy__front;

struct amy__front_options {
    struct event_base *base;
    int channel_fd; /* SOCK_SEQPACKET to the master; taken over */
    const struct amy_clock *borrow_clock;
    const struct amy_log *log; /* NULL: silent; copied */
    /* It has finished (drained, or 30 s after it was asked to): 0, or AMY_ECONN
     * when that was because the master is gone. From the loop, once; may free
     * the process. */
    void (*on_finished)(struct amy__front *front, int rc, void *user);
    void *user;
};

int amy__front_process_create(const struct amy__front_options *opts,
                              struct amy__front **ret_front,
                              struct amy_error *err);
/* SIGTERM, or the master is gone: stop accepting, finish what is under way,
 * within 30 s; now: at once. */
void amy__front_process_drain(struct amy__front *front, bool now);
void amy__front_process_free(struct amy__front *front);

#endif

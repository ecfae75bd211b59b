/* Processes as /proc shows them: who descends from a worker, and what memory
 * they take. Linux only. */
#ifndef AMY_POOL_TREE_H
#define AMY_POOL_TREE_H

#include "core/str.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* A number alone may become another process'; with its start it may not. */
struct amy__process {
    pid_t pid;
    pid_t group;
    uint64_t start; /* clock ticks since boot */
    uint64_t rss_pages;
    bool ended; /* a zombie: nothing but its number is left */
};

/* The text of /proc/PID/stat; false when it is not that. */
bool amy__process_parse(struct amy__span stat, struct amy__process *ret);
/* False also when it has ended. */
bool amy__process_read(pid_t pid, struct amy__process *ret);
/* SIGKILL, unless the number belongs to another process now. */
void amy__process_kill(const struct amy__process *process);

/* Descendants of a worker that left its group, by setsid or, as rq's
 * work-horse, by setpgid alone: they are noted while they can still be found
 * below it, since a dead worker has no descendants any more. */
#define AMY__STRAYS_MAX 64
struct amy__strays {
    struct amy__process list[AMY__STRAYS_MAX];
    size_t count;
};

/* Look at everything below `leader` (at most some hundred processes): note new
 * strays, forget those that ended. Returns the memory of all, in bytes. */
uint64_t amy__strays_look(struct amy__strays *strays, pid_t leader);
void amy__strays_kill(struct amy__strays *strays, pid_t leader);

#endif

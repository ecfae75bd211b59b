/* What a new child does between fork and execve, as a list computed before:
 * nothing here allocates, locks or formats. For core/spawn.c alone. */
#ifndef AMY_CORE_SPAWN_CHILD_H
#define AMY_CORE_SPAWN_CHILD_H

#include "core/spawn.h"

#include <stdint.h>
#include <sys/resource.h>

/* Which call failed; the parent has the words. */
enum amy__spawn_step {
    AMY__STEP_SESSION = 1,
    AMY__STEP_FDS,
    AMY__STEP_UMASK_NICE,
    AMY__STEP_OOM,
    AMY__STEP_LIMITS,
    AMY__STEP_BOUNDING,
    AMY__STEP_GROUPS,
    AMY__STEP_GID,
    AMY__STEP_UID,
    AMY__STEP_CAPABILITIES,
    AMY__STEP_NO_NEW_PRIVS,
    AMY__STEP_DEATH_SIGNAL,
    AMY__STEP_DIRECTORY,
    AMY__STEP_EXECVE,
};

/* What the child writes into the error pipe. */
struct amy__spawn_failure {
    int32_t step; /* enum amy__spawn_step */
    int32_t error;
};

/* A plan made ready to be carried out. */
struct amy__spawn_steps {
    const struct amy__spawn_plan *plan;
    char *const *argv;
    char *const *envp;
    char *listen_pid; /* where the child's pid goes in envp; or NULL */
    /* plan->fds and /dev/null for what of 0, 1, 2 it leaves out. */
    struct amy__spawn_fd *fds;
    int *parked; /* fd_count numbers, for the child to note */
    size_t fd_count;
    int *gaps; /* numbers below `above` that nothing is mapped to */
    size_t gap_count;
    int above;    /* first number above every target: the error pipe's */
    int error_fd; /* write end of the error pipe */
    int cwd_fd;   /* or -1 */
    int fd_limit; /* our RLIMIT_NOFILE, where close_range(2) is missing */
    pid_t parent;
    int nice; /* absolute */
    bool drop_bounding;
    char oom_score_adj[16]; /* "" or the absolute text */
    struct rlimit files;
};

_Noreturn void amy__spawn_child(struct amy__spawn_steps *steps);

#endif

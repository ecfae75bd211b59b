/* Starting a child process, the only place of libamy that forks. Between fork
 * and execve only async-signal-safe calls run, from a plan computed before;
 * what fails there comes back as an error of amy__spawn(). */
#ifndef AMY_CORE_SPAWN_H
#define AMY_CORE_SPAWN_H

#include <amy/error.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Descriptor `from` of ours becomes number `to` of the child. */
struct amy__spawn_fd {
    int from;
    int to;
};

/* Everything borrowed until amy__spawn returns. Zero means "leave alone". */
struct amy__spawn_plan {
    const char *const *argv;         /* argv[0] is a path with a slash */
    const char *const *envp;         /* whole environment of the child */
    int cwd_fd;                      /* directory, entered as the new user;
                                        -1: ours */
    const struct amy__spawn_fd *fds; /* 0, 1, 2 not named: /dev/null */
    size_t fd_count;                 /* all other descriptors are closed */
    /* sd_listen_fds(3): when > 0, LISTEN_FDS, LISTEN_PID (the child's own pid,
     * written after fork) and LISTEN_FDNAMES are added to envp; the descriptors
     * themselves are in fds as 3, 4, ... */
    unsigned listen_fds;
    const char *listen_names; /* colon-separated, or NULL */
    bool set_ids;             /* become uid, gid, groups; needs privilege */
    uid_t uid;
    gid_t gid;
    const gid_t *groups; /* all supplementary groups, may be empty */
    size_t group_count;
    bool drop_capabilities; /* all sets emptied, ambient too, and the bounding
                               set where we hold CAP_SETPCAP */
    bool no_new_privs;
    bool new_session;        /* setsid: own session and process group */
    int parent_death_signal; /* set after the change of ids, with a check that
                                the parent still lives */
    int umask_plus_one;      /* umask + 1; 0: ours */
    int nice_by;
    int oom_score_adj_by;
    uint64_t max_files; /* RLIMIT_NOFILE, up to our hard limit; 0: ours */
    bool no_core;       /* RLIMIT_CORE 0 */
};

struct amy__child {
    pid_t pid;
    int pidfd; /* readable when the child ended; the caller's to close */
};

/* Signal mask empty and all dispositions default in the child (SIGPIPE too).
 * The parent of parent_death_signal is the thread that calls this.
 * @return 0, AMY_EINVAL (argv, descriptors), AMY_ENOTFOUND (no such program, or
 *         its interpreter), AMY_EDENIED, AMY_EAGAIN (process limit),
 *         AMY_ENOMEM, AMY_EIO, AMY_ETIMEOUT (somebody stopped the child before
 *         it was its program, or the program could not be opened in 2 s);
 *         err.msg names the step that failed ("execve '/x/python'"). No child
 *         is left then.
 * Blocks: until the child is its program, 3 s at the most. */
int amy__spawn(const struct amy__spawn_plan *plan, struct amy__child *ret_child,
               struct amy_error *err);

/* pidfd_send_signal(2): 0 also when it has ended already. */
int amy__child_signal(const struct amy__child *child, int sig,
                      struct amy_error *err);
/* kill(2) to the child's process group: only with new_session, and only until
 * it is reaped, when its number may become another's. */
int amy__child_signal_group(const struct amy__child *child, int sig,
                            struct amy_error *err);

/* How a child ended. */
struct amy__child_exit {
    int code;   /* exit status, or -1 */
    int signal; /* terminating signal, or 0 */
    bool core;
};
/* waitid(P_PIDFD) without hanging: 1 ended (and reaped), 0 still runs, AMY_EIO
 * when somebody else has reaped it. */
int amy__child_reap(const struct amy__child *child,
                    struct amy__child_exit *ret_exit, struct amy_error *err);
/* SIGKILL, with `group` to its process group, and reaped: it gets a second for
 * its end. pidfd < 0 is a no-op. */
void amy__child_end(const struct amy__child *child, bool group);

#endif

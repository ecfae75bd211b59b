/* Starting, signalling and reaping children: the parent's side. */
/* Not for supervision: when to start and stop is the pool's matter. */
#include "core/spawn.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/spawn_child.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define TARGET_MAX 4096
#define OOM_MAX 1000
#define KILL_MS 1000  /* for the end of a child after SIGKILL */
#define START_MS 2000 /* for the way from fork to execve */
#define LOOK_MS 10    /* how often to look whether it was stopped there */

/* Everything the plan needs that is allocated or opened for it. */
struct work {
    struct amy__spawn_steps steps;
    const char **envp;
    char listen_fds[32];
    char listen_pid[32];
    char *listen_names;
    int null_fd;
    int pipe_read;
    int pipe_write;
};

static void
work_clear(struct work *work)
{
    amy__free(work->envp);
    amy__free(work->listen_names);
    amy__free(work->steps.fds);
    amy__free(work->steps.parked);
    amy__free(work->steps.gaps);
    amy__close(&work->null_fd);
    amy__close(&work->pipe_read);
    amy__close(&work->pipe_write);
}

static bool
is_target(const struct amy__spawn_steps *steps, int fd)
{
    for (size_t i = 0; i < steps->fd_count; i++) {
        if (steps->fds[i].to == fd) {
            return true;
        }
    }
    return false;
}

static int
plan_fds(const struct amy__spawn_plan *plan, struct work *work,
         struct amy_error *err)
{
    struct amy__spawn_steps *steps = &work->steps;

    steps->fds = amy__calloc(plan->fd_count + 3, sizeof(*steps->fds));
    steps->parked = amy__calloc(plan->fd_count + 3, sizeof(*steps->parked));
    if (steps->fds == NULL || steps->parked == NULL) {
        return amy__err(err, AMY_ENOMEM, "planning descriptors");
    }
    steps->above = 3;
    for (size_t i = 0; i < plan->fd_count; i++) {
        struct amy__spawn_fd fd = plan->fds[i];

        if (fd.from < 0 || fd.to < 0 || fd.to > TARGET_MAX ||
            is_target(steps, fd.to)) {
            return amy__err(err, AMY_EINVAL,
                            "descriptor %d cannot become %d of the child",
                            fd.from, fd.to);
        }
        steps->above = fd.to >= steps->above ? fd.to + 1 : steps->above;
        steps->fds[steps->fd_count++] = fd;
    }
    for (int fd = 0; fd < 3; fd++) {
        if (!is_target(steps, fd)) {
            steps->fds[steps->fd_count++] =
                (struct amy__spawn_fd){work->null_fd, fd};
        }
    }
    steps->gaps = amy__calloc((size_t)steps->above, sizeof(*steps->gaps));
    if (steps->gaps == NULL) {
        return amy__err(err, AMY_ENOMEM, "planning descriptors");
    }
    for (int fd = 3; fd < steps->above; fd++) {
        if (!is_target(steps, fd)) {
            steps->gaps[steps->gap_count++] = fd;
        }
    }
    return 0;
}

static bool
starts(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool
is_listen_variable(const char *entry)
{
    return starts(entry, "LISTEN_FDS=") || starts(entry, "LISTEN_PID=") ||
           starts(entry, "LISTEN_FDNAMES=");
}

/* The child's environment; stale LISTEN_* variables are never passed on. */
static int
plan_environment(const struct amy__spawn_plan *plan, struct work *work,
                 struct amy_error *err)
{
    size_t n = 0;
    size_t used = 0;

    while (plan->envp != NULL && plan->envp[n] != NULL) {
        n++;
    }
    work->envp = amy__calloc(n + 4, sizeof(*work->envp));
    if (work->envp == NULL) {
        return amy__err(err, AMY_ENOMEM, "planning an environment");
    }
    for (size_t i = 0; i < n; i++) {
        if (!is_listen_variable(plan->envp[i])) {
            work->envp[used++] = plan->envp[i];
        }
    }
    if (plan->listen_fds == 0) {
        return 0;
    }
    (void)snprintf(work->listen_fds, sizeof(work->listen_fds), "LISTEN_FDS=%u",
                   plan->listen_fds);
    (void)snprintf(work->listen_pid, sizeof(work->listen_pid), "LISTEN_PID=");
    work->steps.listen_pid = work->listen_pid + strlen(work->listen_pid);
    work->envp[used++] = work->listen_fds;
    work->envp[used++] = work->listen_pid;
    if (plan->listen_names != NULL) {
        static const char name[] = "LISTEN_FDNAMES=";
        size_t size = sizeof(name) + strlen(plan->listen_names);

        work->listen_names = amy__calloc(1, size);
        if (work->listen_names == NULL) {
            return amy__err(err, AMY_ENOMEM, "planning an environment");
        }
        (void)snprintf(work->listen_names, size, "%s%s", name,
                       plan->listen_names);
        work->envp[used++] = work->listen_names;
    }
    return 0;
}

static int
read_oom_score(void)
{
    char text[16] = "";
    int fd = open("/proc/self/oom_score_adj", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);

    amy__close(&fd);
    return n > 0 ? (int)strtol(text, NULL, 10) : 0;
}

static bool
may_drop_bounding(void)
{
    struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = {{0}};

    return syscall(SYS_capget, &header, sets) == 0 &&
           (sets[0].effective & (1U << CAP_SETPCAP)) != 0;
}

/* Numbers that are relative in the plan and absolute for the child. */
static void
plan_limits(const struct amy__spawn_plan *plan, struct amy__spawn_steps *steps)
{
    struct rlimit files = {0, 0};

    (void)getrlimit(RLIMIT_NOFILE, &files);
    steps->fd_limit = files.rlim_cur > 1048576 ? 1048576 : (int)files.rlim_cur;
    /* As high as asked, or as high as we may go. */
    steps->files.rlim_max = files.rlim_max;
    steps->files.rlim_cur =
        plan->max_files < files.rlim_max ? plan->max_files : files.rlim_max;
    steps->drop_bounding = plan->drop_capabilities && may_drop_bounding();
    if (plan->nice_by != 0) {
        steps->nice = getpriority(PRIO_PROCESS, 0) + plan->nice_by;
    }
    if (plan->oom_score_adj_by != 0) {
        int score = read_oom_score() + plan->oom_score_adj_by;

        (void)snprintf(steps->oom_score_adj, sizeof(steps->oom_score_adj), "%d",
                       score > OOM_MAX ? OOM_MAX : score);
    }
}

static int
make_plan(const struct amy__spawn_plan *plan, struct work *work,
          struct amy_error *err)
{
    int ends[2] = {-1, -1};
    int rc = 0;

    if (plan->argv == NULL || plan->argv[0] == NULL ||
        strchr(plan->argv[0], '/') == NULL) {
        return amy__err(err, AMY_EINVAL,
                        "the program to start must be a path with a slash");
    }
    work->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (work->null_fd < 0) {
        return amy__err_sys(err, errno, "opening /dev/null");
    }
    if (pipe2(ends, O_CLOEXEC) != 0) {
        return amy__err_sys(err, errno, "making an error pipe");
    }
    work->pipe_read = ends[0];
    work->pipe_write = ends[1];
    rc = plan_fds(plan, work, err);
    if (rc == 0) {
        rc = plan_environment(plan, work, err);
    }
    if (rc < 0) {
        return rc;
    }
    plan_limits(plan, &work->steps);
    work->steps.plan = plan;
    work->steps.cwd_fd = plan->cwd_fd;
    work->steps.error_fd = work->pipe_write;
    work->steps.parent = getpid();
    /* execve(2) promises not to write to either; its prototype is older than
     * const. */
    memcpy(&work->steps.argv, &plan->argv, sizeof(plan->argv));
    memcpy(&work->steps.envp, &work->envp, sizeof(work->envp));
    return 0;
}

/* Signals stay blocked until the child has reset them: a handler of ours must
 * never run in it. */
static pid_t
fork_child(struct amy__spawn_steps *steps)
{
    sigset_t all;
    sigset_t before;
    int failure = 0;
    pid_t pid = 0;

    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    pid = fork();
    if (pid == 0) {
        amy__spawn_child(steps);
    }
    failure = errno;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    errno = failure;
    return pid;
}

static int
tell_failure(const struct amy__spawn_plan *plan,
             const struct amy__spawn_failure *failure, struct amy_error *err)
{
    static const char *const words[] = {
        [AMY__STEP_SESSION] = "making a session",
        [AMY__STEP_FDS] = "placing descriptors",
        [AMY__STEP_UMASK_NICE] = "setting the priority",
        [AMY__STEP_OOM] = "setting oom_score_adj",
        [AMY__STEP_LIMITS] = "setting resource limits",
        [AMY__STEP_BOUNDING] = "emptying the bounding set",
        [AMY__STEP_GROUPS] = "setting groups",
        [AMY__STEP_GID] = "becoming the group",
        [AMY__STEP_UID] = "becoming the user",
        [AMY__STEP_CAPABILITIES] = "dropping capabilities",
        [AMY__STEP_NO_NEW_PRIVS] = "setting no_new_privs",
        [AMY__STEP_DEATH_SIGNAL] = "asking for the parent's end",
        [AMY__STEP_DIRECTORY] = "entering the working directory",
    };

    if (failure->step != AMY__STEP_EXECVE) {
        return amy__err_sys(err, failure->error, "starting '%s': %s",
                            plan->argv[0], words[failure->step]);
    }
    if (failure->error == ENOENT && access(plan->argv[0], F_OK) == 0) {
        return amy__err_sys(err, failure->error,
                            "execve '%s': its interpreter is missing",
                            plan->argv[0]);
    }
    return amy__err_sys(err, failure->error, "execve '%s'", plan->argv[0]);
}

/* By whom may be, SIGSTOP cannot be blocked. */
static bool
is_stopped(const struct amy__child *child)
{
    siginfo_t info = {0};

    return waitid(P_PIDFD, (id_t)child->pidfd, &info, WSTOPPED | WNOHANG) ==
               0 &&
           info.si_pid != 0;
}

/* The child belongs to the new user before it is the new program: that user may
 * stop it there, or have its program or directory on a file system that hangs.
 * The caller's loop must not stand still for it (docs/decisions/0143). */
static int
await_word(const struct amy__spawn_plan *plan, const struct work *work,
           const struct amy__child *child, struct amy_error *err)
{
    struct pollfd word = {.fd = work->pipe_read, .events = POLLIN};

    for (int left = START_MS / LOOK_MS; left > 0;) {
        int n = poll(&word, 1, LOOK_MS);

        if (n > 0) {
            return 0;
        }
        if (is_stopped(child)) {
            return amy__err(err, AMY_ETIMEOUT,
                            "starting '%s': somebody stopped the new process "
                            "before it could run that",
                            plan->argv[0]);
        }
        left -= n == 0; /* not for a signal that came in between */
    }
    return amy__err(err, AMY_ETIMEOUT, "starting '%s': not done in %d ms",
                    plan->argv[0], START_MS);
}

/* Until the child has become its program, or says why not. */
static int
await_execve(const struct amy__spawn_plan *plan, struct work *work,
             const struct amy__child *child, struct amy_error *err)
{
    struct amy__spawn_failure failure = {0};
    ssize_t n = 0;
    int rc = 0;

    amy__close(&work->pipe_write);
    rc = await_word(plan, work, child, err);
    if (rc < 0) {
        amy__child_end(child, false);
        return rc;
    }
    do {
        n = read(work->pipe_read, &failure, sizeof(failure));
    } while (n < 0 && errno == EINTR);
    if (n == 0) {
        return 0;
    }
    /* It has said its word; its end may be held up as well. */
    amy__child_end(child, false);
    if (n != (ssize_t)sizeof(failure) || failure.step < AMY__STEP_SESSION ||
        failure.step > AMY__STEP_EXECVE) {
        return amy__err(err, AMY_EIO, "starting '%s': the error pipe broke",
                        plan->argv[0]);
    }
    return tell_failure(plan, &failure, err);
}

/* Without a descriptor for its end: SIGKILL ends one that is stopped, too. */
static void
bury(pid_t pid)
{
    pid_t gone = 0;

    (void)kill(pid, SIGKILL);
    do {
        gone = waitpid(pid, NULL, 0);
    } while (gone < 0 && errno == EINTR);
}

int
amy__spawn(const struct amy__spawn_plan *plan, struct amy__child *ret_child,
           struct amy_error *err)
{
    AMY_CLEANUP(work_clear)
    struct work work = {.null_fd = -1, .pipe_read = -1, .pipe_write = -1};
    struct amy__child child = {.pidfd = -1};
    int rc = make_plan(plan, &work, err);

    if (rc < 0) {
        return rc;
    }
    child.pid = fork_child(&work.steps);
    if (child.pid < 0) {
        return amy__err_sys(err, errno, "forking for '%s'", plan->argv[0]);
    }
    child.pidfd = (int)syscall(SYS_pidfd_open, child.pid, 0U);
    if (child.pidfd < 0) {
        rc = amy__err_sys(err, errno, "pidfd_open for '%s'", plan->argv[0]);
        bury(child.pid);
        return rc;
    }
    rc = await_execve(plan, &work, &child, err);
    if (rc < 0) {
        amy__close(&child.pidfd);
        return rc;
    }
    *ret_child = child;
    return 0;
}

int
amy__child_signal(const struct amy__child *child, int sig,
                  struct amy_error *err)
{
    if (syscall(SYS_pidfd_send_signal, child->pidfd, sig, NULL, 0U) != 0 &&
        errno != ESRCH) {
        return amy__err_sys(err, errno, "signal %d to process %d", sig,
                            (int)child->pid);
    }
    return 0;
}

int
amy__child_signal_group(const struct amy__child *child, int sig,
                        struct amy_error *err)
{
    if (kill(-child->pid, sig) != 0 && errno != ESRCH) {
        return amy__err_sys(err, errno, "signal %d to process group %d", sig,
                            (int)child->pid);
    }
    return 0;
}

int
amy__child_reap(const struct amy__child *child,
                struct amy__child_exit *ret_exit, struct amy_error *err)
{
    siginfo_t info = {0};

    if (waitid(P_PIDFD, (id_t)child->pidfd, &info, WEXITED | WNOHANG) != 0) {
        return amy__err_sys(err, errno, "waiting for process %d",
                            (int)child->pid);
    }
    if (info.si_pid == 0) {
        return 0;
    }
    *ret_exit = (struct amy__child_exit){
        .code = info.si_code == CLD_EXITED ? info.si_status : -1,
        .signal = info.si_code == CLD_EXITED ? 0 : info.si_status,
        .core = info.si_code == CLD_DUMPED,
    };
    return 1;
}

void
amy__child_end(const struct amy__child *child, bool group)
{
    struct pollfd end = {.fd = child->pidfd, .events = POLLIN};
    struct amy__child_exit ignored = {0};

    if (child->pidfd < 0) {
        return;
    }
    if (group) {
        (void)amy__child_signal_group(child, SIGKILL, NULL);
    } else {
        (void)amy__child_signal(child, SIGKILL, NULL);
    }
    (void)poll(&end, 1, KILL_MS);
    (void)amy__child_reap(child, &ignored, NULL);
}

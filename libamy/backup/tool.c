/* Runs PostgreSQL's programs. */
/* Not for what goes through their pipes. */
#include "backup/tool.h"

#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define NICE 10
#define PIPE_BYTES 1048576
#define PATIENCE_MS 5000 /* from SIGTERM to SIGKILL */
/* So much less than a job has that it can clean up after that. */
#define GROUP_PATIENCE_MS 2000

struct pipe {
    int ours;
    int theirs;
};

/* `which` of pipe(2)'s ends is ours. */
static int
open_pipe(struct pipe *pipe, int which, struct amy_error *err)
{
    int ends[2] = {-1, -1};

    if (pipe2(ends, O_CLOEXEC) < 0) {
        return amy__err_sys(err, errno, "making a pipe");
    }
    pipe->ours = ends[which];
    pipe->theirs = ends[1 - which];
    if (fcntl(pipe->ours, F_SETFL, O_NONBLOCK) < 0) {
        return amy__err_sys(err, errno, "preparing a pipe");
    }
    /* Fewer turns between the two; where there may be no more of them a small
     * one does as well. */
    (void)fcntl(pipe->ours, F_SETPIPE_SZ, PIPE_BYTES);
    return 0;
}

static const char *
last_part(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

static int
spawn(struct amy__tool *tool, const char *const *argv, char *const *environment,
      const struct pipe pipes[3], struct amy_error *err)
{
    struct amy__spawn_fd fds[3];
    struct amy__spawn_plan plan = {
        .argv = argv,
        .envp = (const char *const *)(uintptr_t)environment,
        .cwd_fd = -1,
        .fds = fds,
        .no_new_privs = true,
        .parent_death_signal = SIGTERM,
        .new_session = tool->group,
        .umask_plus_one = 077 + 1,
        .nice_by = NICE,
        .no_core = true,
    };

    for (int i = 0; i < 3; i++) {
        if (pipes[i].theirs >= 0) {
            fds[plan.fd_count++] = (struct amy__spawn_fd){pipes[i].theirs, i};
        }
    }
    return amy__spawn(&plan, &tool->child, err);
}

int
amy__tool_start(struct amy__tool *tool, const char *const *argv,
                char *const *environment, unsigned pipes, struct amy_error *err)
{
    struct pipe ends[3] = {{-1, -1}, {-1, -1}, {-1, -1}};
    int rc = 0;

    *tool = (struct amy__tool)AMY__TOOL_NONE;
    (void)snprintf(tool->name, sizeof(tool->name), "%s", last_part(argv[0]));
    tool->group = (pipes & AMY__TOOL_GROUP) != 0;
    if ((pipes & AMY__TOOL_IN) != 0) {
        rc = open_pipe(&ends[0], 1, err);
    }
    if (rc == 0 && (pipes & AMY__TOOL_OUT) != 0) {
        rc = open_pipe(&ends[1], 0, err);
    }
    if (rc == 0) {
        rc = open_pipe(&ends[2], 0, err);
    }
    if (rc == 0) {
        rc = spawn(tool, argv, environment, ends, err);
    }
    for (int i = 0; i < 3; i++) {
        amy__close(&ends[i].theirs);
    }
    tool->in_fd = ends[0].ours;
    tool->out_fd = ends[1].ours;
    tool->err_fd = ends[2].ours;
    if (rc < 0) {
        amy__tool_stop(tool);
    }
    return rc;
}

/* --- while it runs --- */

static void
take_complaints(struct amy__tool *tool)
{
    char bytes[1024];
    ssize_t n = 1;

    while (tool->err_fd >= 0 && n > 0) {
        n = read(tool->err_fd, bytes, sizeof(bytes));
        if (n > 0) {
            amy__chatter_take(&tool->chatter,
                              (struct amy__span){bytes, (size_t)n});
        }
        if (n == 0) {
            amy__close(&tool->err_fd);
        }
    }
}

static void
send_signal(struct amy__tool *tool, int sig)
{
    if (tool->group) {
        (void)amy__child_signal_group(&tool->child, sig, NULL);
    } else {
        (void)amy__child_signal(&tool->child, sig, NULL);
    }
}

/* Its number is nobody else's before it is reaped: whom it left goes first. */
static int
reap(struct amy__tool *tool, struct amy_error *err)
{
    int rc = 0;

    if (tool->group && !tool->ended) {
        send_signal(tool, SIGKILL);
    }
    rc = tool->ended ? 1 : amy__child_reap(&tool->child, &tool->exit, err);

    tool->ended = tool->ended || rc > 0;
    return rc < 0 ? rc : 0;
}

static volatile sig_atomic_t told_to_end;

static void
on_sigterm(int sig)
{
    told_to_end = sig;
}

void
amy__tool_heed_sigterm(void)
{
    const struct sigaction heed = {.sa_handler = on_sigterm,
                                   .sa_flags = SA_RESTART};

    (void)sigaction(SIGTERM, &heed, NULL);
}

static int
look(struct amy__tool *tool, bool want_in, int timeout_ms,
     struct amy_error *err)
{
    struct pollfd fds[4] = {
        {.fd = want_in ? tool->in_fd : -1, .events = POLLOUT},
        {.fd = tool->out_fd, .events = POLLIN},
        {.fd = tool->err_fd, .events = POLLIN},
        {.fd = tool->ended ? -1 : tool->child.pidfd, .events = POLLIN},
    };
    unsigned so = 0;
    int rc = 0;
    int n = 1;

    while (n > 0 && so == 0 && rc == 0) {
        fds[2].fd = tool->err_fd;
        n = poll(fds, 4, timeout_ms);
        if (n < 0 && errno != EINTR) {
            return amy__err_sys(err, errno, "waiting for %s", tool->name);
        }
        if (n > 0 && fds[2].revents != 0) {
            take_complaints(tool);
        }
        if (n > 0 && fds[3].revents != 0) {
            rc = reap(tool, err);
        }
        so |= n > 0 && fds[0].revents != 0 ? AMY__TOOL_IN : 0U;
        so |= n > 0 && fds[1].revents != 0 ? AMY__TOOL_OUT : 0U;
        so |= tool->ended ? AMY__TOOL_ENDED : 0U;
    }
    return rc < 0 ? rc : (int)so;
}

int
amy__tool_wait(struct amy__tool *tool, bool want_in, int timeout_ms,
               struct amy_error *err)
{
    int rc = told_to_end != 0 ? 0 : look(tool, want_in, timeout_ms, err);

    return told_to_end == 0
               ? rc
               : amy__err(err, AMY_ECANCELED, "%s was ended: amy-backup stops",
                          tool->name);
}

const char *
amy__tool_complaint(struct amy__tool *tool)
{
    take_complaints(tool);
    return amy__chatter_complaint(&tool->chatter);
}

static int
judge(struct amy__tool *tool, struct amy_error *err)
{
    const char *said = amy__tool_complaint(tool);

    if (tool->exit.signal != 0) {
        return amy__err(err, AMY_ECANCELED, "%s was ended by signal %d",
                        tool->name, tool->exit.signal);
    }
    if (tool->exit.code != 0) {
        return amy__err(err, AMY_EIO, "%s failed with status %d%s%s",
                        tool->name, tool->exit.code,
                        said[0] == '\0' ? "" : AMY__SAID, said);
    }
    return 0;
}

int
amy__tool_finish(struct amy__tool *tool, int timeout_ms, struct amy_error *err)
{
    amy__close(&tool->in_fd);
    amy__close(&tool->out_fd);
    while (!tool->ended) {
        int so = amy__tool_wait(tool, false, timeout_ms, err);

        if (so < 0) {
            return so;
        }
        if (so == 0) {
            return amy__err(err, AMY_ETIMEOUT, "%s does not end", tool->name);
        }
    }
    return judge(tool, err);
}

void
amy__tool_stop(struct amy__tool *tool)
{
    amy__close(&tool->in_fd);
    amy__close(&tool->out_fd);
    if (tool->child.pidfd >= 0 && !tool->ended) {
        int patience_ms = tool->group ? GROUP_PATIENCE_MS : PATIENCE_MS;

        send_signal(tool, SIGTERM);
        if (look(tool, false, patience_ms, NULL) <= 0) {
            send_signal(tool, SIGKILL);
            (void)look(tool, false, PATIENCE_MS, NULL);
        }
    }
    amy__close(&tool->err_fd);
    amy__close(&tool->child.pidfd);
}

int
amy__tool_output(const char *const *argv, char *const *environment,
                 int timeout_ms, char *buf, size_t size, struct amy_error *err)
{
    AMY_CLEANUP(amy__tool_stop_p) struct amy__tool tool;
    size_t n = 0;
    int rc = amy__tool_start(&tool, argv, environment, AMY__TOOL_OUT, err);

    while (rc == 0 && tool.out_fd >= 0) {
        char bytes[1024];
        ssize_t got = 0;
        int so = amy__tool_wait(&tool, false, timeout_ms, err);

        if (so <= 0) {
            return so < 0 ? so
                          : amy__err(err, AMY_ETIMEOUT, "%s says nothing",
                                     tool.name);
        }
        got = read(tool.out_fd, bytes, sizeof(bytes));
        if (got == 0 || (got < 0 && errno != EAGAIN)) {
            amy__close(&tool.out_fd);
        }
        for (ssize_t i = 0; i < got && n + 1 < size; i++) {
            buf[n++] = bytes[i];
        }
    }
    buf[n] = '\0';
    return rc < 0 ? rc : amy__tool_finish(&tool, timeout_ms, err);
}

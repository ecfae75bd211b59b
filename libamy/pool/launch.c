/* Starting one worker: what it inherits, its pipe, channel and lock. */
/* Not for when to start it (pool/step.c), nor for fork (core/spawn.c). */
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "pool/internal.h"
#include "pool/lock.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define FIRST_FD 3
#define FDS_MAX (AMY__GIFT_FDS + 4)

/* Everything made for one start; what the worker keeps is taken out of it. */
struct launch {
    char **argv;
    char **envp;
    int cwd_fd;
    int lock_fd;
    int pipe_read;
    int pipe_write;
    int channel_ours;
    int channel_theirs;
    struct amy__spawn_fd fds[FDS_MAX];
    size_t fd_count;
};

static void
launch_clear(struct launch *launch)
{
    amy__list_free(launch->argv);
    amy__list_free(launch->envp);
    amy__close(&launch->cwd_fd);
    amy__close(&launch->lock_fd);
    amy__close(&launch->pipe_read);
    amy__close(&launch->pipe_write);
    amy__close(&launch->channel_ours);
    amy__close(&launch->channel_theirs);
}

/* An earlier supervisor's worker had its signal when that one died; it gets the
 * patience that it would have had. A worker that somebody still supervises,
 * another pool of this program even, is left to them. */
static void
wait_for_holder(struct amy__worker *worker, const struct amy__holder *holder)
{
    const struct amy_pool *pool = worker->pool;
    int64_t waited_ms = amy__pool_now(pool) - worker->facts.since_ms;
    char who[32] = "a process";

    if (holder->worker.pid != 0) {
        (void)snprintf(who, sizeof(who), "process %d", (int)holder->worker.pid);
    }
    (void)snprintf(worker->reason, sizeof(worker->reason),
                   "%s of an earlier life still holds position %u", who,
                   worker->position);
    if (holder->orphaned && waited_ms >= pool->policy.stop_patience_ms) {
        amy__log(&pool->log, AMY_LOG_WARN,
                 "pool %s: patience is over, killing what held a position "
                 "position=%u pid=%d",
                 pool->opts.name, worker->position, (int)holder->worker.pid);
        amy__holder_kill(holder);
    } else if (worker->facts.blocked == 3) {
        /* Not at once: what was just killed needs a moment to be gone. */
        amy__log(&pool->log, AMY_LOG_NOTICE, "pool %s: %s", pool->opts.name,
                 worker->reason);
    }
}

static int
lock_position(struct amy__worker *worker, struct launch *launch,
              struct amy_error *err)
{
    const struct amy_pool *pool = worker->pool;
    struct amy__holder holder = {.orphaned = false};
    char name[NAME_MAX + 1] = "";
    int rc = 1;

    if (pool->lock_dir_fd < 0) {
        return 1;
    }
    (void)amy__lock_name(pool->opts.lock_name, worker->position, name,
                         sizeof(name));
    rc =
        amy__lock_take(pool->lock_dir_fd, name, &launch->lock_fd, &holder, err);
    if (rc == 0) {
        wait_for_holder(worker, &holder);
    }
    return rc;
}

static void
note_holder(const struct amy__worker *worker)
{
    const struct amy_pool *pool = worker->pool;
    struct amy_error err = AMY_ERROR_INIT;
    char name[NAME_MAX + 1] = "";

    if (pool->lock_dir_fd < 0) {
        return;
    }
    (void)amy__lock_name(pool->opts.lock_name, worker->position, name,
                         sizeof(name));
    if (amy__lock_note(pool->lock_dir_fd, name, worker->child.pid, &err) < 0) {
        /* The lock itself holds; only a later kill would lack its target. */
        amy__log(&pool->log, AMY_LOG_WARN, "pool %s: %s", pool->opts.name,
                 err.msg);
    }
}

static void
add_fd(struct launch *launch, int from, int to)
{
    launch->fds[launch->fd_count++] = (struct amy__spawn_fd){from, to};
}

/* stdout and stderr; stdin is /dev/null. */
static int
plan_output(const struct amy_pool *pool, struct launch *launch,
            struct amy_error *err)
{
    int ends[2] = {-1, -1};

    if (pool->output_fd >= 0) {
        add_fd(launch, pool->output_fd, STDOUT_FILENO);
        add_fd(launch, pool->output_fd, STDERR_FILENO);
        return 0;
    }
    if (pool->opts.on_output != NULL) {
        if (pipe2(ends, O_CLOEXEC) != 0) {
            return amy__err_sys(err, errno, "making a pipe");
        }
        launch->pipe_read = ends[0];
        launch->pipe_write = ends[1];
        add_fd(launch, ends[1], STDOUT_FILENO);
        add_fd(launch, ends[1], STDERR_FILENO);
        return 0;
    }
    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++) {
        if (fcntl(fd, F_GETFD) >= 0) {
            add_fd(launch, fd, fd);
        }
    }
    return 0;
}

static int
plan_channel(struct amy_pool *pool, struct launch *launch,
             struct amy_error *err)
{
    int ends[2] = {-1, -1};

    if (pool->opts.channel == 0) {
        return 0;
    }
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) {
        return amy__err_sys(err, errno, "making a channel");
    }
    launch->channel_ours = ends[0];
    launch->channel_theirs = ends[1];
    if (fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        return amy__err_sys(err, errno, "making a channel non-blocking");
    }
    add_fd(launch, ends[1], FIRST_FD);
    return amy__gifts_add_var(&pool->gifts, "AMY_CHANNEL_FD", "3", err);
}

static int
ask_owner(struct amy__worker *worker, struct amy_error *err)
{
    struct amy_pool *pool = worker->pool;
    int rc = 0;

    if (pool->opts.prepare == NULL) {
        return 0;
    }
    pool->gifts.open = true;
    rc = pool->opts.prepare(pool, worker->position, worker->incarnation,
                            pool->opts.callback_user, err);
    pool->gifts.open = false;
    if (rc < 0) {
        return rc;
    }
    if (pool->gone || worker->facts.state != AMY_WORKER_WAITING) {
        return amy__err(err, AMY_ECANCELED, "stopped while it was started");
    }
    return 0;
}

static int
open_directory(const struct amy_pool *pool, struct launch *launch,
               struct amy_error *err)
{
    if (pool->opts.directory == NULL) {
        return 0;
    }
    launch->cwd_fd =
        open(pool->opts.directory, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (launch->cwd_fd < 0) {
        return amy__err_sys(err, errno, "opening directory '%s'",
                            pool->opts.directory);
    }
    return 0;
}

/* Program and directory are looked for with the worker's own rights. */
static int
find_as_user(const struct amy_pool *pool, struct launch *launch,
             struct amy_error *err)
{
    struct amy__as_user saved = {0};
    int rc = 0;

    if (pool->set_ids) {
        rc = amy__as_user_begin(pool->user.uid, pool->user.gid, &saved, err);
        if (rc < 0) {
            return rc;
        }
    }
    rc = open_directory(pool, launch, err);
    if (rc == 0) {
        rc = amy__command_find(launch->argv, launch->envp, err);
    }
    if (pool->set_ids) {
        amy__as_user_end(&saved);
    }
    return rc;
}

static int
plan_all(struct amy__worker *worker, struct launch *launch,
         struct amy_error *err)
{
    struct amy_pool *pool = worker->pool;
    struct amy__gifts *gifts = &pool->gifts;
    int rc = plan_output(pool, launch, err);
    int next_fd = FIRST_FD + (pool->opts.channel != 0 ? 1 : 0);

    if (rc == 0) {
        rc = plan_channel(pool, launch, err);
    }
    if (rc == 0) {
        rc = ask_owner(worker, err);
    }
    if (rc < 0) {
        return rc;
    }
    for (size_t i = 0; i < gifts->fd_count; i++) {
        add_fd(launch, gifts->fds[i], next_fd++);
    }
    if (launch->lock_fd >= 0) {
        add_fd(launch, launch->lock_fd, next_fd++);
    }
    launch->argv = amy__command_argv(pool->opts.argv, worker->position, err);
    if (launch->argv == NULL) {
        return AMY_ENOMEM;
    }
    launch->envp =
        amy__command_envp(pool->opts.envp, gifts->vars, gifts->var_count, err);
    if (launch->envp == NULL) {
        return AMY_ENOMEM;
    }
    return find_as_user(pool, launch, err);
}

static int
spawn(struct amy__worker *worker, struct launch *launch, struct amy_error *err)
{
    const struct amy_pool *pool = worker->pool;
    const struct amy__gifts *gifts = &pool->gifts;
    struct amy__spawn_plan plan = {
        .argv = (const char *const *)launch->argv,
        .envp = (const char *const *)launch->envp,
        .cwd_fd = launch->cwd_fd,
        .fds = launch->fds,
        .fd_count = launch->fd_count,
        .listen_fds = (unsigned)gifts->named,
        .listen_names = gifts->names,
        .set_ids = pool->set_ids,
        .uid = pool->user.uid,
        .gid = pool->user.gid,
        .groups = pool->user.groups,
        .group_count = pool->user.group_count,
        .drop_capabilities = pool->has_user,
        .no_new_privs = pool->has_user,
        .new_session = true,
        .parent_death_signal = pool->opts.stop_signal,
        .umask_plus_one = (int)pool->opts.umask_plus_one,
        .oom_score_adj_by = pool->opts.oom_score_adj_by,
        .max_files = pool->opts.max_files,
    };

    return amy__spawn(&plan, &worker->child, err);
}

/* The owner's lines pass through the worker, which knows the pool. */
static void
enter_output(void *user)
{
    amy__pool_enter(((struct amy__worker *)user)->pool);
}

static bool
pass_line(const char *line, size_t n, void *user)
{
    const struct amy__worker *worker = user;
    struct amy_pool *pool = worker->pool;

    if (!pool->gone) {
        pool->opts.on_output(pool, worker->position, worker->child.pid, line, n,
                             pool->opts.callback_user);
    }
    return !pool->gone;
}

static void
leave_output(void *user)
{
    amy__pool_leave(((struct amy__worker *)user)->pool);
}

int
amy__worker_watch_output(struct amy__worker *worker, int *pipe_fd,
                         struct amy_error *err)
{
    struct amy__output_user user = {enter_output, pass_line, leave_output,
                                    worker};
    int rc = 0;

    if (*pipe_fd < 0) {
        return 0;
    }
    rc = amy__output_create(worker->pool->opts.base, *pipe_fd, &user,
                            &worker->output, err);
    if (rc == 0) {
        *pipe_fd = -1;
    }
    return rc;
}

int
amy__worker_launch(struct amy__worker *worker, struct amy_error *err)
{
    struct amy_pool *pool = worker->pool;
    AMY_CLEANUP(launch_clear)
    struct launch launch = {.cwd_fd = -1,
                            .lock_fd = -1,
                            .pipe_read = -1,
                            .pipe_write = -1,
                            .channel_ours = -1,
                            .channel_theirs = -1};
    int rc = lock_position(worker, &launch, err);

    if (rc <= 0) {
        return rc;
    }
    worker->incarnation = ++pool->incarnations;
    rc = plan_all(worker, &launch, err);
    if (rc == 0) {
        rc = amy__worker_watch_output(worker, &launch.pipe_read, err);
    }
    if (rc == 0) {
        rc = spawn(worker, &launch, err);
    }
    amy__gifts_clear(&pool->gifts);
    if (rc < 0) {
        amy__output_free(worker->output);
        worker->output = NULL;
        return rc;
    }
    worker->channel_fd = launch.channel_ours;
    launch.channel_ours = -1;
    note_holder(worker);
    return 1;
}

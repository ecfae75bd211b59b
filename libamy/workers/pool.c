/* One generation of one pool: an amy_pool and the sockets of its workers. */
/* Not for the order among pools: that is site.c. */
#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "workers/internal.h"
#include "workers/output.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* In LISTEN_FDNAMES, behind the pool's name for the worker's own. */
#define SHARED_NAME "shared"
#define WORKER_UMASK 022
/* Fronts that connected before the socket went are waiting to be accepted; a
 * worker that is told to finish would close on them, and a request with a body
 * cannot be sent twice. */
#define WITHDRAW_MS 200
#define WORKER_OOM_SCORE 200 /* workers go before the daemons */

/* What a former supervisor left. Whether anybody listens there is asked by
 * connecting, and our own workers are not to be disturbed by that. */
static void
sweep_sockets(const struct amy__workers_pool *pool)
{
    uint64_t oldest = pool->generation;

    for (const struct amy__workers_pool *other = pool->borrow_site->pools;
         other != NULL; other = other->next) {
        oldest = other->generation < oldest ? other->generation : oldest;
    }
    amy__workers_socket_sweep(pool->dir_fd, oldest);
}

/* Many a worker ends by itself when it has done its share of jobs. One that
 * serves does not, nor one that has not even begun. */
static bool
is_failure(const struct amy__workers_pool *pool,
           const struct amy_pool_event *event)
{
    if (event->type == AMY_POOL_EXITED) {
        return event->reason[0] != '\0' &&
               (event->exit_code != 0 || pool->sockets != NULL ||
                !pool->places[event->position].ready);
    }
    return event->type == AMY_POOL_BACKOFF || event->type == AMY_POOL_FAILED;
}

/* One that spoke, but never well enough, runs into its boot timeout, which
 * alone would explain little. */
static void
tell_failure(struct amy__workers_pool *pool, const struct amy_pool_event *event)
{
    const char *trouble =
        pool->sockets == NULL ? "" : pool->sockets[event->position].trouble;
    char reason[AMY__TROUBLE_BYTES + 300];

    (void)snprintf(reason, sizeof(reason), "%.256s%s%s", event->reason,
                   trouble[0] == '\0' ? "" : "; the last health check ",
                   trouble);
    amy__workers_reload_failed(pool, event->position, reason);
}

/* A worker that is replaced shall be what the others are. */
static void
warn_of_change(const struct amy__workers_pool *pool,
               const struct amy_pool_event *event)
{
    if (event->type == AMY_POOL_EXITED && pool->role == AMY__POOL_CURRENT &&
        amy__workers_pool_changed(pool)) {
        amy__log(&pool->borrow_site->borrow_workers->log, AMY_LOG_WARN,
                 "repo/ was changed in place, a worker that is replaced starts "
                 "what is there now: a reload is pending site=%s pool=%s",
                 pool->site->domain, pool->spec->name);
    }
}

static void
on_event(struct amy_pool *amy_pool, const struct amy_pool_event *event,
         void *user)
{
    struct amy__workers_pool *pool = user;

    (void)amy_pool;
    if (event->type == AMY_POOL_READY) {
        pool->proven = true;
        if (pool->dir_fd >= 0) {
            sweep_sockets(pool);
        }
    }
    if (pool->sockets != NULL &&
        (event->type == AMY_POOL_DRAINING || event->type == AMY_POOL_EXITED)) {
        amy__workers_socket_withdraw(&pool->sockets[event->position]);
    }
    if (is_failure(pool, event)) {
        tell_failure(pool, event);
        warn_of_change(pool, event);
    }
    pool->places[event->position].ready = event->type == AMY_POOL_READY;
    amy__workers_ask_sweep(pool->borrow_site->borrow_workers);
}

/* A socket of its own for each incarnation, handed over as descriptor 3. */
static int
prepare(struct amy_pool *amy_pool, uint32_t position, uint64_t incarnation,
        void *user, struct amy_error *err)
{
    struct amy__workers_pool *pool = user;
    char number[16];
    int rc = 0;

    amy__tail_clear(&pool->places[position].tail);
    (void)snprintf(number, sizeof(number), "%" PRIu32, position);
    rc = amy_pool_give_env(amy_pool, "AMY_POSITION", number, err);
    if (rc < 0 || pool->sockets == NULL) {
        return rc;
    }
    rc = amy__workers_socket_open(&pool->sockets[position], incarnation, err);
    if (rc < 0) {
        return rc;
    }
    rc = amy_pool_give_fd(amy_pool, pool->sockets[position].listen_fd,
                          pool->spec->name, err);
    /* Held by us too, connections would go on queueing on it after the worker's
     * death. */
    amy__close(&pool->sockets[position].listen_fd);
    if (rc == 0 && pool->shared != NULL) {
        /* Descriptor 4. That one we hold, so that its queue outlives them. */
        rc = amy_pool_give_fd(amy_pool, amy__workers_shared_fd(pool->shared),
                              SHARED_NAME, err);
    }
    return rc;
}

static void
probe(struct amy_pool *amy_pool, uint32_t position, uint64_t incarnation,
      void *user)
{
    struct amy__workers_pool *pool = user;

    (void)amy_pool;
    if (pool->sockets[position].incarnation == incarnation) {
        amy__workers_socket_probe(&pool->sockets[position]);
    }
}

static void
on_output(struct amy_pool *amy_pool, uint32_t position, int64_t pid,
          const char *line, size_t n, void *user)
{
    struct amy__workers_pool *pool = user;

    (void)amy_pool;
    amy__tail_add(&pool->places[position].tail, line, n);
    amy__workers_output_line(pool->borrow_site->output, pool->spec->name,
                             position, pid, line, n);
}

/* {run}/locks/{domain}/{pool}: a worker of a stop-first pool holds its
 * position's lock, so that after a crash no second one starts beside it. */
static int
open_locks(const struct amy__workers_pool *pool, struct amy_error *err)
{
    const char *const steps[] = {"locks", pool->site->domain, pool->spec->name};
    int fd = pool->borrow_site->borrow_workers->run_fd;

    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        int above = fd;
        int next = -1;

        if (mkdirat(above, steps[i], 0700) != 0 && errno != EEXIST) {
            next = amy__err_sys(err, errno, "making '%s'", steps[i]);
        } else {
            next = amy__open_beneath(
                above, steps[i], O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, err);
        }
        if (i > 0) {
            amy__close(&above);
        }
        if (next < 0) {
            return next;
        }
        fd = next;
    }
    return fd;
}

static void
fill_options(const struct amy__workers_pool *pool, char *const *argv,
             char *const *envp, struct amy_pool_options *opts)
{
    const struct amy_workers *workers = pool->borrow_site->borrow_workers;
    const struct amy__site_worker *spec = pool->spec;

    opts->base = workers->base;
    opts->name = pool->name;
    opts->lock_name = spec->name;
    opts->argv = (const char *const *)argv;
    opts->envp = (const char *const *)envp;
    opts->directory = pool->env->repo_path;
    opts->user = pool->site->user; /* ourselves, when we are a person */
    opts->count = spec->count;
    opts->stop_signal = spec->stop_signal;
    opts->stop_patience_ms = (uint32_t)spec->stop_patience_ms;
    opts->boot_timeout_ms = (uint32_t)spec->boot_timeout_ms;
    opts->stop_first = spec->replace == AMY__REPLACE_STOP_FIRST ? 1 : 0;
    opts->generation = pool->generation;
    opts->umask_plus_one = WORKER_UMASK + 1;
    opts->oom_score_adj_by = WORKER_OOM_SCORE;
    opts->on_output = on_output;
    opts->prepare = prepare;
    opts->probe = pool->sockets != NULL ? probe : NULL;
    opts->withdraw_ms = pool->sockets != NULL ? WITHDRAW_MS : 0;
    opts->on_event = on_event;
    opts->borrow_clock = workers->borrow_clock;
    opts->log = &workers->log;
}

static int
create_amy_pool(struct amy__workers_pool *pool, struct amy_error *err)
{
    struct amy_pool_options opts = AMY_POOL_OPTIONS_INIT;
    char **argv = amy__workers_command(pool->site, pool->spec, pool->env);
    char **envp = amy__workers_environment(pool->site, pool->spec, pool->env,
                                           pool->generation);
    int locks_fd = -1;
    int rc = 0;

    if (argv == NULL || envp == NULL) {
        rc = amy__err(err, AMY_ENOMEM, "the command of pool '%s'",
                      pool->spec->name);
    } else {
        fill_options(pool, argv, envp, &opts);
        opts.callback_user = pool;
    }
    if (rc == 0 && opts.stop_first) {
        locks_fd = open_locks(pool, err);
        rc = locks_fd < 0 ? locks_fd : 0;
        opts.lock_dir_fd_plus_one = (uint32_t)(locks_fd + 1);
    }
    if (rc == 0) {
        rc = amy_pool_create(&opts, &pool->pool, err);
    }
    amy__close(&locks_fd);
    amy__workers_list_free(argv);
    amy__workers_list_free(envp);
    return rc;
}

static int
create_sockets(struct amy__workers_pool *pool, struct amy_error *err)
{
    pool->dir_fd =
        amy__workers_socket_dir(pool->borrow_site->borrow_workers,
                                pool->site->domain, pool->spec->name, err);
    if (pool->dir_fd < 0) {
        int rc = pool->dir_fd;

        pool->dir_fd = -1;
        return rc;
    }
    sweep_sockets(pool);
    pool->sockets = amy__calloc(pool->spec->count, sizeof(*pool->sockets));
    if (pool->sockets == NULL) {
        return amy__err(err, AMY_ENOMEM, "the sockets of pool '%s'",
                        pool->spec->name);
    }
    for (uint32_t i = 0; i < pool->spec->count; i++) {
        amy__workers_socket_init(&pool->sockets[i], pool, i);
    }
    return 0;
}

void
amy__workers_pool_free(struct amy__workers_pool *pool)
{
    if (pool == NULL) {
        return;
    }
    amy_pool_free(pool->pool);
    for (uint32_t i = 0; pool->sockets != NULL && i < pool->spec->count; i++) {
        amy__workers_socket_clear(&pool->sockets[i]);
    }
    for (uint32_t i = 0; pool->places != NULL && i < pool->spec->count; i++) {
        amy__tail_clear(&pool->places[i].tail);
    }
    amy__workers_shared_give(pool->borrow_site, pool->shared);
    amy__free(pool->sockets);
    amy__free(pool->places);
    amy__close(&pool->dir_fd);
    amy__env_unref(pool->env);
    amy__site_unref(pool->site);
    amy__free(pool);
}
AMY_DEFINE_CLEANUP(struct amy__workers_pool *, amy__workers_pool_free)

static void
read_identity(const struct amy__workers_pool *pool,
              char ret_identity[AMY__IDENTITY_BYTES])
{
    const struct amy__identity_eyes eyes = {
        .as_person = pool->borrow_site->borrow_workers->as_person,
        .uid = pool->site->uid,
        .gid = pool->site->gid,
    };

    amy__identity_read(pool->env->repo_path, &eyes, ret_identity);
}

bool
amy__workers_pool_changed(const struct amy__workers_pool *pool)
{
    char now[AMY__IDENTITY_BYTES];

    read_identity(pool, now);
    /* A release that was deleted, say, was not changed in place. */
    return now[0] != '\0' && pool->identity[0] != '\0' &&
           strcmp(pool->identity, now) != 0;
}

int
amy__workers_pool_create(struct amy__workers_site *site,
                         const struct amy__workers_birth *birth,
                         struct amy__workers_pool **ret_pool,
                         struct amy_error *err)
{
    const struct amy__site_worker *spec = birth->spec;
    AMY_CLEANUP(amy__workers_pool_free_p)
    struct amy__workers_pool *pool = amy__calloc(1, sizeof(*pool));
    int rc = 0;

    if (pool == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating pool '%s'", spec->name);
    }
    pool->dir_fd = -1;
    pool->borrow_site = site;
    pool->site = amy__site_ref(birth->site);
    pool->spec = spec;
    pool->env = amy__env_ref(birth->env);
    pool->generation = birth->generation;
    read_identity(pool, pool->identity);
    (void)snprintf(pool->name, sizeof(pool->name), "%s/%s", site->domain,
                   spec->name);
    pool->places = amy__calloc(spec->count, sizeof(*pool->places));
    if (pool->places == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating pool '%s'", spec->name);
    }
    if (spec->serves) {
        rc = create_sockets(pool, err);
    }
    if (rc == 0 && spec->socket != NULL) {
        rc = amy__workers_shared_take(site, spec, &pool->shared, err);
    }
    if (rc == 0) {
        rc = create_amy_pool(pool, err);
    }
    if (rc < 0) {
        return rc;
    }
    *ret_pool = AMY_TAKE(pool);
    return 0;
}

void
amy__workers_pool_want(struct amy__workers_pool *pool, uint32_t position,
                       bool wanted)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    pool->places[position].wanted = wanted;
    if (wanted) {
        rc = amy_pool_start_position(pool->pool, position, &err);
    } else {
        rc = amy_pool_stop_position(pool->pool, position, 0, &err);
    }
    if (rc < 0) {
        /* Only while all of it stops, and then nobody wants anything. */
        amy__log(&pool->borrow_site->borrow_workers->log, AMY_LOG_ERROR,
                 "a worker cannot be started or stopped site=%s pool=%s "
                 "reason=\"%s\"",
                 pool->site->domain, pool->spec->name, err.msg);
    }
}

uint32_t
amy__workers_pool_state(const struct amy__workers_pool *pool, uint32_t position)
{
    struct amy_worker_view view = {.struct_size = sizeof(view)};

    if (pool == NULL || amy_pool_worker(pool->pool, position, &view) < 0) {
        return AMY_WORKER_STOPPED;
    }
    return view.state;
}

void
amy__workers_pool_stopped(struct amy_pool *amy_pool, void *user)
{
    struct amy__workers_pool *pool = user;

    (void)amy_pool;
    pool->gone = true;
    amy__workers_ask_sweep(pool->borrow_site->borrow_workers);
}

void
amy__workers_pool_stop(struct amy__workers_pool *pool)
{
    const struct amy_workers *workers = pool->borrow_site->borrow_workers;
    struct amy_error err = AMY_ERROR_INIT;

    if (pool->gone || (pool->stopping && !workers->stop_now)) {
        return;
    }
    for (uint32_t i = 0; pool->sockets != NULL && i < pool->spec->count; i++) {
        /* Out of the registry first: the front sends it nothing more. */
        amy__workers_socket_withdraw(&pool->sockets[i]);
    }
    if (!pool->stopping &&
        amy_pool_stop(pool->pool, 0, amy__workers_pool_stopped, pool, &err) <
            0) {
        /* Only a stop that is under way is refused. */
        amy__log(&workers->log, AMY_LOG_ERROR,
                 "a pool cannot be stopped site=%s pool=%s reason=\"%s\"",
                 pool->site->domain, pool->spec->name, err.msg);
    }
    pool->stopping = true;
    if (workers->stop_now) {
        amy_pool_kill(pool->pool);
    }
}

uint32_t
amy__workers_pool_ready(const struct amy__workers_pool *pool)
{
    uint32_t ready = 0;

    for (uint32_t i = 0; i < pool->spec->count; i++) {
        ready += amy__workers_pool_state(pool, i) == AMY_WORKER_READY ? 1U : 0U;
    }
    return ready;
}

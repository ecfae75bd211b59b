/* What amyctl status tells of a site's Redis. A process of the site's user asks
 * it: its address is that user's to choose, and the supervisor's rights are not
 * lent. Not for what is asked: that is the room redis, in that process. */
#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "core/spawn.h"
#include "core/user.h"
#include "workers/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define EVERY_MS 10000
#define EVERY_MAX_MS 60000 /* while it does not answer */
#define PATIENCE_MS 10000  /* with one process */
#define LINE_MAX_BYTES ((size_t)64 * 1024)

struct amy__workers_redis {
    struct amy__workers_site *borrow_site;
    struct amy__user account; /* looked up once: that may take its time */
    char *variable;           /* "AMY_REDIS_URL=redis://..." */
    struct amy__child child;  /* pidfd -1: none runs */
    struct amy__io *ended_io;
    struct amy__timer *timer; /* until the next one, or its end */
    int fd;                   /* what it writes */
    struct amy__io *line_io;
    struct amy__buf line;
    struct amy__json *told; /* the last answer, or NULL */
    char error[256];        /* "" or why there is none since */
    int64_t told_ms;
    uint32_t failures; /* in a row */
};

static void
end_process(struct amy__workers_redis *redis)
{
    amy__io_free(redis->ended_io);
    amy__io_free(redis->line_io);
    redis->ended_io = NULL;
    redis->line_io = NULL;
    amy__child_end(&redis->child, true);
    amy__close(&redis->child.pidfd);
    amy__close(&redis->fd);
    redis->line.len = 0;
}

static void
forget_variable(struct amy__workers_redis *redis)
{
    if (redis->variable != NULL) {
        amy__wipe(redis->variable, strlen(redis->variable));
        amy__free(redis->variable);
        redis->variable = NULL;
    }
}

void
amy__workers_redis_free(struct amy__workers_redis *redis)
{
    if (redis == NULL) {
        return;
    }
    end_process(redis);
    forget_variable(redis);
    amy__user_clear(&redis->account);
    amy__timer_free(redis->timer);
    amy__buf_clear(&redis->line);
    amy__json_free(redis->told);
    amy__free(redis);
}
AMY_DEFINE_CLEANUP(struct amy__workers_redis *, amy__workers_redis_free)

/* ---- its answer ---- */

static void
fail(struct amy__workers_redis *redis, const char *reason)
{
    struct amy__workers_site *site = redis->borrow_site;

    /* What the server said is the site's business, and the process that tells
     * it is the site's, too. */
    (void)amy__escape(amy__own_words(reason), redis->error,
                      sizeof(redis->error));
    if (redis->failures++ == 0) {
        amy__log(&site->borrow_workers->log, AMY_LOG_WARN,
                 "Redis does not answer site=%s reason=\"%s\"", site->domain,
                 redis->error);
    }
}

/* One line of a process that may have been made to write anything. */
static void
take_line(struct amy__workers_redis *redis, const struct amy__child_exit *how)
{
    struct amy__workers_site *site = redis->borrow_site;
    AMY_CLEANUP(amy__json_free_p) struct amy__json *json = NULL;
    const char *error = NULL;

    if (amy__json_parse(amy__buf_span(&redis->line), &json, NULL) < 0 ||
        !amy__json_is_object(json)) {
        fail(redis, how->signal == SIGKILL ? "no answer in time"
                                           : "the process that asks it failed");
        return;
    }
    error = amy__json_get_text(json, "error", NULL);
    if (error != NULL) {
        fail(redis, error);
        return;
    }
    if (redis->failures > 0) {
        amy__log(&site->borrow_workers->log, AMY_LOG_NOTICE,
                 "Redis answers again site=%s", site->domain);
    }
    redis->failures = 0;
    redis->error[0] = '\0';
    redis->told_ms = amy__mono_ms(site->borrow_workers->borrow_clock);
    amy__json_free(redis->told);
    redis->told = AMY_TAKE(json);
}

static void
wait_for_next(struct amy__workers_redis *redis)
{
    int64_t ms = EVERY_MS;

    for (uint32_t i = 2; i < redis->failures && ms < EVERY_MAX_MS; i++) {
        ms *= 2;
    }
    /* Fails for want of memory only; a reload begins anew then. */
    (void)amy__timer_arm(redis->timer, ms, NULL);
}

static void
read_line(struct amy__workers_redis *redis)
{
    char bytes[4096];
    ssize_t n = 0;

    while ((n = read(redis->fd, bytes, sizeof(bytes))) > 0) {
        if (amy__buf_append(&redis->line, bytes, (size_t)n) < 0) {
            redis->line.len = 0; /* longer than any of ours */
        }
    }
    if (n == 0) {
        amy__io_free(redis->line_io);
        redis->line_io = NULL;
    }
}

static void
on_line(int fd, unsigned what, void *user)
{
    (void)fd;
    (void)what;
    read_line(user);
}

static void
on_ended(int fd, unsigned what, void *user)
{
    struct amy__workers_redis *redis = user;
    struct amy__child_exit how = {.code = -1};

    (void)fd;
    (void)what;
    if (amy__child_reap(&redis->child, &how, NULL) == 0) {
        return; /* not yet */
    }
    amy__close(&redis->child.pidfd);
    read_line(redis);
    take_line(redis, &how);
    end_process(redis);
    wait_for_next(redis);
}

/* ---- asking ---- */

static int
spawn(struct amy__workers_redis *redis, int out_fd, struct amy_error *err)
{
    const struct amy_workers *workers = redis->borrow_site->borrow_workers;
    const struct amy__site *site = redis->borrow_site->site;
    const char *const argv[] = {workers->program, "--redis", NULL};
    const char *const environment[] = {"PATH=/usr/bin:/bin", redis->variable,
                                       NULL};
    const struct amy__spawn_fd fds[] = {{out_fd, 1}};
    const struct amy__spawn_plan plan = {
        .argv = argv,
        .envp = environment,
        .cwd_fd = -1,
        .fds = fds,
        .fd_count = 1,
        .set_ids = !workers->as_person,
        .uid = site->uid,
        .gid = site->gid,
        .drop_capabilities = !workers->as_person,
        .no_new_privs = true,
        .new_session = true,
        .parent_death_signal = SIGKILL,
        .nice_by = 5,
        .no_core = true,
        .groups = redis->account.groups,
        .group_count = redis->account.group_count,
    };

    return amy__spawn(&plan, &redis->child, err);
}

static int
start(struct amy__workers_redis *redis, struct amy_error *err)
{
    struct event_base *base = redis->borrow_site->borrow_workers->base;
    int ends[2] = {-1, -1};
    int rc = 0;

    if (pipe2(ends, O_CLOEXEC) != 0 ||
        fcntl(ends[0], F_SETFL, O_NONBLOCK) != 0) {
        return amy__err_sys(err, errno, "making a pipe");
    }
    redis->fd = ends[0];
    rc = spawn(redis, ends[1], err);
    amy__close(&ends[1]);
    rc = rc < 0 ? rc
                : amy__io_create(base, redis->child.pidfd, AMY__IO_READ,
                                 on_ended, redis, &redis->ended_io, err);
    rc = rc < 0 ? rc
                : amy__io_create(base, redis->fd, AMY__IO_READ, on_line, redis,
                                 &redis->line_io, err);
    return rc < 0 ? rc : amy__timer_arm(redis->timer, PATIENCE_MS, err);
}

static void
on_timer(void *user)
{
    struct amy__workers_redis *redis = user;
    struct amy_error err = AMY_ERROR_INIT;

    if (redis->child.pidfd >= 0) { /* late; its end is told */
        (void)amy__child_signal_group(&redis->child, SIGKILL, NULL);
        return;
    }
    if (start(redis, &err) < 0) {
        end_process(redis);
        fail(redis, err.msg);
        wait_for_next(redis);
    }
}

/* ---- begun, told ---- */

static int
create(struct amy__workers_site *site, struct amy__workers_redis **ret,
       struct amy_error *err)
{
    AMY_CLEANUP(amy__workers_redis_free_p)
    struct amy__workers_redis *redis = amy__calloc(1, sizeof(*redis));
    int rc = 0;

    if (redis == NULL) {
        return amy__err(err, AMY_ENOMEM, "preparing to ask Redis");
    }
    redis->borrow_site = site;
    redis->child.pidfd = -1;
    redis->fd = -1;
    amy__buf_init(&redis->line, LINE_MAX_BYTES);
    rc = amy__timer_create(site->borrow_workers->base, on_timer, redis,
                           &redis->timer, err);
    if (rc == 0) {
        *ret = AMY_TAKE(redis);
    }
    return rc;
}

static int
set_account(struct amy__workers_redis *redis, struct amy_error *err)
{
    amy__user_clear(&redis->account);
    return amy__user_find(redis->borrow_site->site->user, &redis->account, err);
}

/* For the process, by a name that does not depend on the site. */
static int
set_variable(struct amy__workers_redis *redis, const struct amy__env *env,
             struct amy_error *err)
{
    const char *name = redis->borrow_site->site->redis_from;
    const char *url = amy__env_get(env, name);
    size_t size = sizeof("AMY_REDIS_URL=") + (url == NULL ? 0 : strlen(url));

    forget_variable(redis);
    if (url == NULL) {
        return amy__err(err, AMY_ENOTFOUND, "the site's environment has no %s",
                        name);
    }
    redis->variable = amy__calloc(size, 1);
    if (redis->variable == NULL) {
        return amy__err(err, AMY_ENOMEM, "preparing to ask Redis");
    }
    (void)snprintf(redis->variable, size, "AMY_REDIS_URL=%s", url);
    return 0;
}

static void
begin(struct amy__workers_redis *redis, const struct amy__env *env)
{
    struct amy_error err = AMY_ERROR_INIT;

    end_process(redis);
    if (set_account(redis, &err) < 0 || set_variable(redis, env, &err) < 0) {
        amy__timer_cancel(redis->timer);
        amy__json_free(redis->told);
        redis->told = NULL;
        fail(redis, err.msg);
        return;
    }
    (void)amy__timer_arm(redis->timer, 0, NULL);
}

void
amy__workers_redis_begin(struct amy__workers_site *site,
                         const struct amy__env *env)
{
    int rc = 0;

    if (site->site->redis_from == NULL) {
        amy__workers_redis_free(site->redis);
        site->redis = NULL;
        return;
    }
    if (site->redis == NULL) {
        rc = create(site, &site->redis, NULL);
    }
    if (rc == 0) { /* else memory is out; the next reload tries again */
        AMY_ASSERT(site->redis != NULL);
        begin(site->redis, env);
    }
}

const struct amy__json *
amy__workers_redis_told(const struct amy__workers_site *site)
{
    return site->redis == NULL ? NULL : site->redis->told;
}

bool
amy__workers_redis_is_up(const struct amy__workers_site *site)
{
    return site->redis != NULL && site->redis->told != NULL &&
           site->redis->failures == 0;
}

struct amy__json *
amy__workers_redis_json(const struct amy__workers_site *site)
{
    const struct amy__workers_redis *redis = site->redis;
    struct amy__json *json = NULL;
    int64_t now_ms = amy__mono_ms(site->borrow_workers->borrow_clock);

    if (redis == NULL) {
        return NULL;
    }
    json =
        redis->told == NULL ? amy__json_object() : amy__json_copy(redis->told);
    (void)amy__json_set(
        json, "asked",
        amy__json_bool(redis->told != NULL || redis->error[0] != '\0'));
    if (redis->error[0] != '\0') {
        (void)amy__json_set(json, "error", amy__json_text(redis->error));
    }
    if (redis->told != NULL) {
        (void)amy__json_set(json, "age_ms",
                            amy__json_int(now_ms - redis->told_ms));
    }
    return json;
}

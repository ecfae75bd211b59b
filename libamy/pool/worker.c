/* One position: carries out what pool/step.c decides, tells the owner. */
/* Not for how a process is started: pool/launch.c. */
#include "core/error.h"
#include "core/files.h"
#include "core/log.h"
#include "pool/internal.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

/* For a process that was started and cannot be watched. */
#define UNWATCHED_WAIT_MS 1000

void
amy__worker_init(struct amy__worker *worker, struct amy_pool *pool,
                 uint32_t position)
{
    *worker = (struct amy__worker){
        .pool = pool,
        .position = position,
        .facts = {.since_ms = amy__pool_now(pool), .due_ms = -1},
        .child = {.pid = -1, .pidfd = -1},
        .channel_fd = -1,
    };
}

bool
amy__worker_lives(const struct amy__worker *worker)
{
    return worker->child.pidfd >= 0;
}

/* xorshift32: jitter needs no better, and a test wants none of the kernel's. */
static uint32_t
next_random(struct amy_pool *pool)
{
    uint32_t x = pool->random;

    x ^= x << 13;
    x ^= x >> 17;
    x ^= x << 5;
    pool->random = x;
    return x;
}

void
amy__worker_feed(struct amy__worker *worker, enum amy__cause cause,
                 uint32_t patience_ms)
{
    struct amy_pool *pool = worker->pool;
    struct amy__pool_input input = {.cause = cause,
                                    .patience_ms = patience_ms,
                                    .random = next_random(pool),
                                    .now_ms = amy__pool_now(pool)};
    struct amy__pool_output out =
        amy__pool_step(&worker->facts, &pool->policy, &input);

    worker->todo |= out.todo;
    worker->tell |= out.tell;
}

int64_t
amy__worker_due_ms(const struct amy__worker *worker)
{
    const struct amy__pool_facts *facts = &worker->facts;
    int64_t due_ms = facts->due_ms < 0 ? INT64_MAX : facts->due_ms;

    if (facts->state == AMY_WORKER_BOOT && worker->pool->opts.probe != NULL &&
        worker->next_probe_ms < due_ms) {
        due_ms = worker->next_probe_ms;
    }
    return due_ms;
}

static void
log_event(const struct amy__worker *worker, uint32_t type, int64_t delay_ms)
{
    const struct amy_log *log = &worker->pool->log;
    const char *name = worker->pool->opts.name;
    int pid = (int)worker->child.pid;

    switch ((enum amy_pool_event_type)type) {
    case AMY_POOL_STARTED:
        amy__log(log, AMY_LOG_INFO, "pool %s: started position=%u pid=%d", name,
                 worker->position, pid);
        break;
    case AMY_POOL_READY:
        amy__log(log, AMY_LOG_INFO, "pool %s: ready position=%u pid=%d", name,
                 worker->position, pid);
        break;
    case AMY_POOL_DRAINING:
        amy__log(log, AMY_LOG_INFO, "pool %s: draining position=%u pid=%d",
                 name, worker->position, pid);
        break;
    case AMY_POOL_EXITED:
        amy__log(log, worker->ending[0] == '\0' ? AMY_LOG_INFO : AMY_LOG_WARN,
                 "pool %s: ended position=%u pid=%d code=%d signal=%d%s%s",
                 name, worker->position, pid, worker->how.code,
                 worker->how.signal, worker->ending[0] == '\0' ? "" : ": ",
                 worker->ending);
        break;
    case AMY_POOL_BACKOFF:
        amy__log(log, AMY_LOG_WARN,
                 "pool %s: starts again in %" PRId64 " ms position=%u: %s",
                 name, delay_ms, worker->position, worker->reason);
        break;
    case AMY_POOL_FAILED:
        amy__log(log, AMY_LOG_ERROR,
                 "pool %s: failed %" PRIu32 " times, tried again in %" PRId64
                 " s position=%u: %s",
                 name, worker->facts.failures, delay_ms / 1000,
                 worker->position, worker->reason);
        break;
    }
}

static const char *
reason_of(const struct amy__worker *worker, uint32_t type)
{
    switch (type) {
    case AMY_POOL_EXITED:
        return worker->ending;
    case AMY_POOL_BACKOFF:
    case AMY_POOL_FAILED:
        return worker->reason;
    default:
        return "";
    }
}

/* The first of the events noted; their numbers are in the order of a life. */
static void
tell_first(struct amy__worker *worker)
{
    struct amy_pool *pool = worker->pool;
    uint32_t type = (uint32_t)__builtin_ctz(worker->tell);
    bool waits = type == AMY_POOL_BACKOFF || type == AMY_POOL_FAILED;
    struct amy_pool_event event = {
        .struct_size = sizeof(event),
        .type = type,
        .position = worker->position,
        .generation = pool->opts.generation,
        .incarnation = worker->incarnation,
        .pid = worker->child.pid,
        .exit_code = worker->how.code,
        .exit_signal = worker->how.signal,
        .delay_ms = waits ? worker->facts.due_ms - worker->facts.since_ms : 0,
        .channel_fd = worker->channel_fd,
        .reason = reason_of(worker, type),
    };

    worker->tell &= ~(1U << type);
    log_event(worker, type, event.delay_ms);
    if (pool->opts.on_event != NULL) {
        pool->opts.on_event(pool, &event, pool->opts.callback_user);
    }
    if (type == AMY_POOL_EXITED && !pool->gone) {
        amy__close(&worker->channel_fd);
    }
}

/* While it can be told who descends from it. */
void
amy__worker_kill(struct amy__worker *worker)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (!amy__worker_lives(worker)) {
        return;
    }
    (void)amy__strays_look(&worker->strays, worker->child.pid);
    if (amy__child_signal_group(&worker->child, SIGKILL, &err) < 0) {
        amy__log(&worker->pool->log, AMY_LOG_ERROR, "pool %s: %s",
                 worker->pool->opts.name, err.msg);
    }
    amy__strays_kill(&worker->strays, worker->child.pid);
}

static void
signal_worker(struct amy__worker *worker)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__worker_lives(worker) &&
        amy__child_signal(&worker->child, worker->pool->opts.stop_signal,
                          &err) < 0) {
        amy__log(&worker->pool->log, AMY_LOG_ERROR, "pool %s: %s",
                 worker->pool->opts.name, err.msg);
    }
}

/* How it ended, in words, where that was not asked for. */
static void
describe_end(struct amy__worker *worker)
{
    const struct amy__pool_facts *facts = &worker->facts;
    bool asked =
        facts->state == AMY_WORKER_DRAIN || facts->state == AMY_WORKER_KILLED;

    worker->ending[0] = '\0';
    if (facts->blamed) {
        (void)snprintf(worker->ending, sizeof(worker->ending),
                       "gave no answer within %" PRIu32 " ms",
                       worker->pool->policy.boot_timeout_ms);
    } else if (asked) {
        return;
    } else if (worker->how.signal != 0) {
        (void)snprintf(worker->ending, sizeof(worker->ending),
                       "killed by SIG%s%s",
                       sigabbrev_np(worker->how.signal) != NULL
                           ? sigabbrev_np(worker->how.signal)
                           : "?",
                       worker->how.core ? ", core dumped" : "");
    } else {
        (void)snprintf(worker->ending, sizeof(worker->ending),
                       "exited with code %d%s", worker->how.code,
                       facts->state == AMY_WORKER_BOOT ? " before it was ready"
                                                       : "");
    }
    memcpy(worker->reason, worker->ending, sizeof(worker->reason));
}

static void
release_process(struct amy__worker *worker)
{
    amy__io_free(worker->ended);
    worker->ended = NULL;
    amy__output_free(worker->output);
    worker->output = NULL;
    amy__close(&worker->child.pidfd);
}

static void
on_ended(int fd, unsigned what, void *user)
{
    struct amy__worker *worker = user;
    struct amy_pool *pool = worker->pool;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    (void)fd;
    (void)what;
    amy__pool_enter(pool);
    /* Before it is reaped, while its group's number cannot be another's. */
    (void)amy__child_signal_group(&worker->child, SIGKILL, NULL);
    amy__strays_kill(&worker->strays, worker->child.pid);
    rc = amy__child_reap(&worker->child, &worker->how, &err);
    if (rc < 0) {
        worker->how = (struct amy__child_exit){.code = -1};
        amy__log(&pool->log, AMY_LOG_ERROR,
                 "pool %s: %s; the program must not reap the pool's children",
                 pool->opts.name, err.msg);
    }
    if (rc != 0) {
        describe_end(worker);
        if (worker->output != NULL) {
            amy__output_finish(worker->output);
        }
        release_process(worker);
        amy__worker_feed(worker, AMY__CAUSE_EXITED, 0);
        amy__pool_run(pool);
    }
    amy__pool_leave(pool);
}

int
amy__worker_watch_end(struct amy__worker *worker, struct amy_error *err)
{
    return amy__io_create(worker->pool->opts.base, worker->child.pidfd,
                          AMY__IO_READ, on_ended, worker, &worker->ended, err);
}

/* The process runs: see its end. Without that it may not go on. */
static int
watch(struct amy__worker *worker, struct amy_error *err)
{
    struct amy_pool *pool = worker->pool;
    int rc = amy__worker_watch_end(worker, err);

    if (rc < 0) {
        amy__worker_kill(worker);
        amy__worker_clear(worker, amy__pool_now(pool) + UNWATCHED_WAIT_MS);
        return rc;
    }
    worker->how = (struct amy__child_exit){0};
    worker->rss_bytes = 0;
    worker->next_probe_ms = amy__pool_now(pool);
    if (worker->facts.blocked > 0) {
        worker->reason[0] = '\0'; /* it was about the wait */
    }
    return 0;
}

static void
start(struct amy__worker *worker)
{
    struct amy_error err = AMY_ERROR_INIT;
    enum amy__cause cause = AMY__CAUSE_UNSTARTED;
    int rc = 0;

    if (worker->facts.state != AMY_WORKER_WAITING) {
        return; /* stopped since */
    }
    rc = amy__worker_launch(worker, &err);
    if (rc == 0) {
        cause = AMY__CAUSE_BLOCKED;
    } else if (rc > 0) {
        rc = watch(worker, &err);
        cause = rc == 0 ? AMY__CAUSE_STARTED : AMY__CAUSE_UNSTARTED;
    }
    if (worker->pool->gone) {
        return;
    }
    if (rc < 0 && worker->facts.state == AMY_WORKER_WAITING) {
        (void)snprintf(worker->reason, sizeof(worker->reason), "%s", err.msg);
    }
    amy__worker_feed(worker, cause, 0);
}

static void
do_all(struct amy__worker *worker)
{
    uint32_t todo = worker->todo;

    worker->todo = 0;
    if ((todo & AMY__DO_KILL) != 0) {
        amy__worker_kill(worker);
    } else if ((todo & AMY__DO_SIGNAL) != 0) {
        signal_worker(worker);
    }
    if ((todo & AMY__DO_START) != 0) {
        start(worker);
    }
}

static bool
is_due(const struct amy__worker *worker, int64_t now_ms)
{
    return worker->facts.due_ms >= 0 && worker->facts.due_ms <= now_ms;
}

static bool
probe_is_due(const struct amy__worker *worker, int64_t now_ms)
{
    return worker->facts.state == AMY_WORKER_BOOT &&
           worker->pool->opts.probe != NULL && worker->next_probe_ms <= now_ms;
}

bool
amy__worker_advance(struct amy__worker *worker)
{
    struct amy_pool *pool = worker->pool;
    int64_t now_ms = amy__pool_now(pool);

    /* What happened is told before anything is done about it: a socket is
     * unpublished before its worker is asked to finish, or replaced. */
    if (worker->tell != 0) {
        tell_first(worker);
    } else if (worker->todo != 0) {
        do_all(worker);
    } else if (is_due(worker, now_ms)) {
        if (worker->facts.state == AMY_WORKER_DRAIN &&
            worker->facts.patience_ms == 0) {
            amy__log(&pool->log, AMY_LOG_WARN,
                     "pool %s: patience is over, killing position=%u pid=%d",
                     pool->opts.name, worker->position, (int)worker->child.pid);
        }
        amy__worker_feed(worker, AMY__CAUSE_TICK, 0);
    } else if (probe_is_due(worker, now_ms)) {
        worker->next_probe_ms = now_ms + pool->opts.probe_every_ms;
        pool->opts.probe(pool, worker->position, worker->incarnation,
                         pool->opts.callback_user);
    } else {
        return false;
    }
    return true;
}

void
amy__worker_clear(struct amy__worker *worker, int64_t until_ms)
{
    if (amy__worker_lives(worker)) {
        struct pollfd ended = {.fd = worker->child.pidfd, .events = POLLIN};
        int64_t left_ms = until_ms - amy__pool_now(worker->pool);

        (void)poll(&ended, 1, left_ms < 0 ? 0 : (int)left_ms);
        /* One that will not go even now is left to whoever reaps next. */
        (void)amy__child_reap(&worker->child, &worker->how, NULL);
    }
    release_process(worker);
    amy__close(&worker->channel_fd);
}

/* Keep two processes of any command running, print what happens to them, and
 * let them finish on an interrupt.
 * Not for web workers and their sockets: that is amy-workers'.
 *
 *   cc pool.c $(pkg-config --cflags --libs amy libevent_core) -o pool
 *   ./pool sh -c 'echo I am $AMY_NAME; exec sleep 1000'
 *   kill -9 PID                                          # elsewhere
 */
#include <amy/pool.h>

#include <event2/event.h>

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>

static const char *const WORDS[] = {
    [AMY_POOL_STARTED] = "started",
    [AMY_POOL_READY] = "ready",
    [AMY_POOL_DRAINING] = "asked to finish",
    [AMY_POOL_EXITED] = "ended",
    [AMY_POOL_BACKOFF] = "waits before the next start",
    [AMY_POOL_FAILED] = "failed too often",
};

static void
on_event(struct amy_pool *pool, const struct amy_pool_event *event, void *user)
{
    (void)pool;
    (void)user;
    printf("%" PRIu32 ": process %" PRId64 " %s%s%s\n", event->position,
           event->pid, WORDS[event->type], event->reason[0] == '\0' ? "" : ": ",
           event->reason);
    (void)fflush(stdout);
}

static void
on_output(struct amy_pool *pool, uint32_t position, int64_t pid,
          const char *line, size_t n, void *user)
{
    (void)pool;
    (void)pid;
    (void)user;
    printf("%" PRIu32 "> %.*s\n", position, (int)n, line);
    (void)fflush(stdout);
}

/* Asked before each start: here every process gets a name of its own. */
static int
prepare(struct amy_pool *pool, uint32_t position, uint64_t incarnation,
        void *user, struct amy_error *err)
{
    char name[64] = "";

    (void)user;
    (void)snprintf(name, sizeof(name), "%" PRIu32 ", life %" PRIu64, position,
                   incarnation);
    return amy_pool_give_env(pool, "AMY_NAME", name, err);
}

static void
on_stopped(struct amy_pool *pool, void *user)
{
    (void)pool;
    (void)event_base_loopbreak(user);
}

/* What a signal needs to know. */
struct program {
    struct event_base *base;
    struct amy_pool *pool;
};

static void
on_interrupt(evutil_socket_t number, short what, void *user)
{
    struct program *program = user;

    (void)number;
    (void)what;
    /* The second one: a stop is under way, and somebody is impatient. */
    if (amy_pool_stop(program->pool, 0, on_stopped, program->base, NULL) < 0) {
        amy_pool_kill(program->pool);
    }
}

/* The loop is ours: libamy only puts its events into it. */
static int
supervise(struct program *program, const char *const *argv)
{
    struct amy_pool_options opts = AMY_POOL_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    opts.base = program->base;
    opts.name = "example";
    opts.argv = argv;
    opts.count = 2;
    opts.on_event = on_event;
    opts.on_output = on_output;
    opts.prepare = prepare;
    rc = amy_pool_create(&opts, &program->pool, &err);
    if (rc == 0) {
        rc = amy_pool_start(program->pool, &err);
    }
    if (rc < 0) {
        (void)fprintf(stderr, "pool: %s (%s)\n", err.msg, amy_strerror(rc));
        amy_pool_free(program->pool);
        return 1;
    }
    (void)event_base_dispatch(program->base);
    amy_pool_free(program->pool);
    return 0;
}

int
main(int argc, char **argv)
{
    struct program program = {NULL, NULL};
    struct event *interrupt = NULL;
    int status = 1;

    if (argc < 2) {
        (void)fprintf(stderr, "usage: pool COMMAND [ARGUMENT...]\n");
        return 2;
    }
    program.base = event_base_new();
    interrupt = program.base == NULL ? NULL
                                     : evsignal_new(program.base, SIGINT,
                                                    on_interrupt, &program);
    if (interrupt != NULL && event_add(interrupt, NULL) == 0) {
        status = supervise(&program, (const char *const *)(argv + 1));
        event_free(interrupt);
    }
    if (program.base != NULL) {
        event_base_free(program.base);
    }
    return status;
}

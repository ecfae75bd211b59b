/* The pool with real processes on a real loop, through its public header. */
/* Not for which state follows which: test_step.c has the whole table. */
#include "amy_test.h"

#include <amy/pool.h>

#include "core/clock.h"
#include "core/files.h"
#include "pool/tree.h"

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PATIENCE_MS 20000
#define EVENTS_MAX 256

/* Where a test frees the pool. */
enum free_in {
    FREE_NEVER = 0,
    FREE_EVENT,
    FREE_LINE,
    FREE_PREPARE,
    FREE_PROBE,
    FREE_DONE,
};

/* What a test gives and what it saw. */
struct scene {
    struct event_base *base;
    struct amy_pool *pool;
    struct amy_pool_options opts;
    const char *argv[4];
    const char *envp[3];
    struct amy_pool_event events[EVENTS_MAX];
    char reasons[EVENTS_MAX][128];
    size_t count;
    char output[70000];
    size_t lines;
    size_t longest;
    uint32_t probes;
    bool answer; /* probes are answered */
    bool done;
    int prepare_rc;
    int give_fd;
    const char *give_name;
    enum free_in free_in;
    uint32_t free_event;
};

static void
free_pool(struct scene *s)
{
    struct amy_pool *pool = s->pool;

    s->free_in = FREE_NEVER;
    s->pool = NULL;
    amy_pool_free(pool);
}

static void
on_event(struct amy_pool *pool, const struct amy_pool_event *event, void *user)
{
    struct scene *s = user;

    assert_ptr_equal(pool, s->pool);
    assert_true(s->count < EVENTS_MAX);
    (void)snprintf(s->reasons[s->count], sizeof(s->reasons[0]), "%.100s",
                   event->reason);
    s->events[s->count] = *event;
    s->events[s->count].reason = s->reasons[s->count];
    s->count++;
    if (s->free_in == FREE_EVENT && event->type == s->free_event) {
        free_pool(s);
    }
}

static void
on_line(struct amy_pool *pool, uint32_t position, int64_t pid, const char *line,
        size_t n, void *user)
{
    struct scene *s = user;
    size_t used = strlen(s->output);

    assert_ptr_equal(pool, s->pool);
    assert_true(pid > 0);
    s->lines++;
    s->longest = n > s->longest ? n : s->longest;
    if (used + n + 16 < sizeof(s->output)) {
        (void)snprintf(s->output + used, sizeof(s->output) - used, "%u:%.*s\n",
                       position, (int)n, line);
    }
    if (s->free_in == FREE_LINE) {
        free_pool(s);
    }
}

static int
prepare(struct amy_pool *pool, uint32_t position, uint64_t incarnation,
        void *user, struct amy_error *err)
{
    struct scene *s = user;
    char text[32] = "";

    (void)snprintf(text, sizeof(text), "%u.%u", position,
                   (unsigned)incarnation);
    if (s->give_fd >= 0) {
        assert_int_equal(amy_pool_give_fd(pool, s->give_fd, s->give_name, err),
                         0);
    }
    assert_int_equal(amy_pool_give_env(pool, "LIFE", text, err), 0);
    if (s->free_in == FREE_PREPARE) {
        free_pool(s);
    }
    return s->prepare_rc;
}

static void
probe(struct amy_pool *pool, uint32_t position, uint64_t incarnation,
      void *user)
{
    struct scene *s = user;

    s->probes++;
    if (s->answer) {
        amy_pool_set_ready(pool, position, incarnation);
    }
    if (s->free_in == FREE_PROBE) {
        free_pool(s);
    }
}

static void
on_done(struct amy_pool *pool, void *user)
{
    struct scene *s = user;

    assert_ptr_equal(pool, s->pool);
    s->done = true;
    if (s->free_in == FREE_DONE) {
        free_pool(s);
    }
}

static struct scene *
scene_new(const char *script)
{
    struct scene *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->base = event_base_new();
    s->give_fd = -1;
    s->argv[0] = "sh";
    s->argv[1] = "-c";
    s->argv[2] = script;
    s->envp[0] = "PATH=/usr/bin:/bin";
    s->envp[1] = "LIFE=none";
    s->opts = (struct amy_pool_options)AMY_POOL_OPTIONS_INIT;
    s->opts.base = s->base;
    s->opts.name = "test";
    s->opts.argv = s->argv;
    s->opts.envp = s->envp;
    s->opts.settle_ms = 1;
    s->opts.on_event = on_event;
    s->opts.on_output = on_line;
    s->opts.callback_user = s;
    return s;
}

static void
scene_free(struct scene *s)
{
    amy_pool_free(s->pool);
    event_base_free(s->base);
    free(s);
}

/* Nothing of a test is left, not even as a zombie. */
static int
no_children(void **state)
{
    (void)state;
    return waitpid(-1, NULL, WNOHANG) != -1 || errno != ECHILD;
}

static void
create(struct scene *s)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (amy_pool_create(&s->opts, &s->pool, &err) != 0) {
        fail_msg("%s", err.msg);
    }
}

static void
launch(struct scene *s)
{
    create(s);
    assert_int_equal(amy_pool_start(s->pool, NULL), 0);
    assert_int_equal(s->count, 0); /* never from inside start */
}

static size_t
seen(const struct scene *s, uint32_t type)
{
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++) {
        n += s->events[i].type == type;
    }
    return n;
}

static const struct amy_pool_event *
last(const struct scene *s, uint32_t type)
{
    for (size_t i = s->count; i > 0; i--) {
        if (s->events[i - 1].type == type) {
            return &s->events[i - 1];
        }
    }
    fail_msg("no event of type %u", type);
    return NULL;
}

/* Conditions that no event announces are looked at every 20 ms. */
static void
on_tick(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    (void)user;
}

/* Run the loop until `condition`, or fail at the deadline. */
#define RUN_UNTIL(s, condition)                                                \
    do {                                                                       \
        int64_t until_ms = amy__mono_ms(NULL) + PATIENCE_MS;                   \
        struct event *tick =                                                   \
            event_new((s)->base, -1, EV_PERSIST, on_tick, NULL);               \
        struct timeval soon = {0, 20000};                                      \
                                                                               \
        event_add(tick, &soon);                                                \
        while (!(condition)) {                                                 \
            event_base_loop((s)->base, EVLOOP_ONCE);                           \
            if (amy__mono_ms(NULL) > until_ms) {                               \
                fail_msg("never came: %s; output: %s", #condition,             \
                         (s)->output);                                         \
            }                                                                  \
        }                                                                      \
        event_free(tick);                                                      \
    } while (0)

static void
stop(struct scene *s)
{
    s->done = false;
    assert_int_equal(amy_pool_stop(s->pool, 0, on_done, s, NULL), 0);
    assert_false(s->done);
    RUN_UNTIL(s, s->done);
}

static void
stop_and_free(struct scene *s)
{
    stop(s);
    scene_free(s);
}

static struct amy_worker_view
view(const struct scene *s, uint32_t position)
{
    struct amy_worker_view v = {.struct_size = sizeof(v)};

    assert_int_equal(amy_pool_worker(s->pool, position, &v), 0);
    return v;
}

/* A zombie that its new parent has not reaped yet is not. */
static bool
alive(pid_t pid)
{
    struct amy__process process = {0};

    return amy__process_read(pid, &process);
}

/* The number a script printed first. */
static pid_t
printed_pid(const struct scene *s)
{
    return (pid_t)strtol(s->output + 2, NULL, 10);
}

#define REFUSED(field, value, code)                                            \
    do {                                                                       \
        s->opts = good;                                                        \
        s->opts.field = (value);                                               \
        assert_int_equal(amy_pool_create(&s->opts, &pool, &err), code);        \
        assert_null(pool);                                                     \
    } while (0)

static void
test_create_refuses_bad_options(void **state)
{
    struct scene *s = scene_new("true");
    struct amy_pool_options good = s->opts;
    struct amy_pool *pool = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    const char *nothing[] = {NULL};

    (void)state;
    REFUSED(base, NULL, AMY_EINVAL);
    REFUSED(name, NULL, AMY_EINVAL);
    REFUSED(name, "", AMY_EINVAL);
    REFUSED(argv, NULL, AMY_EINVAL);
    REFUSED(argv, nothing, AMY_EINVAL);
    REFUSED(count, 1025, AMY_EINVAL);
    REFUSED(stop_signal, 65, AMY_EINVAL);
    REFUSED(stop_signal, -1, AMY_EINVAL);
    REFUSED(umask_plus_one, 01001, AMY_EINVAL);
    REFUSED(withdraw_ms, 10001, AMY_EINVAL);
    REFUSED(lock_dir_fd_plus_one, 9999, AMY_EINVAL);
    REFUSED(output_fd_plus_one, 9999, AMY_EINVAL);
    REFUSED(user, "no-such-user", AMY_ENOTFOUND);
    if (geteuid() != 0) {
        REFUSED(user, "root", AMY_EDENIED);
    }
    s->opts = good;
    s->opts.lock_dir_fd_plus_one = 1;
    s->opts.lock_name = "../up";
    assert_int_equal(amy_pool_create(&s->opts, &pool, &err), AMY_EINVAL);
    assert_int_equal(amy_pool_create(NULL, &pool, &err), AMY_EINVAL);
    scene_free(s);
}

static void
test_start_keeps_count_workers_and_stop_ends_them(void **state)
{
    struct scene *s = scene_new("echo up $LIFE; exec sleep 100");

    (void)state;
    s->opts.count = 3;
    s->opts.prepare = prepare;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 3 && s->lines == 3);
    assert_non_null(strstr(s->output, "0:up 0.1\n"));
    assert_non_null(strstr(s->output, "2:up 2.3\n"));
    assert_int_equal(amy_pool_count(s->pool), 3);
    for (uint32_t i = 0; i < 3; i++) {
        struct amy_worker_view v = view(s, i);

        assert_int_equal(v.state, AMY_WORKER_READY);
        assert_int_equal(v.generation, 1);
        assert_int_equal(v.restarts, 0);
        assert_true(alive((pid_t)v.pid));
        assert_int_equal(getpgid((pid_t)v.pid), v.pid);
        /* Nothing, for a moment, while it enters another program. */
        RUN_UNTIL(s, view(s, i).rss_bytes > 0);
        assert_string_equal(v.reason, "");
    }
    assert_int_equal(amy_pool_worker(s->pool, 3, &(struct amy_worker_view){0}),
                     AMY_EINVAL);
    assert_int_equal(amy_pool_stop(s->pool, 0, on_done, s, NULL), 0);
    assert_int_equal(amy_pool_stop(s->pool, 0, on_done, s, NULL), AMY_EAGAIN);
    assert_int_equal(amy_pool_start(s->pool, NULL), AMY_EAGAIN);
    RUN_UNTIL(s, s->done);
    assert_int_equal(seen(s, AMY_POOL_DRAINING), 3);
    assert_int_equal(seen(s, AMY_POOL_EXITED), 3);
    assert_int_equal(last(s, AMY_POOL_EXITED)->exit_signal, SIGTERM);
    assert_int_equal(view(s, 1).pid, -1);
    assert_int_equal(view(s, 1).state, AMY_WORKER_STOPPED);
    /* And once more. */
    assert_int_equal(amy_pool_start(s->pool, NULL), 0);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 6);
    stop_and_free(s);
}

static void
test_a_killed_worker_is_replaced_at_once(void **state)
{
    struct scene *s = scene_new("exec sleep 100");
    int64_t first = 0;

    (void)state;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 1);
    first = view(s, 0).pid;
    kill((pid_t)first, SIGKILL);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 2);
    assert_int_equal(seen(s, AMY_POOL_BACKOFF), 0);
    assert_int_equal(last(s, AMY_POOL_EXITED)->pid, first);
    assert_int_equal(last(s, AMY_POOL_EXITED)->exit_code, -1);
    assert_int_equal(last(s, AMY_POOL_EXITED)->exit_signal, SIGKILL);
    assert_string_equal(last(s, AMY_POOL_EXITED)->reason, "killed by SIGKILL");
    assert_int_equal(view(s, 0).restarts, 1);
    assert_int_equal(view(s, 0).incarnation, 2);
    assert_string_equal(view(s, 0).reason, "killed by SIGKILL");
    stop_and_free(s);
}

static void
test_a_worker_that_keeps_dying_backs_off_and_fails(void **state)
{
    struct scene *s = scene_new("exit 3");

    (void)state;
    s->opts.start_retries = 4;
    s->opts.backoff_max_ms = 20;
    s->opts.settle_ms = 10000;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_FAILED) == 1);
    assert_int_equal(seen(s, AMY_POOL_EXITED), 4);
    assert_int_equal(seen(s, AMY_POOL_BACKOFF), 2);
    assert_string_equal(last(s, AMY_POOL_FAILED)->reason,
                        "exited with code 3 before it was ready");
    assert_in_range(last(s, AMY_POOL_BACKOFF)->delay_ms, 15, 20);
    assert_int_equal(view(s, 0).state, AMY_WORKER_FAILED);
    /* Asked for, it is tried at once. */
    assert_int_equal(amy_pool_restart(s->pool, 0, NULL), 0);
    RUN_UNTIL(s, seen(s, AMY_POOL_FAILED) == 2);
    assert_int_equal(seen(s, AMY_POOL_STARTED), 8);
    stop_and_free(s);
}

static void
test_a_missing_program_is_a_failure_that_names_it(void **state)
{
    struct scene *s = scene_new("true");

    (void)state;
    s->argv[0] = "no-such-program";
    s->opts.start_retries = 1;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_FAILED) == 1);
    assert_int_equal(seen(s, AMY_POOL_STARTED), 0);
    assert_string_equal(last(s, AMY_POOL_FAILED)->reason,
                        "'no-such-program' is nowhere in PATH");
    stop_and_free(s);
}

static void
test_a_missing_directory_is_a_failure_that_names_it(void **state)
{
    struct scene *s = scene_new("true");

    (void)state;
    s->opts.directory = "/nonexistent/repo";
    s->opts.start_retries = 1;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_FAILED) == 1);
    assert_non_null(strstr(view(s, 0).reason, "'/nonexistent/repo'"));
    stop_and_free(s);
}

static void
test_a_failing_prepare_is_a_failed_start(void **state)
{
    struct scene *s = scene_new("true");

    (void)state;
    s->opts.prepare = prepare;
    s->opts.start_retries = 1;
    s->prepare_rc = AMY_EIO;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_FAILED) == 1);
    assert_int_equal(seen(s, AMY_POOL_STARTED), 0);
    stop_and_free(s);
}

static void
test_patience_over_kills_the_whole_group(void **state)
{
    /* Both the worker and its child refuse to go. */
    struct scene *s = scene_new("trap '' TERM; sleep 100 & echo $!; wait; "
                                "sleep 100");
    pid_t child = 0;

    (void)state;
    launch(s);
    RUN_UNTIL(s, s->lines == 1);
    child = printed_pid(s);
    assert_true(alive(child));
    assert_int_equal(amy_pool_stop(s->pool, 50, on_done, s, NULL), 0);
    RUN_UNTIL(s, s->done);
    assert_int_equal(last(s, AMY_POOL_EXITED)->exit_signal, SIGKILL);
    RUN_UNTIL(s, !alive(child));
    scene_free(s);
}

static void
test_kill_ends_a_stop_under_way(void **state)
{
    struct scene *s = scene_new("trap '' TERM; echo up; sleep 100; sleep 100");

    (void)state;
    launch(s);
    RUN_UNTIL(s, s->lines == 1);
    assert_int_equal(amy_pool_stop(s->pool, 0, on_done, s, NULL), 0);
    RUN_UNTIL(s, seen(s, AMY_POOL_DRAINING) == 1);
    amy_pool_kill(s->pool);
    RUN_UNTIL(s, s->done);
    scene_free(s);
}

static void
test_a_leaders_death_takes_its_group_along(void **state)
{
    struct scene *s = scene_new("sleep 100 & echo $!; wait");
    pid_t child = 0;

    (void)state;
    launch(s);
    RUN_UNTIL(s, s->lines == 1);
    child = printed_pid(s);
    kill((pid_t)view(s, 0).pid, SIGKILL);
    RUN_UNTIL(s, !alive(child));
    stop_and_free(s);
}

static void
test_a_kill_reaches_descendants_in_other_sessions(void **state)
{
    struct scene *s =
        scene_new("trap '' TERM; setsid sh -c 'echo $$; exec sleep 100' & "
                  "wait; sleep 100");
    pid_t stray = 0;

    (void)state;
    launch(s);
    RUN_UNTIL(s, s->lines == 1);
    stray = printed_pid(s);
    assert_int_equal(getsid(stray), stray);
    assert_int_equal(amy_pool_stop(s->pool, 20, on_done, s, NULL), 0);
    RUN_UNTIL(s, s->done);
    RUN_UNTIL(s, !alive(stray));
    scene_free(s);
}

static void
test_a_sudden_death_takes_noted_descendants_along(void **state)
{
    struct scene *s =
        scene_new("setsid sh -c 'echo $$; exec sleep 100' & wait");
    int64_t noted_ms = 0;
    pid_t stray = 0;

    (void)state;
    launch(s);
    RUN_UNTIL(s, s->lines == 1);
    stray = printed_pid(s);
    noted_ms = amy__mono_ms(NULL) + 1500; /* descendants: every second */
    RUN_UNTIL(s, amy__mono_ms(NULL) > noted_ms);
    kill((pid_t)view(s, 0).pid, SIGKILL);
    RUN_UNTIL(s, !alive(stray));
    stop_and_free(s);
}

static void
test_probes_decide_when_a_worker_is_ready(void **state)
{
    struct scene *s = scene_new("exec sleep 100");

    (void)state;
    s->opts.probe = probe;
    s->opts.probe_every_ms = 5;
    launch(s);
    RUN_UNTIL(s, s->probes >= 3);
    assert_int_equal(view(s, 0).state, AMY_WORKER_BOOT);
    /* Of another life: not this one's answer. */
    amy_pool_set_ready(s->pool, 0, 77);
    amy_pool_set_ready(s->pool, 9, 1);
    assert_int_equal(view(s, 0).state, AMY_WORKER_BOOT);
    s->answer = true;
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 1);
    stop_and_free(s);
}

static void
test_without_an_answer_a_booting_worker_is_killed(void **state)
{
    struct scene *s = scene_new("exec sleep 100");

    (void)state;
    s->opts.probe = probe;
    s->opts.probe_every_ms = 5;
    s->opts.boot_timeout_ms = 30;
    s->opts.start_retries = 2;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_FAILED) == 1);
    assert_string_equal(last(s, AMY_POOL_FAILED)->reason,
                        "gave no answer within 30 ms");
    assert_int_equal(seen(s, AMY_POOL_EXITED), 2);
    stop_and_free(s);
}

static void
test_restart_of_every_position_goes_one_by_one(void **state)
{
    struct scene *s = scene_new("exec sleep 100");
    int running = 0;

    (void)state;
    s->opts.count = 3;
    launch(s);
    assert_int_equal(amy_pool_restart(s->pool, 3, NULL), AMY_EINVAL);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 3);
    assert_int_equal(amy_pool_restart(s->pool, AMY_POOL_EVERY, NULL), 0);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 6);
    for (size_t i = 0; i < s->count; i++) {
        running += s->events[i].type == AMY_POOL_READY;
        running -= s->events[i].type == AMY_POOL_DRAINING;
        assert_true(i < 6 || running >= 2);
    }
    assert_string_equal(view(s, 2).reason, ""); /* asked for: no failure */
    stop_and_free(s);
}

static void
test_restarting_all_ends_with_the_first_that_does_not_come_back(void **state)
{
    char path[] = "/tmp/amy-test-XXXXXX";
    char script[128] = "";
    struct scene *s = NULL;
    int fd = mkstemp(path);

    (void)state;
    (void)snprintf(script, sizeof(script), "test -e %s && exec sleep 100",
                   path);
    s = scene_new(script);
    s->opts.count = 2;
    s->opts.settle_ms = 50;
    s->opts.start_retries = 2;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 2);
    close(fd);
    unlink(path);
    assert_int_equal(amy_pool_restart(s->pool, AMY_POOL_EVERY, NULL), 0);
    RUN_UNTIL(s, seen(s, AMY_POOL_FAILED) == 1);
    assert_int_equal(seen(s, AMY_POOL_DRAINING), 1);
    assert_int_equal(view(s, 1).state, AMY_WORKER_READY);
    stop_and_free(s);
}

/* ---- one position ---- */

static void
test_position_starts_and_stops_alone(void **state)
{
    struct scene *s = scene_new("exec sleep 1000");

    (void)state;
    s->opts.count = 3;
    create(s);
    assert_int_equal(amy_pool_start_position(s->pool, 1, NULL), 0);
    assert_int_equal(s->count, 0);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 1);
    assert_int_equal(view(s, 0).state, AMY_WORKER_STOPPED);
    assert_int_equal(view(s, 1).state, AMY_WORKER_READY);
    assert_int_equal(view(s, 2).state, AMY_WORKER_STOPPED);
    assert_int_equal(amy_pool_start_position(s->pool, 1, NULL), 0);
    assert_int_equal(amy_pool_start_position(s->pool, 2, NULL), 0);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 2);
    assert_int_equal(amy_pool_stop_position(s->pool, 1, 0, NULL), 0);
    RUN_UNTIL(s, seen(s, AMY_POOL_EXITED) == 1);
    assert_int_equal(view(s, 1).state, AMY_WORKER_STOPPED);
    assert_int_equal(view(s, 2).state, AMY_WORKER_READY);
    assert_string_equal(last(s, AMY_POOL_EXITED)->reason, "");
    /* What was never started is not restarted, and holds up nobody. */
    assert_int_equal(amy_pool_restart(s->pool, AMY_POOL_EVERY, NULL), 0);
    RUN_UNTIL(s, seen(s, AMY_POOL_READY) == 3);
    assert_int_equal(seen(s, AMY_POOL_STARTED), 3);
    stop_and_free(s);
}

/* rq takes a second signal for "drop the job". */
static void
test_draining_position_hears_one_signal_and_may_be_wanted_again(void **state)
{
    struct scene *s =
        scene_new("trap 'echo told' TERM; echo up; "
                  "while ! [ -e $AGAIN ]; do sleep 0.05; done; echo end");
    char again[] = "/tmp/amy-again-XXXXXX";
    char var[64] = "";
    int fd = mkstemp(again);

    (void)state;
    assert_true(fd >= 0);
    amy__close(&fd);
    assert_int_equal(unlink(again), 0);
    (void)snprintf(var, sizeof(var), "AGAIN=%s", again);
    s->envp[1] = var;
    s->opts.stop_patience_ms = PATIENCE_MS;
    create(s);
    assert_int_equal(amy_pool_start_position(s->pool, 0, NULL), 0);
    RUN_UNTIL(s, strstr(s->output, "up") != NULL);
    assert_int_equal(amy_pool_stop_position(s->pool, 0, 0, NULL), 0);
    RUN_UNTIL(s, strstr(s->output, "told") != NULL);
    /* A reload that is taken back, a second reload, and the end of it all. */
    assert_int_equal(amy_pool_start_position(s->pool, 0, NULL), 0);
    assert_int_equal(amy_pool_stop_position(s->pool, 0, 0, NULL), 0);
    assert_int_equal(amy_pool_start_position(s->pool, 0, NULL), 0);
    fd = open(again, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    amy__close(&fd);
    RUN_UNTIL(s, seen(s, AMY_POOL_STARTED) == 2);
    assert_string_equal(s->output, "0:up\n0:told\n0:end\n");
    assert_int_equal(unlink(again), 0);
    assert_int_equal(amy_pool_stop_position(s->pool, 0, 1, NULL), 0);
    assert_int_equal(amy_pool_stop(s->pool, 0, on_done, s, NULL), 0);
    assert_int_equal(amy_pool_start_position(s->pool, 0, NULL), AMY_EAGAIN);
    RUN_UNTIL(s, s->done);
    scene_free(s);
}

static void
test_position_that_is_not_there_is_refused(void **state)
{
    struct scene *s = scene_new("exec sleep 1000");

    (void)state;
    create(s);
    assert_int_equal(amy_pool_start_position(s->pool, 1, NULL), AMY_EINVAL);
    assert_int_equal(amy_pool_stop_position(s->pool, 1, 0, NULL), AMY_EINVAL);
    assert_int_equal(amy_pool_stop_position(s->pool, 0, 0, NULL), 0);
    scene_free(s);
}

static void
test_restart_needs_a_started_pool(void **state)
{
    struct scene *s = scene_new("true");

    (void)state;
    create(s);
    assert_int_equal(amy_pool_restart(s->pool, 0, NULL), AMY_ESTATE);
    assert_int_equal(amy_pool_give_fd(s->pool, 0, NULL, NULL), AMY_ESTATE);
    assert_int_equal(amy_pool_give_env(s->pool, "A", "b", NULL), AMY_ESTATE);
    stop_and_free(s); /* never started: done at once */
}

static int
give_all_wrong(struct amy_pool *pool, uint32_t position, uint64_t incarnation,
               void *user, struct amy_error *err)
{
    char name[16] = "";
    int rc = 0;

    (void)position;
    (void)incarnation;
    (void)user;
    assert_int_equal(amy_pool_give_fd(pool, -1, NULL, err), AMY_EINVAL);
    assert_int_equal(amy_pool_give_fd(pool, 0, "a:b", err), AMY_EINVAL);
    assert_int_equal(amy_pool_give_fd(pool, 0, "", err), AMY_EINVAL);
    assert_int_equal(amy_pool_give_fd(pool, 0, NULL, err), 0);
    assert_int_equal(amy_pool_give_fd(pool, 0, "late", err), AMY_ESTATE);
    assert_int_equal(amy_pool_give_env(pool, "", "b", err), AMY_EINVAL);
    assert_int_equal(amy_pool_give_env(pool, "A=B", "b", err), AMY_EINVAL);
    assert_int_equal(amy_pool_give_env(pool, "A", NULL, err), AMY_EINVAL);
    for (int i = 1; i < 16; i++) {
        assert_int_equal(amy_pool_give_fd(pool, 0, NULL, err), 0);
    }
    assert_int_equal(amy_pool_give_fd(pool, 0, NULL, err), AMY_ELIMIT);
    for (int i = 0; rc == 0; i++) {
        assert_in_range(i, 0, 64);
        (void)snprintf(name, sizeof(name), "V%d", i);
        rc = amy_pool_give_env(pool, name, "", err);
    }
    assert_int_equal(rc, AMY_ELIMIT);
    return rc;
}

static void
test_give_refuses_what_cannot_be_given(void **state)
{
    struct scene *s = scene_new("true");

    (void)state;
    s->opts.prepare = give_all_wrong;
    s->opts.start_retries = 1;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_FAILED) == 1);
    assert_string_equal(view(s, 0).reason, "more than 64 variables");
    stop_and_free(s);
}

static void
test_a_listening_socket_is_handed_over(void **state)
{
    struct scene *s =
        scene_new("test $LISTEN_PID = $$ && test -S /proc/self/fd/3 && "
                  "echo $LISTEN_FDS $LISTEN_FDNAMES; exec sleep 100");

    (void)state;
    s->opts.prepare = prepare;
    s->give_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    s->give_name = "http";
    launch(s);
    RUN_UNTIL(s, s->lines == 1);
    assert_string_equal(s->output, "0:1 http\n");
    close(s->give_fd);
    stop_and_free(s);
}

static void
test_a_channel_is_a_packet_pair_as_descriptor_3(void **state)
{
    struct scene *s = scene_new(
        "exec python3 -c 'import os, socket\n"
        "c = socket.socket(fileno=int(os.environ[\"AMY_CHANNEL_FD\"]))\n"
        "c.send(c.recv(99) + b\" back\")\nc.recv(99)'");
    char text[32] = "";
    int fd = -1;

    (void)state;
    s->opts.channel = 1;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_STARTED) == 1);
    fd = last(s, AMY_POOL_STARTED)->channel_fd;
    assert_int_equal(send(fd, "there and", 9, 0), 9);
    RUN_UNTIL(s, recv(fd, text, sizeof(text), MSG_DONTWAIT) > 0);
    assert_string_equal(text, "there and back");
    stop_and_free(s);
}

static void
test_long_lines_come_in_pieces_and_the_last_without_newline(void **state)
{
    struct scene *s = scene_new("head -c 150000 /dev/zero | tr '\\0' x; "
                                "echo; printf end");

    (void)state;
    s->opts.settle_ms = 10000;
    launch(s);
    RUN_UNTIL(s, seen(s, AMY_POOL_EXITED) == 1);
    assert_true(s->lines >= 4);
    assert_int_equal(s->longest, 65536);
    assert_non_null(strstr(s->output, "0:end\n"));
    stop_and_free(s);
}

static void
test_output_may_go_to_a_descriptor(void **state)
{
    struct scene *s = scene_new("echo out; echo err >&2; exec sleep 100");
    char text[32] = "";
    int ends[2] = {-1, -1};

    (void)state;
    assert_int_equal(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    s->opts.on_output = NULL;
    s->opts.output_fd_plus_one = (uint32_t)ends[1] + 1;
    launch(s);
    close(ends[1]); /* duplicated */
    RUN_UNTIL(s,
              strlen(text) == 8 || read(ends[0], text + strlen(text), 8) > 8);
    assert_string_equal(text, "out\nerr\n");
    close(ends[0]);
    stop_and_free(s);
}

static void
free_in(enum free_in where, uint32_t type)
{
    struct scene *s = scene_new("echo one; echo two; exit 1");

    s->free_in = where;
    s->free_event = type;
    s->opts.count = 2;
    s->opts.start_retries = 3;
    s->opts.backoff_max_ms = 5;
    s->opts.settle_ms = 10000;
    s->opts.prepare = prepare;
    s->opts.probe = where == FREE_PROBE ? probe : NULL;
    if (type == AMY_POOL_READY || type == AMY_POOL_DRAINING) {
        s->argv[2] = "exec sleep 100";
        s->opts.settle_ms = 1;
    }
    launch(s);
    if (type == AMY_POOL_DRAINING) {
        RUN_UNTIL(s, seen(s, AMY_POOL_STARTED) == 2);
        assert_int_equal(amy_pool_restart(s->pool, 0, NULL), 0);
    }
    if (where == FREE_DONE) {
        assert_int_equal(amy_pool_stop(s->pool, 0, on_done, s, NULL), 0);
    }
    RUN_UNTIL(s, s->pool == NULL);
    scene_free(s);
}

static void
test_the_pool_may_be_freed_in_every_callback(void **state)
{
    (void)state;
    for (uint32_t type = AMY_POOL_STARTED; type <= AMY_POOL_FAILED; type++) {
        free_in(FREE_EVENT, type);
    }
    free_in(FREE_LINE, 0);
    free_in(FREE_PREPARE, 0);
    free_in(FREE_PROBE, 0);
    free_in(FREE_DONE, 0);
}

static void
test_free_kills_what_lives(void **state)
{
    struct scene *s = scene_new("trap '' TERM; echo up; sleep 100; sleep 100");
    pid_t pid = 0;

    (void)state;
    launch(s);
    RUN_UNTIL(s, s->lines == 1);
    pid = (pid_t)view(s, 0).pid;
    scene_free(s);
    assert_false(alive(pid));
}

/* A directory of its own for locks. */
static int
make_lock_dir(char path[32])
{
    (void)snprintf(path, 32, "/tmp/amy-test-XXXXXX");
    assert_non_null(mkdtemp(path));
    return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static void
remove_lock_dir(int fd, const char *path)
{
    assert_int_equal(unlinkat(fd, "test.0.lock", 0), 0);
    close(fd);
    assert_int_equal(rmdir(path), 0);
}

static void
test_a_position_waits_while_an_earlier_worker_holds_it(void **state)
{
    struct scene *old = scene_new("exec sleep 100");
    struct scene *new = scene_new("exec sleep 100");
    char path[32] = "";
    int dir = make_lock_dir(path);
    int64_t first = 0;

    (void)state;
    old->opts.lock_dir_fd_plus_one = (uint32_t)dir + 1;
    new->opts.lock_dir_fd_plus_one = (uint32_t)dir + 1;
    launch(old);
    RUN_UNTIL(old, seen(old, AMY_POOL_READY) == 1);
    first = view(old, 0).pid;
    launch(new);
    RUN_UNTIL(new, view(new, 0).reason[0] != '\0');
    assert_int_equal(view(new, 0).state, AMY_WORKER_WAITING);
    assert_non_null(strstr(view(new, 0).reason, "still holds position 0"));
    assert_int_equal(new->count, 0);
    assert_true(alive((pid_t)first));
    /* It ends: the place is free. */
    stop_and_free(old);
    RUN_UNTIL(new, seen(new, AMY_POOL_READY) == 1);
    assert_string_equal(view(new, 0).reason, "");
    stop_and_free(new);
    remove_lock_dir(dir, path);
}

static void
test_a_holder_that_is_supervised_is_never_killed(void **state)
{
    struct scene *old = scene_new("exec sleep 100");
    struct scene *new = scene_new("exec sleep 100");
    char path[32] = "";
    int dir = make_lock_dir(path);
    int64_t later_ms = 0;

    (void)state;
    old->opts.lock_dir_fd_plus_one = (uint32_t)dir + 1;
    new->opts.lock_dir_fd_plus_one = (uint32_t)dir + 1;
    new->opts.stop_patience_ms = 1;
    launch(old);
    RUN_UNTIL(old, seen(old, AMY_POOL_READY) == 1);
    launch(new);
    later_ms = amy__mono_ms(NULL) + 300;
    RUN_UNTIL(new, amy__mono_ms(NULL) > later_ms);
    assert_int_equal(view(new, 0).state, AMY_WORKER_WAITING);
    assert_true(alive((pid_t)view(old, 0).pid));
    stop_and_free(new);
    stop_and_free(old);
    remove_lock_dir(dir, path);
}

#define POOL_TEST(name) cmocka_unit_test_teardown(name, no_children)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        POOL_TEST(test_create_refuses_bad_options),
        POOL_TEST(test_start_keeps_count_workers_and_stop_ends_them),
        POOL_TEST(test_a_killed_worker_is_replaced_at_once),
        POOL_TEST(test_a_worker_that_keeps_dying_backs_off_and_fails),
        POOL_TEST(test_a_missing_program_is_a_failure_that_names_it),
        POOL_TEST(test_a_missing_directory_is_a_failure_that_names_it),
        POOL_TEST(test_a_failing_prepare_is_a_failed_start),
        POOL_TEST(test_patience_over_kills_the_whole_group),
        POOL_TEST(test_kill_ends_a_stop_under_way),
        POOL_TEST(test_a_leaders_death_takes_its_group_along),
        POOL_TEST(test_a_kill_reaches_descendants_in_other_sessions),
        POOL_TEST(test_a_sudden_death_takes_noted_descendants_along),
        POOL_TEST(test_probes_decide_when_a_worker_is_ready),
        POOL_TEST(test_without_an_answer_a_booting_worker_is_killed),
        POOL_TEST(test_restart_of_every_position_goes_one_by_one),
        POOL_TEST(
            test_restarting_all_ends_with_the_first_that_does_not_come_back),
        POOL_TEST(test_position_starts_and_stops_alone),
        POOL_TEST(
            test_draining_position_hears_one_signal_and_may_be_wanted_again),
        POOL_TEST(test_position_that_is_not_there_is_refused),
        POOL_TEST(test_restart_needs_a_started_pool),
        POOL_TEST(test_give_refuses_what_cannot_be_given),
        POOL_TEST(test_a_listening_socket_is_handed_over),
        POOL_TEST(test_a_channel_is_a_packet_pair_as_descriptor_3),
        POOL_TEST(test_long_lines_come_in_pieces_and_the_last_without_newline),
        POOL_TEST(test_output_may_go_to_a_descriptor),
        POOL_TEST(test_the_pool_may_be_freed_in_every_callback),
        POOL_TEST(test_free_kills_what_lives),
        POOL_TEST(test_a_position_waits_while_an_earlier_worker_holds_it),
        POOL_TEST(test_a_holder_that_is_supervised_is_never_killed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

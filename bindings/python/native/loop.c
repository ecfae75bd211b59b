/* An event base that blocks its caller, not Python: other threads run, and a
 * signal's handler (Ctrl-C) is heard. */
/* Not for programs with a loop of their own: the C API takes theirs. */
#include "native.h"

#include <event2/event.h>

#include <string.h>

/* How long a signal may wait for its handler. */
#define PULSE_MS 100

int
native_loop_init(struct native_loop *loop)
{
    struct event_config *config = event_config_new();

    memset(loop, 0, sizeof(*loop));
    if (config != NULL) {
        /* One thread at a time: the guard of the object sees to that. */
        (void)event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
        loop->base = event_base_new_with_config(config);
        event_config_free(config);
    }
    if (loop->base == NULL) {
        (void)PyErr_NoMemory();
        return -1;
    }
    return 0;
}

void
native_loop_clear(struct native_loop *loop)
{
    if (loop->base != NULL) {
        event_base_free(loop->base);
        loop->base = NULL;
    }
}

void
native_loop_end(struct native_loop *loop)
{
    (void)event_base_loopbreak(loop->base);
}

static void
on_pulse(evutil_socket_t fd, short what, void *user)
{
    struct native_loop *loop = user;

    (void)fd;
    (void)what;
    PyEval_RestoreThread(loop->thread);
    loop->interrupted = PyErr_CheckSignals() < 0;
    loop->thread = PyEval_SaveThread();
    if (loop->interrupted) {
        native_loop_end(loop);
    }
}

static void
on_late(evutil_socket_t fd, short what, void *user)
{
    struct native_loop *loop = user;

    (void)fd;
    (void)what;
    loop->late = true;
    native_loop_end(loop);
}

static struct timeval
timeval_of(int64_t ms)
{
    return (struct timeval){.tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000};
}

/* NULL: no memory. */
static struct event *
add_timer(struct native_loop *loop, event_callback_fn fn, int64_t ms,
          short flags)
{
    struct timeval after = timeval_of(ms);
    struct event *timer = event_new(loop->base, -1, flags, fn, loop);

    if (timer != NULL && event_add(timer, &after) != 0) {
        event_free(timer);
        timer = NULL;
    }
    return timer;
}

int
native_loop_run(struct native_loop *loop, int64_t timeout_ms)
{
    struct event *pulse = add_timer(loop, on_pulse, PULSE_MS, EV_PERSIST);
    struct event *deadline = NULL;
    bool has_memory = pulse != NULL;

    loop->late = false;
    loop->interrupted = false;
    if (has_memory && timeout_ms >= 0) {
        deadline = add_timer(loop, on_late, timeout_ms, 0);
        has_memory = deadline != NULL;
    }
    if (has_memory) {
        loop->thread = PyEval_SaveThread();
        (void)event_base_dispatch(loop->base);
        PyEval_RestoreThread(loop->thread);
    } else {
        (void)PyErr_NoMemory();
    }
    if (pulse != NULL) {
        event_free(pulse);
    }
    if (deadline != NULL) {
        event_free(deadline);
    }
    return has_memory && !loop->interrupted ? 0 : -1;
}

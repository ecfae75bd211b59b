#include "dispatching.h"

#include "amy_test.h"

#include "fake_loop.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct fake_client fake;

struct amy__call *
handle_of(struct fake_call *call)
{
    return (struct amy__call *)(void *)call;
}

static struct fake_call *
call_of(const struct amy__call *call)
{
    return (struct fake_call *)(uintptr_t)call;
}

static int
fake_client_create(const struct amy__client_options *opts,
                   struct amy__client **ret_client, struct amy_error *err)
{
    (void)opts;
    (void)err;
    fake.clients++;
    *ret_client = (struct amy__client *)(void *)&fake;
    return 0;
}

static void
fake_client_free(struct amy__client *client)
{
    (void)client;
    fake.clients--;
}

static int
fake_start(struct amy__client *client, const struct amy__request_head *head,
           const struct amy__body *body, uint32_t timeout_ms,
           const struct amy__call_handler *handler, void *user,
           struct amy__call **ret_call, struct amy_error *err)
{
    struct fake_call *call = &fake.calls[fake.started % CALLS];

    (void)client;
    (void)body;
    (void)err;
    assert_non_null(head);
    assert_true(timeout_ms > 3600000);
    if (fake.refuse) {
        return AMY_ENOMEM;
    }
    assert_false(call->live);
    *call = (struct fake_call){
        .handler = handler, .user = user, .live = true, .sent = true};
    fake.started++;
    *ret_call = handle_of(call);
    return 0;
}

static int
fake_send(struct amy__call *call, struct amy__span data)
{
    assert_true(call_of(call)->live);
    assert_true(data.n > 0);
    return 0;
}

static void
fake_finish(struct amy__call *call)
{
    assert_true(call_of(call)->live);
    call_of(call)->finished = true;
}

static void
fake_pause(struct amy__call *call)
{
    call_of(call)->paused = true;
}

static void
fake_resume(struct amy__call *call)
{
    call_of(call)->paused = false;
}

static void
fake_detach(struct amy__call *call)
{
    assert_true(call_of(call)->live);
    call_of(call)->detached = true;
}

static void
fake_hang_up(struct amy__call *call)
{
    assert_true(call_of(call)->live);
    call_of(call)->hung_up = true;
}

static void
fake_cancel(struct amy__call *call)
{
    assert_true(call_of(call)->live);
    call_of(call)->live = false;
    fake.cancelled++;
}

static bool
fake_connected(const struct amy__call *call)
{
    return !call_of(call)->connecting;
}

static bool
fake_sent(const struct amy__call *call)
{
    return call_of(call)->sent;
}

static const struct amy__call_ops fake_ops = {
    .client_create = fake_client_create,
    .client_free = fake_client_free,
    .start = fake_start,
    .send = fake_send,
    .finish = fake_finish,
    .pause = fake_pause,
    .resume = fake_resume,
    .detach = fake_detach,
    .hang_up = fake_hang_up,
    .cancel = fake_cancel,
    .connected = fake_connected,
    .sent = fake_sent,
};

void
end_call(unsigned n)
{
    struct fake_call *call = &fake.calls[n];

    assert_true(call->live);
    call->live = false;
    call->handler->on_end(handle_of(call), call->user);
}

void
fail_call(unsigned n, enum amy__call_failure failure)
{
    struct fake_call *call = &fake.calls[n];

    assert_true(call->live);
    call->live = false;
    call->handler->on_fail(handle_of(call), failure, "as told", call->user);
}

/* ---- a job that notes what it hears ---- */

static struct noted *
noted_of(struct amy__job *job)
{
    return (struct noted *)(void *)job;
}

static const struct amy__request_head *
on_head(struct amy__job *job, struct amy__body *ret_body)
{
    static const struct amy__request_head head;

    assert_int_equal(ret_body->fd, -1);
    noted_of(job)->heads++;
    return &head;
}

static void
on_answer(struct amy__job *job, const struct amy__answer_head *head)
{
    (void)head;
    noted_of(job)->answers++;
}

static void
on_data(struct amy__job *job, struct amy__span data)
{
    (void)job;
    (void)data;
}

static void
on_end(struct amy__job *job)
{
    noted_of(job)->ends++;
}

static void
on_fail(struct amy__job *job, enum amy__job_failure failure, const char *reason)
{
    assert_non_null(reason);
    noted_of(job)->fails++;
    noted_of(job)->failure = failure;
}

const struct amy__job_events noted_events = {
    .head = on_head,
    .on_answer = on_answer,
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

int
dispatching_set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    struct amy__dispatch_options opts = {
        .process = 0,
        .event_count = 2,
        .borrow_clock = fake_loop_clock(),
        .borrow_ops = &fake_ops,
    };

    memset(&fake, 0, sizeof(fake));
    f->memory = calloc(1, amy__slots_bytes());
    f->slots = amy__slots_over(f->memory);
    f->bells[0] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    f->bells[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    opts.borrow_slots = f->slots;
    opts.events = f->bells;
    assert_int_equal(amy__dispatch_create(&opts, &f->dispatch, NULL), 0);
    assert_int_equal(amy__pool_lane_create(f->dispatch, "web", &f->pool, NULL),
                     0);
    *state = f;
    return 0;
}

int
dispatching_tear_down(void **state)
{
    struct fixture *f = *state;

    amy__dispatch_free(f->dispatch);
    assert_int_equal(fake.clients, 0);
    for (uint32_t slot = 0; slot < 8; slot++) {
        assert_int_equal(amy__slot_owner(f->slots, slot), 0);
    }
    assert_int_equal(fake_loop_left(), 0);
    (void)close(f->bells[0]);
    (void)close(f->bells[1]);
    free(f->memory);
    free(f);
    return 0;
}

void
add_worker(struct fixture *f, uint32_t slot, uint64_t incarnation)
{
    const struct amy__worker_spec spec = {
        .pool_index = 2,
        .slot = slot,
        .slots = 1,
        .incarnation = incarnation,
        .dir_fd = f->bells[0], /* any descriptor will do */
        .name = "web/1.0",
    };

    assert_int_equal(amy__pool_lane_add(f->pool, &spec, NULL), 0);
}

void
start(struct fixture *f, struct noted *noted)
{
    memset(noted, 0, sizeof(*noted));
    assert_int_equal(amy__job_start(&noted->job, f->pool, 1000, &noted_events),
                     0);
}

uint32_t
waiting(struct fixture *f)
{
    struct amy__pool_lane_figures figures;

    amy__pool_lane_figures(f->pool, &figures);
    return figures.waiting;
}

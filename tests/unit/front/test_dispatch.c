/* Queue, slots and calls on a fake clock, with clients that do what they are
 * told. */
#include "amy_test.h"

#include "fail_alloc.h"
#include "fake_loop.h"
#include "front/dispatch.h"

#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define CALLS 8U

/* One call as the fake client knows it; the library only passes its address. */
struct fake_call {
    const struct amy__call_handler *handler;
    void *user;
    bool live;
    bool detached;
    bool hung_up;
    bool finished;
    bool paused;
    bool sent;
};

static struct {
    struct fake_call calls[CALLS];
    unsigned started;
    unsigned cancelled;
    unsigned clients;
    bool refuse; /* start fails */
} fake;

static struct amy__call *
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
    .sent = fake_sent,
};

static void
end_call(unsigned n)
{
    struct fake_call *call = &fake.calls[n];

    assert_true(call->live);
    call->live = false;
    call->handler->on_end(handle_of(call), call->user);
}

static void
fail_call(unsigned n, enum amy__call_failure failure)
{
    struct fake_call *call = &fake.calls[n];

    assert_true(call->live);
    call->live = false;
    call->handler->on_fail(handle_of(call), failure, "as told", call->user);
}

/* ---- a job that notes what it hears ---- */

struct noted {
    struct amy__job job; /* first */
    unsigned heads;
    unsigned answers;
    unsigned ends;
    unsigned fails;
    enum amy__job_failure failure;
};

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

static const struct amy__job_events events = {
    .head = on_head,
    .on_answer = on_answer,
    .on_data = on_data,
    .on_end = on_end,
    .on_fail = on_fail,
};

struct fixture {
    void *memory;
    struct amy__slots *slots;
    struct amy__dispatch *dispatch;
    struct amy__pool_lane *pool;
    int bells[2];
    struct noted a;
    struct noted b;
    struct noted c;
};

static int
set_up(void **state)
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

static int
tear_down(void **state)
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

static void
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

static void
start(struct fixture *f, struct noted *noted)
{
    memset(noted, 0, sizeof(*noted));
    assert_int_equal(amy__job_start(&noted->job, f->pool, 1000, &events), 0);
}

static uint32_t
waiting(struct fixture *f)
{
    struct amy__pool_lane_figures figures;

    amy__pool_lane_figures(f->pool, &figures);
    return figures.waiting;
}

/* ---- the course of a request ---- */

static void
test_request_runs_at_once_and_gives_the_slot_back(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    assert_int_equal(f->a.heads, 1);
    assert_string_equal(f->a.job.worker, "web/1.0");
    assert_int_equal(amy__slot_owner(f->slots, 0), 1);
    end_call(0);
    assert_int_equal(f->a.ends, 1);
    assert_int_equal(amy__slot_owner(f->slots, 0), 0);
    assert_int_equal(amy__dispatch_running(f->dispatch), 0);
}

static void
test_second_runs_when_the_first_is_over(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    start(f, &f->b);
    start(f, &f->c);
    assert_int_equal(waiting(f), 2);
    end_call(0);
    assert_int_equal(f->b.heads, 1);
    assert_int_equal(f->c.heads, 0);
    end_call(1);
    end_call(2);
    assert_int_equal(f->c.ends, 1);
}

static void
test_freed_slot_rings_an_older_process(void **state)
{
    struct fixture *f = *state;
    uint64_t count = 0;

    add_worker(f, 0, 1);
    start(f, &f->a);
    amy__slots_wait(f->slots, 2, 1, 1);
    start(f, &f->b);
    end_call(0);
    assert_int_equal(f->b.heads, 0);
    assert_int_equal(read(f->bells[1], &count, sizeof(count)), sizeof(count));
    /* It took what it needed, and passes the ring on to us. */
    amy__slots_wait(f->slots, 2, 1, 0);
    amy__dispatch_rung(f->dispatch);
    assert_int_equal(f->b.heads, 1);
    end_call(1);
}

/* ---- waiting ends ---- */

static void
test_without_a_worker_it_is_down_after_five_seconds(void **state)
{
    struct fixture *f = *state;

    start(f, &f->a);
    fake_loop_advance(4900);
    assert_int_equal(f->a.fails, 0);
    fake_loop_advance(200);
    assert_int_equal(f->a.fails, 1);
    assert_int_equal(f->a.failure, AMY__JOB_DOWN);
}

static void
test_worker_that_comes_in_time_takes_what_waits(void **state)
{
    struct fixture *f = *state;

    start(f, &f->a);
    start(f, &f->b);
    fake_loop_advance(4000);
    add_worker(f, 0, 1);
    assert_int_equal(f->a.heads, 1);
    fake_loop_advance(500);
    assert_int_equal(f->b.fails, 0);
    end_call(0);
    end_call(1);
    assert_int_equal(f->b.ends, 1);
}

static void
test_loss_of_all_workers_starts_the_wait_anew(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    start(f, &f->b);
    f->a.job.timeout_ms = 60000;
    fake_loop_advance(10000);
    amy__pool_lane_remove(f->pool, 1);
    fake_loop_advance(4900);
    assert_int_equal(f->b.fails, 0);
    fake_loop_advance(200);
    assert_int_equal(f->b.failure, AMY__JOB_DOWN);
    /* The one it was running may still end. */
    end_call(0);
    assert_int_equal(f->a.ends, 1);
    assert_int_equal(fake.clients, 0);
}

static void
test_queue_has_a_longest_wait(void **state)
{
    struct fixture *f = *state;

    amy__pool_lane_set_limits(f->pool, 10, 3000);
    add_worker(f, 0, 1);
    start(f, &f->a);
    f->a.job.timeout_ms = 60000;
    start(f, &f->b);
    fake_loop_advance(1000);
    start(f, &f->c);
    fake_loop_advance(2100);
    assert_int_equal(f->b.failure, AMY__JOB_LATE);
    assert_int_equal(f->c.fails, 0);
    fake_loop_advance(1000);
    assert_int_equal(f->c.failure, AMY__JOB_LATE);
    end_call(0);
}

/* As start(), for a path that is known by that key. */
static void
start_as(struct fixture *f, struct noted *noted, uint32_t key)
{
    memset(noted, 0, sizeof(*noted));
    noted->job.cost_key = key;
    assert_int_equal(amy__job_start(&noted->job, f->pool, 60000, &events), 0);
}

/* Teach the pool that one kind of request takes a second, the other nothing. */
static void
teach(struct fixture *f, uint32_t slow, uint32_t fast)
{
    start_as(f, &f->a, slow);
    fake_loop_advance(1000);
    end_call(0);
    start_as(f, &f->a, fast);
    end_call(1);
}

static void
test_requests_known_to_be_short_pass_those_known_to_be_long(void **state)
{
    struct fixture *f = *state;
    struct noted more;

    add_worker(f, 0, 1);
    teach(f, 7, 8);
    start_as(f, &f->a, 7);
    start_as(f, &f->b, 7);
    start_as(f, &more, 7);
    start_as(f, &f->c, 8);
    end_call(2);
    assert_int_equal(f->b.heads, 1); /* it came first */
    end_call(3);
    assert_int_equal(f->c.heads, 1);
    assert_int_equal(more.heads, 0);
    end_call(4);
    assert_int_equal(more.heads, 1);
    end_call(5);
}

static void
test_longest_wait_is_that_of_the_oldest_wherever_it_stands(void **state)
{
    struct fixture *f = *state;
    struct amy__pool_lane_figures figures;
    struct noted more;

    amy__pool_lane_set_limits(f->pool, 10, 3000);
    add_worker(f, 0, 1);
    teach(f, 7, 8);
    start_as(f, &f->a, 7);
    start_as(f, &f->b, 7);
    start_as(f, &more, 7);
    fake_loop_advance(1000);
    start_as(f, &f->c, 8); /* stands before one that is a second older */
    amy__pool_lane_figures(f->pool, &figures);
    assert_int_equal(figures.oldest_ms, 1000);
    fake_loop_advance(2100);
    assert_int_equal(f->b.failure, AMY__JOB_LATE);
    assert_int_equal(more.failure, AMY__JOB_LATE);
    assert_int_equal(f->c.fails, 0);
    fake_loop_advance(1000);
    assert_int_equal(f->c.failure, AMY__JOB_LATE);
    end_call(2);
}

static void
test_full_queue_is_told_at_once(void **state)
{
    struct fixture *f = *state;

    amy__pool_lane_set_limits(f->pool, 1, 3000);
    start(f, &f->a);
    assert_int_equal(amy__job_start(&f->b.job, f->pool, 0, &events),
                     AMY_ELIMIT);
    amy__job_leave(&f->a.job);
    assert_int_equal(waiting(f), 0);
    fake_loop_advance(60000);
    assert_int_equal(f->a.fails, 0);
}

/* ---- workers that fail ---- */

static void
test_refused_connection_goes_to_another_worker(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    add_worker(f, 1, 2);
    start(f, &f->a);
    fail_call(0, AMY__CALL_CONNECT);
    assert_int_equal(f->a.fails, 0);
    assert_int_equal(f->a.heads, 2);
    end_call(1);
    assert_int_equal(f->a.ends, 1);
}

static void
test_lone_worker_is_asked_again_until_it_is_down(void **state)
{
    struct fixture *f = *state;
    unsigned tries = 0;

    add_worker(f, 0, 1);
    start(f, &f->a);
    while (f->a.fails == 0) {
        fail_call(tries % CALLS,
                  tries % 2 == 0 ? AMY__CALL_CONNECT : AMY__CALL_BUSY);
        tries++;
        assert_true(tries < 200);
        fake_loop_advance(50);
    }
    assert_int_equal(f->a.failure, AMY__JOB_DOWN);
    assert_true(tries >= 90);
}

static void
test_newcomers_do_not_put_the_outage_off(void **state)
{
    struct fixture *f = *state;
    unsigned tries = 0;

    add_worker(f, 0, 1);
    add_worker(f, 1, 2);
    start(f, &f->a);
    fail_call(tries++ % CALLS, AMY__CALL_CONNECT);
    fail_call(tries++ % CALLS, AMY__CALL_CONNECT);
    for (int64_t end = fake_loop_now() + 6000;
         f->a.fails == 0 && fake_loop_now() < end;) {
        fake_loop_advance(30);
        start(f, &f->b);
        while (tries < fake.started) {
            fail_call(tries++ % CALLS, AMY__CALL_CONNECT);
        }
        amy__job_leave(&f->b.job);
        fake_loop_advance(30);
        while (tries < fake.started) {
            fail_call(tries++ % CALLS, AMY__CALL_CONNECT);
        }
    }
    assert_int_equal(f->a.failure, AMY__JOB_DOWN);
}

static void
test_data_read_after_a_pause_starts_no_timeout(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    amy__job_pause(&f->a.job);
    fake.calls[0].handler->on_data(NULL, AMY_SPAN("x"), fake.calls[0].user);
    fake_loop_advance(100000);
    assert_int_equal(f->a.fails, 0);
    end_call(0);
}

static void
test_worker_that_is_back_ends_the_wait(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    fail_call(0, AMY__CALL_BUSY);
    fake_loop_advance(60);
    assert_int_equal(f->a.heads, 2);
    end_call(1);
    assert_int_equal(f->a.ends, 1);
}

/* ---- servers of somebody else's ---- */

static void
add_server(struct fixture *f, uint32_t slot, uint64_t incarnation,
           const char *name)
{
    struct amy__address address = {0};
    const struct amy__worker_spec spec = {
        .pool_index = 2,
        .slot = slot,
        .slots = 4,
        .incarnation = incarnation,
        .name = name,
        .address = &address,
    };

    assert_int_equal(amy__address_parse(amy__span_of(name), 0, &address, NULL),
                     0);
    assert_int_equal(amy__pool_lane_add(f->pool, &spec, NULL), 0);
}

static uint32_t
refusals(struct fixture *f, size_t i)
{
    struct amy__pool_lane_server server = {0};

    assert_true(amy__pool_lane_server(f->pool, i, &server));
    return server.refusals;
}

static void
test_refusing_server_is_left_alone_longer_and_longer(void **state)
{
    static const unsigned pauses[] = {50, 100, 200, 400, 800, 1000, 1000};
    struct fixture *f = *state;
    unsigned n = 0;

    add_server(f, 0, 1, "127.0.0.1:9000");
    start(f, &f->a);
    assert_string_equal(f->a.job.worker, "127.0.0.1:9000");
    for (size_t i = 0; i < sizeof(pauses) / sizeof(pauses[0]); i++) {
        fail_call(n, AMY__CALL_CONNECT);
        assert_int_equal(refusals(f, 0), i + 1);
        fake_loop_advance(pauses[i] - 1);
        assert_int_equal(fake.started, i + 1);
        fake_loop_advance(1);
        assert_int_equal(fake.started, i + 2);
        n = (unsigned)(i + 1) % CALLS;
    }
    assert_int_equal(f->a.fails, 0);
    end_call(n);
    assert_int_equal(f->a.ends, 1);
}

static void
test_server_that_answers_is_trusted_at_once(void **state)
{
    struct fixture *f = *state;
    const struct amy__answer_head head = {.status = 200};

    add_server(f, 0, 1, "127.0.0.1:9000");
    start(f, &f->a);
    fail_call(0, AMY__CALL_CONNECT);
    fake_loop_advance(50);
    assert_int_equal(fake.started, 2);
    fake.calls[1].handler->on_answer(NULL, &head, fake.calls[1].user);
    assert_int_equal(refusals(f, 0), 0);
    end_call(1);
}

/* As one that drops what asks for a connection: each try takes 3 s. */
static void
test_server_that_is_still_connecting_has_not_shown_up(void **state)
{
    struct fixture *f = *state;

    add_server(f, 0, 1, "127.0.0.1:9000");
    start(f, &f->a);
    f->a.job.timeout_ms = 60000;
    for (unsigned tries = 0; tries < 2; tries++) {
        fake.calls[tries].sent = false;
        fake_loop_advance(3000);
        assert_int_equal(refusals(f, 0), tries);
        fail_call(tries, AMY__CALL_CONNECT);
        fake_loop_advance(100);
    }
    assert_int_equal(refusals(f, 0), 2);
}

static void
test_other_server_takes_what_one_refused(void **state)
{
    struct fixture *f = *state;

    add_server(f, 0, 1, "127.0.0.1:9000");
    add_server(f, 4, 2, "unix:/run/b.sock");
    start(f, &f->a);
    assert_string_equal(f->a.job.worker, "127.0.0.1:9000");
    fail_call(0, AMY__CALL_CONNECT);
    assert_string_equal(f->a.job.worker, "unix:/run/b.sock");
    start(f, &f->b);
    assert_string_equal(f->b.job.worker, "unix:/run/b.sock");
    end_call(1);
    end_call(2);
    /* Its time is over: it is asked in its turn. */
    fake_loop_advance(50);
    start(f, &f->b);
    assert_string_equal(f->b.job.worker, "127.0.0.1:9000");
    end_call(3);
}

static void
test_long_path_is_called_by_its_end(void **state)
{
    struct fixture *f = *state;

    add_server(f, 0, 1,
               "unix:/srv/a-rather-long-directory/for-the-sockets-of/app.sock");
    start(f, &f->a);
    assert_string_equal(f->a.job.worker,
                        "..er-long-directory/for-the-sockets-of/app.sock");
    end_call(0);
}

static void
test_broken_answers_are_bad(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    fail_call(0, AMY__CALL_CLOSED);
    assert_int_equal(f->a.failure, AMY__JOB_BAD);
    start(f, &f->a);
    fail_call(1, AMY__CALL_BAD);
    assert_int_equal(f->a.failure, AMY__JOB_BAD);
    start(f, &f->a);
    fail_call(2, AMY__CALL_CUT);
    assert_int_equal(f->a.failure, AMY__JOB_CUT);
}

static void
test_call_that_cannot_start_gives_the_slot_back(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    fake.refuse = true;
    start(f, &f->a);
    assert_int_equal(f->a.failure, AMY__JOB_BAD);
    assert_int_equal(amy__slot_owner(f->slots, 0), 0);
}

/* ---- time, and clients that leave ---- */

static void
test_timeout_keeps_the_slot_until_the_worker_is_done(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    fake_loop_advance(1500);
    assert_int_equal(f->a.failure, AMY__JOB_TIMEOUT);
    assert_true(fake.calls[0].detached);
    assert_int_equal(amy__slot_owner(f->slots, 0), 1);
    start(f, &f->b);
    assert_int_equal(f->b.heads, 0);
    end_call(0);
    assert_int_equal(f->a.ends, 0);
    assert_int_equal(f->b.heads, 1);
    end_call(1);
}

static void
test_timeout_within_the_answer_cuts_it(void **state)
{
    struct fixture *f = *state;
    const struct amy__answer_head head = {.status = 200};

    add_worker(f, 0, 1);
    start(f, &f->a);
    fake.calls[0].handler->on_answer(NULL, &head, fake.calls[0].user);
    assert_int_equal(f->a.answers, 1);
    fake_loop_advance(1500);
    assert_int_equal(f->a.failure, AMY__JOB_CUT);
    assert_true(fake.calls[0].hung_up);
    end_call(0);
}

/* A worker that agrees to be spoken to for ever. */
static void
open_tunnel(struct fixture *f)
{
    const struct amy__answer_head head = {.status = 101};

    add_worker(f, 0, 1);
    memset(&f->a, 0, sizeof(f->a));
    f->a.job.tunnel_ms = 5000;
    assert_int_equal(amy__job_start(&f->a.job, f->pool, 1000, &events), 0);
    fake.calls[0].handler->on_answer(handle_of(&fake.calls[0]), &head,
                                     fake.calls[0].user);
    assert_int_equal(f->a.answers, 1);
}

static void
test_tunnel_is_idle_only_when_both_are_silent(void **state)
{
    struct fixture *f = *state;
    struct amy__pool_lane_figures figures;

    open_tunnel(f);
    for (unsigned i = 0; i < 4; i++) {
        fake_loop_advance(4000);
        assert_int_equal(amy__job_send(&f->a.job, AMY_SPAN("x")), 0);
        fake_loop_advance(4000);
        fake.calls[0].handler->on_data(handle_of(&fake.calls[0]), AMY_SPAN("y"),
                                       fake.calls[0].user);
    }
    assert_int_equal(f->a.fails, 0);
    amy__pool_lane_figures(f->pool, &figures);
    assert_int_equal(figures.tunnels, 1);
    fake_loop_advance(5500);
    assert_int_equal(f->a.failure, AMY__JOB_IDLE);
    assert_true(fake.calls[0].hung_up);
    end_call(0);
    amy__pool_lane_figures(f->pool, &figures);
    assert_int_equal(figures.tunnels, 0);
}

/* The worker is busy with it until it closes its end, too. */
static void
test_left_tunnel_keeps_its_slot_until_the_worker_has_closed(void **state)
{
    struct fixture *f = *state;

    open_tunnel(f);
    fake.calls[0].sent = false; /* the client's last bytes */
    amy__job_leave(&f->a.job);
    assert_true(fake.calls[0].hung_up);
    assert_int_equal(fake.cancelled, 0);
    start(f, &f->b);
    assert_int_equal(f->b.heads, 0);
    end_call(0);
    assert_int_equal(f->b.heads, 1);
    end_call(1);
}

static void
test_answer_without_a_length_that_nobody_awaits_is_hung_up(void **state)
{
    struct fixture *f = *state;
    const struct amy__answer_head head = {.status = 200,
                                          .body = AMY__BODY_CHUNKED};

    add_worker(f, 0, 1);
    start(f, &f->a);
    amy__job_leave(&f->a.job);
    assert_false(fake.calls[0].hung_up);
    fake.calls[0].handler->on_answer(handle_of(&fake.calls[0]), &head,
                                     fake.calls[0].user);
    assert_true(fake.calls[0].hung_up);
    assert_int_equal(amy__slot_owner(f->slots, 0), 1);
    fail_call(0, AMY__CALL_CUT);
    assert_int_equal(amy__slot_owner(f->slots, 0), 0);
}

static void
test_progress_puts_the_timeout_off(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    for (int i = 0; i < 10; i++) {
        fake_loop_advance(500);
        fake.calls[0].handler->on_data(NULL, AMY_SPAN("x"), fake.calls[0].user);
    }
    assert_int_equal(f->a.fails, 0);
    end_call(0);
}

static void
test_worker_we_do_not_read_from_is_not_late(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    amy__job_pause(&f->a.job);
    assert_true(fake.calls[0].paused);
    fake_loop_advance(100000);
    assert_int_equal(f->a.fails, 0);
    amy__job_resume(&f->a.job);
    fake_loop_advance(1500);
    assert_int_equal(f->a.failure, AMY__JOB_TIMEOUT);
    end_call(0);
}

static void
test_body_that_was_not_sent_ends_with_its_exchange(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    fake.calls[0].sent = false;
    amy__job_leave(&f->a.job);
    assert_int_equal(fake.cancelled, 1);
    assert_int_equal(amy__slot_owner(f->slots, 0), 0);
}

static void
test_left_call_that_cannot_connect_is_forgotten(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    amy__job_leave(&f->a.job);
    assert_true(fake.calls[0].detached);
    fail_call(0, AMY__CALL_CONNECT);
    assert_int_equal(f->a.fails, 0);
    assert_int_equal(waiting(f), 0);
    assert_int_equal(amy__slot_owner(f->slots, 0), 0);
}

static void
test_free_drops_what_runs_and_waits(void **state)
{
    struct fixture *f = *state;

    add_worker(f, 0, 1);
    start(f, &f->a);
    start(f, &f->b);
    assert_int_equal(amy__dispatch_running(f->dispatch), 1);
    /* tear_down looks at what is left. */
}

static void
test_create_and_add_survive_want_of_memory(void **state)
{
    struct fixture *f = *state;

    for (int n = 1;; n++) {
        struct amy__pool_lane *pool = NULL;
        const struct amy__worker_spec spec = {.pool_index = 2,
                                              .slots = 1,
                                              .incarnation = 9,
                                              .dir_fd = f->bells[0],
                                              .name = "web/1.0"};
        struct amy_error err = AMY_ERROR_INIT;
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy__pool_lane_create(f->dispatch, "web", &pool, &err);
        if (rc == 0) {
            rc = amy__pool_lane_add(pool, &spec, &err);
        }
        if (!fail_alloc_hit()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, AMY_ENOMEM);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_runs_at_once_and_gives_the_slot_back),
        TEST(test_second_runs_when_the_first_is_over),
        TEST(test_freed_slot_rings_an_older_process),
        TEST(test_without_a_worker_it_is_down_after_five_seconds),
        TEST(test_worker_that_comes_in_time_takes_what_waits),
        TEST(test_loss_of_all_workers_starts_the_wait_anew),
        TEST(test_queue_has_a_longest_wait),
        TEST(test_requests_known_to_be_short_pass_those_known_to_be_long),
        TEST(test_longest_wait_is_that_of_the_oldest_wherever_it_stands),
        TEST(test_full_queue_is_told_at_once),
        TEST(test_refused_connection_goes_to_another_worker),
        TEST(test_lone_worker_is_asked_again_until_it_is_down),
        TEST(test_newcomers_do_not_put_the_outage_off),
        TEST(test_data_read_after_a_pause_starts_no_timeout),
        TEST(test_worker_that_is_back_ends_the_wait),
        TEST(test_refusing_server_is_left_alone_longer_and_longer),
        TEST(test_server_that_answers_is_trusted_at_once),
        TEST(test_server_that_is_still_connecting_has_not_shown_up),
        TEST(test_other_server_takes_what_one_refused),
        TEST(test_long_path_is_called_by_its_end),
        TEST(test_broken_answers_are_bad),
        TEST(test_call_that_cannot_start_gives_the_slot_back),
        TEST(test_timeout_keeps_the_slot_until_the_worker_is_done),
        TEST(test_timeout_within_the_answer_cuts_it),
        TEST(test_tunnel_is_idle_only_when_both_are_silent),
        TEST(test_left_tunnel_keeps_its_slot_until_the_worker_has_closed),
        TEST(test_answer_without_a_length_that_nobody_awaits_is_hung_up),
        TEST(test_progress_puts_the_timeout_off),
        TEST(test_worker_we_do_not_read_from_is_not_late),
        TEST(test_body_that_was_not_sent_ends_with_its_exchange),
        TEST(test_left_call_that_cannot_connect_is_forgotten),
        TEST(test_free_drops_what_runs_and_waits),
        TEST(test_create_and_add_survive_want_of_memory),
    };

    return cmocka_run_group_tests_name("front/dispatch", tests, NULL, NULL);
}

/* The course of a request, from its slot to its end. */
#include "amy_test.h"

#include "dispatching.h"
#include "fail_alloc.h"
#include "fake_loop.h"

#include <string.h>
#include <unistd.h>

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
    assert_int_equal(amy__job_start(&f->a.job, f->pool, 1000, &noted_events),
                     0);
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
test_end_of_the_tunnels_leaves_requests_alone(void **state)
{
    struct fixture *f = *state;

    open_tunnel(f);
    add_worker(f, 1, 2);
    start(f, &f->b);
    amy__dispatch_end_tunnels(f->dispatch);
    assert_int_equal(f->a.failure, AMY__JOB_IDLE);
    assert_true(fake.calls[0].hung_up);
    assert_int_equal(f->b.fails, 0);
    amy__dispatch_end_tunnels(f->dispatch);
    assert_int_equal(f->a.fails, 1);
    end_call(0);
    end_call(1);
    assert_int_equal(f->b.ends, 1);
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

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, dispatching_set_up,                  \
                                    dispatching_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_request_runs_at_once_and_gives_the_slot_back),
        TEST(test_second_runs_when_the_first_is_over),
        TEST(test_freed_slot_rings_an_older_process),
        TEST(test_timeout_keeps_the_slot_until_the_worker_is_done),
        TEST(test_timeout_within_the_answer_cuts_it),
        TEST(test_tunnel_is_idle_only_when_both_are_silent),
        TEST(test_left_tunnel_keeps_its_slot_until_the_worker_has_closed),
        TEST(test_end_of_the_tunnels_leaves_requests_alone),
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

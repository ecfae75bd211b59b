/* Who waits, until when, and for which worker or server. */
#include "amy_test.h"

#include "dispatching.h"
#include "fake_loop.h"

#include <string.h>

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
    assert_int_equal(amy__job_start(&noted->job, f->pool, 60000, &noted_events),
                     0);
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
    assert_int_equal(amy__job_start(&f->b.job, f->pool, 0, &noted_events),
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
        fake.calls[tries].connecting = true;
        fake_loop_advance(3000);
        assert_int_equal(refusals(f, 0), tries);
        fail_call(tries, AMY__CALL_CONNECT);
        fake_loop_advance(100);
    }
    assert_int_equal(refusals(f, 0), 2);
}

static void
test_server_that_refused_is_tried_with_one_request(void **state)
{
    struct fixture *f = *state;
    struct noted more[3];

    add_server(f, 0, 1, "127.0.0.1:9000");
    add_server(f, 4, 2, "127.0.0.1:9001");
    start(f, &f->a);
    fail_call(0, AMY__CALL_CONNECT);
    assert_string_equal(f->a.job.worker, "127.0.0.1:9001");
    start(f, &f->b);
    fake_loop_advance(50);
    /* It has the fewest, by far; but who knows whether it is back? */
    start(f, &f->c);
    assert_string_equal(f->c.job.worker, "127.0.0.1:9000");
    fake.calls[3].connecting = true;
    for (size_t i = 0; i < 2; i++) {
        start(f, &more[i]);
        assert_string_equal(more[i].job.worker, "127.0.0.1:9001");
    }
    start(f, &more[2]);
    assert_int_equal(waiting(f), 1); /* the other has no more slots */
    fake.calls[3].connecting = false;
    fake_loop_advance(500);
    assert_string_equal(more[2].job.worker, "127.0.0.1:9000");
    assert_int_equal(refusals(f, 0), 0);
    for (unsigned i = 1; i <= 6; i++) {
        end_call(i);
    }
}

static void
test_answer_of_one_that_refused_lets_the_others_in(void **state)
{
    struct fixture *f = *state;
    const struct amy__answer_head head = {.status = 200};

    add_server(f, 0, 1, "127.0.0.1:9000");
    start(f, &f->a);
    fail_call(0, AMY__CALL_CONNECT);
    fake_loop_advance(50);
    start(f, &f->b);
    assert_int_equal(waiting(f), 1);
    fake.calls[1].handler->on_answer(NULL, &head, fake.calls[1].user);
    assert_int_equal(waiting(f), 0);
    assert_string_equal(f->b.job.worker, "127.0.0.1:9000");
    end_call(1);
    end_call(2);
}

/* A body that is long in sending is no reason to think it away. */
static void
test_server_that_still_takes_a_body_has_shown_up(void **state)
{
    struct fixture *f = *state;

    add_server(f, 0, 1, "127.0.0.1:9000");
    start(f, &f->a);
    fail_call(0, AMY__CALL_CONNECT);
    fake_loop_advance(50);
    assert_int_equal(refusals(f, 0), 1);
    fake.calls[1].sent = false;
    fake_loop_advance(500);
    assert_int_equal(refusals(f, 0), 0);
    end_call(1);
}

static void
test_request_of_a_client_that_left_goes_to_no_other_server(void **state)
{
    struct fixture *f = *state;

    add_server(f, 0, 1, "127.0.0.1:9000");
    add_server(f, 4, 2, "127.0.0.1:9001");
    start(f, &f->a);
    fake.calls[0].connecting = true;
    amy__job_gone(&f->a.job);
    fail_call(0, AMY__CALL_CONNECT);
    assert_int_equal(f->a.failure, AMY__JOB_GONE);
    assert_int_equal(refusals(f, 0), 1);
    assert_int_equal(amy__dispatch_running(f->dispatch), 0);
    fake_loop_advance(60000);
    assert_int_equal(fake.started, 1);
    assert_int_equal(f->a.fails, 1);
}

/* It may have closed its sending side alone. */
static void
test_request_of_a_client_that_left_is_answered_where_it_is(void **state)
{
    struct fixture *f = *state;

    add_server(f, 0, 1, "127.0.0.1:9000");
    start(f, &f->a);
    amy__job_gone(&f->a.job);
    end_call(0);
    assert_int_equal(f->a.ends, 1);
    /* The next one in its place is another's. */
    start(f, &f->a);
    fail_call(1, AMY__CALL_CONNECT);
    assert_int_equal(f->a.fails, 0);
    fake_loop_advance(50);
    assert_int_equal(fake.started, 3);
    end_call(2);
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

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, dispatching_set_up,                  \
                                    dispatching_tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
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
        TEST(test_server_that_refused_is_tried_with_one_request),
        TEST(test_answer_of_one_that_refused_lets_the_others_in),
        TEST(test_server_that_still_takes_a_body_has_shown_up),
        TEST(test_request_of_a_client_that_left_goes_to_no_other_server),
        TEST(test_request_of_a_client_that_left_is_answered_where_it_is),
        TEST(test_other_server_takes_what_one_refused),
        TEST(test_long_path_is_called_by_its_end),
        TEST(test_broken_answers_are_bad),
        TEST(test_call_that_cannot_start_gives_the_slot_back),
    };

    return cmocka_run_group_tests_name("front/lanes", tests, NULL, NULL);
}

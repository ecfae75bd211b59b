/* Slot words and lanes, one step after the other; every order of steps is
 * test_slots_sim.c. */
#include "amy_test.h"

#include <amy/error.h>

#include "front/lane.h"

#include <stdlib.h>
#include <string.h>

struct fixture {
    void *memory;
    struct amy__slots *slots;
    struct amy__lane lane;
    int rung; /* last process rung, -1: none */
    unsigned dropped;
};

static void
note_ring(uint16_t process, void *user)
{
    ((struct fixture *)user)->rung = process;
}

static void
note_drop(struct amy__lane_worker *worker, void *user)
{
    (void)worker;
    ((struct fixture *)user)->dropped++;
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    f->memory = calloc(1, amy__slots_bytes());
    f->slots = amy__slots_over(f->memory);
    f->rung = -1;
    f->lane = (struct amy__lane){
        .borrow_slots = f->slots,
        .pool = 3,
        .process = 1,
        .ring = note_ring,
        .drop = note_drop,
        .user = f,
    };
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy__lane_clear(&f->lane);
    free(f->memory);
    free(f);
    return 0;
}

static void
test_claim_of_taken_slot_fails(void **state)
{
    struct fixture *f = *state;

    assert_true(amy__slot_claim(f->slots, 5, 0, 7));
    assert_false(amy__slot_claim(f->slots, 5, 1, 7));
    assert_false(amy__slot_claim(f->slots, 5, 0, 8));
    assert_int_equal(amy__slot_owner(f->slots, 5), 1);
}

static void
test_release_of_another_incarnation_leaves_the_word(void **state)
{
    struct fixture *f = *state;

    assert_true(amy__slot_claim(f->slots, 5, 0, 8));
    assert_int_equal(amy__slot_release(f->slots, 5, 0, 7, 0), -1);
    assert_int_equal(amy__slot_owner(f->slots, 5), 1);
    assert_int_equal(amy__slot_release(f->slots, 5, 1, 8, 0), -1);
    assert_int_equal(amy__slot_owner(f->slots, 5), 1);
    assert_int_equal(amy__slot_release(f->slots, 5, 0, 8, 0), -1);
    assert_int_equal(amy__slot_owner(f->slots, 5), 0);
}

static void
test_release_names_the_process_that_waited_longest(void **state)
{
    struct fixture *f = *state;

    amy__slots_wait(f->slots, 2, 0, 100);
    amy__slots_wait(f->slots, 2, 9, 50);
    amy__slots_wait(f->slots, 2, 63, 70);
    amy__slots_wait(f->slots, 4, 1, 1); /* another pool */
    assert_int_equal(amy__slot_release(f->slots, 0, 0, 1, 2), 9);
    amy__slots_wait(f->slots, 2, 9, 0);
    assert_int_equal(amy__slots_oldest(f->slots, 2), 63);
}

static void
test_bury_clears_words_and_waiting_of_the_dead_alone(void **state)
{
    struct fixture *f = *state;

    assert_true(amy__slot_claim(f->slots, 0, 4, 1));
    assert_true(amy__slot_claim(f->slots, AMY__SLOTS_MAX - 1, 4, 2));
    assert_true(amy__slot_claim(f->slots, 1, 5, 1));
    amy__slots_wait(f->slots, 1023, 4, 10);
    amy__slots_wait(f->slots, 1023, 5, 20);
    assert_int_equal(amy__slots_bury(f->slots, 4), 2);
    assert_int_equal(amy__slot_owner(f->slots, 0), 0);
    assert_int_equal(amy__slot_owner(f->slots, 1), 6);
    assert_int_equal(amy__slots_oldest(f->slots, 1023), 5);
}

static void
test_reset_frees_a_range(void **state)
{
    struct fixture *f = *state;

    assert_true(amy__slot_claim(f->slots, 7, 0, 1));
    assert_true(amy__slot_claim(f->slots, 8, 0, 1));
    assert_true(amy__slot_claim(f->slots, 9, 0, 1));
    amy__slots_reset(f->slots, 8, 1);
    assert_int_equal(amy__slot_owner(f->slots, 7), 1);
    assert_int_equal(amy__slot_owner(f->slots, 8), 0);
    assert_int_equal(amy__slot_owner(f->slots, 9), 1);
}

static void
test_add_of_impossible_slots_is_refused(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(amy__lane_add(&f->lane, 0, 0, 1, NULL), AMY_EINVAL);
    assert_int_equal(amy__lane_add(&f->lane, AMY__SLOTS_MAX, 1, 1, NULL),
                     AMY_EINVAL);
    assert_int_equal(amy__lane_add(&f->lane, 1, AMY__SLOTS_MAX, 1, NULL),
                     AMY_EINVAL);
}

static void
test_enter_spreads_over_the_least_loaded(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket tickets[4] = {{0}};
    struct amy__seat seats[4] = {{0}};

    assert_int_equal(amy__lane_add(&f->lane, 0, 2, 1, NULL), 0);
    assert_int_equal(amy__lane_add(&f->lane, 2, 2, 2, NULL), 0);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(amy__lane_enter(&f->lane, &tickets[i], 1, &seats[i]),
                         1);
    }
    assert_ptr_not_equal(seats[0].worker, seats[1].worker);
    assert_ptr_not_equal(seats[2].worker, seats[3].worker);
    /* The least loaded one in truth, not as this process alone sees it. */
    (void)amy__lane_leave(&f->lane, &seats[0]);
    (void)amy__lane_leave(&f->lane, &seats[1]);
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[0], 1, &seats[0]), 1);
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[1], 1, &seats[1]), 1);
    assert_ptr_not_equal(seats[0].worker, seats[1].worker);
    for (size_t i = 0; i < 4; i++) {
        assert_false(amy__lane_leave(&f->lane, &seats[i]));
    }
}

static void
test_enter_beyond_the_limit_is_refused(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket tickets[3] = {{0}};
    struct amy__seat seat = {0};

    f->lane.limit = 2;
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[0], 1, &seat), 0);
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[1], 2, &seat), 0);
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[2], 3, &seat),
                     AMY_ELIMIT);
    amy__lane_forget(&f->lane, &tickets[0]);
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[2], 3, &seat), 0);
    amy__lane_forget(&f->lane, &tickets[1]);
    amy__lane_forget(&f->lane, &tickets[2]);
}

static void
test_newcomer_stands_behind_those_who_wait(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket tickets[2] = {{0}};
    struct amy__ticket *next = NULL;
    struct amy__seat seat = {0};

    assert_int_equal(amy__lane_enter(&f->lane, &tickets[0], 1, &seat), 0);
    assert_int_equal(amy__lane_add(&f->lane, 0, 1, 1, NULL), 0);
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[1], 2, &seat), 0);
    assert_true(amy__lane_next(&f->lane, &next, &seat));
    assert_ptr_equal(next, &tickets[0]);
    assert_false(amy__lane_next(&f->lane, &next, &seat));
    assert_true(amy__lane_leave(&f->lane, &seat));
    assert_true(amy__lane_next(&f->lane, &next, &seat));
    assert_ptr_equal(next, &tickets[1]);
    assert_false(amy__lane_leave(&f->lane, &seat));
}

static void
test_leave_rings_an_older_request_elsewhere(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket ticket = {0};
    struct amy__ticket waits = {0};
    struct amy__ticket *next = NULL;
    struct amy__seat seat = {0};

    assert_int_equal(amy__lane_add(&f->lane, 0, 1, 1, NULL), 0);
    assert_int_equal(amy__lane_enter(&f->lane, &ticket, 1, &seat), 1);
    assert_int_equal(amy__lane_enter(&f->lane, &waits, 200, &seat), 0);
    amy__slots_wait(f->slots, 3, 0, 100);
    assert_false(amy__lane_leave(&f->lane, &seat));
    assert_int_equal(f->rung, 0);
    /* Rung for nothing: the next in line is told. */
    f->rung = -1;
    amy__lane_forget(&f->lane, &waits);
    assert_false(amy__lane_next(&f->lane, &next, &seat));
    assert_int_equal(f->rung, 0);
}

static void
test_bounce_avoids_the_worker_and_keeps_the_place(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket first = {0};
    struct amy__ticket second = {0};
    struct amy__ticket *next = NULL;
    struct amy__seat seat = {0};
    struct amy__seat none = {0};

    assert_int_equal(amy__lane_add(&f->lane, 0, 1, 1, NULL), 0);
    assert_int_equal(amy__lane_enter(&f->lane, &first, 10, &seat), 1);
    assert_int_equal(amy__lane_enter(&f->lane, &second, 20, &none), 0);
    amy__lane_bounce(&f->lane, &seat, &first, 10);
    assert_int_equal(amy__lane_ready(&f->lane), 0);
    assert_false(amy__lane_next(&f->lane, &next, &seat));
    amy__lane_forgive(&f->lane);
    assert_true(amy__lane_next(&f->lane, &next, &seat));
    assert_ptr_equal(next, &first);
    amy__lane_forget(&f->lane, &second);
    assert_false(amy__lane_leave(&f->lane, &seat));
}

static void
test_removed_worker_goes_with_its_last_seat(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket ticket = {0};
    struct amy__seat seat = {0};
    struct amy__seat none = {0};

    assert_int_equal(amy__lane_add(&f->lane, 0, 2, 77, NULL), 0);
    assert_int_equal(amy__lane_enter(&f->lane, &ticket, 10, &seat), 1);
    assert_false(amy__lane_remove(&f->lane, 78));
    assert_true(amy__lane_remove(&f->lane, 77));
    assert_int_equal(f->dropped, 0);
    assert_int_equal(amy__lane_enter(&f->lane, &ticket, 11, &none), 0);
    amy__lane_forget(&f->lane, &ticket);
    (void)amy__lane_leave(&f->lane, &seat);
    assert_int_equal(f->dropped, 1);
    assert_int_equal(f->lane.worker_count, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_claim_of_taken_slot_fails),
        TEST(test_release_of_another_incarnation_leaves_the_word),
        TEST(test_release_names_the_process_that_waited_longest),
        TEST(test_bury_clears_words_and_waiting_of_the_dead_alone),
        TEST(test_reset_frees_a_range),
        TEST(test_add_of_impossible_slots_is_refused),
        TEST(test_enter_spreads_over_the_least_loaded),
        TEST(test_enter_beyond_the_limit_is_refused),
        TEST(test_newcomer_stands_behind_those_who_wait),
        TEST(test_leave_rings_an_older_request_elsewhere),
        TEST(test_bounce_avoids_the_worker_and_keeps_the_place),
        TEST(test_removed_worker_goes_with_its_last_seat),
    };

    return cmocka_run_group_tests_name("front/slots", tests, NULL, NULL);
}

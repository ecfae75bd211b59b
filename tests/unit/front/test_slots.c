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

/* Names of those that wait, as one worker serves them. */
static const char *
order(struct fixture *f, const struct amy__ticket *tickets, size_t n)
{
    static char names[16];
    struct amy__ticket *next = NULL;
    struct amy__seat seat = {0};
    size_t used = 0;

    assert_int_equal(amy__lane_add(&f->lane, 0, 1, 1, NULL), 0);
    while (amy__lane_next(&f->lane, &next, &seat)) {
        assert_in_range(next - tickets, 0, n - 1);
        names[used++] = (char)('a' + (next - tickets));
        (void)amy__lane_leave(&f->lane, &seat);
    }
    names[used] = '\0';
    return names;
}

static void
enter_with_costs(struct fixture *f, struct amy__ticket *tickets,
                 const uint32_t *costs_us, size_t n)
{
    struct amy__seat seat = {0};

    for (size_t i = 0; i < n; i++) {
        tickets[i].cost_us = costs_us[i];
        assert_int_equal(
            amy__lane_enter(&f->lane, &tickets[i], (int64_t)i + 1, &seat), 0);
    }
}

static void
test_cheap_requests_pass_dear_ones_but_the_first(void **state)
{
    struct fixture *f = *state;
    static const uint32_t costs[] = {1000000, 1000000, 5000, 5000, 1000000, 0};
    struct amy__ticket tickets[6] = {{0}};

    enter_with_costs(f, tickets, costs, 6);
    assert_string_equal(order(f, tickets, 6), "acdfbe");
}

static void
test_alike_requests_are_served_as_they_came(void **state)
{
    struct fixture *f = *state;
    static const uint32_t costs[] = {5000, 0, 9000, 1, 15999};
    struct amy__ticket tickets[5] = {{0}};

    enter_with_costs(f, tickets, costs, 5);
    assert_string_equal(order(f, tickets, 5), "abcde");
}

/* Whatever comes, in whatever numbers: a group is served for as long as any
 * other while both wait. */
static void
test_dear_requests_get_their_share_of_a_flood_of_cheap_ones(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket cheap[8] = {{0}};
    struct amy__ticket dear[2] = {{0}};
    struct amy__ticket *next = NULL;
    struct amy__seat seat = {0};
    int64_t now_us = 1;
    int64_t cheap_us = 0;
    int64_t dear_us = 0;

    assert_int_equal(amy__lane_add(&f->lane, 0, 1, 1, NULL), 0);
    cheap[0].cost_us = 10000;
    assert_int_equal(amy__lane_enter(&f->lane, &cheap[0], now_us++, &seat), 1);
    for (unsigned served = 0; served < 2000; served++) {
        for (size_t i = 0; i < 8; i++) {
            struct amy__ticket *t = i < 2 ? &dear[i] : &cheap[i];
            struct amy__seat none = {0};

            if (t->since_us == 0) {
                t->cost_us = i < 2 ? 100000 : 10000;
                assert_int_equal(amy__lane_enter(&f->lane, t, now_us++, &none),
                                 0);
            }
        }
        assert_true(amy__lane_leave(&f->lane, &seat));
        assert_true(amy__lane_next(&f->lane, &next, &seat));
        *(next == &dear[0] || next == &dear[1] ? &dear_us : &cheap_us) +=
            next == &dear[0] || next == &dear[1] ? 100000 : 10000;
    }
    assert_in_range(dear_us, cheap_us - 200000, cheap_us + 200000);
    for (size_t i = 0; i < 8; i++) {
        struct amy__ticket *t = i < 2 ? &dear[i] : &cheap[i];

        if (t->since_us > 0) {
            amy__lane_forget(&f->lane, t);
        }
    }
    (void)amy__lane_leave(&f->lane, &seat);
}

/* Who leaves unserved leaves no debt behind: a flood that comes and goes does
 * not keep those like it back. */
static void
test_requests_that_leave_are_not_charged(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket dear[2] = {{.cost_us = 1000000}, {.cost_us = 1000000}};
    struct amy__ticket flood = {0};
    struct amy__ticket honest = {.cost_us = 10000};
    struct amy__ticket *next = NULL;
    struct amy__seat seat = {0};

    assert_int_equal(amy__lane_enter(&f->lane, &dear[0], 1, &seat), 0);
    assert_int_equal(amy__lane_enter(&f->lane, &dear[1], 2, &seat), 0);
    for (int64_t i = 0; i < 6000; i++) {
        flood.cost_us = 10000;
        assert_int_equal(amy__lane_enter(&f->lane, &flood, 3 + i, &seat), 0);
        amy__lane_forget(&f->lane, &flood);
    }
    assert_int_equal(amy__lane_enter(&f->lane, &honest, 7000, &seat), 0);
    assert_int_equal(amy__lane_add(&f->lane, 0, 1, 1, NULL), 0);
    assert_true(amy__lane_next(&f->lane, &next, &seat));
    assert_ptr_equal(next, &dear[0]);
    (void)amy__lane_leave(&f->lane, &seat);
    assert_true(amy__lane_next(&f->lane, &next, &seat));
    assert_ptr_equal(next, &honest);
    (void)amy__lane_leave(&f->lane, &seat);
    amy__lane_forget(&f->lane, &dear[1]);
}

static void
test_dear_request_elsewhere_is_not_the_most_urgent(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket dear = {.cost_us = 1000000};
    struct amy__ticket very = {.cost_us = UINT32_MAX};
    struct amy__seat seat = {0};

    assert_int_equal(amy__lane_enter(&f->lane, &dear, 100, &seat), 0);
    amy__slots_wait(f->slots, 3, 0, 4000099); /* came almost 4 s later */
    assert_int_equal(amy__slots_oldest(f->slots, 3), 0);
    amy__slots_wait(f->slots, 3, 0, 4000101);
    assert_int_equal(amy__slots_oldest(f->slots, 3), 1);
    amy__lane_forget(&f->lane, &dear);
    assert_int_equal(amy__lane_enter(&f->lane, &very, 100, &seat), 0);
    amy__slots_wait(f->slots, 3, 0, 5000101); /* never more than 5 s */
    assert_int_equal(amy__slots_oldest(f->slots, 3), 1);
    amy__lane_forget(&f->lane, &very);
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
    f->lane.workers[0]->avoid = false;
    assert_true(amy__lane_next(&f->lane, &next, &seat));
    assert_ptr_equal(next, &first);
    amy__lane_forget(&f->lane, &second);
    assert_false(amy__lane_leave(&f->lane, &seat));
}

/* Servers with many slots: equal ones take turns. */
static void
test_in_turn_equal_servers_alternate(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket ticket = {0};
    struct amy__seat seat = {0};

    f->lane.in_turn = true;
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(amy__lane_add(&f->lane, i * 1000, 1000, i + 1, NULL),
                         0);
    }
    for (uint32_t i = 0; i < 9; i++) {
        assert_int_equal(amy__lane_enter(&f->lane, &ticket, 10, &seat), 1);
        assert_int_equal(seat.worker->incarnation, i % 3 + 1);
        (void)amy__lane_leave(&f->lane, &seat);
    }
}

static void
expect_turns(struct fixture *f, const uint64_t *incarnations, size_t n)
{
    struct amy__ticket ticket = {0};
    struct amy__seat seat = {0};

    for (size_t i = 0; i < n; i++) {
        assert_int_equal(amy__lane_enter(&f->lane, &ticket, 10, &seat), 1);
        assert_int_equal(seat.worker->incarnation, incarnations[i]);
        (void)amy__lane_leave(&f->lane, &seat);
    }
}

/* The first worker of a new release would meet nobody otherwise. */
static void
test_requests_one_by_one_meet_every_worker_and_a_new_one_next(void **state)
{
    struct fixture *f = *state;

    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(amy__lane_add(&f->lane, i, 1, i + 1, NULL), 0);
    }
    expect_turns(f, (const uint64_t[]){1, 2, 3, 1, 2}, 5);
    assert_int_equal(amy__lane_add(&f->lane, 3, 1, 4, NULL), 0);
    expect_turns(f, (const uint64_t[]){4, 3, 1, 2, 4}, 5);
    /* One that another process is on is passed over. */
    assert_true(amy__slot_claim(f->slots, 2, 5, 3));
    expect_turns(f, (const uint64_t[]){1}, 1);
}

/* What other processes have there counts as well as our own. */
static void
test_in_turn_the_one_with_the_fewest_of_all_processes(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket ticket = {0};
    struct amy__seat seats[5] = {{0}};

    f->lane.in_turn = true;
    assert_int_equal(amy__lane_add(&f->lane, 0, 1000, 1, NULL), 0);
    assert_int_equal(amy__lane_add(&f->lane, 1000, 1000, 2, NULL), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_true(amy__slot_claim(f->slots, i, 5, 1));
    }
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(amy__lane_enter(&f->lane, &ticket, 10, &seats[i]), 1);
        assert_int_equal(seats[i].worker->incarnation, 2);
    }
    /* Three each: in turn again, and behind the other's words. */
    assert_int_equal(amy__lane_enter(&f->lane, &ticket, 10, &seats[3]), 1);
    assert_int_equal(amy__lane_enter(&f->lane, &ticket, 10, &seats[4]), 1);
    assert_int_equal(seats[3].worker->incarnation, 1);
    assert_int_equal(seats[3].slot, 3);
    assert_int_equal(seats[4].worker->incarnation, 2);
    for (size_t i = 0; i < 5; i++) {
        (void)amy__lane_leave(&f->lane, &seats[i]);
    }
}

static void
test_in_turn_full_servers_make_wait(void **state)
{
    struct fixture *f = *state;
    struct amy__ticket tickets[3] = {{0}};
    struct amy__ticket *next = NULL;
    struct amy__seat seats[3] = {{0}};

    f->lane.in_turn = true;
    assert_int_equal(amy__lane_add(&f->lane, 0, 1, 1, NULL), 0);
    assert_int_equal(amy__lane_add(&f->lane, 1, 1, 2, NULL), 0);
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[0], 10, &seats[0]), 1);
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[1], 11, &seats[1]), 1);
    assert_int_equal(amy__lane_enter(&f->lane, &tickets[2], 12, &seats[2]), 0);
    assert_true(amy__lane_leave(&f->lane, &seats[0]));
    assert_true(amy__lane_next(&f->lane, &next, &seats[2]));
    assert_ptr_equal(next, &tickets[2]);
    (void)amy__lane_leave(&f->lane, &seats[1]);
    (void)amy__lane_leave(&f->lane, &seats[2]);
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
        TEST(test_cheap_requests_pass_dear_ones_but_the_first),
        TEST(test_alike_requests_are_served_as_they_came),
        TEST(test_dear_requests_get_their_share_of_a_flood_of_cheap_ones),
        TEST(test_requests_that_leave_are_not_charged),
        TEST(test_dear_request_elsewhere_is_not_the_most_urgent),
        TEST(test_bounce_avoids_the_worker_and_keeps_the_place),
        TEST(test_in_turn_equal_servers_alternate),
        TEST(test_requests_one_by_one_meet_every_worker_and_a_new_one_next),
        TEST(test_in_turn_the_one_with_the_fewest_of_all_processes),
        TEST(test_in_turn_full_servers_make_wait),
        TEST(test_removed_worker_goes_with_its_last_seat),
    };

    return cmocka_run_group_tests_name("front/slots", tests, NULL, NULL);
}

#include "amy_test.h"

#include <amy/error.h>

#include "fail_alloc.h"
#include "front/roster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct amy__roster *roster;
static struct amy__roster_pool pool;
static char trace[512]; /* "+name@slot#incarnation " and "-name " */
static bool has_pool;

static void
on_worker(const struct amy__roster_pool *p,
          const struct amy__roster_worker *worker, bool is_new, void *user)
{
    size_t used = strlen(trace);

    (void)p;
    assert_ptr_equal(user, trace);
    if (is_new) {
        (void)snprintf(trace + used, sizeof(trace) - used, "+%s@%u#%u ",
                       worker->name, worker->slot,
                       (unsigned)worker->incarnation);
    } else {
        (void)snprintf(trace + used, sizeof(trace) - used, "-%s#%u ",
                       worker->name, (unsigned)worker->incarnation);
    }
}

static int
set_up(void **state)
{
    (void)state;
    roster = calloc(1, sizeof(*roster));
    trace[0] = '\0';
    has_pool = true;
    return roster == NULL || amy__roster_open(roster, 2, &pool) != 0;
}

static int
tear_down(void **state)
{
    (void)state;
    if (has_pool) {
        amy__roster_close(roster, &pool, on_worker, trace);
    }
    free(roster);
    return fail_alloc_live() != 0;
}

static int
see(const char *name, uint64_t inode)
{
    return amy__roster_see(roster, &pool, name, inode, 5, on_worker, trace);
}

static void
expect(const char *what)
{
    assert_string_equal(trace, what);
    trace[0] = '\0';
}

static void
test_new_names_get_slots_and_incarnations(void **state)
{
    (void)state;
    amy__roster_begin(&pool);
    assert_int_equal(see("1.0", 10), 0);
    assert_int_equal(see("1.1", 11), 0);
    amy__roster_end(roster, &pool, on_worker, trace);
    expect("+1.0@0#1 +1.1@2#2 ");
    amy__roster_begin(&pool);
    assert_int_equal(see("1.1", 11), 0);
    assert_int_equal(see("1.0", 10), 0);
    amy__roster_end(roster, &pool, on_worker, trace);
    expect("");
}

/* A program that takes over gives everybody the place of before. */
static void
test_what_returns_keeps_its_slots_and_incarnation(void **state)
{
    struct amy__roster_worker worker = {.name = "1.0",
                                        .generation = 1,
                                        .slot = 4,
                                        .slots = 2,
                                        .incarnation = 7,
                                        .inode = 10,
                                        .born_ns = 5};
    struct amy__roster_pool again;

    (void)state;
    assert_int_equal(amy__roster_reopen(roster, pool.index, 2, &again),
                     AMY_EINVAL); /* it is open */
    assert_int_equal(amy__roster_reopen(roster, AMY__POOLS_MAX, 2, &again),
                     AMY_EINVAL);
    roster->incarnation = 7;
    assert_int_equal(amy__roster_return(roster, &pool, &worker), 0);
    worker.slot = 5; /* one of the other's */
    assert_int_equal(amy__roster_return(roster, &pool, &worker), AMY_EINVAL);
    worker.slot = AMY__SLOTS_MAX - 1;
    assert_int_equal(amy__roster_return(roster, &pool, &worker), AMY_EINVAL);
    worker.slot = 0;
    worker.slots = 0;
    assert_int_equal(amy__roster_return(roster, &pool, &worker), AMY_EINVAL);
    expect("");
    amy__roster_begin(&pool);
    (void)see("1.0", 10);
    (void)see("1.1", 11);
    (void)see("1.2", 12);
    (void)see("1.3", 13);
    amy__roster_end(roster, &pool, on_worker, trace);
    expect("+1.1@0#8 +1.2@2#9 +1.3@6#10 ");
    amy__roster_begin(&pool);
    amy__roster_end(roster, &pool, on_worker, trace);
    expect("-1.3#10 -1.2#9 -1.1#8 -1.0#7 ");
}

static void
test_missing_name_is_gone_and_its_slots_are_given_again(void **state)
{
    (void)state;
    amy__roster_begin(&pool);
    (void)see("1.0", 10);
    (void)see("1.1", 11);
    amy__roster_end(roster, &pool, on_worker, trace);
    trace[0] = '\0';
    amy__roster_begin(&pool);
    (void)see("1.1", 11);
    amy__roster_end(roster, &pool, on_worker, trace);
    expect("-1.0#1 ");
    amy__roster_begin(&pool);
    (void)see("1.1", 11);
    (void)see("2.0", 12);
    amy__roster_end(roster, &pool, on_worker, trace);
    expect("+2.0@0#3 ");
}

static void
test_other_socket_of_the_same_name_is_another_life(void **state)
{
    (void)state;
    (void)see("1.0", 10);
    trace[0] = '\0';
    (void)see("1.0", 99);
    expect("-1.0#1 +1.0@0#2 ");
    assert_int_equal(
        amy__roster_see(roster, &pool, "1.0", 99, 6, on_worker, trace), 0);
    expect("-1.0#2 +1.0@0#3 "); /* an inode may be used again */
}

static void
test_foreign_names_are_passed_over(void **state)
{
    static const char *const names[] = {
        "",     "1",    "1.",   ".1",     "a.b",  "1.0 ",  "1.0.0",
        "01.0", "1.00", "-1.0", "1.1024", "+1.0", ".1.tmp"};

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(see(names[i], 1), 0);
    }
    expect("");
    assert_int_equal(see("18446744073709551615.1023", 1), 0);
    assert_non_null(pool.workers);
}

static void
test_slots_run_out_without_harm(void **state)
{
    struct amy__roster_pool large = {0};

    (void)state;
    assert_int_equal(amy__roster_open(roster, AMY__SLOTS_MAX - 1, &large), 0);
    assert_int_equal(
        amy__roster_see(roster, &large, "1.0", 1, 1, on_worker, trace), 0);
    trace[0] = '\0';
    assert_int_equal(see("1.0", 10), AMY_ELIMIT);
    expect("");
    amy__roster_close(roster, &large, on_worker, trace);
    trace[0] = '\0';
    assert_int_equal(see("1.0", 10), 0);
    expect("+1.0@0#2 ");
}

static void
test_pools_have_numbers_of_their_own(void **state)
{
    struct amy__roster_pool other = {0};
    struct amy__roster_pool third = {0};

    (void)state;
    assert_int_equal(amy__roster_open(roster, 1, &other), 0);
    assert_int_equal(pool.index, 0);
    assert_int_equal(other.index, 1);
    amy__roster_close(roster, &pool, on_worker, trace);
    has_pool = false;
    assert_int_equal(amy__roster_open(roster, 1, &third), 0);
    assert_int_equal(third.index, 0);
    for (uint32_t i = 2; i < AMY__POOLS_MAX; i++) {
        assert_int_equal(amy__roster_open(roster, 1, &third), 0);
    }
    assert_int_equal(amy__roster_open(roster, 1, &third), AMY_ELIMIT);
}

/* Servers that are listed keep their words while their address is there. */
static void
test_listed_servers_are_known_by_their_address(void **state)
{
    (void)state;
    for (unsigned round = 0; round < 2; round++) {
        amy__roster_begin(&pool);
        assert_int_equal(
            amy__roster_list(roster, &pool, "[::1]:1", on_worker, trace), 0);
        assert_int_equal(
            amy__roster_list(roster, &pool, "unix:/a", on_worker, trace), 0);
        amy__roster_end(roster, &pool, on_worker, trace);
    }
    assert_string_equal(trace, "+[::1]:1@0#1 +unix:/a@2#2 ");
    trace[0] = '\0';
    amy__roster_begin(&pool);
    assert_int_equal(
        amy__roster_list(roster, &pool, "unix:/a", on_worker, trace), 0);
    amy__roster_end(roster, &pool, on_worker, trace);
    assert_string_equal(trace, "-[::1]:1#1 ");
    trace[0] = '\0';
    pool.slots = 3; /* another number is another incarnation */
    amy__roster_begin(&pool);
    assert_int_equal(
        amy__roster_list(roster, &pool, "unix:/a", on_worker, trace), 0);
    amy__roster_end(roster, &pool, on_worker, trace);
    assert_string_equal(trace, "-unix:/a#2 +unix:/a@0#3 ");
}

static void
test_see_without_memory_tries_again(void **state)
{
    (void)state;
    fail_alloc_nth(1);
    assert_int_equal(see("1.0", 10), AMY_ENOMEM);
    assert_true(fail_alloc_hit());
    assert_int_equal(see("1.0", 10), 0);
    expect("+1.0@0#1 ");
}

#define ON_ROSTER(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        ON_ROSTER(test_what_returns_keeps_its_slots_and_incarnation),
        ON_ROSTER(test_new_names_get_slots_and_incarnations),
        ON_ROSTER(test_missing_name_is_gone_and_its_slots_are_given_again),
        ON_ROSTER(test_other_socket_of_the_same_name_is_another_life),
        ON_ROSTER(test_foreign_names_are_passed_over),
        ON_ROSTER(test_slots_run_out_without_harm),
        ON_ROSTER(test_pools_have_numbers_of_their_own),
        ON_ROSTER(test_listed_servers_are_known_by_their_address),
        ON_ROSTER(test_see_without_memory_tries_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

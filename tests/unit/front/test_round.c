#include "amy_test.h"

#include "front/round.h"

static struct amy__round
begun(uint64_t members)
{
    struct amy__round round = {0};

    amy__round_begin(&round, 7, members, 1000);
    return round;
}

static void
test_commit_follows_when_all_are_prepared(void **state)
{
    struct amy__round round = begun(0x7);

    (void)state;
    assert_int_equal(amy__round_ack(&round, 0, 7, false, 1), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_ack(&round, 2, 7, false, 1), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_ack(&round, 1, 7, false, 2), AMY__ROUND_COMMIT);
    assert_int_equal(round.members, 0x7);
    assert_int_equal(amy__round_ack(&round, 1, 7, true, 3), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_ack(&round, 0, 7, true, 3), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_ack(&round, 2, 7, true, 3), AMY__ROUND_DONE);
    assert_int_equal(round.phase, AMY__ROUND_IDLE);
    assert_int_equal(round.members, 0x7);
}

static void
test_one_refusal_keeps_the_old_everywhere(void **state)
{
    struct amy__round round = begun(0x7);

    (void)state;
    assert_int_equal(amy__round_ack(&round, 0, 7, false, 1), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_refuse(&round, 1, 7), AMY__ROUND_ABANDON);
    assert_int_equal(round.members, 0x7); /* all are told */
    assert_int_equal(amy__round_ack(&round, 2, 7, false, 1), AMY__ROUND_WAIT);
}

static void
test_answers_nobody_waits_for_change_nothing(void **state)
{
    struct amy__round round = begun(0x3);

    (void)state;
    assert_int_equal(amy__round_ack(&round, 0, 6, false, 1), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_ack(&round, 5, 7, false, 1), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_ack(&round, 0, 7, true, 1), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_refuse(&round, 5, 7), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_refuse(&round, 0, 6), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_ack(&round, 0, 7, false, 1), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_ack(&round, 0, 7, false, 1), AMY__ROUND_WAIT);
    assert_int_equal(round.waiting, 0x2);
    assert_int_equal(amy__round_ack(&round, 1, 7, false, 1), AMY__ROUND_COMMIT);
    assert_int_equal(amy__round_refuse(&round, 1, 7), AMY__ROUND_WAIT);
}

static void
test_death_while_preparing_lets_the_others_go_on(void **state)
{
    struct amy__round round = begun(0x3);

    (void)state;
    assert_int_equal(amy__round_ack(&round, 0, 7, false, 1), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_lose(&round, 1, 5), AMY__ROUND_COMMIT);
    assert_int_equal(round.members, 0x1);
    assert_int_equal(amy__round_lose(&round, 1, 5), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_ack(&round, 0, 7, true, 6), AMY__ROUND_DONE);
}

static void
test_death_of_all_while_preparing_abandons(void **state)
{
    struct amy__round round = begun(0x3);

    (void)state;
    assert_int_equal(amy__round_lose(&round, 0, 5), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_lose(&round, 1, 5), AMY__ROUND_ABANDON);
}

static void
test_death_while_committing_does_not_take_it_back(void **state)
{
    struct amy__round round = begun(0x3);

    (void)state;
    (void)amy__round_ack(&round, 0, 7, false, 1);
    assert_int_equal(amy__round_ack(&round, 1, 7, false, 1), AMY__ROUND_COMMIT);
    assert_int_equal(amy__round_lose(&round, 0, 5), AMY__ROUND_WAIT);
    assert_int_equal(amy__round_lose(&round, 1, 5), AMY__ROUND_DONE);
    assert_int_equal(round.members, 0);
}

static void
test_silence_ends_each_half(void **state)
{
    struct amy__round round = begun(0x3);

    (void)state;
    assert_int_equal(amy__round_tick(&round, 1000 + AMY__ROUND_MS - 1),
                     AMY__ROUND_WAIT);
    assert_int_equal(amy__round_tick(&round, 1000 + AMY__ROUND_MS),
                     AMY__ROUND_ABANDON);
    round = begun(0x3);
    (void)amy__round_ack(&round, 0, 7, false, 2000);
    (void)amy__round_ack(&round, 1, 7, false, 2000);
    (void)amy__round_ack(&round, 1, 7, true, 2001);
    assert_int_equal(amy__round_tick(&round, 2000 + AMY__ROUND_MS),
                     AMY__ROUND_DONE);
    assert_int_equal(round.members, 0x2);
    assert_int_equal(round.late, 0x1);
    assert_int_equal(amy__round_tick(&round, INT64_MAX), AMY__ROUND_WAIT);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commit_follows_when_all_are_prepared),
        cmocka_unit_test(test_one_refusal_keeps_the_old_everywhere),
        cmocka_unit_test(test_answers_nobody_waits_for_change_nothing),
        cmocka_unit_test(test_death_while_preparing_lets_the_others_go_on),
        cmocka_unit_test(test_death_of_all_while_preparing_abandons),
        cmocka_unit_test(test_death_while_committing_does_not_take_it_back),
        cmocka_unit_test(test_silence_ends_each_half),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

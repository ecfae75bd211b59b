/* Passwords that are known, being checked, or asked too often. */
#include "amy_test.h"

#include "front/checks.h"

#include <stdio.h>
#include <stdlib.h>

#define SECOND 1000
#define HASH "$2y$10$abc"

struct fixture {
    struct amy__checks *checks;
    struct amy__address client;
    int64_t now_ms;
    uint64_t number;
    int64_t retry_s;
};

static void
come_from(struct fixture *f, const char *address)
{
    assert_int_equal(
        amy__address_parse(amy__span_of(address), 1, &f->client, NULL), 0);
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(amy__checks_create(&f->checks, NULL), 0);
    f->now_ms = 1000 * SECOND;
    come_from(f, "192.0.2.1:1");
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy__checks_free(f->checks);
    free(f);
    return 0;
}

static enum amy__verdict
judge_hash(struct fixture *f, const char *hash, const char *name,
           const char *password)
{
    struct amy__check check = {.hash = hash,
                               .name = amy__span_of(name),
                               .password = amy__span_of(password),
                               .client = &f->client};

    return amy__checks_judge(f->checks, &check, f->now_ms, &f->number,
                             &f->retry_s);
}

static enum amy__verdict
judge(struct fixture *f, const char *password)
{
    return judge_hash(f, HASH, "anna", password);
}

static void
settle(struct fixture *f, enum amy__verdict verdict)
{
    assert_true(amy__checks_settle(f->checks, f->number, verdict, f->now_ms));
}

static void
test_same_password_is_checked_once(void **state)
{
    struct fixture *f = *state;
    uint64_t number = 0;

    assert_int_equal(judge(f, "right"), AMY__VERDICT_ASK);
    number = f->number;
    come_from(f, "192.0.2.2:1");
    assert_int_equal(judge(f, "right"), AMY__VERDICT_PENDING);
    assert_int_equal(f->number, number);
    settle(f, AMY__VERDICT_RIGHT);
    assert_int_equal(judge(f, "right"), AMY__VERDICT_RIGHT);
    f->now_ms += AMY__CHECKS_RIGHT_MS;
    assert_int_equal(judge(f, "right"), AMY__VERDICT_ASK);
}

/* However long he is in, and however often others of his address are wrong. */
static void
test_who_is_in_stays_in(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(judge(f, "right"), AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_RIGHT);
    for (unsigned hour = 0; hour < 48; hour++) {
        f->now_ms += 3600 * SECOND;
        for (unsigned i = 0; i <= AMY__CHECKS_BURST; i++) {
            char wrong[32];

            (void)snprintf(wrong, sizeof(wrong), "wrong %u %u", hour, i);
            if (judge(f, wrong) == AMY__VERDICT_ASK) {
                settle(f, AMY__VERDICT_WRONG);
            }
        }
        assert_int_equal(judge(f, "wrong"), AMY__VERDICT_OFTEN);
        assert_int_equal(judge(f, "right"), AMY__VERDICT_RIGHT);
    }
}

static void
test_wrong_one_is_known_for_a_while(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(judge(f, "wrong"), AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_WRONG);
    assert_int_equal(judge(f, "wrong"), AMY__VERDICT_WRONG);
    f->now_ms += AMY__CHECKS_WRONG_MS;
    assert_int_equal(judge(f, "wrong"), AMY__VERDICT_ASK);
}

static void
test_answer_is_of_that_hash_name_and_password_alone(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(judge(f, "right"), AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_RIGHT);
    assert_int_equal(judge_hash(f, "$2y$10$abd", "anna", "right"),
                     AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_WRONG);
    assert_int_equal(judge_hash(f, HASH, "ann", "right"), AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_WRONG);
    assert_int_equal(judge_hash(f, HASH, "ann", "a:right"), AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_WRONG);
    assert_int_equal(judge(f, "right"), AMY__VERDICT_RIGHT);
}

static void
test_who_is_wrong_too_often_waits(void **state)
{
    struct fixture *f = *state;
    char password[16];

    assert_int_equal(judge(f, "right"), AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_RIGHT);
    for (int i = 0; i < AMY__CHECKS_BURST; i++) {
        (void)snprintf(password, sizeof(password), "wrong %d", i);
        assert_int_equal(judge(f, password), AMY__VERDICT_ASK);
        settle(f, AMY__VERDICT_WRONG);
    }
    assert_int_equal(judge(f, "one more"), AMY__VERDICT_OFTEN);
    assert_int_equal(f->retry_s, AMY__CHECKS_EVERY_MS / SECOND);
    assert_int_equal(judge(f, "right"), AMY__VERDICT_RIGHT);
    assert_int_equal(judge(f, "wrong 1"), AMY__VERDICT_WRONG);
    come_from(f, "192.0.2.2:1");
    assert_int_equal(judge(f, "one more"), AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_BUSY);
    come_from(f, "192.0.2.1:1");
    f->now_ms += AMY__CHECKS_EVERY_MS;
    assert_int_equal(judge(f, "one more"), AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_WRONG);
    assert_int_equal(judge(f, "and more"), AMY__VERDICT_OFTEN);
}

static void
test_right_ones_and_failed_checks_cost_nothing(void **state)
{
    struct fixture *f = *state;
    char password[16];

    for (int i = 0; i < 4 * AMY__CHECKS_BURST; i++) {
        (void)snprintf(password, sizeof(password), "right %d", i);
        assert_int_equal(judge(f, password), AMY__VERDICT_ASK);
        settle(f, i % 2 == 0 ? AMY__VERDICT_RIGHT : AMY__VERDICT_BUSY);
    }
}

static void
test_ipv6_network_is_one_address(void **state)
{
    struct fixture *f = *state;

    for (int i = 0; i < AMY__CHECKS_BURST; i++) {
        char address[64];
        char password[16];

        (void)snprintf(address, sizeof(address), "[2001:db8:0:1::%d]:1", i + 1);
        (void)snprintf(password, sizeof(password), "wrong %d", i);
        come_from(f, address);
        assert_int_equal(judge(f, password), AMY__VERDICT_ASK);
        settle(f, AMY__VERDICT_WRONG);
    }
    come_from(f, "[2001:db8:0:1:ffff::1]:1");
    assert_int_equal(judge(f, "one more"), AMY__VERDICT_OFTEN);
    come_from(f, "[2001:db8:0:2::1]:1");
    assert_int_equal(judge(f, "one more"), AMY__VERDICT_ASK);
}

static void
test_few_are_checked_at_a_time(void **state)
{
    struct fixture *f = *state;
    char text[32];
    unsigned asked = 0;

    for (unsigned i = 0; i < AMY__CHECKS_OF_ONE + 1; i++) {
        (void)snprintf(text, sizeof(text), "p%u", i);
        assert_int_equal(judge(f, text), i < AMY__CHECKS_OF_ONE
                                             ? AMY__VERDICT_ASK
                                             : AMY__VERDICT_BUSY);
    }
    for (unsigned i = 0; i < 2 * AMY__CHECKS_PENDING; i++) {
        (void)snprintf(text, sizeof(text), "198.51.100.%u:1", i + 1);
        come_from(f, text);
        asked += judge(f, text) == AMY__VERDICT_ASK;
    }
    assert_int_equal(asked, AMY__CHECKS_PENDING - AMY__CHECKS_OF_ONE);
}

static void
test_check_that_is_late_is_given_up(void **state)
{
    struct fixture *f = *state;
    uint64_t number = 0;

    assert_int_equal(judge(f, "lost"), AMY__VERDICT_ASK);
    number = f->number;
    assert_int_equal(amy__checks_late(f->checks, f->now_ms), 0);
    f->now_ms += AMY__CHECKS_LATE_MS + 1;
    assert_int_equal(amy__checks_late(f->checks, f->now_ms), number);
    assert_int_equal(amy__checks_late(f->checks, f->now_ms), 0);
    assert_false(
        amy__checks_settle(f->checks, number, AMY__VERDICT_RIGHT, f->now_ms));
    assert_int_equal(judge(f, "lost"), AMY__VERDICT_ASK);
    assert_int_not_equal(f->number, number);
}

static void
test_flood_of_wrong_ones_pushes_out_no_right_one(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(judge(f, "right"), AMY__VERDICT_ASK);
    settle(f, AMY__VERDICT_RIGHT);
    for (unsigned i = 0; i < 20000; i++) {
        char text[64];

        (void)snprintf(text, sizeof(text), "10.%u.%u.1:1", i / 250, i % 250);
        come_from(f, text);
        assert_int_equal(judge(f, text), AMY__VERDICT_ASK);
        settle(f, AMY__VERDICT_WRONG);
    }
    assert_int_equal(judge(f, "right"), AMY__VERDICT_RIGHT);
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        T(test_same_password_is_checked_once),
        T(test_who_is_in_stays_in),
        T(test_wrong_one_is_known_for_a_while),
        T(test_answer_is_of_that_hash_name_and_password_alone),
        T(test_who_is_wrong_too_often_waits),
        T(test_right_ones_and_failed_checks_cost_nothing),
        T(test_ipv6_network_is_one_address),
        T(test_few_are_checked_at_a_time),
        T(test_check_that_is_late_is_given_up),
        T(test_flood_of_wrong_ones_pushes_out_no_right_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* When it is looked at what is served, by a clock that moves by hand. */
#include "amy_test.h"

#include "core/clock.h"
#include "fake_loop.h"
#include "front/peeks.h"
#include "front/prober.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* For an answer about two names. */
#define PATIENCE_MS                                                            \
    (AMY__PROBER_PATIENCE_MS +                                                 \
     2 * (int64_t)AMY__PEEKS_ADDRESSES *                                       \
         (AMY__PEEKS_TIMEOUT_MS + AMY__PEEKS_GAP_MS))
static const char UNKNOWN[] = "no front process says what is served";

struct fixture {
    struct amy__prober *prober;
    unsigned names; /* of b.org; a.org has one */
    bool without_a;
    unsigned asked;
    uint64_t ask;
    size_t count; /* of the last question's targets */
    char first[64];
    bool nobody;
};

static void
on_list(struct amy__prober *prober, void *user)
{
    const struct fixture *f = user;

    if (!f->without_a) {
        amy__prober_want(prober, "a.org", "a.org", AMY__TLS_EC, "aa");
    }
    for (unsigned i = 0; i < f->names; i++) {
        char name[32];

        (void)snprintf(name, sizeof(name), "n%u.b.org", i);
        amy__prober_want(prober, "b.org", name, AMY__TLS_RSA, "bb");
    }
}

static int
on_ask(uint64_t ask, const struct amy__json *targets, void *user)
{
    struct fixture *f = user;
    const struct amy__json *first = amy__json_at(targets, 0);

    if (f->nobody) {
        return AMY_EAGAIN;
    }
    f->asked++;
    f->ask = ask;
    f->count = amy__json_count(targets);
    (void)snprintf(f->first, sizeof(f->first), "%s/%lld/%s",
                   amy__json_get_text(first, "name", ""),
                   (long long)amy__json_get_int(first, "type", -1),
                   amy__json_get_text(first, "fingerprint", ""));
    return 0;
}

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));
    const struct amy__prober_options opts = {.base = (void *)f,
                                             .borrow_clock = fake_loop_clock(),
                                             .on_list = on_list,
                                             .on_ask = on_ask,
                                             .user = f};

    f->names = 1;
    assert_int_equal(amy__prober_create(&opts, &f->prober, NULL), 0);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy__prober_free(f->prober);
    assert_int_equal(fake_loop_left(), 0);
    free(f);
    return 0;
}

/* Answer the question: target is wrong; -1: none is. */
static void
answer(struct fixture *f, int target)
{
    struct amy__json *wrong = NULL;
    char text[64] = "[]";

    if (target >= 0) {
        (void)snprintf(text, sizeof(text),
                       "[{\"target\":%d,\"why\":\"%d is wrong\"}]", target,
                       target);
    }
    assert_int_equal(amy__json_parse(amy__span_of(text), &wrong, NULL), 0);
    amy__prober_answer(f->prober, f->ask, wrong);
    amy__json_free(wrong);
}

/* "-": never looked at. */
static const char *
error_of(const struct fixture *f, const char *site)
{
    struct amy__prober_view view;

    return amy__prober_site(f->prober, site, &view) ? view.error : "-";
}

static void
swap(struct fixture *f)
{
    amy__prober_swapped(f->prober);
    fake_loop_advance(AMY__PROBER_SOON_MS);
}

static void
test_look_is_taken_after_a_swap_and_every_hour(void **state)
{
    struct fixture *f = *state;
    struct amy__prober_view view;

    fake_loop_advance(2 * AMY__PROBER_EVERY_MS);
    assert_int_equal(f->asked, 0); /* nothing is served yet */
    swap(f);
    assert_int_equal(f->asked, 1);
    assert_int_equal(f->count, 2);
    assert_string_equal(f->first, "a.org/0/aa");
    assert_string_equal(error_of(f, "a.org"), "-");
    answer(f, -1);
    assert_string_equal(error_of(f, "a.org"), "");
    assert_string_equal(error_of(f, "b.org"), "");
    assert_true(amy__prober_site(f->prober, "a.org", &view));
    assert_true(view.checked_wall_ms == amy__wall_ms(fake_loop_clock()));
    fake_loop_advance(AMY__PROBER_EVERY_MS - 1);
    assert_int_equal(f->asked, 1);
    fake_loop_advance(1);
    assert_int_equal(f->asked, 2);
    answer(f, -1);
    fake_loop_advance(AMY__PROBER_EVERY_MS);
    assert_int_equal(f->asked, 3);
}

static void
test_wrong_one_is_told_when_a_second_look_agrees(void **state)
{
    struct fixture *f = *state;

    swap(f);
    answer(f, 1);
    assert_string_equal(error_of(f, "b.org"), "-");
    fake_loop_advance(AMY__PROBER_AGAIN_MS);
    assert_int_equal(f->asked, 2);
    answer(f, 1);
    assert_string_equal(error_of(f, "b.org"), "1 is wrong");
    assert_string_equal(error_of(f, "a.org"), "");
    /* It is looked after until it is well, and then hourly. */
    fake_loop_advance(AMY__PROBER_ALARM_MS);
    assert_int_equal(f->asked, 3);
    answer(f, -1);
    assert_string_equal(error_of(f, "b.org"), "");
    fake_loop_advance(AMY__PROBER_EVERY_MS - 1);
    assert_int_equal(f->asked, 3);
}

static void
test_passing_suspicion_is_not_told(void **state)
{
    struct fixture *f = *state;

    swap(f);
    answer(f, 0);
    fake_loop_advance(AMY__PROBER_AGAIN_MS);
    answer(f, -1);
    assert_string_equal(error_of(f, "a.org"), "");
    fake_loop_advance(AMY__PROBER_EVERY_MS);
    assert_int_equal(f->asked, 3);
}

static void
test_answer_of_before_a_swap_says_nothing(void **state)
{
    struct fixture *f = *state;
    uint64_t old = 0;

    swap(f);
    old = f->ask;
    amy__prober_swapped(f->prober);
    answer(f, 0);
    assert_string_equal(error_of(f, "a.org"), "-");
    fake_loop_advance(AMY__PROBER_SOON_MS);
    assert_int_equal(f->asked, 2);
    assert_true(f->ask != old);
    answer(f, -1);
    assert_string_equal(error_of(f, "a.org"), "");
}

static void
test_many_names_are_asked_for_in_parts(void **state)
{
    struct fixture *f = *state;

    f->names = 2 * AMY__PEEKS_MAX;
    swap(f);
    assert_int_equal(f->count, AMY__PEEKS_MAX);
    answer(f, -1);
    assert_int_equal(f->count, AMY__PEEKS_MAX);
    assert_string_equal(f->first, "n31.b.org/1/bb");
    answer(f, -1);
    assert_int_equal(f->count, 1);
    answer(f, 0);
    assert_int_equal(f->asked, 3);
    fake_loop_advance(AMY__PROBER_AGAIN_MS);
    answer(f, -1);
    answer(f, -1);
    answer(f, 0);
    assert_string_equal(error_of(f, "b.org"), "0 is wrong");
    assert_string_equal(error_of(f, "a.org"), "");
}

static void
test_nobody_or_a_death_is_asked_for_again(void **state)
{
    struct fixture *f = *state;

    f->nobody = true;
    swap(f);
    assert_int_equal(f->asked, 0);
    f->nobody = false;
    fake_loop_advance(AMY__PROBER_AGAIN_MS);
    assert_int_equal(f->asked, 1);
    amy__prober_lost(f->prober);
    answer(f, 0); /* too late */
    fake_loop_advance(AMY__PROBER_AGAIN_MS);
    assert_int_equal(f->asked, 2);
    answer(f, -1);
    fake_loop_advance(AMY__PROBER_EVERY_MS);
    fake_loop_advance(PATIENCE_MS + AMY__PROBER_AGAIN_MS); /* says nothing */
    assert_int_equal(f->asked, 4);
    answer(f, -1);
    assert_string_equal(error_of(f, "a.org"), "");
    amy__prober_lost(f->prober); /* owes nothing */
    fake_loop_advance(AMY__PROBER_EVERY_MS - 1);
    assert_int_equal(f->asked, 4);
}

static void
test_second_look_that_nobody_answers_is_an_alarm(void **state)
{
    struct fixture *f = *state;
    struct amy__prober_view view;
    int64_t checked_ms = 0;

    swap(f);
    answer(f, -1);
    checked_ms = amy__wall_ms(fake_loop_clock());
    fake_loop_advance(AMY__PROBER_EVERY_MS);
    fake_loop_advance(PATIENCE_MS);
    assert_string_equal(error_of(f, "a.org"), "");
    fake_loop_advance(AMY__PROBER_AGAIN_MS);
    assert_int_equal(f->asked, 3);
    fake_loop_advance(PATIENCE_MS - 1);
    assert_string_equal(error_of(f, "a.org"), "");
    fake_loop_advance(1);
    assert_string_equal(error_of(f, "a.org"), UNKNOWN);
    assert_string_equal(error_of(f, "b.org"), UNKNOWN);
    assert_true(amy__prober_site(f->prober, "a.org", &view));
    assert_true(view.checked_wall_ms == checked_ms); /* of the answer */
    fake_loop_advance(AMY__PROBER_ALARM_MS);
    assert_int_equal(f->asked, 4);
    answer(f, -1);
    assert_string_equal(error_of(f, "a.org"), "");
    assert_string_equal(error_of(f, "b.org"), "");
}

static void
test_silence_after_an_answer_begins_anew(void **state)
{
    struct fixture *f = *state;

    swap(f);
    for (int i = 0; i < 3; i++) {
        fake_loop_advance(PATIENCE_MS + AMY__PROBER_AGAIN_MS);
        answer(f, -1);
        assert_string_equal(error_of(f, "a.org"), "");
        fake_loop_advance(AMY__PROBER_EVERY_MS);
    }
}

static void
test_slow_answer_about_many_names_is_waited_for(void **state)
{
    struct fixture *f = *state;

    f->names = AMY__PEEKS_MAX - 1;
    swap(f);
    fake_loop_advance((int64_t)AMY__PEEKS_MAX * AMY__PEEKS_ADDRESSES *
                      (AMY__PEEKS_TIMEOUT_MS + AMY__PEEKS_GAP_MS));
    assert_int_equal(f->asked, 1);
    answer(f, 0);
    fake_loop_advance(AMY__PROBER_AGAIN_MS);
    answer(f, 0);
    assert_string_equal(error_of(f, "a.org"), "0 is wrong");
}

static void
test_each_who_is_asked_dies(void **state)
{
    struct fixture *f = *state;

    swap(f);
    for (int64_t ms = 0; ms < AMY__PROBER_UNKNOWN_MS;
         ms += AMY__PROBER_AGAIN_MS) {
        amy__prober_lost(f->prober);
        assert_string_equal(error_of(f, "a.org"), "-");
        fake_loop_advance(AMY__PROBER_AGAIN_MS);
    }
    amy__prober_lost(f->prober);
    assert_string_equal(error_of(f, "a.org"), UNKNOWN);
}

static void
test_site_that_is_gone_is_forgotten(void **state)
{
    struct fixture *f = *state;

    swap(f);
    answer(f, -1);
    f->without_a = true;
    swap(f);
    answer(f, -1);
    assert_string_equal(error_of(f, "a.org"), "-");
    assert_string_equal(error_of(f, "b.org"), "");
    f->names = 0;
    swap(f); /* nothing to look at */
    assert_int_equal(f->asked, 2);
    assert_string_equal(error_of(f, "b.org"), "-");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_look_is_taken_after_a_swap_and_every_hour),
        TEST(test_wrong_one_is_told_when_a_second_look_agrees),
        TEST(test_passing_suspicion_is_not_told),
        TEST(test_answer_of_before_a_swap_says_nothing),
        TEST(test_many_names_are_asked_for_in_parts),
        TEST(test_nobody_or_a_death_is_asked_for_again),
        TEST(test_second_look_that_nobody_answers_is_an_alarm),
        TEST(test_silence_after_an_answer_begins_anew),
        TEST(test_slow_answer_about_many_names_is_waited_for),
        TEST(test_each_who_is_asked_dies),
        TEST(test_site_that_is_gone_is_forgotten),
    };

    return cmocka_run_group_tests_name("front/prober", tests, NULL, NULL);
}

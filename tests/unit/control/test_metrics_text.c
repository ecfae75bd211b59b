#include "amy_test.h"

#include "control/metrics_text.h"

#include <string.h>

static const struct amy__metric gauge = {"amy_things", AMY__METRIC_GAUGE,
                                         "How many there are."};
static const struct amy__metric counter = {"amy_events_total",
                                           AMY__METRIC_COUNTER, "So many."};

static void
expect(const struct amy__buf *out, const char *text)
{
    assert_int_equal(out->len, strlen(text));
    assert_memory_equal(out->data, text, out->len);
}

static void
test_head_comes_once_before_the_lines(void **state)
{
    const struct amy__label labels[] = {{"site", "a.org"}, {NULL, NULL}};
    const struct amy__label none[] = {{NULL, NULL}};
    struct amy__buf out;
    struct amy__metrics_text text = {.borrow_out = &out};

    (void)state;
    amy__buf_init(&out, 4096);
    amy__metrics_value(&text, &gauge, labels, 3);
    amy__metrics_value(&text, &gauge, none, -4);
    amy__metrics_value(&text, &counter, NULL, INT64_MAX);
    assert_int_equal(text.rc, 0);
    expect(&out, "# HELP amy_things How many there are.\n"
                 "# TYPE amy_things gauge\n"
                 "amy_things{site=\"a.org\"} 3\n"
                 "amy_things -4\n"
                 "# HELP amy_events_total So many.\n"
                 "# TYPE amy_events_total counter\n"
                 "amy_events_total 9223372036854775807\n");
    amy__buf_clear(&out);
}

static void
test_labels_cannot_break_out(void **state)
{
    const struct amy__label labels[] = {
        {"a", "x\"} 1\nevil 2"}, {"b", "c:\\d"}, {NULL, NULL}};
    struct amy__buf out;
    struct amy__metrics_text text = {.borrow_out = &out, .metric = &gauge};

    (void)state;
    amy__buf_init(&out, 4096);
    amy__metrics_value(&text, &gauge, labels, 0);
    expect(&out, "amy_things{a=\"x\\\"} 1\\nevil 2\",b=\"c:\\\\d\"} 0\n");
    amy__buf_clear(&out);
}

static void
test_seconds_have_three_places(void **state)
{
    static const struct {
        int64_t ms;
        const char *text;
    } cases[] = {{0, "amy_things 0.000\n"},
                 {1, "amy_things 0.001\n"},
                 {12345, "amy_things 12.345\n"},
                 {-1500, "amy_things -1.500\n"},
                 {-5, "amy_things -0.005\n"}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__buf out;
        struct amy__metrics_text text = {.borrow_out = &out, .metric = &gauge};

        amy__buf_init(&out, 4096);
        amy__metrics_seconds(&text, &gauge, NULL, cases[i].ms);
        expect(&out, cases[i].text);
        amy__buf_clear(&out);
    }
}

static void
test_text_past_its_limit_says_so(void **state)
{
    struct amy__buf out;
    struct amy__metrics_text text = {.borrow_out = &out};

    (void)state;
    amy__buf_init(&out, 100);
    for (int i = 0; i < 10; i++) {
        amy__metrics_value(&text, &gauge, NULL, i);
    }
    assert_int_equal(text.rc, AMY_ELIMIT);
    assert_true(out.len <= 100);
    amy__buf_clear(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head_comes_once_before_the_lines),
        cmocka_unit_test(test_labels_cannot_break_out),
        cmocka_unit_test(test_seconds_have_three_places),
        cmocka_unit_test(test_text_past_its_limit_says_so),
    };

    return cmocka_run_group_tests_name("control/metrics_text", tests, NULL,
                                       NULL);
}

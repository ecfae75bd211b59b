/* Which lines belong to a traceback, as Python writes them. */
#include "amy_test.h"

#include "workers/trace.h"

struct step {
    const char *line;
    enum amy__trace then;
};

static void
follow(const struct step *steps, size_t n)
{
    enum amy__trace trace = AMY__TRACE_NONE;

    for (size_t i = 0; i < n; i++) {
        trace = amy__trace_next(trace, amy__span_of(steps[i].line));
        if (trace != steps[i].then) {
            fail_msg("after '%s': %d", steps[i].line, (int)trace);
        }
    }
}
#define FOLLOW(steps) follow(steps, sizeof(steps) / sizeof((steps)[0]))

#define HEAD "Traceback (most recent call last):"

static void
test_plain_lines_are_no_traceback(void **state)
{
    static const struct step steps[] = {
        {"hello", AMY__TRACE_NONE},
        {"  indented", AMY__TRACE_NONE},
        {"", AMY__TRACE_NONE},
        {"The above exception was the direct cause of the following "
         "exception:",
         AMY__TRACE_NONE},
    };

    (void)state;
    FOLLOW(steps);
}

static void
test_traceback_ends_after_its_exception(void **state)
{
    static const struct step steps[] = {
        {"ERROR Internal Server Error: /", AMY__TRACE_NONE},
        {HEAD, AMY__TRACE_INSIDE},
        {"  File \"a.py\", line 1, in <module>", AMY__TRACE_INSIDE},
        {"    1/0", AMY__TRACE_INSIDE},
        {"ZeroDivisionError: division by zero", AMY__TRACE_AFTER},
        {"next request", AMY__TRACE_NONE},
    };

    (void)state;
    FOLLOW(steps);
}

static void
test_chain_is_one_traceback(void **state)
{
    static const struct step steps[] = {
        {HEAD, AMY__TRACE_INSIDE},
        {"KeyError: 'a'", AMY__TRACE_AFTER},
        {"", AMY__TRACE_AFTER},
        {"During handling of the above exception, another exception occurred:",
         AMY__TRACE_LINKED},
        {"", AMY__TRACE_LINKED},
        {HEAD, AMY__TRACE_INSIDE},
        {"  File \"a.py\", line 3", AMY__TRACE_INSIDE},
        {"ValueError: b", AMY__TRACE_AFTER},
        {"  + Exception Group " HEAD, AMY__TRACE_INSIDE},
        {"done", AMY__TRACE_AFTER},
        {"done", AMY__TRACE_NONE},
    };

    (void)state;
    FOLLOW(steps);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain_lines_are_no_traceback),
        cmocka_unit_test(test_traceback_ends_after_its_exception),
        cmocka_unit_test(test_chain_is_one_traceback),
    };

    return cmocka_run_group_tests_name("workers/trace", tests, NULL, NULL);
}

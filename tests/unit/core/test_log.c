#include "amy_test.h"

#include "core/log.h"

#include <stdio.h>
#include <string.h>

struct seen {
    int count;
    enum amy_log_level level;
    char line[2048];
};

static void
keep(enum amy_log_level level, const char *line, void *user)
{
    struct seen *seen = user;

    seen->count++;
    seen->level = level;
    (void)snprintf(seen->line, sizeof(seen->line), "%s", line);
}

static void
test_log_passes_what_the_level_allows(void **state)
{
    struct seen seen = {0};
    struct amy_log log = {sizeof(log), keep, &seen, 0, 0};

    (void)state;
    amy__log(&log, AMY_LOG_WARN, "disk full path=%s", "/x");
    assert_int_equal(seen.level, AMY_LOG_WARN);
    assert_string_equal(seen.line, "disk full path=/x");
    amy__log(&log, AMY_LOG_DEBUG, "not by default");
    assert_int_equal(seen.count, 1);
    log.level = AMY_LOG_ERROR;
    amy__log(&log, AMY_LOG_WARN, "less than asked");
    assert_int_equal(seen.count, 1);
    amy__log(NULL, AMY_LOG_ERROR, "silent");
}

static void
test_log_is_one_line_of_at_most_a_kib(void **state)
{
    struct seen seen = {0};
    struct amy_log log = {sizeof(log), keep, &seen, 0, 0};

    (void)state;
    amy__log(&log, AMY_LOG_ERROR, "a\r\nb");
    assert_string_equal(seen.line, "a  b");
    amy__log(&log, AMY_LOG_ERROR, "%01024d", 1);
    assert_int_equal(strlen(seen.line), 1024);
    assert_string_equal(seen.line + 1020, "0001");
    amy__log(&log, AMY_LOG_ERROR, "%01025d", 1);
    assert_int_equal(strlen(seen.line), 1024);
    assert_string_equal(seen.line + 1020, "0...");
}

static void
test_log_copy_reads_what_the_struct_covers(void **state)
{
    struct seen seen = {0};
    struct amy_log older = {offsetof(struct amy_log, level), keep, &seen,
                            AMY_LOG_DEBUG, 0};
    struct amy_log copy = amy__log_copy(&older);

    (void)state;
    assert_ptr_equal(copy.user, &seen);
    assert_int_equal(copy.level, 0);
    assert_int_equal(copy.struct_size, sizeof(copy));
    copy = amy__log_copy(NULL);
    amy__log(&copy, AMY_LOG_ERROR, "silent");
    assert_int_equal(seen.count, 0);
}

static void
test_log_allow_counts_what_it_swallowed(void **state)
{
    struct amy__log_limit limit = {0};
    uint32_t swallowed = 9;

    (void)state;
    assert_true(amy__log_allow(&limit, 2, 1000, 5000, &swallowed));
    assert_int_equal(swallowed, 0);
    assert_true(amy__log_allow(&limit, 2, 1000, 5001, &swallowed));
    assert_false(amy__log_allow(&limit, 2, 1000, 5002, &swallowed));
    assert_false(amy__log_allow(&limit, 2, 1000, 5999, &swallowed));
    assert_true(amy__log_allow(&limit, 2, 1000, 6000, &swallowed));
    assert_int_equal(swallowed, 2);
    assert_true(amy__log_allow(&limit, 2, 1000, 6001, &swallowed));
    assert_int_equal(swallowed, 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_passes_what_the_level_allows),
        cmocka_unit_test(test_log_is_one_line_of_at_most_a_kib),
        cmocka_unit_test(test_log_copy_reads_what_the_struct_covers),
        cmocka_unit_test(test_log_allow_counts_what_it_swallowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include "core/buf.h"
#include "fail_alloc.h"

#include <string.h>

static void
test_append_grows_to_the_maximum_and_no_further(void **state)
{
    struct amy__buf buf = {0};

    (void)state;
    amy__buf_init(&buf, 1000);
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(amy__buf_append(&buf, "x", 1), 0);
    }
    assert_int_equal(amy__buf_append(&buf, "x", 1), AMY_ELIMIT);
    assert_int_equal(amy__buf_append(&buf, NULL, 0), 0);
    assert_int_equal(buf.len, 1000);
    assert_true(buf.cap <= 1001);
    assert_int_equal(buf.data[1000], '\0');
    amy__buf_clear(&buf);
    assert_int_equal(buf.len, 0);
    assert_int_equal(amy__buf_append_text(&buf, "again"), 0);
    assert_string_equal(buf.data, "again");
    amy__buf_clear(&buf);
}

static void
test_reserve_tells_overflow(void **state)
{
    struct amy__buf buf = {0};

    (void)state;
    amy__buf_init(&buf, SIZE_MAX);
    assert_int_equal(amy__buf_append_text(&buf, "a"), 0);
    assert_int_equal(amy__buf_reserve(&buf, SIZE_MAX), AMY_ELIMIT);
    assert_int_equal(amy__buf_reserve(&buf, SIZE_MAX - 1), AMY_ELIMIT);
    assert_string_equal(buf.data, "a");
    amy__buf_clear(&buf);
}

static void
test_appendf_and_consume(void **state)
{
    struct amy__buf buf = {0};

    (void)state;
    amy__buf_init(&buf, 12);
    assert_int_equal(amy__buf_appendf(&buf, "%d-%s", 42, "abc"), 0);
    assert_int_equal(amy__buf_append_span(&buf, AMY_SPAN("!")), 0);
    assert_string_equal(buf.data, "42-abc!");
    assert_int_equal(amy__buf_appendf(&buf, "%s", "123456"), AMY_ELIMIT);
    assert_string_equal(buf.data, "42-abc!");
    amy__buf_consume(&buf, 0);
    amy__buf_consume(&buf, 3);
    assert_string_equal(buf.data, "abc!");
    assert_true(amy__span_eq(amy__buf_span(&buf), AMY_SPAN("abc!")));
    amy__buf_consume(&buf, 4);
    assert_int_equal(buf.len, 0);
    amy__buf_clear(&buf);
}

static void
test_append_without_memory_leaves_the_buffer(void **state)
{
    struct amy__buf buf = {0};
    char big[600] = "";

    (void)state;
    amy__buf_init(&buf, 4096);
    fail_alloc_nth(1);
    assert_int_equal(amy__buf_append_text(&buf, "a"), AMY_ENOMEM);
    assert_int_equal(buf.len, 0);
    assert_int_equal(amy__buf_append_text(&buf, "a"), 0);
    memset(big, 'b', sizeof(big));
    fail_alloc_nth(1);
    assert_int_equal(amy__buf_append(&buf, big, sizeof(big)), AMY_ENOMEM);
    assert_string_equal(buf.data, "a");
    amy__buf_clear(&buf);
    assert_int_equal(fail_alloc_live(), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_append_grows_to_the_maximum_and_no_further),
        cmocka_unit_test(test_reserve_tells_overflow),
        cmocka_unit_test(test_appendf_and_consume),
        cmocka_unit_test(test_append_without_memory_leaves_the_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include "core/error.h"

#include <errno.h>
#include <string.h>

static void
test_err_records_code_and_message(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    err.detail = 7;
    assert_int_equal(amy__err(&err, AMY_EPARSE, "line %d", 3), AMY_EPARSE);
    assert_int_equal(err.code, AMY_EPARSE);
    assert_int_equal(err.sys_errno, 0);
    assert_true(err.detail == 0);
    assert_string_equal(err.msg, "line 3");
    assert_int_equal(amy__err(NULL, AMY_EBUSY, "nobody reads this"), AMY_EBUSY);
}

static void
test_err_sys_keeps_errno_and_says_it(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(amy__err_sys(&err, ENOENT, "opening '%s'", "x"),
                     AMY_ENOTFOUND);
    assert_int_equal(err.sys_errno, ENOENT);
    assert_int_equal(err.source, AMY_SOURCE_SYS);
    assert_string_equal(err.msg, "opening 'x': No such file or directory");
    assert_int_equal(amy__err_sys(NULL, ENOENT, "x"), AMY_ENOTFOUND);
    (void)amy__err_sys(&err, 99999, "odd");
    assert_string_equal(err.msg, "odd: unknown error");
}

static void
test_err_sys_maps_what_a_caller_can_do(void **state)
{
    static const int map[][2] = {
        {ENOENT, AMY_ENOTFOUND},
        {ENOMEM, AMY_ENOMEM},
        {EACCES, AMY_EDENIED},
        {EPERM, AMY_EDENIED},
        {EEXIST, AMY_EEXIST},
        {EAGAIN, AMY_EAGAIN},
        {EBUSY, AMY_EBUSY},
        {EADDRINUSE, AMY_EBUSY},
        {EMFILE, AMY_ELIMIT},
        {ENFILE, AMY_ELIMIT},
        {ECONNREFUSED, AMY_ECONN},
        {EPIPE, AMY_ECONN},
        {ETIMEDOUT, AMY_ETIMEOUT},
        {EINVAL, AMY_EINVAL},
        {ELOOP, AMY_EINVAL},
        {ENOSYS, AMY_EUNSUPPORTED},
        {ENOSPC, AMY_EIO},
        {EDQUOT, AMY_EIO},
        {EIO, AMY_EIO},
        {99999, AMY_EIO},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(map) / sizeof(map[0]); i++) {
        assert_int_equal(amy__err_sys(NULL, map[i][0], "x"), map[i][1]);
    }
}

static void
test_err_cuts_a_long_message(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    (void)amy__err(&err, AMY_EIO, "%0300d", 1);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    (void)amy__err_sys(&err, EIO, "%0300d", 1);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
}

static void
test_err_may_quote_its_old_message(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    (void)amy__err_sys(&err, ENOSPC, "writing");
    amy__err_prefix(&err, "site '%s': ", "blog");
    assert_string_equal(err.msg,
                        "site 'blog': writing: No space left on device");
    assert_int_equal(err.sys_errno, ENOSPC);
    assert_int_equal(err.code, AMY_EIO);
    amy__err_prefix(&err, "%0300d", 1);
    assert_int_equal(strlen(err.msg), sizeof(err.msg) - 1);
    amy__err_prefix(NULL, "nobody");

    (void)amy__err(&err, AMY_EIO, "cause");
    (void)amy__err(&err, AMY_EBUSY, "outer: %s", err.msg);
    assert_string_equal(err.msg, "outer: cause");
}

static void
test_own_words_end_where_another_program_speaks(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    (void)amy__err(&err, AMY_EIO, "pg_dump failed" AMY__SAID "a" AMY__SAID "b");
    amy__err_prefix(&err, "site: ");
    assert_true(amy__span_eq(amy__own_words(err.msg),
                             AMY_SPAN("site: pg_dump failed")));
    assert_string_equal(amy__said_words(err.msg), "a" AMY__SAID "b");
    assert_true(amy__span_eq(amy__own_words("all ours"), AMY_SPAN("all ours")));
    assert_string_equal(amy__said_words("all ours"), "");
    assert_true(amy__span_eq(amy__own_words(AMY__SAID "x"), AMY_SPAN("")));
}

static void
test_strerror_has_a_text_for_every_code(void **state)
{
    (void)state;
    for (int code = 0; code >= AMY_ESTATE; code--) {
        assert_string_not_equal(amy_strerror(code), "unknown error");
    }
    assert_string_equal(amy_strerror(1), "unknown error");
    assert_string_equal(amy_strerror(-9999), "unknown error");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_records_code_and_message),
        cmocka_unit_test(test_err_sys_keeps_errno_and_says_it),
        cmocka_unit_test(test_err_sys_maps_what_a_caller_can_do),
        cmocka_unit_test(test_err_cuts_a_long_message),
        cmocka_unit_test(test_err_may_quote_its_old_message),
        cmocka_unit_test(test_own_words_end_where_another_program_speaks),
        cmocka_unit_test(test_strerror_has_a_text_for_every_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

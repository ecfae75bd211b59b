/* Commands as bytes, and those that are not for calls. */
#include "amy_test.h"

#include "redis/words.h"

#include <string.h>

static void
test_write_words_of_any_bytes(void **state)
{
    static const char expected[] = "*3\r\n$3\r\nSET\r\n$0\r\n\r\n$10\r\na\r\n"
                                   "\0b\xFFwxyz\r\n";
    const char *const argv[] = {"SET", "", "a\r\n\0b\xFFwxyz"};
    const size_t lengths[] = {3, 0, 10};
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    char bytes[64] = "";
    size_t n = 0;

    (void)state;
    command.argc = 3;
    command.argv = argv;
    command.lengths = lengths;
    assert_int_equal(amy__redis_words_check(&command, &n, NULL), 0);
    assert_int_equal(n, sizeof(expected) - 1);
    assert_int_equal(amy__redis_words_size(&command), n);
    assert_int_equal(amy__redis_words_write(&command, bytes), n);
    assert_memory_equal(bytes, expected, n);
}

static void
test_check_commands_that_change_the_connection_are_refused(void **state)
{
    static const char *const bad[][2] = {
        {"SUBSCRIBE", "x"}, {"multi", NULL},     {"Exec", NULL},
        {"WATCH", "k"},     {"SELECT", "1"},     {"AUTH", "secret"},
        {"MONITOR", NULL},  {"CLIENT", "Reply"}, {"HELLO", "3"},
        {"", NULL},         {"RESET", NULL},
    };
    static const char *const good[][2] = {
        {"CLIENT", "LIST"}, {"GET", "AUTH"}, {"SELECTED", NULL}};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
        struct amy_error err = AMY_ERROR_INIT;
        size_t n = 0;

        command.argv = bad[i];
        command.argc = bad[i][1] == NULL ? 1 : 2;
        assert_int_equal(amy__redis_words_check(&command, &n, &err),
                         AMY_EINVAL);
        assert_null(strstr(err.msg, "secret"));
    }
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
        size_t n = 0;

        command.argv = good[i];
        command.argc = good[i][1] == NULL ? 1 : 2;
        assert_int_equal(amy__redis_words_check(&command, &n, NULL), 0);
    }
}

static void
test_check_no_words_is_einval(void **state)
{
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    const char *const argv[] = {"GET", NULL};
    size_t n = 0;

    (void)state;
    assert_int_equal(amy__redis_words_check(&command, &n, NULL), AMY_EINVAL);
    command.argc = 1;
    assert_int_equal(amy__redis_words_check(&command, &n, NULL), AMY_EINVAL);
    command.argc = 2;
    command.argv = argv;
    assert_int_equal(amy__redis_words_check(&command, &n, NULL), AMY_EINVAL);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_words_of_any_bytes),
        cmocka_unit_test(
            test_check_commands_that_change_the_connection_are_refused),
        cmocka_unit_test(test_check_no_words_is_einval),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Keys for S3, as the AWS tools and the metadata service write them. */
#include "amy_test.h"

#include "backup/awskeys.h"

#include <stdlib.h>
#include <string.h>

#define ENDS_MS INT64_C(1795466527000) /* 2026-11-23T20:42:07Z */

static struct amy__awskeys keys;

static int
read_file(const char *text, const char *profile)
{
    return amy__awskeys_read_file(amy__span_of(text), profile, &keys, NULL);
}

static void
test_a_profile_of_a_file_is_read_and_no_other(void **state)
{
    static const char file[] = "# of the whole host\r\n"
                               "[default]\r\n"
                               "aws_access_key_id = AKIDEFAULT\r\n"
                               "aws_secret_access_key = de/fault+=\r\n"
                               "\r\n"
                               "[profile backup]\n"
                               "; aws_access_key_id = AKIOLD\n"
                               "region = eu-central-1\n"
                               "\taws_access_key_id=AKIBACKUP\n"
                               "aws_secret_access_key=back=up\n"
                               "aws_session_token=tok/en==\n"
                               "output\n"
                               "[half]\n"
                               "aws_access_key_id = AKIHALF";

    (void)state;
    assert_int_equal(read_file(file, "default"), 0);
    assert_string_equal(keys.key, "AKIDEFAULT");
    assert_string_equal(keys.secret, "de/fault+=");
    assert_string_equal(keys.token, "");
    assert_true(keys.ends_ms == INT64_MAX);
    assert_int_equal(read_file(file, "backup"), 0);
    assert_string_equal(keys.key, "AKIBACKUP");
    assert_string_equal(keys.secret, "back=up");
    assert_string_equal(keys.token, "tok/en==");
    assert_int_equal(read_file(file, "half"), AMY_EPARSE);
    assert_int_equal(read_file(file, "other"), AMY_ENOTFOUND);
    assert_int_equal(read_file("", "default"), AMY_ENOTFOUND);
}

static void
test_a_key_that_would_be_a_field_more_is_none(void **state)
{
    (void)state;
    assert_int_equal(read_file("[a]\naws_access_key_id = A\rX-Other: b\n"
                               "aws_secret_access_key = s\n",
                               "a"),
                     AMY_EPARSE);
    assert_int_equal(read_file("[a]\naws_access_key_id = A\n"
                               "aws_secret_access_key =\n",
                               "a"),
                     AMY_EPARSE);
}

static int
read_role(const char *text)
{
    return amy__awskeys_read_role(amy__span_of(text), &keys, NULL);
}

static void
test_keys_of_a_role_say_when_they_end(void **state)
{
    (void)state;
    assert_int_equal(
        read_role("{\"Code\":\"Success\",\"AccessKeyId\":\"ASIA1\","
                  "\"SecretAccessKey\":\"s\",\"Token\":\"t\","
                  "\"Expiration\":\"2026-11-23T20:42:07Z\"}"),
        0);
    assert_string_equal(keys.key, "ASIA1");
    assert_int_equal(keys.ends_ms, ENDS_MS);
    assert_false(amy__awskeys_are_due(&keys, 0, ENDS_MS - 300000));
    assert_true(amy__awskeys_are_due(&keys, 0, ENDS_MS - 299999));
}

static void
test_keys_that_serve_are_asked_for_once_a_minute(void **state)
{
    int64_t asked_ms = ENDS_MS - 200000;

    (void)state;
    keys = (struct amy__awskeys){.key = "ASIA1", .ends_ms = ENDS_MS};
    assert_false(amy__awskeys_are_due(&keys, asked_ms, asked_ms));
    assert_false(amy__awskeys_are_due(&keys, asked_ms, asked_ms + 59999));
    assert_true(amy__awskeys_are_due(&keys, asked_ms, asked_ms + 60000));
    assert_true(amy__awskeys_are_due(&keys, asked_ms, asked_ms - 1));
    assert_true(amy__awskeys_are_due(&keys, ENDS_MS, ENDS_MS)); /* over */
    keys.ends_ms = INT64_MAX;
    assert_false(amy__awskeys_are_due(&keys, 0, ENDS_MS));
}

static void
test_what_is_no_role_leaves_no_keys(void **state)
{
    static const char *const each[] = {
        "",
        "null",
        "{}",
        "<html>",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"t\","
        "\"Expiration\":\"soon\"}",
        "{\"AccessKeyId\":\"A\",\"SecretAccessKey\":\"s\",\"Token\":\"a b\","
        "\"Expiration\":\"2026-11-23T20:42:07Z\"}"};

    (void)state;
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        assert_int_equal(read_role(each[i]), AMY_EPARSE);
        assert_string_equal(keys.key, "");
        assert_string_equal(keys.secret, "");
        assert_true(amy__awskeys_are_due(&keys, 0, 0));
    }
}

static void
test_times_have_thousandths_or_not(void **state)
{
    int64_t ms = 0;

    (void)state;
    assert_true(amy__aws_time("2026-11-23T20:42:07Z", &ms));
    assert_int_equal(ms, INT64_C(1795466527000));
    assert_true(amy__aws_time("2026-11-23T20:42:07.123Z", &ms));
    assert_int_equal(ms, INT64_C(1795466527123));
    assert_false(amy__aws_time("", &ms));
    assert_false(amy__aws_time("2026-11-23", &ms));
}

static void
test_an_environment_without_keys_says_which(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    assert_int_equal(unsetenv("AWS_ACCESS_KEY_ID"), 0);
    assert_int_equal(
        amy__awskeys_get("environment", "default", NULL, &keys, &err),
        AMY_ENOTFOUND);
    assert_non_null(strstr(err.msg, "AWS_ACCESS_KEY_ID"));
    assert_int_equal(setenv("AWS_SHARED_CREDENTIALS_FILE", "relative", 1), 0);
    assert_int_equal(amy__awskeys_get("file", "default", NULL, &keys, &err),
                     AMY_ENOTFOUND);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_profile_of_a_file_is_read_and_no_other),
        cmocka_unit_test(test_a_key_that_would_be_a_field_more_is_none),
        cmocka_unit_test(test_keys_of_a_role_say_when_they_end),
        cmocka_unit_test(test_keys_that_serve_are_asked_for_once_a_minute),
        cmocka_unit_test(test_what_is_no_role_leaves_no_keys),
        cmocka_unit_test(test_times_have_thousandths_or_not),
        cmocka_unit_test(test_an_environment_without_keys_says_which),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

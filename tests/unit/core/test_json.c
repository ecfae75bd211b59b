#include "amy_test.h"

#include "core/json.h"
#include "fail_alloc.h"

#include <string.h>

static int
parse(const char *text, struct amy__json **ret, struct amy_error *err)
{
    return amy__json_parse(amy__span_of(text), ret, err);
}

static void
writes(struct amy__json *json, int indent, const char *want)
{
    struct amy__buf out = {0};

    amy__buf_init(&out, 4096);
    assert_int_equal(amy__json_write(json, indent, &out), 0);
    assert_string_equal(out.data, want);
    amy__buf_clear(&out);
    amy__json_free(json);
}

static void
test_write_keeps_insertion_order_on_one_line(void **state)
{
    struct amy__json *list = amy__json_array();
    struct amy__json *top = amy__json_object();

    (void)state;
    assert_int_equal(amy__json_add(list, amy__json_int(INT64_MIN)), 0);
    assert_int_equal(amy__json_add(list, amy__json_null()), 0);
    assert_int_equal(amy__json_add(list, amy__json_text(NULL)), 0);
    assert_int_equal(amy__json_set(top, "z", list), 0);
    assert_int_equal(amy__json_set(top, "a", amy__json_bool(true)), 0);
    assert_int_equal(amy__json_set(top, "m", amy__json_real(0.5)), 0);
    assert_int_equal(amy__json_set(top, "t", amy__json_text("a\"b\n")), 0);
    writes(top, 0,
           "{\"z\":[-9223372036854775808,null,null],\"a\":true,\"m\":0.5,"
           "\"t\":\"a\\\"b\\n\"}");
    top = amy__json_object();
    assert_int_equal(amy__json_set(top, "a", amy__json_int(1)), 0);
    writes(top, 2, "{\n  \"a\": 1\n}");
}

static void
test_text_that_is_no_utf8_is_repaired(void **state)
{
    (void)state;
    writes(amy__json_text("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\x89"),
           0, "\"gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\x89\"");
    writes(amy__json_text("a\xff\xc3"), 0, "\"a??\"");
    writes(amy__json_text("\xc0\xaf"), 0, "\"??\"");
    writes(amy__json_text("\xed\xa0\x80"), 0, "\"???\"");
    writes(amy__json_text("\xf4\x90\x80\x80"), 0, "\"????\"");
    writes(amy__json_text("\xe2\x82"), 0, "\"??\"");
    writes(amy__json_span((struct amy__span){"a\0b", 3}), 0, "\"a?b\"");
    writes(amy__json_span((struct amy__span){"", 0}), 0, "\"\"");
    writes(amy__json_span((struct amy__span){NULL, 0}), 0, "null");
}

static void
test_parse_reads_values_back(void **state)
{
    struct amy__json *json = NULL;
    const struct amy__json *value = NULL;
    const char *key = NULL;

    (void)state;
    assert_int_equal(
        parse("{\"s\":\"x\",\"i\":5,\"b\":false,\"l\":[1,2]}", &json, NULL), 0);
    assert_string_equal(amy__json_get_text(json, "s", "?"), "x");
    assert_string_equal(amy__json_get_text(json, "i", "?"), "?");
    assert_true(amy__json_get_int(json, "i", 1) == 5);
    assert_true(amy__json_get_int(json, "none", 1) == 1);
    assert_false(amy__json_get_bool(json, "b", true));
    assert_true(amy__json_get_bool(json, "i", true));
    assert_int_equal(amy__json_count(json), 4);
    value = amy__json_get(json, "l");
    assert_true(amy__json_is_array(value));
    assert_int_equal(amy__json_count(value), 2);
    assert_true(amy__json_as_int(amy__json_at(value, 1), 0) == 2);
    assert_null(amy__json_at(value, 2));
    assert_true(amy__json_pair(json, 3, &key, &value));
    assert_string_equal(key, "l");
    assert_false(amy__json_pair(json, 4, &key, &value));
    assert_true(amy__json_is_object(json));
    assert_true(amy__json_is_text(amy__json_get(json, "s")));
    assert_true(amy__json_is_int(amy__json_get(json, "i")));
    amy__json_free(json);
}

static void
test_copy_outlives_its_original(void **state)
{
    struct amy__json *json = NULL;
    struct amy__json *copy = NULL;

    (void)state;
    assert_int_equal(parse("{\"l\":[1,{\"a\":null}]}", &json, NULL), 0);
    copy = amy__json_copy(json);
    amy__json_free(json);
    writes(copy, 0, "{\"l\":[1,{\"a\":null}]}");
    assert_null(amy__json_copy(NULL));
}

static void
test_readers_take_null_and_other_types(void **state)
{
    const struct amy__json *value = NULL;
    const char *key = NULL;

    (void)state;
    assert_null(amy__json_get(NULL, "a"));
    assert_null(amy__json_at(NULL, 0));
    assert_int_equal(amy__json_count(NULL), 0);
    assert_false(amy__json_pair(NULL, 0, &key, &value));
    assert_string_equal(amy__json_as_text(NULL, "f"), "f");
    assert_true(amy__json_as_int(NULL, 3) == 3);
    assert_false(amy__json_is_object(NULL));
    amy__json_free(NULL);
}

static void
test_parse_refuses_what_could_be_read_two_ways(void **state)
{
    static const char *const bad[] = {
        "",         "{",         "{\"a\":1,\"a\":2}",    "{} x",
        "[1,]",     "{\"a\" 1}", "\"\\u0000\"",          "nul",
        "\"\xff\"", "[1e999]",   "99999999999999999999",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct amy__json *json = NULL;

        if (parse(bad[i], &json, NULL) != AMY_EPARSE || json != NULL) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
}

static void
test_parse_names_the_line(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct amy__json *json = NULL;

    (void)state;
    assert_int_equal(parse("{\n\n\"a\": x}", &json, &err), AMY_EPARSE);
    assert_memory_equal(err.msg, "line 3: ", 8);
}

static void
test_parse_bounds_nesting(void **state)
{
    char deep[128] = "";
    struct amy__json *json = NULL;

    (void)state;
    memset(deep, '[', 32);
    memset(deep + 32, ']', 32);
    assert_int_equal(parse(deep, &json, NULL), 0);
    amy__json_free(json);
    memset(deep, '[', 33);
    memset(deep + 33, ']', 33);
    assert_int_equal(parse(deep, &json, NULL), AMY_EPARSE);
    /* Brackets in text do not nest. */
    json = NULL;
    assert_int_equal(
        parse("\"[[[[[[[[[[[[[[[[[[[[[[\\\"[[[[[[[[[[[[[[[[[[[[[[\"", &json,
              NULL),
        0);
    amy__json_free(json);
}

static void
test_missing_values_are_told_and_left_out(void **state)
{
    struct amy__json *top = amy__json_object();
    struct amy__buf out = {0};

    (void)state;
    assert_int_equal(amy__json_set(top, "a", NULL), AMY_ENOMEM);
    assert_int_equal(amy__json_add(NULL, amy__json_int(1)), AMY_ENOMEM);
    fail_alloc_nth(1);
    assert_int_equal(amy__json_set(top, "a", amy__json_text("x")), AMY_ENOMEM);
    assert_int_equal(amy__json_count(top), 0);
    amy__buf_init(&out, 1);
    assert_int_equal(amy__json_write(top, 0, &out), AMY_ELIMIT);
    assert_int_equal(out.len, 0);
    assert_int_equal(amy__json_write(NULL, 0, &out), AMY_ENOMEM);
    amy__buf_clear(&out);
    amy__json_free(top);
    assert_int_equal(fail_alloc_live(), 0);
}

/* jansson does not tell when a key could not be written. */
static void
test_a_key_that_finds_no_memory_is_not_left_out(void **state)
{
    bool more = true;

    (void)state;
    for (int n = 1; more; n++) {
        static const char long_key[] =
            "a key that is longer than what the buffer has at first";
        struct amy__json *top = amy__json_object();
        struct amy__buf out;
        int rc = 0;

        assert_int_equal(amy__json_set(top, long_key, amy__json_int(1)), 0);
        amy__buf_init(&out, 4096);
        assert_int_equal(amy__buf_append(&out, "x", 1), 0);
        while (out.len < out.cap - 2) {
            out.len++;
        }
        fail_alloc_nth(n);
        rc = amy__json_write(top, 0, &out);
        more = fail_alloc_hit();
        assert_int_equal(rc, more ? AMY_ENOMEM : 0);
        amy__buf_clear(&out);
        amy__json_free(top);
    }
    fail_alloc_nth(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_keeps_insertion_order_on_one_line),
        cmocka_unit_test(test_text_that_is_no_utf8_is_repaired),
        cmocka_unit_test(test_parse_reads_values_back),
        cmocka_unit_test(test_copy_outlives_its_original),
        cmocka_unit_test(test_readers_take_null_and_other_types),
        cmocka_unit_test(test_parse_refuses_what_could_be_read_two_ways),
        cmocka_unit_test(test_parse_names_the_line),
        cmocka_unit_test(test_parse_bounds_nesting),
        cmocka_unit_test(test_missing_values_are_told_and_left_out),
        cmocka_unit_test(test_a_key_that_finds_no_memory_is_not_left_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

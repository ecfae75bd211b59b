#include "amy_test.h"

#include <amy/error.h>

#include "http/path.h"

#include <string.h>

static void
test_normalise_resolves_to_a_name(void **state)
{
    static const struct {
        const char *path;
        const char *name;
    } cases[] = {
        {"/", "/"},
        {"/a/b.css", "/a/b.css"},
        {"/a/", "/a/"},
        {"//a///b", "/a/b"},
        {"/./a/./b/.", "/a/b/"},
        {"/a/../b", "/b"},
        {"/a/..", "/"},
        {"/a/b/../../c/", "/c/"},
        {"/a/%2e%2E/b", "/b"},
        {"/a%20b%c3%a4", "/a b\xc3\xa4"},
        {"/%2541", "/%41"}, /* decoded once */
        {"/...", "/..."},
        {"/..a/.b", "/..a/.b"},
        {"/a\\b", "/a\\b"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[64];

        assert_int_equal(amy__path_normalise(amy__span_of(cases[i].path), name,
                                             sizeof(name)),
                         strlen(cases[i].name));
        assert_string_equal(name, cases[i].name);
    }
}

static void
test_normalise_malformed_is_eparse(void **state)
{
    static const char *const cases[] = {
        "",       "a",        "*",      "/..",
        "/../a",  "/a/../..", "/%2e.",  "/%00",
        "/a%00b", "/a%2fb",   "/a%2Fb", "/%",
        "/%4",    "/%zz",     "/%4g",   "/a/%2e%2e/%2e%2e",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[64];

        assert_int_equal(
            amy__path_normalise(amy__span_of(cases[i]), name, sizeof(name)),
            AMY_EPARSE);
    }
    assert_int_equal(
        amy__path_normalise((struct amy__span){"/a\0b", 4}, (char[8]){0}, 8),
        AMY_EPARSE);
}

static void
test_normalise_without_room_is_elimit(void **state)
{
    (void)state;
    for (size_t size = 0; size < 7; size++) {
        char name[7] = {0};

        assert_int_equal(amy__path_normalise(AMY_SPAN("/abc/d"), name, size),
                         AMY_ELIMIT);
    }
    assert_int_equal(amy__path_normalise(AMY_SPAN("/abc/d"), (char[7]){0}, 7),
                     6);
}

static void
test_resolve_takes_a_path_literally_and_never_upwards(void **state)
{
    static const struct {
        const char *path;
        const char *name; /* NULL: AMY_EPARSE */
    } cases[] = {
        {"/a/b.css", "/a/b.css"},
        {"//a/./b", "/a/b"},
        {"/a%2fb%zz", "/a%2fb%zz"},
        {"/a b\xc3\xa4", "/a b\xc3\xa4"},
        {"/a/..b", "/a/..b"},
        {"/a/b..", "/a/b.."},
        {"", NULL},
        {"a", NULL},
        {"/..", NULL},
        {"/a/..", NULL},
        {"/a/../b", NULL},
        {"/a/b/../../../c", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char name[64];
        int64_t n =
            amy__path_resolve(amy__span_of(cases[i].path), name, sizeof(name));

        if (cases[i].name == NULL) {
            assert_int_equal(n, AMY_EPARSE);
        } else {
            assert_int_equal(n, strlen(cases[i].name));
            assert_string_equal(name, cases[i].name);
        }
    }
    assert_int_equal(
        amy__path_resolve((struct amy__span){"/a\0b", 4}, (char[8]){0}, 8),
        AMY_EPARSE);
}

static void
test_percent_decode_of_everything(void **state)
{
    char buf[16];

    (void)state;
    assert_int_equal(
        amy__percent_decode(AMY_SPAN("/a%20b%2Fc%25"), buf, sizeof(buf)), 7);
    assert_string_equal(buf, "/a b/c%");
    assert_int_equal(amy__percent_decode(AMY_SPAN(""), buf, sizeof(buf)), 0);
    assert_int_equal(amy__percent_decode(AMY_SPAN("a%"), buf, 16), AMY_EPARSE);
    assert_int_equal(amy__percent_decode(AMY_SPAN("%4"), buf, 16), AMY_EPARSE);
    assert_int_equal(amy__percent_decode(AMY_SPAN("%zz"), buf, 16), AMY_EPARSE);
    assert_int_equal(amy__percent_decode(AMY_SPAN("%00"), buf, 16), AMY_EPARSE);
    assert_int_equal(amy__percent_decode(AMY_SPAN("abc"), buf, 3), AMY_ELIMIT);
    assert_int_equal(amy__percent_decode(AMY_SPAN("abc"), buf, 4), 3);
    assert_int_equal(amy__percent_decode(AMY_SPAN(""), buf, 0), AMY_ELIMIT);
}

static void
test_within_counts_whole_segments(void **state)
{
    (void)state;
    assert_true(amy__path_is_within("media/private/a", "media/private"));
    assert_true(amy__path_is_within("media/private/a", "media/private/"));
    assert_true(amy__path_is_within("media/private", "media/private/"));
    assert_true(amy__path_is_within("media/private/", "media/private"));
    assert_false(amy__path_is_within("media/privateer", "media/private"));
    assert_false(amy__path_is_within("media", "media/private"));
    assert_false(amy__path_is_within("a/media/private", "media/private"));
}

static void
test_percent_encode_never_halves_a_code(void **state)
{
    char buf[16];

    (void)state;
    assert_int_equal(
        amy__percent_encode(AMY_SPAN("/a b\xff"), true, buf, sizeof(buf)), 9);
    assert_string_equal(buf, "/a%20b%FF");
    assert_int_equal(amy__percent_encode(AMY_SPAN("/a"), false, buf, 16), 4);
    assert_string_equal(buf, "%2Fa");
    assert_int_equal(amy__percent_encode(AMY_SPAN("a bc"), true, buf, 4), 6);
    assert_string_equal(buf, "a");
    assert_int_equal(amy__percent_encode(AMY_SPAN("a"), true, buf, 0), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_normalise_resolves_to_a_name),
        cmocka_unit_test(test_normalise_malformed_is_eparse),
        cmocka_unit_test(test_normalise_without_room_is_elimit),
        cmocka_unit_test(test_resolve_takes_a_path_literally_and_never_upwards),
        cmocka_unit_test(test_percent_decode_of_everything),
        cmocka_unit_test(test_within_counts_whole_segments),
        cmocka_unit_test(test_percent_encode_never_halves_a_code),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

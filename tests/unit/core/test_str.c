#include "amy_test.h"

#include "core/str.h"

#include <string.h>

static struct amy__span
span(const char *text)
{
    return amy__span_of(text);
}

static void
test_eq_compares_bytes_and_length(void **state)
{
    (void)state;
    assert_true(amy__span_eq(span("abc"), span("abc")));
    assert_false(amy__span_eq(span("abc"), span("abd")));
    assert_false(amy__span_eq(span("abc"), span("ab")));
    assert_true(amy__span_eq(span(NULL), span("")));
    assert_true(amy__span_eq_nocase(span("HoSt-9"), span("hOsT-9")));
    assert_false(amy__span_eq_nocase(span("["), span("{")));
    assert_false(amy__span_eq_nocase(span("\xc4"), span("\xe4")));
}

static void
test_starts_and_ends_know_the_empty_span(void **state)
{
    (void)state;
    assert_true(amy__span_starts(span("/static/x"), span("/static/")));
    assert_false(amy__span_starts(span("/st"), span("/static/")));
    assert_true(amy__span_starts(span(""), span("")));
    assert_true(amy__span_ends(span("a.html"), span(".html")));
    assert_false(amy__span_ends(span("html"), span(".html")));
    assert_true(amy__span_ends(span(NULL), span(NULL)));
}

static void
test_trim_takes_blanks_only(void **state)
{
    (void)state;
    assert_true(amy__span_eq(amy__span_trim(span(" \t a b\t ")), span("a b")));
    assert_int_equal(amy__span_trim(span(" \t ")).n, 0);
    assert_true(amy__span_eq(amy__span_trim(span("\na\r")), span("\na\r")));
}

static void
test_split_gives_every_piece(void **state)
{
    struct amy__span rest = span("a,,b,");
    struct amy__span piece = {0};

    (void)state;
    assert_true(amy__span_split(&rest, ',', &piece));
    assert_true(amy__span_eq(piece, span("a")));
    assert_true(amy__span_split(&rest, ',', &piece));
    assert_int_equal(piece.n, 0);
    assert_true(amy__span_split(&rest, ',', &piece));
    assert_true(amy__span_eq(piece, span("b")));
    assert_true(amy__span_split(&rest, ',', &piece));
    assert_int_equal(piece.n, 0);
    assert_false(amy__span_split(&rest, ',', &piece));

    rest = span("");
    assert_true(amy__span_split(&rest, ',', &piece));
    assert_false(amy__span_split(&rest, ',', &piece));
    rest = span(NULL);
    assert_false(amy__span_split(&rest, ',', &piece));
}

static void
test_copy_that_does_not_fit_leaves_nothing(void **state)
{
    char small[4] = "xyz";

    (void)state;
    assert_true(amy__span_copy(span("abc"), small, sizeof(small)));
    assert_string_equal(small, "abc");
    assert_false(amy__span_copy(span("abcd"), small, sizeof(small)));
    assert_string_equal(small, "");
    assert_false(amy__span_copy(span(""), small, 0));
}

static void
test_parse_u64_takes_digits_up_to_max(void **state)
{
    uint64_t value = 7;

    (void)state;
    assert_true(
        amy__parse_u64(span("18446744073709551615"), UINT64_MAX, &value));
    assert_true(value == UINT64_MAX);
    assert_false(
        amy__parse_u64(span("18446744073709551616"), UINT64_MAX, &value));
    assert_false(amy__parse_u64(span("65536"), 65535, &value));
    assert_false(amy__parse_u64(span(""), 9, &value));
    assert_false(amy__parse_u64(span("-1"), 9, &value));
    assert_false(amy__parse_u64(span("+1"), 9, &value));
    assert_false(amy__parse_u64(span("1 "), 9, &value));
    assert_true(value == UINT64_MAX);
    assert_true(amy__parse_u64(span("000"), 9, &value));
    assert_true(value == 0);
}

static void
test_escape_never_cuts_an_escape_in_two(void **state)
{
    char buf[16] = "";

    (void)state;
    assert_int_equal(
        amy__escape((struct amy__span){"a\"\0\n", 4}, buf, sizeof(buf)), 13);
    assert_string_equal(buf, "a\\x22\\x00\\x0a");
    assert_int_equal(amy__escape(span("ab\n"), buf, 6), 2);
    assert_string_equal(buf, "ab");
    assert_int_equal(amy__escape(span("\\\xff"), buf, 9), 8);
    assert_string_equal(buf, "\\x5c\\xff");
    assert_int_equal(amy__escape(span("abc"), buf, 1), 0);
    assert_string_equal(buf, "");
    assert_int_equal(amy__escape(span("abc"), buf, 0), 0);
}

static void
test_checked_sums_tell_overflow(void **state)
{
    size_t value = 0;

    (void)state;
    assert_true(amy__add_size(2, 3, &value));
    assert_int_equal(value, 5);
    assert_false(amy__add_size(SIZE_MAX, 1, &value));
    assert_true(amy__mul_size(2, 3, &value));
    assert_int_equal(value, 6);
    assert_false(amy__mul_size(SIZE_MAX, 2, &value));
}

static void
test_hash_depends_on_text_and_seed(void **state)
{
    (void)state;
    /* FNV-1a's own test vector. */
    assert_true(amy__hash(span("a"), 0) == 0xaf63dc4c8601ec8cU);
    assert_true(amy__hash(span("a"), 1) != amy__hash(span("a"), 0));
    assert_true(amy__hash(span("ab"), 1) != amy__hash(span("ba"), 1));
}

static void
expect_mended(const char *text, const char *mended)
{
    char copy[64];

    assert_true(strlen(text) < sizeof(copy));
    strcpy(copy, text);
    amy__utf8_mend(copy);
    assert_string_equal(copy, mended);
}

static void
test_what_is_no_utf8_is_mended(void **state)
{
    (void)state;
    expect_mended("", "");
    expect_mended("gr\xc3\xb6\xc3\x9f"
                  "e",
                  "gr\xc3\xb6\xc3\x9f"
                  "e");
    expect_mended("caf\xe9 au lait", "caf? au lait");
    expect_mended("\xc0\xaf\x80", "???");
    /* Cut off within its last letter, after one byte, two or three. */
    expect_mended("a\xc3", "a");
    expect_mended("a\xe2\x82", "a");
    expect_mended("a\xf0\x9f\x98", "a");
    expect_mended("a\xf0", "a");
    expect_mended("a\xff", "a?");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_eq_compares_bytes_and_length),
        cmocka_unit_test(test_starts_and_ends_know_the_empty_span),
        cmocka_unit_test(test_trim_takes_blanks_only),
        cmocka_unit_test(test_split_gives_every_piece),
        cmocka_unit_test(test_copy_that_does_not_fit_leaves_nothing),
        cmocka_unit_test(test_parse_u64_takes_digits_up_to_max),
        cmocka_unit_test(test_escape_never_cuts_an_escape_in_two),
        cmocka_unit_test(test_checked_sums_tell_overflow),
        cmocka_unit_test(test_hash_depends_on_text_and_seed),
        cmocka_unit_test(test_what_is_no_utf8_is_mended),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

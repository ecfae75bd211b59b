#include "amy_test.h"

#include "http/chars.h"

#include <string.h>

/* Each scan against the table, with every byte at every place of a word. */
static void
test_scan_stops_at_the_first_that_may_not(void **state)
{
    (void)state;
    for (size_t at = 0; at < 24; at++) {
        for (unsigned byte = 0; byte < 256; byte++) {
            char text[25];
            const char *end = text + 24;
            const char *question = NULL;
            uint8_t class = amy__chars[byte];
            const char *odd = text + at;

            memset(text, 'a', sizeof(text));
            text[at] = (char)byte;
            assert_ptr_equal(amy__scan_value(text, end),
                             (class & AMY__CHAR_VALUE) != 0 ? end : odd);
            assert_ptr_equal(amy__scan_token(text, end),
                             (class & AMY__CHAR_TOKEN) != 0 ? end : odd);
            assert_ptr_equal(amy__scan_target(text, end, &question),
                             (class & AMY__CHAR_TARGET) != 0 ? end : odd);
            assert_ptr_equal(question, byte == '?' ? odd : NULL);
        }
    }
}

/* A borrow from one byte may mark the next: it must not be believed. */
static void
test_scan_believes_the_lowest_mark_only(void **state)
{
    static const char *const texts[] = {"\t abcdefgh", "\t\t  \t aaaaaaaa",
                                        "a\t\x80\xff bcdefg\t"};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        const char *end = texts[i] + strlen(texts[i]);

        assert_ptr_equal(amy__scan_value(texts[i], end), end);
    }
}

static void
test_scan_name_tells_of_underscores(void **state)
{
    static const char plain[] = "X-Name:";
    static const char odd[] = "X_Na_me:";
    bool underscore = true;

    (void)state;
    assert_ptr_equal(amy__scan_name(plain, plain + 7, &underscore), plain + 6);
    assert_false(underscore);
    assert_ptr_equal(amy__scan_name(odd, odd + 8, &underscore), odd + 7);
    assert_true(underscore);
}

static void
test_classes_are_those_of_the_grammar(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 256; b++) {
        bool alnum = (b >= '0' && b <= '9') || (b >= 'a' && b <= 'z') ||
                     (b >= 'A' && b <= 'Z');
        bool token = alnum || (b != 0 && b < 128 &&
                               strchr("!#$%&'*+-.^_`|~", (int)b) != NULL);
        bool host = alnum || (b != 0 && b < 128 &&
                              strchr("-._~!$&'()*+;=", (int)b) != NULL);
        uint8_t class = amy__chars[b];

        assert_int_equal((class & AMY__CHAR_TOKEN) != 0, token);
        assert_int_equal((class & AMY__CHAR_NAME) != 0, token && b != '_');
        assert_int_equal((class & AMY__CHAR_HOST) != 0, host);
        assert_int_equal((class & AMY__CHAR_VALUE) != 0,
                         b == '\t' || (b >= ' ' && b != 0x7f));
        assert_int_equal((class & AMY__CHAR_TARGET) != 0,
                         b > ' ' && b < 0x7f && b != '#');
        assert_int_equal((class & AMY__CHAR_HEX) != 0,
                         amy__hex_value((char)b) >= 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_scan_stops_at_the_first_that_may_not),
        cmocka_unit_test(test_scan_believes_the_lowest_mark_only),
        cmocka_unit_test(test_scan_name_tells_of_underscores),
        cmocka_unit_test(test_classes_are_those_of_the_grammar),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What amyctl shows people: nothing that a terminal would obey. */
#include "amy_test.h"

#include "ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What is shown of this, by text_print() and in a table. */
static void
expect(const char *text, const char *shown)
{
    char *out = NULL;
    size_t n = 0;
    FILE *stream = open_memstream(&out, &n);
    struct table *table = table_create("l");
    char want[64] = "";

    assert_non_null(stream);
    text_begin(stream);
    text_print(TEXT_BOLD, "%s|", text);
    table_row(table);
    table_cell(table, TEXT_PLAIN, "%s|", text);
    table_finish(table, "");
    text_begin(stdout);
    assert_int_equal(fclose(stream), 0);
    (void)snprintf(want, sizeof(want), "%s|%s|\n", shown, shown);
    assert_string_equal(out, want);
    free(out);
}

static void
test_control_characters_of_ascii_are_not_shown(void **state)
{
    (void)state;
    expect("a\033[1mb\r\t\x7f\a.", "a?[1mb????.");
}

/* U+0080 to U+009F: what begins with ESC in ASCII has a character there. */
static void
test_control_characters_of_unicode_are_not_shown(void **state)
{
    (void)state;
    expect("a\xc2\x9b"
           "1m\xc2\x80\xc2\x9f\xc2\xa0.",
           "a??1m????\xc2\xa0.");
}

static void
test_what_is_no_utf8_is_not_shown(void **state)
{
    (void)state;
    expect("\x9b"
           "1m \x80\x9f\xff",
           "?1m ???");
    expect("\xc0\x9b \xc1\xbf", "?? ??");
    expect("\xe0\x82\x9b \xed\xa0\x80",
           "??? ???"); /* too long; half of a pair */
    expect("\xf0\x80\x82\x9b \xf4\x90\x80\x80", "???? ????");
    expect("\xe2\x82", "??"); /* cut */
    expect("\xf0\x9f\x98.", "???.");
}

static void
test_other_characters_stay(void **state)
{
    (void)state;
    expect("a~ \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xef\xbf\xbd.",
           "a~ \xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\xed\x9f\xbf\xef\xbf\xbd.");
    expect("", "");
}

static void
test_no_byte_behind_the_end_is_looked_at(void **state)
{
    (void)state;
    assert_int_equal(text_printable("\xe2\x82\xac", 3), 3);
    assert_int_equal(text_printable("\xe2\x82\xac", 2), 0);
    assert_int_equal(text_printable("\xc3\xa9", 1), 0);
    assert_int_equal(text_printable("", 1), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_control_characters_of_ascii_are_not_shown),
        cmocka_unit_test(test_control_characters_of_unicode_are_not_shown),
        cmocka_unit_test(test_what_is_no_utf8_is_not_shown),
        cmocka_unit_test(test_other_characters_stay),
        cmocka_unit_test(test_no_byte_behind_the_end_is_looked_at),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

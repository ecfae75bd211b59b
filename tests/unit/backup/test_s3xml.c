/* Answers of S3: read element by element, and refused where they are none. */
#include "amy_test.h"

#include "backup/s3xml.h"

#include <stdio.h>
#include <string.h>

static char told[4096];
static int answer;

static int
note(const char *path, const char *text, void *user, struct amy_error *err)
{
    size_t n = strlen(told);

    (void)user;
    (void)err;
    (void)snprintf(told + n, sizeof(told) - n, "%s=%s\n", path, text);
    return answer;
}

static int
read_text(const char *xml)
{
    told[0] = '\0';
    answer = 0;
    return amy__s3xml_read(amy__span_of(xml), note, NULL, NULL);
}

static void
test_elements_are_told_at_their_end(void **state)
{
    (void)state;
    assert_int_equal(
        read_text("\xef\xbb\xbf<?xml version=\"1.0\"?>\n"
                  "<R xmlns=\"http://s3/a/b\">\n <A>one</A><!-- <B> -->"
                  "<C><K>k</K>\n<E/></C><D a='1' /> </R>\n"),
        0);
    assert_string_equal(told, "R/A=one\nR/C/K=k\nR/C/E=\nR/C=\nR/D=\nR=\n");
}

static void
test_entities_are_what_they_stand_for(void **state)
{
    (void)state;
    assert_int_equal(read_text("<A>&lt;&amp;&gt;&quot;&apos;&#65;&#x42;&#xe9;"
                               "&#x20AC;&#x1F600;</A>"),
                     0);
    assert_string_equal(told,
                        "A=<&>\"'AB\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80\n");
}

static void
test_what_is_no_such_text_is_refused(void **state)
{
    static const char *const each[] = {"",
                                       "  ",
                                       "text",
                                       "<A>",
                                       "<A></B>",
                                       "</A>",
                                       "<A/><B/>",
                                       "<A></A>x",
                                       "<A><!-- </A>",
                                       "<A",
                                       "<>x</>",
                                       "<A>&nbsp;</A>",
                                       "<A>&amp</A>",
                                       "<A>&#;</A>",
                                       "<A>&#0;</A>",
                                       "<A>&#x110000;</A>",
                                       "<A>&#12g;</A>",
                                       "<A>&longername;</A>",
                                       "<!DOCTYPE A [<!ENTITY x 'y'>]><A/>",
                                       "<A<B></A<B>"};

    (void)state;
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        assert_int_equal(read_text(each[i]), AMY_EPARSE);
    }
}

static void
test_nothing_grows_without_an_end(void **state)
{
    char xml[AMY__S3XML_TEXT_MAX + 64];

    (void)state;
    assert_int_equal(read_text("<1><2><3><4><5><6><7><8/></7></6></5></4></3>"
                               "</2></1>"),
                     0);
    assert_int_equal(read_text("<1><2><3><4><5><6><7><8><9/></8></7></6></5>"
                               "</4></3></2></1>"),
                     AMY_ELIMIT);
    (void)snprintf(xml, sizeof(xml), "<A>%0*d</A>", AMY__S3XML_TEXT_MAX, 1);
    assert_int_equal(read_text(xml), 0);
    (void)snprintf(xml, sizeof(xml), "<A>%0*d</A>", AMY__S3XML_TEXT_MAX + 1, 1);
    assert_int_equal(read_text(xml), AMY_ELIMIT);
    (void)snprintf(xml, sizeof(xml), "<%0*d/>", AMY__S3XML_PATH_SIZE, 1);
    assert_int_equal(read_text(xml), AMY_ELIMIT);
}

static void
test_whoever_reads_may_end_it(void **state)
{
    (void)state;
    told[0] = '\0';
    answer = AMY_ESTATE;
    assert_int_equal(
        amy__s3xml_read(AMY_SPAN("<A><B/><C/></A>"), note, NULL, NULL),
        AMY_ESTATE);
    assert_string_equal(told, "A/B=\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_elements_are_told_at_their_end),
        cmocka_unit_test(test_entities_are_what_they_stand_for),
        cmocka_unit_test(test_what_is_no_such_text_is_refused),
        cmocka_unit_test(test_nothing_grows_without_an_end),
        cmocka_unit_test(test_whoever_reads_may_end_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What a Range field comes to, and the framing of several ranges. */
#include "amy_test.h"

#include "http/range.h"

#include <stdio.h>
#include <string.h>

#define SIZE 1000U
#define GIB ((uint64_t)1 << 30)

static enum amy__range_wish
read_of(const char *value, uint64_t size, struct amy__ranges *ret)
{
    struct amy__request_head head = {.method = AMY__METHOD_GET,
                                     .field_count = 1};

    head.fields[0].name = AMY_SPAN("Range");
    head.fields[0].value = amy__span_of(value);
    head.fields[0].id = AMY__FIELD_RANGE;
    return amy__range_read(&head, size, ret);
}

/* "first+n first+n", as the tables below have it. */
static void
write_ranges(const struct amy__ranges *ranges, char *buf, size_t size)
{
    size_t n = 0;

    buf[0] = '\0';
    for (size_t i = 0; i < ranges->count; i++) {
        n += (size_t)snprintf(buf + n, size - n, "%s%llu+%llu",
                              i == 0 ? "" : " ",
                              (unsigned long long)ranges->at[i].first,
                              (unsigned long long)ranges->at[i].n);
        assert_true(n < size);
    }
}

static void
test_ranges_of_a_thousand_bytes(void **state)
{
    static const struct {
        const char *value;
        const char *ranges;
    } cases[] = {
        {"bytes=0-0", "0+1"},
        {"bytes=-5", "995+5"},
        {"bytes=5-", "5+995"},
        {"bytes=0-999999", "0+1000"},
        {"bytes=0-999", "0+1000"},
        {"bytes=0-", "0+1000"},
        {"bytes=999-", "999+1"},
        {"bytes=999-999", "999+1"},
        {"bytes=-1000", "0+1000"},
        {"bytes=-1001", "0+1000"},
        {"bytes=-99999999999999999999999", "0+1000"},
        {"bytes=1-99999999999999999999999", "1+999"},
        {"bytes=00000000000000000000001-2", "1+2"},
        {"BYTES=1-2", "1+2"},
        {"bytes=0-0,-1", "0+1 999+1"},
        {"bytes=900-999, 0-99", "900+100 0+100"},
        {"bytes=0-4,5-9", "0+5 5+5"},
        {"bytes=0-4,\t 10-14 ,,20-24,", "0+5 10+5 20+5"},
        {"bytes=0-4,1000-", "0+5"}, /* what is beyond the end is left out */
        {"bytes=1000-,-0,3-3", "3+1"},
        {"bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,"
         "22-22,24-24,26-26,28-28,30-30",
         "0+1 2+1 4+1 6+1 8+1 10+1 12+1 14+1 16+1 18+1 20+1 22+1 24+1 26+1 "
         "28+1 30+1"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__ranges ranges;
        char text[512];

        if (read_of(cases[i].value, SIZE, &ranges) != AMY__RANGE_PARTS) {
            fail_msg("'%s' is no range", cases[i].value);
        }
        write_ranges(&ranges, text, sizeof(text));
        assert_string_equal(text, cases[i].ranges);
    }
}

static void
test_what_is_not_followed_gives_the_whole(void **state)
{
    static const char *const values[] = {
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes= , ,",
        "bytes=-",
        "bytes=x",
        "bytes=5",
        "bytes=5-4",
        "bytes=a-5",
        "bytes=5-a",
        "bytes=+5-6",
        "bytes=--5",
        "bytes=5--6",
        "bytes=5-6-7",
        "bytes=0x1-2",
        "bytes=1 -2",
        "bytes=1- 2",
        "bytes=1-2;3-4",
        "bytes =1-2",
        "bytes:1-2",
        "lines=1-2",
        "items=0-0",
        "none",
        "bytesbytes=0-0",
        "bytes=0-4,x", /* one that is malformed spoils the set */
        "bytes=1000-,x",
        "bytes=0-4,4-9", /* overlapping */
        "bytes=0-99,50-50",
        "bytes=50-50,0-99",
        "bytes=0-,-1",
        "bytes=3-3,3-3",
        "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,"
        "22-22,24-24,26-26,28-28,30-30,32-32", /* seventeen */
        "bytes=1000-,1001-,1002-,1003-,1004-,1005-,1006-,1007-,1008-,1009-,"
        "1010-,1011-,1012-,1013-,1014-,1015-,0-0",
    };
    struct amy__ranges ranges;

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (read_of(values[i], SIZE, &ranges) != AMY__RANGE_WHOLE) {
            fail_msg("'%s' was followed", values[i]);
        }
    }
}

static void
test_beyond_the_end_is_none(void **state)
{
    static const char *const values[] = {
        "bytes=1000-",
        "bytes=1000-1000",
        "bytes=-0",
        "bytes=1000-,2000-3000,-0",
        "bytes=99999999999999999999999-",
        "bytes=18446744073709551615-18446744073709551615",
    };
    struct amy__ranges ranges;

    (void)state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        if (read_of(values[i], SIZE, &ranges) != AMY__RANGE_NONE) {
            fail_msg("'%s' was not refused", values[i]);
        }
    }
}

static void
test_of_an_empty_file(void **state)
{
    struct amy__ranges ranges;

    (void)state;
    assert_int_equal(read_of("bytes=0-", 0, &ranges), AMY__RANGE_NONE);
    assert_int_equal(read_of("bytes=-0", 0, &ranges), AMY__RANGE_NONE);
    /* Satisfied (14.1.2), but no Content-Range could say by what. */
    assert_int_equal(read_of("bytes=-5", 0, &ranges), AMY__RANGE_WHOLE);
}

static void
test_offsets_beyond_32_bits(void **state)
{
    struct amy__ranges ranges;
    char text[64];

    (void)state;
    assert_int_equal(read_of("bytes=4294967296-4294967300", 5 * GIB, &ranges),
                     AMY__RANGE_PARTS);
    write_ranges(&ranges, text, sizeof(text));
    assert_string_equal(text, "4294967296+5");
    assert_int_equal(read_of("bytes=-1", 5 * GIB, &ranges), AMY__RANGE_PARTS);
    write_ranges(&ranges, text, sizeof(text));
    assert_string_equal(text, "5368709119+1");
    assert_int_equal(read_of("bytes=0-", UINT64_MAX, &ranges),
                     AMY__RANGE_PARTS);
    assert_true(ranges.at[0].n == UINT64_MAX);
}

static void
test_only_get_knows_ranges(void **state)
{
    static const enum amy__method methods[] = {
        AMY__METHOD_HEAD,    AMY__METHOD_POST,  AMY__METHOD_PUT,
        AMY__METHOD_OPTIONS, AMY__METHOD_OTHER,
    };
    struct amy__request_head head = {.field_count = 1};
    struct amy__ranges ranges;

    (void)state;
    head.fields[0].value = AMY_SPAN("bytes=0-0");
    head.fields[0].id = AMY__FIELD_RANGE;
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        head.method = methods[i];
        assert_int_equal(amy__range_read(&head, SIZE, &ranges),
                         AMY__RANGE_WHOLE);
    }
}

static void
test_no_field_or_two_give_the_whole(void **state)
{
    struct amy__request_head head = {.method = AMY__METHOD_GET};
    struct amy__ranges ranges;

    (void)state;
    assert_int_equal(amy__range_read(&head, SIZE, &ranges), AMY__RANGE_WHOLE);
    head.field_count = 2;
    for (size_t i = 0; i < 2; i++) {
        head.fields[i].value = AMY_SPAN("bytes=0-0");
        head.fields[i].id = AMY__FIELD_RANGE;
    }
    assert_int_equal(amy__range_read(&head, SIZE, &ranges), AMY__RANGE_WHOLE);
}

static void
test_content_range_says_which_of_how_many(void **state)
{
    struct amy__range most = {UINT64_MAX - 1, 1};
    struct amy__range range = {0, 5};
    char text[AMY__RANGE_TEXT];

    (void)state;
    assert_int_equal(amy__range_text(&range, 100, text), 13);
    assert_string_equal(text, "bytes 0-4/100");
    (void)amy__range_text(NULL, 100, text);
    assert_string_equal(text, "bytes */100");
    assert_true(amy__range_text(&most, UINT64_MAX, text) < AMY__RANGE_TEXT);
    assert_string_equal(
        text,
        "bytes 18446744073709551614-18446744073709551614/18446744073709551615");
}

static void
test_parts_are_framed(void **state)
{
    struct amy__range range = {5, 5};
    char text[256];
    size_t n = 0;

    (void)state;
    n = amy__range_part_head("ab", AMY_SPAN("text/css"), &range, 100, text,
                             sizeof(text));
    assert_int_equal(n, strlen(text));
    assert_string_equal(text, "\r\n--ab\r\nContent-Type: text/css\r\n"
                              "Content-Range: bytes 5-9/100\r\n\r\n");
    assert_int_equal(amy__range_parts_end("ab", text, sizeof(text)), 10);
    assert_string_equal(text, "\r\n--ab--\r\n");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges_of_a_thousand_bytes),
        cmocka_unit_test(test_what_is_not_followed_gives_the_whole),
        cmocka_unit_test(test_beyond_the_end_is_none),
        cmocka_unit_test(test_of_an_empty_file),
        cmocka_unit_test(test_offsets_beyond_32_bits),
        cmocka_unit_test(test_only_get_knows_ranges),
        cmocka_unit_test(test_no_field_or_two_give_the_whole),
        cmocka_unit_test(test_content_range_says_which_of_how_many),
        cmocka_unit_test(test_parts_are_framed),
    };

    return cmocka_run_group_tests_name("http/range", tests, NULL, NULL);
}

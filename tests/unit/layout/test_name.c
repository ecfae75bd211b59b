#include "amy_test.h"

#include "layout/name.h"

#include <string.h>

static const char *
short_of(const char *domain)
{
    static char name[AMY__LAYOUT_NAME_SIZE];

    amy__layout_short_name(amy__span_of(domain), name);
    return name;
}

static const char *
long_of(const char *domain)
{
    static char name[AMY__LAYOUT_NAME_SIZE];

    amy__layout_long_name(amy__span_of(domain), name);
    return name;
}

static void
test_short_name_is_the_first_part(void **state)
{
    (void)state;
    assert_string_equal(short_of("example.org"), "amy-example");
    assert_string_equal(short_of("www.shop.example.org"), "amy-shop");
    assert_string_equal(short_of("www"), "amy-www");
    assert_string_equal(short_of("localhost"), "amy-localhost");
    assert_string_equal(short_of("a-part-of-more-than-thirty-two-letters.org"),
                        "amy-a-part-of-more-than-thirty-t");
}

static void
test_long_name_tells_domains_apart(void **state)
{
    char first[AMY__LAYOUT_NAME_SIZE];

    (void)state;
    assert_string_equal(long_of("example.org"), "amy-example-org");
    (void)strcpy(first, long_of("a-part-of-more-than-thirty-two.example.org"));
    assert_int_equal(strlen(first), 32);
    assert_memory_equal(first, "amy-a-part-of-more-than-thi-", 28);
    assert_string_not_equal(
        first, long_of("a-part-of-more-than-thirty-two.example.com"));
    assert_string_equal(first,
                        long_of("a-part-of-more-than-thirty-two.example.org"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_short_name_is_the_first_part),
        cmocka_unit_test(test_long_name_tells_domains_apart),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* URLs of databases with another name in them. */
#include "amy_test.h"

#include "backup/pgurl.h"

#include <string.h>

static void
expect(const char *url, const char *name, const char *want)
{
    struct amy__buf out = {NULL, 0, 0, 0};

    amy__buf_init(&out, 1024);
    assert_int_equal(amy__pgurl_replace(url, name, &out, NULL), 0);
    assert_string_equal(out.data, want);
    amy__buf_clear(&out);
}

static void
test_name_is_replaced_and_nothing_else(void **state)
{
    (void)state;
    expect("postgres://u:p@h:5432/shop", "new", "postgres://u:p@h:5432/new");
    expect("postgresql+psycopg://h/shop?sslmode=require&x=/y", "new",
           "postgresql+psycopg://h/new?sslmode=require&x=/y");
    expect("postgres://u:p%2Fq@/shop?host=%2Frun", "n_1-2.3",
           "postgres://u:p%2Fq@/n_1-2.3?host=%2Frun");
    expect("postgres://h", "new", "postgres://h/new");
    expect("postgres://h?a=b", "new", "postgres://h/new?a=b");
    expect("postgres:///shop", "new", "postgres:///new");
    expect("postgres://[::1]:5/shop", "new", "postgres://[::1]:5/new");
    expect("postgres://h/shop", "a b/c%\xc3\xa4",
           "postgres://h/a%20b%2Fc%25%C3%A4");
}

static void
test_what_names_its_database_elsewhere_is_refused(void **state)
{
    static const char *const bad[] = {"",
                                      "shop",
                                      "dbname=shop host=h",
                                      "?a=b://c",
                                      "postgres://h/shop?dbname=other",
                                      "postgres://h/?x=y&dbname=other"};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        struct amy_error err = AMY_ERROR_INIT;
        struct amy__buf out = {NULL, 0, 0, 0};

        amy__buf_init(&out, 1024);
        assert_int_equal(amy__pgurl_replace(bad[i], "new", &out, &err),
                         AMY_EPARSE);
        assert_null(strstr(err.msg, "other"));
        amy__buf_clear(&out);
    }
}

static void
test_limit_is_told(void **state)
{
    struct amy__buf out = {NULL, 0, 0, 0};

    (void)state;
    amy__buf_init(&out, 16);
    assert_int_equal(
        amy__pgurl_replace("postgres://host/shop", "new", &out, NULL),
        AMY_ELIMIT);
    amy__buf_clear(&out);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_name_is_replaced_and_nothing_else),
        cmocka_unit_test(test_what_names_its_database_elsewhere_is_refused),
        cmocka_unit_test(test_limit_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

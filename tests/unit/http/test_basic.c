/* Names and passwords in Authorization fields. */
#include "amy_test.h"

#include "http/basic.h"

#include <string.h>

struct pair {
    const char *field;
    const char *name;
    const char *password;
};

static bool
parse(const char *field, struct amy__span *name, struct amy__span *password)
{
    static char buf[AMY__BASIC_MAX];

    return amy__basic_parse(amy__span_of(field), buf, name, password);
}

static void
test_credentials_are_read(void **state)
{
    static const struct pair good[] = {
        {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
        {"basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==", "Aladdin", "open sesame"},
        {"BASIC   QWxhZGRpbjpvcGVuIHNlc2FtZQ== ", "Aladdin", "open sesame"},
        {"Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ", "Aladdin", "open sesame"},
        {"Basic YTo=", "a", ""},
        {"Basic YTpiOmM=", "a", "b:c"},
        /* RFC 7617 2.1: "test" and "123£" as UTF-8 */
        {"Basic dGVzdDoxMjPCow==", "test", "123\xc2\xa3"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct amy__span name = {0};
        struct amy__span password = {0};

        assert_true(parse(good[i].field, &name, &password));
        assert_true(amy__span_eq(name, amy__span_of(good[i].name)));
        assert_true(amy__span_eq(password, amy__span_of(good[i].password)));
    }
}

static void
test_anything_else_is_refused(void **state)
{
    static const char *const bad[] = {
        "",
        "Basic",
        "Basic ",
        "Basic\tYTpi",
        "Bearer YTpi",
        "BasicYTpi",
        "Basic =",
        "Basic YTpi=",     /* padding that is not needed */
        "Basic YTo==",     /* too much */
        "Basic YT===",     /* no base64 has that */
        "Basic Y",         /* nor a letter alone */
        "Basic YTpi YTpi", /* two */
        "Basic YT\tpi",    /* blanks within */
        "Basic YT-_",      /* base64url */
        "Basic YWI=",      /* "ab": no colon */
        "Basic OmI=",      /* ":b": no name */
        "Basic YQBhOmI=",  /* "a\0a:b" */
        "Basic YTpiAA==",  /* "a:b\0" */
        "Basic YTpiCg==",  /* "a:b\n" */
        "Basic YTp/",      /* "a:\x7f" */
    };
    struct amy__span name = {0};
    struct amy__span password = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        if (parse(bad[i], &name, &password)) {
            fail_msg("'%s' was taken", bad[i]);
        }
    }
}

/* "a:" and so many bytes of 'A', as base64 of three bytes each. */
static bool
parse_long(size_t quads)
{
    char field[2048] = "Basic YTpB";
    struct amy__span name = {0};
    struct amy__span password = {0};
    size_t n = strlen(field);

    for (size_t i = 0; i < quads * 4; i++) {
        field[n++] = "QUFB"[i % 4];
    }
    field[n] = '\0';
    return parse(field, &name, &password) && password.n == 1 + 3 * quads;
}

static void
test_what_is_too_long_is_refused(void **state)
{
    (void)state;
    assert_true(parse_long(170)); /* 511 bytes: the most that crypt(3) takes */
    assert_false(parse_long(171));
    assert_false(parse_long(230));
    assert_false(parse_long(400)); /* more than the buffer has */
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_credentials_are_read),
        cmocka_unit_test(test_anything_else_is_refused),
        cmocka_unit_test(test_what_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

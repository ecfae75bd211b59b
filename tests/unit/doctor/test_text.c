#include "amy_test.h"

#include "doctor/text.h"

static bool
names(const char *text, const char *word)
{
    return amy__text_names(amy__span_of(text), word);
}

static void
test_names_are_whole_words(void **state)
{
    (void)state;
    assert_true(names("server_name example.org;", "example.org"));
    assert_true(names("a\n  server_name www.x.org example.org www.example.org;",
                      "example.org"));
    assert_false(names("server_name www.example.org;", "example.org"));
    assert_false(names("server_name example.org.uk;", "example.org"));
    assert_false(names("server_name my-example.org;", "example.org"));
    assert_true(
        names("root /webapps/example.org/static;", "/webapps/example.org"));
    assert_true(
        names("chdir=/srv/webapps/example.org", "/webapps/example.org"));
    assert_false(names("/webapps/example.org.bak", "/webapps/example.org"));
    assert_false(names("", "example.org"));
    assert_false(names("example.or", "example.org"));
}

static void
test_comments_name_nothing(void **state)
{
    (void)state;
    assert_false(names("# server_name example.org;", "example.org"));
    assert_false(names("\t#example.org", "example.org"));
    assert_false(names("listen 80; # for example.org", "example.org"));
    assert_false(names("; command=example.org", "example.org"));
    assert_true(names("a#example.org", "example.org"));
}

static void
test_lines_are_those_with_something(void **state)
{
    struct amy__span rest =
        AMY_SPAN("\n  \n# one\n  two  # three\n\t;four\nfive");
    struct amy__span line;

    (void)state;
    assert_true(amy__text_line(&rest, &line));
    assert_true(amy__span_eq(line, AMY_SPAN("two")));
    assert_true(amy__text_line(&rest, &line));
    assert_true(amy__span_eq(line, AMY_SPAN("five")));
    assert_false(amy__text_line(&rest, &line));
}

static void
test_values_by_their_key(void **state)
{
    struct amy__span text = AMY_SPAN("version = 2.1.0\n[renewalparams]\n"
                                     "authenticator = nginx\n"
                                     "renew_hook = a = b\nempty =\n");

    (void)state;
    assert_true(amy__span_eq(amy__text_value(text, "authenticator"),
                             AMY_SPAN("nginx")));
    assert_true(
        amy__span_eq(amy__text_value(text, "renew_hook"), AMY_SPAN("a = b")));
    assert_int_equal(amy__text_value(text, "empty").n, 0);
    assert_null(amy__text_value(text, "installer").p);
}

static void
test_holds_any_part(void **state)
{
    (void)state;
    assert_true(amy__text_holds(AMY_SPAN("/usr/bin/pg_dump -Fc"), "pg_dump"));
    assert_false(amy__text_holds(AMY_SPAN("pg_dum"), "pg_dump"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_names_are_whole_words),
        cmocka_unit_test(test_comments_name_nothing),
        cmocka_unit_test(test_lines_are_those_with_something),
        cmocka_unit_test(test_values_by_their_key),
        cmocka_unit_test(test_holds_any_part),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

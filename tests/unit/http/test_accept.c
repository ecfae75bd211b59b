#include "amy_test.h"

#include "http/accept.h"

static bool
prefers_json(const char *accept)
{
    struct amy__field field = {AMY_SPAN("Accept"), amy__span_of(accept),
                               AMY__FIELD_ACCEPT, 0};

    return amy__accept_prefers_json(&field, accept != NULL ? 1 : 0);
}

static void
test_prefers_json_programs_only(void **state)
{
    static const char *const json[] = {
        "application/json",
        "application/problem+json",
        "APPLICATION/JSON",
        "application/*",
        "application/json, text/plain, */*",
        "application/json;q=0.9, text/html;q=0.8",
        "text/html;q=0.5, application/json",
        "text/html;q=0, */*",
        "application/json; charset=\"a,b;q=0\", text/html;q=0.1",
        "  application/json  ;  Q=1.000 ",
    };
    static const char *const html[] = {
        NULL,
        "",
        "*/*",
        "text/html",
        "text/*",
        "text/html, application/json",
        "application/json, text/html",
        "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        "application/json;q=0",
        "application/json;q=0, */*",
        "application/json;q=0.1, */*",
        "application/json;q=1.5",
        "application/json;q=x",
        "application/json;q=",
        "application/jsonx",
        "image/png",
        ",,,",
        ";q=1",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(json) / sizeof(json[0]); i++) {
        if (!prefers_json(json[i])) {
            fail_msg("'%s' prefers JSON", json[i]);
        }
    }
    for (size_t i = 0; i < sizeof(html) / sizeof(html[0]); i++) {
        if (prefers_json(html[i])) {
            fail_msg("'%s' does not prefer JSON",
                     html[i] != NULL ? html[i] : "(none)");
        }
    }
}

static void
test_liking_over_several_fields(void **state)
{
    const struct amy__field fields[] = {
        {AMY_SPAN("Accept"), AMY_SPAN("*/*;q=0.1"), AMY__FIELD_ACCEPT, 0},
        {AMY_SPAN("X"), AMY_SPAN("text/html"), AMY__FIELD_OTHER, 0},
        {AMY_SPAN("Accept"), AMY_SPAN("text/*;q=0.25"), AMY__FIELD_ACCEPT, 0},
    };
    struct amy__liking html =
        amy__accept_liking(fields, 3, AMY_SPAN("text/html"));
    struct amy__liking png =
        amy__accept_liking(fields, 3, AMY_SPAN("image/png"));

    (void)state;
    assert_int_equal(html.weight, 250);
    assert_int_equal(html.specificity, 2);
    assert_int_equal(png.weight, 100);
    assert_int_equal(png.specificity, 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefers_json_programs_only),
        cmocka_unit_test(test_liking_over_several_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

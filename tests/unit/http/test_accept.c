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

#define BR (1U << AMY__CODING_BR)
#define ZSTD (1U << AMY__CODING_ZSTD)
#define GZIP (1U << AMY__CODING_GZIP)
#define ALL (BR | ZSTD | GZIP)

static void
test_coding_by_weight_and_then_by_what_saves_most(void **state)
{
    static const struct {
        const char *value;
        unsigned available;
        enum amy__coding coding;
    } cases[] = {
        {"gzip, deflate, br, zstd", ALL, AMY__CODING_BR},
        {"gzip, deflate, br, zstd", ZSTD | GZIP, AMY__CODING_ZSTD},
        {"gzip, deflate, br", ZSTD | GZIP, AMY__CODING_GZIP},
        {"gzip, deflate", BR, AMY__CODING_IDENTITY},
        {"gzip", 0, AMY__CODING_IDENTITY},
        {"GZIP", ALL, AMY__CODING_GZIP},
        {"x-gzip", ALL, AMY__CODING_GZIP},
        {"gzip;q=1, br;q=0.9", ALL, AMY__CODING_GZIP},
        {"gzip;q=0.5, br;q=0.5", ALL, AMY__CODING_BR},
        {"br;q=0, gzip", ALL, AMY__CODING_GZIP},
        {"br;q=0.000, gzip;q=0", ALL, AMY__CODING_IDENTITY},
        {"gzip ; q=0.001", ALL, AMY__CODING_GZIP},
        {"*", ALL, AMY__CODING_BR},
        {"*;q=0.1, gzip", ALL, AMY__CODING_GZIP},
        {"*, br;q=0", ALL, AMY__CODING_ZSTD},
        {"*;q=0", ALL, AMY__CODING_IDENTITY},
        {"identity", ALL, AMY__CODING_IDENTITY},
        {"identity, gzip;q=0.5", ALL, AMY__CODING_IDENTITY},
        {"identity;q=0.5, gzip", ALL, AMY__CODING_GZIP},
        {"identity, gzip", ALL, AMY__CODING_GZIP},
        {"identity;q=0, gzip;q=0.1", ALL, AMY__CODING_GZIP},
        {"identity;q=0", ALL, AMY__CODING_IDENTITY},
        {"identity;q=0, *;q=0", ALL, AMY__CODING_IDENTITY},
        {"gzip;q=2, br;q=x", ALL, AMY__CODING_IDENTITY},
        {"", ALL, AMY__CODING_IDENTITY},
        {" , ,", ALL, AMY__CODING_IDENTITY},
        {"gzippy, brx", ALL, AMY__CODING_IDENTITY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct amy__field field = {.value = amy__span_of(cases[i].value),
                                   .id = AMY__FIELD_ACCEPT_ENCODING};
        enum amy__coding coding =
            amy__accept_coding(&field, 1, cases[i].available);

        if (coding != cases[i].coding) {
            fail_msg("'%s' gave %d", cases[i].value, (int)coding);
        }
    }
}

static void
test_coding_of_no_field_is_identity_and_of_two_fields_their_list(void **state)
{
    struct amy__field fields[] = {
        {.value = AMY_SPAN("gzip;q=0.5"), .id = AMY__FIELD_ACCEPT_ENCODING},
        {.value = AMY_SPAN("br"), .id = AMY__FIELD_ACCEPT},
        {.value = AMY_SPAN("zstd"), .id = AMY__FIELD_ACCEPT_ENCODING},
    };

    (void)state;
    assert_int_equal(amy__accept_coding(fields, 0, ALL), AMY__CODING_IDENTITY);
    assert_int_equal(amy__accept_coding(fields, 3, ALL), AMY__CODING_ZSTD);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefers_json_programs_only),
        cmocka_unit_test(test_liking_over_several_fields),
        cmocka_unit_test(test_coding_by_weight_and_then_by_what_saves_most),
        cmocka_unit_test(
            test_coding_of_no_field_is_identity_and_of_two_fields_their_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

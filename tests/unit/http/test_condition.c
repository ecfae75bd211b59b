#include "amy_test.h"

#include "http/condition.h"

#include <string.h>

#define NOW INT64_C(1795468800000)
#define AT "Sun, 06 Nov 1994 08:49:37 GMT"
#define BEFORE "Sun, 06 Nov 1994 08:49:36 GMT"
#define AFTER "Sun, 06 Nov 1994 08:49:38 GMT"

static const struct amy__validators ours = {{"\"a\"", 3},
                                            INT64_C(784111777123)};

/* fields: pairs of name and value */
static struct amy__request_head
request(enum amy__method method, const char *const fields[], size_t count)
{
    struct amy__request_head head = {.method = method, .field_count = count};

    for (size_t i = 0; i < count; i++) {
        head.fields[i].name = amy__span_of(fields[2 * i]);
        head.fields[i].value = amy__span_of(fields[2 * i + 1]);
        head.fields[i].id = (uint16_t)amy__field_id_of(head.fields[i].name);
    }
    return head;
}

static void
test_evaluate_in_the_order_of_13_2_2(void **state)
{
    static const struct {
        enum amy__method method;
        const char *fields[4];
        enum amy__condition outcome;
    } cases[] = {
        {AMY__METHOD_GET, {NULL}, AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET,
         {"If-None-Match", "\"a\""},
         AMY__CONDITION_NOT_MODIFIED},
        {AMY__METHOD_HEAD,
         {"If-None-Match", "\"b\", W/\"a\""},
         AMY__CONDITION_NOT_MODIFIED},
        {AMY__METHOD_GET,
         {"If-None-Match", "\"b,\", \"c\""},
         AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET, {"If-None-Match", "\"b"}, AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET, {"If-None-Match", "a"}, AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET, {"If-None-Match", ""}, AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET, {"If-None-Match", "*"}, AMY__CONDITION_NOT_MODIFIED},
        {AMY__METHOD_PUT, {"If-None-Match", "*"}, AMY__CONDITION_FAILED},
        {AMY__METHOD_GET,
         {"If-None-Match", "\"b\"", "If-None-Match", "\"a\""},
         AMY__CONDITION_NOT_MODIFIED},
        {AMY__METHOD_GET,
         {"If-Modified-Since", AT},
         AMY__CONDITION_NOT_MODIFIED},
        {AMY__METHOD_GET,
         {"If-Modified-Since", AFTER},
         AMY__CONDITION_NOT_MODIFIED},
        {AMY__METHOD_GET,
         {"If-Modified-Since", BEFORE},
         AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET,
         {"If-Modified-Since", "yesterday"},
         AMY__CONDITION_PROCEED},
        {AMY__METHOD_POST, {"If-Modified-Since", AT}, AMY__CONDITION_PROCEED},
        /* ignored beside If-None-Match */
        {AMY__METHOD_GET,
         {"If-Modified-Since", AT, "If-None-Match", "\"b\""},
         AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET, {"If-Match", "\"a\""}, AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET, {"If-Match", "*"}, AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET, {"If-Match", "W/\"a\""}, AMY__CONDITION_FAILED},
        {AMY__METHOD_GET, {"If-Match", "\"b\""}, AMY__CONDITION_FAILED},
        {AMY__METHOD_GET,
         {"If-Unmodified-Since", BEFORE},
         AMY__CONDITION_FAILED},
        {AMY__METHOD_GET, {"If-Unmodified-Since", AT}, AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET, {"If-Unmodified-Since", "x"}, AMY__CONDITION_PROCEED},
        /* ignored beside If-Match, which comes first of all */
        {AMY__METHOD_GET,
         {"If-Unmodified-Since", BEFORE, "If-Match", "\"a\""},
         AMY__CONDITION_PROCEED},
        {AMY__METHOD_GET,
         {"If-None-Match", "\"a\"", "If-Match", "\"b\""},
         AMY__CONDITION_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t count = cases[i].fields[0] == NULL   ? 0
                       : cases[i].fields[2] == NULL ? 1
                                                    : 2;
        struct amy__request_head head =
            request(cases[i].method, cases[i].fields, count);

        if (amy__condition_evaluate(&head, &ours, NOW) != cases[i].outcome) {
            fail_msg("line %zu: %s", i, cases[i].fields[0]);
        }
    }
}

static void
test_evaluate_without_validators_proceeds(void **state)
{
    static const struct amy__validators none = {{NULL, 0}, 0};
    static const char *const since[] = {"If-Modified-Since", AFTER,
                                        "If-Unmodified-Since", BEFORE};
    static const char *const tags[] = {"If-None-Match", "\"\""};
    struct amy__request_head head = request(AMY__METHOD_GET, since, 2);

    (void)state;
    assert_int_equal(amy__condition_evaluate(&head, &none, NOW),
                     AMY__CONDITION_PROCEED);
    head = request(AMY__METHOD_GET, tags, 1);
    assert_int_equal(amy__condition_evaluate(&head, &none, NOW),
                     AMY__CONDITION_PROCEED);
}

static void
test_range_only_of_what_the_client_knows(void **state)
{
    static const struct {
        const char *if_range;
        int64_t now_ms;
        bool may;
    } cases[] = {
        {NULL, NOW, true},
        {"\"a\"", NOW, true},
        {"W/\"a\"", NOW, false},
        {"\"b\"", NOW, false},
        {"\"a\", \"b\"", NOW, false},
        {AT, NOW, true},
        {AFTER, NOW, false},
        {BEFORE, NOW, false},
        {"x", NOW, false},
        {AT, INT64_C(784111778000), false}, /* may change within the second */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *fields[] = {"If-Range", cases[i].if_range};
        struct amy__request_head head =
            request(AMY__METHOD_GET, fields, cases[i].if_range != NULL ? 1 : 0);

        assert_int_equal(amy__condition_range(&head, &ours, cases[i].now_ms),
                         cases[i].may);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_evaluate_in_the_order_of_13_2_2),
        cmocka_unit_test(test_evaluate_without_validators_proceeds),
        cmocka_unit_test(test_range_only_of_what_the_client_knows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

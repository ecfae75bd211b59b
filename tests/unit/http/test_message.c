#include "amy_test.h"

#include "http/message.h"

#include <ctype.h>
#include <string.h>

static const struct {
    const char *name;
    enum amy__field_id id;
} names[] = {
    {"Accept", AMY__FIELD_ACCEPT},
    {"Accept-Encoding", AMY__FIELD_ACCEPT_ENCODING},
    {"Authorization", AMY__FIELD_AUTHORIZATION},
    {"Cache-Control", AMY__FIELD_CACHE_CONTROL},
    {"Connection", AMY__FIELD_CONNECTION},
    {"Content-Length", AMY__FIELD_CONTENT_LENGTH},
    {"Content-Type", AMY__FIELD_CONTENT_TYPE},
    {"Date", AMY__FIELD_DATE},
    {"Expect", AMY__FIELD_EXPECT},
    {"Forwarded", AMY__FIELD_FORWARDED},
    {"Host", AMY__FIELD_HOST},
    {"If-Match", AMY__FIELD_IF_MATCH},
    {"If-Modified-Since", AMY__FIELD_IF_MODIFIED_SINCE},
    {"If-None-Match", AMY__FIELD_IF_NONE_MATCH},
    {"If-Range", AMY__FIELD_IF_RANGE},
    {"If-Unmodified-Since", AMY__FIELD_IF_UNMODIFIED_SINCE},
    {"Keep-Alive", AMY__FIELD_KEEP_ALIVE},
    {"Location", AMY__FIELD_LOCATION},
    {"Proxy-Authenticate", AMY__FIELD_PROXY_AUTHENTICATE},
    {"Proxy-Authorization", AMY__FIELD_PROXY_AUTHORIZATION},
    {"Proxy-Connection", AMY__FIELD_PROXY_CONNECTION},
    {"Range", AMY__FIELD_RANGE},
    {"Referer", AMY__FIELD_REFERER},
    {"Server", AMY__FIELD_SERVER},
    {"TE", AMY__FIELD_TE},
    {"Trailer", AMY__FIELD_TRAILER},
    {"Transfer-Encoding", AMY__FIELD_TRANSFER_ENCODING},
    {"Upgrade", AMY__FIELD_UPGRADE},
    {"User-Agent", AMY__FIELD_USER_AGENT},
    {"Via", AMY__FIELD_VIA},
    {"X-Accel-Buffering", AMY__FIELD_X_ACCEL_BUFFERING},
    {"X-Accel-Redirect", AMY__FIELD_X_ACCEL_REDIRECT},
    {"X-Accel-Expires", AMY__FIELD_X_ACCEL},
    {"X-Accel-Anything-At-All-Of-It", AMY__FIELD_X_ACCEL},
    {"X-Forwarded-For", AMY__FIELD_X_FORWARDED},
    {"X-Forwarded-Anything-At-All", AMY__FIELD_X_FORWARDED},
    {"X-Real-IP", AMY__FIELD_X_FORWARDED},
    {"X-Request-ID", AMY__FIELD_X_REQUEST_ID},
};

static void
test_id_of_every_name_in_any_case(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char text[64] = {0};
        size_t n = strlen(names[i].name);

        assert_int_equal(amy__field_id_of(amy__span_of(names[i].name)),
                         names[i].id);
        for (size_t j = 0; j < n; j++) {
            text[j] = (char)toupper((unsigned char)names[i].name[j]);
        }
        assert_int_equal(amy__field_id_of((struct amy__span){text, n}),
                         names[i].id);
    }
}

static void
test_id_of_near_misses_is_other(void **state)
{
    static const char *const others[] = {
        "",
        "A",
        "Hos",
        "Hosts",
        "Hxst",
        "X-Forwarded-",
        "X-Forwarded",
        "Content_Length",
        "Cookie",
        "Content-Length-That-Is-Very-Long",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(amy__field_id_of(amy__span_of(others[i])),
                         AMY__FIELD_OTHER);
    }
}

static void
test_find_gives_the_first(void **state)
{
    const struct amy__field fields[] = {
        {.id = AMY__FIELD_OTHER},
        {.id = AMY__FIELD_VIA},
        {.id = AMY__FIELD_VIA},
    };

    (void)state;
    assert_ptr_equal(amy__field_find(fields, 3, AMY__FIELD_VIA), &fields[1]);
    assert_null(amy__field_find(fields, 3, AMY__FIELD_HOST));
    assert_null(amy__field_find(fields, 0, AMY__FIELD_VIA));
}

static void
test_reason_of_any_status(void **state)
{
    (void)state;
    assert_string_equal(amy__status_reason(200), "OK");
    assert_string_equal(amy__status_reason(503), "Service Unavailable");
    assert_string_equal(amy__status_reason(299), "Unknown");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_id_of_every_name_in_any_case),
        cmocka_unit_test(test_id_of_near_misses_is_other),
        cmocka_unit_test(test_find_gives_the_first),
        cmocka_unit_test(test_reason_of_any_status),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What replies say of a server. */
#include "amy_test.h"

#include "redis/codec.h"
#include "redis/figures.h"

#include <string.h>

static void
test_info_finds_whole_names(void **state)
{
    const struct amy__span info =
        AMY_SPAN("# Memory\r\nused_memory:12\r\nused_memory_rss:99\r\nlast:x");

    (void)state;
    assert_true(
        amy__span_eq(amy__redis_info(info, "used_memory"), AMY_SPAN("12")));
    assert_true(amy__span_eq(amy__redis_info(info, "last"), AMY_SPAN("x")));
    assert_null(amy__redis_info(info, "used").p);
    assert_null(amy__redis_info(info, "memory").p);
    assert_null(amy__redis_info((struct amy__span){NULL, 0}, "last").p);
}

static void
test_reach_of_settings(void **state)
{
    static const char user_free[] =
        "*2\r\n$5\r\nflags\r\n*2\r\n$2\r\non\r\n$6\r\nnopass\r\n";
    static const char user_off[] =
        "*2\r\n$5\r\nflags\r\n*2\r\n$3\r\noff\r\n$6\r\nnopass\r\n";
    static const char user_locked[] = "*2\r\n$5\r\nflags\r\n*1\r\n$2\r\non\r\n";
    static const char unseen[] = "-NOPERM no\r\n";
    static const struct {
        struct amy__redis_settings settings;
        const char *user;
        enum amy__redis_reach reach;
    } rows[] = {
        {{.bind = "127.0.0.1 -::1", .port = "6379"},
         user_free,
         AMY__REDIS_LOCAL},
        {{.bind = "* -::*", .port = "0", .tls_port = "0"},
         user_free,
         AMY__REDIS_LOCAL},
        {{.bind = "* -::*", .port = "0"}, user_free, AMY__REDIS_LOCAL},
        {{.bind = "", .port = "6379", .protected_mode = "no"},
         user_free,
         AMY__REDIS_OPEN},
        {{.bind = "* -::*",
          .port = "0",
          .tls_port = "6380",
          .protected_mode = "no"},
         user_free,
         AMY__REDIS_OPEN},
        {{.bind = "10.0.0.1", .port = "6379", .protected_mode = "no"},
         user_free,
         AMY__REDIS_OPEN},
        {{.bind = "127.0.0.1 10.0.0.1", .port = "6379", .protected_mode = "no"},
         user_free,
         AMY__REDIS_OPEN},
        {{.bind = "", .port = "6379", .protected_mode = "yes"},
         user_free,
         AMY__REDIS_GUARDED},
        {{.bind = "", .port = "6379", .protected_mode = "no"},
         user_locked,
         AMY__REDIS_GUARDED},
        {{.bind = "", .port = "6379", .protected_mode = "no"},
         user_off,
         AMY__REDIS_GUARDED},
        {{.bind = "", .port = "6379", .protected_mode = "no"},
         unseen,
         AMY__REDIS_UNSEEN},
        {{.bind = NULL, .port = "6379"}, user_free, AMY__REDIS_UNSEEN},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct amy__redis_codec *codec = NULL;
        struct amy_redis_reply *user = NULL;
        size_t used = 0;

        assert_int_equal(amy__redis_codec_create(1000, &codec, NULL), 0);
        assert_int_equal(amy__redis_codec_next(codec,
                                               amy__span_of(rows[i].user),
                                               &used, &user, NULL),
                         1);
        if (amy__redis_reach_of(&rows[i].settings, user) != rows[i].reach) {
            fail_msg("row %zu", i);
        }
        amy__redis_codec_drop(codec, user);
        amy__redis_codec_free(codec);
    }
}

static void
test_time_as_rq_writes_it(void **state)
{
    int64_t ms = 0;

    (void)state;
    assert_true(amy__redis_time("2026-11-27T00:10:00.123456Z", &ms));
    assert_int_equal(ms, INT64_C(1795738200000));
    assert_true(amy__redis_time("2026-11-27T00:10:00Z", &ms));
    assert_false(amy__redis_time("2026-11-27", &ms));
    assert_false(amy__redis_time("yesterday, at ten o'clock", &ms));
    assert_false(amy__redis_time(NULL, &ms));
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_info_finds_whole_names),
        cmocka_unit_test(test_reach_of_settings),
        cmocka_unit_test(test_time_as_rq_writes_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Replies byte by byte and at once, and what is refused before it is stored. */
#include "amy_test.h"

#include "redis/codec.h"

#include <stdio.h>
#include <string.h>

#define SOME 1000U

static struct amy__redis_codec *
make_codec(size_t max)
{
    struct amy__redis_codec *codec = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__redis_codec_create(max, &codec, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return codec;
}

/* In pieces of `step` bytes, as a socket would give them; the first that is
 * not "more is needed". */
static int
feed(struct amy__redis_codec *codec, const char *bytes, size_t n, size_t step,
     struct amy_redis_reply **ret_reply, struct amy_error *err)
{
    size_t begin = 0;

    for (size_t end = step;; end += step) {
        size_t used = 0;
        int rc = 0;

        end = end > n ? n : end;
        rc = amy__redis_codec_next(
            codec, (struct amy__span){bytes + begin, end - begin}, &used,
            ret_reply, err);
        begin += used;
        if (rc != 0 || end == n) {
            return rc;
        }
    }
}

static void
test_next_all_types_in_any_pieces(void **state)
{
    static const char bytes[] = "*6\r\n$3\r\na\0b\r\n+OK\r\n-ERR no\r\n:-12\r\n"
                                "$-1\r\n*2\r\n*0\r\n$0\r\n\r\n";

    (void)state;
    for (size_t step = 1; step < sizeof(bytes); step++) {
        struct amy__redis_codec *codec = make_codec(SOME);
        struct amy_redis_reply *reply = NULL;
        size_t n = 0;

        assert_int_equal(
            feed(codec, bytes, sizeof(bytes) - 1, step, &reply, NULL), 1);
        assert_int_equal(amy_redis_reply_count(reply), 6);
        assert_memory_equal(
            amy_redis_reply_text(amy_redis_reply_at(reply, 0), &n), "a\0b", 3);
        assert_int_equal(n, 3);
        assert_int_equal(amy_redis_reply_type(amy_redis_reply_at(reply, 1)),
                         AMY_REDIS_STATUS);
        assert_int_equal(amy_redis_reply_type(amy_redis_reply_at(reply, 2)),
                         AMY_REDIS_ERROR);
        assert_int_equal(amy_redis_reply_integer(amy_redis_reply_at(reply, 3)),
                         -12);
        assert_int_equal(amy_redis_reply_type(amy_redis_reply_at(reply, 4)),
                         AMY_REDIS_NIL);
        assert_int_equal(amy_redis_reply_count(amy_redis_reply_at(reply, 5)),
                         2);
        amy__redis_codec_drop(codec, reply);
        amy__redis_codec_free(codec);
    }
}

static void
test_next_expected_replies_are_one_array(void **state)
{
    static const char bytes[] = "+A\r\n*1\r\n:1\r\n-ERR\r\n+next\r\n";
    struct amy__redis_codec *codec = make_codec(SOME);
    struct amy_redis_reply *reply = NULL;
    struct amy__span all = AMY_SPAN(bytes);
    size_t used = 0;

    (void)state;
    assert_int_equal(amy__redis_codec_expect(codec, 3, NULL), 0);
    assert_int_equal(amy__redis_codec_next(codec, all, &used, &reply, NULL), 1);
    assert_int_equal(used, sizeof(bytes) - 1 - 7);
    assert_int_equal(amy_redis_reply_count(reply), 3);
    amy__redis_codec_drop(codec, reply);
    all.p += used;
    all.n -= used;
    assert_int_equal(amy__redis_codec_next(codec, all, &used, &reply, NULL), 1);
    assert_string_equal(amy_redis_reply_text(reply, NULL), "next");
    amy__redis_codec_drop(codec, reply);
    amy__redis_codec_free(codec);
}

static void
test_next_bad_replies_are_refused(void **state)
{
    static const struct {
        const char *bytes;
        int code;
    } rows[] = {
        {"HTTP/1.1 400 Bad Request\r\n", AMY_EPROTO},
        {"\x16\x03\x01", AMY_EPROTO},
        {"$-2\r\n", AMY_EPROTO},
        {"*-2\r\n", AMY_EPROTO},
        {"*1\r\n*-7\r\n", AMY_EPROTO},
        {"$x\r\n", AMY_EPROTO},
        {"$\r\n", AMY_EPROTO},
        {":1.5\r\n", AMY_EPROTO},
        {":9223372036854775808\r\n", AMY_EPROTO},
        {"$99999999999999999999999999\r\n", AMY_EPROTO},
        {"$3\r\nabcd\r\n", AMY_EPROTO},
        {"+OK\n", AMY_EPROTO},
        {"%1\r\n+a\r\n+b\r\n", AMY_EPROTO}, /* RESP3, which nobody asked for */
        {"$536870912\r\n", AMY_ELIMIT},
        {"$999\r\n", AMY_ELIMIT}, /* with its head and end */
        {"$9223372036854775807\r\n", AMY_ELIMIT},
        {"*1000000000\r\n", AMY_ELIMIT},
        {"*2\r\n$600\r\n", 0},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n:1\r\n", 1},
        {"*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n*1\r\n", AMY_ELIMIT},
        {":-9223372036854775808\r\n", 1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct amy__redis_codec *codec = make_codec(SOME);
        struct amy_redis_reply *reply = NULL;
        struct amy_error err = AMY_ERROR_INIT;
        int rc =
            feed(codec, rows[i].bytes, strlen(rows[i].bytes), 1, &reply, &err);

        if (rc != rows[i].code || (rc < 0 && err.msg[0] == '\0')) {
            fail_msg("%s: %d %s", rows[i].bytes, rc, err.msg);
        }
        amy__redis_codec_drop(codec, reply);
        amy__redis_codec_free(codec);
    }
}

static void
test_next_sum_of_items_is_limited(void **state)
{
    static char bytes[4000] = "*100\r\n";
    struct amy__redis_codec *codec = make_codec(SOME);
    struct amy_redis_reply *reply = NULL;
    size_t n = strlen(bytes);

    (void)state;
    for (int i = 0; i < 100; i++) {
        n += (size_t)snprintf(bytes + n, sizeof(bytes) - n,
                              "$20\r\n01234567890123456789\r\n");
    }
    assert_int_equal(feed(codec, bytes, n, 100, &reply, NULL), AMY_ELIMIT);
    assert_null(reply);
    /* Of further use after a reset. */
    assert_int_equal(amy__redis_codec_reset(codec, NULL), 0);
    assert_int_equal(feed(codec, "+OK\r\n", 5, 5, &reply, NULL), 1);
    amy__redis_codec_drop(codec, reply);
    amy__redis_codec_free(codec);
}

static void
test_next_endless_line_is_refused(void **state)
{
    static char bytes[70000];
    struct amy__redis_codec *codec = make_codec(1000000);
    struct amy_redis_reply *reply = NULL;

    (void)state;
    memset(bytes, 'x', sizeof(bytes));
    bytes[0] = '+';
    assert_int_equal(feed(codec, bytes, sizeof(bytes), 4096, &reply, NULL),
                     AMY_EPROTO);
    amy__redis_codec_free(codec);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_next_all_types_in_any_pieces),
        cmocka_unit_test(test_next_expected_replies_are_one_array),
        cmocka_unit_test(test_next_bad_replies_are_refused),
        cmocka_unit_test(test_next_sum_of_items_is_limited),
        cmocka_unit_test(test_next_endless_line_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

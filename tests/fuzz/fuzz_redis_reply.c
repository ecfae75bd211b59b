/* Any bytes as what a server says, in pieces: no reply is longer or deeper than
 * allowed, and pieces make no difference. The first byte says how long they
 * are, the second whether replies are expected as one. */
#include "fuzz.h"
#include "redis/codec.h"

#include <string.h>

#define REPLY_MAX 4096U

static size_t
walk(const struct amy_redis_reply *reply, unsigned depth)
{
    size_t n = 0;
    size_t bytes = 1;
    const char *text = amy_redis_reply_text(reply, &n);

    FUZZ_CHECK(depth <= AMY_REDIS_DEPTH_MAX + 1); /* one of our own */
    FUZZ_CHECK(text == NULL || (n < REPLY_MAX && text[n] == '\0'));
    bytes += n;
    for (size_t i = 0; i < amy_redis_reply_count(reply); i++) {
        bytes += walk(amy_redis_reply_at(reply, i), depth + 1);
    }
    return bytes;
}

/* A sum over all replies, and how the last one ended. */
static size_t
read_all(const char *bytes, size_t n, size_t step, size_t expected, int *ret_rc)
{
    struct amy__redis_codec *codec = NULL;
    size_t begin = 0;
    size_t end = 0;
    size_t sum = 0;

    FUZZ_CHECK(amy__redis_codec_create(REPLY_MAX, &codec, NULL) == 0);
    if (expected > 0) {
        FUZZ_CHECK(amy__redis_codec_expect(codec, expected, NULL) == 0);
    }
    do {
        struct amy_redis_reply *reply = NULL;
        size_t used = 0;

        *ret_rc = amy__redis_codec_next(
            codec, (struct amy__span){bytes + begin, end - begin}, &used,
            &reply, NULL);
        FUZZ_CHECK(used <= end - begin);
        begin += used;
        if (*ret_rc == 1) {
            sum = sum * 31 + walk(reply, 0);
            amy__redis_codec_drop(codec, reply);
        } else if (*ret_rc == 0) {
            FUZZ_CHECK(end - begin <= REPLY_MAX + step);
            if (end == n) {
                break;
            }
            end = n - end < step ? n : end + step;
        }
    } while (*ret_rc >= 0);
    amy__redis_codec_free(codec);
    return sum;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    size_t sums[2] = {0};
    int rcs[2] = {0};

    if (size < 3) {
        return 0;
    }
    sums[0] = read_all((const char *)data + 2, size - 2,
                       (size_t)data[0] % 64 + 1, data[1] % 4, &rcs[0]);
    sums[1] =
        read_all((const char *)data + 2, size - 2, size, data[1] % 4, &rcs[1]);
    FUZZ_CHECK(rcs[0] == rcs[1]);
    FUZZ_CHECK(sums[0] == sums[1]);
    return 0;
}

/* Any bytes as HTTP/2 frames, in one piece and in many: what HTTP/2 lets
 * through is one request upstream, no smuggling (RFC 9113 10.3). The events are
 * not compared: after a connection error, and where a CONTINUATION comes in
 * pieces, nghttp2 itself sees more or less with each cut. */
#include "fuzz.h"
#include "http/codec.h"
#include "recorder.h"
#include "upstream.h"

#define TEXT_MAX (1U << 20)

static void
on_request(amy__stream_id id, const struct amy__request_head *head, void *user)
{
    FUZZ_CHECK(head->host.n > 0 && head->host.n <= 255);
    if (head->refuse == 0) {
        fuzz_check_upstream(head);
    }
    recorder_events.on_request(id, head, user);
}

static void
on_body(amy__stream_id id, struct amy__span data, void *user)
{
    recorder_events.on_body(id, data, user);
}

static void
on_end(amy__stream_id id, void *user)
{
    recorder_events.on_end(id, user);
}

static void
on_reset(amy__stream_id id, uint32_t code, void *user)
{
    recorder_events.on_reset(id, code, user);
}

static const struct amy__codec_events events = {
    .on_request = on_request,
    .on_body = on_body,
    .on_end = on_end,
    .on_reset = on_reset,
};

static void
converse(struct amy__span data, size_t step)
{
    struct recorder r;
    struct amy__codec *codec = NULL;
    struct amy__buf out;

    recorder_init(&r);
    amy__buf_init(&out, TEXT_MAX);
    FUZZ_CHECK(amy__h2_server_create(NULL, &events, &r, &codec, NULL) == 0);
    if (recorder_feed(&r, codec, data, step) >= 0) {
        FUZZ_CHECK(codec->ops->flush(codec, &out) == 0);
    }
    codec->ops->free(codec);
    amy__buf_clear(&out);
    recorder_clear(&r);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char start[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
                                "\0\0\0\4\0\0\0\0"; /* empty SETTINGS */
    struct amy__buf input;

    if (size == 0) {
        return 0;
    }
    amy__buf_init(&input, TEXT_MAX);
    FUZZ_CHECK(amy__buf_append(&input, start, sizeof(start)) == 0);
    FUZZ_CHECK(amy__buf_append(&input, data + 1, size - 1) == 0);
    converse(amy__buf_span(&input), 0);
    converse(amy__buf_span(&input), 1U + data[0] % 64U);
    amy__buf_clear(&input);
    return 0;
}

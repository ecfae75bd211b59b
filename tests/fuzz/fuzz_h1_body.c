/* Any bytes as a chunked body. However they are cut, payload and verdict are
 * the same; nothing is read past the body's end; and the payload, framed anew,
 * is read back as it was. */
#include "core/buf.h"
#include "fuzz.h"
#include "http/h1_body.h"
#include "http/h1_parse.h"
#include "http/h1_write.h"

#include <string.h>

#define PAYLOAD_MAX (4U << 20)

struct outcome {
    struct amy__buf payload;
    int64_t used;
    bool done;
};

static void
read_body(struct amy__span data, size_t step, struct outcome *ret)
{
    const struct amy__codec_limits limits = amy__h1_limits(NULL, false);
    struct amy__codec_fault fault = {0};
    struct amy__h1_body body;

    *ret = (struct outcome){.used = 0};
    amy__buf_init(&ret->payload, PAYLOAD_MAX);
    amy__h1_body_begin(&body, AMY__BODY_CHUNKED, 0, &limits);
    while (!body.done && (size_t)ret->used < data.n) {
        size_t left = data.n - (size_t)ret->used;
        struct amy__span in = {data.p + ret->used, left < step ? left : step};
        struct amy__span piece = {NULL, 0};
        int64_t n = amy__h1_body_take(&body, in, &piece, &fault);

        if (n < 0) {
            FUZZ_CHECK(fault.status == 400 || fault.status == 431);
            ret->used = n;
            return;
        }
        FUZZ_CHECK(n > 0 && (size_t)n <= in.n && piece.n <= (size_t)n);
        ret->used += n;
        FUZZ_CHECK(amy__buf_append_span(&ret->payload, piece) == 0);
    }
    ret->done = body.done;
}

static void
check_framed_anew(const struct amy__buf *payload, size_t step)
{
    struct amy__h1_sender sender = {.kind = AMY__BODY_CHUNKED};
    struct outcome again;
    struct amy__buf out;
    size_t sent = 0;

    amy__buf_init(&out, PAYLOAD_MAX);
    while (sent < payload->len) {
        size_t left = payload->len - sent;
        struct amy__span piece = {payload->data + sent,
                                  left < step ? left : step};

        FUZZ_CHECK(amy__h1_write_body(&out, &sender, piece, false) == 0);
        sent += piece.n;
    }
    FUZZ_CHECK(amy__h1_write_body(&out, &sender, (struct amy__span){NULL, 0},
                                  true) == 0);
    read_body(amy__buf_span(&out), out.len, &again);
    FUZZ_CHECK(again.done && (size_t)again.used == out.len);
    FUZZ_CHECK(
        amy__span_eq(amy__buf_span(&again.payload), amy__buf_span(payload)));
    amy__buf_clear(&again.payload);
    amy__buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct amy__span bytes = {NULL, 0};
    struct outcome whole;
    struct outcome pieces;
    size_t step = 0;

    if (size < 2) {
        return 0;
    }
    step = 1U + data[0] % 32U;
    bytes = (struct amy__span){(const char *)data + 1, size - 1};
    read_body(bytes, bytes.n, &whole);
    read_body(bytes, step, &pieces);
    FUZZ_CHECK(whole.used == pieces.used && whole.done == pieces.done);
    FUZZ_CHECK(amy__span_eq(amy__buf_span(&whole.payload),
                            amy__buf_span(&pieces.payload)));
    if (whole.payload.len < 65536) {
        check_framed_anew(&whole.payload, step);
    }
    amy__buf_clear(&whole.payload);
    amy__buf_clear(&pieces.payload);
    return 0;
}

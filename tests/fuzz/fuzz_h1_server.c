/* Any bytes as requests. However they are cut, the events are the same; no
 * request has two lengths; and what we would send upstream for a request is
 * read back as the same request. */
#include "fuzz.h"
#include "http/codec.h"
#include "recorder.h"
#include "upstream.h"

#include <string.h>

#define TEXT_MAX (1U << 20)

/* Under test and, reading back, the second witness. */
struct reader {
    struct recorder recorder; /* first: the user of its events */
    bool second;
    bool asks; /* the last request, for another protocol */
};

static void
on_request(amy__stream_id id, const struct amy__request_head *head, void *user)
{
    struct reader *reader = user;

    fuzz_check_lengths(head);
    FUZZ_CHECK(head->host.n <= 255);
    FUZZ_CHECK(memchr(head->target.p, ' ', head->target.n) == NULL);
    if (!reader->second && head->refuse == 0 && head->host.n > 0) {
        fuzz_check_upstream(head);
    }
    reader->asks = head->upgrade_websocket;
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

static const struct amy__codec_events events = {
    .on_request = on_request,
    .on_body = on_body,
    .on_end = on_end,
};

/* Feed `step` bytes at a time, answering each request when it is whole: with
 * another protocol where it asks for one, and then all that follows is that. */
static void
converse(struct reader *reader, struct amy__span data, size_t step)
{
    struct amy__answer_head head = {.status = 200, .keep_alive = true};
    struct recorder *r = &reader->recorder;
    struct amy__codec *codec = NULL;
    struct amy__buf out;
    unsigned answered = 0;
    size_t used = 0;
    size_t have = 0;
    bool open = true;

    recorder_init(r);
    amy__buf_init(&out, TEXT_MAX);
    FUZZ_CHECK(amy__h1_server_create(NULL, &events, reader, &codec, NULL) == 0);
    while (open && used < data.n && (have < data.n || r->ends > answered)) {
        struct amy__span window = {data.p + used, 0};
        int64_t n = 0;

        have = data.n - have < step ? data.n : have + step;
        do {
            window = (struct amy__span){data.p + used, have - used};
            n = recorder_feed(r, codec, window, 0);
            used += n > 0 ? (size_t)n : 0;
            open = n >= 0;
            if (open && r->ends > answered) {
                answered++;
                out.len = 0;
                head.status = reader->asks ? 101 : 200;
                FUZZ_CHECK(codec->ops->send_answer(codec, r->last_id, &head,
                                                   true, &out) == 0);
                FUZZ_CHECK(!reader->asks ||
                           !codec->ops->next(codec, r->last_id));
                open = reader->asks || codec->ops->next(codec, r->last_id);
                n = 1;
            }
        } while (open && n > 0 && used < have);
    }
    codec->ops->free(codec);
    amy__buf_clear(&out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char tail[] = "\r\n\r\n";
    struct reader whole = {.second = false};
    struct reader pieces = {.second = true};
    struct amy__buf input;
    size_t step = 0;

    if (size == 0) {
        return 0;
    }
    /* The last line is completed: only whole lines are sure of a verdict. */
    step = 1U + data[0] % 64U;
    amy__buf_init(&input, TEXT_MAX);
    FUZZ_CHECK(amy__buf_append(&input, data + 1, size - 1) == 0);
    FUZZ_CHECK(amy__buf_append(&input, tail, sizeof(tail) - 1) == 0);
    converse(&whole, amy__buf_span(&input), input.len);
    converse(&pieces, amy__buf_span(&input), step);
    FUZZ_CHECK(strcmp(recorder_text(&whole.recorder),
                      recorder_text(&pieces.recorder)) == 0);
    recorder_clear(&whole.recorder);
    recorder_clear(&pieces.recorder);
    amy__buf_clear(&input);
    return 0;
}

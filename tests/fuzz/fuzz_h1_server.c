/* Any bytes as requests. However they are cut, the events are the same; no
 * request has two lengths; and what we would send upstream for a request is
 * read back as the same request. */
#include "fuzz.h"
#include "http/codec.h"
#include "recorder.h"

#include <string.h>

#define TEXT_MAX (1U << 20)

/* Under test and, reading back, the second witness. */
struct reader {
    struct recorder recorder; /* first: the user of its events */
    bool second;
};

static void read_back(const struct amy__request_head *head);

static void
check_lengths(const struct amy__request_head *head)
{
    unsigned lengths = 0;

    for (size_t i = 0; i < head->field_count; i++) {
        if (head->fields[i].id == AMY__FIELD_CONTENT_LENGTH ||
            head->fields[i].id == AMY__FIELD_TRANSFER_ENCODING) {
            lengths++;
        }
    }
    FUZZ_CHECK(lengths == (head->body == AMY__BODY_NONE ? 0 : 1));
    FUZZ_CHECK(head->body != AMY__BODY_UNTIL_CLOSE);
}

static void
on_request(amy__stream_id id, const struct amy__request_head *head, void *user)
{
    struct reader *reader = user;

    check_lengths(head);
    FUZZ_CHECK(head->host.n <= 255);
    FUZZ_CHECK(memchr(head->target.p, ' ', head->target.n) == NULL);
    if (!reader->second && head->refuse == 0 && head->host.n > 0) {
        read_back(head);
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

static const struct amy__codec_events events = {
    .on_request = on_request,
    .on_body = on_body,
    .on_end = on_end,
};

/* Is `again` what `head` becomes on its way through us? */
static void
check_same(const struct amy__request_head *head,
           const struct amy__request_head *again)
{
    size_t j = 0;

    FUZZ_CHECK(amy__span_eq(head->method_text, again->method_text));
    FUZZ_CHECK(amy__span_eq(head->target, again->target));
    FUZZ_CHECK(amy__span_eq(head->host, again->host));
    FUZZ_CHECK(head->port == again->port);
    FUZZ_CHECK(head->content_length == again->content_length);
    FUZZ_CHECK(head->body == again->body || head->body == AMY__BODY_NONE);
    for (size_t i = 0; i < head->field_count; i++) {
        const struct amy__field *field = &head->fields[i];

        if ((field->flags & AMY__FIELD_HOP) != 0 ||
            field->id == AMY__FIELD_HOST ||
            field->id == AMY__FIELD_CONTENT_LENGTH) {
            continue;
        }
        while (j < again->field_count &&
               (again->fields[j].id == AMY__FIELD_HOST ||
                again->fields[j].id == AMY__FIELD_CONTENT_LENGTH ||
                again->fields[j].id == AMY__FIELD_TRANSFER_ENCODING)) {
            j++;
        }
        FUZZ_CHECK(j < again->field_count);
        FUZZ_CHECK(amy__span_eq(field->name, again->fields[j].name));
        FUZZ_CHECK(amy__span_eq(field->value, again->fields[j].value));
        j++;
    }
}

static void
on_request_again(amy__stream_id id, const struct amy__request_head *head,
                 void *user)
{
    const struct amy__request_head **first = user;

    (void)id;
    check_lengths(head);
    check_same(*first, head);
    *first = NULL;
}

static void
ignore_body(amy__stream_id id, struct amy__span data, void *user)
{
    (void)id;
    (void)data;
    (void)user;
}

static void
ignore_end(amy__stream_id id, void *user)
{
    (void)id;
    (void)user;
}

static void
read_back(const struct amy__request_head *head)
{
    static const struct amy__codec_events again = {
        .on_request = on_request_again,
        .on_body = ignore_body,
        .on_end = ignore_end,
    };
    /* Room for what we add, so that no limit of ours decides. */
    const struct amy__codec_limits limits = {.request_line_bytes = 16384,
                                             .head_bytes = 65536};
    struct amy__codec *client = NULL;
    struct amy__codec *server = NULL;
    struct amy__codec_fault fault = {0};
    amy__stream_id id = 0;
    struct amy__buf out;

    if (head->field_count > 98) {
        return;
    }
    amy__buf_init(&out, TEXT_MAX);
    FUZZ_CHECK(amy__h1_client_create(NULL, &again, NULL, &client, NULL) == 0);
    FUZZ_CHECK(amy__h1_server_create(&limits, &again, &head, &server, NULL) ==
               0);
    FUZZ_CHECK(client->ops->send_request(client, head, false, &id, &out) == 0);
    FUZZ_CHECK(server->ops->feed(server, amy__buf_span(&out), &fault) ==
               (int64_t)out.len);
    FUZZ_CHECK(head == NULL); /* the request came through */
    client->ops->free(client);
    server->ops->free(server);
    amy__buf_clear(&out);
}

/* Feed `step` bytes at a time, answering each request when it is whole. */
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
                FUZZ_CHECK(codec->ops->send_answer(codec, r->last_id, &head,
                                                   true, &out) == 0);
                open = codec->ops->next(codec, r->last_id);
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

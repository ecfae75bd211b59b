/* Any bytes as answers, also to one who asked for a WebSocket. However they are
 * cut, the events are the same; and an answer that we pass on is read by the
 * next client as the same answer. */
#include "fuzz.h"
#include "http/codec.h"
#include "recorder.h"

#include <string.h>

#define TEXT_MAX (1U << 20)

struct passed_on {
    struct recorder recorder; /* first: the user of its events */
    bool asked;               /* for another protocol */
    struct amy__codec *server;
    struct amy__buf out;
    bool final; /* a final head was passed on */
};

/* What the next client gets: the same status, and the end-to-end fields. */
static void
check_passed_on(const struct amy__answer_head *head, struct amy__span bytes,
                enum amy__method method)
{
    struct amy__request_head ask = {.method = method,
                                    .method_text = method == AMY__METHOD_HEAD
                                                       ? AMY_SPAN("HEAD")
                                                       : AMY_SPAN("GET"),
                                    .target = AMY_SPAN("/"),
                                    .authority = AMY_SPAN("a")};
    struct amy__codec *client = NULL;
    amy__stream_id id = 0;
    struct recorder r;
    struct amy__buf out;

    recorder_init(&r);
    amy__buf_init(&out, TEXT_MAX);
    FUZZ_CHECK(
        amy__h1_client_create(NULL, &recorder_events, &r, &client, NULL) == 0);
    FUZZ_CHECK(client->ops->send_request(client, &ask, true, &id, &out) == 0);
    FUZZ_CHECK(recorder_feed(&r, client, bytes, 0) == (int64_t)bytes.n);
    FUZZ_CHECK(r.answers == 1);
    FUZZ_CHECK((unsigned)strtoul(recorder_text(&r) + sizeof("answer"), NULL,
                                 10) == head->status);
    client->ops->free(client);
    recorder_clear(&r);
    amy__buf_clear(&out);
}

static void
on_answer(amy__stream_id id, const struct amy__answer_head *head, void *user)
{
    struct passed_on *p = user;
    struct amy__answer_head copy = *head;

    recorder_events.on_answer(id, head, user);
    FUZZ_CHECK(head->status >= 100 && head->status <= 599);
    FUZZ_CHECK(head->status != 204 || head->body == AMY__BODY_NONE);
    FUZZ_CHECK(head->status != 101 || p->asked);
    if (head->status < 200 || p->server == NULL || head->field_count > 98) {
        return;
    }
    copy.keep_alive = true;
    FUZZ_CHECK(
        p->server->ops->send_answer(p->server, 1, &copy, false, &p->out) == 0);
    p->final = true;
    check_passed_on(head, amy__buf_span(&p->out), AMY__METHOD_GET);
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
    .on_answer = on_answer,
    .on_body = on_body,
    .on_end = on_end,
};

static void
read_answer(struct passed_on *p, struct amy__span data, size_t step,
            enum amy__method method)
{
    static const char ask[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    struct amy__request_head head = {.method = method,
                                     .method_text = method == AMY__METHOD_HEAD
                                                        ? AMY_SPAN("HEAD")
                                                        : AMY_SPAN("GET"),
                                     .target = AMY_SPAN("/"),
                                     .authority = AMY_SPAN("a"),
                                     .upgrade_websocket = p->asked};
    struct amy__codec *client = NULL;
    amy__stream_id id = 0;
    struct recorder front;

    recorder_init(&p->recorder);
    recorder_init(&front);
    amy__buf_init(&p->out, TEXT_MAX);
    FUZZ_CHECK(amy__h1_server_create(NULL, &recorder_events, &front, &p->server,
                                     NULL) == 0);
    FUZZ_CHECK(recorder_feed(&front, p->server, AMY_SPAN(ask), 0) > 0);
    FUZZ_CHECK(amy__h1_client_create(NULL, &events, p, &client, NULL) == 0);
    FUZZ_CHECK(client->ops->send_request(client, &head, true, &id, &p->out) ==
               0);
    p->out.len = 0;
    if (recorder_feed(&p->recorder, client, data, step) >= 0) {
        (void)client->ops->eof(client);
    }
    FUZZ_CHECK(!p->asked || !client->ops->next(client, id));
    client->ops->free(client);
    p->server->ops->free(p->server);
    recorder_clear(&front);
    amy__buf_clear(&p->out);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char tail[] = "\r\n\r\n";
    struct passed_on whole = {.final = false};
    struct passed_on pieces = {.final = false};
    enum amy__method method = AMY__METHOD_GET;
    struct amy__buf input;

    if (size == 0) {
        return 0;
    }
    method = data[0] >= 128 ? AMY__METHOD_HEAD : AMY__METHOD_GET;
    whole.asked = data[0] >= 64 && data[0] < 128;
    pieces.asked = whole.asked;
    amy__buf_init(&input, TEXT_MAX);
    FUZZ_CHECK(amy__buf_append(&input, data + 1, size - 1) == 0);
    FUZZ_CHECK(amy__buf_append(&input, tail, sizeof(tail) - 1) == 0);
    read_answer(&whole, amy__buf_span(&input), 0, method);
    read_answer(&pieces, amy__buf_span(&input), 1U + data[0] % 64U, method);
    FUZZ_CHECK(strcmp(recorder_text(&whole.recorder),
                      recorder_text(&pieces.recorder)) == 0);
    recorder_clear(&whole.recorder);
    recorder_clear(&pieces.recorder);
    amy__buf_clear(&input);
    return 0;
}

/* Does what we send upstream for a request mean that request, and no other? */
/* Not a target: those that read requests share it. */
#include "upstream.h"

#include "fuzz.h"

#define TEXT_MAX (1U << 20)

void
fuzz_check_lengths(const struct amy__request_head *head)
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
    FUZZ_CHECK(head->upgrade_websocket == again->upgrade_websocket);
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
    fuzz_check_lengths(head);
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

void
fuzz_check_upstream(const struct amy__request_head *head)
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

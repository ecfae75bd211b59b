#include "amy_test.h"

#include "fail_alloc.h"
#include "http/codec.h"

static void
on_request(amy__stream_id id, const struct amy__request_head *head, void *user)
{
    (void)id;
    (void)head;
    (void)user;
}

static void
on_answer(amy__stream_id id, const struct amy__answer_head *head, void *user)
{
    (void)id;
    (void)head;
    (void)user;
}

static void
on_end(amy__stream_id id, void *user)
{
    (void)id;
    (void)user;
}

static const struct amy__codec_events events = {
    .on_request = on_request,
    .on_answer = on_answer,
    .on_end = on_end,
};

/* One exchange as a server. */
static int
serve_once(struct amy__codec *codec, struct amy__buf *out)
{
    static const char bytes[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    const struct amy__answer_head head = {
        .status = 200, .body = AMY__BODY_CHUNKED, .keep_alive = true};
    struct amy__codec_fault fault = {0};
    int64_t n = codec->ops->feed(codec, AMY_SPAN(bytes), &fault);
    int rc = 0;

    assert_int_equal(n, sizeof(bytes) - 1); /* reading allocates nothing */
    rc = codec->ops->send_answer(codec, 1, &head, false, out);
    return rc < 0
               ? rc
               : codec->ops->send_body(codec, 1, AMY_SPAN("hello"), true, out);
}

/* One exchange as a client, with a folded line: the one thing that needs
 * memory. Without it the answer counts as malformed. */
static int
ask_once(struct amy__codec *codec, struct amy__buf *out)
{
    static const char bytes[] =
        "HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 0\r\n\r\n";
    const struct amy__request_head head = {.method = AMY__METHOD_GET,
                                           .method_text = AMY_SPAN("GET"),
                                           .target = AMY_SPAN("/"),
                                           .authority = AMY_SPAN("a")};
    struct amy__codec_fault fault = {0};
    amy__stream_id id = 0;
    int rc = codec->ops->send_request(codec, &head, true, &id, out);

    if (rc < 0) {
        return rc;
    }
    if (codec->ops->feed(codec, AMY_SPAN(bytes), &fault) < 0) {
        assert_int_equal(fault.status, 502);
        return AMY_ENOMEM;
    }
    return 0;
}

static int
exchange(bool client, struct amy_error *err)
{
    struct amy__codec *codec = NULL;
    struct amy__buf out;
    int rc = client ? amy__h1_client_create(NULL, &events, NULL, &codec, err)
                    : amy__h1_server_create(NULL, &events, NULL, &codec, err);

    if (rc < 0) {
        assert_null(codec);
        return rc;
    }
    amy__buf_init(&out, 4096);
    rc = client ? ask_once(codec, &out) : serve_once(codec, &out);
    amy__buf_clear(&out);
    codec->ops->free(codec);
    return rc;
}

static void
test_exchange_without_memory_fails_cleanly(void **state)
{
    (void)state;
    for (int client = 0; client < 2; client++) {
        int rc = AMY_ENOMEM;

        for (int n = 1; rc != 0; n++) {
            struct amy_error err = AMY_ERROR_INIT;
            int before = fail_alloc_live();

            fail_alloc_nth(n);
            rc = exchange(client != 0, &err);
            fail_alloc_nth(0);
            assert_true(rc == 0 || rc == AMY_ENOMEM);
            assert_true(n > 1 || err.code == AMY_ENOMEM);
            assert_int_equal(fail_alloc_live(), before);
        }
    }
}

static void
test_h2_create_without_memory_is_enomem(void **state)
{
    struct amy__codec *codec = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    fail_alloc_nth(1);
    assert_int_equal(amy__h2_server_create(NULL, &events, NULL, &codec, &err),
                     AMY_ENOMEM);
    fail_alloc_nth(0);
    assert_null(codec);
    assert_int_equal(err.code, AMY_ENOMEM);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange_without_memory_fails_cleanly),
        cmocka_unit_test(test_h2_create_without_memory_is_enomem),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

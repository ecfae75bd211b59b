/* Forwarding fields, the client behind proxies, heads both ways. */
#include "amy_test.h"

#include "front/forwarded.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct amy__address peer;
    struct amy__cidr trusted[2];
    struct amy__arrival arrival;
    struct amy__request_head src;
    struct amy__request_head dst;
    struct amy__forward_text text;
    struct amy__answer_head answer;
    struct amy__answer_head back;
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_int_equal(
        amy__cidr_parse(AMY_SPAN("10.0.0.0/8"), &f->trusted[0], NULL), 0);
    assert_int_equal(
        amy__cidr_parse(AMY_SPAN("fd00::/8"), &f->trusted[1], NULL), 0);
    f->arrival = (struct amy__arrival){
        .peer = &f->peer,
        .trusted = f->trusted,
        .trusted_count = 2,
        .port = 443,
        .tls = true,
    };
    f->src.method = AMY__METHOD_GET;
    f->src.method_text = AMY_SPAN("GET");
    f->src.target = AMY_SPAN("/a?b");
    f->src.authority = AMY_SPAN("example.org:8443");
    f->src.version_major = 1;
    f->src.version_minor = 1;
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    free(*state);
    return 0;
}

static void
come_from(struct fixture *f, const char *peer)
{
    assert_int_equal(amy__address_parse(amy__span_of(peer), 1, &f->peer, NULL),
                     0);
}

static void
add(struct fixture *f, const char *name, const char *value)
{
    f->src.fields[f->src.field_count++] = (struct amy__field){
        .name = amy__span_of(name),
        .value = amy__span_of(value),
        .id = (uint16_t)amy__field_id_of(amy__span_of(name)),
    };
}

static void
expect_client(struct fixture *f, const char *want)
{
    char client[AMY__CLIENT_MAX];
    struct amy__address address;

    amy__client_resolve(&f->arrival, &f->src, client, &address);
    assert_string_equal(client, want);
}

static void
forward(struct fixture *f)
{
    static char client[AMY__CLIENT_MAX];
    struct amy__address address;

    amy__client_resolve(&f->arrival, &f->src, client, &address);
    amy__forward_head(&f->dst, &f->src, &f->arrival, client, "id-1", false, 0,
                      &f->text);
}

/* The one value of that name upstream; "" when it is not there. */
static const char *
value_of(struct fixture *f, const char *name)
{
    static char value[40000];
    unsigned found = 0;

    value[0] = '\0';
    for (size_t i = 0; i < f->dst.field_count; i++) {
        if (amy__span_eq_nocase(f->dst.fields[i].name, amy__span_of(name))) {
            (void)snprintf(value, sizeof(value), AMY_SPAN_FMT,
                           AMY_SPAN_ARG(f->dst.fields[i].value));
            found++;
        }
    }
    assert_true(found <= 1);
    return value;
}

/* ---- who is the client ---- */

static void
test_word_of_a_stranger_does_not_count(void **state)
{
    struct fixture *f = *state;

    come_from(f, "192.0.2.1:5");
    add(f, "X-Forwarded-For", "10.0.0.9, 6.6.6.6");
    expect_client(f, "192.0.2.1");
}

static void
test_rightmost_untrusted_hop_is_the_client(void **state)
{
    struct fixture *f = *state;

    come_from(f, "10.1.1.1:5");
    add(f, "X-Forwarded-For", "6.6.6.6, 203.0.113.7 , 10.2.2.2");
    expect_client(f, "203.0.113.7");
}

static void
test_walk_goes_over_all_fields_from_the_last(void **state)
{
    struct fixture *f = *state;

    come_from(f, "10.1.1.1:5");
    add(f, "X-Forwarded-For", "6.6.6.6");
    add(f, "X-Forwarded-For", "203.0.113.7:443");
    add(f, "X-Forwarded-For", "10.2.2.2, fd00::1");
    expect_client(f, "203.0.113.7");
}

static void
test_all_trusted_gives_the_first_hop(void **state)
{
    struct fixture *f = *state;

    come_from(f, "10.1.1.1:5");
    add(f, "X-Forwarded-For", "10.3.3.3, 10.2.2.2");
    expect_client(f, "10.3.3.3");
}

static void
test_nonsense_ends_the_walk(void **state)
{
    struct fixture *f = *state;
    static const char *const values[] = {
        "203.0.113.7, unknown", "203.0.113.7, ",      "203.0.113.7, unix:/x",
        "203.0.113.7, *",       "203.0.113.7, :8080", "203.0.113.7, [::1"};

    come_from(f, "10.1.1.1:5");
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        f->src.field_count = 0;
        add(f, "X-Forwarded-For", values[i]);
        expect_client(f, "10.1.1.1");
    }
}

static void
test_ipv6_client_with_and_without_brackets(void **state)
{
    struct fixture *f = *state;

    come_from(f, "10.1.1.1:5");
    add(f, "X-Forwarded-For", "2001:db8::7");
    expect_client(f, "2001:db8::7");
    f->src.field_count = 0;
    add(f, "X-Forwarded-For", "[2001:db8::8]:443");
    expect_client(f, "2001:db8::8");
}

/* ---- the head for the worker ---- */

static void
test_strangers_fields_are_set_anew(void **state)
{
    struct fixture *f = *state;

    come_from(f, "192.0.2.1:5");
    add(f, "X-Forwarded-For", "6.6.6.6");
    add(f, "X-Forwarded-Proto", "ftp");
    add(f, "X-Forwarded-Host", "evil");
    add(f, "X-Forwarded-Port", "1");
    add(f, "X-Real-IP", "6.6.6.6");
    add(f, "Forwarded", "for=6.6.6.6");
    add(f, "X-Request-ID", "evil");
    forward(f);
    assert_string_equal(value_of(f, "X-Forwarded-For"), "192.0.2.1");
    assert_string_equal(value_of(f, "X-Forwarded-Proto"), "https");
    assert_string_equal(value_of(f, "X-Forwarded-Host"), "example.org:8443");
    assert_string_equal(value_of(f, "X-Forwarded-Port"), "443");
    assert_string_equal(value_of(f, "X-Real-IP"), "192.0.2.1");
    assert_string_equal(value_of(f, "Forwarded"),
                        "for=192.0.2.1;host=\"example.org:8443\";proto=https");
    assert_string_equal(value_of(f, "X-Request-ID"), "id-1");
    assert_string_equal(value_of(f, "Via"), "1.1 amy");
}

static void
test_trusted_peers_fields_are_appended_to(void **state)
{
    struct fixture *f = *state;

    come_from(f, "[fd00::2]:5");
    f->arrival.tls = false;
    f->arrival.port = 80;
    add(f, "X-Forwarded-For", "203.0.113.7");
    add(f, "X-Forwarded-For", "10.2.2.2");
    add(f, "X-Forwarded-Proto", "https");
    add(f, "X-Forwarded-Host", "www.example.org");
    add(f, "Forwarded", "for=203.0.113.7");
    forward(f);
    assert_string_equal(value_of(f, "X-Forwarded-For"),
                        "203.0.113.7, 10.2.2.2, fd00::2");
    assert_string_equal(value_of(f, "X-Forwarded-Proto"), "https");
    assert_string_equal(value_of(f, "X-Forwarded-Host"), "www.example.org");
    assert_string_equal(value_of(f, "X-Forwarded-Port"), "80");
    assert_string_equal(value_of(f, "X-Real-IP"), "203.0.113.7");
    assert_string_equal(value_of(f, "Forwarded"),
                        "for=203.0.113.7, for=\"[fd00::2]\";host=\"example.org:"
                        "8443\";proto=http");
}

static void
test_fields_of_this_hop_alone_are_left_out(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"Connection",
                                        "Keep-Alive",
                                        "Proxy-Connection",
                                        "TE",
                                        "Trailer",
                                        "Transfer-Encoding",
                                        "Upgrade",
                                        "Expect",
                                        "Proxy-Authorization",
                                        "X_Forwarded_For",
                                        "Remote_User",
                                        "Content-Length",
                                        "Proxy-Authenticate"};

    come_from(f, "192.0.2.1:5");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        add(f, names[i], "x");
    }
    add(f, "X-Named", "by Connection");
    f->src.fields[f->src.field_count - 1].flags = AMY__FIELD_HOP;
    add(f, "Cookie", "a=b");
    forward(f);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_string_equal(value_of(f, names[i]), "");
    }
    assert_string_equal(value_of(f, "X-Named"), "");
    assert_string_equal(value_of(f, "Cookie"), "a=b");
}

static void
test_order_of_fields_is_kept(void **state)
{
    struct fixture *f = *state;

    come_from(f, "192.0.2.1:5");
    add(f, "Accept", "a");
    add(f, "Cookie", "b");
    add(f, "Accept", "c");
    forward(f);
    assert_true(amy__span_eq(f->dst.fields[0].value, AMY_SPAN("a")));
    assert_true(amy__span_eq(f->dst.fields[1].value, AMY_SPAN("b")));
    assert_true(amy__span_eq(f->dst.fields[2].value, AMY_SPAN("c")));
}

static void
test_full_head_has_room_for_ours_too(void **state)
{
    struct fixture *f = *state;

    come_from(f, "192.0.2.1:5");
    for (size_t i = 1; i < AMY__FIELDS_MAX; i++) {
        add(f, "Accept", "x");
    }
    add(f, "Authorization", "last");
    forward(f);
    assert_string_equal(value_of(f, "Authorization"), "last");
    assert_string_equal(value_of(f, "X-Request-ID"), "id-1");
    assert_string_equal(value_of(f, "X-Forwarded-For"), "192.0.2.1");
    assert_string_equal(value_of(f, "Via"), "1.1 amy");
}

/* A client behind a trusted proxy sends as much as a head can hold. */
static void
test_long_list_keeps_what_the_peer_appended(void **state)
{
    struct fixture *f = *state;
    static char list[32 * 1024];
    static const char appended[] = ", 192.0.2.7";

    come_from(f, "10.1.1.1:5");
    memset(list, '1', sizeof(list) - 1);
    memcpy(list + sizeof(list) - sizeof(appended), appended, sizeof(appended));
    add(f, "X-Forwarded-For", list);
    forward(f);
    assert_non_null(
        strstr(value_of(f, "X-Forwarded-For"), "11, 192.0.2.7, 10.1.1.1"));
    assert_non_null(strstr(value_of(f, "Forwarded"), "for=10.1.1.1;"));
}

static void
test_huge_list_is_cut_and_never_overruns(void **state)
{
    struct fixture *f = *state;
    static char list[100000]; /* no head is as long */

    come_from(f, "10.1.1.1:5");
    memset(list, '1', sizeof(list) - 1);
    add(f, "X-Forwarded-For", list);
    forward(f);
    assert_true(f->text.used <= sizeof(f->text.text));
}

static void
test_body_goes_with_its_length(void **state)
{
    struct fixture *f = *state;

    come_from(f, "192.0.2.1:5");
    f->src.body = AMY__BODY_CHUNKED;
    f->src.expect_continue = true;
    amy__forward_head(&f->dst, &f->src, &f->arrival, "c", "i", true, 77,
                      &f->text);
    assert_int_equal(f->dst.body, AMY__BODY_LENGTH);
    assert_int_equal(f->dst.content_length, 77);
    assert_false(f->dst.expect_continue);
}

/* ---- ids ---- */

static void
test_id_is_taken_from_trusted_peers_alone(void **state)
{
    struct fixture *f = *state;
    struct amy__id_maker maker = {.start = 0xab, .next = 1};
    char id[AMY__REQUEST_ID_MAX];

    add(f, "X-Request-ID", "given-1");
    come_from(f, "192.0.2.1:5");
    amy__request_id(&maker, &f->arrival, &f->src, id);
    assert_string_equal(id, "00000000000000ab0000000000000001");
    come_from(f, "10.1.1.1:5");
    amy__request_id(&maker, &f->arrival, &f->src, id);
    assert_string_equal(id, "given-1");
}

static void
test_odd_ids_are_replaced(void **state)
{
    struct fixture *f = *state;
    struct amy__id_maker maker = {.start = 1, .next = 1};
    char id[AMY__REQUEST_ID_MAX];
    static const char *const odd[] = {
        "", "with space", "quo\"te",
        "0123456789012345678901234567890123456789012345678901234567890123456"};

    come_from(f, "10.1.1.1:5");
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        f->src.field_count = 0;
        add(f, "X-Request-ID", odd[i]);
        amy__request_id(&maker, &f->arrival, &f->src, id);
        assert_int_equal(strlen(id), 32);
    }
}

/* ---- back ---- */

static void
answer_field(struct fixture *f, const char *name, const char *value)
{
    f->answer.fields[f->answer.field_count++] = (struct amy__field){
        .name = amy__span_of(name),
        .value = amy__span_of(value),
        .id = (uint16_t)amy__field_id_of(amy__span_of(name)),
    };
}

static void
test_answer_loses_what_is_not_the_clients(void **state)
{
    struct fixture *f = *state;

    f->answer.status = 200;
    answer_field(f, "Connection", "close");
    answer_field(f, "Transfer-Encoding", "chunked");
    answer_field(f, "X-Accel-Redirect", "/private/x");
    answer_field(f, "X-Accel-Limit-Rate", "1024");
    answer_field(f, "Set-Cookie", "a");
    answer_field(f, "Set-Cookie", "b");
    assert_false(amy__backward_head(&f->back, &f->answer));
    assert_int_equal(f->back.status, 200);
    assert_int_equal(f->back.field_count, 2);
    assert_true(amy__span_eq(f->back.fields[1].value, AMY_SPAN("b")));
}

static void
test_streams_are_known_by_their_fields(void **state)
{
    struct fixture *f = *state;

    answer_field(f, "X-Accel-Buffering", "No");
    assert_true(amy__backward_head(&f->back, &f->answer));
    f->answer.field_count = 0;
    answer_field(f, "Content-Type", "text/event-stream; charset=utf-8");
    assert_true(amy__backward_head(&f->back, &f->answer));
    f->answer.field_count = 0;
    answer_field(f, "X-Accel-Buffering", "yes");
    assert_false(amy__backward_head(&f->back, &f->answer));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_word_of_a_stranger_does_not_count),
        TEST(test_rightmost_untrusted_hop_is_the_client),
        TEST(test_walk_goes_over_all_fields_from_the_last),
        TEST(test_all_trusted_gives_the_first_hop),
        TEST(test_nonsense_ends_the_walk),
        TEST(test_ipv6_client_with_and_without_brackets),
        TEST(test_strangers_fields_are_set_anew),
        TEST(test_trusted_peers_fields_are_appended_to),
        TEST(test_fields_of_this_hop_alone_are_left_out),
        TEST(test_order_of_fields_is_kept),
        TEST(test_full_head_has_room_for_ours_too),
        TEST(test_long_list_keeps_what_the_peer_appended),
        TEST(test_huge_list_is_cut_and_never_overruns),
        TEST(test_body_goes_with_its_length),
        TEST(test_id_is_taken_from_trusted_peers_alone),
        TEST(test_odd_ids_are_replaced),
        TEST(test_answer_loses_what_is_not_the_clients),
        TEST(test_streams_are_known_by_their_fields),
    };

    return cmocka_run_group_tests_name("front/forwarded", tests, NULL, NULL);
}

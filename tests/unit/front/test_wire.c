#include "amy_test.h"

#include "core/alloc.h"
#include "fail_alloc.h"
#include "fake_loop.h"
#include "front/wire.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct ends {
    int fds[2];
    struct amy__wire *wires[2];
    int messages;
    int gone;
    int gone_code;
    enum amy__wire_type type;
    char text[64];
    size_t fd_count;
    int taken;     /* the descriptor called "x_fd" */
    int again;     /* the same, asked a second time */
    bool free_it;  /* in the handler */
    bool in_order; /* n of each message is that of the one before + 1 */
    int64_t n;
};

static void
on_message(struct amy__wire *wire, struct amy__wire_message *message,
           void *user)
{
    struct ends *ends = user;
    int64_t n = amy__json_get_int(message->json, "n", 0);

    ends->messages++;
    ends->type = message->type;
    ends->fd_count = message->fd_count;
    ends->in_order = ends->in_order && n == ends->n + 1;
    ends->n = n;
    (void)snprintf(ends->text, sizeof(ends->text), "%s",
                   amy__json_get_text(message->json, "text", ""));
    if (ends->taken < 0) {
        ends->taken = amy__wire_take_fd(message, message->json, "x_fd");
        ends->again = amy__wire_take_fd(message, message->json, "x_fd");
    }
    if (ends->free_it) {
        amy__wire_free(wire);
        ends->wires[1] = NULL;
    }
}

static void
on_gone(struct amy__wire *wire, const struct amy_error *why, void *user)
{
    struct ends *ends = user;

    ends->gone++;
    ends->gone_code = why->code;
    amy__wire_free(wire);
    ends->wires[1] = NULL;
}

static const struct amy__wire_handler handler = {on_message, on_gone};

static int
set_up(void **state)
{
    static struct ends ends;

    ends = (struct ends){.taken = -1, .again = -1, .in_order = true};
    *state = &ends;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.fds) != 0) {
        return -1;
    }
    for (int i = 0; i < 2; i++) {
        if (amy__wire_create(NULL, ends.fds[i], &handler, &ends, &ends.wires[i],
                             NULL) != 0) {
            return -1;
        }
    }
    return 0;
}

static int
tear_down(void **state)
{
    struct ends *ends = *state;

    for (int i = 0; i < 2; i++) {
        amy__wire_free(ends->wires[i]);
        close(ends->fds[i]);
    }
    if (ends->taken >= 0) {
        close(ends->taken);
    }
    return fake_loop_left() != 0 || fail_alloc_live() != 0;
}

static struct amy__json *
numbered(int64_t n)
{
    struct amy__json *json = amy__json_object();

    assert_int_equal(amy__json_set(json, "n", amy__json_int(n)), 0);
    return json;
}

static int
count_open(void)
{
    int count = 0;

    for (int fd = 0; fd < 1024; fd++) {
        count += fcntl(fd, F_GETFD) >= 0;
    }
    return count;
}

static void
test_message_arrives_with_its_descriptor(void **state)
{
    struct ends *ends = *state;
    struct amy__json *json = numbered(1);
    int pair[2] = {-1, -1};
    char byte = 0;

    assert_int_equal(pipe2(pair, O_CLOEXEC), 0);
    assert_int_equal(amy__json_set(json, "x_fd", amy__json_int(0)), 0);
    assert_int_equal(amy__json_set(json, "text", amy__json_text("gr\xc3\xbc")),
                     0);
    assert_int_equal(
        amy__wire_send(ends->wires[0], AMY__WIRE_PAGE, json, &pair[0], 1, NULL),
        0);
    close(pair[0]);
    (void)fake_loop_poll();
    assert_int_equal(ends->messages, 1);
    assert_int_equal(ends->type, AMY__WIRE_PAGE);
    assert_string_equal(ends->text, "gr\xc3\xbc");
    assert_true(ends->taken >= 0);
    assert_int_equal(ends->again, -1);
    assert_true((fcntl(ends->taken, F_GETFD) & FD_CLOEXEC) != 0);
    assert_int_equal(write(pair[1], "x", 1), 1);
    assert_int_equal(read(ends->taken, &byte, 1), 1);
    close(pair[1]);
    amy__json_free(json);
}

static void
test_many_descriptors_arrive_as_one_message(void **state)
{
    struct ends *ends = *state;
    struct amy__json *json = numbered(1);
    int before = count_open();
    int fds[601];

    for (int i = 0; i < 601; i++) {
        fds[i] = STDERR_FILENO;
    }
    assert_int_equal(
        amy__wire_send(ends->wires[0], AMY__WIRE_PREPARE, json, fds, 601, NULL),
        0);
    (void)fake_loop_poll();
    assert_int_equal(ends->messages, 1);
    assert_int_equal(ends->fd_count, 601);
    assert_int_equal(count_open(), before); /* what nobody took is closed */
    amy__json_free(json);
}

static void
test_messages_queue_in_order_while_nobody_reads(void **state)
{
    struct ends *ends = *state;
    int before = count_open();
    int rc = 0;
    int64_t sent = 0;

    while (rc == 0) {
        struct amy__json *json = numbered(sent + 1);
        int fd = STDERR_FILENO;

        /* Now and then a descriptor: of copies an ordinary person may have
         * no more open than the queue is long. */
        rc = amy__wire_send(ends->wires[0], AMY__WIRE_STATUS, json, &fd,
                            sent % 8 == 0, NULL);
        sent += rc == 0;
        amy__json_free(json);
    }
    assert_int_equal(rc, AMY_ELIMIT);
    assert_true(sent > AMY__WIRE_QUEUE_MAX);
    (void)fake_loop_poll();
    assert_int_equal(ends->messages, sent);
    assert_true(ends->in_order);
    assert_int_equal(fake_loop_wants(ends->fds[0]), 1); /* reading alone */
    assert_int_equal(count_open(), before);
}

static void
test_queue_is_dropped_with_the_wire(void **state)
{
    struct ends *ends = *state;
    struct amy__json *json = numbered(1);
    int before = count_open();
    int fds[2] = {STDERR_FILENO, STDERR_FILENO};

    for (int i = 0; i < 500; i++) {
        assert_int_equal(amy__wire_send(ends->wires[0], AMY__WIRE_STATUS, json,
                                        fds, 2, NULL),
                         0);
    }
    assert_true(count_open() > before); /* waiting ones are copies */
    amy__wire_free(ends->wires[0]);
    ends->wires[0] = NULL;
    assert_int_equal(count_open(), before);
    amy__json_free(json);
}

static void
test_end_of_the_other_is_told_once(void **state)
{
    struct ends *ends = *state;
    struct amy__json *json = numbered(1);

    assert_int_equal(
        amy__wire_send(ends->wires[0], AMY__WIRE_DRAIN, json, NULL, 0, NULL),
        0);
    assert_int_equal(shutdown(ends->fds[0], SHUT_RDWR), 0);
    assert_int_equal(
        amy__wire_send(ends->wires[0], AMY__WIRE_DRAIN, json, NULL, 0, NULL),
        AMY_ECONN);
    (void)fake_loop_fire(ends->fds[1], 1);
    assert_int_equal(ends->messages, 1);
    assert_int_equal(ends->gone, 1);
    assert_int_equal(ends->gone_code, AMY_ECONN);
    amy__json_free(json);
}

static void
test_handler_may_free_the_wire(void **state)
{
    struct ends *ends = *state;
    struct amy__json *json = numbered(1);

    ends->free_it = true;
    for (int i = 0; i < 3; i++) {
        assert_int_equal(amy__wire_send(ends->wires[0], AMY__WIRE_DRAIN, json,
                                        NULL, 0, NULL),
                         0);
    }
    (void)fake_loop_poll();
    assert_int_equal(ends->messages, 1);
    assert_null(ends->wires[1]);
    amy__json_free(json);
}

static void
test_foreign_bytes_end_the_channel(void **state)
{
    struct ends *ends = *state;

    assert_int_equal(send(ends->fds[0], "GET / HTTP/1.1\r\n\r\n", 18, 0), 18);
    (void)fake_loop_fire(ends->fds[1], 1);
    assert_int_equal(ends->messages, 0);
    assert_int_equal(ends->gone_code, AMY_EPROTO);
}

static void
test_too_large_a_message_is_refused_by_the_sender(void **state)
{
    struct ends *ends = *state;
    struct amy__json *json = amy__json_object();
    static char text[AMY__WIRE_JSON_MAX];

    memset(text, 'x', sizeof(text) - 1);
    assert_int_equal(amy__json_set(json, "text", amy__json_text(text)), 0);
    assert_int_equal(
        amy__wire_send(ends->wires[0], AMY__WIRE_DRAIN, json, NULL, 0, NULL),
        AMY_ELIMIT);
    amy__json_free(json);
}

static void
test_take_fd_of_no_descriptor_gives_none(void **state)
{
    struct amy__wire_message message = {0};
    struct amy__json *json = amy__json_object();

    (void)state;
    assert_int_equal(amy__json_set(json, "a_fd", amy__json_int(0)), 0);
    assert_int_equal(amy__json_set(json, "b_fd", amy__json_int(-1)), 0);
    assert_int_equal(amy__json_set(json, "c_fd", amy__json_text("0")), 0);
    assert_int_equal(amy__wire_take_fd(&message, json, "a_fd"), -1);
    assert_int_equal(amy__wire_take_fd(&message, json, "b_fd"), -1);
    assert_int_equal(amy__wire_take_fd(&message, json, "c_fd"), -1);
    assert_int_equal(amy__wire_take_fd(&message, json, "d_fd"), -1);
    amy__json_free(json);
}

/* ---- one packet ---- */

static int
decode(struct amy__wire_header header, const char *text, size_t fds)
{
    char packet[256] = "";
    struct amy__wire_header seen = {0};
    struct amy__json *json = NULL;
    int rc = 0;

    memcpy(packet, &header, sizeof(header));
    memcpy(packet + sizeof(header), text, strlen(text));
    rc = amy__wire_decode(
        (struct amy__span){packet, sizeof(header) + strlen(text)}, fds, &seen,
        &json, NULL);
    amy__json_free(json);
    return rc;
}

static void
test_decode_refuses_what_is_not_ours(void **state)
{
    const struct amy__wire_header good = {AMY__WIRE_MAGIC, AMY__WIRE_VERSION,
                                          AMY__WIRE_ACK, 2, 1};
    struct amy__wire_header bad = good;

    (void)state;
    assert_int_equal(decode(good, "{}", 1), 0);
    assert_int_equal(decode(good, "{}", 0), AMY_EPROTO);
    assert_int_equal(decode(good, "{} ", 1), AMY_EPROTO);
    assert_int_equal(decode(good, "[]", 1), AMY_EPROTO);
    assert_int_equal(decode(good, "{x", 1), AMY_EPROTO);
    bad.magic++;
    assert_int_equal(decode(bad, "{}", 1), AMY_EPROTO);
    bad = good;
    bad.version = AMY__WIRE_VERSION + 1;
    assert_int_equal(decode(bad, "{}", 1), AMY_EPROTO);
    bad = good;
    bad.type = 31; /* of a later release */
    assert_int_equal(decode(bad, "{}", 1), 0);
    bad.type = 0;
    assert_int_equal(decode(bad, "{}", 1), AMY_EPROTO);
    bad = good;
    bad.size = UINT32_MAX;
    assert_int_equal(decode(bad, "{}", 1), AMY_EPROTO);
    assert_int_equal(amy__wire_decode(AMY_SPAN("1amy"), 0, &bad, NULL, NULL),
                     AMY_EPROTO);
}

static void
test_create_without_memory_leaves_nothing(void **state)
{
    (void)state;
    for (int n = 1;; n++) {
        struct amy__wire *wire = NULL;
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy__wire_create(NULL, STDIN_FILENO, &handler, NULL, &wire, NULL);
        if (!fail_alloc_hit()) {
            amy__wire_free(wire);
            break;
        }
        assert_int_equal(rc, AMY_ENOMEM);
        assert_null(wire);
    }
    fail_alloc_nth(0);
    assert_int_equal(fail_alloc_live(), 0);
}

#define WITH_ENDS(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_ENDS(test_message_arrives_with_its_descriptor),
        WITH_ENDS(test_many_descriptors_arrive_as_one_message),
        WITH_ENDS(test_messages_queue_in_order_while_nobody_reads),
        WITH_ENDS(test_queue_is_dropped_with_the_wire),
        WITH_ENDS(test_end_of_the_other_is_told_once),
        WITH_ENDS(test_handler_may_free_the_wire),
        WITH_ENDS(test_foreign_bytes_end_the_channel),
        WITH_ENDS(test_too_large_a_message_is_refused_by_the_sender),
        cmocka_unit_test(test_take_fd_of_no_descriptor_gives_none),
        cmocka_unit_test(test_decode_refuses_what_is_not_ours),
        cmocka_unit_test(test_create_without_memory_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include "core/alloc.h"
#include "core/files.h"
#include "front/bundle.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A descriptor that can be told from others by what it holds. */
static int
marked(const char *mark)
{
    int fd = amy__sealed_memfd("mark", mark, strlen(mark), NULL);

    assert_true(fd >= 0);
    return fd;
}

static void
expect_mark(int fd, const char *mark)
{
    char text[32] = "";

    assert_true(fd >= 0);
    assert_int_equal(pread(fd, text, sizeof(text) - 1, 0), strlen(mark));
    assert_string_equal(text, mark);
}

static struct amy__bundle *
make_bundle(void)
{
    struct amy__bundle *bundle = NULL;

    assert_int_equal(amy__bundle_create(2, 2, 2, &bundle, NULL), 0);
    bundle->number = 7;
    bundle->connections = 1000;
    bundle->https_port = 8443;
    bundle->logs_stdout = true;
    assert_int_equal(
        amy__cidr_parse(AMY_SPAN("10.0.0.0/8"), &bundle->trusted[0], NULL), 0);
    assert_int_equal(
        amy__cidr_parse(AMY_SPAN("2001:db8::/33"), &bundle->trusted[1], NULL),
        0);
    bundle->sites[0].name = amy__strdup("one.example");
    bundle->sites[0].index = 3;
    bundle->sites[0].serial = 9;
    bundle->sites[0].yaml_fd = marked("yaml 1");
    bundle->sites[0].cert_count = 2;
    bundle->sites[0].certs[0].chain_fd = marked("chain 1");
    bundle->sites[0].certs[0].key_fd = marked("key 1");
    bundle->sites[0].certs[1].chain_fd = marked("chain 2");
    bundle->sites[0].certs[1].key_fd = marked("key 2");
    bundle->sites[0].page_fd = marked("page 1");
    bundle->sites[1].name = amy__strdup("two.example");
    bundle->sites[1].yaml_fd = marked("yaml 2");
    bundle->sites[1].down_fd = marked("down 2");
    bundle->events[0] = marked("event 0");
    bundle->events[1] = marked("event 1");
    bundle->words_fd = marked("words");
    bundle->slots_fd = marked("slots");
    bundle->locks_fd = marked("locks");
    return bundle;
}

/* What the kernel does: the same files by other numbers. */
static struct amy__wire_message
as_received(const int *fds, size_t count)
{
    struct amy__wire_message message = {.type = AMY__WIRE_PREPARE};

    message.fds = amy__calloc(count + 1, sizeof(*message.fds));
    message.fd_count = count;
    for (size_t i = 0; i < count; i++) {
        message.fds[i] = fcntl(fds[i], F_DUPFD_CLOEXEC, 100);
    }
    return message;
}

static void
drop(struct amy__wire_message *message)
{
    for (size_t i = 0; i < message->fd_count; i++) {
        amy__close(&message->fds[i]);
    }
    amy__free(message->fds);
}

static void
test_unpack_gives_what_was_packed(void **state)
{
    struct amy__bundle *sent = make_bundle();
    struct amy__bundle *got = NULL;
    struct amy__wire_message message = {0};
    struct amy__buf json = {0};
    int *fds = NULL;
    size_t count = 0;

    (void)state;
    amy__buf_init(&json, AMY__BUNDLE_JSON_MAX);
    assert_int_equal(amy__bundle_pack(sent, &json, &fds, &count, NULL), 0);
    assert_int_equal(count, 13);
    message = as_received(fds, count);
    assert_int_equal(
        amy__bundle_unpack(amy__buf_span(&json), &message, &got, NULL), 0);
    amy__bundle_free(sent);
    assert_int_equal(got->number, 7);
    assert_int_equal(got->connections, 1000);
    assert_int_equal(got->https_port, 8443);
    assert_true(got->logs_stdout);
    assert_int_equal(got->trusted_count, 2);
    assert_int_equal(got->trusted[0].bits, 96 + 8);
    assert_int_equal(got->trusted[1].bits, 33);
    assert_int_equal(got->trusted[1].bytes[3], 0xb8);
    assert_int_equal(got->site_count, 2);
    assert_string_equal(got->sites[0].name, "one.example");
    assert_int_equal(got->sites[0].index, 3);
    assert_int_equal(got->sites[0].serial, 9);
    expect_mark(got->sites[0].yaml_fd, "yaml 1");
    assert_int_equal(got->sites[0].cert_count, 2);
    expect_mark(got->sites[0].certs[0].chain_fd, "chain 1");
    expect_mark(got->sites[0].certs[0].key_fd, "key 1");
    expect_mark(got->sites[0].certs[1].chain_fd, "chain 2");
    expect_mark(got->sites[0].certs[1].key_fd, "key 2");
    expect_mark(got->sites[0].page_fd, "page 1");
    assert_int_equal(got->sites[0].down_fd, -1);
    expect_mark(got->sites[1].yaml_fd, "yaml 2");
    assert_int_equal(got->sites[1].cert_count, 0);
    expect_mark(got->sites[1].down_fd, "down 2");
    expect_mark(got->events[0], "event 0");
    expect_mark(got->events[1], "event 1");
    expect_mark(got->words_fd, "words");
    expect_mark(got->slots_fd, "slots");
    expect_mark(got->locks_fd, "locks");
    assert_int_equal(got->spool_fd, -1);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(message.fds[i], -1); /* all taken */
    }
    amy__bundle_free(got);
    drop(&message);
    amy__free(fds);
    amy__buf_clear(&json);
}

static void
test_unpack_refuses_what_pack_does_not_write(void **state)
{
    static const char *const bad[] = {
        "",
        "{}",
        "[]",
        "{\"bundle\":-1,\"connections\":0,\"https_port\":0}",
        "{\"bundle\":1,\"connections\":0,\"https_port\":70000}",
        "{\"bundle\":1,\"connections\":0,\"https_port\":0,\"sites\":[{}]}",
        "{\"bundle\":1,\"connections\":0,\"https_port\":0,\"sites\":[{"
        "\"name\":\"a\",\"index\":5000,\"serial\":0,\"yaml_fd\":0}]}",
        "{\"bundle\":1,\"connections\":0,\"https_port\":0,\"sites\":[{"
        "\"name\":\"a\",\"index\":0,\"serial\":0,\"yaml_fd\":9}]}",
        "{\"bundle\":1,\"connections\":0,\"https_port\":0,\"sites\":[{"
        "\"name\":\"a\",\"index\":0,\"serial\":0,\"yaml_fd\":0,"
        "\"certs\":[{\"chain_fd\":9,\"key_fd\":9}]}]}",
        "{\"bundle\":1,\"connections\":0,\"https_port\":0,\"sites\":[{"
        "\"name\":\"a\",\"index\":0,\"serial\":0,\"yaml_fd\":0,"
        "\"certs\":[0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0]}]}",
        "{\"bundle\":1,\"connections\":0,\"https_port\":0,\"events\":[0,0]}",
        "{\"bundle\":1,\"connections\":0,\"https_port\":0,\"trusted\":[{"
        "\"address\":\"zz\",\"bits\":8}]}",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int fd = STDERR_FILENO;
        struct amy__wire_message message = as_received(&fd, 1);
        struct amy__bundle *got = NULL;

        assert_int_equal(
            amy__bundle_unpack(amy__span_of(bad[i]), &message, &got, NULL),
            AMY_EPROTO);
        assert_null(got);
        drop(&message);
    }
}

static void
test_empty_bundle_is_one(void **state)
{
    struct amy__wire_message message = as_received(NULL, 0);
    struct amy__bundle *got = NULL;

    (void)state;
    assert_int_equal(
        amy__bundle_unpack(
            AMY_SPAN("{\"bundle\":1,\"connections\":0,\"https_port\":0}"),
            &message, &got, NULL),
        0);
    assert_int_equal(got->site_count, 0);
    assert_int_equal(got->words_fd, -1);
    amy__bundle_free(got);
    amy__bundle_free(NULL);
    drop(&message);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unpack_gives_what_was_packed),
        cmocka_unit_test(test_unpack_refuses_what_pack_does_not_write),
        cmocka_unit_test(test_empty_bundle_is_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

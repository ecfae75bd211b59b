/* A real Redis by TLS: whom we meet, whom they meet. */
#include "amy_test.h"

#include "asking.h"
#include "core/clock.h"
#include "redis_server.h"
#include "test_cert.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PLENTY_MS 60000

static struct redis_server server;
static unsigned port;
static char cert_path[96];
static char key_path[96];
static char other_path[96];

static void
write_file(char *path, size_t size, const char *name, const char *text)
{
    int fd = -1;

    (void)snprintf(path, size, "%s/%s", server.dir, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

/* Free now. */
static unsigned
free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static struct amy_redis *
make_client(const char *host, const char *ca, bool with_cert)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis *client = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    char url[96] = "";

    (void)snprintf(url, sizeof(url), "rediss://%s:%u", host, port);
    opts.url = url;
    opts.ca_file = ca;
    opts.timeout_ms = PLENTY_MS;
    if (with_cert) {
        opts.cert_file = cert_path;
        opts.key_file = key_path;
    }
    if (amy_redis_create(&opts, &client, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    return client;
}

static void
test_run_by_tls(void **state)
{
    struct amy_redis *client = make_client("localhost", cert_path, true);
    struct amy_redis_batch *batch = NULL;
    struct amy_redis_result result = AMY_REDIS_RESULT_INIT;
    struct asked asked = {0};

    (void)state;
    (void)run(client, "SETRANGE large 1000000 x", PLENTY_MS, &asked);
    expect(&asked, 0, AMY_REDIS_ANSWERED);
    assert_int_equal(amy_redis_batch_create(NULL, &batch, NULL), 0);
    for (int i = 0; i < 10; i++) { /* many records each way */
        assert_int_equal(add(batch, "GET large"), 0);
    }
    assert_int_equal(amy_redis_run_batch(client, batch, &result, NULL), 0);
    assert_int_equal(amy_redis_reply_count(result.reply), 10);
    amy_redis_batch_free(batch);
    amy_redis_free(client);
}

static void
test_run_strangers_are_refused(void **state)
{
    static const struct {
        const char *host;
        const char *ca;
        const char *why;
    } rows[] = {
        {"localhost", other_path, "the server's certificate: "},
        {"localhost", NULL, "the server's certificate: "},
        {"127.0.0.1", cert_path, "mismatch"}, /* it names localhost */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct amy_redis *client = make_client(rows[i].host, rows[i].ca, true);
        struct asked asked = {0};

        (void)run(client, "PING", PLENTY_MS, &asked);
        expect(&asked, AMY_EAUTH, AMY_REDIS_NOT_RUN);
        if (strstr(asked.why, rows[i].why) == NULL) {
            fail_msg("%s", asked.why);
        }
        amy_redis_free(client);
    }
}

static void
test_run_without_our_certificate_is_told(void **state)
{
    struct amy_redis *client = make_client("localhost", cert_path, false);
    struct asked asked = {0};

    (void)state;
    (void)run(client, "PING", PLENTY_MS, &asked);
    expect(&asked, AMY_ECONN, AMY_REDIS_NOT_RUN);
    if (strstr(asked.why, "a certificate of ours") == NULL) {
        fail_msg("%s", asked.why);
    }
    amy_redis_free(client);
}

static void
test_run_files_are_read_anew(void **state)
{
    struct amy_redis *client = NULL;
    struct asked asked = {0};
    char path[96] = "";
    int64_t end_ms = amy__mono_ms(NULL) + PLENTY_MS;

    (void)state;
    write_file(path, sizeof(path), "late.pem", "not yet");
    client = make_client("localhost", path, true);
    (void)run(client, "PING", PLENTY_MS, &asked);
    expect(&asked, AMY_EINVAL, AMY_REDIS_NOT_RUN);
    assert_non_null(strstr(asked.why, "late.pem"));
    assert_int_equal(unlink(path), 0);
    assert_int_equal(rename(cert_path, path), 0);
    assert_int_equal(symlink(path, cert_path), 0);
    do { /* not at once: three attempts failed */
        asked = (struct asked){0};
        (void)run(client, "PING", PLENTY_MS, &asked);
    } while (asked.code != 0 && amy__mono_ms(NULL) < end_ms);
    expect(&asked, 0, AMY_REDIS_ANSWERED);
    amy_redis_free(client);
    assert_int_equal(rename(path, cert_path), 0);
}

static void
start_server(void)
{
    static struct test_cert cert;
    static struct test_cert other;
    static char text[8] = "";
    int tries = 0;
    const char *const arguments[] = {"--tls-port",
                                     text,
                                     "--tls-cert-file",
                                     cert_path,
                                     "--tls-key-file",
                                     key_path,
                                     "--tls-ca-cert-file",
                                     cert_path,
                                     "--tls-auth-clients",
                                     "yes",
                                     NULL};

    redis_server_prepare(&server);
    test_cert_make(&cert, "localhost", -60, 86400);
    test_cert_make(&other, "localhost", -60, 86400);
    write_file(cert_path, sizeof(cert_path), "cert.pem", cert.chain);
    write_file(key_path, sizeof(key_path), "key.pem", cert.key);
    write_file(other_path, sizeof(other_path), "other.pem", other.chain);
    do { /* again when somebody else was faster */
        assert_true(tries++ < 10);
        port = free_port();
        (void)snprintf(text, sizeof(text), "%u", port);
    } while (!redis_server_try(&server, arguments));
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_run_by_tls),
        cmocka_unit_test(test_run_strangers_are_refused),
        cmocka_unit_test(test_run_without_our_certificate_is_told),
        cmocka_unit_test(test_run_files_are_read_anew),
    };
    int rc = 0;

    (void)signal(SIGPIPE, SIG_IGN);
    start_server();
    rc = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(cert_path);
    (void)unlink(key_path);
    (void)unlink(other_path);
    redis_server_free(&server);
    return rc;
}

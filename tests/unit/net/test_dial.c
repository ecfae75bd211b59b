/* Connecting by name: a hosts file's, one that does not exist, and one that no
 * name server tells. */
#include "amy_test.h"

#include "core/clock.h"
#include "net/dial.h"

#include <event2/event.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define PLENTY_MS 60000

struct dialled {
    unsigned times;
    int fd;
    struct amy_error err;
};

static struct event_base *base;

static int
bind_loopback(int type, unsigned *ret_port)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t n = sizeof(address);
    int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, n), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &n), 0);
    *ret_port = ntohs(address.sin_port);
    return fd;
}

static void
on_dialled(int fd, const struct amy_error *err, void *user)
{
    struct dialled *dialled = user;

    dialled->times++;
    dialled->fd = fd;
    if (err != NULL) {
        dialled->err = *err;
    }
}

static void
wait_for(const struct dialled *dialled)
{
    while (dialled->times == 0) {
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
    }
    (void)event_base_loop(base, EVLOOP_NONBLOCK); /* maybe nothing is left */
    assert_int_equal(dialled->times, 1);
}

static struct amy__dial *
start(const struct amy__dial_options *opts, struct dialled *dialled)
{
    struct amy__dial *dial = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__dial_start(opts, on_dialled, dialled, &dial, &err) < 0) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(dialled->times, 0);
    return dial;
}

/* --- a name server that answers "no such name", or nothing --- */

static char resolv_conf[64];

static void
write_resolv_conf(unsigned port)
{
    int fd = -1;

    (void)snprintf(resolv_conf, sizeof(resolv_conf), "/tmp/amy-resolv-XXXXXX");
    fd = mkstemp(resolv_conf);
    assert_true(fd >= 0);
    assert_true(dprintf(fd, "nameserver 127.0.0.1:%u\n", port) > 0);
    close(fd);
}

_Noreturn static void
deny_all(int fd)
{
    unsigned char packet[512];
    struct sockaddr_in from;
    socklen_t n = sizeof(from);

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    for (;;) {
        ssize_t got = recvfrom(fd, packet, sizeof(packet), 0,
                               (struct sockaddr *)&from, &n);

        if (got > 12) { /* RFC 1035 4.1.1: a response, NXDOMAIN */
            packet[2] = 0x81;
            packet[3] = 0x83;
            (void)sendto(fd, packet, (size_t)got, 0, (struct sockaddr *)&from,
                         n);
        }
    }
}

/* --- tests --- */

static void
test_dial_name_of_the_hosts_file(void **state)
{
    struct amy__dial_options opts = {
        .base = base, .host = "localhost", .timeout_ms = PLENTY_MS};
    struct dialled dialled = {0};
    unsigned port = 0;
    int listener = bind_loopback(SOCK_STREAM, &port);

    (void)state;
    assert_int_equal(listen(listener, 1), 0);
    opts.base = base;
    opts.port = (uint16_t)port;
    (void)start(&opts, &dialled);
    wait_for(&dialled);
    if (dialled.fd < 0) {
        fail_msg("%s", dialled.err.msg);
    }
    assert_true((fcntl(dialled.fd, F_GETFL) & O_NONBLOCK) != 0);
    assert_true((fcntl(dialled.fd, F_GETFD) & FD_CLOEXEC) != 0);
    close(dialled.fd);
    close(listener);
}

static void
test_dial_refused_is_told(void **state)
{
    struct amy__dial_options opts = {.host = "127.0.0.1",
                                     .timeout_ms = PLENTY_MS};
    struct dialled dialled = {0};
    unsigned port = 0;
    int bound = bind_loopback(SOCK_STREAM, &port); /* and listens not */

    (void)state;
    opts.base = base;
    opts.port = (uint16_t)port;
    (void)start(&opts, &dialled);
    wait_for(&dialled);
    assert_int_equal(dialled.fd, -1);
    assert_int_equal(dialled.err.code, AMY_ECONN);
    close(bound);
}

static void
test_dial_no_such_name_is_told(void **state)
{
    struct amy__dial_options opts = {.host = "nobody.test",
                                     .port = 1,
                                     .timeout_ms = PLENTY_MS,
                                     .resolv_conf = resolv_conf};
    struct dialled dialled = {0};
    unsigned port = 0;
    int fd = bind_loopback(SOCK_DGRAM, &port);
    pid_t child = fork();

    (void)state;
    if (child == 0) {
        deny_all(fd);
    }
    write_resolv_conf(port);
    opts.base = base;
    (void)start(&opts, &dialled);
    wait_for(&dialled);
    assert_int_equal(dialled.fd, -1);
    assert_int_equal(dialled.err.code, AMY_ENOTFOUND);
    assert_non_null(strstr(dialled.err.msg, "nobody.test"));
    assert_int_equal(kill(child, SIGKILL), 0);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close(fd);
    assert_int_equal(unlink(resolv_conf), 0);
}

static void
test_dial_canceled_while_no_name_server_answers(void **state)
{
    struct amy__dial_options opts = {.host = "silence.test",
                                     .port = 1,
                                     .timeout_ms = PLENTY_MS,
                                     .resolv_conf = resolv_conf};
    struct dialled dialled = {0};
    struct amy__dial *dial = NULL;
    unsigned port = 0;
    int fd = bind_loopback(SOCK_DGRAM, &port);
    int64_t begun_ms = amy__mono_ms(NULL);

    (void)state;
    write_resolv_conf(port);
    opts.base = base;
    dial = start(&opts, &dialled);
    assert_string_equal(amy__dial_stage(dial), "looking up the name");
    assert_int_equal(event_base_loop(base, EVLOOP_NONBLOCK), 0);
    amy__dial_cancel(dial);
    (void)event_base_loop(base, EVLOOP_NONBLOCK);
    assert_int_equal(dialled.times, 0);
    assert_true(amy__mono_ms(NULL) - begun_ms < 5000);
    close(fd);
    assert_int_equal(unlink(resolv_conf), 0);
}

static void
test_dial_no_such_path_is_told(void **state)
{
    struct amy__dial_options opts = {.path = "/nowhere/socket",
                                     .timeout_ms = PLENTY_MS};
    struct dialled dialled = {0};

    (void)state;
    opts.base = base;
    (void)start(&opts, &dialled);
    wait_for(&dialled);
    assert_int_equal(dialled.fd, -1);
    assert_int_equal(dialled.err.code, AMY_ENOTFOUND);
}

static int
set_up(void **state)
{
    (void)state;
    base = event_base_new();
    return base == NULL ? -1 : 0;
}

static int
tear_down(void **state)
{
    (void)state;
    event_base_free(base);
    return 0;
}

#define T(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        T(test_dial_name_of_the_hosts_file),
        T(test_dial_refused_is_told),
        T(test_dial_no_such_name_is_told),
        T(test_dial_canceled_while_no_name_server_answers),
        T(test_dial_no_such_path_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* The application of the benchmark: answers every request with 1 KiB, HTTP/1.1
 * with keep-alive, on a unix socket. One thread, epoll, no parsing beyond the
 * empty line: as cheap as an upstream can be. */
/* Not for anything but tests/bench: it reads no bodies and checks nothing. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define BODY_BYTES 1024
#define BATCH 16 /* most requests answered by one write */
#define MAX_FD 65536

static const char head[] = "HTTP/1.1 200 OK\r\n"
                           "Date: Mon, 23 Nov 2026 16:00:00 GMT\r\n"
                           "Content-Type: text/html; charset=utf-8\r\n"
                           "X-Frame-Options: DENY\r\n"
                           "Vary: Cookie\r\n"
                           "X-Content-Type-Options: nosniff\r\n"
                           "Referrer-Policy: same-origin\r\n"
                           "Content-Length: 1024\r\n\r\n";

static char answers[BATCH * (sizeof(head) + BODY_BYTES)];
static size_t answer_bytes;
/* How many bytes of "\r\n\r\n" each connection has seen at its end. */
static unsigned char seen[MAX_FD];

static void
prepare_answers(void)
{
    answer_bytes = sizeof(head) - 1 + BODY_BYTES;
    for (size_t i = 0; i < BATCH; i++) {
        char *at = answers + i * answer_bytes;

        memcpy(at, head, sizeof(head) - 1);
        memset(at + sizeof(head) - 1, 'x', BODY_BYTES);
    }
}

/* Count the ends of heads in what was just read. */
static size_t
count_requests(int fd, const char *p, size_t n)
{
    static const char end[] = "\r\n\r\n";
    unsigned at = seen[fd];
    size_t found = 0;

    for (size_t i = 0; i < n; i++) {
        if (p[i] == end[at]) {
            at++;
        } else {
            at = p[i] == '\r' ? 1 : 0;
        }
        if (at == 4) {
            found++;
            at = 0;
        }
    }
    seen[fd] = (unsigned char)at;
    return found;
}

static void
serve(int fd)
{
    static char in[65536];
    ssize_t n = read(fd, in, sizeof(in));
    size_t requests = 0;

    if (n <= 0) {
        if (n < 0 && errno == EAGAIN) {
            return;
        }
        (void)close(fd);
        return;
    }
    requests = count_requests(fd, in, (size_t)n);
    while (requests > 0) {
        size_t now = requests < BATCH ? requests : BATCH;

        if (write(fd, answers, now * answer_bytes) < 0) {
            (void)close(fd);
            return;
        }
        requests -= now;
    }
}

static int
listen_at(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0 || strlen(path) >= sizeof(sa.sun_path)) {
        return -1;
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    (void)unlink(path);
    if (bind(fd, (struct sockaddr *)&sa, sizeof(sa)) != 0 ||
        listen(fd, 4096) != 0) {
        return -1;
    }
    return fd;
}

static void
accept_all(int epoll_fd, int listen_fd)
{
    for (;;) {
        struct epoll_event event = {.events = EPOLLIN};
        int fd = accept4(listen_fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

        if (fd < 0) {
            return;
        }
        if (fd >= MAX_FD) {
            (void)close(fd);
            continue;
        }
        seen[fd] = 0;
        event.data.fd = fd;
        (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
    }
}

int
main(int argc, char **argv)
{
    struct epoll_event events[512];
    struct epoll_event event = {.events = EPOLLIN};
    int epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    int listen_fd = argc == 2 ? listen_at(argv[1]) : -1;

    if (epoll_fd < 0 || listen_fd < 0) {
        (void)fprintf(stderr, "usage: bench_backend SOCKET\n");
        return 1;
    }
    (void)signal(SIGPIPE, SIG_IGN);
    prepare_answers();
    event.data.fd = listen_fd;
    (void)epoll_ctl(epoll_fd, EPOLL_CTL_ADD, listen_fd, &event);
    for (;;) {
        int n = epoll_wait(epoll_fd, events, 512, -1);

        for (int i = 0; i < n; i++) {
            if (events[i].data.fd == listen_fd) {
                accept_all(epoll_fd, listen_fd);
            } else {
                serve(events[i].data.fd);
            }
        }
    }
}

/* A load generator for the system tests and tests/bench: sends requests, never
 * retries, and says of every request what became of it and how long it took. */
/* Not for the highest rates: it hashes every body and is in no hurry. */
/* A closed loop (each connection sends when it was answered) slows down with
 * the server, and so measures few of the requests that would have waited. With
 * --rate requests come when they come, as visitors do; each is timed from when
 * it was due, whether or not a connection was to be had. */
#include "latency.h"

#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <math.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS_MAX 1024
#define PATHS_MAX 16
#define DUE_MAX 65536 /* requests that wait for a connection */
#define HEAD_MAX 16384
#define BODIES_MAX 64
#define STATUS_MAX 600
#define LOOK_US 20000 /* how often connections are looked after */

enum failure {
    FAIL_CONNECT, /* nobody accepted */
    FAIL_RESET,   /* RST while a request was under way */
    FAIL_CLOSED,  /* closed before the first byte of the answer */
    FAIL_TORN,    /* closed in the middle of an answer */
    FAIL_BAD,     /* not an answer of HTTP/1.1 */
    FAIL_TIMEOUT,
    FAIL_KINDS
};
static const char *const failure_names[FAIL_KINDS] = {
    "connect", "reset", "closed", "torn", "bad", "timeout"};

enum phase {
    PHASE_HEAD,
    PHASE_BODY,
    PHASE_CHUNK_SIZE,
    PHASE_CHUNK,
    PHASE_CRLF
};

struct connection {
    int fd;
    bool connecting;
    bool busy;       /* a request is under way */
    bool last;       /* the server said it will close after this answer */
    bool last_chunk; /* only the empty line behind it is missing */
    enum phase phase;
    char head[HEAD_MAX];
    size_t head_bytes;
    unsigned status;
    uint64_t left; /* of the body, or of the chunk */
    uint64_t hash;
    int64_t due_us; /* when the request was to be sent, or we connected */
    size_t path;    /* the next one in turn */
    size_t asked;   /* the one under way */
};

/* How often one body came with one status. */
struct body_count {
    unsigned status;
    uint64_t hash;
    uint64_t count;
};

/* Requests for one path: "/page", or "POST /page" for some with a body, which a
 * server may not send twice. */
struct path {
    const char *text;
    unsigned weight;
    struct latency latency;
};

static struct {
    struct sockaddr_in address;
    const char *host;
    struct path paths[PATHS_MAX];
    size_t path_count;
    unsigned weights; /* of all; 0: in turn */
    uint64_t random;
    double rate; /* requests a second; 0: a closed loop */
    int64_t next_us;
    int64_t due_us[DUE_MAX]; /* a ring */
    size_t due_at;
    size_t due_count;
    size_t connections;
    int64_t seconds;
    int64_t timeout_us;
    int epoll_fd;
    bool stopping;
    uint64_t sent;
    uint64_t answered;
    uint64_t by_status[STATUS_MAX];
    uint64_t failed[FAIL_KINDS];
    struct body_count bodies[BODIES_MAX];
    size_t body_kinds;
    int64_t slowest_us;
    uint64_t late; /* found no connection free when they were due */
} load;

static struct connection connections[CONNECTIONS_MAX];
static volatile sig_atomic_t asked_to_stop;

static void
on_signal(int sig)
{
    (void)sig;
    asked_to_stop = 1;
}

static int64_t
now_us(void)
{
    struct timespec ts = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

/* xorshift64*: the same requests in the same order for the same seed. */
static uint64_t
random_bits(void)
{
    load.random ^= load.random >> 12;
    load.random ^= load.random << 25;
    load.random ^= load.random >> 27;
    return load.random * 2685821657736338717U;
}

/* Between arrivals of those who do not know of each other: exponential. */
static int64_t
random_gap_us(void)
{
    double u = (double)(random_bits() >> 11) * 0x1p-53;

    return (int64_t)(-log(1.0 - u) * 1e6 / load.rate);
}

static size_t
choose_path(struct connection *c)
{
    unsigned left = 0;
    size_t path = c->path;

    if (load.weights == 0) {
        c->path = (c->path + 1) % load.path_count;
        return path;
    }
    left = (unsigned)(random_bits() >> 33) % load.weights;
    for (path = 0; left >= load.paths[path].weight; path++) {
        left -= load.paths[path].weight;
    }
    return path;
}

static void
count_body(unsigned status, uint64_t hash)
{
    for (size_t i = 0; i < load.body_kinds; i++) {
        if (load.bodies[i].status == status && load.bodies[i].hash == hash) {
            load.bodies[i].count++;
            return;
        }
    }
    if (load.body_kinds < BODIES_MAX) {
        load.bodies[load.body_kinds++] = (struct body_count){status, hash, 1};
    }
}

static void
disconnect(struct connection *c)
{
    if (c->fd >= 0) {
        (void)close(c->fd);
    }
    c->fd = -1;
    c->busy = false;
    c->connecting = false;
}

static void
fail(struct connection *c, enum failure kind)
{
    load.failed[kind]++;
    disconnect(c);
}

static void
send_request(struct connection *c, int64_t due_us)
{
    char text[2048];
    const char *path = NULL;
    bool post = false;
    int n = 0;

    c->asked = choose_path(c);
    path = load.paths[c->asked].text;
    post = strncmp(path, "POST ", 5) == 0;
    n = snprintf(text, sizeof(text),
                 "%s%s HTTP/1.1\r\nHost: %s\r\nAccept: */*\r\n%s\r\n%s",
                 post ? "" : "GET ", path, load.host,
                 post ? "Content-Length: 12\r\n" : "",
                 post ? "name=visitor" : "");
    c->phase = PHASE_HEAD;
    c->head_bytes = 0;
    c->hash = 14695981039346656037U;
    c->busy = true;
    c->due_us = due_us;
    load.sent++;
    /* A request of this size always fits into an empty socket buffer. */
    if (send(c->fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
        fail(c, errno == ECONNRESET || errno == EPIPE ? FAIL_RESET : FAIL_BAD);
    }
}

static void
connect_again(struct connection *c)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT, .data.ptr = c};

    c->fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    c->last = false;
    if (c->fd < 0 || (connect(c->fd, (struct sockaddr *)&load.address,
                              sizeof(load.address)) != 0 &&
                      errno != EINPROGRESS)) {
        fail(c, FAIL_CONNECT);
        return;
    }
    c->connecting = true;
    c->due_us = now_us();
    (void)epoll_ctl(load.epoll_fd, EPOLL_CTL_ADD, c->fd, &event);
}

/* A connection has nothing to do: what is due, or in a closed loop at once the
 * next. */
static void
go_on(struct connection *c)
{
    if (load.rate <= 0) {
        send_request(c, now_us());
    } else if (load.due_count > 0) {
        int64_t due_us = load.due_us[load.due_at];

        load.due_at = (load.due_at + 1) % DUE_MAX;
        load.due_count--;
        send_request(c, due_us);
    }
}

static void
answered(struct connection *c)
{
    int64_t took_us = now_us() - c->due_us;

    load.answered++;
    load.by_status[c->status]++;
    count_body(c->status, c->hash);
    latency_add(&load.paths[c->asked].latency, (uint64_t)took_us);
    if (took_us > load.slowest_us) {
        load.slowest_us = took_us;
    }
    c->busy = false;
    if (c->last || (load.stopping && load.due_count == 0)) {
        disconnect(c);
        return;
    }
    go_on(c);
}

/* Value of a field of the head, or NULL. Names are sent as we spell them by all
 * servers we test, but for case. */
static const char *
field(const char *head, const char *name)
{
    size_t n = strlen(name);

    for (const char *line = strstr(head, "\r\n"); line != NULL;
         line = strstr(line + 2, "\r\n")) {
        if (strncasecmp(line + 2, name, n) == 0 && line[2 + n] == ':') {
            const char *value = line + 3 + n;

            return value + strspn(value, " ");
        }
    }
    return NULL;
}

/* The head is whole: what follows it? False when it makes no sense. */
static bool
begin_body(struct connection *c)
{
    const char *length = field(c->head, "Content-Length");
    const char *coding = field(c->head, "Transfer-Encoding");
    const char *connection = field(c->head, "Connection");
    unsigned long status = 0;

    if (strncmp(c->head, "HTTP/1.1 ", 9) != 0) {
        return false;
    }
    status = strtoul(c->head + 9, NULL, 10);
    if (status < 200 || status >= STATUS_MAX) {
        return false;
    }
    c->status = (unsigned)status;
    c->last = connection != NULL && strncasecmp(connection, "close", 5) == 0;
    if (coding != NULL) {
        c->phase = PHASE_CHUNK_SIZE;
        c->last_chunk = false;
        c->head_bytes = 0;
        return true;
    }
    if (length == NULL && status != 204 && status != 304) {
        return false;
    }
    c->left = length != NULL ? strtoull(length, NULL, 10) : 0;
    c->phase = PHASE_BODY;
    return true;
}

static void
hash_bytes(struct connection *c, const char *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        c->hash = (c->hash ^ (unsigned char)p[i]) * 1099511628211U;
    }
}

/* Collect up to an end mark in c->head; bytes taken, c->head NUL-terminated.
 * *ret_whole tells whether the mark was seen. */
static size_t
collect(struct connection *c, const char *p, size_t n, const char *mark,
        bool *ret_whole)
{
    size_t mark_bytes = strlen(mark);

    *ret_whole = false;
    for (size_t i = 0; i < n; i++) {
        if (c->head_bytes + 1 >= HEAD_MAX) {
            return n;
        }
        c->head[c->head_bytes++] = p[i];
        c->head[c->head_bytes] = '\0';
        if (c->head_bytes >= mark_bytes &&
            memcmp(c->head + c->head_bytes - mark_bytes, mark, mark_bytes) ==
                0) {
            *ret_whole = true;
            return i + 1;
        }
    }
    return n;
}

static size_t
take_chunk_line(struct connection *c, const char *p, size_t n, bool *ret_done)
{
    bool whole = false;
    size_t took = collect(c, p, n, "\r\n", &whole);

    if (whole && c->phase == PHASE_CHUNK_SIZE) {
        c->left = strtoull(c->head, NULL, 16);
        c->phase = c->left > 0 ? PHASE_CHUNK : PHASE_CRLF;
        c->head_bytes = 0;
        c->last_chunk = c->left == 0;
    } else if (whole) {
        *ret_done = c->last_chunk;
        c->phase = PHASE_CHUNK_SIZE;
        c->head_bytes = 0;
    }
    return took;
}

/* Take bytes of one answer; true when it is whole. *ret_took: how many. */
static bool
take(struct connection *c, const char *p, size_t n, size_t *ret_took)
{
    bool whole = false;
    bool done = false;

    switch (c->phase) {
    case PHASE_HEAD:
        *ret_took = collect(c, p, n, "\r\n\r\n", &whole);
        if (whole && !begin_body(c)) {
            fail(c, FAIL_BAD);
            return false;
        }
        return whole && c->phase == PHASE_BODY && c->left == 0;
    case PHASE_BODY:
    case PHASE_CHUNK:
        *ret_took = n < c->left ? n : (size_t)c->left;
        hash_bytes(c, p, *ret_took);
        c->left -= *ret_took;
        if (c->left == 0 && c->phase == PHASE_CHUNK) {
            c->phase = PHASE_CRLF;
            c->head_bytes = 0;
            return false;
        }
        return c->left == 0;
    case PHASE_CHUNK_SIZE:
    case PHASE_CRLF:
        *ret_took = take_chunk_line(c, p, n, &done);
        return done;
    }
    return false;
}

static void
on_readable(struct connection *c)
{
    static char in[65536];
    ssize_t n = recv(c->fd, in, sizeof(in), 0);
    size_t at = 0;

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        if (!c->busy) {
            disconnect(c);
        } else if (n < 0) {
            fail(c, FAIL_RESET);
        } else {
            fail(c, c->phase == PHASE_HEAD && c->head_bytes == 0 ? FAIL_CLOSED
                                                                 : FAIL_TORN);
        }
        return;
    }
    while (at < (size_t)n && c->fd >= 0) {
        size_t took = 0;

        if (!c->busy) {
            fail(c, FAIL_BAD); /* bytes that nobody asked for */
            return;
        }
        if (take(c, in + at, (size_t)n - at, &took)) {
            answered(c);
        }
        at += took;
    }
}

static void
on_event(struct connection *c)
{
    if (c->fd < 0) {
        return;
    }
    if (c->connecting) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        int problem = 0;
        socklen_t size = sizeof(problem);

        (void)getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &problem, &size);
        if (problem != 0) {
            fail(c, FAIL_CONNECT);
            return;
        }
        c->connecting = false;
        (void)epoll_ctl(load.epoll_fd, EPOLL_CTL_MOD, c->fd, &event);
        go_on(c);
        return;
    }
    on_readable(c);
}

/* In an open loop a connection is made for each request that has none, as
 * browsers make them. */
static bool
wants_connection(size_t connecting)
{
    return load.rate <= 0 ? !load.stopping : load.due_count > connecting;
}

static bool
is_free(const struct connection *c)
{
    return c->fd >= 0 && !c->connecting && !c->busy;
}

/* What has become due by now goes to a free connection, or waits for one. */
static void
let_arrive(int64_t now)
{
    while (load.rate > 0 && !load.stopping && load.next_us <= now) {
        struct connection *c = NULL;

        if (load.due_count == DUE_MAX) {
            asked_to_stop = 1; /* the server is lost; so are our figures */
            return;
        }
        load.due_us[(load.due_at + load.due_count) % DUE_MAX] = load.next_us;
        load.due_count++;
        load.next_us += random_gap_us();
        for (size_t i = 0; i < load.connections && c == NULL; i++) {
            c = is_free(&connections[i]) ? &connections[i] : NULL;
        }
        if (c == NULL) {
            load.late++;
        } else {
            go_on(c);
        }
    }
}

/* Connect what is not connected; give up on what takes too long. Returns how
 * many requests are under way. */
static size_t
look_after_all(void)
{
    size_t busy = 0;
    size_t connecting = 0;

    for (size_t i = 0; i < load.connections; i++) {
        connecting += connections[i].connecting ? 1U : 0U;
    }
    for (size_t i = 0; i < load.connections; i++) {
        struct connection *c = &connections[i];

        if (c->fd >= 0 && (c->busy || c->connecting) &&
            now_us() - c->due_us > load.timeout_us) {
            fail(c, FAIL_TIMEOUT);
        }
        if (c->fd < 0 && wants_connection(connecting)) {
            connect_again(c);
            connecting++;
        }
        busy += c->fd >= 0 && (c->busy || c->connecting) ? 1U : 0U;
    }
    return busy;
}

/* Until the next arrival, and not longer than 20 ms. */
static int64_t
wait_us(int64_t now)
{
    int64_t left = load.rate > 0 ? load.next_us - now : LOOK_US;

    if (load.stopping || left > LOOK_US) {
        return LOOK_US;
    }
    return left < 0 ? 0 : left;
}

static void
run(void)
{
    int64_t end_us = now_us() + load.seconds * 1000000;

    load.next_us = now_us();
    for (;;) {
        struct epoll_event events[256];
        struct timespec patience = {0};
        int64_t now = now_us();
        int n = 0;

        load.stopping = asked_to_stop != 0 || now >= end_us;
        let_arrive(now);
        if (look_after_all() == 0 && load.stopping && load.due_count == 0) {
            return;
        }
        patience.tv_nsec = wait_us(now_us()) * 1000;
        n = epoll_pwait2(load.epoll_fd, events, 256, &patience, NULL);
        for (int i = 0; i < n; i++) {
            on_event(events[i].data.ptr);
        }
    }
}

static void
report_paths(void)
{
    for (size_t i = 0; i < load.path_count; i++) {
        const struct latency *latency = &load.paths[i].latency;

        (void)printf("%s{\"path\": \"%s\", \"answered\": %" PRIu64
                     ", \"p50_us\": %" PRIu64 ", \"p90_us\": %" PRIu64
                     ", \"p99_us\": %" PRIu64 ", \"p999_us\": %" PRIu64
                     ", \"max_us\": %" PRIu64 "}",
                     i > 0 ? ", " : "", load.paths[i].text, latency->count,
                     latency_at(latency, 0.5), latency_at(latency, 0.9),
                     latency_at(latency, 0.99), latency_at(latency, 0.999),
                     latency->max_us);
    }
}

static void
report(void)
{
    const char *comma = "";

    (void)printf("{\"sent\": %" PRIu64 ", \"answered\": %" PRIu64
                 ", \"slowest_ms\": %" PRId64 ", \"late\": %" PRIu64
                 ", \"by_status\": {",
                 load.sent, load.answered, load.slowest_us / 1000, load.late);
    for (size_t i = 0; i < STATUS_MAX; i++) {
        if (load.by_status[i] > 0) {
            (void)printf("%s\"%zu\": %" PRIu64, comma, i, load.by_status[i]);
            comma = ", ";
        }
    }
    (void)printf("}, \"failed\": {");
    comma = "";
    for (size_t i = 0; i < FAIL_KINDS; i++) {
        if (load.failed[i] > 0) {
            (void)printf("%s\"%s\": %" PRIu64, comma, failure_names[i],
                         load.failed[i]);
            comma = ", ";
        }
    }
    (void)printf("}, \"bodies\": [");
    comma = "";
    for (size_t i = 0; i < load.body_kinds; i++) {
        (void)printf("%s{\"status\": %u, \"fnv1a\": \"%016" PRIx64
                     "\", \"count\": %" PRIu64 "}",
                     comma, load.bodies[i].status, load.bodies[i].hash,
                     load.bodies[i].count);
        comma = ", ";
    }
    (void)printf("], \"paths\": [");
    report_paths();
    (void)printf("]}\n");
}

static int
usage(void)
{
    (void)fprintf(stderr,
                  "usage: amy_load [--rate R] [--seed N] PORT HOST CONNECTIONS "
                  "SECONDS PATH...\n"
                  "Loads 127.0.0.1:PORT until SECONDS are over or SIGTERM or "
                  "SIGINT comes,\nlets what is under way finish, and prints "
                  "what became of each request as JSON.\n"
                  "Every connection sends as soon as it was answered, or with "
                  "--rate R\nR requests are sent a second, at random moments, "
                  "over CONNECTIONS at most.\n"
                  "Paths are asked for in turn, or at random by weight: "
                  "95*/fast 5*/slow.\n");
    return 2;
}

static void
read_path(const char *text)
{
    struct path *path = &load.paths[load.path_count++];
    char *end = NULL;

    path->text = text;
    if (text[0] != '/') {
        path->weight = (unsigned)strtoul(text, &end, 10);
        path->text = *end == '*' ? end + 1 : end;
        load.weights += path->weight;
    }
}

/* How many arguments were options, or -1. */
static int
read_options(int argc, char **argv)
{
    static const struct option options[] = {
        {"rate", required_argument, NULL, 'r'},
        {"seed", required_argument, NULL, 's'},
        {NULL, 0, NULL, 0},
    };
    int c = 0;

    load.random = 1;
    while ((void)(c = getopt_long(argc, argv, "+", options, NULL)), c != -1) {
        if (c == 'r') {
            load.rate = strtod(optarg, NULL);
        } else if (c == 's') {
            load.random = strtoull(optarg, NULL, 10) * 2 + 1;
        } else {
            return -1;
        }
    }
    return optind - 1;
}

int
main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_signal};
    int options = read_options(argc, argv);

    if (options < 0) {
        return usage();
    }
    argc -= options;
    argv += options;
    if (argc < 6 || argc - 5 > PATHS_MAX) {
        return usage();
    }
    load.address.sin_family = AF_INET;
    load.address.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
    load.address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    load.host = argv[2];
    load.connections = strtoul(argv[3], NULL, 10);
    load.seconds = strtoll(argv[4], NULL, 10);
    load.timeout_us = 60000000;
    for (int i = 5; i < argc; i++) {
        read_path(argv[i]);
    }
    if (load.connections == 0 || load.connections > CONNECTIONS_MAX) {
        return usage();
    }
    (void)sigaction(SIGTERM, &action, NULL);
    (void)sigaction(SIGINT, &action, NULL);
    load.epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    for (size_t i = 0; i < load.connections; i++) {
        connections[i].fd = -1;
        connections[i].path = i % load.path_count;
    }
    run();
    report();
    return 0;
}

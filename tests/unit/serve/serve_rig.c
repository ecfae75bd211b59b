#include "serve_rig.h"

#include "amy_test.h"

#include "core/alloc.h"
#include "core/clock.h"

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static char big[1 << 20];

int64_t
rig_now_ms(void)
{
    return amy__mono_ms(NULL);
}

void
rig_reply(struct amy__exchange *x, unsigned status, const char *body)
{
    struct amy__answer_head head = {.status = status};

    amy__exchange_reply(x, &head, amy__span_of(body), false);
}

static bool
path_is(const struct amy__request_head *head, const char *path)
{
    return amy__span_eq(head->path, amy__span_of(path));
}

static uint64_t
number_behind(const struct amy__request_head *head, const char *prefix)
{
    uint64_t n = 0;
    struct amy__span rest = {head->path.p + strlen(prefix),
                             head->path.n - strlen(prefix)};

    assert_true(amy__parse_u64(rest, 1U << 30, &n));
    return n;
}

static void
pump(struct rig *rig)
{
    struct amy__exchange *x = rig->streaming;

    while (rig->stream_left > 0) {
        struct amy__span piece = {
            big, rig->stream_left < 60000 ? (size_t)rig->stream_left : 60000};

        rig->stream_left -= piece.n;
        if (amy__exchange_send(x, piece) == AMY_EAGAIN) {
            return;
        }
    }
    rig->streaming = NULL;
    amy__exchange_end(x);
}

static void
start_stream(struct rig *rig, struct amy__exchange *x, uint64_t n, bool chunked)
{
    struct amy__answer_head head = {.status = 200};

    head.body = chunked ? AMY__BODY_CHUNKED : AMY__BODY_LENGTH;
    head.content_length = chunked ? 0 : n;
    rig->streaming = x;
    rig->stream_left = n;
    assert_int_equal(amy__exchange_begin(x, &head), 0);
    pump(rig);
}

static void
send_file(struct amy__exchange *x, uint64_t n)
{
    struct amy__answer_head head = {.status = 200};
    char name[] = "/tmp/amy-rig-XXXXXX";
    int fd = mkstemp(name);

    assert_true(fd >= 0);
    (void)unlink(name);
    for (uint64_t left = n; left > 0;) {
        size_t piece = left < sizeof(big) ? (size_t)left : sizeof(big);

        assert_int_equal(write(fd, big, piece), (ssize_t)piece);
        left -= piece;
    }
    head.body = AMY__BODY_LENGTH;
    head.content_length = n;
    assert_int_equal(amy__exchange_begin(x, &head), 0);
    amy__exchange_send_file(x, fd, 0, n);
}

static void
send_big(struct amy__exchange *x, uint64_t n)
{
    struct amy__answer_head head = {.status = 200};

    assert_true(n <= sizeof(big));
    amy__exchange_reply(x, &head, (struct amy__span){big, (size_t)n}, true);
}

int
rig_upgrade(struct rig *rig, struct amy__exchange *x)
{
    struct amy__answer_head head = {.status = 200};
    int rc = amy__exchange_upgrade(x, &head);

    if (rc == 0) {
        rig->tunnel = x;
        rig->waiting = NULL;
    }
    return rc;
}

static void
on_tunnel(struct amy__exchange *x, struct amy__span data, void *user)
{
    struct rig *rig = user;

    rig->tunnel_bytes += data.n;
    if (rig->tunnel_holds ||
        (!rig->tunnel_silent && amy__exchange_send(x, data) == AMY_EAGAIN)) {
        amy__exchange_hold(x, true);
    }
}

static void
on_tunnel_end(struct amy__exchange *x, void *user)
{
    struct rig *rig = user;

    rig->tunnel_ends++;
    if (!rig->tunnel_stays) {
        amy__exchange_end(x);
    }
}

static void
on_request(struct amy__exchange *x, const struct amy__request_head *head,
           void *user)
{
    struct rig *rig = user;

    rig->requests++;
    if (path_is(head, "/upload")) {
        if (amy__exchange_want_body(x, 0) < 0) {
            rig_reply(x, 413, "too much\n");
        }
    } else if (path_is(head, "/allowed")) {
        amy__exchange_limit_body(x, 1000000);
        rig_reply(x, 200, "hello\n");
    } else if (path_is(head, "/wait")) {
        rig->waiting = x;
    } else if (head->upgrade_websocket) {
        assert_int_equal(rig_upgrade(rig, x), 0);
    } else if (path_is(head, "/abort")) {
        amy__exchange_abort(x);
    } else if (amy__span_starts(head->path, AMY_SPAN("/big/"))) {
        send_big(x, number_behind(head, "/big/"));
    } else if (amy__span_starts(head->path, AMY_SPAN("/stream/"))) {
        start_stream(rig, x, number_behind(head, "/stream/"), false);
    } else if (amy__span_starts(head->path, AMY_SPAN("/chunks/"))) {
        start_stream(rig, x, number_behind(head, "/chunks/"), true);
    } else if (amy__span_starts(head->path, AMY_SPAN("/file/"))) {
        send_file(x, number_behind(head, "/file/"));
    } else {
        rig_reply(x, 200, "hello\n");
    }
}

static void
on_body(struct amy__exchange *x, void *user)
{
    struct rig *rig = user;
    struct amy__body body;

    amy__exchange_body(x, &body);
    rig->bodies++;
    rig->last_body = body.n;
    rig->last_body_in_file = body.fd >= 0;
    rig_reply(x, 200, "taken\n");
}

static void
on_room(struct amy__exchange *x, void *user)
{
    struct rig *rig = user;

    if (x == rig->tunnel) {
        amy__exchange_hold(x, false);
        return;
    }
    assert_ptr_equal(x, rig->streaming);
    pump(rig);
}

static void
on_gone(struct amy__exchange *x, void *user)
{
    struct rig *rig = user;

    rig->gone++;
    if (x == rig->streaming) {
        rig->streaming = NULL;
        rig->stream_left = 0;
    }
    if (x != rig->waiting) {
        amy__exchange_abort(x);
    }
}

static void
on_done(struct amy__exchange *x, void *user)
{
    struct rig *rig = user;

    rig->done++;
    rig->complete += amy__exchange_complete(x) ? 1 : 0;
    rig->last_status = amy__exchange_status(x);
    if (x == rig->waiting) {
        rig->waiting = NULL;
    }
    if (x == rig->tunnel) {
        rig->tunnel = NULL;
    }
}

static void
on_refused(const struct amy__address *peer, unsigned status, const char *reason,
           void *user)
{
    struct rig *rig = user;

    (void)peer;
    assert_non_null(reason);
    rig->refused++;
    rig->last_refused = status;
}

static const struct amy__server_handler handler = {
    .on_request = on_request,
    .on_body = on_body,
    .on_room = on_room,
    .on_gone = on_gone,
    .on_tunnel = on_tunnel,
    .on_tunnel_end = on_tunnel_end,
    .on_done = on_done,
    .on_refused = on_refused,
};

static int
listen_unix(struct rig *rig)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    char dir[] = "/tmp/amy-rig-XXXXXX";
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

    assert_non_null(mkdtemp(dir));
    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s/s", dir);
    rig->unix_path = amy__strdup(sa.sun_path);
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
    assert_int_equal(listen(fd, 128), 0);
    return fd;
}

static void
start(struct rig *rig, const struct amy__server_limits *limits,
      struct amy__server_options *opts)
{
    memset(rig, 0, sizeof(*rig));
    memset(big, 'a', sizeof(big));
    rig->base = event_base_new();
    rig->spool_fd = open("/tmp", O_DIRECTORY | O_CLOEXEC);
    opts->base = rig->base;
    opts->borrow_handler = &handler;
    opts->user = rig;
    if (opts->borrow_spool_dir_fd == 0) {
        opts->borrow_spool_dir_fd = rig->spool_fd;
    }
    if (limits != NULL) {
        opts->limits = *limits;
    }
    assert_int_equal(amy__server_create(opts, &rig->server, NULL), 0);
    rig->listen_fd = listen_unix(rig);
    assert_int_equal(
        amy__server_listen(rig->server, rig->listen_fd, NULL, 7, NULL), 0);
}

void
rig_start(struct rig *rig, const struct amy__server_limits *limits)
{
    struct amy__server_options opts = {0};

    start(rig, limits, &opts);
}

void
rig_start_with_clock(struct rig *rig, const struct amy__server_limits *limits,
                     const struct amy_clock *borrow_clock)
{
    struct amy__server_options opts = {.borrow_clock = borrow_clock};

    start(rig, limits, &opts);
}

void
rig_start_without_spool(struct rig *rig,
                        const struct amy__server_limits *limits)
{
    struct amy__server_options opts = {.borrow_spool_dir_fd = -1};

    start(rig, limits, &opts);
}

void
rig_stop(struct rig *rig)
{
    amy__server_free(rig->server);
    assert_int_equal(rig->done, rig->requests);
    event_base_free(rig->base);
    (void)close(rig->spool_fd);
    (void)unlink(rig->unix_path);
    *strrchr(rig->unix_path, '/') = '\0';
    (void)rmdir(rig->unix_path);
    amy__free(rig->unix_path);
}

void
rig_turn(struct rig *rig)
{
    struct timeval most = {0, 5000};

    (void)event_base_loopexit(rig->base, &most);
    (void)event_base_loop(rig->base, EVLOOP_ONCE);
}

void
rig_client_open(struct rig *rig, struct rig_client *client)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    *client = (struct rig_client){0};
    client->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)snprintf(sa.sun_path, sizeof(sa.sun_path), "%s", rig->unix_path);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&sa, sizeof(sa)),
                     0);
}

void
rig_client_close(struct rig_client *client)
{
    if (client->fd >= 0) {
        (void)close(client->fd);
    }
    client->fd = -1;
    free(client->data);
    client->data = NULL;
}

void
rig_client_send(struct rig_client *client, const char *text)
{
    size_t n = strlen(text);

    assert_int_equal(send(client->fd, text, n, MSG_NOSIGNAL), (ssize_t)n);
}

void
rig_client_poll(struct rig_client *client)
{
    while (!client->closed) {
        ssize_t n = 0;

        if (client->cap - client->n < 65536) {
            client->cap += 1U << 20;
            client->data = realloc(client->data, client->cap);
            assert_non_null(client->data);
        }
        n = recv(client->fd, client->data + client->n,
                 client->cap - client->n - 1, 0);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            break;
        }
        client->closed = n <= 0;
        client->reset = n < 0;
        client->n += n > 0 ? (size_t)n : 0;
    }
    client->data[client->n] = '\0';
}

size_t
rig_client_count(struct rig_client *client, const char *text)
{
    size_t found = 0;
    const char *at = NULL;

    rig_client_poll(client);
    at = strstr(client->data, text);
    while (at != NULL) {
        found++;
        at = strstr(at + 1, text);
    }
    return found;
}

bool
rig_client_has(struct rig_client *client, const char *text)
{
    return rig_client_count(client, text) > 0;
}

bool
rig_client_closed(struct rig_client *client)
{
    rig_client_poll(client);
    return client->closed;
}

/* One connection to an upstream server: connecting, sending a request,
 * receiving its answer. */
/* Not for what becomes of the call: that is call.c. */
#include "core/check.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/loop.h"
#include "serve/client_internal.h"

#include <event2/event.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#define FILE_SLICE (512U * 1024U)
#define SPARE_MAX 16

void
amy__link_read(struct amy__link *link, bool want)
{
    if (want == link->reading) {
        return;
    }
    if (want) {
        link->reading = event_add(&link->read_event, NULL) == 0;
    } else {
        (void)event_del(&link->read_event);
        link->reading = false;
    }
}

static void
want_write(struct amy__link *link, bool want)
{
    if (want == link->writing) {
        return;
    }
    if (want) {
        link->writing = event_add(&link->write_event, NULL) == 0;
    } else {
        (void)event_del(&link->write_event);
        link->writing = false;
    }
}

void
amy__link_close(struct amy__link *link)
{
    struct amy__client *client = link->client;

    amy__link_read(link, false);
    want_write(link, false);
    if (link->fd >= 0) {
        (void)close(link->fd);
        link->fd = -1;
    }
    if (link->in_event) {
        link->doomed = true; /* its bytes are being read: the event ends it */
        return;
    }
    amy__blocks_give(&client->blocks, &link->held);
    link->held_n = 0;
    if (client->spare_count < SPARE_MAX) {
        TAILQ_INSERT_HEAD(&client->spare, link, link);
        client->spare_count++;
        return;
    }
    link->codec->ops->free(link->codec);
    amy__slab_give(&client->links, link);
}

struct amy__link *
amy__link_take_idle(struct amy__client *client)
{
    struct amy__link *link = TAILQ_FIRST(&client->idle);

    if (link != NULL) {
        TAILQ_REMOVE(&client->idle, link, link);
        client->idle_count--;
    }
    return link;
}

void
amy__link_done(struct amy__link *link)
{
    struct amy__client *client = link->client;
    const struct amy__call *call = link->call;
    bool sent = call->rest_at == call->rest_n && call->body_at == call->body.n;
    bool next = link->codec->ops->next(link->codec, link->id);

    link->call = NULL;
    if (!next || !link->keep || !sent || call->hung_up || link->held_n > 0 ||
        link->doomed || client->freed ||
        client->idle_count >= client->opts.idle_max) {
        amy__link_close(link);
        return;
    }
    link->reused = true;
    link->idle_since_ms = amy__mono_ms(client->opts.borrow_clock);
    amy__link_read(link, true);
    TAILQ_INSERT_HEAD(&client->idle, link, link);
    client->idle_count++;
    amy__client_tick_within(client, client->opts.idle_ms / 4);
}

/* ---- sending ---- */

/* Bytes sent; 0: the socket is full; -1: it is gone. */
static ssize_t
send_parts(struct amy__link *link, struct amy__span head, struct amy__span body,
           int flags)
{
    struct iovec parts[2] = {{(void *)(uintptr_t)head.p, head.n},
                             {(void *)(uintptr_t)body.p, body.n}};
    struct msghdr msg = {.msg_iov = parts, .msg_iovlen = 2};
    ssize_t n = 0;

    if (head.n == 0 || body.n == 0) {
        head = head.n == 0 ? body : head;
        n = send(link->fd, head.p, head.n, MSG_NOSIGNAL | flags);
    } else {
        n = sendmsg(link->fd, &msg, MSG_NOSIGNAL | flags);
    }
    if (n < 0 && (errno == EAGAIN || errno == EINTR || errno == ENOBUFS)) {
        return 0;
    }
    return n;
}

static int
send_file(struct amy__link *link, struct amy__call *call)
{
    uint64_t left = call->body.n - call->body_at;
    off_t at = (off_t)call->body_at;
    ssize_t n = sendfile(link->fd, call->body.fd, &at,
                         left < FILE_SLICE ? (size_t)left : FILE_SLICE);

    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return 0;
    }
    if (n <= 0) {
        return -1;
    }
    call->body_at += (uint64_t)n;
    call->sent += (uint64_t)n;
    return 0;
}

/* Send what is left of the head, given apart, and of the body. */
static int
send_some(struct amy__link *link, struct amy__call *call,
          struct amy__span *head)
{
    struct amy__span body = {0};
    uint64_t left = call->body.n - call->body_at;
    bool in_file = left > 0 && call->body.fd >= 0;
    ssize_t n = 0;

    if (left > 0 && !in_file) {
        body = (struct amy__span){call->body.p + call->body_at, (size_t)left};
    }
    if (head->n + body.n > 0) {
        n = send_parts(link, *head, body, in_file ? MSG_MORE : 0);
        if (n < 0) {
            return -1;
        }
        call->sent += (uint64_t)n;
        if ((size_t)n < head->n) {
            head->p += n;
            head->n -= (size_t)n;
            return 0;
        }
        call->body_at += (uint64_t)n - head->n;
        *head = (struct amy__span){0};
    }
    return in_file ? send_file(link, call) : 0;
}

static bool
all_sent(const struct amy__call *call)
{
    return call->rest_at == call->rest_n && call->body_at == call->body.n;
}

/* Has a tunnel's server said all, and got all that we say, or is not there to
 * get it? */
static bool
is_over(const struct amy__link *link)
{
    const struct amy__call *call = link->call;

    return call->in_over &&
           (link->write_over || (call->out_over && all_sent(call)));
}

/* To be told at the end of the turn. */
static void
end_if_over(struct amy__link *link)
{
    if (is_over(link)) {
        link->call->whole = true;
        amy__defer_ask(link->client->turn);
    }
}

/* The server will take no more, but may have answered before: listen. */
static void
stop_sending(struct amy__link *link)
{
    link->write_over = true;
    want_write(link, false);
}

static int
keep_rest(struct amy__call *call, struct amy__span head)
{
    if (head.n == 0) {
        return 0;
    }
    if (amy__blocks_grow(&call->client->blocks, &call->rest, 0, head.n) < 0) {
        return AMY_ENOMEM;
    }
    memcpy(call->rest.p, head.p, head.n);
    call->rest_n = head.n;
    return 0;
}

static int
encode(struct amy__link *link, struct amy__call *call, struct amy__buf *out)
{
    struct amy__codec *codec = link->codec;
    bool bare = call->body.n == 0;
    int rc = codec->ops->send_request(codec, &call->head, bare, &link->id, out);

    if (rc == 0 && !bare) {
        rc = codec->ops->pass_body(codec, link->id, call->body.n, true);
    }
    return rc;
}

int
amy__link_begin(struct amy__link *link, struct amy__call *call)
{
    struct amy__client *client = call->client;
    struct amy__span head = {0};

    link->call = call;
    call->on = link;
    link->heard = false;
    link->keep = false;
    link->ended = false;
    link->write_over = false;
    call->sent = 0;
    call->body_at = 0;
    call->rest_at = 0;
    call->rest_n = 0;
    client->out.len = 0;
    if (encode(link, call, &client->out) < 0) {
        amy__call_fail(call, AMY__CALL_BAD, "request cannot be written");
        return 0;
    }
    head = amy__buf_span(&client->out);
    if (!link->connecting && send_some(link, call, &head) < 0) {
        if (link->reused && call->sent == 0) {
            return -1;
        }
        stop_sending(link);
    }
    if (keep_rest(call, head) < 0) {
        amy__call_fail(call, AMY__CALL_CONNECT, "out of memory");
        return 0;
    }
    want_write(link,
               link->connecting || (!link->write_over && !all_sent(call)));
    return 0;
}

/* The server is told that no more comes; where it has said all too, that was
 * it. Else there is room again. */
static void
go_on_sending(struct amy__link *link)
{
    struct amy__call *call = link->call;

    if (call->out_over || is_over(link)) {
        amy__link_finish(link);
    } else if (!call->detached) {
        call->handler->on_room(call, call->user);
    }
}

static void
on_writable(int fd, short what, void *user)
{
    struct amy__link *link = user;
    struct amy__call *call = link->call;
    struct amy__client *client = link->client;
    struct amy__span head = {0};
    int failed = 0;
    socklen_t n = sizeof(failed);

    (void)what;
    amy__client_enter(client);
    if (link->connecting) {
        link->connecting = false;
        if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &failed, &n) != 0 ||
            failed != 0) {
            amy__call_fail(call, AMY__CALL_CONNECT, "connection refused");
            amy__client_leave(client);
            return;
        }
    }
    call->progress_ms = amy__mono_ms(client->opts.borrow_clock);
    if (call->rest_n > call->rest_at) {
        head = (struct amy__span){call->rest.p + call->rest_at,
                                  call->rest_n - call->rest_at};
    }
    if (send_some(link, call, &head) < 0) {
        stop_sending(link);
    }
    call->rest_at = call->rest_n - head.n;
    if (all_sent(call)) {
        want_write(link, false);
        amy__blocks_give(&client->blocks, &call->rest);
    }
    if (call->tunnel && (link->write_over || all_sent(call))) {
        go_on_sending(link);
    }
    amy__client_leave(client);
}

static int
keep_more(struct amy__call *call, struct amy__span data)
{
    size_t held = call->rest_n - call->rest_at;

    if (held > 0 && call->rest_at > 0) {
        memmove(call->rest.p, call->rest.p + call->rest_at, held);
    }
    call->rest_at = 0;
    call->rest_n = held;
    if (amy__blocks_grow(&call->client->blocks, &call->rest, held,
                         held + data.n) < 0) {
        return AMY_ENOMEM;
    }
    memcpy(call->rest.p + held, data.p, data.n);
    call->rest_n = held + data.n;
    return 0;
}

int
amy__link_send(struct amy__link *link, struct amy__span data)
{
    struct amy__call *call = link->call;
    int rc = 0;

    AMY_ASSERT(call->tunnel && !call->out_over);
    if (data.n == 0 || link->write_over) {
        return 0; /* it will end by itself */
    }
    rc = link->codec->ops->pass_body(link->codec, link->id, data.n, false);
    if (rc == 0 && all_sent(call)) {
        rc = send_some(link, call, &data);
    }
    if (rc == 0 && data.n > 0) {
        rc = keep_more(call, data);
    }
    if (rc < 0) {
        stop_sending(link);
        end_if_over(link);
        return 0;
    }
    want_write(link, data.n > 0);
    return data.n > 0 ? AMY_EAGAIN : 0;
}

/* ---- receiving ---- */

/* After bytes, or the end, were fed to the codec. */
static void
conclude(struct amy__link *link)
{
    struct amy__call *call = link->call;

    if (call != NULL && call->tunnel && !call->detached && !is_over(link)) {
        return; /* the other half goes on, until amy__link_finish() */
    }
    if (call != NULL && link->ended) {
        amy__link_done(link);
        call->on = NULL;
        call->handler->on_end(call, call->user);
        amy__call_over(call);
    }
}

static void
feed(struct amy__link *link, struct amy__span data)
{
    struct amy__client *client = link->client;
    struct amy__codec_fault fault = {0};
    int64_t n = 1;

    while (data.n > 0 && n > 0 && !link->ended && link->call != NULL) {
        n = link->codec->ops->feed(link->codec, data, &fault);
        if (n < 0) {
            if (link->call != NULL) {
                amy__call_fail(link->call,
                               link->call->answered ? AMY__CALL_CUT
                                                    : AMY__CALL_BAD,
                               fault.reason);
            }
            return;
        }
        data.p += n;
        data.n -= (size_t)n;
    }
    if (link->doomed) {
        return;
    }
    if (data.n > 0 && link->held_n > 0) {
        memmove(link->held.p, data.p, data.n);
    } else if (data.n > 0 && link->call != NULL) {
        if (amy__blocks_grow(&client->blocks, &link->held, 0, data.n) < 0) {
            amy__call_fail(link->call, AMY__CALL_CLOSED, "out of memory");
            return;
        }
        memcpy(link->held.p, data.p, data.n);
    } else {
        amy__blocks_give(&client->blocks, &link->held);
    }
    link->held_n = data.n;
}

static int
family_of(const struct amy__client *client)
{
    return client->unix_name != NULL ? AF_UNIX
                                     : client->opts.address.sa.ss_family;
}

/* On a unix socket ECONNRESET says that our bytes were still unread when the
 * other end was closed (unix(7); unix_release_sock() in the kernel): it was in
 * the backlog of a server that died, say. A request that has no body is read
 * at once, so none of it was. */
static bool
is_unread(const struct amy__link *link, ssize_t n)
{
    const struct amy__call *call = link->call;

    return n < 0 && errno == ECONNRESET && call != NULL && !link->heard &&
           call->body.n == 0 && family_of(link->client) == AF_UNIX;
}

static void
on_silence(struct amy__link *link, ssize_t n)
{
    struct amy__call *call = link->call;
    bool unread = is_unread(link, n);

    if (n == 0) {
        /* An answer until close ends here, with on_end from the codec. */
        link->keep = false;
        if (link->codec->ops->eof(link->codec) == 0 && link->ended) {
            return;
        }
    }
    if (link->call != call) {
        return;
    }
    if (unread) {
        amy__call_fail(call, AMY__CALL_CONNECT, "closed before it was read");
        return;
    }
    amy__call_lost(call, n == 0 ? "closed by the server" : "reset");
}

static void
receive(struct amy__link *link)
{
    struct amy__client *client = link->client;
    struct amy__span data = {client->scratch, 0};
    char *at = client->scratch;
    size_t room = AMY__CLIENT_READ_BYTES;
    ssize_t n = 0;

    if (link->held_n > 0) {
        if (amy__blocks_grow(&client->blocks, &link->held, link->held_n,
                             link->held_n + 1) < 0) {
            amy__call_fail(link->call, AMY__CALL_CLOSED, "out of memory");
            return;
        }
        at = link->held.p + link->held_n;
        room = link->held.cap - link->held_n;
        data.p = link->held.p;
    }
    n = recv(link->fd, at, room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0) {
        on_silence(link, n);
        return;
    }
    if (link->call->hung_up) {
        amy__call_fail(link->call, AMY__CALL_CUT, "nobody reads it");
        return;
    }
    link->heard = true;
    link->call->progress_ms = amy__mono_ms(client->opts.borrow_clock);
    data.n = link->held_n + (size_t)n;
    feed(link, data);
}

static void
on_readable(int fd, short what, void *user)
{
    struct amy__link *link = user;
    struct amy__client *client = link->client;

    (void)fd;
    (void)what;
    if (link->call == NULL) {
        /* Idle: it ended, or the server speaks out of turn. */
        TAILQ_REMOVE(&client->idle, link, link);
        client->idle_count--;
        amy__link_close(link);
        return;
    }
    if (link->connecting) {
        return; /* a failure shows as writable too, with its cause */
    }
    amy__client_enter(client);
    link->in_event = true;
    receive(link);
    link->in_event = false;
    if (link->doomed) {
        amy__link_close(link);
    } else {
        conclude(link);
    }
    amy__client_leave(client);
}

/* Who reads meanwhile sees the end of our bytes. Who writes is not stopped by
 * that: its next bytes end the connection, and its next write fails. */
void
amy__link_hang_up(struct amy__link *link)
{
    (void)shutdown(link->fd, SHUT_WR);
}

void
amy__link_finish(struct amy__link *link)
{
    struct amy__call *call = link->call;

    if (link->write_over || all_sent(call)) {
        (void)shutdown(link->fd, SHUT_WR);
    }
    end_if_over(link);
}

/* Of a unix socket poll(2) tells whether the other end is closed, or only its
 * sending side. No event does once that side is over. */
void
amy__link_look(struct amy__link *link)
{
    struct pollfd one = {.fd = link->fd, .events = POLLOUT};

    if (poll(&one, 1, 0) == 1 && (one.revents & (POLLHUP | POLLERR)) != 0) {
        stop_sending(link);
        end_if_over(link);
    }
}

/* ---- connecting ---- */

static enum amy__call_failure
connect_unix(struct amy__client *client, int fd)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int n = snprintf(sa.sun_path, sizeof(sa.sun_path), "/proc/self/fd/%d/%s",
                     client->opts.borrow_dir_fd, client->unix_name);

    if (n < 0 || (size_t)n >= sizeof(sa.sun_path)) {
        return AMY__CALL_CONNECT;
    }
    if (connect(fd, (const struct sockaddr *)&sa, sizeof(sa)) == 0) {
        return 0;
    }
    return errno == EAGAIN ? AMY__CALL_BUSY : AMY__CALL_CONNECT;
}

static enum amy__call_failure
connect_address(struct amy__client *client, struct amy__link *link)
{
    const struct amy__address *to = &client->opts.address;
    int on = 1;

    if (to->sa.ss_family != AF_UNIX) {
        (void)setsockopt(link->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    }
    if (connect(link->fd, (const struct sockaddr *)&to->sa, to->len) == 0) {
        return 0;
    }
    link->connecting = errno == EINPROGRESS;
    if (link->connecting) {
        return 0;
    }
    return errno == EAGAIN ? AMY__CALL_BUSY : AMY__CALL_CONNECT;
}

static struct amy__link *
take_struct(struct amy__client *client)
{
    struct amy__codec_limits limits = {.head_bytes =
                                           client->opts.answer_bytes_max};
    struct amy__link *link = TAILQ_FIRST(&client->spare);
    struct amy__codec *codec = NULL;

    if (link != NULL) {
        TAILQ_REMOVE(&client->spare, link, link);
        client->spare_count--;
        codec = link->codec;
        amy__h1_renew(codec, link);
    } else {
        link = amy__slab_take(&client->links);
        if (link == NULL) {
            return NULL;
        }
        if (amy__h1_client_create(&limits, &amy__client_events, link, &codec,
                                  NULL) < 0) {
            amy__slab_give(&client->links, link);
            return NULL;
        }
    }
    memset(link, 0, sizeof(*link));
    link->client = client;
    link->codec = codec;
    link->fd = -1;
    return link;
}

struct amy__link *
amy__link_open(struct amy__client *client, enum amy__call_failure *ret_failure)
{
    struct amy__link *link = take_struct(client);
    *ret_failure = AMY__CALL_CONNECT;
    if (link == NULL) {
        return NULL;
    }
    link->fd = socket(family_of(client),
                      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->fd >= 0) {
        *ret_failure = client->unix_name == NULL
                           ? connect_address(client, link)
                           : connect_unix(client, link->fd);
    }
    if (link->fd < 0 || *ret_failure != 0) {
        amy__link_close(link);
        return NULL;
    }
    if (event_assign(&link->read_event, client->opts.base, link->fd,
                     EV_READ | EV_PERSIST, on_readable, link) != 0 ||
        event_assign(&link->write_event, client->opts.base, link->fd,
                     EV_WRITE | EV_PERSIST, on_writable, link) != 0) {
        *ret_failure = AMY__CALL_CONNECT;
        amy__link_close(link);
        return NULL;
    }
    amy__link_read(link, true);
    return link;
}

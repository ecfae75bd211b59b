/* Accepting: in batches, and what happens when descriptors run out. */
/* Not for opening sockets: that is net/listen.c. */
#include "core/alloc.h"
#include "core/error.h"
#include "core/files.h"
#include "serve/internal.h"

#include <event2/event.h>

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

/* Of one listener in one turn, so that those already here get their share. */
#define ACCEPT_BATCH 64

void
amy__listeners_pause(struct amy__server *server)
{
    struct amy__listener *listener = NULL;

    if (server->paused) {
        return;
    }
    server->paused = true;
    LIST_FOREACH(listener, &server->listeners, link)
    {
        (void)event_del(&listener->event);
    }
}

void
amy__listeners_resume(struct amy__server *server)
{
    struct amy__listener *listener = NULL;

    if (!server->paused || server->draining || server->held) {
        return;
    }
    server->paused = false;
    LIST_FOREACH(listener, &server->listeners, link)
    {
        (void)event_add(&listener->event, NULL);
    }
}

bool
amy__server_hush(struct amy__server *server, bool hold)
{
    server->held = hold;
    if (hold) {
        amy__listeners_pause(server);
    } else {
        amy__listeners_resume(server);
    }
    return server->figures.exchanges == 0 &&
           server->figures.open == server->figures.idle &&
           TAILQ_EMPTY(&server->waiting[AMY__WAIT_FRESH]);
}

/* Nobody idle can be sent away: leave the rest in the kernel's queue until a
 * connection closes, or the tick. */
static void
wait_for_descriptors(struct amy__server *server, const char *why)
{
    uint32_t swallowed = 0;

    amy__listeners_pause(server);
    if (amy__log_allow(&server->log_limit, 5, 60000, amy__server_now_ms(server),
                       &swallowed)) {
        amy__log(&server->log, AMY_LOG_WARN,
                 "not accepting for now: %s open=%u swallowed=%u", why,
                 server->figures.open, swallowed);
    }
}

/* accept(2) takes a descriptor before it looks whether anybody waits. */
static bool
somebody_waits(int fd)
{
    struct pollfd waits = {.fd = fd, .events = POLLIN};

    return poll(&waits, 1, 0) == 1;
}

/* True when accepting may go on. */
static bool
make_room(struct amy__server *server, int fd, int sys_errno)
{
    if (sys_errno == ECONNABORTED || sys_errno == EINTR ||
        sys_errno == EPROTO || sys_errno == EPERM) {
        return true; /* that one left; the next may be fine */
    }
    if (sys_errno == EMFILE || sys_errno == ENFILE) {
        if (!somebody_waits(fd)) {
            return false;
        }
        if (amy__waiting_shed(server)) {
            return true;
        }
        wait_for_descriptors(server, "no descriptors left");
    } else if (sys_errno != EAGAIN) {
        wait_for_descriptors(server, "accept fails");
    }
    return false;
}

/* Connections are few where peers are counted: control sockets. */
static uint32_t
open_of_user(const struct amy__server *server, uid_t uid)
{
    const struct amy__connection *conn = NULL;
    uint32_t n = 0;

    TAILQ_FOREACH(conn, &server->all, all_link)
    {
        n += conn->uid == uid ? 1U : 0U;
    }
    return n;
}

/* Does the handler want this peer? Its uid is known by the kernel, before it
 * has said anything. */
static bool
is_welcome(const struct amy__server *server, int fd,
           const struct amy__address *address, uid_t *ret_uid)
{
    struct ucred who = {0};
    socklen_t n = sizeof(who);
    struct amy__server_peer peer = {0};

    if (server->handler.on_peer == NULL || address->sa.ss_family != AF_UNIX) {
        return true;
    }
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &n) != 0) {
        return false;
    }
    peer = (struct amy__server_peer){
        .uid = who.uid,
        .gid = who.gid,
        .open = server->figures.open,
        .open_of_user = open_of_user(server, who.uid),
    };
    *ret_uid = who.uid;
    return server->handler.on_peer(&peer, server->user);
}

/* Without a connection of ours, which is what it may not have. On a unix socket
 * what we say stays readable when we close, whatever the peer has sent. */
static void
turn_away(struct amy__server *server, int fd)
{
    static const char answer[] =
        "HTTP/1.1 503 Service Unavailable\r\n"
        "Content-Type: application/problem+json\r\n"
        "Content-Length: 107\r\n"
        "Retry-After: 1\r\n"
        "Connection: close\r\n\r\n"
        "{\"type\":\"about:blank\",\"title\":\"Service Unavailable\","
        "\"status\":503,\"detail\":\"too many connections of yours\"}\n";

    (void)send(fd, answer, sizeof(answer) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)close(fd);
    server->figures.refused++;
}

static void
on_acceptable(int fd, short what, void *user)
{
    struct amy__listener *listener = user;
    struct amy__server *server = listener->server;

    (void)what;
    (void)amy__server_now(server);
    for (int i = 0; i < ACCEPT_BATCH && !server->paused; i++) {
        struct amy__address peer = {.len = sizeof(peer.sa)};
        uid_t uid = 0;
        bool full = server->figures.open >= server->limits.connections;
        int got = 0;

        if (full && server->figures.idle == 0 &&
            TAILQ_EMPTY(&server->waiting[AMY__WAIT_LINGER])) {
            wait_for_descriptors(server, "all connections in use");
            return;
        }
        got = accept4(fd, (struct sockaddr *)&peer.sa, &peer.len,
                      SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (got >= 0 && !is_welcome(server, got, &peer, &uid)) {
            turn_away(server, got);
        } else if (got >= 0) {
            if (full) {
                (void)amy__waiting_shed(server);
            }
            amy__connection_accept(listener, got, &peer, uid);
        } else if (!make_room(server, fd, errno)) {
            return;
        }
    }
}

int
amy__server_listen(struct amy__server *server, int listen_fd,
                   struct amy__tls *tls, uint32_t tag, struct amy_error *err)
{
    struct amy__listener *listener = amy__calloc(1, sizeof(*listener));
    int on = 1;

    if (listener == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a listener");
    }
    *listener = (struct amy__listener){
        .server = server, .tls = tls, .fd = listen_fd, .tag = tag};
    /* Accepted sockets inherit it; unix sockets refuse it, which is fine. */
    (void)setsockopt(listen_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    if (fcntl(listen_fd, F_SETFL, fcntl(listen_fd, F_GETFL) | O_NONBLOCK) < 0 ||
        event_assign(&listener->event, server->base, listen_fd,
                     EV_READ | EV_PERSIST, on_acceptable, listener) != 0 ||
        (!server->paused && event_add(&listener->event, NULL) != 0)) {
        amy__free(listener);
        return amy__err_sys(err, errno, "watching listening socket %d",
                            listen_fd);
    }
    LIST_INSERT_HEAD(&server->listeners, listener, link);
    return 0;
}

void
amy__server_unlisten(struct amy__server *server, int listen_fd)
{
    struct amy__listener *listener = NULL;

    LIST_FOREACH(listener, &server->listeners, link)
    {
        if (listener->fd == listen_fd) {
            (void)event_del(&listener->event);
            LIST_REMOVE(listener, link);
            amy__close(&listener->fd);
            amy__free(listener);
            return;
        }
    }
}

/* A socket, TLS over it or not, and when it is ready. */
/* Not for what the bytes mean, nor for when to try again: redis.c. */
#include "redis/link.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "net/dial.h"
#include "net/tls_client.h"

#include <errno.h>
#include <stdbool.h>
#include <sys/socket.h>

struct amy__redis_link {
    const struct amy__redis_link_options *borrow_opts;
    struct amy__redis_link_events events;
    struct amy__dial *dial; /* until there is a socket */
    int fd;
    struct amy__io *io;
    struct amy__tls_conn *tls; /* NULL: none */
    bool shaking;              /* hands */
    bool heard;                /* a byte, while shaking */
};

AMY_DEFINE_CLEANUP(struct amy__redis_link *, amy__redis_link_close)

static void
go_down(struct amy__redis_link *link, const struct amy_error *err)
{
    link->events.on_down(err, link->events.user); /* the link is gone */
}

static int
want(struct amy__redis_link *link, unsigned what, struct amy_error *err)
{
    return amy__io_want(link->io, what, err);
}

/* --- TLS --- */

static void
shake(struct amy__redis_link *link)
{
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    rc = amy__tls_conn_handshake(link->tls, &err);
    if (rc == AMY__TLS_WANT_READ) {
        rc = want(link, AMY__IO_READ, &err);
    } else if (rc == AMY__TLS_WANT_WRITE) {
        rc = want(link, AMY__IO_READ | AMY__IO_WRITE, &err);
    } else if (rc == 0) {
        link->shaking = false;
        rc = want(link, AMY__IO_READ, &err);
        if (rc == 0) {
            link->events.on_up(link->events.user); /* may close it */
            return;
        }
    }
    if (rc < 0) {
        go_down(link, &err);
    }
}

static int
begin_tls(struct amy__redis_link *link, struct amy_error *err)
{
    const struct amy__redis_link_options *opts = link->borrow_opts;
    const struct amy__tls_client client = {.ca_file = opts->ca_file,
                                           .cert_file = opts->cert_file,
                                           .key_file = opts->key_file,
                                           .name = opts->server_name};

    link->shaking = true;
    return amy__tls_connect(&client, link->fd, &link->tls, err);
}

/* --- events --- */

static void
on_io(int fd, unsigned what, void *user)
{
    struct amy__redis_link *link = user;

    (void)fd;
    link->heard |= (what & AMY__IO_READ) != 0;
    if (link->shaking) {
        shake(link);
    } else {
        link->events.on_ready(link->events.user);
    }
}

static void
on_dialled(int fd, const struct amy_error *why, void *user)
{
    struct amy__redis_link *link = user;
    struct amy_error err = AMY_ERROR_INIT;
    int rc = 0;

    link->dial = NULL;
    if (fd < 0) {
        go_down(link, why);
        return;
    }
    link->fd = fd;
    rc = amy__io_create(link->borrow_opts->base, fd, AMY__IO_READ, on_io, link,
                        &link->io, &err);
    if (rc == 0 && link->borrow_opts->server_name != NULL) {
        rc = begin_tls(link, &err);
    }
    if (rc < 0) {
        go_down(link, &err);
    } else if (link->shaking) {
        shake(link);
    } else {
        link->events.on_up(link->events.user);
    }
}

int
amy__redis_link_open(const struct amy__redis_link_options *borrow_opts,
                     const struct amy__redis_link_events *events,
                     struct amy__redis_link **ret_link, struct amy_error *err)
{
    AMY_CLEANUP(amy__redis_link_close_p)
    struct amy__redis_link *link = amy__calloc(1, sizeof(*link));
    struct amy__dial_options dial = {.base = borrow_opts->base,
                                     .path = borrow_opts->path,
                                     .host = borrow_opts->host,
                                     .port = borrow_opts->port,
                                     .timeout_ms = borrow_opts->timeout_ms,
                                     .resolv_conf = borrow_opts->resolv_conf};
    int rc = 0;

    if (link == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a connection");
    }
    link->borrow_opts = borrow_opts;
    link->events = *events;
    link->fd = -1;
    rc = amy__dial_start(&dial, on_dialled, link, &link->dial, err);
    if (rc == 0) {
        *ret_link = AMY_TAKE(link);
    }
    return rc;
}

void
amy__redis_link_close(struct amy__redis_link *link)
{
    if (link == NULL) {
        return;
    }
    amy__dial_cancel(link->dial);
    if (link->tls != NULL) {
        amy__tls_conn_shutdown(link->tls);
        amy__tls_conn_free(link->tls);
    }
    amy__io_free(link->io);
    amy__close(&link->fd);
    amy__free(link);
}

void
amy__redis_link_abandon(struct amy__redis_link *link)
{
    if (link != NULL) {
        amy__close(&link->fd);
    }
}

/* --- bytes --- */

/* What a call of net/tls_conn.h means here: bytes, 0, or an end. */
static ssize_t
tls_outcome(struct amy__redis_link *link, ssize_t n, struct amy_error *err)
{
    if (n > 0) {
        return n;
    }
    if (n == AMY__TLS_WANT_READ) {
        return want(link, AMY__IO_READ, err);
    }
    if (n == AMY__TLS_WANT_WRITE) {
        return want(link, AMY__IO_READ | AMY__IO_WRITE, err);
    }
    return n == 0 ? amy__err(err, AMY_ECONN, "the server closed the connection")
                  : amy__tls_conn_reason(err);
}

ssize_t
amy__redis_link_read(struct amy__redis_link *link, char *buf, size_t size,
                     struct amy_error *err)
{
    ssize_t n = 0;

    if (link->tls != NULL) {
        return tls_outcome(link, amy__tls_conn_read(link->tls, buf, size), err);
    }
    do {
        n = recv(link->fd, buf, size, 0);
    } while (n < 0 && errno == EINTR);
    if (n > 0) {
        return n;
    }
    if (n < 0 && errno == EAGAIN) {
        return 0;
    }
    return n == 0 ? amy__err(err, AMY_ECONN, "the server closed the connection")
                  : amy__err_sys(err, errno, "reading");
}

ssize_t
amy__redis_link_write(struct amy__redis_link *link, struct amy__span data,
                      struct amy_error *err)
{
    ssize_t n = 0;

    if (link->tls != NULL) {
        return tls_outcome(link, amy__tls_conn_write(link->tls, data), err);
    }
    do {
        n = send(link->fd, data.p, data.n, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && errno != EAGAIN) {
        return amy__err_sys(err, errno, "writing");
    }
    if (n < 0 || (size_t)n < data.n) {
        int rc = want(link, AMY__IO_READ | AMY__IO_WRITE, err);

        return rc < 0 ? rc : n < 0 ? 0 : n;
    }
    return n;
}

int
amy__redis_link_calm(struct amy__redis_link *link, struct amy_error *err)
{
    return want(link, AMY__IO_READ, err);
}

const char *
amy__redis_link_stage(const struct amy__redis_link *link)
{
    if (link->dial != NULL) {
        return amy__dial_stage(link->dial);
    }
    if (link->shaking) {
        /* Redis itself keeps silent when a plain port is greeted by TLS: it
         * waits for the end of a line. Others answer (net/tls_conn.c). */
        return link->heard ? "in the TLS handshake"
                           : "in the TLS handshake, and not a byte came back, "
                             "as from a port without TLS";
    }
    return "waiting for the answer";
}

/* From a name to a connected socket. */
/* Not for TLS, nor for what is said over it. */
#include "net/dial.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "net/address.h"
#include "net/lookup.h"
#include "net/unix.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct amy__dial {
    struct event_base *base;
    amy__dial_fn fn;
    void *user;
    int64_t timeout_ms;
    struct amy__lookup *lookup;
    struct amy__defer *end; /* tells what was known at once */
    struct amy__timer *patience;
    struct amy__io *io;
    int fd;
    size_t count;
    size_t next; /* the address that is tried after this one */
    struct amy__address addresses[AMY__LOOKUP_MAX];
    struct amy_error err;
};

void
amy__dial_cancel(struct amy__dial *dial)
{
    if (dial == NULL) {
        return;
    }
    amy__lookup_cancel(dial->lookup);
    amy__defer_free(dial->end);
    amy__timer_free(dial->patience);
    amy__io_free(dial->io);
    amy__close(&dial->fd);
    amy__free(dial);
}

AMY_DEFINE_CLEANUP(struct amy__dial *, amy__dial_cancel)

/* With a socket or with the last reason. */
static void
finish(struct amy__dial *dial)
{
    amy__dial_fn fn = dial->fn;
    void *user = dial->user;
    struct amy_error err = dial->err;
    int fd = amy__take_fd(&dial->fd);

    amy__dial_cancel(dial);
    fn(fd, fd < 0 ? &err : NULL, user);
}

static void try_next(struct amy__dial *dial);

static void
give_up_address(struct amy__dial *dial)
{
    amy__timer_cancel(dial->patience);
    amy__io_free(dial->io);
    dial->io = NULL;
    amy__close(&dial->fd);
    try_next(dial);
}

static void
on_late(void *user)
{
    struct amy__dial *dial = user;

    (void)amy__err(&dial->err, AMY_ETIMEOUT, "connecting: no answer");
    give_up_address(dial);
}

static void
on_connected(int fd, unsigned what, void *user)
{
    struct amy__dial *dial = user;
    int reason = 0;
    socklen_t n = sizeof(reason);

    (void)what;
    if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &reason, &n) != 0) {
        reason = errno;
    }
    if (reason != 0) {
        (void)amy__err_sys(&dial->err, reason, "connecting");
        give_up_address(dial);
        return;
    }
    finish(dial);
}

/* Small requests wait for nobody; a peer that is gone is noticed. */
static int
open_socket(struct amy__dial *dial, const struct amy__address *address)
{
    int on = 1;

    dial->fd = socket(address->sa.ss_family,
                      SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (dial->fd < 0) {
        return amy__err_sys(&dial->err, errno, "socket");
    }
    (void)setsockopt(dial->fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    (void)setsockopt(dial->fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
    if (connect(dial->fd, (const struct sockaddr *)&address->sa,
                address->len) != 0 &&
        errno != EINPROGRESS) {
        return amy__err_sys(&dial->err, errno, "connecting");
    }
    return 0;
}

static void
try_next(struct amy__dial *dial)
{
    while (dial->next < dial->count) {
        size_t left = dial->count - dial->next;
        int rc = open_socket(dial, &dial->addresses[dial->next++]);

        rc = rc < 0 ? rc
                    : amy__io_create(dial->base, dial->fd, AMY__IO_WRITE,
                                     on_connected, dial, &dial->io, &dial->err);
        rc = rc < 0
                 ? rc
                 : amy__timer_arm(dial->patience,
                                  dial->timeout_ms / (int64_t)left, &dial->err);
        if (rc == 0) {
            return;
        }
        amy__io_free(dial->io);
        dial->io = NULL;
        amy__close(&dial->fd);
    }
    finish(dial);
}

static void
on_addresses(const struct amy__address *addresses, size_t count,
             const struct amy_error *err, void *user)
{
    struct amy__dial *dial = user;

    dial->lookup = NULL;
    dial->err = *err;
    memcpy(dial->addresses, addresses, count * sizeof(*addresses));
    dial->count = count;
    try_next(dial);
}

/* A unix socket is connected at once or not at all. */
static void
open_path(struct amy__dial *dial, const char *path)
{
    const char *slash = strrchr(path, '/');
    char dir[4096] = "";
    int dir_fd = -1;

    if (slash == NULL ||
        !amy__span_copy((struct amy__span){path, (size_t)(slash - path) + 1},
                        dir, sizeof(dir))) {
        (void)amy__err(&dial->err, AMY_EINVAL, "not an absolute path");
        return;
    }
    dir_fd = amy__open_dir(dir, &dial->err);
    if (dir_fd >= 0) {
        dial->fd = amy__unix_connect_at(dir_fd, slash + 1, &dial->err);
        amy__close(&dir_fd);
    }
    if (dial->fd < 0) {
        dial->fd = -1;
    }
}

static void
on_end(void *user)
{
    struct amy__dial *dial = user;

    if (dial->count > 0) {
        try_next(dial);
    } else {
        finish(dial);
    }
}

/* A host that is an address needs nobody to be asked. */
static bool
is_address(const struct amy__dial_options *opts, struct amy__address *ret)
{
    char text[80] = "";
    int n = snprintf(text, sizeof(text),
                     strchr(opts->host, ':') == NULL ? "%s:%u" : "[%s]:%u",
                     opts->host, (unsigned)opts->port);

    return n > 0 && (size_t)n < sizeof(text) && opts->host[0] != '*' &&
           amy__address_parse(amy__span_of(text), 0, ret, NULL) == 0;
}

static int
begin(struct amy__dial *dial, const struct amy__dial_options *opts,
      struct amy_error *err)
{
    const struct amy__lookup_options lookup = {.base = opts->base,
                                               .name = opts->host,
                                               .port = opts->port,
                                               .resolv_conf =
                                                   opts->resolv_conf};

    if (opts->path != NULL) {
        open_path(dial, opts->path);
    } else if (is_address(opts, &dial->addresses[0])) {
        dial->count = 1;
    } else {
        return amy__lookup_start(&lookup, on_addresses, dial, &dial->lookup,
                                 err);
    }
    amy__defer_ask(dial->end);
    return 0;
}

int
amy__dial_start(const struct amy__dial_options *opts, amy__dial_fn fn,
                void *user, struct amy__dial **ret_dial, struct amy_error *err)
{
    AMY_CLEANUP(amy__dial_cancel_p)
    struct amy__dial *dial = amy__calloc(1, sizeof(*dial));
    int rc = 0;

    if (dial == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a connection");
    }
    *dial = (struct amy__dial){.base = opts->base,
                               .fn = fn,
                               .user = user,
                               .timeout_ms = opts->timeout_ms,
                               .fd = -1};
    rc = amy__defer_create(opts->base, on_end, dial, &dial->end, err);
    rc = rc < 0 ? rc
                : amy__timer_create(opts->base, on_late, dial, &dial->patience,
                                    err);
    rc = rc < 0 ? rc : begin(dial, opts, err);
    if (rc == 0) {
        *ret_dial = AMY_TAKE(dial);
    }
    return rc;
}

const char *
amy__dial_stage(const struct amy__dial *dial)
{
    return dial->lookup != NULL ? "looking up the name" : "connecting";
}

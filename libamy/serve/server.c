/* The server as a whole: its birth, limits, turn of the loop, drain and end. */
/* Not for connections (connection.c) or answers (exchange.c). */
#include "serve/server.h"

#include "core/alloc.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/files.h"
#include "core/loop.h"
#include "serve/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Encoded output: a head and a piece of a body; see exchange.c. */
#define OUT_BYTES (256U * 1024U)
#define OUT_BYTES_MAX (1024U * 1024U)

int64_t
amy__server_now(struct amy__server *server)
{
    server->now_us = amy__mono_us(server->clock);
    return server->now_us;
}

static uint32_t
or_default(uint32_t value, uint32_t otherwise)
{
    return value == 0 ? otherwise : value;
}

/* The lowest free number: about as many are open. */
static rlim_t
open_already(void)
{
    int fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    rlim_t n = fd < 0 ? 0 : (rlim_t)fd;

    amy__close(&fd);
    return n;
}

/* What the descriptor limit allows beside those that are open, with an eighth
 * (64 at least) left for upstreams, spool files and logs. */
static uint32_t
default_connections(void)
{
    struct rlimit limit = {0};
    rlim_t taken = open_already();
    rlim_t left = 0;
    rlim_t reserve = 64;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > UINT32_MAX) {
        return 1024;
    }
    left = limit.rlim_cur > taken ? limit.rlim_cur - taken : 0;
    if (limit.rlim_cur / 8 > reserve) {
        reserve = limit.rlim_cur / 8;
    }
    return (uint32_t)(left > 2 * reserve ? left - reserve : left / 2 + 1);
}

static void
read_limits(const struct amy__server_limits *given,
            struct amy__server_limits *ret)
{
    *ret = (struct amy__server_limits){
        .body_bytes =
            given->body_bytes == 0 ? 20ULL * 1024 * 1024 : given->body_bytes,
        .body_memory_bytes = or_default(given->body_memory_bytes, 65536),
        .head_timeout_ms = or_default(given->head_timeout_ms, 10000),
        .keepalive_ms = or_default(given->keepalive_ms, 75000),
        .handshake_ms = or_default(given->handshake_ms, 10000),
        .send_timeout_ms = or_default(given->send_timeout_ms, 60000),
        .body_rate = or_default(given->body_rate, 500),
        .connections = or_default(given->connections, default_connections()),
        .linger_ms = or_default(given->linger_ms, 30000),
        .handshakes_per_turn = or_default(given->handshakes_per_turn, 8),
    };
}

void
amy__server_set_limits(struct amy__server *server,
                       const struct amy__server_limits *limits)
{
    read_limits(limits, &server->limits);
    server->spool.memory_bytes = server->limits.body_memory_bytes;
    (void)amy__timer_arm(server->tick, amy__waiting_period_ms(&server->limits),
                         NULL);
}

void
amy__server_check_drained(struct amy__server *server)
{
    if (!server->draining || server->drained_told ||
        !TAILQ_EMPTY(&server->all)) {
        return;
    }
    server->drained_told = true;
    server->on_drained(server->drained_user); /* may free the server */
}

/* The end of the loop's turn: look after every connection that something was
 * said on. */
static void
on_turn(void *user)
{
    struct amy__server *server = user;
    struct amy__connection *conn = NULL;

    (void)amy__server_now(server);
    server->handshakes_left = server->limits.handshakes_per_turn;
    while ((void)(conn = TAILQ_FIRST(&server->ready)), conn != NULL) {
        TAILQ_REMOVE(&server->ready, conn, ready_link);
        conn->ready = false;
        amy__connection_settle(conn);
    }
    amy__server_check_drained(server);
}

static int
open_parts(struct amy__server *server, struct amy_error *err)
{
    int rc = 0;

    server->scratch = amy__calloc(1, AMY__READ_BYTES);
    if (server->scratch == NULL ||
        amy__buf_reserve(&server->out, OUT_BYTES) < 0) {
        return amy__err(err, AMY_ENOMEM, "allocating a server's buffers");
    }
    rc = amy__defer_create(server->base, on_turn, server, &server->turn, err);
    if (rc == 0) {
        rc = amy__timer_create(server->base, amy__waiting_on_tick, server,
                               &server->tick, err);
    }
    return rc;
}

int
amy__server_create(const struct amy__server_options *opts,
                   struct amy__server **ret_server, struct amy_error *err)
{
    struct amy__server *server = amy__calloc(1, sizeof(*server));
    int rc = 0;

    if (server == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a server");
    }
    server->base = opts->base;
    server->handler = *opts->borrow_handler;
    server->user = opts->user;
    server->clock = opts->borrow_clock;
    server->log = amy__log_copy(opts->log);
    server->spool = (struct amy__spool_place){
        .blocks = &server->blocks, .dir_fd = opts->borrow_spool_dir_fd};
    LIST_INIT(&server->listeners);
    TAILQ_INIT(&server->ready);
    TAILQ_INIT(&server->all);
    TAILQ_INIT(&server->spare);
    for (int kind = 0; kind < AMY__WAIT_KINDS; kind++) {
        TAILQ_INIT(&server->waiting[kind]);
    }
    amy__slab_init(&server->connections, sizeof(struct amy__connection));
    amy__slab_init(&server->exchanges, sizeof(struct amy__exchange));
    amy__blocks_init(&server->blocks);
    amy__buf_init(&server->out, OUT_BYTES_MAX);
    rc = open_parts(server, err);
    if (rc < 0) {
        amy__server_free(server);
        return rc;
    }
    amy__server_set_limits(server, &opts->limits);
    server->handshakes_left = server->limits.handshakes_per_turn;
    (void)amy__server_now(server);
    *ret_server = server;
    return 0;
}

/* Exchanges whose handler has not ended them are ended for it. */
static void
end_connection(struct amy__connection *conn)
{
    struct amy__exchange *x = NULL;

    if (conn->phase != AMY__PHASE_CLOSED) {
        conn->broken = true;
        conn->exchanges++; /* keep the struct while we look at it */
        amy__connection_close(conn);
        conn->exchanges--;
    }
    TAILQ_FOREACH(x, &conn->active, link)
    {
        x->answered = true;
    }
    amy__connection_settle(conn);
}

static void
unlisten_all(struct amy__server *server)
{
    while (!LIST_EMPTY(&server->listeners)) {
        amy__server_unlisten(server, LIST_FIRST(&server->listeners)->fd);
    }
}

void
amy__server_free(struct amy__server *server)
{
    struct amy__connection *conn = NULL;

    if (server == NULL) {
        return;
    }
    server->drained_told = true;
    unlisten_all(server);
    while ((void)(conn = TAILQ_FIRST(&server->all)), conn != NULL) {
        end_connection(conn);
    }
    while ((void)(conn = TAILQ_FIRST(&server->spare)), conn != NULL) {
        TAILQ_REMOVE(&server->spare, conn, all_link);
        conn->codec->ops->free(conn->codec);
        amy__slab_give(&server->connections, conn);
    }
    amy__timer_free(server->tick);
    amy__defer_free(server->turn);
    amy__slab_clear(&server->connections);
    amy__slab_clear(&server->exchanges);
    amy__blocks_clear(&server->blocks);
    amy__buf_clear(&server->out);
    amy__free(server->scratch);
    amy__free(server);
}

static void
begin_drain(struct amy__server *server, void (*on_drained)(void *user),
            void *user)
{
    server->on_drained = on_drained;
    server->drained_user = user;
    server->draining = true;
    /* Closed, and not only left alone: whoever holds the same sockets takes
     * those who come, and where nobody does they are refused, and the port is
     * free for who comes in our place. */
    unlisten_all(server);
    amy__defer_ask(server->turn);
}

void
amy__server_leave(struct amy__server *server, void (*on_drained)(void *user),
                  void *user)
{
    server->unhurried = true;
    begin_drain(server, on_drained, user);
}

void
amy__server_drain(struct amy__server *server, void (*on_drained)(void *user),
                  void *user)
{
    struct amy__connection *conn = NULL;
    struct amy__connection *next = NULL;

    server->unhurried = false;
    begin_drain(server, on_drained, user);
    (void)amy__server_now(server);
    for (conn = TAILQ_FIRST(&server->all); conn != NULL; conn = next) {
        next = TAILQ_NEXT(conn, all_link);
        /* A last look: a request may have arrived that nobody read yet. The
         * connection closes when there is none. */
        if (conn->waiting == AMY__WAIT_IDLE) {
            amy__connection_on_readable(conn->fd, 0, conn);
        }
    }
}

void
amy__server_figures(const struct amy__server *server,
                    struct amy__server_figures *ret)
{
    *ret = server->figures;
}

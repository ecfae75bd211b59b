/* Patience: one list of connections per kind of waiting, oldest first, looked
 * at by one coarse tick instead of a timer for each. */
/* Not for upstream calls: the client has its own. */
#include "core/loop.h"
#include "serve/internal.h"

#define LINGER_SILENCE_MS 5000
#define BODY_WINDOW_MS 5000
#define TICK_MIN_MS 10
#define TICK_MAX_MS 1000

static bool
is_idle(enum amy__waiting kind)
{
    return kind == AMY__WAIT_IDLE || kind == AMY__WAIT_FRESH;
}

void
amy__waiting_set(struct amy__connection *conn, enum amy__waiting kind,
                 bool anew)
{
    struct amy__server *server = conn->server;
    int64_t now_ms = amy__server_now_ms(server);

    if (kind == conn->waiting && (!anew || conn->since_ms == now_ms)) {
        return;
    }
    if (conn->waiting != AMY__WAIT_NOTHING) {
        TAILQ_REMOVE(&server->waiting[conn->waiting], conn, waiting_link);
        server->figures.idle -= is_idle(conn->waiting) ? 1U : 0U;
    }
    conn->waiting = kind;
    conn->since_ms = now_ms;
    conn->window_bytes = 0;
    if (kind != AMY__WAIT_NOTHING) {
        TAILQ_INSERT_TAIL(&server->waiting[kind], conn, waiting_link);
        server->figures.idle += is_idle(kind) ? 1U : 0U;
    }
}

static int64_t
patience_ms(const struct amy__server_limits *limits, enum amy__waiting kind)
{
    switch (kind) {
    case AMY__WAIT_HANDSHAKE:
        return limits->handshake_ms;
    case AMY__WAIT_FRESH:
    case AMY__WAIT_HEAD:
        return limits->head_timeout_ms;
    case AMY__WAIT_BODY:
        return BODY_WINDOW_MS;
    case AMY__WAIT_SEND:
        return limits->send_timeout_ms;
    case AMY__WAIT_IDLE:
        return limits->keepalive_ms;
    case AMY__WAIT_LINGER:
    case AMY__WAIT_KINDS:
    default:
        return limits->linger_ms < LINGER_SILENCE_MS ? limits->linger_ms
                                                     : LINGER_SILENCE_MS;
    }
}

/* A quarter of the least patience: that is how late a deadline may be. */
int64_t
amy__waiting_period_ms(const struct amy__server_limits *limits)
{
    int64_t least = TICK_MAX_MS * 4;

    for (int kind = 0; kind < AMY__WAIT_KINDS; kind++) {
        int64_t ms = patience_ms(limits, (enum amy__waiting)kind);

        least = ms < least ? ms : least;
    }
    return least / 4 < TICK_MIN_MS ? TICK_MIN_MS : least / 4;
}

/* A window of a body has passed: was it fast enough? */
static void
judge_body(struct amy__connection *conn)
{
    const struct amy__server *server = conn->server;
    uint64_t least = (uint64_t)server->limits.body_rate * BODY_WINDOW_MS / 1000;
    struct amy__exchange *x = TAILQ_FIRST(&conn->active);

    if (conn->window_bytes >= least || x == NULL || conn->choked) {
        amy__waiting_set(conn, AMY__WAIT_BODY, true);
        conn->window_bytes = 0;
        return;
    }
    amy__waiting_set(conn, AMY__WAIT_NOTHING, false);
    amy__exchange_refuse(x, 408, "request body too slow");
    amy__connection_settle(conn);
}

static void
expire(struct amy__connection *conn)
{
    switch (conn->waiting) {
    case AMY__WAIT_HEAD:
        amy__waiting_set(conn, AMY__WAIT_NOTHING, false);
        conn->held_n = 0;
        amy__requests_refuse(conn, 408, "request head too slow");
        amy__connection_settle(conn);
        return;
    case AMY__WAIT_BODY:
        judge_body(conn);
        return;
    case AMY__WAIT_HANDSHAKE:
    case AMY__WAIT_SEND:
        conn->broken = true; /* no farewell: nobody reads it */
        amy__connection_close(conn);
        return;
    case AMY__WAIT_FRESH:
    case AMY__WAIT_IDLE:
    case AMY__WAIT_LINGER:
    case AMY__WAIT_KINDS:
    default:
        amy__connection_close(conn);
        return;
    }
}

void
amy__waiting_on_tick(void *user)
{
    struct amy__server *server = user;

    (void)amy__server_now(server);
    for (int kind = 0; kind < AMY__WAIT_KINDS; kind++) {
        struct amy__connection *conn = TAILQ_FIRST(&server->waiting[kind]);
        int64_t ms = patience_ms(&server->limits, (enum amy__waiting)kind);

        while (conn != NULL &&
               amy__server_now_ms(server) - conn->since_ms >= ms) {
            expire(conn); /* leaves the list, or goes to its end */
            conn = TAILQ_FIRST(&server->waiting[kind]);
        }
    }
    amy__listeners_resume(server);
    (void)amy__timer_arm(server->tick, amy__waiting_period_ms(&server->limits),
                         NULL);
}

bool
amy__waiting_shed(struct amy__server *server)
{
    struct amy__connection *conn =
        TAILQ_FIRST(&server->waiting[AMY__WAIT_IDLE]);

    if (conn == NULL) {
        conn = TAILQ_FIRST(&server->waiting[AMY__WAIT_FRESH]);
    }
    if (conn == NULL) {
        conn = TAILQ_FIRST(&server->waiting[AMY__WAIT_LINGER]);
    }
    if (conn == NULL) {
        return false;
    }
    server->figures.shed++;
    amy__connection_close(conn);
    return true;
}

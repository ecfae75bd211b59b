/* The metrics socket's server. */
/* Not for figures, nor for how they are written: metrics_text.c. */
#include "control/metrics.h"

#include "control/call.h"
#include "control/control.h"
#include "core/alloc.h"
#include "core/check.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/files.h"
#include "net/listen.h"
#include "net/unix.h"
#include "serve/server.h"

#include <stdio.h>
#include <unistd.h>

#define METRICS_MAGIC 0x6d657472U
#define TEXT_MAX ((size_t)8 * 1024 * 1024)
#define CONNECTIONS_MAX 64
#define USER_CONNECTIONS_MAX 8
#define COLLECTORS_MAX 12
#define SOCKET_MODE 0666 /* nothing can be changed here */
#define BACKLOG 64

struct collector {
    amy__metrics_fn fn;
    void *user;
};

/* What the exchange's room holds. */
struct scrape {
    struct scrape *next;
    struct amy__exchange *x;
};

struct amy__metrics {
    uint32_t magic;
    struct amy__server *server;
    struct collector collectors[COLLECTORS_MAX];
    size_t collector_count;
    struct scrape *waiting;
    void (*on_ask)(void *user);
    void *user;
    int borrow_fds[AMY__METRICS_FDS]; /* that the server listens on */
    size_t fd_count;
};

static void
answer(struct amy__exchange *x, struct amy__span text)
{
    struct amy__answer_head head = {.status = 200, .keep_alive = true};

    head.fields[head.field_count++] = (struct amy__field){
        .name = AMY_SPAN("Content-Type"),
        .value = AMY_SPAN("text/plain; version=0.0.4; charset=utf-8")};
    amy__exchange_reply(x, &head, text, false);
}

void
amy__metrics_ready(struct amy__metrics *metrics)
{
    struct amy__buf out = {0};
    struct amy__metrics_text text = {.borrow_out = &out};

    AMY_CHECK(metrics, METRICS_MAGIC);
    if (metrics->waiting == NULL) {
        return;
    }
    amy__buf_init(&out, TEXT_MAX);
    for (size_t i = 0; i < metrics->collector_count; i++) {
        metrics->collectors[i].fn(&text, metrics->collectors[i].user);
    }
    while (metrics->waiting != NULL) {
        struct scrape *scrape = metrics->waiting;

        metrics->waiting = scrape->next;
        if (text.rc < 0) {
            amy__control_refuse_exchange(scrape->x, 503, NULL,
                                         "there is more than can be told");
        } else {
            answer(scrape->x, amy__buf_span(&out));
        }
    }
    amy__buf_clear(&out);
}

static void
on_request(struct amy__exchange *x, const struct amy__request_head *head,
           void *user)
{
    struct amy__metrics *metrics = user;
    struct scrape *scrape = amy__exchange_room(x);
    bool first = metrics->waiting == NULL;

    AMY_CHECK(metrics, METRICS_MAGIC);
    if (!amy__span_eq(head->path, AMY_SPAN("/metrics"))) {
        amy__control_refuse_exchange(x, 404, NULL, "only /metrics is here");
        return;
    }
    if (head->method != AMY__METHOD_GET && head->method != AMY__METHOD_HEAD) {
        amy__control_refuse_exchange(x, 405, "GET, HEAD", "nothing changes");
        return;
    }
    *scrape = (struct scrape){.next = metrics->waiting, .x = x};
    metrics->waiting = scrape;
    if (metrics->on_ask == NULL) {
        amy__metrics_ready(metrics);
    } else if (first) {
        metrics->on_ask(metrics->user);
    }
}

/* Off the list; false: it has been answered. */
static bool
forget(struct amy__metrics *metrics, const struct amy__exchange *x)
{
    for (struct scrape **at = &metrics->waiting; *at != NULL;
         at = &(*at)->next) {
        if ((*at)->x == x) {
            *at = (*at)->next;
            return true;
        }
    }
    return false;
}

static void
on_gone(struct amy__exchange *x, void *user)
{
    if (forget(user, x)) {
        amy__exchange_abort(x);
    }
}

static void
on_done(struct amy__exchange *x, void *user)
{
    (void)forget(user, x); /* the server's end: nobody answers any more */
}

static bool
on_peer(const struct amy__server_peer *peer, void *user)
{
    (void)user;
    return peer->uid == 0 || peer->uid == geteuid() ||
           (peer->open_of_user < USER_CONNECTIONS_MAX &&
            peer->open < CONNECTIONS_MAX / 2);
}

static const struct amy__server_handler handler = {
    .on_peer = on_peer,
    .on_request = on_request,
    .on_gone = on_gone,
    .on_done = on_done,
};

/* Takes fd over. */
static int
listen_on(struct amy__metrics *metrics, int fd, struct amy_error *err)
{
    int rc =
        fd < 0 ? fd : amy__server_listen(metrics->server, fd, NULL, 0, err);

    if (rc < 0) {
        amy__close(&fd);
    } else if (metrics->fd_count < AMY__METRICS_FDS) {
        metrics->borrow_fds[metrics->fd_count++] = fd;
    }
    return rc;
}

bool
amy__metrics_hush(struct amy__metrics *metrics, bool hold)
{
    AMY_CHECK(metrics, METRICS_MAGIC);
    return amy__server_hush(metrics->server, hold);
}

int
amy__metrics_fd(const struct amy__metrics *metrics, size_t i)
{
    AMY_CHECK(metrics, METRICS_MAGIC);
    return i < metrics->fd_count ? metrics->borrow_fds[i] : -1;
}

/* -1: there is none. */
static int
inherit(const struct amy__metrics_options *opts,
        const struct amy__address *address)
{
    for (size_t i = 0; i < opts->inherited_count; i++) {
        if (opts->inherited[i] >= 0 &&
            amy__listens_on(opts->inherited[i], address)) {
            return amy__take_fd(&opts->inherited[i]);
        }
    }
    return -1;
}

static int
open_unix(const struct amy__metrics_options *opts, struct amy_error *err)
{
    int fd = inherit(opts, NULL);
    char name[64] = "";
    int dir_fd = -1;

    if (fd >= 0) {
        return fd;
    }
    dir_fd = amy__open_dir(opts->run_path, err);
    if (dir_fd < 0) {
        return dir_fd;
    }
    (void)snprintf(name, sizeof(name), "%.40s-metrics.sock", opts->name);
    fd = amy__unix_replace_at(dir_fd, name, SOCKET_MODE, BACKLOG, err);
    amy__close(&dir_fd);
    return fd;
}

static int
open_tcp(const struct amy__metrics_options *opts,
         const struct amy__address *address, struct amy_error *err)
{
    int fd = inherit(opts, address);

    return fd >= 0 ? fd : amy__listen_tcp(address, false, BACKLOG, err);
}

static int
start(struct amy__metrics *metrics, const struct amy__metrics_options *opts,
      struct amy_error *err)
{
    struct amy__server_options server = {
        .base = opts->base,
        .borrow_handler = &handler,
        .user = metrics,
        .limits = {.body_bytes = 4096,
                   .body_memory_bytes = 4096,
                   .connections = CONNECTIONS_MAX},
        .borrow_spool_dir_fd = -1,
        .borrow_clock = opts->borrow_clock,
        .log = opts->log,
    };
    int rc = amy__server_create(&server, &metrics->server, err);

    if (rc == 0) {
        rc = listen_on(metrics, open_unix(opts, err), err);
    }
    for (size_t i = 0; rc == 0 && i < opts->address_count; i++) {
        rc = listen_on(metrics, open_tcp(opts, &opts->borrow_addresses[i], err),
                       err);
    }
    return rc;
}

AMY_DEFINE_CLEANUP(struct amy__metrics *, amy__metrics_free)

int
amy__metrics_create(const struct amy__metrics_options *opts,
                    struct amy__metrics **ret_metrics, struct amy_error *err)
{
    AMY_CLEANUP(amy__metrics_free_p)
    struct amy__metrics *metrics = amy__calloc(1, sizeof(*metrics));
    int rc = 0;

    if (metrics == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a metrics server");
    }
    metrics->magic = METRICS_MAGIC;
    metrics->on_ask = opts->on_ask;
    metrics->user = opts->user;
    rc = start(metrics, opts, err);
    if (rc < 0) {
        amy__err_prefix(err, "metrics: ");
        return rc;
    }
    *ret_metrics = AMY_TAKE(metrics);
    return 0;
}

void
amy__metrics_free(struct amy__metrics *metrics)
{
    if (metrics == NULL) {
        return;
    }
    AMY_CHECK(metrics, METRICS_MAGIC);
    amy__server_free(metrics->server);
    metrics->magic = 0;
    amy__free(metrics);
}

int
amy__metrics_add(struct amy__metrics *metrics, amy__metrics_fn fn, void *user,
                 struct amy_error *err)
{
    AMY_CHECK(metrics, METRICS_MAGIC);
    if (metrics->collector_count == COLLECTORS_MAX) {
        return amy__err(err, AMY_ELIMIT, "more than %d collectors",
                        COLLECTORS_MAX);
    }
    metrics->collectors[metrics->collector_count++] =
        (struct collector){fn, user};
    return 0;
}

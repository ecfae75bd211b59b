/* The client: made, woken, freed. */
/* Not for connections (connect.c), nor for single calls (call.c). */
#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/clock.h"
#include "core/digest.h"
#include "core/error.h"
#include "core/log.h"
#include "core/options.h"
#include "core/sigpipe.h"
#include "redis/internal.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#define TIMEOUT_MS 5000U
#define CONNECT_MS 5000U
#define CALLS_MAX 65536U
#define FAILURES_MAX 3U
#define BYTES_MAX ((size_t)16 * 1024 * 1024)
#define REPLY_MAX ((size_t)64 * 1024 * 1024)
#define READ_AHEAD ((size_t)256 * 1024)

AMY_DEFINE_CLEANUP(struct amy_redis *, amy_redis_free)

int64_t
amy__redis_now(const struct amy_redis *client)
{
    return amy__mono_ms(client->borrow_clock);
}

/* --- after fork() --- */

/* The kernel empties this page in a child. Asking for our process id instead
 * would cost each call a system call. */
static int
mark_process(struct amy_redis *client, struct amy_error *err)
{
    void *page = mmap(NULL, 1, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        return amy__err(err, AMY_ENOMEM, "allocating a client");
    }
    client->alive = page;
    client->alive[0] = 1;
    if (madvise(page, 1, MADV_WIPEONFORK) != 0) {
        return amy__err(err, AMY_EUNSUPPORTED,
                        "this kernel has no MADV_WIPEONFORK");
    }
    return 0;
}

static bool
is_child(const struct amy_redis *client)
{
    return client->alive != NULL && client->alive[0] == 0;
}

int
amy__redis_usable(const struct amy_redis *client, struct amy_error *err)
{
    if (is_child(client)) {
        return amy__err(err, AMY_ESTATE,
                        "this client is the parent's: make one after fork()");
    }
    return client->doomed ? amy__err(err, AMY_ESTATE, "this client is freed")
                          : 0;
}

/* --- on the loop --- */

static void
destroy(struct amy_redis *client)
{
    while (client->queue.head != NULL) {
        amy__redis_call_drop(amy__redis_queue_take(&client->queue));
    }
    amy__redis_link_close(client->link);
    amy__timer_free(client->timer);
    amy__defer_free(client->pump);
    if (client->own_base && client->base != NULL) {
        amy__loop_turn(client->base); /* for a name that was looked up */
        amy__loop_free(client->base);
    }
    if (client->codec != NULL) {
        amy__redis_codec_drop(client->codec, client->kept);
    }
    amy__redis_codec_free(client->codec);
    amy__buf_clear(&client->in);
    amy__buf_clear(&client->out);
    if (client->alive != NULL) {
        (void)munmap(client->alive, 1);
    }
    amy__redis_url_clear(&client->url);
    amy__free(client->name);
    for (size_t i = 0; i < sizeof(client->files) / sizeof(*client->files);
         i++) {
        amy__free(client->files[i]);
    }
    client->magic = 0;
    amy__free(client);
}

bool
amy__redis_enter(struct amy_redis *client)
{
    if (is_child(client)) {
        return false;
    }
    client->busy++;
    return true;
}

void
amy__redis_leave(struct amy_redis *client)
{
    if (--client->busy == 0 && client->doomed) {
        destroy(client);
    }
}

void
amy__redis_wake(struct amy_redis *client, int64_t at_ms)
{
    if (at_ms >= client->timer_ms) {
        return;
    }
    client->timer_ms = at_ms;
    /* It fails only for want of memory; the next call tries again. */
    if (amy__timer_arm(client->timer, at_ms - amy__redis_now(client), NULL) <
        0) {
        client->timer_ms = INT64_MAX;
    }
}

/* What kept a call that is late, and what came before. */
static void
set_stage(struct amy_redis *client)
{
    bool again = client->phase != AMY__REDIS_UP && client->pace.late == 0 &&
                 client->last.msg[0] != '\0';

    (void)snprintf(client->stage, sizeof(client->stage), "%s%s%s",
                   amy__redis_stage(client), again ? "; before that: " : "",
                   again ? client->last.msg : "");
}

static bool
is_trying(const struct amy_redis *client)
{
    return client->phase == AMY__REDIS_OPENING ||
           client->phase == AMY__REDIS_GREETING;
}

static void
expire(struct amy_redis *client, int64_t now_ms)
{
    bool silent = false;

    if (now_ms < client->deadline_ms) {
        return;
    }
    set_stage(client);
    client->deadline_ms = amy__redis_queue_expire(&client->queue, now_ms,
                                                  client->heard_ms, &silent);
    client->silent |= silent;
    if (client->queue.ended != NULL && is_trying(client)) {
        amy__redis_late(client);
    }
    amy__redis_tell(client);
}

/* Is the connection worth the waiting? An attempt has its time, whoever waits
 * for it: a call's deadline may be shorter than a connection takes. */
static void
judge(struct amy_redis *client, int64_t now_ms)
{
    if ((is_trying(client) && now_ms >= client->give_up_ms) ||
        (client->phase == AMY__REDIS_UP && client->silent &&
         !amy__redis_queue_is_awaited(&client->queue))) {
        amy__redis_hang_up(client);
    }
}

/* Connect or write, whichever is next. */
static void
go_on(struct amy_redis *client)
{
    int64_t now_ms = amy__redis_now(client);

    if (client->phase == AMY__REDIS_UP) {
        amy__redis_write(client);
    } else if (client->phase == AMY__REDIS_DOWN &&
               client->queue.waiting != NULL) {
        if (amy__redis_pace_wait(&client->pace, now_ms) == 0) {
            amy__redis_connect(client);
        } else {
            amy__redis_wake(client, client->pace.retry_ms);
        }
    }
}

static void
on_pump(void *user)
{
    struct amy_redis *client = user;

    if (!amy__redis_enter(client)) {
        return;
    }
    amy__redis_queue_end_canceled(&client->queue);
    amy__redis_tell(client);
    if (!client->doomed) {
        judge(client, amy__redis_now(client));
    }
    if (!client->doomed) {
        go_on(client);
    }
    amy__redis_leave(client);
}

static void
on_timer(void *user)
{
    struct amy_redis *client = user;
    int64_t now_ms = amy__redis_now(client);

    if (!amy__redis_enter(client)) {
        return;
    }
    client->timer_ms = INT64_MAX;
    expire(client, now_ms);
    if (!client->doomed) {
        judge(client, now_ms);
    }
    if (!client->doomed) {
        go_on(client);
    }
    if (!client->doomed) {
        amy__redis_wake(client, client->deadline_ms);
        if (is_trying(client)) {
            amy__redis_wake(client, client->give_up_ms);
        }
    }
    amy__redis_leave(client);
}

/* --- create --- */

static int
copy_text(char **to, const char *text, const char *otherwise,
          struct amy_error *err)
{
    text = text == NULL ? otherwise : text;
    if (text == NULL) {
        return 0;
    }
    *to = amy__strdup(text);
    return *to != NULL ? 0 : amy__err(err, AMY_ENOMEM, "allocating a client");
}

/* Whom to meet there, and with which files. */
static int
set_link(struct amy_redis *client, const struct amy_redis_options *opts,
         struct amy_error *err)
{
    const struct amy__redis_url *url = &client->url;
    const char *const given[] = {opts->ca_file, opts->cert_file, opts->key_file,
                                 opts->server_name};
    const char *const told[] = {url->ca_file, url->cert_file, url->key_file,
                                url->host};
    int rc = 0;

    for (size_t i = 0; url->tls && rc == 0 && i < 4; i++) {
        rc = copy_text(&client->files[i], given[i], told[i], err);
    }
    client->link_opts = (struct amy__redis_link_options){
        .base = client->base,
        .path = url->path,
        .host = url->host,
        .port = url->port,
        .timeout_ms = client->connect_ms,
        .ca_file = client->files[0],
        .cert_file = client->files[1],
        .key_file = client->files[2],
        .server_name = client->files[3],
    };
    amy__redis_url_show(url, client->shown, sizeof(client->shown));
    return rc;
}

static void
set_numbers(struct amy_redis *client, const struct amy_redis_options *opts)
{
    client->timeout_ms = opts->timeout_ms == 0 ? TIMEOUT_MS : opts->timeout_ms;
    client->connect_ms = opts->connect_ms == 0 ? CONNECT_MS : opts->connect_ms;
    client->calls_max =
        opts->queue_calls_max == 0 ? CALLS_MAX : opts->queue_calls_max;
    client->bytes_max =
        opts->queue_bytes_max == 0 ? BYTES_MAX : opts->queue_bytes_max;
    client->borrow_clock = opts->borrow_clock;
    client->log = amy__log_copy(opts->log);
    client->timer_ms = INT64_MAX;
    client->deadline_ms = INT64_MAX;
    amy__redis_pace_init(&client->pace, opts->failures_max == 0
                                            ? FAILURES_MAX
                                            : opts->failures_max);
    amy__buf_init(&client->out, SIZE_MAX / 2); /* the queue is bounded */
}

static int
set_loop(struct amy_redis *client, struct event_base *base,
         struct amy_error *err)
{
    int rc = 0;

    client->base = base;
    client->own_base = base == NULL;
    if (base == NULL) {
        rc = amy__loop_create(&client->base, err);
    }
    rc = rc < 0 ? rc
                : amy__timer_create(client->base, on_timer, client,
                                    &client->timer, err);
    return rc < 0 ? rc
                  : amy__defer_create(client->base, on_pump, client,
                                      &client->pump, err);
}

static int
set_up(struct amy_redis *client, const struct amy_redis_options *opts,
       struct amy_error *err)
{
    size_t reply_max =
        opts->reply_bytes_max == 0 ? REPLY_MAX : opts->reply_bytes_max;
    int rc = amy__redis_url_parse(opts->url, &client->url, err);

    set_numbers(client, opts);
    if (rc == 0 && reply_max > SIZE_MAX / 4) {
        rc = amy__err(err, AMY_EINVAL, "reply_bytes_max is too large");
    }
    if (rc == 0 && client->url.tls) {
        rc = amy__check_sigpipe(err);
    }
    amy__buf_init(&client->in, reply_max + READ_AHEAD);
    rc = rc < 0 ? rc : amy__redis_codec_create(reply_max, &client->codec, err);
    rc = rc < 0 ? rc : mark_process(client, err);
    rc = rc < 0 ? rc : set_loop(client, opts->base, err);
    rc = rc < 0 ? rc : set_link(client, opts, err);
    return rc < 0 ? rc : copy_text(&client->name, opts->name, NULL, err);
}

int
amy_redis_create(const struct amy_redis_options *opts,
                 struct amy_redis **ret_client, struct amy_error *err)
{
    AMY_CLEANUP(amy_redis_free_p) struct amy_redis *client = NULL;
    struct amy_redis_options own;
    int rc = amy__options_read(&own, sizeof(own), opts,
                               offsetof(struct amy_redis_options, name), err);

    if (rc < 0) {
        return rc;
    }
    client = amy__calloc(1, sizeof(*client));
    if (client == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a client");
    }
    client->magic = AMY__REDIS_MAGIC;
    rc = set_up(client, &own, err);
    if (rc == 0) {
        *ret_client = AMY_TAKE(client);
    }
    return rc;
}

void
amy_redis_free(struct amy_redis *client)
{
    if (client == NULL) {
        return;
    }
    AMY_CHECK(client, AMY__REDIS_MAGIC);
    if (is_child(client)) {
        amy__redis_link_abandon(client->link);
        return; /* its events would reach into the parent's epoll */
    }
    if (client->doomed) {
        return;
    }
    client->doomed = true;
    client->busy++;
    amy__redis_queue_end_all(&client->queue, AMY_ECANCELED);
    amy__redis_tell(client);
    amy__redis_leave(client);
}

/* --- read --- */

static uint32_t
state_of(const struct amy_redis *client, int64_t now_ms)
{
    if (client->phase == AMY__REDIS_UP) {
        return AMY_REDIS_READY;
    }
    if (amy__redis_pace_is_broken(&client->pace)) {
        return AMY_REDIS_BROKEN;
    }
    if (client->phase != AMY__REDIS_DOWN) {
        return AMY_REDIS_CONNECTING;
    }
    return amy__redis_pace_wait(&client->pace, now_ms) > 0 ? AMY_REDIS_PAUSING
                                                           : AMY_REDIS_IDLE;
}

void
amy_redis_read(const struct amy_redis *client, struct amy_redis_view *ret_view)
{
    int64_t now_ms = 0;
    struct amy_redis_view view = AMY_REDIS_VIEW_INIT;
    size_t size = ret_view->struct_size;

    AMY_CHECK(client, AMY__REDIS_MAGIC);
    now_ms = amy__redis_now(client);
    view.state = state_of(client, now_ms);
    view.failures = client->pace.failures;
    view.connections = client->connections;
    view.calls = client->queue.calls;
    view.retry_ms = client->phase == AMY__REDIS_DOWN
                        ? amy__redis_pace_wait(&client->pace, now_ms)
                        : 0;
    view.problem = client->last.msg;
    if (size > sizeof(view)) {
        size = sizeof(view);
    }
    view.struct_size = ret_view->struct_size;
    memcpy(ret_view, &view, size);
}

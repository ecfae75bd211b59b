/* Exchanges toward one server: its kept connections, its tick, its end. */
/* Not for one exchange (call.c) nor for sockets (link.c). */
#include "serve/client.h"

#include "core/alloc.h"
#include "core/check.h"
#include "core/clock.h"
#include "core/error.h"
#include "core/loop.h"
#include "serve/client_internal.h"

#include <string.h>

/* A route's patience is for the answer; elsewhere there may be another server.
 */
#define CONNECT_MS 3000
#define TICK_MIN_MS 10
#define TICK_MAX_MS 1000
#define OUT_BYTES_MAX (128U * 1024U)

static void
destroy(struct amy__client *client)
{
    struct amy__link *link = NULL;

    while ((void)(link = amy__link_take_idle(client)), link != NULL) {
        amy__link_close(link);
    }
    while ((void)(link = TAILQ_FIRST(&client->spare)), link != NULL) {
        TAILQ_REMOVE(&client->spare, link, link);
        link->codec->ops->free(link->codec);
        amy__slab_give(&client->links, link);
    }
    amy__timer_free(client->tick);
    amy__defer_free(client->turn);
    amy__slab_clear(&client->links);
    amy__slab_clear(&client->call_slab);
    amy__blocks_clear(&client->blocks);
    amy__buf_clear(&client->out);
    amy__free(client->scratch);
    amy__free(client->unix_name);
    amy__free(client);
}

void
amy__client_enter(struct amy__client *client)
{
    client->depth++;
}

void
amy__client_leave(struct amy__client *client)
{
    client->depth--;
    if (client->freed && client->depth == 0 && TAILQ_EMPTY(&client->calls)) {
        destroy(client);
    }
}

static void
on_turn(void *user)
{
    struct amy__client *client = user;

    amy__client_enter(client);
    amy__calls_tell_ends(client);
    amy__client_leave(client);
}

void
amy__client_tick_within(struct amy__client *client, int64_t ms)
{
    ms = ms < TICK_MIN_MS ? TICK_MIN_MS : ms > TICK_MAX_MS ? TICK_MAX_MS : ms;
    if (client->tick_ms != 0 && client->tick_ms <= ms) {
        return;
    }
    client->tick_ms = ms;
    (void)amy__timer_arm(client->tick, ms, NULL);
}

/* A host that does not even refuse: as if it did. */
static bool
is_unreached(const struct amy__call *call, int64_t now_ms)
{
    return call->on != NULL && call->on->connecting &&
           now_ms - call->progress_ms >= CONNECT_MS;
}

static void
close_old(struct amy__client *client, int64_t now_ms)
{
    struct amy__link *link = TAILQ_LAST(&client->idle, amy__links);

    while (link != NULL &&
           now_ms - link->idle_since_ms >= client->opts.idle_ms) {
        TAILQ_REMOVE(&client->idle, link, link);
        client->idle_count--;
        amy__link_close(link);
        link = TAILQ_LAST(&client->idle, amy__links);
    }
    if (link != NULL) {
        amy__client_tick_within(client, client->opts.idle_ms / 4);
    }
}

/* A client has as many calls as its server has slots: few. */
static void
on_tick(void *user)
{
    struct amy__client *client = user;
    int64_t now_ms = amy__mono_ms(client->opts.borrow_clock);
    struct amy__call *call = NULL;

    amy__client_enter(client);
    client->tick_ms = 0;
    TAILQ_FOREACH(call, &client->calls, link)
    {
        if (call->on != NULL && call->in_over) {
            amy__link_look(call->on);
        }
        if (call->failure != 0 || call->detached || call->paused) {
            continue;
        }
        if (is_unreached(call, now_ms)) {
            amy__call_fail(call, AMY__CALL_CONNECT, "no connection in time");
            continue;
        }
        if (now_ms - call->progress_ms >= call->timeout_ms) {
            amy__call_fail(call,
                           call->answered ? AMY__CALL_CUT : AMY__CALL_TIMEOUT,
                           "no answer in time");
        }
    }
    TAILQ_FOREACH(call, &client->calls, link)
    {
        amy__client_tick_within(client, call->timeout_ms / 4);
    }
    close_old(client, now_ms);
    amy__client_leave(client);
}

static int
open_parts(struct amy__client *client, struct amy_error *err)
{
    int rc = 0;

    client->scratch = amy__calloc(1, AMY__CLIENT_READ_BYTES);
    if (client->scratch == NULL ||
        (client->opts.unix_name != NULL && client->unix_name == NULL)) {
        return amy__err(err, AMY_ENOMEM, "allocating a client's buffers");
    }
    rc = amy__defer_create(client->opts.base, on_turn, client, &client->turn,
                           err);
    if (rc == 0) {
        rc = amy__timer_create(client->opts.base, on_tick, client,
                               &client->tick, err);
    }
    return rc;
}

int
amy__client_create(const struct amy__client_options *opts,
                   struct amy__client **ret_client, struct amy_error *err)
{
    struct amy__client *client = amy__calloc(1, sizeof(*client));
    int rc = 0;

    if (client == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a client");
    }
    client->opts = *opts;
    client->opts.idle_max = opts->idle_max == 0 ? 64 : opts->idle_max;
    client->opts.idle_ms = opts->idle_ms == 0 ? 30000 : opts->idle_ms;
    if (opts->unix_name != NULL) {
        client->unix_name = amy__strdup(opts->unix_name);
    }
    TAILQ_INIT(&client->idle);
    TAILQ_INIT(&client->spare);
    TAILQ_INIT(&client->calls);
    amy__slab_init(&client->links, sizeof(struct amy__link));
    amy__slab_init(&client->call_slab, sizeof(struct amy__call));
    amy__blocks_init(&client->blocks);
    amy__buf_init(&client->out, OUT_BYTES_MAX);
    rc = open_parts(client, err);
    if (rc < 0) {
        destroy(client);
        return rc;
    }
    *ret_client = client;
    return 0;
}

void
amy__client_free(struct amy__client *client)
{
    struct amy__link *link = NULL;

    if (client == NULL) {
        return;
    }
    client->freed = true;
    while ((void)(link = amy__link_take_idle(client)), link != NULL) {
        amy__link_close(link);
    }
    if (client->depth == 0 && TAILQ_EMPTY(&client->calls)) {
        destroy(client);
    }
}

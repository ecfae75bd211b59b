/* The client: libcurl's sockets and timer on the caller's loop. */
/* Not for a request's options and meaning: call.c. */
#include "fetch/fetch.h"

#include "core/alloc.h"
#include "core/cleanup.h"
#include "core/error.h"
#include "core/sigpipe.h"
#include "fetch/internal.h"

#define CONNECTIONS_MAX 16L

/* --- what libcurl has to tell --- */

/* Never from inside libcurl: its callbacks only arm and watch. */
static void
read_ends(struct amy__fetch *client)
{
    CURLMsg *message = NULL;
    int left = 0;

    while ((message = client->curl.multi_read(client->multi, &left)) != NULL) {
        struct amy__fetch_call *call = NULL;
        CURLcode code = message->data.result;

        (void)client->curl.easy_getinfo(message->easy_handle, CURLINFO_PRIVATE,
                                        &call);
        amy__fetch_call_judge(call, code); /* the message is gone with it */
    }
}

static void
act(struct amy__fetch *client, curl_socket_t fd, int what)
{
    int running = 0;

    (void)client->curl.multi_action(client->multi, fd, what, &running);
    read_ends(client);
}

static void
on_timer(void *user)
{
    act(user, CURL_SOCKET_TIMEOUT, 0);
}

static void
on_io(int fd, unsigned what, void *user)
{
    struct amy__fetch_watch *watch = user;
    int events = 0;

    events |= (what & AMY__IO_READ) != 0 ? CURL_CSELECT_IN : 0;
    events |= (what & AMY__IO_WRITE) != 0 ? CURL_CSELECT_OUT : 0;
    act(watch->borrow_client, fd, events); /* may free the watch */
}

static int
set_timer(CURLM *multi, long after_ms, void *user)
{
    struct amy__fetch *client = user;

    (void)multi;
    if (after_ms < 0) {
        amy__timer_cancel(client->timer);
        return 0;
    }
    return amy__timer_arm(client->timer, after_ms, NULL) < 0 ? -1 : 0;
}

static void
drop_watch(struct amy__fetch *client, struct amy__fetch_watch *watch)
{
    struct amy__fetch_watch **link = &client->watches;

    while (*link != NULL && *link != watch) {
        link = &(*link)->next;
    }
    if (*link != NULL) {
        *link = watch->next;
        amy__io_free(watch->io);
        amy__free(watch);
    }
}

static struct amy__fetch_watch *
add_watch(struct amy__fetch *client, curl_socket_t fd)
{
    struct amy__fetch_watch *watch = amy__calloc(1, sizeof(*watch));

    if (watch == NULL) {
        return NULL;
    }
    watch->borrow_client = client;
    if (amy__io_create(client->base, fd, 0, on_io, watch, &watch->io, NULL) <
        0) {
        amy__free(watch);
        return NULL;
    }
    watch->next = client->watches;
    client->watches = watch;
    (void)client->curl.multi_assign(client->multi, fd, watch);
    return watch;
}

static int
set_socket(CURL *easy, curl_socket_t fd, int what, void *user, void *socket)
{
    struct amy__fetch *client = user;
    struct amy__fetch_watch *watch = socket;
    unsigned wanted = 0;

    (void)easy;
    if (what == CURL_POLL_REMOVE) {
        drop_watch(client, watch);
        return 0;
    }
    if (watch == NULL) {
        watch = add_watch(client, fd);
    }
    wanted |= (what & CURL_POLL_IN) != 0 ? AMY__IO_READ : 0U;
    wanted |= (what & CURL_POLL_OUT) != 0 ? AMY__IO_WRITE : 0U;
    return watch == NULL || amy__io_want(watch->io, wanted, NULL) < 0 ? -1 : 0;
}

/* --- what has ended --- */

static struct amy__fetch_call *
take_ended(struct amy__fetch *client)
{
    struct amy__fetch_call **link = &client->calls;
    struct amy__fetch_call *call = NULL;

    while (*link != NULL && !(*link)->over) {
        link = &(*link)->next;
    }
    call = *link;
    if (call != NULL) {
        *link = call->next;
    }
    return call;
}

static void
destroy(struct amy__fetch *client)
{
    while (client->calls != NULL) {
        struct amy__fetch_call *next = client->calls->next;

        amy__fetch_call_free(client->calls);
        client->calls = next;
    }
    if (client->multi != NULL) {
        (void)client->curl.multi_cleanup(client->multi); /* may drop watches */
    }
    while (client->watches != NULL) {
        drop_watch(client, client->watches);
    }
    amy__timer_free(client->timer);
    amy__defer_free(client->ends);
    if (client->initialised) {
        client->curl.global_cleanup();
    }
    amy__free(client->ca_file);
    amy__free(client);
}

static void
on_ends(void *user)
{
    struct amy__fetch *client = user;
    struct amy__fetch_call *call = NULL;

    client->telling = true;
    while (!client->doomed && (call = take_ended(client)) != NULL) {
        amy__fetch_call_tell(call); /* may start, cancel, free */
        amy__fetch_call_free(call);
    }
    client->telling = false;
    if (client->doomed) {
        destroy(client);
    }
}

/* --- create, start, free --- */

static int
set_up(struct amy__fetch *client, const char *ca_file, struct amy_error *err)
{
    const struct amy__curl *curl = &client->curl;
    unsigned bad = 0;
    int rc =
        amy__timer_create(client->base, on_timer, client, &client->timer, err);

    if (rc == 0) {
        rc = amy__defer_create(client->base, on_ends, client, &client->ends,
                               err);
    }
    if (rc < 0) {
        return rc;
    }
    client->initialised = curl->global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
    client->multi = client->initialised ? curl->multi_init() : NULL;
    client->ca_file = ca_file == NULL ? NULL : amy__strdup(ca_file);
    if (client->multi == NULL || (ca_file != NULL && client->ca_file == NULL)) {
        return amy__err(err, AMY_ENOMEM, "preparing libcurl");
    }
    bad |= (unsigned)curl->multi_setopt(client->multi, CURLMOPT_SOCKETFUNCTION,
                                        set_socket);
    bad |= (unsigned)curl->multi_setopt(client->multi, CURLMOPT_SOCKETDATA,
                                        client);
    bad |= (unsigned)curl->multi_setopt(client->multi, CURLMOPT_TIMERFUNCTION,
                                        set_timer);
    bad |=
        (unsigned)curl->multi_setopt(client->multi, CURLMOPT_TIMERDATA, client);
    bad |= (unsigned)curl->multi_setopt(
        client->multi, CURLMOPT_MAX_TOTAL_CONNECTIONS, CONNECTIONS_MAX);
    return bad == 0 ? 0 : amy__err(err, AMY_ENOMEM, "preparing libcurl");
}

int
amy__fetch_create(const struct amy__fetch_options *opts,
                  struct amy__fetch **ret_client, struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_free_p) struct amy__fetch *client = NULL;
    int rc = amy__check_sigpipe(err);

    if (rc < 0) {
        return rc;
    }
    client = amy__calloc(1, sizeof(*client));
    if (client == NULL) {
        return amy__err(err, AMY_ENOMEM, "preparing a client");
    }
    client->base = opts->base;
    client->use_proxy = opts->use_proxy;
    client->plain = opts->plain;
    rc = amy__curl_load(&client->curl, err);
    rc = rc < 0 ? rc : set_up(client, opts->ca_file, err);
    if (rc < 0) {
        return rc;
    }
    *ret_client = AMY_TAKE(client);
    return 0;
}

void
amy__fetch_free(struct amy__fetch *client)
{
    if (client == NULL) {
        return;
    }
    if (client->telling) {
        client->doomed = true; /* on_ends still needs us */
        return;
    }
    destroy(client);
}

int
amy__fetch_start(struct amy__fetch *client,
                 const struct amy__fetch_request *request, amy__fetch_fn fn,
                 void *user, struct amy__fetch_call **ret_call,
                 struct amy_error *err)
{
    AMY_CLEANUP(amy__fetch_call_free_p) struct amy__fetch_call *call = NULL;
    int rc = amy__fetch_call_create(client, request, &call, err);

    if (rc == 0) {
        rc = amy__fetch_call_arm(call, err);
    }
    if (rc < 0) {
        return rc;
    }
    if (client->curl.multi_add(client->multi, call->easy) != CURLM_OK) {
        return amy__err(err, AMY_ENOMEM, "beginning a request");
    }
    call->added = true;
    call->fn = fn;
    call->user = user;
    call->next = client->calls;
    client->calls = call;
    *ret_call = AMY_TAKE(call);
    return 0;
}

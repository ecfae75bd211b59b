/* Watch a queue of rq, once a second, whatever happens to Redis meanwhile.
 * Not for running jobs: that is rq's.
 *
 *   cc redis.c $(pkg-config --cflags --libs amy libevent_core) -o redis
 *   ./redis redis://localhost:6379/0 default
 */
#include <amy/redis.h>

#include <event2/event.h>

#include <signal.h>
#include <stdio.h>

struct watch {
    struct amy_redis *client;
    struct event *tick;
    char key[256];
};

static void
on_length(struct amy_redis *client, const struct amy_redis_result *result,
          void *user)
{
    (void)client;
    (void)user;
    if (result->code == 0) {
        printf("%lld jobs wait\n",
               (long long)amy_redis_reply_integer(result->reply));
    } else {
        printf("%s\n", result->err->msg);
    }
    (void)fflush(stdout);
}

static void
on_tick(evutil_socket_t fd, short what, void *user)
{
    struct watch *watch = user;
    const char *argv[] = {"LLEN", watch->key};
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    struct amy_error err = AMY_ERROR_INIT;

    (void)fd;
    (void)what;
    command.argc = 2;
    command.argv = argv;
    command.timeout_ms = 900;
    if (amy_redis_send(watch->client, &command, on_length, watch, NULL, &err) <
        0) {
        printf("%s\n", err.msg);
        (void)fflush(stdout);
    }
}

static void
on_signal(evutil_socket_t number, short what, void *user)
{
    (void)number;
    (void)what;
    event_base_loopbreak(user);
}

static int
watch_queue(struct watch *watch, struct event_base *base, const char *url)
{
    const struct timeval second = {1, 0};
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_error err = AMY_ERROR_INIT;
    struct event *end = evsignal_new(base, SIGINT, on_signal, base);

    opts.base = base;
    opts.url = url;
    opts.name = "watch";
    if (amy_redis_create(&opts, &watch->client, &err) < 0) {
        fprintf(stderr, "%s\n", err.msg);
        event_free(end);
        return 1;
    }
    watch->tick = event_new(base, -1, EV_PERSIST, on_tick, watch);
    event_add(watch->tick, &second);
    event_add(end, NULL);
    on_tick(-1, 0, watch);
    event_base_dispatch(base);
    event_free(end);
    event_free(watch->tick);
    amy_redis_free(watch->client);
    return 0;
}

int
main(int argc, char **argv)
{
    struct watch watch = {0};
    struct event_base *base = event_base_new();
    int rc = 1;

    (void)signal(SIGPIPE, SIG_IGN); /* TLS needs it */
    if (argc == 3 && base != NULL) {
        (void)snprintf(watch.key, sizeof(watch.key), "rq:queue:%s", argv[2]);
        rc = watch_queue(&watch, base, argv[1]);
    } else {
        fprintf(stderr, "usage: redis URL QUEUE\n");
    }
    event_base_free(base);
    return rc;
}

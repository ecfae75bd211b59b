/* A client of Redis for the benchmarks: the GETs that a pipeline of 100 gets
 * through and the CPU that costs, with libamy or with hiredis' own client; and
 * how long blocking calls take that end with their deadline.
 *
 *   redis_load amy|hiredis SOCKET SECONDS
 *   redis_load deadline URL MS      a call for each line of standard input
 */
#include <amy/redis.h>

#include <event2/event.h>
#include <hiredis/adapters/libevent.h>
#include <hiredis/async.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#define PIPELINE 100U

struct load {
    struct event_base *base;
    struct amy_redis *amy;
    redisAsyncContext *hiredis;
    uint64_t answered;
    unsigned open; /* of the present hundred */
    bool over;
    bool wrong;
};

static double
seconds_of(clockid_t clock)
{
    struct timespec now = {0};

    (void)clock_gettime(clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static void ask(struct load *load);

static void
count(struct load *load, bool good)
{
    load->answered++;
    load->wrong |= !good;
    if (--load->open > 0) {
        return;
    }
    if (load->over) {
        event_base_loopbreak(load->base);
    } else {
        ask(load);
    }
}

static void
on_amy(struct amy_redis *client, const struct amy_redis_result *result,
       void *user)
{
    (void)client;
    count(user, amy_redis_reply_text(result->reply, NULL) != NULL);
}

static void
on_hiredis(redisAsyncContext *context, void *reply, void *user)
{
    const redisReply *answer = reply;

    (void)context;
    count(user, answer != NULL && answer->type == REDIS_REPLY_STRING);
}

static void
ask(struct load *load)
{
    static const char *argv[] = {"GET", "bench:key"};
    static const size_t lengths[] = {3, 9};
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;

    command.argc = 2;
    command.argv = argv;
    command.lengths = lengths;
    load->open = PIPELINE;
    for (unsigned i = 0; i < PIPELINE; i++) {
        if (load->amy != NULL) {
            load->wrong |= amy_redis_send(load->amy, &command, on_amy, load,
                                          NULL, NULL) != 0;
        } else {
            load->wrong |=
                redisAsyncCommandArgv(load->hiredis, on_hiredis, load, 2, argv,
                                      lengths) != REDIS_OK;
        }
    }
}

static void
on_over(evutil_socket_t fd, short what, void *user)
{
    struct load *load = user;

    (void)fd;
    (void)what;
    load->over = true;
}

static int
open_client(struct load *load, const char *kind, const char *socket)
{
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    char url[256] = "";

    if (strcmp(kind, "hiredis") == 0) {
        load->hiredis = redisAsyncConnectUnix(socket);
        return load->hiredis == NULL || load->hiredis->err != 0 ||
                       redisLibeventAttach(load->hiredis, load->base) !=
                           REDIS_OK
                   ? -1
                   : 0;
    }
    (void)snprintf(url, sizeof(url), "unix://%s", socket);
    opts.base = load->base;
    opts.url = url;
    return amy_redis_create(&opts, &load->amy, NULL);
}

static int
run_load(const char *kind, const char *socket, int seconds)
{
    struct load load = {.base = event_base_new()};
    const struct timeval length = {seconds, 0};
    struct event *end = evtimer_new(load.base, on_over, &load);
    double cpu_s = 0;

    if (open_client(&load, kind, socket) < 0) {
        return 1;
    }
    evtimer_add(end, &length);
    cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID);
    ask(&load);
    event_base_dispatch(load.base);
    cpu_s = seconds_of(CLOCK_PROCESS_CPUTIME_ID) - cpu_s;
    printf("{\"gets\": %llu, \"cpu_s\": %.3f, \"good\": %s}\n",
           (unsigned long long)load.answered, cpu_s,
           load.wrong ? "false" : "true");
    return 0;
}

/* One client for all: what a program would have. */
static int
run_deadlines(const char *url, unsigned timeout_ms)
{
    static const char *const argv[] = {"PING"};
    struct amy_redis_options opts = AMY_REDIS_OPTIONS_INIT;
    struct amy_redis_command command = AMY_REDIS_COMMAND_INIT;
    struct amy_redis *client = NULL;
    char line[16] = "";

    (void)signal(SIGPIPE, SIG_IGN);
    opts.url = url;
    opts.connect_ms = 60000;
    opts.failures_max = 1000000; /* each call is to have its whole time */
    command.argc = 1;
    command.argv = argv;
    command.timeout_ms = timeout_ms;
    if (amy_redis_create(&opts, &client, NULL) < 0) {
        return 1;
    }
    while (fgets(line, sizeof(line), stdin) != NULL) {
        struct amy_redis_result result = AMY_REDIS_RESULT_INIT;
        struct amy_error err = AMY_ERROR_INIT;
        double begun_s = seconds_of(CLOCK_MONOTONIC);
        int rc = amy_redis_run(client, &command, &result, &err);

        printf("%d %.1f %s\n", rc,
               (seconds_of(CLOCK_MONOTONIC) - begun_s) * 1000, err.msg);
        (void)fflush(stdout);
    }
    amy_redis_free(client);
    return 0;
}

int
main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "deadline") == 0) {
        return run_deadlines(argv[2], (unsigned)strtoul(argv[3], NULL, 10));
    }
    if (argc == 4) {
        return run_load(argv[1], argv[2], (int)strtol(argv[3], NULL, 10));
    }
    fprintf(stderr, "usage: see the first lines of redis_load.c\n");
    return 2;
}

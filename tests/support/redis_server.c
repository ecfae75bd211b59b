/* Starting and killing redis-server for a test. */
#include "redis_server.h"

#include "amy_test.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#define START_MS 60000
#define ARGUMENTS_MAX 24

/* Until it says so, or ends. */
static bool
wait_until_ready(const struct redis_server *server)
{
    static const char ready[] = "eady to accept connections";
    char said[8192] = "";
    size_t n = 0;

    while (n + 1 < sizeof(said)) {
        struct pollfd watch = {.fd = server->output, .events = POLLIN};
        ssize_t got = 0;

        assert_true(poll(&watch, 1, START_MS) > 0);
        got = read(server->output, said + n, sizeof(said) - 1 - n);
        if (got <= 0) {
            print_message("redis-server ended:\n%s\n", said);
            return false;
        }
        n += (size_t)got;
        said[n] = '\0';
        if (strstr(said, ready) != NULL) {
            return true;
        }
    }
    return false;
}

_Noreturn static void
become_server(const struct redis_server *server, const char *const *arguments,
              int output)
{
    const char *argv[ARGUMENTS_MAX] = {"redis-server",
                                       "--port",
                                       "0",
                                       "--unixsocket",
                                       "redis.sock",
                                       "--save",
                                       "",
                                       "--dir",
                                       ".",
                                       "--loglevel",
                                       "notice",
                                       NULL};
    size_t n = 11;

    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    while (arguments != NULL && *arguments != NULL) {
        argv[n++] = *arguments++;
    }
    if (chdir(server->dir) != 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0) {
        _Exit(126);
    }
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _Exit(127);
}

bool
redis_server_try(struct redis_server *server, const char *const *arguments)
{
    int ends[2] = {-1, -1};
    bool ready = false;

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid == 0) {
        become_server(server, arguments, ends[1]);
    }
    close(ends[1]);
    server->output = ends[0];
    ready = wait_until_ready(server);
    if (!ready) {
        redis_server_stop(server);
    }
    return ready;
}

void
redis_server_start(struct redis_server *server, const char *const *arguments)
{
    assert_true(redis_server_try(server, arguments));
}

void
redis_server_prepare(struct redis_server *server)
{
    *server = (struct redis_server){.output = -1};
    (void)snprintf(server->dir, sizeof(server->dir), "/tmp/amy-redis-XXXXXX");
    assert_non_null(mkdtemp(server->dir));
    (void)snprintf(server->url, sizeof(server->url), "unix://%s/redis.sock",
                   server->dir);
}

void
redis_server_create(struct redis_server *server, const char *const *arguments)
{
    redis_server_prepare(server);
    redis_server_start(server, arguments);
}

void
redis_server_stop(struct redis_server *server)
{
    if (server->pid > 0) {
        (void)kill(server->pid, SIGKILL);
        assert_int_equal(waitpid(server->pid, NULL, 0), server->pid);
        close(server->output);
        server->pid = 0;
    }
}

void
redis_server_free(struct redis_server *server)
{
    char path[128] = "";

    redis_server_stop(server);
    (void)snprintf(path, sizeof(path), "%s/redis.sock", server->dir);
    (void)unlink(path);
    (void)rmdir(server->dir);
}

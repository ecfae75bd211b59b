#include "serving.h"

#include "amy_test.h"

#include "core/files.h"
#include "net/unix.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Each line of `mode` begins with "GENERATION.POSITION ": what that worker does
 * at its start, and with each request. */
static const char server[] =
    "import os, socket, sys, time\n"
    "me = os.environ['AMY_GENERATION'] + '.' + os.environ['AMY_POSITION']\n"
    "def mode():\n"
    "    for line in open('mode'):\n"
    "        if line.split()[0] == me:\n"
    "            return line.split()[1]\n"
    "    return '200'\n"
    "print('up', me, os.path.basename(os.getcwd()), flush=True)\n"
    "if mode() == 'exit':\n"
    "    print('cannot', flush=True); sys.exit(3)\n"
    "if mode() == 'slow':\n"
    "    time.sleep(2)\n"
    "if mode() == 'hang':\n"
    "    time.sleep(1000)\n"
    "listener = socket.socket(fileno=3); listener.setblocking(True)\n"
    "while True:\n"
    "    link, _ = listener.accept()\n"
    "    link.recv(65536)\n"
    "    status = mode().replace('slow', '200')\n"
    "    if status == 'crash':\n"
    "        sys.exit(9)\n"
    "    if status == 'silent':\n"
    "        time.sleep(1000)\n"
    "    if status == 'cut':\n"
    "        link.close(); continue\n"
    "    link.sendall(b'HTTP/1.1 ' + status.encode() + b' x\\r\\n'\n"
    "                 b'Connection: close\\r\\nContent-Length: 0\\r\\n\\r\\n')\n"
    "    link.close()\n";

void
put_mode(const struct scene *s, const char *mode)
{
    scene_put(s, REPO "mode.new", mode, 0644);
    {
        char from[128];
        char to[128];

        (void)snprintf(from, sizeof(from), "%s/" REPO "mode.new", s->path);
        (void)snprintf(to, sizeof(to), "%s/" REPO "mode", s->path);
        assert_int_equal(rename(from, to), 0);
    }
}

void
put_serving(const struct scene *s, const char *health, const char *mode)
{
    char yaml[1024];

    (void)snprintf(yaml, sizeof(yaml),
                   "health: {path: /up, %s}\n"
                   "workers:\n"
                   "  - {name: web, command: [python3, serve.py], count: 2,\n"
                   "     boot_timeout: 3s, timeout: 2s}\n"
                   "routes:\n"
                   "  - {path: /, pool: web}\n",
                   health);
    scene_put_site(s, "export A=1\n", yaml);
    scene_put(s, REPO "serve.py", server, 0644);
    put_mode(s, mode);
}

uint32_t
ready_of(const struct scene *s, uint64_t generation)
{
    const struct amy__workers_pool *web = scene_pool(s, generation, "web");

    return web == NULL ? 0 : amy__workers_pool_ready(web);
}

bool
first_serves(const struct scene *s)
{
    return ready_of(s, 1) == 2;
}

void
serve_first(struct scene *s, const char *health, const char *mode)
{
    put_serving(s, health, mode);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    scene_run_until(s, first_serves);
}

void
ask_reload(struct scene *s)
{
    assert_int_equal(amy_workers_reload(s->workers, scene_on_reloaded, s, NULL),
                     0);
}

void
assert_reason(const struct scene *s, const char *text)
{
    const char *reason = scene_reload(s)->reason;

    if (strstr(reason, text) == NULL) {
        fail_msg("'%s' is not in '%s'", text, reason);
    }
}

void
link_repo(const struct scene *s, const char *release)
{
    char name[64];
    char link[128];
    char fresh[128];

    (void)snprintf(name, sizeof(name), "webapps/" DOMAIN "/releases/%s",
                   release);
    scene_make(s, name);
    (void)snprintf(name, sizeof(name), "releases/%s", release);
    (void)snprintf(link, sizeof(link), "%s/" DOMAIN "/repo", s->webapps);
    (void)snprintf(fresh, sizeof(fresh), "%s/" DOMAIN "/repo.new", s->webapps);
    assert_int_equal(symlink(name, fresh), 0);
    assert_int_equal(rename(fresh, link), 0);
}

/* What it is in the middle of, we may not look at. */
bool
runs_in(const struct scene *s, uint64_t generation, const char *release)
{
    const struct amy__workers_pool *web = scene_pool(s, generation, "web");
    char expected[64];

    (void)snprintf(expected, sizeof(expected), "up %u.0 %s\n",
                   (unsigned)generation, release);
    return web != NULL && web->places[0].tail.text != NULL &&
           strncmp(web->places[0].tail.text, expected, strlen(expected)) == 0;
}

/* ---- what an asker is told ---- */

static int
connect_control(const struct scene *s)
{
    static const char request[] =
        "POST /v1/sites/" DOMAIN "/reload HTTP/1.1\r\nHost: x\r\n\r\n";
    int run_fd = open(s->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int fd = amy__unix_connect_at(run_fd, "workers.sock", NULL);

    amy__close(&run_fd);
    assert_true(fd >= 0);
    assert_int_equal(amy__write_all(fd, request, sizeof(request) - 1, NULL), 0);
    return fd;
}

static char told[8192];
static int told_fd;

static bool
is_told(const struct scene *s)
{
    size_t used = strlen(told);
    ssize_t n =
        recv(told_fd, told + used, sizeof(told) - 1 - used, MSG_DONTWAIT);

    (void)s;
    if (n > 0) {
        told[used + (size_t)n] = '\0';
    }
    return strstr(told, "\r\n\r\n") != NULL && strchr(told, '}') != NULL;
}

void
ask_and_hear(struct scene *s)
{
    memset(told, 0, sizeof(told));
    told_fd = connect_control(s);
    scene_run_until(s, is_told);
    amy__close(&told_fd);
}

void
assert_told(const char *text)
{
    if (strstr(told, text) == NULL) {
        fail_msg("'%s' is not in '%s'", text, told);
    }
}

bool
published(const struct scene *s, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/" DOMAIN "/web/%s", s->run, name);
    return access(path, F_OK) == 0;
}

bool
only_first(const struct scene *s)
{
    return scene_has_reloaded(s) && first_serves(s) &&
           scene_pool(s, 2, "web") == NULL;
}

bool
only_second(const struct scene *s)
{
    return scene_has_reloaded(s) && ready_of(s, 2) == 2 &&
           scene_pool(s, 1, "web") == NULL;
}

uint32_t fewest;

int
serving_set_up(void **state)
{
    fewest = UINT32_MAX;
    return scene_set_up(state);
}

static void
watch_fewest(const struct scene *s)
{
    uint32_t ready = ready_of(s, 1) + ready_of(s, 2);

    fewest = ready < fewest ? ready : fewest;
}

bool
only_first_watched(const struct scene *s)
{
    watch_fewest(s);
    return only_first(s);
}

bool
only_second_watched(const struct scene *s)
{
    watch_fewest(s);
    return only_second(s);
}

uint64_t
restarts_of(const struct scene *s, uint64_t generation, uint32_t position)
{
    struct amy_worker_view view = {.struct_size = sizeof(view)};

    assert_int_equal(amy_pool_worker(scene_pool(s, generation, "web")->pool,
                                     position, &view),
                     0);
    return view.restarts;
}

void
kill_worker(const struct scene *s, uint64_t generation, uint32_t position)
{
    struct amy_worker_view view = {.struct_size = sizeof(view)};

    assert_int_equal(amy_pool_worker(scene_pool(s, generation, "web")->pool,
                                     position, &view),
                     0);
    assert_true(view.pid > 1);
    assert_int_equal(kill((pid_t)view.pid, SIGKILL), 0);
}

bool
bakes(const struct scene *s)
{
    return scene_reload(s)->roll.phase == AMY__ROLL_BAKE;
}

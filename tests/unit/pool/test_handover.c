/* A supervisor is killed; the next one must not start a second worker beside
 * the first, which still finishes. This program is both supervisors. */
/* Not for one supervisor's own positions: test_pool.c. */
#include "amy_test.h"

#include <amy/pool.h>

#include "core/clock.h"
#include "core/files.h"
#include "core/spawn.h"
#include "pool/tree.h"

#include <event2/event.h>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 20000

/* Says when it begins and when it ends, and takes its time to finish. */
#define SCRIPT                                                                 \
    "trap 'sleep 0.3; echo end $$ >>journal; exit 0' TERM; "                   \
    "echo begin $$ >>journal; while :; do sleep 0.05; done"
/* Its child has its own session: rq's work-horse. It ends later. */
#define SCRIPT_WITH_CHILD                                                      \
    "trap 'exit 0' TERM; echo begin $$ >>journal; "                            \
    "setsid sh -c 'sleep 1; echo end >>journal' & "                            \
    "while :; do sleep 0.05; done"

/* Will not go, and lets go of the lock it inherited. */
#define SCRIPT_STUBBORN                                                        \
    "trap '' TERM; exec 3>&-; echo begin $$ >>journal; "                       \
    "while :; do sleep 0.05; done"

static char dir_path[] = "/tmp/amy-test-XXXXXX";
static int dir_fd;

static int
make_dir(void **state)
{
    (void)state;
    (void)snprintf(dir_path, sizeof(dir_path), "/tmp/amy-test-XXXXXX");
    if (mkdtemp(dir_path) == NULL) {
        return -1;
    }
    dir_fd = open(dir_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return dir_fd < 0;
}

static int
remove_dir(void **state)
{
    (void)state;
    (void)unlinkat(dir_fd, "scheduler.0.lock", 0);
    (void)unlinkat(dir_fd, "journal", 0);
    close(dir_fd);
    return rmdir(dir_path);
}

static struct amy_pool *
make_pool(struct event_base *base, const char *directory, int locks,
          const char *script, uint32_t patience_ms)
{
    const char *argv[] = {"sh", "-c", script, NULL};
    struct amy_pool_options opts = AMY_POOL_OPTIONS_INIT;
    struct amy_pool *pool = NULL;

    opts.base = base;
    opts.name = "scheduler";
    opts.argv = argv;
    opts.directory = directory;
    opts.settle_ms = 1;
    opts.stop_patience_ms = patience_ms;
    opts.lock_dir_fd_plus_one = (uint32_t)locks + 1;
    if (amy_pool_create(&opts, &pool, NULL) < 0 ||
        amy_pool_start(pool, NULL) < 0) {
        return NULL;
    }
    return pool;
}

/* The first supervisor: runs until it is killed. */
static int
supervise(const char *directory, const char *script)
{
    struct event_base *base = event_base_new();
    int locks = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (make_pool(base, directory, locks, script, 0) == NULL) {
        return 1;
    }
    (void)event_base_dispatch(base);
    return 0;
}

static const char *
journal(void)
{
    static char text[512];
    int fd = openat(dir_fd, "journal", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);

    text[n < 0 ? 0 : n] = '\0';
    amy__close(&fd);
    return text;
}

static int
lines_of(const char *word)
{
    int n = 0;

    for (const char *at = strstr(journal(), word); at != NULL;
         at = strstr(at + 1, word)) {
        n++;
    }
    return n;
}

/* The note is written a moment after the worker begins. */
static bool
is_noted(void)
{
    struct stat stat = {0};

    return fstatat(dir_fd, "scheduler.0.lock", &stat, 0) == 0 &&
           stat.st_size > 0;
}

static void
start_first(const char *script, struct amy__child *ret_child)
{
    const char *argv[] = {"/proc/self/exe", "supervise", dir_path, script,
                          NULL};
    const char *envp[] = {"PATH=/usr/bin:/bin", NULL};
    struct amy__spawn_plan plan = {.argv = argv, .envp = envp, .cwd_fd = -1};
    int64_t until_ms = amy__mono_ms(NULL) + PATIENCE_MS;

    assert_int_equal(amy__spawn(&plan, ret_child, NULL), 0);
    while ((lines_of("begin") == 0 || !is_noted()) &&
           amy__mono_ms(NULL) < until_ms) {
        (void)poll(NULL, 0, 5);
    }
    assert_int_equal(lines_of("begin"), 1);
    assert_true(is_noted());
}

static void
kill_first(struct amy__child *child)
{
    struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
    struct amy__child_exit how = {0};

    assert_int_equal(amy__child_signal(child, SIGKILL, NULL), 0);
    assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
    assert_int_equal(amy__child_reap(child, &how, NULL), 1);
    amy__close(&child->pidfd);
}

static void
on_tick(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    (void)user;
}

/* Run the second supervisor until its worker begins; whatever the first one
 * started must have ended before. */
static void
second_waits_for_first(const char *script, uint32_t patience_ms)
{
    struct event_base *base = event_base_new();
    struct event *tick = event_new(base, -1, EV_PERSIST, on_tick, NULL);
    struct timeval soon = {0, 5000};
    struct amy_pool *pool = NULL;
    struct amy_worker_view view = {.struct_size = sizeof(view)};
    int64_t until_ms = amy__mono_ms(NULL) + PATIENCE_MS;
    bool waited = false;

    assert_int_equal(event_add(tick, &soon), 0);
    pool = make_pool(base, dir_path, dir_fd, script, patience_ms);
    assert_non_null(pool);
    while (lines_of("begin") < 2 && amy__mono_ms(NULL) < until_ms) {
        assert_int_equal(event_base_loop(base, EVLOOP_ONCE), 0);
        assert_int_equal(amy_pool_worker(pool, 0, &view), 0);
        waited = waited || (view.state == AMY_WORKER_WAITING &&
                            strstr(view.reason, "earlier life") != NULL);
    }
    assert_true(waited);
    assert_int_equal(lines_of("begin"), 2);
    amy_pool_free(pool);
    event_free(tick);
    event_base_free(base);
}

/* begin, end, begin: never two at once. */
static void
never_two_at_once(void)
{
    assert_int_equal(lines_of("end"), 1);
    assert_true(strstr(journal(), "end") <
                strstr(strchr(journal(), '\n'), "begin"));
}

static void
test_the_next_supervisor_waits_for_a_worker_that_drains(void **state)
{
    struct amy__child first = {-1, -1};

    (void)state;
    start_first(SCRIPT, &first);
    kill_first(&first); /* the kernel tells its worker */
    second_waits_for_first(SCRIPT, 0);
    never_two_at_once();
}

static void
test_the_next_supervisor_waits_for_what_a_worker_left_behind(void **state)
{
    struct amy__child first = {-1, -1};

    (void)state;
    start_first(SCRIPT_WITH_CHILD, &first);
    kill_first(&first);
    second_waits_for_first(SCRIPT, 0);
    never_two_at_once();
}

static void
test_the_next_supervisor_kills_a_worker_that_will_not_end(void **state)
{
    struct amy__child first = {-1, -1};
    struct amy__process worker = {0};
    pid_t pid = 0;

    (void)state;
    start_first(SCRIPT_STUBBORN, &first);
    pid = (pid_t)strtol(journal() + sizeof("begin"), NULL, 10);
    kill_first(&first);
    assert_true(amy__process_read(pid, &worker));
    second_waits_for_first(SCRIPT, 100);
    assert_false(amy__process_read(pid, &worker));
}

int
main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_the_next_supervisor_waits_for_a_worker_that_drains, make_dir,
            remove_dir),
        cmocka_unit_test_setup_teardown(
            test_the_next_supervisor_waits_for_what_a_worker_left_behind,
            make_dir, remove_dir),
        cmocka_unit_test_setup_teardown(
            test_the_next_supervisor_kills_a_worker_that_will_not_end, make_dir,
            remove_dir),
    };

    if (argc == 4 && strcmp(argv[1], "supervise") == 0) {
        return supervise(argv[2], argv[3]);
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}

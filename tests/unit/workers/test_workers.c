/* The supervisor with real sites and tiny processes, on a real loop. */
#include "amy_test.h"

#include "core/clock.h"
#include "core/files.h"
#include "core/user.h"
#include "net/unix.h"
#include "workers/internal.h"

#include <event2/event.h>

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DOMAIN "example.org"
#define LATE_MS 20000

struct scene {
    char path[40];
    char webapps[64];
    char run[64];
    char state[64];
    char config[64];
    char user[64];
    struct event_base *base;
    struct amy_workers *workers;
    unsigned reloaded;
    unsigned stopped;
};

static void
put(const struct scene *s, const char *name, const char *text, mode_t mode)
{
    char path[256];
    int fd = -1;

    (void)snprintf(path, sizeof(path), "%s/%s", s->path, name);
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    assert_true(fd >= 0);
    assert_int_equal(amy__write_all(fd, text, strlen(text), NULL), 0);
    amy__close(&fd);
}

static void
make(const struct scene *s, const char *name)
{
    char path[256];

    (void)snprintf(path, sizeof(path), "%s/%s", s->path, name);
    assert_int_equal(amy__make_dirs(path, 0755, NULL), 0);
}

/* logs/ stays ours: without our old powers we could not tidy another's. */
static void
put_site(const struct scene *s, const char *activate, const char *workers)
{
    char yaml[1024];

    make(s, "webapps/" DOMAIN "/logs");
    make(s, "webapps/" DOMAIN "/repo/.venv/bin");
    put(s, "webapps/" DOMAIN "/repo/.venv/bin/python", "#!/bin/sh\n", 0755);
    put(s, "webapps/" DOMAIN "/repo/.venv/bin/activate", activate, 0644);
    (void)snprintf(yaml, sizeof(yaml), "site: " DOMAIN "\nuser: %s\n%s",
                   s->user, workers);
    put(s, "webapps/" DOMAIN "/site.yaml", yaml, 0644);
}

/* Shown with a test that fails. */
static void
on_log(enum amy_log_level level, const char *line, void *user)
{
    (void)level;
    (void)user;
    print_message("%s\n", line);
}

static int
set_up(void **state)
{
    static struct scene s;
    struct amy_workers_options opts = AMY_WORKERS_OPTIONS_INIT;
    const struct amy_log log = {.struct_size = sizeof(log), .fn = on_log};

    s = (struct scene){.base = event_base_new()};
    (void)umask(022);
    (void)snprintf(s.path, sizeof(s.path), "/tmp/amy-workers-XXXXXX");
    assert_non_null(mkdtemp(s.path));
    assert_int_equal(chmod(s.path, 0755), 0);
    (void)snprintf(s.webapps, sizeof(s.webapps), "%s/webapps", s.path);
    (void)snprintf(s.run, sizeof(s.run), "%s/run", s.path);
    (void)snprintf(s.state, sizeof(s.state), "%s/state", s.path);
    (void)snprintf(s.config, sizeof(s.config), "%s/amy.yaml", s.path);
    if (geteuid() == 0) {
        (void)snprintf(s.user, sizeof(s.user), "nobody");
    } else {
        (void)amy__user_name(geteuid(), s.user, sizeof(s.user));
    }
    put(&s, "amy.yaml", "front: {user: daemon}\n", 0644);
    make(&s, "webapps");
    opts.log = &log;
    opts.base = s.base;
    opts.config = s.config;
    opts.webapps = s.webapps;
    opts.run = s.run;
    opts.state = s.state;
    assert_int_equal(amy_workers_create(&opts, &s.workers, NULL), 0);
    *state = &s;
    return 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int
tear_down(void **state)
{
    struct scene *s = *state;

    amy_workers_free(s->workers);
    event_base_free(s->base);
    return nftw(s->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static void
on_reloaded(struct amy_workers *workers, void *user)
{
    (void)workers;
    ((struct scene *)user)->reloaded++;
}

static void
on_stopped(struct amy_workers *workers, void *user)
{
    (void)workers;
    ((struct scene *)user)->stopped++;
}

typedef bool (*holds_fn)(const struct scene *s);

static void
run_until(struct scene *s, holds_fn holds)
{
    int64_t late_ms = amy__mono_ms(NULL) + LATE_MS;

    while (!holds(s)) {
        struct timeval tick = {.tv_usec = 20000};

        assert_true(amy__mono_ms(NULL) < late_ms);
        assert_int_equal(event_base_loopexit(s->base, &tick), 0);
        assert_true(event_base_dispatch(s->base) >= 0);
    }
}

static bool
has_stopped(const struct scene *s)
{
    return s->stopped > 0;
}

static bool
has_reloaded(const struct scene *s)
{
    return s->reloaded > 0;
}

static const struct amy__workers_pool *
pool_of(const struct scene *s, uint64_t generation, const char *name)
{
    const struct amy__workers_site *site =
        amy__workers_site_find(s->workers, DOMAIN);
    const struct amy__workers_pool *pool = site == NULL ? NULL : site->pools;

    while (pool != NULL && (pool->generation != generation ||
                            strcmp(pool->spec->name, name) != 0)) {
        pool = pool->next;
    }
    return pool;
}

static const char two_pools[] =
    "workers:\n"
    "  - {name: one, command: [sleep, '1000']}\n"
    "  - {name: two, command: [sleep, '1000'], replace: stop-first, after: "
    "[one]}\n";

/* Takes the second that it is given. */
static const char slow_second[] =
    "workers:\n"
    "  - {name: one, command: [sleep, '1000']}\n"
    "  - name: two\n"
    "    command: [sh, -c, \"trap '' TERM; while :; do sleep 1; done\"]\n"
    "    after: [one]\n"
    "    stop: {patience: 1s}\n";

static const char broken_first[] =
    "workers:\n"
    "  - {name: one, command: [sh, -c, 'echo no, thanks; exit 1']}\n"
    "  - {name: two, command: [sleep, '1000'], replace: stop-first, after: "
    "[one]}\n";

/* ---- tests ---- */

static void
test_stop_in_the_turn_of_a_reload_ends_both(void **state)
{
    struct scene *s = *state;

    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    assert_int_equal(amy_workers_reload(s->workers, on_reloaded, s, NULL), 0);
    assert_int_equal(amy_workers_stop(s->workers, 0, on_stopped, s, NULL), 0);
    run_until(s, has_stopped);
    assert_int_equal(s->reloaded, 1);
    assert_int_equal(amy_workers_reload(s->workers, on_reloaded, s, NULL),
                     AMY_ESTATE);
    assert_int_equal(amy_workers_stop(s->workers, 0, on_stopped, s, NULL),
                     AMY_EAGAIN);
}

static void
test_everyone_who_asks_for_a_reload_is_told_once(void **state)
{
    struct scene *s = *state;

    put_site(s, "export A=1\n", two_pools);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    assert_int_equal(amy_workers_reload(s->workers, on_reloaded, s, NULL), 0);
    assert_int_equal(amy_workers_reload(s->workers, NULL, NULL, NULL), 0);
    assert_int_equal(amy_workers_reload(s->workers, on_reloaded, s, NULL), 0);
    assert_int_equal(s->reloaded, 0);
    run_until(s, has_reloaded);
    assert_int_equal(amy_workers_stop(s->workers, 1, on_stopped, s, NULL), 0);
    run_until(s, has_stopped);
    assert_int_equal(s->reloaded, 2);
    assert_int_equal(s->stopped, 1);
}

static void
test_stop_while_an_environment_is_read_ends_the_reload(void **state)
{
    struct scene *s = *state;

    put_site(s, "read never </dev/tty || kill -STOP $$\n", two_pools);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    assert_int_equal(amy_workers_reload(s->workers, on_reloaded, s, NULL), 0);
    assert_int_equal(amy_workers_stop(s->workers, 0, on_stopped, s, NULL), 0);
    run_until(s, has_stopped);
    assert_int_equal(s->reloaded, 1);
}

static bool
is_asked(const struct scene *s)
{
    return amy__workers_site_find(s->workers, DOMAIN)->reload.askers != NULL;
}

static void
test_free_answers_who_waits_for_a_site(void **state)
{
    static const char request[] =
        "POST /v1/sites/" DOMAIN "/reload HTTP/1.1\r\nHost: x\r\n\r\n";
    struct scene *s = *state;
    int run_fd = -1;
    int fd = -1;

    put_site(s, "kill -STOP $$\n", two_pools);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    run_fd = open(s->run, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    fd = amy__unix_connect_at(run_fd, "workers.sock", NULL);
    assert_true(fd >= 0);
    assert_int_equal(amy__write_all(fd, request, sizeof(request) - 1, NULL), 0);
    run_until(s, is_asked);
    amy_workers_free(s->workers);
    s->workers = NULL;
    amy__close(&fd);
    amy__close(&run_fd);
}

static bool
second_runs(const struct scene *s)
{
    const struct amy__workers_pool *two = pool_of(s, 1, "two");

    return two != NULL && amy__workers_pool_ready(two) == 1;
}

static bool
first_generation_alone(const struct scene *s)
{
    return has_reloaded(s) && pool_of(s, 2, "one") == NULL &&
           pool_of(s, 2, "two") == NULL;
}

static void
test_broken_generation_ends_and_the_old_one_goes_on(void **state)
{
    struct scene *s = *state;
    const struct amy__workers_reload *reload = NULL;
    struct amy_worker_view view = {.struct_size = sizeof(view)};

    put_site(s, "export A=1\n", two_pools);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    run_until(s, second_runs);
    put_site(s, "export A=1\n", broken_first);
    assert_int_equal(amy_workers_reload(s->workers, on_reloaded, s, NULL), 0);
    run_until(s, first_generation_alone);
    reload = &amy__workers_site_find(s->workers, DOMAIN)->reload;
    assert_int_equal(reload->roll.phase, AMY__ROLL_IDLE);
    assert_string_equal(
        reload->reason,
        "one 0 of generation 2: exited with code 1 before it was ready");
    assert_int_equal(amy__json_count(reload->lines), 1);
    assert_string_equal(amy__json_as_text(amy__json_at(reload->lines, 0), ""),
                        "no, thanks");
    /* Nobody of the old one has even noticed. */
    assert_true(second_runs(s));
    assert_int_equal(amy_pool_worker(pool_of(s, 1, "one")->pool, 0, &view), 0);
    assert_int_equal(view.state, AMY_WORKER_READY);
    assert_int_equal(view.restarts, 0);
}

static bool
second_is_stopping(const struct scene *s)
{
    const struct amy__workers_pool *two = pool_of(s, 1, "two");

    return two != NULL && two->stopping;
}

static bool
next_runs(const struct scene *s)
{
    const struct amy__workers_pool *two = pool_of(s, 2, "two");

    return two != NULL && amy__workers_pool_ready(two) == 1;
}

static void
test_site_that_comes_back_while_it_leaves_runs_again(void **state)
{
    struct scene *s = *state;
    char path[128];

    put_site(s, "export A=1\n", slow_second);
    assert_int_equal(amy_workers_start(s->workers, NULL), 0);
    run_until(s, second_runs);
    (void)snprintf(path, sizeof(path), "%s/" DOMAIN "/site.yaml", s->webapps);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(amy_workers_reload(s->workers, NULL, NULL, NULL), 0);
    run_until(s, second_is_stopping);
    /* Its environment is no good yet: what still drains is no reason to rest */
    put_site(s, "return 1\n", two_pools);
    assert_int_equal(amy_workers_reload(s->workers, on_reloaded, s, NULL), 0);
    run_until(s, has_reloaded);
    put_site(s, "export A=1\n", two_pools);
    run_until(s, next_runs);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_stop_in_the_turn_of_a_reload_ends_both, set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_everyone_who_asks_for_a_reload_is_told_once, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_stop_while_an_environment_is_read_ends_the_reload, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(test_free_answers_who_waits_for_a_site,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_broken_generation_ends_and_the_old_one_goes_on, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_site_that_comes_back_while_it_leaves_runs_again, set_up,
            tear_down),
    };

    return cmocka_run_group_tests_name("workers/workers", tests, NULL, NULL);
}

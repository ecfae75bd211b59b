/* What a worker may and inherits, seen from inside it. As root with another
 * user; as a person only what a person can ask for. */
/* Not for how the ids are changed: tests/unit/core/test_spawn.c. */
#include "amy_test.h"

#include <amy/pool.h>

#include "core/clock.h"
#include "core/user.h"

#include <event2/event.h>

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 20000

struct told {
    struct event_base *base;
    char text[4096];
    bool whole;
};

static void
on_line(struct amy_pool *pool, uint32_t position, int64_t pid, const char *line,
        size_t n, void *user)
{
    struct told *told = user;
    size_t used = strlen(told->text);

    (void)pool;
    (void)position;
    (void)pid;
    (void)snprintf(told->text + used, sizeof(told->text) - used, "%.*s\n",
                   (int)n, line);
    if (n == 3 && memcmp(line, "end", 3) == 0) {
        told->whole = true;
        (void)event_base_loopbreak(told->base);
    }
}

static void
give_up(evutil_socket_t fd, short what, void *user)
{
    (void)fd;
    (void)what;
    (void)event_base_loopbreak(user);
}

/* What a worker of this user prints about itself. */
static void
ask(const char *user, struct told *told)
{
    const char *argv[] = {
        "sh", "-c",
        "id -u; id -G; umask; cat /proc/self/oom_score_adj; "
        "grep -E '^(Cap|NoNewPrivs|SigBlk|SigIgn)' /proc/self/status; "
        "ulimit -n; ls /proc/$$/fd; echo end; exec sleep 100",
        NULL};
    struct amy_pool_options opts = AMY_POOL_OPTIONS_INIT;
    struct amy_pool *pool = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    struct timeval patience = {PATIENCE_MS / 1000, 0};

    *told = (struct told){.base = event_base_new()};
    opts.base = told->base;
    opts.name = "test";
    opts.argv = argv;
    opts.user = user;
    opts.umask_plus_one = 022 + 1;
    opts.oom_score_adj_by = 200;
    opts.max_files = 256;
    opts.on_output = on_line;
    opts.callback_user = told;
    if (amy_pool_create(&opts, &pool, &err) != 0) {
        fail_msg("%s", err.msg);
    }
    assert_int_equal(amy_pool_start(pool, NULL), 0);
    assert_int_equal(event_base_once(told->base, -1, EV_TIMEOUT, give_up,
                                     told->base, &patience),
                     0);
    event_base_dispatch(told->base);
    amy_pool_free(pool);
    event_base_free(told->base);
    assert_true(told->whole);
}

static void
says(const struct told *told, const char *text)
{
    if (strstr(told->text, text) == NULL) {
        fail_msg("'%s' lacks '%s'", told->text, text);
    }
}

static void
says_what_every_worker_has(const struct told *told)
{
    says(told, "\n0022\n");
    says(told, "\n256\n");
    says(told, "SigBlk:\t0000000000000000\n");
    says(told, "SigIgn:\t0000000000000000\n");
    says(told, "\n0\n1\n2\nend\n"); /* no other descriptor */
}

static void
test_a_worker_of_another_user_may_nothing(void **state)
{
    struct told told;
    struct amy__user nobody = {0};
    char ids[64] = "";

    (void)state;
    if (geteuid() != 0) {
        skip();
    }
    assert_int_equal(amy__user_find("nobody", &nobody, NULL), 0);
    ask("nobody", &told);
    (void)snprintf(ids, sizeof(ids), "%u\n%u\n", (unsigned)nobody.uid,
                   (unsigned)nobody.gid);
    assert_memory_equal(told.text, ids, strlen(ids));
    says(&told, "\n200\n");
    says(&told, "CapInh:\t0000000000000000\n");
    says(&told, "CapPrm:\t0000000000000000\n");
    says(&told, "CapEff:\t0000000000000000\n");
    says(&told, "CapAmb:\t0000000000000000\n");
    says(&told, "NoNewPrivs:\t1\n");
    says_what_every_worker_has(&told);
    amy__user_clear(&nobody);
}

static void
test_a_worker_of_our_own_user_gains_nothing_later(void **state)
{
    struct told told;
    struct amy__user us = {0};

    (void)state;
    assert_int_equal(amy__user_find_uid(geteuid(), &us, NULL), 0);
    ask(us.name, &told);
    says(&told, "NoNewPrivs:\t1\n");
    says(&told, "CapEff:\t0000000000000000\n");
    says_what_every_worker_has(&told);
    amy__user_clear(&us);
}

static void
test_a_worker_without_a_user_is_as_we_are(void **state)
{
    struct told told;

    (void)state;
    ask(NULL, &told);
    says_what_every_worker_has(&told);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_worker_of_another_user_may_nothing),
        cmocka_unit_test(test_a_worker_of_our_own_user_gains_nothing_later),
        cmocka_unit_test(test_a_worker_without_a_user_is_as_we_are),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Out of memory at every place of a pool's life: nothing is left, nothing
 * crashes, and a pool that could be made still comes up. */
/* Not for what a pool does with memory: test_pool.c. */
#include "amy_test.h"

#include <amy/pool.h>

#include "fail_alloc.h"
#include "fake_loop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

struct scene {
    struct amy_pool_options opts;
    const char *argv[4];
    const char *envp[3];
    uint32_t ready;
    uint32_t trouble; /* starts that failed */
};

static void
on_event(struct amy_pool *pool, const struct amy_pool_event *event, void *user)
{
    struct scene *s = user;

    (void)pool;
    s->ready += event->type == AMY_POOL_READY;
    s->trouble += event->type == AMY_POOL_BACKOFF;
    assert_true(event->type != AMY_POOL_BACKOFF || event->reason[0] != '\0');
}

static void
on_line(struct amy_pool *pool, uint32_t position, int64_t pid, const char *line,
        size_t n, void *user)
{
    (void)pool;
    (void)position;
    (void)pid;
    (void)line;
    (void)n;
    (void)user;
}

static int
prepare(struct amy_pool *pool, uint32_t position, uint64_t incarnation,
        void *user, struct amy_error *err)
{
    int rc = amy_pool_give_env(pool, "MORE", "1", err);

    (void)position;
    (void)incarnation;
    (void)user;
    return rc < 0 ? rc : amy_pool_give_fd(pool, 0, NULL, err);
}

static void
scene_init(struct scene *s)
{
    *s = (struct scene){
        .opts = AMY_POOL_OPTIONS_INIT,
        .argv = {"sh", "-c", "exec sleep 100", NULL},
        .envp = {"PATH=/usr/bin:/bin", "HOME=/", NULL},
    };
    s->opts.base = (struct event_base *)s; /* the fake never looks at it */
    s->opts.name = "test";
    s->opts.argv = s->argv;
    s->opts.envp = s->envp;
    s->opts.directory = "/";
    s->opts.channel = 1;
    s->opts.borrow_clock = fake_loop_clock();
    s->opts.on_event = on_event;
    s->opts.on_output = on_line;
    s->opts.prepare = prepare;
    s->opts.callback_user = s;
}

static void
nothing_is_left(int live)
{
    assert_int_equal(fail_alloc_live(), live);
    assert_int_equal(fake_loop_left(), 0);
    assert_int_equal(waitpid(-1, NULL, WNOHANG), -1);
    assert_int_equal(errno, ECHILD);
}

static void
test_create_fails_whole_at_every_allocation(void **state)
{
    struct scene s;
    int live = fail_alloc_live();
    int refused = 0;

    (void)state;
    scene_init(&s);
    for (;;) {
        struct amy_pool *pool = NULL;
        struct amy_error err = AMY_ERROR_INIT;
        int rc = 0;

        fail_alloc_nth(refused + 1);
        rc = amy_pool_create(&s.opts, &pool, &err);
        if (rc == 0) {
            amy_pool_free(pool);
            nothing_is_left(live);
            break;
        }
        assert_int_equal(rc, AMY_ENOMEM);
        assert_int_equal(err.code, AMY_ENOMEM);
        assert_null(pool);
        nothing_is_left(live);
        refused++;
    }
    fail_alloc_nth(0);
    assert_true(refused > 10);
}

static void
test_a_start_that_lacks_memory_is_tried_again(void **state)
{
    struct scene s;
    int live = fail_alloc_live();

    (void)state;
    for (int n = 1;; n++) {
        struct amy_pool *pool = NULL;
        bool hit = false;

        scene_init(&s);
        assert_int_equal(amy_pool_create(&s.opts, &pool, NULL), 0);
        assert_int_equal(amy_pool_start(pool, NULL), 0);
        fail_alloc_nth(n);
        fake_loop_turn();
        hit = fail_alloc_hit();
        fail_alloc_nth(0);
        /* 100 ms of backoff, then a second until it is ready. */
        fake_loop_advance(1500);
        assert_int_equal(s.ready, 1);
        assert_int_equal(s.trouble, hit ? 1 : 0);
        amy_pool_free(pool);
        nothing_is_left(live);
        if (!hit) {
            assert_true(n > 10);
            break;
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_create_fails_whole_at_every_allocation),
        cmocka_unit_test(test_a_start_that_lacks_memory_is_tried_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

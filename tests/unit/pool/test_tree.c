/* /proc's text, and our own children beneath us. */
/* Not for when workers are killed: test_pool.c. */
#include "amy_test.h"

#include "core/clock.h"
#include "core/files.h"
#include "core/spawn.h"
#include "pool/tree.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATIENCE_MS 20000

static bool
parse(const char *text, struct amy__process *ret)
{
    return amy__process_parse(amy__span_of(text), ret);
}

#define TAIL                                                                   \
    " 1 4242 4200 0 -1 4194560 5 0 0 0 1 2 3 4 20 0 1 0 998877 12345678 321 "  \
    "184467 1 1 0 0 0 0 0 0 0 0 0 0 17 1 0 0"

static void
test_parse_finds_the_fields_behind_any_name(void **state)
{
    static const char *const texts[] = {
        "4242 (python) S" TAIL,
        "4242 () S" TAIL,
        "4242 (a) R 1 2 3) S" TAIL,
        "4242 ((\n) Z 7) S" TAIL,
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct amy__process process = {0};

        assert_true(parse(texts[i], &process));
        assert_int_equal(process.pid, 4242);
        assert_int_equal(process.group, 4242);
        assert_int_equal(process.start, 998877);
        assert_int_equal(process.rss_pages, 321);
        assert_false(process.ended);
    }
}

static void
test_parse_sees_a_zombie(void **state)
{
    struct amy__process process = {0};

    (void)state;
    assert_true(parse("7 (sh) Z" TAIL, &process));
    assert_true(process.ended);
    assert_true(parse("7 (sh) X" TAIL, &process));
    assert_true(process.ended);
}

static void
test_parse_refuses_what_is_no_stat(void **state)
{
    static const char *const texts[] = {
        "",
        "4242",
        "4242 python S 1 2 3",
        "x (python) S" TAIL,
        "99999999999 (python) S" TAIL,
        "4242 (python) S 1 4242 4200 0 -1",
        "4242 (python) S 1 x 4200 0 -1 4194560 5 0 0 0 1 2 3 4 20 0 1 0 9 8 7",
        "4242 (python)",
        ") (",
    };
    struct amy__process process = {.pid = 77};

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        assert_false(parse(texts[i], &process));
        assert_int_equal(process.pid, 77);
    }
    assert_false(amy__process_parse((struct amy__span){NULL, 0}, &process));
}

static void
test_read_finds_us_and_not_nobody(void **state)
{
    struct amy__process us = {0};
    struct amy__strays strays = {.count = 0};

    (void)state;
    assert_true(amy__process_read(getpid(), &us));
    assert_int_equal(us.pid, getpid());
    assert_int_equal(us.group, getpgrp());
    assert_true(us.rss_pages > 0);
    assert_false(amy__process_read(0x3fffffff, &us));
    assert_int_equal(amy__strays_look(&strays, 0x3fffffff), 0);
}

/* A shell that leads a session; returns the first number it prints. */
static pid_t
start(const char *script, struct amy__child *ret_child)
{
    const char *argv[] = {"/bin/sh", "-c", script, NULL};
    const char *envp[] = {"PATH=/usr/bin:/bin", NULL};
    int ends[2] = {-1, -1};
    struct amy__spawn_fd fds[] = {{0, 1}};
    struct amy__spawn_plan plan = {.argv = argv,
                                   .envp = envp,
                                   .cwd_fd = -1,
                                   .fds = fds,
                                   .fd_count = 1,
                                   .new_session = true};
    char text[32] = "";

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fds[0].from = ends[1];
    assert_int_equal(amy__spawn(&plan, ret_child, NULL), 0);
    close(ends[1]);
    assert_true(read(ends[0], text, sizeof(text) - 1) > 1);
    close(ends[0]);
    return (pid_t)strtol(text, NULL, 10);
}

static void
end(struct amy__child *child)
{
    struct pollfd ended = {.fd = child->pidfd, .events = POLLIN};
    struct amy__child_exit how = {0};

    (void)amy__child_signal_group(child, SIGKILL, NULL);
    assert_int_equal(poll(&ended, 1, PATIENCE_MS), 1);
    assert_int_equal(amy__child_reap(child, &how, NULL), 1);
    amy__close(&child->pidfd);
}

static bool
ends_soon(pid_t pid)
{
    int64_t until_ms = amy__mono_ms(NULL) + PATIENCE_MS;
    struct amy__process process = {0};

    while (amy__process_read(pid, &process)) {
        if (amy__mono_ms(NULL) > until_ms) {
            return false;
        }
        (void)poll(NULL, 0, 2);
    }
    return true;
}

static void
test_strays_are_those_who_left_the_session(void **state)
{
    struct amy__strays strays = {.count = 0};
    struct amy__child child = {-1, -1};
    pid_t stray = start("sleep 100 & setsid sh -c 'echo $$; sleep 100; :' & "
                        "wait",
                        &child);

    (void)state;
    assert_true(amy__strays_look(&strays, child.pid) > 0);
    /* The shell in its own session, and perhaps its sleep already. */
    assert_in_range(strays.count, 1, 2);
    assert_int_equal(strays.list[0].pid, stray);
    (void)amy__strays_look(&strays, child.pid);
    assert_in_range(strays.count, 1, 2); /* noted once */
    /* Still known when there is no leader to find it below. */
    end(&child);
    (void)amy__strays_look(&strays, child.pid);
    assert_in_range(strays.count, 1, 2);
    amy__strays_kill(&strays, child.pid);
    assert_int_equal(strays.count, 0);
    assert_true(ends_soon(stray));
}

/* timeout leads a group of its own, in the same session. */
static void
test_strays_are_those_too_who_left_the_group_alone(void **state)
{
    struct amy__strays strays = {.count = 0};
    struct amy__child child = {-1, -1};
    pid_t stray =
        start("timeout 100 sh -c 'echo $$; exec sleep 100' & wait", &child);

    (void)state;
    assert_int_equal(getsid(stray), child.pid);
    (void)amy__strays_look(&strays, child.pid);
    assert_int_equal(strays.count, 2);
    end(&child);
    amy__strays_kill(&strays, child.pid);
    assert_true(ends_soon(stray));
}

static void
test_strays_that_ended_are_forgotten(void **state)
{
    struct amy__strays strays = {.count = 0};
    struct amy__child child = {-1, -1};
    pid_t stray = start(
        "setsid sh -c 'echo $$; exec sleep 100' & wait; sleep 100", &child);

    (void)state;
    (void)amy__strays_look(&strays, child.pid);
    assert_int_equal(strays.count, 1);
    kill(stray, SIGKILL);
    assert_true(ends_soon(stray));
    (void)amy__strays_look(&strays, child.pid);
    assert_int_equal(strays.count, 0);
    end(&child);
}

static void
test_kill_spares_another_process_of_the_same_number(void **state)
{
    struct amy__child child = {-1, -1};
    struct amy__process process = {0};
    pid_t pid = start("echo $$; exec sleep 100", &child);

    (void)state;
    assert_true(amy__process_read(pid, &process));
    process.start++;
    amy__process_kill(&process);
    assert_true(amy__process_read(pid, &process));
    amy__process_kill(&process);
    assert_true(ends_soon(pid));
    amy__process_kill(&process); /* a zombie: nothing to do */
    end(&child);
    amy__process_kill(&process);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_finds_the_fields_behind_any_name),
        cmocka_unit_test(test_parse_sees_a_zombie),
        cmocka_unit_test(test_parse_refuses_what_is_no_stat),
        cmocka_unit_test(test_read_finds_us_and_not_nobody),
        cmocka_unit_test(test_strays_are_those_who_left_the_session),
        cmocka_unit_test(test_strays_are_those_too_who_left_the_group_alone),
        cmocka_unit_test(test_strays_that_ended_are_forgotten),
        cmocka_unit_test(test_kill_spares_another_process_of_the_same_number),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* One packs at a time, in the order in which they came. */
#include "amy_test.h"

#include <amy/logrotate.h>

#include "logrotate/logrotate.h"
#include "logrotate/turn.h"

#include <event2/event.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* ---- the line ---- */

#define PLACES 3

struct line {
    struct amy__turn turn;
    struct amy__turn_place place[PLACES];
    int woken[PLACES];
};

static void
on_turn(void *user)
{
    ++*(int *)user;
}

static struct line *
make_line(void)
{
    struct line *line = calloc(1, sizeof(*line));

    for (int i = 0; i < PLACES; i++) {
        line->place[i].turn = &line->turn;
        line->place[i].on_turn = on_turn;
        line->place[i].user = &line->woken[i];
    }
    return line;
}

static bool
take(struct line *line, int i, int64_t now_ms)
{
    return amy__turn_take(&line->place[i], now_ms);
}

static void
leave(struct line *line, int i)
{
    amy__turn_leave(&line->place[i]);
}

static void
test_who_comes_first_is_next(void **state)
{
    struct line *line = make_line();

    (void)state;
    assert_true(take(line, 0, 0));
    assert_true(take(line, 0, 1)); /* it has it */
    assert_false(take(line, 1, 1));
    assert_false(take(line, 2, 1));
    assert_false(take(line, 1, 2)); /* once in the line */
    leave(line, 0);
    assert_int_equal(line->woken[1], 1);
    assert_int_equal(line->woken[2], 0);
    assert_false(take(line, 0, 3)); /* behind the others */
    assert_false(take(line, 2, 3));
    assert_true(take(line, 1, 3));
    leave(line, 1);
    assert_int_equal(line->woken[2], 1);
    leave(line, 2); /* has nothing to do any more */
    assert_int_equal(line->woken[0], 1);
    assert_true(take(line, 0, 4));
    leave(line, 0);
    leave(line, 0);
    assert_null(line->turn.first);
    free(line);
}

/* Whose child it is can stop it. */
static void
test_nobody_is_waited_for_without_end(void **state)
{
    struct line *line = make_line();

    (void)state;
    assert_true(take(line, 0, 0));
    assert_false(take(line, 1, 1));
    assert_false(take(line, 1, AMY__TURN_MS - 1));
    assert_true(take(line, 1, AMY__TURN_MS));
    leave(line, 0); /* its end is not that of the other's turn */
    assert_false(take(line, 2, AMY__TURN_MS + 1));
    leave(line, 1);
    assert_true(take(line, 2, AMY__TURN_MS + 1));
    free(line);
}

/* ---- rotators ---- */

#define SITES 6
#define NAME "access.log"
#define DEADLINE_S 60

struct scene {
    char top[32];
    struct event_base *base;
    struct amy__logrotate_peers *peers;
    struct amy_logrotate *rotators[SITES];
    unsigned most; /* that were packing at the same time */
};

static void
on_file(struct amy_logrotate *rotator, const struct amy_logrotate_file *file,
        void *user)
{
    static const char line[] = "a line of a log\n";

    (void)user;
    assert_int_equal(write(file->fd, line, sizeof(line) - 1), sizeof(line) - 1);
    amy_logrotate_release(rotator, file->name, file->serial);
}

static unsigned
partial_files(const struct scene *s)
{
    unsigned found = 0;

    for (int i = 0; i < SITES; i++) {
        char path[64];
        DIR *dir = NULL;
        const struct dirent *entry = NULL;

        (void)snprintf(path, sizeof(path), "%s/%d", s->top, i);
        dir = opendir(path);
        assert_non_null(dir);
        while ((entry = readdir(dir)) != NULL) {
            found += strstr(entry->d_name, ".partial") != NULL;
        }
        (void)closedir(dir);
    }
    return found;
}

static unsigned
packed_files(struct scene *s)
{
    unsigned packed = 0;

    for (int i = 0; i < SITES; i++) {
        struct amy_logrotate_view view = {.struct_size = sizeof(view)};

        amy_logrotate_read(s->rotators[i], &view);
        packed += (unsigned)view.packed;
    }
    return packed;
}

static void
start(struct scene *s, int i)
{
    struct amy_logrotate_options opts = AMY_LOGROTATE_OPTIONS_INIT;
    char path[64];

    (void)snprintf(path, sizeof(path), "%s/%d", s->top, i);
    opts.base = s->base;
    opts.directory = path;
    opts.look_ms = 20;
    opts.on_file = on_file;
    assert_int_equal(
        amy__logrotate_create(&opts, s->peers, &s->rotators[i], NULL), 0);
    assert_int_equal(
        amy_logrotate_add(s->rotators[i], NAME, AMY_LOGROTATE_GIVEN, NULL), 0);
}

static int
set_up(void **state)
{
    struct scene *s = calloc(1, sizeof(*s));

    (void)snprintf(s->top, sizeof(s->top), "/tmp/amy-turn-XXXXXX");
    assert_non_null(mkdtemp(s->top));
    s->base = event_base_new();
    assert_int_equal(amy__logrotate_peers_create(s->base, &s->peers, NULL), 0);
    for (int i = 0; i < SITES; i++) {
        start(s, i);
    }
    *state = s;
    return 0;
}

static int
tear_down(void **state)
{
    struct scene *s = *state;
    char command[64] = "";

    for (int i = 0; i < SITES; i++) {
        amy_logrotate_free(s->rotators[i]);
    }
    amy__logrotate_peers_free(s->peers);
    event_base_free(s->base);
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", s->top);
    free(s);
    return system(command);
}

static void
run_until_packed(struct scene *s, unsigned wanted)
{
    struct timespec begun = {0};
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_MONOTONIC, &begun);
    while (packed_files(s) < wanted) {
        unsigned busy = 0;

        (void)event_base_loop(s->base, EVLOOP_ONCE);
        busy = partial_files(s);
        s->most = busy > s->most ? busy : s->most;
        (void)clock_gettime(CLOCK_MONOTONIC, &now);
        assert_true(now.tv_sec - begun.tv_sec < DEADLINE_S);
    }
}

/* As at midnight. */
static void
test_rotators_of_one_daemon_pack_one_file_at_a_time(void **state)
{
    struct scene *s = *state;

    for (int i = 0; i < SITES; i++) {
        assert_int_equal(amy_logrotate_now(s->rotators[i], NAME, NULL), 0);
    }
    run_until_packed(s, SITES);
    assert_int_equal(s->most, 1);
}

/* One whose turn it is, and one that waits, are freed: the others go on. */
static void
test_a_rotator_that_is_freed_passes_its_turn_on(void **state)
{
    struct scene *s = *state;

    for (int i = 0; i < SITES; i++) {
        assert_int_equal(amy_logrotate_now(s->rotators[i], NAME, NULL), 0);
    }
    while (partial_files(s) == 0) {
        (void)event_base_loop(s->base, EVLOOP_ONCE);
    }
    for (int i = 0; i < 2; i++) {
        amy_logrotate_free(s->rotators[i]);
        start(s, i); /* packs what the one before left */
    }
    run_until_packed(s, SITES);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_who_comes_first_is_next),
        cmocka_unit_test(test_nobody_is_waited_for_without_end),
        cmocka_unit_test_setup_teardown(
            test_rotators_of_one_daemon_pack_one_file_at_a_time, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_rotator_that_is_freed_passes_its_turn_on, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("logrotate/turn", tests, NULL, NULL);
}

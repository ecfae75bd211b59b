/* A gate in the hands of somebody who did not read its page. */
/* Not for what a gate shows: test_gate.c. */
#include "amy_test.h"

#include <amy/gate.h>

#include "misuse.h"

#include <event2/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ON "maintenance_on.html"
#define OFF "maintenance_off.html"
#define LONG_MS 3600000 /* nothing is seen but by inotify */

struct place {
    char path[64];
    struct event_base *base;
    struct amy_gate *gate;
    int changes;
    int free_it;
};

static void
on_change(struct amy_gate *gate, enum amy_gate_state state, void *user)
{
    struct place *place = user;

    (void)state;
    place->changes++;
    if (place->free_it) {
        amy_gate_free(gate);
        place->gate = NULL;
    }
}

static struct amy_gate_options
options(struct place *place)
{
    struct amy_gate_options opts = AMY_GATE_OPTIONS_INIT;

    opts.base = place->base;
    opts.directory = place->path;
    opts.poll_ms = LONG_MS;
    opts.on_change = on_change;
    opts.user = place;
    return opts;
}

static int
set_up(void **state)
{
    static struct place place;
    struct amy_gate_options opts;

    place = (struct place){.path = "/tmp/amy-test-XXXXXX"};
    place.base = event_base_new();
    *state = &place;
    if (mkdtemp(place.path) == NULL || place.base == NULL) {
        return -1;
    }
    opts = options(&place);
    return amy_gate_create(&opts, &place.gate, NULL);
}

static void
move(const struct place *place, const char *from, const char *to)
{
    char old[128] = "";
    char new[128] = "";

    (void)snprintf(old, sizeof(old), "%s/%s", place->path, from);
    (void)snprintf(new, sizeof(new), "%s/%s", place->path, to);
    (void)rename(old, new);
}

static int
tear_down(void **state)
{
    struct place *place = *state;
    char path[128] = "";

    amy_gate_free(place->gate);
    event_base_free(place->base);
    move(place, ON, OFF);
    (void)snprintf(path, sizeof(path), "%s/" OFF, place->path);
    (void)unlink(path);
    return rmdir(place->path);
}

/* ---- options of another version ---- */

static void
test_options_of_an_older_version_have_defaults_for_the_rest(void **state)
{
    struct place *place = *state;
    struct amy_gate_options opts = options(place);
    struct amy_gate_view view = {.struct_size = sizeof(view)};
    struct amy_gate *gate = NULL;

    opts.retry_after_s = 77; /* which that version did not have */
    opts.struct_size = offsetof(struct amy_gate_options, retry_after_s);
    assert_int_equal(amy_gate_create(&opts, &gate, NULL), 0);
    assert_int_equal(amy_gate_close(gate, NULL, NULL), 0);
    assert_int_equal(place->changes, 0); /* nor on_change */
    amy_gate_read(gate, &view);
    assert_int_equal(view.retry_after_s, 120);
    amy_gate_free(gate);
}

static void
test_options_of_a_newer_version_may_ask_for_nothing_new(void **state)
{
    struct amy_gate_options opts = options(*state);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_gate *gate = NULL;
    void *newer = newer_options(&opts, sizeof(opts), 16, 0);

    assert_int_equal(amy_gate_create(newer, &gate, &err), 0);
    amy_gate_free(gate);
    free(newer);
    gate = NULL;
    newer = newer_options(&opts, sizeof(opts), 16, 1);
    assert_int_equal(amy_gate_create(newer, &gate, &err), AMY_EINVAL);
    assert_string_equal(err.msg,
                        "options use a field this libamy does not know");
    assert_null(gate);
    free(newer);
}

static void
test_options_that_nobody_began_are_refused(void **state)
{
    struct amy_gate_options opts = options(*state);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_gate *gate = NULL;

    opts.struct_size = 0;
    assert_int_equal(amy_gate_create(&opts, &gate, &err), AMY_EINVAL);
    assert_string_equal(err.msg, "options struct_size 0 is too small");
    assert_int_equal(amy_gate_create(NULL, &gate, &err), AMY_EINVAL);
    assert_string_equal(err.msg, "options are required");
    assert_null(gate);
}

static void
test_a_view_of_an_older_version_is_not_written_past(void **state)
{
    struct place *place = *state;
    struct amy_gate_view view = {
        .struct_size = offsetof(struct amy_gate_view, page), .page = "mine"};

    assert_int_equal(amy_gate_close(place->gate, NULL, NULL), 0);
    amy_gate_read(place->gate, &view);
    assert_int_equal(view.state, AMY_GATE_CLOSED);
    assert_string_equal(view.page, "mine");
}

/* ---- without a loop ---- */

static void
test_a_gate_without_a_base_is_refused(void **state)
{
    struct amy_gate_options opts = options(*state);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_gate *gate = NULL;

    opts.base = NULL;
    assert_int_equal(amy_gate_create(&opts, &gate, &err), AMY_EINVAL);
    assert_string_equal(err.msg, "gate: no event base given");
}

static void
test_a_gate_whose_loop_does_not_run_does_what_it_is_asked(void **state)
{
    struct place *place = *state;
    struct amy_gate_view view = {.struct_size = sizeof(view)};

    assert_int_equal(amy_gate_close(place->gate, "me", NULL), 0);
    amy_gate_read(place->gate, &view);
    assert_int_equal(view.state, AMY_GATE_CLOSED);
    move(place, ON, OFF);
    amy_gate_read(place->gate, &view);
    assert_int_equal(view.state, AMY_GATE_CLOSED); /* nobody has looked */
    assert_int_equal(amy_gate_poll(place->gate, NULL), 0);
    amy_gate_read(place->gate, &view);
    assert_int_equal(view.state, AMY_GATE_OPEN);
}

/* ---- freed inside its own callback ---- */

static void
test_a_gate_may_be_freed_inside_each_call_that_tells(void **state)
{
    struct place *place = *state;
    struct amy_gate_options opts = options(place);

    place->free_it = 1;
    assert_int_equal(amy_gate_close(place->gate, NULL, NULL), 0);
    assert_null(place->gate);
    assert_int_equal(amy_gate_create(&opts, &place->gate, NULL), 0);
    assert_int_equal(amy_gate_open(place->gate, NULL, NULL), 0);
    assert_null(place->gate);
    assert_int_equal(amy_gate_create(&opts, &place->gate, NULL), 0);
    move(place, OFF, ON);
    assert_int_equal(amy_gate_poll(place->gate, NULL), 0);
    assert_null(place->gate);
    assert_int_equal(place->changes, 3);
}

static void
test_a_gate_may_be_freed_when_the_loop_tells(void **state)
{
    struct place *place = *state;

    assert_int_equal(amy_gate_close(place->gate, NULL, NULL), 0);
    place->changes = 0;
    place->free_it = 1;
    move(place, ON, OFF);
    run_until(place->base, &place->changes);
    assert_null(place->gate);
}

/* ---- fork ---- */

static int
use_it(void *user)
{
    struct place *place = user;
    struct amy_gate_view view = {.struct_size = sizeof(view)};
    struct amy_error err = AMY_ERROR_INIT;
    int bad = 0;

    bad |=
        BAD_UNLESS(refused_in_a_child(amy_gate_poll(place->gate, &err), &err));
    bad |= BAD_UNLESS(
        refused_in_a_child(amy_gate_close(place->gate, NULL, &err), &err));
    bad |= BAD_UNLESS(
        refused_in_a_child(amy_gate_open(place->gate, NULL, &err), &err));
    amy_gate_read(place->gate, &view); /* memory alone */
    bad |= BAD_UNLESS(view.state == AMY_GATE_OPEN);
    amy_gate_free(place->gate);
    return bad;
}

static void
test_a_child_cannot_take_the_gate_from_its_parent(void **state)
{
    struct place *place = *state;

    assert_int_equal(amy_gate_close(place->gate, NULL, NULL), 0);
    assert_int_equal(amy_gate_open(place->gate, NULL, NULL), 0);
    assert_int_equal(in_a_child(use_it, place), 0);
    place->changes = 0;
    move(place, OFF, ON);
    run_until(place->base, &place->changes); /* by inotify, as before */
}

#define GATE_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        GATE_TEST(test_options_of_an_older_version_have_defaults_for_the_rest),
        GATE_TEST(test_options_of_a_newer_version_may_ask_for_nothing_new),
        GATE_TEST(test_options_that_nobody_began_are_refused),
        GATE_TEST(test_a_view_of_an_older_version_is_not_written_past),
        GATE_TEST(test_a_gate_without_a_base_is_refused),
        GATE_TEST(test_a_gate_whose_loop_does_not_run_does_what_it_is_asked),
        GATE_TEST(test_a_gate_may_be_freed_inside_each_call_that_tells),
        GATE_TEST(test_a_gate_may_be_freed_when_the_loop_tells),
        GATE_TEST(test_a_child_cannot_take_the_gate_from_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

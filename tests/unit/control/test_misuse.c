/* A request to a daemon in the hands of somebody who did not read its page. */
/* Not for being freed inside on_done: test_request.c. */
#include "amy_test.h"

#include <amy/control.h>

#include "control/control.h"
#include "misuse.h"

#include <event2/event.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place {
    char path[64];
    struct event_base *base;
    struct amy__control *control;
    struct amy_control_request *request;
    int calls;
    unsigned status;
};

static void
answer_good(struct amy__control_call *call, void *user)
{
    (void)user;
    amy__control_reply(call, 201, amy__json_object());
}

static void
on_done(struct amy_control_request *request,
        const struct amy_control_answer *answer, void *user)
{
    struct place *place = user;

    (void)request;
    place->calls++;
    place->status = answer->status;
}

static struct amy_control_options
options(struct place *place)
{
    struct amy_control_options opts = AMY_CONTROL_OPTIONS_INIT;

    opts.base = place->base;
    opts.run_directory = place->path;
    opts.daemon = "good";
    opts.path = "/v1/good";
    opts.on_done = on_done;
    opts.user = place;
    return opts;
}

static int
set_up(void **state)
{
    static struct place place;
    struct amy__control_options opts = {.name = "good"};

    place = (struct place){.path = "/tmp/amy-test-XXXXXX"};
    place.base = event_base_new();
    *state = &place;
    if (mkdtemp(place.path) == NULL || place.base == NULL) {
        return -1;
    }
    opts.base = place.base;
    opts.run_path = place.path;
    if (amy__control_create(&opts, &place.control, NULL) != 0) {
        return -1;
    }
    return amy__control_add(place.control, "GET", "/v1/good", answer_good, NULL,
                            NULL);
}

static int
tear_down(void **state)
{
    struct place *place = *state;
    char path[128] = "";

    amy_control_free(place->request);
    amy__control_free(place->control);
    event_base_free(place->base);
    (void)snprintf(path, sizeof(path), "%s/good.sock", place->path);
    (void)unlink(path);
    return rmdir(place->path);
}

static void
test_options_of_a_newer_version_may_ask_for_nothing_new(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place);
    struct amy_error err = AMY_ERROR_INIT;
    void *newer = newer_options(&opts, sizeof(opts), 16, 1);

    assert_int_equal(amy_control_start(newer, &place->request, &err),
                     AMY_EINVAL);
    assert_string_equal(err.msg,
                        "options use a field this libamy does not know");
    assert_null(place->request);
    free(newer);
    newer = newer_options(&opts, sizeof(opts), 16, 0);
    assert_int_equal(amy_control_start(newer, &place->request, &err), 0);
    free(newer);
    run_until(place->base, &place->calls);
    assert_int_equal(place->status, 201);
}

/* The first version has had all of it up to `user`. */
static void
test_options_that_no_version_had_are_refused(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place);
    struct amy_error err = AMY_ERROR_INIT;

    opts.struct_size = offsetof(struct amy_control_options, on_done);
    assert_int_equal(amy_control_start(&opts, &place->request, &err),
                     AMY_EINVAL);
    assert_non_null(strstr(err.msg, "too small"));
    assert_int_equal(amy_control_start(NULL, &place->request, &err),
                     AMY_EINVAL);
    assert_null(place->request);
}

static void
test_a_request_without_a_base_is_refused(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place);
    struct amy_error err = AMY_ERROR_INIT;

    opts.base = NULL;
    assert_int_equal(amy_control_start(&opts, &place->request, &err),
                     AMY_EINVAL);
    assert_non_null(strstr(err.msg, "base"));
}

static void
test_a_request_whose_loop_does_not_run_is_never_done(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place);

    assert_int_equal(amy_control_start(&opts, &place->request, NULL), 0);
    amy_control_free(place->request);
    place->request = NULL;
    (void)event_base_loop(place->base, EVLOOP_NONBLOCK);
    assert_int_equal(place->calls, 0);
}

static int
free_it(void *user)
{
    struct place *place = user;

    amy_control_free(place->request);
    return BAD_UNLESS(place->calls == 0);
}

static void
test_a_child_cannot_take_the_answer_from_its_parent(void **state)
{
    struct place *place = *state;
    struct amy_control_options opts = options(place);

    assert_int_equal(amy_control_start(&opts, &place->request, NULL), 0);
    assert_int_equal(in_a_child(free_it, place), 0);
    run_until(place->base, &place->calls);
    assert_int_equal(place->status, 201);
}

#define CONTROL_TEST(test)                                                     \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        CONTROL_TEST(test_options_of_a_newer_version_may_ask_for_nothing_new),
        CONTROL_TEST(test_options_that_no_version_had_are_refused),
        CONTROL_TEST(test_a_request_without_a_base_is_refused),
        CONTROL_TEST(test_a_request_whose_loop_does_not_run_is_never_done),
        CONTROL_TEST(test_a_child_cannot_take_the_answer_from_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* Objects that are whole daemons, in the hands of somebody who did not read
 * their pages. */
#include "whole.h"

#include "amy_test.h"

#include "misuse.h"

#include <stdlib.h>
#include <string.h>

/* More than any options have. */
union options {
    size_t struct_size;
    max_align_t align;
    char bytes[512];
};

static const struct whole *whole;
static struct root root;
static union options options;
static void *it;
static int stopped;

static int
set_up(void **state)
{
    (void)state;
    it = NULL;
    stopped = 0;
    assert_true(whole->size <= sizeof(options));
    if (root_make(&root) != 0) {
        return -1;
    }
    whole->fill(&options, &root);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    whole->free(it);
    return root_remove(&root);
}

/* The clock, which that version did not have, would crash it. */
static void
test_options_of_an_older_version_have_defaults_for_the_rest(void **state)
{
    (void)state;
    options.struct_size = whole->older;
    assert_int_equal(whole->create(&options, &it, NULL), 0);
    assert_int_equal(whole->check(&options, NULL), 0);
}

static void
test_options_of_a_newer_version_may_ask_for_nothing_new(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;
    void *newer = NULL;

    (void)state;
    memset(options.bytes + whole->older, 0, sizeof(options) - whole->older);
    newer = newer_options(&options, whole->size, 16, 1);
    assert_int_equal(whole->create(newer, &it, &err), AMY_EINVAL);
    assert_string_equal(err.msg,
                        "options use a field this libamy does not know");
    assert_int_equal(whole->check(newer, &err), AMY_EINVAL);
    assert_null(it);
    free(newer);
    newer = newer_options(&options, whole->size, 16, 0);
    assert_int_equal(whole->create(newer, &it, &err), 0);
    assert_int_equal(whole->check(newer, &err), 0);
    free(newer);
}

static void
test_options_that_nobody_began_are_refused(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    options.struct_size = 0;
    assert_int_equal(whole->create(&options, &it, &err), AMY_EINVAL);
    assert_string_equal(err.msg, "options struct_size 0 is too small");
    assert_int_equal(whole->create(NULL, &it, &err), AMY_EINVAL);
    assert_int_equal(whole->check(NULL, &err), AMY_EINVAL);
    assert_null(it);
}

static void
test_without_a_base_it_is_refused(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    options.struct_size = whole->older;
    whole->unset_base(&options);
    assert_int_equal(whole->create(&options, &it, &err), AMY_EINVAL);
    assert_non_null(strstr(err.msg, "base"));
}

void
whole_stopped(void)
{
    whole->free(it);
    it = NULL;
    stopped++;
}

static void
test_it_may_be_freed_when_it_tells_that_it_has_stopped(void **state)
{
    (void)state;
    options.struct_size = whole->older;
    assert_int_equal(whole->create(&options, &it, NULL), 0);
    if (whole->daemon != NULL) {
        assert_int_equal(whole->start(it, NULL), 0);
        assert_int_equal(whole->stop(it, NULL), 0);
        assert_int_equal(stopped, 0); /* never from inside the call */
        run_until(root.base, &stopped);
        assert_null(it);
    }
}

static int
use_it(void *user)
{
    struct amy_error err = AMY_ERROR_INIT;
    int bad = 0;

    (void)user;
    bad |= BAD_UNLESS(refused_in_a_child(whole->start(it, &err), &err));
    bad |= BAD_UNLESS(refused_in_a_child(whole->reload(it, &err), &err));
    bad |= BAD_UNLESS(refused_in_a_child(whole->stop(it, &err), &err));
    whole->free(it);
    return bad;
}

/* It answers still, at the socket whose name a free takes away. */
static void
test_a_child_cannot_take_it_from_its_parent(void **state)
{
    (void)state;
    options.struct_size = whole->older;
    assert_int_equal(whole->create(&options, &it, NULL), 0);
    if (whole->daemon == NULL) {
        assert_int_equal(in_a_child(use_it, NULL), 0);
        return;
    }
    assert_int_equal(whole->start(it, NULL), 0);
    assert_int_equal(in_a_child(use_it, NULL), 0);
    assert_int_equal(root_ask(&root, whole->daemon), 200);
}

#define WHOLE_TEST(test)                                                       \
    cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
whole_run(const struct whole *which)
{
    const struct CMUnitTest tests[] = {
        WHOLE_TEST(test_options_of_an_older_version_have_defaults_for_the_rest),
        WHOLE_TEST(test_options_of_a_newer_version_may_ask_for_nothing_new),
        WHOLE_TEST(test_options_that_nobody_began_are_refused),
        WHOLE_TEST(test_without_a_base_it_is_refused),
        WHOLE_TEST(test_it_may_be_freed_when_it_tells_that_it_has_stopped),
        WHOLE_TEST(test_a_child_cannot_take_it_from_its_parent),
    };

    whole = which;
    return cmocka_run_group_tests(tests, NULL, NULL);
}

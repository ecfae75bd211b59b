/* Rotator, writer and reader in the hands of somebody who did not read. */
/* Not for what they do with logs: the other tests of this room. */
#include "amy_test.h"

#include <amy/logrotate.h>

#include "misuse.h"

#include <event2/event.h>

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct place {
    char path[64];
    char logs[80];
    struct event_base *base;
    struct amy_logrotate *rotator;
    int fd; /* a copy of the file that was given last */
    int given;
    int free_at; /* freed when it is given for the n-th time; 0: never */
};

static void
on_file(struct amy_logrotate *rotator, const struct amy_logrotate_file *file,
        void *user)
{
    struct place *place = user;

    place->given++;
    if (place->fd >= 0) {
        (void)close(place->fd);
    }
    place->fd = fcntl(file->fd, F_DUPFD_CLOEXEC, 0);
    if (place->given == place->free_at) {
        amy_logrotate_free(rotator);
        place->rotator = NULL;
    }
}

static struct amy_logrotate_options
options(struct place *place)
{
    struct amy_logrotate_options opts = AMY_LOGROTATE_OPTIONS_INIT;

    opts.base = place->base;
    opts.directory = place->logs;
    opts.packing = AMY_LOGROTATE_PLAIN;
    opts.look_ms = 10;
    opts.size_bytes = 1024;
    opts.on_file = on_file;
    opts.user = place;
    return opts;
}

static int
set_up(void **state)
{
    static struct place place;
    struct amy_logrotate_options opts;

    place = (struct place){.path = "/tmp/amy-test-XXXXXX", .fd = -1};
    place.base = event_base_new();
    *state = &place;
    if (mkdtemp(place.path) == NULL || place.base == NULL) {
        return -1;
    }
    (void)snprintf(place.logs, sizeof(place.logs), "%s/logs", place.path);
    opts = options(&place);
    return amy_logrotate_create(&opts, &place.rotator, NULL);
}

static int
tear_down(void **state)
{
    struct place *place = *state;
    char command[128] = "";

    amy_logrotate_free(place->rotator);
    event_base_free(place->base);
    if (place->fd >= 0) {
        (void)close(place->fd);
    }
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", place->path);
    return system(command); /* NOLINT(cert-env33-c): a path of mkdtemp(3) */
}

static void
add(struct place *place, const char *name)
{
    assert_int_equal(
        amy_logrotate_add(place->rotator, name, AMY_LOGROTATE_GIVEN, NULL), 0);
}

static void
write_bytes(const struct place *place, size_t n)
{
    char text[4096];

    assert_true(n <= sizeof(text));
    memset(text, 'x', n);
    text[n - 1] = '\n';
    assert_int_equal(write(place->fd, text, n), (ssize_t)n);
}

/* ---- options of another version ---- */

static void
test_options_of_an_older_version_have_defaults_for_the_rest(void **state)
{
    struct amy_logrotate_options opts = options(*state);
    struct amy_logrotate *rotator = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    opts.every = 77; /* which that version did not have: no fault */
    opts.struct_size = offsetof(struct amy_logrotate_options, uid);
    assert_int_equal(amy_logrotate_create(&opts, &rotator, &err), 0);
    assert_int_equal(amy_logrotate_set(rotator, &opts, &err), 0);
    /* nor on_file */
    assert_int_equal(
        amy_logrotate_add(rotator, "a.log", AMY_LOGROTATE_GIVEN, &err),
        AMY_EINVAL);
    amy_logrotate_free(rotator);
}

static void
test_options_of_a_newer_version_may_ask_for_nothing_new(void **state)
{
    struct place *place = *state;
    struct amy_logrotate_options opts = options(place);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_logrotate *rotator = NULL;
    void *newer = newer_options(&opts, sizeof(opts), 16, 0);

    assert_int_equal(amy_logrotate_create(newer, &rotator, &err), 0);
    assert_int_equal(amy_logrotate_set(rotator, newer, &err), 0);
    amy_logrotate_free(rotator);
    free(newer);
    rotator = NULL;
    newer = newer_options(&opts, sizeof(opts), 16, 1);
    assert_int_equal(amy_logrotate_create(newer, &rotator, &err), AMY_EINVAL);
    assert_string_equal(err.msg,
                        "options use a field this libamy does not know");
    assert_int_equal(amy_logrotate_set(place->rotator, newer, &err),
                     AMY_EINVAL);
    assert_null(rotator);
    free(newer);
}

static void
test_writers_and_readers_take_options_of_other_versions(void **state)
{
    struct place *place = *state;
    struct amy_log_writer_options writing = AMY_LOG_WRITER_OPTIONS_INIT;
    struct amy_log_reader_options reading = AMY_LOG_READER_OPTIONS_INIT;
    struct amy_log_writer *writer = NULL;
    struct amy_log_reader *reader = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    void *newer = NULL;

    add(place, "access.log"); /* makes the directory */
    writing.name = "access.log";
    newer = newer_options(&writing, sizeof(writing), 8, 1);
    assert_int_equal(amy_log_writer_create(newer, &writer, &err), AMY_EINVAL);
    free(newer);
    writing.struct_size = offsetof(struct amy_log_writer_options, log);
    assert_int_equal(amy_log_writer_create(&writing, &writer, &err), 0);
    amy_log_writer_free(writer);
    reading.directory = place->path;
    newer = newer_options(&reading, sizeof(reading), 8, 1);
    assert_int_equal(amy_log_reader_open(newer, &reader, &err), AMY_EINVAL);
    free(newer);
    reading.struct_size = offsetof(struct amy_log_reader_options, borrow_clock);
    assert_int_equal(amy_log_reader_open(&reading, &reader, &err), 0);
    amy_log_reader_free(reader);
}

/* ---- without a loop ---- */

static void
test_a_rotator_without_a_base_is_refused(void **state)
{
    struct amy_logrotate_options opts = options(*state);
    struct amy_error err = AMY_ERROR_INIT;
    struct amy_logrotate *rotator = NULL;

    opts.base = NULL;
    assert_int_equal(amy_logrotate_create(&opts, &rotator, &err), AMY_EINVAL);
    assert_string_equal(err.msg, "logs: no event base or directory");
}

static void
test_a_rotator_whose_loop_does_not_run_rotates_when_it_is_asked(void **state)
{
    struct place *place = *state;
    struct amy_logrotate_view view = {.struct_size = sizeof(view)};

    add(place, "access.log");
    assert_int_equal(place->given, 1);
    write_bytes(place, 4096); /* due, but nobody looks */
    assert_int_equal(amy_logrotate_now(place->rotator, "access.log", NULL), 0);
    assert_int_equal(place->given, 2);
    amy_logrotate_read(place->rotator, &view);
    assert_int_equal(view.rotations, 1);
}

/* ---- freed inside its own callback ---- */

static void
test_a_rotator_may_be_freed_inside_each_call_that_tells(void **state)
{
    struct place *place = *state;
    struct amy_logrotate_options opts = options(place);

    place->free_at = 1;
    add(place, "access.log");
    assert_null(place->rotator);
    assert_int_equal(amy_logrotate_create(&opts, &place->rotator, NULL), 0);
    place->free_at = 3;
    add(place, "access.log");
    write_bytes(place, 100);
    assert_int_equal(amy_logrotate_now(place->rotator, "access.log", NULL), 0);
    assert_null(place->rotator);
    assert_int_equal(amy_logrotate_create(&opts, &place->rotator, NULL), 0);
    place->free_at = 5;
    add(place, "access.log");
    write_bytes(place, 4096);
    amy_logrotate_poll(place->rotator);
    assert_null(place->rotator);
    assert_int_equal(place->given, 5);
}

static void
test_a_rotator_may_be_freed_when_the_loop_tells(void **state)
{
    struct place *place = *state;

    add(place, "access.log");
    add(place, "error.log"); /* given last: writing goes there */
    write_bytes(place, 4096);
    place->given = 0;
    place->free_at = 1;
    run_until(place->base, &place->given);
    assert_null(place->rotator);
    assert_int_equal(place->given, 1);
}

/* Somebody puts a file there that is due already: it would be told twice. */
static void
test_a_rotator_that_is_freed_tells_nothing_more(void **state)
{
    struct place *place = *state;
    char other[100] = "";
    char name[100] = "";

    (void)snprintf(other, sizeof(other), "%s/other", place->logs);
    (void)snprintf(name, sizeof(name), "%s/access.log", place->logs);
    add(place, "access.log"); /* looked at first */
    add(place, "other");
    write_bytes(place, 4096);
    assert_int_equal(rename(other, name), 0);
    place->given = 0;
    place->free_at = 1;
    amy_logrotate_poll(place->rotator);
    assert_null(place->rotator);
    assert_int_equal(place->given, 1);
}

static void
on_named(struct amy_logrotate *rotator, const struct amy_logrotate_file *file,
         void *user)
{
    struct place *place = user;

    assert_int_equal(file->fd, -1);
    place->given++;
    amy_logrotate_free(rotator);
}

/* It is told of two logs in one look: the second one has nobody to hear it. */
static void
test_a_rotator_of_named_logs_tells_nobody_who_has_freed_it(void **state)
{
    struct place *place = *state;
    struct amy_logrotate_options opts = options(place);
    struct amy_logrotate *rotator = NULL;

    add(place, "a.log");
    write_bytes(place, 4096);
    add(place, "b.log");
    write_bytes(place, 4096);
    amy_logrotate_free(place->rotator);
    place->rotator = NULL;
    place->given = 0;
    opts.on_file = on_named;
    assert_int_equal(amy_logrotate_create(&opts, &rotator, NULL), 0);
    assert_int_equal(
        amy_logrotate_add(rotator, "a.log", AMY_LOGROTATE_NAMED, NULL), 0);
    assert_int_equal(
        amy_logrotate_add(rotator, "b.log", AMY_LOGROTATE_NAMED, NULL), 0);
    amy_logrotate_poll(rotator);
    assert_int_equal(place->given, 1);
}

/* ---- fork ---- */

static int
use_it(void *user)
{
    struct place *place = user;
    struct amy_logrotate *rotator = place->rotator;
    struct amy_logrotate_options opts = options(place);
    struct amy_error err = AMY_ERROR_INIT;
    int given = place->given;
    int bad = 0;

    bad |= BAD_UNLESS(refused_in_a_child(
        amy_logrotate_now(rotator, "access.log", &err), &err));
    bad |= BAD_UNLESS(refused_in_a_child(
        amy_logrotate_add(rotator, "b.log", AMY_LOGROTATE_GIVEN, &err), &err));
    bad |= BAD_UNLESS(
        refused_in_a_child(amy_logrotate_set(rotator, &opts, &err), &err));
    amy_logrotate_poll(rotator);
    amy_logrotate_release(rotator, "access.log", 1);
    amy_logrotate_disk_full(rotator);
    amy_logrotate_free(rotator);
    return bad | BAD_UNLESS(place->given == given);
}

/* The file grows beyond its limit before the fork, so that whoever looks first
 * rotates: it must not be the child. */
static void
test_a_child_cannot_take_the_rotator_from_its_parent(void **state)
{
    struct place *place = *state;
    struct amy_logrotate_view view = {.struct_size = sizeof(view)};

    add(place, "access.log");
    write_bytes(place, 4096);
    assert_int_equal(in_a_child(use_it, place), 0);
    place->given = 0;
    run_until(place->base, &place->given);
    amy_logrotate_read(place->rotator, &view);
    assert_int_equal(view.rotations, 1);
}

static int
read_in_a_child(void *user)
{
    struct amy_log_line line = {.struct_size = sizeof(line)};
    struct amy_log_reader *reader = user;
    int bad = BAD_UNLESS(amy_log_reader_next(reader, &line) == AMY_ESTATE);

    amy_log_reader_free(reader);
    return bad;
}

static void
test_a_child_takes_no_line_from_its_parent(void **state)
{
    struct place *place = *state;
    struct amy_log_reader_options opts = AMY_LOG_READER_OPTIONS_INIT;
    struct amy_log_line line = {.struct_size = sizeof(line)};
    struct amy_log_reader *reader = NULL;

    add(place, "access.log");
    write_bytes(place, 10);
    write_bytes(place, 20);
    opts.directory = place->path;
    opts.follow = 1;
    assert_int_equal(amy_log_reader_open(&opts, &reader, NULL), 0);
    assert_int_equal(in_a_child(read_in_a_child, reader), 0);
    assert_int_equal(amy_log_reader_next(reader, &line), 1);
    assert_int_equal(line.text_bytes, 9);
    assert_int_equal(amy_log_reader_next(reader, &line), 1);
    assert_int_equal(line.text_bytes, 19);
    amy_log_reader_free(reader);
}

#define LOG_TEST(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        LOG_TEST(test_options_of_an_older_version_have_defaults_for_the_rest),
        LOG_TEST(test_options_of_a_newer_version_may_ask_for_nothing_new),
        LOG_TEST(test_writers_and_readers_take_options_of_other_versions),
        LOG_TEST(test_a_rotator_without_a_base_is_refused),
        LOG_TEST(
            test_a_rotator_whose_loop_does_not_run_rotates_when_it_is_asked),
        LOG_TEST(test_a_rotator_may_be_freed_inside_each_call_that_tells),
        LOG_TEST(test_a_rotator_may_be_freed_when_the_loop_tells),
        LOG_TEST(test_a_rotator_that_is_freed_tells_nothing_more),
        LOG_TEST(test_a_rotator_of_named_logs_tells_nobody_who_has_freed_it),
        LOG_TEST(test_a_child_cannot_take_the_rotator_from_its_parent),
        LOG_TEST(test_a_child_takes_no_line_from_its_parent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

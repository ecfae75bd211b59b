#include "amy_test.h"

#include "core/files.h"
#include "workers/internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_NAME "workers/sites/example.org/generation"

static char path[32];
static struct amy_workers workers;

static int
set_up(void **state)
{
    (void)state;
    (void)snprintf(path, sizeof(path), "/tmp/amy-generation-XXXXXX");
    assert_non_null(mkdtemp(path));
    workers.state_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return workers.state_fd < 0 ? -1 : 0;
}

static int
tear_down(void **state)
{
    const char *const made[] = {"workers/sites/example.org", "workers/sites",
                                "workers"};

    (void)state;
    (void)unlinkat(workers.state_fd, FILE_NAME, 0);
    for (size_t i = 0; i < sizeof(made) / sizeof(made[0]); i++) {
        (void)unlinkat(workers.state_fd, made[i], AT_REMOVEDIR);
    }
    amy__close(&workers.state_fd);
    return rmdir(path);
}

static uint64_t
next(void)
{
    uint64_t generation = 0;

    assert_int_equal(amy__workers_generation_next(&workers, "example.org",
                                                  &generation, NULL),
                     0);
    return generation;
}

static void
test_numbers_grow_from_one(void **state)
{
    (void)state;
    assert_int_equal(next(), 1);
    assert_int_equal(next(), 2);
    assert_int_equal(next(), 3);
}

static void
test_damaged_file_begins_anew(void **state)
{
    int fd = -1;

    (void)state;
    assert_int_equal(next(), 1);
    fd = openat(workers.state_fd, FILE_NAME, O_WRONLY | O_TRUNC | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(amy__write_all(fd, "x7", 2, NULL), 0);
    amy__close(&fd);
    assert_int_equal(next(), 1);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_numbers_grow_from_one, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_damaged_file_begins_anew, set_up,
                                        tear_down),
    };

    return cmocka_run_group_tests_name("workers/generation", tests, NULL, NULL);
}

#include "amy_test.h"

#include "core/files.h"
#include "gate/word.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

static void
test_reader_sees_what_the_writer_sets(void **state)
{
    struct amy__gate_words *words = NULL;
    const struct amy__gate_words *seen = NULL;
    int fd = -1;

    (void)state;
    assert_int_equal(amy__gate_words_create(&words, &fd, NULL), 0);
    assert_int_equal(amy__gate_words_map(fd, &seen, NULL), 0);
    assert_int_equal(amy__gate_word(seen, 0), 0);
    assert_int_equal(amy__gate_word(seen, AMY__GATE_WORDS - 1), 0);
    amy__gate_word_set(words, 5, UINT64_C(1) << 40);
    assert_true(amy__gate_word(seen, 5) == UINT64_C(1) << 40);
    assert_int_equal(amy__gate_word(seen, 4), 0);
    amy__gate_word_set(words, 5, 0);
    assert_int_equal(amy__gate_word(seen, 5), 0);
    amy__gate_words_unmap(seen);
    amy__gate_words_unmap(words);
    amy__gate_words_unmap(NULL);
    close(fd);
}

static void
test_reader_cannot_write(void **state)
{
    struct amy__gate_words *words = NULL;
    char path[32] = "";
    void *memory = NULL;
    int fd = -1;
    int again = -1;

    (void)state;
    assert_int_equal(amy__gate_words_create(&words, &fd, NULL), 0);
    memory =
        mmap(NULL, sizeof(*words), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_ptr_equal(memory, MAP_FAILED);
    assert_int_equal(errno, EPERM);
    assert_int_equal(write(fd, "x", 1), -1);
    assert_int_equal(ftruncate(fd, 0), -1);
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    again = open(path, O_RDWR | O_CLOEXEC);
    if (again >= 0) {
        memory = mmap(NULL, sizeof(*words), PROT_READ | PROT_WRITE, MAP_SHARED,
                      again, 0);
        assert_ptr_equal(memory, MAP_FAILED);
        close(again);
    }
    amy__gate_words_unmap(words);
    close(fd);
}

static void
test_map_refuses_other_memory(void **state)
{
    const struct amy__gate_words *seen = NULL;
    int fd = amy__sealed_memfd("other", "x", 1, NULL);

    (void)state;
    assert_int_equal(amy__gate_words_map(fd, &seen, NULL), AMY_EPROTO);
    assert_int_equal(amy__gate_words_map(-1, &seen, NULL), AMY_EPROTO);
    assert_null(seen);
    close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reader_sees_what_the_writer_sets),
        cmocka_unit_test(test_reader_cannot_write),
        cmocka_unit_test(test_map_refuses_other_memory),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

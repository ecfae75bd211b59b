#include "amy_test.h"

#include "backup/zstream.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE ((size_t)3 * 1024 * 1024 + 17)

static char original[SIZE];

static int
make_file(char sha256[65], uint64_t *ret_bytes)
{
    int fd = memfd_create("zstream", MFD_CLOEXEC);
    struct amy__zwriter *writer = NULL;
    size_t at = 0;

    assert_true(fd >= 0);
    for (size_t i = 0; i < SIZE; i++) {
        original[i] = (char)((i * i) >> 7);
    }
    assert_int_equal(amy__zwriter_create(fd, &writer, NULL), 0);
    while (at < SIZE) {
        size_t n = SIZE - at < 100003 ? SIZE - at : 100003;

        assert_int_equal(
            amy__zwriter_write(writer, (struct amy__span){original + at, n},
                               NULL),
            0);
        at += n;
    }
    assert_int_equal(amy__zwriter_finish(writer, sha256, NULL), 0);
    assert_int_equal(amy__zwriter_raw_bytes(writer), SIZE);
    *ret_bytes = amy__zwriter_bytes(writer);
    assert_int_equal(lseek(fd, 0, SEEK_END), (off_t)*ret_bytes);
    amy__zwriter_free(writer);
    return fd;
}

/* Read all; the first error, or 0. */
static int
read_all(int fd, uint64_t *ret_bytes, char sha256[65], bool *ret_same)
{
    struct amy__zreader *reader = NULL;
    struct amy__span piece = {NULL, 1};
    size_t at = 0;
    bool same = true;
    int rc = 0;

    assert_int_equal(lseek(fd, 0, SEEK_SET), 0);
    assert_int_equal(amy__zreader_create(fd, &reader, NULL), 0);
    while (rc == 0 && piece.n > 0) {
        rc = amy__zreader_read(reader, &piece, NULL);
        if (rc == 0 && piece.n > 0) {
            same = same && at + piece.n <= SIZE &&
                   memcmp(original + at, piece.p, piece.n) == 0;
            at += piece.n;
        }
    }
    *ret_same = same && at == SIZE;
    assert_int_equal(amy__zreader_finish(reader, ret_bytes, sha256, NULL), 0);
    amy__zreader_free(reader);
    return rc;
}

static void
test_what_is_written_is_read(void **state)
{
    char wrote[65] = "";
    char got[65] = "";
    uint64_t bytes = 0;
    uint64_t same_bytes = 0;
    bool same = false;
    int fd = make_file(wrote, &bytes);

    (void)state;
    assert_int_equal(read_all(fd, &same_bytes, got, &same), 0);
    assert_true(same);
    assert_int_equal(bytes, same_bytes);
    assert_string_equal(wrote, got);
    (void)close(fd);
}

static void
test_flipped_bytes_and_cuts_are_noticed(void **state)
{
    char wrote[65] = "";
    char got[65] = "";
    uint64_t bytes = 0;
    uint64_t same_bytes = 0;
    bool same = false;
    int fd = make_file(wrote, &bytes);

    (void)state;
    for (uint64_t at = 0; at < bytes; at += bytes / 41 + 1) {
        char byte = 0;

        assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
        byte = (char)(byte ^ 0x10);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
        /* zstd's own checksum need not see what its header ignores; the hash
         * does. */
        assert_true(read_all(fd, &same_bytes, got, &same) < 0 || same);
        assert_int_equal(same_bytes, bytes);
        assert_string_not_equal(wrote, got);
        byte = (char)(byte ^ 0x10);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    }
    for (uint64_t cut = bytes; cut-- > 0; cut -= cut > 1000 ? bytes / 37 : 0) {
        assert_int_equal(ftruncate(fd, (off_t)cut), 0);
        assert_int_equal(read_all(fd, &same_bytes, got, &same), AMY_EPARSE);
        if (cut <= 1000) {
            break;
        }
    }
    (void)close(fd);
}

static void
test_a_disk_that_refuses_is_told(void **state)
{
    int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
    struct amy__zwriter *writer = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    char sha256[65] = "";
    int rc = 0;

    (void)state;
    assert_int_equal(amy__zwriter_create(fd, &writer, NULL), 0);
    for (size_t i = 0; i < SIZE; i++) {
        original[i] = (char)rand();
    }
    rc = amy__zwriter_write(writer, (struct amy__span){original, SIZE}, &err);
    rc = rc < 0 ? rc : amy__zwriter_finish(writer, sha256, &err);
    assert_true(rc < 0);
    assert_non_null(strstr(err.msg, "No space left"));
    amy__zwriter_free(writer);
    (void)close(fd);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_flipped_bytes_and_cuts_are_noticed),
        cmocka_unit_test(test_a_disk_that_refuses_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

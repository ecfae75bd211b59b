/* The cache of open files: what it finds, how long it believes it. */
#include "amy_test.h"

#include <amy/error.h>

#include "fail_alloc.h"
#include "front/filecache.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct fixture {
    char dir[64];
    int dir_fd;
    struct amy__file_cache *cache;
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/amy-files-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(amy__file_cache_create(4, &f->cache, NULL), 0);
    *state = f;
    return 0;
}

static int
remove_one(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    amy__file_cache_free(f->cache);
    assert_int_equal(fail_alloc_live(), 0);
    (void)close(f->dir_fd);
    (void)nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void
put(struct fixture *f, const char *name, const char *text, size_t n)
{
    int fd =
        openat(f->dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    (void)close(fd);
}

static struct amy__file *
get(struct fixture *f, const char *name, int64_t now_ms)
{
    struct amy__file *file = NULL;

    assert_int_equal(
        amy__file_cache_get(f->cache, f->dir_fd, name, now_ms, &file, NULL), 0);
    return file;
}

static int
try_get(struct fixture *f, const char *name, int64_t now_ms)
{
    struct amy__file *file = NULL;
    int rc =
        amy__file_cache_get(f->cache, f->dir_fd, name, now_ms, &file, NULL);

    if (rc == 0) {
        amy__file_unref(file);
    }
    return rc;
}

static void
test_small_file_is_in_memory_large_one_is_open(void **state)
{
    struct fixture *f = *state;
    static char large[16385];
    struct amy__file *file = NULL;

    put(f, "small", "abc", 3);
    put(f, "edge", large, 16384);
    put(f, "large", large, 16385);
    put(f, "empty", "", 0);
    file = get(f, "small", 0);
    assert_int_equal(file->fd, -1);
    assert_memory_equal(file->bytes, "abc", 3);
    assert_int_equal(file->etag[0], '"');
    assert_int_equal(file->etag[file->etag_n - 1], '"');
    amy__file_unref(file);
    file = get(f, "edge", 0);
    assert_int_equal(file->fd, -1);
    amy__file_unref(file);
    file = get(f, "large", 0);
    assert_true(file->fd >= 0);
    assert_int_equal(file->size, 16385);
    amy__file_unref(file);
    file = get(f, "empty", 0);
    assert_int_equal(file->size, 0);
    amy__file_unref(file);
}

static void
test_change_is_seen_after_a_second(void **state)
{
    struct fixture *f = *state;
    struct amy__file *before = NULL;
    struct amy__file *after = NULL;

    put(f, "a", "old", 3);
    put(f, "b", "newer", 5);
    before = get(f, "a", 1000);
    assert_int_equal(renameat(f->dir_fd, "b", f->dir_fd, "a"), 0);
    after = get(f, "a", 1999);
    assert_ptr_equal(after, before);
    amy__file_unref(after);
    after = get(f, "a", 2000);
    assert_ptr_not_equal(after, before);
    assert_string_not_equal(after->etag, before->etag);
    assert_memory_equal(after->bytes, "newer", 5);
    /* Whoever sends the old one still can. */
    assert_memory_equal(before->bytes, "old", 3);
    amy__file_unref(after);
    amy__file_unref(before);
}

static void
test_unchanged_file_stays_the_same_object(void **state)
{
    struct fixture *f = *state;
    struct amy__file *first = NULL;
    struct amy__file *later = NULL;

    put(f, "a", "x", 1);
    first = get(f, "a", 0);
    later = get(f, "a", 50000);
    assert_ptr_equal(first, later);
    amy__file_unref(first);
    amy__file_unref(later);
}

static void
test_file_that_went_is_not_found_after_a_second(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "x", 1);
    assert_int_equal(try_get(f, "a", 0), 0);
    assert_int_equal(unlinkat(f->dir_fd, "a", 0), 0);
    assert_int_equal(try_get(f, "a", 999), 0);
    assert_int_equal(try_get(f, "a", 1000), AMY_ENOTFOUND);
}

static void
test_what_is_no_regular_file_is_not_found(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdirat(f->dir_fd, "dir", 0755), 0);
    assert_int_equal(mkfifoat(f->dir_fd, "fifo", 0644), 0);
    assert_int_equal(try_get(f, "none", 0), AMY_ENOTFOUND);
    assert_int_equal(try_get(f, "dir", 0), AMY_ENOTFOUND);
    assert_int_equal(try_get(f, "fifo", 0), AMY_ENOTFOUND);
    assert_true(try_get(f, "../etc/passwd", 0) < 0);
}

static void
test_least_used_goes_first(void **state)
{
    struct fixture *f = *state;
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    struct amy__file *kept = NULL;
    struct amy__file *again = NULL;

    for (size_t i = 0; i < 5; i++) {
        put(f, names[i], "x", 1);
    }
    kept = get(f, "a", 0);
    for (size_t i = 1; i < 4; i++) {
        assert_int_equal(try_get(f, names[i], 0), 0);
    }
    assert_int_equal(try_get(f, "a", 0), 0); /* used again: b is the oldest */
    assert_int_equal(try_get(f, "e", 0), 0);
    assert_int_equal(unlinkat(f->dir_fd, "b", 0), 0);
    assert_int_equal(try_get(f, "b", 0), AMY_ENOTFOUND);
    again = get(f, "a", 0);
    assert_ptr_equal(kept, again);
    amy__file_unref(kept);
    amy__file_unref(again);
}

static void
test_without_memory_nothing_is_kept(void **state)
{
    struct fixture *f = *state;

    put(f, "a", "x", 1);
    for (int n = 1;; n++) {
        int rc = 0;

        fail_alloc_nth(n);
        rc = try_get(f, "a", 0);
        if (!fail_alloc_hit()) {
            assert_int_equal(rc, 0);
            break;
        }
        assert_int_equal(rc, AMY_ENOMEM);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_small_file_is_in_memory_large_one_is_open),
        TEST(test_change_is_seen_after_a_second),
        TEST(test_unchanged_file_stays_the_same_object),
        TEST(test_file_that_went_is_not_found_after_a_second),
        TEST(test_what_is_no_regular_file_is_not_found),
        TEST(test_least_used_goes_first),
        TEST(test_without_memory_nothing_is_kept),
    };

    return cmocka_run_group_tests_name("front/filecache", tests, NULL, NULL);
}

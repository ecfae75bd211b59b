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
    int root_fd; /* of "root" in it, where all files are */
    struct amy__file_cache *cache;
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    (void)snprintf(f->dir, sizeof(f->dir), "/tmp/amy-files-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    f->dir_fd = open(f->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(mkdirat(f->dir_fd, "root", 0755), 0);
    f->root_fd = openat(f->dir_fd, "root", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
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
    (void)close(f->root_fd);
    (void)close(f->dir_fd);
    (void)nftw(f->dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
    free(f);
    return 0;
}

static void
put(struct fixture *f, const char *name, const char *text, size_t n)
{
    int fd =
        openat(f->root_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, n), (ssize_t)n);
    (void)close(fd);
}

static int
get_rc(struct fixture *f, const char *name, int64_t now_ms,
       struct amy__file **ret_file)
{
    char path[128];
    struct amy__file_name full = {f->dir_fd, path, 4, false};

    (void)snprintf(path, sizeof(path), "root/%s", name);
    return amy__file_cache_get(f->cache, &full, now_ms, ret_file, NULL);
}

static void
put_at(struct fixture *f, const char *name, const char *text, size_t n,
       int64_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds},
                                      {.tv_sec = seconds, .tv_nsec = 999}};

    put(f, name, text, n);
    assert_int_equal(utimensat(f->root_fd, name, times, 0), 0);
}

static struct amy__file *
get(struct fixture *f, const char *name, int64_t now_ms)
{
    struct amy__file *file = NULL;

    assert_int_equal(get_rc(f, name, now_ms, &file), 0);
    return file;
}

static int
try_get(struct fixture *f, const char *name, int64_t now_ms)
{
    struct amy__file *file = NULL;
    int rc = get_rc(f, name, now_ms, &file);

    if (rc == 0) {
        amy__file_unref(file);
    }
    return rc;
}

/* Which codings lie beside it, as bits. */
static unsigned
get_has(struct fixture *f, const char *name, int64_t now_ms)
{
    struct amy__file *file = get(f, name, now_ms);
    unsigned has = 0;

    for (unsigned i = 0; i < AMY__CODINGS; i++) {
        has |= file->packed[i] == NULL ? 0 : 1U << i;
    }
    amy__file_unref(file);
    return has;
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
    assert_int_equal(renameat(f->root_fd, "b", f->root_fd, "a"), 0);
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
    assert_int_equal(unlinkat(f->root_fd, "a", 0), 0);
    assert_int_equal(try_get(f, "a", 999), 0);
    assert_int_equal(try_get(f, "a", 1000), AMY_ENOTFOUND);
}

static void
test_what_is_no_regular_file_is_not_found(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(mkdirat(f->root_fd, "dir", 0755), 0);
    assert_int_equal(mkfifoat(f->root_fd, "fifo", 0644), 0);
    assert_int_equal(try_get(f, "none", 0), AMY_ENOTFOUND);
    assert_int_equal(try_get(f, "dir", 0), AMY_ENOTFOUND);
    assert_int_equal(try_get(f, "fifo", 0), AMY_ENOTFOUND);
    assert_true(try_get(f, "../etc/passwd", 0) < 0);
}

static void
test_no_link_leads_out_of_the_root(void **state)
{
    struct fixture *f = *state;

    put(f, "inside", "x", 1);
    assert_int_equal(renameat(f->root_fd, "inside", f->dir_fd, "outside"), 0);
    put(f, "inside", "x", 1);
    assert_int_equal(symlinkat("inside", f->root_fd, "good"), 0);
    assert_int_equal(symlinkat("../outside", f->root_fd, "bad"), 0);
    assert_int_equal(symlinkat("../outside", f->root_fd, "inside.gz"), 0);
    assert_int_equal(try_get(f, "good", 0), 0);
    assert_true(try_get(f, "bad", 0) < 0);
    assert_true(try_get(f, "../outside", 0) < 0);
    assert_true(get_has(f, "inside", 0) == 0);
}

static void
test_what_lies_beside_comes_along(void **state)
{
    struct fixture *f = *state;
    static char large[20000];
    struct amy__file *file = NULL;

    put_at(f, "a.css", "plain", 5, 100);
    put_at(f, "a.css.gz", "gz", 2, 100);
    put_at(f, "a.css.br", large, sizeof(large), 200);
    file = get(f, "a.css", 0);
    assert_non_null(file->packed[AMY__CODING_GZIP]);
    assert_non_null(file->packed[AMY__CODING_BR]);
    assert_null(file->packed[AMY__CODING_ZSTD]);
    assert_memory_equal(file->packed[AMY__CODING_GZIP]->bytes, "gz", 2);
    assert_true(file->packed[AMY__CODING_BR]->fd >= 0);
    assert_string_not_equal(file->packed[AMY__CODING_GZIP]->etag, file->etag);
    amy__file_unref(file);
}

static void
test_older_empty_or_irregular_ones_do_not_count(void **state)
{
    struct fixture *f = *state;

    put_at(f, "a", "plain", 5, 100);
    put_at(f, "a.br", "x", 1, 99);
    put_at(f, "a.zst", "", 0, 100);
    assert_int_equal(mkdirat(f->root_fd, "a.gz", 0755), 0);
    assert_int_equal(get_has(f, "a", 0), 0);
    put_at(f, "b", "plain", 5, 100);
    put_at(f, "b.br", "x", 1, 100);
    assert_int_equal(get_has(f, "b", 0), 1U << AMY__CODING_BR);
}

static void
test_change_beside_is_seen_after_a_second(void **state)
{
    struct fixture *f = *state;
    struct amy__file *first = NULL;
    struct amy__file *later = NULL;

    put_at(f, "a", "plain", 5, 100);
    first = get(f, "a", 0);
    put_at(f, "a.gz", "gz", 2, 100);
    assert_int_equal(get_has(f, "a", 999), 0);
    assert_int_equal(get_has(f, "a", 1000), 1U << AMY__CODING_GZIP);
    later = get(f, "a", 5000);
    amy__file_unref(first);
    first = get(f, "a", 9000);
    assert_ptr_equal(first, later); /* nothing changed */
    amy__file_unref(first);
    /* The original moves on, and leaves it behind. */
    put_at(f, "new", "other", 5, 101);
    assert_int_equal(renameat(f->root_fd, "new", f->root_fd, "a"), 0);
    assert_int_equal(get_has(f, "a", 10000), 0);
    put_at(f, "new", "gz", 2, 102);
    assert_int_equal(renameat(f->root_fd, "new", f->root_fd, "a.gz"), 0);
    assert_int_equal(get_has(f, "a", 11000), 1U << AMY__CODING_GZIP);
    assert_int_equal(unlinkat(f->root_fd, "a.gz", 0), 0);
    assert_int_equal(get_has(f, "a", 12000), 0);
    amy__file_unref(later);
}

static void
test_what_lies_beside_counts_as_a_file(void **state)
{
    struct fixture *f = *state;
    struct amy__file *kept = NULL;
    struct amy__file *again = NULL;

    put_at(f, "a", "x", 1, 100);
    kept = get(f, "a", 0);
    put_at(f, "b", "x", 1, 100);
    put_at(f, "b.br", "x", 1, 100);
    put_at(f, "b.zst", "x", 1, 100);
    put_at(f, "b.gz", "x", 1, 100);
    assert_int_equal(try_get(f, "b", 0), 0); /* four: no room for a */
    again = get(f, "a", 0);
    assert_ptr_not_equal(kept, again);
    amy__file_unref(kept);
    amy__file_unref(again);
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
    assert_int_equal(unlinkat(f->root_fd, "b", 0), 0);
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
    put(f, "a.gz", "x", 1);
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
        TEST(test_no_link_leads_out_of_the_root),
        TEST(test_what_lies_beside_comes_along),
        TEST(test_older_empty_or_irregular_ones_do_not_count),
        TEST(test_change_beside_is_seen_after_a_second),
        TEST(test_what_lies_beside_counts_as_a_file),
        TEST(test_without_memory_nothing_is_kept),
    };

    return cmocka_run_group_tests_name("front/filecache", tests, NULL, NULL);
}

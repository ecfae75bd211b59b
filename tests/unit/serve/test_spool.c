#include "amy_test.h"

#include "serve/spool.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

struct place {
    struct amy__blocks blocks;
    struct amy__spool_place place;
    struct amy__spool spool;
};

static void
open_place(struct place *p, uint32_t memory_bytes, bool files)
{
    amy__blocks_init(&p->blocks);
    p->place = (struct amy__spool_place){
        .blocks = &p->blocks, .memory_bytes = memory_bytes, .dir_fd = -1};
    if (files) {
        p->place.dir_fd = open("/tmp", O_DIRECTORY | O_CLOEXEC);
    }
    amy__spool_init(&p->spool);
}

static void
close_place(struct place *p)
{
    amy__spool_clear(&p->spool, &p->blocks);
    amy__blocks_clear(&p->blocks);
    if (p->place.dir_fd >= 0) {
        (void)close(p->place.dir_fd);
    }
}

static int
put(struct place *p, const char *text)
{
    return amy__spool_write(&p->spool, &p->place, amy__span_of(text), NULL);
}

static void
test_write_to_the_limit_stays_in_memory(void **state)
{
    struct place p;

    (void)state;
    open_place(&p, 6, false);
    assert_int_equal(amy__spool_expect(&p.spool, &p.place, 6), 0);
    assert_int_equal(put(&p, "abc"), 0);
    assert_int_equal(put(&p, "def"), 0);
    assert_int_equal(p.spool.fd, -1);
    assert_int_equal(p.spool.n, 6);
    assert_memory_equal(p.spool.memory.p, "abcdef", 6);
    close_place(&p);
}

static void
test_write_past_memory_without_files_is_limited(void **state)
{
    struct place p;

    (void)state;
    open_place(&p, 6, false);
    assert_int_equal(put(&p, "abcdef"), 0);
    assert_int_equal(put(&p, "g"), AMY_ELIMIT);
    close_place(&p);
}

static void
test_write_past_memory_moves_to_a_file(void **state)
{
    struct place p;
    char buf[16];

    (void)state;
    open_place(&p, 6, true);
    assert_int_equal(put(&p, "abcd"), 0);
    assert_int_equal(put(&p, "efgh"), 0);
    assert_int_equal(put(&p, "ij"), 0);
    assert_true(p.spool.fd >= 0);
    assert_null(p.spool.memory.p);
    assert_int_equal(p.spool.n, 10);
    assert_int_equal(pread(p.spool.fd, buf, sizeof(buf), 0), 10);
    assert_memory_equal(buf, "abcdefghij", 10);
    close_place(&p);
}

static void
test_write_to_an_impossible_directory_fails(void **state)
{
    struct place p;
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    open_place(&p, 2, false);
    p.place.dir_fd = open("/proc", O_DIRECTORY | O_CLOEXEC);
    assert_true(amy__spool_write(&p.spool, &p.place, AMY_SPAN("abc"), &err) <
                0);
    assert_int_not_equal(err.sys_errno, 0);
    assert_int_equal(p.spool.n, 0);
    close_place(&p);
}

static void
test_write_to_a_full_disk_keeps_what_was_there(void **state)
{
    struct place p;
    struct rlimit before;
    struct rlimit none = {0};

    (void)state;
    open_place(&p, 6, true);
    assert_int_equal(put(&p, "abcdef"), 0);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    none.rlim_max = before.rlim_max;
    (void)signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    assert_int_equal(put(&p, "g"), AMY_ELIMIT); /* EFBIG stands for ENOSPC */
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(p.spool.fd, -1);
    assert_int_equal(p.spool.n, 6);
    assert_memory_equal(p.spool.memory.p, "abcdef", 6);
    close_place(&p);
}

static void
test_blocks_come_in_sizes_and_keep_what_they_hold(void **state)
{
    struct amy__blocks blocks;
    struct amy__block block = {0};

    (void)state;
    amy__blocks_init(&blocks);
    assert_int_equal(amy__blocks_grow(&blocks, &block, 0, 1), 0);
    assert_int_equal(block.cap, 4096);
    memcpy(block.p, "kept", 4);
    assert_int_equal(amy__blocks_grow(&blocks, &block, 4, 4096), 0);
    assert_int_equal(block.cap, 4096);
    assert_int_equal(amy__blocks_grow(&blocks, &block, 4, 4097), 0);
    assert_int_equal(block.cap, 16384);
    assert_int_equal(amy__blocks_grow(&blocks, &block, 4, 65536), 0);
    assert_int_equal(block.cap, 65536);
    assert_int_equal(amy__blocks_grow(&blocks, &block, 4, 65537), 0);
    assert_true(block.cap > 65537);
    assert_memory_equal(block.p, "kept", 4);
    amy__blocks_give(&blocks, &block);
    assert_null(block.p);
    amy__blocks_give(&blocks, &block);
    amy__blocks_clear(&blocks);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write_to_the_limit_stays_in_memory),
        cmocka_unit_test(test_write_past_memory_without_files_is_limited),
        cmocka_unit_test(test_write_past_memory_moves_to_a_file),
        cmocka_unit_test(test_write_to_an_impossible_directory_fails),
        cmocka_unit_test(test_write_to_a_full_disk_keeps_what_was_there),
        cmocka_unit_test(test_blocks_come_in_sizes_and_keep_what_they_hold),
    };

    return cmocka_run_group_tests_name("serve/spool", tests, NULL, NULL);
}

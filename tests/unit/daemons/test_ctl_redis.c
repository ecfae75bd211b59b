/* What amyctl status shows of a Redis, from what amy-workers tells. */
#include "amy_test.h"

#include "ctl_show.h"
#include "ctl_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void
expect(const char *told, const char *shown)
{
    char *out = NULL;
    size_t n = 0;
    FILE *stream = open_memstream(&out, &n);
    json_t *redis = json_loads(told, 0, NULL);

    assert_non_null(stream);
    assert_non_null(redis);
    text_begin(stream);
    show_redis(redis);
    text_begin(stdout);
    assert_int_equal(fclose(stream), 0);
    assert_string_equal(out, shown);
    free(out);
    json_decref(redis);
}

static void
test_all_is_well(void **state)
{
    (void)state;
    expect("{\"server\":{\"version\":\"7.0.15\",\"memory_bytes\":1048576,"
           "\"memory_max_bytes\":268435456,\"memory_policy\":\"noeviction\","
           "\"aof\":true,\"rdb\":true,\"last_save_ok\":true,\"aof_ok\":true,"
           "\"reach\":\"local\"},\"queues\":[{\"name\":\"default\","
           "\"length\":2,\"started\":1,\"failed\":0,\"oldest_ms\":90000},"
           "{\"name\":\"low\",\"length\":0,\"started\":0,\"failed\":3}],"
           "\"queues_known\":2,\"workers\":{\"alive\":2,\"known\":3},"
           "\"age_ms\":10}",
           "  redis 7.0.15, 1.0 MiB of 256 MiB, noeviction, saved by aof and "
           "rdb, local\n"
           "  rq 2 workers alive\n"
           "  queue    waiting  oldest  started  failed\n"
           "  default        2   1m30s        1       0\n"
           "  low            0       -        0       3\n");
}

static void
test_without_rq_there_is_one_line(void **state)
{
    (void)state;
    expect("{\"server\":{\"version\":\"6.2\",\"memory_bytes\":1024,"
           "\"aof\":false,\"rdb\":false,\"reach\":\"guarded\"},\"queues\":[],"
           "\"queues_known\":0,\"workers\":{\"alive\":0}}",
           "  redis 6.2, 1.0 KiB, not saved, guarded\n");
}

static void
test_what_is_wrong_is_told(void **state)
{
    (void)state;
    expect("{\"server\":{\"version\":\"7\",\"memory_bytes\":1024,"
           "\"memory_policy\":\"allkeys-lru\",\"aof\":false,\"rdb\":true,"
           "\"last_save_ok\":false,\"loading\":true,\"reach\":\"open\"},"
           "\"queues\":[{\"name\":\"q\",\"length\":1,\"started\":0,"
           "\"failed\":0}],\"queues_known\":70,\"workers\":{\"alive\":0}}",
           "  redis 7, 1.0 KiB, allkeys-lru, saved by rdb, open\n"
           "  redis: anybody who reaches it by the network may use it: it asks "
           "for no password\n"
           "  redis: the last save failed\n"
           "  redis: it is loading its data\n"
           "  warning: allkeys-lru throws jobs of rq away when memory is "
           "short\n"
           "  rq 0 workers alive, 1 of 70 queues\n"
           "  queue  waiting  oldest  started  failed\n"
           "  q            1       -        0       0\n");
}

static void
test_error_is_told_beside_what_was(void **state)
{
    (void)state;
    expect("{\"error\":\"no answer in time\",\"asked\":true}",
           "  redis: no answer in time\n");
    expect("{\"error\":\"no answer in time\",\"age_ms\":61000,"
           "\"server\":{\"version\":\"7\",\"memory_bytes\":1024,"
           "\"reach\":\"local\"}}",
           "  redis: no answer in time; what follows is 1m1s old\n"
           "  redis 7, 1.0 KiB, local\n");
    expect("{\"asked\":false}", "");
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_is_well),
        cmocka_unit_test(test_without_rq_there_is_one_line),
        cmocka_unit_test(test_what_is_wrong_is_told),
        cmocka_unit_test(test_error_is_told_beside_what_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

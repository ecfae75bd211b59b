#include "amy_test.h"

#include "doctor/judge.h"
#include "recorded.h"

static struct amy__json *
parse(const char *text)
{
    struct amy__json *json = NULL;

    assert_int_equal(amy__json_parse(amy__span_of(text), &json, NULL), 0);
    return json;
}

static void
redis(const char *text, bool queues)
{
    struct amy__json *json = parse(text);

    amy__judge_redis(json, "AMY_REDIS_URL", queues, recorded_begin());
    amy__json_free(json);
}

static void
test_redis_that_is_well(void **state)
{
    (void)state;
    redis("{\"server\": {\"reach\": \"local\", \"memory_policy\": "
          "\"noeviction\", \"last_save_ok\": true, \"rdb\": true, \"aof\": "
          "false}}",
          true);
    expect_nothing();
    redis("{\"server\": {\"reach\": \"guarded\", \"memory_policy\": "
          "\"allkeys-lru\", \"rdb\": false, \"aof\": false}}",
          false); /* a cache */
    expect_nothing();
}

static void
test_redis_that_does_not_answer(void **state)
{
    (void)state;
    redis("{\"error\": \"connecting: refused\"}", false);
    expect_finding("error redis-answer", "connecting: refused");
    redis("{}", false);
    expect_finding("error redis-answer", "nothing was said");
    amy__judge_redis(NULL, "AMY_REDIS_URL", false, recorded_begin());
    expect_finding("error redis-answer", "AMY_REDIS_URL");
}

static void
test_redis_that_is_exposed(void **state)
{
    (void)state;
    redis("{\"server\": {\"reach\": \"open\"}}", false);
    expect_finding("error redis-open", "bind 127.0.0.1");
    redis("{\"server\": {\"reach\": \"unknown\"}}", false);
    expect_finding("unknown redis-reach", "look at `bind`");
}

static void
test_redis_that_loses_jobs(void **state)
{
    (void)state;
    redis("{\"server\": {\"memory_policy\": \"allkeys-lru\"}}", true);
    expect_finding("error redis-policy", "allkeys-lru");
    /* The queues are there, whoever works on them. */
    redis("{\"server\": {\"memory_policy\": \"volatile-ttl\"}, \"queues\": "
          "[{\"name\": \"default\"}]}",
          false);
    expect_finding("error redis-policy", "noeviction");
    redis("{\"server\": {\"rdb\": false, \"aof\": false}}", true);
    expect_finding("warning redis-volatile", "appendonly yes");
    redis("{\"server\": {\"last_save_ok\": false}}", false);
    expect_finding("error redis-save", "could not write");
    redis("{\"server\": {\"aof_ok\": false, \"aof\": true}}", true);
    expect_finding("error redis-save", "could not write");
}

static void
database(const char *text)
{
    struct amy__json *json = parse(text);

    amy__judge_database(json, "DATABASE_URL", recorded_begin());
    amy__json_free(json);
}

static void
test_database_that_is_well(void **state)
{
    (void)state;
    database("{\"host\": \"/run/postgresql\", \"server\": \"15.18\"}");
    expect_nothing();
    database("{\"host\": \"\", \"tls\": false}");
    expect_nothing();
    database("{\"host\": \"127.0.0.1\", \"tls\": false}");
    expect_nothing();
    database("{\"host\": \"db.example.org\", \"tls\": true, \"sslmode\": "
             "\"verify-full\"}");
    expect_nothing();
}

static void
test_database_that_does_not_answer(void **state)
{
    (void)state;
    database("{\"error\": \"connection refused\"}");
    expect_finding("error postgres-answer", "connection refused");
}

static void
test_database_without_tls(void **state)
{
    (void)state;
    database("{\"host\": \"db.example.org\", \"tls\": false, \"sslmode\": "
             "\"prefer\"}");
    expect_finding("error postgres-tls", "sslrootcert=FILE (the CA");
    database("{\"host\": \"a.b.eu-west-1.rds.amazonaws.com\", \"tls\": true, "
             "\"sslmode\": \"require\"}");
    expect_finding("warning postgres-verify", "global-bundle.pem");
    database("{\"host\": \"db.example.org\", \"tls\": true}");
    expect_finding("warning postgres-verify", "sslmode prefer");
}

static void
test_database_without_a_fitting_pg_dump(void **state)
{
    (void)state;
    database("{\"server\": \"17.2\", \"pg_dump_error\": \"there is none for "
             "17: postgresql-client-17\"}");
    expect_finding("error postgres-dump", "postgresql-client-17");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_redis_that_is_well),
        cmocka_unit_test(test_redis_that_does_not_answer),
        cmocka_unit_test(test_redis_that_is_exposed),
        cmocka_unit_test(test_redis_that_loses_jobs),
        cmocka_unit_test(test_database_that_is_well),
        cmocka_unit_test(test_database_that_does_not_answer),
        cmocka_unit_test(test_database_without_tls),
        cmocka_unit_test(test_database_without_a_fitting_pg_dump),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

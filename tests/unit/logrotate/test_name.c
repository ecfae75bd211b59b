#include "amy_test.h"

#include "logrotate/name.h"

#include <string.h>

#define BASE AMY_SPAN("access.log")
#define AT_MS INT64_C(1795726799000) /* 2026-11-26T20:59:59Z */

struct case_of_name {
    const char *text;
    struct amy__logname name;
};

static const struct case_of_name ours[] = {
    {"access.log", {.kind = AMY__LOGNAME_CURRENT}},
    {"access.log-20261126T205959Z",
     {.kind = AMY__LOGNAME_ROTATED, .sequence = 1, .wall_ms = AT_MS}},
    {"access.log-20261126T205959Z-2",
     {.kind = AMY__LOGNAME_ROTATED, .sequence = 2, .wall_ms = AT_MS}},
    {"access.log-20261126T205959Z.gz",
     {.kind = AMY__LOGNAME_ROTATED,
      .packing = AMY__LOGNAME_GZIP,
      .sequence = 1,
      .wall_ms = AT_MS}},
    {"access.log-20261126T205959Z-99.zst.partial",
     {.kind = AMY__LOGNAME_ROTATED,
      .packing = AMY__LOGNAME_ZSTD,
      .partial = true,
      .sequence = 99,
      .wall_ms = AT_MS}},
};

static const struct case_of_name adopted[] = {
    {"access.log.1", {.kind = AMY__LOGNAME_ADOPTED}},
    {"access.log.14.gz",
     {.kind = AMY__LOGNAME_ADOPTED, .packing = AMY__LOGNAME_GZIP}},
    {"access.log-20261126", {.kind = AMY__LOGNAME_ADOPTED}},
    {"access.log-20261126.gz",
     {.kind = AMY__LOGNAME_ADOPTED, .packing = AMY__LOGNAME_GZIP}},
    {"access.log-2026112620", {.kind = AMY__LOGNAME_ADOPTED}},
    {"access.log-1795726799.zst",
     {.kind = AMY__LOGNAME_ADOPTED, .packing = AMY__LOGNAME_ZSTD}},
};

static void
assert_reads(const struct case_of_name *expected)
{
    struct amy__logname got = {.sequence = 77};

    assert_true(amy__logname_parse(amy__span_of(expected->text), BASE, &got));
    assert_int_equal(got.kind, expected->name.kind);
    assert_int_equal(got.packing, expected->name.packing);
    assert_int_equal(got.partial, expected->name.partial);
    assert_int_equal(got.sequence, expected->name.sequence);
    assert_int_equal(got.wall_ms, expected->name.wall_ms);
}

static void
test_own_names_are_read_as_they_are_written(void **state)
{
    char buf[AMY__LOGNAME_SIZE] = "";

    (void)state;
    for (size_t i = 0; i < sizeof(ours) / sizeof(ours[0]); i++) {
        assert_reads(&ours[i]);
        assert_string_equal(amy__logname_write(BASE, &ours[i].name, buf),
                            ours[i].text);
    }
}

static void
test_names_of_logrotate_are_adopted(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(adopted) / sizeof(adopted[0]); i++) {
        assert_reads(&adopted[i]);
    }
}

static void
test_other_names_are_foreign(void **state)
{
    static const char *const foreign[] = {
        "",
        "access.lo",
        "access.log.",
        "access.log-",
        "access.log.gz",
        "access.log.partial",
        "access.log.0",
        "access.log.01",
        "access.log.1234567",
        "access.log.1.gz.partial",
        "access.log.1.bak",
        "access.log.old",
        "access.log-2026112",
        "access.log-20261126205959Z",
        "access.log-20261126T205959",
        "access.log-20261126T205959Z.partial",
        "access.log-20261126T205959Z-1",
        "access.log-20261126T205959Z-100",
        "access.log-20261126T205959Z.gz.gz",
        "access.log-20261126T205959Z.gz.bak",
        "access.log-20261326T205959Z",
        "access.log-20260229T205959Z",
        "error.log-20261126T205959Z",
        "my-access.log-20261126T205959Z",
        "ACCESS.LOG.1",
    };
    struct amy__logname got = {.sequence = 77};

    (void)state;
    for (size_t i = 0; i < sizeof(foreign) / sizeof(foreign[0]); i++) {
        if (amy__logname_parse(amy__span_of(foreign[i]), BASE, &got)) {
            fail_msg("'%s' was taken", foreign[i]);
        }
    }
    assert_int_equal(got.sequence, 77);
}

static void
test_a_base_is_no_rotated_name(void **state)
{
    static const char *const good[] = {"access.log", "django.log",
                                       "a",          "gunicorn_supervisor.log",
                                       "rq-1.log",   "v2.0.log"};
    static const char *const faulty[] = {
        "",
        ".",
        "..",
        ".hidden.log",
        "a/b.log",
        "a b.log",
        "a\n.log",
        "\xc3\xa4.log",
        "access.log.1",
        "access.log.gz",
        "access.log-20261126",
        "access.log-20261126T205959Z",
        "access.log.zst.partial",
        "django.partial",
    };
    char longest[AMY__LOGNAME_BASE_MAX + 2];

    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(amy__logname_is_base(amy__span_of(good[i])));
    }
    for (size_t i = 0; i < sizeof(faulty) / sizeof(faulty[0]); i++) {
        if (amy__logname_is_base(amy__span_of(faulty[i]))) {
            fail_msg("'%s' was taken", faulty[i]);
        }
    }
    memset(longest, 'a', sizeof(longest));
    assert_true(amy__logname_is_base(
        (struct amy__span){longest, AMY__LOGNAME_BASE_MAX}));
    assert_false(amy__logname_is_base(
        (struct amy__span){longest, AMY__LOGNAME_BASE_MAX + 1}));
}

static void
test_the_longest_name_fits(void **state)
{
    char longest[AMY__LOGNAME_BASE_MAX];
    char buf[AMY__LOGNAME_SIZE] = "";
    struct amy__logname name = ours[4].name;

    (void)state;
    memset(longest, 'a', sizeof(longest));
    (void)amy__logname_write((struct amy__span){longest, AMY__LOGNAME_BASE_MAX},
                             &name, buf);
    assert_int_equal(strlen(buf),
                     AMY__LOGNAME_BASE_MAX + strlen(ours[4].text) - BASE.n);
    assert_true(amy__span_ends(amy__span_of(buf), AMY_SPAN(".zst.partial")));
}

static void
test_names_are_ordered_by_time_then_sequence(void **state)
{
    struct amy__logname older = {.wall_ms = AT_MS, .sequence = 99};
    struct amy__logname newer = {.wall_ms = AT_MS + 1000, .sequence = 1};
    struct amy__logname second = {.wall_ms = AT_MS, .sequence = 9};

    (void)state;
    assert_true(amy__logname_compare(&older, &newer) < 0);
    assert_true(amy__logname_compare(&newer, &older) > 0);
    assert_true(amy__logname_compare(&second, &older) < 0);
    assert_int_equal(amy__logname_compare(&older, &older), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_names_are_read_as_they_are_written),
        cmocka_unit_test(test_names_of_logrotate_are_adopted),
        cmocka_unit_test(test_other_names_are_foreign),
        cmocka_unit_test(test_a_base_is_no_rotated_name),
        cmocka_unit_test(test_the_longest_name_fits),
        cmocka_unit_test(test_names_are_ordered_by_time_then_sequence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What is remembered of a copy: kept in order, written and read again. */
#include "amy_test.h"

#include "backup/copyrecord.h"
#include "backup/job.h"
#include "core/alloc.h"
#include "core/files.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct amy__copy_entry
entry(const char *name, bool proven)
{
    struct amy__copy_entry made = {.proven = proven,
                                   .proven_ms =
                                       proven ? 1000 : AMY__MANIFEST_NO_TIME,
                                   .bytes = 12};

    (void)snprintf(made.name, sizeof(made.name), "%s", name);
    (void)snprintf(made.data, sizeof(made.data), "d%s", name);
    return made;
}

static void
put(struct amy__copy_record *record, const char *name, bool proven)
{
    struct amy__copy_entry made = entry(name, proven);

    assert_int_equal(amy__copy_record_put(record, &made, NULL), 0);
}

static void
test_entries_are_kept_newest_first_and_once(void **state)
{
    struct amy__copy_record record = {.items = NULL};

    (void)state;
    put(&record, "20261123T020000Z", false);
    put(&record, "20261123T040000Z", false);
    put(&record, "20261123T010000Z", false);
    put(&record, "20261123T030000Z", false);
    put(&record, "20261123T030000Z", true);
    assert_int_equal(record.count, 4);
    for (size_t i = 1; i < record.count; i++) {
        assert_true(amy__stamp_compare(record.items[i - 1].name,
                                       record.items[i].name) > 0);
    }
    assert_true(amy__copy_record_find(&record, "20261123T030000Z")->proven);
    amy__copy_record_drop(&record, "20261123T040000Z");
    amy__copy_record_drop(&record, "20261123T040000Z");
    amy__copy_record_drop(&record, "20261123T010000Z");
    assert_int_equal(record.count, 2);
    assert_string_equal(record.items[0].name, "20261123T030000Z");
    amy__copy_record_clear(&record);
}

static void
test_a_record_is_read_as_it_was_written(void **state)
{
    struct amy__copy_record record = {.sending = "20261123T050000Z"};
    struct amy__copy_record same;
    struct amy__buf text;

    (void)state;
    amy__buf_init(&text, 65536);
    put(&record, "20261123T020000Z", false);
    put(&record, "20261123T040000Z", true);
    record.items[1].bad = true;
    assert_int_equal(amy__copy_record_write(&record, &text, NULL), 0);
    assert_int_equal(amy__copy_record_read(amy__buf_span(&text), &same, NULL),
                     0);
    assert_string_equal(same.sending, "20261123T050000Z");
    assert_int_equal(same.count, 2);
    assert_true(same.items[0].proven && same.items[0].proven_ms == 1000);
    assert_false(same.items[1].proven);
    assert_true(same.items[1].bad && !same.items[0].bad);
    assert_string_equal(same.items[1].data, "d20261123T020000Z");
    assert_int_equal(same.items[1].bytes, 12);
    amy__copy_record_clear(&same);
    amy__copy_record_clear(&record);
    amy__buf_clear(&text);
}

static void
test_what_is_no_record_is_refused(void **state)
{
    static const char *const each[] = {
        "",
        "{}",
        "{\"format\":2,\"sending\":\"\",\"sets\":[]}",
        "{\"format\":1,\"sending\":\"../x\",\"sets\":[]}",
        "{\"format\":1,\"sending\":\"\"}",
        "{\"format\":1,\"sending\":\"\",\"sets\":[{}]}",
        "{\"format\":1,\"sending\":\"\",\"sets\":[{\"name\":\"x\",\"bytes\":1,"
        "\"data\":\"\",\"manifest\":\"\"}]}",
        "{\"format\":1,\"sending\":\"\",\"sets\":[{\"name\":"
        "\"20261123T020000Z\",\"bytes\":-1,\"data\":\"\",\"manifest\":\"\"}]}",
        "{\"format\":1,\"sending\":\"\",\"sets\":[{\"name\":"
        "\"20261123T020000Z\",\"bytes\":1,\"proven\":\"yes\",\"data\":\"\","
        "\"manifest\":\"\"}]}"};

    (void)state;
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        struct amy__copy_record record;

        assert_int_equal(
            amy__copy_record_read(amy__span_of(each[i]), &record, NULL),
            AMY_EPARSE);
        amy__copy_record_clear(&record);
    }
}

/* --- files --- */

static void
write_bytes(int fd, const char *bytes, size_t n)
{
    assert_int_equal(amy__write_file_at(fd, "nas.json", bytes, n, 0600, NULL),
                     0);
}

static void
test_only_no_record_and_one_that_makes_no_sense_are_empty(void **state)
{
    char path[] = "/tmp/amy-copyrecord-XXXXXX";
    struct amy__copy_record record;
    char *large = amy__calloc(1, 5000000);
    int sets_fd = -1;
    int fd = -1;

    (void)state;
    assert_non_null(mkdtemp(path));
    sets_fd = amy__open_dir(path, NULL);
    assert_int_equal(amy__copies_load(sets_fd, "nas", "", &record, NULL), 0);
    fd = amy__copies_open(sets_fd, NULL);
    assert_int_equal(amy__copies_load(sets_fd, "nas", "", &record, NULL), 0);
    write_bytes(fd, "{", 1);
    assert_int_equal(amy__copies_load(sets_fd, "nas", "", &record, NULL), 0);
    assert_int_equal(record.count, 0);
    assert_int_equal(faccessat(fd, "nas.json.bad", F_OK, 0), 0);
    record = (struct amy__copy_record){.place = "/mnt/nas"};
    put(&record, "20261123T020000Z", true);
    assert_int_equal(amy__copies_save(fd, "nas", &record, NULL), 0);
    amy__copy_record_clear(&record);
    assert_int_equal(
        amy__copies_load(sets_fd, "nas", "/mnt/other", &record, NULL), 0);
    assert_int_equal(record.count, 0); /* of another place */
    assert_int_equal(
        amy__copies_load(sets_fd, "nas", "/mnt/nas", &record, NULL), 0);
    assert_int_equal(record.count, 1);
    amy__copy_record_clear(&record);
    write_bytes(fd, large, 5000000);
    assert_int_equal(amy__copies_load(sets_fd, "nas", "", &record, NULL),
                     AMY_ELIMIT);
    assert_int_equal(unlinkat(fd, "nas.json", 0), 0);
    assert_int_equal(mkdirat(fd, "nas.json", 0700), 0);
    assert_true(amy__copies_load(sets_fd, "nas", "", &record, NULL) < 0);
    assert_int_equal(unlinkat(fd, "nas.json", AT_REMOVEDIR), 0);
    assert_int_equal(unlinkat(fd, "nas.json.bad", 0), 0);
    assert_int_equal(unlinkat(sets_fd, AMY__SETS_COPIES, AT_REMOVEDIR), 0);
    assert_int_equal(rmdir(path), 0);
    amy__close(&fd);
    amy__close(&sets_fd);
    amy__free(large);
}

/* --- the job that is told of a copy --- */

static void
test_a_spec_with_copies_comes_through(void **state)
{
    struct amy__job_spec spec = {
        .action = AMY__JOB_COPY,
        .slot_ms = AMY__MANIFEST_NO_TIME,
        .copy = {.name = "nas", .directory = "/mnt/nas", .rules = {.count = 7}},
        .copies = {{.name = "nas", .place = "/mnt/nas"},
                   {.name = "s3", .rules = {.daily = 3}}},
        .copy_count = 2};
    struct amy__job_spec same;
    struct amy__buf text;

    (void)state;
    amy__buf_init(&text, 65536);
    assert_int_equal(amy__job_spec_write(&spec, &text), 0);
    assert_int_equal(amy__job_spec_read(amy__buf_span(&text), &same, NULL), 0);
    assert_memory_equal(&same.copy, &spec.copy, sizeof(same.copy));
    assert_memory_equal(same.copies, spec.copies, sizeof(same.copies));
    assert_int_equal(same.copy_count, 2);
    amy__buf_clear(&text);
}

static void
test_a_place_is_where_and_not_who(void **state)
{
    static const struct amy__copy_spec each[] = {
        {.directory = "/mnt/nas"},
        {.directory = "/mnt/nas2"},
        {.s3 = "a/b"},
        {.s3 = "a/c"},
        {.s3 = "a/b", .endpoint = "https://localhost"}};
    const struct amy__copy_spec same = {
        .name = "x", .s3 = "a/b", .credentials = "file", .rules = {.count = 2}};
    char place[5][AMY__COPY_PLACE_SIZE];
    char again[AMY__COPY_PLACE_SIZE];

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        amy__copy_place(&each[i], place[i]);
        for (size_t j = 0; j < i; j++) {
            assert_string_not_equal(place[i], place[j]);
        }
    }
    amy__copy_place(&same, again);
    assert_string_equal(again, place[2]);
}

static void
test_a_spec_with_a_copy_that_would_lead_elsewhere_is_refused(void **state)
{
    static const char *const each[] = {
        "{\"action\":\"copy\",\"copy\":{\"name\":\"../x\"}}",
        "{\"action\":\"list\",\"copies\":[{\"name\":\"a/b\"}]}",
        "{\"action\":\"list\",\"copies\":[{\"name\":\"\"}]}",
        "{\"action\":\"list\",\"copies\":[{\"name\":\"a\",\"count\":-1}]}",
        /* one more than there may be */
        ("{\"action\":\"list\",\"copies\":[{\"name\":\"a\"},{\"name\":\"b\"},"
         "{\"name\":\"c\"},{\"name\":\"d\"},{\"name\":\"e\"}]}")};

    (void)state;
    for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
        struct amy__job_spec spec;

        assert_int_equal(amy__job_spec_read(amy__span_of(each[i]), &spec, NULL),
                         AMY_EPARSE);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_are_kept_newest_first_and_once),
        cmocka_unit_test(test_a_record_is_read_as_it_was_written),
        cmocka_unit_test(test_what_is_no_record_is_refused),
        cmocka_unit_test(
            test_only_no_record_and_one_that_makes_no_sense_are_empty),
        cmocka_unit_test(test_a_place_is_where_and_not_who),
        cmocka_unit_test(test_a_spec_with_copies_comes_through),
        cmocka_unit_test(
            test_a_spec_with_a_copy_that_would_lead_elsewhere_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

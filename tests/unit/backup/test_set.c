#include "amy_test.h"

#include "backup/job.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
#define T0 INT64_C(1795466527123)

static char site[64];
static int site_fd = -1;

static int
set_up(void **state)
{
    (void)state;
    (void)snprintf(site, sizeof(site), "/tmp/amy-set-XXXXXX");
    assert_non_null(mkdtemp(site));
    site_fd = open(site, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return site_fd < 0;
}

static int
tear_down(void **state)
{
    char command[2][128];

    (void)state;
    (void)close(site_fd);
    (void)snprintf(command[0], sizeof(command[0]), "%s", site);
    if (fork() == 0) {
        (void)execlp("rm", "rm", "-rf", command[0], (char *)NULL);
        _exit(127);
    }
    (void)wait(NULL);
    return 0;
}

static void
write_text(int dir_fd, const char *name, const char *content)
{
    int fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, content, strlen(content)),
                     (ssize_t)strlen(content));
    (void)close(fd);
}

/* A set with one file; its name into buf. */
static void
make(int sets_fd, int64_t at_ms, enum amy__verdict verdict, char *buf)
{
    struct amy__manifest m;
    int fd = -1;

    amy__manifest_init(&m);
    fd = amy__set_begin(sets_fd, at_ms, m.name, NULL);
    assert_true(fd >= 0);
    write_text(fd, AMY__SET_DATA, "abc");
    (void)snprintf(m.why, sizeof(m.why), "manual");
    m.started_ms = at_ms;
    m.verdict = verdict;
    m.files[m.file_count++] =
        (struct amy__manifest_file){AMY__SET_DATA, 3, 3, HASH};
    assert_int_equal(amy__set_commit(sets_fd, fd, &m, NULL), 0);
    (void)close(fd);
    (void)snprintf(buf, AMY__STAMP_SIZE, "%s", m.name);
}

static bool
exists(int dir_fd, const char *name)
{
    struct stat st;

    return fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

static void
test_sets_are_listed_newest_first_and_others_counted(void **state)
{
    int fd = amy__sets_open(site_fd, NULL);
    struct amy__sets sets;
    char names[4][AMY__STAMP_SIZE];

    (void)state;
    assert_true(fd >= 0);
    make(fd, T0, AMY__VERDICT_PARSED, names[0]);
    make(fd, T0, AMY__VERDICT_WRITTEN, names[1]);
    make(fd, T0 - 5000, AMY__VERDICT_PARSED, names[2]);
    assert_string_equal(names[1], "20261123T204207Z-2");
    write_text(fd, "old.dump", "x");
    assert_int_equal(mkdirat(fd, "20261123T204207Z.bak", 0700), 0);
    assert_int_equal(mkdirat(fd, "20261123T204300Z", 0700), 0); /* broken */
    assert_true(amy__set_begin(fd, T0, names[3], NULL) >= 0);
    assert_int_equal(amy__sets_read(fd, &sets, NULL), 0);
    assert_int_equal(sets.count, 4);
    assert_int_equal(sets.foreign, 2);
    assert_int_equal(sets.partial, 1);
    assert_string_equal(sets.items[0].manifest.name, "20261123T204300Z");
    assert_true(sets.items[0].broken[0] != '\0');
    assert_string_equal(sets.items[1].manifest.name, names[1]);
    assert_string_equal(sets.items[3].manifest.name, names[2]);
    assert_string_equal(amy__sets_good(&sets, T0)->manifest.name, names[0]);
    amy__sets_clear(&sets);
    (void)close(fd);
}

static void
test_a_set_from_the_future_is_good_only_when_alone(void **state)
{
    int fd = amy__sets_open(site_fd, NULL);
    int64_t now_ms = T0 - AMY__DAY_MS;
    struct amy__sets sets;
    char names[4][AMY__STAMP_SIZE];

    (void)state;
    make(fd, T0 - 5000, AMY__VERDICT_PARSED, names[0]);
    make(fd, T0, AMY__VERDICT_PARSED, names[1]);
    assert_int_equal(amy__sets_read(fd, &sets, NULL), 0);
    assert_string_equal(amy__sets_good(&sets, now_ms)->manifest.name, names[1]);
    amy__sets_clear(&sets);
    make(fd, now_ms, AMY__VERDICT_WRITTEN, names[2]);
    make(fd, now_ms - 5000, AMY__VERDICT_PARSED, names[3]);
    assert_int_equal(amy__sets_read(fd, &sets, NULL), 0);
    assert_string_equal(amy__sets_good(&sets, now_ms)->manifest.name, names[3]);
    amy__sets_clear(&sets);
    (void)close(fd);
}

static void
test_what_is_left_over_is_swept_and_nothing_else(void **state)
{
    int fd = amy__sets_open(site_fd, NULL);
    char name[AMY__STAMP_SIZE];
    char whole[AMY__STAMP_SIZE];
    int set_fd = -1;

    (void)state;
    make(fd, T0, AMY__VERDICT_PARSED, whole);
    set_fd = amy__set_begin(fd, T0 + 1000, name, NULL);
    write_text(set_fd, AMY__SET_DATA, "half");
    write_text(set_fd, ".amy-0011223344556677.tmp", "{");
    (void)close(set_fd);
    set_fd = amy__set_begin(fd, T0 + 2000, name, NULL);
    write_text(set_fd, "notes.txt", "a person's");
    (void)close(set_fd);
    assert_int_equal(mkdirat(fd, "mine.partial", 0700), 0);
    assert_int_equal(mkdirat(fd, AMY__SETS_SCRATCH, 0700), 0);
    assert_int_equal(mkdirat(fd, AMY__SETS_SCRATCH "/base", 0700), 0);
    write_text(fd, AMY__SETS_SCRATCH "/base/1", "x");
    assert_int_equal(symlinkat("/etc", fd, AMY__SETS_SCRATCH "/link"), 0);
    assert_int_equal(amy__sets_sweep(fd, NULL), 0);
    assert_true(exists(fd, whole));
    assert_true(exists(fd, "mine.partial"));
    assert_false(exists(fd, "20261123T204208Z.partial"));
    assert_true(exists(fd, "20261123T204209Z.partial/notes.txt"));
    assert_false(exists(fd, AMY__SETS_SCRATCH));
    assert_true(exists(AT_FDCWD, "/etc/passwd"));
    (void)close(fd);
}

static void
test_a_removed_set_is_gone_and_a_strange_file_stays(void **state)
{
    int fd = amy__sets_open(site_fd, NULL);
    struct amy_error err = AMY_ERROR_INIT;
    char name[AMY__STAMP_SIZE];
    char path[64];

    (void)state;
    make(fd, T0, AMY__VERDICT_PARSED, name);
    assert_int_equal(amy__set_remove(fd, name, &err), 0);
    assert_false(exists(fd, name));
    assert_false(exists(fd, "20261123T204207Z.partial"));
    make(fd, T0, AMY__VERDICT_PARSED, name);
    (void)snprintf(path, sizeof(path), "%s/notes.txt", name);
    write_text(fd, path, "a person's");
    assert_int_equal(amy__set_remove(fd, name, &err), AMY_EEXIST);
    assert_true(exists(fd, "20261123T204207Z.partial/notes.txt"));
    assert_false(exists(fd, "20261123T204207Z.partial/" AMY__SET_DATA));
    (void)close(fd);
}

static void
test_what_is_no_directory_of_ours_is_refused(void **state)
{
    struct amy_error err = AMY_ERROR_INIT;
    struct stat st;
    int fd = -1;

    (void)state;
    assert_int_equal(symlinkat("/tmp", site_fd, "DB_backups"), 0);
    assert_int_equal(amy__sets_open(site_fd, &err), AMY_EINVAL);
    assert_non_null(strstr(err.msg, "symbolic link"));
    assert_int_equal(unlinkat(site_fd, "DB_backups", 0), 0);
    write_text(site_fd, "DB_backups", "x");
    assert_int_equal(amy__sets_open(site_fd, &err), AMY_EINVAL);
    assert_int_equal(unlinkat(site_fd, "DB_backups", 0), 0);
    assert_int_equal(mkdirat(site_fd, "DB_backups", 0777), 0);
    fd = amy__sets_open(site_fd, &err);
    assert_true(fd >= 0);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700); /* others are shut out */
    (void)close(fd);
    if (geteuid() == 0) {
        assert_int_equal(fchownat(site_fd, "DB_backups", 12345, 0, 0), 0);
        assert_int_equal(amy__sets_open(site_fd, &err), AMY_EDENIED);
        assert_int_equal(fchownat(site_fd, "DB_backups", 0, 0, 0), 0);
    }
    assert_int_equal(fchmodat(site_fd, "DB_backups", 0755, 0), 0);
    fd = amy__sets_look(site_fd, &err);
    assert_int_equal(fstat(fd, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0755); /* a look changes nothing */
    (void)close(fd);
    assert_int_equal(unlinkat(site_fd, "DB_backups", AT_REMOVEDIR), 0);
    assert_true(amy__sets_look(site_fd, &err) < 0);
    assert_false(exists(site_fd, "DB_backups"));
}

static void
test_only_one_job_at_a_time(void **state)
{
    int fd = amy__sets_open(site_fd, NULL);
    int other = amy__sets_open(site_fd, NULL);

    (void)state;
    assert_int_equal(amy__sets_lock(fd, NULL), 0);
    assert_int_equal(amy__sets_lock(other, NULL), AMY_EBUSY);
    (void)close(fd);
    assert_int_equal(amy__sets_lock(other, NULL), 0);
    (void)close(other);
}

static void
test_names_lead_nowhere_else(void **state)
{
    int fd = amy__sets_open(site_fd, NULL);
    struct amy__manifest m;

    (void)state;
    assert_int_equal(amy__set_read(fd, "../site.yaml", &m, NULL),
                     AMY_ENOTFOUND);
    assert_int_equal(amy__set_read(fd, "20261123T204207Z", &m, NULL),
                     AMY_ENOTFOUND);
    assert_int_equal(symlinkat("/etc", fd, "20261123T204207Z"), 0);
    assert_true(amy__set_read(fd, "20261123T204207Z", &m, NULL) < 0);
    (void)close(fd);
}

static void
test_a_spec_is_read_as_it_was_written(void **state)
{
    struct amy__job_spec spec = {
        .action = AMY__JOB_RESTORE,
        .slot_ms = T0,
        .dry_run = true,
        .scrub_ms = 3600000,
        .lend_fd = 4,
        .rules = {.count = 48, .age_ms = INT64_C(1) << 40, .monthly = 12}};
    struct amy__job_spec same;
    struct amy__buf text;

    (void)state;
    (void)snprintf(spec.site, sizeof(spec.site), "example.org");
    (void)snprintf(spec.set, sizeof(spec.set), "20261123T204207Z");
    (void)snprintf(spec.to, sizeof(spec.to), "quote\"d");
    (void)snprintf(spec.lender, sizeof(spec.lender), "shop.example.org");
    (void)snprintf(spec.scrub, sizeof(spec.scrub), "[\"python\", \"-\"]");
    amy__buf_init(&text, 65536);
    assert_int_equal(amy__job_spec_write(&spec, &text), 0);
    assert_int_equal(amy__job_spec_read(amy__buf_span(&text), &same, NULL), 0);
    assert_memory_equal(&spec, &same, sizeof(spec));
    amy__buf_clear(&text);
    assert_int_equal(amy__job_spec_read(AMY_SPAN("{}"), &same, NULL),
                     AMY_EPARSE);
    assert_int_equal(
        amy__job_spec_read(AMY_SPAN("{\"action\":\"list\",\"count\":-1}"),
                           &same, NULL),
        AMY_EPARSE);
    assert_int_equal(amy__job_spec_read(
                         AMY_SPAN("{\"action\":\"list\",\"count\":4294967296}"),
                         &same, NULL),
                     AMY_EPARSE);
    assert_int_equal(
        amy__job_spec_read(AMY_SPAN("{\"action\":\"show\",\"set\":"
                                    "\"20261123T204207Z-1234567\"}"),
                           &same, NULL),
        AMY_EPARSE);
}

static void
test_a_name_is_ahead_ten_minutes_from_now(void **state)
{
    static const char name[] = "20261123T204207Z";
    int64_t made_ms = 0;
    unsigned sequence = 0;

    (void)state;
    assert_true(amy__stamp_parse(amy__span_of(name), &made_ms, &sequence));
    assert_false(amy__set_is_ahead(name, made_ms));
    assert_false(amy__set_is_ahead(name, made_ms - 600000));
    assert_true(amy__set_is_ahead(name, made_ms - 600001));
    assert_false(amy__set_is_ahead("a person's", 0));
}

static void
test_versions_of_programs(void **state)
{
    (void)state;
    assert_int_equal(
        amy__program_major("pg_dump (PostgreSQL) 15.18 (Debian 15.18-0)"), 15);
    assert_int_equal(amy__program_major("pg_dump (PostgreSQL) 17beta1"), 17);
    assert_int_equal(amy__program_major("pg_dump (PostgreSQL) x"), 0);
    assert_int_equal(amy__program_major("something else 16"), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            test_sets_are_listed_newest_first_and_others_counted, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_set_from_the_future_is_good_only_when_alone, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_what_is_left_over_is_swept_and_nothing_else, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_a_removed_set_is_gone_and_a_strange_file_stays, set_up,
            tear_down),
        cmocka_unit_test_setup_teardown(
            test_what_is_no_directory_of_ours_is_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_only_one_job_at_a_time, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_names_lead_nowhere_else, set_up,
                                        tear_down),
        cmocka_unit_test(test_a_spec_is_read_as_it_was_written),
        cmocka_unit_test(test_a_name_is_ahead_ten_minutes_from_now),
        cmocka_unit_test(test_versions_of_programs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

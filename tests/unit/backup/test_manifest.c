#include "amy_test.h"

#include "backup/manifest.h"
#include "core/json.h"
#include "fail_alloc.h"

#include <stdio.h>
#include <string.h>

#define HASH "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"

static void
set_text(char *dst, size_t size, const char *text)
{
    (void)snprintf(dst, size, "%s", text);
}
#define SET(member, text) set_text((member), sizeof(member), (text))

static void
make(struct amy__manifest *m)
{
    amy__manifest_init(m);
    SET(m->name, "20261123T204207Z");
    SET(m->site, "example.org");
    SET(m->why, "schedule");
    SET(m->host, "web1");
    SET(m->database, "shop \"x\"");
    SET(m->server, "15.18 (Debian)");
    SET(m->dump, "pg_dump (PostgreSQL) 15.18");
    SET(m->amy, "0.1.0");
    SET(m->lsn, "0/1A2B3C4D");
    SET(m->encoding, "UTF8");
    SET(m->collation, "en_US.UTF-8 2.36");
    SET(m->extensions, "citext 1.6, postgis 3.3");
    m->large_objects = 7;
    m->started_ms = INT64_C(1795466527123);
    m->duration_ms = 4711;
    m->slot_ms = INT64_C(1795466520000);
    m->file_count = 2;
    m->files[0] =
        (struct amy__manifest_file){"data.dump.zst", 1000, 5000, HASH};
    m->files[1] = (struct amy__manifest_file){"roles.sql", 200, 0, HASH};
    m->verdict = AMY__VERDICT_PARSED;
    m->verified_ms = INT64_C(1795466600000);
}

static void
make_full(struct amy__manifest *m)
{
    make(m);
    assert_int_equal(
        amy__manifest_add_table(m, AMY_SPAN("public.guest"), 30, NULL), 0);
    assert_int_equal(amy__manifest_add_table(
                         m, AMY_SPAN("public.\"Odd \xC3\xA4\""), 12, NULL),
                     0);
}

static int
write_to(const struct amy__manifest *m, struct amy__buf *out)
{
    amy__buf_init(out, AMY__MANIFEST_MAX);
    return amy__manifest_write(m, out, NULL);
}

static void
test_what_is_written_is_read(void **state)
{
    struct amy__manifest m;
    struct amy__manifest same;
    struct amy__buf out;
    struct amy__buf again;

    (void)state;
    make_full(&m);
    assert_int_equal(write_to(&m, &out), 0);
    assert_int_equal(amy__manifest_read(amy__buf_span(&out), "20261123T204207Z",
                                        &same, NULL),
                     0);
    assert_string_equal(same.database, "shop \"x\"");
    assert_int_equal(same.started_ms, m.started_ms);
    assert_int_equal(same.restore_ms, 0);
    assert_int_equal(same.table_count, 2);
    assert_int_equal(amy__manifest_rows(&same), 42);
    assert_int_equal(amy__manifest_bytes(&same), 1200);
    assert_int_equal(amy__manifest_file(&same, "roles.sql")->bytes, 200);
    assert_null(amy__manifest_file(&same, "roles"));
    assert_int_equal(write_to(&same, &again), 0);
    assert_int_equal(out.len, again.len);
    assert_memory_equal(out.data, again.data, out.len);
    amy__buf_clear(&out);
    amy__buf_clear(&again);
    amy__manifest_clear(&m);
    amy__manifest_clear(&same);
}

/* Replace the first `from` in the manifest's text and read it. */
static int
read_changed(const struct amy__buf *good, const char *from, const char *to,
             struct amy_error *err)
{
    static char text[65536];
    struct amy__manifest m;
    const char *at = strstr(good->data, from);
    int rc = 0;

    assert_non_null(at);
    (void)snprintf(text, sizeof(text), "%.*s%s%s", (int)(at - good->data),
                   good->data, to, at + strlen(from));
    rc = amy__manifest_read(amy__span_of(text), "20261123T204207Z", &m, err);
    amy__manifest_clear(&m);
    return rc;
}

static void
test_what_is_not_as_written_is_refused(void **state)
{
    static const char *const changes[][3] = {
        {"\"format\": 1", "\"format\": 2", "format"},
        {"\"format\": 1", "\"format\": \"1\"", "format"},
        {"\"name\": \"20261123T204207Z\"", "\"name\": \"20261123T204208Z\"",
         "20261123T204208Z"},
        {"\"name\": \"2026", "\"name\": \"20262026202620262026", "name"},
        {"\"site\": \"example.org\",", "", "site"},
        {"\"lsn\": \"0/1A2B3C4D\"", "\"lsn\": 5", "lsn"},
        {"\"started\": \"2026-11", "\"started\": \"2026-31", "started"},
        {"\"slot\": \"2026", "\"slot\": 2, \"x\": \"2026", "slot"},
        {"\"duration_ms\": 4711", "\"duration_ms\": -1", "duration_ms"},
        {"\"duration_ms\": 4711", "\"duration_ms\": 1.5", "duration_ms"},
        {"\"large_objects\": 7", "\"large_objects\": -7", "large_objects"},
        {"\"extensions\": \"citext", "\"extensions\": 1, \"x\": \"citext",
         "extensions"},
        {"\"pinned\": false", "\"pinned\": null", "pinned"},
        {"\"verdict\": \"parsed\"", "\"verdict\": \"good\"", "verdict"},
        {"\"rows\": 42", "\"rows\": 43", "rows"},
        {"\"rows\": 30", "\"rows\": \"30\"", "tables"},
        {"data.dump.zst", "../dump.zst", "files"},
        {"data.dump.zst", ".dump", "files"},
        {"data.dump.zst", "roles.sql", "files"},
        {"ba7816bf", "BA7816BF", "files"},
        {"ba7816bf", "ba7816", "files"},
        {"\"bytes\": 1000", "\"byte\": 1000", "files"},
        {"\"verdict\"", "\"site\": \"x\", \"verdict\"", "manifest"},
    };
    struct amy__manifest m;
    struct amy__buf out;

    (void)state;
    make_full(&m);
    assert_int_equal(write_to(&m, &out), 0);
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++) {
        struct amy_error err = AMY_ERROR_INIT;

        if (read_changed(&out, changes[i][0], changes[i][1], &err) !=
            AMY_EPARSE) {
            fail_msg("taken: %s", changes[i][1]);
        }
        if (strstr(err.msg, changes[i][2]) == NULL) {
            fail_msg("%s: %s", changes[i][1], err.msg);
        }
    }
    assert_int_equal(read_changed(&out,
                                  "\"slot\": \"2026-11-23T20:42:00.000Z\"",
                                  "\"slot\": null", NULL),
                     0);
    /* Of a newer version: it knows more of the set, of a file, of a table. */
    assert_int_equal(
        read_changed(&out, "\"verdict\"", "\"more\": 1, \"verdict\"", NULL), 0);
    assert_int_equal(read_changed(&out, "\"raw_bytes\": 0",
                                  "\"raw_bytes\": 0, \"more\": 1", NULL),
                     0);
    assert_int_equal(
        read_changed(&out, "\"rows\": 30", "\"rows\": 30, \"more\": 1", NULL),
        0);
    /* Of an older one. */
    assert_int_equal(read_changed(&out, "\"encoding\"", "\"more\"", NULL), 0);
    assert_int_equal(read_changed(&out, "\"large_objects\"", "\"more\"", NULL),
                     0);
    amy__buf_clear(&out);
    amy__manifest_clear(&m);
}

/* A crash may leave any beginning of it, were it not written beside and
 * renamed; none of them is taken. */
static void
test_every_cut_is_refused(void **state)
{
    struct amy__manifest m;
    struct amy__manifest cut;
    struct amy__buf out;

    (void)state;
    make_full(&m);
    assert_int_equal(write_to(&m, &out), 0);
    while (out.len > 0 && out.data[out.len - 1] != '}') {
        out.len--;
    }
    for (size_t n = 0; n < out.len; n++) {
        assert_true(amy__manifest_read((struct amy__span){out.data, n},
                                       "20261123T204207Z", &cut, NULL) < 0);
        amy__manifest_clear(&cut);
    }
    amy__buf_clear(&out);
    amy__manifest_clear(&m);
}

static void
test_memory_that_runs_out_leaves_nothing(void **state)
{
    struct amy__manifest m;
    struct amy__buf text;
    bool more = true;

    (void)state;
    make_full(&m);
    assert_int_equal(write_to(&m, &text), 0);
    for (int n = 1; more; n++) {
        struct amy__manifest same;
        struct amy__buf out;
        int live = fail_alloc_live();
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy__manifest_read(amy__buf_span(&text), m.name, &same, NULL);
        if (rc == 0) {
            rc = write_to(&same, &out);
            amy__buf_clear(&out);
        }
        more = fail_alloc_hit();
        assert_int_equal(rc, more ? AMY_ENOMEM : 0);
        amy__manifest_clear(&same);
        assert_int_equal(fail_alloc_live(), live);
    }
    fail_alloc_nth(0);
    amy__buf_clear(&text);
    amy__manifest_clear(&m);
}

static bool
suspect(uint64_t bytes, uint64_t rows, const struct amy__manifest *good)
{
    struct amy__manifest m;
    char why[256] = "";
    bool is = false;

    make(&m);
    m.files[0].bytes = bytes;
    m.file_count = 1;
    if (rows != UINT64_MAX) {
        assert_int_equal(
            amy__manifest_add_table(&m, AMY_SPAN("public.t"), rows, NULL), 0);
    }
    is = amy__manifest_is_suspect(&m, good, why, sizeof(why));
    assert_int_equal(is, why[0] != '\0');
    amy__manifest_clear(&m);
    return is;
}

static void
test_half_of_what_there_was_is_suspect(void **state)
{
    struct amy__manifest good;

    (void)state;
    make_full(&good); /* 1200 bytes, 42 rows */
    assert_false(suspect(600, 21, &good));
    assert_true(suspect(599, 21, &good));
    assert_true(suspect(600, 20, &good));
    assert_false(suspect(1, 1, NULL)); /* the first of all */
    assert_true(suspect(1200, 0, NULL));
    assert_true(suspect(1200, UINT64_MAX, NULL)); /* no tables */
    assert_true(suspect(1200, UINT64_MAX, &good));
    amy__manifest_clear(&good);
}

/* Databases in LATIN1 and SQL_ASCII have such. */
static void
test_a_name_that_is_not_utf8_keeps_its_bytes(void **state)
{
    struct amy__manifest m;
    struct amy__manifest same;
    struct amy__buf out;
    char *hex = NULL;

    (void)state;
    make(&m);
    assert_int_equal(
        amy__manifest_add_table(&m, AMY_SPAN("public.\"caf\xE9\""), 3, NULL),
        0);
    assert_int_equal(write_to(&m, &out), 0);
    assert_int_equal(
        amy__manifest_read(amy__buf_span(&out), m.name, &same, NULL), 0);
    assert_string_equal(same.tables[0].name, "public.\"caf\xE9\"");
    amy__manifest_clear(&same);
    assert_int_equal(amy__buf_append(&out, "", 1), 0);
    hex = strstr(out.data, "66e9");
    assert_non_null(hex);
    hex[0] = 'x';
    assert_int_equal(
        amy__manifest_read((struct amy__span){out.data, out.len - 1}, m.name,
                           &same, NULL),
        AMY_EPARSE);
    amy__manifest_clear(&same);
    memcpy(hex, "0000", 4); /* a NUL is in no name */
    assert_int_equal(
        amy__manifest_read((struct amy__span){out.data, out.len - 1}, m.name,
                           &same, NULL),
        AMY_EPARSE);
    amy__manifest_clear(&same);
    amy__manifest_clear(&m);
    amy__buf_clear(&out);
}

static void
test_only_what_was_read_through_is_verified(void **state)
{
    (void)state;
    assert_false(amy__verdict_is_verified(AMY__VERDICT_WRITTEN));
    assert_false(amy__verdict_is_verified(AMY__VERDICT_HASHED));
    assert_true(amy__verdict_is_verified(AMY__VERDICT_PARSED));
    assert_true(amy__verdict_is_verified(AMY__VERDICT_RESTORED));
    assert_false(amy__verdict_is_verified(AMY__VERDICT_SUSPECT));
    assert_false(amy__verdict_is_verified(AMY__VERDICT_DAMAGED));
    assert_string_equal(amy__verdict_name(AMY__VERDICT_DAMAGED), "damaged");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_is_written_is_read),
        cmocka_unit_test(test_what_is_not_as_written_is_refused),
        cmocka_unit_test(test_every_cut_is_refused),
        cmocka_unit_test(test_memory_that_runs_out_leaves_nothing),
        cmocka_unit_test(test_half_of_what_there_was_is_suspect),
        cmocka_unit_test(test_a_name_that_is_not_utf8_keeps_its_bytes),
        cmocka_unit_test(test_only_what_was_read_through_is_verified),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

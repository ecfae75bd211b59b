#include "amy_test.h"

#include "backup/copycount.h"

#include <string.h>

static const char text[] =
    "--\n-- PostgreSQL database dump\n--\n\n"
    "SET statement_timeout = 0;\n"
    "-- Data for Name: a; Type: TABLE DATA; Schema: public; Owner: x\n--\n\n"
    "COPY public.a (id, t) FROM stdin;\n"
    "1\tone\n"
    "2\tCOPY public.b (x) FROM stdin;\n"
    "\\\\.\n"
    "\\.x\n"
    "\\\n"
    "\n"
    "\\.\n"
    "\n\n"
    "COPY public.\"Odd (name FROM stdin;\n with \"\" line\" (\"x y\") FROM "
    "stdin;\n"
    "\\.\n"
    "COPYRIGHT\n"
    "SELECT pg_catalog.setval('public.a_id_seq', 2, true);\n"
    "COPY s.c (x) FROM stdin;\n"
    "5\n"
    "\\.\n"
    "--\n-- done\n--\n";

/* Fed in pieces of n bytes. */
static int
feed(const char *data, size_t size, size_t n, struct amy__manifest *into)
{
    struct amy__copycount count;
    int rc = 0;

    amy__manifest_init(into);
    amy__copycount_init(&count, into);
    for (size_t at = 0; at < size && rc == 0; at += n) {
        size_t piece = size - at < n ? size - at : n;

        rc = amy__copycount_feed(&count, (struct amy__span){data + at, piece},
                                 NULL);
    }
    rc = rc < 0 ? rc : amy__copycount_end(&count, NULL);
    amy__copycount_clear(&count);
    return rc;
}

static void
test_rows_are_counted_however_the_text_is_cut(void **state)
{
    (void)state;
    for (size_t n = 1; n < sizeof(text); n++) {
        struct amy__manifest m;

        assert_int_equal(feed(text, sizeof(text) - 1, n, &m), 0);
        assert_int_equal(m.table_count, 3);
        assert_string_equal(m.tables[0].name, "public.a");
        assert_int_equal(m.tables[0].rows, 6);
        assert_string_equal(
            m.tables[1].name,
            "public.\"Odd (name FROM stdin;\n with \"\" line\"");
        assert_int_equal(m.tables[1].rows, 0);
        assert_string_equal(m.tables[2].name, "s.c");
        assert_int_equal(m.tables[2].rows, 1);
        amy__manifest_clear(&m);
    }
}

static void
test_an_end_within_a_table_is_told(void **state)
{
    size_t begin = (size_t)(strstr(text, "COPY public.a") - text) + 5;
    size_t end = (size_t)(strstr(text, "\n\\.\n") - text) + 4;

    (void)state;
    for (size_t cut = begin; cut < end; cut++) {
        struct amy__manifest m;

        assert_int_equal(feed(text, cut, 7, &m), AMY_EPARSE);
        assert_int_equal(m.table_count, 0);
        amy__manifest_clear(&m);
    }
}

static void
test_a_statement_has_a_bound(void **state)
{
    static char statement[600 * 1024];
    struct amy__manifest m;

    (void)state;
    memset(statement, 'x', sizeof(statement));
    memcpy(statement, "COPY ", 5);
    assert_int_equal(feed(statement, sizeof(statement), 65536, &m), AMY_ELIMIT);
    amy__manifest_clear(&m);
    assert_int_equal(feed("COPY a TO stdout;\n", 18, 18, &m), AMY_EPARSE);
    amy__manifest_clear(&m);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_counted_however_the_text_is_cut),
        cmocka_unit_test(test_an_end_within_a_table_is_told),
        cmocka_unit_test(test_a_statement_has_a_bound),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* docs/site-yaml.md lists the keys of the tables, with their defaults, and no
 * others. */
#include "amy_test.h"

#include "site/spec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char doc[64 * 1024];
static const char *part; /* of doc: the keys of one file */
static size_t keys_in_tables;

static int
read_doc(void **state)
{
    FILE *f = fopen(DOC_FILE, "re");
    size_t n = 0;

    (void)state;
    assert_non_null(f);
    n = fread(doc, 1, sizeof(doc) - 1, f);
    doc[n] = '\0';
    (void)fclose(f);
    keys_in_tables = 0;
    return 0;
}

/* The row of a key, from its first column on. */
static const char *
find_row(const char *key)
{
    char start[200];
    const char *row = NULL;

    (void)snprintf(start, sizeof(start), "\n| `%s` | ", key);
    row = strstr(part, start);
    if (row == NULL) {
        fail_msg("docs/site-yaml.md has no row for '%s'", key);
    }
    assert_null(strstr(row + 1, start)); /* once */
    return row + strlen(start);
}

/* Third column: the default. */
static void
check_default(const char *key, const char *row, const char *quote,
              const char *standard)
{
    const char *column = strstr(row, " | ");
    char expected[100];

    assert_non_null(column);
    (void)snprintf(expected, sizeof(expected), " | %s%s%s |", quote, standard,
                   quote);
    if (strncmp(column, expected, strlen(expected)) != 0) {
        fail_msg("docs/site-yaml.md: the default of '%s' is '%s'", key,
                 standard);
    }
}

/* Told below the table, one beside the other. */
static void
check_test_default(const char *key, const char *standard)
{
    char expected[200];

    (void)snprintf(expected, sizeof(expected), "`%s`: `%s`", key, standard);
    if (strstr(part, expected) == NULL) {
        fail_msg("docs/site-yaml.md: of a test site %s", expected);
    }
}

static void
check_fields(const struct amy__field *fields, const char *prefix)
{
    for (; fields->key != NULL; fields++) {
        char key[150];
        const char *row = NULL;

        (void)snprintf(key, sizeof(key), "%s%s", prefix, fields->key);
        row = find_row(key);
        keys_in_tables++;
        if (fields->standard != NULL) {
            check_default(key, row, "`", fields->standard);
        }
        if (fields->test_standard != NULL) {
            check_test_default(key, fields->test_standard);
        }
        if ((fields->flags & AMY__FIELD_REQUIRED) != 0) {
            check_default(key, row, "", "required");
        }
        if (fields->fields != NULL) {
            char inner[160];

            (void)snprintf(inner, sizeof(inner), "%s%s.", key,
                           fields->kind == AMY__FIELD_MAPS ? "[]" : "");
            check_fields(fields->fields, inner);
        }
    }
}

static void
test_the_page_lists_exactly_the_keys(void **state)
{
    char *settings = strstr(doc, "\n## Keys of amy.yaml\n");
    size_t rows = 0;

    (void)state;
    assert_non_null(settings);
    for (const char *row = doc; (void)(row = strstr(row, "\n| `")), row != NULL;
         row++) {
        rows++;
    }
    *settings = '\0';
    part = doc;
    check_fields(amy__site_fields, "");
    part = settings + 1;
    check_fields(amy__settings_fields, "");
    assert_int_equal(rows, keys_in_tables);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_the_page_lists_exactly_the_keys),
    };

    return cmocka_run_group_tests(tests, read_doc, NULL);
}

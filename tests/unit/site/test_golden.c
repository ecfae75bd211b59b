/* Each golden/NAME.yaml gives exactly the lines of golden/NAME.txt. */
#include "amy_test.h"

#include "tree.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char yaml[70000];
static char expected[70000];

static size_t
read_text(const char *name, const char *ending, char *buf, size_t size)
{
    char path[512];
    FILE *f = NULL;
    size_t n = 0;

    (void)snprintf(path, sizeof(path), "%s/%s%s", GOLDEN_DIR, name, ending);
    f = fopen(path, "re");
    assert_non_null(f);
    n = fread(buf, 1, size - 1, f);
    buf[n] = '\0';
    (void)fclose(f);
    return n;
}

static int
is_yaml(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');

    return dot != NULL && strcmp(dot, ".yaml") == 0;
}

static void
test_every_golden_file_gives_its_lines(void **state)
{
    struct dirent **names = NULL;
    int count = scandir(GOLDEN_DIR, &names, is_yaml, alphasort);

    (void)state;
    assert_true(count > 30);
    for (int i = 0; i < count; i++) {
        struct amy__site *site = NULL;
        struct amy_error err = AMY_ERROR_INIT;
        char *name = names[i]->d_name;
        size_t n = 0;

        *strrchr(name, '.') = '\0';
        n = read_text(name, ".yaml", yaml, sizeof(yaml));
        (void)read_text(name, ".txt", expected, sizeof(expected));
        problems_clear();
        assert_int_equal(amy__site_parse((struct amy__span){yaml, n},
                                         "site.yaml", "example.org",
                                         problems_add, NULL, &site, &err),
                         AMY_EPARSE);
        assert_null(site);
        assert_string_equal(problems_text(), expected);
        /* The error is one of the lines, cut to its size: the first that is no
         * warning. */
        assert_non_null(strstr(expected, err.msg));
        free(names[i]);
    }
    free(names);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_golden_file_gives_its_lines),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include "enter/vars.h"

#include <string.h>

static const char records[] = "PATH=/venv/bin:/usr/bin\0SECRET=s\0LANG=C.UTF-8";

static const char *
find(char *const *vars, const char *name)
{
    size_t n = strlen(name);

    for (size_t i = 0; vars[i] != NULL; i++) {
        if (strncmp(vars[i], name, n) == 0 && vars[i][n] == '=') {
            return vars[i] + n + 1;
        }
    }
    return NULL;
}

static struct amy__env *
env_of(const char *text, size_t n)
{
    struct amy__env *env = NULL;

    assert_int_equal(amy__env_from_records((struct amy__span){text, n}, "/repo",
                                           "/venv", &env, NULL),
                     0);
    return env;
}

static void
test_of_ours_only_how_to_draw(void **state)
{
    static char term[] = "TERM=xterm";
    static char color[] = "NO_COLOR=1";
    static char mine[] = "DATABASE_URL=mine";
    static char path[] = "PATH=/root/bin";
    static char preload[] = "LD_PRELOAD=/tmp/x.so";
    char *const ours[] = {term, color, mine, path, preload, NULL};
    struct amy__env *env = env_of(records, sizeof(records));
    char **vars = amy__enter_vars(env, "example.org", ours, false);

    (void)state;
    assert_string_equal(find(vars, "PATH"), "/venv/bin:/usr/bin");
    assert_string_equal(find(vars, "SECRET"), "s");
    assert_string_equal(find(vars, "TERM"), "xterm");
    assert_string_equal(find(vars, "NO_COLOR"), "1");
    assert_string_equal(find(vars, "AMY_SITE"), "example.org");
    assert_string_equal(find(vars, "PYTHONUNBUFFERED"), "1");
    assert_null(find(vars, "DATABASE_URL"));
    assert_null(find(vars, "LD_PRELOAD"));
    assert_null(find(vars, "PS1"));
    amy__enter_vars_free(vars);
    amy__env_unref(env);
}

static void
test_what_the_site_says_stays(void **state)
{
    static const char said[] = "TERM=dumb\0PYTHONUNBUFFERED=";
    static char term[] = "TERM=xterm";
    char *const ours[] = {term, NULL};
    struct amy__env *env = env_of(said, sizeof(said));
    char **vars = amy__enter_vars(env, "example.org", ours, true);

    (void)state;
    assert_string_equal(find(vars, "TERM"), "dumb");
    assert_string_equal(find(vars, "PYTHONUNBUFFERED"), "");
    assert_string_equal(find(vars, "PS1"), "(example.org) \\w\\$ ");
    amy__enter_vars_free(vars);
    amy__env_unref(env);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_of_ours_only_how_to_draw),
        cmocka_unit_test(test_what_the_site_says_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What PostgreSQL's programs are told in their arguments, for all to see. */
#include "amy_test.h"

#include "backup/pg.h"

#include <stdlib.h>
#include <string.h>

static void
set(struct amy__pg_target *target, const char *keyword, const char *value)
{
    assert_int_equal(amy__pg_target_set(target, keyword, value, NULL), 0);
}

static void
test_no_secret_is_among_the_words(void **state)
{
    static const char *const secrets[] = {
        "password", "sslpassword", "oauth_client_secret", "scram_client_key",
        "scram_server_key"};
    struct amy__pg_target target = {.count = 0};
    char words[1024] = "";

    (void)state;
    set(&target, "service", "shop"); /* then all that may be said is */
    for (size_t i = 0; i < sizeof(secrets) / sizeof(secrets[0]); i++) {
        set(&target, secrets[i], "hidden");
    }
    set(&target, "keepalives_idle", "20");
    assert_true(amy__pg_target_words(&target, words, sizeof(words)));
    assert_null(strstr(words, "hidden"));
    assert_non_null(strstr(words, "keepalives_idle='20'"));
    amy__pg_target_clear(&target);
}

static void
test_what_a_variable_says_is_a_word_beside_a_service_only(void **state)
{
    struct amy__pg_target target = {.count = 0};
    char words[1024] = "";

    (void)state;
    assert_int_equal(unsetenv("PGSERVICE"), 0);
    set(&target, "dbname", "it's");
    assert_true(amy__pg_target_words(&target, words, sizeof(words)));
    assert_null(strstr(words, "dbname"));
    assert_int_equal(setenv("PGSERVICE", "shop", 1), 0);
    assert_true(amy__pg_target_words(&target, words, sizeof(words)));
    assert_non_null(strstr(words, "dbname='it\\'s'"));
    assert_int_equal(unsetenv("PGSERVICE"), 0);
    amy__pg_target_clear(&target);
}

static unsigned
count_of(char *const *environment, const char *start)
{
    unsigned n = 0;

    for (; *environment != NULL; environment++) {
        n += strncmp(*environment, start, strlen(start)) == 0;
    }
    return n;
}

/* Verdicts and progress go by their words, whatever language the site has. */
static void
test_programs_speak_english(void **state)
{
    static const char *const names[] = {"LANG", "LANGUAGE", "LC_ALL",
                                        "LC_MESSAGES"};
    struct amy__pg_target target = {.count = 0};
    char **environment = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(setenv(names[i], "de_DE.UTF-8", 1), 0);
    }
    environment = amy__pg_environment(&target);
    assert_non_null(environment);
    assert_int_equal(count_of(environment, "LC_ALL=C.UTF-8"), 1);
    assert_int_equal(count_of(environment, "L"), 1);
    amy__pg_environment_free(environment);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_int_equal(unsetenv(names[i]), 0);
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_secret_is_among_the_words),
        cmocka_unit_test(
            test_what_a_variable_says_is_a_word_beside_a_service_only),
        cmocka_unit_test(test_programs_speak_english),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

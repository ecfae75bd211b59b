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

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_secret_is_among_the_words),
        cmocka_unit_test(
            test_what_a_variable_says_is_a_word_beside_a_service_only),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

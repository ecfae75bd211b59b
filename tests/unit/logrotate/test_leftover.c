#include "amy_test.h"

#include "logrotate/leftover.h"

#define PATH "/webapps/example.org/logs/access.log"

static void
test_entries_that_name_the_file_are_found(void **state)
{
    static const char *const texts[] = {
        PATH " {\n daily\n}\n",
        "/webapps/*/logs/*.log {\n  rotate 7\n}\n",
        "# ours\n/var/log/x.log\n" PATH "{\ndaily }",
        "weekly\n\"/webapps/example.org/logs/access.log\" {\n}\n",
        "'" PATH "' /var/log/y {}",
        "/var/log/a {\n postrotate\n  kill\n endscript\n}\n" PATH " { }",
        "/webapps/example.org/logs/*",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (!amy__logrotate_leftover(amy__span_of(texts[i]), PATH)) {
            fail_msg("not found in '%s'", texts[i]);
        }
    }
}

static void
test_other_entries_are_not(void **state)
{
    static const char *const texts[] = {
        "",
        "/webapps/*.log {\n}\n",
        "/webapps/other.org/logs/*.log {\n}\n",
        "# " PATH " {\n}\n",
        "/var/log/x {\n olddir " PATH "\n postrotate\n " PATH "\n}\n",
        "/var/log/x { # }\n" PATH "\n}",
        "access.log {}",
        "\"unended",
        "\"",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (amy__logrotate_leftover(amy__span_of(texts[i]), PATH)) {
            fail_msg("found in '%s'", texts[i]);
        }
    }
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_entries_that_name_the_file_are_found),
        cmocka_unit_test(test_other_entries_are_not),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

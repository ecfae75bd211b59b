/* Files of users: which lines count, and what is said of the others. */
#include "amy_test.h"

#include "fail_alloc.h"
#include "front/users.h"

#include <stdio.h>
#include <string.h>

#define BCRYPT "$2y$10$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234"
#define SHA512                                                                 \
    "$6$salt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/"                      \
    "jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
#define SHA512_ROUNDS                                                          \
    "$6$rounds=5000$salt$qFmFH.bQmmtXzyBY0s9v7Oicd2z4XSIecDzlB5KiA2/"          \
    "jctKu9YterLp8wwnSq.qc.eoxqOmSuNp2xS0ktL3nh/"
#define YESCRYPT_REST                                                          \
    "$saltsaltsaltsalt$abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"
#define YESCRYPT "$y$j9T" YESCRYPT_REST
#define SCRYPT_REST "saltsaltsalt$abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG"

struct faults {
    unsigned count;
    uint32_t line;
    char text[128];
};

static void
on_fault(uint32_t line, const char *fault, void *user)
{
    struct faults *faults = user;

    faults->count++;
    faults->line = line;
    (void)snprintf(faults->text, sizeof(faults->text), "%s", fault);
}

static struct amy__users *
parse(const char *text, struct faults *faults)
{
    struct amy__users *users = NULL;

    *faults = (struct faults){.count = 0};
    assert_int_equal(
        amy__users_parse(amy__span_of(text), on_fault, faults, &users, NULL),
        0);
    return users;
}

static void
test_users_are_found_by_name(void **state)
{
    struct faults faults;
    struct amy__users *users = parse("# testers\n\nanna:" BCRYPT "\n"
                                     "b\xc3\xa9n:" SHA512 "\r\n"
                                     "carl:" SHA512_ROUNDS "\n"
                                     "dora:" YESCRYPT "\n"
                                     "emil:$y$jBT" YESCRYPT_REST "\n"
                                     "fay:$gy$j9T" YESCRYPT_REST "\n"
                                     "gus:$7$CU..../...." SCRYPT_REST,
                                     &faults);

    (void)state;
    assert_int_equal(faults.count, 0);
    assert_int_equal(amy__users_count(users), 7);
    assert_string_equal(amy__users_find(users, AMY_SPAN("anna"))->hash, BCRYPT);
    assert_string_equal(amy__users_find(users, AMY_SPAN("b\xc3\xa9n"))->hash,
                        SHA512);
    assert_string_equal(amy__users_find(users, AMY_SPAN("dora"))->hash,
                        YESCRYPT);
    assert_null(amy__users_find(users, AMY_SPAN("ann")));
    assert_null(amy__users_find(users, AMY_SPAN("")));
    assert_null(amy__users_find(users, AMY_SPAN("# testers")));
    amy__users_free(users);
}

/* Each unknown name has its own hash of the file's, and always that one. */
static void
test_unknown_names_take_as_long_as_known_ones(void **state)
{
    struct faults faults;
    struct amy__users *users = parse("anna:" BCRYPT "\nben:" SHA512 "\n"
                                     "carl:" SHA512_ROUNDS "\n"
                                     "dora:" YESCRYPT "\n",
                                     &faults);
    unsigned chosen[4] = {0};

    (void)state;
    for (unsigned i = 0; i < 400; i++) {
        char name[16];
        const struct amy__users_entry *any = NULL;

        (void)snprintf(name, sizeof(name), "nobody%u", i);
        any = amy__users_any(users, amy__span_of(name));
        assert_ptr_equal(any, amy__users_any(users, amy__span_of(name)));
        chosen[any->name[0] - 'a']++;
    }
    for (size_t i = 0; i < 4; i++) {
        assert_in_range(chosen[i], 50, 150);
    }
    amy__users_free(users);
}

static void
test_bad_lines_are_told_by_number_and_left_out(void **state)
{
    static const struct {
        const char *line;
        const char *told;
    } bad[] = {
        {"anna", "no name"},
        {":" BCRYPT, "no name"},
        {"a b:" BCRYPT, "blank"},
        {"a\tb:" BCRYPT, "blank"},
        {"anna:", "no hash"},
        {"anna:secret", "no hash"},
        {"anna:secret word", "no hash"},
        {"anna:{SHA}2jmj7l5rSw0yVb/vlWAYkK/YBwk=", "no hash"},
        {"anna:$apr1$salt$abcdefghijklmnopqrstuv", "MD5"},
        {"anna:$1$salt$abcdefghijklmnopqrstuv", "MD5"},
        {"anna:" BCRYPT "x", "whole hash of bcrypt"},
        {"anna:$2y$10$short", "whole hash of bcrypt"},
        {"anna:$2y$15$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
         "cost"},
        {"anna:$2y$03$abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234",
         "cost"},
        {"anna:$6$rounds=1000001$salt$abc", "rounds"},
        {"anna:$6$salt$short", "whole hash"},
        {"anna:$y$j9T$salt$short", "whole hash"},
        {"anna:$y$jCT" YESCRYPT_REST, "cost"},
        {"anna:$y$j9U" YESCRYPT_REST, "cost"},
        {"anna:$y$j9T1" YESCRYPT_REST, "whole hash"},
        {"anna:$gy$jCT" YESCRYPT_REST, "cost"},
        {"anna:$7$DU..../...." SCRYPT_REST, "cost"},
        {"anna:$7$CV..../...." SCRYPT_REST, "cost"},
        {"anna:$7$CU...//...." SCRYPT_REST, "cost"},
        {"anna:$7$CU..../...1" SCRYPT_REST, "cost"},
        {"anna:$7$CU..../....", "whole hash"},
        {"ben:" SHA512, "earlier line"},
        {"anna:" BCRYPT ":more", "no hash"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[1024];
        struct faults faults;
        struct amy__users *users = NULL;

        (void)snprintf(text, sizeof(text), "ben:%s\n%s\n", BCRYPT, bad[i].line);
        users = parse(text, &faults);
        if (faults.count != 1 || faults.line != 2 ||
            strstr(faults.text, bad[i].told) == NULL) {
            fail_msg("'%s': %u, line %u, %s", bad[i].line, faults.count,
                     faults.line, faults.text);
        }
        assert_int_equal(amy__users_count(users), 1);
        amy__users_free(users);
    }
}

static void
test_nul_ends_nothing(void **state)
{
    static const char text[] = "an\0na:" BCRYPT "\nben:" BCRYPT "\0\n";
    struct faults faults = {.count = 0};
    struct amy__users *users = NULL;

    (void)state;
    assert_int_equal(
        amy__users_parse((struct amy__span){text, sizeof(text) - 1}, on_fault,
                         &faults, &users, NULL),
        0);
    assert_int_equal(faults.count, 2);
    assert_int_equal(amy__users_count(users), 0);
    assert_null(amy__users_any(users, AMY_SPAN("an")));
    amy__users_free(users);
}

static void
test_memory_that_is_out_is_told(void **state)
{
    struct amy__users *users = NULL;

    (void)state;
    for (int n = 1; n <= 3; n++) {
        fail_alloc_nth(n);
        assert_int_equal(amy__users_parse(AMY_SPAN("anna:" BCRYPT), NULL, NULL,
                                          &users, NULL),
                         AMY_ENOMEM);
        assert_null(users);
    }
    fail_alloc_nth(0);
    assert_int_equal(fail_alloc_live(), 0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_users_are_found_by_name),
        cmocka_unit_test(test_unknown_names_take_as_long_as_known_ones),
        cmocka_unit_test(test_bad_lines_are_told_by_number_and_left_out),
        cmocka_unit_test(test_nul_ends_nothing),
        cmocka_unit_test(test_memory_that_is_out_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

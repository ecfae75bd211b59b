#include "amy_test.h"

#include "doctor/judge.h"
#include "recorded.h"

static struct amy__piece_facts
piece(bool is_users, unsigned mode)
{
    return (struct amy__piece_facts){
        .path = "/webapps/example.org/x",
        .owner = is_users ? "amy-example" : "root",
        .user = "amy-example",
        .is_users = is_users,
        .mode = mode,
    };
}

static void
judge_own(bool is_users, unsigned mode)
{
    struct amy__piece_facts facts = piece(is_users, mode);

    amy__judge_own_directory(&facts, 0750, recorded_begin());
}

static void
test_own_directory(void **state)
{
    (void)state;
    judge_own(true, 040750);
    expect_nothing();
    judge_own(true, 040700);
    expect_nothing();
    judge_own(false, 040750);
    expect_finding("error mode-owner", "chown -R amy-example: /webapps");
    judge_own(true, 040755);
    expect_finding("warning mode-wide", "chmod 0750 /webapps");
    judge_own(true, 040770);
    expect_finding("warning mode-wide", "mode 0770");
}

static void
judge_secret(unsigned mode)
{
    struct amy__piece_facts facts = piece(false, mode);

    amy__judge_secret(&facts, recorded_begin());
}

static void
test_secret(void **state)
{
    (void)state;
    judge_secret(0100640);
    expect_nothing();
    judge_secret(0100644);
    expect_finding("warning mode-secret", "read the secrets");
    judge_secret(0100642);
    expect_finding("warning mode-secret", "change the secrets");
}

static void
judge_code(bool is_users, unsigned mode, bool is_code)
{
    struct amy__piece_facts facts = piece(is_users, mode);

    amy__judge_code(&facts, is_code, recorded_begin());
}

static void
test_code(void **state)
{
    (void)state;
    judge_code(false, 040755, true);
    expect_nothing();
    judge_code(true, 042750, false); /* media/ is the user's */
    expect_nothing();
    judge_code(true, 040755, true);
    expect_finding("info mode-code", "another user deploy");
    judge_code(false, 040777, true);
    expect_finding("error mode-world", "chmod o-w /webapps");
    judge_code(false, 041777, false);
    expect_nothing();
}

static void
test_user(void **state)
{
    struct amy__user_facts facts = {.user = "amy-example", .front_user = "amy"};

    (void)state;
    amy__judge_user(&facts, recorded_begin());
    expect_nothing();
    facts.is_admin = true;
    amy__judge_user(&facts, recorded_begin());
    expect_finding("error user-admin",
                   "gpasswd --delete amy-example amy-admin");
    facts.is_admin = false;
    facts.is_in_front = true;
    amy__judge_user(&facts, recorded_begin());
    expect_finding("warning user-front", "gpasswd --delete amy-example amy");
    facts.is_in_front = false;
    facts.shares = "other.org";
    amy__judge_user(&facts, recorded_begin());
    expect_finding("warning user-shared", "site 'other.org'");
}

static void
test_front_user(void **state)
{
    (void)state;
    amy__judge_front_user("amy", "/usr/sbin/nologin", recorded_begin());
    amy__judge_front_user("amy", "/bin/false", recorded_begin());
    expect_nothing();
    amy__judge_front_user("amy", "/bin/bash", recorded_begin());
    expect_finding("error user-person", "/bin/bash");
    amy__judge_front_user("amy", "", recorded_begin()); /* /bin/sh */
    expect_finding("error user-person", "front.user");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_own_directory), cmocka_unit_test(test_secret),
        cmocka_unit_test(test_code),          cmocka_unit_test(test_user),
        cmocka_unit_test(test_front_user),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

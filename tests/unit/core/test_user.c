#include "amy_test.h"

#include "core/user.h"
#include "fail_alloc.h"

#include <string.h>
#include <unistd.h>

static void
test_find_knows_root_and_its_groups(void **state)
{
    struct amy__user root = {0};
    struct amy__user same = {0};

    (void)state;
    assert_int_equal(amy__user_find("root", &root, NULL), 0);
    assert_int_equal(root.uid, 0);
    assert_string_equal(root.name, "root");
    assert_true(root.home[0] == '/');
    assert_true(root.group_count >= 1);
    assert_true(amy__user_in_group(&root, root.gid));
    assert_false(amy__user_in_group(&root, 4000000));
    assert_int_equal(amy__user_find_uid(0, &same, NULL), 0);
    assert_string_equal(same.home, root.home);
    amy__user_clear(&root);
    amy__user_clear(&same);
    amy__user_clear(&same);
    assert_int_equal(fail_alloc_live(), 0);
}

static void
test_find_tells_who_is_missing(void **state)
{
    struct amy__user user = {0};
    struct amy_error err = AMY_ERROR_INIT;
    gid_t gid = 77;

    (void)state;
    assert_int_equal(amy__user_find("no-such-user", &user, &err),
                     AMY_ENOTFOUND);
    assert_string_equal(err.msg, "there is no user 'no-such-user'");
    assert_int_equal(amy__user_find_uid(4000000000U, &user, &err),
                     AMY_ENOTFOUND);
    assert_string_equal(err.msg, "there is no user with id 4000000000");
    assert_int_equal(amy__group_find("no-such-group", &gid, &err),
                     AMY_ENOTFOUND);
    assert_int_equal(gid, 77);
    assert_int_equal(amy__group_find("root", &gid, &err), 0);
    assert_int_equal(gid, 0);
}

static void
test_name_falls_back_to_the_number(void **state)
{
    char name[64] = "";

    (void)state;
    assert_string_equal(amy__user_name(0, name, sizeof(name)), "root");
    assert_string_equal(amy__user_name(4000000000U, name, sizeof(name)),
                        "uid 4000000000");
}

static void
test_find_without_memory_leaves_nothing(void **state)
{
    (void)state;
    for (int n = 1;; n++) {
        struct amy__user user = {0};
        int rc = 0;

        fail_alloc_nth(n);
        rc = amy__user_find("root", &user, NULL);
        if (!fail_alloc_hit()) {
            assert_int_equal(rc, 0);
            amy__user_clear(&user);
            break;
        }
        assert_int_equal(rc, AMY_ENOMEM);
        assert_int_equal(fail_alloc_live(), 0);
    }
    fail_alloc_nth(0);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find_knows_root_and_its_groups),
        cmocka_unit_test(test_find_tells_who_is_missing),
        cmocka_unit_test(test_name_falls_back_to_the_number),
        cmocka_unit_test(test_find_without_memory_leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

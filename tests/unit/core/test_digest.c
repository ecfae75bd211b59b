#include "amy_test.h"

#include "core/digest.h"

#include <string.h>

static void
test_sha256_of_known_texts(void **state)
{
    uint8_t digest[32] = {0};
    char hex[65] = "";

    (void)state;
    /* FIPS 180-4's examples. */
    assert_int_equal(amy__sha256("abc", 3, digest, NULL), 0);
    amy__hex(digest, sizeof(digest), hex);
    assert_string_equal(
        hex,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_int_equal(amy__sha256("", 0, digest, NULL), 0);
    amy__hex(digest, 4, hex);
    assert_string_equal(hex, "e3b0c442");
}

static void
test_digits_become_bytes_again(void **state)
{
    uint8_t bytes[3] = {0};

    (void)state;
    assert_true(amy__unhex("00ff7a", 3, bytes));
    assert_memory_equal(bytes, "\x00\xff\x7a", 3);
    assert_true(amy__unhex("", 0, bytes));
    assert_false(amy__unhex("00ff7", 3, bytes));
    assert_false(amy__unhex("00ff7a00", 3, bytes));
    assert_false(amy__unhex("00FF7A", 3, bytes));
    assert_false(amy__unhex("00 f7a", 3, bytes));
    assert_false(amy__unhex("", 3, bytes));
}

static void
test_sha256_in_pieces_is_that_of_the_whole(void **state)
{
    struct amy__sha256 *hash = NULL;
    char hex[65] = "";

    (void)state;
    assert_int_equal(amy__sha256_create(&hash, NULL), 0);
    assert_int_equal(amy__sha256_update(hash, "a", 1, NULL), 0);
    assert_int_equal(amy__sha256_update(hash, "", 0, NULL), 0);
    assert_int_equal(amy__sha256_update(hash, "bc", 2, NULL), 0);
    assert_int_equal(amy__sha256_finish(hash, hex, NULL), 0);
    assert_string_equal(
        hex,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    amy__sha256_free(hash);
    amy__sha256_free(NULL);
}

static void
test_random_differs_and_has_a_bound(void **state)
{
    uint8_t a[16] = {0};
    uint8_t b[16] = {0};

    (void)state;
    assert_int_equal(amy__random(a, sizeof(a), NULL), 0);
    assert_int_equal(amy__random(b, sizeof(b), NULL), 0);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_int_equal(amy__random(a, SIZE_MAX, NULL), AMY_EINVAL);
}

static void
test_secrets_compare_and_vanish(void **state)
{
    char secret[] = "secret";

    (void)state;
    assert_true(amy__equal_secret(secret, "secret", 6));
    assert_false(amy__equal_secret(secret, "secreT", 6));
    amy__wipe(secret, sizeof(secret));
    assert_memory_equal(secret, "\0\0\0\0\0\0", 7);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256_of_known_texts),
        cmocka_unit_test(test_digits_become_bytes_again),
        cmocka_unit_test(test_sha256_in_pieces_is_that_of_the_whole),
        cmocka_unit_test(test_random_differs_and_has_a_bound),
        cmocka_unit_test(test_secrets_compare_and_vanish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

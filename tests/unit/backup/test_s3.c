/* What of S3 needs no server: sizes of parts, queries, what an error means. */
#include "amy_test.h"

#include "backup/s3.h"

#define MIB (UINT64_C(1024) * 1024)

static uint64_t
count_parts(uint64_t bytes)
{
    uint64_t part = amy__s3_part_bytes(bytes);

    return bytes / part + (bytes % part != 0);
}

static void
test_parts_are_small_and_never_too_many(void **state)
{
    (void)state;
    assert_int_equal(amy__s3_part_bytes(0), 8 * MIB);
    assert_int_equal(amy__s3_part_bytes(80000 * MIB), 8 * MIB);
    assert_int_equal(count_parts(80000 * MIB), 10000);
    assert_int_equal(amy__s3_part_bytes(80000 * MIB + 1), 9 * MIB);
    for (unsigned bit = 20; bit < 43; bit++) { /* up to 5 TiB, S3's most */
        for (int64_t off = -1; off < 2; off++) {
            uint64_t bytes = (UINT64_C(1) << bit) + (uint64_t)off;

            assert_true(count_parts(bytes) <= 10000);
            assert_int_equal(amy__s3_part_bytes(bytes) % MIB, 0);
        }
    }
    assert_true(count_parts(5 * MIB * MIB) <= 10000);
}

static void
test_a_query_is_escaped_as_a_signature_wants_it(void **state)
{
    char buf[32];

    (void)state;
    assert_true(amy__s3_escape("aZ09-._~", buf, sizeof(buf)));
    assert_string_equal(buf, "aZ09-._~");
    assert_true(amy__s3_escape("/+= \xc3\xa9", buf, sizeof(buf)));
    assert_string_equal(buf, "%2F%2B%3D%20%C3%A9");
    assert_false(
        amy__s3_escape("0123456789012345678901234567890", buf, sizeof(buf)));
    assert_string_equal(buf, "");
}

static void
test_a_checksum_is_its_hash_in_base64(void **state)
{
    char buf[AMY__S3_CHECKSUM_SIZE];

    (void)state;
    amy__s3_checksum("e3b0c44298fc1c149afbf4c8996fb924"
                     "27ae41e4649b934ca495991b7852b855",
                     buf);
    assert_string_equal(buf, "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=");
}

static void
test_what_may_pass_is_tried_again_and_nothing_else(void **state)
{
    (void)state;
    assert_int_equal(amy__s3_fate_of(503, "SlowDown"), AMY__S3_AGAIN);
    assert_int_equal(amy__s3_fate_of(200, "InternalError"), AMY__S3_AGAIN);
    assert_int_equal(amy__s3_fate_of(400, "RequestTimeout"), AMY__S3_AGAIN);
    assert_int_equal(amy__s3_fate_of(502, ""), AMY__S3_AGAIN);
    assert_int_equal(amy__s3_fate_of(429, ""), AMY__S3_AGAIN);
    assert_int_equal(amy__s3_fate_of(501, "NotImplemented"), AMY__S3_REFUSED);
    assert_int_equal(amy__s3_fate_of(403, "AccessDenied"), AMY__S3_REFUSED);
    assert_int_equal(amy__s3_fate_of(404, "NoSuchKey"), AMY__S3_REFUSED);
    assert_int_equal(amy__s3_fate_of(404, ""), AMY__S3_REFUSED);
    assert_int_equal(amy__s3_fate_of(301, "PermanentRedirect"),
                     AMY__S3_REFUSED);
    assert_int_equal(amy__s3_fate_of(400, "ExpiredToken"), AMY__S3_NEW_KEYS);
    assert_int_equal(amy__s3_fate_of(403, ""), AMY__S3_NEW_KEYS); /* HEAD */
    assert_int_equal(amy__s3_fate_of(403, "RequestTimeTooSkewed"),
                     AMY__S3_CLOCK);
}

static void
test_a_region_in_china_is_of_another_domain(void **state)
{
    char host[64];

    (void)state;
    amy__s3_host("eu-central-1", host, sizeof(host));
    assert_string_equal(host, "s3.eu-central-1.amazonaws.com");
    amy__s3_host("cn-north-1", host, sizeof(host));
    assert_string_equal(host, "s3.cn-north-1.amazonaws.com.cn");
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_small_and_never_too_many),
        cmocka_unit_test(test_a_query_is_escaped_as_a_signature_wants_it),
        cmocka_unit_test(test_a_checksum_is_its_hash_in_base64),
        cmocka_unit_test(test_what_may_pass_is_tried_again_and_nothing_else),
        cmocka_unit_test(test_a_region_in_china_is_of_another_domain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* What redis-py takes as a URL, and what is wrong with others. */
#include "amy_test.h"

#include "redis/url.h"

#include <stdio.h>
#include <string.h>

static void
parse(const char *text, struct amy__redis_url *ret)
{
    struct amy_error err = AMY_ERROR_INIT;

    if (amy__redis_url_parse(text, ret, &err) < 0) {
        fail_msg("%s: %s", text, err.msg);
    }
}

static void
test_parse_network_urls_have_parts(void **state)
{
    static const struct {
        const char *text;
        const char *host;
        unsigned port;
        unsigned db;
        const char *user;
        const char *password;
        bool tls;
    } rows[] = {
        {"redis://", "localhost", 6379, 0, NULL, NULL, false},
        {"redis://h", "h", 6379, 0, NULL, NULL, false},
        {"redis://h:1", "h", 1, 0, NULL, NULL, false},
        {"redis://h:65535/15", "h", 65535, 15, NULL, NULL, false},
        {"redis://h/", "h", 6379, 0, NULL, NULL, false},
        {"redis://:secret@h/2", "h", 6379, 2, NULL, "secret", false},
        {"redis://u:secret@h", "h", 6379, 0, "u", "secret", false},
        {"redis://u@h", "h", 6379, 0, "u", NULL, false},
        {"rediss://u:p%40%3A%2fx@h:6380", "h", 6380, 0, "u", "p@:/x", true},
        {"redis://u:p@q@h", "h", 6379, 0, "u", "p@q", false},
        {"redis://[::1]:7/1", "::1", 7, 1, NULL, NULL, false},
        {"redis://[fe80::1]", "fe80::1", 6379, 0, NULL, NULL, false},
        {"redis://h?db=3", "h", 6379, 3, NULL, NULL, false},
        {"redis://h/1?db=3&password=x&username=y", "h", 6379, 3, "y", "x",
         false},
        {"redis://h?socket_timeout=5&protocol=3", "h", 6379, 0, NULL, NULL,
         false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct amy__redis_url url = {0};

        parse(rows[i].text, &url);
        assert_string_equal(url.host, rows[i].host);
        assert_null(url.path);
        assert_int_equal(url.port, rows[i].port);
        assert_int_equal(url.db, rows[i].db);
        assert_int_equal(url.tls, rows[i].tls);
        assert_string_equal(url.user == NULL ? "-" : url.user,
                            rows[i].user == NULL ? "-" : rows[i].user);
        assert_string_equal(url.password == NULL ? "-" : url.password,
                            rows[i].password == NULL ? "-" : rows[i].password);
        amy__redis_url_clear(&url);
    }
}

static void
test_parse_unix_urls_have_a_path(void **state)
{
    struct amy__redis_url url = {0};
    char shown[64] = "";

    (void)state;
    parse("unix:///run/my%20redis.sock?db=4", &url);
    assert_string_equal(url.path, "/run/my redis.sock");
    assert_null(url.host);
    assert_int_equal(url.db, 4);
    amy__redis_url_clear(&url);
    parse("unix://u:p@/run/r.sock", &url);
    assert_string_equal(url.path, "/run/r.sock");
    assert_string_equal(url.user, "u");
    assert_string_equal(url.password, "p");
    amy__redis_url_show(&url, shown, sizeof(shown));
    assert_string_equal(shown, "/run/r.sock");
    amy__redis_url_clear(&url);
}

static void
test_parse_tls_files_come_from_the_query(void **state)
{
    struct amy__redis_url url = {0};
    char shown[64] = "";

    (void)state;
    parse("rediss://h?ssl_ca_certs=/etc/ca%2epem&ssl_certfile=/c&"
          "ssl_keyfile=/k&ssl_cert_reqs=required",
          &url);
    assert_string_equal(url.ca_file, "/etc/ca.pem");
    assert_string_equal(url.cert_file, "/c");
    assert_string_equal(url.key_file, "/k");
    amy__redis_url_show(&url, shown, sizeof(shown));
    assert_string_equal(shown, "h:6379");
    amy__redis_url_clear(&url);
}

static void
test_parse_bad_urls_name_the_part_and_no_secret(void **state)
{
    static const struct {
        const char *text;
        const char *part;
    } rows[] = {
        {"", "empty"},
        {"http://x", "begins with"},
        {"redis:/x", "begins with"},
        {"redis://:hunter2@h:0", "port"},
        {"redis://:hunter2@h:65536", "port"},
        {"redis://:hunter2@h:x", "port"},
        {"redis://:hunter2@h/x", "database"},
        {"redis://:hunter2@h/-1", "database"},
        {"redis://:hunter2@h/1/2", "database"},
        {"redis://:hunter2@h?db=x", "database"},
        {"redis://:hunter2@h?db", "query"},
        {"redis://:hunter2%@h", "the password"},
        {"redis://:hunter2%4@h", "the password"},
        {"redis://:hunter2%zz@h", "the password"},
        {"redis://:hunter2%00@h", "the password"},
        {"redis://u%:hunter2@h", "the user"},
        {"redis://:hunter2@h%", "the host"},
        {"redis://:hunter2@[::1", "host"},
        {"redis://:hunter2@[::1]x", "after ]"},
        {"redis://:hunter2@h?ssl_cert_reqs=none", "ssl_cert_reqs"},
        {"redis://h?password=hunter2%", "password"},
        {"unix://:hunter2@", "path"},
        {"unix://host/path", "no host"},
        {"redis://:hunter2 x@h", "blanks"},
        {"redis://:hunter2\n@h", "blanks"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct amy__redis_url url = {0};
        struct amy_error err = AMY_ERROR_INIT;

        if (amy__redis_url_parse(rows[i].text, &url, &err) != AMY_EINVAL) {
            fail_msg("%s was taken", rows[i].text);
        }
        if (strstr(err.msg, rows[i].part) == NULL ||
            strstr(err.msg, "hunter2") != NULL) {
            fail_msg("%s: %s", rows[i].text, err.msg);
        }
    }
}

static void
test_parse_too_long_is_refused(void **state)
{
    static char text[5000] = "redis://";
    struct amy__redis_url url = {0};

    (void)state;
    memset(text + 8, 'h', sizeof(text) - 9);
    assert_int_equal(amy__redis_url_parse(text, &url, NULL), AMY_EINVAL);
}

int
main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parse_network_urls_have_parts),
        cmocka_unit_test(test_parse_unix_urls_have_a_path),
        cmocka_unit_test(test_parse_tls_files_come_from_the_query),
        cmocka_unit_test(test_parse_bad_urls_name_the_part_and_no_secret),
        cmocka_unit_test(test_parse_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

#include "amy_test.h"

#include "layout/text.h"
#include "site/site.h"

#include <string.h>

static struct amy__buf yaml;

static int
set_up(void **state)
{
    (void)state;
    amy__buf_init(&yaml, 65536);
    return 0;
}

static int
tear_down(void **state)
{
    (void)state;
    amy__buf_clear(&yaml);
    return 0;
}

static void
print_problem(const struct amy_problem *problem, void *user)
{
    char line[512];

    (void)user;
    (void)amy__problem_format(problem, line, sizeof(line));
    print_error("%s\n", line);
}

static struct amy__site *
parse(struct amy__span text)
{
    struct amy__site *site = NULL;

    assert_int_equal(amy__site_parse(text, "site.yaml", "example.org",
                                     print_problem, NULL, &site, NULL),
                     0);
    return site;
}

static void
write_plain(void)
{
    const struct amy__layout_text text = {.domain = "example.org",
                                          .user = "amy-example",
                                          .wsgi = "config.wsgi:application"};

    assert_int_equal(amy__layout_text(&text, &yaml), 0);
}

/* Take away each '#' that no blank follows and that no value has before it. */
static void
uncomment(struct amy__buf *text)
{
    size_t n = 0;
    bool begins = true; /* of a line, blanks apart */

    for (size_t i = 0; i < text->len; i++) {
        char c = text->data[i];

        if (begins && c == '#' && text->data[i + 1] != ' ' &&
            text->data[i + 1] != '\n') {
            begins = false;
            continue;
        }
        begins = c == '\n' || (begins && c == ' ');
        text->data[n++] = c;
    }
    text->len = n;
}

static void
test_text_is_a_site(void **state)
{
    struct amy__site *site = NULL;

    (void)state;
    write_plain();
    site = parse(amy__buf_span(&yaml));
    assert_string_equal(site->user, "amy-example");
    assert_false(site->stage_test);
    assert_int_equal(site->worker_count, 1);
    assert_string_equal(site->workers[0].wsgi, "config.wsgi:application");
    assert_int_equal(site->workers[0].count, 3);
    amy__site_unref(site);
}

static void
test_text_with_what_was_asked_for(void **state)
{
    const char *const aliases[] = {"www.example.org", "example.net", NULL};
    const struct amy__layout_text text = {.domain = "example.org",
                                          .user = "shop",
                                          .wsgi = "shop.wsgi:app",
                                          .aliases = aliases,
                                          .stage_test = true};
    struct amy__site *site = NULL;

    (void)state;
    assert_int_equal(amy__layout_text(&text, &yaml), 0);
    site = parse(amy__buf_span(&yaml));
    assert_true(site->stage_test);
    assert_string_equal(site->aliases[0], "www.example.org");
    assert_string_equal(site->aliases[1], "example.net");
    assert_null(site->aliases[2]);
    assert_string_equal(site->workers[0].wsgi, "shop.wsgi:app");
    amy__site_unref(site);
}

static void
expect_same_kept(const struct amy__site *shown, const struct amy__site *plain)
{
    assert_int_equal(shown->backup_keep, plain->backup_keep);
    assert_int_equal(shown->backup_before_deploy, plain->backup_before_deploy);
    assert_int_equal(shown->logs_size_bytes, plain->logs_size_bytes);
    assert_int_equal(shown->logs_every, plain->logs_every);
    assert_int_equal(shown->logs_keep, plain->logs_keep);
    assert_int_equal(shown->logs_max_age_ms, plain->logs_max_age_ms);
    assert_int_equal(shown->logs_total_bytes, plain->logs_total_bytes);
    assert_int_equal(shown->logs_packing, plain->logs_packing);
}

/* What a comment shows as the default is the default. */
static void
test_comments_show_defaults(void **state)
{
    struct amy__site *plain = NULL;
    struct amy__site *shown = NULL;

    (void)state;
    write_plain();
    plain = parse(amy__buf_span(&yaml));
    uncomment(&yaml);
    shown = parse(amy__buf_span(&yaml));
    assert_int_equal(shown->stage_test, plain->stage_test);
    assert_int_equal(shown->cert_count, plain->cert_count); /* auto */
    assert_int_equal(shown->http, plain->http);
    assert_string_equal(shown->health_path, plain->health_path);
    assert_int_equal(shown->health_any_host, plain->health_any_host);
    assert_int_equal(shown->health_probes, plain->health_probes);
    assert_int_equal(shown->health_timeout_ms, plain->health_timeout_ms);
    assert_int_equal(shown->health_bake_ms, plain->health_bake_ms);
    assert_int_equal(shown->body_bytes, plain->body_bytes);
    assert_int_equal(shown->queue_length, plain->queue_length);
    assert_int_equal(shown->queue_ms, plain->queue_ms);
    assert_int_equal(shown->retry_after_s, plain->retry_after_s);
    assert_int_equal(shown->workers[0].slots, plain->workers[0].slots);
    assert_int_equal(shown->workers[0].timeout_ms,
                     plain->workers[0].timeout_ms);
    assert_int_equal(shown->workers[0].boot_timeout_ms,
                     plain->workers[0].boot_timeout_ms);
    assert_int_equal(shown->workers[0].stop_signal,
                     plain->workers[0].stop_signal);
    assert_int_equal(shown->workers[0].stop_patience_ms,
                     plain->workers[0].stop_patience_ms);
    expect_same_kept(shown, plain);
    amy__site_unref(plain);
    amy__site_unref(shown);
}

/* A test site keeps less. */
static void
test_comments_show_defaults_of_the_stage(void **state)
{
    const char *const aliases[] = {NULL};
    const struct amy__layout_text text = {.domain = "example.org",
                                          .user = "amy-test",
                                          .wsgi = "shop.wsgi:app",
                                          .aliases = aliases,
                                          .stage_test = true};
    struct amy__site *plain = NULL;
    struct amy__site *shown = NULL;

    (void)state;
    assert_int_equal(amy__layout_text(&text, &yaml), 0);
    plain = parse(amy__buf_span(&yaml));
    uncomment(&yaml);
    shown = parse(amy__buf_span(&yaml));
    assert_true(shown->stage_test);
    expect_same_kept(shown, plain);
    amy__site_unref(plain);
    amy__site_unref(shown);
}

/* And examples are good ones. */
static void
test_comments_can_be_taken_as_they_are(void **state)
{
    struct amy__site *site = NULL;

    (void)state;
    write_plain();
    uncomment(&yaml);
    site = parse(amy__buf_span(&yaml));
    assert_int_equal(site->worker_count, 2);
    assert_int_equal(site->workers[1].stop_patience_ms, 600000);
    assert_int_equal(site->workers[1].replace, AMY__REPLACE_STOP_FIRST);
    assert_int_equal(site->route_count, 5); /* and / of its own */
    assert_string_equal(site->database_from, "DATABASE_URL");
    assert_string_equal(site->redis_from, "AMY_REDIS_URL");
    assert_int_equal(site->backup_every_ms, 1800000);
    assert_string_equal(site->deploy.user, "deploy");
    amy__site_unref(site);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_text_is_a_site, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_text_with_what_was_asked_for,
                                        set_up, tear_down),
        cmocka_unit_test_setup_teardown(
            test_comments_show_defaults_of_the_stage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_comments_show_defaults, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_comments_can_be_taken_as_they_are,
                                        set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

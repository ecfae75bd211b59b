/* Times and fields of log lines, and the JSON made of them. */
#include "amy_test.h"

#include "core/clock.h"
#include "core/json.h"
#include "logrotate/line.h"

#include <stdio.h>
#include <string.h>

static void
test_times_of_all_kinds_are_read(void **state)
{
    static const struct {
        const char *line;
        const char *time; /* NULL: it has none */
    } cases[] = {
        {"2026-11-26T20:59:59.123Z status=502", "2026-11-26T20:59:59.123Z"},
        {"2026-11-26T20:59:59Z", "2026-11-26T20:59:59.000Z"},
        {"2026-11-26 20:59:59,123 ERROR x", "2026-11-26T20:59:59.123Z"},
        {"2026-11-26 20:59:59.123456 x", "2026-11-26T20:59:59.123Z"},
        {"[2026-11-26 21:59:59 +0100] [7] [INFO]", "2026-11-26T20:59:59.000Z"},
        {"2026-11-26T18:29:59-02:30", "2026-11-26T20:59:59.000Z"},
        {"192.0.2.1 - - [26/Nov/2026:20:59:59 +0000] \"GET /",
         "2026-11-26T20:59:59.000Z"},
        {"::1 - bob [29/Feb/2028:01:00:00 +0200] \"GET /",
         "2028-02-28T23:00:00.000Z"},
        {"", NULL},
        {"Traceback (most recent call last):", NULL},
        {"  File \"x.py\", line 1", NULL},
        {"2026-13-26T20:59:59Z", NULL},
        {"2026-02-29T20:59:59Z", NULL},
        {"2026-11-26", NULL},
        {"a [b] c", NULL},
        {"a [31/Nov/2026:00:00:00 +0000]", NULL},
        {"a [30/Nov/2026:00:00", NULL},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int64_t ms = 0;
        char text[25];
        bool timed = amy__log_line_time(amy__span_of(cases[i].line), &ms);

        if (timed != (cases[i].time != NULL) ||
            (timed && strcmp(amy__format_time(ms, text), cases[i].time) != 0)) {
            fail_msg("%s: %s", cases[i].line, timed ? text : "no time");
        }
    }
}

static void
assert_span(struct amy__span s, const char *want)
{
    assert_int_equal(s.n, strlen(want));
    assert_memory_equal(s.p, want, s.n);
}

static void
test_our_access_line_has_all_fields(void **state)
{
    struct amy__log_access access;

    (void)state;
    assert_true(amy__log_line_access(
        AMY_SPAN("192.0.2.1 - a[n]na [23/Nov/2026:21:30:30 +0000] \"GET /a?b "
                 "HTTP/1.1\" 200 1234 \"-\" \"curl/8 x\" rt=1.235 qt=- id=abc "
                 "w=web/1.0 stage=test"),
        &access));
    assert_span(access.client, "192.0.2.1");
    assert_span(access.request, "GET /a?b HTTP/1.1");
    assert_span(access.method, "GET");
    assert_span(access.target, "/a?b");
    assert_span(access.status, "200");
    assert_span(access.bytes, "1234");
    assert_span(access.referer, "");
    assert_span(access.agent, "curl/8 x");
    assert_span(access.duration, "1.235");
    assert_span(access.queued, "");
    assert_span(access.request_id, "abc");
    assert_span(access.worker, "web/1.0");
    assert_span(access.user, "a[n]na");
    assert_span(access.stage, "test");
}

static void
test_common_and_broken_access_lines(void **state)
{
    struct amy__log_access access;

    (void)state;
    assert_true(amy__log_line_access(
        AMY_SPAN("::1 - - [x] \"GET / HTTP/1.0\" 304 -"), &access));
    assert_span(access.bytes, "");
    assert_span(access.target, "/");
    assert_span(access.user, "");
    assert_span(access.stage, "");
    assert_true(amy__log_line_access(
        AMY_SPAN("::1 - an na [x] \"GET / HTTP/1.0\" 304 -"), &access));
    assert_span(access.user, "an na");
    assert_true(amy__log_line_access(
        AMY_SPAN("a - - [x] \"-\" 400 0 \"-\" \"-\""), &access));
    assert_span(access.request, "-");
    assert_span(access.method, "");
    assert_false(amy__log_line_access(AMY_SPAN(""), &access));
    assert_false(amy__log_line_access(AMY_SPAN("a - - [x] \"GET /"), &access));
    assert_false(
        amy__log_line_access(AMY_SPAN("a - - [x] \"G\" 20x 1"), &access));
}

static void
test_workers_line_has_pool_position_and_pid(void **state)
{
    struct amy__log_worker worker;

    (void)state;
    assert_true(amy__log_line_worker(
        AMY_SPAN("1970-01-01T00:00:01.000Z [web:2 4711]   File \"x\""),
        &worker));
    assert_span(worker.pool, "web");
    assert_span(worker.position, "2");
    assert_span(worker.pid, "4711");
    assert_span(worker.text, "  File \"x\"");
    assert_false(amy__log_line_worker(
        AMY_SPAN("1970-01-01T00:00:01.000Z [amy-workers] 2 lines were lost"),
        &worker));
    assert_false(amy__log_line_worker(AMY_SPAN("web:2 4711] x"), &worker));
}

/* ---- JSON ---- */

static struct amy__json *
json_of(uint32_t component, const char *text, size_t n, size_t size)
{
    static char buf[300000];
    const struct amy_log_line line = {.struct_size = sizeof(line),
                                      .component = component,
                                      .wall_ms = 1000,
                                      .text = text,
                                      .text_bytes = n};
    struct amy__json *json = NULL;
    struct amy_error err = AMY_ERROR_INIT;
    size_t used = amy_log_line_json(&line, buf, size);

    assert_true(used <= size);
    assert_int_equal(buf[used - 1], '\n');
    if (amy__json_parse((struct amy__span){buf, used - 1}, &json, &err) < 0) {
        fail_msg("%s: %.*s", err.msg, (int)used, buf);
    }
    return json;
}

static void
test_access_line_as_json(void **state)
{
    static const char text[] =
        "192.0.2.1 - - [23/Nov/2026:21:30:30 +0000] \"GET /\\x22 HTTP/1.1\" "
        "200 007 \"-\" \"-\" rt=01.5 qt=0.000 id=abc w=-";
    struct amy__json *json =
        json_of(AMY_LOG_COMPONENT_ACCESS, text, strlen(text), 4096);

    (void)state;
    assert_string_equal(amy__json_get_text(json, "time", ""),
                        "1970-01-01T00:00:01.000Z");
    assert_string_equal(amy__json_get_text(json, "component", ""), "access");
    assert_int_equal(amy__json_get_int(json, "status", 0), 200);
    assert_int_equal(amy__json_get_int(json, "bytes", 0), 7);
    assert_string_equal(amy__json_get_text(json, "target", ""), "/\\x22");
    assert_string_equal(amy__json_get_text(json, "message", ""),
                        "GET /\\x22 HTTP/1.1");
    assert_null(amy__json_get(json, "worker"));
    assert_non_null(amy__json_get(json, "duration"));
    amy__json_free(json);
}

static void
test_workers_line_as_json(void **state)
{
    static const char text[] = "1970-01-01T00:00:01.000Z [rq:0 12] ";
    struct amy__json *json =
        json_of(AMY_LOG_COMPONENT_WORKERS, text, strlen(text), 4096);

    (void)state;
    assert_string_equal(amy__json_get_text(json, "pool", ""), "rq");
    assert_int_equal(amy__json_get_int(json, "position", -1), 0);
    assert_int_equal(amy__json_get_int(json, "pid", -1), 12);
    assert_string_equal(amy__json_get_text(json, "message", "?"), "");
    amy__json_free(json);
}

static void
test_message_goes_without_the_time_that_is_told(void **state)
{
    static const char text[] = "1970-01-01T00:00:01.000Z status=502";
    struct amy__json *json =
        json_of(AMY_LOG_COMPONENT_ERROR, text, strlen(text), 4096);

    (void)state;
    assert_string_equal(amy__json_get_text(json, "message", "?"), "status=502");
    amy__json_free(json);
}

static void
test_any_bytes_are_valid_json(void **state)
{
    char text[1024];
    struct amy__json *json = NULL;

    (void)state;
    for (size_t i = 0; i < sizeof(text); i++) {
        text[i] = (char)(i * 7 + i / 256);
    }
    memcpy(text, "\"\\\n\xc3\xa9\xf0\x9f\x98\x80\xed\xa0\x80\xc3", 13);
    json = json_of(AMY_LOG_COMPONENT_WORKERS, text, sizeof(text), 100000);
    assert_null(amy__json_get(json, "cut"));
    amy__json_free(json);
}

/* U+009B begins a command of a terminal. */
static void
test_no_control_character_is_raw_in_json(void **state)
{
    static const char text[] = "\x1b\x7f\xc2\x80\xc2\x9b\x9b\xc2\xa0.";
    const struct amy_log_line line = {.struct_size = sizeof(line),
                                      .component = AMY_LOG_COMPONENT_WORKERS,
                                      .text = text,
                                      .text_bytes = sizeof(text) - 1};
    char buf[1024];
    size_t n = amy_log_line_json(&line, buf, sizeof(buf) - 1);

    (void)state;
    buf[n] = '\0';
    assert_non_null(strstr(buf, "\"\\u001b\\u007f\\u0080\\u009b\xef\xbf\xbd"
                                "\xc2\xa0.\""));
}

static void
test_what_does_not_fit_is_cut_and_says_so(void **state)
{
    static char text[200000];

    (void)state;
    memset(text, '\x01', sizeof(text));
    for (size_t size = 512; size < 700; size++) {
        struct amy__json *json =
            json_of(AMY_LOG_COMPONENT_BACKUP, text, sizeof(text), size);

        assert_true(amy__json_get_bool(json, "cut", false));
        assert_true(strlen(amy__json_get_text(json, "message", "")) > 50);
        amy__json_free(json);
    }
}

static void
test_message_of_a_program_as_json(void **state)
{
    char buf[512];
    char text[600];
    size_t n = 0;

    (void)state;
    n = amy_log_message_json(AMY_LOG_WARN, "amy-front", 0, "a \"b\" site=x\x1b",
                             buf, sizeof(buf));
    assert_int_equal(n, strlen("{\"time\":\"1970-01-01T00:00:00.000Z\","
                               "\"component\":\"amy-front\",\"level\":\"warn\","
                               "\"message\":\"a \\\"b\\\" site=x\\u001b\"}\n"));
    assert_memory_equal(buf,
                        "{\"time\":\"1970-01-01T00:00:00.000Z\","
                        "\"component\":\"amy-front\",\"level\":\"warn\","
                        "\"message\":\"a \\\"b\\\" site=x\\u001b\"}\n",
                        n);
    memset(text, 'y', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    n = amy_log_message_json(AMY_LOG_INFO, "p", 0, text, buf, sizeof(buf));
    assert_int_equal(n, sizeof(buf));
    assert_memory_equal(buf + n - 16, "yy\",\"cut\":true}\n", 16);
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_times_of_all_kinds_are_read),
        cmocka_unit_test(test_our_access_line_has_all_fields),
        cmocka_unit_test(test_common_and_broken_access_lines),
        cmocka_unit_test(test_workers_line_has_pool_position_and_pid),
        cmocka_unit_test(test_access_line_as_json),
        cmocka_unit_test(test_workers_line_as_json),
        cmocka_unit_test(test_message_goes_without_the_time_that_is_told),
        cmocka_unit_test(test_message_of_a_program_as_json),
        cmocka_unit_test(test_any_bytes_are_valid_json),
        cmocka_unit_test(test_no_control_character_is_raw_in_json),
        cmocka_unit_test(test_what_does_not_fit_is_cut_and_says_so),
    };

    return cmocka_run_group_tests_name("logrotate/line", tests, NULL, NULL);
}

/* Files of a site through a whole front process: what comes with them, ranges,
 * conditions. */
#include "amy_test.h"

#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SITE                                                                   \
    "http: serve\nworkers: [{name: web, command: [x], count: 1}]\n"            \
    "routes:\n  - {path: /static/, files: static, cache: immutable}\n"         \
    "  - {path: /, pool: web}\n"
#define LINE(method, path) method " " path " HTTP/1.1\r\nHost: example.org\r\n"
#define GET(path) LINE("GET", path) "\r\n"
#define OLD "Sun, 06 Nov 1994 08:49:37 GMT"

struct fixture {
    struct stage stage;
    struct stage_worker worker;
    struct stage_client client;
    char text[1 << 20];
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    stage_open(&f->stage);
    assert_true(stage_bundle(&f->stage, SITE));
    stage_serve(&f->stage);
    stage_worker_open(&f->stage, &f->worker, 7, 1);
    *state = f;
    return 0;
}

static int
tear_down(void **state)
{
    struct fixture *f = *state;

    stage_worker_close(&f->worker);
    stage_close(&f->stage);
    free(f);
    return 0;
}

static bool
contains(const char *text, const char *piece)
{
    return strstr(text, piece) != NULL;
}

static unsigned
ask(struct fixture *f, const char *request)
{
    return stage_ask(&f->stage, request, f->text, sizeof(f->text));
}

/* GET of that file with some lines more. */
static unsigned
ask_with(struct fixture *f, const char *path, const char *lines)
{
    char request[2048];

    (void)snprintf(request, sizeof(request),
                   "GET %s HTTP/1.1\r\nHost: example.org\r\n%s\r\n", path,
                   lines);
    return ask(f, request);
}

/* The value of a field of the last answer; "" when there is none. */
static const char *
field(const struct fixture *f, const char *name)
{
    static char value[512];
    char start[64];
    const char *at = NULL;

    (void)snprintf(start, sizeof(start), "\r\n%s: ", name);
    at = strstr(f->text, start);
    value[0] = '\0';
    if (at != NULL && at < strstr(f->text, "\r\n\r\n")) {
        assert_int_equal(sscanf(at + strlen(start), "%511[^\r]", value), 1);
    }
    return value;
}

static const char *
body(const struct fixture *f)
{
    const char *at = strstr(f->text, "\r\n\r\n");

    assert_non_null(at);
    return at + 4;
}

static void
set_time(struct fixture *f, const char *path, int64_t seconds)
{
    const struct timespec times[2] = {{.tv_sec = seconds}, {.tv_sec = seconds}};

    assert_int_equal(utimensat(f->stage.dir_fd, path, times, 0), 0);
}

/* ---- one file ---- */

static void
test_file_has_its_validators(void **state)
{
    struct fixture *f = *state;
    char request[512];
    char etag[128];
    const char *at = NULL;

    stage_file(&f->stage, "static/a.css", "a{}");
    assert_int_equal(
        stage_ask(&f->stage, GET("/static/a.css"), f->text, sizeof(f->text)),
        200);
    assert_true(contains(f->text, "Content-Type: text/css"));
    assert_true(contains(f->text, "immutable"));
    assert_true(contains(f->text, "nosniff"));
    assert_true(contains(f->text, "\r\n\r\na{}"));
    assert_true(contains(f->text, "Accept-Ranges: bytes\r\n"));
    assert_false(contains(f->text, "Vary"));
    at = strstr(f->text, "ETag: ");
    assert_non_null(at);
    assert_int_equal(sscanf(at, "ETag: %127[^\r]", etag), 1);
    (void)snprintf(request, sizeof(request),
                   "GET /static/a.css HTTP/1.1\r\nHost: example.org\r\n"
                   "If-None-Match: %s\r\n\r\n",
                   etag);
    assert_int_equal(stage_ask(&f->stage, request, f->text, sizeof(f->text)),
                     304);
    assert_true(contains(f->text, etag));
    assert_int_equal(
        stage_ask(&f->stage,
                  "GET /static/a.css HTTP/1.1\r\nHost: example.org\r\n"
                  "If-Match: \"x\"\r\n\r\n",
                  f->text, sizeof(f->text)),
        412);
    assert_int_equal(
        stage_ask(&f->stage,
                  "POST /static/a.css HTTP/1.1\r\nHost: example.org\r\n"
                  "Content-Length: 0\r\n\r\n",
                  f->text, sizeof(f->text)),
        405);
    assert_true(contains(f->text, "Allow: GET, HEAD\r\n"));
    assert_int_equal(
        stage_ask(&f->stage,
                  "HEAD /static/a.css HTTP/1.1\r\nHost: example.org\r\n\r\n",
                  f->text, sizeof(f->text)),
        200);
    assert_true(contains(f->text, "Content-Length: 3\r\n"));
}

static void
test_paths_that_name_no_public_file_are_404(void **state)
{
    struct fixture *f = *state;
    static const char *const requests[] = {
        GET("/static/none.css"),   GET("/static/../site.yaml"),
        GET("/static/%2e%2e/x"),   GET("/static/.hidden"),
        GET("/static/sub/.git/x"), GET("/static/sub"),
        GET("/static/link"),       GET("/static/"),
        GET("/static/a%00.css"),   GET("/static/..%2fsecret"),
    };

    stage_file(&f->stage, "secret", "secret");
    stage_file(&f->stage, "static/.hidden", "secret");
    stage_file(&f->stage, "static/sub/.git/x", "secret");
    assert_int_equal(symlinkat("/etc/hostname", f->stage.dir_fd, "static/link"),
                     0);
    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        unsigned status =
            stage_ask(&f->stage, requests[i], f->text, sizeof(f->text));

        if (status != 404 && status != 400) {
            fail_msg("%s gave %u", requests[i], status);
        }
        assert_false(contains(f->text, "secret"));
    }
}

static void
test_large_file_comes_whole(void **state)
{
    struct fixture *f = *state;
    static char big[200001];

    memset(big, 'z', sizeof(big) - 1);
    stage_file(&f->stage, "static/big.bin", big);
    stage_connect(&f->stage, &f->client);
    stage_send(&f->client, GET("/static/big.bin") GET("/"));
    assert_int_equal(stage_answer(&f->client, false, NULL, 0), 200);
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     200);
    assert_true(contains(f->text, "hello"));
    stage_disconnect(&f->client);
}

/* ---- ranges ---- */

static void
put_digits(struct fixture *f)
{
    stage_file(&f->stage, "static/d.txt", "0123456789");
    set_time(f, "static/d.txt", 784111777); /* OLD */
}

static void
test_range_is_206_with_what_200_would_say(void **state)
{
    struct fixture *f = *state;
    char etag[128];

    put_digits(f);
    assert_int_equal(ask(f, GET("/static/d.txt")), 200);
    assert_string_equal(field(f, "Content-Range"), "");
    (void)snprintf(etag, sizeof(etag), "%s", field(f, "ETag"));
    assert_int_equal(ask_with(f, "/static/d.txt", "Range: bytes=2-4\r\n"), 206);
    assert_string_equal(body(f), "234");
    assert_string_equal(field(f, "Content-Range"), "bytes 2-4/10");
    assert_string_equal(field(f, "Content-Length"), "3");
    assert_string_equal(field(f, "ETag"), etag);
    assert_string_equal(field(f, "Last-Modified"), OLD);
    assert_string_equal(field(f, "Content-Type"), "text/plain; charset=utf-8");
    assert_string_equal(field(f, "Accept-Ranges"), "bytes");
    assert_true(contains(field(f, "Cache-Control"), "immutable"));
    assert_string_not_equal(field(f, "Date"), "");
}

static void
test_range_of_each_form(void **state)
{
    static const struct {
        const char *range;
        unsigned status;
        const char *body;
    } cases[] = {
        {"bytes=0-0", 206, "0"},          {"bytes=-5", 206, "56789"},
        {"bytes=5-", 206, "56789"},       {"bytes=0-999999", 206, "0123456789"},
        {"bytes=1-2,99-", 206, "12"},     {"lines=0-0", 200, "0123456789"},
        {"bytes=2-1", 200, "0123456789"}, {"bytes=0-4,2-6", 200, "0123456789"},
    };
    struct fixture *f = *state;

    put_digits(f);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[128];

        (void)snprintf(line, sizeof(line), "Range: %s\r\n", cases[i].range);
        assert_int_equal(ask_with(f, "/static/d.txt", line), cases[i].status);
        assert_string_equal(body(f), cases[i].body);
    }
}

static void
test_range_beyond_the_end_is_416_with_the_length(void **state)
{
    struct fixture *f = *state;

    put_digits(f);
    assert_int_equal(ask_with(f, "/static/d.txt", "Range: bytes=10-\r\n"), 416);
    assert_string_equal(field(f, "Content-Range"), "bytes */10");
    assert_false(contains(f->text, "0123"));
}

static void
test_head_knows_no_range(void **state)
{
    struct fixture *f = *state;

    put_digits(f);
    assert_int_equal(
        ask(f, LINE("HEAD", "/static/d.txt") "Range: bytes=2-4\r\n\r\n"), 200);
    assert_string_equal(field(f, "Content-Length"), "10");
    assert_string_equal(field(f, "Content-Range"), "");
    assert_string_equal(field(f, "Accept-Ranges"), "bytes");
}

static void
test_range_of_a_large_file(void **state)
{
    struct fixture *f = *state;
    static char big[300001];

    memset(big, 'z', sizeof(big) - 1);
    memcpy(big + 200000, "needle", 6);
    stage_file(&f->stage, "static/big.bin", big);
    assert_int_equal(
        ask_with(f, "/static/big.bin", "Range: bytes=200000-200005\r\n"), 206);
    assert_string_equal(body(f), "needle");
    assert_int_equal(ask_with(f, "/static/big.bin", "Range: bytes=200000-\r\n"),
                     206);
    assert_int_equal(strlen(body(f)), 100000);
    assert_memory_equal(body(f), "needlez", 7);
    assert_int_equal(ask_with(f, "/static/big.bin", "Range: bytes=300000-\r\n"),
                     416);
}

/* Parts one by one: Content-Range of each, and its bytes. */
static void
assert_parts(struct fixture *f, const char *const parts[], size_t count)
{
    char boundary[128];
    char wanted[1024];
    const char *at = body(f);

    assert_string_equal(field(f, "Content-Range"), "");
    assert_int_equal(sscanf(field(f, "Content-Type"),
                            "multipart/byteranges; boundary=%127s", boundary),
                     1);
    for (size_t i = 0; i < count; i++) {
        (void)snprintf(wanted, sizeof(wanted),
                       "\r\n--%s\r\nContent-Type: text/plain; charset=utf-8\r\n"
                       "Content-Range: %s\r\n\r\n%s",
                       boundary, parts[2 * i], parts[2 * i + 1]);
        assert_int_equal(strncmp(at, wanted, strlen(wanted)), 0);
        at += strlen(wanted);
    }
    (void)snprintf(wanted, sizeof(wanted), "\r\n--%s--\r\n", boundary);
    assert_string_equal(at, wanted);
}

static void
test_several_ranges_are_one_multipart_answer(void **state)
{
    static const char *const parts[] = {"bytes 8-9/10", "89", "bytes 0-1/10",
                                        "01"};
    struct fixture *f = *state;

    put_digits(f);
    stage_connect(&f->stage, &f->client);
    stage_send(&f->client,
               LINE("GET", "/static/d.txt") "Range: bytes=-2,0-1\r\n\r\n" GET(
                   "/static/d.txt"));
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     206);
    assert_parts(f, parts, 2);
    assert_string_equal(field(f, "Last-Modified"), OLD);
    /* Its length was right: the next answer follows. */
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     200);
    assert_string_equal(body(f), "0123456789");
    stage_disconnect(&f->client);
}

static void
test_several_ranges_of_a_large_file(void **state)
{
    struct fixture *f = *state;
    static char big[900001];
    const char *second = NULL;

    memset(big, 'z', sizeof(big) - 1);
    memcpy(big + 500000, "needle", 6);
    stage_file(&f->stage, "static/big.bin", big);
    stage_connect(&f->stage, &f->client);
    f->client.stopped = true;
    stage_send(
        &f->client,
        LINE("GET", "/static/big.bin") "Range: bytes=0-399999,500000-899999\r\n\r\n" GET(
            "/x"));
    /* Others are served meanwhile. */
    assert_int_equal(ask(f, GET("/")), 200);
    f->client.stopped = false;
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     206);
    second = strstr(f->text, "bytes 500000-899999/900000\r\n\r\n");
    assert_non_null(second);
    assert_memory_equal(strchr(second, '\n') + 3, "needlez", 7);
    assert_int_equal(stage_answer(&f->client, false, f->text, sizeof(f->text)),
                     200);
    stage_disconnect(&f->client);
}

/* ---- conditions ---- */

static void
test_if_range_is_strong(void **state)
{
    struct fixture *f = *state;
    char lines[512];
    char etag[128];

    put_digits(f);
    assert_int_equal(ask(f, GET("/static/d.txt")), 200);
    (void)snprintf(etag, sizeof(etag), "%s", field(f, "ETag"));
    (void)snprintf(lines, sizeof(lines), "Range: bytes=0-0\r\nIf-Range: %s\r\n",
                   etag);
    assert_int_equal(ask_with(f, "/static/d.txt", lines), 206);
    (void)snprintf(lines, sizeof(lines),
                   "Range: bytes=0-0\r\nIf-Range: W/%s\r\n", etag);
    assert_int_equal(ask_with(f, "/static/d.txt", lines), 200);
    assert_int_equal(
        ask_with(f, "/static/d.txt", "Range: bytes=0-0\r\nIf-Range: \"x\"\r\n"),
        200);
    assert_int_equal(ask_with(f, "/static/d.txt",
                              "Range: bytes=0-0\r\nIf-Range: " OLD "\r\n"),
                     206);
    assert_int_equal(ask_with(f, "/static/d.txt",
                              "Range: bytes=0-0\r\n"
                              "If-Range: Sun, 06 Nov 1994 08:49:38 GMT\r\n"),
                     200);
    /* What does not hold is no reason to refuse either. */
    assert_int_equal(
        ask_with(f, "/static/d.txt", "Range: bytes=99-\r\nIf-Range: \"x\"\r\n"),
        200);
}

static void
test_conditions_come_before_the_range(void **state)
{
    struct fixture *f = *state;

    put_digits(f);
    assert_int_equal(ask_with(f, "/static/d.txt",
                              "Range: bytes=0-0\r\nIf-None-Match: *\r\n"),
                     304);
    assert_int_equal(
        ask_with(f, "/static/d.txt", "Range: bytes=0-0\r\nIf-Match: \"x\"\r\n"),
        412);
    assert_int_equal(ask_with(f, "/static/d.txt",
                              "Range: bytes=99-\r\nIf-Modified-Since: " OLD
                              "\r\n"),
                     304);
    assert_int_equal(ask_with(f, "/static/d.txt",
                              "Range: bytes=0-0\r\nIf-None-Match: \"x\"\r\n"
                              "If-Modified-Since: " OLD "\r\n"),
                     206);
}

/* ---- variants ---- */

static void
test_variant_by_what_the_client_accepts(void **state)
{
    static const struct {
        const char *accept;
        const char *coding;
        const char *body;
    } cases[] = {
        {"", "", "plain{}"},
        {"Accept-Encoding: gzip, br\r\n", "br", "in br"},
        {"Accept-Encoding: gzip, deflate\r\n", "gzip", "in gzip"},
        {"Accept-Encoding: br;q=0, *\r\n", "gzip", "in gzip"},
        {"Accept-Encoding: identity\r\n", "", "plain{}"},
        {"Accept-Encoding: zstd, identity;q=0\r\n", "", "plain{}"},
    };
    struct fixture *f = *state;
    char etags[3][128];

    stage_file(&f->stage, "static/a.css", "plain{}");
    stage_file(&f->stage, "static/a.css.br", "in br");
    stage_file(&f->stage, "static/a.css.gz", "in gzip");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(ask_with(f, "/static/a.css", cases[i].accept), 200);
        assert_string_equal(body(f), cases[i].body);
        assert_string_equal(field(f, "Content-Encoding"), cases[i].coding);
        assert_string_equal(field(f, "Vary"), "Accept-Encoding");
        assert_string_equal(field(f, "Content-Type"),
                            "text/css; charset=utf-8");
        if (i < 3) {
            (void)snprintf(etags[i], sizeof(etags[i]), "%s", field(f, "ETag"));
        }
    }
    assert_string_not_equal(etags[0], etags[1]);
    assert_string_not_equal(etags[0], etags[2]);
    assert_string_not_equal(etags[1], etags[2]);
}

static void
test_variant_is_what_ranges_and_conditions_are_about(void **state)
{
    struct fixture *f = *state;
    char lines[256];

    stage_file(&f->stage, "static/a.css", "plain{}");
    stage_file(&f->stage, "static/a.css.gz", "in gzip");
    assert_int_equal(ask_with(f, "/static/a.css",
                              "Accept-Encoding: gzip\r\n"
                              "Range: bytes=3-\r\n"),
                     206);
    assert_string_equal(body(f), "gzip");
    assert_string_equal(field(f, "Content-Range"), "bytes 3-6/7");
    assert_string_equal(field(f, "Content-Encoding"), "gzip");
    assert_string_equal(field(f, "Vary"), "Accept-Encoding");
    (void)snprintf(lines, sizeof(lines),
                   "Accept-Encoding: gzip\r\nIf-None-Match: %s\r\n",
                   field(f, "ETag"));
    assert_int_equal(ask_with(f, "/static/a.css", lines), 304);
    assert_string_equal(field(f, "Vary"), "Accept-Encoding");
    assert_string_equal(field(f, "Content-Encoding"), "");
    /* That tag is not the plain one's. */
    assert_int_equal(ask_with(f, "/static/a.css", lines + 23), 200);
    assert_string_equal(body(f), "plain{}");
}

static void
test_file_beside_is_also_a_file_of_its_own(void **state)
{
    struct fixture *f = *state;

    stage_file(&f->stage, "static/a.css", "plain{}");
    stage_file(&f->stage, "static/a.css.gz", "in gzip");
    assert_int_equal(
        ask_with(f, "/static/a.css.gz", "Accept-Encoding: gzip\r\n"), 200);
    assert_string_equal(body(f), "in gzip");
    assert_string_equal(field(f, "Content-Type"), "application/gzip");
    assert_string_equal(field(f, "Content-Encoding"), "");
    assert_string_equal(field(f, "Vary"), "");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_file_has_its_validators),
        TEST(test_paths_that_name_no_public_file_are_404),
        TEST(test_large_file_comes_whole),
        TEST(test_range_is_206_with_what_200_would_say),
        TEST(test_range_of_each_form),
        TEST(test_range_beyond_the_end_is_416_with_the_length),
        TEST(test_head_knows_no_range),
        TEST(test_range_of_a_large_file),
        TEST(test_several_ranges_are_one_multipart_answer),
        TEST(test_several_ranges_of_a_large_file),
        TEST(test_if_range_is_strong),
        TEST(test_conditions_come_before_the_range),
        TEST(test_variant_by_what_the_client_accepts),
        TEST(test_variant_is_what_ranges_and_conditions_are_about),
        TEST(test_file_beside_is_also_a_file_of_its_own),
    };

    return cmocka_run_group_tests_name("front/static", tests, NULL, NULL);
}

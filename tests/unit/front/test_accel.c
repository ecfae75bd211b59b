/* X-Accel-Redirect through a whole front process: which file, which fields,
 * and what becomes of the worker. */
#include "amy_test.h"

#include "front/slots.h"
#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SITE                                                                   \
    "http: serve\nworkers: [{name: web, command: [x], count: 1}]\n"            \
    "routes:\n  - {path: /private/, files: media/private, internal: true}\n"   \
    "  - {path: /media/, files: media/}\n"                                     \
    "  - {path: /hour/, files: media/hour, internal: true, cache: 1h}\n"       \
    "  - {path: /static/, files: static, cache: immutable}\n"                  \
    "  - {path: /, pool: web}\n"
#define SLOT 7U

struct fixture {
    struct stage stage;
    struct stage_worker worker;
    char text[1 << 16];
};

static int
set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    stage_open(&f->stage);
    assert_true(stage_bundle(&f->stage, SITE));
    stage_serve(&f->stage);
    stage_worker_open(&f->stage, &f->worker, SLOT, 1);
    stage_file(&f->stage, "media/private/a.txt", "0123456789");
    stage_file(&f->stage, "static/a.css", "public{}");
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

/* A request whose lines tell the worker what to say (stage.c), and the front
 * the rest. */
static unsigned
ask(struct fixture *f, const char *method, const char *lines)
{
    char request[4096];

    (void)snprintf(request, sizeof(request),
                   "%s /say HTTP/1.1\r\nHost: example.org\r\n%s\r\n", method,
                   lines);
    return stage_ask(&f->stage, request, f->text, sizeof(f->text));
}

static const char *
body(const struct fixture *f)
{
    const char *at = strstr(f->text, "\r\n\r\n");

    assert_non_null(at);
    return at + 4;
}

#define FILE_OF(path) "Say-X-Accel-Redirect: " path "\r\n"
#define A_TXT FILE_OF("/private/a.txt")

static void
test_file_stands_in_for_the_answer(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, "GET", A_TXT), 200);
    assert_string_equal(body(f), "0123456789");
    assert_true(contains(f->text, "Content-Type: text/plain; charset=utf-8"));
    assert_true(contains(f->text, "ETag: \""));
    assert_true(contains(f->text, "Last-Modified: "));
    assert_true(contains(f->text, "Accept-Ranges: bytes\r\n"));
    /* Nobody said who may keep it. */
    assert_true(contains(f->text, "Cache-Control: private\r\n"));
    assert_false(contains(f->text, "Accel"));
    assert_false(contains(f->text, "nobody sees"));
}

static void
test_fields_of_the_application_go_along(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, "GET",
                         A_TXT "Say-Content-Type: application/pdf\r\n"
                               "Say-Content-Disposition: attachment\r\n"
                               "Say-Set-Cookie: a=b\r\nSay-Set-Cookie: c=d\r\n"
                               "Say-Cache-Control: max-age=5\r\n"
                               "Say-Expires: now\r\n"
                               "Say-Vary: Cookie\r\n"
                               "Say-Content-Security-Policy: sandbox\r\n"
                               "Say-X-Content-Type-Options: nosniff\r\n"
                               "Say-Content-Encoding: gzip\r\n"
                               "Say-Content-Language: de\r\n"
                               "Say-ETag: \"theirs\"\r\n"
                               "Say-Last-Modified: never\r\n"
                               "Say-Location: /elsewhere\r\n"
                               "Say-X-Accel-Limit-Rate: 1024\r\n"
                               "Say-X-Accel-Anything: x\r\n"),
                     200);
    assert_true(contains(f->text, "Content-Type: application/pdf\r\n"));
    assert_true(contains(f->text, "Content-Disposition: attachment\r\n"));
    assert_true(contains(f->text, "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n"));
    assert_true(contains(f->text, "Cache-Control: max-age=5\r\n"));
    assert_true(contains(f->text, "Expires: now\r\n"));
    assert_true(contains(f->text, "Vary: Cookie\r\n"));
    assert_true(contains(f->text, "Content-Security-Policy: sandbox\r\n"));
    assert_false(contains(f->text, "text/plain"));
    assert_false(contains(f->text, "private"));
    assert_false(contains(f->text, "Content-Encoding"));
    assert_false(contains(f->text, "Content-Language"));
    assert_false(contains(f->text, "theirs"));
    assert_false(contains(f->text, "never"));
    assert_false(contains(f->text, "Location"));
    assert_false(contains(f->text, "Accel"));
    assert_null(strstr(strstr(f->text, "nosniff") + 1, "nosniff"));
}

static void
test_route_says_how_long_unless_the_application_does(void **state)
{
    struct fixture *f = *state;

    stage_file(&f->stage, "media/hour/a.txt", "x");
    assert_int_equal(ask(f, "GET", FILE_OF("/hour/a.txt")), 200);
    assert_true(contains(f->text, "Cache-Control: public, max-age=3600\r\n"));
    assert_int_equal(
        ask(f, "GET", FILE_OF("/hour/a.txt") "Say-Cache-Control: x\r\n"), 200);
    assert_true(contains(f->text, "Cache-Control: x\r\n"));
    assert_false(contains(f->text, "3600"));
    assert_int_equal(ask(f, "GET", A_TXT "Say-Expires: soon\r\n"), 200);
    assert_false(contains(f->text, "Cache-Control"));
}

static void
test_ranges_and_conditions_are_about_the_file(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(
        ask(f, "GET", A_TXT "Say-Set-Cookie: a=b\r\nRange: bytes=2-4\r\n"),
        206);
    assert_string_equal(body(f), "234");
    assert_true(contains(f->text, "Content-Range: bytes 2-4/10\r\n"));
    assert_true(contains(f->text, "Set-Cookie: a=b\r\n"));
    assert_int_equal(ask(f, "GET",
                         A_TXT
                         "Say-Content-Type: a/b\r\nRange: bytes=0-1,4-5\r\n"),
                     206);
    assert_true(contains(f->text, "Content-Type: a/b\r\n"
                                  "Content-Range: bytes 4-5/10\r\n\r\n45"));
    assert_int_equal(ask(f, "GET", A_TXT "Range: bytes=10-\r\n"), 416);
    assert_int_equal(ask(f, "GET", A_TXT "If-None-Match: *\r\n"), 304);
    assert_true(contains(f->text, "Cache-Control: private\r\n"));
    assert_int_equal(ask(f, "GET", A_TXT "If-Match: \"x\"\r\n"), 412);
    assert_int_equal(
        ask(f, "GET", A_TXT "Say-Accept-Ranges: none\r\nRange: bytes=2-4\r\n"),
        200);
    assert_true(contains(f->text, "Accept-Ranges: none\r\n"));
    assert_false(contains(f->text, "Accept-Ranges: bytes"));
}

static void
test_other_methods(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, "HEAD", A_TXT), 200);
    assert_true(contains(f->text, "Content-Length: 10\r\n"));
    assert_string_equal(body(f), "");
    assert_int_equal(
        ask(f, "POST", A_TXT "Range: bytes=2-4\r\nIf-None-Match: *\r\n"), 200);
    assert_string_equal(body(f), "0123456789");
}

static void
test_value_is_read_as_nginx_reads_it(void **state)
{
    static const struct {
        const char *value;
        const char *body; /* NULL: 404 */
    } cases[] = {
        {"/private/a%20b%C3%A4.txt", "umlaut"},
        {"/private/a b\xc3\xa4.txt", "umlaut"},
        {"/private/sub%2Fc.txt", "deep"},
        {"/private//sub/./c.txt?x=y", "deep"},
        {"/private/sub/c.txt#x", NULL},
        {"/private/q%3F.txt", "question"},
        {"/private/%61.txt", "0123456789"},
        {"/private/%2561.txt", NULL}, /* once only */
        {"/static/a.css", "public{}"},
        {"/private/sub/../a.txt", NULL},
        {"/private/%2e%2e/secret", NULL},
        {"/private/..", NULL},
        {"/private/.hidden", NULL},
        {"/private/sub", NULL},
        {"/private/", NULL},
        {"/private/link.txt", NULL},
        {"/private/a%00.txt", NULL},
        {"/private/a%.txt", NULL},
        {"private/a.txt", NULL},
        {"@named", NULL},
        {"http://example.org/private/a.txt", NULL},
        {"?x", NULL},
        {"", NULL},
        {"/say", NULL}, /* a pool's */
        {"/", NULL},
    };
    struct fixture *f = *state;

    stage_file(&f->stage, "media/private/a b\xc3\xa4.txt", "umlaut");
    stage_file(&f->stage, "media/private/sub/c.txt", "deep");
    stage_file(&f->stage, "media/private/q?.txt", "question");
    stage_file(&f->stage, "media/private/.hidden", "secret");
    stage_file(&f->stage, "media/secret", "secret");
    assert_int_equal(
        symlinkat("../secret", f->stage.dir_fd, "media/private/link.txt"), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char line[256];
        unsigned status = 0;

        (void)snprintf(line, sizeof(line), "Say-X-Accel-Redirect: %s\r\n",
                       cases[i].value);
        status = ask(f, "GET", line);
        if (status != (cases[i].body == NULL ? 404 : 200)) {
            fail_msg("'%s' gave %u", cases[i].value, status);
        }
        if (cases[i].body != NULL) {
            assert_string_equal(body(f), cases[i].body);
        }
        assert_false(contains(f->text, "nobody sees"));
    }
}

static bool
log_names_it(struct stage *s)
{
    char text[8192];

    stage_read(s, "logs/error.log", text, sizeof(text));
    return contains(text, "/private/\\x22none.txt does not exist") &&
           contains(text, "/say is on no route to files") &&
           contains(text, "worker=web/");
}

static void
test_what_is_missing_is_named_in_the_log(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, "GET", FILE_OF("/private/%22none.txt")), 404);
    assert_int_equal(ask(f, "GET", FILE_OF("/private/\"none.txt")), 404);
    assert_int_equal(ask(f, "GET", FILE_OF("/say")), 404);
    stage_wait(&f->stage, log_names_it);
}

static void
test_answer_that_is_no_success_passes_without_the_field(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(ask(f, "GET", A_TXT "Say-Status: 403\r\n"), 403);
    assert_string_equal(body(f), "what nobody sees");
    assert_false(contains(f->text, "Accel"));
    assert_int_equal(ask(f, "GET", A_TXT "Say-Status: 302\r\n"), 302);
    assert_int_equal(ask(f, "GET", "Say-X-Accel-Expires: 5\r\n"), 200);
    assert_string_equal(body(f), "what nobody sees");
    assert_false(contains(f->text, "Accel"));
}

static void
test_from_outside_there_is_nothing(void **state)
{
    static const char *const requests[] = {
        "GET /private/a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n",
        "GET /private HTTP/1.1\r\nHost: example.org\r\n\r\n",
        "GET /private/a.txt HTTP/1.1\r\nHost: example.org\r\n"
        "X-Accel-Redirect: /private/a.txt\r\n\r\n",
        "POST /private/a.txt HTTP/1.1\r\nHost: example.org\r\n"
        "Content-Length: 0\r\n\r\n",
        /* Neither by a route to a directory above. */
        "GET /media/private/a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n",
        "GET /media//private/a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n",
        "GET /media/./%70rivate/a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n",
        "GET /media/x/../private/a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(requests) / sizeof(requests[0]); i++) {
        assert_int_equal(
            stage_ask(&f->stage, requests[i], f->text, sizeof(f->text)), 404);
    }
    assert_int_equal(f->worker.requests, 0);
    stage_file(&f->stage, "media/b.txt", "shown");
    assert_int_equal(
        stage_ask(&f->stage,
                  "GET /media/b.txt HTTP/1.1\r\nHost: example.org\r\n\r\n",
                  f->text, sizeof(f->text)),
        200);
    /* And a client's own field means nothing to anybody. */
    assert_int_equal(ask(f, "GET",
                         "X-Accel-Redirect: /private/a.txt\r\n"
                         "X-Accel-Mapping: a=b\r\n"),
                     200);
    assert_string_equal(body(f), "what nobody sees");
    assert_false(contains(f->worker.head, "Accel"));
}

/* It is names that are kept inside: the site's own link shows what it leads to
 * (docs/decisions/0066). */
static void
test_link_of_the_site_shows_what_it_leads_to(void **state)
{
    struct fixture *f = *state;

    assert_int_equal(symlinkat("private", f->stage.dir_fd, "media/pub"), 0);
    assert_int_equal(
        stage_ask(&f->stage,
                  "GET /media/pub/a.txt HTTP/1.1\r\nHost: example.org\r\n\r\n",
                  f->text, sizeof(f->text)),
        200);
    assert_string_equal(body(f), "0123456789");
}

static bool
slot_is_free(struct stage *s)
{
    return amy__slot_owner(s->slots, SLOT) == 0;
}

static void
test_slot_is_free_while_the_file_is_sent(void **state)
{
    static char big[3000001];
    static struct stage_client client;
    struct fixture *f = *state;

    memset(big, 'z', sizeof(big) - 1);
    stage_file(&f->stage, "media/private/big.bin", big);
    client.stopped = true;
    stage_connect(&f->stage, &client);
    client.stopped = true;
    stage_send(&client, "GET /say HTTP/1.1\r\nHost: example.org\r\n" FILE_OF(
                            "/private/big.bin") "\r\n");
    while (f->worker.requests == 0) {
        stage_turn(&f->stage);
    }
    stage_wait(&f->stage, slot_is_free);
    assert_int_equal(ask(f, "GET", A_TXT), 200);
    stage_disconnect(&client);
}

/* It answers at the head: most of the body was not sent to it yet, and will not
 * be. */
static void
test_worker_that_did_not_read_the_body_is_let_go(void **state)
{
    static char big[4000000];
    static struct stage_client client;
    struct fixture *f = *state;

    memset(big, 'b', sizeof(big));
    stage_connect(&f->stage, &client);
    stage_send(&client, "POST /say HTTP/1.1\r\nHost: example.org\r\n" A_TXT
                        "Content-Length: 4000000\r\n\r\n");
    stage_send_bytes(&client, big, sizeof(big));
    assert_int_equal(stage_answer(&client, false, f->text, sizeof(f->text)),
                     200);
    assert_string_equal(body(f), "0123456789");
    stage_wait(&f->stage, slot_is_free);
    stage_disconnect(&client);
    assert_int_equal(ask(f, "GET", A_TXT), 200);
}

static bool
is_held(struct stage *s)
{
    struct fixture *f = (struct fixture *)(void *)s;

    return f->worker.held != NULL;
}

static bool
is_logged(struct stage *s)
{
    char text[4096];

    stage_read(s, "logs/access.log", text, sizeof(text));
    return contains(text, "/hold");
}

/* The answer to a held request, for a client that may be gone. */
static void
let_go(struct fixture *f, const char *path)
{
    struct amy__answer_head head = {.status = 200, .field_count = 1};

    head.fields[0] = (struct amy__field){.name = AMY_SPAN("X-Accel-Redirect"),
                                         .value = amy__span_of(path)};
    amy__exchange_reply(f->worker.held, &head, AMY_SPAN("x"), true);
    f->worker.held = NULL;
}

static void
test_client_that_left_costs_nothing(void **state)
{
    static const char *const ranges[] = {"", "Range: bytes=0-9,30000-\r\n"};
    static char big[40001];
    static struct stage_client client;
    struct fixture *f = *state;

    memset(big, 'z', sizeof(big) - 1);
    stage_file(&f->stage, "media/private/big.bin", big);
    for (size_t i = 0; i < 2; i++) {
        stage_connect(&f->stage, &client);
        stage_send(&client, "GET /hold HTTP/1.1\r\nHost: example.org\r\n");
        stage_send(&client, ranges[i]);
        stage_send(&client, "\r\n");
        stage_wait(&f->stage, is_held);
        stage_disconnect(&client);
        let_go(f, "/private/big.bin");
        stage_wait(&f->stage, slot_is_free);
    }
    stage_wait(&f->stage, is_logged);
    assert_int_equal(ask(f, "GET", A_TXT), 200);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int
main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_file_stands_in_for_the_answer),
        TEST(test_fields_of_the_application_go_along),
        TEST(test_route_says_how_long_unless_the_application_does),
        TEST(test_ranges_and_conditions_are_about_the_file),
        TEST(test_other_methods),
        TEST(test_value_is_read_as_nginx_reads_it),
        TEST(test_what_is_missing_is_named_in_the_log),
        TEST(test_answer_that_is_no_success_passes_without_the_field),
        TEST(test_from_outside_there_is_nothing),
        TEST(test_link_of_the_site_shows_what_it_leads_to),
        TEST(test_slot_is_free_while_the_file_is_sent),
        TEST(test_worker_that_did_not_read_the_body_is_let_go),
        TEST(test_client_that_left_costs_nothing),
    };

    return cmocka_run_group_tests_name("front/accel", tests, NULL, NULL);
}

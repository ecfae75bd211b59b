/* Pages of the front's own and the heads they go out with. */
#include "amy_test.h"

#include "core/files.h"
#include "fail_alloc.h"
#include "front/pages.h"
#include "gate/page.h"

#include <string.h>
#include <unistd.h>

static const char *
value_of(const struct amy__answer_head *head, const char *name)
{
    static char value[256];

    for (size_t i = 0; i < head->field_count; i++) {
        if (amy__span_eq(head->fields[i].name, amy__span_of(name))) {
            assert_true(
                amy__span_copy(head->fields[i].value, value, sizeof(value)));
            return value;
        }
    }
    return "";
}

static struct amy__page *
make_page(const char *html)
{
    struct amy__page *page = NULL;

    assert_int_equal(amy__page_create(amy__span_of(html), &page, NULL), 0);
    return page;
}

static void
test_html_is_the_page_itself(void **state)
{
    static struct amy__answer_head head;
    static struct amy__request_head request;
    struct amy__page *page = make_page("<p>closed");
    struct amy__page_text text;
    struct amy__span body =
        amy__page_head(&head, 503, page, &request, 77, &text);

    (void)state;
    assert_ptr_equal(body.p, page->bytes);
    assert_int_equal(body.n, 9);
    assert_int_equal(head.status, 503);
    assert_string_equal(value_of(&head, "Content-Type"),
                        "text/html; charset=utf-8");
    assert_string_equal(value_of(&head, "Cache-Control"), "no-store");
    assert_string_equal(value_of(&head, "Vary"), "Accept");
    assert_string_equal(value_of(&head, "Retry-After"), "77");
    amy__page_unref(page);
}

static void
test_program_gets_problem_json(void **state)
{
    static struct amy__answer_head head;
    static struct amy__request_head request;
    struct amy__page *page = make_page("<p>closed");
    struct amy__page_text text;
    struct amy__span body = {0};

    (void)state;
    request.field_count = 1;
    request.fields[0] =
        (struct amy__field){.name = AMY_SPAN("Accept"),
                            .value = AMY_SPAN("application/json"),
                            .id = AMY__FIELD_ACCEPT};
    body = amy__page_head(&head, 504, page, &request, 0, &text);
    assert_string_equal(value_of(&head, "Content-Type"),
                        "application/problem+json");
    assert_string_equal(value_of(&head, "Retry-After"), "");
    assert_true(amy__span_eq(
        body, AMY_SPAN("{\"type\":\"about:blank\",\"title\":\"Gateway "
                       "Timeout\",\"status\":504,\"retry_after\":0}\n")));
    amy__page_unref(page);
}

static void
test_page_is_read_from_its_memfd(void **state)
{
    struct amy__page *page = NULL;
    int fd = amy__sealed_memfd("page", "<p>on", 5, NULL);

    (void)state;
    assert_int_equal(amy__page_read(fd, amy__page_down(), &page, NULL), 0);
    assert_int_equal(page->n, 5);
    assert_memory_equal(page->bytes, "<p>on", 5);
    amy__page_unref(page);
    (void)close(fd);
}

static void
test_missing_or_empty_page_is_the_built_in_one(void **state)
{
    struct amy__page *page = NULL;
    int fd = amy__sealed_memfd("page", "", 0, NULL);

    (void)state;
    assert_int_equal(amy__page_read(-1, amy__page_down(), &page, NULL), 0);
    assert_int_equal(page->n, amy__page_down().n);
    amy__page_unref(page);
    assert_int_equal(amy__page_read(fd, amy__page_down(), &page, NULL), 0);
    assert_int_equal(page->n, amy__page_down().n);
    amy__page_unref(page);
    (void)close(fd);
}

static void
test_page_without_memory_is_an_error(void **state)
{
    struct amy__page *page = NULL;
    struct amy_error err = AMY_ERROR_INIT;

    (void)state;
    fail_alloc_nth(1);
    assert_int_equal(amy__page_read(-1, amy__page_down(), &page, &err),
                     AMY_ENOMEM);
    assert_true(fail_alloc_hit());
    assert_null(page);
    assert_int_equal(fail_alloc_live(), 0);
}

static void
test_page_lives_as_long_as_its_last_reader(void **state)
{
    struct amy__page *page = make_page("x");

    (void)state;
    assert_ptr_equal(amy__page_ref(page), page);
    amy__page_unref(page);
    assert_int_equal(page->bytes[0], 'x');
    amy__page_unref(page);
    amy__page_unref(NULL);
    assert_int_equal(fail_alloc_live(), 0);
}

static void
test_refusal_fits_for_every_status(void **state)
{
    char page[AMY__REFUSAL_SIZE];

    (void)state;
    for (unsigned status = 100; status < 600; status++) {
        size_t n = amy__page_refusal(status, page);

        assert_true(n > 0 && n < sizeof(page));
        assert_int_equal(strlen(page), n);
        assert_null(strstr(page, "http")); /* nothing is loaded */
    }
    (void)amy__page_refusal(404, page);
    assert_non_null(strstr(page, "<title>404 Not Found</title>"));
    assert_non_null(strstr(page, "<h1>Not Found</h1>"));
    assert_non_null(strstr(page, "prefers-color-scheme: dark"));
    assert_non_null(strstr(page, "width=device-width"));
}

int
main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_html_is_the_page_itself),
        cmocka_unit_test(test_program_gets_problem_json),
        cmocka_unit_test(test_refusal_fits_for_every_status),
        cmocka_unit_test(test_page_is_read_from_its_memfd),
        cmocka_unit_test(test_missing_or_empty_page_is_the_built_in_one),
        cmocka_unit_test(test_page_without_memory_is_an_error),
        cmocka_unit_test(test_page_lives_as_long_as_its_last_reader),
    };

    return cmocka_run_group_tests_name("front/pages", tests, NULL, NULL);
}

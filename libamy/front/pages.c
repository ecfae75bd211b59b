/* Pages of the front's own and the heads they go out with. Not for deciding
 * when one is shown: that is request.c and proxy.c. */
#include "front/pages.h"

#include "core/alloc.h"
#include "core/error.h"
#include "core/files.h"
#include "http/accept.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

int
amy__page_create(struct amy__span html, struct amy__page **ret_page,
                 struct amy_error *err)
{
    struct amy__page *page = amy__calloc(1, sizeof(*page) + html.n);

    if (page == NULL) {
        return amy__err(err, AMY_ENOMEM, "allocating a page");
    }
    page->refs = 1;
    page->n = html.n;
    if (html.n > 0) {
        memcpy(page->bytes, html.p, html.n);
    }
    *ret_page = page;
    return 0;
}

int
amy__page_read(int fd, struct amy__span built_in, struct amy__page **ret_page,
               struct amy_error *err)
{
    const void *data = NULL;
    size_t n = 0;
    int rc = 0;

    if (fd >= 0) {
        rc = amy__map_sealed(fd, AMY__PAGE_MAX, &data, &n, err);
        if (rc < 0) {
            return rc;
        }
    }
    rc = amy__page_create(n > 0 ? (struct amy__span){data, n} : built_in,
                          ret_page, err);
    if (n > 0) {
        union {
            const void *mapped;
            void *address;
        } map = {data};

        (void)munmap(map.address, n); /* cannot fail: mapped above */
    }
    return rc;
}

/* What a person can do about it, where there is something to say. */
static const char *
advice(unsigned status)
{
    switch (status) {
    case 401:
        return "This site asks for a name and a password.";
    case 403:
        return "This address is not for everybody.";
    case 404:
        return "There is nothing at this address.";
    case 413:
        return "That is more than this site takes at once.";
    case 421:
        return "No site of this name is served here.";
    case 429:
    case 503:
        return "Please try again in a minute.";
    default:
        return "This request cannot be answered.";
    }
}

size_t
amy__page_refusal(unsigned status, char buf[AMY__REFUSAL_SIZE])
{
    const char *reason = amy__status_reason(status);
    int n = snprintf(
        buf, AMY__REFUSAL_SIZE,
        "<!doctype html>\n"
        "<html lang=\"en\">\n"
        "<meta charset=\"utf-8\">\n"
        "<meta name=\"viewport\" content=\"width=device-width, "
        "initial-scale=1\">\n"
        "<meta name=\"color-scheme\" content=\"light dark\">\n"
        "<title>%u %s</title>\n"
        "<style>\n"
        "body { margin: 0; min-height: 100vh; display: grid; "
        "place-items: center; background: #f6f7f9; color: #1d2430; "
        "font: 1.0625rem/1.6 system-ui, sans-serif; text-align: center; }\n"
        "main { padding: 2rem; }\n"
        "h1 { font-size: 2.125rem; line-height: 1.2; margin: 0 0 .5rem; }\n"
        "p { margin: 0; opacity: .7; }\n"
        "@media (prefers-color-scheme: dark) "
        "{ body { background: #14181f; color: #e8ecf2; } }\n"
        "</style>\n"
        "<main>\n<h1>%s</h1>\n<p>%s</p>\n</main>\n",
        status, reason, reason, advice(status));

    return n < 0 ? 0 : (size_t)n;
}

struct amy__page *
amy__page_ref(struct amy__page *page)
{
    page->refs++;
    return page;
}

void
amy__page_unref(struct amy__page *page)
{
    if (page != NULL && --page->refs == 0) {
        amy__free(page);
    }
}

void
amy__answer_start(struct amy__answer_head *head, unsigned status)
{
    memset(head, 0, offsetof(struct amy__answer_head, fields));
    head->status = status;
    head->keep_alive = true;
}

void
amy__answer_field(struct amy__answer_head *head, struct amy__span name,
                  struct amy__span value)
{
    if (head->field_count < AMY__FIELDS_ROOM) {
        head->fields[head->field_count++] =
            (struct amy__field){.name = name, .value = value};
    }
}

const struct amy__field *
amy__answer_find(const struct amy__answer_head *head, struct amy__span name)
{
    for (size_t i = 0; i < head->field_count; i++) {
        if (amy__span_eq_nocase(head->fields[i].name, name)) {
            return &head->fields[i];
        }
    }
    return NULL;
}

bool
amy__answer_has(const struct amy__answer_head *head, struct amy__span name)
{
    return amy__answer_find(head, name) != NULL;
}

/* RFC 9457; what a program needs is the status and when to come back. */
static struct amy__span
problem_json(unsigned status, int64_t retry_after_s,
             struct amy__page_text *text)
{
    int n =
        snprintf(text->json, sizeof(text->json),
                 "{\"type\":\"about:blank\",\"title\":\"%s\","
                 "\"status\":%u,\"retry_after\":%lld}\n",
                 amy__status_reason(status), status, (long long)retry_after_s);

    return (struct amy__span){text->json, n > 0 ? (size_t)n : 0};
}

struct amy__span
amy__page_head(struct amy__answer_head *head, unsigned status,
               const struct amy__page *page,
               const struct amy__request_head *request, int64_t retry_after_s,
               struct amy__page_text *text)
{
    bool json = amy__accept_prefers_json(request->fields, request->field_count);

    amy__answer_start(head, status);
    amy__answer_field(head, AMY_SPAN("Content-Type"),
                      json ? AMY_SPAN("application/problem+json")
                           : AMY_SPAN("text/html; charset=utf-8"));
    amy__answer_field(head, AMY_SPAN("Cache-Control"), AMY_SPAN("no-store"));
    amy__answer_field(head, AMY_SPAN("Vary"), AMY_SPAN("Accept"));
    if (retry_after_s > 0) {
        int n = snprintf(text->retry_after, sizeof(text->retry_after), "%lld",
                         (long long)retry_after_s);

        amy__answer_field(
            head, AMY_SPAN("Retry-After"),
            (struct amy__span){text->retry_after, n > 0 ? (size_t)n : 0});
    }
    return json ? problem_json(status, retry_after_s, text)
                : (struct amy__span){page->bytes, page->n};
}

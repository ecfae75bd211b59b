/* Answers of the front's own: the gate's page, the page when the application
 * does not answer, and short errors. Pure but for reading a page's memfd. */
#ifndef AMY_FRONT_PAGES_H
#define AMY_FRONT_PAGES_H

#include <amy/error.h>

#include "core/str.h"
#include "http/message.h"

#include <stdbool.h>
#include <stdint.h>

#define AMY__PAGE_MAX ((size_t)1024 * 1024)

/* HTML, read once; exchanges that send it hold a reference. */
struct amy__page {
    unsigned refs;
    size_t n;
    char bytes[];
};

int amy__page_create(struct amy__span html, struct amy__page **ret_page,
                     struct amy_error *err);
/* From a sealed memfd; the descriptor stays the caller's. Empty: the built-in
 * one (gate/page.h), as with fd -1. */
int amy__page_read(int fd, struct amy__span built_in,
                   struct amy__page **ret_page, struct amy_error *err);
struct amy__page *amy__page_ref(struct amy__page *page);
void amy__page_unref(struct amy__page *page);

/* The head of such an answer: Content-Type by what the client prefers,
 * no-store, Vary, Retry-After when above 0. small holds the field's text and,
 * for JSON, the body; both must live until the head was sent. Returns the
 * body. */
struct amy__page_text {
    char retry_after[24];
    char json[256];
};
struct amy__span amy__page_head(struct amy__answer_head *head, unsigned status,
                                const struct amy__page *page,
                                const struct amy__request_head *request,
                                int64_t retry_after_s,
                                struct amy__page_text *text);

/* A short page for a refusal, into buf; returns its length. */
#define AMY__REFUSAL_SIZE 1024
size_t amy__page_refusal(unsigned status, char buf[AMY__REFUSAL_SIZE]);

/* One more field; left out when there is no room. */
void amy__answer_field(struct amy__answer_head *head, struct amy__span name,
                       struct amy__span value);
void amy__answer_start(struct amy__answer_head *head, unsigned status);
/* First field of that name, or NULL; case does not count. */
const struct amy__field *amy__answer_find(const struct amy__answer_head *head,
                                          struct amy__span name);
bool amy__answer_has(const struct amy__answer_head *head,
                     struct amy__span name);

#endif

/* The problems of one file (or of what surrounds it), collected while it is
 * read and handed over in the order of their places once it is read to its end.
 */
#ifndef AMY_SITE_REPORT_H
#define AMY_SITE_REPORT_H

#include <amy/error.h>

#include "core/cleanup.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* More are counted and not kept: a file of rubbish is no mail bomb. */
#define AMY__REPORT_MAX 100

struct amy__report_item;

struct amy__report {
    const char *borrow_file;
    struct amy__report_item *items;
    size_t count;
    size_t dropped; /* found beyond AMY__REPORT_MAX */
    bool out_of_memory;
};

/* Where a problem is and what it is about; texts may be NULL and are copied. */
struct amy__place {
    const char *file; /* NULL: the report's */
    uint32_t line;
    uint32_t column;
    const char *key;
    const char *allowed;
};

void amy__report_init(struct amy__report *report, const char *borrow_file);
void amy__report_clear(struct amy__report *report);

void amy__report_error(struct amy__report *report,
                       const struct amy__place *place, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
void amy__report_warning(struct amy__report *report,
                         const struct amy__place *place, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));

/* Nothing that makes the file unusable so far. */
bool amy__report_is_clean(const struct amy__report *report);

/* Hand all problems to fn (may be NULL), sorted by place.
 * @return 0 (clean, perhaps with warnings), `code` with the first error as a
 *         line in err, or AMY_ENOMEM when a problem could not be kept. */
int amy__report_finish(struct amy__report *report, int code, amy_problem_fn fn,
                       void *user, struct amy_error *err);

static inline void
amy__report_clear_p(struct amy__report *report)
{
    amy__report_clear(report);
}

#endif

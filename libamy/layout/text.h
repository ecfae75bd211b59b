/* The site.yaml of a new site. Pure. */
#ifndef AMY_LAYOUT_TEXT_H
#define AMY_LAYOUT_TEXT_H

#include "core/buf.h"

#include <stdbool.h>

struct amy__layout_text {
    const char *domain;
    const char *user;
    const char *wsgi;
    const char *const *aliases; /* NULL-terminated, or NULL */
    bool stage_test;
};

/* What is commented out is a default, or an example that could be used as it
 * is: the text is valid without each '#' that no blank follows.
 * 0, AMY_ELIMIT, AMY_ENOMEM */
int amy__layout_text(const struct amy__layout_text *text, struct amy__buf *out);

#endif

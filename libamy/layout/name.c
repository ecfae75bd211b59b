/* Makes names of users from domains. */
/* Not for whether there are such users: account.c. */
#include "layout/name.h"

#include <stdio.h>
#include <string.h>

#define PREFIX "amy-"
/* Of a name that is cut: behind it come '-' and four digits. */
#define CUT_TO (AMY__LAYOUT_NAME_SIZE - 1 - sizeof("-ffff") + 1)

void
amy__layout_short_name(struct amy__span domain, char ret[AMY__LAYOUT_NAME_SIZE])
{
    struct amy__span rest = domain;
    struct amy__span first = {NULL, 0};
    struct amy__span label = {NULL, 0};

    (void)amy__span_split(&rest, '.', &first);
    if (amy__span_eq(first, AMY_SPAN("www")) &&
        amy__span_split(&rest, '.', &label)) {
        first = label;
    }
    (void)snprintf(ret, AMY__LAYOUT_NAME_SIZE, PREFIX AMY_SPAN_FMT,
                   AMY_SPAN_ARG(first));
}

void
amy__layout_long_name(struct amy__span domain, char ret[AMY__LAYOUT_NAME_SIZE])
{
    int n = snprintf(ret, AMY__LAYOUT_NAME_SIZE, PREFIX AMY_SPAN_FMT,
                     AMY_SPAN_ARG(domain));

    for (char *at = strchr(ret, '.'); at != NULL; at = strchr(at, '.')) {
        *at = '-';
    }
    if (n >= AMY__LAYOUT_NAME_SIZE) {
        (void)snprintf(ret + CUT_TO, AMY__LAYOUT_NAME_SIZE - CUT_TO, "-%04x",
                       (unsigned)(amy__hash(domain, 0) & 0xFFFFU));
    }
}
